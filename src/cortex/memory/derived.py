"""What is derived from a revision and kept beside it: what happens to all of it when a revision comes, retires or goes.

Called in the transaction of the change. The text index is made at once; vectors and entities are only noted in
`pending`, and made after the commit.
"""

from collections.abc import Sequence
from typing import Any

from cortex.db.connect import Tx, integer
from cortex.index import text, vector_rows
from cortex.memory import entities, likeness, windows

EMBED_PASSAGES, EMBED_WINDOW, EXTRACT = 1, windows.EMBED, 3
assert (EMBED_PASSAGES, EMBED_WINDOW) == (vector_rows.PASSAGE, vector_rows.WINDOW), "a task is named by what it makes"


def added(tx: Tx, row_id: int, *, turn: bool) -> None:
    """A revision was inserted; `turn` says whether it stands in a thread."""
    text.add(tx, row_id)
    # A row at a time: for a statement of several rows SQLite makes a savepoint, at which FTS5 flushes its memory.
    tx.executemany("INSERT OR IGNORE INTO pending VALUES (?, ?)", [(EMBED_PASSAGES, row_id), (EXTRACT, row_id)])
    if turn:
        windows.added(tx, row_id)


def extracted(tx: Tx, row_ids: Sequence[int], found: Sequence[entities.Found]) -> None:
    """Keep what was found in these revisions after their commit: entities, and marks where they have none yet."""
    entities.put(tx, found)
    likeness.complete(tx, row_ids)
    tx.executemany("DELETE FROM pending WHERE task = ? AND revision_id = ?", [(EXTRACT, row_id) for row_id in row_ids])


def retired(tx: Tx, row_id: int) -> None:
    """A revision is believed no more. Text and vectors stay, for those who ask what was believed."""
    windows.removing(tx, row_id)
    likeness.remove(tx, row_id)
    entities.remove(tx, row_id)
    vector_rows.retire(tx, row_id)
    tx.execute("DELETE FROM pending WHERE task = ? AND revision_id = ?", (EXTRACT, row_id))


def removing(tx: Tx, row_id: int) -> None:
    """A revision's row is about to be deleted for good, and with it everything that was made from it."""
    windows.removing(tx, row_id)
    text.remove(tx, row_id)
    likeness.remove(tx, row_id)
    entities.remove(tx, row_id)
    vector_rows.remove(tx, row_id)
    tx.execute("DELETE FROM pending WHERE revision_id = ? AND task IN (?, ?, ?)",
               (row_id, EMBED_PASSAGES, EMBED_WINDOW, EXTRACT))  # fmt: skip


def rebuild(tx: Tx) -> int:
    """Make all of it anew but the vectors, and note which of those are missing. Returns the number of revisions.

    Vectors stay: they are made from texts that do not change. Their segments are packed anew.
    """
    windows.rebuild(tx)
    text.rebuild(tx)
    likeness.rebuild(tx)
    tx.execute("DELETE FROM vector_segment")
    tx.execute("DELETE FROM pending WHERE revision_id NOT IN (SELECT id FROM revision)")
    lost: list[Any] = tx.execute(
        "SELECT DISTINCT revision_id FROM vector WHERE revision_id NOT IN (SELECT id FROM revision)"
    ).fetchall()
    for (row_id,) in lost:
        vector_rows.remove(tx, row_id)
    tx.executemany("DELETE FROM vector WHERE id = ?", [(row_id,) for row_id in vector_rows.unsound(tx)])
    tx.execute(
        "INSERT OR IGNORE INTO pending SELECT ?, id FROM revision WHERE id NOT IN"
        " (SELECT revision_id FROM vector WHERE kind = ?)",
        (EMBED_PASSAGES, vector_rows.PASSAGE),
    )
    tx.execute(
        "INSERT OR IGNORE INTO pending SELECT ?, id FROM turn_window WHERE id NOT IN"
        " (SELECT revision_id FROM vector WHERE kind = ?)",
        (EMBED_WINDOW, vector_rows.WINDOW),
    )
    entities.rebuild(tx)
    tx.execute("DELETE FROM pending WHERE task = ?", (EXTRACT,))
    vector_rows.renew_epoch(tx)
    return integer(tx, "SELECT count(*) FROM revision")
