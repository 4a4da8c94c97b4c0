"""Operations that change how far an agent is trusted, and what every change of an agent answers.

Each is one signed event. What an event may do is for apply to say; a node says besides that a key gives no other key
more projects than it has itself.
"""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from cortex import limits
from cortex.db.connect import Tx
from cortex.errors import Conflict, Forbidden, KeyNotValid
from cortex.ops import fields, rotating
from cortex.ops.context import Context
from cortex.ops.journal import EventsOrdered, Proposal
from cortex.ops.registry import Cli, Request, operation
from cortex.trust import events, judging
from cortex.trust import log as logs
from cortex.trust.apply import Applied
from cortex.trust.events import AgentRegistered, Custody, KeyChanged, Signed, TrustSet
from cortex.trust.keyring import sign
from cortex.trust.log import Log

GROUP = "Trust"
ALL = ["*"]

Name = Annotated[str, fields.form(fields.AGENT, fields.AGENT_FORM, "Name of the agent.")]
Level = Literal["untrusted", "standard", "trusted"]
Globs = Annotated[
    list[
        Annotated[
            str,
            fields.form(r"[^\x00-\x1f\x7f-\x9f]+", "printable text of one line, such as billing-*"),
            Meta(min_length=1, max_length=limits.NAME_CHARS_MAX),
        ]
    ],
    Meta(
        description="Projects that the key may vote in, as globs. By default all, or those of the key that signs.",
        max_length=limits.KEY_PROJECTS_MAX,
    ),
]
Change = Literal["registered", "trust set", "revoked", "key added", "key rotated", "key revoked"]


class AgentChange(Struct, frozen=True, kw_only=True):
    """What was changed of an agent, and the entry of the votes log that says so."""

    change: Change
    agent: str
    level: str
    public: Annotated[str | None, Meta(description="The key that it is about.")]
    custody: str | None
    projects: list[str]
    key_path: Annotated[str | None, Meta(description="Where the private key lies.")]
    entry: int
    hash: str
    at: str
    origin: str
    notes: list[str]


class ShownKey(Struct, frozen=True, kw_only=True):
    """A key of an agent: valid from the entry `since` on, until the entry `until` that ended it."""

    public: str
    custody: Custody
    projects: list[str]
    since: int
    until: int | None
    ended: Annotated[str | None, Meta(description="rotated or revoked.")]


def keys_of(tx: Tx, name: str) -> list[ShownKey]:
    """Every key that an agent ever had, the oldest first."""
    rows: list[Any] = tx.execute(
        "SELECT public, custody, projects, from_idx, until_idx, ended FROM vote_key WHERE agent = ?"
        " ORDER BY from_idx, public",
        (name,),
    ).fetchall()
    return [
        ShownKey(public=public.hex(), custody=custody, projects=told.split("\n"), since=since, until=until, ended=ended)
        for public, custody, told, since, until, ended in rows
    ]


def valid_key(tx: Tx, name: str, public: str) -> ShownKey:
    """A key that an agent may sign with. Raises NotFound for no agent of that name, KeyNotValid for any other key."""
    judging.agent(tx, name)
    key = next((key for key in keys_of(tx, name) if key.public == public), None)
    if key is None:
        raise KeyNotValid(
            f"the key {public[:16]}… is not one of agent {name} in this log",
            f"`cortex agent key {name} --out FILE` with the admin key adds one",
        )
    if key.ended is not None:
        raise KeyNotValid(f"the key {public[:16]}… of agent {name} was {key.ended}", "sign with a key that is valid")
    return key


def check_globs(given: list[str]) -> None:
    """Raise Invalid for what is no text of one line."""
    for glob in given:
        fields.check_name("a project", glob)


def globs(given: list[str], default: list[str]) -> list[str]:
    """The projects of a key as an event has them."""
    return sorted(set(given)) or default


def check_key(tx: Tx, log: Log, event: KeyChanged) -> None:
    """Raise Forbidden where a key would get more projects than the one that signs for it, Conflict for a revoked agent.

    Whether the signing key is valid is for apply to say.
    """
    if event.op == "revoke" or event.projects is None:
        return
    if judging.agent(tx, event.agent).level == "revoked":
        raise Conflict(f"agent {event.agent} was revoked", f"`cortex agent trust {event.agent} LEVEL` takes it back")
    if event.op == "add" and bytes.fromhex(event.by) == log.admin:
        return
    held = next((key.projects for key in keys_of(tx, event.agent) if key.public == event.by), ALL)
    wider = [glob for glob in event.projects if not any(_within(glob, other) for other in held)]
    if wider:
        raise Forbidden(
            f"a key for {', '.join(held)} cannot give another one {', '.join(wider)}", "let the admin key sign for it"
        )


def _within(glob: str, other: str) -> bool:
    """Whether all that one glob stands for is surely in the other."""
    literal = not set(glob) & set("*?[")
    return other in ("*", glob) or (literal and fnmatchcase(glob, other))


