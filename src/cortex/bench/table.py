"""A benchmark as lines for people."""

from collections.abc import Collection, Iterator, Sequence

from cortex.bench.figures import AttackRow, Benchmark, Figure, Machine, Peer
from cortex.bench.retrieval import MODES, Measured, Retrieval, RetrievalSets
from cortex.bench.scores import MEASURES, NAMES, Measures, Scores, Spread
from cortex.bench.trust import COLUMNS
from cortex.cli import terminal

_GAP = "  "
_HEAD = ("", "median", "low to high", "n", "target", "")


def lines(result: Benchmark | Retrieval | RetrievalSets) -> Iterator[str]:
    """Everything that the result holds."""
    yield f"Suite {result.suite}, {result.started_at[:10]}, {result.seconds:g} s"
    yield _machine(result.machine)
    match result:
        case Benchmark():
            yield from _figures(result)
        case Retrieval():
            yield from _scored(result)
        case RetrievalSets():
            for one in result.sets:
                yield from _scored(one)


def _figures(result: Benchmark) -> Iterator[str]:
    yield ""
    if result.suite == "trust":
        yield from _simulated(result.figures)
        return
    yield from _table([_HEAD, *(_row(figure) for figure in result.figures)])
    yield from _notes(result.figures)
    yield from _attacks(result.attacks)
    for peer in result.peers:
        yield ""
        yield from _peer(peer)


def _attacks(rows: Sequence[AttackRow]) -> Iterator[str]:
    """A row for each attack and level, and one for each memory that finds more."""
    if not rows:
        return
    yield ""
    yield "Attacks on a votes ledger: what its owner is told, and an outsider of what the owner hands out"
    shown: list[tuple[str, ...]] = [("", "attack", "level", "memory", "owner", "outsider")]
    without: AttackRow | None = None
    for row in rows:
        alone = without is None or (row.attack, row.level) != (without.attack, without.level)
        if alone:
            without = row
        elif without is not None and row.owner == without.owner and row.outsider in (None, without.outsider):
            continue
        owner = [*row.owner, *(f"{code} (facts)" for code in row.facts)]
        names = (row.row, row.attack, row.level) if alone else ("", "", "")
        outsider = "" if row.outsider is None else " ".join(row.outsider) or "nothing"
        shown.append((*names, row.memory, " ".join(owner) or "nothing", outsider))
    yield from _table(shown, right=())


def _simulated(figures: Sequence[Figure]) -> Iterator[str]:
    """A row for each scenario. What is no measure of one follows, as a plot that was not drawn."""
    scenarios: dict[str, dict[str, Figure]] = {}
    others = []
    for figure in figures:
        scenario, _, measure = figure.name.rpartition(": ")
        if measure in COLUMNS:
            scenarios.setdefault(scenario, {})[measure] = figure
        else:
            others.append(figure)
    yield "Wrong verdicts in percent of what the column says, mean of the runs (lowest to highest)"
    head = ("", *COLUMNS.values(), "target", "")
    rows = [
        (scenario, *(_mean(found.get(measure)) for measure in COLUMNS), *_bar(found))
        for scenario, found in scenarios.items()
    ]
    yield from _table([head, *rows], right=set(range(1, len(COLUMNS) + 1)))
    yield from _notes(others)


def _mean(figure: Figure | None) -> str:
    if figure is None or figure.value is None:
        return "" if figure is None else "-"
    if figure.unit != "%":
        return f"{_number(figure.value)} {figure.unit}"
    value = f"{figure.value:.2f}"
    if figure.target is None or figure.low is None or figure.high is None:
        return value
    return f"{value} ({figure.low:.2f} to {figure.high:.2f})"


def _bar(found: dict[str, Figure]) -> tuple[str, str]:
    for measure, figure in found.items():
        if figure.target is not None:
            return f"{COLUMNS[measure]} {figure.target.bound} {_number(figure.target.value)}", figure.verdict
    return "", ""


def _machine(found: Machine) -> str:
    sync = found.sync
    return (
        f"Cortex {found.cortex}, Python {found.python}, SQLite {found.sqlite}, {found.system}, {found.cpus} CPUs, "
        f"{sync.name}: {_number(sync.value)} ms ({_spread(sync)})"
    )


def _peer(peer: Peer) -> Iterator[str]:
    if peer.version is None:
        yield f"{peer.name}: {peer.note}"
        return
    yield f"{peer.name} {peer.version}, and how many times the figure of Cortex that is"
    ratios = {ratio.name: (f"{_number(ratio.value)} times", _judged(ratio)) for ratio in peer.ratios}
    rows = [(*_row(figure)[:4], *ratios.get(figure.name, ("", figure.verdict))) for figure in peer.figures]
    yield from _table([(*_HEAD[:4], "", _HEAD[5]), *rows])
    yield from _notes(peer.figures)


def _judged(ratio: Figure) -> str:
    """What a ratio was to be and whether it is; empty where nothing was said of it."""
    if ratio.target is None:
        return ""
    return f"{ratio.target.bound} {_number(ratio.target.value)}: {ratio.verdict}"


def _scored(found: Measured) -> Iterator[str]:
    yield ""
    size = f"{found.questions:,} questions about {found.facts:,} facts"
    yield f"{terminal.printable(found.data)} ({found.format}): {size}"
    if found.left_out:
        yield f"left out: {', '.join(f'{count} {what}' for what, count in found.left_out.items())}"
    scores = {mode: getattr(found, mode) for mode in MODES}
    gains = {"hybrid - text": found.hybrid_minus_text, "hybrid - semantic": found.hybrid_minus_semantic}
    rows = [_scores(name, one) for name, one in (scores | gains).items() if one is not None]
    yield from _table([("", *NAMES, "p50", "p95"), *rows], right={6, 7})
    yield from found.notes


def _scores(name: str, found: Measures) -> tuple[str, ...]:
    spreads: list[Spread] = [getattr(found, measure) for measure in MEASURES]
    shown = (f"{one.mean:.3f} ({one.low:.3f} to {one.high:.3f})" for one in spreads)
    if not isinstance(found, Scores):
        return (name, *shown, "", "")
    return (name, *shown, f"{_number(found.latency_ms.p50)} ms", f"{_number(found.latency_ms.p95)} ms")


def _row(figure: Figure) -> tuple[str, ...]:
    target = "" if figure.target is None else f"{figure.target.bound} {_number(figure.target.value)}"
    if figure.value is None:
        return figure.name, "-", "", "", target, figure.verdict
    value = f"{_number(figure.value)} {figure.unit}"
    return figure.name, value, _spread(figure), str(figure.samples), target, figure.verdict


def _notes(figures: Sequence[Figure]) -> Iterator[str]:
    for figure in figures:
        if figure.note:
            yield f"{figure.name}: {figure.note}"


def _spread(figure: Figure) -> str:
    return "" if figure.samples < 2 else f"{_number(figure.low)} to {_number(figure.high)}"


def _number(value: float | None) -> str:
    """A figure as people read it: no exponent, thousands apart."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:g}"


def _table(rows: list[tuple[str, ...]], right: Collection[int] = frozenset({1, 3})) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.rjust(width) if column in right else cell.ljust(width)
                 for column, (cell, width) in enumerate(zip(row, widths, strict=True))]  # fmt: skip
        yield _GAP.join(cells).rstrip()
