"""Embedders for tests that put a limit on time, or on what can be trusted."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from cortex.embed.stub import WordEmbedder
from cortex.index.vectors import quantised
from cortex.ops.doctor import Diagnose
from cortex.ops.embed import Embedded, EmbedFacts
from cortex.ops.facts import ForgetFact
from cortex.ops.search import SearchFacts, SearchResult
from opened import Memory

WAIT_SECONDS = 30

# Opens memories in a test's own folder, with options of Memory: what the fixture of this name gives.
Opening = Callable[..., Memory]


class Blocked(WordEmbedder):
    """Waits in the middle of every answer until it is let go; at first it does not wait."""

    def __init__(self, dimension: int = 64) -> None:
        super().__init__(dimension)
        self.entered = threading.Event()
        self._free = threading.Event()
        self._free.set()

    def block(self) -> None:
        """From now on, wait."""
        self.entered.clear()
        self._free.clear()

    def release(self) -> None:
        """Wait no more."""
        self._free.set()

    def embed(self, texts: Sequence[str], /) -> Any:
        self.entered.set()
        assert self._free.wait(WAIT_SECONDS)
        return super().embed(texts)


class Ill(WordEmbedder):
    """Answers rightly unless `fault` is set: that answers instead, given the right answer."""

    def __init__(self, dimension: int = 64) -> None:
        super().__init__(dimension)
        self.fault: Callable[[Any], Any] | None = None

    def embed(self, texts: Sequence[str], /) -> Any:
        right = super().embed(texts)
        return right if self.fault is None else self.fault(right)


def embed(memory: Memory, **request: Any) -> Embedded:
    """Embed what is pending."""
    return memory.call(EmbedFacts(**request))


def meant(memory: Memory, query: str, **request: Any) -> SearchResult:
    """Search by meaning alone."""
    return memory.call(SearchFacts(query=query, mode="semantic", **request))


def forget(memory: Memory, fact_id: str) -> None:
    """Forget a fact until nothing of it is in the files.

    SQLite leaves copies of rows behind that it moves from page to page. Such a trace of a vector is seldom; it is found
    and told, and the doctor ends it.
    """
    receipt = memory.call(ForgetFact(id=fact_id))
    if receipt.residue:
        assert "erased" == receipt.state
        assert [] == [
            check.found for check in memory.call(Diagnose()).checks if check.name == "forgetting" and not check.ok
        ]
    else:
        assert "scrubbed" == receipt.state


def contents(result: SearchResult) -> list[str]:
    """The texts of the hits."""
    return [hit.fact.content for hit in result.hits]


def cosine(embedder: WordEmbedder, query: str, content: str) -> float:
    """The cosine of a query with a text of one passage, as far as signed bytes can tell it."""
    vectors = embedder.embed([query, content])
    vectors /= (vectors.astype("f8") ** 2).sum(axis=1, keepdims=True) ** 0.5
    ((scale, codes),) = quantised(vectors[1:])
    signed = [byte - 256 if byte > 127 else byte for byte in codes]
    return float(sum(code * number for code, number in zip(signed, vectors[0].tolist(), strict=True)) * scale)
