"""What is found in a votes log whose rows, tree, batches, checkpoints or state were changed."""

from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vote_kit import VoteLog, busy, codes, fact_id

from cortex.db import migrate
from cortex.ledger import checkpoint, memory, merkle
from cortex.ledger.findings import Findings
from cortex.ledger.keys import NodeKey
from cortex.trust import integrity
from cortex.trust import log as logs

VOTES = 1_040

# What only this node knows and nothing else tells.
FREE = {("vote_seal", "restored"), ("vote_checkpoints", "external_proof"), ("vote_log", "id"), ("vote_seal", "id")}
TABLES = (
    "vote_log", "vote_ledger", "vote_tree", "vote_merkle_roots", "vote_agent", "vote_key", "vote_current", "vote_tally",
    "vote_judged", "vote_seal", "vote_checkpoints",
)  # fmt: skip
REPLAYED = {"vote_agent", "vote_key", "vote_current", "vote_tally", "vote_judged"}


def columns() -> list[tuple[str, str]]:
    connection = apsw.Connection(":memory:")
    migrate.apply(connection, migrate.shipped())
    found = [(table, row[1]) for table in TABLES for row in connection.execute(f"PRAGMA table_info({table})")]
    return [column for column in found if column not in FREE]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> VoteLog:
    """Made once; each test changes a copy."""
    return busy(tmp_path_factory.mktemp("built"), VOTES)


@pytest.fixture
def log(built: VoteLog, tmp_path: Path) -> VoteLog:
    return built.copy(tmp_path)


def plainly(log: VoteLog, **options: Any) -> set[str]:
    """What the integrity pass alone finds."""
    return codes(log.verified(signatures=False, policy=False, **options))


@pytest.mark.parametrize("votes", [0, 1, 2, 254, 255, 256, 257, 999, 1_000, 1_001, 2_100])
def test_an_untouched_log_of_any_size_raises_nothing(tmp_path: Path, votes: int) -> None:
    log = VoteLog(tmp_path)
    log.agent("a0")
    log.put_all(log.ballot("a0", number) for number in range(votes))
    log.seal()

    report = log.verified()

    assert [] == report.findings
    assert (votes, votes // 1_000, 1) == (report.votes, report.merkle_roots, report.checkpoints)
    assert 0 == report.exit_code


def test_a_log_with_events_of_every_kind_raises_nothing(log: VoteLog) -> None:
    report = log.verified()

    assert [] == report.findings
    assert ["schema", "structure", "integrity", "checkpoints", "signatures", "policy"] == report.passes
    assert "this node's key" == report.checkpoint_key


@pytest.mark.parametrize(("table", "column"), columns(), ids=str)
@pytest.mark.parametrize("place", ["first", "last"])
def test_an_edited_column_is_found(log: VoteLog, table: str, column: str, place: str) -> None:
    names = [row[1] for row in log.tx.execute(f"PRAGMA table_info({table})")]
    order = ", ".join(f"{name} {'DESC' if place == 'last' else 'ASC'}" for name in names)
    row: Any = log.tx.execute(f"SELECT * FROM {table} ORDER BY {order} LIMIT 1").fetchone()
    where = " AND ".join(f"{name} IS ?" for name in names)

    log.edit(f"UPDATE {table} SET {column} = ? WHERE {where}", (other(log, table, column, row), *row))

    assert set() != codes(log.verified(signatures=False, policy=table in REPLAYED))


def other(log: VoteLog, table: str, column: str, row: tuple[Any, ...]) -> Any:
    """Another value of the column's type than the row has."""
    types = {one[1]: (one[2], row[one[0]]) for one in log.tx.execute(f"PRAGMA table_info({table})")}
    kind, value = types[column]
    if kind in {"INTEGER", "REAL"}:
        return 5_000 if value is None else value + 5_000
    if kind == "TEXT":
        return f"{value or ''}0"
    return bytes([(value or b"\x00")[0] ^ 1]) + (value or b"")[1:]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("vote = -vote", "LEAF_HASH"),
        ("vote_weight = vote_weight + 0.5", "WEIGHT_MIRROR"),
        ("timestamp = '2026-03-02T09:00:00.000001Z'", "LEAF_HASH"),
        ("agent_id = 'u0'", "LEAF_HASH"),
        ("signature = zeroblob(64)", "LEAF_HASH"),
        ("fact_digest = zeroblob(32)", "LEAF_HASH"),
        ("fact_id = fact_id || agent_id, agent_id = ''", "LEAF_HASH"),
        ("prev_hash = zeroblob(32)", "CHAIN_LINK"),
        ("hash = zeroblob(32)", "CHAIN_LINK"),
        ("id = 90000", "GAP"),
        ("kind = 'ballot'", "LEAF_FORM"),
        ("v = 2", "LEAF_FORM"),
        ("event = '{}'", "LEAF_FORM"),
        ("event_id = 'x'", "LEAF_HASH"),
    ],
)
def test_a_change_has_its_code(log: VoteLog, change: str, expected: str) -> None:
    log.edit(f"UPDATE vote_ledger SET {change} WHERE id = 40")

    found = plainly(log)

    assert expected in found
    assert found <= {"LEAF_HASH", "LEAF_FORM", "CHAIN_LINK", "GAP", "TREE_NODE", "TREE_STATE", "HISTORY_REWRITTEN",
                     "BATCH_ROOT", "WEIGHT_MIRROR", "TIME_ORDER"}  # fmt: skip


