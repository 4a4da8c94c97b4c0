"""Signing checkpoints of our own log: every so many leaves, every so many seconds, and on demand."""

from datetime import timedelta
from typing import Any

from cortex import times
from cortex.db.connect import Tx
from cortex.errors import Corrupt
from cortex.ledger import chain, merkle
from cortex.ledger.checkpoint import Checkpoint, parse, sign
from cortex.ledger.keys import NodeKey

_MISSING = "`cortex ledger verify` says what is missing; `cortex restore FROM` puts a backup in its place"


def ensure_log(tx: Tx, key: NodeKey, *, at: str, actor: str) -> chain.State:
    """The active log; a new one where there is none yet, or where this machine does not hold the key of the old one."""
    state = chain.active(tx)
    if state is not None and key.vkey(state.origin) == state.vkey:
        return state
    return begin_origin(tx, state, key, at=at, actor=actor)


def begin_origin(tx: Tx, before: chain.State | None, key: NodeKey, *, at: str, actor: str) -> chain.State:
    """A new origin of the same node; its first entry names the log `before` it, with its size and root.

    Where the key of that log is here, its last entries are sealed first: nobody signs for them afterwards.
    """
    if before is not None and key.vkey(before.origin) == before.vkey:
        seal(tx, before, key)
    origin = chain.new_origin(None if before is None else chain.node_of(before.origin))
    return chain.start(tx, origin, key.vkey(origin), at=at, actor=actor)


def seal_if_due(tx: Tx, state: chain.State, key: NodeKey, *, leaves: int, seconds: int) -> None:
    """Sign a checkpoint when `leaves` were appended or `seconds` went by (ledger time) since the last one."""
    if is_due(state.ts, state.size, state.sealed_at, state.sealed_size, leaves=leaves, seconds=seconds):
        seal(tx, state, key)


def is_due(ts: str, size: int, sealed_at: str | None, sealed_size: int, *, leaves: int, seconds: int) -> bool:
    """Whether a log of `size` entries, the last of which is of `ts`, is to be sealed again.

    Raises Corrupt where the last seal bears what is no time.
    """
    if sealed_at is not None and not times.is_stored(sealed_at):
        raise Corrupt(f"the last checkpoint is of {sealed_at[:40]!r}, which is no time", chain.EDITED)
    if size == sealed_size:
        return False
    if sealed_at is None or size - sealed_size >= leaves:
        return True
    return times.parse(ts) - times.parse(sealed_at) >= timedelta(seconds=seconds)


def seal(tx: Tx, state: chain.State, key: NodeKey) -> str:
    """The signed checkpoint of the log as it stands; the last one again if nothing was appended since.

    Raises Corrupt for a log that has lost entries, or has others: the node would contradict itself.
    """
    if state.size < state.sealed_size:
        told = f"the ledger has {state.size} entries, and its last checkpoint was signed over {state.sealed_size}"
        raise Corrupt(told, _MISSING)
    row: Any = tx.execute(
        "SELECT note, tree_size, tree_root FROM ledger_checkpoint WHERE log = ? ORDER BY seq DESC LIMIT 1", (state.id,)
    ).fetchone()
    if row is not None:
        note, size, signed = row
        if _root_at(tx, state, size) != signed:
            raise Corrupt(f"the ledger has another root than was signed over its first {size} entries", _MISSING)
        if size == state.size:
            return str(note)
    root = state.root
    note = sign(Checkpoint(state.origin, state.size, root), key.signer(state.origin))
    tx.execute(
        "INSERT INTO ledger_checkpoint (log, seq, tree_size, tree_root, note, created_at) VALUES (?, ?, ?, ?, ?, ?)",
        (state.id, state.checkpoints + 1, state.size, root, note, state.ts),
    )
    tx.execute(
        "UPDATE ledger_log SET checkpoints = checkpoints + 1, sealed_size = ?, sealed_at = ? WHERE id = ?",
        (state.size, state.ts, state.id),
    )
    return note


def _root_at(tx: Tx, state: chain.State, size: int) -> bytes | None:
    try:
        return merkle.root_at(chain.nodes(tx, state.id), size)
    except Corrupt:
        return None


def size_of(note: str) -> int:
    """How many entries a checkpoint of our own covers."""
    return parse(note)[0].size
