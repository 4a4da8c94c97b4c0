"""Attacks on what no hash covers: indexes that lie, objects under borrowed names, and content that ends a verification."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest
from attack_kit import Attacked, codes

from cortex.errors import Corrupt
from cortex.memory.model import StoredFact
from cortex.ops.agents import AddAgent
from cortex.ops.balloting import NewVote
from cortex.ops.facts import ForgetFact
from cortex.ops.ledger import VerifyLedger
from cortex.ops.vote_ledger import AcceptVotes, MakeVoteCheckpoint, VerifyVotes
from cortex.ops.votes import CastVote, CastVotes
from opened import Memory

Opening = Callable[..., Memory]


@pytest.fixture
def voted(memory: Memory) -> StoredFact:
    """A fact that an agent voted for."""
    fact = memory.store("the contract ends in 2027")
    memory.store("another")
    memory.call(AddAgent(name="auditor"))
    memory.call(CastVote(id=fact.id, vote=1, agent="auditor", reason="the contract says so"))
    memory.call(MakeVoteCheckpoint())
    return fact


@contextmanager
def unlocked(memory: Memory) -> Iterator[apsw.Connection]:
    """A connection of an attacker, without the triggers and without foreign keys."""
    connection = memory.sql()
    connection.execute("PRAGMA foreign_keys = OFF").fetchall()
    triggers: list[Any] = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    yield connection
    for _, text in triggers:
        connection.execute(text)
    connection.close()


@contextmanager
def schema_written(connection: apsw.Connection) -> Iterator[None]:
    """The schema table as a table like others, and everybody made to read it anew."""
    connection.execute("PRAGMA writable_schema = ON").fetchall()
    yield
    version: Any = connection.execute("PRAGMA schema_version").fetchone()
    connection.execute(f"PRAGMA schema_version = {version[0] + 1}").fetchall()
    connection.execute("PRAGMA writable_schema = RESET").fetchall()


def swap(connection: apsw.Connection, table: str, index: str) -> None:
    """Let an index be what was put into a table, and the table what was in the index."""
    roots = dict(
        connection.execute("SELECT name, rootpage FROM sqlite_schema WHERE name IN (?, ?)", (table, index)).fetchall()
    )
    with schema_written(connection):
        for name, root in ((table, roots[index]), (index, roots[table])):
            connection.execute("UPDATE sqlite_schema SET rootpage = ? WHERE name = ?", (root, name))


def told(memory: Memory) -> tuple[set[str], set[str]]:
    """What the owner is told of the votes log and of the ledger."""
    with memory.reopen() as again:
        votes, ledger = again.call(VerifyVotes()), again.call(VerifyLedger())
    return {finding.code for finding in votes.findings}, codes(ledger)


# Indexes.


def test_an_index_that_says_that_a_fact_was_erased_excuses_nothing(memory: Memory, voted: StoredFact) -> None:
    forgotten = memory.store("forgotten")
    memory.call(ForgetFact(id=forgotten.id))
    memory.close()
    with unlocked(memory) as connection:
        connection.execute("DELETE FROM revision WHERE fact_id = ?", (voted.id,))
        connection.execute("DELETE FROM fact WHERE id = ?", (voted.id,))
        connection.execute("CREATE TABLE h (subject, log, idx, PRIMARY KEY (subject, log, idx)) WITHOUT ROWID")
        connection.execute("INSERT INTO h SELECT subject, log, idx FROM transactions WHERE subject IS NOT NULL")
        connection.execute("INSERT INTO h SELECT ?, log, idx FROM transactions WHERE kind = 'erase'", (voted.id,))
        swap(connection, "h", "transactions_subject")
    memory.sql().execute("DROP TABLE h")

    assert ({"SCHEMA", "FACT_MISSING"}, {"SCHEMA", "FACT_MISSING"}) == told(memory)


def test_an_index_that_leaves_a_row_out_is_found_though_nobody_misses_the_row(
    memory: Memory, voted: StoredFact
) -> None:
    memory.close()
    with unlocked(memory) as connection:
        connection.execute("CREATE TABLE h (tail, id, PRIMARY KEY (tail, id)) WITHOUT ROWID")
        connection.execute("INSERT INTO h SELECT tail, id FROM fact WHERE id <> ?", (voted.id,))
        swap(connection, "h", "fact_tail")
    memory.sql().execute("DROP TABLE h")

    assert (set(), {"SCHEMA"}) == told(memory)


def test_two_indexes_at_one_place_are_found(memory: Memory, voted: StoredFact) -> None:
    memory.close()
    with unlocked(memory) as connection, schema_written(connection):
        root = "(SELECT rootpage FROM sqlite_schema WHERE name = 'entity')"
        connection.execute(f"UPDATE sqlite_schema SET rootpage = {root} WHERE name = 'entity_form'")

    assert ({"SCHEMA"}, {"SCHEMA"}) == told(memory)


def test_a_file_with_a_lying_index_is_not_accepted(memory: Memory, voted: StoredFact) -> None:
    memory.close()
    with unlocked(memory) as connection:
        connection.execute("CREATE TABLE h (name, PRIMARY KEY (name)) WITHOUT ROWID")
        swap(connection, "h", "vote_agent_name")

    with memory.reopen() as again:
        assert "SCHEMA" in {finding.code for finding in again.call(AcceptVotes()).findings}


# The schema.


@pytest.mark.parametrize("name", ["sqlite_stat1", "sqlite_stat4"])
def test_a_trigger_under_the_name_of_sqlites_statistics_is_found(memory: Memory, voted: StoredFact, name: str) -> None:
    text = f"CREATE TRIGGER {name} AFTER DELETE ON vote_reason BEGIN SELECT 1; END"
    with unlocked(memory) as connection, schema_written(connection):
        connection.execute("INSERT INTO sqlite_schema VALUES ('trigger', ?, 'vote_reason', 0, ?)", (name, text))
    memory.close()

    assert ({"SCHEMA"}, {"SCHEMA"}) == told(memory)


def test_the_statistics_that_sqlite_itself_keeps_are_no_finding(memory: Memory, voted: StoredFact) -> None:
    memory.sql().execute("ANALYZE")

    assert (set(), set()) == told(memory)


# Content that none of the checks expects.


@pytest.mark.parametrize("at", ["2026-W10-1", "2026-03-02", "20260302T090000Z", "", "2026-03-02T09:00:00+00:00"])
def test_a_time_in_an_odd_form_ends_no_verification(memory: Memory, voted: StoredFact, at: str) -> None:
    with unlocked(memory) as connection:
        connection.execute("UPDATE vote_ledger SET timestamp = ? WHERE id = 3", (at,))
        connection.execute("UPDATE transactions SET ts = ? WHERE idx = 2", (at,))

    votes, ledger = told(memory)

    assert "LEAF_FORM" in votes
    assert "LEAF_FORM" in ledger


def test_text_that_is_no_text_is_a_finding(memory: Memory, voted: StoredFact) -> None:
    with unlocked(memory) as connection:
        connection.execute("UPDATE vote_ledger SET author = CAST(x'ff' AS TEXT) WHERE id = 3")
        connection.execute("UPDATE transactions SET actor = CAST(x'ff' AS TEXT) WHERE idx = 2")

    assert ({"LEAF_FORM", "PROMISE_BROKEN"}, {"LEAF_FORM"}) == told(memory)


@pytest.mark.parametrize("origin", ["", "x", "a name\n"])
def test_an_origin_that_is_none_is_a_finding(memory: Memory, voted: StoredFact, origin: str) -> None:
    with unlocked(memory) as connection:
        connection.execute("UPDATE vote_log SET origin = ?", (origin,))
        connection.execute("UPDATE ledger_log SET origin = ?", (origin,))

    votes, ledger = told(memory)

    assert "ORIGIN" in votes
    assert "ORIGIN" in ledger


def test_the_largest_index_that_there_is_leaves_a_gap(memory: Memory, voted: StoredFact) -> None:
    with unlocked(memory) as connection:
        connection.execute("UPDATE transactions SET idx = 9223372036854775807 WHERE idx = 2")

    assert "GAP" in told(memory)[1]


@pytest.mark.parametrize("number", [-(1 << 63), -1, 0])
def test_a_checkpoint_numbered_from_below_the_first_is_read_too(memory: Memory, voted: StoredFact, number: int) -> None:
    with unlocked(memory) as connection:
        row = "?, 999999999, tree_root, 'junk', NULL, created_at"
        connection.execute(f"INSERT INTO vote_checkpoints SELECT {row} FROM vote_checkpoints LIMIT 1", (number,))
        connection.execute(f"INSERT INTO ledger_checkpoint SELECT log, {row} FROM ledger_checkpoint LIMIT 1", (number,))

    votes, ledger = told(memory)

    assert {"CHECKPOINT_SEQ", "CHECKPOINT_SIG", "TRUNCATED"} == votes
    assert {"CHECKPOINT_SEQ", "CHECKPOINT_SIG"} == ledger


# The ledger's own row, and what ended a belief.

EDITS = {
    "UPDATE ledger_log SET sealed_at = 'x'": {"CHECKPOINT_SEQ"},
    "UPDATE ledger_log SET sealed_at = NULL": {"CHECKPOINT_SEQ"},
    "UPDATE ledger_log SET clock = clock + 1": {"TREE_STATE"},
    "UPDATE ledger_log SET clock = -1": {"TREE_STATE"},
    "UPDATE ledger_checkpoint SET created_at = '' WHERE seq = 1": {"CHECKPOINT_SEQ"},
    "UPDATE ledger_checkpoint SET tree_size = 0 WHERE seq = 1": {"CHECKPOINT_SEQ", "CHECKPOINT_SIG"},
    "UPDATE ledger_checkpoint SET tree_size = -5 WHERE seq = 1": {"CHECKPOINT_SEQ", "CHECKPOINT_SIG"},
    "UPDATE revision SET retired_log = 1, retired_idx = 0 WHERE retired_at IS NULL AND idx = 13": {"FACT_CHANGED"},
    "UPDATE revision SET retired_idx = 6 WHERE retired_at IS NULL AND idx = 13": {"FACT_CHANGED"},
}


@pytest.mark.parametrize("sql", EDITS)
def test_every_column_that_decides_something_is_compared(built: Path, tmp_path: Path, sql: str) -> None:
    attacked = Attacked.copy(built, tmp_path)

    attacked.edit(sql)

    assert EDITS[sql] == codes(attacked.verified())


@pytest.mark.parametrize("edit", ["sealed_at = 'x'", "sealed_at = '2026-03-02'", "ts = 'x'", "clock = -1"])
def test_a_state_row_that_was_edited_is_said_to_be_so_by_whoever_stores(memory: Memory, edit: str) -> None:
    memory.store("one")
    memory.sql().execute(f"UPDATE ledger_log SET {edit}")

    with pytest.raises(Corrupt) as raised:
        memory.store("two")

    assert "ledger verify" in raised.value.hint


# Reasons.


def test_the_reason_that_another_vote_has_too_is_no_residue(memory: Memory) -> None:
    one, other = memory.store("the sky is green"), memory.store("the grass is blue, in another text")
    memory.call(AddAgent(name="auditor"))
    votes = [NewVote(id=fact.id, vote=1, agent="auditor", reason="the contract says so") for fact in (one, other)]
    memory.call(CastVotes(votes=votes))

    receipt = memory.call(ForgetFact(id=one.id))

    assert ("scrubbed", 0) == (receipt.state, receipt.residue)


def test_a_reason_that_is_gone_is_no_finding_and_is_told(memory: Memory, voted: StoredFact) -> None:
    before = memory.call(VerifyVotes())
    with unlocked(memory) as connection:
        connection.execute("DELETE FROM vote_reason")

    after = memory.call(VerifyVotes())

    assert (True, 1, 1) == (before.ok, before.reasons, before.reasons_given)
    assert (True, 0, 1) == (after.ok, after.reasons, after.reasons_given)
