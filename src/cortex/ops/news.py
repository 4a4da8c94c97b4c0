"""What an answer says beside itself: that the votes log began with it, that an agent is new to the log."""

import difflib
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from cortex import limits
from cortex.db.connect import Tx
from cortex.errors import CortexError
from cortex.ops import signing
from cortex.ops.context import Context
from cortex.trust import log as logs
from cortex.trust.events import AgentRegistered, Signed

_DIGITS = re.compile(r"[0-9]+")
_LIKENESS = 0.8


@asynccontextmanager
async def beginning(ctx: Context) -> AsyncIterator[list[str]]:
    """The votes log is there from here on; what to say in the answer if this request began it.

    A refusal is an answer too: nobody else is told where the admin key was made.
    """
    notes = []
    if await signing.ensure_log(ctx):
        notes = begun(ctx, (await ctx.database.read(logs.needed)).origin)
    try:
        yield notes
    except CortexError as error:
        error.hint = "; ".join([*filter(None, [error.hint]), *notes])
        raise


def begun(ctx: Context, origin: str) -> list[str]:
    """Where the admin key was made, for the answer to the request that began the log. Models are not told where."""
    if ctx.caller.face == "mcp":
        return ["the votes log of this file begins here; a person should keep a copy of its admin key elsewhere"]
    path = signing.admin_file(ctx.settings, origin).path
    told = f"the votes log of this file begins here; its admin key, which gives trust and resolves, is {path}"
    return [f"{told}: keep a copy of it elsewhere"]


def registered(ctx: Context, tx: Tx, signed: Sequence[Signed]) -> dict[str, str]:
    """What to say of each agent that a request registered by voting, by its name."""
    events = [each.event for each in signed if isinstance(each.event, AgentRegistered)]
    asked = len(events) <= limits.NEAR_AGENTS_ASKED_MAX
    return {event.agent: _registered(ctx, event, _near(tx, event.agent) if asked else None) for event in events}


def _registered(ctx: Context, event: AgentRegistered, near: str | None) -> str:
    kept = "custody server: Cortex keeps its key" if event.custody == "server" else "with its own key"
    # Who vouches is for a person to say: a model is not told how.
    vouching = f"`cortex agent trust {event.agent} standard` vouches for it"
    told = f"agent {event.agent} was registered by this vote, untrusted ({kept});"
    told += f" {'a person can vouch for it' if ctx.caller.face == 'mcp' else vouching}"
    if near is not None:
        told += f"; if agent {near} was meant, withdraw this vote with 0 and vote as {near}"
    return told


def _near(tx: Tx, name: str) -> str | None:
    """An agent whose name is nearly this one. Names that differ by their numbers alone are meant to."""
    rows: list[Any] = tx.execute(
        "SELECT name FROM vote_agent WHERE name <> ?1 AND abs(length(name) - length(?1)) <= 2 ORDER BY name LIMIT ?2",
        (name, limits.NEAR_AGENTS_MAX),
    ).fetchall()
    counted = _DIGITS.sub("0", name).lower()
    known = {other.lower(): str(other) for (other,) in rows if _DIGITS.sub("0", other).lower() != counted}
    near = difflib.get_close_matches(name.lower(), known, 1, _LIKENESS)
    return known[near[0]] if near else None
