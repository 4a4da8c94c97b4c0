"""Vectors as rows of the file: storing, retiring and removing them, and the segments that pack their sign bits.

A segment is a run of fixed records, one for each vector and in the order of their ids, each little-endian:
id (8 bytes), revision (8), project (4), kind (4), then the sign bits in words of 8 bytes. Without NumPy, since every
process that writes facts runs this.
"""

import hashlib
import struct
from collections.abc import Iterable
from typing import Any

from cortex import limits
from cortex.db.connect import Tx, integer, value

PASSAGE, WINDOW = 1, 2
RETIRED, REMOVED = 1, 2

# SQL for a row of `vector` that is what was written, with the dimension as binding: others are left out, and `reindex`
# lets them be made anew. The scale of a vector of length 1 is at most 1 / 127.
SOUND = "length(codes) = ? AND scale > 0 AND scale < 0.01 AND kind IN (1, 2) AND project_id BETWEEN 1 AND 2147483647"

_HEAD = struct.Struct("<qqii")
HEAD_BYTES = _HEAD.size
_WORD_BYTES = 8


def words(dimension: int) -> int:
    """How many words of 64 bits hold the signs of `dimension` numbers."""
    return -(-dimension // 64)


def record_bytes(dimension: int) -> int:
    """The size of one record of a segment."""
    return HEAD_BYTES + _WORD_BYTES * words(dimension)


def digest(packed: bytes) -> bytes:
    """What tells a whole segment from one that was cut or changed."""
    return hashlib.blake2b(packed, digest_size=16).digest()


def embedder_id(tx: Tx, name: str, dimension: int) -> int:
    """The number of an embedder in this file, made at its first vector."""
    tx.execute("INSERT OR IGNORE INTO embedder (name, dimension) VALUES (?, ?)", (name, dimension))
    found = value(tx, "SELECT id FROM embedder WHERE name = ? AND dimension = ?", (name, dimension))
    if not isinstance(found, int):
        # The same name with other vectors: what is held cannot be compared with them.
        number = value(tx, "SELECT id FROM embedder WHERE name = ?", (name,))
        forget_embedder(tx, number)
        return embedder_id(tx, name, dimension)
    return found


def forget_embedder(tx: Tx, number: object) -> None:
    """Delete everything that an embedder made; what it had embedded is pending again."""
    tx.execute(
        "INSERT OR IGNORE INTO pending SELECT DISTINCT kind, revision_id FROM vector WHERE embedder_id = ?", (number,)
    )
    tx.execute("DELETE FROM vector WHERE embedder_id = ?", (number,))
    tx.execute("DELETE FROM vector_segment WHERE embedder_id = ?", (number,))
    tx.execute("DELETE FROM embedder WHERE id = ?", (number,))
    renew_epoch(tx)


def renew_epoch(tx: Tx) -> None:
    """Let every index in memory load anew."""
    tx.execute("UPDATE vector_epoch SET epoch = randomblob(8)")
    tx.execute("DELETE FROM vector_change")


def insert(tx: Tx, embedder: int, revision_id: int, kind: int, parts: Iterable[tuple[int, int, float, bytes]]) -> None:
    """Store the vectors of a revision's parts, (start, end, scale, codes) each, in place of those it had."""
    remove(tx, revision_id, kind)
    row = tx.execute("SELECT project_id, retired_at IS NOT NULL FROM revision WHERE id = ?", (revision_id,)).fetchone()
    assert row is not None, f"revision row {revision_id}"
    tx.executemany(
        "INSERT INTO vector (embedder_id, revision_id, project_id, kind, part_start, part_end, retired, scale, codes)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(embedder, revision_id, row[0], kind, start, end, row[1], scale, codes) for start, end, scale, codes in parts],
    )


def retire(tx: Tx, revision_id: int) -> None:
    """Mark the vectors of a revision that is believed no more."""
    found = tx.execute("SELECT id FROM vector WHERE revision_id = ?", (revision_id,)).fetchall()
    if found:
        tx.execute("UPDATE vector SET retired = 1 WHERE revision_id = ?", (revision_id,))
        tx.executemany("INSERT INTO vector_change (vector_id, change) VALUES (?, ?)", [(i, RETIRED) for (i,) in found])


def remove(tx: Tx, revision_id: int, kind: int | None = None) -> None:
    """Delete the vectors of a revision, of one kind or of all, and take them out of the segments."""
    narrow, bindings = ("", (revision_id,)) if kind is None else (" AND kind = ?", (revision_id, kind))
    if kind is None:
        # The revision goes for good: nothing that was made from its vectors, or from its neighbours' windows, may stay.
        tx.execute("UPDATE vector_epoch SET forgotten = forgotten + 1")
    found: list[Any] = tx.execute(f"SELECT id FROM vector WHERE revision_id = ?{narrow}", bindings).fetchall()
    if not found:
        return
    tx.execute(f"DELETE FROM vector WHERE revision_id = ?{narrow}", bindings)
    tx.executemany("INSERT INTO vector_change (vector_id, change) VALUES (?, ?)", [(i, REMOVED) for (i,) in found])
    _cut(tx, [vector_id for (vector_id,) in found])


def unpacked(tx: Tx) -> tuple[int, int] | None:
    """The ids to be packed next: in a gap between segments, else a whole segment behind the last one; None for none."""
    reached = 0
    spans: list[Any] = tx.execute("SELECT first_id, last_id FROM vector_segment ORDER BY first_id").fetchall()
    for first, last in spans:
        if first > reached + 1 and _nth(tx, reached, first, 0) is not None:
            return reached + 1, _nth(tx, reached, first, limits.SEGMENT_VECTORS - 1) or first - 1
        reached = last
    # At a glance first: numbers that are given are hardly fewer than vectors.
    if integer(tx, "SELECT coalesce(max(id), 0) FROM vector") - reached < limits.SEGMENT_VECTORS:
        return None
    end = _nth(tx, reached, None, limits.SEGMENT_VECTORS - 1)
    return None if end is None else (reached + 1, end)


def _nth(tx: Tx, above: int, below: int | None, nth: int) -> int | None:
    until = "" if below is None else f"AND id < {below}"
    found = value(tx, f"SELECT id FROM vector WHERE id > ? {until} ORDER BY id LIMIT 1 OFFSET ?", (above, nth))
    assert found is None or isinstance(found, int)
    return found


def damaged(tx: Tx) -> list[int]:
    """The segments that are not what was written, by their first ids. Searches read the rows of their vectors."""
    rows: Any = tx.execute(
        "SELECT s.first_id, s.packed, s.digest, e.dimension FROM vector_segment AS s LEFT JOIN embedder AS e"
        " ON e.id = s.embedder_id ORDER BY s.first_id"
    )
    return [first for first, packed, known, dimension in rows if not _whole(packed, known, dimension)]


def unsound(tx: Tx) -> list[int]:
    """The rows that are not what was written, by their ids."""
    rows: Any = tx.execute(
        "SELECT v.id FROM vector AS v LEFT JOIN embedder AS e ON e.id = v.embedder_id"
        f" WHERE NOT ({SOUND.replace('?', 'e.dimension')}) OR e.id IS NULL"
    )
    return [row_id for (row_id,) in rows]


def drop(tx: Tx, segments: Iterable[int]) -> None:
    """Delete segments, by their first ids: their vectors are packed anew."""
    tx.executemany("DELETE FROM vector_segment WHERE first_id = ?", [(first,) for first in segments])


def _whole(packed: bytes, known: bytes, dimension: int | None) -> bool:
    return dimension is not None and len(packed) % record_bytes(dimension) == 0 and digest(packed) == known


def _cut(tx: Tx, ids: Iterable[int]) -> None:
    """Take vectors out of the segments that have them; a segment that is not whole goes altogether."""
    left = sorted(ids)
    while left:
        row: Any = tx.execute(
            "SELECT s.first_id, s.last_id, s.packed, s.digest, e.dimension FROM vector_segment AS s JOIN embedder AS e"
            " ON e.id = s.embedder_id WHERE s.last_id >= ? ORDER BY s.first_id LIMIT 1",
            (left[0],),
        ).fetchone()
        if row is None:
            return
        first, last, packed, known, dimension = row
        here = [one for one in left if first <= one <= last]
        left = [one for one in left if one > last]
        if not here:
            continue
        if _whole(packed, known, dimension):
            kept = _without(packed, record_bytes(dimension), here)
            new = (kept, digest(kept), first)
            tx.execute("UPDATE vector_segment SET packed = ?, digest = ? WHERE first_id = ?", new)
        else:
            drop(tx, [first])


def _without(packed: bytes, size: int, ids: Iterable[int]) -> bytes:
    places = (_position(packed, size, one) for one in ids)
    kept, at = [], 0
    for place in (place for place in places if place is not None):
        kept.append(packed[at : place * size])
        at = (place + 1) * size
    return b"".join([*kept, packed[at:]])


def _position(packed: bytes, size: int, vector_id: int) -> int | None:
    low, high = 0, len(packed) // size
    while low < high:
        middle = (low + high) // 2
        if _HEAD.unpack_from(packed, middle * size)[0] < vector_id:
            low = middle + 1
        else:
            high = middle
    there = low * size < len(packed) and _HEAD.unpack_from(packed, low * size)[0] == vector_id
    return low if there else None
