"""The chained tables of an earlier Cortex's file, version 4 and its successors: whether they still fit together.

Each row of `transactions` and of `vote_ledger` has in `hash` the SHA-256, in hex, of `prev_hash` and its own columns.
What exactly is hashed changed between versions; `_FORMS` has what is known. `merkle_roots` and `vote_merkle_roots` have
a root over the hashes of the rows from one id to another: a parent is the SHA-256 of the text of its two children, and
an odd last one is paired with itself.

No key is involved. A chain that fits was not edited by somebody careless; whoever knew the format could have written
all of it anew, or cut rows off its end where no root covers them.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import apsw

from cortex import limits
from cortex.importers import cortex4
from cortex.importers.items import place

_Row = dict[str, cortex4.Value]
_FIRST = frozenset({"", "GENESIS", "0" * 64})
_EVERY_TENANT = "__global__"
_SHORT_CHARS = 128
_SHORT_BYTES = 1 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainFinding:
    """What came of checking one table: `checked` rows, whether all fit, the first that does not, and why, in words.

    A table that could not be checked is not `ok`, has no `first_bad`, and its `what` begins with "not checked".
    """

    table: str
    checked: int
    ok: bool
    first_bad: str | None
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """What a version hashed, and whether its rows follow the row before or the one before of their tenant."""

    name: str
    of_tenant: bool
    preimages: Callable[[_Row], list[bytes]]


@dataclass(frozen=True, slots=True)
class _Log:
    """A chained table and the table of the roots over it, whose columns begin with `prefix`."""

    table: str
    needed: frozenset[str]
    forms: tuple[_Form, ...]
    roots: str
    prefix: str


@dataclass(slots=True)
class _Walk:
    """How far a chain was followed: the hash of the last row, also of each tenant, and what was found."""

    before: str | None = None
    of_tenant: dict[str, str] = field(default_factory=dict)
    checked: int = 0
    bad: int = 0
    first_bad: str | None = None
    why: str = ""
    forms: set[str] = field(default_factory=set)


def check(connection: apsw.Connection) -> list[ChainFinding]:
    """A finding for each chained table that is there."""
    found: list[ChainFinding] = []
    for log in _LOGS:
        columns = set(cortex4.columns_of(connection, log.table))
        chain = _chain(connection, log, columns) if columns else None
        if chain is not None:
            found.append(chain)
        if root_columns := set(cortex4.columns_of(connection, log.roots)):
            found.append(_roots(connection, log, root_columns, chain))
    known = {table for log in _LOGS for table in (log.table, log.roots)}
    others = [table for table in cortex4.tables(connection) if table not in known]
    chained = [table for table in others if {"hash", "prev_hash"} <= set(cortex4.columns_of(connection, table))]
    return found + [_unchecked(place(table), "how it was hashed is not known here") for table in chained]


def _unchecked(table: str, why: str) -> ChainFinding:
    return ChainFinding(table=table, checked=0, ok=False, first_bad=None, what=f"not checked: {why}")


def _numbered(connection: apsw.Connection, table: str) -> bool:
    """Whether `id` is the number of the row itself: then rows are found by it without a look at all of them."""
    keys = connection.execute(
        "SELECT name = 'id' AND upper(type) = 'INTEGER' FROM pragma_table_info(?, 'main') WHERE pk > 0", (table,)
    )
    # A key that is not the row's number has an index of its own.
    indexes = connection.execute("SELECT 1 FROM pragma_index_list(?, 'main') WHERE origin = 'pk'", (table,))
    return keys.fetchall() == [(1,)] and not indexes.fetchall()


def _chain(connection: apsw.Connection, log: _Log, columns: set[str]) -> ChainFinding:
    if missing := log.needed - columns:
        return _unchecked(log.table, f"it has no column {', '.join(sorted(missing))}")
    if not _numbered(connection, log.table):
        return _unchecked(log.table, "its id is not an integer primary key, so its order is not known")
    walk = _Walk()
    rows = cortex4.rows(
        connection,
        log.table,
        sorted(columns & (log.needed | {"tenant_id", "fact_hash", "signature"})),
        bytes_max=limits.CONTENT_BYTES_MAX,
        rest=f"ORDER BY id LIMIT {limits.IMPORT_OLD_CHAIN_ROWS_MAX + 1}",
    )
    for largest, row in rows:
        if walk.checked == limits.IMPORT_OLD_CHAIN_ROWS_MAX:
            return _unchecked(log.table, f"it has more than {limits.IMPORT_OLD_CHAIN_ROWS_MAX} rows")
        if len(walk.of_tenant) > limits.IMPORT_OLD_TENANTS_MAX:
            return _unchecked(log.table, f"it has more than {limits.IMPORT_OLD_TENANTS_MAX} tenants")
        _follow(walk, log, largest, row)
    return _followed(log, walk)


def _followed(log: _Log, walk: _Walk) -> ChainFinding:
    if not walk.checked:
        return ChainFinding(table=log.table, checked=0, ok=True, first_bad=None, what="it has no rows")
    if not walk.forms:
        return _unchecked(log.table, "no row has a hash in a form that is known here, or all were changed")
    forms = ", ".join(form.name for form in log.forms if form.name in walk.forms)
    if walk.first_bad is None:
        what = f"each row has the hash of its columns and follows the one before (form {forms})"
        return ChainFinding(table=log.table, checked=walk.checked, ok=True, first_bad=None, what=what)
    more = f"; so do not {walk.bad - 1} more" if walk.bad > 1 else ""
    what = f"{walk.first_bad} does not fit: {walk.why}{more}"
    return ChainFinding(table=log.table, checked=walk.checked, ok=False, first_bad=walk.first_bad, what=what)


def _follow(walk: _Walk, log: _Log, largest: int, row: _Row) -> None:
    tenant = _short(_text(row.get("tenant_id"), "default"))
    stored = _short(_text(row["hash"]))
    form = _form(log, row, stored)
    before = walk.of_tenant.get(tenant) if form and form.of_tenant else walk.before
    if form is None:
        large = largest > limits.CONTENT_BYTES_MAX
        why = f"a column has {largest} bytes" if large else "its hash is not that of its columns in a known form"
    else:
        walk.forms.add(form.name)
        why = _link_fault(_short(_text(row["prev_hash"])), before)
    walk.checked += 1
    # The row after is compared with what this one says of itself: else one bad row would make all after it bad.
    walk.before = walk.of_tenant[tenant] = stored
    if why:
        walk.bad += 1
        if walk.first_bad is None:
            walk.first_bad, walk.why = f"row {place(_text(row['id']))}", why


def _form(log: _Log, row: _Row, stored: str) -> _Form | None:
    for form in log.forms:
        if any(hashlib.sha256(preimage).hexdigest() == stored for preimage in form.preimages(row)):
            return form
    return None


def _link_fault(prev: str, before: str | None) -> str:
    if before is None:
        return "" if prev in _FIRST else "it names a row before it, but is the first"
    return "" if prev == before else "it does not name the row before it: one was changed, added or taken out"


@dataclass(slots=True)
class _Tree:
    """A root in the making: at each level the left node that waits for its right one."""

    waiting: list[str | None] = field(default_factory=list)
    leaves: int = 0

    def add(self, node: str) -> None:
        self.leaves += 1
        for level, left in enumerate(self.waiting):
            if left is None:
                self.waiting[level] = node
                return
            self.waiting[level] = None
            node = _parent(left, node)
        self.waiting.append(node)

    def root(self) -> str | None:
        node: str | None = None
        for level, left in enumerate(self.waiting):
            if node is None:
                # The last node of a level that is not the top is odd, and paired with itself.
                top = level == len(self.waiting) - 1
                node = left if left is None or top else _parent(left, left)
            else:
                node = _parent(node if left is None else left, node)
        return node


def _parent(left: str, right: str) -> str:
    return hashlib.sha256((left + right).encode("utf-8", "surrogateescape")).hexdigest()


def _roots(connection: apsw.Connection, log: _Log, columns: set[str], chain: ChainFinding | None) -> ChainFinding:
    start, end, count = (f"{log.prefix}_{name}" for name in ("start_id", "end_id", "count"))
    if missing := {"id", "root_hash", start, end} - columns:
        return _unchecked(log.roots, f"it has no column {', '.join(sorted(missing))}")
    if chain is None or chain.what.startswith("not checked"):
        return _unchecked(log.roots, f"{log.table}, which it is about, was not either")
    wanted = sorted(columns & {"id", "root_hash", "tenant_id", start, end, count})
    rest = f"LIMIT {limits.IMPORT_OLD_ROOTS_MAX + 1}"
    rows = [row for _, row in cortex4.rows(connection, log.roots, wanted, bytes_max=_SHORT_BYTES, rest=rest)]
    if len(rows) > limits.IMPORT_OLD_ROOTS_MAX:
        return _unchecked(log.roots, f"it has more than {limits.IMPORT_OLD_ROOTS_MAX} rows")
    left = limits.IMPORT_OLD_LEAVES_MAX
    bad: list[tuple[str, str]] = []
    for row in rows:
        leaves, fault = _root_fault(connection, log, row, left)
        left -= leaves
        if left < 0:
            return _unchecked(log.roots, f"its roots are over more than {limits.IMPORT_OLD_LEAVES_MAX} rows in all")
        if fault:
            bad.append((f"row {place(_text(row['id']))}", fault))
    if not bad:
        what = "each root is that of its rows" if rows else "it has no rows"
        return ChainFinding(table=log.roots, checked=len(rows), ok=True, first_bad=None, what=what)
    more = f"; so do not {len(bad) - 1} more" if len(bad) > 1 else ""
    what = f"{bad[0][0]} does not fit: {bad[0][1]}{more}"
    return ChainFinding(table=log.roots, checked=len(rows), ok=False, first_bad=bad[0][0], what=what)


def _root_fault(connection: apsw.Connection, log: _Log, row: _Row, left: int) -> tuple[int, str]:
    """How many rows were read for a root, and what is wrong with it, if anything is."""
    first, last = row[f"{log.prefix}_start_id"], row[f"{log.prefix}_end_id"]
    if not isinstance(first, int) or not isinstance(last, int) or first > last:
        return 0, "it does not say which rows it is over"
    tenant = _text(row.get("tenant_id"), _EVERY_TENANT)
    every, own = _Tree(), _Tree()
    for stored, of_tenant in _leaves(connection, log.table, (first, last), left):
        every.add(stored)
        if of_tenant == tenant:
            own.add(stored)
    named, count = _text(row["root_hash"]), row.get(f"{log.prefix}_count")
    # Roots were over the rows of all tenants in some versions and over those of one in others.
    trees = [tree for tree in (every, own) if tree.leaves and tree.root() == named]
    if not trees:
        return every.leaves, "its root is not that of the rows it is over"
    if isinstance(count, int) and all(tree.leaves != count for tree in trees):
        return every.leaves, f"it counts {count} rows where there are {trees[0].leaves}"
    return every.leaves, ""


def _leaves(
    connection: apsw.Connection, table: str, ids: tuple[int, int], left: int
) -> Iterator[tuple[str, str | None]]:
    columns = [name for name in ("hash", "tenant_id") if name in cortex4.columns_of(connection, table)]
    rest = f"WHERE id BETWEEN {ids[0]} AND {ids[1]} ORDER BY id LIMIT {left + 1}"
    for _, row in cortex4.rows(connection, table, columns, bytes_max=_SHORT_BYTES, rest=rest):
        yield _text(row["hash"]), cortex4.text(row.get("tenant_id"))


def _text(value: cortex4.Value, absent: str = "") -> str:
    found = cortex4.text(value)
    return absent if found is None else found


def _short(text: str) -> str:
    """A text to keep and to compare, whatever its length."""
    return text if len(text) <= _SHORT_CHARS else hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _joined(separator: str, *parts: str) -> bytes:
    return separator.join(parts).encode("utf-8", "surrogateescape")


def _transaction(row: _Row) -> tuple[str, ...]:
    prev = _text(row["prev_hash"]) or "GENESIS"
    return (prev, *(_text(row[name]) for name in ("project", "action", "detail", "timestamp")))


def _tenant_transactions(row: _Row) -> list[bytes]:
    tenant = _text(row.get("tenant_id"), "default")
    return [_joined("\0", *begin, tenant, *_transaction(row)) for begin in ((), ("v3",))]


def _plain_vote(row: _Row) -> bytes:
    names = ("prev_hash", "fact_id", "agent_id", "vote", "vote_weight", "timestamp")
    return _joined(":", *(_text(row[name]) for name in names))


def _vote(row: _Row) -> dict[str, object]:
    names = ("tenant_id", "prev_hash", "fact_id", "agent_id", "vote", "vote_weight", "timestamp")
    values = {name: row.get(name) for name in names}
    return {name: cortex4.text(value) if isinstance(value, bytes) else value for name, value in values.items()}


def _tenant_votes(row: _Row) -> list[bytes]:
    # The vote was given as a number or as text, depending on the caller.
    fields = _vote(row)
    return [
        json.dumps(fields | {"vote": vote}, sort_keys=True).encode() for vote in (fields["vote"], _text(row["vote"]))
    ]


def _bound_vote(row: _Row) -> bytes:
    fields = _vote(row) | {
        "schema": "vote_ledger_v2",
        "fact_hash": _text(row.get("fact_hash")),
        "vote": _text(row["vote"]),
        "signature": _text(row.get("signature")),
    }
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


_LOGS = (
    _Log(
        table="transactions",
        needed=frozenset({"id", "project", "action", "detail", "prev_hash", "hash", "timestamp"}),
        forms=(
            _Form(name="1, with colons", of_tenant=False, preimages=lambda row: [_joined(":", *_transaction(row))]),
            _Form(name="2, with NUL", of_tenant=False, preimages=lambda row: [_joined("\0", *_transaction(row))]),
            _Form(name="3, with the tenant", of_tenant=True, preimages=_tenant_transactions),
        ),
        roots="merkle_roots",
        prefix="tx",
    ),
    _Log(
        table="vote_ledger",
        needed=frozenset({"id", "fact_id", "agent_id", "vote", "vote_weight", "prev_hash", "hash", "timestamp"}),
        forms=(
            _Form(name="1, with colons", of_tenant=False, preimages=lambda row: [_plain_vote(row)]),
            _Form(name="2, JSON with the tenant", of_tenant=True, preimages=_tenant_votes),
            _Form(name="3, JSON with the fact's hash", of_tenant=True, preimages=lambda row: [_bound_vote(row)]),
        ),
        roots="vote_merkle_roots",
        prefix="vote",
    ),
)
