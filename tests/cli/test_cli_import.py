"""What `cortex import` says of an earlier Cortex's file: its ledger, its agents, its votes."""

from pathlib import Path

import apsw
import pytest
from argv import drive, run

# The hashes are SHA-256 of the columns before them with NUL between.
SCHEMA = """
CREATE TABLE facts (id INTEGER PRIMARY KEY, content TEXT, fact_type TEXT);
CREATE TABLE consensus_votes (fact_id INTEGER, agent TEXT, vote INTEGER, timestamp TEXT);
CREATE TABLE transactions (
    id INTEGER PRIMARY KEY, project TEXT, action TEXT, detail TEXT, timestamp TEXT, prev_hash TEXT, hash TEXT
);
INSERT INTO facts VALUES (1, 'the sky is blue', 'knowledge');
INSERT INTO consensus_votes VALUES (1, 'ann b', 1, '2025-11-01 09:00:00'), (7, 'ann b', 1, '2025-11-01 09:00:00');
INSERT INTO transactions VALUES
    (1, 'p', 'store', '{}', '2025-11-01T09:00:00Z', 'GENESIS',
     '295d93941c8625fc6d6fc6c1fcf79a9575aa2cf9aab44dfe6fb0a5379e7d6345'),
    (2, 'p', 'store', '{}', '2025-11-01T10:00:00Z',
     '295d93941c8625fc6d6fc6c1fcf79a9575aa2cf9aab44dfe6fb0a5379e7d6345',
     'd05d2028560762d98b9aef9d79be105900328b1478449a5f4c66d8c788005033');
"""


@pytest.fixture
def old() -> Path:
    path = Path("old.db").absolute()
    apsw.Connection(str(path)).execute(SCHEMA).connection.close()
    return path


def test_an_import_says_what_came_of_the_agents_and_votes_of_an_earlier_file(old: Path) -> None:
    code, out, _ = drive(["import", str(old)])

    assert 0 == code
    sound = "each row has the hash of its columns and follows the one before (form 2, with NUL)"
    assert [
        f"{old}  cortex4  1 stored, 0 already there, 0 skipped",
        f"  ledger transactions: ok, 2 rows checked: {sound}",
        "  agents: 1 imported, 0 already there; votes: 1 imported, 0 already there; 1 skipped",
        "  the agent 'ann b' is called 'ann-b' here",
        "  skipped consensus_votes, ann-b on fact 7: its fact was not imported",
        "here: 1 stored, 0 already there, 0 skipped",
    ] == out.decode().splitlines()


def test_a_tampered_ledger_of_an_earlier_file_is_told_and_ends_with_1(old: Path) -> None:
    apsw.Connection(str(old)).execute("UPDATE transactions SET detail = 'x' WHERE id = 2").connection.close()

    code, out, _ = drive(["import", str(old)])
    again = run(["import", str(old), "--json"])

    assert 1 == code
    assert "  ledger transactions: WRONG, 2 rows checked: row 2 does not fit" in out.decode()
    assert "  WARNING: the earlier ledger" in out.decode()
    (file,) = again.body["files"]
    assert (1, 1, 1) == (again.exit_code, file["duplicates"], file["trust"]["votes_known"])
    assert ["row 2"] == [finding["first_bad"] for finding in file["trust"]["findings"]]
