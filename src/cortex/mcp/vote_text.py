"""Votes, agents and the verification of votes as compact Markdown; hashes and promises are in the structured content.

Every text that a caller gave stands in quotes, on its line.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from cortex.ids import short
from cortex.memory.recall import age, label, quote
from cortex.ops import pass_words, settled
from cortex.ops.agents import AgentList, AgentSummary
from cortex.ops.checking import VotesReport
from cortex.ops.settled import WORDS, PersonsWord
from cortex.ops.tallied import Tally
from cortex.ops.vote_records import VoteHistory, VoteLogEntry
from cortex.ops.votes import CountedVote, CountedVotes, FactVotes, ShownVote
from cortex.plurals import counted


def vote(done: CountedVote) -> list[str]:
    """A vote, where the fact stands with it, and what to know of it."""
    return [_cast(done), *standing(done), *_noted(done.notes)]


def batch(done: CountedVotes) -> list[str]:
    return [line for each in done.votes for line in (_cast(each), f"  {_verdict(each)}", *_noted(each.notes, "  "))]


def _cast(done: CountedVote) -> str:
    before = "Counted before: " if done.repeated else ""
    said = "withdrew its vote" if done.vote == 0 else f"voted {done.vote:+d}"
    kept = ", custody server" if done.custody == "server" else ""
    where = f"on {short(done.fact)} r{done.revision}, entry {done.entry}, vote_id {done.vote_id}"
    return f"{before}{label(done.agent)} ({done.level}{kept}) {said} {where}: {_weight(done)}"


def _weight(done: CountedVote | ShownVote) -> str:
    """What a vote weighs and adds, or why it adds nothing."""
    if done.vote == 0:
        return "counts no more"
    if done.why_zero is not None:
        return f"weight 0, since {done.why_zero}"
    return f"weight {done.weight:.3f}, adds {done.contribution:+.3f}"


def _verdict(found: Tally) -> str:
    resolved = " (resolved)" if found.resolved else ""
    total = "" if found.rule == "linear" else f", sum {found.sigma:+.3f}"
    return f"verdict {found.verdict}{resolved}, score {found.consensus_score:.2f}{total}"


def standing(found: Tally) -> list[str]:
    """Where a fact stands, and what a verdict lacks."""
    lines = [f"Fact {short(found.fact)} r{found.revision}: {_verdict(found)}", *lacking(found.missing)]
    if found.due is not None:
        lines.append(f"Its voters are judged by that at {found.due}, if it stays so.")
    return lines


def lacking(missing: list[str]) -> list[str]:
    """What a verdict still lacks."""
    return [f"Still missing: {'; '.join(missing)}"] if missing else []


def votes(found: FactVotes, now: datetime) -> list[str]:
    """Where a fact stands, a person's word on it, and each vote."""
    lines = [*standing(found), *word(found.resolution, now), *cast(found.votes, now)]
    if not found.votes:
        lines.append("Nobody has voted on this revision." if found.earlier else "Nobody has voted on it.")
    lines += [f"{found.more:,} more: call again with a larger limit."] * bool(found.more)
    return [*lines, *[f"Votes on earlier revisions, which do not count: {found.earlier:,}"] * bool(found.earlier)]


def word(said: PersonsWord | None, now: datetime) -> list[str]:
    """What a person said with the admin key; who held it is in no log."""
    if said is None:
        return []
    why = "" if said.reason is None else f": {quote(said.reason)}"
    return [f"{WORDS[said.truth]} by the admin key, whoever held it (entry {said.entry}, {age(said.at, now)}){why}"]


def cast(found: Iterable[ShownVote], now: datetime) -> list[str]:
    """A line for each vote, its reason quoted."""
    return [_shown(each, now) for each in found]


