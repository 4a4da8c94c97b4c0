"""How well questions were answered: the measures, each with how far it may be off by the choice of the questions."""

import math
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from msgspec import Meta, Struct, field
from numpy.typing import NDArray

from cortex.bench import figures
from cortex.bench.questions import Question

TOP_K = 10
RESAMPLES = 1_000

_SEED = 20_260_101
_DIGITS = 4


class Answered(Struct, frozen=True):
    """What one question found, best first, and in how many milliseconds."""

    found: list[str]
    ms: float


class Judged(Struct, frozen=True):
    """The measures of one question."""

    recall_5: float = field(name="recall@5")
    recall_10: float = field(name="recall@10")
    any_5: float = field(name="any@5")
    mrr: float
    ndcg_10: float = field(name="ndcg@10")


class Spread(Struct, frozen=True):
    """A mean over the questions, and where it lies for 95 of 100 draws of as many questions from these."""

    mean: float
    low: float
    high: float


class Percentiles(Struct, frozen=True):
    """What half and what nearly all take at most."""

    p50: float
    p95: float


class Measures(Struct, frozen=True):
    """The measures over all questions."""

    recall_5: Spread = field(name="recall@5")
    recall_10: Spread = field(name="recall@10")
    any_5: Spread = field(name="any@5")
    mrr: Annotated[Spread, Meta(description="One divided by the place of the first right hit among the first ten.")]
    ndcg_10: Spread = field(name="ndcg@10")


class Scores(Measures, frozen=True):
    """The measures of one mode, and how long a search took."""

    latency_ms: Percentiles


MEASURES = Judged.__struct_fields__
NAMES = Judged.__struct_encode_fields__


def judge(question: Question, answered: Answered) -> Judged:
    """Compare what was found with what is right."""
    worths = [question.relevant.get(name, 0.0) for name in answered.found[:TOP_K]]
    places = [place for place, worth in enumerate(worths, 1) if worth > 0]
    in_5 = sum(place <= 5 for place in places)
    ideal = sorted(question.relevant.values(), reverse=True)[:TOP_K]
    return Judged(
        recall_5=in_5 / len(question.relevant),
        recall_10=len(places) / len(question.relevant),
        any_5=float(in_5 > 0),
        mrr=1 / places[0] if places else 0.0,
        ndcg_10=_discounted(worths) / _discounted(ideal),
    )


def score(judged: Sequence[Judged], answers: Sequence[Answered]) -> Scores:
    """All questions of one mode."""
    walls = [answered.ms for answered in answers]
    latency = Percentiles(_short(figures.percentile(walls, 50)), _short(figures.percentile(walls, 95)))
    return Scores(**_spreads(_table(judged)), latency_ms=latency)


def gain(better: Sequence[Judged], worse: Sequence[Judged]) -> Measures:
    """How much better one mode is on the same questions: where `low` is above 0, it is not by chance."""
    return Measures(**_spreads(_table(better) - _table(worse)))


def _discounted(worths: Sequence[float]) -> float:
    return math.fsum(worth / math.log2(place + 1) for place, worth in enumerate(worths, 1))


def _table(judged: Sequence[Judged]) -> NDArray[np.float64]:
    return np.array([[getattr(one, name) for name in MEASURES] for one in judged], dtype=np.float64)


def _spreads(table: NDArray[np.float64]) -> dict[str, Spread]:
    """For each measure, by bootstrap with the same draws for all measures and all modes."""
    count = len(table)
    source = np.random.Generator(np.random.PCG64(_SEED))
    draws = np.empty((RESAMPLES, table.shape[1]))
    for number in range(RESAMPLES):
        times = np.bincount(source.integers(0, count, count), minlength=count)
        draws[number] = times @ table / count
    lows, highs = np.percentile(draws, (2.5, 97.5), axis=0)
    columns = zip(MEASURES, table.mean(axis=0), lows, highs, strict=True)
    return {name: Spread(*(round(float(value), _DIGITS) for value in values)) for name, *values in columns}


def _short(value: float) -> float:
    return float(f"{value:.4g}")
