"""The SQLite file of Cortex 4."""

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from import_entries import items, read, skip

from cortex import importers, limits
from cortex.errors import Corrupt, CortexError, Invalid
from cortex.importers import Item, Skip

FACTS_4 = """
CREATE TABLE facts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, content TEXT NOT NULL,
    fact_type TEXT NOT NULL DEFAULT 'knowledge', tags TEXT NOT NULL DEFAULT '[]',
    confidence TEXT NOT NULL DEFAULT 'stated', valid_from TEXT NOT NULL, valid_until TEXT, source TEXT,
    meta TEXT DEFAULT '{}', consensus_score REAL DEFAULT 1.0,
    created_at TEXT NOT NULL DEFAULT '2026-01-01 00:00:00', updated_at TEXT NOT NULL DEFAULT '2026-01-01 00:00:00',
    tx_id INTEGER
)
"""
ENDLESS_VIEW = """
CREATE VIEW facts AS
WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT id, 'x' AS content, 'y' AS fact_type FROM n
"""
FACTS_5 = """
CREATE TABLE facts (
    id INTEGER PRIMARY KEY, tenant_id TEXT NOT NULL DEFAULT 'default', project TEXT NOT NULL, content TEXT NOT NULL,
    fact_type TEXT NOT NULL DEFAULT 'knowledge', tags TEXT NOT NULL DEFAULT '[]', metadata TEXT DEFAULT '{}',
    hash TEXT, valid_from TEXT, valid_until TEXT, source TEXT, confidence TEXT DEFAULT 'C3',
    created_at TEXT NOT NULL DEFAULT '2026-01-01 00:00:00', is_tombstoned INTEGER NOT NULL DEFAULT 0,
    is_quarantined INTEGER NOT NULL DEFAULT 0
)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a #1?%20.db"


def make(path: Path, *statements: str, bindings: tuple[object, ...] = ()) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    for statement in statements[:-1]:
        connection.execute(statement)
    connection.execute(statements[-1], bindings)
    return connection


def test_a_row_becomes_an_item_with_its_old_id(path: Path) -> None:
    make(
        path,
        FACTS_4,
        """INSERT INTO facts VALUES (12, 'billing', 'Invoices go out on the 3rd', 'decision', '["dates"]', 'verified',
        '2026-02-01T09:00:00.5', '2026-03-01T10:00:00+01:00', 'cli', '{"why": "banks"}', 1.5,
        '2026-02-01 09:00:01', '2026-02-01 09:00:01', 7)""",
    ).close()

    found = items(path, "cortex4")

    old = {
        "id": 12,
        "confidence": "verified",
        "consensus_score": 1.5,
        "tx_id": 7,
        "created_at": "2026-02-01 09:00:01",
        "updated_at": "2026-02-01 09:00:01",
    }
    expected = Item(
        content="Invoices go out on the 3rd",
        where="row 1, fact 12",
        type="decision",
        tags=("dates",),
        source="cli",
        meta={"why": "banks", "cortex4": old},
        valid_from="2026-02-01T09:00:00.500000Z",
        valid_until="2026-03-01T09:00:00.000000Z",
        project="billing",
    )
    assert [expected] == found


def test_the_columns_of_a_later_version_are_understood(path: Path) -> None:
    make(
        path,
        FACTS_5,
        "INSERT INTO facts (id, project, content, metadata, confidence) VALUES (1, 'p', 'kept', '{\"a\": 1}', 'C2')",
        "INSERT INTO facts (id, project, content, is_tombstoned) VALUES (2, 'p', 'gone', 1)",
        "INSERT INTO facts (id, project, content, is_quarantined) VALUES (3, 'p', 'held', 1)",
        "INSERT INTO facts (id, project, content) VALUES (4, 'p', 'v6_aesgcm:ZoLdo110')",
        "INSERT INTO facts (id, project, content, tags, metadata) VALUES (5, 'p', 'by hand', 'a, b,,a', 'v6_aesgcm:x')",
    ).close()

    found = read(path, "cortex4")

    assert [
        Skip("row 2, fact 2", "it is tombstoned there"),
        Skip("row 3, fact 3", "it is quarantined there"),
        Skip("row 4, fact 4", "its content is encrypted; export it with the program that holds the key"),
    ] == [entry for entry in found if isinstance(entry, Skip)]
    kept, by_hand = (entry for entry in found if isinstance(entry, Item))
    assert ("inferred", "2026-01-01T00:00:00.000000Z") == (kept.confidence, kept.valid_from)
    assert (kept.meta or {})["a"] == 1
    assert ("a", "b") == by_hand.tags
    assert "v6_aesgcm:x" == (by_hand.meta or {})["cortex4"]["metadata"]


def test_the_file_is_recognised_whatever_its_name(path: Path) -> None:
    make(path, FACTS_5).close()

    assert "cortex4" == importers.detect(path)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-02-01", "2026-02-01T00:00:00.000000Z"),
        ("2026-02-01 09:30", "2026-02-01T09:30:00.000000Z"),
        ("2026-02-01 09:30:15", "2026-02-01T09:30:15.000000Z"),
        ("2026-02-01T09:30:15.25Z", "2026-02-01T09:30:15.250000Z"),
        ("2026-02-01T09:30:15+02:00", "2026-02-01T07:30:15.000000Z"),
        ("last week", "2026-01-01T00:00:00.000000Z"),
    ],
)
def test_times_without_an_offset_were_utc(path: Path, written: str, expected: str) -> None:
    insert = "INSERT INTO facts (project, content, valid_from) VALUES ('p', 'x', ?)"
    make(path, FACTS_4, insert, bindings=(written,)).close()

    (found,) = items(path, "cortex4")

    assert expected == found.valid_from


def test_an_end_that_is_not_a_time_does_not_reopen_the_fact(path: Path) -> None:
    make(
        path, FACTS_4, "INSERT INTO facts (project, content, valid_from, valid_until) VALUES ('p', 'x', '', 'ended')"
    ).close()

    assert Skip("row 1, fact 1", "its end 'ended' is not a time") == skip(path, "cortex4")


@pytest.mark.parametrize("content", [b"\xff", b" ", b"x" * (limits.CONTENT_BYTES_MAX + 1)])
def test_a_row_that_cannot_be_a_fact_is_skipped_alone(path: Path, content: bytes) -> None:
    make(
        path,
        FACTS_4,
        "INSERT INTO facts (project, content, valid_from) VALUES ('p', 'fine', '')",
        "INSERT INTO facts (project, content, valid_from) VALUES ('p', CAST(? AS TEXT), '')",
        bindings=(content,),
    ).close()

    fine, skipped = read(path, "cortex4")

    assert [Item, Skip] == [type(fine), type(skipped)]


def test_votes_are_no_facts_and_no_skips(path: Path) -> None:
    make(
        path,
        FACTS_4,
        "CREATE TABLE consensus_votes (id INTEGER PRIMARY KEY, fact_id INTEGER, agent TEXT, vote INTEGER)",
        "INSERT INTO consensus_votes VALUES (1, 1, 'ann', 1), (2, 1, 'bob', 1)",
    ).close()

    assert [] == read(path, "cortex4")


def test_the_file_and_its_folder_stay_as_they_were(path: Path) -> None:
    connection = make(
        path,
        "PRAGMA journal_mode=WAL",
        FACTS_4,
        "INSERT INTO facts (project, content, valid_from) VALUES ('p', 'x', '')",
    )
    connection.close()
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}

    items(path, "cortex4")

    assert before == {file.name: file.read_bytes() for file in path.parent.iterdir()}


def test_what_is_still_in_the_write_ahead_log_is_read(path: Path) -> None:
    writer = make(
        path,
        "PRAGMA journal_mode=WAL",
        FACTS_4,
        "INSERT INTO facts (project, content, valid_from) VALUES ('p', 'x', '')",
    )

    found = items(path, "cortex4")

    assert ["x"] == [item.content for item in found]
    writer.close()


@pytest.mark.parametrize(
    "schema",
    [
        "CREATE TABLE fact (id TEXT)",
        "CREATE TABLE facts (id INTEGER, note TEXT)",
        ENDLESS_VIEW,
        "CREATE VIRTUAL TABLE facts USING fts5(id, content, fact_type)",
    ],
)
def test_a_file_of_something_else_is_refused(path: Path, schema: str) -> None:
    make(path, schema).close()

    with pytest.raises(Invalid, match="not of Cortex 4"):
        importers.detect(path)
    with pytest.raises(Invalid, match="not of Cortex 4"):
        read(path, "cortex4")


def test_generated_columns_are_not_computed(path: Path) -> None:
    make(
        path,
        "CREATE TABLE facts (id INTEGER, content TEXT, fact_type TEXT, source TEXT AS (hex(zeroblob(50000000))))",
        "INSERT INTO facts VALUES (1, 'x', 'knowledge')",
    ).close()

    (found,) = items(path, "cortex4")

    assert "notes/given" == found.source


def damaged(path: Path) -> Iterator[bytes]:
    insert = "INSERT INTO facts (project, content, valid_from) VALUES ('p', hex(zeroblob(300)), '')"
    make(path, FACTS_4, *[insert] * 200).close()
    data = path.read_bytes()
    yield data[:5000]
    yield data[: len(data) // 2]
    yield data[:8192] + b"\xff" * (len(data) - 8192)
    yield data[:100] + b"\xff" * 3000 + data[3100:]
    yield b"SQLite format 3\0" + b"\0" * 50


def test_a_damaged_file_is_corrupt_not_a_crash(path: Path) -> None:
    outcomes = []
    for data in damaged(path):
        path.write_bytes(data)
        try:
            read(path, "cortex4")
        except CortexError as error:
            outcomes.append(type(error))

    assert [Corrupt] * 5 == outcomes
