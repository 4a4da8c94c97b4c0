"""Operations on the keys of agents: add one, put a new one in the place of another."""

import asyncio
from pathlib import Path
from typing import Annotated

from msgspec import Meta, structs

from cortex.db.connect import Tx
from cortex.errors import Conflict, KeyNotValid, NotFound
from cortex.ops import fields, new_keys, rotating
from cortex.ops.agent_changes import (
    ALL,
    GROUP,
    AgentChange,
    Globs,
    Name,
    changed,
    check_globs,
    check_key,
    globs,
    keys_of,
    proposal,
    valid_key,
)
from cortex.ops.context import Context
from cortex.ops.journal import Proposal
from cortex.ops.registry import Cli, Request, operation
from cortex.trust import events, judging, keyfiles
from cortex.trust import log as logs
from cortex.trust.events import KeyChanged
from cortex.trust.keyring import EventSigner, sign, signer
from cortex.trust.log import Log


class AddAgentKey(Request[AgentChange], frozen=True, kw_only=True):
    """Add a key to an agent."""

    name: Name
    out: Annotated[fields.FilePath, Meta(description="Write the new private key to this new file.")]
    key: Annotated[fields.FilePath, Meta(description="File with a key that the agent has.")] | None = None
    projects: Globs = []

    def check(self) -> None:
        """Raise Invalid for what the field types alone do not say."""
        check_globs(self.projects)


@operation(
    "agent.key",
    effect="write",
    order="consensus",
    file="needed",
    method="add_agent_key",
    cli=(Cli("agent key NAME", group=GROUP),),
)
async def add_key(ctx: Context, request: AddAgentKey) -> AgentChange:
    """Make another key for an agent, as for a second device; the keys that it has stay valid.

    Signed by a key of the agent that is here, else by the admin key.
    """
    log = await ctx.database.read(lambda tx: _log_with(tx, request.name))
    by = await _signing(ctx, log, request) or (await rotating.admin(ctx))[1]
    path, at, event_id = fields.path_of(request.out), ctx.now(), ctx.new_id()

    def event(tx: Tx, public: str) -> KeyChanged:
        held = next((key.projects for key in keys_of(tx, request.name) if key.public == by.public), ALL)
        event = KeyChanged(
            agent=request.name,
            at=at,
            by=by.public,
            custody="agent",
            id=event_id,
            key=public,
            log=log.origin,
            op="add",
            projects=globs(request.projects, held),
            v=events.VERSION,
        )
        check_key(tx, logs.needed(tx), event)
        return event

    # What is refused leaves no file behind.
    await ctx.database.read(lambda tx: event(tx, by.public))
    async with new_keys.made(ctx, log, path, request.name) as (key, left):
        if left and await ctx.database.read(lambda tx: new_keys.is_known(tx, key)):
            raise Conflict(
                f"{path} is there, and its key was in this log before", "give the path of a new file with --out"
            )
        done = await ctx.journal.order(lambda tx: proposal(at, sign(event(tx, key.public), by, key), "key added", path))
    told = f"{path} was there: its key, which an interrupted attempt may have left, was added"
    return structs.replace(done, notes=[told, *done.notes]) if left else done


def _log_with(tx: Tx, name: str) -> Log:
    log = logs.needed(tx)
    if judging.agent(tx, name).level == "revoked":
        raise Conflict(f"agent {name} was revoked", f"`cortex agent trust {name} LEVEL` takes it back")
    return log


async def _signing(ctx: Context, log: Log, request: AddAgentKey) -> EventSigner | None:
    """The key of the agent that signs; None where no valid one is on this machine."""
    if request.key is not None:
        path = fields.path_of(request.key)
        held = signer(await asyncio.to_thread(keyfiles.bring, path, request.name, log.origin), "agent", path)
        await ctx.database.read(lambda tx: valid_key(tx, request.name, held.public))
        return held
    place = await rotating.recover(ctx, log, request.name)
    if place is None:
        return None
    held = signer(await asyncio.to_thread(keyfiles.load, place, request.name, log.origin), "agent", place)
    try:
        await ctx.database.read(lambda tx: valid_key(tx, request.name, held.public))
    except KeyNotValid:
        return None
    return held


class RotateAgentKey(Request[AgentChange], frozen=True, kw_only=True):
    """Put a new key in the place of an agent's key."""

    name: Name
    key: Annotated[fields.FilePath, Meta(description="File of the key, where it lies elsewhere.")] | None = None


@operation(
    "agent.rotate",
    effect="write",
    order="consensus",
    file="needed",
    method="rotate_agent_key",
    cli=(Cli("agent rotate NAME", group=GROUP),),
)
async def rotate(ctx: Context, request: RotateAgentKey) -> AgentChange:
    """Put a new key in the place of an agent's key on this machine; the old one ends.

    Signed by both. The old key is kept beside the new one, since a backup of before knows no other. What a crash
    interrupted is finished when this is called again.
    """
    log = await ctx.database.read(logs.needed)
    path = fields.path_of(request.key) if request.key is not None else rotating.place_of(ctx, log, request.name)
    if path is None:
        raise NotFound(f"no key of agent {request.name} is on this machine", "give its file with --key FILE")
    # Before a lock is made beside a key that is not there.
    await asyncio.to_thread(keyfiles.load, path, request.name, log.origin)
    await rotating.put_back(ctx, log, path, request.name)
    async with rotating.alone(path):
        finished = await rotating.finish(ctx, log, path, request.name)
        if finished is not None:
            return await ctx.database.read(lambda tx: _rotated(tx, request.name, finished.public.hex(), path))
        return await _rotate(ctx, log, path, request.name)


async def _rotate(ctx: Context, log: Log, path: Path, name: str) -> AgentChange:
    old = signer(await asyncio.to_thread(keyfiles.load, path, name, log.origin), "agent", path)
    await ctx.database.read(lambda tx: valid_key(tx, name, old.public))
    new = signer(await asyncio.to_thread(keyfiles.prepare_next, path), "agent", path)
    at, event_id = ctx.now(), ctx.new_id()

    def decide(tx: Tx) -> Proposal[AgentChange]:
        held = valid_key(tx, name, old.public)
        event = KeyChanged(
            agent=name,
            at=at,
            by=old.public,
            custody=held.custody,
            id=event_id,
            key=new.public,
            log=log.origin,
            op="rotate",
            projects=held.projects,
            v=events.VERSION,
        )
        return proposal(at, sign(event, old, new), "key rotated", path)

    done = await ctx.journal.order(decide)
    await asyncio.to_thread(rotating.take, path)
    ctx.keyring.forget()
    return done


def _rotated(tx: Tx, name: str, public: str, path: Path) -> AgentChange:
    """The answer to a rotation that the log had already."""
    key = next(key for key in keys_of(tx, name) if key.public == public)
    return changed(tx, "key rotated", name, public, path, key.since)
