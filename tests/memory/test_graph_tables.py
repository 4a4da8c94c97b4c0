"""The tables of the graph: what is derived bit by bit equals what is made anew, and nothing stays of what went."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cortex.db.connect import Tx, value
from cortex.memory import entities
from cortex.ops.facts import ForgetFact, RetractFact, ReviseFact, StoreFact
from cortex.ops.graph import ListEntities
from opened import Clock, Memory

TABLES = ("entity", "entity_form", "mention", "relation", "link")

# The tables without the numbers that rows get as they come.
CONTENTS = """
SELECT 'entity', project_id, key, name, kind, facts FROM entity;
SELECT 'form', e.project_id, e.key, f.name, f.kind, f.stated, f.facts FROM entity_form AS f
JOIN entity AS e ON e.id = f.entity_id;
SELECT 'mention', m.revision_id, e.key, m.place, f.name, f.kind, f.stated FROM mention AS m
JOIN entity AS e ON e.id = m.entity_id JOIN entity_form AS f ON f.id = m.form_id AND f.entity_id = e.id;
SELECT 'relation', x.revision_id, s.key, x.predicate, o.key FROM relation AS x
JOIN entity AS s ON s.id = x.subject_id JOIN entity AS o ON o.id = x.object_id;
SELECT 'link', a.project_id, a.key, b.key, l.together, l.related FROM link AS l
JOIN entity AS a ON a.id = l.entity_id JOIN entity AS b ON b.id = l.other_id AND b.project_id = a.project_id;
"""


def contents(tx: Tx) -> list[Any]:
    """Everything in the tables; no row of one table is without those of the others that it names."""
    found = [row for sql in CONTENTS.split(";") for row in tx.execute(sql)]
    assert len(found) == sum(int(str(value(tx, f"SELECT count(*) FROM {table}"))) for table in TABLES)
    return sorted(found, key=repr)


def settled(memory: Memory) -> list[Any]:
    """The contents once nothing is pending."""
    assert 0 == memory.call(ListEntities()).pending
    return read(memory)


def read(memory: Memory) -> list[Any]:
    return asyncio.run(memory.app.context.database.read(contents))


def made_anew(memory: Memory) -> list[Any]:
    asyncio.run(memory.app.context.database.write(entities.rebuild))
    return read(memory)


def derive(memory: Memory, revision_ids: Sequence[int]) -> None:
    asyncio.run(memory.app.context.database.write(lambda tx: entities.derive(tx, revision_ids)))


CLAUSES = (
    "Alice works at Acme",
    "then Redis replaces Memcached",
    "and we met ALICE and Bob",
    "`redis` is in src/app.py",
    "see https://example.com/a",
    "in March 2026 with redis==3",
    "nothing to find here",
    " ".join(f"name_{number}" for number in range(12)),
)
METAS = (
    None,
    {"entities": [{"name": "redis", "kind": "database"}, {"name": "Redis", "kind": "store"}]},
    {"relations": [{"subject": "alice", "predicate": "owns", "object": "redis"}]},
)
contents_of_facts = st.lists(st.sampled_from(CLAUSES), min_size=1, max_size=4).map(". ".join)
tags_of_facts = st.lists(st.sampled_from(["Redis", "billing"]), max_size=2, unique=True)
metas = st.sampled_from(METAS)
which = st.integers(0, 50)

steps = st.lists(
    st.one_of(
        st.tuples(st.just("store"), contents_of_facts, tags_of_facts, metas, st.sampled_from(["work", "home"])),
        st.tuples(st.just("revise"), which, contents_of_facts, tags_of_facts, metas),
        st.tuples(st.just("retract"), which),
        st.tuples(st.just("forget"), which),
        st.tuples(st.just("derive")),
    ),
    max_size=14,
)


@settings(max_examples=60)
@given(steps)
@example(
    [("store", "Alice works at Acme", [], None, "work"), ("derive",), ("forget", 0), ("store", "Bob", [], None, "work")]
)
def test_what_is_derived_bit_by_bit_equals_what_is_made_anew(steps: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder, Memory(Path(folder) / "memory.db", Path(folder), Clock()) as memory:
        kept: list[str] = []
        for step in steps:
            take(memory, kept, *step)

        found = settled(memory)

        assert made_anew(memory) == found
        everything = memory.sql().execute("SELECT max(id) FROM revision").fetchall()[0][0] or 0
        derive(memory, range(everything + 3))
        assert found == read(memory)
        for fact_id in kept:
            memory.call(ForgetFact(id=fact_id))
        assert [] == settled(memory)


def take(memory: Memory, kept: list[str], verb: str, *given: Any) -> None:
    """One step; those that name a fact take one that is still believed."""
    memory.clock.advance(seconds=1)
    if verb == "store":
        content, tags, meta, project = given
        stored = memory.call(StoreFact(content=content, tags=tags, meta=meta, project=project))
        kept += [] if stored.duplicate else [stored.id]
    elif verb == "derive":
        memory.call(ListEntities())
    elif kept and verb == "revise":
        number, content, tags, meta = given
        memory.call(ReviseFact(id=kept[number % len(kept)], content=content, tags=tags, meta=meta))
    elif kept:
        request = RetractFact if verb == "retract" else ForgetFact
        memory.call(request(id=kept.pop(given[0] % len(kept))))


def test_deriving_twice_changes_nothing(memory: Memory) -> None:
    memory.store("Alice works at Acme, and Alice uses Redis")
    found = settled(memory)

    derive(memory, [1, 1, 2])

    assert found == read(memory)


def test_a_name_is_shown_as_most_facts_write_it_and_by_the_most_telling_kind(memory: Memory) -> None:
    for number in range(2):
        memory.store(f"then Redis came {number}")
    memory.store("and `redis` too")
    memory.store("see it", tags=["REDIS"])

    (found,) = memory.call(ListEntities()).entities

    assert ("Redis", "symbol", 4) == (found.name, found.kind, found.facts)


def test_a_kind_that_a_caller_states_is_shown(memory: Memory) -> None:
    memory.store("then Redis came and `Redis` went")
    memory.store("as agreed", meta={"entities": [{"name": "redis", "kind": "cache"}]})

    (found,) = memory.call(ListEntities()).entities

    assert "cache" == found.kind


def test_the_same_name_in_two_projects_is_two_entities(memory: Memory) -> None:
    memory.store("then Redis came", project="one")
    memory.store("then Redis and Kafka came", project="two")

    found = [[entity.name for entity in memory.call(ListEntities(project=name)).entities] for name in ("one", "two")]

    assert [["Redis"], ["Kafka", "Redis"]] == found


@pytest.mark.parametrize("end", [RetractFact, ForgetFact])
def test_an_entity_that_nothing_mentions_any_more_is_gone(memory: Memory, end: Any) -> None:
    first = memory.store("Alice works at Acme")
    memory.store("then Alice came again")
    settled(memory)

    memory.call(end(id=first.id))

    assert ["Alice"] == [entity.name for entity in memory.call(ListEntities()).entities]
    assert {"alice"} == {row[2] for row in read(memory)}


def test_a_fact_that_went_before_its_entities_were_derived_leaves_none(memory: Memory) -> None:
    fact = memory.store("Alice works at Acme")
    memory.call(ForgetFact(id=fact.id))

    derive(memory, [1])

    assert [] == read(memory)
