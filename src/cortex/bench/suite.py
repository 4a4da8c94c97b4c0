"""The suites: what each runs, in which order, and what it all comes to."""

import time
from collections.abc import Callable
from itertools import chain
from types import MappingProxyType

from msgspec import structs

from cortex import limits, times
from cortex.bench import machine, peers, retrieval, steps
from cortex.bench.figures import Benchmark
from cortex.bench.retrieval import Retrieval, RetrievalSets
from cortex.bench.steps import Counted, Options, Step
from cortex.errors import Invalid
from cortex.progress import Progress, silent

_FACTS, _FACTS_QUICK = (10_000, 100_000), (200,)
_ENTRIES, _ENTRIES_QUICK = (10_000, 100_000), (200,)
_PEERS = MappingProxyType({"memory": peers.PEERS, "vectors": peers.VECTOR_PEERS, "retrieval": ()})
# Which options belong to which suite; `suite` and `quick` to all.
_BELONGS = MappingProxyType(
    {
        "memory": {"against", "facts", "entries"},
        "vectors": {"against", "facts"},
        "retrieval": {"data", "results"},
    }
)

SUITES = tuple(_BELONGS)


def run(options: Options, progress: Progress = silent) -> Benchmark | Retrieval | RetrievalSets:
    """Measure on a throwaway folder, which is gone at the end, also after Ctrl-C. Blocks for minutes unless `quick`.

    Raises Invalid for options that name nothing known or do not belong to the suite, Unavailable where the disk has too
    little space.
    """
    _check(options)
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
    return Benchmark(
        suite=chosen.suite,
        started_at=started_at,
        seconds=round(time.monotonic() - started, 1),
        machine=described,
        figures=found,
        peers=[steps.peer(name, installed, theirs.get(name, []), found) for name, installed in versions.items()],
    )


def _check(options: Options) -> None:
    if options.suite not in SUITES:
        raise Invalid(f"there is no suite {options.suite!r}", f"there is {', '.join(SUITES)}")
    for name in ("against", "facts", "entries", "data", "results"):
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


def _sized(options: Options) -> Options:
    facts = options.facts or (_FACTS_QUICK if options.quick else _FACTS)
    entries = options.entries or (_ENTRIES_QUICK if options.quick else _ENTRIES)
    return structs.replace(
        options,
        against=tuple(dict.fromkeys(options.against)),
        facts=tuple(sorted(set(facts))),
        entries=tuple(sorted(set(entries))) if options.suite == "memory" else (),
    )


def _bytes(options: Options) -> int:
    """What the disk must have free: the files of all sizes, and one peer after the other."""
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


_OWN: MappingProxyType[str, Callable[[Options], list[Step]]] = MappingProxyType(
    {"memory": _memory, "vectors": _vectors}
)
_THEIRS: MappingProxyType[str, Callable[[Options, str], list[Step]]] = MappingProxyType(
    {"memory": _memory_peer, "vectors": _vectors_peer}
)
