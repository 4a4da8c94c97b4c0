"""Copies of a file while it is in use, and putting one back: both verified before they count."""

from pathlib import Path

import apsw

from cortex.db.connect import Tx
from cortex.errors import Corrupt
from cortex.files import whole

# With the journal in the main file, a copy is one file.
_SINGLE_FILE = "PRAGMA journal_mode = DELETE"


def copy_to(tx: Tx, target: Path) -> None:
    """Write a consistent copy of the open file to `target` (mode 0600), synced and checked before it takes that name.

    Raises Conflict where `target` exists, Unavailable where it cannot be written, Corrupt where the copy is damaged.
    """
    with whole(target) as temporary:
        _copy(tx, temporary)


def _copy(source: Tx, temporary: Path) -> None:
    target = apsw.Connection(str(temporary))
    try:
        with target.backup("main", source, "main") as backup:
            backup.step(-1)
        target.execute(_SINGLE_FILE)
        damage(target, str(temporary))
    finally:
        target.close()


def overwrite(target: Tx, source: Tx) -> None:
    """Replace the content of the open file `target` by that of `source`, in one transaction for other processes."""
    with target.backup("main", source, "main") as backup:
        backup.step(-1)


def damage(tx: Tx, path: str) -> None:
    """Raise Corrupt with SQLite's first findings if the file's structure is not sound."""
    found = [row[0] for row in tx.execute("PRAGMA integrity_check(5)")]
    if found != ["ok"]:
        raise Corrupt(f"{path} is damaged: {'; '.join(found)}", "restore a backup with `cortex restore FROM`")
