"""Votes, agents, the admin key and the rules, as lines for people."""

from collections.abc import Iterable, Iterator
from typing import Any

from cortex import plurals
from cortex.cli.listing import details
from cortex.cli.terminal import Screen, cells, one_line
from cortex.ids import short
from cortex.memory.recall import age
from cortex.ops.admin import AdminChange, AdminStatus
from cortex.ops.agent_changes import AgentChange, ShownKey
from cortex.ops.agents import AgentList, AgentSummary, AgentView
from cortex.ops.policies import ClockConfirmed, PolicyView
from cortex.ops.resolving import Resolution
from cortex.ops.settled import WORDS, PersonsWord
from cortex.ops.submitting import SubmittedEvent
from cortex.ops.tallied import Tally
from cortex.ops.votes import CountedVote, CountedVotes, FactVotes, ShownVote

_HASH_CHARS = 16
_SIGNS = {1: "+1", -1: "-1", 0: " 0"}
_SERVER = "custody server"


def counted(vote: CountedVote, screen: Screen) -> Iterator[str]:
    """The vote, where the fact stands with it, and its entry."""
    yield _cast(vote)
    yield from _standing(vote)
    yield _entry(vote.entry, vote.hash)
    yield from _noted(vote.notes)


def counted_batch(votes: CountedVotes, screen: Screen) -> Iterator[str]:
    """Two lines a vote; what a verdict lacks is for `cortex votes` to say."""
    for vote in votes.votes:
        yield _cast(vote)
        yield f"  {_verdict(vote)}  {_entry(vote.entry, vote.hash)}"
        yield from _noted(vote.notes, "  ")


def _cast(vote: CountedVote) -> str:
    repeated = "counted before: " if vote.repeated else ""
    kept = f" ({_SERVER})" if vote.custody == "server" else ""
    return f"{repeated}{_word(vote.vote)}  {short(vote.fact)}  by {one_line(vote.agent)}{kept}  {_weight(vote)}"


def _word(vote: int) -> str:
    return "withdrew its vote" if vote == 0 else f"voted {vote:+d}"


def _weight(vote: CountedVote | ShownVote) -> str:
    """What a vote weighs and adds, or why it adds nothing."""
    if vote.vote == 0:
        return "counts no more"
    if vote.why_zero is not None:
        return f"weight 0: {one_line(vote.why_zero)}"
    return f"weight {vote.weight:.3f} (contributes {vote.contribution:+.3f})"


def _verdict(found: Tally) -> str:
    resolved = " (resolved)" if found.resolved else ""
    # Under the linear rule weights add up to nothing that counts.
    total = "" if found.rule == "linear" else f"  sum {found.sigma:+.3f}"
    return f"score {found.consensus_score:.2f}  verdict {found.verdict}{resolved}{total}"


def _standing(found: Tally) -> Iterator[str]:
    yield _verdict(found)
    if found.missing:
        yield f"still missing: {one_line('; '.join(found.missing))}"
    if found.due is not None:
        yield f"its voters are judged by that at {found.due}, if it stays so"


def votes(found: FactVotes, screen: Screen) -> Iterator[str]:
    """Where a fact stands, then each vote with its weight and reason."""
    yield f"{short(found.fact)}  revision {found.revision}"
    yield from _standing(found)
    if found.resolution is not None:
        yield from word(found.resolution, screen)
    yield from vote_lines(found.votes, screen)
    if not found.votes:
        yield "  nobody has voted on this revision" if found.earlier else "  nobody has voted on it"
    if found.more:
        yield f"and {found.more:,} more: raise --limit"
    if found.earlier:
        yield f"votes on earlier revisions, which do not count: {found.earlier:,}"


def word(said: PersonsWord, screen: Screen) -> Iterator[str]:
    """What a person said with the admin key, when, and why. Who held the key is in no log."""
    by = f"by the admin key {said.key[:_HASH_CHARS]}…, whoever held it"
    yield f"{WORDS[said.truth]} {by}  (entry {said.entry}, {age(said.at, screen.now)})"
    if said.reason is not None:
        yield screen.line([(f"    {one_line(said.reason)}", False)])


def vote_lines(votes: list[ShownVote], screen: Screen) -> Iterator[str]:
    """Each vote with what it weighs and adds, or why it adds nothing, and its reason below it."""
    width = max((cells(vote.agent) for vote in votes), default=0)
    level = max((len(vote.level) for vote in votes), default=0)
    for vote in votes:
        name = one_line(vote.agent)
        who = f"{name}{' ' * (width - cells(name))}  {vote.level:<{level}}"
        told = f"entry {vote.entry}, {age(vote.at, screen.now)}" + (f", {_SERVER}" if vote.custody == "server" else "")
        yield f"  {_SIGNS[vote.vote]}  {who}  {_weight(vote)}  ({told})"
        if vote.reason is not None:
            yield screen.line([(f"      {one_line(vote.reason)}", False)])


def resolution(found: Resolution, screen: Screen) -> Iterator[str]:
    """What a person's word made of a fact."""
    done = f"{WORDS[found.truth]}  {short(found.fact)}"
    yield f"{done}  agents judged by it: {found.judged}"
    yield from _standing(found)
    yield _entry(found.entry, found.hash)
    yield from _noted(found.notes)


