"""Verifications as they are run: here or in a worker, held against outside memory, written down, told where need be."""

import asyncio
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

from msgspec import Meta, structs

from cortex import limits, telemetry, times
from cortex.db.connect import Tx
from cortex.errors import CortexError
from cortex.ledger import chain, witnesses
from cortex.ledger.findings import Findings, Verification
from cortex.ops import verification, vote_verification, witnessing
from cortex.ops.alerts import Alerts
from cortex.ops.context import Context
from cortex.ops.verification import VerificationRun, VerificationTask
from cortex.ops.vote_verification import VoteTask, VoteVerification
from cortex.plurals import counted
from cortex.trust import log as logs
from cortex.trust import outside
from cortex.trust.outside import HeldNote, HeldReceipt, Outside, ReceiptsChecked
from cortex.trust.receipts import AgentReceipt, put_aside

T = TypeVar("T")


class VotesReport(VoteVerification, frozen=True, kw_only=True):
    """The report of a verification of the votes log."""

    outside: Annotated[list[str], Meta(description="What others keep of the log, and how it compares.")]


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
    return structs.replace(report, not_remembered=_both(report.not_remembered, unwritten))


async def votes(
    ctx: Context, task: VoteTask, alerts: Alerts, receipts: list[Path] | None = None, *, set_aside: bool = False
) -> VotesReport:
    """Verify the votes log, also against `receipts` (the agents' own that lie here unless given) and witnesses.

    With `set_aside` own receipts that do not fit are put aside, if all else is valid: the file is taken as it is.
    """
    started_at = ctx.now()
    checked = await vote_verification.checked(ctx, task)
    report = VotesReport(**structs.asdict(checked), outside=[])
    if checked.origin is not None:
        report = await _held_against(ctx, task, report, receipts, set_aside=set_aside)
    run = vote_verification.run_of(report, task, started_at, ctx.now())
    unwritten = await _finish(ctx, run, report.origin, alerts)
    return structs.replace(report, not_remembered=_both(report.not_remembered, unwritten))


def _both(one: str | None, other: str | None) -> str | None:
    return "; ".join(told for told in (one, other) if told) or None


async def _finish(ctx: Context, run: VerificationRun, origin: str | None, alerts: Alerts) -> str | None:
    """Count a run, tell what it found, and write it down. Returns why that could not be."""
    result = "tampered" if not run.ok else "valid" if origin is not None else "unchecked"
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


async def _aside(task: VoteTask, run: Callable[[], T]) -> T:
    """What `run` returns. It may take a while, so it is not for an event loop that others use.

    A task that stands back has a loop of its own, in a thread that nothing waits for at the end of the process.
    """
    return run() if task.nice else await asyncio.to_thread(run)


async def _held_against(
    ctx: Context, task: VoteTask, report: VotesReport, receipts: list[Path] | None, *, set_aside: bool
) -> VotesReport:
    """The report with what others keep of the log. All of that is read before the log is."""
    origin = report.origin
    assert origin is not None, "what has no origin is held against nothing"
    notes, told = await _aside(task, lambda: _notes(ctx, origin))
    own = set(await _aside(task, lambda: outside.own_files(ctx.settings.home, origin)))
    held, unread = await _aside(task, lambda: _receipts(own, receipts))
    seen, missed, done = Findings(), Findings(), ReceiptsChecked()
    await ctx.database.read(lambda tx: _compare(tx, Outside(seen, own, done), notes, []))
    for start in range(0, len(held), limits.TEXT_CHUNK_LEAVES):
        part = held[start : start + limits.TEXT_CHUNK_LEAVES]
        await ctx.database.read(partial(_compare, side=Outside(missed, own, done), notes=[], receipts=part))
        ctx.progress(start + len(part), len(held), "receipts")
    told += [*unread, *_summed(held, done)]
    found, more = [*report.findings, *seen.list], report.more_findings + seen.more
    if set_aside and not found:
        told += await _aside(task, lambda: _put_aside(done.unfit))
    else:
        found, more = [*found, *missed.list], more + missed.more
        told += ["receipts: none was put aside, since the rest is not valid"] if set_aside and done.unfit else []
    return structs.replace(report, ok=not found, findings=found, more_findings=more, outside=told)


def _compare(tx: Tx, side: Outside, notes: list[HeldNote], receipts: list[HeldReceipt]) -> None:
    log = logs.state(tx)
    if log is not None:  # else it went just now, which the next run says
        side.compare(tx, log, notes, receipts)


def _notes(ctx: Context, origin: str) -> tuple[list[HeldNote], list[str]]:
    """The last notes of the witnesses that can be read, and what there is to say of each witness."""
    found, told = [], []
    for target in witnessing.targets(ctx.settings):
        if target.kind == "http":
            told.append(f"witness {target.place}: not asked here; `cortex vote-ledger checkpoint` has it compare")
            continue
        try:
            note = witnesses.remembered(target, origin)
        except CortexError as error:
            told.append(f"witness {target}: cannot be read ({error.message})")
            continue
        told.append(f"witness {target}: {'has seen nothing of this log' if note is None else 'compared'}")
        if note is not None:
            found.append(HeldNote(str(target), note))
    return found, told


def _receipts(own: set[Path], given: list[Path] | None) -> tuple[list[HeldReceipt], list[str]]:
    """What the receipts say; a file that cannot be read is told of, and is an error where it was named."""
    if given is not None:
        return outside.held_in(given), []
    found: list[HeldReceipt] = []
    told = []
    for path in sorted(own):
        try:
            found += outside.held_in([path])
        except CortexError as error:
            told.append(f"receipts {path.name}: cannot be read ({error.message})")
    return found, told


def _summed(held: list[HeldReceipt], done: ReceiptsChecked) -> list[str]:
    if not held:
        return ["receipts: none"]
    told = [f"receipts: {done.compared:,} compared"]
    if done.others:
        told.append(f"receipts: {done.others:,} are of other logs")
    if done.ahead:
        told.append(f"receipts: {done.ahead:,} are of entries that are not there yet, or that no key of the log signed")
    return told


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
