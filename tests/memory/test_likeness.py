"""Near duplicates and contradictions: flagged, never merged, and never found where they may not be seen."""

import random
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex import limits
from cortex.cli import render
from cortex.cli.terminal import Screen
from cortex.db.connect import Tx
from cortex.ids import short
from cortex.mcp import text
from cortex.memory import likeness
from cortex.memory.model import StoredFact
from cortex.ops.facts import ForgetFact, NewFact, RetractFact, ReviseFact, StoreFacts
from cortex.ops.graph import ListEntities
from cortex.ops.views import FactView, ShowFact
from opened import Clock, Memory

BACKUP = "The nightly backup of the staging database goes to the cold bucket in Frankfurt at two"
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def show(memory: Memory, fact_id: str, **request: Any) -> FactView:
    return memory.call(ShowFact(id=fact_id, **request))


def similar(memory: Memory, fact_id: str, **request: Any) -> list[str]:
    return show(memory, fact_id, **request).similar_to


def contradicts(memory: Memory, fact_id: str, **request: Any) -> list[str]:
    return show(memory, fact_id, **request).contradicts


def rows(memory: Memory) -> set[tuple[int, int]]:
    with memory.sql() as connection:
        return {(row[0], row[1]) for row in connection.execute("SELECT mark, revision_id FROM likeness")}


def write(memory: Memory, run: Any) -> Any:
    return memory._runner.run(memory.app.context.database.write(run))


# Words and marks


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("The Build runs, the build RUNS", {"build", "runs"}),
        ("Do not deploy; don't deploy, don’t!", {"deploy"}),
        ("To be or not to be", {"to", "be", "or", "not"}),
        ("It's Ann's port 8080", {"ann", "port", "8080"}),
        ("设置文件 config", {"设置", "置文", "文件", "件", "config"}),
        ("🚀 — !", set()),
    ],
)
def test_the_words_that_are_compared(content: str, words: set[str]) -> None:
    assert words == likeness.words(content)


def test_the_marks_of_a_text_are_the_same_on_every_machine() -> None:
    known = (701661016416, 883641890620, 833600142978, 442846749661)

    assert known == likeness.marks("Invoices are sent on the third working day")


def test_neither_case_nor_order_nor_stop_words_change_the_marks() -> None:
    assert likeness.marks("Invoices are sent on the 3rd of the month") == likeness.marks(
        "the MONTH, 3rd: invoices sent"
    )


@given(st.text(max_size=300))
def test_marks_are_few_and_fit_an_integer_of_sqlite_with_the_number_of_the_project(content: str) -> None:
    marks = likeness.marks(content)

    assert len(marks) <= 5
    assert all(0 <= mark < 1 << 40 for mark in marks)
    assert bool(marks) == bool(likeness.words(content))


def test_texts_of_mostly_the_same_words_very_likely_share_a_mark() -> None:
    source = random.Random(7)
    vocabulary = [f"word{number}" for number in range(20_000)]
    found = tried = 0
    for _ in range(2_000):
        union = source.sample(vocabulary, source.choice([5, 10, 15, 30, 80]))
        differing = union[: len(union) // 5]
        sides = [source.random() < 0.5 for _ in differing]
        one = [word for word, left in zip(differing, sides, strict=True) if left] + union[len(differing) :]
        other = [word for word, left in zip(differing, sides, strict=True) if not left] + union[len(differing) :]
        tried += 1
        found += bool(set(likeness.marks(" ".join(one))) & set(likeness.marks(" ".join(other))))

    assert found / tried > 0.98


def test_texts_of_other_words_share_no_mark() -> None:
    source = random.Random(7)
    vocabulary = [f"word{number}" for number in range(20_000)]
    texts = [" ".join(source.sample(vocabulary, 10)) for _ in range(1_000)]

    marks = [mark for text in texts for mark in likeness.marks(text)]

    assert len(marks) - len(set(marks)) < 20


# Near duplicates


def test_a_near_duplicate_is_stored_and_flagged_on_both_sides(memory: Memory) -> None:
    first = memory.store(BACKUP)

    second = memory.store(f"{BACKUP} daily")

    assert not second.duplicate
    assert [first.id] == second.similar_to == similar(memory, second.id)
    assert [second.id] == similar(memory, first.id)
    assert [] == first.similar_to


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Deploy on Fridays", "Do not deploy on Fridays"),
        ("Deploy on Fridays", "Never deploy on Fridays"),
        (BACKUP, BACKUP.replace("two", "three")),
        ("每天晚上备份测试数据库到法兰克福的存储桶", "每天晚上备份测试数据库到法兰克福的存储桶里"),
        ("A port", "a PORT!"),
    ],
)
def test_what_says_something_else_in_the_same_words_is_flagged_and_never_merged(
    memory: Memory, one: str, other: str
) -> None:
    first = memory.store(one)

    second = memory.store(other)

    assert (False, [first.id]) == (second.duplicate, second.similar_to)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Deploy on Fridays", "Deploy on Mondays"),
        (BACKUP, "The nightly backup goes to the cold bucket"),
        ("🚀", "🚀 🚀"),
        ("short", "short text"),
    ],
)
def test_what_shares_fewer_words_is_not_flagged(memory: Memory, one: str, other: str) -> None:
    memory.store(one)

    assert [] == memory.store(other).similar_to