def agents(found: AgentList, screen: Screen) -> Iterator[str]:
    """One agent a line: `bob  standard  reputation 0.750  weight 1.099  votes: 3  keys: 1`."""
    width = max((cells(agent.name) for agent in found.agents), default=0)
    for agent in found.agents:
        yield screen.line([(_agent(agent, width), False)])
    if not found.agents:
        yield "no agents"
    if found.next is not None:
        yield f"more: --cursor {found.next}"


def _agent(agent: AgentSummary, width: int) -> str:
    name = one_line(agent.name)
    standing = f"reputation {agent.reputation:.3f}  weight {agent.weight:.3f}"
    kept = {"server": f"  {_SERVER}", "both": "  custody agent and server"}.get(agent.custody or "", "")
    return (
        f"{name}{' ' * (width - cells(name))}  {agent.level:<9}  {standing}  votes: {agent.votes}  keys: {agent.keys}"
        f"{kept}"
    )


def agent(found: AgentView, screen: Screen) -> Iterator[str]:
    """One agent in full, its keys, and what it takes to sign for it elsewhere."""
    here = {"agent": "its own", "server": "one that Cortex keeps for it"}.get(found.key_here or "", "none")
    yield f"{one_line(found.name)}  {found.level}  reputation {found.reputation:.3f}  weight {found.weight:.3f}"
    yield from details(
        [
            ("evidence", f"{found.evidence_for:.2f} for, {found.evidence_against:.2f} against"),
            ("votes", f"{found.votes:,}"),
            ("registered", found.registered),
            ("key here", here),
            ("log", f"{found.log}, {plurals.counted(found.entries, 'entry', 'entries')}, the last of {found.at}"),
            ("log's key", found.vkey),
            ("admin key", found.admin),
            ("rule", str(found.policy.get("rule"))),
        ]
    )
    yield "keys:"
    for key in found.keys:
        yield f"  {_key(key)}"


def _key(key: ShownKey) -> str:
    end = "on" if key.until is None else f"to {key.until} ({key.ended})"
    only = "" if key.projects == ["*"] else f"  for {one_line(', '.join(key.projects))}"
    return f"{key.public}  from entry {key.since} {end}  custody {key.custody}{only}"


def changed(done: AgentChange, screen: Screen) -> Iterator[str]:
    """What was changed of an agent, where its key lies, and the entry."""
    level = "" if done.change == "revoked" else f"  {done.level}"
    yield f"{done.change}  {one_line(done.agent)}{level}"
    only = "" if done.projects in ([], ["*"]) else f"  for {one_line(', '.join(done.projects))}"
    if done.public is not None:
        yield f"key {done.public}{only}"
    if done.key_path is not None:
        yield f"private key in {one_line(done.key_path)}"
    yield _entry(done.entry, done.hash)
    yield from _noted(done.notes)


def submitted(done: SubmittedEvent, screen: Screen) -> Iterator[str]:
    """The place of an event that came signed."""
    yield f"{'there already' if done.repeated else 'taken'}  {done.kind}  {done.event_id}"
    yield _entry(done.entry, done.hash)


def admin(found: AdminStatus, screen: Screen) -> Iterator[str]:
    """The admin key and its file."""
    told = ""
    if found.in_force is not None:
        told = ", the one in force" if found.in_force else ", NOT the one in force"
    if found.rotating:
        told += "; a rotation was begun: `cortex admin rotate` finishes it"
    yield from details(
        [("log", found.origin), ("admin key", found.admin), ("file", f"{found.path} ({found.state}{told})")]
    )
    if found.in_force is False and found.public is not None:
        yield f"the file's key is {found.public}"
    if found.kept is not None:
        yield f"the log's is kept as {one_line(found.kept)}; it takes the place again when it is next needed"


def admin_changed(done: AdminChange, screen: Screen) -> Iterator[str]:
    yield f"admin key {done.admin}"
    yield f"private key in {one_line(done.path)}; the one before is kept beside it"
    yield _entry(done.entry, done.hash)


def policy(found: PolicyView, screen: Screen) -> Iterator[str]:
    """The parameters of the rules, as `--set` takes them."""
    yield from details(_parameters(found.policy))
    if found.entry is not None and found.hash is not None:
        yield _entry(found.entry, found.hash)
    yield from _noted(found.notes)


def _parameters(given: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in given.items():
        if isinstance(value, dict):
            for level, (pro, con) in value.items():
                yield f"{name}.{level}", f"{pro} for, {con} against"
        else:
            yield name, str(value)


def clock(done: ClockConfirmed, screen: Screen) -> Iterator[str]:
    if done.entry is None or done.hash is None:
        yield f"to be confirmed: from {done.before} to {done.at}"
        return
    yield f"confirmed: from {done.before} to {done.at}"
    yield _entry(done.entry, done.hash)


def _entry(entry: int, hashed: str) -> str:
    return f"entry {entry}  {hashed[:_HASH_CHARS]}…"


def _noted(notes: Iterable[str], indent: str = "") -> Iterator[str]:
    for note in notes:
        yield f"{indent}note: {one_line(note)}"
