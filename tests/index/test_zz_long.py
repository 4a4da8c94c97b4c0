"""Nearest vectors: as many as there are up to what is asked for, all of them visible, in the order of their cosines."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, multiple, rule

from conftest import Opening
from cortex import limits
from cortex.embed.stub import WordEmbedder
from cortex.memory.model import Fact
from cortex.ops.facts import ForgetFact, NewFact, RetractFact, ReviseFact, StoreFacts
from cortex.ops.node import Reindex
from cortex.ops.projects import RenameProject
from cortex.ops.search import SearchFacts
from cortex.ops.views import ListFacts
from embedders import contents, cosine, embed, meant
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

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
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
        assert "scrubbed" == self.memory.call(ForgetFact(id=fact_id)).state

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
        assert [(hit.fact.id, hit.fact.revision) for hit in result.hits] == [
            (fact.id, fact.revision) for fact in ranked[:top_k]
        ]

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
TestSearching.settings = settings(max_examples=400, stateful_step_count=25)
