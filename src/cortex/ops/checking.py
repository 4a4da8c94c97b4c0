"""Verifications as they are run: here or in a worker, held against outside memory, written down, told where need be."""

import asyncio
import shlex
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Annotated

from msgspec import Meta, structs

from cortex import limits, telemetry, times
from cortex.db.connect import Tx, integer
from cortex.errors import CortexError
from cortex.ledger import chain
from cortex.ledger.findings import Finding, Findings, Verification, unforeseen
from cortex.ledger.memory import ReceiptsMark
from cortex.ops import held_notes, held_receipts, runs, verification, vote_verification
from cortex.ops.context import Context
from cortex.ops.held_notes import NotesRead
from cortex.ops.held_receipts import ReceiptsHeld
from cortex.ops.verification import VerificationRun, VerificationTask
from cortex.ops.vote_verification import VoteTask, VoteVerification
from cortex.plurals import counted
from cortex.trust import log as logs
from cortex.trust.outside import HeldNote, Outside, ReceiptsChecked
from cortex.trust.receipt import AgentReceipt
from cortex.trust.receipts import put_aside


class VotesReport(VoteVerification, frozen=True, kw_only=True):
    """The report of a verification of the votes log."""

    outside: Annotated[list[str], Meta(description="What others keep of the log, and how it compares.")]
    unchecked: Annotated[list[str], Meta(description="What others keep of the log that could not be read.")]

    @property
    def exit_code(self) -> int:
        """0 valid, 1 tampered, 3 where there was no log to check, or something to compare with could not be read."""
        if not self.ok:
            return 1
        return 3 if self.origin is None or self.unchecked else 0


def transactions_task(
    ctx: Context, *, incremental: bool, text: bool = True, accept: bool = False, nice: int = 0
) -> VerificationTask:
    """What to verify of the transactions logs of a context's file."""
    return VerificationTask(
        database=str(ctx.database.path),
        home=str(ctx.settings.home),
        key=str(ctx.node_key.path),
        busy_timeout_ms=ctx.settings.busy_timeout_ms,
        incremental=incremental,
        text=text,
        accept=accept,
        nice=nice,
    )


async def transactions(ctx: Context, task: VerificationTask) -> Verification:
    """Verify the transactions logs, also against what witnesses hold of them."""
    started_at = ctx.now()
    size, notes = await _before(ctx, task)
    task = structs.replace(task, notes=notes.held)
    if not task.nice and (ctx.caller.alone or size <= limits.VERIFY_INLINE_LEAVES):
        report = await ctx.database.read(lambda tx: verification.verify(tx, task, ctx.progress))
    else:
        report = await verification.verify_in_worker(task, ctx.progress)
    unread = _storable(notes.unread)
    report = structs.replace(report, outside=[*_storable(notes.told), *unread], unchecked=unread)
    run = VerificationRun(
        log=chain.LOG,
        started_at=started_at,
        finished_at=ctx.now(),
        incremental=task.incremental,
        size=sum(log.size for log in report.logs),
        votes=0,
        ok=report.ok,
        passes=report.passes,
        findings=report.findings,
    )
    unwritten = await _finish(ctx, run, report.logs[-1].origin if report.logs else None, report.unchecked)
    return structs.replace(report, not_remembered=_all(report.not_remembered, unwritten))


async def _before(ctx: Context, task: VerificationTask) -> tuple[int, NotesRead]:
    """How many entries there are to verify, and what witnesses hold of their logs, which is read before the logs are.

    No more is read here: what else stands there is for the passes to read, which tell what is wrong with it.
    """
    try:
        size, origins = await ctx.database.read(_logs)
    except CortexError:
        # The table is not as Cortex made it. To find that takes no time.
        return 0, NotesRead()
    named = origins[: limits.WITNESSED_LOGS_MAX]

    def read() -> NotesRead:
        return held_notes.read(ctx.settings, named, "cortex ledger checkpoint")

    # A task that stands back has a loop of its own, in a thread that nothing waits for at the end of the process.
    notes = read() if task.nice else await asyncio.to_thread(read)
    if len(origins) > len(named) and (notes.held or notes.told):
        notes.unread.append(f"witnesses: only the newest {len(named)} of {len(origins)} logs are compared")
    return size, notes


def _logs(tx: Tx) -> tuple[int, list[str]]:
    """How many entries the transactions logs say that they have, and their names, the newest first."""
    size = integer(tx, "SELECT CAST(total(size) AS INTEGER) FROM ledger_log")
    names = [row[0] for row in tx.execute("SELECT CAST(origin AS BLOB) FROM ledger_log ORDER BY id DESC")]
    return size, [name for name in map(_name, names) if name]


def _name(origin: object) -> str | None:
    """The name of a log; None for what is no text, of which no witness knows."""
    try:
        return bytes(origin).decode() if isinstance(origin, bytes) else None
    except UnicodeDecodeError:
        return None


def _storable(lines: Iterable[str]) -> list[str]:
    return [verification.storable(line) for line in lines]


