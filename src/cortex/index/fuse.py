"""Several ranked lists become one: reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009). Pure.

A result's score is the sum over the lists of 1 / (C + its rank there), divided by what the first place in every list
would give: 1 means first in all of them. C is 5: with the usual 60 the first places count for so little that the fusion
of dialogue turns was worse than BM25 alone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

C = 5

ListName: TypeAlias = Literal["text", "text-window", "vector", "vector-window"]
Ranked: TypeAlias = Sequence[tuple[int, float]]


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


def fuse(lists: Mapping[ListName, Ranked], *, c: int = C) -> list[Fused]:
    """The results of all lists, best first; equal scores in the order of their ids.

    A list is (id, score) pairs, best first, each id once. Empty lists count as lists: a result that only one of two
    could find is half as sure.
    """
    if len(lists) == 1:
        ((name, ranked),) = lists.items()
        return [Fused(id_, score, (Place(name, rank, score),)) for rank, (id_, score) in enumerate(ranked, 1)]
    places: dict[int, list[Place]] = {}
    for name, ranked in lists.items():
        for rank, (id_, score) in enumerate(ranked, 1):
            places.setdefault(id_, []).append(Place(name, rank, score))
    best = len(lists) / (c + 1)
    # fsum: the same ranks in other lists are a tie, and a sum that is rounded on its way depends on the order.
    fused = [
        Fused(id_, math.fsum(1 / (c + place.rank) for place in found) / best, tuple(found))
        for id_, found in places.items()
    ]
    return sorted(fused, key=lambda one: (-one.score, one.id))