def test_the_most_alike_come_first_and_their_number_is_bounded(memory: Memory) -> None:
    farther = memory.store(f"{BACKUP} every single")
    same = []
    for number in range(limits.SIMILAR_MAX - 1):
        memory.clock.advance(seconds=1)
        same.append(memory.store(BACKUP, key=f"k{number}").id)
    nearer = memory.store(f"{BACKUP} daily")
    asked = memory.store(BACKUP, key="asked")

    assert [*reversed(same), nearer.id] == similar(memory, asked.id)
    assert farther.id not in similar(memory, asked.id)


def test_a_stored_duplicate_is_not_similar_to_itself(memory: Memory) -> None:
    memory.store(BACKUP)

    again = memory.store(BACKUP)

    assert (True, []) == (again.duplicate, again.similar_to)


def test_near_duplicates_are_looked_for_in_the_project_whatever_the_type(memory: Memory) -> None:
    decision = memory.store(BACKUP, type="decision")
    memory.store(BACKUP, project="elsewhere")

    assert [decision.id] == memory.store(f"{BACKUP} daily", type="episode").similar_to


def test_what_other_projects_repeat_hides_nothing(memory: Memory) -> None:
    first = memory.store(BACKUP)
    for start in range(0, 3 * limits.LIKENESS_BUCKET, 48):
        memory.call(
            StoreFacts(facts=[NewFact(content=BACKUP, project="noise", key=f"k{start + n}") for n in range(48)])
        )

    assert [first.id] == memory.store(f"{BACKUP} daily").similar_to


def test_what_is_not_believed_true_or_there_any_more_is_not_similar(memory: Memory) -> None:
    retracted, forgotten, revised = (memory.store(BACKUP, key=key) for key in "abc")
    memory.store(BACKUP, valid_from="2020-01-01T00:00:00Z", valid_until="2021-01-01T00:00:00Z")
    memory.store(BACKUP, key="slot")
    memory.clock.advance(hours=1)
    memory.store("Nothing is backed up", key="slot")
    memory.call(RetractFact(id=retracted.id))
    memory.call(ForgetFact(id=forgotten.id))
    memory.call(ReviseFact(id=revised.id, content="Something else"))

    assert [] == memory.store(f"{BACKUP} daily").similar_to


def test_what_was_not_yet_recorded_is_not_similar_in_the_past(memory: Memory) -> None:
    first, before = memory.store(BACKUP), memory.clock()
    memory.clock.advance(hours=1)
    second = memory.store(f"{BACKUP} daily")

    assert [] == similar(memory, first.id, known_at=before)
    assert [second.id] == similar(memory, first.id)


def test_facts_of_one_request_are_told_of_each_other_and_a_bulk_load_is_not(memory: Memory) -> None:
    both = memory.call(StoreFacts(facts=[NewFact(content=BACKUP), NewFact(content=f"{BACKUP} daily")])).facts
    bulk = [NewFact(content=f"{BACKUP} {number}") for number in range(limits.STORED_COMPARED_MAX + 1)]

    many = memory.call(StoreFacts(facts=bulk)).facts

    assert [[both[1].id], [both[0].id]] == [fact.similar_to for fact in both]
    assert all([] == fact.similar_to for fact in many)
    memory.call(ListEntities())  # waits for what follows the commit
    assert similar(memory, many[0].id)


