"""Somebody who owns a votes ledger's file: edits rows, and recomputes as much as the keys at hand allow."""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import apsw

from cortex import canonical, limits
from cortex.bench.attacking.ledgers import BuiltLedger, cosigned
from cortex.db.connect import Tx
from cortex.errors import Corrupt, CortexError, Invalid
from cortex.ledger import checkpoint, merkle
from cortex.ledger.keys import NodeKey
from cortex.trust import apply, copies, events, policy
from cortex.trust import log as logs
from cortex.trust.events import AdminRotated, Event, Genesis, LogRestored, PolicySet, Signed
from cortex.trust.log import Appended, Log
from cortex.trust.reputation import UNIT

# How far an attacker goes after an edit: nothing; everything that needs no key (weights, links, tree, batches, state,
# what the rules come to); also every checkpoint, signed with a key of the attacker's own, with that of the log, or with
# that of the log and those of its witnesses.
EDIT, REHASHED, OWN_KEY, LOG_KEY, WITNESS_KEYS = "edit", "rehashed", "own key", "log key", "witness keys"
LEVELS = (EDIT, REHASHED, OWN_KEY, LOG_KEY, WITNESS_KEYS)

TRIGGERS = ("vote_ledger_keep", "vote_ledger_stay")
# What the votes come to.
_MADE = ("vote_agent", "vote_key", "vote_current", "vote_tally", "vote_judged")

_Row = tuple[Any, ...]


