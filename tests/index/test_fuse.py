"""Laws of the fusion of ranked lists."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.index.fuse import ListName, Place, Ranked, fuse

NAMES: tuple[ListName, ...] = ("text", "text-window", "vector", "vector-window")

ids = st.lists(st.integers(1, 12), unique=True, max_size=12)
ranked = ids.map(lambda found: [(row_id, 1.0 - place / 100) for place, row_id in enumerate(found)])
lists = st.dictionaries(st.sampled_from(NAMES), ranked, min_size=1)
several = st.dictionaries(st.sampled_from(NAMES), ranked, min_size=2)


def test_a_score_is_the_sum_over_the_lists_of_one_by_five_plus_rank_where_first_in_all_is_one() -> None:
    fused = fuse({"text": [(7, 3.5), (8, 2.0), (9, 1.0)], "vector": [(8, 0.9), (7, 0.8), (6, 0.1)]}, "rrf")

    # (1/6 + 1/7) / (2/6), twice; then the third places: 1/8 / (2/6).
    assert [(7, 13 / 14), (8, 13 / 14), (6, 3 / 8), (9, 3 / 8)] == [(one.id, pytest.approx(one.score)) for one in fused]
    assert (Place("text", 1, 3.5), Place("vector", 2, 0.8)) == fused[0].places
    assert (Place("vector", 3, 0.1),) == fused[2].places


def test_scores_are_stretched_over_their_list_and_added_by_the_weights_of_the_lists() -> None:
    words = [(row_id, float(11 - row_id)) for row_id in range(1, 12)]  # from 10 to 0
    meaning = [(row_id, row_id / 20) for row_id in range(11, 0, -1)]  # from .55 to .05

    scores = {one.id: one.score for one in fuse({"text": words, "vector": meaning})}

    assert {1: 0.35, 11: 0.65} == {row_id: pytest.approx(scores[row_id]) for row_id in (1, 11)}
    assert 0.35 * 0.9 + 0.65 * 0.1 == pytest.approx(scores[2])


def test_the_last_of_a_short_list_of_vectors_is_worth_something() -> None:
    first, second = fuse({"text": [(1, 9.0), (2, 1.0)], "vector": [(1, 0.9), (2, 0.8)]})

    assert (1.0, pytest.approx(0.65 * 0.8 + 0.35 * 1 / 9)) == (first.score, second.score)


def test_what_only_one_of_two_lists_found_first_counts_by_the_weight_of_that_list() -> None:
    assert [0.5] == [one.score for one in fuse({"text": [(1, 9.0)], "vector": []}, "rrf")]
    assert [0.35] == [one.score for one in fuse({"text": [(1, 9.0)], "vector": []})]


def test_nothing_comes_of_no_list_and_of_empty_ones() -> None:
    assert [] == fuse({})
    assert [] == fuse({"text": []})
    assert [] == fuse({"text": [], "vector": []})


def test_a_list_alone_keeps_its_order_and_scores() -> None:
    fused = fuse({"vector": [(3, 0.5), (1, 0.5), (2, 0.25)]})

    assert [(3, 0.5), (1, 0.5), (2, 0.25)] == [(one.id, one.score) for one in fused]
    assert [1, 2, 3] == [one.places[0].rank for one in fused]


@given(several)
def test_scores_lie_above_zero_and_at_most_at_one_and_the_best_come_first(given_: Mapping[ListName, Ranked]) -> None:
    fused = fuse(given_)

    assert all(0 <= one.score <= 1 for one in fused)
    assert sorted(fused, key=lambda one: (-one.score, one.id)) == fused


@given(lists)
def test_every_result_of_every_list_comes_once_with_its_places(given_: Mapping[ListName, Ranked]) -> None:
    fused = fuse(given_)

    assert len(fused) == len({one.id for one in fused})
    places = {
        (name, rank, row_id, score) for name, list_ in given_.items() for rank, (row_id, score) in enumerate(list_, 1)
    }
    assert places == {(place.list, place.rank, one.id, place.score) for one in fused for place in one.places}


@given(several)
def test_the_order_of_the_lists_does_not_count(given_: Mapping[ListName, Ranked]) -> None:
    backward = fuse(dict(reversed(given_.items())))

    forward = fuse(given_)

    assert [one.id for one in forward] == [one.id for one in backward]
    assert [one.score for one in forward] == pytest.approx([one.score for one in backward])


@given(st.permutations(range(14)))
def test_the_same_ranks_in_other_lists_are_a_tie_and_the_lower_id_comes_first(places: list[int]) -> None:
    def holding(one: int, other: int) -> Ranked:
        found = [100 + place for place in range(14)]
        found[places[one]], found[places[other]] = 2, 1
        return [(row_id, 0.5) for row_id in found]

    fused = fuse({"text": holding(0, 1), "text-window": holding(1, 2), "vector": holding(2, 0)})

    tied = [(one.id, one.score) for one in fused if one.id in {1, 2}]
    assert [1, 2] == [row_id for row_id, _ in tied]
    assert tied[0][1] == tied[1][1]


@given(st.lists(st.sampled_from(NAMES), min_size=2, unique=True), ids.filter(bool))
def test_what_is_first_in_all_lists_has_the_score_one(names: list[ListName], found: list[int]) -> None:
    fused = fuse({name: [(row_id, 0.5) for row_id in found] for name in names}, "rrf")

    assert pytest.approx(1.0) == fused[0].score
    assert found == [one.id for one in fused]


@given(several, st.integers(1, 12))
def test_a_better_rank_never_lowers_a_score(given_: dict[ListName, Ranked], row_id: int) -> None:
    before = {one.id: one.score for one in fuse(given_)}

    raised = {name: sorted(list_, key=lambda one: one[0] != row_id) for name, list_ in given_.items()}

    assert before.get(row_id, 0) <= {one.id: one.score for one in fuse(raised)}.get(row_id, 0) + 1e-12
