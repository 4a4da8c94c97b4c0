"""Operations on votes: cast one or several, read what stands, settle by a person's word."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from cortex import limits
from cortex.db.connect import Tx
from cortex.errors import Corrupt, CortexError, Invalid, KeyNotValid, NotFound
from cortex.memory import votable
from cortex.ops import fields, news, rotating
from cortex.ops.balloting import (
    DecidedVote,
    Deciding,
    NewVote,
    ballot_of,
    brought,
    keep_reason,
    kept_reason,
    keys_for,
    numbered,
)
from cortex.ops.context import Context
from cortex.ops.journal import EventsOrdered, Proposal
from cortex.ops.registry import Cli, Request, Tool, operation
from cortex.ops.settled import PersonsWord, persons_word
from cortex.ops.tallied import Tally, as_fields, tally
from cortex.trust import keyfiles, promise, receipt_marks, receipts, standing
from cortex.trust import log as logs
from cortex.trust.apply import Applied
from cortex.trust.events import Ballot, Signed
from cortex.trust.log import Log
from cortex.trust.receipt import AgentReceipt

_GROUP = "Trust"


class CountedVote(Tally, frozen=True, kw_only=True):
    """A vote in the ledger, and where the fact stands with it.

    `repeated`: this vote_id was counted before, nothing changed. `promise` is the log's signed word that the entry will
    stay.
    """

    agent: str
    level: str
    vote: int
    weight: float
    contribution: float
    why_zero: str | None
    custody: str
    vote_id: str
    entry: int
    hash: str
    at: str
    origin: str
    repeated: bool
    promise: str | None
    notes: list[str]


class CastVote(NewVote, Request[CountedVote], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Vote on a fact."""

    key: Annotated[fields.FilePath, Meta(description="File with the agent's private key.")] | None = None

    def check(self) -> None:
        """Raise Invalid or TooLarge for what the field types alone do not say."""
        NewVote.check(self)
        if self.key is not None and self.ballot is not None:
            raise Invalid("both a key and a signed ballot are given", "give one of them")


@operation(
    "vote.cast",
    effect="write",
    order="consensus",
    file="needed",
    method="vote",
    cli=(Cli("vote ID VOTE", group=_GROUP),),
    mcp=Tool("memory", title="Vote on a fact", hidden=("agent", "key", "ballot", "sig", "salt", "revision")),
)
async def cast(ctx: Context, request: CastVote) -> CountedVote:
    """Vouch for a fact (1), dispute it (-1, with evidence in `reason`), or withdraw your vote (0).

    Counts for the fact's newest revision, with the weight that the agent has earned. The answer says where the fact
    stands and what a verdict still lacks.
    """
    return (await _cast(ctx, [request], request.key))[0]


class CastVotes(Request["CountedVotes"], frozen=True, kw_only=True):
    """Vote on several facts in one transaction."""

    votes: Annotated[
        list[NewVote], Meta(description="The votes, as JSON.", min_length=1, max_length=limits.VOTES_BATCH_MAX)
    ]

    def check(self) -> None:
        """Check each vote and name the one that is wrong."""
        seen: set[object] = set()
        for number, vote in enumerate(self.votes):
            with numbered(number, len(self.votes)):
                vote.check()
                given = vote.vote_id if vote.ballot is None else vote.ballot.get("id")
                if given is not None and given in seen:
                    raise Invalid(f"the vote_id {str(given)[:60]} stands twice in one batch", "give each vote its own")
                seen.add(given)


class CountedVotes(Struct, frozen=True, kw_only=True):
    """The votes of a batch in the order given."""

    votes: list[CountedVote]


@operation(
    "vote.cast_batch",
    effect="write",
    order="consensus",
    file="needed",
    method="vote_batch",
    cli=(Cli("vote-batch VOTES", group=_GROUP, stdin="votes"),),
)
async def cast_batch(ctx: Context, request: CastVotes) -> CountedVotes:
    """Vote on several facts in one transaction: all of the votes count, or none and the wrong one is named."""
    return CountedVotes(votes=await _cast(ctx, request.votes, None))


async def _cast(ctx: Context, votes: Sequence[NewVote], key_file: str | None) -> list[CountedVote]:
    if ctx.keyring.origin is not None:
        try:
            return await _with_news(ctx, *await _ordered(ctx, votes, key_file), [])
        except NotFound:
            if await ctx.database.read(logs.state) is not None:
                raise
            ctx.keyring.forget()  # a backup from before the log came back
    async with news.beginning(ctx) as began:
        counted, registered = await _ordered(ctx, votes, key_file)
    return await _with_news(ctx, counted, registered, began)


