"""The two clocks: when something is true, when it was believed, and the slots that follow from both."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from cortex.errors import CortexError, Invalid, NotFound
from cortex.ops.facts import ForgetFact, RetractFact, ReviseFact, StoreFact
from cortex.ops.search import Recall, SearchFacts
from cortex.ops.views import ListFacts, ReadHistory, ShowFact
from opened import START, Memory

YEAR_1, YEAR_9999 = "0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z"


def seen(memory: Memory, **view: Any) -> list[str]:
    """What a list shows, oldest first."""
    return [fact.content for fact in reversed(memory.call(ListFacts(**view)).facts)]


def found(memory: Memory, query: str, **view: Any) -> list[str]:
    return sorted(hit.fact.content for hit in memory.call(SearchFacts(query=query, **view)).hits)


def recalled(memory: Memory, **view: Any) -> list[str]:
    return [fact.content for fact in memory.call(Recall(**view)).facts]


def spans(memory: Memory, fact_id: str, **view: Any) -> list[tuple[str, str, str | None]]:
    slot = memory.call(ShowFact(id=fact_id, history=True, **view)).slot
    return [(span.content, span.since, span.until) for span in slot]


# Slots


def test_a_newer_value_takes_the_place_of_the_older_one(memory: Memory) -> None:
    memory.store("the limit is 5", key="limit")
    memory.clock.advance(days=1)
    memory.store("the limit is 7", key="limit")

    assert ["the limit is 7"] == seen(memory) == found(memory, "limit") == recalled(memory)
    assert ["the limit is 5"] == seen(memory, as_of=START) == found(memory, "limit", as_of=START)


def test_a_value_that_comes_back_gives_three_spans(memory: Memory) -> None:
    at = [START, memory.clock.advance(days=1), memory.clock.advance(days=1)]
    facts = []
    for when, content in zip(at, ("A", "B", "A"), strict=True):
        memory.clock.set(when)
        facts.append(memory.store(content, key="k"))

    assert 3 == len({fact.id for fact in facts})
    assert [("A", at[0], at[1]), ("B", at[1], at[2]), ("A", at[2], None)] == spans(memory, facts[0].id)
    assert ["A"] == seen(memory)
    assert ["B"] == seen(memory, as_of=at[1])


def test_values_stored_in_one_instant_supersede_in_the_order_of_storing(memory: Memory) -> None:
    for content in ("A", "B", "C"):
        memory.store(content, key="k")

    assert ["C"] == seen(memory)


def test_values_of_one_date_supersede_in_the_order_of_storing(memory: Memory) -> None:
    for content in ("A", "B", "A"):
        memory.store(content, key="k", valid_from="2026-01-01T00:00:00Z")
        memory.clock.advance(hours=1)

    # The second A has the very interval of the first: it is the first.
    assert ["B"] == seen(memory)


def test_what_is_told_later_of_an_earlier_time_ends_where_the_next_begins(memory: Memory) -> None:
    newer = memory.store("from March", key="k", valid_from="2026-03-01T00:00:00Z")
    memory.store("from January", key="k", valid_from="2026-01-01T00:00:00Z")

    assert ["from March"] == seen(memory)
    assert ["from January"] == seen(memory, as_of="2026-02-28T23:59:59.999999Z")
    assert ["from March"] == seen(memory, as_of="2026-03-01T00:00:00Z")
    march = "2026-03-01T00:00:00.000000Z"
    assert [("from January", "2026-01-01T00:00:00.000000Z", march), ("from March", march, None)] == spans(
        memory, newer.id
    )


def test_the_same_key_in_another_project_is_another_slot(memory: Memory) -> None:
    memory.store("here", key="k")
    memory.store("there", key="k", project="other")

    assert (["here"], ["there"]) == (seen(memory), seen(memory, project="other"))


def test_facts_without_key_do_not_supersede_each_other(memory: Memory) -> None:
    memory.store("one")
    memory.store("two")

    assert ["one", "two"] == seen(memory)


@pytest.mark.parametrize("end", [RetractFact, ForgetFact])
def test_the_value_before_counts_again_when_the_newer_one_goes(memory: Memory, end: Any) -> None:
    memory.store("old", key="k")
    memory.clock.advance(days=1)
    newer = memory.store("new", key="k")
    memory.clock.advance(days=1)

    memory.call(end(id=newer.id))

    assert ["old"] == seen(memory) == found(memory, "old new") == recalled(memory)


def test_a_value_that_ended_by_itself_leaves_its_slot_empty(memory: Memory) -> None:
    memory.store("standing", key="k", valid_from="2026-01-01T00:00:00Z")
    memory.store("for a week", key="k", valid_from="2026-02-01T00:00:00Z", valid_until="2026-02-08T00:00:00Z")

    assert ["for a week"] == seen(memory, as_of="2026-02-03T00:00:00Z")
    assert [] == seen(memory, as_of="2026-02-10T00:00:00Z") == seen(memory)


def test_revising_a_fact_moves_it_between_slots(memory: Memory) -> None:
    memory.store("a", key="k")
    memory.clock.advance(hours=1)
    other = memory.store("b", key="l")
    memory.clock.advance(hours=1)

    memory.call(ReviseFact(id=other.id, key="k"))

    assert ["b"] == seen(memory)
    memory.call(ReviseFact(id=other.id, clear=["key"]))
    assert ["a", "b"] == seen(memory)


def test_a_slot_is_read_as_it_was_known(memory: Memory) -> None:
    first = memory.store("A", key="k", valid_from="2026-01-01T00:00:00Z")
    monday = memory.clock()
    memory.clock.advance(days=2)
    memory.store("B", key="k", valid_from="2026-01-15T00:00:00Z")

    assert ["A"] == seen(memory, as_of="2026-01-20T00:00:00Z", known_at=monday)
    assert ["B"] == seen(memory, as_of="2026-01-20T00:00:00Z")
    assert [("A", "2026-01-01T00:00:00.000000Z", None)] == spans(memory, first.id, known_at=monday)


# Both clocks


def test_what_we_thought_on_monday_about_last_month(memory: Memory) -> None:
    fact = memory.store("rent was 900", valid_from="2026-02-01T00:00:00Z", valid_until="2026-03-01T00:00:00Z")
    monday = memory.clock.advance(hours=1)
    memory.clock.advance(days=1)
    memory.call(ReviseFact(id=fact.id, content="rent was 950"))
    february = "2026-02-15T12:00:00Z"

    assert ["rent was 900"] == seen(memory, as_of=february, known_at=monday)
    assert ["rent was 900"] == found(memory, "rent", as_of=february, known_at=monday)
    assert ["rent was 900"] == recalled(memory, as_of=february, known_at=monday)
    assert ["rent was 950"] == seen(memory, as_of=february) == found(memory, "rent", as_of=february)
    assert [] == seen(memory) == found(memory, "rent") == found(memory, "rent", known_at=monday)
    assert "rent was 900" == memory.call(ShowFact(id=fact.id, known_at=monday)).content


def test_nothing_was_believed_before_it_was_recorded_or_after_it_was_retracted(memory: Memory) -> None:
    memory.clock.advance(days=1)
    fact = memory.store("x marks the spot", valid_from="2020-01-01T00:00:00Z")
    recorded = memory.clock()
    retracted = memory.clock.advance(days=1)
    memory.call(RetractFact(id=fact.id))

    assert [] == seen(memory, known_at=START, every=True)
    assert (
        ["x marks the spot"] == seen(memory, known_at=recorded, every=True) == found(memory, "spot", known_at=recorded)
    )
    assert [] == seen(memory, known_at=retracted, every=True) == found(memory, "spot", known_at=retracted)
    with pytest.raises(NotFound):
        memory.call(ShowFact(id=fact.id, known_at=START))


def test_a_future_fact_is_not_of_today(memory: Memory) -> None:
    memory.store("the office moves in May", valid_from="2026-05-01T00:00:00Z")

    assert [] == seen(memory) == found(memory, "office") == recalled(memory) == recalled(memory, query="office")
    assert ["the office moves in May"] == seen(memory, as_of="2026-05-01T00:00:00Z") == seen(memory, every=True)
    memory.clock.set("2026-05-01T00:00:00Z")
    assert ["the office moves in May"] == seen(memory) == found(memory, "office") == recalled(memory)


def test_a_future_value_does_not_hide_the_present_one(memory: Memory) -> None:
    memory.store("now", key="k")
    memory.store("soon", key="k", valid_from="2026-05-01T00:00:00Z")

    assert ["now"] == seen(memory) == recalled(memory)


def test_an_expired_fact_ends_at_the_very_instant(memory: Memory) -> None:
    memory.store("the sale is on", valid_until="2026-03-05T00:00:00Z")

    memory.clock.set("2026-03-04T23:59:59.999999Z")
    assert ["the sale is on"] == seen(memory) == found(memory, "sale") == recalled(memory)
    memory.clock.set("2026-03-05T00:00:00Z")
    assert [] == seen(memory) == found(memory, "sale") == recalled(memory)


def test_what_was_just_stored_is_seen_though_the_clock_stepped_back(memory: Memory) -> None:
    memory.store("first", key="k")
    memory.clock.advance(seconds=-30)
    second = memory.store("second", key="k")

    assert second.recorded_at == second.valid_from
    assert ["second"] == seen(memory) == found(memory, "first second") == recalled(memory)


def test_a_clock_that_was_once_far_ahead_does_not_hide_what_is_stored_now(memory: Memory) -> None:
    memory.clock.advance(days=400)
    memory.store("from a wrong clock")
    memory.clock.set(START)

    memory.store("stored today")

    assert ["stored today"] == seen(memory) == found(memory, "stored")


# Instants


def test_times_with_offsets_are_kept_and_compared_as_instants(memory: Memory) -> None:
    earlier = memory.store("earlier", key="k", valid_from="2026-01-01T13:30:00+02:00")
    memory.store("later", key="k", valid_from="2026-01-01T12:00:00Z")

    assert "2026-01-01T11:30:00.000000Z" == earlier.valid_from
    assert ["later"] == seen(memory)
    assert ["earlier"] == seen(memory, as_of="2026-01-01T12:59:59+01:00")
    assert ["later"] == seen(memory, as_of="2026-01-01T07:00:00-05:00")


def test_an_interval_is_judged_by_its_instants(memory: Memory) -> None:
    fact = memory.store("x", valid_from="2026-01-01T13:30:00+02:00", valid_until="2026-01-01T12:00:00Z")

    assert fact.valid_until == "2026-01-01T12:00:00.000000Z"
    with pytest.raises(Invalid, match="valid_until"):
        memory.store("y", valid_from="2026-01-01T12:00:00Z", valid_until="2026-01-01T13:30:00+02:00")
    with pytest.raises(Invalid, match="valid_until"):
        memory.store("z", valid_from="2026-01-01T12:00:00Z", valid_until="2026-01-01T12:00:00Z")
    with pytest.raises(Invalid, match="valid_until"):
        memory.store("over before it is stored", valid_until="2026-01-01T12:00:00Z")


def test_aware_datetimes_are_instants(memory: Memory) -> None:
    local = datetime(2026, 1, 1, 13, 30, tzinfo=timezone(timedelta(hours=2)))

    fact = memory.call(StoreFact(content="x", valid_from=local))  # type: ignore[arg-type]

    assert "2026-01-01T11:30:00.000000Z" == fact.valid_from
    assert ["x"] == seen(memory, as_of=datetime(2026, 1, 1, 11, 30, tzinfo=UTC))


NAIVE = ["2026-01-01", "2026-01-01T12:00:00", "2026-01-01 12:00", datetime(2026, 1, 1)]  # noqa: DTZ001


@pytest.mark.parametrize("when", NAIVE, ids=str)
def test_a_naive_time_is_refused_everywhere(memory: Memory, when: Any) -> None:
    fact = memory.store("x")
    requests: list[Any] = [
        StoreFact(content="y", valid_from=when),
        StoreFact(content="y", valid_until=when),
        ReviseFact(id=fact.id, valid_from=when),
        ReviseFact(id=fact.id, valid_until=when),
        ShowFact(id=fact.id, known_at=when),
        *(kind(as_of=when) for kind in (ListFacts, Recall)),
        *(kind(known_at=when) for kind in (ListFacts, Recall)),
        SearchFacts(query="x", as_of=when),
        SearchFacts(query="x", known_at=when),
    ]

    for request in requests:
        with pytest.raises(Invalid):
            memory.call(request)


BAD = [
    "",
    "now",
    "2026-13-01T00:00:00Z",
    "2026-02-30T00:00:00Z",
    "2026-01-01T24:00:01Z",
    "2026-01-01T24:00:00Z",
    "2026-01-01T25:00:00Z",
]
BAD += ["2016-12-31T23:59:60Z", "0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00"]
BAD += [
    "9999-12-31T23:59:59-01:00",
    "2026-01-01T00:00:00+25:00",
    "٢٠٢٦-01-01T00:00:00Z",
    "2026-01-01T00:00:00Z\x00",
    "1",
]


@pytest.mark.parametrize("when", [*BAD, 1_767_225_600, 1.5, True], ids=ascii)
def test_what_is_no_instant_is_refused(memory: Memory, when: Any) -> None:
    with pytest.raises(CortexError) as caught:
        memory.call(StoreFact(content="x", valid_from=when))

    assert "invalid" == caught.value.kind


@pytest.mark.parametrize("when", [YEAR_1, YEAR_9999, "2024-02-29T00:00:00.000000Z", "1969-12-31T23:59:59.999999Z"])
def test_every_instant_from_year_1_to_9999_is_kept(memory: Memory, when: str) -> None:
    fact = memory.store("x", valid_from=when)

    assert when == memory.call(ShowFact(id=fact.id)).valid_from
    assert ["x"] == seen(memory, as_of=when)
    assert [] == seen(memory, as_of=YEAR_1) or when == YEAR_1


def test_fractions_are_cut_to_microseconds(memory: Memory) -> None:
    assert "2026-01-01T00:00:00.123456Z" == memory.store("x", valid_from="2026-01-01t00:00:00.123456789z").valid_from


def test_history_tells_the_slot_and_the_revisions(memory: Memory) -> None:
    fact = memory.store("A", key="k")
    memory.clock.advance(days=1)
    memory.call(ReviseFact(id=fact.id, content="A, corrected"))
    memory.clock.advance(days=1)
    memory.store("B", key="k")

    told = memory.call(ReadHistory(id=fact.id))

    assert ["A", "A, corrected"] == [revision.content for revision in told.revisions]
    assert ["A, corrected", "B"] == [span.content for span in told.slot]
