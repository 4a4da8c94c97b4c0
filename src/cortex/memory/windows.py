"""Windows over dialogues: each believed turn together with the turns before and after it in its thread.

What a turn means often stands in its neighbours ("Yes, the blue one"), so turns are indexed twice, alone and as
windows, and the lists are fused. A window belongs to its middle turn; it changes when a neighbour comes, is revised or
goes.
"""

from typing import Any

from cortex import limits
from cortex.db.connect import Tx
from cortex.index import text, vector_rows
from cortex.index.vector_rows import WINDOW

EMBED = 2  # the task of `pending`


def added(tx: Tx, row_id: int) -> None:
    """A turn was inserted: it gets a window, and its neighbours' windows now have it."""
    turn = _turn(tx, row_id)
    if turn is not None:
        for found in {row_id, *_beside(tx, turn, row_id)}:
            _renew(tx, found)


def removing(tx: Tx, row_id: int) -> None:
    """A turn is believed no more, or is about to be deleted: its window goes, and its neighbours' windows lose it."""
    turn = _turn(tx, row_id)
    if turn is not None:
        _drop(tx, row_id)
        for found in _beside(tx, turn, row_id):
            _renew(tx, found, without=row_id)


def rebuild(tx: Tx) -> None:
    """Make all windows anew. Rows that are right already stay; the text index is rebuilt by the caller."""
    wanted: list[Any] = tx.execute(
        "SELECT id, before_id, after_id FROM (SELECT id, lag(id) OVER turns AS before_id, lead(id) OVER turns"
        " AS after_id, length(content) AS chars FROM revision WHERE retired_at IS NULL AND thread IS NOT NULL"
        " AND seq IS NOT NULL WINDOW turns AS (PARTITION BY project_id, thread ORDER BY seq, id))"
        " WHERE coalesce(before_id, after_id) IS NOT NULL AND chars <= ?",
        (limits.WINDOW_TURN_CHARS_MAX,),
    ).fetchall()
    held: set[Any] = set(tx.execute("SELECT id, before_id, after_id FROM turn_window").fetchall())
    for row_id, _, _ in held - set(wanted):
        tx.execute("DELETE FROM turn_window WHERE id = ?", (row_id,))
        tx.execute("DELETE FROM pending WHERE task = ? AND revision_id = ?", (EMBED, row_id))
        vector_rows.remove(tx, row_id, WINDOW)
    for row in set(wanted) - held:
        tx.execute("INSERT INTO turn_window VALUES (?, ?, ?)", row)
        tx.execute("INSERT OR IGNORE INTO pending VALUES (?, ?)", (EMBED, row[0]))


def embedded_text(tx: Tx, row_id: int) -> str | None:
    """What an embedder reads of a window: the turn whole, its neighbours where they touch it; None where it is gone."""
    row = tx.execute(
        "SELECT b.content, r.content, a.content FROM turn_window AS w JOIN revision AS r ON r.id = w.id"
        " LEFT JOIN revision AS b ON b.id = w.before_id LEFT JOIN revision AS a ON a.id = w.after_id WHERE w.id = ?",
        (row_id,),
    ).fetchone()
    if row is None:
        return None
    before, own, after = row
    side = limits.WINDOW_SIDE_EMBEDDED_CHARS
    return "\n".join(part for part in ((before or "")[-side:], own, (after or "")[:side]) if part)


def _turn(tx: Tx, row_id: int) -> tuple[Any, ...] | None:
    row = tx.execute("SELECT project_id, thread, seq, retired_at FROM revision WHERE id = ?", (row_id,)).fetchone()
    return None if row is None or row[1] is None or row[2] is None else tuple(row)


def _beside(tx: Tx, turn: tuple[Any, ...], row_id: int) -> list[int]:
    return [found for found in _neighbours(tx, turn, row_id, None) if found is not None]


def _neighbours(tx: Tx, turn: tuple[Any, ...], row_id: int, without: int | None) -> tuple[int | None, int | None]:
    """The believed turns next before and next after this one."""
    project_id, thread, seq, _ = turn
    found: list[int | None] = []
    for sign, order in (("<", "DESC"), (">", "ASC")):
        row = tx.execute(
            "SELECT id FROM revision WHERE project_id = ? AND thread = ? AND seq IS NOT NULL AND retired_at IS NULL"
            f" AND (seq, id) {sign} (?, ?) AND id IS NOT ? ORDER BY seq {order}, id {order} LIMIT 1",
            (project_id, thread, seq, row_id, without),
        ).fetchone()
        found.append(row and row[0])
    return found[0], found[1]


def _renew(tx: Tx, row_id: int, without: int | None = None) -> None:
    """Let the turn's window be what it should be now."""
    turn = _turn(tx, row_id)
    assert turn is not None, f"turn {row_id}"
    before, after = _neighbours(tx, turn, row_id, without)
    held = tx.execute("SELECT before_id, after_id FROM turn_window WHERE id = ?", (row_id,)).fetchone()
    if held == (before, after):
        return
    _drop(tx, row_id)
    if (before or after) and _chars(tx, row_id) <= limits.WINDOW_TURN_CHARS_MAX:
        tx.execute("INSERT INTO turn_window VALUES (?, ?, ?)", (row_id, before, after))
        text.add(tx, row_id, text.WINDOWS)
        tx.execute("INSERT OR IGNORE INTO pending VALUES (?, ?)", (EMBED, row_id))


def _drop(tx: Tx, row_id: int) -> None:
    if tx.execute("SELECT 1 FROM turn_window WHERE id = ?", (row_id,)).fetchone() is None:
        return
    text.remove(tx, row_id, text.WINDOWS)
    tx.execute("DELETE FROM turn_window WHERE id = ?", (row_id,))
    tx.execute("DELETE FROM pending WHERE task = ? AND revision_id = ?", (EMBED, row_id))
    vector_rows.remove(tx, row_id, WINDOW)


def _chars(tx: Tx, row_id: int) -> int:
    row = tx.execute("SELECT length(content) FROM revision WHERE id = ?", (row_id,)).fetchone()
    assert row is not None, f"turn {row_id}"
    return int(row[0])
