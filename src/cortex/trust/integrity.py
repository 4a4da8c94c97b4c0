"""The integrity pass over the votes log: every leaf, link, node, batch root, checkpoint and state row, streamed.

Bytes are encoded anew from the columns. A chunk of rows is compared as a whole; only where that fails is it gone
through row by row, with links compared to stored hashes, so that one edited row is one finding.
"""

import hashlib
import operator
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from json.encoder import encode_basestring
from typing import Any

from cortex import canonical, limits
from cortex.db.connect import Tx, integer
from cortex.errors import Corrupt, Invalid
from cortex.ledger import merkle
from cortex.ledger.findings import Findings
from cortex.ledger.integrity import is_key_of
from cortex.ledger.memory import RememberedVotes
from cortex.progress import Progress
from cortex.trust import events, policy, seals
from cortex.trust import log as logs
from cortex.trust.events import AdminRotated, Event, Genesis, LogRestored, PolicySet
from cortex.trust.log import Log
from cortex.trust.reputation import UNIT

# The columns of a leaf as `logs.encode_row` takes them, and the mirror of the weight.
COLUMNS = f"{logs.LEAF_COLUMNS}, vote_weight"

_BLOCK = 1 << limits.NODE_LEVEL_MIN
_TIMES = re.compile(r"(?:[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z\n)*")

_text = encode_basestring
_sha256 = hashlib.sha256
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class VotesChecked:
    """What the pass went over."""

    size: int
    root: bytes
    votes: int
    merkle_roots: int
    checkpoints: int
    checked_from: int


@dataclass
class _Walk:
    """Where the pass stands."""

    origin: str
    size: int
    head: bytes
    range: list[bytes]
    ts: str
    votes: int
    # The index that the next leaf should have: unlike `size` it is put right after a gap.
    next: int
    # Which keys sign checkpoints from which size on.
    vkeys: list[tuple[int, str]]
    admin: str
    policy: str
    # (row, hash, time) of the votes since the last complete batch.
    batch: list[tuple[int, bytes, str]] = field(default_factory=list)


def check(
    tx: Tx,
    log: Log,
    findings: Findings,
    *,
    remembered: RememberedVotes | None,
    incremental: bool,
    progress: Progress,
) -> tuple[VotesChecked, RememberedVotes]:
    """Check the log. With `incremental`, leaves that `remembered` covers are taken as they were then.

    Returns what was checked, and what is to be remembered if nothing was found.
    """
    held = integer(tx, "SELECT coalesce(max(id), 0) FROM vote_ledger")
    resume = remembered if incremental and remembered is not None and remembered.size <= held else None
    walk = _begin(tx, log, resume)
    start = walk.size
    _check_first(tx, log, findings)
    sealed = seals.Seals(tx, log.origin, start, findings, lambda size: _vkey_at(walk, size))
    if remembered is not None and start < remembered.size <= held:
        sealed.expect(remembered.size, f"remembered since {remembered.verified_at}", bytes.fromhex(remembered.root))
    done = 0
    for rows in _chunks(tx, None if resume is None else start):
        _check_chunk(tx, walk, rows, sealed, findings)
        done += len(rows)
        progress(done, log.size - start, "entries")
    sealed.end(walk.size)
    if remembered is not None and remembered.size > walk.size:
        told = f"{walk.size} entries are left of the {remembered.size} that were verified at {remembered.verified_at}"
        findings.add("ROLLBACK", told, origin=log.origin)
    _check_state(tx, log, walk, findings)
    root = merkle.range_root(walk.range, walk.size)
    checked = VotesChecked(
        size=walk.size,
        root=root,
        votes=walk.votes,
        merkle_roots=walk.votes // limits.VOTE_BATCH_LEAVES,
        checkpoints=sealed.seen,
        checked_from=start,
    )
    return checked, _remember(walk, root)


