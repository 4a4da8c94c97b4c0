"""Making a key for an agent: what is refused afterwards leaves no file behind and takes nobody else's away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from cortex import files
from cortex.db.connect import Tx
from cortex.errors import CortexError
from cortex.ops import rotating
from cortex.ops.context import Context
from cortex.trust import keyfiles, private
from cortex.trust.keyring import EventSigner, signer
from cortex.trust.log import Log


@asynccontextmanager
async def made(ctx: Context, log: Log, path: Path, name: str) -> AsyncIterator[tuple[EventSigner, bool]]:
    """A key of an agent in the file `path`, made if there is none, and whether there was one.

    Where the block is refused, a key that was made for it is removed.
    """
    folder = keyfiles.agent_path(ctx.settings.home, log.origin, name).parent
    await asyncio.to_thread(private.make_folder, folder)
    # One after the other: else a key could be removed that another request found there and registers.
    async with rotating.alone(folder / "new"):
        left = await asyncio.to_thread(files.found, path) is not None
        key = signer(await asyncio.to_thread(keyfiles.make, path, name, log.origin), "agent", path)
        try:
            yield key, left
        except CortexError:
            if not left:
                await _take_away(ctx, path, key)
            raise


def is_known(tx: Tx, key: EventSigner) -> bool:
    """Whether the log has or had a key."""
    return tx.execute("SELECT 1 FROM vote_key WHERE public = ?", (bytes.fromhex(key.public),)).fetchone() is not None


async def _take_away(ctx: Context, path: Path, key: EventSigner) -> None:
    """Remove the file of a new key that was refused. Where it cannot be seen that it was, the file stays."""
    with suppress(CortexError, OSError):
        held = await asyncio.to_thread(keyfiles.load, path)
        if held.public.hex() == key.public and not await ctx.database.read(lambda tx: is_known(tx, key)):
            await asyncio.to_thread(path.unlink, missing_ok=True)
            ctx.keyring.forget()
