"""Vectors alone: making them, and finding the nearest through the index of Cortex.

The vectors are of prose: paragraphs of the standard library's docstrings, embedded by the local model, and as many more
as are needed, each between two of those and off by some noise. Questions are paragraphs that were kept out. Everyone
measured gets the same file of them. Nothing random differs between runs.
"""

import ast
import asyncio
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cortex import times
from cortex.app import App
from cortex.bench import clock, corpus, figures, stage
from cortex.bench.clock import Lap
from cortex.bench.figures import Figure, Target
from cortex.bench.task import Task
from cortex.db.connect import Tx, value
from cortex.embed import choose, model
from cortex.embed.embedder import Embedder, Vectors, embedded
from cortex.embed.stub import WordEmbedder
from cortex.errors import Unavailable
from cortex.index.near import Narrow
from cortex.index.vector_rows import PASSAGE
from cortex.index.vectors import VectorIndex
from cortex.memory.lookup import Filters
from cortex.memory.visibility import View
from cortex.ops.embed import EmbedFacts

DIMENSION = 384
TOP_K = 10
QUERIES = 300

_TEXTS, _TEXTS_QUICK = 5_000, 100
_QUERIES_QUICK = 20
_ROWS_AT_ONCE = 10_000
_SEED = 384
_NOISE = 0.15
_PARAGRAPH_CHARS = (60, 600)

_EXPECTED_MS = {10_000: 0.5, 100_000: 2.5}
_EXPECTED_RECALL = 0.97


def embedder(task: Task) -> list[Figure]:
    """What one text costs, and loading the model."""
    settings = stage.chosen(task.path / "none.db", {})
    if (why := choose.ready(settings)) is not None:
        raise Unavailable(why)
    with Lap() as lap:
        opened = choose.open_embedder(settings)
        opened.embed(["The first text takes longer."])
    walls = []
    for text in corpus.queries(20 if task.quick else 300, [one.content for one in corpus.facts(200)]):
        with Lap() as each:
            opened.embed([text])
        walls.append(each.wall_ms)
    return [
        figures.measured(f"load {opened.name}: wall", "ms", [lap.wall_ms]),
        figures.measured("embed a question of 3 to 8 words", "ms", walls),
    ]


def make(task: Task) -> list[Figure]:
    """Write `task.size` vectors and the questions' to the folder, for all that are measured."""
    opened, note = _source(task)
    texts = _paragraphs(_TEXTS_QUICK if task.quick else _TEXTS)
    asked = _QUERIES_QUICK if task.quick else QUERIES
    with Lap() as lap:
        whole = np.concatenate([embedded(opened, [text]) for text in texts])
    np.save(_queries_file(task.path), whole[:asked])
    pool = whole[asked:]
    source = np.random.Generator(np.random.PCG64(_SEED))
    rows = np.lib.format.open_memmap(_rows_file(task.path), "w+", np.float32, (task.size, DIMENSION))
    for start in range(0, task.size, _ROWS_AT_ONCE):
        end = min(start + _ROWS_AT_ONCE, task.size)
        rows[start:end] = pool[start:end] if end <= len(pool) else _between(source, pool, end - start)
    rows.flush()
    return [
        figures.measured(f"embed {len(texts):,} paragraphs: wall per text", "ms", [lap.wall_ms / len(texts)], note=note)
    ]


def _source(task: Task) -> tuple[Embedder, str]:
    settings = stage.chosen(task.path / "none.db", {"embedder_kind": "local"})
    if choose.ready(settings) is None:
        made = f"the vectors are of {_TEXTS:,} texts, the others lie between two of those each"
        return choose.open_embedder(settings), made
    # Whatever embedder the environment chooses, its vectors need not have as many numbers.
    return WordEmbedder(DIMENSION), "there is no local model: vectors are made of words, which have no meaning"


