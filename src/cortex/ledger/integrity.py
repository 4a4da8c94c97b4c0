"""The integrity pass: every entry, link, batch, node, checkpoint and state row of a log, streamed in constant memory.

Bytes are encoded anew from the columns; links are compared with stored hashes, so that one edited entry is one finding.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from cortex import canonical, limits, times
from cortex.db.connect import Tx, integer
from cortex.errors import Corrupt, CortexError, Invalid
from cortex.ledger import chain, checkpoint, merkle
from cortex.ledger.chain import State
from cortex.ledger.findings import Findings, LogChecked
from cortex.ledger.memory import Remembered
from cortex.plurals import counted
from cortex.progress import Progress


@dataclass
class _Walk:
    """Where the pass stands in a log."""

    size: int
    head: bytes
    range: list[bytes]
    ts: str
    batch_end: int
    # The index that the next entry should have: unlike `size` it is put right after a gap.
    next: int
    batch: tuple[int, int] = (0, 0)
    # Roots to compare on the way: size of the tree -> what says so, the root, and the time that its row bears.
    expected: dict[int, list[tuple[str, bytes, str | None]]] = field(default_factory=dict)
    # How many entries before the last one bear its time; None as long as that is not known.
    clock: int | None = None


def check(
    tx: Tx,
    state: State,
    findings: Findings,
    *,
    own_vkey: str | None,
    remembered: Remembered | None,
    incremental: bool,
    progress: Progress,
) -> tuple[LogChecked, Remembered]:
    """Check one log. With `incremental`, entries that `remembered` covers are taken as they were then.

    `own_vkey` is the key this machine would sign the log with, None when it has no key. Returns what was checked, and
    what is to be remembered if nothing was found.
    """
    # The index of the last entry is found at once; entries are only counted where all of them are read anyway.
    count = integer(tx, "SELECT coalesce(max(idx), -1) FROM transactions WHERE log = ?", (state.id,)) + 1
    resume = remembered if incremental and remembered is not None and remembered.size <= count else None
    if resume is None:
        count = integer(tx, "SELECT count(*) FROM transactions WHERE log = ?", (state.id,))
    walk = _begin(state, resume)
    start = walk.size
    signed = _check_checkpoints(tx, state, state.vkey, count, walk, findings)
    if remembered is not None:
        _expect_remembered(remembered, count, walk, findings)
    _walk(tx, state, walk, findings, progress)
    if resume is None and count != walk.size:
        told = f"{count} entries are held, {walk.size} of them have a place in the log"
        findings.add("GAP", told, origin=state.origin)
    _check_first(tx, state, findings)
    _check_state(tx, state, walk, findings)
    root = merkle.range_root(walk.range, walk.size)
    checked = LogChecked(
        origin=state.origin,
        active=state.active,
        size=walk.size,
        root=root.hex(),
        checked_from=start,
        checkpoints=signed,
        signatures=key_used(own_vkey, state.vkey),
        memory=f"{counted(remembered.size, 'entry', 'entries')}, verified at {remembered.verified_at}"
        if remembered
        else "none",
    )
    kept = Remembered(
        origin=state.origin,
        size=walk.size,
        root=root.hex(),
        range=merkle.range_encode(walk.range).hex(),
        head=walk.head.hex(),
        ts=walk.ts,
        verified_at="",
    )
    return checked, kept


def unread(state: State) -> LogChecked:
    """Of a log that could not be gone through."""
    return LogChecked(
        origin=state.origin, active=state.active, size=0, root="", checked_from=0, checkpoints=0, signatures="none",
        memory="none",
    )  # fmt: skip


def key_used(own_vkey: str | None, vkey: str) -> str:
    """Whose key the checkpoints were checked against, in words; a key that is not ours vouches for nothing."""
    if own_vkey == vkey:
        return "this node's key"
    if own_vkey is None:
        return "the key that the log itself names (origin not checked)"
    return "the key that the log itself names, which is NOT this node's (origin not checked)"


def _begin(state: State, resume: Remembered | None) -> _Walk:
    if resume is None:
        return _Walk(0, bytes.fromhex(canonical.origin_link(state.origin)), [], "", 0, 0)
    range_ = merkle.range_decode(bytes.fromhex(resume.range), resume.size)
    return _Walk(resume.size, bytes.fromhex(resume.head), range_, resume.ts, resume.size, resume.size)


def _expect_remembered(remembered: Remembered, count: int, walk: _Walk, findings: Findings) -> None:
    if remembered.size > count:
        findings.add(
            "ROLLBACK",
            f"{count} entries are left of the {remembered.size} that were verified at {remembered.verified_at}",
            origin=remembered.origin,
        )
    elif remembered.size > walk.size:
        told = f"remembered since {remembered.verified_at}"
        walk.expected.setdefault(remembered.size, []).append((told, bytes.fromhex(remembered.root), None))


def _check_checkpoints(tx: Tx, state: State, vkey: str, count: int, walk: _Walk, findings: Findings) -> int:
    """Those of more entries than the walk begins with. Returns how many there are in all."""
    seen, last_size, last_at = _covered(tx, state, walk.size)
    rows: Iterable[Any] = tx.execute(
        "SELECT seq, tree_size, tree_root, note, created_at FROM ledger_checkpoint WHERE log = ? AND seq >= ?"
        " ORDER BY seq",
        # From the beginning all are read, also what somebody numbered from below it.
        (state.id, seen + 1 if walk.size else -(1 << 63)),
    )
    for seq, size, root, note, created_at in rows:
        seen += 1
        if seq != seen or size <= last_size:
            findings.add("CHECKPOINT_SEQ", f"checkpoint {seq} of size {size} is out of order", origin=state.origin)
        last_size, last_at = size, created_at
        try:
            head = checkpoint.verify(note, [vkey])
        except CortexError as error:
            findings.add("CHECKPOINT_SIG", f"checkpoint {seq}: {error.message}", origin=state.origin, entry=size)
            continue
        at: str | None = created_at
        if (head.origin, head.size, head.root) != (state.origin, size, root):
            at = None
            findings.add("CHECKPOINT_SIG", f"checkpoint {seq} says other than its row", origin=state.origin, entry=size)
        if head.size > count:
            findings.add(
                "TRUNCATED", f"checkpoint {seq} covers {head.size} entries, there are {count}", origin=state.origin
            )
        elif head.size > walk.size:
            walk.expected.setdefault(head.size, []).append((f"checkpoint {seq}", head.root, at))
    if (seen, last_size, last_at) != (state.checkpoints, state.sealed_size, state.sealed_at):
        found = f"{seen} checkpoints up to {last_size} entries, the last of {last_at}"
        told = f"{state.checkpoints} up to {state.sealed_size}, the last of {state.sealed_at}"
        findings.add("CHECKPOINT_SEQ", f"there are {found}; the state row says {told}", origin=state.origin)
    return seen


def _covered(tx: Tx, state: State, size: int) -> tuple[int, int, str | None]:
    """Number, size and time of the last checkpoint of at most `size` entries, which were verified before."""
    row: Any = tx.execute(
        "SELECT seq, tree_size, created_at FROM ledger_checkpoint WHERE log = ? AND tree_size <= ?"
        " ORDER BY seq DESC LIMIT 1",
        (state.id, size),
    ).fetchone()
    return (0, 0, None) if row is None or not size else tuple(row)


def _walk(tx: Tx, state: State, walk: _Walk, findings: Findings, progress: Progress) -> None:
    total = state.size - walk.size
    done = 0
    for rows in _chunks(tx, state.id, walk.size):
        for row in rows:
            _check_entry(tx, state, walk, row, findings)
        done += len(rows)
        progress(done, total, "entries")
    if walk.next != walk.batch_end:
        findings.add("GAP", "the last batch is torn", origin=state.origin, entry=walk.size)


def _chunks(tx: Tx, log: int, start: int) -> Iterator[list[Any]]:
    last = start - 1
    while rows := _rows(tx, log, last):
        yield rows
        last = rows[-1][4]


def _rows(tx: Tx, log: int, last: int) -> list[Any]:
    return tx.execute(
        f"SELECT {chain.LEAF_COLUMNS}, hash FROM transactions WHERE log = ? AND idx > ? ORDER BY idx LIMIT ?",
        (log, last, limits.VERIFY_CHUNK_LEAVES),
    ).fetchall()


def _check_entry(tx: Tx, state: State, walk: _Walk, row: tuple[Any, ...], findings: Findings) -> None:
    _, batch, batch_n, _, idx, kind, _, prev, _, _, _, ts, v, stored = row
    if idx != walk.next:
        findings.add("GAP", f"entries {walk.next} to {idx - 1} are missing", origin=state.origin, entry=walk.next)
    if not _is_known(v, kind, idx, ts):
        findings.add("LEAF_FORM", f"version {v} of kind {kind!r} at {ts!r}", origin=state.origin, entry=idx)
    try:
        hashed = merkle.leaf_hash(chain.encode_row(row[:-1]))
    except Corrupt as error:
        findings.add("LEAF_FORM", error.message, origin=state.origin, entry=idx)
        hashed = bytes(merkle.HASH_BYTES)
    if hashed != stored:
        findings.add("LEAF_HASH", "its columns do not give its hash", origin=state.origin, entry=idx)
    if prev != walk.head:
        findings.add("CHAIN_LINK", "it does not follow the entry before", origin=state.origin, entry=idx)
    if ts < walk.ts:
        findings.add("TIME_ORDER", f"{ts} comes after {walk.ts}", origin=state.origin, entry=idx)
    _check_batch(state, walk, idx, (batch, batch_n), findings)
    walk.clock = _clock(walk, ts)
    walk.head, walk.ts, walk.next = stored, ts, idx + 1
    _grow(tx, state, walk, hashed, findings)


def _is_known(v: int, kind: str, idx: int, ts: str) -> bool:
    """Whether there are entries of this version and kind at this place, and of such a time."""
    known = v == canonical.VERSION and kind in canonical.KINDS and (kind == "origin") == (idx == 0)
    return known and times.is_stored(ts)


def _clock(walk: _Walk, ts: str) -> int | None:
    """The clock after an entry of this time. A log begins with a state row that bears the time of its first entry."""
    if ts != walk.ts:
        return 0 if walk.size else 1
    return None if walk.clock is None else walk.clock + 1


def _check_batch(state: State, walk: _Walk, idx: int, batch: tuple[int, int], findings: Findings) -> None:
    first, count = batch
    if idx >= walk.batch_end:
        walk.batch, walk.batch_end = batch, first + count
        if first != idx:
            findings.add("GAP", f"the batch of {count} from {first} is torn", origin=state.origin, entry=idx)
    elif batch != walk.batch:
        findings.add("GAP", "the batch before is torn", origin=state.origin, entry=idx)
        walk.batch, walk.batch_end = batch, first + count


def _grow(tx: Tx, state: State, walk: _Walk, hashed: bytes, findings: Findings) -> None:
    nodes = merkle.range_append(walk.range, walk.size, hashed)
    walk.size += 1
    for level, index, node in nodes[limits.NODE_LEVEL_MIN :]:
        stored = tx.execute(
            "SELECT hash FROM ledger_node WHERE log = ? AND level = ? AND idx = ?", (state.id, level, index)
        ).fetchone()
        if stored is None or stored[0] != node:
            findings.add("TREE_NODE", f"node {index} of level {level} differs", origin=state.origin, entry=walk.size)
    if walk.size in walk.expected:
        root = merkle.range_root(walk.range, walk.size)
        for told, expected, at in walk.expected.pop(walk.size):
            if root != expected:
                findings.add("HISTORY_REWRITTEN", f"another root was {told}", origin=state.origin, entry=walk.size)
            elif at is not None and at != walk.ts:
                what = f"{told} is of {walk.ts}, its row says {at}"
                findings.add("CHECKPOINT_SEQ", what, origin=state.origin, entry=walk.size)


def _check_first(tx: Tx, state: State, findings: Findings) -> None:
    row = tx.execute("SELECT kind, subject FROM transactions WHERE log = ? AND idx = 0", (state.id,)).fetchone()
    if row != ("origin", state.vkey) or not is_key_of(state.vkey, state.origin):
        findings.add("ORIGIN", "the first entry does not name this log and its key", origin=state.origin, entry=0)


def is_key_of(vkey: str, origin: str) -> bool:
    """Whether a verifier key is one, and under the name of this log."""
    try:
        return checkpoint.parse_vkey(vkey).name == origin
    except Invalid:
        return False


def _check_state(tx: Tx, state: State, walk: _Walk, findings: Findings) -> None:
    if (state.size, state.head, state.range, state.ts) != (
        walk.size,
        walk.head,
        merkle.range_encode(walk.range),
        walk.ts,
    ):
        findings.add("TREE_STATE", f"the state row says {state.size} entries", origin=state.origin, entry=walk.size)
    elif walk.clock is not None and walk.clock != state.clock:
        told = f"the state row has the clock {state.clock}, the entries come to {walk.clock}"
        findings.add("TREE_STATE", told, origin=state.origin, entry=walk.size)
    nodes = integer(tx, "SELECT count(*) FROM ledger_node WHERE log = ?", (state.id,))
    complete = sum(walk.size >> level for level in range(limits.NODE_LEVEL_MIN, walk.size.bit_length()))
    if nodes != complete:
        findings.add("TREE_NODE", f"{nodes} stored nodes where there should be {complete}", origin=state.origin)
