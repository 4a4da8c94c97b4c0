"""The picture of the suite `trust`, drawn by matplotlib: reputations over time, and wrong verdicts."""

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from cortex.bench import peers, scenarios, trust
from cortex.bench.figures import Figure
from cortex.bench.simulation import SimulatedRun
from cortex.bench.task import Task
from cortex.errors import Invalid, Unavailable

FORMATS = ("svg", "png")

_GROUPS = MappingProxyType(
    {
        "honest": ("honest agents", "tab:green"),
        "liar": ("liars", "tab:red"),
        "identity": ("identities", "tab:purple"),
    }
)
_OVER_TIME = ("liars on each target, mixed", "many camouflaged", "truthful")
_DOTS_PER_INCH = 120


def form(target: Path) -> str:
    """The format that a file's name asks for. Raises Invalid for another, Unavailable without matplotlib."""
    found = target.suffix.removeprefix(".").lower()
    if found not in FORMATS:
        raise Invalid(f"{target.name} is neither .svg nor .png", "give a name that ends in one of them")
    if peers.version("matplotlib") is None:
        raise Unavailable("matplotlib is not installed, and plots take it", "pip install 'cortex-memory[plots]'")
    return found


def plot_file(folder: Path) -> Path:
    """Where the picture is until the end of a benchmark."""
    return folder / "plot"


def probe(task: Task) -> list[Figure]:
    """Draw the runs that the other probes left, in the format that `task.mode` names."""
    # It keeps a list of fonts, which is to be gone with the folder.
    os.environ["MPLCONFIGDIR"] = str(task.path)
    matplotlib = importlib.import_module("matplotlib")
    drawing = importlib.import_module("matplotlib.figure")
    # Names of parts of an SVG are made from a salt; without a date the same runs give the same bytes.
    matplotlib.rcParams["svg.hashsalt"] = "cortex"
    page = drawing.Figure(figsize=(14, 11), layout="constrained")
    above, below = page.subfigures(2, 1, height_ratios=(1, 1.4))
    chosen = scenarios.scenarios(quick=task.quick)
    kept = {key: trust.runs_file(task.path, key) for key in chosen}
    runs = {
        key: msgspec.json.decode(path.read_bytes(), type=list[SimulatedRun])
        for key, path in kept.items()
        if path.exists()
    }
    panels = above.subplots(1, len(_OVER_TIME), sharey=True)
    for panel, key in zip(panels, _OVER_TIME, strict=True):
        _over_time(panel, chosen[key].name, runs.get(key, []))
    panels[0].set_ylabel("reputation, mean of a group")
    _wrong(below.subplots(), runs)
    told = {"metadata": {"Date": None}} if task.mode == "svg" else {"metadata": {"Software": None}}
    page.savefig(plot_file(task.path), format=task.mode, dpi=_DOTS_PER_INCH, **told)
    return []


def _over_time(panel: Any, name: str, runs: Sequence[SimulatedRun]) -> None:
    """A line for the mean over the runs, in a band from the lowest to the highest."""
    panel.set_title(name.replace(", ", ",\n"), fontsize=9)
    panel.set_xlabel("day")
    panel.set_ylim(0, 1)
    groups = runs[0].history[0].means if runs else {}
    for group in groups:
        told, colour = _GROUPS[group]
        looks = list(zip(*(run.history for run in runs), strict=False))
        days = [each[0].day for each in looks]
        values = [[look.means[group] for look in each] for each in looks]
        low, high = [min(each) for each in values], [max(each) for each in values]
        panel.plot(days, [sum(each) / len(each) for each in values], color=colour, label=told)
        panel.fill_between(days, low, high, color=colour, alpha=0.2)
    if groups:
        panel.legend(loc="best", fontsize=8)


def _wrong(panel: Any, runs: dict[str, list[SimulatedRun]]) -> None:
    """A pair of bars for each scenario, with a whisker from the lowest run to the highest."""
    shown = {key: found for key, found in runs.items() if found}
    for offset, rule, colour in ((-0.2, "weighted", "tab:blue"), (0.2, "linear", "tab:orange")):
        places, means, whiskers = [], [], []
        for place, found in enumerate(shown.values()):
            verdicts = [getattr(run, rule) for run in found]
            percents = [100 * one.wrong / one.decided for one in verdicts if one.decided]
            if percents:
                mean = sum(percents) / len(percents)
                places.append(place + offset)
                means.append(mean)
                whiskers.append((mean - min(percents), max(percents) - mean))
        low, high = ([each[side] for each in whiskers] for side in (0, 1))
        panel.barh(places, means, height=0.38, xerr=(low, high), color=colour, label=f"{rule} rule", capsize=2)
    panel.set_yticks(range(len(shown)), [found[0].scenario for found in shown.values()], fontsize=8)
    panel.invert_yaxis()
    panel.set_xlabel("wrong verdicts, % of the decided facts")
    panel.legend(loc="upper right", fontsize=8)
