"""The suites: what each runs, in which order, and what it all comes to."""

import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from types import MappingProxyType

import msgspec
from msgspec import structs

from cortex import files, limits, times
from cortex.bench import attacks, figures, machine, peers, retrieval, scenarios, steps, trust_plots
from cortex.bench.figures import AttackRow, Benchmark, Figure
from cortex.bench.retrieval import Retrieval, RetrievalSets
from cortex.bench.steps import Counted, Options, Step
from cortex.errors import CortexError, Invalid
from cortex.progress import Progress, silent

_FACTS, _FACTS_QUICK = (10_000, 100_000), (200,)
_ENTRIES, _ENTRIES_QUICK = (10_000, 100_000), (200,)
_VOTES = (10_000, 1_000_000)
# What appending is measured at, beside the sizes that are verified: does it stay as fast?
_APPENDED, _APPENDED_QUICK = (1, 1_000, 100_000), (1,)
_PEERS = MappingProxyType({"memory": peers.PEERS, "vectors": peers.VECTOR_PEERS})
# Which options belong to which suite; `suite` and `quick` to all.
_BELONGS = MappingProxyType(
    {
        "memory": {"against", "facts", "entries"},
        "vectors": {"against", "facts"},
        "retrieval": {"data", "results"},
        "trust": {"plot"},
        "ledger": {"entries"},
    }
)

SUITES = tuple(_BELONGS)


def run(options: Options, progress: Progress = silent) -> Benchmark | Retrieval | RetrievalSets:
    """Measure on a throwaway folder, which is gone at the end, also after Ctrl-C. Blocks for minutes unless `quick`.

    Raises Invalid for options that name nothing known or do not belong to the suite, Unavailable where the disk has too
    little space or a plot is wanted without what draws it, Conflict where the plot's file exists.
    """
    _check(options)
    _check_plot(options)
    return retrieval.run(options, progress) if options.suite == "retrieval" else _figures(_sized(options), progress)


def _figures(chosen: Options, progress: Progress) -> Benchmark:
    started_at, started = times.now(), time.monotonic()
    versions = {name: peers.version(name) for name in chosen.against}
    own = _OWN[chosen.suite](chosen)
    others = {name: _THEIRS[chosen.suite](chosen, name) for name, installed in versions.items() if installed}
    told = Counted(progress, len(own) + sum(map(len, others.values())))
    with steps.throwaway(_bytes(chosen)) as folder:
        described = machine.describe(folder, quick=chosen.quick)
        found = steps.measured(own, folder, told, quick=chosen.quick)
        theirs = {name: steps.apart(each, folder / name, told, quick=chosen.quick) for name, each in others.items()}
        found += _plotted(chosen, folder)
        attacked = _attacked(folder)
    return Benchmark(
        suite=chosen.suite,
        started_at=started_at,
        seconds=round(time.monotonic() - started, 1),
        machine=described,
        figures=found,
        peers=[steps.peer(name, installed, theirs.get(name, []), found) for name, installed in versions.items()],
        attacks=attacked,
    )


def _check(options: Options) -> None:
    if options.suite not in SUITES:
        raise Invalid(f"there is no suite {options.suite!r}", f"there is {', '.join(SUITES)}")
    for name in ("against", "facts", "entries", "data", "results", "plot"):
        if getattr(options, name) and name not in _BELONGS[options.suite]:
            owners = [suite for suite, owned in _BELONGS.items() if name in owned]
            raise Invalid(f"the suite {options.suite} takes no --{name}", f"--suite {' or '.join(owners)} does")
    for name in options.against:
        if name not in _PEERS[options.suite]:
            raise Invalid(f"{name!r} cannot be measured", f"there is {', '.join(_PEERS[options.suite])}")
    for name, sizes in (("facts", options.facts), ("entries", options.entries)):
        if len(sizes) > limits.BENCH_SIZES_MAX or not all(0 < size <= limits.BENCH_FACTS_MAX for size in sizes):
            raise Invalid(
                f"{name} of {', '.join(map(str, sizes))}",
                f"at most {limits.BENCH_SIZES_MAX} sizes, each from 1 to {limits.BENCH_FACTS_MAX}",
            )


def _check_plot(options: Options) -> None:
    """Minutes of simulation are not to end with a picture that cannot be drawn."""
    if not options.plot:
        return
    target = Path(options.plot)
    trust_plots.form(target)
    files.refuse_existing(target)
    if not target.parent.is_dir():
        raise Invalid(f"there is no folder {target.parent}", "give a path in a folder that exists")


def _sized(options: Options) -> Options:
    facts = options.facts or (_FACTS_QUICK if options.quick else _FACTS)
    usual = _VOTES if options.suite == "ledger" else _ENTRIES
    entries = options.entries or (_ENTRIES_QUICK if options.quick else usual)
    taken = _BELONGS[options.suite]
    return structs.replace(
        options,
        against=tuple(dict.fromkeys(options.against)),
        facts=tuple(sorted(set(facts))) if "facts" in taken else (),
        entries=tuple(sorted(set(entries))) if "entries" in taken else (),
    )


