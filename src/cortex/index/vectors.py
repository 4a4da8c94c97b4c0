"""Nearest vectors: packed sign bits in memory give the candidates, the stored signed bytes their exact order.

The memory holds, for each vector of one embedder, its sign bits and what is filtered most; the rows of the file are the
truth. Before each search it catches up with the snapshot that the search reads, so that what another process stored is
found and what it removed is not. A candidate is scored from its row in the same snapshot, where every filter and both
clocks are applied too: what the snapshot does not hold cannot come back.

Where a filter lets too few of the candidates through, those that pass it are looked up first and searched among
themselves: a search returns as many as there are, up to what was asked for.
"""

import json
import threading
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cortex import limits
from cortex.db.connect import Tx, integer
from cortex.index import vector_rows
from cortex.index.near import Narrow, Near
from cortex.index.sidecar import Material, Sidecars
from cortex.index.signs import Signs
from cortex.index.vector_rows import PASSAGE, REMOVED, WINDOW

Query: TypeAlias = NDArray[np.float32]


class VectorIndex:
    """The vectors of one embedder, over one file. Safe for several threads, each with a snapshot of its own."""

    def __init__(self, embedder: str, sidecars: Sidecars | None = None) -> None:
        self._embedder = embedder
        self._sidecars = sidecars
        self._number: int | None = None
        self._dimension = 0
        self._lock = threading.Lock()
        self._reset()

    def _reset(self) -> None:
        self._epoch: bytes | None = None
        self._seen = self._last_id = self._last_change = -1
        self._signs: dict[int, Signs] = {}
        # Segments that were not what was written, by their first ids: to be packed anew.
        self.damaged: list[int] = []

    def __len__(self) -> int:
        return sum(len(signs) for signs in self._signs.values())

    def nearest(self, tx: Tx, query: Query, kind: int, depth: int, narrow: Narrow) -> list[Near]:
        """The `depth` revisions nearest to `query` (length 1) that pass `narrow`, by their best part of `kind`.

        Equal cosines come in the order of the revisions' rows.
        """
        current = self.catch_up(tx)
        signs = self._signs.get(kind)
        if signs is None or narrow.projects == () or len(query) != self._dimension:
            return []
        bits = _bits(query)
        believed = narrow.believed and current
        passes = signs.passing(narrow.projects, believed=believed)
        count = int(np.count_nonzero(passes))
        most = max(limits.CANDIDATES_MIN, len(signs) // limits.CANDIDATES_ONE_IN, 4 * depth)
        candidates = self._from_sidecar(kind, signs, bits, depth, passes, count)
        if candidates is None:
            candidates = signs.closest(bits, most, None if count == len(passes) else np.flatnonzero(passes))
        few = max(limits.SHORTLIST_MIN, len(signs) // limits.SHORTLIST_ONE_IN, 2 * depth)
        likeliest = signs.likeliest(query, candidates, few)
        found = self._scored(tx, query, signs.ids(likeliest), depth, narrow)
        if len(found) < depth and len(likeliest) < len(candidates):
            found = self._scored(tx, query, signs.ids(candidates), depth, narrow)
        if len(found) < depth and len(candidates) < count:
            found = self._among_passing(tx, query, signs, depth, narrow)
        return found

    def _among_passing(self, tx: Tx, query: Query, signs: Signs, depth: int, narrow: Narrow) -> list[Near]:
        """The same among what passes alone, and more each time: parts of one long text may be all that is near."""
        revisions = _passing(tx, narrow)
        passing = signs.of_revisions(revisions)
        most = max(limits.EXACT_MAX, 4 * depth)
        while True:
            candidates = signs.closest(_bits(query), most, passing)
            found = self._scored(tx, query, signs.ids(candidates), depth, narrow)
            if len(found) >= min(depth, len(revisions)) or len(candidates) == len(passing):
                return found
            most *= 4

    def _from_sidecar(
        self, kind: int, signs: Signs, bits: NDArray[np.uint64], depth: int, passes: NDArray[np.bool_], count: int
    ) -> NDArray[np.int64] | None:
        """What the graph beside the file proposes, and the closest of what is newer than it.

        None where there is no graph, and where counting over what passes is cheaper or finds more.
        """
        sidecar = self._sidecars.get(kind) if self._sidecars is not None else None
        if sidecar is None or count * limits.SIDECAR_SHARE_ONE_IN < len(passes):
            return None
        most = max(limits.SIDECAR_CANDIDATES_MIN, len(passes) // limits.SIDECAR_CANDIDATES_ONE_IN, 4 * depth)
        # As many more as the filter takes away, where it takes evenly.
        ids = sidecar.closest(bits, most * len(passes) // max(count, 1))
        named = None if ids is None else signs.named(ids, passes)
        if named is None or (count < len(passes) and 2 * len(named) < min(most, sidecar.entry.vectors)):
            return None
        return signs.closest(bits, most, np.concatenate([named, signs.newer(sidecar.entry.last_id, passes)]))

    def sidecar_source(self, tx: Tx, kind: int) -> Material | None:
        """What a graph of this kind is to be made from; None where none is due."""
        self.catch_up(tx)
        with self._lock:
            signs = self._signs.get(kind)
            if self._sidecars is None or signs is None or self._number is None:
                return None
            open_one = self._sidecars.get(kind)
            newer = signs.count_newer(open_one.entry.last_id) if open_one is not None else 0
            if not self._sidecars.due(kind, len(signs), newer):
                return None
            ids, held = signs.held()
            state: Any = tx.execute("SELECT epoch, forgotten FROM vector_epoch").fetchone()
            epoch, forgotten = state
            return Material(kind, self._number, epoch, forgotten, ids, held) if len(ids) else None

    def close(self) -> None:
        """Let go of the files beside the database."""
        with self._lock:
            if self._sidecars is not None:
                self._sidecars.close()

    def catch_up(self, tx: Tx) -> bool:
        """Bring the memory to the snapshot of `tx`. False where it is ahead of that: somebody committed meanwhile."""
        seq = integer(tx, "SELECT change_seq FROM file_state")
        if seq == self._seen:
            return True
        with self._lock:
            if seq > self._seen:
                try:
                    self._load(tx)
                    self._follow_sidecars(tx)
                except BaseException:
                    self._reset()  # half of it would be taken for all
                    raise
                self._seen = seq
            return seq == self._seen

    def _load(self, tx: Tx) -> None:
        row: Any = tx.execute(
            "SELECT id, dimension FROM embedder WHERE name = ? AND dimension BETWEEN ? AND ?",
            (self._embedder, limits.DIMENSION_MIN, limits.DIMENSION_MAX),
        ).fetchone()
        epoch = tx.execute("SELECT epoch FROM vector_epoch").fetchone()
        state = (row and row[0], row and row[1], epoch and epoch[0])
        if state != (self._number, self._dimension, self._epoch):
            self._reset()
            self._number, self._dimension, self._epoch = state[0], state[1] or 0, state[2]
        if self._number is None:
            return
        if self._last_id >= 0 and self._missed(tx):
            self._reset()
            self._epoch = state[2]
        if self._last_id < 0:
            self._last_change = integer(tx, "SELECT coalesce(max(seq), 0) FROM vector_change")
            self._load_segments(tx)
        self._load_rows(tx)
        self._load_changes(tx)

    def _follow_sidecars(self, tx: Tx) -> None:
        if self._sidecars is not None:
            counts = {kind: len(signs) for kind, signs in self._signs.items()}
            self._sidecars.follow(tx, self._number, self._dimension, counts)

    def _missed(self, tx: Tx) -> bool:
        """Whether changes were cleared away before they were seen."""
        oldest: Any = tx.execute("SELECT min(seq) FROM vector_change").fetchone()
        return oldest is not None and oldest[0] is not None and oldest[0] > self._last_change + 1

    def _load_segments(self, tx: Tx) -> None:
        shape = _record(self._dimension)
        rows: Any = tx.execute(
            "SELECT first_id, last_id, packed, digest FROM vector_segment WHERE embedder_id = ? ORDER BY first_id",
            (self._number,),
        )
        reached = 0
        for first, last, packed, known in rows:
            if len(packed) % shape.itemsize or vector_rows.digest(packed) != known:
                self.damaged.append(first)  # not what was written: its vectors are read from their rows
                continue
            if first > reached + 1:
                self._load_between(tx, reached + 1, first - 1)
            self._take(np.frombuffer(packed, dtype=shape))
            reached = last
        self._last_id = reached
        marked: Any = tx.execute("SELECT id FROM vector WHERE retired = 1")
        retired = np.array([i for (i,) in marked], dtype=np.int64)
        for signs in self._signs.values():
            signs.retire(retired)

    def _load_rows(self, tx: Tx) -> None:
        newest = integer(tx, "SELECT coalesce(max(id), 0) FROM vector")
        if newest > self._last_id:
            self._load_between(tx, self._last_id + 1, newest)
            self._last_id = newest

    def _load_between(self, tx: Tx, first: int, last: int) -> None:
        records, retired = records_between(tx, self._number, self._dimension, first, last)
        self._take(records)
        for signs in self._signs.values():
            signs.retire(retired)

    def _load_changes(self, tx: Tx) -> None:
        rows: list[Any] = tx.execute(
            "SELECT seq, vector_id, change FROM vector_change WHERE seq > ? ORDER BY seq", (self._last_change,)
        ).fetchall()
        if not rows:
            return
        self._last_change = rows[-1][0]
        removed = np.array([i for _, i, change in rows if change == REMOVED], dtype=np.int64)
        retired = np.array([i for _, i, change in rows if change != REMOVED], dtype=np.int64)
        for kind, signs in self._signs.items():
            signs.remove(removed)
            signs.retire(retired)
            self._signs[kind] = signs.compacted()

    def _take(self, records: NDArray[Any]) -> None:
        for kind in (PASSAGE, WINDOW):
            these = records[records["kind"] == kind]
            if len(these):
                signs = self._signs.setdefault(kind, Signs(vector_rows.words(self._dimension)))
                signs.add(these["id"], these["revision"], these["project"], these["signs"])

    def _scored(self, tx: Tx, query: Query, ids: NDArray[np.int64], depth: int, narrow: Narrow) -> list[Near]:
        """The best `depth` revisions among these vectors that pass `narrow`, by what their rows in the snapshot say."""
        rows: list[Any] = tx.execute(
            "SELECT revision_id, part_start, part_end, scale, codes FROM vector"
            f" WHERE id IN (SELECT value FROM json_each(?)) AND embedder_id = ? AND {vector_rows.SOUND}",
            (json.dumps(ids.tolist()), self._number, self._dimension),
        ).fetchall()
        if not rows:
            return []
        codes = np.frombuffer(b"".join([row[4] for row in rows]), dtype=np.int8).reshape(len(rows), -1)
        # In float32 the same codes in two rows give two sums that differ in what is left after rounding: no tie.
        cosines = (codes.astype(np.float64) @ query.astype(np.float64)) * np.array([row[3] for row in rows])
        return _passing_best(tx, _best(rows, cosines.round(6)), depth, narrow)


def quantised(vectors: NDArray[np.float32]) -> list[tuple[float, bytes]]:
    """Vectors of length 1, shape (n, dimension), as a scale and signed bytes each: what a row holds."""
    scales = np.abs(vectors).max(axis=1) / 127
    codes = np.round(vectors / scales[:, None]).astype(np.int8)
    return [(float(scale), code.tobytes()) for scale, code in zip(scales, codes, strict=True)]


def records_between(
    tx: Tx, number: int | None, dimension: int, first: int, last: int
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The records of the vectors whose ids are from `first` to `last`, made from their rows, and the retired ones."""
    rows: list[Any] = tx.execute(
        "SELECT id, revision_id, project_id, kind, retired, codes FROM vector"
        f" WHERE embedder_id = ? AND id BETWEEN ? AND ? AND {vector_rows.SOUND} ORDER BY id",
        (number, first, last, dimension),
    ).fetchall()
    records = np.zeros(len(rows), dtype=_record(dimension))
    if rows:
        for place, name in enumerate(("id", "revision", "project", "kind")):
            records[name] = [row[place] for row in rows]
        codes = np.frombuffer(b"".join([row[5] for row in rows]), dtype=np.int8).reshape(len(rows), dimension)
        records["signs"] = _packed(codes > 0)
    return records, np.array([row[0] for row in rows if row[4]], dtype=np.int64)


def pack(tx: Tx, embedder: str, damaged: Sequence[int] = ()) -> int:
    """Pack one more segment of vectors that are in none; those of `damaged` segments are in none.

    Returns how many vectors were packed, 0 where nothing is left to do. Called in a write transaction. Also clears old
    changes away.
    """
    tx.execute(
        "DELETE FROM vector_change WHERE seq <= (SELECT max(seq) FROM vector_change) - ?", (limits.VECTOR_CHANGES_MAX,)
    )
    vector_rows.drop(tx, damaged)
    row = tx.execute("SELECT id, dimension FROM embedder WHERE name = ?", (embedder,)).fetchone()
    span = vector_rows.unpacked(tx)
    if row is None or span is None:
        return 0
    records, _ = records_between(tx, row[0], row[1], *span)
    packed = records.tobytes()
    tx.execute("INSERT INTO vector_segment VALUES (?, ?, ?, ?, ?)", (*span, row[0], packed, vector_rows.digest(packed)))
    return len(records)


def _record(dimension: int) -> np.dtype[Any]:
    """The form of one record of a segment (vector_rows says it in words)."""
    fields = [("id", "<i8"), ("revision", "<i8"), ("project", "<i4"), ("kind", "<i4")]
    return np.dtype([*fields, ("signs", "<u8", (vector_rows.words(dimension),))])


def _packed(signs: NDArray[np.bool_]) -> NDArray[np.uint64]:
    filled = -signs.shape[1] % 64
    if filled:
        signs = np.pad(signs, ((0, 0), (0, filled)))
    return np.packbits(signs, axis=1).view(np.uint64)


def _bits(query: Query) -> NDArray[np.uint64]:
    bits: NDArray[np.uint64] = _packed((query > 0)[None, :])[0]
    return bits


def _passing(tx: Tx, narrow: Narrow) -> NDArray[np.int64]:
    rows: Any = tx.execute(
        "SELECT r.id FROM revision AS r JOIN project AS p ON p.id = r.project_id"
        f" WHERE {narrow.sql} AND r.id IN (SELECT revision_id FROM vector)",
        narrow.bindings,
    )
    return np.array([row_id for (row_id,) in rows], dtype=np.int64)


def _passing_best(tx: Tx, ranked: Iterator[Near], depth: int, narrow: Narrow) -> list[Near]:
    """The first `depth` of `ranked` that pass: looked up a few at a time, since most pass as a rule."""
    kept: list[Near] = []
    while len(kept) < depth and (some := list(islice(ranked, depth - len(kept) + _SPARE))):
        # CROSS JOIN: the few rows first, then what is asked of them.
        rows = tx.execute(
            "SELECT r.id FROM json_each(:near) AS j CROSS JOIN revision AS r ON r.id = j.value"
            f" CROSS JOIN project AS p ON p.id = r.project_id WHERE {narrow.sql}",
            {**narrow.bindings, "near": json.dumps([near.revision_id for near in some])},
        )
        passed = {row_id for (row_id,) in rows}
        kept += [near for near in some if near.revision_id in passed]
    return kept[:depth]


# How many more than needed are looked up at a time.
_SPARE = 6


def _best(rows: Sequence[tuple[Any, ...]], cosines: NDArray[np.float64]) -> Iterator[Near]:
    """Each revision once, by its nearest part, the nearest first."""
    revisions = np.array([row[0] for row in rows], dtype=np.int64)
    seen: set[int] = set()
    for place in np.lexsort((revisions, -cosines)).tolist():
        revision_id, start, end, *_ = rows[place]
        if revision_id not in seen:
            seen.add(revision_id)
            yield Near(revision_id, float(cosines[place]), start, end)
