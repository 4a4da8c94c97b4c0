"""Copies of a file while it is in use, and putting one back: both verified before they count."""

import os
import tempfile
from pathlib import Path

import apsw

from cortex.db.connect import Tx
from cortex.errors import Corrupt, Unavailable
from cortex.files import exists, refuse_existing, sync_folder

# With the journal in the main file, a copy is one file.
_SINGLE_FILE = "PRAGMA journal_mode = DELETE"


def copy_to(tx: Tx, target: Path) -> None:
    """Write a consistent copy of the open file to `target` (mode 0600), synced and checked before it takes that name.

    Raises Conflict where `target` exists, Unavailable where it cannot be written, Corrupt where the copy is damaged.
    """
    refuse_existing(target)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise Unavailable(f"{target.parent} cannot be written ({error.strerror})", "give another folder") from None
    os.close(handle)
    temporary = Path(name)
    try:
        _copy(tx, temporary)
        # A hard link refuses an existing target, where a rename would replace it.
        os.link(temporary, target)
    except FileExistsError:
        raise exists(target) from None
    except OSError as error:
        raise Unavailable(f"{target} cannot be written ({error.strerror})", "give another folder") from None
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(target.parent)


def _copy(source: Tx, temporary: Path) -> None:
    target = apsw.Connection(str(temporary))
    try:
        with target.backup("main", source, "main") as backup:
            backup.step(-1)
        target.execute(_SINGLE_FILE)
        damage(target, str(temporary))
    finally:
        target.close()
    with temporary.open("rb") as written:
        os.fsync(written.fileno())


def overwrite(target: Tx, source: Tx) -> None:
    """Replace the content of the open file `target` by that of `source`, in one transaction for other processes."""
    with target.backup("main", source, "main") as backup:
        backup.step(-1)


def damage(tx: Tx, path: str) -> None:
    """Raise Corrupt with SQLite's first findings if the file's structure is not sound."""
    found = [row[0] for row in tx.execute("PRAGMA integrity_check(5)")]
    if found != ["ok"]:
        raise Corrupt(f"{path} is damaged: {'; '.join(found)}", "restore a backup with `cortex restore FROM`")
