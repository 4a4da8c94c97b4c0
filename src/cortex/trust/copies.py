"""A copy of the consensus tables outside of the file, into which the votes log is replayed, so that a run can resume.

It lies beside what is remembered of the file. A copy that is damaged, or of another log than the file's, is not used.
"""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw

from cortex.db import migrate
from cortex.db.connect import Tx
from cortex.errors import Corrupt, Invalid
from cortex.ledger import memory, merkle
from cortex.trust import log as logs


def blank(name: str) -> Tx:
    """A database without rows, with the tables of a file; what is written to it need not last."""
    connection = apsw.Connection(name)
    # With no journal at all an event that the rules refuse could not be undone.
    connection.execute("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY").fetchall()
    migrate.apply(connection, migrate.shipped())
    # Its lock tells others that somebody is at work in it.
    connection.execute("BEGIN IMMEDIATE")
    return connection


class Copy:
    """A copy that is open, inside a transaction that only `keep` ends well.

    `resumed` says whether it had the beginning of the log already.
    """

    def __init__(self, file: Path | None, held: Tx | None) -> None:
        self._file = file
        self._temporary: Path | None = None
        self.resumed = held is not None
        if held is not None:
            self.tx: Tx = held
        else:
            self._begin(on_disk=True)

    def start_anew(self, *, on_disk: bool = True) -> None:
        """Go on with an empty copy."""
        self.close()
        self.resumed = False
        self._begin(on_disk=on_disk)

    def _begin(self, *, on_disk: bool) -> None:
        self._temporary = _temporary(self._file) if on_disk and self._file is not None else None
        if self._temporary is not None:
            try:
                self.tx = blank(str(self._temporary))
                return
            except apsw.Error:  # a full disk, say: memory has to do
                self._temporary.unlink(missing_ok=True)
                self._temporary = None
        self.tx = blank(":memory:")

    def keep(self) -> str | None:
        """Let the copy last, for the next run to resume. Returns why that could not be done, None where it was."""
        try:
            self.tx.execute("COMMIT")
            self.tx.close()
            if self._temporary is not None and self._file is not None:
                _replace(self._temporary, self._file)
                self._temporary = None
        except (apsw.Error, OSError) as error:
            return f"the next verification of votes has to begin anew ({error})"
        return None

    def close(self) -> None:
        """Leave the copy; what was not kept is gone."""
        self.tx.close()
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)
            self._temporary = None


def place(home: Path, database: Path) -> Path:
    """Where the copy for a database lies."""
    return memory.place(home, database).with_suffix(".votes")


@contextmanager
def opened(file: Path | None, tx: Tx, origin: str, size: int, root: bytes, *, resume: bool) -> Iterator[Copy]:
    """A copy to replay the log of `origin` into, whose `size` leaves have the `root`.

    With `resume` the one in `file`, if its leaves are the first ones of this log; else an empty one.
    """
    held = _held(file, tx, origin, size, root) if resume and file is not None else None
    copy = Copy(file, held)
    try:
        yield copy
    finally:
        copy.close()


def _held(file: Path, tx: Tx, origin: str, size: int, root: bytes) -> Tx | None:
    """The copy in `file`, inside a transaction that keeps others out; None where it is of no use."""
    if not file.is_file():
        return None
    connection = None
    try:
        connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READWRITE)
        connection.execute("PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY; BEGIN EXCLUSIVE").fetchall()
        if _is_beginning(connection, tx, origin, size, root):
            return connection
    except apsw.Error:
        pass  # damaged, or another verification is at it
    if connection is not None:
        connection.close()
    return None


def _is_beginning(copy: Tx, tx: Tx, origin: str, size: int, root: bytes) -> bool:
    """Whether what was replayed into a copy is the beginning of this log, by a proof between the two roots."""
    if migrate.version(copy) != len(migrate.shipped()):
        return False
    state = logs.state(copy)
    if state is None or state.origin != origin or not 0 < state.size <= size:
        return False
    try:
        proof = merkle.consistency_proof(state.size, size, logs.nodes(tx))
        merkle.verify_consistency(state.size, size, proof, state.root, root)
    except (Corrupt, Invalid):
        return False
    return True


def _temporary(file: Path) -> Path | None:
    """A new file beside `file`; None where that cannot be made. What runs that were killed left is removed first."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in file.parent.glob(f".{file.name}.*"):
            if not _in_use(left):
                left.unlink(missing_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    except OSError:
        return None
    os.close(handle)
    return Path(name)


def _in_use(file: Path) -> bool:
    """Whether another verification is at work in a file."""
    try:
        with closing(apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READWRITE)) as connection:
            connection.execute("BEGIN EXCLUSIVE").fetchall()
    except apsw.BusyError:
        return True
    except apsw.Error:
        return False  # it is no database, so nobody can be at work in it
    return False


def _replace(new: Path, file: Path) -> None:
    """Put a finished copy in the place of the one before, unless another verification is at that one."""
    if file.is_file() and _in_use(file):
        raise BlockingIOError(errno.EBUSY, "another verification is at it")
    # The journal of a run that crashed would be played back into the new file.
    file.with_name(f"{file.name}-journal").unlink(missing_ok=True)
    new.replace(file)
