"""The votes log in the database: its state, its leaves, appending to it. The tree is that of `ledger.merkle`."""

import secrets
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import Any

from cortex import canonical, limits, times
from cortex.db.connect import Tx, value
from cortex.errors import ClockAhead, Corrupt, Invalid, NotFound
from cortex.ledger import merkle
from cortex.trust import events, policy
from cortex.trust.events import Ballot, Signed

LOG = "votes"

# The columns that the bytes of a leaf are encoded from, and then the stored hash.
LEAF_COLUMNS = (
    "id, kind, fact_id, agent_id, vote, weight_e6, event_id, key, author, fact_digest, reason_digest, at, event,"
    " timestamp, signature, v, prev_hash, hash"
)

EDITED = "`cortex vote-ledger verify` says what was changed; `cortex restore FROM` puts a backup in its place"

_text = encode_basestring


@dataclass(slots=True)
class Log:
    """The state row of the log, moved on by `append` and written back by `store`."""

    origin: str
    vkey: str
    admin: bytes
    policy: str
    size: int
    head: bytes
    range: bytes
    ts: str
    votes: int

    @property
    def root(self) -> bytes:
        """The root of the tree over all leaves."""
        return merkle.range_root(merkle.range_decode(self.range, self.size), self.size)


@dataclass(frozen=True, slots=True)
class Appended:
    """A leaf that was appended."""

    idx: int
    ts: str
    hash: bytes
    data: bytes
    weight_e6: int | None


def new_origin(node: str | None = None) -> str:
    """An origin that nobody else has: the node's name and a random incarnation, 64 bits each."""
    return f"{prefix(node or secrets.token_hex(8))}{secrets.token_hex(8)}"


def prefix(node: str) -> str:
    """What the origins of a node's votes logs begin with."""
    return f"cortex/{LOG}/{node}/"


def state(tx: Tx) -> Log | None:
    """The state row of the votes log, whatever stands in it; None where there is none yet."""
    row: Any = tx.execute(_STATE).fetchone()
    return None if row is None else Log(*row)


def sound(tx: Tx) -> Log | None:
    """The state of the votes log; None where there is none yet. Raises Corrupt for a row that no log has."""
    log = state(tx)
    if log is not None:
        policy.decode(log.policy)
        timed = times.is_stored(log.ts) if log.size else log.ts == ""
        if not timed or not 0 <= log.votes <= log.size <= limits.SEQ_MAX:
            raise Corrupt("the state row of the votes log is not as Cortex writes it", EDITED)
    return log


def jumps(log: Log, at: str) -> bool:
    """Whether more time went by since the last event than one clock is believed, CLOCK_JUMP_DAYS."""
    return times.micros(at) - times.micros(log.ts) > limits.CLOCK_JUMP_DAYS * times.DAY_MICROS


def jumped(log: Log, at: str, hint: str) -> ClockAhead:
    """The error for a jump, with what to do if the clock is right."""
    told = f"it is {at} by the clock, more than {limits.CLOCK_JUMP_DAYS} days after the last event ({log.ts})"
    return ClockAhead(told, f"if the clock is right, {hint}")


def needed(tx: Tx) -> Log:
    """As `sound`. Raises NotFound where there is none."""
    found = sound(tx)
    if found is None:
        raise NotFound("this file has no votes log yet", "`cortex vote-ledger init` begins one")
    return found


def begin(tx: Tx, origin: str, vkey: str, admin: bytes, policy: str) -> Log:
    """The rows of a log without leaves; its genesis has to follow in the same transaction."""
    first = bytes.fromhex(canonical.origin_link(origin))
    tx.execute("INSERT INTO vote_log VALUES (1, ?, ?, ?, ?, 0, ?, x'', '', 0)", (origin, vkey, admin, policy, first))
    return needed(tx)


def store(tx: Tx, log: Log) -> None:
    """Write the state back, once for all leaves of a transaction's command."""
    tx.execute(
        "UPDATE vote_log SET vkey = ?, admin = ?, policy = ?, size = ?, head = ?, range = ?, ts = ?, votes = ?",
        (log.vkey, log.admin, log.policy, log.size, log.head, log.range, log.ts, log.votes),
    )


def append(tx: Tx, log: Log, signed: Signed, ts: str, weight_e6: int | None) -> Appended:
    """Hash and insert one leaf and move `log` on."""
    event = signed.event
    encoded = events.encode(event)
    signature = b"".join(signed.sigs)
    data = leaf_bytes(encoded, log.size, signed.kind, log.head, signature, ts, weight_e6)
    if len(data) > limits.BUNDLE_LINE_BYTES_MAX:
        raise Invalid(f"an event of {len(data)} bytes", f"at most {limits.BUNDLE_LINE_BYTES_MAX} fit a leaf")
    hashed = merkle.leaf_hash(data)
    log.size += 1
    if isinstance(event, Ballot):
        row: tuple[object, ...] = (
            log.size, "vote", event.fact, event.agent, event.vote, (weight_e6 and weight_e6 / 1e6) or 0.0, weight_e6,
            event.id, bytes.fromhex(event.key), event.author, bytes.fromhex(event.fact_digest),
            event.reason_digest and bytes.fromhex(event.reason_digest), event.at, None, ts, signature, events.VERSION,
            log.head, hashed,
        )  # fmt: skip
    else:
        row = (
            log.size, signed.kind, None, None, None, None, None, event.id, None, None, None, None, None,
            encoded.decode(), ts, signature, events.VERSION, log.head, hashed,
        )  # fmt: skip
    tx.execute(_INSERT, row)
    range_ = merkle.range_decode(log.range, log.size - 1)
    for level, index, node in merkle.range_append(range_, log.size - 1, hashed)[limits.NODE_LEVEL_MIN :]:
        tx.execute("INSERT INTO vote_tree (level, idx, hash) VALUES (?, ?, ?)", (level, index, node))
    log.range, log.head, log.ts = b"".join(range_), hashed, ts
    if isinstance(event, Ballot):
        log.votes += 1
        if log.votes % limits.VOTE_BATCH_LEAVES == 0:
            _root_of_batch(tx, log)
    return Appended(log.size - 1, ts, hashed, data, weight_e6)


