"""The work that follows a commit, in small rounds: entities of new revisions, then vectors of passages and windows.

A round reads what is pending, does the slow part outside any transaction, and writes what came of it. What changed
meanwhile is left out, and is pending again or gone: rounds of several processes may overlap.
"""

import json
import random
from collections.abc import Collection, Sequence
from typing import Any

from cortex import limits
from cortex.db.connect import Tx, integer, value
from cortex.db.database import Database
from cortex.errors import Conflict
from cortex.index import vector_rows
from cortex.meaning.embedding import Part, Unit, Vectored
from cortex.memory import derived, entities, passages, windows
from cortex.memory.derived import EMBED_PASSAGES, EMBED_WINDOW, EXTRACT


def waiting(tx: Tx) -> int:
    """How many facts are to be embedded still, alone or with their neighbours."""
    return integer(
        tx, "SELECT count(DISTINCT revision_id) FROM pending WHERE task IN (?, ?)", (EMBED_PASSAGES, EMBED_WINDOW)
    )


def missed(tx: Tx) -> int:
    """How many revisions have neither vectors nor are to be embedded: none, unless the file was altered."""
    return integer(
        tx,
        "SELECT count(*) FROM revision AS r WHERE NOT EXISTS"
        " (SELECT 1 FROM vector AS v WHERE v.revision_id = r.id AND v.kind = ?1)"
        " AND NOT EXISTS (SELECT 1 FROM pending AS p WHERE p.task = ?1 AND p.revision_id = r.id)",
        (EMBED_PASSAGES,),
    )


def unread(tx: Tx) -> int:
    """How many revisions are to be searched for entities still."""
    return integer(tx, "SELECT count(*) FROM pending WHERE task = ?", (EXTRACT,))


def made_by_another(tx: Tx, name: str, dimension: int | None) -> str | None:
    """The embedder that made the vectors of this file, where it is another than `name`, or gave another dimension."""
    found = value(
        tx,
        "SELECT name FROM embedder AS e WHERE (name <> ? OR dimension <> ?)"
        " AND EXISTS (SELECT 1 FROM vector AS v WHERE v.embedder_id = e.id)",
        (name, dimension),
    )
    return None if found is None else str(found)


def maker(tx: Tx) -> str | None:
    """The embedder that made the vectors of this file; None where there are none."""
    found = value(tx, "SELECT name FROM embedder WHERE id IN (SELECT embedder_id FROM vector LIMIT 1)")
    return None if found is None else str(found)


async def extract(database: Database) -> int:
    """Find the entities of some revisions. Returns how many revisions that were."""

    def read(tx: Tx) -> list[int]:
        rows: list[Any] = tx.execute(
            "SELECT p.revision_id, octet_length(r.content) FROM pending AS p LEFT JOIN revision AS r"
            " ON r.id = p.revision_id WHERE p.task = ? ORDER BY p.revision_id LIMIT ?",
            (EXTRACT, limits.EXTRACT_BATCH),
        ).fetchall()
        chosen: list[int] = []
        size = 0
        for row_id, length in rows:
            if chosen and size + (length or 0) > limits.EXTRACT_BATCH_BYTES:
                break
            chosen.append(row_id)
            size += length or 0
        return chosen

    chosen = await database.read(read)
    if chosen:
        found = await database.read(lambda tx: entities.look(tx, chosen))
        await database.write(lambda tx: derived.extracted(tx, chosen, found))
    return len(chosen)


