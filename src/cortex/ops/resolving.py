"""Settling by a person's word, with the admin key, whether a fact is true."""

from typing import Annotated, Literal

from msgspec import Meta, structs

from cortex.db.connect import Tx, integer, value
from cortex.memory import votable
from cortex.ops import fields, news, rotating
from cortex.ops.balloting import Reason, keep_reason
from cortex.ops.context import Context
from cortex.ops.journal import EventsOrdered, Proposal
from cortex.ops.registry import Cli, Request, operation
from cortex.ops.settled import NUMBERS, Truth
from cortex.ops.tallied import Tally, tally
from cortex.trust import events
from cortex.trust import log as logs
from cortex.trust.apply import Applied
from cortex.trust.events import FactResolved
from cortex.trust.keyring import sign

_GROUP = "Trust"


class ResolveFact(Request["Resolution"], frozen=True, kw_only=True):
    """Settle by a person's word whether a fact is true."""

    id: fields.FactId
    truth: Annotated[Truth | bool, Meta(description="true, false, or open: leave it to the votes again.")]
    reason: Reason | None = None
    revision: Annotated[int, Meta(description="Only if this is still the newest revision.", ge=1)] | None = None

    def check(self) -> None:
        """Raise Invalid or TooLarge for what the field types alone do not say."""
        fields.check_reason(self.reason)


class Resolution(Tally, frozen=True, kw_only=True):
    """Where a fact stands after a person's word; `judged` agents gained or lost reputation by it."""

    entry: int
    hash: str
    at: str
    judged: int
    truth: Truth
    notes: list[str]


_JUDGED = "SELECT count(*) FROM vote_judged WHERE fact = ? AND digest = ? AND amount_e6 > 0"
_WORDS: dict[bool, Literal["true", "false"]] = {True: "true", False: "false"}


# No tool: what is true is for a person to say, with the admin key.
@operation(
    "vote.resolve",
    effect="write",
    order="consensus",
    file="needed",
    method="resolve",
    cli=(Cli("resolve ID TRUTH", group=_GROUP),),
)
async def resolve(ctx: Context, request: ResolveFact) -> Resolution:
    """Settle a fact by the admin key: it is true, it is false, or open to the votes again.

    Those who voted gain or lose reputation by it at once.
    """
    async with news.beginning(ctx) as began:
        done = await _resolve(ctx, request)
    return structs.replace(done, notes=began)


async def _resolve(ctx: Context, request: ResolveFact) -> Resolution:
    # Unlocking the key takes as long as its passphrase is meant to: not inside the transaction.
    _, admin = await rotating.admin(ctx)
    at, event_id, salt = ctx.now(), ctx.new_id(), ctx.new_salt()
    truth = _WORDS[request.truth] if isinstance(request.truth, bool) else request.truth

    def decide(tx: Tx) -> Proposal[Resolution]:
        log = logs.needed(tx)
        on = votable.newest(tx, request.id)
        votable.outdated(on, request.revision, None)
        before = value(tx, "SELECT resolved FROM vote_tally WHERE fact = ? AND digest = ?", (on.fact, on.digest))
        event = FactResolved(
            at=at,
            fact=on.fact,
            fact_digest=on.digest.hex(),
            id=event_id,
            key=admin.public,
            log=log.origin,
            reason_digest=None if request.reason is None else events.reason_digest(salt, request.reason).hex(),
            truth=NUMBERS[truth],
            v=events.VERSION,
        )

        def answer(tx: Tx, applied: list[Applied]) -> Resolution:
            if request.reason is not None:
                keep_reason(tx, event_id, on.fact, salt, request.reason)
            judged = 0 if (before or 0) == event.truth else integer(tx, _JUDGED, (on.fact, on.digest))
            done = applied[0]
            return Resolution(
                **tally(tx, log, on),
                entry=done.idx,
                hash=done.hash.hex(),
                at=done.ts,
                judged=judged,
                truth=truth,
                notes=[],
            )

        return Proposal(EventsOrdered(at=at, events=(sign(event, admin),)), answer)

    return await ctx.journal.order(decide)
