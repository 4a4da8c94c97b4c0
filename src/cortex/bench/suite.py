"""The suite `memory`: what is run, in which order, and what it all comes to."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from msgspec import Struct

from cortex import limits, times
from cortex.bench import figures, machine, peers
from cortex.bench.figures import Benchmark, Figure, Peer
from cortex.bench.probing import measure
from cortex.bench.task import Task
from cortex.errors import Invalid, Unavailable
from cortex.progress import Progress, silent

SUITES = ("memory",)

_FACTS, _FACTS_QUICK = (10_000, 100_000), (200,)
_ENTRIES, _ENTRIES_QUICK = (10_000, 100_000), (200,)


class Options(Struct, frozen=True, kw_only=True):
    """What to measure. Sizes left empty are those of the suite."""

    suite: str = "memory"
    against: tuple[str, ...] = ()
    facts: tuple[int, ...] = ()
    entries: tuple[int, ...] = ()
    quick: bool = False


class _Step(Struct, frozen=True, kw_only=True):
    """One probe, under the name that its absence is told with."""

    name: str
    probe: str
    size: int = 0
    peer: str = ""


def run(options: Options, progress: Progress = silent) -> Benchmark:
    """Measure on a throwaway folder, which is gone at the end, also after Ctrl-C. Blocks for minutes unless `quick`.

    Raises Invalid for options that name nothing known, Unavailable where the disk has too little space.
    """
    chosen = _chosen(options)
    started_at, started = times.now(), time.monotonic()
    versions = {name: peers.version(name) for name in chosen.against}
    own = _own_steps(chosen)
    others = {name: _peer_steps(chosen, name) for name, installed in versions.items() if installed}
    told = _Told(progress, len(own) + sum(map(len, others.values())))
    with _folder(chosen) as folder:
        described = machine.describe(folder, quick=chosen.quick)
        found = _measured(own, folder, told, quick=chosen.quick)
        theirs = {name: _apart(steps, folder / name, told, quick=chosen.quick) for name, steps in others.items()}
    return Benchmark(
        suite=chosen.suite,
        started_at=started_at,
        seconds=round(time.monotonic() - started, 1),
        machine=described,
        figures=found,
        peers=[_peer(name, installed, theirs.get(name, []), found) for name, installed in versions.items()],
    )


class _Told:
    """Progress, counted in steps."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def step(self) -> None:
        """One more is done."""
        self._done += 1
        self._progress(self._done, self._total, "measurements")


def _chosen(options: Options) -> Options:
    if options.suite not in SUITES:
        raise Invalid(f"there is no suite {options.suite!r}", f"there is {', '.join(SUITES)}")
    for name in options.against:
        if name not in peers.PEERS:
            raise Invalid(f"{name!r} cannot be measured", f"there is {', '.join(peers.PEERS)}")
    facts = options.facts or (_FACTS_QUICK if options.quick else _FACTS)
    entries = options.entries or (_ENTRIES_QUICK if options.quick else _ENTRIES)
    for name, sizes in (("facts", facts), ("entries", entries)):
        if len(sizes) > limits.BENCH_SIZES_MAX or not all(0 < size <= limits.BENCH_FACTS_MAX for size in sizes):
            raise Invalid(
                f"{name} of {', '.join(map(str, sizes))}",
                f"at most {limits.BENCH_SIZES_MAX} sizes, each from 1 to {limits.BENCH_FACTS_MAX}",
            )
    return Options(
        suite=options.suite,
        against=tuple(dict.fromkeys(options.against)),
        facts=tuple(sorted(set(facts))),
        entries=tuple(sorted(set(entries))),
        quick=options.quick,
    )


@contextmanager
def _folder(options: Options) -> Iterator[Path]:
    needed = limits.BENCH_FACT_BYTES * sum({*options.facts, *options.entries}) + limits.BENCH_SPARE_BYTES
    needed += limits.BENCH_PEER_FACT_BYTES * len(options.against) * sum(options.facts)
    place = tempfile.gettempdir()
    free = shutil.disk_usage(place).free
    if free < needed:
        raise Unavailable(
            f"{free >> 20} MiB are free in {place}, {needed >> 20} MiB may be needed",
            "set TMPDIR to a folder with more, or measure fewer facts",
        )
    with tempfile.TemporaryDirectory(prefix="cortex-benchmark-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def _own_steps(options: Options) -> list[_Step]:
    served = options.facts[0]
    steps = [
        _Step(name="storing", probe="stores"),
        _Step(name="storing on a slow disk", probe="slow disk"),
        _Step(name="storing from several processes", probe="processes"),
        _Step(name="cortex --version", probe="version"),
    ]
    for size in sorted({*options.facts, *options.entries}):
        steps.append(_Step(name=f"loading {size:,} facts", probe="fill", size=size))
        if size in options.facts:
            steps.append(_Step(name=f"searching {size:,} facts", probe="searches", size=size))
        if size == served:
            steps.append(_Step(name="MCP server", probe="mcp", size=size))
        if size in options.entries:
            steps.append(_Step(name=f"integrity of {size:,} entries", probe="integrity", size=size))
    return steps


def _peer_steps(options: Options, peer: str) -> list[_Step]:
    searched = (_Step(name=f"searching {n:,} facts", probe="peer searches", size=n, peer=peer) for n in options.facts)
    return list(chain([_Step(name="storing", probe="peer stores", peer=peer)], searched))


def _measured(steps: list[_Step], folder: Path, told: _Told, *, quick: bool) -> list[Figure]:
    found: list[Figure] = []
    for step in steps:
        answer = measure(Task(probe=step.probe, folder=str(folder), quick=quick, size=step.size, peer=step.peer))
        found += [figures.not_measured(step.name, "", answer.failed)] if answer.failed else answer.figures
        told.step()
    return found


def _apart(steps: list[_Step], folder: Path, told: _Told, *, quick: bool) -> list[Figure]:
    """Measured in a folder that is gone before the next peer needs the space."""
    folder.mkdir()
    try:
        return _measured(steps, folder, told, quick=quick)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _peer(name: str, version: str | None, found: list[Figure], own: list[Figure]) -> Peer:
    if version is None:
        return Peer(name=name, version=None, figures=[], ratios=[], note="not installed")
    known = {figure.name: figure for figure in own}
    ratios = [_ratio(figure, known[figure.name]) for figure in found if figure.name in known]
    return Peer(name=name, version=version, figures=found, ratios=[ratio for ratio in ratios if ratio is not None])


def _ratio(theirs: Figure, ours: Figure) -> Figure | None:
    """How many times our figure theirs is; the spread is that of both."""
    if not theirs.value or not theirs.low or not theirs.high or not ours.value or not ours.low or not ours.high:
        return None
    value, *spread = (
        float(f"{a / b:.3g}") for a, b in ((theirs.value, ours.value), (theirs.low, ours.high), (theirs.high, ours.low))
    )
    samples = min(theirs.samples, ours.samples)
    return Figure(name=theirs.name, unit="times", value=value, low=spread[0], high=spread[1], samples=samples)