def test_a_wrong_mirror_is_found_alone_at_its_entry(log: VoteLog) -> None:
    log.edit("UPDATE vote_ledger SET vote_weight = 7.5 WHERE id = 40")

    report = log.verified()

    assert [("WEIGHT_MIRROR", 39)] == [(finding.code, finding.entry) for finding in report.findings]


def test_a_missing_leaf_is_a_gap_and_two_swapped_ones_break_the_chain(built: VoteLog, tmp_path: Path) -> None:
    missing, swapped = built.copy(tmp_path / "missing"), built.copy(tmp_path / "swapped")
    missing.edit("DELETE FROM vote_ledger WHERE id = 40")
    for old, new in ((40, 90_000), (41, 40), (90_000, 41)):
        swapped.edit("UPDATE vote_ledger SET id = ? WHERE id = ?", (new, old))

    assert {"GAP", "CHAIN_LINK"} <= plainly(missing)
    assert {"CHAIN_LINK", "LEAF_HASH"} <= plainly(swapped)


def test_an_id_below_the_first_is_a_gap(log: VoteLog) -> None:
    log.edit("UPDATE vote_ledger SET id = -3 WHERE id = 40")

    assert {"GAP"} < plainly(log)


def test_a_removed_tail_is_missed_by_the_checkpoints(log: VoteLog) -> None:
    log.edit("DELETE FROM vote_ledger WHERE id > 500")

    assert {"TRUNCATED", "TREE_STATE"} <= plainly(log)


def test_an_event_moved_from_the_columns_of_a_vote_into_json_is_found_though_its_hash_stays(log: VoteLog) -> None:
    row: Any = log.tx.execute(f"SELECT {logs.LEAF_COLUMNS} FROM vote_ledger WHERE id = 40").fetchone()
    nothing = "fact_id, agent_id, vote, vote_weight, key, author, fact_digest, reason_digest, at".replace(
        ",", " = NULL,"
    )

    log.edit(
        f"UPDATE vote_ledger SET event = ?, {nothing} = NULL WHERE id = 40",
        (logs.event_bytes(row, log.origin).decode(),),
    )

    assert "LEAF_FORM" in plainly(log)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("DELETE FROM vote_merkle_roots", {"BATCH_ROOT"}),
        ("INSERT INTO vote_merkle_roots SELECT 7, root_hash, 1, 2, 3, '' FROM vote_merkle_roots", {"BATCH_ROOT"}),
        ("UPDATE vote_merkle_roots SET vote_end_id = vote_end_id - 1", {"BATCH_ROOT"}),
        ("DELETE FROM vote_tree WHERE level = 9", {"TREE_NODE"}),
        ("INSERT INTO vote_tree VALUES (20, 0, x'00')", {"TREE_NODE"}),
        ("UPDATE vote_log SET policy = '{}'", {"TREE_STATE"}),
        ("UPDATE vote_log SET votes = votes - 1", {"TREE_STATE"}),
        ("DELETE FROM vote_checkpoints WHERE id = 1", {"CHECKPOINT_SEQ"}),
        ("DELETE FROM vote_checkpoints WHERE id = 3", {"CHECKPOINT_SEQ"}),
        ("UPDATE vote_checkpoints SET id = 9 WHERE id = 3", {"CHECKPOINT_SEQ"}),
        ("UPDATE vote_checkpoints SET tree_size = tree_size - 1 WHERE id = 2", {"CHECKPOINT_SIG"}),
        ("UPDATE vote_checkpoints SET note = replace(note, '— ', '— x')", {"CHECKPOINT_SIG"}),
        ("UPDATE vote_checkpoints SET note = ''", {"CHECKPOINT_SIG"}),
        ("UPDATE vote_checkpoints SET created_at = '' WHERE id = 1", {"CHECKPOINT_SEQ"}),
        ("DELETE FROM vote_seal", {"CHECKPOINT_SEQ"}),
        ("UPDATE vote_log SET origin = 'cortex/votes/x/y'", None),
    ],
)
def test_what_is_derived_has_its_code(log: VoteLog, sql: str, expected: set[str] | None) -> None:
    log.edit(sql)

    found = plainly(log)

    assert expected == found if expected is not None else {"ORIGIN", "LEAF_FORM", "LEAF_HASH"} <= found


def test_a_log_without_its_state_row_is_found(log: VoteLog) -> None:
    log.edit("DELETE FROM vote_log")

    report = log.verified()

    assert {"TREE_STATE"} == codes(report)
    assert None is report.origin


def test_no_log_at_all_is_nothing_to_check(tmp_path: Path) -> None:
    log = VoteLog(tmp_path)
    for table in TABLES:
        log.edit(f"DELETE FROM {table}")

    assert 3 == log.verified().exit_code


