"""Reading the graph: neighbourhoods and shortest paths, of what is visible from a point of view."""

import asyncio
import itertools
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex import limits
from cortex.db.connect import Tx
from cortex.memory import graph
from cortex.memory.graph import Route, Surroundings
from cortex.memory.visibility import View
from cortex.ops.graph import ListEntities, RelateEntities
from opened import START, Clock, Memory

T = TypeVar("T")
NOW = View(as_of=START)


def read(memory: Memory, run: Callable[[Tx], T]) -> T:
    assert 0 == memory.call(ListEntities()).pending
    return asyncio.run(memory.app.context.database.read(run))


def number(tx: Tx, name: str) -> int:
    found = graph.find(tx, 1, name, View(as_of=None))
    assert found is not None
    return found


def around(memory: Memory, name: str, view: View = NOW, **bounds: int) -> Surroundings:
    given = {"depth": 1, "limit": 25, **bounds}
    return read(memory, lambda tx: graph.around(tx, number(tx, name), view, **given))


def path(memory: Memory, start: str, end: str, view: View = NOW, hops: int = 4) -> Route:
    return read(memory, lambda tx: graph.path(tx, number(tx, start), number(tx, end), view, hops=hops))


def join(memory: Memory, pairs: Iterable[tuple[str, str]], **fields: Any) -> list[str]:
    """Relate pairs of names; returns the ids of the facts."""
    return [memory.call(RelateEntities(subject=one, predicate="uses", object=two, **fields)).id for one, two in pairs]


def hops(found: Surroundings) -> dict[str, int]:
    return {node.name: node.hops for node in found.nodes}


def test_depth_says_how_far_is_looked(memory: Memory) -> None:
    join(memory, itertools.pairwise("abcde"))

    assert {"a": 0, "b": 1} == hops(around(memory, "a"))
    assert {"a": 0, "b": 1, "c": 2, "d": 3} == hops(around(memory, "a", depth=3))


def test_a_stated_relation_is_shown_in_place_of_being_mentioned_together(memory: Memory) -> None:
    fact = memory.store("then Redis replaced Memcached at last, and Kafka came")

    found = around(memory, "redis").edges

    expected = [
        ("Redis", "replaces", "Memcached", 1, [fact.id]),
        ("Redis", "mentioned_with", "Kafka", 1, [fact.id]),
        ("Memcached", "mentioned_with", "Kafka", 1, [fact.id]),
    ]
    assert sorted(expected) == sorted((e.subject, e.predicate, e.object, e.weight, e.evidence) for e in found)


def test_the_strongest_neighbours_are_shown_and_what_is_left_out_is_said(memory: Memory) -> None:
    for name in "bcd":
        for count in range("bcd".index(name) + 1):
            memory.store(f"as agreed {name} {count}", tags=["a", name])

    found = around(memory, "a", limit=3)

    assert ({"a": 0, "d": 1, "c": 1}, True) == (hops(found), found.more)
    assert [3, 2] == [edge.weight for edge in found.edges]
    assert not around(memory, "a", limit=4).more


def test_evidence_is_the_last_facts(memory: Memory) -> None:
    ids = [memory.store(f"as agreed {count}", tags=["a", "b"]).id for count in range(5)]

    (edge,) = around(memory, "a").edges

    assert (ids[: -limits.GRAPH_EVIDENCE_MAX - 1 : -1], 5) == (edge.evidence, edge.weight)


def test_entities_far_apart_in_a_long_fact_are_not_mentioned_together(memory: Memory) -> None:
    names = [f"name_{place}" for place in range(limits.LINK_PLACES + 2)]
    memory.store(" ".join(names))

    assert {*names} - {names[-1]} == {*hops(around(memory, names[0]))}
    assert {*names} == {*hops(around(memory, names[1]))}


def test_what_is_not_true_at_the_time_joins_nothing(memory: Memory) -> None:
    join(memory, [("a", "b")], valid_until="2026-06-01T00:00:00Z", valid_from="2026-01-01T00:00:00Z")
    join(memory, [("a", "c")], valid_from="2026-06-01T00:00:00Z")

    assert {"a": 0, "b": 1} == hops(around(memory, "a"))
    assert {"a": 0, "c": 1} == hops(around(memory, "a", View(as_of="2026-07-01T00:00:00.000000Z")))
    assert {"a": 0} == hops(around(memory, "a", View(as_of="2025-07-01T00:00:00.000000Z")))


