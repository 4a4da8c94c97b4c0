"""Deciding on votes inside a transaction: on which text, by whose key, and whether both may be."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from cortex.db.connect import Tx, value
from cortex.errors import Conflict, CortexError, Forbidden, IdConflict, Invalid
from cortex.memory import votable
from cortex.memory.votable import Votable
from cortex.ops import clocks, fields
from cortex.ops.context import Context
from cortex.trust import events, keyfiles
from cortex.trust import log as logs
from cortex.trust.events import AgentRegistered, Ballot, Signed
from cortex.trust.keyring import EventSigner, sign, signer
from cortex.trust.log import Log

_UUID_SHOWN = "0198f3a2-6c1e-7b44-9d0e-5f2a7c81b936"

VoteId = Annotated[
    str,
    fields.form(
        fields.UUID,
        f"a UUID in small letters, such as {_UUID_SHOWN}",
        "UUID of this vote: the same one given again is counted once.",
    ),
]
Reason = Annotated[str, Meta(description="Why, with the evidence.", min_length=1)]
AgentName = Annotated[str, fields.form(fields.AGENT, fields.AGENT_FORM, "Agent.")]


class NewVote(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A vote to be cast. A `ballot` with its signature `sig` was signed elsewhere; else Cortex signs."""

    id: fields.FactId
    vote: Annotated[Literal[1, -1, 0], Meta(description="1: it is true, -1: it is not, 0: withdraw your vote.")]
    reason: Reason | None = None
    vote_id: VoteId | None = None
    agent: Annotated[AgentName, Meta(description="Who votes; the configured agent unless given.")] | None = None
    revision: Annotated[int, Meta(description="Only if this is still the newest revision.", ge=1)] | None = None
    ballot: Annotated[dict[str, Any], Meta(description="A ballot that its agent signed (docs/agents.md).")] | None = (
        None
    )
    sig: Annotated[fields.Signature, Meta(description="The ballot's signature in hex.")] | None = None
    salt: fields.Salt | None = None

    def check(self) -> None:
        """Raise Invalid or TooLarge for what the field types alone do not say."""
        fields.check_reason(self.reason)
        if (self.ballot is None) != (self.sig is None):
            raise Invalid("a ballot and its sig go together", "give both, or let Cortex sign")
        if self.ballot is not None and (self.agent is not None or self.vote_id is not None):
            raise Invalid("agent and vote_id stand in the ballot", "leave them out")
        if (self.salt is not None) != (self.ballot is not None and self.reason is not None):
            raise Invalid("a salt goes with a ballot and its reason", "give the salt that reason_digest was made with")


class numbered:  # noqa: N801 - a context manager reads as a function
    """Say in an error which item of several it is about."""

    def __init__(self, number: int, of: int) -> None:
        self._said = f"votes[{number}]: " if of > 1 else ""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, CortexError) and self._said and not error.message.startswith(self._said):
            error.message = self._said + error.message


