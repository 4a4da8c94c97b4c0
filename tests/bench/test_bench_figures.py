"""Figures: medians with their spread, and what is met or missed."""

import msgspec
import pytest

from cortex.bench import figures
from cortex.bench.figures import Benchmark, Machine, Peer
from cortex.bench.table import lines


@pytest.mark.parametrize(
    ("target", "value", "verdict"),
    [
        (figures.at_most(5), 5, "met"),
        (figures.at_most(5), 5.1, "missed"),
        (figures.below(5), 4.9, "met"),
        (figures.below(5), 5, "missed"),
        (figures.at_least(5), 5, "met"),
        (figures.at_least(5), 4.9, "missed"),
        (None, 5, ""),
    ],
)
def test_a_figure_says_whether_its_target_is_met(
    target: figures.Target | None, value: float, verdict: figures.Verdict
) -> None:
    figure = figures.measured("a", "ms", [value], target)

    assert verdict == figure.verdict


def test_a_figure_is_the_median_with_its_extremes() -> None:
    figure = figures.measured("a", "ms", [3.0, 1.0, 100.0])

    assert (3.0, 1.0, 100.0, 3) == (figure.value, figure.low, figure.high, figure.samples)


def test_figures_claim_four_digits_at_most() -> None:
    figure = figures.measured("a", "ms", [1.234567])

    assert 1.235 == figure.value


@pytest.mark.parametrize(("percent", "expected"), [(50, 5), (95, 10), (100, 10), (1, 1)])
def test_percentiles_are_of_the_nearest_rank(percent: int, expected: float) -> None:
    assert expected == figures.percentile([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], percent)


def test_what_was_not_measured_says_why() -> None:
    shown = "\n".join(lines(benchmark(figures.not_measured("a", "ms", "no such thing", figures.below(1)))))

    assert "not measured" in shown
    assert "a: no such thing" in shown


def test_a_peer_that_is_missing_has_no_figures() -> None:
    shown = list(lines(benchmark(peer=Peer(name="other", version=None, figures=[], ratios=[], note="not installed"))))

    assert "other: not installed" == shown[-1]


def test_the_table_holds_every_figure_and_every_ratio() -> None:
    own = figures.measured("add", "ms", [1_234.0, 2_000.0, 1_000.0], figures.below(2))
    ratio = figures.measured("add", "times", [7.5])
    peer = Peer(name="other", version="1", figures=[figures.measured("add", "ms", [9.0])], ratios=[ratio])

    shown = [line.split() for line in lines(benchmark(own, peer=peer))]

    assert ["add", "1,234", "ms", "1,000", "to", "2,000", "3", "below", "2", "missed"] in shown
    assert ["add", "9", "ms", "1", "7.5", "times"] in shown


def test_a_result_survives_json() -> None:
    result = benchmark(figures.measured("a", "ms", [1.0], figures.below(2)))

    read = msgspec.json.decode(msgspec.json.encode(result), type=Benchmark)

    assert result == read


def benchmark(*found: figures.Figure, peer: Peer | None = None) -> Benchmark:
    sync = figures.measured("one sync", "ms", [0.1, 0.2])
    machine = Machine(cortex="1", python="3", sqlite="3", system="S", cpus=2, sync=sync)
    return Benchmark(
        suite="memory", started_at="2026-01-01T00:00:00.000000Z", seconds=1.0, machine=machine, figures=list(found),
        peers=[] if peer is None else [peer],
    )  # fmt: skip
