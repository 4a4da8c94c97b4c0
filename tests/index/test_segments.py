"""Segments of packed sign bits: a process starts from them with the answers that the rows give, whole or not."""

from collections.abc import Callable
from typing import Any

import pytest

from cortex import limits
from cortex.embed.stub import WordEmbedder
from cortex.index import vectors
from cortex.ops.doctor import Diagnose
from cortex.ops.facts import ForgetFact, NewFact, RetractFact, ReviseFact, StoreFacts
from cortex.ops.node import Reindex
from embedders import Opening, contents, embed, meant
from opened import Memory

SIZE = 16
QUERIES = ("the red boat", "a blue car", "river number 7", "said in a talk")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SEGMENT_VECTORS", SIZE)
    # Else every search of these few is exact.
    monkeypatch.setattr(limits, "CANDIDATES_MIN", 12)
    monkeypatch.setattr(limits, "LIST_DEPTH", 3)


@pytest.fixture
def memory(opening: Opening) -> Memory:
    """An open memory with vectors of two kinds, in segments, retired and removed ones among them."""
    memory = opening(embedder=WordEmbedder(64))
    kinds = ("the red boat number", "a blue car number", "the green river number")
    given = [NewFact(content=f"{kinds[n % 3]} {n}", project=("work", "home")[n % 2]) for n in range(60)]
    ids = [fact.id for fact in memory.call(StoreFacts(facts=given)).facts]
    memory.call(
        StoreFacts(facts=[NewFact(content=f"turn {n} said in a talk", thread="talk", seq=n) for n in range(20)])
    )
    embed(memory)
    for number in (3, 17, 44):
        memory.call(ReviseFact(id=ids[number], content=f"the red boat number {number} revised"))
    memory.call(RetractFact(id=ids[9]))
    memory.call(ForgetFact(id=ids[21]))
    assert 0 == embed(memory).pending
    return memory


def answers(memory: Memory) -> list[Any]:
    asked = [
        *({"query": query, "all_projects": True} for query in QUERIES),
        *({"query": query, "project": "home", "top_k": 1} for query in QUERIES),
    ]
    return [
        [(hit.fact.id, hit.score, hit.snippet) for hit in meant(memory, top_k=3, **one).hits]
        if "top_k" not in one
        else contents(meant(memory, **one))
        for one in asked
    ]  # type: ignore[arg-type]


def rows(memory: Memory, sql: str, *bindings: object) -> list[Any]:
    connection = memory.sql()
    try:
        return list(connection.execute(sql, bindings))
    finally:
        connection.close()


def segments(memory: Memory) -> list[tuple[int, int]]:
    return rows(memory, "SELECT first_id, last_id FROM vector_segment ORDER BY first_id")


def are_whole(memory: Memory) -> bool:
    """Whether segments hold every vector but the last few, each segment as it was written and not too long."""
    held = rows(memory, "SELECT first_id, last_id, packed, digest FROM vector_segment ORDER BY first_id")
    records = [vectors.np.frombuffer(packed, dtype=vectors._record(64))["id"].tolist() for _, _, packed, _ in held]
    there = [row_id for (row_id,) in rows(memory, "SELECT id FROM vector ORDER BY id")]
    packed = [row_id for record in records for row_id in record]
    return (
        packed == there[: len(packed)]
        and len(there) - len(packed) < SIZE
        and max(map(len, records)) <= SIZE
        and all(vectors.vector_rows.digest(packed) == digest for _, _, packed, digest in held)
    )


def started(memory: Memory) -> tuple[Memory, list[Any]]:
    """A new process with its answers."""
    memory.close()
    other = memory.reopen()
    return other, answers(other)


