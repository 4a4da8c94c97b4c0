"""Replacing keys: first in the log, then in the file. What a crash left between the two is finished here.

The key that is to come waits beside the one in force. Once the log has its event, it takes the place; until then it is
used again by the next attempt. Neither is ever lost.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from cortex import files
from cortex.db.connect import Tx
from cortex.errors import KeyNotValid, Locked
from cortex.ops import signing
from cortex.ops.context import Context
from cortex.trust import keyfiles, private
from cortex.trust import log as logs
from cortex.trust.adminkey import AdminKeyFile
from cortex.trust.keyfiles import AgentKey
from cortex.trust.keyring import EventSigner
from cortex.trust.log import Log


@asynccontextmanager
async def alone(path: Path) -> AsyncIterator[None]:
    """Nobody else rotates the key in `path`, from the event to the file."""
    # The lock of the file itself is taken for each change of it, so this is another one.
    lock = private.alone(path.with_name(f"{path.name}.rotation"))
    # A thread of its own: those who wait must not take the threads that the holder goes on with.
    waiting = ThreadPoolExecutor(1)
    with ExitStack() as stack:
        try:
            await asyncio.get_running_loop().run_in_executor(waiting, stack.enter_context, lock)
        finally:
            waiting.shutdown(wait=False)
        yield


def waits(path: Path) -> bool:
    """Whether a key waits to take the place of the one in `path`."""
    return files.found(private.next_of(path)) is not None


async def finish(ctx: Context, log: Log, path: Path, name: str) -> AgentKey | None:
    """Let the waiting key of an agent take the place if the log has it. None where there is nothing to finish.

    To be called within `alone`.
    """
    if not waits(path):
        return None
    waiting = await asyncio.to_thread(keyfiles.load, private.next_of(path), name, log.origin)

    def known(tx: Tx) -> bool:
        return tx.execute("SELECT 1 FROM vote_key WHERE public = ?", (waiting.public,)).fetchone() is not None

    if not await ctx.database.read(known):
        return None
    await asyncio.to_thread(take, path)
    ctx.keyring.forget()
    return waiting


def take(path: Path) -> AgentKey:
    """The prepared key of an agent takes the place. The old one is kept: a backup of before knows that one alone."""
    return keyfiles.take_next(path, keep_old=True)


async def put_back(ctx: Context, log: Log, path: Path, name: str) -> Path | None:
    """Where the log was put back to before a rotation, the key of then takes the place of the agent's newer one.

    Returns where the newer one is kept; None where the log knows the key in the place, or none that was kept.
    """
    if not await asyncio.to_thread(private.kept_of, path):
        return None
    async with alone(path):
        held = await asyncio.to_thread(keyfiles.load, path, name, log.origin)
        kept = await asyncio.to_thread(lambda: list(keyfiles.kept(path, name, log.origin)))
        old = await ctx.database.read(lambda tx: _valid(tx, name, held, kept))
        if old is None:
            return None
        newer = await asyncio.to_thread(keyfiles.put_back, path, old)
    ctx.keyring.forget()
    return newer


def _valid(tx: Tx, name: str, held: AgentKey, kept: list[tuple[Path, AgentKey]]) -> Path | None:
    """Where the newest of the kept keys lies that may sign; None where the log knows the one that is held."""
    if tx.execute("SELECT 1 FROM vote_key WHERE public = ?", (held.public,)).fetchone() is not None:
        return None
    told = "SELECT 1 FROM vote_key WHERE public = ? AND agent = ? AND ended IS NULL"
    return next((path for path, key in kept if tx.execute(told, (key.public, name)).fetchone() is not None), None)


def place_of(ctx: Context, log: Log, name: str) -> Path | None:
    """Where a key of an agent lies on this machine: its own, else the one that Cortex keeps for it."""
    own = keyfiles.agent_path(ctx.settings.home, log.origin, name)
    kept = keyfiles.custody_path(ctx.settings.home, log.origin, name)
    return next((path for path in (own, kept) if files.found(path) is not None), None)


async def recover(ctx: Context, log: Log, name: str) -> Path | None:
    """As `place_of`, with what a crash left of a rotation finished, and the right key there after an older backup."""
    path = place_of(ctx, log, name)
    if path is not None and waits(path):
        async with alone(path):
            await finish(ctx, log, path, name)
    if path is not None:
        await put_back(ctx, log, path, name)
    return path


@contextmanager
def no_other_key(names: Iterable[str]) -> Iterator[None]:
    """Say in a KeyNotValid what is left to do for these agents, whose keys on this machine were all tried."""
    try:
        yield
    except KeyNotValid as error:
        told = [f"`cortex agent key {name} --out FILE` with the admin key adds one" for name in dict.fromkeys(names)]
        raise KeyNotValid(error.message, "; ".join(told[:1]) or error.hint) from None


async def finish_admin(ctx: Context, file: AdminKeyFile) -> bool:
    """As `finish`, for the admin key: whether there was a rotation to finish."""
    if not waits(file.path):
        return False
    secret = passphrase(ctx, file)
    waiting = await asyncio.to_thread(file.prepare_next, secret)
    log = await ctx.database.read(logs.needed)
    if waiting.public != log.admin:
        return False
    await asyncio.to_thread(take_admin, file)
    return True


def take_admin(file: AdminKeyFile) -> None:
    """The prepared admin key takes the place. The old one is kept: a backup of before knows that one alone."""
    file.take_next(keep_old=True)


async def admin(ctx: Context) -> tuple[Log, EventSigner]:
    """The log and its admin key. Raises Forbidden where that is not here, or locked and no passphrase was given."""
    log = await ctx.database.read(logs.needed)
    file = signing.admin_file(ctx.settings, log.origin)
    if waits(file.path) and file.state != "absent":
        async with alone(file.path):
            await finish_admin(ctx, file)
        log = await ctx.database.read(logs.needed)
    passphrase(ctx, file)
    held = await asyncio.to_thread(signing.admin, ctx, log)
    if held.path != file.path:
        # Nobody rotates meanwhile: what the log says and what is in the file are of one moment.
        async with alone(file.path):
            log = await ctx.database.read(logs.needed)
            held = await asyncio.to_thread(signing.admin, ctx, log)
            await asyncio.to_thread(signing.put_back, ctx.settings, log, held)
    return log, held


async def admin_at_hand(ctx: Context) -> EventSigner | None:
    """The admin key where it is on this machine and can be used without asking; None where not."""
    log = await ctx.database.read(logs.needed)
    if not signing.at_hand(signing.admin_file(ctx.settings, log.origin), ctx.settings):
        return None
    try:
        return (await admin(ctx))[1]
    except KeyNotValid:
        return None  # it was rotated elsewhere: that of today is not here


def passphrase(ctx: Context, file: AdminKeyFile) -> str | None:
    """The passphrase as it was given. Raises Forbidden where there is none and the key is locked."""
    given = ctx.settings.admin_passphrase
    if given is None and file.state == "locked":
        raise Locked(f"the admin key {file.path} is locked", "set CORTEX_ADMIN_PASSPHRASE to its passphrase")
    return None if given is None else str(given)
