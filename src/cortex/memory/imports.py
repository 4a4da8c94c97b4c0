"""Importing a file in steps: where each run stands, so that an interrupted one goes on and is counted once."""

import hmac

from msgspec import Struct, structs

from cortex.db.connect import Tx
from cortex.errors import Conflict
from cortex.ledger.chain import Appending
from cortex.memory import facts, projects
from cortex.memory.model import Decided


class Run(Struct, frozen=True, kw_only=True):
    """One import of one file. `digest` is SHA-256 of its bytes, `position` how many of its items are dealt with."""

    id: str
    project: str
    name: str
    format: str
    digest: bytes
    salt: bytes
    position: int
    stored: int
    duplicates: int
    skipped: int
    finished: bool


def unfinished(tx: Tx, project: str, digest: bytes, form: str) -> Run | None:
    """The run of these bytes into this project that was interrupted, if any."""
    row = tx.execute(
        "SELECT i.id, p.name, i.name, i.format, i.digest, i.salt, i.position, i.stored, i.duplicates, i.skipped"
        " FROM import_run AS i JOIN project AS p ON p.id = i.project_id"
        " WHERE i.finished_at IS NULL AND i.digest = ? AND i.format = ? AND p.name = ? ORDER BY i.id DESC LIMIT 1",
        (digest, form, project),
    ).fetchone()
    if row is None:
        return None
    names = ("id", "project", "name", "format", "digest", "salt", "position", "stored", "duplicates", "skipped")
    return Run(**dict(zip(names, row, strict=True)), finished=False)


def advance(tx: Tx, log: Appending, run: Run, new: tuple[Decided, ...]) -> Run:
    """Store the next facts of a run and move it on to `run.position`. Its first step puts an entry in the ledger.

    Raises Conflict where another process works on the same run.
    """
    duplicates = sum(facts.insert(tx, log, fact, marked=False)[1] for fact in new)
    moved = structs.replace(run, stored=run.stored + len(new) - duplicates, duplicates=run.duplicates + duplicates)
    row = tx.execute("SELECT stored + duplicates FROM import_run WHERE id = ?", (run.id,)).fetchone()
    finished_at = log.ts if run.finished else None
    if row is None:
        digest = hmac.digest(run.salt, run.digest, "sha256")
        placed = log.add("import", subject=run.id, project=run.project, digest=digest)
        tx.execute(
            "INSERT INTO import_run (id, project_id, name, format, digest, salt, position, stored, duplicates, skipped,"
            " started_at, finished_at, log, idx) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                run.id, projects.ensure(tx, run.project), run.name, run.format, run.digest, run.salt, moved.position,
                moved.stored, moved.duplicates, moved.skipped, log.ts, finished_at, placed.log, placed.idx,
            ),
        )  # fmt: skip
        return moved
    if row[0] != run.stored + run.duplicates:
        raise Conflict(f"another process imports {run.name} as well", "let it finish; importing again is harmless")
    tx.execute(
        "UPDATE import_run SET position = ?, stored = ?, duplicates = ?, skipped = ?, finished_at = ? WHERE id = ?",
        (moved.position, moved.stored, moved.duplicates, moved.skipped, finished_at, run.id),
    )
    return moved
