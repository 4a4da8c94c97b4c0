"""Deciding on votes inside a transaction: on which text, by whose key, and whether both may be."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from cortex import limits, times
from cortex.db.connect import Tx
from cortex.errors import ClockAhead, CortexError, Forbidden, IdConflict, Invalid
from cortex.memory import votable
from cortex.memory.votable import Votable
from cortex.ops import fields
from cortex.ops.context import Context
from cortex.trust import events, keyfiles
from cortex.trust.events import AgentRegistered, Ballot, Signed
from cortex.trust.keyring import EventSigner, sign, signer
from cortex.trust.log import Log

VoteId = Annotated[
    str,
    Meta(
        description="UUID of this vote: the same one given again is counted once.",
        pattern=r"\A[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z",
    ),
]
Reason = Annotated[str, Meta(description="Why, with the evidence.", min_length=1)]
AgentName = Annotated[str, Meta(description="Agent.", pattern=rf"\A[A-Za-z0-9._@-]{{1,{limits.AGENT_CHARS_MAX}}}\Z")]


class NewVote(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A vote to be cast. A `ballot` with its signature `sig` was signed elsewhere; else Cortex signs."""

    id: fields.FactId
    vote: Annotated[Literal[1, -1, 0], Meta(description="1: it is true, -1: it is not, 0: withdraw your vote.")]
    reason: Reason | None = None
    vote_id: VoteId | None = None
    agent: Annotated[AgentName, Meta(description="Who votes; the configured agent unless given.")] | None = None
    revision: Annotated[int, Meta(description="Only if this is still the newest revision.", ge=1)] | None = None
    ballot: Annotated[dict[str, Any], Meta(description="A ballot that its agent signed (docs/votes.md).")] | None = None
    sig: Annotated[str, Meta(description="The ballot's signature in hex.", pattern=r"\A[0-9a-f]{128}\Z")] | None = None
    salt: (
        Annotated[
            str,
            Meta(description="The salt in hex that the ballot's reason_digest is of.", pattern=r"\A[0-9a-f]{32,128}\Z"),
        ]
        | None
    ) = None

    def check(self) -> None:
        """Raise Invalid or TooLarge for what the field types alone do not say."""
        if self.reason is not None:
            fields.check_bytes("reason", self.reason, limits.REASON_BYTES_MAX)
            fields.check_name("the reason", self.reason.replace("\n", " ").replace("\t", " "))
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


def brought(key_file: str, agent: str | None) -> EventSigner:
    """A key from a file, which has to say whose it is unless `agent` does."""
    path = Path(key_file)
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

    def __init__(self, ctx: Context, tx: Tx, log: Log, at: str, brought: EventSigner | None) -> None:
        self._ctx, self._tx, self._log, self._at, self._brought = ctx, tx, log, at, brought
        self.registered: list[Signed] = []
        self._new: dict[str, EventSigner] = {}

    def vote(self, vote: NewVote, ballot: Signed | None, vote_id: str, salt: bytes) -> DecidedVote:
        """A vote, signed."""
        if ballot is not None:
            return self._signed_elsewhere(vote, ballot)
        name = vote.agent or (self._brought.name if self._brought else self._ctx.caller.actor)
        known = self._known(vote, name)
        if known is not None:
            return known
        on = votable.newest(self._tx, vote.id)
        votable.outdated(on, vote.revision, None)
        held = self._signer(name)
        self._check_project(held.public, name, on)
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
        ahead = times.micros(ballot.at) - times.micros(self._at)
        if ahead > limits.CLOCK_AHEAD_SECONDS * 1_000_000:
            raise ClockAhead(
                f"the ballot is of {ballot.at}, here it is {self._at}",
                f"set the clock that signed it: {limits.CLOCK_AHEAD_SECONDS} seconds ahead are taken",
            )
        self._check_project(ballot.key, ballot.agent, on)

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
        if (kind, fact, agent, cast) != ("vote", on.fact, name, vote.vote) or not self._same_reason(vote):
            raise IdConflict(
                f"the vote_id {vote.vote_id} stands for another event, entry {number - 1}", "give a new id"
            )
        hexed = None if reason is None else reason.hex()
        event = Ballot(agent, at, author, fact, digest.hex(), vote.vote_id, key.hex(), self._log.origin, hexed, 1, cast)
        return DecidedVote(on, Signed(event, (signature,)), self._custody(key.hex()), None, None, None)

    def _same_reason(self, vote: NewVote) -> bool:
        row: Any = self._tx.execute("SELECT reason FROM vote_reason WHERE event_id = ?", (vote.vote_id,)).fetchone()
        return vote.reason is None or row is None or row[0] == vote.reason

    def _signer(self, name: str) -> EventSigner:
        """The key to sign with: the one brought along, one of this machine, or a new one that the server keeps."""
        if self._brought is not None:
            return self._brought
        held = self._new.get(name) or self._ctx.keyring.of(self._log.origin, name)
        if held is not None and self._is_known(held.public):
            return held
        if self._tx.execute("SELECT 1 FROM vote_agent WHERE name = ?", (name,)).fetchone() is not None:
            if held is not None:
                return held
            raise Forbidden(
                f"no key of agent {name} is on this machine",
                "give its file with --key, sign the ballot where the key is, or vote as another agent",
            )
        return self._register(name, held)

    def _is_known(self, public: str) -> bool:
        if any(isinstance(one.event, AgentRegistered) and one.event.key == public for one in self.registered):
            return True
        row = self._tx.execute("SELECT 1 FROM vote_key WHERE public = ?", (bytes.fromhex(public),)).fetchone()
        return row is not None

    def _register(self, name: str, held: EventSigner | None) -> EventSigner:
        """Register an agent that votes for the first time: untrusted, until an admin vouches for it."""
        held = held or self._ctx.keyring.keep(self._log.origin, name)
        event = AgentRegistered(
            admin=None,
            agent=name,
            at=self._at,
            custody=held.custody,
            id=self._ctx.new_id(),
            key=held.public,
            log=self._log.origin,
            projects=["*"],
            trust="untrusted",
            v=events.VERSION,
        )
        self.registered.append(sign(event, held))
        self._new[name] = held
        return held

    def _custody(self, public: str) -> str:
        row: Any = self._tx.execute(
            "SELECT custody FROM vote_key WHERE public = ?", (bytes.fromhex(public),)
        ).fetchone()
        return row[0] if row is not None else "agent"

    def _check_project(self, public: str, name: str, on: Votable) -> None:
        row: Any = self._tx.execute(
            "SELECT projects FROM vote_key WHERE public = ?", (bytes.fromhex(public),)
        ).fetchone()
        globs = ["*"] if row is None or row[0] is None else row[0].split("\n")
        if not any(fnmatchcase(on.project, glob) for glob in globs):
            raise Forbidden(
                f"this key of agent {name} votes in {', '.join(globs)}, and fact {on.fact} is of another project",
                "sign with a key for that project",
            )


def keep_reason(tx: Tx, event_id: str, fact: str, salt: bytes, reason: str) -> None:
    """Keep the text of a reason, of which the log has a salted digest alone."""
    tx.execute(
        "INSERT INTO vote_reason (event_id, fact, salt, reason) VALUES (?, ?, ?, ?)", (event_id, fact, salt, reason)
    )