def read_rows(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """A list that will hold what is read from rows, not from segments."""
    read: list[tuple[int, int]] = []
    real = vectors.records_between

    def noted(tx: Any, number: Any, dimension: int, first: int, last: int) -> Any:
        read.append((first, last))
        return real(tx, number, dimension, first, last)

    monkeypatch.setattr(vectors, "records_between", noted)
    return read


def test_vectors_are_packed_once_there_are_enough_and_each_once(memory: Memory) -> None:
    assert len(segments(memory)) >= 5
    assert are_whole(memory)


def test_a_new_process_starts_from_segments_with_the_answers_that_the_rows_give(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = answers(memory)
    last = segments(memory)[-1][1]
    read = read_rows(monkeypatch)

    from_segments, found = started(memory)
    with_few_rows = list(read)
    for (first,) in rows(from_segments, "SELECT first_id FROM vector_segment"):
        connection = from_segments.sql()
        connection.execute("DELETE FROM vector_segment WHERE first_id = ?", (first,))
        connection.close()
    from_rows, found_by_rows = started(from_segments)
    from_rows.close()

    assert (right, right) == (found, found_by_rows)
    assert all(first > last for first, _ in with_few_rows)
    assert (1, read[-1][1]) in read


Damage = Callable[[bytes], bytes]
DAMAGES: dict[str, Damage] = {
    "cut short": lambda packed: packed[: len(packed) // 2],
    "cut within a record": lambda packed: packed[:-3],
    "cut by whole records": lambda packed: packed[: len(packed) // 32 // 2 * 32],
    "emptied": lambda packed: b"",
    "altered": lambda packed: packed[:60] + bytes([packed[60] ^ 255]) + packed[61:],
    "longer": lambda packed: packed + packed[:32],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("places", [(0,), (2,), (-1,), (0, 2), (1, 2, 3)], ids=str)
def test_segments_that_are_not_whole_change_no_answer_and_are_packed_anew(
    memory: Memory, damage: Damage, places: tuple[int, ...]
) -> None:
    right, packed = answers(memory), segments(memory)
    connection = memory.sql()
    for place in places:
        first = packed[place][0]
        (blob,) = next(connection.execute("SELECT packed FROM vector_segment WHERE first_id = ?", (first,)))
        connection.execute("UPDATE vector_segment SET packed = ? WHERE first_id = ?", (damage(blob), first))
    connection.close()

    other, found = started(memory)
    embed(other)
    again, afterwards = started(other)
    again.close()

    assert (right, right) == (found, afterwards)
    assert are_whole(other)


def test_a_segment_that_is_not_whole_is_packed_anew_by_a_process_that_did_not_search(memory: Memory) -> None:
    connection = memory.sql()
    connection.execute("UPDATE vector_segment SET packed = substr(packed, 1, 40) WHERE first_id > 1")
    connection.close()
    memory.close()

    with memory.reopen() as other:
        embed(other)

        assert are_whole(other)


def test_a_segment_that_is_not_whole_is_told(memory: Memory) -> None:
    connection = memory.sql()
    connection.execute("UPDATE vector_segment SET packed = x'00' WHERE first_id = 1")
    connection.close()
    memory.close()

    with memory.reopen() as other:
        meant(other, "boat")
        told = [check for check in other.call(Diagnose()).checks if check.name == "vectors"]

    assert [False] == [check.ok for check in told]


def test_forgetting_something_of_a_segment_that_is_not_whole_changes_no_other_answer(memory: Memory) -> None:
    gone = memory.store("a zeppelin").id
    memory.call(StoreFacts(facts=[NewFact(content=f"a lake {n}") for n in range(2 * SIZE)]))
    embed(memory)
    connection = memory.sql()
    connection.execute("UPDATE vector_segment SET packed = substr(packed, 1, 40)")
    connection.close()

    receipt = memory.call(ForgetFact(id=gone))
    other, found = started(memory)
    embed(other)
    again, afterwards = started(other)
    again.close()

    assert "scrubbed" == receipt.state
    assert found == afterwards
    assert are_whole(other)
    with again.reopen() as last:
        assert [] == [content for content in contents(meant(last, "zeppelin", top_k=3)) if "zeppelin" in content]


def test_indexes_made_anew_give_the_same_answers(memory: Memory) -> None:
    right = answers(memory)

    assert 0 == memory.call(Reindex()).pending
    here = answers(memory)
    embed(memory)
    other, elsewhere = started(memory)
    other.close()

    assert (right, right) == (here, elsewhere)
    assert are_whole(other)


def test_vectors_made_anew_give_the_same_answers(memory: Memory) -> None:
    right = [[hit[0] for hit in found] if isinstance(found[0], tuple) else found for found in answers(memory)]
    highest = rows(memory, "SELECT max(id) FROM vector")[0][0]

    assert 0 == embed(memory, anew=True).pending

    assert right == [[hit[0] for hit in found] if isinstance(found[0], tuple) else found for found in answers(memory)]
    assert highest < rows(memory, "SELECT min(id) FROM vector")[0][0], "a number is never given twice"


def test_nothing_is_committed_where_nothing_is_left_to_pack(memory: Memory) -> None:
    embed(memory, anew=True)
    memory.call(StoreFacts(facts=[NewFact(content=f"a lake {n}") for n in range(5)]))
    embed(memory)
    seq = rows(memory, "SELECT change_seq FROM file_state")

    embed(memory)
    embed(memory)

    # Each run gives notice of its embedder.
    assert [(seq[0][0] + 2,)] == rows(memory, "SELECT change_seq FROM file_state")


def test_an_index_that_lags_far_behind_what_was_cleared_away_begins_anew(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = memory.reopen()
    answers(other)
    monkeypatch.setattr(limits, "VECTOR_CHANGES_MAX", 2)
    ids = [
        fact.id
        for fact in memory.call(StoreFacts(facts=[NewFact(content=f"a zeppelin {n}") for n in range(2 * SIZE)])).facts
    ]
    embed(memory)
    assert "a zeppelin" in contents(meant(other, "zeppelin"))[0]
    for fact_id in ids:
        memory.call(RetractFact(id=fact_id))
    memory.call(StoreFacts(facts=[NewFact(content=f"a lake {n}") for n in range(2 * SIZE)]))
    embed(memory)
    assert 2 == rows(memory, "SELECT count(*) FROM vector_change")[0][0]

    found = answers(other)

    assert answers(memory) == found
    assert [] == [content for content in contents(meant(other, "zeppelin", top_k=50)) if "zeppelin" in content]
    other.close()