def _root_of_batch(tx: Tx, log: Log) -> None:
    """The root over the last complete batch of votes."""
    rows: list[Any] = tx.execute(
        "SELECT id, hash FROM vote_ledger WHERE kind = 'vote' ORDER BY id DESC LIMIT ?", (limits.VOTE_BATCH_LEAVES,)
    ).fetchall()
    root = merkle.root(row[1] for row in reversed(rows))
    tx.execute(
        "INSERT INTO vote_merkle_roots (id, root_hash, vote_start_id, vote_end_id, vote_count, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (log.votes // limits.VOTE_BATCH_LEAVES, root, rows[-1][0], rows[0][0], len(rows), log.ts),
    )


def leaf_bytes(
    event: bytes, idx: int, kind: str, prev: bytes, signature: bytes, ts: str, weight_e6: int | None, v: int = 1
) -> bytes:
    """The bytes of a leaf around the canonical bytes of its event."""
    hexed = signature.hex()
    size = 2 * events.SIGNATURE_BYTES
    sigs = '","'.join([hexed[at : at + size] for at in range(0, len(hexed), size)])
    weight = "null" if weight_e6 is None else weight_e6
    return b'{"event":%b,"idx":%d,"kind":%b,"prev":"%b","sigs":["%b"],"ts":%b,"v":%d,"weight_e6":%b}' % (
        event, idx, _text(kind).encode(), prev.hex().encode(), sigs.encode(), _text(ts).encode(), v,
        str(weight).encode(),
    )  # fmt: skip


def event_bytes(row: tuple[Any, ...], origin: str) -> bytes:
    """The canonical bytes of the event of a row of LEAF_COLUMNS. Raises Corrupt as `encode_row`."""
    number, kind, fact, agent, vote, weight, event_id, key, author, digest, reason, at, event, *_ = row
    try:
        if kind == "vote" and event is None:
            told = "null" if reason is None else f'"{reason.hex()}"'
            event = (
                f'{{"agent":{_text(agent)},"at":{_text(at)},"author":{_text(author)},"fact":{_text(fact)}'
                f',"fact_digest":"{digest.hex()}","id":{_text(event_id)},"key":"{key.hex()}","log":{_text(origin)}'
                f',"reason_digest":{told},"v":1,"vote":{vote}}}'
            )
        elif any(part is not None for part in (fact, agent, vote, weight, key, author, digest, reason, at)):
            raise Corrupt(f"leaf {number - 1} of kind {kind} has columns of a vote", _RESTORE)
        return bytes(event.encode())
    except (TypeError, AttributeError):
        raise _odd(number) from None


def encode_row(row: tuple[Any, ...], origin: str) -> bytes:
    """The hashed bytes of a row of LEAF_COLUMNS (what follows is left out): any edited column gives other bytes.

    Raises Corrupt for values that are not of their column's type.
    """
    number, kind, weight, ts, signature, v, prev = row[0], row[1], row[5], *row[13:17]
    event = event_bytes(row, origin)
    try:
        return leaf_bytes(event, number - 1, kind, prev, signature, ts, weight, v)
    except (TypeError, AttributeError):
        raise _odd(number) from None


def _odd(number: int) -> Corrupt:
    return Corrupt(f"leaf {number - 1} has a column that is not of its type", _RESTORE)


_RESTORE = "restore a backup with `cortex restore FROM`"


def leaf_at(tx: Tx, origin: str, idx: int) -> bytes:
    """The hashed bytes of one leaf."""
    row: Any = tx.execute(f"SELECT {LEAF_COLUMNS} FROM vote_ledger WHERE id = ?", (idx + 1,)).fetchone()
    if row is None:
        raise Invalid(f"the votes log has no leaf {idx}", "ask for an index below its size")
    return encode_row(row, origin)


def root_at(tx: Tx, size: int) -> bytes:
    """The root over the first leaves, by the stored nodes and hashes. Raises Corrupt where one is not there."""
    return merkle.root_at(nodes(tx), size)


def nodes(tx: Tx) -> merkle.Get:
    """Where proofs find the roots of complete subtrees: stored from NODE_LEVEL_MIN on, computed from leaves below."""

    def get(level: int, index: int) -> bytes:
        if level >= limits.NODE_LEVEL_MIN:
            stored = value(tx, "SELECT hash FROM vote_tree WHERE level = ? AND idx = ?", (level, index))
            if not isinstance(stored, bytes):
                raise Corrupt(f"node {index} of level {level} of the votes log is missing", _RESTORE)
            return stored
        first = index << level
        rows = tx.execute(
            "SELECT hash FROM vote_ledger WHERE id > ? AND id <= ? ORDER BY id", (first, first + (1 << level))
        )
        return merkle.root(row[0] for row in rows)

    return get


_STATE = "SELECT origin, vkey, admin, policy, size, head, range, ts, votes FROM vote_log"

_INSERT = (
    "INSERT INTO vote_ledger (id, kind, fact_id, agent_id, vote, vote_weight, weight_e6, event_id, key, author,"
    " fact_digest, reason_digest, at, event, timestamp, signature, v, prev_hash, hash)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