def test_checkpoints_count_by_the_key_in_force_at_their_size(log: VoteLog) -> None:
    size = log.value("SELECT size FROM vote_log")
    root = log.value("SELECT tree_root FROM vote_checkpoints WHERE tree_size = ?", (size,))
    first = NodeKey(log.node_key.path.with_name("node.key"))
    note = checkpoint.sign(checkpoint.Checkpoint(log.origin, size, root), first.signer(log.origin))

    log.edit("UPDATE vote_checkpoints SET note = ? WHERE tree_size = ?", (note, size))

    assert {"CHECKPOINT_SIG"} == plainly(log)


def test_a_log_sealed_anew_after_a_change_is_another_history_to_who_remembers(built: VoteLog, tmp_path: Path) -> None:
    log = VoteLog(tmp_path)
    log.agents(2)
    log.put_all(log.ballot("a0", number) for number in range(10))
    log.seal()
    assert log.verified().ok
    forged = VoteLog(tmp_path / "forged")
    forged.agents(2)
    forged.put_all(forged.ballot("a1", number) for number in range(10))
    forged.seal()
    forged.path.replace(log.path)
    log.tx = apsw.Connection(str(log.path))

    assert {"HISTORY_REWRITTEN"} == codes(log.verified())
    assert log.verified(accept=True).ok
    assert log.verified().ok


def test_a_log_shorter_than_remembered_or_gone_or_another_is_a_rollback(built: VoteLog, tmp_path: Path) -> None:
    log = VoteLog(tmp_path)
    log.agents(2)
    log.seal()
    older = log.copy(tmp_path / "older")
    log.vote("a0", 1)
    log.seal()
    assert log.verified().ok
    other = VoteLog(tmp_path / "other", origin="cortex/votes/x/y")
    other.seal()

    for file, expected in ((older.path, {"ROLLBACK"}), (other.path, {"ROLLBACK"})):
        file.replace(log.path)
        log.tx = apsw.Connection(str(log.path))
        assert expected == codes(log.verified())
        assert expected == codes(log.verified(incremental=True))
    for table in TABLES:
        log.edit(f"DELETE FROM {table}")
    assert {"ROLLBACK"} == codes(log.verified())


def test_an_incremental_run_reads_what_is_new_and_agrees_with_a_full_one(log: VoteLog) -> None:
    first = log.verified(signatures=False, policy=False)
    log.put_all(log.ballot("t0", number % 50) for number in range(1_000))
    log.seal()

    second = log.verified(incremental=True, signatures=False, policy=False)
    full = log.verified(signatures=False, policy=False)

    assert [] == second.findings == full.findings
    assert first.size == second.checked_from
    assert (full.root, full.votes, full.merkle_roots, full.checkpoints) == (
        second.root, second.votes, second.merkle_roots, second.checkpoints,
    )  # fmt: skip


def test_an_incremental_run_takes_what_was_verified_as_it_was_and_finds_changes_of_the_new(log: VoteLog) -> None:
    assert set() == plainly(log)
    log.vote("t0", 1)
    log.edit("UPDATE vote_ledger SET vote = -vote WHERE id = 40")

    assert set() == plainly(log, incremental=True)
    newest = log.vote("t0", 2).idx
    log.edit("UPDATE vote_ledger SET vote = -vote WHERE id = ?", (newest + 1,))
    assert {"LEAF_HASH", "TREE_STATE"} == plainly(log, incremental=True)


def test_memory_files_without_votes_still_load_and_each_log_keeps_its_part(log: VoteLog) -> None:
    assert log.verified().ok
    kept = memory.load(log.home, log.path).votes

    assert None is memory.save(log.home, log.path, [])

    assert kept is not None
    assert kept == memory.load(log.home, log.path).votes
    file = memory.place(log.home, log.path)
    file.write_text('{"path": "x", "logs": []}')
    assert None is memory.load(log.home, log.path).votes


@given(
    author=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    reason=st.none() | st.binary(min_size=32, max_size=32),
    weight=st.integers(0, 10**7),
    signature=st.binary(min_size=64, max_size=64),
    ts=st.text(st.characters(exclude_categories=["Cs"])),
    v=st.integers(0, 3),
)
def test_the_bytes_that_a_pass_puts_together_are_those_of_a_leaf(
    author: str, reason: bytes | None, weight: int, signature: bytes, ts: str, v: int
) -> None:
    row = (
        8, "vote", fact_id(1), "a", 1, weight, "id", b"k" * 32, author, b"d" * 32, reason, "at", None, ts, signature, v,
        b"p" * 32, b"h" * 32, weight / 1e6,
    )  # fmt: skip

    hashes = integrity._hashed([row], "origin\n")

    assert [merkle.leaf_hash(logs.encode_row(row, "origin\n"))] == hashes


def test_a_pass_streams_and_says_how_far_it_is(log: VoteLog) -> None:
    seen: list[tuple[int, int]] = []
    state = logs.needed(log.tx)

    integrity.check(
        log.tx,
        state,
        Findings(),
        remembered=None,
        incremental=False,
        progress=lambda done, total, _: seen.append((done, total)),
    )

    assert (state.size, state.size) == seen[-1]