def _shown(each: ShownVote, now: datetime) -> str:
    kept = ", custody server" if each.custody == "server" else ""
    why = "" if each.reason is None else f": {quote(each.reason)}"
    who = f"{label(each.agent)} ({each.level}{kept})"
    said = "withdrew" if each.vote == 0 else f"{each.vote:+d}"
    return f"- {said} by {who}, {_weight(each)} (entry {each.entry}, {age(each.at, now)}){why}"


def agents(found: AgentList) -> list[str]:
    """A line for each agent."""
    lines = [_agent(each) for each in found.agents] or ["No agents."]
    return [*lines, *[f"More: call again with cursor {quote(found.next or '')}."] * (found.next is not None)]


def _agent(each: AgentSummary) -> str:
    kept = {"server": ", custody server", "both": ", custody agent and server"}.get(each.custody or "", "")
    sums = f"{counted(each.votes, 'vote')}, {counted(each.keys, 'key')}"
    return (
        f"- {label(each.name)} ({each.level}{kept}) reputation {each.reputation:.3f}, weight {each.weight:.3f}, {sums}"
    )


def history(found: VoteHistory) -> list[str]:
    """A line for each entry of the votes log about a fact."""
    lines = [_entry(each) for each in found.entries] or ["Nobody has voted on it."]
    return [*lines, *[f"More: call again with cursor {quote(found.next or '')}."] * (found.next is not None)]


def _entry(each: VoteLogEntry) -> str:
    on = "" if each.revision is None else f" on r{each.revision}"
    why = "" if each.reason is None else f": {quote(each.reason)}"
    if each.kind != "vote":
        return f"- entry {each.entry}, {each.at}: {settled.told(each.truth)} by the admin key{on}{why}"
    said = f"voted {each.vote:+d}" if each.vote else "withdrew its vote"
    kept = ", custody server" if each.custody == "server" else ""
    who = f"{label(each.agent or '')} {said}{on}"
    weighed = f", weight {each.weight or 0:.3f}" if each.vote else ""
    return f"- entry {each.entry}, {each.at}: {who}{weighed}{kept}{why}"


def verification(report: VotesReport) -> list[str]:
    """The verdict, what was checked, and each finding; never more than was checked."""
    told = [_came(report)]
    if report.origin is not None:
        part = f", from entry {report.checked_from:,} on" if report.checked_from else ""
        told += [
            f"- log {label(report.origin)}: {counted(report.size, 'entry', 'entries')}{part}",
            f"- {counted(report.checkpoints, 'checkpoint')}, checked against {report.checkpoint_key}",
            f"- passes: {', '.join(report.passes)}",
        ]
    told.append(f"- remembered outside the file: {report.memory}")
    told += [f"- {quote(each)}" for each in report.outside]
    told += [f"- not remembered: {quote(each)}" for each in (report.not_remembered,) if each is not None]
    return [*told, *_findings(report)]


def _came(report: VotesReport) -> str:
    if not report.ok:
        return f"NOT valid: {counted(len(report.findings) + report.more_findings, 'finding')}."
    if report.origin is None:
        return "Nothing was checked: this file has no votes log yet."
    left = pass_words.left_out(report.passes)
    rest = f"; not checked: {', '.join(left)}" if left else ""
    sums = f"{counted(report.votes, 'vote')}, {counted(report.merkle_roots, 'Merkle root')}{rest}"
    if report.unchecked:
        missing = "; ".join(map(quote, report.unchecked))
        return f"Could not check everything: nothing wrong in what was read ({sums}), but {missing}."
    return f"Nothing wrong in what is new ({sums})." if report.checked_from else f"Chain valid ({sums})."


def _findings(report: VotesReport) -> Iterator[str]:
    for finding in report.findings:
        where = "" if finding.entry is None else f" entry {finding.entry}"
        yield f"- FAIL {finding.code}{where}: {quote(finding.what)}"
    if report.more_findings:
        yield f"- and {counted(report.more_findings, 'more finding')}"


def _noted(notes: Iterable[str], indent: str = "") -> Iterator[str]:
    for note in notes:
        yield f"{indent}Note: {quote(note)}"
