"""A Cortex file, open: one writer, several readers. `read(fn)` and `write(fn)` are all that the rest of Cortex sees."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import apsw

from cortex import limits
from cortex.db import migrate
from cortex.db.backup import copy_to, damage
from cortex.db.connect import Tx, connect, create_file, integer, use_log, writable
from cortex.db.faults import translate
from cortex.db.readers import Readers
from cortex.db.writer import Writer
from cortex.errors import Unavailable
from cortex.files import found

T = TypeVar("T")


class Database:
    """One open file. Made by `Database.open`; `close` finishes what is queued."""

    def __init__(
        self,
        path: Path,
        opened: Callable[[], apsw.Connection],
        writer: Writer,
        readers: Readers,
        kept: Path | None,
    ) -> None:
        self.path = path
        # The copy of the file as it was before its schema was changed; None where it was not.
        self.kept = kept
        self._opened = opened
        self._writer = writer
        self._readers = readers
        # A connection that never writes: to it, every commit is somebody else's.
        self._watch: apsw.Connection | None = opened()
        self._watch.set_busy_timeout(0)
        self._watching = threading.Lock()

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        create: bool = True,
        readers: int = limits.READERS_MAX,
        batch_ops: int = limits.BATCH_OPS_MAX,
        busy_timeout_ms: int = limits.BUSY_TIMEOUT_MS,
        vfs: str | None = None,
        migrations: tuple[migrate.Migration, ...] | None = None,
    ) -> "Database":
        """Open `path`, made and migrated first where need be. An older file is copied beside itself before.

        Raises Invalid for a foreign file, Unavailable for a missing (`create=False`), locked or newer one, Corrupt for
        a damaged one.
        """
        known = migrations if migrations is not None else migrate.shipped()
        if create and found(path) is None:
            create_file(path)

        def opened() -> apsw.Connection:
            return connect(path, busy_timeout_ms=busy_timeout_ms, vfs=vfs)

        try:
            kept = _prepare(opened, path, known, busy_timeout_ms)
        except apsw.Error as error:
            raise translate(error, str(path)) from error
        writer = Writer(str(path), opened, len(known), batch_ops)
        writer.start()
        return cls(path, opened, writer, Readers(str(path), opened, readers), kept)

    async def write(self, run: Callable[[Tx], T]) -> T:
        """Run `run` in the writer's next transaction; returns its result after COMMIT.

        Once begun, a write cannot be taken back: a caller that is cancelled meanwhile leaves it to finish.
        """
        result: T = await self._writer.submit(run)
        return result

    async def read(self, run: Callable[[Tx], T]) -> T:
        """Run `run` on a snapshot that sees every commit before it, of any process."""
        reading = self._readers.submit(run)
        try:
            result: T = await asyncio.wrap_future(reading.future)
        except asyncio.CancelledError:
            reading.interrupt()
            raise
        return result

    def version(self) -> int | None:
        """A number that changes with every commit of any process; None where it cannot be told without waiting.

        Takes microseconds: it may be called on the event loop.
        """
        with self._watching:
            if self._watch is None:
                return None
            try:
                return integer(self._watch, "PRAGMA data_version")
            except apsw.Error:
                return None  # whoever asks reads the file, and is told what is wrong there

    def empty_log(self) -> bool:
        """Write the write-ahead log into the file and cut it to nothing.

        False where somebody still reads from it, or the disk does not take it now.

        Blocks for up to SCRUB_WAIT_MS; to be called off the event loop.
        """
        with self._alone() as connection:
            connection.set_busy_timeout(limits.SCRUB_WAIT_MS)
            try:
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            except (apsw.BusyError, apsw.FullError, apsw.IOError):
                return False
        return True

    def rewrite(self) -> None:
        """Write every page of the file anew, so that nothing that was deleted stays in unused parts of a page.

        Blocks for as long as copying the file takes, and needs space for a second one; to be called off the event loop.
        """
        with self._alone() as connection:
            # A whole file does not fit the memory of every machine. SQLite's temporary file has no name once it is
            # open, and what it holds is what is kept.
            connection.execute("PRAGMA temp_store = FILE")
            connection.execute("VACUUM")

    def check_structure(self) -> None:
        """Raise Corrupt unless every page and index is sound. Blocks; to be called off the event loop.

        On a connection of its own: FTS5 checks a connection that has read the index before against what it remembers
        of it, and takes another connection's change for damage.
        """
        with self._alone() as connection:
            damage(connection, str(self.path))

    @property
    def writable(self) -> bool:
        """Whether this process may write to the file."""
        return writable(self.path)

    @contextmanager
    def _alone(self) -> Iterator[apsw.Connection]:
        """A connection for one purpose, closed afterwards."""
        connection = self._opened()
        try:
            yield connection
        except apsw.Error as error:
            raise translate(error, str(self.path)) from error
        finally:
            connection.close()

    def close(self) -> None:
        """Finish what is queued and close every connection. Safe to call twice."""
        self._writer.close()
        self._readers.close()
        with self._watching:
            if self._watch is not None:
                self._watch.close()
                self._watch = None


def _prepare(
    opened: Callable[[], apsw.Connection], path: Path, known: tuple[migrate.Migration, ...], busy_timeout_ms: int
) -> Path | None:
    """Bring the file to the newest schema; several processes may do this at once. Returns the copy that was kept."""
    connection = opened()
    kept = None
    try:
        connection.execute("BEGIN")  # one snapshot: another process may be making the file right now
        waiting = migrate.pending(connection, str(path), known)
        connection.execute("COMMIT")
        if not waiting and connection.readonly("main"):
            return None
        use_log(connection, busy_timeout_ms)
        if not waiting:
            return None
        connection.execute("BEGIN IMMEDIATE")
        # Looked up again inside: another process may have been first.
        waiting = migrate.pending(connection, str(path), known)
        if waiting and migrate.version(connection):
            kept = _keep_copy(opened, path, migrate.version(connection))
        _migrate(connection, waiting, kept)
        connection.execute("COMMIT")
    finally:
        connection.close()
    return kept


def _migrate(tx: Tx, waiting: tuple[migrate.Migration, ...], kept: Path | None) -> None:
    try:
        migrate.apply(tx, waiting)
    except apsw.Error:
        # Nothing changed, and a program that is started again and again would fill the disk with copies.
        if kept is not None:
            kept.unlink(missing_ok=True)
        raise


def _keep_copy(opened: Callable[[], apsw.Connection], path: Path, version: int) -> Path:
    """Copy the file as it is before a migration, beside the copies that there may be of earlier times.

    Through a connection of its own: SQLite copies nothing out of a connection that is about to write.
    """
    first = path.with_name(f"{path.name}.schema-{version}.bak")
    names = (first, *(first.with_name(f"{first.name}.{number}") for number in range(1, limits.SCHEMA_COPIES_MAX)))
    target = next((name for name in names if found(name) is None and not name.is_symlink()), None)
    if target is None:
        raise Unavailable(
            f"there are {limits.SCHEMA_COPIES_MAX} copies {first}.* already", "remove those that are not needed"
        )
    reader = opened()
    try:
        copy_to(reader, target)
    finally:
        reader.close()
    return target
