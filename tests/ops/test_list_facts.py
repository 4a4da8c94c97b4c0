"""Listing: filters, and pages that show what was believed when the first of them was read."""

import base64
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex import limits
from cortex.errors import Conflict, CortexError, Invalid
from cortex.ops.facts import ForgetFact, NewFact, RetractFact, ReviseFact, StoreFacts
from cortex.ops.views import FactPage, ListFacts
from opened import Clock, Memory


def contents(page: FactPage) -> list[str]:
    return [fact.content for fact in page.facts]


def fill(memory: Memory, count: int, **fields: Any) -> list[str]:
    done = memory.call(StoreFacts(facts=[NewFact(content=f"fact {number}", **fields) for number in range(count)]))
    return [fact.id for fact in done.facts]


def rest(memory: Memory, cursor: str | None, **request: Any) -> list[str]:
    """What the pages from `cursor` on show."""
    found: list[str] = []
    while cursor is not None:
        page = memory.call(ListFacts(cursor=cursor, **request))
        found += contents(page)
        cursor = page.next
    return found


def test_the_last_changed_comes_first(memory: Memory) -> None:
    first, *_ = fill(memory, 3)
    memory.call(ReviseFact(id=first, content="fact 0, revised"))

    assert ["fact 0, revised", "fact 2", "fact 1"] == contents(memory.call(ListFacts()))


def test_filters_narrow_and_combine(memory: Memory) -> None:
    memory.store("a", type="decision", tags=["x", "y"], key="k", thread="t")
    memory.store("b", type="decision", tags=["x"])
    memory.store("c", type="error", tags=["y", "x", "z"], thread="t")
    memory.store("d", type="knowledge", project="other", tags=["x"])

    def listed(**narrow: Any) -> list[str]:
        return sorted(contents(memory.call(ListFacts(**narrow))))

    assert ["a", "b"] == listed(types=["decision"])
    assert ["a", "b", "c"] == listed(types=["decision", "error"])
    assert ["a", "c"] == listed(tags=["x", "y"])
    assert ["c"] == listed(tags=["x", "y", "z"])
    assert [] == listed(tags=["x", "nowhere"])
    assert ["a"] == listed(key="k") == listed(types=["decision"], tags=["y"], thread="t")
    assert ["a", "c"] == listed(thread="t")
    assert ["a", "b", "c", "d"] == listed(all_projects=True)
    assert ["d"] == listed(project="other", tags=["x"])
    assert [] == listed(project="never heard of")


@pytest.mark.parametrize("tag", ["a", '"a"', "a,b", "a%", "_", "[", "A", "ä"])
def test_a_tag_filter_takes_the_tag_as_it_is(memory: Memory, tag: str) -> None:
    memory.store("yes", tags=[tag])
    memory.store("no", tags=[f"{tag}x", "ab"])

    assert ["yes"] == contents(memory.call(ListFacts(tags=[tag])))


def test_every_shows_the_past_and_the_future_too(memory: Memory) -> None:
    memory.store("past", valid_from="2020-01-01T00:00:00Z", valid_until="2021-01-01T00:00:00Z")
    memory.store("superseded", key="k")
    memory.store("present", key="k")
    memory.store("future", valid_from="2030-01-01T00:00:00Z")
    gone = memory.store("retracted")
    memory.call(RetractFact(id=gone.id))

    assert ["present"] == contents(memory.call(ListFacts()))
    assert ["future", "present", "superseded", "past"] == contents(memory.call(ListFacts(every=True)))


def test_pages_join_to_the_whole(memory: Memory) -> None:
    fill(memory, 23)

    for limit in (1, 5, 22, 23, 24):
        page = memory.call(ListFacts(limit=limit))
        assert [f"fact {n}" for n in reversed(range(23))] == [*contents(page), *rest(memory, page.next, limit=limit)]


def test_the_last_page_has_no_cursor(memory: Memory) -> None:
    fill(memory, 4)

    assert memory.call(ListFacts(limit=4)).next is None
    assert memory.call(ListFacts(limit=3)).next is not None


@pytest.mark.parametrize("step_seconds", [0, 1, -30])
@pytest.mark.parametrize("every", [False, True])
def test_pages_do_not_move_under_changes(memory: Memory, step_seconds: int, every: bool) -> None:
    # Without a step of the clock, what changes between pages bears the instant of the first page.
    ids = fill(memory, 20)
    keyed = [memory.store(f"keyed {n}", key=f"k{n}").id for n in range(4)]
    whole = contents(memory.call(ListFacts(every=every)))
    first = memory.call(ListFacts(limit=3, every=every))

    memory.clock.advance(seconds=step_seconds)
    fill(memory, 5, type="error")
    memory.call(ReviseFact(id=ids[2], content="revised meanwhile"))
    memory.call(RetractFact(id=ids[5]))
    memory.call(ReviseFact(id=ids[7], clear=["tags"], content="revised too"))
    memory.store("supersedes meanwhile", key="k0")
    memory.call(ReviseFact(id=keyed[1], key="k9"))
    second = memory.call(ListFacts(limit=3, cursor=first.next, every=every))
    memory.call(RetractFact(id=ids[9]))
    third = rest(memory, second.next, limit=3, every=every)

    assert whole == [*contents(first), *contents(second), *third]


