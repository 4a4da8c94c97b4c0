"""A file from before search by meaning: it opens, and everything that is derived is made or pending."""

from pathlib import Path
from typing import Any

import apsw
import pytest

from cortex.db import migrate
from cortex.embed.stub import WordEmbedder
from cortex.ops.doctor import Diagnose
from cortex.ops.facts import ForgetFact, NewFact, RetractFact, ReviseFact, StoreFacts
from cortex.ops.ledger import VerifyLedger
from cortex.ops.node import Reindex
from cortex.ops.search import SearchFacts
from cortex.ops.views import ShowFact
from embedders import Opening, contents, embed, meant
from opened import Memory

_COPIED = (
    "SELECT name FROM source.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT LIKE '%fts%'"
)
DERIVED = ("turn_window", "pending", "likeness", "entity", "mention", "vector")


def as_schema_2(memory: Memory) -> None:
    """Turn the file of a memory into what an earlier version would have made of the same facts."""
    memory.close()
    path = memory.path
    older = path.with_name("older.db")
    older.touch(0o600)
    connection = apsw.Connection(str(older))
    connection.execute("PRAGMA secure_delete = ON").fetchall()
    connection.execute("BEGIN")
    migrate.apply(connection, migrate.shipped()[:2])
    connection.execute("COMMIT")
    connection.execute("ATTACH ? AS source", (str(path),))
    for (name,) in connection.execute(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT LIKE '%fts%' AND name <> 'migration'"
    ).fetchall():
        connection.execute(f"DELETE FROM main.{name}")
        connection.execute(f"INSERT INTO main.{name} SELECT * FROM source.{name}")
    connection.execute("INSERT INTO revision_fts (revision_fts) VALUES ('rebuild')")
    connection.execute("DETACH source")
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.close()
    path.unlink()
    older.rename(path)


def rows(memory: Memory, sql: str) -> list[Any]:
    connection = memory.sql()
    try:
        return list(connection.execute(sql))
    finally:
        connection.close()


@pytest.fixture
def memory(opening: Opening) -> Memory:
    """A memory whose file was made by the earlier version, opened by this one."""
    older = opening("older version.db")
    older.call(
        StoreFacts(
            facts=[NewFact(content=f"turn {n} of the talk about boats", thread="talk", seq=n % 5) for n in range(7)]
        )
    )
    ids = [
        fact.id
        for fact in older.call(
            StoreFacts(facts=[NewFact(content=f"the zeppelin number {n}", tags=["air"]) for n in range(5)])
        ).facts
    ]
    older.store("alone in its thread", thread="other", seq=1)
    older.store("a long turn " * 800, thread="long", seq=1)
    older.store("after a long turn", thread="long", seq=2)
    older.store("turn of another project", thread="talk", seq=2, project="home")
    older.store("今日は雨です", thread="talk", seq=7)
    older.call(ReviseFact(id=ids[0], content="the boat number 0"))
    older.call(RetractFact(id=ids[1]))
    older.call(ForgetFact(id=ids[2]))
    as_schema_2(older)
    return opening("older version.db", embedder=WordEmbedder(64))


def test_windows_and_what_is_pending_are_as_if_the_facts_were_stored_now(opening: Opening, memory: Memory) -> None:
    windows = set(rows(memory, "SELECT * FROM turn_window"))
    made = {
        row
        for table, kind in (("revision", 1), ("turn_window", 2))
        for row in rows(memory, f"SELECT {kind}, id FROM {table}")
    }

    assert 0 == embed(memory).pending
    memory.call(Reindex())

    assert set(rows(memory, "SELECT * FROM turn_window")) == windows
    assert 9 == len(windows)
    assert made == set(rows(memory, "SELECT DISTINCT kind, revision_id FROM vector"))
    assert [] == rows(memory, "SELECT 1 FROM pending")


def test_searches_find_what_was_stored_before(memory: Memory) -> None:
    by_words = memory.call(SearchFacts(query="zeppelin", mode="text"))
    first = memory.call(SearchFacts(query="the boat number 0"))
    embed(memory)

    assert {"the zeppelin number 3", "the zeppelin number 4"} == set(contents(by_words))
    assert "the boat number 0" == contents(first)[0] == contents(meant(memory, "the boat number 0"))[0]
    assert "今日は雨です" in contents(memory.call(SearchFacts(query="今日", mode="text")))
    hit = next(
        hit
        for hit in memory.call(SearchFacts(query="talk boats turn 3", explain=True)).hits
        if "turn 3" in hit.fact.content
    )
    assert ["text", "text-window", "vector", "vector-window"] == [one.list for one in hit.explain]


def test_near_duplicates_of_before_are_flagged(memory: Memory) -> None:
    embed(memory)

    again = memory.store("the zeppelin number 3 .", tags=["air"])

    assert [
        fact_id for (fact_id,) in rows(memory, "SELECT fact_id FROM revision WHERE content = 'the zeppelin number 3'")
    ] == memory.call(ShowFact(id=again.id)).similar_to


def test_the_file_is_in_order_and_verifies(memory: Memory) -> None:
    assert [] == [check.found for check in memory.call(Diagnose()).checks if not check.ok]
    assert memory.call(VerifyLedger()).ok
    (kept,) = memory.path.parent.glob("*.bak")
    assert kept.name.endswith("schema-2.bak")


def test_what_was_stored_before_can_be_forgotten_without_a_trace(memory: Memory) -> None:
    (fact_id,) = rows(memory, "SELECT fact_id FROM revision WHERE content = 'the zeppelin number 4'")[0]

    receipt = memory.call(ForgetFact(id=fact_id))

    raw = b"".join(Path(f"{memory.path}{ending}").read_bytes() for ending in ("", "-wal"))
    assert ("scrubbed", False) == (receipt.state, b"zeppelin number 4" in raw)
