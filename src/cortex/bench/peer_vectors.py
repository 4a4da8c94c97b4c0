"""The same vectors with other products where they are installed, each with the settings that it comes with."""

import importlib
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from cortex import limits
from cortex.bench import corpus, figures, peers, vectors
from cortex.bench.clock import Lap
from cortex.bench.figures import Figure
from cortex.bench.task import Task


class VectorStore(Protocol):
    """What a peer must do: take vectors in the order of their numbers, and give the numbers of the nearest."""

    def add(self, first: int, rows: Any) -> None:
        """Store vectors, numbered from `first`."""
        ...

    def nearest(self, query: Any) -> Sequence[int]:
        """The numbers of the nearest ten."""
        ...


def probe(task: Task) -> list[Figure]:
    """Insert and search. The vectors lie in the folder above that of the peer."""
    store = _STORES[task.peer](task.path / f"vectors-{task.size}")
    wall_ms = 0.0
    for first in range(0, task.size, limits.BATCH_FACTS_MAX):
        # Mapped anew each time: what is mapped counts as memory of the process.
        batch = vectors.rows(task.path.parent, task.size)[first : first + limits.BATCH_FACTS_MAX].copy()
        with Lap() as lap:
            store.add(first, batch)
        wall_ms += lap.wall_ms
    inserted = figures.measured(vectors.insert_name(task.size), "ms", [wall_ms / task.size])
    return [inserted, *vectors.searched(task.path.parent, task.size, store.nearest)]


class _WithTexts:
    """A peer that holds facts: with their texts and projects, as in the suite `memory`."""

    def __init__(self, name: str, folder: Path) -> None:
        self._store = peers.open_store(name, folder)
        self._texts = corpus.facts(limits.BENCH_FACTS_MAX)

    def add(self, first: int, rows: Any) -> None:
        ids = [str(number) for number in range(first, first + len(rows))]
        self._store.add(ids, list(islice(self._texts, len(rows))), rows)

    def nearest(self, query: Any) -> list[int]:
        return [int(number) for number in self._store.search(query, None)]


class _SqliteVec:
    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        apsw = importlib.import_module("apsw")
        self._connection = apsw.Connection(str(folder / "vectors.db"))
        self._connection.enable_load_extension(True)  # noqa: FBT003 - SQLite's own form
        self._connection.load_extension(importlib.import_module("sqlite_vec").loadable_path())
        self._connection.execute(
            f"CREATE VIRTUAL TABLE vectors USING vec0 (embedding float[{vectors.DIMENSION}] distance_metric=cosine)"
        )

    def add(self, first: int, rows: Any) -> None:
        numbered = ((first + place, row.tobytes()) for place, row in enumerate(rows))
        with self._connection:
            self._connection.executemany("INSERT INTO vectors (rowid, embedding) VALUES (?, ?)", numbered)

    def nearest(self, query: Any) -> list[int]:
        asked = "SELECT rowid FROM vectors WHERE embedding MATCH ? AND k = ?"
        return [number for (number,) in self._connection.execute(asked, (query.tobytes(), vectors.TOP_K))]


class _Usearch:
    """In memory: nothing is on the disk until it is saved."""

    def __init__(self, folder: Path) -> None:
        del folder
        self._numpy = importlib.import_module("numpy")
        self._index = importlib.import_module("usearch.index").Index(ndim=vectors.DIMENSION, metric="cos")

    def add(self, first: int, rows: Any) -> None:
        self._index.add(self._numpy.arange(first, first + len(rows)), rows)

    def nearest(self, query: Any) -> list[int]:
        keys: list[int] = self._index.search(query, vectors.TOP_K).keys.tolist()
        return keys


_STORES: MappingProxyType[str, Callable[[Path], VectorStore]] = MappingProxyType(
    {
        "chromadb": lambda folder: _WithTexts("chromadb", folder),
        "lancedb": lambda folder: _WithTexts("lancedb", folder),
        "sqlite-vec": _SqliteVec,
        "usearch": _Usearch,
    }
)

assert set(_STORES) == set(peers.VECTOR_PEERS), "every peer has its store"