async def _ordered(
    ctx: Context, votes: Sequence[NewVote], key_file: str | None
) -> tuple[list[CountedVote], list[Signed]]:
    """The votes in the log, and the agents that they registered."""
    key = None if key_file is None else await asyncio.to_thread(brought, key_file, votes[0].agent)
    ballots = [ballot_of(vote) for vote in votes]
    at, made = ctx.now(), [(vote.vote_id or ctx.new_id(), ctx.new_salt() if vote.reason else b"") for vote in votes]
    names = [vote.agent or (key.name if key is not None else ctx.caller.actor) for vote in votes]
    own = [name for name, ballot in zip(names, ballots, strict=True) if ballot is None]
    held = await keys_for(ctx, own, key)
    kept: list[DecidedVote] = []
    leaves: list[bytes] = []
    registered: list[Signed] = []

    def decide(tx: Tx) -> Proposal[list[CountedVote]]:
        log = logs.needed(tx)
        deciding = Deciding(tx, log, at, held)
        decided = []
        for number, given in enumerate(zip(votes, names, ballots, made, strict=True)):
            with numbered(number, len(votes)):
                vote, name, ballot, fresh = given
                decided.append(deciding.vote(vote, name, ballot, *fresh))
        kept[:], registered[:] = decided, deciding.registered
        told = (*deciding.registered, *(vote.signed for vote in decided))
        loose = tuple(vote.signed.event.id for vote, ballot in zip(decided, ballots, strict=True) if ballot is None)
        command = EventsOrdered(at=at, events=told, loose=loose)

        def answer(tx: Tx, applied: list[Applied]) -> list[CountedVote]:
            done = applied[len(deciding.registered) :]
            leaves[:] = [one.data for one in done]
            return _answers(tx, log, decided, done)

        return Proposal(command, answer)

    try:
        counted = await ctx.journal.order(decide)
    except KeyNotValid:
        # Another process may have rotated the key that was read before, or a crash left its rotation half done.
        ctx.keyring.forget()
        log = await ctx.database.read(logs.needed)
        for name in dict.fromkeys(own):
            await rotating.recover(ctx, log, name)
        held = await keys_for(ctx, own, key)
        with rotating.no_other_key(own):
            counted = await ctx.journal.order(decide)
    return [await _promised(ctx, *vote) for vote in zip(counted, kept, leaves, strict=True)], registered


async def _with_news(
    ctx: Context, counted: list[CountedVote], registered: list[Signed], began: list[str]
) -> list[CountedVote]:
    """The answers, the first with what is to say of a log that began, and that of each new agent with a note."""
    if not began and not registered:
        return counted
    told = await ctx.database.read(lambda tx: news.registered(ctx, tx, registered))
    answers = []
    for vote in counted:
        notes = [*began, *(note for note in (told.pop(vote.agent, None),) if note is not None), *vote.notes]
        answers.append(msgspec.structs.replace(vote, notes=notes))
        began = []
    return answers


def _answers(tx: Tx, log: Log, decided: list[DecidedVote], applied: list[Applied]) -> list[CountedVote]:
    answers = []
    for vote, done in zip(decided, applied, strict=True):
        event = vote.signed.event
        assert isinstance(event, Ballot)
        if vote.reason is not None and vote.salt is not None and not done.repeated:
            keep_reason(tx, event.id, event.fact, vote.salt, vote.reason)
        answers.append(_answer(tx, log, vote, event, done))
    return answers


def _answer(tx: Tx, log: Log, vote: DecidedVote, event: Ballot, done: Applied) -> CountedVote:
    found = standing.of(tx, log, vote.on.fact, vote.on.digest)
    replaced = False
    if done.repeated or done.level is None or done.weight_e6 is None:
        held = standing.one(tx, log, event.fact, bytes.fromhex(event.fact_digest), event.agent)
        if held is None:
            raise Corrupt(f"the vote {event.id} is in the log and in no tally", logs.EDITED)
        level, weighed, replaced = held.level, (held.weight, held.contribution, held.why_zero), held.entry != done.idx
    else:
        level, weighed = done.level, standing.cast(log, event.vote, done.weight_e6, done.level, found.sums)
    return CountedVote(
        **as_fields(vote.on, found),
        agent=event.agent,
        level=level,
        vote=event.vote,
        weight=weighed[0],
        contribution=weighed[1],
        why_zero=weighed[2],
        custody=vote.custody,
        vote_id=event.id,
        entry=done.idx,
        hash=done.hash.hex(),
        at=done.ts,
        origin=log.origin,
        repeated=done.repeated,
        promise=None,
        notes=_notes(event, vote, replaced=replaced),
    )


def _notes(event: Ballot, vote: DecidedVote, *, replaced: bool) -> list[str]:
    notes = []
    if event.agent == event.author:
        notes.append("an author earns no reputation by voting on its own fact")
    if event.fact_digest != vote.on.digest.hex():
        notes.append("that vote was on an earlier revision; the score is that of the newest")
    if replaced:
        notes.append(f"agent {event.agent} has voted anew since")
    return notes


