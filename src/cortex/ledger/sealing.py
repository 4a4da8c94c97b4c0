"""Signing checkpoints of our own log: every so many leaves, every so many seconds, and on demand."""

from datetime import timedelta

from cortex import times
from cortex.db.connect import Tx
from cortex.ledger import chain
from cortex.ledger.checkpoint import Checkpoint, parse, sign
from cortex.ledger.keys import NodeKey


def ensure_log(tx: Tx, key: NodeKey, *, at: str, actor: str) -> chain.State:
    """The active log; a new one where there is none yet, or where this machine does not hold the key of the old one."""
    state = chain.active(tx)
    if state is not None and key.signer(state.origin).vkey == state.vkey:
        return state
    origin = chain.new_origin(None if state is None else state.origin.split("/")[2])
    return chain.start(tx, origin, key.signer(origin).vkey, at=at, actor=actor)


def seal_if_due(tx: Tx, state: chain.State, key: NodeKey, *, leaves: int, seconds: int) -> None:
    """Sign a checkpoint when `leaves` were appended or `seconds` went by (ledger time) since the last one."""
    last_size, last_at = _last(tx, state)
    if state.size == last_size:
        return
    due = state.size - last_size >= leaves
    if not due and last_at is not None:
        due = times.parse(state.ts) - times.parse(last_at) >= timedelta(seconds=seconds)
    if due or last_at is None:
        seal(tx, state, key)


def seal(tx: Tx, state: chain.State, key: NodeKey) -> str:
    """The signed checkpoint of the log as it stands; the last one again if nothing was appended since."""
    last = tx.execute(
        "SELECT note FROM ledger_checkpoint WHERE log = ? AND tree_size = ?", (state.id, state.size)
    ).fetchone()
    if last is not None:
        return str(last[0])
    root = state.root
    note = sign(Checkpoint(state.origin, state.size, root), key.signer(state.origin))
    tx.execute(
        "INSERT INTO ledger_checkpoint (log, seq, tree_size, tree_root, note, created_at) VALUES (?, ?, ?, ?, ?, ?)",
        (state.id, state.checkpoints + 1, state.size, root, note, state.ts),
    )
    tx.execute("UPDATE ledger_log SET checkpoints = checkpoints + 1 WHERE id = ?", (state.id,))
    return note


def _last(tx: Tx, state: chain.State) -> tuple[int, str | None]:
    row = tx.execute(
        "SELECT tree_size, created_at FROM ledger_checkpoint WHERE log = ? ORDER BY seq DESC LIMIT 1", (state.id,)
    ).fetchone()
    return (0, None) if row is None else (row[0], row[1])


def size_of(note: str) -> int:
    """How many entries a checkpoint of our own covers."""
    return parse(note)[0].size