def test_pages_show_what_a_slower_process_decided_before_and_wrote_after(memory: Memory) -> None:
    ids = fill(memory, 6)
    memory.clock.advance(seconds=10)
    first = memory.call(ListFacts(limit=2))

    with memory.reopen() as other:
        other.clock.advance(seconds=-5)
        other.call(RetractFact(id=ids[0]))
        other.call(ReviseFact(id=ids[1], content="changed"))

    assert ["fact 3", "fact 2", "fact 1", "fact 0"] == rest(memory, first.next, limit=2)


def test_what_is_forgotten_between_pages_is_gone_from_them(memory: Memory) -> None:
    ids = fill(memory, 6)
    first = memory.call(ListFacts(limit=2))
    memory.call(ForgetFact(id=ids[1]))

    assert ["fact 3", "fact 2", "fact 0"] == rest(memory, first.next, limit=2)


def test_pages_of_an_earlier_view_keep_it(memory: Memory) -> None:
    ids = fill(memory, 6)
    monday = memory.clock()
    memory.clock.advance(days=1)
    memory.call(RetractFact(id=ids[0]))

    first = memory.call(ListFacts(limit=2, known_at=monday))
    memory.clock.advance(days=1)
    memory.call(RetractFact(id=ids[1]))

    assert ["fact 3", "fact 2", "fact 1", "fact 0"] == rest(memory, first.next, limit=2)


def test_pages_of_a_view_from_the_future_do_not_move_either(memory: Memory) -> None:
    ids = fill(memory, 6)
    first = memory.call(ListFacts(limit=2, known_at="2030-01-01T00:00:00Z"))
    memory.clock.advance(days=1)
    memory.call(RetractFact(id=ids[0]))
    fill(memory, 1, type="error")

    assert ["fact 3", "fact 2", "fact 1", "fact 0"] == rest(memory, first.next, limit=2)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from(["store", "revise", "retract", "slot"]), st.integers(0, 11)), max_size=12))
def test_pages_stay_what_they_were_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("pages")
    with Memory(folder / "memory.db", folder / "home", Clock()) as memory:
        ids = fill(memory, 12, key="slot", valid_from="2026-01-01T00:00:00Z") + fill(memory, 12)
        whole = contents(memory.call(ListFacts()))
        page = memory.call(ListFacts(limit=2))
        shown = contents(page)
        for kind, number in changes:
            change(memory, kind, ids[12 + number])
            if page.next is not None:
                page = memory.call(ListFacts(limit=2, cursor=page.next))
                shown += contents(page)

        assert whole == [*shown, *rest(memory, page.next, limit=2)]


def change(memory: Memory, kind: str, fact_id: str) -> None:
    requests: dict[str, Any] = {
        "revise": ReviseFact(id=fact_id, content=f"revised {fact_id}"),
        "retract": RetractFact(id=fact_id),
        "slot": ReviseFact(id=fact_id, key="slot"),
        "store": StoreFacts(facts=[NewFact(content="another", key="slot"), NewFact(content="one more")]),
    }
    with suppress(Conflict):  # it was retracted before
        memory.call(requests[kind])


def packed(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "!!!!",
        "é",
        "AAAA",
        packed("[]"),
        packed("{}"),
        packed("null"),
        packed('["1","2","3",4,5]'),
        packed(f'[{1 << 70},"2026-01-01T00:00:00.000000Z",null,1,1]'),
        packed('[-1,"2026-01-01T00:00:00.000000Z",null,1,1]'),
        packed('[1,"2026-01-01T00:00:00.000000Z",null,1,1e400]'),
        packed("[" * 300),
        "A" * limits.CURSOR_CHARS_MAX,
    ],
)
def test_what_is_no_cursor_is_refused(memory: Memory, cursor: str) -> None:
    fill(memory, 2)

    with pytest.raises(Invalid, match="cursor"):
        memory.call(ListFacts(cursor=cursor))


def test_a_page_has_from_one_to_as_many_facts_as_allowed(memory: Memory) -> None:
    fill(memory, 2)

    assert 2 == len(memory.call(ListFacts(limit=limits.PAGE_MAX)).facts)
    for limit in (0, -1, limits.PAGE_MAX + 1):
        with pytest.raises(CortexError):
            memory.call(ListFacts(limit=limit))


def test_a_project_and_all_projects_are_not_given_together(memory: Memory) -> None:
    with pytest.raises(Invalid, match="all_projects"):
        memory.call(ListFacts(project="work", all_projects=True))
