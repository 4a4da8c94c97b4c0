"""Attacks that add what no entry recorded, hide behind an index or a name, or put values of another type."""

import apsw
import pytest
from attack_kit import TRIGGERS, Attacked, build, codes

from cortex.ops.ledger import AcceptLedger, VerifyLedger


@pytest.fixture(scope="module")
def built(tmp_path_factory):  # type: ignore[no-untyped-def]
    return build(tmp_path_factory.mktemp("built"))


@pytest.fixture
def attacked(built, tmp_path):  # type: ignore[no-untyped-def]
    found = Attacked.copy(built, tmp_path, remembered=True)
    for trigger in TRIGGERS:
        found.sql.execute(f"DROP TRIGGER {trigger}")
    yield found
    found.sql.close()


def found_besides_triggers(attacked: Attacked) -> set[str]:
    """The codes, without that of the triggers that the attacker dropped."""
    return {finding.code for finding in attacked.verified().findings if "trigger" not in finding.what}


COPIED = (
    "INSERT INTO revision SELECT max(r.id) OVER () + 1000, r.fact_id, r.project_id, 77, 'x', r.parent, 'PAY ALL', r.type,"
    " r.tags, r.key, r.source, r.meta, r.confidence, r.valid_from, r.valid_until, r.thread, r.seq, r.actor, r.recorded_at,"
    " NULL, r.salt, r.log, 100000, NULL, NULL, 1, NULL FROM revision AS r LIMIT 1"
)

ATTACKS = {
    "a revision nobody recorded": (COPIED, {"FACT_CHANGED"}),
    "a fact nobody recorded": ("INSERT INTO fact VALUES ('01a1fbd9-0000-7000-8000-000000000000', 'x', 1, NULL, NULL)",
                               {"FACT_CHANGED"}),
    "an import nobody recorded": (
        ("INSERT INTO import_run SELECT 'x', project_id, name, format, digest, salt, 0, 0, 0, 0, started_at, NULL, 9, 9"
        " FROM import_run"), {"FACT_CHANGED"}),
    "other words to find a fact by": ("UPDATE revision SET grams = 'free beer' WHERE id = 1", {"FACT_CHANGED"}),
    "another mark for duplicates": ("UPDATE revision SET fingerprint = 1 WHERE id = 1", {"FACT_CHANGED"}),
    "an empty digest": ("UPDATE transactions SET digest = x'' WHERE idx = 1", {"LEAF_HASH", "FACT_CHANGED"}),
    "an empty link": ("UPDATE transactions SET prev = x'' WHERE idx = 5", {"LEAF_HASH", "CHAIN_LINK"}),
    "a log by another name": ("UPDATE ledger_log SET log = 'other'", {"ORIGIN"}),
    "checkpoints of no log": (
        "INSERT INTO ledger_checkpoint SELECT 9, seq, tree_size, tree_root, note, NULL, created_at FROM ledger_checkpoint",
        {"CHECKPOINT_SEQ"}),
    "nodes of no log": ("INSERT INTO ledger_node SELECT 9, level, idx, hash FROM ledger_node", {"TREE_NODE"}),
    "a schema number": ("PRAGMA user_version = 1", {"SCHEMA"}),
    "a table named almost like SQLite's": ("CREATE TABLE sqlitexstat_stash (t TEXT)", {"SCHEMA"}),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_no_entry_recorded_is_found(attacked: Attacked, attack: str) -> None:
    sql, expected = ATTACKS[attack]

    attacked.sql.execute("PRAGMA foreign_keys = OFF")
    attacked.sql.execute(sql)

    found = found_besides_triggers(attacked)
    # An edited entry also gives another tree.
    another_tree = {"HISTORY_REWRITTEN", "TREE_NODE", "TREE_STATE"} if "LEAF_HASH" in expected else set()
    assert expected == found - another_tree


def test_a_revision_that_an_index_leaves_out_is_found(attacked: Attacked) -> None:
    sql = attacked.sql
    sql.execute("PRAGMA writable_schema = ON")
    kept = sql.execute("SELECT * FROM sqlite_schema WHERE name = 'revision_entry'").fetchone()
    sql.execute("DELETE FROM sqlite_schema WHERE name = 'revision_entry'")
    sql.execute("PRAGMA schema_version = 9001")
    sql.close()
    again = Attacked(attacked.path, attacked.home, apsw.Connection(str(attacked.path)))
    again.sql.execute("PRAGMA foreign_keys = OFF")
    again.sql.execute(COPIED)
    again.sql.execute("PRAGMA writable_schema = ON")
    again.sql.execute("INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)", kept)
    again.sql.execute("PRAGMA schema_version = 9002")
    again.sql.close()

    assert "FACT_CHANGED" in codes(again.verified())


def test_only_people_can_take_a_replaced_file_as_it_is(attacked: Attacked) -> None:
    attacked.sql.execute("DELETE FROM transactions")
    with attacked.opened() as memory:
        report = memory.call(VerifyLedger())
        accepted = memory.call(AcceptLedger())

    assert not report.ok
    assert not accepted.ok  # accepting forgets what was remembered; what the file itself shows is still found
    assert "ROLLBACK" in codes(report) - codes(accepted)
