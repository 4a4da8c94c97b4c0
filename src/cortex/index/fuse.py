"""Several ranked lists become one. Pure.

`scores`, the default, is a convex combination: the scores of a list's first LIST_DEPTH results are stretched to reach
from 0 to 1, and added with a weight for each kind of list (Bruch, Gai and Ingber, "An analysis of fusion functions for
hybrid retrieval", TOIS 2023). `rrf` is reciprocal rank fusion with C = 5 (Cormack, Clarke and Büttcher, SIGIR 2009):
each list gives 1 / (C + rank). Either way the sum is divided by what the first place in every list would give: 1 means
first in all.

Ranks hide how far the first result of a list is ahead of the second. On the sets of docs/benchmarks.md reciprocal ranks
find fewer of the relevant results among the first five than vectors alone do; the combination finds more.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

from cortex import limits

C = 5

ListName: TypeAlias = Literal["text", "text-window", "vector", "vector-window"]
Fusion: TypeAlias = Literal["scores", "rrf"]
Ranked: TypeAlias = Sequence[tuple[int, float]]

# A list of vectors with less results than this gives its last result something too.
SHORT = 10
# Words that stand in every other fact have scores about 0: stretched to 1 they would count as much as a rare name.
BM25_MIN = 0.01
_WORDS = frozenset({"text", "text-window"})
WEIGHTS: Mapping[ListName, float] = {"text": 0.35, "text-window": 0.35, "vector": 0.65, "vector-window": 0.65}


@dataclass(frozen=True)
class Place:
    """Where one list has a result: its rank, from 1, and its score in that list's own measure."""

    list: ListName
    rank: int
    score: float


@dataclass(frozen=True)
class Fused:
    """A result of the fusion with its place in each list that has it."""

    id: int
    score: float
    places: tuple[Place, ...]


def fuse(
    lists: Mapping[ListName, Ranked],
    how: Fusion = "scores",
    unjudged: Mapping[int, frozenset[ListName]] = MappingProxyType({}),
) -> list[Fused]:
    """The results of all lists, best first; equal scores in the order of their ids.

    `unjudged` has, for results that some lists could not judge (they are not embedded yet), the names of those lists:
    such a result is measured by the others alone.

    A list is (id, score) pairs, best first, each id once. One list alone keeps its own scores. Empty lists count as
    lists: a result that only one of two could find is half as sure.
    """
    if len(lists) == 1:
        ((name, ranked),) = lists.items()
        return [Fused(id_, score, (Place(name, rank, score),)) for rank, (id_, score) in enumerate(ranked, 1)]
    worth = {name: _stretched(name, ranked) if how == "scores" else _reciprocal for name, ranked in lists.items()}
    best = {name: WEIGHTS[name] if how == "scores" else _reciprocal(1, 0.0) for name in lists}
    if how == "scores" and _top(lists, "text-window") < BM25_MIN <= _top(lists, "text"):
        # A few windows in which the words stand everywhere tell nothing apart, while the facts do.
        worth["text-window"], best["text-window"] = _nothing, 0.0
    whole = sum(best.values())
    places: dict[int, list[Place]] = {}
    for name, ranked in lists.items():
        for rank, (id_, score) in enumerate(ranked, 1):
            places.setdefault(id_, []).append(Place(name, rank, score))
    # Rounded, so that the order in which numbers were added makes no difference.
    fused = [
        Fused(
            id_,
            round(
                sum(worth[one.list](one.rank, one.score) for one in found)
                / (whole - sum(best.get(name, 0.0) for name in unjudged.get(id_, ()))),
                9,
            ),
            tuple(found),
        )
        for id_, found in places.items()
    ]
    return sorted(fused, key=lambda one: (-one.score, one.id))


def _top(lists: Mapping[ListName, Ranked], name: ListName) -> float:
    ranked = lists.get(name)
    return ranked[0][1] if ranked else BM25_MIN


def _nothing(_: int, __: float) -> float:
    return 0.0


def _reciprocal(rank: int, _: float) -> float:
    return 1 / (C + rank)


def _stretched(name: ListName, ranked: Ranked) -> Callable[[int, float], float]:
    """What a score of this list is worth: its weight for the best, nothing for the last that counts.

    A list of words that is not full has all facts with these words: nothing is what a fact without them gets. In a list
    of a few vectors stands all there is, and its last need not be a bad one.
    """
    counted = ranked[: limits.LIST_DEPTH]
    if not counted:
        return lambda _, __: 0.0
    weight, most, least, floor = WEIGHTS[name], counted[0][1], counted[-1][1], 0.0
    if name in _WORDS:
        least = 0.0 if len(counted) < limits.LIST_DEPTH else least
        reach = max(most - least, BM25_MIN)
    else:
        floor = max(0.0, 1 - len(counted) / SHORT)
        reach = most - least
    if reach <= 0:
        return lambda _, score: weight if score >= most else 0.0
    return lambda _, score: weight * (floor + (1 - floor) * (score - least) / reach) if score >= least else 0.0
