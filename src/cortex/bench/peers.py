"""The same work with other products where they are installed.

They store vectors, which are made beforehand from the words alone: no model, no network, and no time for embedding is
counted. Each runs embedded, with the settings that it comes with.
"""

import hashlib
import importlib
import importlib.metadata
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any, Protocol

from cortex import limits
from cortex.bench import corpus, figures
from cortex.bench import searches as own_searches
from cortex.bench import stores as own_stores
from cortex.bench.clock import Lap
from cortex.bench.corpus import Text
from cortex.bench.figures import Figure
from cortex.bench.task import Task

PEERS = ("chromadb", "lancedb")
VECTOR_PEERS = (*PEERS, "sqlite-vec", "usearch")

_DIMENSIONS = 384
_TOP_K = 10


class Store(Protocol):
    """What a peer must do: add facts with their vectors, and find the nearest."""

    def add(self, ids: Sequence[str], texts: Sequence[Text], vectors: Any) -> None:
        """Store facts."""
        ...

    def search(self, vector: Any, project: str | None) -> Sequence[str]:
        """The ids of the nearest ten, of one project or of all."""
        ...


def version(name: str) -> str | None:
    """The installed version of a peer; None when it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def stores(task: Task) -> list[Figure]:
    """Adding one by one and in batches."""
    adds, rounds = own_stores.sizes(quick=task.quick)
    batch = own_stores.BATCH
    store = open_store(task.peer, task.path / "stores")
    texts = corpus.facts((adds + batch) * rounds + batch, label="adds")
    supply = _Supply()
    store.add(*supply.take(islice(texts, batch)))
    alone, batches = [], []
    for _ in range(rounds):
        singles = [supply.take([text]) for text in islice(texts, adds)]
        with Lap() as lap:
            for single in singles:
                store.add(*single)
        alone.append(lap)
        whole = supply.take(islice(texts, batch))
        with Lap() as lap:
            store.add(*whole)
        batches.append(lap)
    return [
        figures.measured(*own_stores.ADD_CPU, [lap.cpu_ms / adds for lap in alone]),
        figures.measured(*own_stores.ADD_WALL, [lap.wall_ms / adds for lap in alone]),
        figures.measured(*own_stores.BATCH_CPU, [lap.cpu_ms for lap in batches]),
        figures.measured(*own_stores.BATCH_WALL, [lap.wall_ms for lap in batches]),
    ]


def searches(task: Task) -> list[Figure]:
    """Loading `task.size` facts, and searching them."""
    store = open_store(task.peer, task.path / f"facts-{task.size}")
    texts, supply, wall_ms = corpus.facts(task.size), _Supply(), 0.0
    while batch := list(islice(texts, limits.BATCH_FACTS_MAX)):
        given = supply.take(batch)
        with Lap() as lap:
            store.add(*given)
        wall_ms += lap.wall_ms
    found = [figures.measured(own_searches.load_name(task.size), "ms", [wall_ms / task.size])]
    rounds = own_searches.rounds_of(task.size, quick=task.quick)
    vectors = {query: supply.vector(query) for round_ in rounds for query in round_}
    for scope in own_searches.SCOPES:
        project = None if scope == "all projects" else corpus.project(0)
        ask = _search(store, vectors, project)
        ask(rounds[0][0])
        found += own_searches.latencies(task.size, scope, rounds, ask)
    return [*found, own_searches.memory_figure(task.size)]


def _search(store: Store, vectors: dict[str, Any], project: str | None) -> Callable[[str], object]:
    return lambda query: store.search(vectors[query], project)


class _Supply:
    """Ids and vectors for facts: each word has a direction of its own, a text the sum of those of its words."""

    def __init__(self) -> None:
        self._numpy = importlib.import_module("numpy")
        self._words: dict[str, Any] = {}
        self._ids: Iterator[int] = count()

    def take(self, texts: Iterable[Text]) -> tuple[list[str], list[Text], Any]:
        """What `Store.add` is given."""
        chosen = list(texts)
        vectors = self._numpy.stack([self.vector(text.content) for text in chosen])
        return [str(next(self._ids)) for _ in chosen], chosen, vectors

    def vector(self, text: str) -> Any:
        """The unit vector of a text."""
        total = sum(self._word(word) for word in text.rstrip(".").lower().split())
        return total / self._numpy.linalg.norm(total)

    def _word(self, word: str) -> Any:
        if word not in self._words:
            seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
            drawn = self._numpy.random.default_rng(seed).standard_normal(_DIMENSIONS)
            self._words[word] = drawn.astype(self._numpy.float32)
        return self._words[word]


class _Chroma:
    def __init__(self, folder: Path) -> None:
        chromadb = importlib.import_module("chromadb")
        settings = importlib.import_module("chromadb.config").Settings(anonymized_telemetry=False)
        self._client = chromadb.PersistentClient(path=str(folder), settings=settings)
        # Without an embedding function there is no model to fetch.
        self._collection = self._client.create_collection("facts", embedding_function=None)

    def add(self, ids: Sequence[str], texts: Sequence[Text], vectors: Any) -> None:
        self._collection.add(
            ids=list(ids),
            embeddings=vectors,
            documents=[text.content for text in texts],
            metadatas=[{"project": text.project} for text in texts],
        )

    def search(self, vector: Any, project: str | None) -> Sequence[str]:
        where = None if project is None else {"project": project}
        found: list[str] = self._collection.query(query_embeddings=[vector], n_results=_TOP_K, where=where)["ids"][0]
        return found


class _Lance:
    def __init__(self, folder: Path) -> None:
        arrow = importlib.import_module("pyarrow")
        columns = [("id", arrow.string()), ("content", arrow.string()), ("project", arrow.string())]
        vector = ("vector", arrow.list_(arrow.float32(), _DIMENSIONS))
        database = importlib.import_module("lancedb").connect(str(folder))
        self._table = database.create_table("facts", schema=arrow.schema([*columns, vector]))

    def add(self, ids: Sequence[str], texts: Sequence[Text], vectors: Any) -> None:
        self._table.add(
            [
                {"id": number, "content": text.content, "project": text.project, "vector": vector}
                for number, text, vector in zip(ids, texts, vectors, strict=True)
            ]
        )

    def search(self, vector: Any, project: str | None) -> Sequence[str]:
        asked = self._table.search(vector).limit(_TOP_K)
        if project is not None:
            asked = asked.where(f"project = '{project}'", prefilter=True)
        return [row["id"] for row in asked.to_list()]


_STORES: dict[str, Callable[[Path], Store]] = {"chromadb": _Chroma, "lancedb": _Lance}

assert set(_STORES) == set(PEERS), "every peer has its store"


def open_store(name: str, folder: Path) -> Store:
    """An empty store of a peer."""
    folder.mkdir()
    return _STORES[name](folder)
