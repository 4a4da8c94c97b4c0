"""Operations on the rules by which votes count: see them, change them, and say that time really passed."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, inspect

from cortex import limits
from cortex.db.connect import Tx
from cortex.errors import Conflict, Invalid
from cortex.ops import clocks, news, rotating, signing
from cortex.ops.context import Context
from cortex.ops.journal import EventsOrdered, Proposal
from cortex.ops.registry import Cli, Request, operation
from cortex.trust import events, policy
from cortex.trust import log as logs
from cortex.trust.apply import Applied
from cortex.trust.events import PolicySet
from cortex.trust.keyring import sign
from cortex.trust.log import Log
from cortex.trust.policy import Policy

_GROUP = "Trust"
_LINEAR = "the linear rule counts every registered agent alike, untrusted ones too"
_SIDES = {"for": 0, "against": 1}


class PolicyView(Struct, frozen=True, kw_only=True):
    """The rules in force, and the entry of the votes log that set them where this did."""

    origin: str | None
    policy: Annotated[dict[str, Any], Meta(description="The parameters, `*_e6` in millionths (docs/agents.md).")]
    changed: bool
    entry: int | None
    hash: str | None
    at: str | None
    notes: list[str]


class SetPolicy(Request[PolicyView], frozen=True, kw_only=True):
    """Show or change the rules by which votes count."""

    rule: Annotated[Literal["weighted", "linear"], Meta(description="The rule that is to be in force.")] | None = None
    parameters: Annotated[
        dict[str, Annotated[int, Meta(ge=0, le=limits.SEQ_MAX)]],
        Meta(description="Parameters by name, as quorum=5 or prior.standard.for=4.", max_length=64),
    ] = {}


@operation(
    "policy.set",
    effect="write",
    order="consensus",
    file="needed",
    method="policy",
    cli=(Cli("vote-ledger policy [RULE]", group=_GROUP, rename={"parameters": "set"}),),
)
async def set_policy(ctx: Context, request: SetPolicy) -> PolicyView:
    """Show the rules by which votes count, or change them with the admin key.

    Each fact that was voted on is judged by the new rules at once; the weights written with votes stay.
    """
    if request.rule is None and not request.parameters:
        return await ctx.database.read(_in_force)
    begun = await signing.ensure_log(ctx)
    now = await ctx.database.read(_policy)
    if _wanted(now, request) == now:
        return await ctx.database.read(_in_force)
    log, admin = await rotating.admin(ctx)
    at, event_id = ctx.now(), ctx.new_id()

    def decide(tx: Tx) -> Proposal[PolicyView]:
        check_jump(logs.needed(tx), at)
        # Of the policy in force in this transaction: another change may have come between.
        wanted = _wanted(_policy(tx), request)
        event = PolicySet(at=at, id=event_id, key=admin.public, log=log.origin, policy=wanted, v=events.VERSION)

        def answer(tx: Tx, applied: list[Applied]) -> PolicyView:
            done = applied[0]
            found = _in_force(tx)
            return msgspec.structs.replace(found, changed=True, entry=done.idx, hash=done.hash.hex(), at=done.ts)

        return Proposal(EventsOrdered(at=at, events=(sign(event, admin),)), answer)

    done = await ctx.journal.order(decide)
    return msgspec.structs.replace(done, notes=[*(news.begun(ctx, log.origin) if begun else []), *done.notes])


def check_jump(log: Log, at: str, hint: str = "say so first: `cortex vote-ledger confirm-clock`") -> None:
    """Raise ClockAhead where much time went by: other words of the admin are no word about the clock."""
    clocks.check_sane(at)
    if logs.jumps(log, at):
        raise logs.jumped(log, at, hint)


def check(wanted: Policy) -> None:
    """Raise Invalid for parameters that do not go together."""
    if wanted.floor_e6 >= wanted.ceiling_e6:
        raise Invalid(
            f"floor_e6 is {wanted.floor_e6}, ceiling_e6 {wanted.ceiling_e6}", "the floor lies below the ceiling"
        )


def _policy(tx: Tx) -> Policy:
    log = logs.sound(tx)
    return policy.WEIGHTED if log is None else policy.decode(log.policy)


def _in_force(tx: Tx) -> PolicyView:
    log, found = logs.sound(tx), _policy(tx)
    return PolicyView(
        origin=None if log is None else log.origin,
        policy=msgspec.to_builtins(found),
        changed=False,
        entry=None,
        hash=None,
        at=None,
        notes=[_LINEAR] if found.rule == "linear" else [],
    )


def _wanted(now: Policy, request: SetPolicy) -> Policy:
    """The policy with what the request changes of it. Raises Invalid for what is no parameter or out of its bounds."""
    plain = msgspec.to_builtins(now)
    plain["prior"] = {level: list(units) for level, units in plain["prior"].items()}
    if request.rule is not None:
        plain["rule"] = request.rule
    for name, value in request.parameters.items():
        _put(plain, name, value)
    wanted = msgspec.convert(plain, Policy)
    check(wanted)
    return wanted


def _put(plain: dict[str, Any], name: str, value: int) -> None:
    parts = name.split(".")
    if len(parts) == 1 and isinstance(plain.get(name), int):
        _check_range(name, value, _RANGES[name])
        plain[name] = value
        return
    units = plain["prior"].get(parts[1]) if len(parts) == 3 and parts[0] == "prior" else None
    if units is None or parts[2] not in _SIDES:
        known = [*(name for name, held in plain.items() if isinstance(held, int)), "prior.LEVEL.for or .against"]
        raise Invalid(f"{name[:60]!r} is no parameter of a policy", f"known are {', '.join(known)}")
    _check_range(name, value, _RANGES["prior"])
    units[_SIDES[parts[2]]] = value


def _check_range(name: str, value: int, known: tuple[int, int]) -> None:
    least, most = known
    if not least <= value <= most:
        raise Invalid(f"{name} is {value}", f"give {least} to {most}")


def _ranges() -> dict[str, tuple[int, int]]:
    """The least and the most of each parameter, as `Policy` declares them; those of evidence under `prior`."""
    found: dict[str, tuple[int, int]] = {}
    for name, kind in _numbers(inspect.type_info(Policy)):
        assert kind.ge is not None, f"{name} has no least value"
        assert kind.le is not None, f"{name} has no greatest value"
        found[name] = (kind.ge, kind.le)
    return found


def _numbers(kind: inspect.Type) -> Iterator[tuple[str, inspect.IntType]]:
    assert isinstance(kind, inspect.StructType)
    for field in kind.fields:
        if isinstance(field.type, inspect.IntType):
            yield field.encode_name, field.type
        elif isinstance(field.type, inspect.StructType):
            levels = [level.type for level in field.type.fields if isinstance(level.type, inspect.TupleType)]
            yield from ((field.encode_name, side) for side in levels[0].item_types if isinstance(side, inspect.IntType))


_RANGES = _ranges()


class ClockConfirmed(Struct, frozen=True, kw_only=True):
    """That the time since the last event really passed: from `before` to `at`. Nothing was written without `entry`."""

    before: str
    at: str
    entry: int | None
    hash: str | None
    origin: str


class ConfirmClock(Request[ClockConfirmed], frozen=True, kw_only=True):
    """Confirm that the clock is right."""

    preview: Annotated[bool, Meta(description="Only show from when to when; nothing is written.")] = False


@operation(
    "policy.confirm_clock",
    effect="write",
    order="consensus",
    file="needed",
    method="confirm_clock",
    cli=(Cli("vote-ledger confirm-clock", group=_GROUP),),
)
async def confirm_clock(ctx: Context, request: ConfirmClock) -> ClockConfirmed:
    """Say with the admin key that the clock is right, although much time passed since the votes log's last event.

    Without that, a log takes no event that is more than 30 days later than the one before: one bad clock must not
    end settling periods. It cannot be taken back: look with `preview` first.
    """
    if request.preview:
        at = ctx.now()
        return await ctx.database.read(lambda tx: _jumped(logs.needed(tx), at))
    log, admin = await rotating.admin(ctx)
    at, event_id = ctx.now(), ctx.new_id()

    def decide(tx: Tx) -> Proposal[ClockConfirmed]:
        found = logs.needed(tx)
        jumped = _jumped(found, at)
        event = PolicySet(
            at=at,
            id=event_id,
            key=admin.public,
            log=log.origin,
            policy=policy.decode(found.policy),
            v=events.VERSION,
        )

        def answer(tx: Tx, applied: list[Applied]) -> ClockConfirmed:
            done = applied[0]
            return msgspec.structs.replace(jumped, at=done.ts, entry=done.idx, hash=done.hash.hex())

        return Proposal(EventsOrdered(at=at, events=(sign(event, admin),)), answer)

    return await ctx.journal.order(decide)


def _jumped(log: Log, at: str) -> ClockConfirmed:
    """From when to when there is something to confirm. Raises Conflict where there is nothing."""
    clocks.check_sane(at)
    if not logs.jumps(log, at):
        raise Conflict(f"the last event is of {log.ts} and it is {at}: there is nothing to confirm", "go on as usual")
    return ClockConfirmed(before=log.ts, at=at, entry=None, hash=None, origin=log.origin)
