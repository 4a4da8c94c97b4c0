"""Looking after the ledgers by itself, in a process that stays: verifies what is due, has witnesses take checkpoints.

Several processes may have one file open. Whoever comes first verifies, and the others see in the file that it was done.
"""

import asyncio
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from cortex import limits, times
from cortex.db.connect import Tx
from cortex.errors import CortexError, Unavailable
from cortex.ledger import chain, locking, memory
from cortex.ledger.findings import UNFORESEEN
from cortex.ledger.memory import Remembered
from cortex.ledger.witnesses import WitnessTarget
from cortex.ops import checking, runs, vote_verification, witnessing
from cortex.ops.context import Context
from cortex.ops.witnessing import LogName, StoredCheckpoint
from cortex.trust import log as logs
from cortex.trust import private

T = TypeVar("T")

logger = logging.getLogger("cortex.ledger")

_LOGS: tuple[LogName, ...] = ("transactions", "votes")

# What may come of looking at a file that anybody may have edited, and of a process or a folder that cannot be had.
_TROUBLE = (*UNFORESEEN, OSError)


@dataclass(frozen=True, slots=True)
class Due:
    """A verification whose time has come."""

    log: LogName
    incremental: bool


@dataclass(slots=True)
class _Pauses:
    """Until when something that failed is left alone, each time twice as long."""

    most_seconds: float
    _until: dict[object, tuple[float, float]] = field(default_factory=dict)

    def over(self, what: object) -> bool:
        return time.monotonic() >= self._until.get(what, (0.0, 0.0))[0]

    def failed(self, what: object) -> None:
        pause = min(self.most_seconds, 2 * self._until.get(what, (0.0, limits.WATCH_LOOK_SECONDS / 2))[1])
        self._until[what] = (time.monotonic() + pause, pause)

    def done(self, what: object) -> None:
        self._until.pop(what, None)


class Watch:
    """Made by `open_app` for a process that stays, ended by `close`. Its thread never keeps a process from ending."""

    def __init__(self, context: Context, look_seconds: float = limits.WATCH_LOOK_SECONDS) -> None:
        self._context = context
        self._look_seconds = look_seconds
        self._ending = threading.Event()
        self._pauses = _Pauses(limits.WATCH_PAUSE_SECONDS_MAX)
        self._runner_loop: asyncio.AbstractEventLoop | None = None
        self._running: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Look from time to time, if the settings ask for anything; the first time after a while."""
        settings = self._context.settings
        if settings.verify_every_seconds or settings.verify_full_seconds or settings.witnesses:
            self._thread = threading.Thread(target=self._work, name="cortex-watch", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End what is under way; wait for that, but no longer than WATCH_STOP_SECONDS."""
        self._ending.set()
        loop = self._runner_loop
        if loop is not None:
            with suppress(RuntimeError):  # it has ended by itself
                loop.call_soon_threadsafe(self._cancel)
        if self._thread is not None:
            self._thread.join(limits.WATCH_STOP_SECONDS)

    def _cancel(self) -> None:
        if self._running is not None:
            self._running.cancel()

    def _work(self) -> None:
        with asyncio.Runner() as runner:
            self._runner_loop = runner.get_loop()
            while not self._ending.wait(self._look_seconds):
                try:
                    self.look(runner)
                except Exception as error:  # noqa: BLE001 - told in the program's log; the next look tries again
                    self._complain(error)

    def look(self, runner: asyncio.Runner) -> None:
        """Do what is due now."""
        if not self._context.database.writable:
            return
        try:
            with suppress(asyncio.CancelledError):
                runner.run(self._verify_due())
        finally:
            # Whatever became of that: somebody else is to see what the logs are now.
            for target in witnessing.targets(self._context.settings):
                if not self._ending.is_set() and self._pauses.over(target):
                    self._witness(runner, target)

    async def _verify_due(self) -> None:
        self._running = asyncio.current_task()
        try:
            for found in await self._due():
                if self._pauses.over(found.log):
                    await self._verify(found)
        finally:
            self._running = None

    async def _due(self) -> list[Due]:
        ctx = self._context
        try:
            kept: memory.Memory | None = memory.load(ctx.settings.home, ctx.database.path)
        except CortexError:
            kept = None  # the verification says what is wrong with it
        try:
            return await ctx.database.read(lambda tx: due(tx, ctx, kept))
        except _TROUBLE as error:
            if _is_passing(error):
                raise
            return [found for log in _LOGS for found in _at_once(ctx, log)]

    async def _verify(self, found: Due) -> None:
        place = memory.place(self._context.settings.home, self._context.database.path).with_suffix(".watch")
        try:
            left = None
            with claimed(place) as mine:
                # Another process may have been at it until just now.
                if mine and found in await self._due():
                    left = await self._run(found)
            # What left no mark outside, or something unread, stays due.
            (self._pauses.done if left is None else self._pauses.failed)(found.log)
        except _TROUBLE as error:
            self._pauses.failed(found.log)
            self._complain(error)
            if not _is_passing(error) and not self._ending.is_set():
                await checking.unfinished(self._context, found.log, _said(error), incremental=found.incremental)

    async def _run(self, found: Due) -> str | None:
        """Verify. Returns why that is to be tried again, None where all was compared and remembered."""
        ctx, nice = self._context, limits.WATCH_NICENESS
        if found.log == "votes":
            task = vote_verification.task_of(ctx, incremental=found.incremental, nice=nice)
            votes = await checking.votes(ctx, task)
            return votes.not_remembered or "; ".join(votes.unchecked) or None
        part = checking.transactions_task(ctx, incremental=found.incremental, nice=nice)
        report = await checking.transactions(ctx, part)
        return report.not_remembered or "; ".join(report.unchecked) or None

    def _witness(self, runner: asyncio.Runner, target: WitnessTarget) -> None:
        """Have a witness take the last checkpoint of each log that it lacks."""
        database = self._context.database

        def read(run: Callable[[Tx], T], /) -> T:
            return runner.run(database.read(run))

        def write(run: Callable[[Tx], T], /) -> T:
            return runner.run(database.write(run))

        try:
            found = [each for each in read(witnessing.last_sealed) if witnessing.wanting(target, each)]
            outcomes = [self._taken(target, each, read, write) for each in found]
            good = all(outcomes)
        except _TROUBLE as error:
            good = False
            self._complain(error)
        (self._pauses.done if good else self._pauses.failed)(target)

    def _complain(self, error: Exception) -> None:
        """Tell what went wrong, unless it is that the file is being closed."""
        if not self._ending.is_set():
            logger.warning(json.dumps({"event": "watch", "why": _said(error)}))

    def _taken(self, target: WitnessTarget, found: StoredCheckpoint, read: Any, write: Any) -> bool:
        outcome = witnessing.take(target, found, read, write)
        if outcome.code is not None:
            self._context.alerts.found("witness", found.log, found.note.partition("\n")[0], [outcome.code])
        elif outcome.outcome == "failed":
            logger.warning(json.dumps({"event": "witness", "log": found.log, "why": outcome.told}))
        return outcome.outcome in {"cosigned", "kept"}


