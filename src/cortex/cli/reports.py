"""Reports of what was checked or imported as lines for people."""

from collections.abc import Iterator

from cortex import limits
from cortex.cli import listing
from cortex.cli.terminal import Screen, one_line
from cortex.memory.recall import age
from cortex.ops.doctor import Diagnosis
from cortex.ops.earlier_votes import TrustImported
from cortex.ops.node import Status, VotesFigures
from cortex.ops.runs import LastRun
from cortex.ops.transfer import ImportReport
from cortex.plurals import counted


def status(found: Status, screen: Screen) -> Iterator[str]:
    """The figures of the file, then the votes log and the last verification of each log."""
    yield from listing.part(found, ["votes_log", "verified"])
    yield ""
    yield from listing.details([*_votes_log(found.votes_log), *_verified(found.verified, screen)])


def _votes_log(log: VotesFigures | None) -> Iterator[tuple[str, str]]:
    if log is None:
        yield "votes log", "none yet: the first vote begins it"
        return
    yield "votes log", log.origin
    sums = f"{counted(log.entries, 'entry', 'entries')}, {counted(log.votes, 'vote')}"
    yield "holds", f"{sums}, {counted(log.agents, 'agent')}, the last of {log.last_entry_at}"
    yield "takes votes", "yes" if log.takes_votes else f"no: {log.closed}"


def _verified(runs: list[LastRun], screen: Screen) -> Iterator[tuple[str, str]]:
    last = {run.log: run for run in runs}
    for log, name, command in (("transactions", "ledger", "ledger"), ("votes", "votes log", "vote-ledger")):
        run, again = last.pop(log, None), f"`cortex {command} verify`"
        yield f"{name} verified", f"never: {again}" if run is None else _run(run, screen, again)
    for run in last.values():
        yield "runs written down", f"damaged: one is of {run.log[: limits.FINDING_SAID_CHARS]!r}, which is no log"


def _run(run: LastRun, screen: Screen, again: str) -> str:
    if run.damaged is not None:
        return f"unknown, since what is written down of it is damaged ({run.damaged}): {again}"
    came = "valid" if run.ok else f"NOT valid: {', '.join(run.codes)}"
    if run.unchecked:
        came = "nothing wrong in what was read" if run.ok else came
        came += f", but not everything could be read: {'; '.join(run.unchecked)}"
    part = ", only what was new" if run.incremental else ""
    return f"{run.at} ({age(run.at, screen.now)}){part}, {came}"


def diagnosis(found: Diagnosis, screen: Screen) -> Iterator[str]:
    """Each check on a line, and below what is not in order what to do about it."""
    for check in found.checks:
        yield f"{'ok   ' if check.ok else 'WRONG'}  {one_line(check.name)}: {one_line(check.found)}"
        if check.hint:
            yield f"         {one_line(check.hint)}"
    wrong = sum(not check.ok for check in found.checks)
    yield f"{wrong} of {len(found.checks)} checks found something wrong" if wrong else "everything is in order"


def imported(report: ImportReport, screen: Screen) -> Iterator[str]:
    """What came of each file, what was skipped and why, and the sum."""
    for file in report.files:
        resumed = f", went on at {file.resumed_at}" if file.resumed_at else ""
        counts = f"{file.stored} stored, {file.duplicates} already there, {file.skipped} skipped"
        yield f"{one_line(file.path)}  {one_line(file.format)}  {counts}{resumed}"
        for skip in file.skips:
            yield f"  skipped {one_line(skip.where)}: {one_line(skip.reason)}"
        if file.skipped > len(file.skips):
            yield f"  and {file.skipped - len(file.skips)} more"
        if file.trust is not None:
            yield from _trust_imported(file.trust)
        if file.error is not None:
            yield f"  stopped: {one_line(file.error)}"
    total = f"{report.stored} stored, {report.duplicates} already there, {report.skipped} skipped"
    yield f"{one_line(report.project)}: {total}"


def _trust_imported(trust: TrustImported) -> Iterator[str]:
    """What an earlier file's ledger was found to be, and what came of its agents and votes."""
    for found in trust.findings:
        state = "ok" if found.ok else "WRONG" if found.first_bad is not None else "unknown"
        checked = f"{counted(found.checked, 'row')} checked"
        yield f"  ledger {one_line(found.table)}: {state}, {checked}: {one_line(found.what)}"
    if trust.tampered:
        yield "  WARNING: the earlier ledger was changed or is damaged; what was imported is only as good as that file"
    agents = f"agents: {trust.agents} imported, {trust.agents_known} already there"
    yield f"  {agents}; votes: {trust.votes} imported, {trust.votes_known} already there; {trust.skipped} skipped"
    for note in trust.notes[: limits.IMPORT_SKIPS_SHOWN]:
        yield f"  {one_line(note)}"
    if len(trust.notes) > limits.IMPORT_SKIPS_SHOWN:
        yield f"  and {len(trust.notes) - limits.IMPORT_SKIPS_SHOWN} more"
    for skip in trust.skips:
        yield f"  skipped {one_line(skip.where)}: {one_line(skip.reason)}"
    if trust.skipped > len(trust.skips):
        yield f"  and {trust.skipped - len(trust.skips)} more"
