"""Handing votes in again from the receipts of their agents, after a backup came back that lacks them."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from cortex import limits
from cortex.db.connect import Tx, value
from cortex.errors import (
    Corrupt,
    CortexError,
    Forgotten,
    IdConflict,
    Internal,
    Retracted,
    RevisionConflict,
    Unavailable,
)
from cortex.ops import fields, votes
from cortex.ops.context import Context
from cortex.ops.registry import Cli, Request, operation
from cortex.ops.votes import CastVote, CountedVote
from cortex.trust import events, outside, receipts
from cortex.trust import log as logs
from cortex.trust.outside import HeldReceipt
from cortex.trust.receipt import AgentReceipt

_GROUP = "Trust"


class LeftBallot(Struct, frozen=True, kw_only=True):
    """A ballot that was not counted again, and why."""

    vote_id: str
    agent: str
    fact: str
    kind: str
    told: str


class Resubmitted(Struct, frozen=True, kw_only=True):
    """What became of the ballots in the receipts.

    `present` were in the log, `taken` were not and are now, `outdated` are on texts that are no longer the newest or
    not believed any more, or were cast anew under the same id, `refused` may not be counted. `without_reason` of those
    taken have a reason whose text the receipts do not hold, so that it is not kept again.
    """

    receipts: list[str]
    present: int
    taken: int
    without_reason: int
    outdated: list[LeftBallot]
    refused: list[LeftBallot]
    more: Annotated[int, Meta(description="Ballots that were not counted, beyond those shown.")]

    @property
    def exit_code(self) -> int:
        """1 where a ballot was refused."""
        return 1 if self.refused else 0


class ResubmitVotes(Request[Resubmitted], frozen=True, kw_only=True):
    """Hand in votes again that the log lacks."""

    receipts: Annotated[
        list[fields.FilePath], Meta(description="Files of receipts; those kept here unless given.", max_length=100)
    ] = []


@operation(
    "vote_ledger.resubmit",
    effect="write",
    order="consensus",
    file="needed",
    method="resubmit_votes",
    cli=(Cli("vote-ledger resubmit", group=_GROUP),),
)
async def resubmit(ctx: Context, request: ResubmitVotes) -> Resubmitted:
    """Hand in the votes again that agents have receipts of and the log lacks, as after an old backup was restored.

    Each ballot goes in as its agent signed it then, in the old order.
    """
    origin = (await ctx.database.read(logs.needed)).origin
    paths = [fields.path_of(name) for name in request.receipts] or await asyncio.to_thread(
        outside.own_files, ctx.settings.home, origin
    )
    held = await asyncio.to_thread(_in_order, paths)
    lacking = await ctx.database.read(lambda tx: _lacking(tx, origin, held))
    tally = _Tally()
    for done, each in enumerate(lacking, 1):
        await _hand_in(ctx, each, tally)
        ctx.progress(done, len(lacking), "ballots")
    return Resubmitted(
        receipts=[str(path) for path in paths],
        present=len(held) - len(lacking) + tally.repeated,
        taken=tally.taken,
        without_reason=tally.without_reason,
        outdated=tally.outdated,
        refused=tally.refused,
        more=tally.more,
    )


class _Tally:
    def __init__(self) -> None:
        self.taken = self.repeated = self.more = self.without_reason = 0
        self.outdated: list[LeftBallot] = []
        self.refused: list[LeftBallot] = []

    def leave(self, receipt: AgentReceipt, error: CortexError, *, anew: bool = False) -> None:
        # Each list has room of its own: a thousand outdated ballots hide none that is refused.
        outdated = anew or isinstance(error, RevisionConflict | Retracted | Forgotten)
        place = self.outdated if outdated else self.refused
        if len(place) >= limits.PAGE_MAX:
            self.more += 1
            return
        told = {name: str(receipt.ballot.get(name))[: limits.NAME_CHARS_MAX] for name in ("agent", "fact")}
        place.append(LeftBallot(vote_id=receipt.id, kind=error.kind, told=str(error), **told))


def _in_order(paths: list[Path]) -> list[HeldReceipt]:
    """Every ballot once, in the order in which they stood in the log.

    Of several with one id the log takes one: the newest, so the others come last.
    """
    found = {each.receipt.key: each for each in outside.held_in(paths)}.values()
    newest = {each.receipt.id: each for each in sorted(found, key=lambda each: str(each.receipt.ballot.get("at")))}
    return sorted(found, key=lambda each: (each is not newest[each.receipt.id], each.receipt.idx))


def _lacking(tx: Tx, origin: str, held: list[HeldReceipt]) -> list[HeldReceipt]:
    """Those whose entry does not stand where the receipt says.

    Some may stand elsewhere: a run before handed them in, and ended before it could keep the new receipt.
    """
    size = logs.needed(tx).size

    def there(receipt: AgentReceipt) -> bool:
        stands = receipt.idx < size and logs.leaf_at(tx, origin, receipt.idx) == receipt.leaf.encode()
        return stands and receipt.is_of_its_leaf

    return [each for each in held if not there(each.receipt)]


def _reason(receipt: AgentReceipt) -> tuple[str | None, str | None]:
    """The reason of a ballot and its salt, where the receipt has those that the ballot was signed with."""
    if not isinstance(receipt.reason, str) or not isinstance(receipt.salt, str):
        return None, None
    digest = events.reason_digest(bytes.fromhex(receipt.salt), receipt.reason).hex()
    return (receipt.reason, receipt.salt) if digest == receipt.ballot.get("reason_digest") else (None, None)


async def _hand_in(ctx: Context, held: HeldReceipt, tally: _Tally) -> None:
    given: Any = held.receipt.ballot
    fact, vote = str(given.get("fact")), given.get("vote")
    try:
        reason, salt = _reason(held.receipt)
        request = CastVote(id=fact, vote=vote, ballot=given, sig=held.receipt.sig, reason=reason, salt=salt)
        request.check()
        counted = await votes.cast.run(ctx, request)
    except (Unavailable, Corrupt, Internal):
        raise  # none of the ballots could be handed in now
    except IdConflict as error:
        anew = await ctx.database.read(lambda tx: _is_voted_anew(tx, held.receipt))
        tally.leave(held.receipt, error, anew=anew)
        return
    except CortexError as error:
        tally.leave(held.receipt, error)
        return
    assert isinstance(counted, CountedVote), "a vote is answered by where it stands"
    if counted.repeated:
        tally.repeated += 1
    else:
        tally.taken += 1
        tally.without_reason += given.get("reason_digest") is not None and reason is None
    leaf = await ctx.database.read(lambda tx: logs.leaf_at(tx, counted.origin, counted.entry))
    again = msgspec.structs.replace(
        held.receipt, idx=counted.entry, leaf=leaf.decode(), promise=counted.promise, proof=None
    )
    await asyncio.to_thread(receipts.append, held.path, again)
    if again.explains(fact) and await ctx.database.read(lambda tx: _is_forgotten(tx, fact)):
        await asyncio.to_thread(receipts.drop_reasons, held.path, fact)  # since it was counted


def _is_voted_anew(tx: Tx, receipt: AgentReceipt) -> bool:
    """Whether the agent cast a vote on the same fact under the id of this ballot, as when it tried again."""
    ballot = receipt.ballot
    told = (receipt.id, ballot.get("agent"), ballot.get("fact"))
    where = "event_id = ? AND kind = 'vote' AND agent_id = ? AND fact_id = ?"
    return value(tx, f"SELECT 1 FROM vote_ledger WHERE {where}", told) is not None


def _is_forgotten(tx: Tx, fact: str) -> bool:
    return value(tx, "SELECT erased_at FROM fact WHERE id = ?", (fact,)) is not None
