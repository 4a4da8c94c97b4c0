"""What SQLite's errors mean to a caller: one table from SQLite's result to our error tree."""

import apsw

from cortex.errors import Conflict, Corrupt, CortexError, Internal, Invalid, TooLarge, Unavailable


def told(error: Exception, path: str) -> Exception:
    """What the caller of a function of a transaction on the file `path` gets for what that raised."""
    if isinstance(error, apsw.Error):
        return translate(error, path)
    if isinstance(error, UnicodeDecodeError):
        # Text is only ever stored whole: bytes that are no UTF-8 were not written by us.
        return Corrupt(f"{path} is damaged (text in it is not UTF-8)", "restore a backup with `cortex restore FROM`")
    if isinstance(error, StopIteration):
        return Internal("a StopIteration got out of a transaction", "report this")  # no future takes one
    return error


def translate(error: apsw.Error, path: str) -> CortexError:
    """What an error of SQLite on the file `path` means."""
    for kind, build in _TABLE:
        if isinstance(error, kind):
            return build(error, path)
    return Internal(f"SQLite said {error} on {path}", "run `cortex doctor`")


def _busy(_: apsw.Error, path: str) -> CortexError:
    return Unavailable(
        f"another process keeps {path} locked",
        "try again; if it stays so, find the process that holds it open",
        retry_after_ms=1_000,
    )


def _full(_: apsw.Error, path: str) -> CortexError:
    return Unavailable(f"no space left to write {path}; nothing of this was stored", "free some space")


def _io(error: apsw.Error, path: str) -> CortexError:
    if getattr(error, "extendedresult", None) == apsw.SQLITE_IOERR_SHMSIZE:
        # The memory that processes share is a file beside the database, which could not be made large enough.
        return _full(error, path)
    return Unavailable(f"the disk answered with an error on {path} ({error})", "check the disk, then `cortex doctor`")


def _read_only(_: apsw.Error, path: str) -> CortexError:
    return Unavailable(f"{path} is read-only here", "make the file and its folder writable, or give another --db")


def _corrupt(error: apsw.Error, path: str) -> CortexError:
    return Corrupt(f"{path} is damaged ({error})", "restore a backup with `cortex restore FROM`")


def _foreign(_: apsw.Error, path: str) -> CortexError:
    return Invalid(f"{path} is not an SQLite file", "give the path of a Cortex file, or one that does not exist yet")


def _cannot_open(error: apsw.Error, path: str) -> CortexError:
    return Unavailable(f"{path} cannot be opened ({error})", "check that its folder exists and may be read and written")


def _interrupted(_: apsw.Error, path: str) -> CortexError:
    return Unavailable(f"the read of {path} was interrupted", "try again")


def _too_big(error: apsw.Error, path: str) -> CortexError:
    return TooLarge(f"a value is too large for {path} ({error})", "store less text in one fact")


def _schema(error: apsw.Error, path: str) -> CortexError:
    return Unavailable(f"the schema of {path} changed meanwhile ({error})", "start this process again")


def _constraint(error: apsw.Error, path: str) -> CortexError:
    return Conflict(f"{path} refused the change ({error})", "read the current state and try again")


_TABLE = (
    (apsw.BusyError, _busy),
    (apsw.LockedError, _busy),
    (apsw.FullError, _full),
    (apsw.ReadOnlyError, _read_only),
    (apsw.CorruptError, _corrupt),
    (apsw.NotADBError, _foreign),
    (apsw.IOError, _io),
    (apsw.CantOpenError, _cannot_open),
    (apsw.InterruptError, _interrupted),
    (apsw.TooBigError, _too_big),
    (apsw.SchemaChangeError, _schema),
    (apsw.ConstraintError, _constraint),
)
