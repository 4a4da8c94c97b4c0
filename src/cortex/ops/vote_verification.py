"""Verifying the votes log: all passes on one snapshot, here or in a worker process."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct, structs

from cortex import limits, times
from cortex.db.connect import Tx, integer, value
from cortex.ledger import memory
from cortex.ledger.findings import UNFORESEEN, Finding, Findings, unforeseen
from cortex.ledger.integrity import key_used
from cortex.ledger.keys import NodeKey
from cortex.ledger.memory import RememberedVotes
from cortex.memory import votecheck
from cortex.memory.votecheck import ReasonedTexts
from cortex.ops import verification
from cortex.ops.context import Context
from cortex.ops.verification import LedgerTask, VerificationRun
from cortex.plurals import counted
from cortex.progress import Progress
from cortex.trust import copies, integrity, replay, signatures, validity
from cortex.trust import log as logs
from cortex.trust.copies import Copy
from cortex.trust.integrity import VotesChecked
from cortex.trust.log import Log
from cortex.trust.validity import Keys


class VoteTask(LedgerTask, frozen=True, kw_only=True):
    """The votes log. Signatures and the rules may be left out, as the texts may; links, tree and checkpoints not."""

    signatures: bool = True
    policy: bool = True


class VoteVerification(Struct, frozen=True, kw_only=True):
    """The report of a verification. `ok` is true when nothing was found; it claims no more than what was checked."""

    ok: bool
    findings: list[Finding]
    more_findings: int
    origin: str | None
    size: int
    votes: int
    merkle_roots: int
    checkpoints: int
    root: str | None
    checked_from: Annotated[int, Meta(description="The first entry that was read; those before were verified earlier.")]
    passes: list[str]
    signatures: Annotated[int, Meta(description="How many signatures of agents and admins were checked.")]
    checkpoint_key: Annotated[str, Meta(description="Whose key the checkpoints were checked against.")]
    texts: Annotated[int, Meta(description="How many texts of facts that were voted on were compared.")]
    reasons: Annotated[int, Meta(description="How many reasons of votes and resolutions were compared.")]
    reasons_given: Annotated[int, Meta(description="How many there were; those that are not held are no finding.")]
    memory: Annotated[str, Meta(description="What was remembered outside the file, and used.")]
    not_remembered: Annotated[str | None, Meta(description="Why this could not be remembered outside the file.")]

    @property
    def exit_code(self) -> int:
        """0 valid, 1 tampered, 3 where there was no log to check."""
        if not self.ok:
            return 1
        return 0 if self.origin is not None else 3


# Every pass over the votes log, where none is left out. What is not incremental also has `structure`.
PASSES = frozenset({"schema", "integrity", "checkpoints", "signatures", "policy", "text"})


class VotesExamined(Struct, frozen=True, kw_only=True):
    """What the passes found, and what is to be remembered where what others keep bears it out too."""

    report: VoteVerification
    remember: RememberedVotes | None


NO_LOG = "none: there is no votes log"

# What holds nothing as long as there is no log.
_OF_A_LOG = (
    "vote_ledger", "vote_tree", "vote_merkle_roots", "vote_agent", "vote_key", "vote_current", "vote_tally",
    "vote_judged", "vote_seal", "vote_checkpoints", "vote_reason",
)  # fmt: skip

# The tables that the passes read, and so their indexes.
TABLES = ("vote_log", *_OF_A_LOG, "transactions", "revision")


def task_of(
    ctx: Context, *, incremental: bool, signed: bool = True, policy: bool = True, text: bool = True,
    accept: bool = False, nice: int = 0,
) -> VoteTask:  # fmt: skip
    """What to verify of the file of a context."""
    return VoteTask(
        database=str(ctx.database.path),
        home=str(ctx.settings.home),
        key=str(ctx.node_key.path),
        busy_timeout_ms=ctx.settings.busy_timeout_ms,
        incremental=incremental,
        signatures=signed,
        policy=policy,
        text=text,
        accept=accept,
        nice=nice,
    )


async def checked(ctx: Context, task: VoteTask) -> VotesExamined:
    """Verify here, or in a worker process where others wait for this one or the task stands back."""
    size = await ctx.database.read(lambda tx: integer(tx, "SELECT coalesce(max(id), 0) FROM vote_ledger"))
    if not task.nice and (ctx.caller.alone or size <= limits.VERIFY_INLINE_LEAVES):
        return await ctx.database.read(lambda tx: verify(tx, task, ctx.progress))
    return await verification.in_worker("cortex.ops.vote_verification", task, VotesExamined, ctx.progress)


def run_of(report: VoteVerification, task: VoteTask, started_at: str, finished_at: str) -> VerificationRun:
    """A run for the record."""
    return VerificationRun(
        log=logs.LOG,
        started_at=started_at,
        finished_at=finished_at,
        incremental=task.incremental,
        size=report.size,
        votes=report.votes,
        ok=report.ok,
        passes=report.passes,
        findings=report.findings,
    )


def verify(tx: Tx, task: VoteTask, progress: Progress) -> VotesExamined:
    """Every pass that is asked for, on the snapshot of `tx`, against what is remembered outside the file."""
    home, database = Path(task.home), Path(task.database)
    kept = verification.NOTHING if task.accept else memory.load(home, database)
    report, after = examine(tx, task, kept.votes, copies.place(home, database), progress)
    return VotesExamined(report=report, remember=after if report.ok else None)


def remember(task: VoteTask, votes: RememberedVotes) -> str | None:
    """Remember outside the file what was found valid. Returns why that could not be done, None where it was."""

    def change(newer: memory.Memory) -> memory.Memory:
        # Another verification may have remembered more meanwhile: what is remembered never shrinks by itself.
        return structs.replace(newer, votes=votes if task.accept else _longer(votes, newer.votes))

    return memory.update(Path(task.home), Path(task.database), change, mend=task.accept)


def _longer(one: RememberedVotes, other: RememberedVotes | None) -> RememberedVotes:
    if other is None or one.origin != other.origin:
        return one
    ours, theirs = ((log.size, log.signed_size, log.text_size) for log in (one, other))
    chosen = one if ours >= theirs else other
    return structs.replace(chosen, whole_at=max(one.whole_at, other.whole_at))


def examine(
    tx: Tx, task: VoteTask, remembered: RememberedVotes | None, copy_file: Path | None, progress: Progress
) -> tuple[VoteVerification, RememberedVotes | None]:
    """Every pass, against what is `remembered`. Returns the report and what is to be remembered if it is good.

    `copy_file` is where the replayed tables are kept for the next run; None for nowhere.
    """
    findings = Findings()
    log, before = None, None
    if verification.check_schema(tx, findings):
        with unforeseen(findings, "the state row", "TREE_STATE"):
            log = logs.state(tx)
            before = remembered if remembered is not None and log and remembered.origin == log.origin else None
            _check_gone(tx, log, None if before else remembered, findings)
    if log is None:
        return _report(findings, ["schema"], None), None
    passes = ["schema"]
    if not task.incremental:
        verification.check_structure(tx, TABLES, findings)
        passes.append("structure")
    checked, after, known = VotesChecked(log.size, b"", log.votes, 0, 0, 0), None, None
    with unforeseen(findings, "the log", origin=log.origin):
        checked, after = integrity.check(
            tx, log, findings, remembered=before, incremental=task.incremental, progress=progress
        )
        # What was checked of the leaves that were remembered counts as long as those are there.
        known = before if task.incremental and before is not None and before.size <= checked.size else None
    passes += ["integrity", "checkpoints"]
    signed, unsaved = _events(tx, task, log, checked, known, copy_file, findings, passes, progress)
    texts = ReasonedTexts()
    if task.text:
        since = 0 if known is None else min(known.text_size, known.size)
        with unforeseen(findings, "the texts", origin=log.origin):
            texts = votecheck.check(tx, log.origin, findings, since=since, progress=progress)
        passes.append("text")
    report = structs.replace(
        _report(findings, passes, log.origin),
        size=checked.size,
        votes=checked.votes,
        merkle_roots=checked.merkle_roots,
        checkpoints=checked.checkpoints,
        root=checked.root.hex(),
        checked_from=checked.checked_from,
        signatures=signed,
        checkpoint_key=key_used(_own(task, log), log.vkey),
        texts=texts.texts,
        reasons=texts.held,
        reasons_given=texts.given,
        memory="none"
        if before is None
        else f"{counted(before.size, 'entry', 'entries')}, verified at {before.verified_at}",
        not_remembered=unsaved,
    )
    return report, None if after is None else _remembered(task, before, after)


def _remembered(task: VoteTask, before: RememberedVotes | None, after: RememberedVotes) -> RememberedVotes:
    """What is to be remembered, with what was checked earlier of what this run left out."""
    size, now = after.size, times.now()
    whole = not task.incremental and task.signatures and task.policy and task.text
    return structs.replace(
        after,
        verified_at=now,
        whole_at=now if whole else before.whole_at if before else "",
        signed_size=size if task.signatures else min(before.signed_size if before else 0, size),
        text_size=size if task.text else min(before.text_size if before else 0, size),
        receipts=before.receipts if before else [],
    )


def _report(findings: Findings, passes: list[str], origin: str | None) -> VoteVerification:
    return VoteVerification(
        ok=not findings.list, findings=findings.list, more_findings=findings.more, origin=origin, size=0, votes=0,
        merkle_roots=0, checkpoints=0, root=None, checked_from=0, passes=passes, signatures=0,
        checkpoint_key=NO_LOG, texts=0, reasons=0, reasons_given=0, memory="none", not_remembered=None,
    )  # fmt: skip


def _own(task: VoteTask, log: Log) -> str | None:
    return verification.own_vkey(NodeKey(Path(task.key)), log.origin)


def _check_gone(tx: Tx, log: Log | None, remembered: RememberedVotes | None, findings: Findings) -> None:
    """What is `remembered` of a log that is not this one, and what is left of one that has no state."""
    if remembered is not None:
        told = (
            f"the votes log that had {counted(remembered.size, 'entry', 'entries')} at {remembered.verified_at} is gone"
        )
        findings.add("ROLLBACK", told, origin=remembered.origin)
    for table in _OF_A_LOG if log is None else ():
        if value(tx, f"SELECT 1 FROM {table} LIMIT 1") is not None:
            findings.add("TREE_STATE", f"{table} has rows, and the state row of the votes log is gone")


def _events(
    tx: Tx,
    task: VoteTask,
    log: Log,
    checked: VotesChecked,
    known: RememberedVotes | None,
    copy_file: Path | None,
    findings: Findings,
    passes: list[str],
    progress: Progress,
) -> tuple[int, str | None]:
    """Who signed, and what the rules make of it. Returns how many signatures were checked, and why no copy is kept."""
    origin, size = log.origin, checked.size
    start = 0 if known is None else min(known.signed_size, known.size)
    with copies.opened(copy_file, tx, origin, size, checked.root, resume=known is not None) as copy:
        done = signatures.SignaturesChecked()
        if task.signatures:
            with unforeseen(findings, "the signatures", origin=origin):
                keys = _keys(tx, copy, origin, start)
                done = signatures.check(tx, origin, findings, start=start, keys=keys, progress=progress)
            passes.append("signatures")
        if not task.policy:
            return done.count, None
        with unforeseen(findings, "the rules", origin=origin):
            replay.check(tx, origin, findings, copy, size=size, void=done.void, progress=progress)
        passes.append("policy")
        return done.count, None if findings.list or copy_file is None else copy.keep()


def _keys(tx: Tx, copy: Copy, origin: str, start: int) -> Keys:
    """The keys at `start`. A copy that is damaged says nothing against the file."""
    if copy.resumed:
        try:
            return validity.at(tx, copy.tx, origin, start)
        except UNFORESEEN:
            copy.start_anew()
    return validity.at(tx, None, origin, start)


if __name__ == "__main__":
    verification.work(VoteTask, verify)
