"""Windows over dialogues: kept up with every change, they are what they would be if made anew."""

import itertools
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from cortex.embed.stub import WordEmbedder
from cortex.index.vectors import quantised
from cortex.memory.search import Explanation
from cortex.ops.doctor import Diagnose
from cortex.ops.facts import ForgetFact, NewFact, RetractFact, ReviseFact, StoreFacts
from cortex.ops.node import Reindex
from cortex.ops.search import SearchFacts
from embedders import Opening, embed, forget, meant
from opened import Clock, Memory

THREADS = (None, "a", "b")
places = st.one_of(st.none(), st.integers(0, 4))
texts = st.sampled_from(
    ["yes", "which car", "the blue one", "no " * 300, "word " * 400, "long " * 1_700, "今日は雨です"]
)


def rows(memory: Memory, sql: str) -> list[Any]:
    connection = memory.sql()
    try:
        return list(connection.execute(sql))
    finally:
        connection.close()


def in_order(memory: Memory) -> bool:
    """Whether the text index holds what the facts and windows say."""
    return ["it holds what the facts say"] == [
        check.found for check in memory.call(Diagnose()).checks if check.name == "text index"
    ]


def windows(memory: Memory) -> set[Any]:
    return set(rows(memory, "SELECT id, before_id, after_id FROM turn_window"))


class Talking(RuleBasedStateMachine):
    """Turns come in any order, change places, and go."""

    facts: Bundle[str] = Bundle("facts")
    retracted: Bundle[str] = Bundle("retracted")

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.embedder = WordEmbedder(16)
        self.memory = Memory(folder / "memory.db", folder, Clock(), embedder=self.embedder)

    def teardown(self) -> None:
        self.memory.close()
        self.stack.close()

    @rule(
        target=facts,
        content=texts,
        thread=st.sampled_from(THREADS),
        seq=places,
        project=st.sampled_from(["work", "home"]),
    )
    def store(self, **given: Any) -> Any:
        stored = self.memory.store(**given)
        return multiple() if stored.duplicate else stored.id

    @rule(target=facts, given=st.lists(st.tuples(texts, st.sampled_from(THREADS), places), min_size=2, max_size=6))
    def store_several(self, given: list[tuple[str, str | None, int | None]]) -> Any:
        new = [NewFact(content=content, thread=thread, seq=seq) for content, thread, seq in given]
        stored = self.memory.call(StoreFacts(facts=new)).facts
        return multiple(*(fact.id for fact in stored if not fact.duplicate))

    @rule(
        target=facts, fact_id=consumes(facts), content=texts, thread=st.sampled_from(THREADS), seq=places, times=st.integers(1, 2)
    )  # fmt: skip
    def revise(self, fact_id: str, times: int, **given: Any) -> str:
        clear: list[Any] = [name for name in ("thread", "seq") if given[name] is None]
        for number in range(times):
            self.memory.call(ReviseFact(id=fact_id, tags=[f"time{number}"], clear=clear, **given))
        return fact_id

    @rule(target=retracted, fact_id=consumes(facts))
    def retract(self, fact_id: str) -> str:
        self.memory.call(RetractFact(id=fact_id))
        return fact_id

    @rule(fact_id=st.one_of(consumes(facts), consumes(retracted)))
    def forget(self, fact_id: str) -> None:
        forget(self.memory, fact_id)

    @rule()
    def embed(self) -> None:
        assert 0 == embed(self.memory).pending
        asked = (
            "SELECT v.codes, w.content FROM vector AS v JOIN window_text AS w ON w.id = v.revision_id WHERE v.kind = 2"
        )
        # Neighbours are embedded where they touch the turn: the same for short ones.
        short = [(codes, content) for codes, content in rows(self.memory, asked) if len(content) < 500]
        right = [self.codes(content) for _, content in short]
        assert right == [codes for codes, _ in short]

    @rule()
    def make_anew(self) -> None:
        before = windows(self.memory)

        self.memory.call(Reindex())

        assert before == windows(self.memory)

    @invariant()
    def each_turn_stands_between_its_neighbours(self) -> None:
        turns = rows(
            self.memory,
            "SELECT project_id, thread, id, length(content) FROM revision WHERE retired_at IS NULL"
            " AND thread IS NOT NULL AND seq IS NOT NULL ORDER BY project_id, thread, seq, id",
        )
        right = set()
        for _, group in itertools.groupby(turns, key=lambda turn: turn[:2]):
            padded = [None, *group, None]
            for before, turn, after in zip(padded, padded[1:], padded[2:], strict=False):
                if turn is not None and (before or after) and turn[3] <= 8_000:
                    right.add((turn[2], before and before[2], after and after[2]))
        assert right == windows(self.memory)

    @invariant()
    def what_is_there_is_embedded_or_pending_and_nothing_else_is(self) -> None:
        unmade = "SELECT id FROM {0} WHERE id NOT IN (SELECT revision_id FROM vector WHERE kind = {1}) AND id NOT IN (SELECT revision_id FROM pending WHERE task = {1})"
        stray = "SELECT revision_id FROM {2} WHERE {3} = {1} AND revision_id NOT IN (SELECT id FROM {0})"
        # One statement each, since a thread embeds meanwhile.
        for table, kind in (("revision", 1), ("turn_window", 2)):
            assert [] == rows(self.memory, unmade.format(table, kind))
            assert [] == rows(self.memory, stray.format(table, kind, "vector", "kind"))
            assert [] == rows(self.memory, stray.format(table, kind, "pending", "task"))
        wrong = "SELECT 1 FROM vector AS v LEFT JOIN revision AS r ON r.id = v.revision_id WHERE v.retired IS NOT (r.retired_at IS NOT NULL)"
        assert [] == rows(self.memory, wrong)

    @invariant()
    def the_index_holds_what_the_windows_say(self) -> None:
        assert [] == [
            check.found for check in self.memory.call(Diagnose()).checks if check.name == "text index" and not check.ok
        ]

    def codes(self, content: str) -> bytes:
        vector = self.embedder.embed([content])
        ((_, codes),) = quantised(vector / (vector.astype("f8") ** 2).sum() ** 0.5)
        return codes


