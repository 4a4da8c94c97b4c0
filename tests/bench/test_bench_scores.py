"""Scores: known answers, and what holds of any."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.bench import scores
from cortex.bench.questions import Question
from cortex.bench.scores import Answered, Judged

RELEVANT = {"a": 1.0, "b": 1.0}


def judged(found: str, relevant: dict[str, float] = RELEVANT) -> Judged:
    return scores.judge(Question("1", "?", relevant), Answered(list(found), 1.0))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ("ab", Judged(1.0, 1.0, 1.0, 1.0, 1.0)),
        ("xb", Judged(0.5, 0.5, 1.0, 0.5, (1 / math.log2(3)) / (1 + 1 / math.log2(3)))),
        ("vwxyza", Judged(0.0, 0.5, 0.0, 1 / 6, (1 / math.log2(7)) / (1 + 1 / math.log2(3)))),
        ("vwxyz", Judged(0.0, 0.0, 0.0, 0.0, 0.0)),
        ("", Judged(0.0, 0.0, 0.0, 0.0, 0.0)),
        ("0123456789ab", Judged(0.0, 0.0, 0.0, 0.0, 0.0)),
    ],
)
def test_a_question_is_judged_by_the_places_of_its_answers(found: str, expected: Judged) -> None:
    assert expected == judged(found)


def test_a_better_answer_counts_for_more() -> None:
    graded = {"a": 2.0, "b": 1.0}

    assert 1.0 == judged("ab", graded).ndcg_10
    assert (1 + 2 / math.log2(3)) / (2 + 1 / math.log2(3)) == pytest.approx(judged("ba", graded).ndcg_10)


@given(found=st.lists(st.sampled_from("abcdefghijklmnop"), unique=True, max_size=10))
def test_measures_are_shares_and_agree_with_each_other(found: list[str]) -> None:
    one = judged("".join(found))

    assert all(0 <= getattr(one, name) <= 1 for name in scores.MEASURES)
    assert one.recall_5 <= one.recall_10
    assert (one.recall_5 > 0) == (one.any_5 == 1)
    assert (one.recall_10 > 0) == (one.mrr > 0) == (one.ndcg_10 > 0)


def test_a_mean_lies_within_its_bounds_and_repeats() -> None:
    some = [judged("ab")] * 30 + [judged("xy")] * 10
    answers = [Answered([], float(number)) for number in range(40)]

    first, again = scores.score(some, answers), scores.score(some, answers)

    assert first == again
    assert 0.75 == first.recall_5.mean
    assert 0.55 < first.recall_5.low < 0.75 < first.recall_5.high < 0.9
    assert (19.0, 37.0) == (first.latency_ms.p50, first.latency_ms.p95)


def test_where_all_questions_are_alike_nothing_is_uncertain() -> None:
    found = scores.score([judged("ab")] * 5, [Answered([], 1.0)] * 5)

    assert scores.Spread(1.0, 1.0, 1.0) == found.ndcg_10


def test_what_is_gained_is_told_from_chance() -> None:
    better, worse = [judged("ab")] * 20, [judged("ab")] * 10 + [judged("xy")] * 10

    gained, nothing = scores.gain(better, worse), scores.gain(worse, worse)

    assert gained.recall_10.low > 0
    assert scores.Spread(0.0, 0.0, 0.0) == nothing.recall_10
