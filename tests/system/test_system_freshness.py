"""No search is stale: not by another process's write, nor by a time that came, a thing forgotten or a file restored."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from retrieving_child import other_process

from cortex import limits, maintenance, times
from cortex.embed.stub import WordEmbedder
from cortex.ops.facts import ForgetFact, NewFact, RetractFact, ReviseFact, StoreFacts
from cortex.ops.node import Backup
from cortex.ops.search import SearchFacts
from cortex.progress import silent
from embedders import Opening, contents, embed, meant
from opened import Memory

MODES = ("text", "semantic", "hybrid")


@pytest.fixture
def memory(opening: Opening) -> Memory:
    """An open memory with an embedder."""
    return opening(embedder=WordEmbedder(64))


def found(memory: Memory, query: str, **request: Any) -> dict[str, list[str]]:
    return {mode: contents(memory.call(SearchFacts(query=query, mode=mode, **request))) for mode in MODES}


def rows(memory: Memory, sql: str) -> list[Any]:
    connection = memory.sql()
    try:
        return list(connection.execute(sql))
    finally:
        connection.close()


def everywhere(*texts: str) -> dict[str, list[str]]:
    return {mode: list(texts) for mode in MODES}


def test_an_open_reader_sees_what_another_process_wrote_and_embedded(memory: Memory) -> None:
    memory.store("a red boat")
    embed(memory)
    with other_process(memory.path, memory.home) as other:
        for number in range(20):
            before = meant(memory, f"zeppelin{number}", top_k=200)
            other("store", f"zeppelin{number}")
            by_words = contents(memory.call(SearchFacts(query=f"zeppelin{number}", mode="text")))
            assert 0 == other("embed")

            by_meaning = contents(meant(memory, f"zeppelin{number}", top_k=200))

            assert f"zeppelin{number}" not in contents(before)
            assert ([f"zeppelin{number}"], f"zeppelin{number}") == (by_words, by_meaning[0])
            assert 2 + number == len(by_meaning)


def test_two_processes_see_each_others_revisions_retractions_and_forgetting(memory: Memory) -> None:
    ids = [memory.store(f"the zeppelin number{n} flies").id for n in range(3)]
    embed(memory)
    with other_process(memory.path, memory.home) as other:
        query = "zeppelin"
        assert 3 == len(other("semantic", query)) == len(contents(meant(memory, query)))

        other("revise", ids[0], "the boat number0 sails")
        assert 0 == other("embed")
        assert {"the zeppelin number1 flies", "the zeppelin number2 flies"} == set(found(memory, query)["text"])
        assert "the boat number0 sails" == contents(meant(memory, "boat sails"))[0]
        assert "the zeppelin number0 flies" not in contents(meant(memory, query))

        other("retract", ids[1])
        assert ["the zeppelin number2 flies"] == found(memory, query)["text"]
        assert {"the zeppelin number2 flies", "the boat number0 sails"} == set(found(memory, query)["semantic"])

        assert "scrubbed" == other("forget", ids[2])
        assert {**everywhere("the boat number0 sails"), "text": []} == found(memory, query)

        memory.call(ForgetFact(id=ids[0]))
        assert ([], []) == (other("text", "boat"), other("semantic", "boat"))


def test_a_removed_vector_of_another_process_is_in_no_memory_after_the_next_search(memory: Memory) -> None:
    ids = [fact.id for fact in memory.call(StoreFacts(facts=[NewFact(content=f"word{n}") for n in range(40)])).facts]
    embed(memory)
    meant(memory, "word7")
    index = memory.app.context.meaning._index
    assert index is not None
    ((codes,),) = rows(
        memory, f"SELECT codes FROM vector WHERE revision_id = (SELECT id FROM revision WHERE fact_id = '{ids[7]}')"
    )
    bits = np.packbits(np.frombuffer(codes, dtype=np.int8) > 0).view(np.uint64)
    assert 1 == (index._signs[1]._columns.T == bits).all(axis=1).sum()
    with other_process(memory.path, memory.home) as other:
        assert "scrubbed" == other("forget", ids[7])

        assert "word7" not in contents(meant(memory, "word7", top_k=100))

    assert 0 == (index._signs[1]._columns.T == bits).all(axis=1).sum()


def test_a_question_that_is_asked_again_is_answered_from_memory_until_somebody_writes(memory: Memory) -> None:
    memory.store("a red boat")
    embed(memory)
    asked = SearchFacts(query="red boat")
    with other_process(memory.path, memory.home) as other:
        memory.call(asked)
        memory.call(asked)  # embedding ended meanwhile, at the latest
        assert memory.call(asked).hits[0] is memory.call(asked).hits[0]
        memory.call(asked).hits.clear()  # what a caller does with its list is its own affair
        assert 1 == len(memory.call(asked).hits)

        other("store", "a red boat with sails")
        assert 2 == len(memory.call(asked).hits)
        other("store", "an old red boat with sails")
        assert 3 == len(memory.call(asked).hits)
        assert 0 == other("embed")
        assert {"text", "vector"} == {
            one.list for hit in memory.call(SearchFacts(query="red boat", explain=True)).hits for one in hit.explain
        }


def test_an_answer_ends_with_the_time_in_which_it_is_true(memory: Memory) -> None:
    memory.store("the boat of today", valid_until="2026-03-02T10:00:00Z")
    memory.store("the boat of tomorrow", valid_from="2026-03-02T12:00:00Z")
    memory.store("the boat of the evening", valid_from="2026-03-02T18:00:00Z", valid_until="2026-03-02T19:00:00Z")
    embed(memory)
    seen = []
    for hour in (9, 9, 10, 10, 12, 12, 18, 18, 19, 19):
        memory.clock.set(f"2026-03-02T{hour:02}:00:00Z")
        seen.append({mode: sorted(texts) for mode, texts in found(memory, "boat").items()})

    morning, noon, later = everywhere("the boat of today"), everywhere(), everywhere("the boat of tomorrow")
    evening = everywhere("the boat of the evening", "the boat of tomorrow")
    assert [morning, morning, noon, noon, later, later, evening, evening, later, later] == seen


def test_an_answer_does_not_outlive_a_clock_that_goes_back(memory: Memory) -> None:
    memory.store("the boat of today", valid_from="2026-03-01T00:00:00Z", valid_until="2026-03-02T10:00:00Z")
    embed(memory)
    memory.clock.set("2026-03-02T11:00:00Z")
    assert everywhere() == found(memory, "boat")

    memory.clock.set("2026-03-02T09:30:00Z")

    assert everywhere("the boat of today") == found(memory, "boat")


def test_what_is_recent_is_judged_anew_when_time_goes_by(memory: Memory) -> None:
    memory.store("a red boat")
    embed(memory)
    asked = SearchFacts(query="red boat", boost=["recency"])
    memory.call(asked)
    before = memory.call(asked).hits[0].score

    memory.clock.advance(days=60)

    assert memory.call(asked).hits[0].score < before


def test_an_answer_ends_with_what_it_tells_of(memory: Memory) -> None:
    fact_id = memory.store("a red boat").id
    other_id = memory.store("a red car").id
    embed(memory)
    for _ in range(2):
        assert ["a red boat", "a red car"] == found(memory, "red boat")["hybrid"]

    memory.call(ForgetFact(id=fact_id))
    assert {**everywhere("a red car")} == found(memory, "red boat")
    memory.call(ReviseFact(id=other_id, content="a red coach"))
    assert ["a red coach"] == found(memory, "red boat")["text"]
    memory.call(RetractFact(id=other_id))
    assert everywhere() == found(memory, "red boat")


def test_what_was_kept_under_another_project_caller_or_question_is_no_answer(memory: Memory) -> None:
    memory.store("a red boat")
    memory.store("a red car", project="home")
    embed(memory)
    for _ in range(2):
        assert ["a red boat"] == contents(memory.call(SearchFacts(query="red")))
        assert ["a red car"] == contents(memory.call(SearchFacts(query="red"), project="home"))
        assert 1 == len(memory.call(SearchFacts(query="red", top_k=1, all_projects=True)).hits)
        assert 2 == len(memory.call(SearchFacts(query="red", top_k=2, all_projects=True)).hits)


def _restore(memory: Memory, source: Path) -> None:
    maintenance.restore(memory.app.context.settings, source, silent)


@pytest.mark.parametrize("packed", [4, limits.SEGMENT_VECTORS])
def test_a_restored_backup_is_what_an_open_process_searches_from_then_on(
    memory: Memory, tmp_path: Path, packed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SEGMENT_VECTORS", packed)
    memory.clock.set(times.now())
    memory.call(StoreFacts(facts=[NewFact(content=f"old{n} boat", thread="talk", seq=n) for n in range(12)]))
    embed(memory)
    backup = tmp_path / "backup.db"
    memory.call(Backup(target=str(backup)))
    asked = "old3 boat"
    before = found(memory, asked)
    with other_process(memory.path, memory.home) as other:
        other("semantic", asked)
        other("store", "a boat that came later")
        memory.call(StoreFacts(facts=[NewFact(content=f"new{n} boat") for n in range(12)]))
        assert 0 == other("embed")
        assert "a boat that came later" in contents(meant(memory, "later boat"))
        assert "a boat that came later" in other("semantic", "later boat")

        _restore(memory, backup)

        memory.clock.set(times.now())
        assert before == found(memory, asked)
        assert [] == [text for text in contents(meant(memory, "new3 boat", top_k=100)) if "old" not in text]
        assert [] == [text for text in other("semantic", "later boat") if "old" not in text]
        # What is stored from now on takes the row numbers of what went.
        memory.call(StoreFacts(facts=[NewFact(content=f"newer{n} boat") for n in range(12)]))
        assert 0 == embed(memory).pending
        assert "newer5 boat" == contents(meant(memory, "newer5 boat"))[0]
        assert 24 == len(contents(meant(memory, "boat", top_k=100)))
