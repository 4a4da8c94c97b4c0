"""The operations on the graph: entities, what is round one, paths, and relations that callers state."""

from datetime import UTC, datetime
from typing import Any

import pytest

from cortex.cli import render
from cortex.cli.terminal import Screen
from cortex.errors import Conflict, CortexError, Invalid, NotFound, TooLarge
from cortex.mcp import text
from cortex.ops.facts import ForgetFact, NewFact, ReviseFact, StoreFacts
from cortex.ops.graph import EntityList, EntityPath, FindPath, ListEntities, Neighbourhood, RelateEntities, ShowGraph
from cortex.ops.ledger import VerifyLedger
from cortex.ops.projects import RenameProject
from opened import Memory

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def listed(memory: Memory, **request: Any) -> list[tuple[str, str, int]]:
    found = memory.call(ListEntities(**request))
    return [(entity.name, entity.kind, entity.facts) for entity in found.entities]


def lines(response: Any) -> list[str]:
    return render.lines(response, Screen(width=None, color=False, now=NOW))


def test_entities_are_listed_with_the_most_mentioned_first(memory: Memory) -> None:
    memory.store("then Redis came", tags=["infra"])
    memory.store("and Redis replaced Memcached")

    assert [("Redis", "name", 2), ("infra", "tag", 1), ("Memcached", "name", 1)] == listed(memory)
    assert [("infra", "tag", 1)] == listed(memory, kind="Tag")
    assert [("Redis", "name", 2)] == listed(memory, query="rE")
    assert [] == listed(memory, project="other")


def test_a_cut_list_says_that_there_are_more(memory: Memory) -> None:
    memory.store("as agreed", tags=["a", "b", "c"])

    assert (True, False) == (
        memory.call(ListEntities(limit=2)).more,
        memory.call(ListEntities(limit=3)).more,
    )


def test_an_entity_that_only_facts_of_another_time_mention_is_not_there(memory: Memory) -> None:
    memory.store("then Redis came", valid_from="2026-06-01T00:00:00Z")

    assert [] == listed(memory)
    assert [("Redis", "name", 1)] == listed(memory, as_of="2026-07-01T00:00:00Z")
    with pytest.raises(NotFound, match="mentions 'redis'"):
        memory.call(ShowGraph(entity="redis"))


def test_the_graph_of_an_entity_has_its_facts_and_edges(memory: Memory) -> None:
    fact = memory.store("Alice works at Acme")

    found = memory.call(ShowGraph(entity="ALICE"))

    assert ("Alice", "person", [fact.id], False, 0) == (
        found.entity, found.kind, found.evidence, found.more, found.pending
    )  # fmt: skip
    assert [("Alice", "works_at", "Acme", [fact.id])] == [
        (edge.subject, edge.predicate, edge.object, edge.evidence) for edge in found.edges
    ]


@pytest.mark.parametrize(
    ("given", "shown"), [("save_user()", "save_user"), ("./src/a.py", "src/a.py"), ("bob", "@bob")]
)
def test_an_entity_is_found_as_it_is_written(memory: Memory, given: str, shown: str) -> None:
    memory.store("ask @bob why save_user() is in src/a.py")

    assert shown == memory.call(ShowGraph(entity=given)).entity


def test_an_unknown_entity_is_told_with_names_near_it(memory: Memory) -> None:
    memory.store("then Postgres and Kafka came")

    with pytest.raises(NotFound) as raised:
        memory.call(ShowGraph(entity="Postgers"))
    with pytest.raises(NotFound) as begun:
        memory.call(FindPath(start="kafka", end="post"))
    with pytest.raises(NotFound, match="cortex entities"):
        memory.call(ShowGraph(entity="entirely else"))

    assert "there is 'Postgres'" == raised.value.hint
    assert "there is 'Postgres'" == begun.value.hint


def test_a_path_leads_over_facts(memory: Memory) -> None:
    memory.store("Alice works at Acme")
    memory.store("Acme uses Redis")

    found = memory.call(FindPath(start="alice", end="redis"))

    assert ["Alice", "Acme", "Redis"] == [node.name for node in found.nodes]
    assert ["Alice → Acme → Redis", "  Alice  works at  Acme", "  Acme  uses  Redis"] == [
        line.partition("  (")[0] for line in lines(found)
    ]


