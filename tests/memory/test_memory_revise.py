"""Revising and retracting: every revision stays, and nobody overwrites what they have not seen."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.errors import Conflict, CortexError, Invalid, NotFound, RevisionConflict
from cortex.memory.model import Fact
from cortex.ops.facts import ForgetFact, RetractFact, ReviseFact, StoreFact
from cortex.ops.ledger import ReadLedgerHistory, VerifyLedger
from cortex.ops.node import ReadStatus
from cortex.ops.search import SearchFacts
from cortex.ops.views import ListFacts, ReadHistory, ShowFact
from opened import Clock, Memory

FULL: dict[str, Any] = {
    "content": "one",
    "type": "decision",
    "tags": ["a"],
    "key": "k",
    "source": "s",
    "meta": {"m": 1},
    "confidence": "inferred",
    "thread": "t",
    "seq": 3,
    "valid_from": "2026-01-01T00:00:00.000000Z",
    "valid_until": "2027-01-01T00:00:00.000000Z",
}
OTHER: dict[str, Any] = {
    "content": "two",
    "type": "error",
    "tags": ["b", "c"],
    "key": "l",
    "source": "z",
    "meta": {"n": [2]},
    "confidence": "stated",
    "thread": "u",
    "seq": 4,
    "valid_from": "2026-01-02T00:00:00.000000Z",
    "valid_until": "2027-01-02T00:00:00.000000Z",
}


def fields(fact: Fact) -> dict[str, Any]:
    return {name: getattr(fact, name) for name in FULL}


@pytest.mark.parametrize("name", FULL)
def test_a_revision_changes_what_is_given_and_nothing_else(memory: Memory, name: str) -> None:
    fact = memory.call(StoreFact(**FULL))

    revised = memory.call(ReviseFact(**{"id": fact.id, name: OTHER[name]}))

    assert {**FULL, name: OTHER[name]} == fields(revised) == fields(memory.call(ShowFact(id=fact.id)))
    assert (fact.id, 2, fact.project) == (revised.id, revised.revision, revised.project)


@pytest.mark.parametrize("name", ["tags", "key", "source", "meta", "thread", "seq", "valid_until"])
def test_a_field_can_be_cleared(memory: Memory, name: str) -> None:
    fact = memory.call(StoreFact(**FULL))

    revised = memory.call(ReviseFact(id=fact.id, clear=[name]))

    assert {**FULL, name: [] if name == "tags" else None} == fields(revised)


@pytest.mark.parametrize("name", ["content", "type", "confidence", "valid_from", "id", "project", "nonsense"])
def test_what_every_fact_has_cannot_be_cleared(memory: Memory, name: str) -> None:
    fact = memory.store("one")

    with pytest.raises(Invalid):
        memory.call(ReviseFact(id=fact.id, clear=[name]))


def test_giving_and_clearing_the_same_field_is_refused(memory: Memory) -> None:
    fact = memory.store("one")

    with pytest.raises(Invalid, match="key"):
        memory.call(ReviseFact(id=fact.id, key="k", clear=["key"]))


def test_a_revision_that_says_nothing_is_refused(memory: Memory) -> None:
    fact = memory.store("one")

    with pytest.raises(Invalid, match="nothing to revise"):
        memory.call(ReviseFact(id=fact.id))


def test_a_revision_that_changes_nothing_makes_no_revision(memory: Memory) -> None:
    fact = memory.call(StoreFact(**FULL))
    before = memory.call(ReadStatus()).entries

    same = memory.call(ReviseFact(id=fact.id, **FULL))

    assert (1, before) == (same.revision, memory.call(ReadStatus()).entries)


def test_every_revision_stays_readable(memory: Memory) -> None:
    fact = memory.store("draft 1")
    for number in range(2, 12):
        memory.clock.advance(minutes=1)
        memory.call(ReviseFact(id=fact.id, content=f"draft {number}"))

    told = memory.call(ReadHistory(id=fact.id)).revisions

    assert [f"draft {number}" for number in range(1, 12)] == [revision.content for revision in told]
    assert list(range(1, 12)) == [revision.revision for revision in told]
    assert [later.recorded_at for later in told[1:]] == [earlier.retired_at for earlier in told[:-1]]
    assert told[-1].retired_at is None


def test_a_revision_is_found_by_its_new_words_only(memory: Memory) -> None:
    fact = memory.store("the server is called juniper")
    memory.clock.advance(days=1)
    memory.call(ReviseFact(id=fact.id, content="the server is called rosemary"))

    def hits(query: str) -> list[int]:
        return [hit.fact.revision for hit in memory.call(SearchFacts(query=query)).hits]

    assert ([], [2]) == (hits("juniper"), hits("rosemary"))
    assert [2] == [fact.revision for fact in memory.call(ListFacts()).facts]


def test_if_revision_refuses_what_was_decided_on_older_text(memory: Memory) -> None:
    fact = memory.store("one")
    memory.call(ReviseFact(id=fact.id, content="two", if_revision=1))

    for request in (
        ReviseFact(id=fact.id, content="three", if_revision=1),
        ReviseFact(id=fact.id, content="two", if_revision=1),
        ReviseFact(id=fact.id, content="three", if_revision=9),
        RetractFact(id=fact.id, if_revision=1),
    ):
        with pytest.raises(CortexError) as caught:
            memory.call(request)
        assert "revision_conflict" == caught.value.kind

    assert "two" == memory.call(ShowFact(id=fact.id)).content
    assert 3 == memory.call(ReviseFact(id=fact.id, content="three", if_revision=2)).revision


def test_concurrent_revisions_of_different_fields_lose_nothing(memory: Memory) -> None:
    fact = memory.store("one")

    done = memory.together(
        [ReviseFact(id=fact.id, content="two"), ReviseFact(id=fact.id, key="k"), ReviseFact(id=fact.id, tags=["t"])]
    )

    shown = memory.call(ShowFact(id=fact.id))
    assert {2, 3, 4} == {fact.revision for fact in done}
    assert ("two", "k", ["t"]) == (shown.content, shown.key, shown.tags)


def test_of_many_that_decided_on_the_same_revision_one_wins(memory: Memory) -> None:
    fact = memory.store("one")

    done = memory.together([ReviseFact(id=fact.id, content=f"by {n}", if_revision=1) for n in range(10)])

    won = [answer for answer in done if isinstance(answer, Fact)]
    assert 1 == len(won)
    assert {"revision_conflict"} == {answer.kind for answer in done if isinstance(answer, CortexError)}
    assert won[0].content == memory.call(ShowFact(id=fact.id)).content


def test_two_processes_revise_one_fact_and_both_are_kept(memory: Memory) -> None:
    fact = memory.store("one")

    with memory.reopen() as other:
        other.call(ReviseFact(id=fact.id, key="k"))
        memory.call(ReviseFact(id=fact.id, content="two"))

        shown = other.call(ShowFact(id=fact.id))
        assert ("two", "k", 3) == (shown.content, shown.key, shown.revision)


def test_a_retracted_fact_keeps_its_history_and_cannot_be_changed(memory: Memory) -> None:
    fact = memory.store("one")
    memory.clock.advance(days=1)

    retracted = memory.call(RetractFact(id=fact.id[-8:]))

    assert memory.clock() == retracted.retired_at == memory.call(ShowFact(id=fact.id)).retired_at
    assert ["one"] == [revision.content for revision in memory.call(ReadHistory(id=fact.id)).revisions]
    for request in (
        ReviseFact(id=fact.id, content="two"),
        RetractFact(id=fact.id),
        ReviseFact(id=fact.id, content="one"),
    ):
        with pytest.raises(Conflict, match="retracted"):
            memory.call(request)


def test_a_forgotten_fact_cannot_be_changed(memory: Memory) -> None:
    fact = memory.store("one")
    memory.call(ForgetFact(id=fact.id))

    for request in (ReviseFact(id=fact.id, content="two"), RetractFact(id=fact.id), ForgetFact(id=fact.id)):
        with pytest.raises(NotFound):
            memory.call(request)


def test_forgetting_erases_every_revision(memory: Memory) -> None:
    fact = memory.store("first secret of the vault")
    memory.call(ReviseFact(id=fact.id, content="second secret of the vault"))

    receipt = memory.call(ForgetFact(id=fact.id))

    assert (2, "scrubbed") == (receipt.revisions, receipt.state)
    assert [] == memory.call(SearchFacts(query="secret vault", known_at=memory.clock())).hits
    assert ["fact", "revise", "erase"] == [entry.kind for entry in memory.call(ReadLedgerHistory(fact=fact.id)).entries]
    assert memory.call(VerifyLedger()).ok


def test_a_bad_interval_is_refused_also_against_what_stays(memory: Memory) -> None:
    fact = memory.store("one", valid_from="2026-01-01T00:00:00Z", valid_until="2026-02-01T00:00:00Z")

    with pytest.raises(Invalid, match="valid_until"):
        memory.call(ReviseFact(id=fact.id, valid_from="2026-02-01T00:00:00Z"))

    assert 1 == memory.call(ShowFact(id=fact.id)).revision


# Any text: surrogates cannot be stored, and what is mere space is no content.
CONTENT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200).filter(
    lambda text: any(char.isprintable() and not char.isspace() for char in text)
)
NAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp", "Cn", "Co", "Zs"]), min_size=1, max_size=30
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5, alphabet="abé\x00\""), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip
FACTS = st.fixed_dictionaries(
    {"content": CONTENT},
    optional={
        "type": NAMES,
        "key": NAMES,
        "source": NAMES,
        "thread": NAMES,
        "tags": st.lists(NAMES, max_size=3, unique=True),
        "meta": st.dictionaries(st.text(max_size=5, alphabet="abc"), JSON, max_size=3),
        "seq": st.integers(0, (1 << 53) - 1),
    },
)


def test_any_fact_comes_back_exactly_and_stays_provable(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("any")
    with Memory(folder / "memory.db", folder / "home", Clock()) as memory:

        @given(given=FACTS, revised=CONTENT)
        def comes_back(given: dict[str, Any], revised: str) -> None:
            memory.clock.advance(seconds=1)
            stored = memory.call(StoreFact(**given))
            after = memory.call(ReviseFact(id=stored.id, content=revised))

            shown = memory.call(ShowFact(id=stored.id, history=True))
            assert revised == after.content == shown.content
            if not stored.duplicate:
                first = shown.revisions[0]
                assert given == {name: getattr(first, name) for name in given}

        comes_back()
        assert memory.call(VerifyLedger()).ok


def test_the_history_of_a_slot_that_was_emptied_is_empty(memory: Memory) -> None:
    fact = memory.store("port is 1", key="port")
    memory.call(RetractFact(id=fact.id))

    found = memory.call(ReadHistory(id=fact.id))

    assert (1, []) == (len(found.revisions), found.slot)


def test_revising_to_what_is_there_makes_no_revision_and_still_checks_the_number(memory: Memory) -> None:
    fact = memory.store("one")

    assert 1 == memory.call(ReviseFact(id=fact.id, content="one", if_revision=1)).revision
    with pytest.raises(RevisionConflict):
        memory.call(ReviseFact(id=fact.id, content="one", if_revision=2))
