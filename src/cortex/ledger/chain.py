"""The append-only log in the database: starting one, appending to it, reading leaves and nodes for proofs.

An append reads the log's state row inside the caller's transaction, so concurrent processes cannot fork the chain, and
costs O(log n). Entries of one command form a batch: `batch` is the index of its first leaf, `batch_n` their number.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from cortex import canonical, limits, times
from cortex.db.connect import Tx, value
from cortex.errors import Corrupt, Invalid, Unavailable
from cortex.ledger import merkle

LOG = "transactions"

# The columns of a leaf in the order of its bytes.
LEAF_COLUMNS = "actor, batch, batch_n, digest, idx, kind, parent, prev, project, rev, subject, ts, v"


@dataclass(frozen=True)
class State:
    """The state row of a log: what an append needs, and what a checkpoint says."""

    id: int
    origin: str
    vkey: str
    active: bool
    size: int
    head: bytes
    range: bytes
    ts: str
    clock: int
    checkpoints: int
    sealed_size: int
    sealed_at: str | None

    @property
    def root(self) -> bytes:
        """The root of the tree over all leaves."""
        return merkle.range_root(merkle.range_decode(self.range, self.size), self.size)

    @property
    def incarnation(self) -> str:
        """What tells this origin from every other one of its node."""
        return self.origin.rpartition("/")[2]


@dataclass(frozen=True)
class Placed:
    """Where an entry stands: known before its bytes are, since those need the size of the batch."""

    log: int
    idx: int
    ts: str
    rev: str | None


@dataclass(frozen=True)
class _Entry:
    kind: str
    subject: str | None
    project: str | None
    digest: bytes | None
    parent: str | None
    placed: Placed


def new_origin(node: str | None = None) -> str:
    """An origin nobody else has: the node's name and a random incarnation, 64 bits each."""
    return f"cortex/{LOG}/{node or secrets.token_hex(8)}/{secrets.token_hex(8)}"


def node_of(origin: str) -> str:
    """The node's name in an origin."""
    return origin.split("/")[2]


def logs(tx: Tx) -> list[State]:
    """The state of every transactions log in the file, oldest first; the last one is active."""
    return [_state(row) for row in tx.execute(f"{_STATE} ORDER BY id")]


def active(tx: Tx) -> State | None:
    """The state of the log that this file appends to; None before `start`."""
    row = tx.execute(f"{_STATE} WHERE active = 1 AND log = '{LOG}'").fetchone()
    return None if row is None else _state(row)


def start(tx: Tx, origin: str, vkey: str, *, at: str, actor: str) -> State:
    """Begin a log and make it the active one. Its first leaf names the log before it, if any, with size and root."""
    before = active(tx)
    parent = None
    if before is not None:
        parent = f"{before.origin} {before.size} {before.root.hex()}"
        tx.execute("UPDATE ledger_log SET active = 0 WHERE id = ?", (before.id,))
        at = max(at, before.ts)
    first = bytes.fromhex(canonical.origin_link(origin))
    tx.execute(
        "INSERT INTO ledger_log (log, origin, vkey, active, size, head, range, ts, clock, checkpoints, "
        "sealed_size) VALUES (?, ?, ?, 1, 0, ?, x'', ?, 0, 0, 0)",
        (LOG, origin, vkey, first, at),
    )
    begun = active(tx)
    assert begun is not None
    with appending(tx, begun, at=at, actor=actor) as log:
        log.add("origin", subject=vkey, parent=parent)
    return log.state


# What to do about a state row that nothing of ours wrote.
EDITED = (
    "somebody edited the file: `cortex ledger verify` and `cortex vote-ledger verify` say where; restore a backup with"
    " `cortex restore FROM`"
)

# What the 14 hex digits of a `rev` can hold: up to the year 4253.
_MICROS_END = 1 << 56


