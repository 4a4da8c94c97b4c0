"""A benchmark as lines for people."""

from collections.abc import Iterator, Sequence

from cortex.bench.figures import Benchmark, Figure, Machine, Peer

_GAP = "  "
_HEAD = ("", "median", "low to high", "n", "target", "")


def lines(result: Benchmark) -> Iterator[str]:
    """Everything that the result holds."""
    yield f"Suite {result.suite}, {result.started_at[:10]}, {result.seconds:g} s"
    yield _machine(result.machine)
    yield ""
    yield from _table([_row(figure) for figure in result.figures])
    yield from _notes(result.figures)
    for peer in result.peers:
        yield ""
        yield from _peer(peer)


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
    ratios = {ratio.name: f"{_number(ratio.value)} times" for ratio in peer.ratios}
    yield from _table([(*_row(figure)[:4], ratios.get(figure.name, ""), figure.verdict) for figure in peer.figures], "")
    yield from _notes(peer.figures)


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


def _table(rows: list[tuple[str, ...]], target: str = _HEAD[4]) -> Iterator[str]:
    whole = [(*_HEAD[:4], target, _HEAD[5]), *rows]
    widths = [max(len(row[column]) for row in whole) for column in range(len(_HEAD))]
    for row in whole:
        cells = [cell.rjust(width) if column in {1, 3} else cell.ljust(width)
                 for column, (cell, width) in enumerate(zip(row, widths, strict=True))]  # fmt: skip
        yield _GAP.join(cells).rstrip()
