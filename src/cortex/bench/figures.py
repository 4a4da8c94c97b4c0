"""What a benchmark says: figures with their spread and what is expected of them, and the machine they hold for."""

import statistics
from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

Verdict = Literal["met", "missed", "not measured", ""]


class Target(Struct, frozen=True, kw_only=True):
    """What is expected of a figure."""

    bound: Literal["at most", "below", "at least"]
    value: float

    def holds(self, value: float) -> bool:
        """Whether `value` meets it."""
        match self.bound:
            case "at most":
                return value <= self.value
            case "below":
                return value < self.value
            case "at least":
                return value >= self.value


class Figure(Struct, frozen=True, kw_only=True):
    """One measured figure, or why it was not measured."""

    name: str
    unit: str
    value: Annotated[float | None, Meta(description="The median of the samples; in the suite trust their mean.")]
    low: float | None
    high: float | None
    samples: int
    target: Target | None = None
    verdict: Annotated[Verdict, Meta(description="Whether the target is met; empty where there is none.")] = ""
    note: str = ""


class Machine(Struct, frozen=True, kw_only=True):
    """Where it was measured. `sync` is one 4 KiB write made durable on the disk that was used."""

    cortex: str
    python: str
    sqlite: str
    system: str
    cpus: int
    sync: Figure


class Peer(Struct, frozen=True, kw_only=True):
    """Another product, on the same work in the same run. `ratios` are its figures divided by those of Cortex."""

    name: str
    version: Annotated[str | None, Meta(description="None: not installed.")]
    figures: list[Figure]
    ratios: list[Figure]
    note: str = ""


class AttackRow(Struct, frozen=True, kw_only=True):
    """What is said of one attack on a votes ledger at one level, by those with one memory.

    `row` is that of the table of attacks in the design. `owner` are the codes of `cortex vote-ledger verify`, `facts`
    those of `cortex ledger verify`, `outsider` those of `verify.py` with a trust file on what the owner hands out. "-":
    nothing can be handed out, or no log is left to check; null: who only remembers has no bundle.
    """

    row: str
    attack: str
    level: str
    memory: str
    owner: list[str]
    facts: list[str]
    outsider: list[str] | None


class Benchmark(Struct, frozen=True, kw_only=True):
    """The result of one suite."""

    suite: str
    started_at: str
    seconds: float
    machine: Machine
    figures: list[Figure]
    peers: list[Peer]
    attacks: list[AttackRow] = []


def at_most(value: float) -> Target:
    """A target that `value` still meets."""
    return Target(bound="at most", value=value)


def below(value: float) -> Target:
    """A target that `value` no longer meets."""
    return Target(bound="below", value=value)


def at_least(value: float) -> Target:
    """A target from `value` on."""
    return Target(bound="at least", value=value)


def measured(name: str, unit: str, samples: Sequence[float], target: Target | None = None, note: str = "") -> Figure:
    """The figure of some samples: their median."""
    return _figure(name, unit, statistics.median(samples), samples, target, note)


def averaged(name: str, unit: str, samples: Sequence[float], target: Target | None = None, note: str = "") -> Figure:
    """The figure of some samples: their mean."""
    return _figure(name, unit, statistics.fmean(samples), samples, target, note)


def _figure(name: str, unit: str, value: float, samples: Sequence[float], target: Target | None, note: str) -> Figure:
    return Figure(
        name=name,
        unit=unit,
        value=_short(value),
        low=_short(min(samples)),
        high=_short(max(samples)),
        samples=len(samples),
        target=target,
        verdict="" if target is None else "met" if target.holds(value) else "missed",
        note=note,
    )


def not_measured(name: str, unit: str, why: str, target: Target | None = None) -> Figure:
    """A figure that there is none of, and why."""
    return Figure(
        name=name,
        unit=unit,
        value=None,
        low=None,
        high=None,
        samples=0,
        target=target,
        verdict="not measured",
        note=why,
    )


def percentile(samples: Sequence[float], percent: int) -> float:
    """The nearest-rank percentile."""
    ordered = sorted(samples)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def _short(value: float) -> float:
    """Four significant digits: more would claim what is not known."""
    return float(f"{value:.4g}")