def test_what_a_newer_value_of_its_slot_took_the_place_of_joins_nothing(memory: Memory) -> None:
    memory.store("as agreed 1", tags=["a", "b"], key="k")
    memory.clock.advance(days=1)
    memory.store("as agreed 2", tags=["a", "c"], key="k")

    assert {"a": 0, "c": 1} == hops(around(memory, "a", View(as_of=memory.clock.at)))


def test_of_the_past_belief_only_what_is_believed_still_is_shown(memory: Memory) -> None:
    join(memory, [("a", "b")])
    then = memory.clock.at
    memory.clock.advance(days=1)
    join(memory, [("a", "c")])

    found = around(memory, "a", View(as_of=memory.clock.at, known_at=then))

    assert {"a": 0, "b": 1} == hops(found)


def test_a_path_is_a_shortest_one_with_evidence_for_each_step(memory: Memory) -> None:
    ids = join(memory, [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e"), ("a", "x"), ("x", "d")])

    found = path(memory, "a", "e")

    assert ["a", "x", "d", "e"] == [node.name for node in found.nodes]
    assert [[ids[4]], [ids[5]], [ids[3]]] == [edge.evidence for edge in found.edges]
    assert found.complete


def test_a_path_is_no_longer_than_asked_for(memory: Memory) -> None:
    join(memory, itertools.pairwise("abcdef"))

    assert [] == path(memory, "a", "f", hops=4).nodes
    assert 6 == len(path(memory, "a", "f", hops=5).nodes)
    assert ["a"] == [node.name for node in path(memory, "a", "a").nodes]


def test_a_path_goes_round_what_is_not_visible(memory: Memory) -> None:
    hidden = "2099-01-01T00:00:00Z"
    for name in map(str, range(40)):
        join(memory, [("start", name)])
        join(memory, [(name, "end")], valid_from=hidden)
    join(memory, [("start", "end")], valid_from=hidden)
    join(memory, [("39", "y"), ("y", "end")])

    found = path(memory, "start", "end")

    assert ["start", "39", "y", "end"] == [node.name for node in found.nodes]


def test_a_search_that_reads_too_much_says_that_it_gave_up(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    join(memory, [*itertools.pairwise("abcd"), *(("a", f"x{n}") for n in range(9))])
    monkeypatch.setattr(limits, "PATH_LINKS_MAX", 5)

    found = path(memory, "a", "d")

    assert ([], False) == (found.nodes, found.complete)


names = st.sampled_from("abcdefgh")
pairs = st.tuples(names, names).filter(lambda pair: pair[0] != pair[1])


@settings(max_examples=40)
@given(st.lists(st.tuples(pairs, st.booleans()), min_size=1, max_size=14, unique_by=lambda edge: edge[0]), names, names)
def test_paths_and_neighbourhoods_are_those_of_the_visible_edges(
    edges: list[tuple[tuple[str, str], bool]], start: str, end: str
) -> None:
    with tempfile.TemporaryDirectory() as folder, Memory(Path(folder) / "memory.db", Path(folder), Clock()) as memory:
        join(memory, [("a", "z"), ("h", "z"), *((name, f"{name}{name}") for name in "abcdefgh")])
        for pair, visible in edges:
            join(memory, [pair], valid_from="2026-01-01T00:00:00Z" if visible else "2099-01-01T00:00:00Z")
        near: dict[str, set[str]] = {}
        for one, two in [("a", "z"), ("h", "z"), *(pair for pair, visible in edges if visible)]:
            near.setdefault(one, set()).add(two)
            near.setdefault(two, set()).add(one)
        expected = distances(near, start)

        found = path(memory, start, end, hops=6)
        around_it = around(memory, start, depth=3, limit=200)

        assert expected.get(end) == (len(found.nodes) - 1 if found.nodes else None)
        own = {name: far for name, far in hops(around_it).items() if len(name) == 1}
        assert {name: far for name, far in expected.items() if far <= 3} == own


def distances(near: dict[str, set[str]], start: str) -> dict[str, int]:
    """How far each name is from `start`."""
    found = {start: 0}
    frontier = [start]
    while frontier:
        frontier = [other for name in frontier for other in near.get(name, ()) if other not in found
                    and not found.update({other: found[name] + 1})]  # fmt: skip
    return {name: far for name, far in found.items() if far <= 6}