@dataclass(frozen=True, slots=True)
class DecidedVote:
    """A vote with everything settled: on which text, signed, with its reason as it is kept."""

    on: Votable
    signed: Signed
    custody: str
    salt: bytes | None
    reason: str | None
    # The key that was used here, None where the ballot came signed.
    signer: EventSigner | None


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A key that this machine signs with for an agent; `register` is the id of the event that registers a new one."""

    signer: EventSigner
    register: str | None


def brought(key_file: str, agent: str | None) -> EventSigner:
    """A key from a file, which has to say whose it is unless `agent` does."""
    path = fields.path_of(key_file)
    return signer(keyfiles.bring(path, agent), "agent", path)


def ballot_of(vote: NewVote) -> Signed | None:
    """The ballot that came signed, its signature checked. Whether its key may sign is for the log to say."""
    if vote.ballot is None or vote.sig is None:
        return None
    try:
        encoded = msgspec.json.encode(dict(sorted(vote.ballot.items())))
    except (TypeError, ValueError, UnicodeEncodeError) as error:
        raise Invalid(f"the ballot is not plain data ({error})", "give its members as they were signed") from None
    event = events.decode("vote", encoded)
    assert isinstance(event, Ballot)
    signed = Signed(event, (bytes.fromhex(vote.sig),))
    events.verify(signed, encoded)
    return signed


class Deciding:
    """What a node settles of votes inside a transaction: which text, by whose key, and that both may be."""

    def __init__(self, tx: Tx, log: Log, at: str, held: Mapping[str, HeldKey]) -> None:
        self._tx, self._log, self._at, self._held = tx, log, at, held
        self.registered: list[Signed] = []
        self._new: dict[str, EventSigner] = {}

    def vote(self, vote: NewVote, name: str, ballot: Signed | None, vote_id: str, salt: bytes) -> DecidedVote:
        """A vote by the agent `name`, signed."""
        if ballot is not None:
            return self._signed_elsewhere(vote, ballot)
        known = self._known(vote, name)
        if known is not None:
            return known
        on = votable.newest(self._tx, vote.id)
        votable.outdated(on, vote.revision, None)
        held = self._signer(name)
        self._check_key(held.public, name, on)
        digest = None if vote.reason is None else events.reason_digest(salt, vote.reason).hex()
        event = Ballot(
            agent=name,
            at=self._at,
            author=on.author,
            fact=on.fact,
            fact_digest=on.digest.hex(),
            id=vote_id,
            key=held.public,
            log=self._log.origin,
            reason_digest=digest,
            v=events.VERSION,
            vote=vote.vote,
        )
        return DecidedVote(on, sign(event, held), held.custody, salt if digest else None, vote.reason, held)

    def _signed_elsewhere(self, vote: NewVote, signed: Signed) -> DecidedVote:
        ballot = signed.event
        assert isinstance(ballot, Ballot)
        if ballot.vote != vote.vote:
            raise Invalid(f"the ballot says {ballot.vote}, the request {vote.vote}", "give the same vote")
        repeated = self._tx.execute("SELECT 1 FROM vote_ledger WHERE event_id = ?", (ballot.id,)).fetchone() is not None
        on = votable.newest(self._tx, vote.id, retracted=repeated)
        if ballot.fact != on.fact:
            raise Invalid(f"the ballot is for fact {ballot.fact}, the request for {on.fact}", "give the same fact")
        salt = None if vote.salt is None else bytes.fromhex(vote.salt)
        if not repeated:
            self._check_ballot(ballot, on, vote.revision)
        told = None if vote.reason is None or salt is None else events.reason_digest(salt, vote.reason).hex()
        if told not in {None, ballot.reason_digest}:
            raise Invalid("the reason is not the one that the ballot was signed with", "give its reason and salt")
        return DecidedVote(on, signed, self._custody(ballot.key), salt, vote.reason, None)

    def _check_ballot(self, ballot: Ballot, on: Votable, revision: int | None) -> None:
        votable.outdated(on, revision, ballot.fact_digest)
        if ballot.author != on.author:
            raise Invalid(f"the ballot names {ballot.author[:64]!r} as the author", f"it was {on.author!r}")
        self._check_order(ballot)
        clocks.check_ahead(ballot.at, self._at, "ballot")
        self._check_key(ballot.key, ballot.agent, on)

    def _check_order(self, ballot: Ballot) -> None:
        """Raise Conflict for a ballot that was signed before the vote that the agent holds of this text now."""
        later = value(
            self._tx,
            "SELECT l.at FROM vote_current AS c JOIN vote_ledger AS l ON l.id = c.leaf + 1"
            " WHERE c.fact = ? AND c.digest = ? AND c.agent = ?",
            (ballot.fact, bytes.fromhex(ballot.fact_digest), ballot.agent),
        )
        if isinstance(later, str) and later > ballot.at:
            raise Conflict(
                f"the ballot is of {ballot.at}, and agent {ballot.agent} voted on this text at {later}",
                "an older ballot takes no newer one's place: sign a new one",
            )

    def _known(self, vote: NewVote, name: str) -> DecidedVote | None:
        """The vote that this vote_id was given to before, as it was signed then."""
        if vote.vote_id is None:
            return None
        row: Any = self._tx.execute(
            "SELECT id, kind, fact_id, agent_id, vote, key, author, fact_digest, reason_digest, at, signature"
            " FROM vote_ledger WHERE event_id = ?",
            (vote.vote_id,),
        ).fetchone()
        if row is None:
            return None
        number, kind, fact, agent, cast, key, author, digest, reason, at, signature = row
        on = votable.newest(self._tx, vote.id, retracted=True)
        same = (kind, fact, agent, cast) == ("vote", on.fact, name, vote.vote)
        kept = kept_reason(self._tx, vote.vote_id)[1]
        if not same or not _same_reason(vote.reason, kept, recorded=reason is not None):
            raise IdConflict(
                f"the vote_id {vote.vote_id} stands for another event, entry {number - 1}", "give a new id"
            )
        hexed = None if reason is None else reason.hex()
        event = Ballot(agent, at, author, fact, digest.hex(), vote.vote_id, key.hex(), self._log.origin, hexed, 1, cast)
        held = self._held.get(name)
        own = held.signer if held is not None and held.signer.custody == "agent" else None
        return DecidedVote(on, Signed(event, (signature,)), self._custody(event.key), None, None, own)

    def _signer(self, name: str) -> EventSigner:
        """The key to sign with. An agent that votes for the first time is registered by that, untrusted."""
        held = self._held.get(name)
        if held is None:
            raise Forbidden(
                f"no key of agent {name} is on this machine",
                "give its file with --key, sign the ballot where the key is, or vote as another agent",
            )
        if name not in self._new and held.register is not None and not _is_agent(self._tx, name):
            self.registered.append(sign(_registration(held, self._log.origin, self._at), held.signer))
        self._new[name] = held.signer
        return held.signer

    def _custody(self, public: str) -> str:
        return str(
            value(self._tx, "SELECT custody FROM vote_key WHERE public = ?", (bytes.fromhex(public),)) or "agent"
        )

    def _check_key(self, public: str, name: str, on: Votable) -> None:
        """Raise unless the key is for the fact's project. Whether it may sign at all, the log decides before that."""
        row: Any = self._tx.execute(
            "SELECT projects, ended FROM vote_key WHERE public = ?", (bytes.fromhex(public),)
        ).fetchone()
        if row is None or row[0] is None or row[1] is not None:
            return  # a key that is new, the admin's, or has ended: apply says so
        globs = row[0].split("\n")
        if not any(fnmatchcase(on.project, glob) for glob in globs):
            raise Forbidden(
                f"this key of agent {name} votes in {', '.join(globs)}, and fact {on.fact} is of another project",
                "sign with a key for that project",
            )