class Attacker:
    """A copy of a ledger and somebody at work in it. `weights` are those of entries that no rule is asked for."""

    def __init__(self, built: BuiltLedger, folder: Path) -> None:
        self.built, self.folder = built, folder
        self.path = built.copy(folder)
        self.receipts = built.receipts
        self.weights: dict[int, int] = {}
        self.sql: Tx = apsw.Connection(str(self.path))

    def close(self) -> None:
        """Leave the file as it is now."""
        self.sql.close()

    def reopen(self) -> None:
        """Read the file anew."""
        self.sql.close()
        self.sql = apsw.Connection(str(self.path))

    # Looking.

    def value(self, sql: str, bindings: Any = ()) -> Any:
        """The first column of the first row; None where there is none."""
        row: Any = self.sql.execute(sql, bindings).fetchone()
        return row and row[0]

    @property
    def log(self) -> Log:
        return logs.needed(self.sql)

    def vote_of(self, agent: str, fact: str) -> int:
        """The row of the last vote of an agent on a fact."""
        return int(
            self.value(
                "SELECT max(id) FROM vote_ledger WHERE agent_id = ? AND fact_id = ?", (agent, self.built.facts[fact])
            )
        )

    def last(self, kind: str, where: str = "1") -> int:
        """The last row of a kind of event."""
        return int(self.value(f"SELECT max(id) FROM vote_ledger WHERE kind = ? AND {where}", (kind,)))

    def signed(self, number: int) -> Signed:
        """The event in a row, with its signatures."""
        row: Any = self.sql.execute(f"SELECT {logs.LEAF_COLUMNS} FROM vote_ledger WHERE id = ?", (number,)).fetchone()
        size, given = events.SIGNATURE_BYTES, row[14]
        sigs = tuple(given[at : at + size] for at in range(0, len(given), size))
        return Signed(events.decode(row[1], logs.event_bytes(row, self.built.origin)), sigs)

    @property
    def target(self) -> int:
        """The row of the vote that the seed chose: of the last day, by an agent whose receipts have proofs."""
        return self.vote_of(self.built.target, "fig")

    @property
    def own_vkey(self) -> str:
        """The verifier key of the attacker's own key."""
        return NodeKey(self.folder / "attacker.key").vkey(self.built.origin)

    # Editing.

    @contextmanager
    def unlocked(self) -> Iterator[Tx]:
        """Without the triggers, which are back afterwards."""
        texts = [self.value("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)) for name in TRIGGERS]
        for name in TRIGGERS:
            self.sql.execute(f"DROP TRIGGER {name}")
        try:
            yield self.sql
        finally:
            for text in texts:
                self.sql.execute(text)

    def edit(self, *statements: str, bindings: Any = ()) -> None:
        """Change rows of any table."""
        with self.unlocked() as tx:
            for sql in statements:
                tx.execute(sql, bindings)

    def set(self, number: int, change: str, bindings: Any = ()) -> None:
        """Change columns of one entry."""
        self.edit(f"UPDATE vote_ledger SET {change} WHERE id = {number:d}", bindings=bindings)

    def edit_schema(self, *statements: str) -> None:
        """Change tables, views and triggers."""
        for sql in statements:
            self.sql.execute(sql)

    def remove(self, number: int, *, renumber: bool) -> None:
        """Delete an entry, and the reason that came with it."""
        event_id = self.value("SELECT event_id FROM vote_ledger WHERE id = ?", (number,))
        self.sql.execute("DELETE FROM vote_reason WHERE event_id = ?", (event_id,))
        self.edit(f"DELETE FROM vote_ledger WHERE id = {number:d}")
        if renumber:
            # By way of the negative numbers: no two rows may have one id meanwhile.
            self.edit(
                f"UPDATE vote_ledger SET id = -id WHERE id > {number:d}",
                "UPDATE vote_ledger SET id = -id - 1 WHERE id < 0",
            )

    def append(self, signed: Signed) -> None:
        """Put an event at the end, which no rule is asked for. The state row does not know of it yet."""
        log = self.log
        last: Any = self.sql.execute("SELECT id, hash, timestamp FROM vote_ledger ORDER BY id DESC LIMIT 1").fetchone()
        if log.size != last[0]:
            # Entries were removed before: the new one follows on what is left, nothing is known of their tree.
            log.size, log.head, log.range = last[0], last[1], bytes(merkle.HASH_BYTES) * last[0].bit_count()
        weight = 0 if isinstance(signed.event, events.Ballot) else None
        with self._unindexed() if self._has(signed.event.id) else nullcontext():
            logs.append(self.sql, log, signed, log.ts, weight)

    def _has(self, event_id: str) -> bool:
        return self.value("SELECT 1 FROM vote_ledger WHERE event_id = ?", (event_id,)) is not None

    @contextmanager
    def _unindexed(self) -> Iterator[None]:
        """Without the index that has each id once; it is back afterwards, and knows nothing of what came meanwhile."""
        kept: Any = self.sql.execute(f"SELECT * FROM sqlite_schema WHERE name = '{_IDS}'").fetchone()
        self._rewrite_schema(f"DELETE FROM sqlite_schema WHERE name = '{_IDS}'", ())
        try:
            yield
        finally:
            self._rewrite_schema("INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)", kept)

    def _rewrite_schema(self, sql: str, bindings: Any) -> None:
        self.sql.execute("PRAGMA writable_schema = ON")
        self.sql.execute(sql, bindings)
        self.sql.execute(f"PRAGMA schema_version = {self.value('PRAGMA schema_version') + 1}")
        self.reopen()

    # Recomputing.

    def go_on(self, level: str) -> None:
        """Recompute what a level allows."""
        if level != EDIT:
            self.rebuild()
        if level in {OWN_KEY, LOG_KEY, WITNESS_KEYS}:
            self.reseal(level)

    def rebuild(self) -> None:
        """Everything that needs no key: the rules are asked anew, and each row is linked to the one before."""
        made = _Rules(self.built.origin, self.weights)
        rows: list[Any] = self.sql.execute(f"SELECT {logs.LEAF_COLUMNS} FROM vote_ledger ORDER BY id").fetchall()
        with self.unlocked() as tx, tx:
            tx.execute("DELETE FROM vote_tree")
            tx.execute("DELETE FROM vote_merkle_roots")
            before, batch = bytes.fromhex(canonical.origin_link(self.built.origin)), list[tuple[int, bytes, str]]()
            for at, row in enumerate(rows):
                hashed = self._link(row, before, made.step(row))
                for node in merkle.range_append(made.range, at, hashed)[limits.NODE_LEVEL_MIN :]:
                    tx.execute("INSERT INTO vote_tree VALUES (?, ?, ?)", node)
                if row[1] == "vote":
                    batch.append((row[0], hashed, row[13]))
                before = hashed
            self._batch(tx, batch)
            _put_state(tx, made, rows, before)
            for table in _MADE:
                _copy_table(made.tx, tx, table)
        made.tx.close()

    def _link(self, row: _Row, before: bytes, weight: int | None) -> bytes:
        """Write weight, link and hash of a row; a row of values that cannot be encoded keeps its hash."""
        number, linked = row[0], (*row[:5], weight, *row[6:16], before, row[17])
        try:
            hashed = merkle.leaf_hash(logs.encode_row(linked, self.built.origin))
        except Corrupt:
            hashed = row[17]
        mirror = None if weight is None else weight / UNIT
        self.sql.execute(
            "UPDATE vote_ledger SET weight_e6 = ?, vote_weight = ?, prev_hash = ?, hash = ? WHERE id = ?",
            (weight, mirror, before, hashed, number),
        )
        return hashed

    def _batch(self, tx: Tx, votes: list[tuple[int, bytes, str]]) -> None:
        size = limits.VOTE_BATCH_LEAVES
        for at in range(len(votes) // size):
            of = votes[at * size : (at + 1) * size]
            root = merkle.root(hashed for _, hashed, _ in of)
            row = (at + 1, root, of[0][0], of[-1][0], size, of[-1][2])
            tx.execute("INSERT INTO vote_merkle_roots VALUES (?, ?, ?, ?, ?, ?)", row)

    def reseal(self, level: str) -> None:
        """Every checkpoint anew, those beyond the log's end at its end."""
        key = self.folder / "attacker.key" if level == OWN_KEY else Path(f"{self.path}.key")
        origin, signer = self.built.origin, NodeKey(key).signer(self.built.origin)
        rows: list[Any] = self.sql.execute("SELECT hash, timestamp FROM vote_ledger ORDER BY id").fetchall()
        sizes = {min(row[0], len(rows)) for row in self.sql.execute("SELECT tree_size FROM vote_checkpoints")}
        self.sql.execute("DELETE FROM vote_checkpoints")
        for number, size in enumerate(sorted({*sizes, len(rows)}), 1):
            root = merkle.root(row[0] for row in rows[:size])
            note = checkpoint.sign(checkpoint.Checkpoint(origin, size, root), signer)
            if level == WITNESS_KEYS:
                note = cosigned(note, self.built.witnesses)
            row = (number, size, root, note, rows[size - 1][1])
            self.sql.execute("INSERT INTO vote_checkpoints VALUES (?, ?, ?, ?, NULL, ?)", row)
        self.seal_state()

    def seal_state(self) -> None:
        """Let the node's own row fit the checkpoints that there are."""
        self.sql.execute(
            "UPDATE vote_seal SET (checkpoints, sealed_size, sealed_at) ="
            " (SELECT id, tree_size, created_at FROM vote_checkpoints ORDER BY id DESC LIMIT 1)"
        )


_IDS = "vote_ledger_event"


class _Rules:
    """The log applied anew, row by row. What the rules refuse has no effect; signatures are not looked at."""

    def __init__(self, origin: str, weights: dict[int, int]) -> None:
        self.tx = copies.blank(":memory:")
        self.range: list[bytes] = []
        self.log: Log | None = None
        self.vkey, self.admin, self.policy = "", b"", ""
        self._origin, self._weights = origin, weights

    def step(self, row: _Row) -> int | None:
        """Let a row take effect. Returns the weight to be written with it."""
        weight: int | None = row[5]
        try:
            event = events.decode(row[1], logs.event_bytes(row, self._origin))
        except (Corrupt, Invalid):
            return weight
        self._named(event)
        given: list[int | None] = []
        log = self.log and dataclasses.replace(self.log, size=row[0] - 1, range=b"".join(self.range))
        try:
            with self.tx:
                self._apply(log, Signed(event, ()), row[13], _noting(given))
        except (CortexError, OverflowError, ValueError):
            return weight
        return self._weights.get(row[0], given[0])

    def _apply(self, log: Log | None, signed: Signed, ts: str, append: apply.Append) -> None:
        if log is None:
            if isinstance(signed.event, Genesis):
                apply.start(self.tx, signed, ts, append=append)
                self.log = logs.needed(self.tx)
            return
        apply.apply(self.tx, log, signed, ts, append=append)
        self.log = log

    def _named(self, event: Event) -> None:
        """What the state row says after an event, whoever signed it."""
        match event:
            case Genesis(key=key, policy=rules, vkey=vkey):
                self.admin, self.policy, self.vkey = bytes.fromhex(key), policy.encode(rules), vkey
            case LogRestored(vkey=vkey):
                self.vkey = vkey
            case AdminRotated(new=new):
                self.admin = bytes.fromhex(new)
            case PolicySet(policy=rules):
                self.policy = policy.encode(rules)


def _noting(given: list[int | None]) -> Callable[[Tx, Log, Signed, str, int | None], Appended]:
    def append(tx: Tx, log: Log, signed: Signed, ts: str, weight_e6: int | None) -> Appended:
        given.append(weight_e6)
        log.size += 1
        log.ts = ts
        return Appended(log.size - 1, ts, b"", b"", weight_e6)

    return append


def _put_state(tx: Tx, made: _Rules, rows: list[Any], head: bytes) -> None:
    tx.execute(
        "UPDATE vote_log SET vkey = ?, admin = ?, policy = ?, size = ?, head = ?, range = ?, ts = ?, votes = ?",
        (
            made.vkey, made.admin, made.policy, len(rows), head, merkle.range_encode(made.range), rows[-1][13],
            sum(row[1] == "vote" for row in rows),
        ),
    )  # fmt: skip


def _copy_table(made: Tx, tx: Tx, table: str) -> None:
    tx.execute(f"DELETE FROM {table}")
    for row in made.execute(f"SELECT * FROM {table}"):
        tx.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
