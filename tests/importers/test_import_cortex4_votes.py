"""Agents, votes and chained tables of an earlier Cortex's file.

The tables are those that the public sources of its versions 4.0 (`borjamoskv/cortex`: schema.py, canonical.py,
engine/ledger.py, consensus/vote_ledger.py) and 5 to 8 (`borjamoskv/Cortex-Persist`: the same files, with tenants) make.
The hashes here are computed from those formats apart from the reader.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex import importers, limits
from cortex.errors import Corrupt, CortexError, Invalid, NotFound
from cortex.importers import Item, Skip, cortex4_chains, cortex4_votes
from cortex.importers.cortex4_votes import ChainFinding, OldAgent, OldTrust, OldVote, reason_of

FACTS = """
CREATE TABLE facts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, content TEXT NOT NULL,
    fact_type TEXT NOT NULL DEFAULT 'knowledge', valid_from TEXT NOT NULL DEFAULT '2025-10-01'
)
"""
AGENTS = """
CREATE TABLE agents (
    id TEXT PRIMARY KEY, public_key TEXT NOT NULL DEFAULT '', name TEXT NOT NULL, agent_type TEXT NOT NULL DEFAULT 'ai',
    tenant_id TEXT NOT NULL DEFAULT 'default', reputation_score REAL NOT NULL DEFAULT 0.5,
    is_active BOOLEAN DEFAULT TRUE, meta TEXT DEFAULT '{}'
)
"""
VOTES_1 = """
CREATE TABLE consensus_votes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, fact_id INTEGER NOT NULL REFERENCES facts(id), agent TEXT NOT NULL,
    vote INTEGER NOT NULL, timestamp TEXT NOT NULL DEFAULT '2025-11-01 09:00:00', UNIQUE (fact_id, agent)
)
"""
VOTES_2 = """
CREATE TABLE consensus_votes_v2 (
    id INTEGER PRIMARY KEY AUTOINCREMENT, fact_id INTEGER NOT NULL REFERENCES facts(id), agent_id TEXT NOT NULL,
    vote INTEGER NOT NULL, vote_weight REAL NOT NULL DEFAULT 0.5, agent_rep_at_vote REAL NOT NULL DEFAULT 0.5,
    created_at TEXT NOT NULL DEFAULT '2025-11-02 10:00:00', vote_reason TEXT, meta TEXT DEFAULT '{}'
)
"""
TRANSACTIONS = """
CREATE TABLE transactions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, action TEXT NOT NULL, detail TEXT, prev_hash TEXT,
    hash TEXT NOT NULL, timestamp TEXT NOT NULL, tenant_id TEXT NOT NULL DEFAULT 'default'
)
"""
VOTE_LEDGER = """
CREATE TABLE vote_ledger (
    id INTEGER PRIMARY KEY AUTOINCREMENT, tenant_id TEXT NOT NULL DEFAULT 'default', fact_id INTEGER NOT NULL,
    fact_hash TEXT NOT NULL DEFAULT '', agent_id TEXT NOT NULL, vote INTEGER NOT NULL, vote_weight REAL NOT NULL,
    prev_hash TEXT, hash TEXT NOT NULL, timestamp TEXT NOT NULL, signature TEXT, UNIQUE (hash)
)
"""
ROOTS = """
CREATE TABLE merkle_roots (
    id INTEGER PRIMARY KEY AUTOINCREMENT, root_hash TEXT NOT NULL, tx_start_id INTEGER NOT NULL,
    tx_end_id INTEGER NOT NULL, tx_count INTEGER NOT NULL
)
"""
VOTE_ROOTS = """
CREATE TABLE vote_merkle_roots (
    id INTEGER PRIMARY KEY AUTOINCREMENT, tenant_id TEXT NOT NULL DEFAULT 'default', root_hash TEXT NOT NULL,
    vote_start_id INTEGER NOT NULL, vote_end_id INTEGER NOT NULL, vote_count INTEGER NOT NULL
)
"""
TX_FORMS: dict[str, Callable[..., str]] = {
    "colons": lambda tenant, *parts: ":".join(parts),
    "nul": lambda tenant, *parts: "\0".join(parts),
    "tenant": lambda tenant, *parts: "\0".join((tenant, *parts)),
}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def root(hashes: list[str]) -> str:
    while len(hashes) > 1:
        if len(hashes) % 2:
            hashes = [*hashes, hashes[-1]]
        hashes = [sha(hashes[at] + hashes[at + 1]) for at in range(0, len(hashes), 2)]
    return hashes[0]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cortex #4.db"


def make(path: Path, *statements: str) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    for statement in (FACTS, *statements):
        connection.execute(statement)
    return connection


def trust(path: Path, *statements: str) -> OldTrust:
    make(path, *statements).close()
    return cortex4_votes.read(path)


def transact(connection: apsw.Connection, form: str, count: int, tenant: str = "default", prev: str = "GENESIS") -> str:
    for number in range(count):
        fields = (prev, "p:1", "store", json.dumps({"fact_id": number}), f"2025-11-01T09:00:{number:02}+00:00")
        stored = sha(TX_FORMS[form](tenant, *fields))
        connection.execute(
            "INSERT INTO transactions (prev_hash, project, action, detail, timestamp, hash, tenant_id)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*fields, stored, tenant),
        )
        prev = stored
    return prev


def vote_preimage(form: str, row: dict[str, Any]) -> str:
    if form == "colons":
        names = ("prev_hash", "fact_id", "agent_id", "vote", "vote_weight", "timestamp")
        return ":".join(str(row[name]) for name in names)
    unbound = {name: value for name, value in row.items() if name not in {"fact_hash", "signature"}}
    if form == "number":
        return json.dumps(unbound, sort_keys=True)
    if form == "text":
        return json.dumps(unbound | {"vote": str(row["vote"])}, sort_keys=True)
    bound = row | {"schema": "vote_ledger_v2", "vote": str(row["vote"]), "signature": row["signature"] or ""}
    return json.dumps(bound, sort_keys=True, separators=(",", ":"))


def cast(
    connection: apsw.Connection, form: str, count: int, prev: str | None, tenant: str = "default", agent: str = "añn"
) -> None:
    for number in range(count):
        row = {
            "tenant_id": tenant,
            "prev_hash": prev,
            "fact_id": number,
            "fact_hash": "f" * 64,
            "agent_id": agent,
            "vote": (-1) ** number,
            "vote_weight": 0.1 + 0.2 * number,
            "timestamp": "2025-11-02T10:00:00.123456+00:00",
            "signature": None,
        }
        prev = sha(vote_preimage(form, row))
        names = ", ".join(row)
        holes = ", ".join("?" for _ in row)
        connection.execute(f"INSERT INTO vote_ledger ({names}, hash) VALUES ({holes}, ?)", (*row.values(), prev))


def finding(path: Path, table: str) -> ChainFinding:
    (found,) = (chain for chain in cortex4_votes.read(path).chains if chain.table == table)
    return found


def hashes(connection: apsw.Connection, table: str) -> list[str]:
    return [str(row[0]) for row in connection.execute(f"SELECT hash FROM {table} ORDER BY id")]


def test_agents_and_votes_are_read_with_their_times_and_reasons(path: Path) -> None:
    found = trust(
        path,
        AGENTS,
        VOTES_1,
        VOTES_2,
        "INSERT INTO agents (id, name, public_key, agent_type, reputation_score) VALUES ('u-1', 'ann', 'k', 'ai', 0.75)",
        "INSERT INTO agents (id, name, is_active) VALUES ('u-2', 'bob', 0)",
        "INSERT INTO consensus_votes_v2 (fact_id, agent_id, vote, vote_reason) VALUES (7, 'u-1', -1, 'stale\n\tsince May')",
        "INSERT INTO consensus_votes (fact_id, agent, vote) VALUES (8, 'cid', 1)",
    )

    expected = OldTrust(
        agents=[
            OldAgent(name="ann", old_name="ann", id="u-1", reputation=0.75, type="ai", public_key="k", active=True),
            OldAgent(name="bob", old_name="bob", id="u-2", reputation=0.5, type="ai", public_key=None, active=False),
            OldAgent(name="cid", old_name="cid", id=None, reputation=None, type="", public_key=None, active=True),
        ],
        votes=[
            OldVote(
                fact=7,
                agent="ann",
                vote=-1,
                at="2025-11-02T10:00:00.000000Z",
                reason="stale since May",
                table="consensus_votes_v2",
            ),
            OldVote(
                fact=8, agent="cid", vote=1, at="2025-11-01T09:00:00.000000Z", reason=None, table="consensus_votes"
            ),
        ],
        skips=[],
        notes=[],
        chains=[],
    )
    assert expected == found


def test_a_vote_names_the_fact_as_its_item_does(path: Path) -> None:
    found = trust(
        path,
        "DROP TABLE facts",
        "CREATE TABLE facts (id, content TEXT, fact_type TEXT)",
        VOTES_1.replace("fact_id INTEGER", "fact_id BLOB"),
        "INSERT INTO facts VALUES (1, 'a', 'k'), ('2', 'b', 'k'), ('a-3', 'c', 'k'), (4.0, 'd', 'k'), ('012', 'e', 'k')",
        "INSERT INTO consensus_votes (fact_id, agent, vote) SELECT id, 'ann', 1 FROM facts",
    )

    items = [entry for entry in importers.read(path, "cortex4", name="n") if isinstance(entry, Item)]
    ids = [(item.meta or {})["cortex4"]["id"] for item in items]
    assert [1, 2, "a-3", 4, "012"] == [vote.fact for vote in found.votes] == ids


def test_the_later_table_counts_and_within_one_the_later_vote(path: Path) -> None:
    found = trust(
        path,
        AGENTS,
        VOTES_1,
        VOTES_2,
        "INSERT INTO agents (id, name, agent_type) VALUES ('other', 'ann', 'ai'), ('u-1', 'ann', 'legacy')",
        "INSERT INTO consensus_votes (fact_id, agent, vote, timestamp) VALUES (1, 'ann', 1, '2026-05-01')",
        "INSERT INTO consensus_votes_v2 (fact_id, agent_id, vote, created_at) VALUES (1, 'u-1', 1, '2025-11-03'),"
        " (1, 'u-1', -1, '2025-11-04'), (1, 'u-1', 0, '2025-11-02'), (1, 'other', 1, '2025-11-01')",
    )

    assert [("ann-2", -1), ("ann", 1)] == [(vote.agent, vote.vote) for vote in found.votes]
    assert [
        Skip("consensus_votes_v2, row 1", "its agent voted on this fact again, later"),
        Skip("consensus_votes_v2, row 3", "its agent voted on this fact again, later"),
        Skip("consensus_votes, row 1", "its agent voted on this fact in consensus_votes_v2 too, which counts"),
    ] == found.skips


def test_names_become_fit_and_stay_apart(path: Path) -> None:
    connection = make(path, AGENTS)
    olds = ["Ann Lee", "Ann-Lee", "Ann/Lee", "ann", "ann", "ann-2", "¿?", "x" * 70, "x" * 64, "a\nb", "  "]
    for number, old in enumerate(olds):
        connection.execute("INSERT INTO agents (id, name) VALUES (?, ?)", (f"u{number}", old))
    connection.close()

    found = cortex4_votes.read(path)

    names = [
        "Ann-Lee-2",
        "Ann-Lee",
        "Ann-Lee-3",
        "ann",
        "ann-3",
        "ann-2",
        "agent",
        "x" * 56 + "-2",
        "x" * 64,
        "a-b",
        "u10",
    ]
    assert names == [agent.name for agent in found.agents]
    assert "the agent 'Ann Lee' is called 'Ann-Lee-2' here" in found.notes
    assert "the agent 'a\N{REPLACEMENT CHARACTER}b' is called 'a-b' here" in found.notes
    assert 6 == len(found.notes)


@given(st.lists(st.one_of(st.text(max_size=70), st.sampled_from(["a", "a-2", "a b", "A", "x" * 64, "x" * 65]))))
def test_no_two_agents_get_one_name(olds: list[str]) -> None:
    names = cortex4_votes._named(olds)

    assert len(olds) == len(set(names)) == len(names)
    assert all(cortex4_votes._FIT.fullmatch(name) for name in names)


def test_a_vote_that_cannot_be_one_is_skipped_alone(path: Path) -> None:
    found = trust(
        path,
        VOTES_2.replace("vote INTEGER NOT NULL", "vote BLOB").replace("INTEGER NOT NULL REFERENCES facts(id)", "BLOB"),
        """INSERT INTO consensus_votes_v2 (fact_id, agent_id, vote, created_at, vote_reason) VALUES
        (1, 'a', 5, '', ''), (NULL, 'a', 1, '', ''), (1, ' ', 1, '', ''), (1, 'a', x'ff', '', ''), (1, 'a', NULL, '', ''),
        (1, 'a', '1', 'soon', x'ff41'), (1, CAST(x'fe' AS TEXT), 1.0, 12, NULL), (1, 'b', 1, '', zeroblob(65537))""",
    )

    assert [
        Skip("consensus_votes_v2, row 1", "it is '5', not 1, -1 or 0"),
        Skip("consensus_votes_v2, row 2", "it names no fact"),
        Skip("consensus_votes_v2, row 3", "it names no agent"),
        Skip("consensus_votes_v2, row 4", "it is '\N{REPLACEMENT CHARACTER}', not 1, -1 or 0"),
        Skip("consensus_votes_v2, row 5", "it is '', not 1, -1 or 0"),
        Skip("consensus_votes_v2, row 8", "a column has 65537 bytes, more than 65536"),
    ] == found.skips
    assert [("a", None, "\N{REPLACEMENT CHARACTER}A"), ("agent", None, None)] == [
        (vote.agent, vote.at, vote.reason) for vote in found.votes
    ]


def test_a_file_without_votes_has_none(path: Path) -> None:
    assert OldTrust(agents=[], votes=[], skips=[], notes=[], chains=[]) == trust(path)


def test_views_and_tables_of_other_columns_are_named_not_read(path: Path) -> None:
    endless = "WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n)"
    found = trust(
        path,
        f"CREATE VIEW agents AS {endless} SELECT id, 'x' AS name FROM n",
        f"CREATE VIEW transactions AS {endless} SELECT id, 'x' AS hash FROM n",
        "CREATE VIRTUAL TABLE consensus_votes USING fts5(fact_id, agent, vote)",
        "CREATE TABLE consensus_votes_v2 (id INTEGER PRIMARY KEY, vote INTEGER, fact_id AS (hex(zeroblob(90000000))))",
        "INSERT INTO consensus_votes_v2 VALUES (1, 1)",
    )

    assert [
        Skip("table agents", "it is not a table with rows of its own"),
        Skip("table consensus_votes_v2", "it has no column agent_id, fact_id"),
        Skip("table consensus_votes", "it is not a table with rows of its own"),
    ] == found.skips
    assert ([], [], []) == (found.agents, found.votes, found.chains)


def test_what_is_over_a_limit_is_left_out_and_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "IMPORT_OLD_AGENTS_MAX", 2)
    monkeypatch.setattr(limits, "IMPORT_OLD_VOTES_MAX", 4)
    monkeypatch.setattr(limits, "IMPORT_OLD_SKIPS_MAX", 2)

    found = trust(
        path,
        AGENTS,
        VOTES_1,
        "INSERT INTO agents (id, name) VALUES ('a', 'a'), ('b', 'b'), ('c', 'c')",
        "INSERT INTO consensus_votes (fact_id, agent, vote) VALUES (1, 'a', 1), (1, 'c', 1), (2, 'd', 1), (3, 'b', 1), (4, 'a', 1)",
    )

    assert (["a", "b"], [(1, "a"), (3, "b")]) == (
        [agent.name for agent in found.agents],
        [(vote.fact, vote.agent) for vote in found.votes],
    )
    assert [
        Skip("table agents", "it has more than 2 rows: the others are not read"),
        Skip("consensus_votes, row 2", "its agent is one too many: there are 2 before it"),
        Skip("agents and votes", "2 more entries are left out"),
    ] == found.skips


def test_a_reason_says_when_and_why_and_fits_a_vote() -> None:
    vote = OldVote(
        fact=1, agent="a", vote=1, at="2025-11-02T10:00:00.000000Z", reason="seen", table="consensus_votes_v2"
    )
    bare = OldVote(fact=1, agent="a", vote=1, at=None, reason=None, table="consensus_votes")
    long = OldVote(
        fact=1, agent="a", vote=1, at="2025-11-02T10:00:00.500000Z", reason="é" * 9000, table="consensus_votes"
    )

    assert "imported vote of 2025-11-02T10:00:00Z: seen" == reason_of(vote)
    assert "imported vote" == reason_of(bare)
    assert reason_of(long).startswith("imported vote of 2025-11-02T10:00:00.500000Z: éé")
    assert limits.REASON_BYTES_MAX - 1 <= len(reason_of(long).encode()) <= limits.REASON_BYTES_MAX


@pytest.mark.parametrize("form", TX_FORMS)
def test_an_intact_chain_of_transactions_of_each_version_fits(path: Path, form: str) -> None:
    connection = make(path, TRANSACTIONS, ROOTS)
    transact(connection, form, 7)
    for start, end in ((1, 5), (6, 7)):
        leaves = hashes(connection, "transactions")[start - 1 : end]
        connection.execute(
            "INSERT INTO merkle_roots VALUES (NULL, ?, ?, ?, ?)", (root(leaves), start, end, len(leaves))
        )
    connection.close()

    chain, roots = cortex4_votes.read(path).chains

    assert ("transactions", 7, True, None) == (chain.table, chain.checked, chain.ok, chain.first_bad)
    assert chain.what.startswith("each row has the hash of its columns")
    assert (2, True, "each root is that of its rows") == (roots.checked, roots.ok, roots.what)


def test_a_chain_that_changed_its_form_on_the_way_fits(path: Path) -> None:
    connection = make(path, TRANSACTIONS)
    last = transact(connection, "colons", 2)
    last = transact(connection, "nul", 2, prev=last)
    transact(connection, "tenant", 2, prev=last)
    transact(connection, "tenant", 2, tenant="other")
    transact(connection, "tenant", 1, tenant="default", prev=hashes(connection, "transactions")[5])
    connection.close()

    found = finding(path, "transactions")

    assert (9, True) == (found.checked, found.ok)
    assert found.what.endswith("(form 1, with colons, 2, with NUL, 3, with the tenant)")


@pytest.mark.parametrize(
    ("change", "first_bad", "why"),
    [
        ("UPDATE transactions SET detail = '{}' WHERE id = 3", "row 3", "its hash is not that of its columns"),
        ("UPDATE transactions SET timestamp = zeroblob(2000000) WHERE id = 3", "row 3", "a column has 2000000 bytes"),
        ("UPDATE transactions SET hash = 'x' WHERE id = 3", "row 3", "its hash is not that of its columns"),
        ("DELETE FROM transactions WHERE id = 3", "row 4", "it does not name the row before it"),
        ("DELETE FROM transactions WHERE id = 1", "row 2", "it names a row before it, but is the first"),
        ("UPDATE transactions SET id = id + 10 WHERE id = 3", "row 4", "it does not name the row before it"),
        ("UPDATE transactions SET tenant_id = 'x' WHERE id = 3", "row 3", "its hash is not that of its columns"),
    ],
)
def test_a_changed_chain_says_where_it_does_not_fit_first(path: Path, change: str, first_bad: str, why: str) -> None:
    connection = make(path, TRANSACTIONS)
    transact(connection, "tenant", 5)
    connection.execute(change)
    connection.close()

    found = finding(path, "transactions")

    assert (False, first_bad) == (found.ok, found.first_bad)
    assert found.what.startswith(f"{first_bad} does not fit: {why}")


@pytest.mark.parametrize(
    ("form", "first"),
    [("colons", "0" * 64), ("number", ""), ("text", None), ("number", "GENESIS"), ("bound", "GENESIS")],
)
def test_an_intact_chain_of_votes_of_each_version_fits(path: Path, form: str, first: str | None) -> None:
    connection = make(path, VOTE_LEDGER, VOTE_ROOTS)
    cast(connection, form, 3, first)
    if form != "colons":
        cast(connection, form, 3, first, tenant="other")
    leaves = hashes(connection, "vote_ledger")
    connection.execute("INSERT INTO vote_merkle_roots VALUES (1, 'default', ?, 1, 3, 3)", (root(leaves[:3]),))
    connection.close()

    chain, roots = cortex4_votes.read(path).chains

    assert (len(leaves), True, True) == (chain.checked, chain.ok, roots.ok)


@pytest.mark.parametrize("form", ["colons", "number", "text", "bound"])
@pytest.mark.parametrize("column", ["fact_id", "agent_id", "vote", "vote_weight", "timestamp"])
def test_an_edited_vote_is_found_in_each_version(path: Path, form: str, column: str) -> None:
    connection = make(path, VOTE_LEDGER)
    cast(connection, form, 4, "0" * 64)
    connection.execute(f"UPDATE vote_ledger SET {column} = 42 WHERE id = 2")
    connection.close()

    found = finding(path, "vote_ledger")

    assert (4, False, "row 2") == (found.checked, found.ok, found.first_bad)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("UPDATE merkle_roots SET root_hash = 'x'", "its root is not that of the rows it is over"),
        ("UPDATE merkle_roots SET tx_end_id = 4", "its root is not that of the rows it is over"),
        ("UPDATE merkle_roots SET tx_count = 4", "it counts 4 rows where there are 5"),
        ("UPDATE merkle_roots SET tx_start_id = 'x'", "it does not say which rows it is over"),
        ("DELETE FROM transactions WHERE id = 5", "its root is not that of the rows it is over"),
        ("DELETE FROM transactions", "its root is not that of the rows it is over"),
    ],
)
def test_a_root_of_other_rows_is_found(path: Path, change: str, why: str) -> None:
    connection = make(path, TRANSACTIONS, ROOTS)
    transact(connection, "nul", 5)
    connection.execute("INSERT INTO merkle_roots VALUES (9, ?, 1, 5, 5)", (root(hashes(connection, "transactions")),))
    connection.execute(change)
    connection.close()

    found = finding(path, "merkle_roots")

    what = f"row 9 does not fit: {why}"
    assert ChainFinding(table="merkle_roots", checked=1, ok=False, first_bad="row 9", what=what) == found


@given(st.lists(st.text(max_size=3), min_size=1, max_size=70))
def test_a_root_made_leaf_by_leaf_is_that_of_the_levels(leaves: list[str]) -> None:
    tree = cortex4_chains._Tree()

    for leaf in leaves:
        tree.add(leaf)

    assert root(leaves) == tree.root()


@pytest.mark.parametrize(
    ("statements", "table", "why"),
    [
        (
            [TRANSACTIONS, "INSERT INTO transactions VALUES (1, 'p', 'a', '{}', '', 'of base 60', 't', 'd')"],
            "transactions",
            "no row has a hash in a form that is known here, or all were changed",
        ),
        (["CREATE TABLE transactions (id INTEGER PRIMARY KEY, hash TEXT)"], "transactions", "it has no column action"),
        ([TRANSACTIONS.replace("PRIMARY KEY AUTOINCREMENT", "")], "transactions", "its id is not an integer primary"),
        (
            [TRANSACTIONS.replace("PRIMARY KEY AUTOINCREMENT", "PRIMARY KEY DESC")],
            "transactions",
            "its id is not an integer primary",
        ),
        ([ROOTS], "merkle_roots", "transactions, which it is about, was not either"),
        (["CREATE TABLE vote_merkle_roots (id INTEGER, root_hash TEXT)"], "vote_merkle_roots", "it has no column"),
        (["CREATE TABLE ledger_events (hash TEXT, prev_hash TEXT)"], "ledger_events", "how it was hashed is not known"),
    ],
)
def test_a_chain_in_a_form_that_is_not_known_is_not_checked(
    path: Path, statements: list[str], table: str, why: str
) -> None:
    make(path, *statements).close()

    found = finding(path, table)

    assert (0, False, None) == (found.checked, found.ok, found.first_bad)
    assert found.what.startswith(f"not checked: {why}")


@pytest.mark.parametrize(
    ("name", "table", "why"),
    [
        ("IMPORT_OLD_CHAIN_ROWS_MAX", "transactions", "it has more than 2 rows"),
        ("IMPORT_OLD_TENANTS_MAX", "transactions", "it has more than 2 tenants"),
        ("IMPORT_OLD_ROOTS_MAX", "merkle_roots", "it has more than 2 rows"),
        ("IMPORT_OLD_LEAVES_MAX", "merkle_roots", "its roots are over more than 2 rows in all"),
    ],
)
def test_a_chain_over_a_limit_is_not_checked(
    path: Path, monkeypatch: pytest.MonkeyPatch, name: str, table: str, why: str
) -> None:
    monkeypatch.setattr(limits, name, 2)
    connection = make(path, TRANSACTIONS, ROOTS)
    for tenant in ("a", "b", "c", "d"):
        transact(connection, "tenant", 1, tenant=tenant)
        connection.execute("INSERT INTO merkle_roots VALUES (NULL, 'x', 1, 9223372036854775807, 4)")
    connection.close()

    found = finding(path, table)

    assert ChainFinding(table=table, checked=0, ok=False, first_bad=None, what=f"not checked: {why}") == found


def test_an_empty_chain_has_nothing_that_does_not_fit(path: Path) -> None:
    found = trust(path, TRANSACTIONS, ROOTS)

    assert [(0, True, "it has no rows")] * 2 == [(chain.checked, chain.ok, chain.what) for chain in found.chains]


def test_a_file_of_something_else_is_refused(path: Path, tmp_path: Path) -> None:
    apsw.Connection(str(path)).execute("CREATE TABLE agents (id TEXT, name TEXT)")

    with pytest.raises(Invalid, match="not of Cortex 4"):
        cortex4_votes.read(path)
    with pytest.raises(Invalid, match="not a regular file"):
        cortex4_votes.read(tmp_path)
    with pytest.raises(NotFound):
        cortex4_votes.read(tmp_path / "nothing")


def test_a_damaged_file_is_corrupt_not_a_crash(path: Path) -> None:
    connection = make(path, TRANSACTIONS, VOTES_1)
    transact(connection, "nul", 200)
    connection.close()
    data = path.read_bytes()
    outcomes = set()

    for broken in (data[: len(data) // 2], data[:16384] + b"\xff" * (len(data) - 16384), data[:100] + b"\xff" * 5000):
        path.write_bytes(broken)
        try:
            cortex4_votes.read(path)
        except CortexError as error:
            outcomes.add(type(error))

    assert {Corrupt} == outcomes


def test_names_in_the_schema_that_are_not_text_are_none_of_ours(path: Path) -> None:
    make(path, AGENTS, TRANSACTIONS, "INSERT INTO agents (id, name) VALUES ('a', 'ann')").close()
    data = path.read_bytes()
    path.write_bytes(
        data.replace(b"reputation_score", b"reputation_sc\xffre").replace(b"transactions", b"transac\xffions")
    )

    found = cortex4_votes.read(path)

    assert [("ann", None)] == [(agent.name, agent.reputation) for agent in found.agents]
    assert [] == found.chains


def test_reading_leaves_the_file_and_its_folder_as_they_were(path: Path) -> None:
    make(path, AGENTS, VOTES_1, TRANSACTIONS, "INSERT INTO agents (id, name) VALUES ('a', 'a')").close()
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}

    cortex4_votes.read(path)

    assert before == {file.name: file.read_bytes() for file in path.parent.iterdir()}
