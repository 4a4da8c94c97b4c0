"""Verifications as they are run: here or in a worker, held against outside memory, written down, told where need be."""

import asyncio
import shlex
from functools import partial
from pathlib import Path
from typing import Annotated

from msgspec import Meta, structs

from cortex import limits, telemetry, times
from cortex.db.connect import Tx
from cortex.errors import CortexError
from cortex.ledger import chain, witnesses
from cortex.ledger.findings import Finding, Findings, Verification, unforeseen
from cortex.ledger.memory import ReceiptsMark
from cortex.ops import held_receipts, verification, vote_verification, witnessing
from cortex.ops.alerts import Alerts
from cortex.ops.context import Context
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


async def transactions(ctx: Context, task: VerificationTask, alerts: Alerts) -> Verification:
    """Verify the transactions logs."""
    started_at = ctx.now()
    heads = await ctx.database.read(chain.logs)
    if not task.nice and (ctx.caller.alone or sum(head.size for head in heads) <= limits.VERIFY_INLINE_LEAVES):
        report = await ctx.database.read(lambda tx: verification.verify(tx, task, ctx.progress))
    else:
        report = await verification.verify_in_worker(task, ctx.progress)
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
    unwritten = await _finish(ctx, run, report.logs[-1].origin if report.logs else None, alerts)
    return structs.replace(report, not_remembered=_all(report.not_remembered, unwritten))


async def votes(
    ctx: Context, task: VoteTask, alerts: Alerts, given: list[Path] | None = None, *, set_aside: bool = False
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
    unwritten = await _finish(ctx, run, report.origin, alerts, whole=not report.unchecked)
    return structs.replace(report, not_remembered=_all(report.not_remembered, unsaved, unwritten))


def _all(*told: str | None) -> str | None:
    return "; ".join(each for each in told if each) or None


async def _finish(
    ctx: Context, run: VerificationRun, origin: str | None, alerts: Alerts, *, whole: bool = True
) -> str | None:
    """Count a run, tell what it found, and write it down. Returns why that could not be."""
    valid = run.ok and origin is not None and whole
    result = "valid" if valid else "unchecked" if run.ok or not run.passes else "tampered"
    telemetry.add(telemetry.VERIFICATION_RUNS, run.log, result)
    telemetry.put(telemetry.LAST_VERIFICATION, run.log, value=times.micros(run.finished_at) / 1e6)
    alerts.found("verification", run.log, origin, (finding.code for finding in run.findings))
    if ctx.caller.alone:
        await asyncio.to_thread(alerts.settle, limits.ALERT_SECONDS)
    if origin is None and run.ok:
        return None
    try:
        await ctx.database.write(lambda tx: verification.record(tx, run))
    except CortexError as error:
        # What was found is told all the same: a file that may only be read, or that is not as it was, is verified too.
        return f"the run is not written down: {error.message}"
    return None


async def unfinished(ctx: Context, log: str, why: str, alerts: Alerts, *, incremental: bool) -> None:
    """Write down and tell that a verification ended without a result: what is in a file may have brought that about."""
    at, said = ctx.now(), Finding(code="UNFINISHED", origin=None, entry=None, what=why)
    run = VerificationRun(
        log=log, started_at=at, finished_at=at, incremental=incremental, size=0, votes=0, ok=False, passes=[],
        findings=[said],
    )  # fmt: skip
    await _finish(ctx, run, None, alerts)


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
    notes, told, unread = await held_receipts.aside(task, lambda: _notes(ctx, origin))
    seen = Findings()
    await ctx.database.read(lambda tx: _compare(tx, seen, notes))
    held = await held_receipts.compare(ctx, task, origin, given, known, wanted=set_aside)
    told += held.told
    unread += held.unread
    found, more = [*report.findings, *seen.list], report.more_findings + seen.more
    if set_aside and not found:
        told += await held_receipts.aside(task, lambda: _put_aside(held.checked.unfit))
    else:
        unfit = set_aside and bool(held.checked.unfit)
        found, more = [*found, *held.findings.list], more + held.findings.more
        told += ["receipts: none was put aside, since the rest is not valid"] if unfit else []
    report = structs.replace(
        report, ok=not found, findings=found, more_findings=more, outside=[*told, *unread], unchecked=unread
    )
    return report, held


def _compare(tx: Tx, seen: Findings, notes: list[HeldNote]) -> None:
    log = logs.state(tx)
    if log is not None:  # else it went just now, which the next run says
        with unforeseen(seen, "what witnesses hold", origin=log.origin):
            Outside(seen, set(), ReceiptsChecked()).notes(tx, log, notes)


def _notes(ctx: Context, origin: str) -> tuple[list[HeldNote], list[str], list[str]]:
    """The last notes of the witnesses that can be read, what there is to say of each, and who could not be read."""
    found, told, unread = [], [], []
    for target in witnessing.targets(ctx.settings):
        if target.kind == "http":
            told.append(f"witness {target.place}: not asked here; `cortex vote-ledger checkpoint` has it compare")
            continue
        try:
            note = witnesses.remembered(target, origin)
        except CortexError as error:
            unread.append(f"witness {target}: cannot be read ({error.message})")
            continue
        told.append(f"witness {target}: {'has seen nothing of this log' if note is None else 'compared'}")
        if note is not None:
            found.append(HeldNote(str(target), note))
    return found, told, unread


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
