"""What the operations on the votes log answer, as lines for people."""

from collections.abc import Iterable, Iterator

from cortex.cli import terminal
from cortex.cli.listing import details
from cortex.cli.terminal import Screen, one_line
from cortex.memory.recall import age
from cortex.ops import pass_words, settled
from cortex.ops.checking import VotesReport
from cortex.ops.resubmitting import LeftBallot, Resubmitted
from cortex.ops.vote_ledger import VoteLogHead
from cortex.ops.vote_records import ExportedVotes, ProofOfVote, VoteExports, VoteHistory, VoteLogEntry
from cortex.ops.witnessing import StampedNote, Vouched
from cortex.plurals import counted

_OUTCOMES = {"cosigned": "✓ cosigned by", "kept": "✓ kept by", "seen": "✗ refused by", "failed": "– not had:"}


def verification(report: VotesReport, screen: Screen) -> Iterator[str]:
    """What was checked, what it was held against, each finding, and the verdict; never more than was checked."""
    if report.origin is not None:
        part = f", from entry {report.checked_from:,} on" if report.checked_from else ""
        yield f"log  {one_line(report.origin)}"
        yield f"     {_entries(report.size)}{part}, root {(report.root or '')[:16]}…"
        yield f"     {counted(report.checkpoints, 'checkpoint')}, checked against {report.checkpoint_key}"
        signed = f"{report.signatures:,} checked" if "signatures" in report.passes else "not checked"
        yield f"     signatures of agents and admins: {signed}"
        yield f"     weights and verdicts: {'computed anew' if 'policy' in report.passes else 'not computed anew'}"
        if "text" in report.passes:
            held = f"{report.reasons:,} of {report.reasons_given:,} held"
            yield f"     texts: {report.texts:,} of facts; reasons: {held}"
    yield f"     remembered outside the file: {report.memory}"
    for told in report.outside:
        yield f"     {one_line(told)}"
    if report.not_remembered is not None:
        yield f"     not remembered: {one_line(report.not_remembered)}"
    for finding in report.findings:
        where = "" if finding.entry is None else f" id={finding.entry}"
        yield f"FAIL {finding.code}{where} {one_line(finding.what)}"
    if report.more_findings:
        yield f"and {counted(report.more_findings, 'more finding')}"
    yield _verdict(report)


def _verdict(report: VotesReport) -> str:
    unread = pass_words.left_out(report.passes)
    told = f"{counted(report.votes, 'vote')}, {counted(report.merkle_roots, 'Merkle root')}"
    if not report.ok:
        return f"✗ NOT valid: {counted(len(report.findings) + report.more_findings, 'finding')}"
    if report.origin is None:
        return "nothing was checked: this file has no votes log yet"
    rest = f"; not checked: {', '.join(unread)}" if unread else ""
    if report.unchecked:
        missing = one_line("; ".join(report.unchecked))
        return f"could not check everything: nothing wrong in what was read ({told}{rest}), but {missing}"
    if report.checked_from:
        new = report.size - report.checked_from
        return f"✓ nothing wrong in what is new ({_entries(new)} of {report.size:,}{rest})"
    return f"✓ chain valid ({told}{rest})"


def head(found: VoteLogHead, screen: Screen) -> Iterator[str]:
    """The signed checkpoint alone, as it is to be kept in a file; beside it the keys to hand to verifiers."""
    yield from found.note.splitlines()
    told = [f"the log goes on, by {one_line(found.by or 'the admin key')}"] if found.restored else []
    keys = [f"log {found.vkey}", f"genesis {found.genesis}"]
    terminal.note(
        [
            *told,
            *vouched(found.witnesses, found.timestamp),
            "Keep this elsewhere to detect rewriting. The lines for a verifier's trust file:",
            *keys,
        ]
    )


