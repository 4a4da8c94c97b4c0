"""What an embedder is, and the check that every answer of one passes before it is used."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cortex import limits
from cortex.errors import CortexError, Unavailable

Vectors: TypeAlias = NDArray[np.float32]


class Embedder(Protocol):
    """Turns texts into vectors whose cosine says how near their meanings are.

    `name` says which model it is, in which version: it is stored with every vector, and another name means that all
    texts are embedded again. `embed` is called from threads, several at a time; it returns one row of numbers for each
    text, all of one length, and raises a CortexError where it cannot.
    """

    @property
    def name(self) -> str: ...

    def embed(self, texts: Sequence[str], /) -> Any: ...


def embedded(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    """The vectors of `texts`, shape (len(texts), dimension), each of length 1.

    Raises Unavailable where the embedder returned something else than as many vectors of finite numbers.
    """
    try:
        found = np.asarray(embedder.embed(texts), dtype=np.float32)
    except CortexError:
        raise
    except Exception as error:  # not our code: whoever wanted a vector is told
        raise Unavailable(
            f"the embedder {embedder.name} failed ({type(error).__name__}: {error})",
            "mend or replace it: docs/model.md",
        ) from error
    if found.ndim != 2 or len(found) != len(texts):
        raise _wrong(embedder, f"an array of shape {found.shape} for {len(texts)} texts")
    if not limits.DIMENSION_MIN <= found.shape[1] <= limits.DIMENSION_MAX:
        raise _wrong(embedder, f"vectors of {found.shape[1]} numbers")
    lengths = np.sqrt(np.square(found, dtype=np.float64).sum(axis=1, keepdims=True))
    if not np.isfinite(lengths).all():
        raise _wrong(embedder, "a number that is not finite")
    if not (lengths > 0).all():
        raise _wrong(embedder, "a vector of zeros")
    unit: Vectors = (found / lengths).astype(np.float32)
    return unit


def _wrong(embedder: Embedder, what: str) -> Unavailable:
    return Unavailable(f"the embedder {embedder.name} returned {what}", "mend or replace it: docs/model.md")
