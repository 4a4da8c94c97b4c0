"""Taking events that were signed elsewhere: by agents on other machines, or with an admin key that is not here."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from cortex.db.connect import Tx
from cortex.errors import Invalid
from cortex.memory import votable
from cortex.ops import agent_changes, clocks, fields, policies
from cortex.ops.agent_changes import GROUP
from cortex.ops.balloting import Reason, keep_reason
from cortex.ops.context import Context
from cortex.ops.journal import EventsOrdered, Proposal
from cortex.ops.registry import Cli, Request, operation
from cortex.trust import events, keyfiles, policy
from cortex.trust import log as logs
from cortex.trust.apply import Applied
from cortex.trust.events import AgentRegistered, FactResolved, KeyChanged, PolicySet, Signed
from cortex.trust.log import Log


class SubmittedEvent(Struct, frozen=True, kw_only=True):
    """An event in the votes log. `repeated`: it was there before, nothing changed."""

    kind: str
    event_id: str
    entry: int
    hash: str
    at: str
    origin: str
    repeated: bool


class SubmitEvent(Request[SubmittedEvent], frozen=True, kw_only=True):
    """Put an event in the votes log that was signed elsewhere."""

    kind: Annotated[
        Literal["agent", "key", "trust", "admin", "policy", "resolve"], Meta(description="What kind of event it is.")
    ]
    event: Annotated[dict[str, Any], Meta(description="The event as it was signed (docs/agents.md).")]
    sigs: Annotated[
        list[fields.Signature],
        Meta(description="Its signatures in hex, in the order of its kind.", min_length=1, max_length=2),
    ]
    reason: Reason | None = None
    salt: fields.Salt | None = None

    def check(self) -> None:
        """Raise Invalid or TooLarge for what the field types alone do not say."""
        if (self.reason is None) != (self.salt is None) or (self.reason is not None and self.kind != "resolve"):
            raise Invalid("a reason and its salt go together, with an event of kind resolve", "give both, or none")
        fields.check_reason(self.reason)


# No tool: a model has no key to sign with.
@operation(
    "event.submit",
    effect="write",
    order="consensus",
    file="needed",
    method="submit_event",
    cli=(Cli("agent submit KIND EVENT", group=GROUP, rename={"sigs": "sig"}, stdin="event"),),
)
async def submit(ctx: Context, request: SubmitEvent) -> SubmittedEvent:
    """Put an event in the votes log that was signed elsewhere: with an agent's own key, or with the admin key.

    The same event given again has the place that it has.
    """
    signed = _signed(request)
    at = ctx.now()
    if isinstance(signed.event, FactResolved):
        _check_reason(request, signed.event)

    def decide(tx: Tx) -> Proposal[SubmittedEvent]:
        log = logs.needed(tx)
        known = tx.execute("SELECT 1 FROM vote_ledger WHERE event_id = ?", (signed.event.id,)).fetchone()
        if known is None:
            _check(tx, log, signed, at)
        return Proposal(
            EventsOrdered(at=at, events=(signed,)), lambda tx, applied: _answer(tx, request, signed, applied[0])
        )

    return await ctx.journal.order(decide)


def _signed(request: SubmitEvent) -> Signed:
    """The event in its canonical form, its signatures checked. Whether its keys may sign is for the log to say."""
    try:
        encoded = msgspec.json.encode(request.event, order="sorted")
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Invalid(f"the event is not plain data ({error})", "give its members as they were signed") from None
    event = events.decode(request.kind, encoded)
    signed = Signed(event, tuple(map(bytes.fromhex, request.sigs)))
    events.verify(signed, encoded)
    return signed


def _check_reason(request: SubmitEvent, event: FactResolved) -> None:
    if request.reason is None or request.salt is None:
        return
    if events.reason_digest(bytes.fromhex(request.salt), request.reason).hex() != event.reason_digest:
        raise Invalid("the reason is not the one that the event was signed with", "give its reason and salt")


def _check(tx: Tx, log: Log, signed: Signed, at: str) -> None:
    """What a node checks of an event that it did not make, beside what apply checks."""
    event = signed.event
    clocks.check_ahead(event.at, at, "event")
    if isinstance(event, AgentRegistered | KeyChanged) and event.custody == "server":
        raise Invalid("an event that was signed elsewhere has custody server", "whose agent has the key: custody agent")
    match event:
        case AgentRegistered():
            keyfiles.check_name(event.agent)
        case KeyChanged() if event.log == log.origin:
            agent_changes.check_key(tx, log, event)
        case PolicySet():
            policies.check(event.policy)
            if event.policy != policy.decode(log.policy):
                policies.check_jump(log, at)
        case FactResolved() if event.log == log.origin:
            votable.outdated(votable.newest(tx, event.fact), None, event.fact_digest)
        case _:
            pass


def _answer(tx: Tx, request: SubmitEvent, signed: Signed, done: Applied) -> SubmittedEvent:
    event = signed.event
    # Not where it is repeated: the fact, and its reasons, may be forgotten since.
    if (
        isinstance(event, FactResolved)
        and not done.repeated
        and request.reason is not None
        and request.salt is not None
    ):
        keep_reason(tx, event.id, event.fact, bytes.fromhex(request.salt), request.reason)
    return SubmittedEvent(
        kind=signed.kind,
        event_id=event.id,
        entry=done.idx,
        hash=done.hash.hex(),
        at=done.ts,
        origin=event.log,
        repeated=done.repeated,
    )
