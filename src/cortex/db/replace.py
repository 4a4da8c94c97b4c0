"""Replacing everything that an open file holds by what another holds, in one transaction.

Other processes may go on using the file: before the commit they see and change the old content, after it the new, and
nothing that they committed falls between. SQLite's own backup interface cannot give that: it takes the write lock only
when it begins to overwrite, so that what is committed between a copy of the old content and that moment would be lost.
"""

from collections.abc import Callable
from pathlib import Path

from cortex.db.connect import Tx

_TABLES = (
    "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'revision!_fts%' ESCAPE '!'"
    " AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY rowid"
)
_TRIGGERS = "SELECT name, sql FROM main.sqlite_schema WHERE type = 'trigger'"


def replace(target: Tx, source: Path, keep: Callable[[], None]) -> None:
    """Replace the content of `target` by that of the file `source`, which has the same schema.

    `keep` is called while the write lock is held: what it copies through another connection is exactly what is
    replaced.
    """
    target.execute("PRAGMA foreign_keys = OFF")
    target.execute("ATTACH ? AS source", (str(source),))
    try:
        target.execute("BEGIN IMMEDIATE")
        try:
            keep()
            _copy(target)
            target.execute("COMMIT")
        finally:
            if target.in_transaction:
                target.execute("ROLLBACK")
    finally:
        target.execute("DETACH source")


def _copy(tx: Tx) -> None:
    triggers = tx.execute(_TRIGGERS).fetchall()
    for name, _ in triggers:
        tx.execute(f"DROP TRIGGER main.{name}")
    tx.execute("INSERT INTO revision_fts (revision_fts) VALUES ('delete-all')")
    for (name,) in tx.execute(_TABLES).fetchall():
        tx.execute(f"DELETE FROM main.{name}")
        tx.execute(f"INSERT INTO main.{name} SELECT * FROM source.{name}")
    # The commit token is of this file: a commit that is looked up later must not find one of another.
    tx.execute("UPDATE file_state SET change_seq = change_seq + 1, commit_token = randomblob(12)")
    tx.execute("INSERT INTO revision_fts (revision_fts) VALUES ('rebuild')")
    for _, sql in triggers:
        tx.execute(str(sql))
