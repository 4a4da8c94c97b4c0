"""Signing checkpoints of the votes log with the node's key: every so many leaves or seconds, and on demand."""

from dataclasses import dataclass
from typing import Any

from cortex.db.connect import Tx
from cortex.errors import Corrupt, KeyNotValid
from cortex.ledger.checkpoint import Checkpoint, sign
from cortex.ledger.keys import NodeKey
from cortex.ledger.sealing import is_due
from cortex.trust import log as logs
from cortex.trust.log import Log

_LAST = "SELECT note, tree_size, tree_root FROM vote_checkpoints ORDER BY id DESC LIMIT 1"
_MISSING = "`cortex vote-ledger verify` says what is missing; `cortex restore FROM` puts a backup in its place"


@dataclass(frozen=True, slots=True)
class Sealed:
    """What this node knows of its checkpoints; `restored`: the file was put back, and the log does not say so yet."""

    size: int
    at: str | None
    restored: bool


def sealed(tx: Tx) -> Sealed:
    """The row of this node; that of a log without checkpoints where there is none yet."""
    row: Any = tx.execute("SELECT sealed_size, sealed_at, restored FROM vote_seal").fetchone()
    return Sealed(0, None, restored=False) if row is None else Sealed(row[0], row[1], bool(row[2]))


def check_grown(log: Log, sealed_size: int) -> None:
    """Raise Corrupt for a log that has lost entries of its last checkpoint: whoever went on with it would fork it."""
    if log.size < sealed_size:
        told = f"the votes log has {log.size} entries, and its last checkpoint was signed over {sealed_size}"
        raise Corrupt(told, _MISSING)


def _check_kept(tx: Tx, size: int, root: bytes) -> None:
    """Raise Corrupt where the log does not go on from its last checkpoint."""
    try:
        kept = logs.root_at(tx, size) == root
    except Corrupt:
        kept = False
    if not kept:
        raise Corrupt(f"the votes log has another root than was signed over its first {size} entries", _MISSING)


def seal_if_due(tx: Tx, log: Log, key: NodeKey, last: Sealed, *, leaves: int, seconds: int) -> None:
    """Sign a checkpoint when `leaves` were appended or `seconds` went by (ledger time) since the `last` one."""
    if is_due(log.ts, log.size, last.at, last.size, leaves=leaves, seconds=seconds):
        seal(tx, log, key)


def seal(tx: Tx, log: Log, key: NodeKey) -> str:
    """The signed checkpoint of the log as it stands; the last one again if nothing was appended since.

    Raises KeyNotValid where the node's key is not the one that the log names: nobody could check what it signs.
    Raises Corrupt for a log that has lost entries, or has others: the node would contradict itself.
    """
    check_grown(log, sealed(tx).size)
    row: Any = tx.execute(_LAST).fetchone()
    if row is not None:
        note, size, root = row
        _check_kept(tx, size, root)
        if size == log.size:
            return str(note)
    if key.vkey(log.origin) != log.vkey:
        raise KeyNotValid(
            f"the node key {key.path} is not the one that the votes log names",
            "put the right key file back, or let the admin key name this one: `cortex vote-ledger init`",
        )
    _ensure_row(tx)
    root = log.root
    note = sign(Checkpoint(log.origin, log.size, root), key.signer(log.origin))
    tx.execute("UPDATE vote_seal SET checkpoints = checkpoints + 1, sealed_size = ?, sealed_at = ?", (log.size, log.ts))
    tx.execute(
        "INSERT INTO vote_checkpoints (id, tree_size, tree_root, note, created_at)"
        " VALUES ((SELECT checkpoints FROM vote_seal), ?, ?, ?, ?)",
        (log.size, root, note, log.ts),
    )
    return note


def mark_restored(tx: Tx, *, restored: bool) -> None:
    """Note that the file was put back from a backup, or that the log says so by now."""
    _ensure_row(tx)
    tx.execute("UPDATE vote_seal SET restored = ?", (restored,))


def _ensure_row(tx: Tx) -> None:
    tx.execute("INSERT OR IGNORE INTO vote_seal (id, checkpoints, sealed_size, restored) VALUES (1, 0, 0, 0)")


def handed_out(tx: Tx, log: Log, key: NodeKey) -> str:
    """The checkpoint up to which outsiders are shown the log.

    One that does not go on from its last checkpoint is shown as it was signed: who checks it finds what is wrong.
    """
    try:
        return seal(tx, log, key)
    except Corrupt:
        row: Any = tx.execute(_LAST).fetchone()
        if row is None:
            raise
        return str(row[0])
