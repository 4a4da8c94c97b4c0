"""What an embedder is, and the check that every answer of one passes before it is used."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cortex import limits
from cortex.errors import CortexError, Invalid, Unavailable

Vectors: TypeAlias = NDArray[np.float32]


class Embedder(Protocol):
    """Turns texts into vectors whose cosine says how near their meanings are.

    `name` says which model it is, in which version: it is stored with every vector, and vectors of another name are not
    compared with its own. `embed` is called from threads, several at a time; it returns one row of numbers for each
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
        found = _numbers(embedder.embed(texts))
    except CortexError:
        raise
    except (Exception, SystemExit) as error:  # not our code: whoever wanted a vector is told
        raise Unavailable(
            f"the embedder {embedder.name} failed ({type(error).__name__}: {error})",
            "mend or replace it: docs/model.md",
        ) from error
    if found is None:
        raise _wrong(embedder, "something else than rows of plain numbers")
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


def _numbers(answer: object) -> Vectors | None:
    """An answer as an array, unless it holds what float32 would silently change: complex or masked numbers, text."""
    if np.ma.isMaskedArray(answer):
        return None
    found = np.asarray(answer)
    return found.astype(np.float32) if found.dtype.kind in "fiu" else None


def check_name(embedder: Embedder) -> str:
    """The embedder's name, which stands in the file. Raises Invalid for none, or one that nobody can read."""
    try:
        name = embedder.name
    except Exception as error:  # not our code: whoever wanted a vector is told
        raise Invalid(f"the embedder gives no name ({type(error).__name__}: {error})", "give it one") from error
    readable = isinstance(name, str) and name.strip() and name.isprintable()
    if not readable or len(name) > limits.EMBEDDER_NAME_CHARS_MAX:
        raise Invalid(f"the embedder's name is {name!r:.60}", "give a short text of one line")
    return name


def _wrong(embedder: Embedder, what: str) -> Unavailable:
    return Unavailable(f"the embedder {embedder.name} returned {what}", "mend or replace it: docs/model.md")
