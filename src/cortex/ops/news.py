"""What an answer says beside itself: that the votes log began with it, that an agent is new to the log."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cortex import files, limits
from cortex.db.connect import Tx
from cortex.errors import Unavailable
from cortex.ops import signing
from cortex.ops.context import Context
from cortex.trust.events import AgentRegistered, Signed

_DIGITS = re.compile(r"[0-9]+")
_LIKENESS = 0.8
# Entry 0 is the genesis: what stands here is what the log was begun for.
_FIRST_ENTRY = 1


def begun(ctx: Context, origin: str, entry: int) -> list[str]:
    """Where the admin key was made, for the answer to the first event of a log; nothing for any other."""
    path = signing.admin_file(ctx.settings, origin).path
    if entry != _FIRST_ENTRY or not _here(path):
        return []
    told = f"the votes log of this file begins here; its admin key, which gives trust and resolves, is {path}"
    return [f"{told}: keep a copy of it elsewhere"]


def _here(path: Path) -> bool:
    try:
        return files.found(path) is not None
    except Unavailable:
        return False  # what the answer is to is done: a note is no reason to call it failed


def registered(tx: Tx, signed: Sequence[Signed]) -> dict[str, str]:
    """What to say of each agent that a request registered by voting, by its name."""
    events = [each.event for each in signed if isinstance(each.event, AgentRegistered)]
    near = len(events) <= limits.NEAR_AGENTS_ASKED_MAX
    return {event.agent: _registered(event, _near(tx, event.agent) if near else None) for event in events}


def _registered(event: AgentRegistered, near: str | None) -> str:
    kept = "custody server: Cortex keeps its key" if event.custody == "server" else "with its own key"
    told = f"agent {event.agent} was registered by this vote, untrusted ({kept});"
    told += f" `cortex agent trust {event.agent} standard` vouches for it"
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