def _said(error: Exception) -> str:
    return error.message if isinstance(error, CortexError) else f"{type(error).__name__}: {error}"


def _is_passing(error: Exception) -> bool:
    """Whether it is worth another attempt, and says nothing of the file: somebody keeps it locked, say."""
    return isinstance(error, Unavailable) and error.retry_after_ms is not None


def due(tx: Tx, ctx: Context, kept: memory.Memory | None) -> list[Due]:
    """What is to be verified now, by what is written down of earlier runs of any process, and remembered outside.

    `kept` is what is remembered outside, None where that cannot be read.
    """
    return [found for log in _LOGS for found in _due(tx, ctx, kept, log)]


def _due(tx: Tx, ctx: Context, kept: memory.Memory | None, log: LogName) -> list[Due]:
    if kept is None:
        return _at_once(ctx, log)
    try:
        return _scheduled(tx, ctx, kept, log)
    except UNFORESEEN:
        # Whatever ends the question was not written by us: to say what is wrong is what a verification is for.
        return _at_once(ctx, log)


def _at_once(ctx: Context, log: LogName) -> list[Due]:
    """A whole verification, where any are wanted, unless there was an alarm since the next one would be due."""
    wanted = [each for each in (ctx.settings.verify_every_seconds, ctx.settings.verify_full_seconds) if each]
    alarmed = _alarms(ctx, log).whole_at
    return [Due(log, incremental=False)] if wanted and _is_over(alarmed, times.now(), min(wanted)) else []


def _scheduled(tx: Tx, ctx: Context, kept: memory.Memory, log: LogName) -> list[Due]:
    settings = ctx.settings
    of: list[Remembered] = [*kept.logs] if log == "transactions" else [kept.votes] if kept.votes is not None else []
    # A log that was removed with all its traces in the file is still remembered outside.
    if not of and not (chain.logs(tx) if log == "transactions" else logs.state(tx)):
        return []
    alarms, every, full = _alarms(ctx, log), settings.verify_every_seconds, settings.verify_full_seconds
    whole = _Marks(good=min((each.whole_at for each in of), default=""), alarmed=alarms.whole_at)
    some = _Marks(good=min((each.verified_at for each in of), default=""), alarmed=alarms.some_at)
    # What could not be read is tried again: by the next run of what is new, where there are such runs.
    if _has_come(tx, ctx, log, full, whole, full=True, unread=bool(every)):
        return [Due(log, incremental=False)]
    if _has_come(tx, ctx, log, every, some, full=False, unread=False):
        return [Due(log, incremental=True)]
    return []


def _alarms(ctx: Context, log: LogName) -> runs.AlarmsGiven:
    return runs.alarms_given(ctx.settings.home, ctx.database.path, log)


@dataclass(frozen=True, slots=True)
class _Marks:
    """When a run that found nothing was last remembered outside of the file, and one that alarmed."""

    good: str
    alarmed: str


def _has_come(tx: Tx, ctx: Context, log: LogName, seconds: int, marks: _Marks, *, full: bool, unread: bool) -> bool:
    """Whether the last run, or the last full one, is that long ago.

    A run that somebody told to leave passes out is none of these; one that left something unread only if `unread`.
    """
    # The marks outside are by this machine's own clock. What alarmed is not told again at once, whatever the file says.
    if not seconds or not _is_over(marks.alarmed, times.now(), seconds):
        return False
    last = next((run for run in runs.ended(tx, log, full=full) if unread or not run.unchecked), None)
    if last is None or not last.ok or _is_over(last.at, ctx.now(), seconds):
        return True
    # Whoever may edit the file can write a run down in it. Each that found nothing left its mark outside.
    return _is_over(marks.good, times.now(), seconds)


def _is_over(at: str, now: str, seconds: int) -> bool:
    """Whether that long ago; or later than now, since the clock was set back; or no time at all."""
    return not times.is_stored(at) or not 0 <= times.micros(now) - times.micros(at) < seconds * 1_000_000


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Whether this process has the claim; it ends with the block, or with the process. Never waits."""
    try:
        private.make_folder(path.parent)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except (OSError, CortexError):
        # Where nothing can be claimed, to verify twice is better than not at all.
        yield True
        return
    try:
        with locking.taken(handle) as mine:
            yield mine
    finally:
        os.close(handle)
