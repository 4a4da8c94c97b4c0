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

import msgspec

from cortex import limits, times
from cortex.db.connect import Tx
from cortex.errors import CortexError, Unavailable
from cortex.ledger import chain, locking, memory
from cortex.ledger.witnesses import WitnessTarget
from cortex.ops import checking, verification, vote_verification, witnessing
from cortex.ops.alerts import Alerts
from cortex.ops.context import Context
from cortex.ops.witnessing import LogName, StoredCheckpoint
from cortex.trust import log as logs
from cortex.trust import private

T = TypeVar("T")

logger = logging.getLogger("cortex.ledger")

_PASSES: dict[LogName, frozenset[str]] = {"transactions": verification.PASSES, "votes": vote_verification.PASSES}


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
        self._alerts = Alerts(context.settings)
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
        self._alerts.stop()
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
        with suppress(asyncio.CancelledError):
            runner.run(self._verify_due())
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
        kept = memory.load(ctx.settings.home, ctx.database.path)
        return await ctx.database.read(lambda tx: due(tx, ctx, kept))

    async def _verify(self, found: Due) -> None:
        place = memory.place(self._context.settings.home, self._context.database.path).with_suffix(".watch")
        try:
            unsaved = None
            with claimed(place) as mine:
                # Another process may have been at it until just now.
                if mine and found in await self._due():
                    unsaved = await self._run(found)
            # What left no mark outside stays due.
            (self._pauses.done if unsaved is None else self._pauses.failed)(found.log)
        except CortexError as error:
            self._pauses.failed(found.log)
            self._complain(error)
            if not isinstance(error, Unavailable) and not self._ending.is_set():
                await checking.unfinished(
                    self._context, found.log, error.message, self._alerts, incremental=found.incremental
                )

    async def _run(self, found: Due) -> str | None:
        """Verify. Returns why that could not be remembered, None where it was."""
        ctx, nice = self._context, limits.WATCH_NICENESS
        if found.log == "votes":
            task = vote_verification.task_of(ctx, incremental=found.incremental, nice=nice)
            return (await checking.votes(ctx, task, self._alerts)).not_remembered
        part = checking.transactions_task(ctx, incremental=found.incremental, nice=nice)
        return (await checking.transactions(ctx, part, self._alerts)).not_remembered

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
        except CortexError as error:
            good = False
            self._complain(error)
        (self._pauses.done if good else self._pauses.failed)(target)

    def _complain(self, error: Exception) -> None:
        """Tell what went wrong, unless it is that the file is being closed."""
        told = error.message if isinstance(error, CortexError) else f"{type(error).__name__}: {error}"
        if not self._ending.is_set():
            logger.warning(json.dumps({"event": "watch", "why": told}))

    def _taken(self, target: WitnessTarget, found: StoredCheckpoint, read: Any, write: Any) -> bool:
        outcome = witnessing.take(target, found, read, write)
        if outcome.code is not None:
            self._alerts.found("witness", found.log, found.note.partition("\n")[0], [outcome.code])
        elif outcome.outcome == "failed":
            logger.warning(json.dumps({"event": "witness", "log": found.log, "why": outcome.told}))
        return outcome.outcome in {"cosigned", "kept"}


def due(tx: Tx, ctx: Context, kept: memory.Memory) -> list[Due]:
    """What is to be verified now, by what is written down of earlier runs of any process, and remembered outside."""
    settings, now = ctx.settings, ctx.now()
    present: dict[LogName, bool] = {
        # A log that was removed with all its traces in the file is still remembered outside.
        "transactions": bool(kept.logs) or bool(chain.logs(tx)),
        "votes": kept.votes is not None or logs.state(tx) is not None,
    }
    found = []
    for log in (log for log, there in present.items() if there):
        of = [*kept.logs] if log == "transactions" else [kept.votes] if kept.votes is not None else []
        whole = min((each.whole_at for each in of), default="")
        some = min((each.verified_at for each in of), default="")
        if _has_come(tx, log, now, settings.verify_full_seconds, whole, full=True):
            found.append(Due(log, incremental=False))
        elif _has_come(tx, log, now, settings.verify_every_seconds, some, full=False):
            found.append(Due(log, incremental=True))
    return found


def _has_come(tx: Tx, log: LogName, now: str, seconds: int, outside: str, *, full: bool) -> bool:
    """Whether the last run, or the last full one, is that long ago.

    A run that somebody told to leave passes out is none of these. `outside` is when this was last remembered here.
    """
    if not seconds:
        return False
    rows: Any = tx.execute(
        "SELECT finished_at, ok, passes FROM vote_integrity_checks WHERE log = ? AND incremental <= ? ORDER BY id DESC",
        (log, 0 if full else 1),
    )
    at, ok = next(((finished, ok) for finished, ok, passes in rows if _is_whole(log, passes)), ("", 0))
    if _is_over(at, now, seconds):
        return True
    # Whoever may edit the file can write a run down in it. One that found nothing left its mark outside, which is by
    # this machine's own clock.
    return bool(ok) and _is_over(outside, times.now(), seconds)


def _is_over(at: str, now: str, seconds: int) -> bool:
    """Whether that long ago; or later than now, since the clock was set back; or no time at all."""
    return not times.is_stored(at) or not 0 <= times.micros(now) - times.micros(at) < seconds * 1_000_000


def _is_whole(log: LogName, passes: str) -> bool:
    """Whether a run made every pass; where the schema kept it from the others, there was no more to be made."""
    try:
        made = set(msgspec.json.decode(passes, type=list[str]))
    except (msgspec.DecodeError, TypeError):
        return False  # somebody wrote what are no passes there
    return made == {"schema"} or made >= _PASSES[log]


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Whether this process has the claim; it ends with the block, or with the process. Never waits."""
    private.make_folder(path.parent)
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        # Where nothing can be claimed, to verify twice is better than not at all.
        yield True
        return
    try:
        with locking.taken(handle) as mine:
            yield mine
    finally:
        os.close(handle)
