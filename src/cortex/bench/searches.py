"""Filling a file with facts, searching it and recalling from it."""

from collections.abc import Awaitable, Callable
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


def fill(task: Task) -> list[Figure]:
    """Make the file that the other probes of this size read."""

    async def store(app: App) -> None:
        await stage.store(app, corpus.facts(task.size))

    with Lap() as lap:
        stage.run(stage.facts_file(task.path, task.size), store)
    return [figures.measured(load_name(task.size), "ms", [lap.wall_ms / task.size])]


def probe(task: Task) -> list[Figure]:
    """Search and recall in a file of `task.size` facts, and verify all of it."""
    return stage.run(stage.facts_file(task.path, task.size), lambda app: _figures(app, task))


def load_name(size: int) -> str:
    """The name of the figure for filling a store."""
    return f"load {size:,} facts in batches of 1,000: wall per fact"


def rounds_of(size: int, *, quick: bool) -> list[list[str]]:
    """The queries, by round."""
    count, rounds = (10, 2) if quick else (100, 3)
    known = [text.content for text in islice(corpus.facts(size), _SAMPLE)]
    found = corpus.queries(count * rounds, known)
    return [found[first : first + count] for first in range(0, len(found), count)]


async def latencies(
    size: int, scope: str, rounds: list[list[str]], ask: Callable[[str], Awaitable[object]], *, judged: bool
) -> list[Figure]:
    """The figures of searching: what half and what nearly all questions take at most, round by round."""
    walls, cpus = [], []
    for queries in rounds:
        laps = []
        for query in queries:
            with Lap() as lap:
                await ask(query)
            laps.append(lap)
        walls.append([lap.wall_ms for lap in laps])
        cpus.append(sum(lap.cpu_ms for lap in laps) / len(laps))
    name = f"search {size:,} facts, {scope}"
    half = [figures.percentile(round_, 50) for round_ in walls]
    nearly_all = [figures.percentile(round_, 95) for round_ in walls]
    return [
        figures.measured(f"{name}: p50", "ms", half, _target(size) if judged else None),
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


async def _figures(app: App, task: Task) -> list[Figure]:
    rounds = rounds_of(task.size, quick=task.quick)
    found: list[Figure] = []
    for scope in SCOPES:
        ask = _search(app, everywhere=scope == "all projects")
        await ask(rounds[0][0])
        found += await latencies(task.size, scope, rounds, ask, judged=True)
    found.append(memory_figure(task.size))
    found.append(await _recall(app, task, [query for round_ in rounds for query in round_][:20]))
    with Lap() as lap:
        report = await app.call(VerifyLedger(text=True))
    note = "" if report.ok else f"{len(report.findings)} findings"
    found.append(
        figures.measured(f"verify {task.size:,} facts, text included: CPU", "ms", [lap.cpu_ms], note=note)
    )
    return found


def _search(app: App, *, everywhere: bool) -> Callable[[str], Awaitable[object]]:
    async def ask(query: str) -> object:
        return await app.call(SearchFacts(query=query, project=None, all_projects=everywhere))

    return ask


async def _recall(app: App, task: Task, queries: list[str]) -> Figure:
    walls = []
    for query in (None, *queries):
        with Lap() as lap:
            await app.call(Recall(query=query))
        walls.append(lap.wall_ms)
    return figures.measured(f"recall from {task.size:,} facts", "ms", walls)


def _target(size: int) -> Target | None:
    expected = _EXPECTED.get(size)
    return None if expected is None else figures.below(expected)
