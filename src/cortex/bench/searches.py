"""Filling a file with facts, searching it and recalling from it."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import islice

from cortex.app import App
from cortex.bench import clock, corpus, figures, stage
from cortex.bench.clock import Lap
from cortex.bench.figures import Figure, Target
from cortex.bench.task import Task
from cortex.ops.ledger import VerifyLedger
from cortex.ops.search import Recall, SearchFacts

SCOPES = ("one project", "all projects")

# What a search may take at most at these sizes, in ms.
_EXPECTED = {10_000: 5.0, 100_000: 15.0}
_SAMPLE = 2_000
_RECALLS = 20


def fill(task: Task) -> list[Figure]:
    """Make the file that the other probes of this size read."""

    async def store(app: App) -> None:
        await stage.store(app, corpus.facts(task.size))

    with Lap() as lap:
        stage.run(stage.facts_file(task.path, task.size), store)
    return [figures.measured(load_name(task.size), "ms", [lap.wall_ms / task.size])]


def probe(task: Task) -> list[Figure]:
    """Search and recall in a file of `task.size` facts, and verify all of it."""
    with stage.opened(stage.facts_file(task.path, task.size)) as app, asyncio.Runner() as loop:
        return _figures(app, loop, task)


def load_name(size: int) -> str:
    """The name of the figure for filling a store."""
    return f"load {size:,} facts in batches of 1,000: wall per fact"


def rounds_of(size: int, *, quick: bool) -> list[list[str]]:
    """The queries, by round."""
    known = [text.content for text in islice(corpus.facts(size), _SAMPLE)]
    return _in_rounds(lambda count: corpus.queries(count, known), quick=quick)


def _in_rounds(make: Callable[[int], list[str]], *, quick: bool) -> list[list[str]]:
    count, rounds = (10, 2) if quick else (100, 3)
    found = make(count * rounds)
    return [found[first : first + count] for first in range(0, len(found), count)]


def latencies(
    size: int, scope: str, rounds: list[list[str]], ask: Callable[[str], object], *, target: Target | None = None
) -> list[Figure]:
    """The figures of searching: what half and what nearly all questions take at most, round by round."""
    walls, cpus = [], []
    for queries in rounds:
        laps = []
        for query in queries:
            with Lap() as lap:
                ask(query)
            laps.append(lap)
        walls.append([lap.wall_ms for lap in laps])
        cpus.append(sum(lap.cpu_ms for lap in laps) / len(laps))
    name = f"search {size:,} facts, {scope}"
    half = [figures.percentile(round_, 50) for round_ in walls]
    nearly_all = [figures.percentile(round_, 95) for round_ in walls]
    return [
        figures.measured(f"{name}: p50", "ms", half, target),
        figures.measured(f"{name}: p95", "ms", nearly_all),
        figures.measured(f"{name}: CPU, mean", "ms", cpus),
    ]


def memory_figure(size: int) -> Figure:
    """The resident memory of this process, which has searched that many facts."""
    name, unit = f"memory of the process that searched {size:,} facts", "MiB"
    resident = clock.resident_mib()
    if resident is None:
        return figures.not_measured(name, unit, "this system does not tell")
    return figures.measured(name, unit, [resident])


def _figures(app: App, loop: asyncio.Runner, task: Task) -> list[Figure]:
    rounds = rounds_of(task.size, quick=task.quick)
    found: list[Figure] = []
    for scope in SCOPES:
        ask = _search(app, loop, everywhere=scope == "all projects")
        ask(rounds[0][0])
        found += latencies(task.size, scope, rounds, ask, target=_target(task.size))
    frequent = _in_rounds(corpus.frequent_queries, quick=task.quick)
    everywhere = _search(app, loop, everywhere=True)
    found += latencies(task.size, "all projects, frequent words", frequent, everywhere, target=_target(task.size))
    found.append(memory_figure(task.size))
    name = f"recall from {task.size:,} facts"
    found.append(_recall(app, loop, f"{name}, by a query", rounds[0][:_RECALLS]))
    found.append(_recall(app, loop, f"{name}, without a query", [None] * (_RECALLS // 2)))
    with Lap() as lap:
        report = loop.run(app.call(VerifyLedger(text=True)))
    note = "" if report.ok else f"{len(report.findings)} findings"
    found.append(figures.measured(f"verify {task.size:,} facts, text included: CPU", "ms", [lap.cpu_ms], note=note))
    return found


def _search(app: App, loop: asyncio.Runner, *, everywhere: bool) -> Callable[[str], object]:
    return lambda query: loop.run(app.call(SearchFacts(query=query, all_projects=everywhere)))


def _recall(app: App, loop: asyncio.Runner, name: str, queries: Sequence[str | None]) -> Figure:
    walls = []
    for query in queries:
        with Lap() as lap:
            loop.run(app.call(Recall(query=query)))
        walls.append(lap.wall_ms)
    return figures.measured(name, "ms", walls)


def _target(size: int) -> Target | None:
    expected = _EXPECTED.get(size)
    return None if expected is None else figures.below(expected)