def test_a_stated_relation_is_a_fact_like_any_other(memory: Memory) -> None:
    stated = memory.call(
        RelateEntities(subject="ann", predicate="sings with", object="the choir", object_kind="Group", tags=["music"])
    )

    assert ("ann sings with the choir", "relation") == (stated.content, stated.type)
    assert [("ann", "sings_with", "the choir")] == edges(memory, "ann")
    assert ("group",) == tuple(kind for name, kind, _ in listed(memory) if name == "the choir")
    assert memory.call(VerifyLedger(text=True)).ok
    memory.call(ReviseFact(id=stated.id, meta={"relations": []}, content="ann left"))
    assert [("ann", "sings_with", "the choir")] != edges(memory, "music")
    memory.call(ForgetFact(id=stated.id))
    assert [] == listed(memory)


def edges(memory: Memory, entity: str) -> list[tuple[str, str, str]]:
    found = memory.call(ShowGraph(entity=entity)).edges
    return [(edge.subject, edge.predicate, edge.object) for edge in found if edge.predicate != "mentioned_with"]


def test_the_same_relation_twice_is_kept_once(memory: Memory) -> None:
    first = memory.call(RelateEntities(subject="ann", predicate="owns", object="redis"))

    again = memory.call(RelateEntities(subject="ann", predicate="owns", object="redis"))

    assert (first.id, True) == (again.id, again.duplicate)


def test_a_relation_that_reads_like_another_is_refused(memory: Memory) -> None:
    memory.call(RelateEntities(subject="a", predicate="b c", object="d"))

    with pytest.raises(Conflict, match="reads the same"):
        memory.call(RelateEntities(subject="a b", predicate="c", object="d"))


@pytest.mark.parametrize(
    "given",
    [
        {"subject": " "},
        {"object": "a\nb"},
        {"predicate": "mentioned_with"},
        {"predicate": "--"},
        {"object": "ANN"},
        {"subject": "x" * 201},
        {"object_kind": "\u202e"},
    ],
)
def test_what_cannot_be_a_relation_is_refused(memory: Memory, given: dict[str, str]) -> None:
    request = {"subject": "ann", "predicate": "uses", "object": "redis", **given}

    with pytest.raises((Invalid, TooLarge)):
        memory.call(RelateEntities(**request))


def test_entities_stay_with_a_renamed_project(memory: Memory) -> None:
    memory.store("then Redis came", project="old")

    memory.call(RenameProject(old="old", new="new"))

    assert [("Redis", "name", 1)] == listed(memory, project="new")


def test_a_thousand_facts_are_looked_through_before_reading(memory: Memory) -> None:
    memory.call(StoreFacts(facts=[NewFact(content=f"then Redis came {number}") for number in range(1_000)]))

    assert [("Redis", "name", 1_000)] == listed(memory)


HOSTILE = "x\\](http://a) **b** `c` <script> | # y"


def test_hostile_names_stay_on_their_line_and_in_their_quotes(memory: Memory) -> None:
    memory.call(RelateEntities(subject=HOSTILE, predicate="uses", object='say "hi"\\'))
    answers: list[Any] = [
        memory.call(ListEntities()),
        memory.call(ShowGraph(entity=HOSTILE, depth=2)),
        memory.call(FindPath(start=HOSTILE, end='say "hi"\\')),
    ]

    for answer in answers:
        told = text.render(answer, NOW)
        for line in [*lines(answer), *told.split("\n")]:
            assert line.isprintable()
        assert told.count("<script>") == told.count(f': "{HOSTILE}'.replace("\\", 2 * "\\")) > 0


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (EntityList(entities=[], more=False, pending=3), ["no entities", "still to be looked through: 3 facts"]),
        (EntityPath(nodes=[], edges=[], complete=True, pending=0), ["no path"]),
        (
            EntityPath(nodes=[], edges=[], complete=False, pending=0),
            ["no path found before the search was given up: try fewer --hops"],
        ),
        (
            Neighbourhood(entity="a", kind="name", evidence=[], nodes=[], edges=[], more=True, pending=0),
            ["a  name", "  related to nothing else", "more: raise --limit"],
        ),
    ],
)
def test_people_read_it_line_by_line(response: Any, expected: list[str]) -> None:
    assert expected == lines(response)


def test_nothing_to_read_is_no_fault_of_the_graph(memory: Memory) -> None:
    with pytest.raises(CortexError):
        memory.call(ShowGraph(entity="anything"))
    assert [] == listed(memory)