class Appending:
    """The entries of one command, collected; `appending` writes them when the command is done."""

    def __init__(self, state: State, at: str, actor: str) -> None:
        canonical.check_text("actor", actor)
        self.actor = actor
        if not times.is_stored(state.ts) or not 0 <= state.clock <= limits.SEQ_MAX:
            raise Corrupt(f"the ledger's state row says {state.ts[:40]!r} and {state.clock}", EDITED)
        # Time in a log never runs back, whatever the wall clock does; within one microsecond the clock counts.
        self.ts = max(at, state.ts)
        if not 0 <= times.micros(self.ts) < _MICROS_END:
            raise Unavailable(f"the clock says {self.ts}, which no entry can bear", "set the clock of this machine")
        self.state = state
        self._clock = state.clock + 1 if self.ts == state.ts else 0
        self.entries: list[_Entry] = []

    def add(
        self,
        kind: str,
        *,
        subject: str | None = None,
        project: str | None = None,
        digest: bytes | None = None,
        parent: str | None = None,
        versioned: bool = False,
    ) -> Placed:
        """Take an entry in; `versioned` gives it a `rev`: hybrid logical clock and origin, in one sortable text."""
        if len(self.entries) >= limits.LEDGER_BATCH_MAX:
            raise Invalid(f"more than {limits.LEDGER_BATCH_MAX} changes in one command", "split the request")
        rev = None
        if versioned:
            rev = f"{times.micros(self.ts):014x}-{self._clock + len(self.entries):06x}-{self.state.incarnation}"
        placed = Placed(self.state.id, self.state.size + len(self.entries), self.ts, rev)
        self.entries.append(_Entry(kind, subject, project, digest, parent, placed))
        return placed

    def write(self, tx: Tx) -> None:
        """Hash and insert the entries, and move the state on."""
        state = self.state
        range_, head, nodes = merkle.range_decode(state.range, state.size), state.head, []
        for entry in self.entries:
            encoded = self._encode(entry, head)
            before, head = head, merkle.leaf_hash(encoded)
            nodes += [
                (state.id, *node)
                for node in merkle.range_append(range_, entry.placed.idx, head)
                if node[0] >= limits.NODE_LEVEL_MIN
            ]
            tx.execute(_INSERT, self._row(entry, before, head))
        if nodes:
            tx.executemany("INSERT INTO ledger_node (log, level, idx, hash) VALUES (?, ?, ?, ?)", nodes)
        after = replace(
            state,
            size=state.size + len(self.entries),
            head=head,
            range=merkle.range_encode(range_),
            ts=self.ts,
            clock=self._clock + len(self.entries) - 1,
        )
        tx.execute(
            "UPDATE ledger_log SET size = ?, head = ?, range = ?, ts = ?, clock = ? WHERE id = ?",
            (after.size, after.head, after.range, after.ts, after.clock, after.id),
        )
        self.state = after

    def _encode(self, entry: _Entry, prev: bytes) -> bytes:
        # Only these come from callers; the rest is ours, in canonical form already.
        for name, given in (("subject", entry.subject), ("project", entry.project)):
            if given is not None:
                canonical.check_text(name, given)
        digest = None if entry.digest is None else entry.digest.hex()
        place = entry.placed
        return canonical.encode(
            (
                self.actor, self.state.size, len(self.entries), digest, place.idx, entry.kind, entry.parent, prev.hex(),
                entry.project, place.rev, entry.subject, self.ts, canonical.VERSION,
            )
        )  # fmt: skip

    def _row(self, entry: _Entry, prev: bytes, hashed: bytes) -> tuple[object, ...]:
        place = entry.placed
        return (
            place.log, place.idx, canonical.VERSION, entry.kind, entry.subject, entry.project, place.rev, entry.parent,
            entry.digest, self.actor, self.ts, self.state.size, len(self.entries), prev, hashed,
        )  # fmt: skip


@contextmanager
def appending(tx: Tx, state: State, *, at: str, actor: str) -> Iterator[Appending]:
    """Collect the entries of one command and append them when the block ends without an error.

    `state` was read in this transaction; afterwards `state` of what is yielded is the one after it.
    """
    log = Appending(state, at, actor)
    yield log
    if log.entries:
        log.write(tx)


def leaf_bytes(tx: Tx, log: int, idx: int) -> bytes:
    """The hashed bytes of one leaf, encoded from its columns."""
    row = tx.execute(f"SELECT {LEAF_COLUMNS} FROM transactions WHERE log = ? AND idx = ?", (log, idx)).fetchone()
    if row is None:
        raise Invalid(f"the log has no entry {idx}", "ask for an index below its size")
    return encode_row(row)


def encode_row(row: tuple[object, ...]) -> bytes:
    """The hashed bytes of a row of LEAF_COLUMNS; hashes are stored as bytes and hashed as hex.

    Raises Corrupt for values that are not of their column's type.
    """
    actor, batch, batch_n, digest, idx, kind, parent, prev, *rest = row
    if not isinstance(prev, bytes) or not isinstance(digest, bytes | None):
        raise Corrupt(f"entry {idx} has a hash that is not bytes", _RESTORE)
    hexed = None if digest is None else digest.hex()
    try:
        return canonical.encode((actor, batch, batch_n, hexed, idx, kind, parent, prev.hex(), *rest))  # type: ignore[arg-type]
    except TypeError:
        raise Corrupt(
            f"entry {idx} has a field that is not text", "restore a backup with `cortex restore FROM`"
        ) from None


_RESTORE = "restore a backup with `cortex restore FROM`"


def nodes(tx: Tx, log: int) -> merkle.Get:
    """Where proofs find the roots of complete subtrees: stored above NODE_LEVEL_MIN, computed from leaves below."""

    def get(level: int, index: int) -> bytes:
        if level >= limits.NODE_LEVEL_MIN:
            stored = value(
                tx, "SELECT hash FROM ledger_node WHERE log = ? AND level = ? AND idx = ?", (log, level, index)
            )
            if not isinstance(stored, bytes):
                raise Corrupt(f"node {index} of level {level} of the ledger is missing", EDITED)
            return stored
        first = index << level
        rows = tx.execute(
            "SELECT hash FROM transactions WHERE log = ? AND idx >= ? AND idx < ? ORDER BY idx",
            (log, first, first + (1 << level)),
        )
        return merkle.root(row[0] for row in rows)

    return get


def _state(row: tuple[Any, ...]) -> State:
    number, origin, vkey, active_, *rest = row
    return State(number, origin, vkey, bool(active_), *rest)


_STATE = (
    "SELECT id, origin, vkey, active, size, head, range, ts, clock, checkpoints, sealed_size, sealed_at FROM ledger_log"
)

_INSERT = (
    "INSERT INTO transactions (log, idx, v, kind, subject, project, rev, parent, digest, actor, ts, batch, batch_n,"
    " prev, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
