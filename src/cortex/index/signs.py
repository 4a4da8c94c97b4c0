"""Sign bits of vectors in memory, and the ones that differ least from a query's: a candidate list, not a ranking.

Columns of 64 bits each, so that one comparison runs over all vectors at once. 70 bytes a vector of 384 numbers.
"""

import numpy as np
from numpy.typing import NDArray

_GROWTH = 1.5
_START = 1_024
# Above this part of all, counting over everything is cheaper than gathering those that count.
_DENSE = 4
# Up to so many numbers, comparing with one after the other is many times faster than `isin`.
_FEW = 16
# Above this part of all, the places of removed vectors are given back.
_SPARSE = 4

Ints = NDArray[np.int64]


class Signs:
    """The sign bits of vectors in the order of their ids. Adding and removing need the caller's lock; searching not.

    What a search sees is fixed when it takes the arrays: they are only ever extended behind its end, replaced by
    others, or blanked where a vector was removed.
    """

    def __init__(self, words: int) -> None:
        self._count = 0
        self._ids = np.empty(0, dtype=np.int64)
        self._revisions = np.empty(0, dtype=np.int64)
        self._projects = np.empty(0, dtype=np.int32)
        self._believed = np.empty(0, dtype=np.bool_)
        self._columns = np.empty((words, 0), dtype=np.uint64)

    def __len__(self) -> int:
        return self._count

    def ids(self, places: Ints) -> Ints:
        """The ids of the vectors at these places."""
        return self._ids[places]

    def add(self, ids: Ints, revisions: Ints, projects: NDArray[np.int32], signs: NDArray[np.uint64]) -> None:
        """Vectors with higher ids than those held."""
        start, end = self._count, self._count + len(ids)
        if end > len(self._ids):
            self._grow(max(end, _START, int(len(self._ids) * _GROWTH)))
        self._ids[start:end] = ids
        self._revisions[start:end] = revisions
        self._projects[start:end] = projects
        self._believed[start:end] = True
        self._columns[:, start:end] = signs.T
        self._count = end

    def _grow(self, room: int) -> None:
        for name in ("_ids", "_revisions", "_projects", "_believed", "_columns"):
            held = getattr(self, name)
            grown = np.empty((*held.shape[:-1], room), dtype=held.dtype)
            grown[..., : self._count] = held[..., : self._count]
            setattr(self, name, grown)

    def retire(self, ids: Ints) -> None:
        """These vectors are of revisions that are believed no more."""
        self._believed[self._places(ids)] = False

    def remove(self, ids: Ints) -> None:
        """Blank these vectors: nothing of them stays, and no search finds them. No project has the number -1."""
        places = self._places(ids)
        self._columns[:, places] = 0
        self._projects[places] = -1
        self._revisions[places] = -1
        self._believed[places] = False

    def passing(self, projects: tuple[int, ...] | None, *, believed: bool) -> NDArray[np.bool_]:
        """For each place, whether it is in these projects, and believed if so asked."""
        count = self._count
        held = self._projects[:count]
        passes: NDArray[np.bool_] = held >= 0 if projects is None else _is_one_of(held, projects)
        if believed:
            passes &= self._believed[:count]
        return passes

    def named(self, ids: Ints, passes: NDArray[np.bool_]) -> Ints:
        """The places of those of these vectors that pass."""
        places = self._places(ids)
        places = places[places < len(passes)]
        return places[passes[places]]

    def newer(self, last_id: int, passes: NDArray[np.bool_]) -> Ints:
        """The places of those of the vectors after `last_id` that pass."""
        start = self._after(last_id)
        return start + np.flatnonzero(passes[start:])

    def count_newer(self, last_id: int) -> int:
        """How many vectors come after `last_id`."""
        return self._count - self._after(last_id)

    def held(self) -> tuple[Ints, NDArray[np.uint64]]:
        """The ids and the signs, one row each, of all that were not removed: copies."""
        places = np.flatnonzero(self._projects[: self._count] >= 0)
        return self._ids[places], np.ascontiguousarray(self._columns[:, places].T)

    def compacted(self) -> "Signs":
        """The same without what was removed, where that is much; else itself."""
        held = np.flatnonzero(self._projects[: self._count] >= 0)
        if self._count - len(held) < max(_START, self._count // _SPARSE):
            return self
        other = Signs(len(self._columns))
        other.add(self._ids[held], self._revisions[held], self._projects[held], self._columns[:, held].T)
        other.retire(self._ids[held][~self._believed[held]])
        return other

    def of_revisions(self, revisions: Ints) -> Ints:
        """The places of the vectors of these revisions."""
        return np.flatnonzero(np.isin(self._revisions[: self._count], revisions))

    def closest(self, bits: NDArray[np.uint64], most: int, among: Ints | None) -> Ints:
        """The places of about `most` vectors whose signs differ least from `bits`: those at the border are all in."""
        count = self._count if among is None else len(among)
        if count <= most:
            return np.arange(count) if among is None else among
        if among is not None and count * _DENSE <= self._count:
            return among[_least(self._differences(bits, among), most)]
        differences = self._differences(bits, None)
        if among is not None:
            return among[_least(differences[among], most)]
        return _least(differences, most)

    def likeliest(self, query: NDArray[np.float32], places: Ints, most: int) -> Ints:
        """Those `most` of these places whose signs agree best with the numbers of `query`, not with its signs alone.

        Nearer to the order of the vectors themselves than the number of differences, and too slow for all.
        """
        if len(places) <= most:
            return places
        signs = np.ascontiguousarray(self._columns[:, places].T).view(np.uint8)
        agreeing = np.unpackbits(signs, axis=1, count=len(query)).astype(np.float32) @ query
        likeliest: Ints = places[np.argpartition(agreeing, len(places) - most)[-most:]]
        return likeliest

    def _differences(self, bits: NDArray[np.uint64], among: Ints | None) -> NDArray[np.uint16]:
        count = self._count  # first: the columns are never shorter than a count that was seen before them
        columns = self._columns
        total = np.zeros(count if among is None else len(among), dtype=np.uint16)
        for word, column in zip(bits, columns, strict=True):
            total += np.bitwise_count((column[:count] if among is None else column[among]) ^ word)
        return total

    def _after(self, last_id: int) -> int:
        return int(np.searchsorted(self._ids[: self._count], last_id, side="right"))

    def _places(self, ids: Ints) -> Ints:
        held = self._ids[: self._count]
        places = np.searchsorted(held, ids)
        inside = places < self._count
        there: Ints = places[inside]
        same: Ints = there[held[there] == ids[inside]]
        return same


def _is_one_of(held: NDArray[np.int32], projects: tuple[int, ...]) -> NDArray[np.bool_]:
    if len(projects) > _FEW:
        return np.isin(held, np.array(projects, dtype=np.int32))
    passes = np.zeros(len(held), dtype=np.bool_)
    for number in projects:
        passes |= held == number
    return passes


def _least(differences: NDArray[np.uint16], most: int) -> Ints:
    border = np.partition(differences, most - 1)[most - 1]
    return np.flatnonzero(differences <= border)
