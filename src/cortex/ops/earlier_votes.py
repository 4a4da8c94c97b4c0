"""Agents and votes of an earlier Cortex's file, put into the votes log: the server signs for them, each counts once.

The ids of their events are made from the file's digest: an import that goes on, or is made again, finds what is there.
An imported agent gets a name that nobody has here. Nothing in the file proves who voted, so it must speak for nobody.
"""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from msgspec import Struct

from cortex import files, ids, limits
from cortex.db.connect import Tx
from cortex.errors import NotFound, Retracted
from cortex.importers import Skip
from cortex.importers.cortex4_votes import ChainFinding, OldAgent, OldTrust, OldVote, reason_of
from cortex.importers.items import place
from cortex.memory import votable
from cortex.ops import signing
from cortex.ops.balloting import keep_reason
from cortex.ops.context import Context
from cortex.ops.journal import EventsOrdered, Proposal
from cortex.trust import events, keyfiles
from cortex.trust import log as logs
from cortex.trust.apply import Applied
from cortex.trust.events import AgentRegistered, Ballot, Signed
from cortex.trust.keyring import EventSigner, sign
from cortex.trust.log import Log

Facts = Mapping[int | str | float, str]
T = TypeVar("T")

_SUFFIX_CHARS = 8


class TrustImported(Struct, frozen=True, kw_only=True):
    """What came of the agents and votes of an earlier file; those `known` were here from an import before.

    `findings` are of its chained tables. `notes` says which agents are called otherwise here, `skips` which votes were
    left out; both show the first of them.
    """

    findings: list[ChainFinding]
    agents: int
    agents_known: int
    votes: int
    votes_known: int
    skipped: int
    skips: list[Skip]
    notes: list[str]

    @property
    def tampered(self) -> bool:
        """Whether a chained table has a row that does not fit. One that could not be checked may be in order."""
        return any(found.first_bad is not None for found in self.findings)


@dataclass(slots=True)
class Taking:
    """The agents and votes of one file on their way into the log, and what came of them so far."""

    found: OldTrust
    digest: bytes
    label: str
    agents: int = 0
    agents_known: int = 0
    votes: int = 0
    votes_known: int = 0
    skips: list[Skip] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    # What each agent of the file is called here.
    names: dict[str, str] = field(default_factory=dict)
    # Up to which number names with a suffix are taken.
    numbers: dict[str, int] = field(default_factory=dict)
    in_file: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.in_file = frozenset(agent.name for agent in self.found.agents)

    def report(self) -> TrustImported:
        """What came of it."""
        skips = [*self.found.skips, *self.skips]
        return TrustImported(
            findings=self.found.chains,
            agents=self.agents,
            agents_known=self.agents_known,
            votes=self.votes,
            votes_known=self.votes_known,
            skipped=len(skips),
            skips=skips[: limits.IMPORT_SKIPS_SHOWN],
            notes=self.notes[: limits.IMPORT_OLD_SKIPS_MAX],
        )

    @property
    def voted(self) -> frozenset[int | str]:
        """The facts, by their ids in the file, that have votes."""
        return frozenset(vote.fact for vote in self.found.votes)

    def event_id(self, log: Log, *parts: str) -> str:
        """The id of the event that something in the file becomes in a log."""
        return ids.uuid8("\n".join(("cortex/imported", log.origin, self.digest.hex(), *parts)))


@dataclass(frozen=True, slots=True)
class _Named:
    """An agent and what it is called here, None where it cannot be; `is_new` where it was registered just now."""

    agent: OldAgent
    name: str | None
    is_new: bool


@dataclass(frozen=True, slots=True)
class _Cast:
    """A vote on its way: on which fact here, by which agent here, and the salt of its reason."""

    old: OldVote
    fact: str
    agent: str
    salt: bytes


