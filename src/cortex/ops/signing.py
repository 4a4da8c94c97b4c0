"""Signing events: with the keys of agents that this machine holds, and with the admin key of the log."""

from cortex.db.connect import Tx
from cortex.errors import Forbidden, KeyNotValid
from cortex.ops.context import Context
from cortex.ops.journal import EventsOrdered, Proposal
from cortex.settings import Settings
from cortex.trust import events, keyfiles, policy
from cortex.trust import log as logs
from cortex.trust.adminkey import AdminKeyFile
from cortex.trust.apply import Applied
from cortex.trust.events import Genesis
from cortex.trust.keyring import EventSigner, sign, signer
from cortex.trust.log import Log


def admin_file(settings: Settings, origin: str) -> AdminKeyFile:
    """The file of a log's admin key: where the settings say, else under Cortex's home."""
    return AdminKeyFile(settings.admin_key or keyfiles.admin_path(settings.home, origin), origin)


def admin(ctx: Context, log: Log) -> EventSigner:
    """The admin key of the log. Raises Forbidden where it is not here, or locked and no passphrase was given."""
    file = admin_file(ctx.settings, log.origin)
    if file.state == "absent":
        raise Forbidden(
            f"the admin key of this log is not on this machine ({file.path})",
            "do this where the admin key is, or set admin_key to its file",
        )
    return _checked(file, ctx.settings, log)


def admin_at_hand(ctx: Context, log: Log) -> EventSigner | None:
    """The admin key where it is on this machine and can be used without asking; None where not."""
    return held_admin(ctx.settings, log)


def held_admin(settings: Settings, log: Log) -> EventSigner | None:
    """As `admin_at_hand`, where there is no open application."""
    file = admin_file(settings, log.origin)
    state = file.state
    if state == "absent" or (state == "locked" and settings.admin_passphrase is None):
        return None
    return _checked(file, settings, log)


def _checked(file: AdminKeyFile, settings: Settings, log: Log) -> EventSigner:
    secret = settings.admin_passphrase
    held = signer(file.open(None if secret is None else str(secret)), "agent", file.path)
    if held.public != log.admin.hex():
        raise KeyNotValid(
            f"{file.path} is not the admin key of this log any more", "use the one that took its place, or its backup"
        )
    return held


async def ensure_log(ctx: Context) -> None:
    """Begin the votes log where this file has none: its admin key is made, and its genesis signed.

    Whoever begins it is its admin: the key lies in a file of this machine alone.
    """
    if ctx.keyring.begun or await ctx.database.read(logs.state) is not None:
        ctx.keyring.begun = True
        return
    origin, at = logs.new_origin(), ctx.now()
    file = admin_file(ctx.settings, origin)
    key = signer(file.make(), "agent", file.path)
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

    if not await ctx.journal.order(decide) and file.path == keyfiles.admin_path(ctx.settings.home, origin):
        # Another process began one at the same moment: nothing was ever signed with this key.
        file.path.unlink(missing_ok=True)


def _won(tx: Tx, applied: list[Applied]) -> bool:
    return True


def _lost(tx: Tx, applied: list[Applied]) -> bool:
    return False
