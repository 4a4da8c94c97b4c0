"""Signing events: with the keys of agents that this machine holds, and with the admin key of the log."""

import asyncio

from cortex import files, limits
from cortex.db.connect import Tx
from cortex.errors import Conflict, CortexError, Forbidden, KeyNotValid, Unavailable
from cortex.ledger import chain, memory, sealing
from cortex.ops import clocks
from cortex.ops.context import Context
from cortex.ops.journal import EventsOrdered, Proposal
from cortex.settings import Settings
from cortex.trust import events, keyfiles, policy
from cortex.trust import log as logs
from cortex.trust.adminkey import AdminKeyFile, origin_in
from cortex.trust.apply import Applied
from cortex.trust.events import Genesis
from cortex.trust.keyring import EventSigner, sign, signer
from cortex.trust.log import Log


def admin_file(settings: Settings, origin: str) -> AdminKeyFile:
    """The file of a log's admin key: where the settings say, else under Cortex's home."""
    return AdminKeyFile(settings.admin_key or keyfiles.admin_path(settings.home, origin), origin)


def admin(ctx: Context, log: Log) -> EventSigner:
    """The admin key of the log: the one in its place, else one that a rotation kept, as its `path` tells.

    Raises Forbidden where it is not here, or locked and no passphrase was given.
    """
    file = admin_file(ctx.settings, log.origin)
    check_here(file)
    return _checked(file, ctx.settings, log)


def check_here(file: AdminKeyFile) -> None:
    """Raise Forbidden where the admin key is not on this machine."""
    if file.state == "absent":
        raise Forbidden(
            f"the admin key of this log is not on this machine ({file.path})",
            "do this where the admin key is, or set admin.key to its file",
        )


def held_admin(settings: Settings, log: Log) -> EventSigner | None:
    """The admin key where it is on this machine and can be used without asking; None where not."""
    file = admin_file(settings, log.origin)
    return _checked(file, settings, log) if at_hand(file, settings) else None


def at_hand(file: AdminKeyFile, settings: Settings) -> bool:
    """Whether an admin key is here and can be used without asking for its passphrase."""
    state = file.state
    return state == "plain" or (state == "locked" and settings.admin_passphrase is not None)


def from_before(settings: Settings, log: Log, held: EventSigner) -> str | None:
    """What to tell of an admin key that a rotation kept: the log is from before that rotation. None for any other."""
    path = admin_file(settings, log.origin).path
    if held.path is None or held.path == path:
        return None
    return (
        f"the admin key from before a rotation, kept as {held.path.name}, which is in {path} again; the newer is kept"
    )


def put_back(settings: Settings, log: Log, held: EventSigner) -> None:
    """Let an admin key that a rotation kept take the place again where the log is from before that rotation."""
    file = admin_file(settings, log.origin)
    if held.path is not None and held.path != file.path:
        file.put_back(held.path)


def _checked(file: AdminKeyFile, settings: Settings, log: Log) -> EventSigner:
    secret = None if settings.admin_passphrase is None else str(settings.admin_passphrase)
    held = file.open(secret)
    if held.public == log.admin:
        return signer(held, "agent", file.path)
    kept = file.kept(log.admin, secret)
    if kept is None:
        raise KeyNotValid(
            f"{file.path} is not the admin key of this log, which is {log.admin.hex()[:16]}…, nor is a key kept there",
            f"put that key's file there, or beside it as {file.path.name}.1; a locked one takes its passphrase",
        )
    return signer(kept[1], "agent", kept[0])


async def ensure_log(ctx: Context) -> bool:
    """Begin the votes log where this file has none: its admin key is made, and its genesis signed.

    Whoever begins it is its admin: the key lies in a file of this machine alone. Returns whether it was begun now.
    """
    log = await ctx.database.read(logs.state)
    if log is not None:
        return False
    at = ctx.now()
    clocks.check_sane(at)
    file = await _file_to_begin_with(ctx, at)
    if file is None:
        return False
    key, origin = signer(file.open(), "agent", file.path), file.origin
    event = Genesis(
        at=at,
        id=ctx.new_id(),
        key=key.public,
        log=origin,
        policy=policy.WEIGHTED,
        v=events.VERSION,
        vkey=ctx.node_key.vkey(origin),
    )
    begun = EventsOrdered(at=at, events=(sign(event, key),))

    def decide(tx: Tx) -> Proposal[bool]:
        if logs.state(tx) is not None:
            return Proposal(EventsOrdered(at=at, events=()), _lost)
        return Proposal(begun, _won)

    try:
        won = await ctx.journal.order(decide)
    except CortexError:
        await _drop_unused(ctx, file)
        raise
    if not won:
        await _drop_unused(ctx, file)  # another process began one at the same moment
    return won


async def _drop_unused(ctx: Context, file: AdminKeyFile) -> None:
    """Delete the admin key of a log that was not begun: nothing that anybody has is signed with it."""
    log = await ctx.database.read(logs.state)
    if file.path == keyfiles.admin_path(ctx.settings.home, file.origin) and (log is None or log.origin != file.origin):
        file.path.unlink(missing_ok=True)


async def _file_to_begin_with(ctx: Context, at: str) -> AdminKeyFile | None:
    """The key of a log that is to be begun, made where it is not there. None where another process began one meanwhile.

    Raises Conflict, with nothing written, where admin.key holds the key of another log.
    """
    for _ in range(limits.BEGIN_ATTEMPTS_MAX):
        origin = await _origin_to_begin_with(ctx, at)
        if origin is None:
            return None
        file = admin_file(ctx.settings, origin)
        try:
            await asyncio.to_thread(file.make)
            return file
        except Conflict:
            if origin_in(file.path) in {None, origin}:
                raise
            # Another process made one since: it is looked at again whose that is.
    raise Unavailable("other processes keep making the admin key", "try again", retry_after_ms=100)


async def _origin_to_begin_with(ctx: Context, at: str) -> str | None:
    """A new origin, or the one of a process that was killed between its key and its genesis."""
    place = ctx.settings.admin_key
    held = None if place is None else await asyncio.to_thread(origin_in, place)
    transactions = await ctx.database.read(chain.active)
    if place is None or held is None:
        if transactions is None:
            transactions = await ctx.database.write(
                lambda tx: sealing.ensure_log(tx, ctx.node_key, at=at, actor=ctx.caller.actor)
            )
        return logs.new_origin(chain.node_of(transactions.origin))
    ours = transactions is not None and held.startswith(logs.prefix(chain.node_of(transactions.origin)))
    if ours and await asyncio.to_thread(_never_begun, ctx.settings, AdminKeyFile(place, held)):
        return held
    if await ctx.database.read(logs.state) is not None:
        return None
    raise Conflict(
        f"admin.key ({place}) is the admin key of another log, {held}",
        "set it per database, to a file that is not there yet, or leave it out",
    )


def _never_begun(settings: Settings, file: AdminKeyFile) -> bool:
    """Whether nothing on this machine shows that the log of an admin key was begun.

    Else a copy of the database from before that would begin the same log once more.
    """
    folders = (place(settings.home, file.origin, "x").parent for place in (keyfiles.agent_path, keyfiles.custody_path))
    if file.changed() or any(files.found(folder) is not None for folder in folders):
        return False
    return not memory.knows(settings.home, file.origin)


def _won(tx: Tx, applied: list[Applied]) -> bool:
    return True


def _lost(tx: Tx, applied: list[Applied]) -> bool:
    return False