async def take(ctx: Context, taking: Taking, facts: Facts) -> None:
    """Register the agents and cast the votes. `facts` has the ids here by those in the file.

    Begins the votes log where there is none, unless there is nothing to put into it.
    """
    if not taking.found.agents:
        return
    await signing.ensure_log(ctx)
    # Another process may have rotated keys that were read before.
    ctx.keyring.forget()
    for agents in _batches(taking.found.agents, limits.IMPORT_OLD_AGENTS_BATCH):
        _note_agents(taking, await _register(ctx, taking, agents))
    done = 0
    for votes in _batches(_castable(ctx, taking, facts), limits.VOTES_BATCH_MAX):
        await _cast(ctx, taking, votes)
        done += len(votes)
        ctx.progress(done, len(taking.found.votes), taking.label)


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[at : at + size] for at in range(0, len(items), size))


async def _register(ctx: Context, taking: Taking, agents: Sequence[OldAgent]) -> list[_Named]:
    at = ctx.now()

    def decide(tx: Tx) -> Proposal[list[_Named]]:
        log = logs.needed(tx)
        named: dict[str, _Named] = {}
        told: list[Signed] = []
        for agent in agents:
            event_id = taking.event_id(log, "agent", agent.name)
            row: Any = tx.execute("SELECT kind, event FROM vote_ledger WHERE event_id = ?", (event_id,)).fetchone()
            name: str | None
            if row is None:
                name = _free(ctx, tx, log, taking, agent.name, {one.name for one in named.values()})
                held = ctx.keyring.keep(log.origin, name)
                told.append(_registration(log, held, event_id, at))
            else:
                name = _registered(*row)
            named[agent.name] = _Named(agent, name, is_new=row is None)
        return Proposal(EventsOrdered(at=at, events=tuple(told)), lambda tx, applied: [*named.values()])

    return await ctx.journal.order(decide)


def _registration(log: Log, held: EventSigner, event_id: str, at: str) -> Signed:
    event = AgentRegistered(
        admin=None,
        agent=held.name,
        at=at,
        custody="server",
        id=event_id,
        key=held.public,
        log=log.origin,
        projects=["*"],
        trust="untrusted",
        v=events.VERSION,
    )
    return sign(event, held)


def _registered(kind: str, event: str | None) -> str | None:
    """Who was registered by an event; None for an event that somebody else put there under this id."""
    members: dict[str, Any] = json.loads(event) if kind == "agent" and event is not None else {}
    return members["agent"] if members.get("custody") == "server" else None


def _free(ctx: Context, tx: Tx, log: Log, taking: Taking, wanted: str, given: set[str | None]) -> str:
    """The name that an agent of the file gets: its own where nobody has it here, else with a number after it."""
    others = {name.lower() for name in given if name is not None} | {ctx.caller.actor.lower()}

    def taken(name: str) -> bool:
        known = tx.execute("SELECT 1 FROM vote_agent WHERE name = ? COLLATE NOCASE", (name,)).fetchone() is not None
        # Whoever imports, and whoever has a key of its own here, may vote under that name later.
        own = files.found(keyfiles.agent_path(ctx.keyring.home, log.origin, name)) is not None
        return known or own or name.lower() in others

    if wanted not in {".", ".."} and not taken(wanted):
        return wanted
    stem = (wanted.strip(".") or "agent")[: limits.AGENT_CHARS_MAX - _SUFFIX_CHARS]
    for number in itertools.count(taking.numbers.get(stem, 2)):
        name = f"{stem}-{number}"
        if name not in taking.in_file and not taken(name):
            taking.numbers[stem] = number
            return name
    raise AssertionError("numbers do not end")


def _note_agents(taking: Taking, named: list[_Named]) -> None:
    for one in named:
        old = place(one.agent.old_name)
        if one.name is None:
            taking.skips.append(Skip(f"agent {old}", "the id that it would be registered under stands for another"))
            continue
        taking.names[one.agent.name] = one.name
        taking.agents += one.is_new
        taking.agents_known += not one.is_new
        if one.name != one.agent.name:
            taking.notes.append(f"the agent {old!r} is called {one.name!r} here: it is not the one of its name here")
        elif one.name != one.agent.old_name:
            taking.notes.append(f"the agent {old!r} is called {one.name!r} here")