async def _promised(ctx: Context, counted: CountedVote, decided: DecidedVote, leaf: bytes) -> CountedVote:
    """The answer to a vote that its agent signed, with the log's promise; the agent's own file keeps both.

    Where the server signed, nobody else holds a receipt.
    """
    if decided.custody == "server":
        return counted
    word = promise.sign(counted.origin, counted.entry, bytes.fromhex(counted.hash), ctx.node_key.signer(counted.origin))
    counted = msgspec.structs.replace(counted, promise=word)
    if decided.signer is None:
        return counted
    salt, reason = decided.salt, decided.reason
    if counted.repeated:
        # What the log has of the first time, whose salt and time are others than those made now.
        salt, reason = await ctx.database.read(lambda tx: kept_reason(tx, counted.vote_id))
    receipt = AgentReceipt.of_leaf(leaf, promise=word).explained(reason, salt)
    place = keyfiles.receipts_path(ctx.settings.home, counted.origin, counted.agent)
    try:
        await asyncio.to_thread(_keep, place, receipt, again=counted.repeated)
        if reason is not None and (await ctx.database.read(lambda tx: kept_reason(tx, counted.vote_id)))[1] is None:
            await asyncio.to_thread(receipts.drop_reasons, place, counted.fact)  # the fact was forgotten just now
    except CortexError as error:
        # The vote is in the ledger: that its receipt could not be kept is for the agent to know, and no failure of it.
        note = f"the receipt could not be kept: {error.message}"
        counted = msgspec.structs.replace(counted, notes=[*counted.notes, note])
    return counted


def _keep(place: Path, receipt: AgentReceipt, *, again: bool) -> None:
    """Add a receipt to the agent's own; for a vote that is told again only where the first time left none."""
    if not again or receipt_marks.lacks(place, receipt.id, receipt.idx, receipt.leaf):
        receipts.append(place, receipt)


class ShownVote(Struct, frozen=True, kw_only=True):
    """What one agent holds of a fact, and what that adds to the sum; `why_zero` says why it adds nothing."""

    agent: str
    level: str
    vote: int
    weight: float
    contribution: float
    why_zero: str | None
    custody: Annotated[str, Meta(description="agent: signed with its own key; server: Cortex signed for it.")]
    reason: str | None
    at: str
    entry: int
    vote_id: str


class FactVotes(Tally, frozen=True, kw_only=True):
    """Where a fact stands and why: each current vote on its newest revision, and a person's word if there is one."""

    resolution: PersonsWord | None
    votes: list[ShownVote]
    more: Annotated[int, Meta(description="Votes beyond those shown.")]
    earlier: Annotated[int, Meta(description="Votes on earlier revisions, which do not count for this one.")]


class ReadVotes(Request[FactVotes], frozen=True, kw_only=True):
    """Read the votes on a fact."""

    id: fields.FactId
    limit: Annotated[int, Meta(description="How many votes at most.", ge=1, le=limits.PAGE_MAX)] = limits.PAGE_DEFAULT


@operation(
    "vote.read",
    effect="read",
    order="local",
    method="votes",
    cli=(Cli("votes ID", group=_GROUP),),
    mcp=Tool("trust", title="Read the votes on a fact"),
)
async def read(ctx: Context, request: ReadVotes) -> FactVotes:
    """Explain where a fact stands: score, verdict, what is missing, and each vote with its weight."""

    def run(tx: Tx) -> FactVotes:
        on = votable.newest(tx, request.id, retracted=True)
        log = logs.sound(tx)
        votes = [] if log is None else standing.held(tx, log, on.fact, on.digest, request.limit)
        counts: Any = tx.execute(
            "SELECT count(*) FILTER (WHERE digest = ?2), count(*) FILTER (WHERE digest <> ?2) FROM vote_current"
            " WHERE fact = ?1",
            (on.fact, on.digest),
        ).fetchone()
        return FactVotes(
            **tally(tx, log, on),
            resolution=None if log is None else persons_word(tx, on.fact, on.digest),
            votes=[shown(tx, vote) for vote in votes],
            more=counts[0] - len(votes),
            earlier=counts[1],
        )

    return await ctx.database.read(run)


def shown(tx: Tx, vote: standing.HeldVote) -> ShownVote:
    """A vote as it is shown, with its reason where that is held here."""
    row: Any = tx.execute("SELECT reason FROM vote_reason WHERE event_id = ?", (vote.event_id,)).fetchone()
    return ShownVote(
        agent=vote.agent,
        level=vote.level,
        vote=vote.vote,
        weight=vote.weight,
        contribution=vote.contribution,
        why_zero=vote.why_zero,
        custody=vote.custody,
        reason=None if row is None else row[0],
        at=vote.at,
        entry=vote.entry,
        vote_id=vote.event_id,
    )
