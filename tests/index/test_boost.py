"""Boosts: what is recent and vouched for is lifted, by a stated formula."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.index.boost import boosted

AGES = st.floats(0, 1e6)
SCORES = st.floats(1e-6, 1e3)


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ({}, 1.0),
        ({"age_days": None}, 1.0),
        ({"age_days": 0}, 1.2),
        ({"age_days": 30}, 1.1),
        ({"age_days": 60}, 1.05),
        ({"age_days": -5}, 1.2),
        ({"age_days": 1e9}, 1.0),
        ({"consensus_score": 1}, 1.0),
        ({"consensus_score": 2}, 1.5),
        ({"consensus_score": 0}, 0.5),
        ({"age_days": 30, "consensus_score": 2}, 1.65),
    ],
)
def test_the_formula_is_as_stated(given_: dict[str, float | None], expected: float) -> None:
    assert expected == pytest.approx(boosted(1.0, **given_), rel=1e-12)


@given(SCORES, AGES, AGES)
def test_of_two_that_fit_alike_the_younger_is_not_behind(score: float, one: float, other: float) -> None:
    younger, older = sorted((one, other))

    assert boosted(score, age_days=younger) >= boosted(score, age_days=older)


@given(SCORES, AGES)
def test_recency_alone_lifts_by_a_fifth_at_most(score: float, age: float) -> None:
    assert score <= boosted(score, age_days=age) <= score * 1.2 * (1 + 1e-12)