def proposal(at: str, signed: Signed, change: Change, path: Path | None = None) -> Proposal[AgentChange]:
    """One event of an agent, and the answer where it is in the log."""
    event = signed.event
    assert isinstance(event, AgentRegistered | KeyChanged | TrustSet), "an event of an agent"
    public = None if isinstance(event, TrustSet) else event.key

    def answer(tx: Tx, applied: list[Applied]) -> AgentChange:
        return changed(tx, change, event.agent, public, path, applied[0].idx)

    return Proposal(EventsOrdered(at=at, events=(signed,)), answer)


def changed(tx: Tx, change: Change, name: str, public: str | None, path: Path | None, entry: int) -> AgentChange:
    """What an entry of the log changed of an agent."""
    keys = keys_of(tx, name)
    key = next((key for key in keys if key.public == public), None)
    row: Any = tx.execute("SELECT hash, timestamp FROM vote_ledger WHERE id = ?", (entry + 1,)).fetchone()
    level = judging.agent(tx, name).level
    return AgentChange(
        change=change,
        agent=name,
        level=level,
        public=public,
        custody=None if key is None else key.custody,
        projects=[] if key is None else key.projects,
        key_path=None if path is None else str(path),
        entry=entry,
        hash=row[0].hex(),
        at=row[1],
        origin=logs.needed(tx).origin,
        notes=_notes(change, name, level, valid=any(key.ended is None for key in keys)),
    )


def _notes(change: Change, name: str, level: str, *, valid: bool) -> list[str]:
    notes = []
    if change == "registered" and level == "untrusted":
        notes.append(f"its votes weigh nothing until an admin vouches for it: `cortex agent trust {name} standard`")
    if not valid and level != "revoked":
        notes.append(f"it has no valid key left: `cortex agent key {name} --out FILE` adds one with the admin key")
    return notes


class TrustAgent(Request[AgentChange], frozen=True, kw_only=True):
    """Say how far an agent is trusted."""

    name: Name
    level: Annotated[Level, Meta(description="The new level.")]


@operation(
    "agent.trust",
    effect="write",
    order="consensus",
    file="needed",
    method="trust_agent",
    cli=(Cli("agent trust NAME LEVEL", group=GROUP),),
)
async def trust(ctx: Context, request: TrustAgent) -> AgentChange:
    """Vouch for an agent, or lower its trust, with the admin key.

    Votes cast before keep their weight, but for those of an agent that is lowered: they count for no more than its
    new level begins with.
    """
    return await _set_trust(ctx, request.name, request.level, "trust set")


class RevokeAgent(Request[AgentChange], frozen=True, kw_only=True):
    """End an agent, or one of its keys."""

    name: Name
    public: (
        Annotated[
            str,
            fields.form(
                r"[0-9a-f]{8,64}",
                "8 to 64 hex digits in small letters, as `cortex agent show` has them",
                "Only this key: its public half or the start.",
            ),
        ]
        | None
    ) = None


@operation(
    "agent.revoke",
    effect="write",
    order="consensus",
    file="needed",
    method="revoke_agent",
    cli=(Cli("agent revoke NAME", group=GROUP),),
)
async def revoke(ctx: Context, request: RevokeAgent) -> AgentChange:
    """End an agent with the admin key: none of its keys signs any more and its votes weigh nothing.

    With `public` only that key ends, and the votes stay as they are.
    """
    public = request.public
    if public is None:
        return await _set_trust(ctx, request.name, "revoked", "revoked")
    log, admin = await rotating.admin(ctx)
    at, event_id = ctx.now(), ctx.new_id()

    def decide(tx: Tx) -> Proposal[AgentChange]:
        key = _key_like(tx, request.name, public)
        event = KeyChanged(
            agent=request.name,
            at=at,
            by=admin.public,
            custody=None,
            id=event_id,
            key=key,
            log=log.origin,
            op="revoke",
            projects=None,
            v=events.VERSION,
        )
        return proposal(at, sign(event, admin), "key revoked")

    return await ctx.journal.order(decide)


def _key_like(tx: Tx, name: str, start: str) -> str:
    judging.agent(tx, name)
    found = [key.public for key in keys_of(tx, name) if key.public.startswith(start)]
    if len(found) == 1:
        return found[0]
    if found:
        raise Conflict(f"{start} begins {len(found)} keys of agent {name}", "give more digits of it")
    raise KeyNotValid(f"agent {name} has no key {start[:16]}…", f"`cortex agent show {name}` lists its keys")


async def _set_trust(
    ctx: Context, name: str, level: Literal["untrusted", "standard", "trusted", "revoked"], change: Change
) -> AgentChange:
    log, admin = await rotating.admin(ctx)
    at, event_id = ctx.now(), ctx.new_id()

    def decide(tx: Tx) -> Proposal[AgentChange]:
        if judging.agent(tx, name).level == level:
            raise Conflict(f"agent {name} is {level} already", "nothing has to be done")
        event = TrustSet(
            agent=name, at=at, id=event_id, key=admin.public, log=log.origin, trust=level, v=events.VERSION
        )
        return proposal(at, sign(event, admin), change)

    return await ctx.journal.order(decide)