def vouched(witnesses: Iterable[Vouched], stamp: StampedNote | None) -> Iterator[str]:
    """A line for each witness, and one for the timestamp."""
    for each in witnesses:
        told = "" if each.told is None else f" ({one_line(each.told)})"
        yield f"{_OUTCOMES[each.outcome]} {one_line(each.witness)}{told}"
    if stamp is not None and stamp.at is not None:
        yield f"✓ timestamp of {stamp.at} by {one_line(stamp.by or '')}"
    elif stamp is not None:
        yield f"– timestamp of {stamp.bytes:,} bytes kept; {one_line(stamp.told or '')}"


def exported(found: ExportedVotes, screen: Screen) -> Iterator[str]:
    """What was written, and what a verifier needs besides."""
    yield from details(
        [
            ("exported", f"{found.path} ({found.format})"),
            ("holds", f"{_entries(found.entries)}, {counted(found.checkpoints, 'checkpoint')}"),
            ("sha256", found.digest),
            *(("trust", line) for line in found.trust),
            ("verifier", found.verifier),
        ]
    )
    yield "Hand the trust lines over another way than the export."


def exports(found: VoteExports, screen: Screen) -> Iterator[str]:
    """One line an export."""
    for each in found.exports:
        digest = "not finished" if each.digest is None else f"{each.digest[:16]}…"
        yield (
            f"{each.id:>4}  {each.at}  {one_line(each.actor)}  {_entries(each.entries)}  {each.format}"
            f"  {digest}  {one_line(each.path)}"
        )
    if not found.exports:
        yield "the votes log was not exported from this file"
    if found.more:
        yield f"{found.more:,} more: raise --limit"


def history(found: VoteHistory, screen: Screen) -> Iterator[str]:
    """One line an entry, and its reason below."""
    for entry in found.entries:
        yield f"{entry.entry:>8}  {_said(entry)}  {entry.at} ({age(entry.at, screen.now)})  {entry.hash[:16]}…"
        if entry.reason is not None:
            yield f"          {one_line(entry.reason)}"
    if not found.entries:
        yield "nobody voted on it"
    if found.next is not None:
        yield f"more: --cursor {found.next}"


def _said(entry: VoteLogEntry) -> str:
    if entry.kind == "vote":
        held = "  the server signed" if entry.custody == "server" else ""
        who = f"{one_line(entry.agent or '')}{_on(entry)}"
        if not entry.vote:
            return f"withdrew: {who}{held}"
        return f"{entry.vote:+d} by {who}  weight {entry.weight or 0:.3f}{held}"
    return f"{settled.told(entry.truth)} by the admin key{_on(entry)}"


def _on(entry: VoteLogEntry) -> str:
    return "" if entry.revision is None else f"  on r{entry.revision}"


def proof(found: ProofOfVote, screen: Screen) -> Iterator[str]:
    """Where the proof was written, else the proof as a text that can be sent."""
    if found.path is not None:
        yield f"the proof is in {one_line(found.path)}: hand it over with the log's key, another way"
        return
    yield from found.proof.splitlines()
    yield ""
    yield f"entry  {one_line(found.leaf)}"
    told = "with the reason and its salt" if found.disclosure is not None else "without a reason"
    yield f"       {told}; `--output FILE` or `--json` gives what `cortex vote-ledger verify-external` reads"


def resubmitted(found: Resubmitted, screen: Screen) -> Iterator[str]:
    """What was taken, and what was not and why."""
    yield f"handed in again: {counted(found.taken, 'vote')}; there already: {found.present:,}"
    if found.without_reason:
        yield f"without the text of the reason, which no receipt holds: {counted(found.without_reason, 'vote')}"
    yield from _left("outdated", found.outdated)
    yield from _left("refused", found.refused)
    if found.more:
        yield f"and {found.more:,} more that were not counted"
    if not found.receipts:
        yield "no agent has receipts here: give their files with --receipts"


def _left(why: str, ballots: list[LeftBallot]) -> Iterator[str]:
    for each in ballots:
        yield f"{why}  {one_line(each.vote_id)}  by {one_line(each.agent)}: {one_line(each.told)}"


def _entries(count: int) -> str:
    return counted(count, "entry", "entries")
