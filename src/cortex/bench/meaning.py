"""Searching by words and meaning at once, from the process's start to its memory, with the embedding included."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cortex.app import App
from cortex.bench import corpus, figures, searches, stage, startup
from cortex.bench.clock import Lap
from cortex.bench.figures import Figure, Target
from cortex.bench.task import Task
from cortex.embed import choose
from cortex.errors import Unavailable
from cortex.ops.embed import EmbedFacts
from cortex.ops.facts import StoreFacts
from cortex.ops.search import SearchFacts

_BATCH = 100

_HYBRID_MS = {10_000: 6.0, 100_000: 12.0}
_FIRST_MS = {100_000: 250.0}
_MCP_MIB = {100_000: (190.0, 100.0)}
_REPEATED_MS = 0.05
_BATCH_MS = 250.0
_REPEATS = 200


def probe(task: Task) -> list[Figure]:
    """Search the file that the vectors are in, each question once; then one of them again; then store and find."""
    with _embedding(task) as app, asyncio.Runner() as loop:
        found: list[Figure] = []
        rounds = searches.rounds_of(task.size, quick=task.quick)
        for scope in searches.SCOPES:
            ask = _search(app, loop, everywhere=scope == "all projects")
            ask("a question to open the files and to load the model")
            found += _hybrid(task.size, scope, rounds, ask)
        found.append(_repeated(app, loop, rounds[0][0]))
        found.append(searches.memory_figure(task.size))
    return [*found, _stored(task)]


def first(task: Task) -> list[Figure]:
    """From the start of a process to its first answer, model included and not."""
    path = stage.facts_file(task.path, task.size)
    with _embedding(task):
        pass
    wholes, loads = [], []
    for _ in range(2 if task.quick else 5):
        whole, load = _answered(path)
        wholes.append(whole)
        loads.append(load)
    name = f"first answer from {task.size:,} facts"
    without = [whole - load for whole, load in zip(wholes, loads, strict=True)]
    return [
        figures.measured(f"{name}: from the start of the process", "ms", wholes),
        figures.measured(f"{name}: loading the model", "ms", loads),
        figures.measured(f"{name}: less loading the model", "ms", without, _below(_FIRST_MS.get(task.size))),
    ]


def served(task: Task) -> list[Figure]:
    """The memory of the MCP server, with the embedder and without."""
    expected = _MCP_MIB.get(task.size, (None, None))
    with _embedding(task):
        pass
    found = []
    for embedding, most in zip((True, False), expected, strict=True):
        name = f"MCP server on {task.size:,} facts, {'with' if embedding else 'without'} the embedder: memory"
        found.append(startup.memory_figure(task, name, _below(most), embedding=embedding))
    return found


def _answered(path: Path) -> tuple[float, float]:
    """One process: ms until its answer, and ms of these that loading the model took."""
    with Lap() as lap:
        process = subprocess.Popen(  # noqa: S603 - our own process
            [sys.executable, "-m", "cortex.bench.first", str(path)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        line = process.stdout.readline()
    with process:
        process.communicate()
    if process.returncode or not line:
        raise Unavailable(f"the process ended with {process.returncode}")
    return lap.wall_ms, float(line)


@contextmanager
def _embedding(task: Task) -> Iterator[App]:
    """Cortex on the file of the vectors, once there is an embedder to search it with."""
    path = stage.facts_file(task.path, task.size)
    chosen = stage.chosen(path, {})
    why = choose.ready(chosen) if chosen.embedder_kind == "local" else "it is measured with the local model alone"
    if why is not None:
        raise Unavailable(why)
    with stage.meant(path) as app:
        yield app


def _hybrid(size: int, scope: str, rounds: list[list[str]], ask: Callable[[str], object]) -> list[Figure]:
    expected = _HYBRID_MS.get(size) if scope == "all projects" else None
    return searches.latencies(size, f"{scope}, hybrid", rounds, ask, target=_below(expected))


def _search(app: App, loop: asyncio.Runner, *, everywhere: bool) -> Callable[[str], object]:
    def ask(query: str) -> None:
        found = loop.run(app.call(SearchFacts(query=query, all_projects=everywhere)))
        if found.mode != "hybrid" or found.pending:
            raise Unavailable(f"searched as {found.mode}, {found.pending} facts pending: {' '.join(found.notes)}")

    return ask


def _repeated(app: App, loop: asyncio.Runner, query: str) -> Figure:
    request = SearchFacts(query=query, all_projects=True)

    async def again() -> list[float]:
        await app.call(request)
        walls = []
        for _ in range(_REPEATS):
            with Lap() as lap:
                await app.call(request)
            walls.append(lap.wall_ms)
        return walls

    return figures.measured("the same question again", "ms", loop.run(again()), figures.below(_REPEATED_MS))


def _stored(task: Task) -> Figure:
    """A batch of short facts in an empty file, until all of them are embedded; the model is loaded already."""
    walls = []
    with stage.meant(task.path / f"batches-{task.size}.db") as app, asyncio.Runner() as loop:
        loop.run(app.call(StoreFacts(facts=stage.new_facts(corpus.facts(1, label="opening")))))
        loop.run(app.call(EmbedFacts()))
        for number in range(2 if task.quick else 5):
            batch = stage.new_facts(corpus.facts(_BATCH, label=f"batch {number}"))
            with Lap() as lap:
                loop.run(app.call(StoreFacts(facts=batch)))
                left = loop.run(app.call(EmbedFacts())).pending
            if left:
                raise Unavailable(f"{left} facts were not embedded")
            walls.append(lap.wall_ms)
    return figures.measured(f"{_BATCH} facts stored and to be found by meaning", "ms", walls, figures.below(_BATCH_MS))


def _below(value: float | None) -> Target | None:
    return None if value is None else figures.below(value)
