"""Replacing everything that an open file holds by what another holds, in one transaction.

Other processes may go on using the file: before the commit they see and change the old content, after it the new, and
nothing that they committed falls between. SQLite's own backup interface cannot give that: it takes the write lock only
when it begins to overwrite, so that what is committed between a copy of the old content and that moment would be lost.
"""

from collections.abc import Callable
from pathlib import Path

from cortex.db.connect import Tx, integer

_TABLES = (
    "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE '%!_fts%' ESCAPE '!'"
    " AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY rowid"
)
_INDEXES = ("revision_fts", "window_fts")
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
    before = integer(tx, "SELECT change_seq FROM main.file_state")
    for index in _INDEXES:
        tx.execute(f"INSERT INTO {index} ({index}) VALUES ('delete-all')")
    for (name,) in tx.execute(_TABLES).fetchall():
        # Generated columns are not in table_info: they make themselves.
        columns = ", ".join(str(row[0]) for row in tx.execute("SELECT name FROM pragma_table_info(?)", (name,)))
        tx.execute(f"DELETE FROM main.{name}")
        tx.execute(f"INSERT INTO main.{name} ({columns}) SELECT {columns} FROM source.{name}")
    # The commit token is of this file: a commit that is looked up later must not find one of another.
    # Who remembers this file's changes goes on counting from there, and what it knows of vectors is void.
    tx.execute("UPDATE file_state SET change_seq = max(change_seq, ?) + 1, commit_token = randomblob(12)", (before,))
    tx.execute("UPDATE vector_epoch SET epoch = randomblob(8)")
    for index in _INDEXES:
        tx.execute(f"INSERT INTO {index} ({index}) VALUES ('rebuild')")
    for _, sql in triggers:
        tx.execute(str(sql))
