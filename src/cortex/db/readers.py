"""Read-only connections, one per thread of a small pool; each read sees one snapshot and can be interrupted."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import apsw

from cortex import limits
from cortex.db.connect import Tx
from cortex.db.faults import told
from cortex.errors import Unavailable

# How many steps of SQLite's machine (well under a millisecond) a read makes before it looks whether it is to stop.
_STEPS_BETWEEN_LOOKS = 10_000


class Reading:
    """One read under way: its future, and whether it is to stop."""

    def __init__(self) -> None:
        self.future: Future[Any] = Future()
        self._stopped = False

    def run(self, connection: apsw.Connection, read: Callable[[Tx], Any]) -> Any:
        connection.execute("BEGIN")
        # `connection.interrupt` would stop only what runs at that moment, not the read's next statement.
        connection.set_progress_handler(lambda: self._stopped, _STEPS_BETWEEN_LOOKS)
        try:
            return read(connection)
        finally:
            connection.set_progress_handler(None)
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def interrupt(self) -> None:
        """Stop the read: a queued one never starts, a running one ends with Unavailable."""
        self.future.cancel()
        self._stopped = True


class Readers:
    """A bounded pool of readers; connections open when a thread first reads."""

    def __init__(self, path: str, connect: Callable[[], apsw.Connection], count: int) -> None:
        self._path = path
        self._connect = connect
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="cortex-reader")
        self._slots = threading.BoundedSemaphore(limits.READ_QUEUE_MAX)
        self._open: list[apsw.Connection] = []
        self._lock = threading.Lock()

    def submit(self, read: Callable[[Tx], Any]) -> Reading:
        """Queue `read` on its own snapshot. Raises Unavailable when too many wait or the pool is closed."""
        if not self._slots.acquire(blocking=False):
            raise Unavailable(f"{limits.READ_QUEUE_MAX} reads are waiting already", "try again", retry_after_ms=100)
        reading = Reading()
        try:
            self._pool.submit(self._run, reading, read)
        except RuntimeError:
            self._slots.release()
            raise Unavailable(f"{self._path} is closed", "open it again") from None
        return reading

    def close(self) -> None:
        self._pool.shutdown(wait=True)
        for connection in self._open:
            connection.close()

    def _run(self, reading: Reading, read: Callable[[Tx], Any]) -> None:
        future = reading.future
        result: Any = None
        failure: Exception | None = None
        # The place is free before the caller is told: what it does next may need it.
        try:
            if not future.set_running_or_notify_cancel():
                return
            result = reading.run(self._connection(), read)
        except Exception as error:  # noqa: BLE001 - whatever a read raises is told to its caller
            failure = told(error, self._path)
        finally:
            self._slots.release()
        if failure is None:
            future.set_result(result)
        else:
            future.set_exception(failure)

    def _connection(self) -> apsw.Connection:
        connection: apsw.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._connect()
            connection.execute("PRAGMA query_only = ON")
            self._local.connection = connection
            with self._lock:
                self._open.append(connection)
        return connection