def _same_reason(given: str | None, kept: str | None, *, recorded: bool) -> bool:
    """Whether a reason is the one given before; one whose text is held elsewhere is taken for the same."""
    if given is None or not recorded:
        return (given is not None) == recorded
    return kept in {None, given}


def _registration(held: HeldKey, origin: str, at: str) -> AgentRegistered:
    assert held.register is not None
    return AgentRegistered(
        admin=None,
        agent=held.signer.name,
        at=at,
        custody=held.signer.custody,
        id=held.register,
        key=held.signer.public,
        log=origin,
        projects=["*"],
        trust="untrusted",
        v=events.VERSION,
    )


async def keys_for(ctx: Context, names: Sequence[str], brought: EventSigner | None) -> dict[str, HeldKey]:
    """The keys that this machine signs with for agents; for one that is not registered a new one, kept by the server.

    Read and made before the transaction, which may be run twice and waits for nothing. An agent whose key is elsewhere
    is left out.
    """
    if brought is not None:
        return {brought.name: HeldKey(brought, None)}
    found = await _found_keys(ctx, names)
    if ctx.caller.claimed and any(held.signer.custody == "agent" for held in found.values()):
        # Else whoever calls itself by an agent's name would vote with that agent's key.
        raise Forbidden(
            f"agent {ctx.caller.actor} has a key of its own here, and the client only says that this is its name",
            "set the agent of this server: CORTEX_AGENT, or agent in config.toml",
        )
    return found


async def _found_keys(ctx: Context, names: Sequence[str]) -> dict[str, HeldKey]:
    ring = ctx.keyring
    read = {name: ring.held(name) for name in names}
    found = {name: HeldKey(held, None) for name, held in read.items() if held is not None}
    unsure = [name for name in read if name not in found]
    if unsure:
        log = await ctx.database.read(logs.needed)
        ring.origin = log.origin
        ring.registered |= await ctx.database.read(lambda tx: {name for name in unsure if _is_agent(tx, name)})
        for name in unsure:
            own = await asyncio.to_thread(ring.of, log.origin, name)
            if name in ring.registered and own is not None:
                found[name] = HeldKey(own, None)
            elif name not in ring.registered:
                kept = own if own is not None else await asyncio.to_thread(ring.keep, log.origin, name)
                found[name] = HeldKey(kept, ctx.new_id())
    return found


def _is_agent(tx: Tx, name: str) -> bool:
    return tx.execute("SELECT 1 FROM vote_agent WHERE name = ?", (name,)).fetchone() is not None


def keep_reason(tx: Tx, event_id: str, fact: str, salt: bytes, reason: str) -> None:
    """Keep the text of a reason, of which the log has a salted digest alone."""
    tx.execute(
        "INSERT INTO vote_reason (event_id, fact, salt, reason) VALUES (?, ?, ?, ?)", (event_id, fact, salt, reason)
    )


def kept_reason(tx: Tx, event_id: str) -> tuple[bytes, str] | tuple[None, None]:
    """The salt and the text of the reason of an event; Nones where none was given or it is kept elsewhere."""
    row: Any = tx.execute("SELECT salt, reason FROM vote_reason WHERE event_id = ?", (event_id,)).fetchone()
    return (None, None) if row is None else row
