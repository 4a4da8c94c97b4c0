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
    for (vector_id,) in found:
        _cut(tx, vector_id)


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


def drop(tx: Tx, segments: Iterable[int]) -> None:
    """Delete segments, by their first ids: their vectors are packed anew."""
    tx.executemany("DELETE FROM vector_segment WHERE first_id = ?", [(first,) for first in segments])


def _whole(packed: bytes, known: bytes, dimension: int | None) -> bool:
    return dimension is not None and len(packed) % record_bytes(dimension) == 0 and digest(packed) == known


def _cut(tx: Tx, vector_id: int) -> None:
    """Take one vector out of the segment that has it; a segment that is not whole goes altogether."""
    row = tx.execute(
        "SELECT s.first_id, s.packed, s.digest, e.dimension FROM vector_segment AS s JOIN embedder AS e"
        " ON e.id = s.embedder_id WHERE s.first_id <= ? AND s.last_id >= ?",
        (vector_id, vector_id),
    ).fetchone()
    if row is None:
        return
    first, packed, known, dimension = row
    size = record_bytes(dimension)
    if not _whole(packed, known, dimension):
        drop(tx, [first])
        return
    at = _position(packed, size, vector_id)
    if at is not None:
        kept = packed[: at * size] + packed[(at + 1) * size :]
        tx.execute("UPDATE vector_segment SET packed = ?, digest = ? WHERE first_id = ?", (kept, digest(kept), first))


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
