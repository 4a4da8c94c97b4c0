"""The suite `trust`: how often the rules of votes let a wrong verdict pass, by simulation. One probe a scenario."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import MappingProxyType

import msgspec

from cortex.bench import figures, scenarios, simulation
from cortex.bench.figures import Figure, Target
from cortex.bench.simulation import SimulatedRun, Verdicts
from cortex.bench.task import Task

_BARS = MappingProxyType({"decided": figures.at_most(2.5), "targets": figures.at_most(8)})
_TAKEN_OVER = 0.5

# What is shown of a scenario, under which short name: of the verdicts of the weighted rule, then of the linear one.
COLUMNS = MappingProxyType(
    {
        "wrong of the decided": "decided",
        "wrong of all": "all",
        "wrong of the targets": "targets",
        "wrong of the decided targets": "decided targets",
        "undecided": "undecided",
        "taken over": "taken over",
        "linear rule, wrong of the decided": "linear: decided",
        "linear rule, wrong of the targets": "linear: targets",
        "linear rule, undecided": "linear: undecided",
    }
)

Share = Callable[[Verdicts], tuple[int, int]]


def probe(task: Task) -> list[Figure]:
    """All runs of the scenario that `task.mode` names, and their results in a file for plots."""
    chosen = scenarios.scenarios(quick=task.quick)[task.mode]
    seeds, facts = sizes(quick=task.quick)
    runs = [simulation.simulate(chosen, seed, facts) for seed in range(seeds)]
    runs_file(task.path, task.mode).write_bytes(msgspec.json.encode(runs))
    return _figures(chosen, runs)


def sizes(*, quick: bool) -> tuple[int, int]:
    """How many runs there are of each scenario, and with how many facts."""
    if quick:
        return scenarios.SEEDS_QUICK, scenarios.FACTS_QUICK
    return scenarios.SEEDS, scenarios.FACTS


def runs_file(folder: Path, key: str) -> Path:
    """Where the runs of a scenario are kept until the end of a benchmark."""
    return folder / f"runs {key}.json"


def _figures(chosen: scenarios.Scenario, runs: Sequence[SimulatedRun]) -> list[Figure]:
    weighted, linear = [run.weighted for run in runs], [run.linear for run in runs]
    shares: list[tuple[str, list[Verdicts], Share, Target | None]] = [
        ("wrong of the decided", weighted, _of_decided, _BARS["decided"] if chosen.bar == "decided" else None),
        ("wrong of all", weighted, _of_all, None),
        ("undecided", weighted, _undecided, None),
    ]
    targeted = bool(runs[0].weighted.targets) and not chosen.everywhere and (chosen.liars or chosen.identities)
    if targeted:
        shares += [
            ("wrong of the targets", weighted, _of_targets, _BARS["targets"] if chosen.bar == "targets" else None),
            ("wrong of the decided targets", weighted, _of_decided_targets, None),
        ]
    shares += [
        ("linear rule, wrong of the decided", linear, _of_decided, None),
        ("linear rule, undecided", linear, _undecided, None),
    ]
    if targeted:
        shares.append(("linear rule, wrong of the targets", linear, _of_targets, None))
    found = [_share(f"{chosen.name}: {what}", among, share, target) for what, among, share, target in shares]
    return [*found, _taken_over(chosen, weighted)] if chosen.liars or chosen.identities else found


def _share(name: str, among: list[Verdicts], share: Share, target: Target | None) -> Figure:
    """The mean over the runs, in percent; a run without anything to have a share of does not count."""
    parts = [share(one) for one in among]
    percents = [100 * part / whole for part, whole in parts if whole]
    if not percents:
        return figures.not_measured(name, "%", "there were none", target)
    return figures.averaged(name, "%", percents, target)


def _taken_over(chosen: scenarios.Scenario, weighted: list[Verdicts]) -> Figure:
    """How many runs ended with most of what was attacked decided as the attackers wished."""
    lost = sum(one.targets_wrong > _TAKEN_OVER * one.targets for one in weighted)
    return figures.measured(f"{chosen.name}: taken over", f"of {len(weighted)} runs", [lost])


def _of_decided(found: Verdicts) -> tuple[int, int]:
    return found.wrong, found.decided


def _of_all(found: Verdicts) -> tuple[int, int]:
    return found.wrong, found.facts


def _undecided(found: Verdicts) -> tuple[int, int]:
    return found.facts - found.decided, found.facts


def _of_targets(found: Verdicts) -> tuple[int, int]:
    return found.targets_wrong, found.targets


def _of_decided_targets(found: Verdicts) -> tuple[int, int]:
    return found.targets_wrong, found.targets_decided
