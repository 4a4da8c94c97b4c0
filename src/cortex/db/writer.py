"""The one writer thread: drains what is queued into one transaction, and acknowledges only after COMMIT.

A batch runs without savepoints, since each one makes FTS5 flush what it holds in memory. Where an operation of it is
refused, the transaction is rolled back and the batch runs again with a SAVEPOINT round each operation, so that the
refused ones leave the others alone: operations are functions of the transaction and can be run twice.

SQLite's own rollback (disk full, I/O error) destroys savepoints: after every error the writer looks whether it is still
inside the transaction, and if not, the whole batch fails. An error at COMMIT leaves the outcome open; every commit
writes a token, and after reopening the file the token tells which it was.
"""

import asyncio
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import apsw

from cortex import limits
from cortex.db.connect import Tx, value
from cortex.db.faults import told
from cortex.errors import CortexError, Unavailable


@dataclass(frozen=True)
class Job:
    """A function of a transaction, and where its result goes."""

    run: Callable[[Tx], Any]
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"


@dataclass(frozen=True)
class Outcome:
    """What a job came to inside the transaction; true for its caller only once that is committed."""

    job: Job
    result: Any
    error: Exception | None = None


class _RolledBackError(Exception):
    """SQLite gave the transaction up; `error` is what made it."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class _RefusedError(Exception):
    """An operation of a batch was refused: the batch is to run again, each operation for itself."""


class Writer:
    """Owns the writing connection and the thread that uses it, from `start` to `close`."""

    def __init__(
        self, path: str, connect: Callable[[], apsw.Connection], schema: int, batch_ops: int = limits.BATCH_OPS_MAX
    ) -> None:
        self._path = path
        self._connect = connect
        self._schema = schema
        self._batch_ops = batch_ops
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._connection: apsw.Connection | None = None
        self._thread = threading.Thread(target=self._work, name="cortex-writer", daemon=True)
        self._lock = threading.Lock()
        self._closed = False

    def start(self) -> None:
        """Start the thread; the connection opens with the first write."""
        self._thread.start()

    def submit(self, run: Callable[[Tx], Any]) -> "asyncio.Future[Any]":
        """Queue `run`, from an event loop. The future resolves after COMMIT.

        Raises Unavailable when the queue is full or closed.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        with self._lock:
            if self._closed:
                raise Unavailable(f"{self._path} is closed", "open it again")
            if self._queue.qsize() >= limits.QUEUE_OPS_MAX:
                raise Unavailable(f"{limits.QUEUE_OPS_MAX} writes are waiting", "try again", retry_after_ms=100)
            self._queue.put(Job(run, loop, future))
        return future

    def close(self) -> None:
        """Finish what is queued, then stop."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._thread.join()
        if self._connection is not None:
            self._connection.close()

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            drain = _Drain(self._queue, job, self._batch_ops)
            _deliver(self._batch(drain))
            if drain.closed:
                return

    def _batch(self, drain: "_Drain") -> list[Outcome]:
        """One transaction, or two where an operation was refused in the first."""
        try:
            try:
                return self._transaction(drain, _plainly)
            except _RefusedError:
                self._roll_back()
                return self._transaction(list(drain.taken), _guarded)
        except Exception as error:  # noqa: BLE001 - every caller of the batch is told; if the thread ended, none would be
            failure = self._clean_up(error)
            # Nothing is taken yet where the transaction could not begin: then all that is queued fails with it.
            return [Outcome(job, None, failure) for job in drain.taken or list(drain)]

    def _transaction(
        self, jobs: "Iterator[Job] | list[Job] | _Drain", attempt: Callable[[Tx, Job], Outcome]
    ) -> list[Outcome]:
        connection = self._begin()
        outcomes = [attempt(connection, job) for job in jobs]
        # Refusals alone change nothing; committing them would only cost a sync.
        if any(outcome.error is None for outcome in outcomes):
            self._commit(connection)
        else:
            connection.execute("ROLLBACK")
        return outcomes

    def _begin(self) -> apsw.Connection:
        if self._connection is None:
            self._connection = self._reached()
        self._connection.execute("BEGIN IMMEDIATE")
        schema = value(self._connection, "PRAGMA user_version")
        if schema != self._schema:
            raise Unavailable(
                f"{self._path} was changed to schema {schema} by another version of Cortex",
                "start this process again with that version",
            )
        return self._connection

    def _reached(self) -> apsw.Connection:
        try:
            return self._connect()
        except OSError as error:
            raise Unavailable(
                f"{self._path} cannot be opened ({error.strerror or error})", "check the disk, then try again"
            ) from error

    def _commit(self, connection: apsw.Connection) -> None:
        token = os.urandom(12)
        connection.execute("UPDATE file_state SET change_seq = change_seq + 1, commit_token = ?", (token,))
        try:
            connection.execute("COMMIT")
        except apsw.Error as error:
            if not self._was_committed(token, error):
                raise

    def _was_committed(self, token: bytes, error: apsw.Error) -> bool:
        """Look the outcome of a failed COMMIT up, and make sure of it on the disk.

        What is found in the write-ahead log may be in the system's memory only: it counts once it is synced in the file
        itself. Where it was not committed, a new token is, which overwrites what the failed attempt left in the log, so
        that no later recovery brings it back.
        """
        self._drop_connection()
        try:
            self._connection = self._reached()
            self._connection.execute("BEGIN IMMEDIATE")
            if value(self._connection, "SELECT commit_token FROM file_state") == token:
                self._connection.execute("ROLLBACK")
                self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_FULL)
                return True
            self._connection.execute("UPDATE file_state SET commit_token = ?", (os.urandom(12),))
            self._connection.execute("COMMIT")
        except (apsw.Error, CortexError) as second:
            self._drop_connection()
            raise Unavailable(
                f"outcome unknown: the disk failed while {self._path} was being written ({error}), and again when"
                f" looking whether the change was kept ({second})",
                "check the disk, then look whether the change is there before trying again",
            ) from error
        return False

    def _clean_up(self, error: Exception) -> Exception:
        """Nothing of this batch was kept. Returns what every caller of it is told."""
        cause = error.error if isinstance(error, _RolledBackError) else error
        self._roll_back()
        if isinstance(cause, apsw.IOError | apsw.CorruptError):
            self._drop_connection()
        return told(cause, self._path)

    def _roll_back(self) -> None:
        connection = self._connection
        if connection is not None and connection.in_transaction:
            try:
                connection.execute("ROLLBACK")
            except apsw.Error:
                self._drop_connection()

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except apsw.Error:
                # What cannot even be closed is left to the end of the process; the callers are told of the error
                # that came before.
                pass


class _Drain:
    """The jobs of a batch: the first, then whatever is queued, within the bounds of a batch."""

    def __init__(self, source: "queue.SimpleQueue[Job | None]", first: Job, most: int) -> None:
        self._source = source
        self._first = first
        self._most = most
        self.taken: list[Job] = []
        self.closed = False

    def __iter__(self) -> Iterator[Job]:
        deadline = time.monotonic() + limits.BATCH_WORK_MS / 1000
        job: Job | None = self._first
        while job is not None:
            if not job.future.cancelled():
                self.taken.append(job)
                yield job
            if len(self.taken) >= self._most or time.monotonic() > deadline:
                return
            try:
                job = self._source.get_nowait()
            except queue.Empty:
                return
        self.closed = True


def _plainly(connection: Tx, job: Job) -> Outcome:
    try:
        return Outcome(job, job.run(connection))
    except Exception as error:  # whatever it is, the second run of the batch tells its caller
        if not connection.in_transaction:
            raise _RolledBackError(error) from error
        raise _RefusedError from error


def _guarded(connection: Tx, job: Job) -> Outcome:
    connection.execute("SAVEPOINT operation")
    try:
        result = job.run(connection)
        connection.execute("RELEASE operation")
    except Exception as error:  # whatever it is, the caller of this operation is told, and no other
        if not connection.in_transaction:
            raise _RolledBackError(error) from error
        connection.execute("ROLLBACK TO operation")
        connection.execute("RELEASE operation")
        return Outcome(job, None, told(error, connection.filename))
    return Outcome(job, result)


def _deliver(outcomes: list[Outcome]) -> None:
    """Wake each event loop once for all that it waits for."""
    for loop in {outcome.job.loop for outcome in outcomes}:
        mine = [outcome for outcome in outcomes if outcome.job.loop is loop]
        try:
            loop.call_soon_threadsafe(_settle, mine)
        except RuntimeError:
            pass  # that loop has ended, and with it whoever waited


def _settle(outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        if outcome.job.future.cancelled():
            continue
        if outcome.error is None:
            outcome.job.future.set_result(outcome.result)
        else:
            outcome.job.future.set_exception(outcome.error)