def _begin(tx: Tx, log: Log, resume: RememberedVotes | None) -> _Walk:
    if resume is None:
        first = bytes.fromhex(canonical.origin_link(log.origin))
        return _Walk(log.origin, 0, first, [], "", 0, 0, [], "", "")
    range_ = merkle.range_decode(bytes.fromhex(resume.range), resume.size)
    begun = resume.votes % limits.VOTE_BATCH_LEAVES
    rows: list[Any] = tx.execute(
        "SELECT id, hash, timestamp FROM vote_ledger WHERE kind = 'vote' AND id <= ? ORDER BY id DESC LIMIT ?",
        (resume.size, begun),
    ).fetchall()
    return _Walk(
        log.origin,
        resume.size,
        bytes.fromhex(resume.head),
        range_,
        resume.ts,
        resume.votes,
        resume.size,
        [(resume.size, resume.vkey)],
        resume.admin,
        resume.policy,
        rows[::-1],
    )


def _remember(walk: _Walk, root: bytes) -> RememberedVotes:
    return RememberedVotes(
        origin=walk.origin,
        size=walk.size,
        root=root.hex(),
        range=merkle.range_encode(walk.range).hex(),
        head=walk.head.hex(),
        ts=walk.ts,
        verified_at="",
        votes=walk.votes,
        vkey=walk.vkeys[-1][1] if walk.vkeys else "",
        admin=walk.admin,
        policy=walk.policy,
    )


def _chunks(tx: Tx, after: int | None) -> Iterator[list[Row]]:
    """All rows, or those that follow on leaf number `after`, in the order of the table itself."""
    where = "" if after is None else f"WHERE id > {after:d}"
    rows: Any = tx.execute(f"SELECT {COLUMNS} FROM vote_ledger NOT INDEXED {where} ORDER BY id")
    while chunk := list(islice(rows, limits.VERIFY_CHUNK_LEAVES)):
        yield chunk


def _check_chunk(tx: Tx, walk: _Walk, rows: list[Row], sealed: seals.Seals, findings: Findings) -> None:
    hashes = _hashed(rows, walk.origin)
    if hashes is None or not _plain(walk, rows, hashes):
        hashes = [_check_row(walk, row, findings) for row in rows]
    else:
        walk.head, walk.ts, walk.next = hashes[-1], rows[-1][13], rows[-1][0]
    for row in rows:
        if row[12] is not None or row[1] != "vote":
            _check_event(walk, row, findings)
    _check_batches(tx, walk, rows, hashes, findings)
    _grow(tx, walk, rows, hashes, sealed, findings)


def _hashed(rows: list[Row], origin: str) -> list[bytes] | None:
    """The hash of each row's bytes; None where one cannot be encoded or a weight is not mirrored.

    This is where the time of the pass goes: the bytes are those of `logs.encode_row`, put together in one text.
    """
    own, sha256 = _text(origin), _sha256
    found: list[bytes] = []
    add = found.append
    try:
        for row in rows:
            (number, kind, fact, agent, vote, weight, event_id, key, author, digest, reason, at, event, ts, signature,
             v, prev, _, mirror) = row  # fmt: skip
            if kind != "vote" or event is not None:
                add(merkle.leaf_hash(logs.encode_row(row, origin)))
                continue
            told = "null" if reason is None else f'"{reason.hex()}"'
            add(sha256(
                f'\0{{"event":{{"agent":{_text(agent)},"at":{_text(at)},"author":{_text(author)},"fact":{_text(fact)}'
                f',"fact_digest":"{digest.hex()}","id":{_text(event_id)},"key":"{key.hex()}","log":{own}'
                f',"reason_digest":{told},"v":1,"vote":{vote}}},"idx":{number - 1},"kind":"vote","prev":"{prev.hex()}"'
                f',"sigs":["{signature.hex()}"],"ts":{_text(ts)},"v":{v},"weight_e6":{weight}}}'.encode()
            ).digest())  # fmt: skip
            if mirror != weight / UNIT:
                return None
    except (TypeError, AttributeError, Corrupt):
        return None
    return found


def _plain(walk: _Walk, rows: list[Row], hashes: list[bytes]) -> bool:
    """Whether a chunk follows on what was before, is what it says, and goes on without gaps."""
    columns = list(zip(*rows, strict=True))
    times, stored = columns[13], columns[17]
    return (
        hashes == list(stored)
        and columns[16] == (walk.head, *stored[:-1])
        and columns[0] == tuple(range(walk.next + 1, walk.next + 1 + len(rows)))
        and walk.ts <= times[0]
        and all(map(operator.le, times, times[1:]))
        and _TIMES.fullmatch("\n".join(times) + "\n") is not None
        and set(columns[15]) == {events.VERSION}
    )