def test_of_a_long_text_the_beginning_is_compared(memory: Memory) -> None:
    beginning = " ".join(f"word{number}" for number in range(limits.LIKENESS_CHARS // 6))
    first = memory.store(f"{beginning} {'x' * 900_000}")

    assert [first.id] == memory.store(f"{beginning} {'y' * 10_000}").similar_to


CHANGES = st.lists(
    st.tuples(st.sampled_from(["store", "revise", "retract", "forget"]), st.integers(0, 5), st.integers(0, 5)),
    max_size=14,
)
CONTENTS = [BACKUP, f"{BACKUP} daily", "Deploy on Fridays", "do not deploy on fridays", "🚀", "设置文件"]


@settings(max_examples=25)
@given(CHANGES)
def test_marks_made_anew_are_those_that_were_kept(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("likeness")
    with Memory(folder / "memory.db", folder / "home", Clock()) as memory:
        kept: list[StoredFact] = []
        for change, which, content in changes:
            if change == "store" or not kept:
                kept.append(memory.store(CONTENTS[content], key=str(len(kept)), project=f"p{which % 2}"))
            elif change == "revise":
                memory.call(ReviseFact(id=kept[which % len(kept)].id, content=CONTENTS[content]))
            else:
                fact = kept.pop(which % len(kept))
                memory.call((RetractFact if change == "retract" else ForgetFact)(id=fact.id))
        incremental = rows(memory)

        write(memory, likeness.rebuild)

        assert incremental == rows(memory)


def test_nothing_is_left_of_what_is_taken_out(memory: Memory) -> None:
    fact = memory.store(BACKUP)
    assert rows(memory)

    memory.call(ForgetFact(id=fact.id))

    assert set() == rows(memory)


def test_marks_added_twice_are_there_once(memory: Memory) -> None:
    memory.store(BACKUP)
    before = rows(memory)

    def again(tx: Tx) -> None:
        likeness.add(tx, next(iter(before))[1], 1, BACKUP)

    write(memory, again)

    assert before == rows(memory)


# Contradictions


def test_another_value_of_the_slot_contradicts_until_it_is_retracted(memory: Memory) -> None:
    third = memory.store("Invoices are sent on the 3rd", key="invoice-day")
    memory.clock.advance(days=1)

    fourth = memory.store("Invoices are sent on the 4th", key="invoice-day")

    assert [third.id] == fourth.contradicts == contradicts(memory, fourth.id)
    assert [fourth.id] == contradicts(memory, third.id)
    memory.call(RetractFact(id=third.id))
    assert [] == contradicts(memory, fourth.id)


def test_values_of_a_slot_for_other_times_do_not_contradict(memory: Memory) -> None:
    memory.store("Ann leads", key="lead", valid_from="2024-01-01T00:00:00Z", valid_until="2025-01-01T00:00:00Z")

    later = memory.store("Bo leads", key="lead", valid_from="2025-01-01T00:00:00Z", valid_until="2026-01-01T00:00:00Z")
    after = memory.store("Cy leads", key="lead", valid_from="2026-01-01T00:00:00Z")
    between = memory.store(
        "Di leads", key="lead", valid_from="2025-12-01T00:00:00Z", valid_until="2026-01-02T00:00:00Z"
    )

    assert [[], [], [after.id, later.id]] == [fact.contradicts for fact in (later, after, between)]


def test_what_says_the_same_has_another_key_or_another_project_does_not_contradict(memory: Memory) -> None:
    memory.store("tabs", key="indent", valid_from="2026-01-01T00:00:00Z")
    memory.store("spaces", key="other")
    memory.store("spaces", key="indent", project="elsewhere")
    memory.store("spaces")

    assert [] == memory.store("tabs", key="indent", type="decision").contradicts


def test_what_was_believed_at_a_time_contradicts_at_that_time(memory: Memory) -> None:
    first, before = memory.store("tabs", key="indent"), memory.clock()
    memory.clock.advance(hours=1)
    second = memory.store("spaces", key="indent")
    both = memory.clock()
    memory.clock.advance(hours=1)
    memory.call(RetractFact(id=second.id))

    found = [contradicts(memory, first.id, known_at=at) for at in (before, both, None)]

    assert [[], [second.id], []] == found


def test_the_latest_contradictions_are_named_and_their_number_is_bounded(memory: Memory) -> None:
    stored = [
        memory.store(f"value {number}", key="slot", type=str(memory.clock.advance(seconds=1))) for number in range(9)
    ]

    assert [fact.id for fact in reversed(stored[:-1])][: limits.CONTRADICTS_MAX] == stored[-1].contradicts


# What people and models are told


def test_people_are_told_of_both_in_a_line_each(memory: Memory) -> None:
    first = memory.store(BACKUP, key="backup")
    memory.clock.advance(hours=1)
    stored = memory.store(f"{BACKUP} daily", key="backup")
    other = memory.store(f"{BACKUP} daily")
    screen = Screen(width=None, color=False, now=NOW)

    told = render.lines(stored, screen)
    shown = render.lines(show(memory, other.id), screen)

    assert [f"  in the same slot as {short(first.id)}, and says otherwise"] == told[1:]
    assert f"similar to  {short(stored.id)}" in shown


def test_models_are_told_of_both_with_full_ids(memory: Memory) -> None:
    similar_to = memory.store(BACKUP)
    first = memory.store("Nothing is backed up", key="backup")
    memory.clock.advance(hours=1)

    told = text.render(memory.store(f"{BACKUP} daily", key="backup"), NOW).split("\n")

    assert f"  similar to: {similar_to.id}" in told
    assert f"  contradicts, in the same slot: {first.id}" in told
