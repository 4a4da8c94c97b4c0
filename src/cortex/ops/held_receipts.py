"""Holding the votes log against receipts: a part of a file at a time, and only what came since where that is wanted."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from cortex import limits
from cortex.db.connect import Tx
from cortex.errors import CortexError, NotFound, TooLarge
from cortex.ledger.findings import Findings, unforeseen
from cortex.ledger.memory import ReceiptsMark
from cortex.ops.context import Context
from cortex.ops.vote_verification import VoteTask, VoteVerification
from cortex.trust import log as logs
from cortex.trust import outside
from cortex.trust.outside import Doubtful, Outside, ReceiptPlace, ReceiptsChecked
from cortex.trust.receipt import AgentReceipt
from cortex.trust.receipt_marks import PlacedReceipt, ReceiptsReading

T = TypeVar("T")


@dataclass(slots=True)
class ReceiptsHeld:
    """What came of comparing receipts; `unread` says which files could not be read.

    `marks` is how far the agents' own files are compared now; None where other files were given.
    """

    checked: ReceiptsChecked
    findings: Findings = field(default_factory=Findings)
    own: set[Path] = field(default_factory=set)
    files: int = 0
    resumed: int = 0
    unread: list[str] = field(default_factory=list)
    marks: list[ReceiptsMark] | None = None

    @property
    def told(self) -> list[str]:
        """What there is to say of it."""
        checked = self.checked
        if not self.files:
            return ["receipts: none"]
        before = "; those before were compared by an earlier run" if self.resumed else ""
        told = [f"receipts: {checked.compared:,} compared{before}"]
        if checked.others:
            told.append(f"receipts: {checked.others:,} are of other logs")
        if checked.ahead:
            missing = "are of entries that are not there yet, or that no key of the log signed"
            told.append(f"receipts: {checked.ahead:,} {missing}")
        return told


class _UnreadError(Exception):
    """A file of receipts that lies here cannot be read: that is told, and ends nothing."""


async def aside(task: VoteTask, run: Callable[[], T]) -> T:
    """What `run` returns. It may take a while, so it is not for an event loop that others use.

    A task that stands back has a loop of its own, in a thread that nothing waits for at the end of the process.
    """
    return run() if task.nice else await asyncio.to_thread(run)


async def compare(
    ctx: Context,
    task: VoteTask,
    report: VoteVerification,
    given: list[Path] | None,
    known: Iterable[ReceiptsMark],
    *,
    wanted: bool,
) -> ReceiptsHeld:
    """Hold the log of a report against the files of receipts that are `given`, else those here, from their marks on.

    Of the files that lie here those that cannot be read are told of; of those given it is an error. With `wanted` the
    receipts are returned that the log does not bear out.
    """
    held = ReceiptsHeld(ReceiptsChecked(wanted=wanted))
    origin = report.origin
    assert origin is not None, "what has no origin is held against nothing"
    verified = _Verified(origin, report.size)
    try:
        held.own = set(await aside(task, lambda: outside.own_files(ctx.settings.home, origin)))
    except CortexError as error:
        held.unread.append(f"receipts: {error.message}")
    if given is not None:
        for path in given:
            await _File(ctx, task, path, held, verified, named=True).compare(None)
        return held
    marks, held.marks = {mark.name: mark for mark in known}, []
    for path in sorted(held.own):
        try:
            mark = await _File(ctx, task, path, held, verified, named=False).compare(marks.get(path.name))
        except _UnreadError as error:
            held.unread.append(f"receipts {path.name}: cannot be read ({error})")
            continue
        held.marks += [] if mark is None else [mark]
    return held


@dataclass(frozen=True, slots=True)
class _Verified:
    """Up to where the log was verified: what was appended since is in no root that is remembered."""

    origin: str
    size: int

    def covers(self, receipt: AgentReceipt) -> bool:
        return receipt.idx < self.size or receipt.ballot.get("log") != self.origin


class _File:
    """One file of receipts that is compared."""

    def __init__(
        self, ctx: Context, task: VoteTask, path: Path, held: ReceiptsHeld, verified: _Verified, *, named: bool
    ) -> None:
        self._ctx, self._task, self._path, self._held, self._named = ctx, task, path, held, named
        self._verified = verified
        self._side = Outside(held.findings, held.own, held.checked)
        # Where the receipts begin that are compared again the next time.
        self._open: list[int] = []

    async def compare(self, mark: ReceiptsMark | None) -> ReceiptsMark | None:
        """Compare what follows the mark. Returns the next one."""
        reading = ReceiptsReading(self._path, mark, lenient=not self._named)
        try:
            if not await self._read(reading.open):
                self._check_named()
                return None
            self._held.files += 1
            self._held.resumed += reading.start > 0
            places = await self._doubtful(reading)
            if await self._look_again(reading, places):
                # What is ahead may be missed once the log has grown.
                self._open.append(places[0])
            if reading.odd:
                raise _UnreadError(reading.odd[0].message)
            return await self._read(lambda: reading.mark(min(self._open, default=None)))
        finally:
            reading.close()

    async def _read(self, run: Callable[[], T]) -> T:
        try:
            return await aside(self._task, run)
        except CortexError as error:
            if self._named:
                raise
            raise _UnreadError(error.message) from None

    def _check_named(self) -> None:
        """A file that went away meanwhile has nothing to say; raise NotFound for one that was named."""
        if self._named:
            raise NotFound(f"{self._path} is not there", "give the file in which the agent keeps its receipts")

    async def _doubtful(self, reading: ReceiptsReading) -> list[int]:
        """Where the receipts stand of ballots of which the log does not have the entry."""
        found: dict[str, list[int]] = {}
        count = 0
        while part := await self._read(reading.part):
            doubts = await self._ctx.database.read(partial(self._doubts, part))
            for placed, doubted in zip(part, doubts, strict=True):
                receipt = placed.receipt
                if not self._open and not self._verified.covers(receipt):
                    self._open.append(placed.place)
                if doubted:
                    found.setdefault(receipt.key, []).append(placed.place)
                    count += 1
                elif found and receipt.is_of_its_leaf:
                    # It was handed in again: the entry is at another place than a receipt before said.
                    count -= len(found.pop(receipt.key, ()))
            await self._read(partial(self._check_count, count))
            self._ctx.progress(part[-1].place, reading.end, "bytes of receipts")
        return sorted(place for places in found.values() for place in places)

    def _check_count(self, count: int) -> None:
        if count > limits.RECEIPTS_MAX:
            told = f"{self._path} holds more than {limits.RECEIPTS_MAX} receipts that the log does not bear out"
            raise TooLarge(f"{told} (RECEIPTS_MAX)", "move the file away, keep it")

    def _doubts(self, part: list[PlacedReceipt], tx: Tx) -> list[bool]:
        log = logs.state(tx)
        if log is not None:  # else it went just now, which the next run says
            with unforeseen(self._held.findings, "the receipts", origin=log.origin):
                return self._side.doubtful(tx, log, (placed.receipt for placed in part))
        return [False] * len(part)

    async def _look_again(self, reading: ReceiptsReading, places: list[int]) -> int:
        """Compare all that is known of some ballots. Returns how many are of entries that are not there yet."""
        before = self._held.checked.ahead
        doubtful = Doubtful(self._path)
        reading.again(places)
        while part := await self._read(reading.part):
            await self._ctx.database.read(partial(self._weigh, part, doubtful))
        claimed = list(doubtful.claims)
        for start in range(0, len(claimed), limits.RECEIPTS_PART):
            some = claimed[start : start + limits.RECEIPTS_PART]
            await self._ctx.database.read(partial(self._compare, doubtful, some))
        return self._held.checked.ahead - before

    def _weigh(self, part: list[PlacedReceipt], doubtful: Doubtful, tx: Tx) -> None:
        log = logs.state(tx)
        if log is not None:
            self._side.weigh(tx, log, (placed.receipt for placed in part), doubtful)

    def _compare(self, doubtful: Doubtful, places: list[ReceiptPlace], tx: Tx) -> None:
        log = logs.state(tx)
        if log is not None:
            self._side.receipts(tx, log, doubtful, places)
