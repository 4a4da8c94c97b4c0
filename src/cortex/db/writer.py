"""The one writer thread: drains what is queued into one transaction, and acknowledges only after COMMIT.

Each operation runs in its own SAVEPOINT, so one that is refused leaves the others alone. SQLite's own rollback (disk
full, I/O error) destroys savepoints: after every error the writer looks whether it is still inside the transaction, and
if not, the whole batch fails. An error at COMMIT leaves the outcome open; every commit writes a token, and after
reopening the file the token tells which it was.
"""

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import apsw

from cortex import limits
from cortex.db.connect import Tx, value
from cortex.db.faults import translate
from cortex.errors import CortexError, Unavailable


@dataclass(frozen=True)
class Job:
    """A function of a transaction, and where its result goes."""

    run: Callable[[Tx], Any]
    future: "Future[Any]"


@dataclass(frozen=True)
class Outcome:
    """What a job came to inside the transaction; true for its caller only once that is committed."""

    job: Job
    result: Any
    error: BaseException | None = None

    def deliver(self) -> None:
        if self.error is None:
            self.job.future.set_result(self.result)
        else:
            self.job.future.set_exception(self.error)


class _RolledBack(Exception):  # noqa: N818 - it ends a batch, it is not reported
    """SQLite gave the transaction up; carries the error that made it."""


class Writer:
    """Owns the writing connection and the thread that uses it, from `start` to `close`."""

    def __init__(
        self, path: str, connect: Callable[[], apsw.Connection], schema: int, batch_ops: int = limits.BATCH_OPS_MAX
    ) -> None:
        self._path = path
        self._connect = connect
        self._schema = schema
        self._batch_ops = batch_ops
        self._queue: queue.Queue[Job | None] = queue.Queue(limits.QUEUE_OPS_MAX)
        self._connection: apsw.Connection | None = None
        self._thread = threading.Thread(target=self._work, name="cortex-writer", daemon=True)
        self._lock = threading.Lock()
        self._closed = False

    def start(self) -> None:
        """Start the thread; the connection opens with the first write."""
        self._thread.start()

    def submit(self, run: Callable[[Tx], Any]) -> "Future[Any]":
        """Queue `run`. The future resolves after COMMIT. Raises Unavailable when the queue is full or closed."""
        future: Future[Any] = Future()
        with self._lock:
            if self._closed:
                raise Unavailable(f"{self._path} is closed", "open it again")
            try:
                self._queue.put_nowait(Job(run, future))
            except queue.Full:
                raise Unavailable(
                    f"{limits.QUEUE_OPS_MAX} writes are waiting already", "try again", retry_after_ms=100
                ) from None
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
            if not self._batch(job):
                return

    def _batch(self, first: Job) -> bool:
        """One transaction. False when the closing mark was among what was drained."""
        outcomes: list[Outcome] = []
        drained = _Drain(self._queue, first, self._batch_ops)
        try:
            connection = self._begin()
            for job in drained:
                outcomes.append(_attempt(connection, job))
            # Failures alone change nothing; committing them would only cost a sync.
            if any(outcome.error is None for outcome in outcomes):
                self._commit(connection)
            else:
                connection.execute("ROLLBACK")
        except (apsw.Error, CortexError, _RolledBack) as error:
            self._fail(list(drained.taken), error)
        else:
            for outcome in outcomes:
                outcome.deliver()
        return drained.open

    def _begin(self) -> apsw.Connection:
        if self._connection is None:
            self._connection = self._connect()
        self._connection.execute("BEGIN IMMEDIATE")
        schema = value(self._connection, "PRAGMA user_version")
        if schema != self._schema:
            raise Unavailable(
                f"{self._path} was changed to schema {schema} by another version of Cortex",
                "start this process again with that version",
            )
        return self._connection

    def _commit(self, connection: apsw.Connection) -> None:
        token = os.urandom(12)
        try:
            connection.execute("UPDATE file_state SET change_seq = change_seq + 1, commit_token = ?", (token,))
            connection.execute("COMMIT")
        except apsw.Error as error:
            if not self._was_committed(token, error):
                raise

    def _was_committed(self, token: bytes, error: apsw.Error) -> bool:
        """Look the outcome of a failed COMMIT up. Where it was not committed, a new token is committed.

        That overwrites what the failed attempt left in the write-ahead log, so that no later recovery can bring it back.
        """
        self._drop_connection()
        try:
            self._connection = self._connect()
            self._connection.execute("BEGIN IMMEDIATE")
            if value(self._connection, "SELECT commit_token FROM file_state") == token:
                self._connection.execute("ROLLBACK")
                return True
            self._connection.execute("UPDATE file_state SET commit_token = ?", (os.urandom(12),))
            self._connection.execute("COMMIT")
        except (apsw.Error, CortexError) as second:
            self._drop_connection()
            raise Unavailable(
                f"outcome unknown: the disk failed while {self._path} was being written ({error}) and again when looking "
                f"whether the change was kept ({second})",
                "check the disk, then look whether the change is there before trying again",
            ) from error
        return False

    def _fail(self, jobs: list[Job], error: BaseException) -> None:
        """Nothing of this batch was kept: tell every caller the same."""
        cause = error.__cause__ if isinstance(error, _RolledBack) and error.__cause__ else error
        told = translate(cause, self._path) if isinstance(cause, apsw.Error) else cause
        connection = self._connection
        if connection is not None and connection.in_transaction:
            try:
                connection.execute("ROLLBACK")
            except apsw.Error:
                self._drop_connection()
        if isinstance(cause, apsw.IOError | apsw.CorruptError):
            self._drop_connection()
        for job in jobs:
            if not job.future.done():
                job.future.set_exception(told)

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except apsw.Error:
                # A connection that cannot even be closed is left to the process's end; the caller is told of the
                # error that came before.
                pass


class _Drain:
    """Jobs to take into one transaction: the first, then whatever is queued, within the batch's bounds."""

    def __init__(self, source: "queue.Queue[Job | None]", first: Job, most: int) -> None:
        self._source = source
        self._first = first
        self._most = most
        self.taken: list[Job] = []
        self.open = True

    def __iter__(self) -> Iterator[Job]:
        deadline = time.monotonic() + limits.BATCH_WORK_MS / 1000
        job: Job | None = self._first
        while job is not None:
            if job.future.set_running_or_notify_cancel():
                self.taken.append(job)
                yield job
            if len(self.taken) >= self._most or time.monotonic() > deadline:
                return
            try:
                job = self._source.get_nowait()
            except queue.Empty:
                return
        self.open = False


def _attempt(connection: apsw.Connection, job: Job) -> Outcome:
    connection.execute("SAVEPOINT operation")
    try:
        result = job.run(connection)
        connection.execute("RELEASE operation")
    except Exception as error:  # noqa: BLE001 - whatever a job raises is told to its caller
        if not connection.in_transaction:
            raise _RolledBack from error
        connection.execute("ROLLBACK TO operation")
        connection.execute("RELEASE operation")
        return Outcome(job, None, translate(error, connection.filename) if isinstance(error, apsw.Error) else error)
    return Outcome(job, result)
