"""What the suites share: the options, the throwaway folder, and probes run one after the other and told of."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from msgspec import Struct

from cortex import limits
from cortex.bench import figures
from cortex.bench.figures import Figure, Peer
from cortex.bench.probing import measure
from cortex.bench.task import Task
from cortex.errors import Unavailable
from cortex.progress import Progress

# How many times our figure that of a peer is to be.
_EXPECTED_TIMES = MappingProxyType({("chromadb", "vectors of 10,000 facts: p50"): figures.at_least(4)})


class Options(Struct, frozen=True, kw_only=True):
    """What to measure. Sizes left empty are those of the suite."""

    suite: str = "memory"
    against: tuple[str, ...] = ()
    facts: tuple[int, ...] = ()
    entries: tuple[int, ...] = ()
    data: str = ""
    results: str = ""
    plot: str = ""
    quick: bool = False


class Step(Struct, frozen=True, kw_only=True):
    """One probe, under the name that its absence is told with."""

    name: str
    probe: str
    size: int = 0
    peer: str = ""
    mode: str = ""
    seconds: int = limits.BENCH_PROBE_SECONDS


class Counted:
    """Progress, counted in steps."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def step(self) -> None:
        """One more is done."""
        self._done += 1
        self._progress(self._done, self._total, "measurements")


@contextmanager
def throwaway(needed: int) -> Iterator[Path]:
    """A folder that is gone at the end, also after Ctrl-C. Raises Unavailable where `needed` bytes are not free."""
    needed += limits.BENCH_SPARE_BYTES
    place = tempfile.gettempdir()
    free = shutil.disk_usage(place).free
    if free < needed:
        raise Unavailable(
            f"{free >> 20} MiB are free in {place}, {needed >> 20} MiB may be needed",
            "set TMPDIR to a folder with more, or measure fewer facts",
        )
    with tempfile.TemporaryDirectory(prefix="cortex-benchmark-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def measured(steps: list[Step], folder: Path, told: Counted, *, quick: bool) -> list[Figure]:
    """The figures of all steps; one that fails says why instead."""
    found: list[Figure] = []
    for step in steps:
        answer = measure(
            Task(
                probe=step.probe,
                folder=str(folder),
                quick=quick,
                size=step.size,
                peer=step.peer,
                mode=step.mode,
                seconds=step.seconds,
            )
        )
        found += [figures.not_measured(step.name, "", answer.failed)] if answer.failed else answer.figures
        told.step()
    return found


def apart(steps: list[Step], folder: Path, told: Counted, *, quick: bool) -> list[Figure]:
    """Measured in a folder that is gone before the next peer needs the space."""
    folder.mkdir()
    try:
        return measured(steps, folder, told, quick=quick)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def peer(name: str, version: str | None, found: list[Figure], own: list[Figure]) -> Peer:
    """What a peer came to, beside our own figures of the same names."""
    if version is None:
        return Peer(name=name, version=None, figures=[], ratios=[], note="not installed")
    known = {figure.name: figure for figure in own}
    ratios = [_ratio(name, figure, known[figure.name]) for figure in found if figure.name in known]
    return Peer(name=name, version=version, figures=found, ratios=[ratio for ratio in ratios if ratio is not None])


def _ratio(name: str, theirs: Figure, ours: Figure) -> Figure | None:
    """How many times our figure theirs is; the spread is that of both."""
    if not theirs.value or not theirs.low or not theirs.high or not ours.value or not ours.low or not ours.high:
        return None
    value, *spread = (
        float(f"{a / b:.3g}") for a, b in ((theirs.value, ours.value), (theirs.low, ours.high), (theirs.high, ours.low))
    )
    target = _EXPECTED_TIMES.get((name, theirs.name))
    return Figure(
        name=theirs.name,
        unit="times",
        value=value,
        low=spread[0],
        high=spread[1],
        samples=min(theirs.samples, ours.samples),
        target=target,
        verdict="" if target is None else "met" if target.holds(value) else "missed",
    )