def _check_row(walk: _Walk, row: Row, findings: Findings) -> bytes:
    """Check one row by itself and against the one before. Returns the hash of its bytes."""
    number, ts, prev, stored = row[0], row[13], row[16], row[17]
    idx = number - 1

    def add(code: str, what: str) -> None:
        findings.add(code, what, origin=walk.origin, entry=idx)

    if idx != walk.next:
        findings.add("GAP", f"entry {idx} stands where {walk.next} should", origin=walk.origin, entry=walk.next)
    hashed = bytes(merkle.HASH_BYTES)
    try:
        hashed = merkle.leaf_hash(logs.encode_row(row, walk.origin))
    except Corrupt as error:
        add("LEAF_FORM", error.message)
    if hashed != stored:
        add("LEAF_HASH", "its columns do not give its hash")
    for code, what in _misfits(row):
        add(code, what)
    if prev != walk.head:
        add("CHAIN_LINK", "it does not follow the entry before")
    if ts < walk.ts:
        add("TIME_ORDER", f"{ts} comes after {walk.ts}")
    walk.head, walk.ts, walk.next = stored, ts, number
    return hashed


def _misfits(row: Row) -> Iterator[tuple[str, str]]:
    """What is wrong with a row that its hash may have been made of."""
    kind, weight, ts, version, mirror = row[1], row[5], row[13], row[15], row[18]
    if version != events.VERSION or _TIMES.fullmatch(f"{ts}\n") is None:
        yield "LEAF_FORM", f"version {version} of {ts!r}"
    if kind == "vote" and (weight is None or mirror != weight / UNIT):
        yield "WEIGHT_MIRROR", f"vote_weight is {mirror}, weight_e6 {weight}"


def _check_event(walk: _Walk, row: Row, findings: Findings) -> None:
    """Check a leaf that holds an event as JSON, and let it take effect on the keys and the policy."""
    number, kind, event_id, given, mirror = row[0], row[1], row[6], row[12], row[18]
    if given is None:
        return  # it cannot be encoded either, which was said
    if mirror is not None:
        findings.add("WEIGHT_MIRROR", f"a {kind} event has a weight", origin=walk.origin, entry=number - 1)
    try:
        event = events.decode(kind, given.encode())
        if kind == "vote" or (kind == "genesis") != (number == 1):
            raise Invalid(f"an event of kind {kind} at a place or in a column where there is none")
        if (event.id, event.log) != (event_id, walk.origin):
            raise Invalid(f"the event {event.id} of {event.log} in the row of {event_id}")
    except Invalid as error:
        findings.add("LEAF_FORM", error.message, origin=walk.origin, entry=number - 1)
        return
    _take(walk, event, number)


def _take(walk: _Walk, event: Event, size: int) -> None:
    match event:
        case Genesis():
            walk.admin, walk.policy = event.key, policy.encode(event.policy)
            walk.vkeys.append((size, event.vkey))
        case LogRestored():
            walk.vkeys.append((size, event.vkey))
        case AdminRotated():
            walk.admin = event.new
        case PolicySet():
            walk.policy = policy.encode(event.policy)


def _vkey_at(walk: _Walk, size: int) -> str | None:
    """The key that signs checkpoints of `size` leaves."""
    return next((vkey for since, vkey in reversed(walk.vkeys) if since <= size), None)


def _check_batches(tx: Tx, walk: _Walk, rows: list[Row], hashes: list[bytes], findings: Findings) -> None:
    """Compare the roots of the batches that a chunk completes."""
    batch = walk.batch
    before = len(batch)
    batch += [(row[0], hashed, row[13]) for row, hashed in zip(rows, hashes, strict=True) if row[1] == "vote"]
    number = (walk.votes - before) // limits.VOTE_BATCH_LEAVES
    walk.votes += len(batch) - before
    whole = len(batch) // limits.VOTE_BATCH_LEAVES * limits.VOTE_BATCH_LEAVES
    for start in range(0, whole, limits.VOTE_BATCH_LEAVES):
        number += 1
        of = batch[start : start + limits.VOTE_BATCH_LEAVES]
        root = merkle.root(hashed for _, hashed, _ in of)
        stored = tx.execute(
            "SELECT root_hash, vote_start_id, vote_end_id, vote_count, created_at FROM vote_merkle_roots WHERE id = ?",
            (number,),
        ).fetchone()
        if stored != (root, of[0][0], of[-1][0], len(of), of[-1][2]):
            told = f"batch {number} is {'missing' if stored is None else 'not that of its votes'}"
            findings.add("BATCH_ROOT", told, origin=walk.origin, entry=of[-1][0] - 1)
    walk.batch = batch[whole:]


