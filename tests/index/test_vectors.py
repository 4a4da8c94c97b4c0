"""Nearest vectors: as many as there are up to what is asked for, all of them visible, in the order of their cosines."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, multiple, rule

from cortex import limits
from cortex.embed.stub import WordEmbedder
from cortex.memory.model import Fact
from cortex.ops.facts import NewFact, RetractFact, ReviseFact, StoreFacts
from cortex.ops.node import Reindex
from cortex.ops.projects import RenameProject
from cortex.ops.search import SearchFacts
from cortex.ops.views import ListFacts
from embedders import Opening, contents, cosine, embed, forget, meant
from opened import Clock, Memory

WORDS = ("red", "green", "blue", "boat", "car", "river")
PROJECTS = ("work", "home", "user")
TYPES = ("knowledge", "decision")
TAGS = ("a", "b")

# Some texts come often, so that there are ties.
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join)
some_tags = st.lists(st.sampled_from(TAGS), unique=True, max_size=2)
instants = st.one_of(st.none(), st.integers(0, 12).map(lambda hour: f"2026-03-02T{9 + hour:02}:30:00.000000Z"))


class Searching(RuleBasedStateMachine):
    """Facts come, change and go in several projects; a search finds what a list with the same filters shows."""

    facts: Bundle[str] = Bundle("facts")
    bounds: dict[str, int] = {}

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        patch = self.stack.enter_context(pytest.MonkeyPatch.context())
        for name, bound in self.bounds.items():
            patch.setattr(limits, name, bound)
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.embedder = WordEmbedder(64)
        self.clock = Clock()
        self.memory = Memory(folder / "memory.db", folder, self.clock, embedder=self.embedder)
        self.rows: dict[tuple[str, int], int] = {}

    def teardown(self) -> None:
        self.memory.close()
        self.stack.close()

    @initialize(target=facts, given=st.lists(texts, min_size=3, max_size=12))
    def begin(self, given: list[str]) -> Any:
        stored = self.memory.call(StoreFacts(facts=[NewFact(content=text, tags=["a"]) for text in given]))
        return multiple(*dict.fromkeys(fact.id for fact in stored.facts))

    @rule(
        target=facts,
        content=texts,
        type=st.sampled_from(TYPES),
        tags=some_tags,
        project=st.sampled_from(PROJECTS),
        key=st.sampled_from([None, None, None, "slot"]),
        valid_from=instants,
        hours=st.one_of(st.none(), st.integers(1, 3)),
    )
    def store(self, valid_from: str | None, hours: int | None, **given: Any) -> Any:
        begins = Clock(valid_from or self.clock.at)
        until = None if hours is None else begins.advance(hours=hours)
        stored = self.memory.store(valid_from=valid_from, valid_until=until, **given)
        return multiple() if stored.duplicate else stored.id

    @rule(target=facts, fact_id=consumes(facts), content=texts, tags=some_tags, times=st.integers(1, 4))
    def revise(self, fact_id: str, content: str, tags: list[str], times: int) -> str:
        for number in range(times):
            self.memory.call(ReviseFact(id=fact_id, content=f"{content} {number}", tags=tags))
        return fact_id

    @rule(fact_id=consumes(facts))
    def retract(self, fact_id: str) -> None:
        self.memory.call(RetractFact(id=fact_id))

    @rule(fact_id=consumes(facts))
    def forget(self, fact_id: str) -> None:
        forget(self.memory, fact_id)

    @rule(hours=st.integers(1, 3))
    def go_on(self, hours: int) -> None:
        self.clock.advance(hours=hours)

    @rule()
    def begin_a_process(self) -> None:
        before, self.memory = self.memory, self.memory.reopen()
        before.close()

    @rule()
    def reindex(self) -> None:
        self.memory.call(Reindex())

    @rule(query=texts, project=st.sampled_from(PROJECTS))
    def search_before_all_is_embedded(self, query: str, project: str) -> None:
        result = meant(self.memory, query, project=project, top_k=100)

        found = [(hit.fact.id, hit.fact.revision) for hit in result.hits]
        shown = self.shown(lambda fact: fact.project in {project, "user"})
        assert len(found) == len(set(found))
        assert set(found) <= {(fact.id, fact.revision) for fact in shown}

    @rule(
        query=texts,
        project=st.sampled_from([None, *PROJECTS]),
        types=st.lists(st.sampled_from(TYPES), unique=True),
        tags=some_tags,
        as_of=instants,
        known_at=instants,
        top_k=st.sampled_from([1, 3, 100]),
    )
    def search(
        self, query: str, project: str | None, types: list[str], tags: list[str], top_k: int, **clocks: Any
    ) -> None:
        assert 0 == embed(self.memory).pending
        where = {"all_projects": True} if project is None else {"project": project}

        result = meant(self.memory, query, types=types, tags=tags, top_k=top_k, **where, **clocks)

        shown = self.shown(lambda fact: project is None or fact.project in {project, "user"}, types, tags, **clocks)
        ranked = sorted(shown, key=lambda fact: (-round(cosine(self.embedder, query, fact.content), 6), self.row(fact)))
        found = [(hit.fact.id, hit.fact.revision) for hit in result.hits]
        right = [(fact.id, fact.revision) for fact in ranked]
        assert len(right[:top_k]) == len(found)
        if self.bounds:
            assert set(found) <= set(right)
        else:
            assert right[:top_k] == found

    def shown(
        self, there: Any, types: list[str] | None = None, tags: list[str] | None = None, **clocks: Any
    ) -> list[Fact]:
        page = self.memory.call(
            ListFacts(all_projects=True, types=types or [], tags=tags or [], limit=limits.PAGE_MAX, **clocks)
        )
        return [fact for fact in page.facts if there(fact)]

    def row(self, fact: Fact) -> int:
        asked = (fact.id, fact.revision)
        if asked not in self.rows:
            connection = self.memory.sql()
            self.rows |= {
                (fact_id, number): row_id
                for fact_id, number, row_id in connection.execute("SELECT fact_id, number, id FROM revision")
            }
            connection.close()
        return self.rows[asked]


TestSearching = Searching.TestCase
TestSearching.settings = settings(max_examples=20, stateful_step_count=25)


class SearchingByBits(Searching):
    """The same with so few candidates that hardly any search is exact, and with segments of a few vectors."""

    bounds = {"LIST_DEPTH": 2, "CANDIDATES_MIN": 3, "EXACT_MAX": 2, "SEGMENT_VECTORS": 4}


TestSearchingByBits = SearchingByBits.TestCase
TestSearchingByBits.settings = settings(max_examples=20, stateful_step_count=25)


@pytest.fixture
def memory(opening: Opening) -> Memory:
    """An open memory with an embedder."""
    return opening(embedder=WordEmbedder(64))


def fill(memory: Memory, given: list[str], **fields: Any) -> list[str]:
    stored = memory.call(StoreFacts(facts=[NewFact(content=content, **fields) for content in given]))
    return [fact.id for fact in stored.facts]


def test_the_score_that_is_explained_is_the_cosine(memory: Memory) -> None:
    fill(memory, ["the red boat", "a blue car"])
    embed(memory)

    result = meant(memory, "red boat", explain=True)

    (one,) = result.hits[0].explain
    assert ("vector", 1) == (one.list, one.rank)
    assert pytest.approx(cosine(WordEmbedder(64), "red boat", "the red boat"), abs=1e-5) == one.score


def test_equal_texts_come_in_the_order_in_which_they_were_stored_however_many(opening: Opening) -> None:
    memory = opening(embedder=WordEmbedder(384))
    ids = [memory.store("the boat lies in the harbour", key=f"slot {n}", project=f"p{n % 3}").id for n in range(40)]
    embed(memory)

    found = [[hit.fact.id for hit in meant(memory, f"boat {n}", all_projects=True, top_k=40).hits] for n in range(60)]

    assert [ids] * 60 == found


def test_a_filter_finds_the_last_matching_fact_among_thousands_that_are_nearer(memory: Memory) -> None:
    fill(memory, [f"the red boat {n}" for n in range(1_000)])
    fill(memory, [f"the red boat {n}" for n in range(1_000, 1_500)], project="home")
    fill(memory, ["a blue car"], tags=["rare"])
    fill(memory, ["a green river"], type="decision", project="home")
    embed(memory)

    rare = meant(memory, "the red boat", tags=["rare"])
    decided = meant(memory, "the red boat", project="home", types=["decision"])
    both = meant(memory, "the red boat", all_projects=True, types=["decision"], tags=["rare"])
    at_home = meant(memory, "the red boat", project="home", top_k=200)

    assert ["a blue car"] == contents(rare)
    assert ["a green river"] == contents(decided)
    assert [] == contents(both)
    assert (200, {"home"}) == (len(at_home.hits), {hit.fact.project for hit in at_home.hits})


def test_a_fact_that_was_revised_hundreds_of_times_hides_no_other(memory: Memory) -> None:
    (often, *_) = fill(memory, ["the red boat number 0", "a blue car", "a green river"])
    for number in range(1, 601):
        memory.clock.advance(seconds=1)
        memory.call(ReviseFact(id=often, content=f"the red boat number {number}"))
    assert 0 == embed(memory).pending

    now = meant(memory, "the red boat number 3")
    then = meant(memory, "the red boat number 3", known_at="2026-03-02T09:05:00Z")

    others = {"a blue car", "a green river"}
    assert ("the red boat number 600", others, 3) == (contents(now)[0], set(contents(now)[1:]), len(now.hits))
    assert ("the red boat number 300", others, 3) == (contents(then)[0], set(contents(then)[1:]), len(then.hits))


def test_a_slot_that_was_filled_hundreds_of_times_hides_no_other(memory: Memory) -> None:
    fill(memory, ["a blue car", "a green river"])
    for start in range(0, 600, 200):
        memory.clock.advance(seconds=1)
        fill(memory, [f"the red boat number {start + n}" for n in range(200)], key="boat")
    embed(memory)

    result = meant(memory, "the red boat number 3")

    assert (3, 1) == (len(result.hits), sum("boat" in content for content in contents(result)))


def book(pages: int, about: str = "chapter") -> str:
    """A text that is parted into a passage for each page."""
    return "\n\n".join(f"{about} {n}. " + f"page{n} " * 100 for n in range(pages))


def test_a_long_text_comes_once_with_the_beginning_of_the_passage_that_is_nearest(memory: Memory) -> None:
    fill(memory, [book(60), "page41 of another text", "a blue car"])
    embed(memory)

    result = meant(memory, "page41")

    assert (3, "a blue car") == (len(result.hits), contents(result)[2])
    (hit,) = [hit for hit in result.hits if hit.fact.content == book(60)]
    assert hit.snippet.startswith("…chapter 41. page41 page41")
    assert hit.snippet.endswith("…")
    assert (len(hit.snippet) <= limits.SNIPPET_CHARS, []) == (True, hit.highlights)


def test_a_text_of_a_thousand_passages_hides_no_other_text(memory: Memory) -> None:
    content = "\n\n".join(f"the red boat number {n}. " + "the red boat " * 66 for n in range(1_100))
    fill(memory, [content[: limits.CONTENT_BYTES_MAX], "a blue car", "a green river", "a red car"])
    embed(memory)

    result = meant(memory, "the red boat")

    assert ["the red boat", "a red car"] == [content[:12] for content in contents(result)[:2]]
    assert 4 == len(result.hits)


def test_many_texts_of_many_passages_are_all_found(memory: Memory) -> None:
    given = [book(12, f"boat {n}") for n in range(100)]
    fill(memory, given)
    embed(memory)

    assert set(given) == set(contents(meant(memory, "boat chapter page3", top_k=100)))


def test_among_clustered_vectors_hardly_any_of_the_ten_nearest_is_missed(opening: Opening) -> None:
    embedder = WordEmbedder(384)
    memory = opening(embedder=embedder)
    given = [f"{WORDS[n % 6]} {WORDS[n % 5]} theme{n % 50} word{n} and{n % 700}" for n in range(3_000)]
    for start in range(0, 3_000, 1_000):
        fill(memory, given[start : start + 1_000])
    embed(memory)
    vectors = embedder.embed(given)
    vectors /= (vectors**2).sum(axis=1, keepdims=True) ** 0.5
    queries = [f"theme{n} word{n * 7} {WORDS[n % 6]}" for n in range(0, 50, 2)]

    found = [set(contents(meant(memory, query))) for query in queries]

    right = 0
    for query, hits in zip(queries, found, strict=True):
        cosines = vectors @ embedder.embed([query])[0]
        right += len(hits & {given[place] for place in (-cosines).argsort()[:10]})
    assert right >= 0.97 * 10 * len(queries)


def test_facts_outside_the_clocks_never_come_however_near(memory: Memory) -> None:
    fill(memory, ["the red boat of the past"], valid_until="2026-03-02T10:00:00Z")
    fill(memory, ["the red boat of the future"], valid_from="2026-03-02T12:00:00Z")
    memory.clock.advance(hours=2)
    fill(memory, ["a blue car"])
    embed(memory)

    assert ["a blue car"] == contents(meant(memory, "the red boat"))
    assert ["the red boat of the past"] == contents(meant(memory, "the red boat", as_of="2026-03-02T09:30:00Z"))
    assert ["the red boat of the past"] == contents(
        meant(memory, "the red boat", as_of="2026-03-02T09:30:00Z", known_at="2026-03-02T09:30:00Z")
    )
    assert [] == contents(meant(memory, "the red boat", known_at="2026-03-02T08:00:00Z"))
    memory.clock.set("2026-03-02T12:00:00Z")
    assert ["the red boat of the future", "a blue car"] == contents(meant(memory, "the red boat"))


def test_a_project_that_is_renamed_keeps_its_vectors(memory: Memory) -> None:
    fill(memory, ["the red boat"], project="home")
    embed(memory)
    memory.call(RenameProject(old="home", new="house"))

    assert ["the red boat"] == contents(meant(memory, "boat", project="house"))
    assert [] == contents(meant(memory, "boat", project="home"))


def test_a_minimum_score_leaves_the_others_out(memory: Memory) -> None:
    fill(memory, ["the red boat", "a blue car"])
    embed(memory)

    result = memory.call(SearchFacts(query="red boat", mode="semantic", min_score=0.5))

    assert ["the red boat"] == contents(result)