def _between(source: np.random.Generator, pool: Vectors, count: int) -> Vectors:
    first, second = source.integers(0, len(pool), (2, count))
    part = source.uniform(0.5, 0.95, (count, 1))
    noise = source.standard_normal((count, DIMENSION)) * (_NOISE / np.sqrt(DIMENSION))
    mixed = part * pool[first] + (1 - part) * pool[second] + noise
    made: Vectors = (mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype(np.float32)
    return made


def _paragraphs(count: int) -> list[str]:
    """Different paragraphs of docstrings of the standard library, in an order that has nothing to do with modules."""
    found: dict[str, None] = {}
    folder = Path(ast.__file__).parent
    for name in sorted(sys.stdlib_module_names):
        for path in _sources(folder, name):
            found.update(dict.fromkeys(_docstrings(path)))
    texts = sorted(found)
    random.Random(_SEED).shuffle(texts)  # noqa: S311 - repeatable, not secret
    if len(texts) < count:
        # An interpreter without its sources.
        texts += [text.content for text in corpus.facts(count - len(texts), label="paragraphs")]
    return texts[:count]


def _sources(folder: Path, name: str) -> list[Path]:
    if name in {"test", "idlelib", "lib2to3", "antigravity", "this"}:
        return []
    single = folder / f"{name}.py"
    return [single] if single.is_file() else sorted((folder / name).glob("**/*.py"))


def _docstrings(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return  # templates that are no Python
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for paragraph in (ast.get_docstring(node) or "").split("\n\n"):
                text = " ".join(paragraph.split())
                if _PARAGRAPH_CHARS[0] <= len(text) <= _PARAGRAPH_CHARS[1]:
                    yield text


def rows(folder: Path, size: int) -> NDArray[np.float32]:
    """The first `size` vectors, read as they are needed."""
    mapped: NDArray[np.float32] = np.load(_rows_file(folder), mmap_mode="r")[:size]
    return mapped


def queries(folder: Path) -> NDArray[np.float32]:
    """The vectors of the questions."""
    found: NDArray[np.float32] = np.load(_queries_file(folder))
    return found


def truth(folder: Path, size: int) -> list[set[int]]:
    """For each question, which of the first `size` vectors are really nearest."""
    asked, held = queries(folder), rows(folder, size)
    best = np.full((len(asked), 0), 0.0, dtype=np.float32)
    places = np.full((len(asked), 0), 0, dtype=np.int64)
    for start in range(0, size, _ROWS_AT_ONCE):
        cosines = asked @ held[start : start + _ROWS_AT_ONCE].T
        best = np.concatenate([best, cosines], axis=1)
        places = np.concatenate([places, np.tile(np.arange(cosines.shape[1]) + start, (len(asked), 1))], axis=1)
        kept = np.argsort(-best, axis=1, kind="stable")[:, :TOP_K]
        best, places = np.take_along_axis(best, kept, axis=1), np.take_along_axis(places, kept, axis=1)
    return [set(row) for row in places.tolist()]


class Made:
    """An embedder that has the vectors of known texts already, under the name of the one that is asked later."""

    def __init__(self, name: str, folder: Path, texts: Sequence[str]) -> None:
        self.name = name
        self._rows = rows(folder, len(texts))
        self._places = {text: place for place, text in enumerate(texts)}

    def embed(self, texts: Sequence[str], /) -> Any:
        """One row for each text; one that is unknown gets that of the first."""
        return self._rows[[self._places.get(text, 0) for text in texts]]


def fill(task: Task) -> list[Figure]:
    """Store facts, find their entities, and only then store their vectors, so that the last part is these alone."""
    texts = [content(number, text) for number, text in enumerate(corpus.facts(task.size))]
    with stage.meant(_file(task), Made(model.VERSION, task.path, texts)) as app, asyncio.Runner() as loop:
        spread = (corpus.Text(corpus.project(number % corpus.PROJECTS), text) for number, text in enumerate(texts))
        loop.run(stage.store(app, spread))
        while loop.run(app.context.meaning.extract()):
            pass
        with Lap() as lap:
            loop.run(app.call(EmbedFacts()))
    return [figures.measured(insert_name(task.size), "ms", [lap.wall_ms / task.size])]


def probe(task: Task) -> list[Figure]:
    """Find the nearest in the file that `fill` made."""
    with stage.meant(_file(task)) as app, asyncio.Runner() as loop:
        return loop.run(_figures(app, task, VectorIndex(model.VERSION)))


async def _figures(app: App, task: Task, index: VectorIndex) -> list[Figure]:
    chosen, given = Filters(projects=None).condition()
    visible, bindings = View(as_of=times.now()).condition()
    narrow = Narrow(sql=f"{chosen} AND {visible}", bindings={**given, **bindings}, projects=None, believed=True)

    def measure(tx: Tx) -> list[Figure]:
        with Lap() as lap:
            index.catch_up(tx)
        found = [figures.measured(f"vectors of {task.size:,} facts: load from segments", "ms", [lap.wall_ms])]

        def nearest(query: NDArray[np.float32]) -> list[int]:
            return [near.revision_id for near in index.nearest(tx, query, PASSAGE, TOP_K, narrow)]

        def places(rows: Sequence[int]) -> set[int]:
            return {_number(str(value(tx, "SELECT content FROM revision WHERE id = ?", (row,)))) for row in rows}

        return found + searched(task.path, task.size, nearest, places, judged=True)

    return await app.context.database.read(measure)


def content(number: int, text: corpus.Text) -> str:
    """The content of the fact that has the vector of this number."""
    return f"{number}: {text.content}"


def _number(text: str) -> int:
    return int(text.split(":", 1)[0])


def insert_name(size: int) -> str:
    """The name of the figure for storing vectors."""
    return f"vectors of {size:,} facts: insert, wall per vector"


def searched(
    folder: Path,
    size: int,
    nearest: Callable[[NDArray[np.float32]], Sequence[int]],
    places: Callable[[Sequence[int]], set[int]] = set,
    *,
    judged: bool = False,
) -> list[Figure]:
    """The figures of finding the nearest ten of `size` vectors; `places` turns what was found into their numbers."""
    asked = queries(folder)
    nearest(asked[0])  # the first opens what is opened once
    walls, answers = [], []
    for query in asked:
        started = time.perf_counter()
        answers.append(nearest(query))
        walls.append((time.perf_counter() - started) * 1e3)
    # Before the right answers are worked out: that takes memory which is not the index's.
    held = _resident(size)
    right = truth(folder, size)
    shares = [len(places(found) & wanted) / len(wanted) for found, wanted in zip(answers, right, strict=True)]
    rounds = [walls[first::3] for first in range(3)]
    name = f"vectors of {size:,} facts"
    limit = _EXPECTED_MS.get(size) if judged else None
    mean = [sum(shares) / len(shares)]
    return [
        figures.measured(
            f"{name}: p50", "ms", _percentiles(rounds, 50), None if limit is None else figures.below(limit)
        ),
        figures.measured(f"{name}: p95", "ms", _percentiles(rounds, 95)),
        figures.measured(f"{name}: recall@10", "of 1", mean, _recall_target(size) if judged else None),
        held,
    ]


def _resident(size: int) -> Figure:
    name, held = f"vectors of {size:,} facts: memory of the process", clock.resident_mib()
    if held is None:
        return figures.not_measured(name, "MiB", "this system does not tell")
    return figures.measured(name, "MiB", [held])


def _file(task: Task) -> Path:
    return stage.facts_file(task.path, task.size)


def _recall_target(size: int) -> Target | None:
    return figures.at_least(_EXPECTED_RECALL) if size in _EXPECTED_MS else None


def _percentiles(rounds: list[list[float]], percent: int) -> list[float]:
    return [figures.percentile(round_, percent) for round_ in rounds]


def _rows_file(folder: Path) -> Path:
    return folder / "vectors.npy"


def _queries_file(folder: Path) -> Path:
    return folder / "queries.npy"