def _castable(ctx: Context, taking: Taking, facts: Facts) -> list[_Cast]:
    """The votes on what was imported, the earliest first: where two texts became one fact, the last one stays."""
    votes: list[_Cast] = []
    for old in sorted(taking.found.votes, key=lambda vote: vote.at or ""):
        fact, agent = facts.get(old.fact), taking.names.get(old.agent)
        if fact is None:
            taking.skips.append(_skipped(old, "its fact was not imported"))
        elif agent is None:
            taking.skips.append(_skipped(old, "its agent was not imported"))
        else:
            votes.append(_Cast(old, fact, agent, ctx.new_salt()))
    last = {(vote.fact, vote.agent): vote for vote in votes}
    for vote in votes:
        if last[vote.fact, vote.agent] is not vote:
            taking.skips.append(_skipped(vote.old, "its agent voted again, later, on a fact that says the same"))
    return [*last.values()]


def _skipped(old: OldVote, reason: str) -> Skip:
    return Skip(f"{old.table}, {old.agent} on fact {place(str(old.fact))}", reason)


async def _cast(ctx: Context, taking: Taking, votes: Sequence[_Cast]) -> None:
    """Cast votes in one transaction."""
    at = ctx.now()

    def decide(tx: Tx) -> Proposal[tuple[int, list[Skip]]]:
        log = logs.needed(tx)
        told: list[tuple[_Cast, Signed]] = []
        skips: list[Skip] = []
        keys = {name: _server_key(ctx, tx, log, name) for name in {vote.agent for vote in votes}}
        for vote in votes:
            event_id = taking.event_id(log, "vote", vote.fact, vote.agent)
            if tx.execute("SELECT 1 FROM vote_ledger WHERE event_id = ?", (event_id,)).fetchone() is not None:
                continue
            signed = _signed(tx, log, vote, keys[vote.agent], event_id, at)
            if isinstance(signed, str):
                skips.append(_skipped(vote.old, signed))
            else:
                told.append((vote, signed))

        def answer(tx: Tx, applied: list[Applied]) -> tuple[int, list[Skip]]:
            for vote, signed in told:
                keep_reason(tx, signed.event.id, vote.fact, vote.salt, reason_of(vote.old))
            return len(told), skips

        return Proposal(EventsOrdered(at=at, events=tuple(signed for _, signed in told)), answer)

    counted, skips = await ctx.journal.order(decide)
    taking.votes += counted
    taking.votes_known += len(votes) - counted - len(skips)
    taking.skips += skips


def _server_key(ctx: Context, tx: Tx, log: Log, name: str) -> EventSigner | None:
    """The key that the server signs with for an agent, if it still may."""
    held = ctx.keyring.of(log.origin, name)
    if held is None or held.custody != "server":
        return None
    valid = tx.execute(
        "SELECT 1 FROM vote_key WHERE public = ? AND agent = ? AND until_idx IS NULL",
        (bytes.fromhex(held.public), name),
    )
    return held if valid.fetchone() is not None else None


def _signed(tx: Tx, log: Log, vote: _Cast, held: EventSigner | None, event_id: str, at: str) -> Signed | str:
    """The vote as the server signs it, or why it cannot be cast."""
    if held is None:
        return f"the server has no valid key of {vote.agent} any more"
    try:
        on = votable.newest(tx, vote.fact)
    except (NotFound, Retracted) as error:
        return error.message
    event = Ballot(
        agent=vote.agent,
        at=at,
        author=on.author,
        fact=on.fact,
        fact_digest=on.digest.hex(),
        id=event_id,
        key=held.public,
        log=log.origin,
        reason_digest=events.reason_digest(vote.salt, reason_of(vote.old)).hex(),
        v=events.VERSION,
        vote=vote.old.vote,
    )
    return sign(event, held)