def some(tx: Tx, but: Collection[tuple[int, int]] = (), *, bytes_max: int | None = None) -> list[Unit]:
    """Some of what is to be embedded: the newest, or where much is pending any, so that processes share the work.

    `but` are tasks and revisions that are left out, and so are contents of more than `bytes_max`.
    """
    chosen: list[Unit] = []
    for task in (EMBED_PASSAGES, EMBED_WINDOW):
        span: Any = tx.execute(_SPAN, (task,)).fetchone()
        low, high = span
        if high is None:
            continue
        much = high - low > 4 * limits.EMBED_BATCH
        pivot = random.randint(low, high) if much and random.random() < _SHARE else high  # noqa: S311
        rows: list[Any] = tx.execute(
            "SELECT p.revision_id FROM pending AS p JOIN revision AS r ON r.id = p.revision_id WHERE p.task = ?1"
            " AND p.revision_id <= ?2 AND p.revision_id NOT IN (SELECT value FROM json_each(?3))"
            " AND (?4 IS NULL OR octet_length(r.content) <= ?4) ORDER BY p.revision_id DESC LIMIT ?5",
            (task, pivot, json.dumps([i for other, i in but if other == task]), bytes_max, limits.EMBED_BATCH),
        ).fetchall()
        chosen += [_unit(tx, task, row_id) for (row_id,) in rows]
    return chosen


_SPAN = "SELECT min(revision_id), max(revision_id) FROM pending WHERE task = ?"
# How often a process that has much to embed begins elsewhere than with the newest.
_SHARE = 0.75


def _unit(tx: Tx, task: int, row_id: int) -> Unit:
    content = value(tx, "SELECT content FROM revision WHERE id = ?", (row_id,))
    if not isinstance(content, str):
        return Unit(task, row_id, (), None)
    if task == EMBED_WINDOW:
        whole = windows.embedded_text(tx, row_id)
        parts: tuple[Part, ...] = () if whole is None else (Part(whole, 0, len(content)),)
    else:
        parts = tuple(Part(passages.text(content, span), *span) for span in passages.passages(content))
    return Unit(task, row_id, parts, _state(tx, task, row_id))


def _state(tx: Tx, task: int, row_id: int) -> Any:
    """The names of the revisions that a vector is made from: numbers of rows that went are given again."""
    if task == EMBED_PASSAGES:
        return value(tx, "SELECT rev FROM revision WHERE id = ?", (row_id,))
    return tx.execute(
        "SELECT r.rev, b.rev, a.rev FROM turn_window AS w JOIN revision AS r ON r.id = w.id"
        " LEFT JOIN revision AS b ON b.id = w.before_id LEFT JOIN revision AS a ON a.id = w.after_id WHERE w.id = ?",
        (row_id,),
    ).fetchone()


def keep(tx: Tx, name: str, made: Sequence[Vectored]) -> int:
    """Store vectors of `embedder`, of what is still as it was read. Returns how many units are done.

    Raises Conflict where the file's vectors were made by another embedder: vectors of two cannot be compared.
    """
    dimension = next((len(rows[0][3]) for _, rows in made if rows), None)  # signed bytes: one for each number
    other = made_by_another(tx, name, dimension)
    if other is not None:
        made_by = f"the vectors of this file were made by {other}, not by {name} with {dimension} numbers"
        raise Conflict(made_by, "`cortex embed` makes them anew")
    number: int | None = None
    for unit, rows in made:
        if rows and _as_read(tx, unit):
            number = number or vector_rows.embedder_id(tx, name, len(rows[0][3]))
            vector_rows.insert(tx, number, unit.revision_id, unit.task, rows)
        elif rows:
            continue
        tx.execute("DELETE FROM pending WHERE task = ? AND revision_id = ?", (unit.task, unit.revision_id))
    return len(made)


def _as_read(tx: Tx, unit: Unit) -> bool:
    """Whether nobody did it meanwhile, and nothing that it was made from went."""
    if value(tx, "SELECT 1 FROM pending WHERE task = ? AND revision_id = ?", (unit.task, unit.revision_id)) is None:
        return False
    return bool(_state(tx, unit.task, unit.revision_id) == unit.state)


def others_vectors_go(tx: Tx, name: str, dimension: int | None) -> None:
    """Delete the vectors of every embedder but `name` with this dimension; their revisions are pending again."""
    others = tx.execute("SELECT id FROM embedder WHERE name <> ? OR dimension <> ?", (name, dimension)).fetchall()
    for (number,) in others:
        vector_rows.forget_embedder(tx, number)