async def votes(
    ctx: Context, task: VoteTask, given: list[Path] | None = None, *, set_aside: bool = False
) -> VotesReport:
    """Verify the votes log, also against the receipts `given` (else those of the agents here) and witnesses.

    With `set_aside` own receipts that do not fit are put aside, if all else is valid: the file is taken as it is.
    """
    started_at = ctx.now()
    examined = await vote_verification.checked(ctx, task)
    report, remember = VotesReport(**structs.asdict(examined.report), outside=[], unchecked=[]), examined.remember
    if report.origin is not None:
        known = remember.receipts if remember is not None and task.incremental else []
        report, held = await _held_against(ctx, task, report, given, known, set_aside=set_aside)
        if remember is not None and held.marks is not None:
            remember = structs.replace(remember, receipts=held.marks)
    unsaved = None
    if report.ok and remember is not None:
        unsaved = await held_receipts.aside(task, partial(vote_verification.remember, task, remember))
    run = vote_verification.run_of(report, task, started_at, ctx.now())
    unwritten = await _finish(ctx, run, report.origin, report.unchecked)
    return structs.replace(report, not_remembered=_all(report.not_remembered, unsaved, unwritten))


def _all(*told: str | None) -> str | None:
    return "; ".join(each for each in told if each) or None


async def _finish(ctx: Context, run: VerificationRun, origin: str | None, unchecked: Iterable[str] = ()) -> str | None:
    """Count a run, tell what it found and could not read, and write it down. Returns why that could not be."""
    unread = [Finding(code=runs.UNCHECKED, origin=origin, entry=None, what=what) for what in unchecked]
    valid = run.ok and origin is not None and not unread
    result = "valid" if valid else "unchecked" if run.ok or not run.passes else "tampered"
    telemetry.add(telemetry.VERIFICATION_RUNS, run.log, result)
    telemetry.put(telemetry.LAST_VERIFICATION, run.log, value=times.micros(run.finished_at) / 1e6)
    run = structs.replace(run, findings=[*run.findings, *unread])
    ctx.alerts.found("verification", run.log, origin, (finding.code for finding in run.findings))
    if origin is None and run.ok:
        return None
    unmarked = None
    if not run.ok and runs.is_whole(run.log, run.passes):
        unmarked = await asyncio.to_thread(runs.remember_alarm, ctx.settings.home, ctx.database.path, run)
    try:
        await ctx.database.write(lambda tx: verification.record(tx, run))
    except CortexError as error:
        # What was found is told all the same: a file that may only be read, or that is not as it was, is verified too.
        return _all(unmarked, f"the run is not written down: {error.message}")
    return unmarked


async def unfinished(ctx: Context, log: str, why: str, *, incremental: bool) -> None:
    """Write down and tell that a verification ended without a result: what is in a file may have brought that about."""
    at, what = ctx.now(), verification.storable(why)
    said = Finding(code="UNFINISHED", origin=None, entry=None, what=what)
    run = VerificationRun(
        log=log, started_at=at, finished_at=at, incremental=incremental, size=0, votes=0, ok=False, passes=[],
        findings=[said],
    )  # fmt: skip
    await _finish(ctx, run, None)


async def _held_against(
    ctx: Context,
    task: VoteTask,
    report: VotesReport,
    given: list[Path] | None,
    known: list[ReceiptsMark],
    *,
    set_aside: bool,
) -> tuple[VotesReport, ReceiptsHeld]:
    """The report with what others keep of the log, and what came of the receipts that go on from the `known` marks.

    All of that is read before the log is.
    """
    origin = report.origin
    assert origin is not None, "what has no origin is held against nothing"
    command = "cortex vote-ledger checkpoint"
    notes = await held_receipts.aside(task, lambda: held_notes.read(ctx.settings, [origin], command))
    seen, told, unread = Findings(), notes.told, notes.unread
    await ctx.database.read(lambda tx: _compare(tx, seen, [HeldNote(each.witness, each.note) for each in notes.held]))
    held = await held_receipts.compare(ctx, task, report, given, known, wanted=set_aside)
    told += held.told
    unread += held.unread
    found, more = [*report.findings, *seen.list], report.more_findings + seen.more
    if set_aside and not found:
        told += await held_receipts.aside(task, lambda: _put_aside(held.checked.unfit))
    else:
        unfit = set_aside and bool(held.checked.unfit)
        found, more = [*found, *held.findings.list], more + held.findings.more
        told += ["receipts: none was put aside, since the rest is not valid"] if unfit else []
    unread = _storable(unread)
    report = structs.replace(
        report, ok=not found, findings=found, more_findings=more, outside=[*_storable(told), *unread], unchecked=unread
    )
    return report, held


def _compare(tx: Tx, seen: Findings, notes: list[HeldNote]) -> None:
    log = logs.state(tx)
    if log is not None:  # else it went just now, which the next run says
        with unforeseen(seen, "what witnesses hold", origin=log.origin):
            Outside(seen, set(), ReceiptsChecked()).notes(tx, log, notes)


def _put_aside(unfit: dict[Path, dict[str, AgentReceipt]]) -> list[str]:
    """Take receipts out of their files, so that what they say is no longer expected. They can still be handed in."""
    told = []
    stamp = "".join(char for char in times.now() if char.isdigit())
    for path, receipts in sorted(unfit.items()):
        aside = path.with_name(f"{path.name}.before-{stamp}")
        count = put_aside(path, aside, receipts)
        if count:
            told.append(
                f"receipts: {counted(count, 'vote')} of {path.name} put aside as {aside}, which this log does not hold:"
                f" `cortex vote-ledger resubmit --receipts {shlex.quote(str(aside))}` still hands them in again"
            )
    return told
