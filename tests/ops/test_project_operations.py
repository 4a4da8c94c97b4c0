"""Projects as operations: listing and renaming, with all that hangs on a name."""

import pytest

from cortex import limits
from cortex.errors import Conflict, CortexError, Invalid, NotFound
from cortex.ops.facts import ForgetFact, RetractFact
from cortex.ops.ledger import ReadLedgerHistory, VerifyLedger
from cortex.ops.projects import ListProjects, RenameProject
from cortex.ops.search import SearchFacts
from cortex.ops.views import ListFacts, ShowFact
from opened import Memory


def test_projects_are_listed_by_name_with_what_is_believed(memory: Memory) -> None:
    memory.store("one", project="b")
    memory.store("two", project="a")
    memory.call(RetractFact(id=memory.store("three", project="a").id))

    listed = memory.call(ListProjects())

    assert [("a", 1), ("b", 1)] == [(project.name, project.facts) for project in listed.projects]
    assert "work" == listed.current


def test_a_renamed_project_takes_its_facts_along(memory: Memory) -> None:
    fact = memory.store("an invoice", project="old", key="k")
    memory.clock.advance(days=1)

    renamed = memory.call(RenameProject(old="old", new="new"))

    assert ("new", 1) == (renamed.name, renamed.facts)
    assert "new" == memory.call(ShowFact(id=fact.id)).project
    assert [fact.id] == [hit.fact.id for hit in memory.call(SearchFacts(query="invoice", project="new")).hits]
    assert [] == memory.call(ListFacts(project="old")).facts
    assert memory.store("an invoice", project="new", key="k").duplicate
    assert memory.call(VerifyLedger()).ok
    assert ["old"] == [entry.project for entry in memory.call(ReadLedgerHistory(fact=fact.id)).entries]


def test_a_name_that_became_free_can_be_used_again(memory: Memory) -> None:
    first = memory.store("first", project="a")
    memory.call(RenameProject(old="a", new="b"))
    second = memory.store("second", project="a")
    memory.call(RenameProject(old="a", new="c"))

    assert ("b", "c") == tuple(memory.call(ShowFact(id=fact.id)).project for fact in (first, second))
    assert memory.call(VerifyLedger()).ok


def test_a_project_that_has_only_forgotten_facts_can_be_renamed(memory: Memory) -> None:
    memory.call(ForgetFact(id=memory.store("x", project="a").id))

    assert 0 == memory.call(RenameProject(old="a", new="b")).facts
    assert memory.call(VerifyLedger()).ok


def test_renaming_refuses_what_would_lose_or_mix_projects(memory: Memory) -> None:
    memory.store("one", project="a")
    memory.store("two", project="b")
    memory.store("of the person", project="user")

    for old, new, error in (
        ("a", "b", Conflict),
        ("a", "a", Conflict),
        ("nowhere", "c", NotFound),
        ("user", "c", Invalid),
        ("a", "user", Invalid),
        ("a", "-x", Invalid),
        ("a", "", CortexError),
        ("a", " ", CortexError),
        ("a", "x" * (limits.NAME_CHARS_MAX + 1), CortexError),
        ("a", "x\ny", Invalid),
    ):
        with pytest.raises(error):
            memory.call(RenameProject(old=old, new=new))

    assert ["a", "b", "user"] == [project.name for project in memory.call(ListProjects()).projects]


def test_names_that_look_the_same_are_the_same(memory: Memory) -> None:
    memory.store("one", project="caf\u00e9")
    again = memory.store("one", project="cafe\u0301")

    assert again.duplicate
    assert 1 == len(memory.call(ListProjects()).projects)