def _grow(tx: Tx, walk: _Walk, rows: list[Row], hashes: list[bytes], sealed: seals.Seals, findings: Findings) -> None:
    """Add the leaves of a chunk to the tree, stopping at each size of which something is expected."""
    at = 0
    while at < len(hashes):
        stop = sealed.next()
        end = len(hashes) if stop is None else min(len(hashes), at + stop - walk.size)
        _add_leaves(tx, walk, hashes[at:end], findings)
        at = end
        if walk.size == stop:
            sealed.reached(walk.size, merkle.range_root(walk.range, walk.size), rows[at - 1][13])


def _add_leaves(tx: Tx, walk: _Walk, hashes: list[bytes], findings: Findings) -> None:
    """Add leaves, whole subtrees of _BLOCK at once, and compare the nodes that are stored."""
    at = 0
    while at < len(hashes):
        if walk.size % _BLOCK == 0 and at + _BLOCK <= len(hashes):
            top = merkle.root(hashes[at : at + _BLOCK])
            above = merkle.range_append(walk.range, walk.size >> limits.NODE_LEVEL_MIN, top)
            nodes = [(level + limits.NODE_LEVEL_MIN, index, node) for level, index, node in above]
            step = _BLOCK
        else:
            nodes = merkle.range_append(walk.range, walk.size, hashes[at])[limits.NODE_LEVEL_MIN :]
            step = 1
        at += step
        walk.size += step
        for level, index, node in nodes:
            stored = tx.execute("SELECT hash FROM vote_tree WHERE level = ? AND idx = ?", (level, index)).fetchone()
            if stored is None or stored[0] != node:
                told = f"node {index} of level {level} differs"
                findings.add("TREE_NODE", told, origin=walk.origin, entry=walk.size)


def _check_first(tx: Tx, log: Log, findings: Findings) -> None:
    """Leaf 0 is the genesis of this log, and names a key under its name."""
    row: Any = tx.execute("SELECT kind, event FROM vote_ledger WHERE id = 1").fetchone()
    kind, given = row or (None, None)
    try:
        genesis = events.decode(str(kind), (given or "").encode())
    except Invalid:
        genesis = None
    if not isinstance(genesis, Genesis) or genesis.log != log.origin or not is_key_of(genesis.vkey, log.origin):
        findings.add("ORIGIN", "the first entry is no genesis of this log", origin=log.origin, entry=0)


def _check_state(tx: Tx, log: Log, walk: _Walk, findings: Findings) -> None:
    """The state row, and that there are no more nodes and batches than the leaves make."""
    walked: dict[str, object] = {
        "vkey": walk.vkeys[-1][1] if walk.vkeys else "", "admin": bytes.fromhex(walk.admin), "policy": walk.policy,
        "size": walk.size, "head": walk.head, "range": merkle.range_encode(walk.range), "ts": walk.ts,
        "votes": walk.votes,
    }  # fmt: skip
    other = [name for name, expected in walked.items() if getattr(log, name) != expected]
    if other:
        told = f"the state row has another {', '.join(other)} than the {walk.size} entries give"
        findings.add("TREE_STATE", told, origin=log.origin, entry=walk.size)
    nodes = integer(tx, "SELECT count(*) FROM vote_tree")
    complete = sum(walk.size >> level for level in range(limits.NODE_LEVEL_MIN, walk.size.bit_length()))
    if nodes != complete:
        findings.add("TREE_NODE", f"{nodes} stored nodes where there should be {complete}", origin=log.origin)
    batches = integer(tx, "SELECT count(*) FROM vote_merkle_roots")
    if batches != walk.votes // limits.VOTE_BATCH_LEAVES:
        told = f"{batches} batches where there should be {walk.votes // limits.VOTE_BATCH_LEAVES}"
        findings.add("BATCH_ROOT", told, origin=log.origin)
