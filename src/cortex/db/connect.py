"""Opening one SQLite connection the way Cortex needs it, on files that may be missing, foreign or read-only."""

import os
import stat
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import apsw

from cortex.db.faults import translate
from cortex.errors import Invalid, Unavailable
from cortex.files import found

# A transaction, as the functions of the domain see it: the connection that is inside one.
Tx: TypeAlias = apsw.Connection

APPLICATION_ID = 0x43747831  # "Ctx1", in the file's header: what tells a Cortex file from any other SQLite file

_LOG_POLL_SECONDS = 0.005

# secure_delete overwrites what is deleted; temp_store keeps sorted text out of temporary files; trusted_schema
# keeps a crafted file's schema from calling functions.
_PRAGMAS = """
PRAGMA foreign_keys = ON;
PRAGMA secure_delete = ON;
PRAGMA synchronous = FULL;
PRAGMA temp_store = MEMORY;
PRAGMA trusted_schema = OFF;
PRAGMA cell_size_check = ON;
PRAGMA cache_size = -8000;
"""


def create_file(path: Path) -> None:
    """Make an empty file that only its owner can read, unless there is one. -wal and -shm get the same mode."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        if not _is_there(path):
            raise Unavailable(f"{path.parent} is not a folder", "give a path inside a folder") from None
    except OSError as error:
        raise Unavailable(f"{path} cannot be created ({error.strerror})", "give another --db") from None


def connect(path: Path, *, busy_timeout_ms: int, vfs: str | None = None) -> apsw.Connection:
    """A connection to an existing file: writable where the file is, read-only where it is not.

    Raises Invalid for a folder or a file that is not SQLite, Unavailable where it cannot be opened.
    """
    if not _is_there(path):
        raise Unavailable(f"there is no file {path}", "`cortex init` makes one")
    try:
        connection = _open(path, vfs)
        connection.set_busy_timeout(busy_timeout_ms)
        connection.execute(_PRAGMAS).fetchall()  # some answer with a row, and the rest runs only once that is read
    except apsw.Error as error:
        raise translate(error, str(path)) from error
    return connection


def writable(path: Path) -> bool:
    """Whether this process may write to a database file: its log lies beside it, so the folder counts too."""
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _is_there(path: Path) -> bool:
    at = found(path)
    if at is None and path.is_symlink():
        raise Unavailable(f"{path} is a link to {path.readlink()}, which is not there", "mend or remove the link")
    if at is None:
        return False
    if not stat.S_ISREG(at.st_mode):
        raise Invalid(
            f"{path} is a {'folder' if stat.S_ISDIR(at.st_mode) else 'device or pipe'}", "give the path of a file"
        )
    if at.st_nlink > 1:
        # Each name would have a write-ahead log of its own, and two logs over one file destroy it.
        raise Unavailable(f"{path} has {at.st_nlink} names (hard links)", "remove the other names, then try again")
    return True


def _open(path: Path, vfs: str | None) -> apsw.Connection:
    flags = apsw.SQLITE_OPEN_URI | apsw.SQLITE_OPEN_NOMUTEX
    if writable(path):
        return apsw.Connection(str(path), flags=flags | apsw.SQLITE_OPEN_READWRITE, vfs=vfs)
    # A WAL file cannot be read without writing its -shm. Where the folder forbids that and nobody left a -wal,
    # nothing can change the file either, and `immutable` says so.
    log = found(Path(f"{path}-wal"))
    immutable = not os.access(path.parent, os.W_OK) and (log is None or log.st_size == 0)
    uri = f"file:{urllib.parse.quote(str(path))}?mode=ro{'&immutable=1' if immutable else ''}"
    return apsw.Connection(uri, flags=flags | apsw.SQLITE_OPEN_READONLY, vfs=vfs)


def use_log(connection: apsw.Connection, wait_ms: int) -> None:
    """Switch the file to a write-ahead log, which lets readers go on beside a writer. A file keeps the mode.

    SQLite waits for nobody here: another process that does the same makes it answer "busy" at once.
    """
    deadline = time.monotonic() + wait_ms / 1000
    while value(connection, "PRAGMA journal_mode") != "wal":
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
        except apsw.BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_LOG_POLL_SECONDS)


Bindings: TypeAlias = Sequence[Any] | Mapping[str, Any]


def value(tx: Tx, sql: str, bindings: Bindings = ()) -> object:
    """The first column of the first row, or None."""
    row = tx.execute(sql, bindings).fetchone()
    return None if row is None else row[0]


def integer(tx: Tx, sql: str, bindings: Bindings = ()) -> int:
    """The first column of the first row, which is an integer."""
    found = value(tx, sql, bindings)
    assert isinstance(found, int), f"{sql} gave {found!r}"
    return found