def _bytes(options: Options) -> int:
    """What the disk must have free: the files of all sizes, and one peer after the other."""
    if options.suite == "ledger":
        return limits.BENCH_VOTE_BYTES * sum(_filled(options))
    own = limits.BENCH_FACT_BYTES * sum({*options.facts, *options.entries})
    if options.suite == "vectors":
        own += limits.BENCH_VECTOR_BYTES * sum(options.facts)
    return own + limits.BENCH_PEER_FACT_BYTES * bool(options.against) * sum(options.facts)


def _memory(options: Options) -> list[Step]:
    served = options.facts[0]
    found = [
        Step(name="storing", probe="stores"),
        Step(name="storing on a slow disk", probe="slow disk"),
        Step(name="storing from several processes", probe="processes"),
        Step(name="cortex --version", probe="version"),
    ]
    for size in sorted({*options.facts, *options.entries}):
        found.append(Step(name=f"loading {size:,} facts", probe="fill", size=size))
        if size in options.facts:
            found.append(Step(name=f"searching {size:,} facts", probe="searches", size=size))
        if size == served:
            found.append(Step(name="MCP server", probe="mcp", size=size))
        if size in options.entries:
            found.append(Step(name=f"integrity of {size:,} entries", probe="integrity", size=size))
    return found


def _memory_peer(options: Options, peer: str) -> list[Step]:
    searched = (Step(name=f"searching {n:,} facts", probe="peer searches", size=n, peer=peer) for n in options.facts)
    return list(chain([Step(name="storing", probe="peer stores", peer=peer)], searched))


def _vectors(options: Options) -> list[Step]:
    found = [
        Step(name="embedding", probe="embedder"),
        Step(name="making vectors", probe="make vectors", size=options.facts[-1]),
    ]
    for size in options.facts:
        found += [
            Step(name=f"storing vectors of {size:,} facts", probe="fill vectors", size=size),
            Step(name=f"vectors of {size:,} facts", probe="vectors", size=size),
            Step(name=f"hybrid search of {size:,} facts", probe="meaning", size=size),
            Step(name=f"first answer from {size:,} facts", probe="first answer", size=size),
            Step(name=f"MCP server on {size:,} facts", probe="mcp memory", size=size),
        ]
    return [*found, Step(name="graph", probe="graph", size=options.facts[0])]


def _vectors_peer(options: Options, peer: str) -> list[Step]:
    return [Step(name=f"vectors of {n:,} facts", probe="peer vectors", size=n, peer=peer) for n in options.facts]


def _trust(options: Options) -> list[Step]:
    seconds = limits.BENCH_SIMULATION_SECONDS
    found = [
        Step(name=scenario.name, probe="trust", mode=key, seconds=seconds)
        for key, scenario in scenarios.scenarios(quick=options.quick).items()
    ]
    if options.plot:
        found.append(Step(name="plot", probe="plot trust", mode=trust_plots.form(Path(options.plot))))
    return found


def _ledger(options: Options) -> list[Step]:
    return [
        Step(name="voting", probe="voting"),
        *(Step(name=f"a log of {size:,} votes", probe="fill votes", size=size) for size in _filled(options)),
        *(Step(name=f"integrity of {size:,} votes", probe="vote integrity", size=size) for size in options.entries),
        Step(name="appending", probe="append votes"),
        Step(name="attacks", probe="attacks", seconds=limits.BENCH_ATTACKS_SECONDS),
    ]


def _filled(options: Options) -> list[int]:
    """The sizes of votes logs that are needed."""
    return sorted({*(_APPENDED_QUICK if options.quick else _APPENDED), *options.entries})


def _plotted(options: Options, folder: Path) -> list[Figure]:
    """Give the picture the name that was asked for, where it was drawn. What was measured outlives a full disk."""
    drawn = trust_plots.plot_file(folder)
    if not options.plot or not drawn.exists():
        return []
    try:
        files.write_whole(Path(options.plot), drawn.read_bytes())
    except CortexError as error:
        return [figures.not_measured("plot", "", error.message)]
    return []


def _attacked(folder: Path) -> list[AttackRow]:
    """The table of attacks, where they were carried out."""
    left = attacks.table_file(folder)
    return msgspec.json.decode(left.read_bytes(), type=list[AttackRow]) if left.exists() else []


_OWN: MappingProxyType[str, Callable[[Options], list[Step]]] = MappingProxyType(
    {"memory": _memory, "vectors": _vectors, "trust": _trust, "ledger": _ledger}
)
_THEIRS: MappingProxyType[str, Callable[[Options, str], list[Step]]] = MappingProxyType(
    {"memory": _memory_peer, "vectors": _vectors_peer}
)