TestTalking = Talking.TestCase
TestTalking.settings = settings(max_examples=15, stateful_step_count=20)


@pytest.fixture
def memory(opening: Opening) -> Memory:
    """An open memory with an embedder."""
    return opening(embedder=WordEmbedder(64))


def say(memory: Memory, *turns: str, thread: str = "talk") -> list[str]:
    new = [NewFact(content=content, thread=thread, seq=seq) for seq, content in enumerate(turns)]
    return [fact.id for fact in memory.call(StoreFacts(facts=new)).facts]


def explained(memory: Memory, query: str, fact_id: str, **request: Any) -> list[Explanation]:
    result = memory.call(SearchFacts(query=query, explain=True, **request))
    return next(hit.explain for hit in result.hits if hit.fact.id == fact_id)


def test_a_turn_is_found_by_the_words_and_the_meaning_of_its_neighbours(memory: Memory) -> None:
    _, answer, _ = say(memory, "shall we take the boat or the car?", "yes, the blue one", "good")
    embed(memory)

    found = explained(memory, "boat", answer)
    by_meaning = [hit.fact.content for hit in meant(memory, "boat car").hits]

    assert {"text-window", "vector", "vector-window"} == {one.list for one in found}
    assert "yes, the blue one" in by_meaning


def test_four_lists_find_a_turn_of_a_dialogue(memory: Memory) -> None:
    first, *_ = say(memory, "shall we take the boat?", "yes", "good")
    embed(memory)

    assert ["text", "text-window", "vector", "vector-window"] == [one.list for one in explained(memory, "boat", first)]


def test_a_fact_outside_of_any_dialogue_can_come_first(memory: Memory) -> None:
    say(memory, "shall we take the boat?", "yes", "good")
    memory.store("the invoices go out on the 3rd")
    embed(memory)

    result = memory.call(SearchFacts(query="when do the invoices go out on the 3rd"))

    assert ("the invoices go out on the 3rd", 1.0) == (result.hits[0].fact.content, result.hits[0].score)


def test_a_fact_beside_a_short_dialogue_is_not_lifted_by_other_counts_of_words(memory: Memory) -> None:
    say(memory, "we moved the analytics database", "and who owns it?", "Maria does.")
    memory.store("The staging database is wiped every Sunday night", project="work")
    memory.store("Lunch is at noon", project="work")
    embed(memory)

    found = memory.call(SearchFacts(query="who owns the analytics database", explain=True)).hits

    assert "we moved the analytics database" == found[0].fact.content
    staging = next(hit for hit in found if "staging" in hit.fact.content)
    assert "text-window" not in {one.list for one in staging.explain}


def test_what_was_revised_away_is_in_no_neighbours_window(memory: Memory) -> None:
    question, answer = say(memory, "shall we take the zeppelin?", "yes")
    embed(memory)
    memory.call(ReviseFact(id=question, content="shall we take the boat?"))
    embed(memory)

    result = memory.call(SearchFacts(query="zeppelin", mode="text"))

    assert [] == result.hits
    assert "text-window" in {one.list for one in explained(memory, "boat", answer)}


@pytest.mark.parametrize("length", [30, 80, 160, 400])
def test_turns_of_many_equal_words_leave_nothing_in_the_index_when_they_change(memory: Memory, length: int) -> None:
    new = [
        NewFact(content=f"turn {n} " + "word " * length, thread="talk", seq=seq)
        for n, seq in enumerate([3, 1, 2, 0, 4])
    ]
    ids = [fact.id for fact in memory.call(StoreFacts(facts=new)).facts]
    for fact_id in ids[:3]:
        memory.call(ReviseFact(id=fact_id, content="word " * (length // 2)))
    memory.call(ForgetFact(id=ids[1]))

    assert in_order(memory)


def test_turns_of_other_threads_and_projects_are_no_neighbours(memory: Memory) -> None:
    say(memory, "the zeppelin flies")
    say(memory, "the boat sails", thread="other")
    memory.store("the car drives", thread="talk", seq=1, project="home")

    assert set() == windows(memory)
    assert 1 == len(memory.call(SearchFacts(query="zeppelin", all_projects=True, mode="text")).hits)
