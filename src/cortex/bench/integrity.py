"""Verifying a ledger: all of its entries, and only those that came since."""

from cortex.app import App
from cortex.bench import clock, corpus, figures, stage
from cortex.bench.clock import Lap
from cortex.bench.figures import Figure, Target
from cortex.bench.task import Task
from cortex.ops.ledger import VerifyLedger

_MORE = 1_000
_MILLION = 1_000_000
_EXPECTED_CPU_MS = {10_000: 100.0, _MILLION: 6_000.0}
_EXPECTED_PEAK_MIB = {_MILLION: 150.0}


def probe(task: Task) -> list[Figure]:
    """The integrity pass over the file of `task.size` facts, each of which is an entry."""
    return stage.run(stage.facts_file(task.path, task.size), lambda app: _figures(app, task))


async def _figures(app: App, task: Task) -> list[Figure]:
    rounds = 1 if task.size >= _MILLION else 2 if task.quick else 3
    name = f"integrity of {task.size:,} entries"
    whole = [await _verified(app, incremental=False) for _ in range(rounds)]
    peak = clock.peak_mib()
    since = []
    for number in range(rounds):
        await stage.store(app, corpus.facts(_MORE, label=f"more {number}"))
        since.append(await _verified(app, incremental=True))
    return [
        figures.measured(f"{name}: CPU", "ms", whole, _target(_EXPECTED_CPU_MS, task.size)),
        _peak(f"{name}: peak memory", peak, _target(_EXPECTED_PEAK_MIB, task.size)),
        figures.measured(f"{name}, {_MORE:,} entries later, incremental: CPU", "ms", since),
    ]


async def _verified(app: App, *, incremental: bool) -> float:
    with Lap() as lap:
        report = await app.call(VerifyLedger(text=False, incremental=incremental))
    assert report.ok, f"our own ledger verifies, found {report.findings[:1]}"
    return lap.cpu_ms


def _peak(name: str, peak: float | None, target: Target | None) -> Figure:
    if peak is None:
        return figures.not_measured(name, "MiB", "this system does not tell", target)
    return figures.measured(name, "MiB", [peak], target)


def _target(expected: dict[int, float], size: int) -> Target | None:
    value = expected.get(size)
    return None if value is None else figures.below(value)
