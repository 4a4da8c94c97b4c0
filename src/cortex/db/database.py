"""A Cortex file, open: one writer, several readers. `read(fn)` and `write(fn)` are all that the rest of Cortex sees."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import apsw

from cortex import limits
from cortex.db import migrate
from cortex.db.backup import copy_to, damage
from cortex.db.connect import Tx, connect, create_file, use_log
from cortex.db.faults import translate
from cortex.db.readers import Readers
from cortex.db.writer import Writer

T = TypeVar("T")


class Database:
    """One open file. Made by `Database.open`; `close` finishes what is queued."""

    def __init__(self, path: Path, opened: Callable[[], apsw.Connection], writer: Writer, readers: Readers) -> None:
        self.path = path
        self._opened = opened
        self._writer = writer
        self._readers = readers

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
        """Open `path`, made and migrated first where need be. An older file is copied to `<path>.schema-N.bak` before.

        Raises Invalid for a foreign file, Unavailable for a missing (`create=False`), locked or newer one, Corrupt for
        a damaged one.
        """
        known = migrations if migrations is not None else migrate.shipped()
        if create and not path.exists():
            create_file(path)

        def opened() -> apsw.Connection:
            return connect(path, busy_timeout_ms=busy_timeout_ms, vfs=vfs)

        try:
            _prepare(opened, path, known, busy_timeout_ms)
        except apsw.Error as error:
            raise translate(error, str(path)) from error
        writer = Writer(str(path), opened, len(known), batch_ops)
        writer.start()
        return cls(path, opened, writer, Readers(str(path), opened, readers))

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

    def empty_log(self) -> bool:
        """Write the write-ahead log into the file and cut it to nothing. False where somebody still reads from it.

        Blocks for up to SCRUB_WAIT_MS; to be called off the event loop.
        """
        connection = self._opened()
        try:
            connection.set_busy_timeout(limits.SCRUB_WAIT_MS)
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.BusyError:
            return False
        except apsw.Error as error:
            raise translate(error, str(self.path)) from error
        finally:
            connection.close()
        return True

    def check_structure(self) -> None:
        """Raise Corrupt unless every page and index is sound. Blocks; to be called off the event loop.

        On a connection of its own: FTS5 checks a connection that has read the index before against what it remembers
        of it, and takes another connection's change for damage.
        """
        connection = self._opened()
        try:
            damage(connection, str(self.path))
        except apsw.Error as error:
            raise translate(error, str(self.path)) from error
        finally:
            connection.close()

    def close(self) -> None:
        """Finish what is queued and close every connection. Safe to call twice."""
        self._writer.close()
        self._readers.close()


def _prepare(
    opened: Callable[[], apsw.Connection], path: Path, known: tuple[migrate.Migration, ...], busy_timeout_ms: int
) -> None:
    """Bring the file to the newest schema; several processes may do this at once."""
    connection = opened()
    try:
        connection.execute("BEGIN")  # one snapshot: another process may be making the file right now
        waiting = migrate.pending(connection, str(path), known)
        connection.execute("COMMIT")
        if not waiting and connection.readonly("main"):
            return
        use_log(connection, busy_timeout_ms)
        if not waiting:
            return
        connection.execute("BEGIN IMMEDIATE")
        # Looked up again inside: another process may have been first.
        waiting = migrate.pending(connection, str(path), known)
        if waiting and migrate.version(connection):
            _keep_copy(opened, path, migrate.version(connection))
        migrate.apply(connection, waiting)
        connection.execute("COMMIT")
    finally:
        connection.close()


def _keep_copy(opened: Callable[[], apsw.Connection], path: Path, version: int) -> None:
    """Copy the file as it is before a migration, in place of what an attempt that was cut short left behind.

    Through a connection of its own: SQLite copies nothing out of a connection that is about to write.
    """
    target = path.with_name(f"{path.name}.schema-{version}.bak")
    target.unlink(missing_ok=True)
    reader = opened()
    try:
        copy_to(reader, target)
    finally:
        reader.close()
