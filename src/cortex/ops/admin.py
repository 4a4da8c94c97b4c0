"""Operations on the admin key of the votes log: look at it, put it under a passphrase, put a new one in its place."""

import asyncio
from typing import Annotated, Any

from msgspec import Meta, Struct

from cortex.db.connect import Tx
from cortex.errors import Forbidden
from cortex.ops import rotating, signing
from cortex.ops.context import Context
from cortex.ops.journal import EventsOrdered, Proposal
from cortex.ops.registry import Cli, Request, operation
from cortex.trust import events
from cortex.trust import log as logs
from cortex.trust.adminkey import AdminKeyFile
from cortex.trust.apply import Applied
from cortex.trust.events import AdminRotated
from cortex.trust.keyring import sign, signer
from cortex.trust.log import Log

_GROUP = "Trust"


class AdminStatus(Struct, frozen=True, kw_only=True):
    """The admin key of the votes log, and the file that holds its private half here."""

    origin: str
    admin: Annotated[str, Meta(description="The public key that is the log's admin key.")]
    path: str
    state: Annotated[str, Meta(description="absent, plain, or locked by a passphrase.")]
    public: Annotated[str | None, Meta(description="Public half of the key in the file; null where it is locked.")]
    in_force: Annotated[bool | None, Meta(description="Whether the file holds the log's admin key; null if unknown.")]
    rotating: Annotated[bool, Meta(description="Whether a rotation was begun and not finished.")]
    kept: Annotated[
        str | None,
        Meta(description="Where the log's admin key is kept from before a rotation; used when it is needed."),
    ] = None


class ShowAdmin(Request[AdminStatus], frozen=True, kw_only=True):
    """Show where the admin key is."""


@operation("admin.show", effect="read", order="local", method="show_admin", cli=(Cli("admin show", group=_GROUP),))
async def show(ctx: Context, request: ShowAdmin) -> AdminStatus:
    """Show the admin key of the votes log: its file, whether it is locked, and whether it is the one in force.

    A locked key is opened only where its passphrase is given.
    """
    log = await ctx.database.read(logs.needed)
    return await asyncio.to_thread(_status, ctx, log, signing.admin_file(ctx.settings, log.origin))


def _status(ctx: Context, log: Log, file: AdminKeyFile) -> AdminStatus:
    state, given = file.state, ctx.settings.admin_passphrase
    secret = None if given is None else str(given)
    public = kept = None
    if state == "plain" or (state == "locked" and secret is not None):
        public = file.open(secret).public
        kept = None if public == log.admin else file.kept(log.admin, secret)
    return AdminStatus(
        origin=log.origin,
        admin=log.admin.hex(),
        path=str(file.path),
        state=state,
        public=None if public is None else public.hex(),
        in_force=None if public is None else public == log.admin,
        rotating=rotating.waits(file.path),
        kept=None if kept is None else str(kept[0]),
    )


class LockAdmin(Request[AdminStatus], frozen=True, kw_only=True):
    """Put the admin key under a passphrase."""


# `local`: a file of this machine, and nothing of the log.
@operation(
    "admin.lock",
    effect="write",
    order="local",
    file="needed",
    method="lock_admin",
    cli=(Cli("admin lock", group=_GROUP),),
)
async def lock(ctx: Context, request: LockAdmin) -> AdminStatus:
    """Put the admin key under a passphrase: the setting admin.passphrase, in CORTEX_ADMIN_PASSPHRASE.

    From then on whatever takes the admin key takes the passphrase too.
    """
    return await _reshaped(ctx, locked=True)


class UnlockAdmin(Request[AdminStatus], frozen=True, kw_only=True):
    """Take the passphrase from the admin key."""


@operation(
    "admin.unlock",
    effect="write",
    order="local",
    file="needed",
    method="unlock_admin",
    cli=(Cli("admin unlock", group=_GROUP),),
)
async def unlock(ctx: Context, request: UnlockAdmin) -> AdminStatus:
    """Write the admin key without its passphrase, which CORTEX_ADMIN_PASSPHRASE has to hold."""
    return await _reshaped(ctx, locked=False)


async def _reshaped(ctx: Context, *, locked: bool) -> AdminStatus:
    log = await ctx.database.read(logs.needed)
    file = signing.admin_file(ctx.settings, log.origin)
    signing.check_here(file)
    given = ctx.settings.admin_passphrase
    # What is in the wanted form already is told so by the file, with or without a passphrase.
    if given is None and file.state == ("plain" if locked else "locked"):
        raise Forbidden("no passphrase was given", "set CORTEX_ADMIN_PASSPHRASE to it")
    async with rotating.alone(file.path):
        await rotating.finish_admin(ctx, file)
        await asyncio.to_thread(file.lock if locked else file.unlock, "" if given is None else str(given))
    log = await ctx.database.read(logs.needed)
    return await asyncio.to_thread(_status, ctx, log, file)


class AdminChange(Struct, frozen=True, kw_only=True):
    """The admin key that is in force now, and the entry of the votes log that says so."""

    admin: str
    path: str
    entry: int
    hash: str
    at: str
    origin: str


class RotateAdmin(Request[AdminChange], frozen=True, kw_only=True):
    """Put a new admin key in the place of the one in force."""


@operation(
    "admin.rotate",
    effect="write",
    order="consensus",
    file="needed",
    method="rotate_admin",
    cli=(Cli("admin rotate", group=_GROUP),),
)
async def rotate(ctx: Context, request: RotateAdmin) -> AdminChange:
    """Put a new admin key in the place of the one in force; both sign for it.

    The old key is kept beside the new one, since a backup of before knows no other. What a crash interrupted is
    finished when this is called again.
    """
    log = await ctx.database.read(logs.needed)
    file = signing.admin_file(ctx.settings, log.origin)
    signing.check_here(file)  # before a lock is made beside a key that is not there
    async with rotating.alone(file.path):
        if await rotating.finish_admin(ctx, file):
            return await ctx.database.read(lambda tx: _rotated(tx, file))
        return await _rotate(ctx, file)


async def _rotate(ctx: Context, file: AdminKeyFile) -> AdminChange:
    log = await ctx.database.read(logs.needed)
    secret = rotating.passphrase(ctx, file)
    old = await asyncio.to_thread(signing.admin, ctx, log)
    new = signer(await asyncio.to_thread(file.prepare_next, secret), "agent", file.path)
    at = ctx.now()
    event = AdminRotated(at=at, id=ctx.new_id(), key=old.public, log=log.origin, new=new.public, v=events.VERSION)
    command = EventsOrdered(at=at, events=(sign(event, old, new),))

    def answer(tx: Tx, applied: list[Applied]) -> AdminChange:
        return _rotated(tx, file)

    done = await ctx.journal.order(lambda tx: Proposal(command, answer))
    await asyncio.to_thread(rotating.take_admin, file)
    return done


def _rotated(tx: Tx, file: AdminKeyFile) -> AdminChange:
    """What the log says of the admin key in force, which came there by a rotation."""
    log = logs.needed(tx)
    row: Any = tx.execute(
        "SELECT l.id - 1, l.hash, l.timestamp FROM vote_key AS k JOIN vote_ledger AS l ON l.id = k.from_idx + 1"
        " WHERE k.public = ?",
        (log.admin,),
    ).fetchone()
    return AdminChange(
        admin=log.admin.hex(), path=str(file.path), entry=row[0], hash=row[1].hex(), at=row[2], origin=log.origin
    )
