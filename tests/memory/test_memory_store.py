"""Storing facts: what comes back, what counts as the same fact, and what is refused."""

from typing import Any

import pytest

from cortex import limits
from cortex.errors import CortexError, Invalid, NotFound, TooLarge
from cortex.ops.facts import ForgetFact, NewFact, RetractFact, StoreFact, StoreFacts
from cortex.ops.ledger import ReadLedgerHistory, VerifyLedger
from cortex.ops.node import ReadStatus
from cortex.ops.views import ListFacts, ReadHistory, ShowFact
from opened import Memory

LONE = "\ud800"


def ids(memory: Memory, **fields: Any) -> list[str]:
    return [fact.id for fact in memory.call(ListFacts(**fields)).facts]


def test_a_stored_fact_is_shown_as_it_was_given(memory: Memory) -> None:
    given = {
        "content": "Invoices are sent on the 3rd",
        "type": "decision",
        "tags": ["dates", "billing"],
        "key": "invoice-day",
        "source": "https://example.org/handbook#invoices",
        "meta": {"page": 4, "by": ["Ann", "Bo"], "nested": {"yes": True, "none": None, "share": 0.25}},
        "confidence": "inferred",
        "thread": "meeting-7",
        "seq": 12,
        "valid_from": "2026-01-01T00:00:00.000000Z",
        "valid_until": "2027-01-01T00:00:00.000000Z",
        "project": "billing",
    }

    stored = memory.call(StoreFact(**given))

    shown = memory.call(ShowFact(id=stored.id))
    assert given == {name: getattr(shown, name) for name in given}
    assert (memory.clock(), None, 1, "tester") == (shown.recorded_at, shown.retired_at, shown.revision, shown.actor)
    assert stored.duplicate is False


def test_what_is_not_given_has_the_plainest_value(memory: Memory) -> None:
    fact = memory.store("The build runs on Tuesdays")

    assert ("work", "knowledge", [], "stated") == (fact.project, fact.type, fact.tags, fact.confidence)
    assert [None] * 6 == [fact.key, fact.source, fact.meta, fact.thread, fact.seq, fact.valid_until]
    assert fact.recorded_at == fact.valid_from


def test_a_tag_given_twice_is_kept_once(memory: Memory) -> None:
    fact = memory.store("one", tags=["b", "a", "b"])

    assert ["b", "a"] == fact.tags


@pytest.mark.parametrize("word", ["GENESIS", "genesis", "NULL", "None", "DROP TABLE fact", "checkpoint", "erase"])
def test_no_word_is_special_in_content(memory: Memory, word: str) -> None:
    fact = memory.store(word)

    assert word == memory.call(ShowFact(id=fact.id)).content


@pytest.mark.parametrize("content", ["a\x00b", "\x1b[31mred\x1b[0m", "a\r\nb\tc", " padded ", "\x02x\x03", "\ufeffb"])
def test_control_characters_in_content_are_kept_exactly(memory: Memory, content: str) -> None:
    if not content.strip():
        pytest.skip("mere space is no content")

    fact = memory.store(content)

    assert content == memory.call(ShowFact(id=fact.id)).content
    assert memory.call(VerifyLedger()).ok


# Ids


def test_a_fact_is_found_by_its_whole_id_or_a_unique_part(memory: Memory) -> None:
    fact = memory.store("one")

    digits = fact.id.replace("-", "")
    for part in (fact.id, fact.id.upper(), digits, digits[-8:], digits[-4:], fact.id[:13], digits[:10], f" {fact.id} "):
        assert fact.id == memory.call(ShowFact(id=part)).id


@pytest.mark.parametrize(
    "name", ["abc", "", "   ", "zzzzzzzz", "12345g78", "../etc", "١٢٣٤٥٦٧٨", "%", "f" * 33, "----", LONE]
)
def test_what_cannot_be_an_id_is_refused_as_invalid(memory: Memory, name: str) -> None:
    memory.store("one")

    with pytest.raises(Invalid):
        memory.call(ShowFact(id=name))


def test_an_unknown_id_is_not_found(memory: Memory) -> None:
    with pytest.raises(NotFound):
        memory.call(ShowFact(id="ffffffff"))


def test_a_part_that_fits_several_facts_is_a_conflict_that_names_two(memory: Memory) -> None:
    facts = [memory.store(f"fact {number}") for number in range(3)]

    with pytest.raises(CortexError) as caught:
        memory.call(ShowFact(id=facts[0].id[:13]))

    assert "conflict" == caught.value.kind
    assert 2 == sum(fact.id in caught.value.message for fact in facts)


def test_a_forgotten_fact_is_not_found_and_the_ledger_still_tells_of_it(memory: Memory) -> None:
    fact = memory.store("one")
    memory.call(ForgetFact(id=fact.id))

    with pytest.raises(NotFound, match="forgotten"):
        memory.call(ShowFact(id=fact.id[-8:]))

    told = memory.call(ReadLedgerHistory(fact=fact.id[-8:])).entries
    assert ["fact", "erase"] == [entry.kind for entry in told]


def test_a_forgotten_fact_does_not_make_a_part_of_an_id_ambiguous(memory: Memory) -> None:
    gone, kept = memory.store("one"), memory.store("two")
    memory.call(ForgetFact(id=gone.id))

    assert kept.id == memory.call(ShowFact(id=kept.id[:13])).id


def test_a_caller_that_must_give_full_ids_cannot_shorten_them(memory: Memory) -> None:
    fact = memory.store("one")

    with pytest.raises(Invalid, match="shortened"):
        memory.call(ForgetFact(id=fact.id[-8:]), full_ids=True)

    assert fact.id == memory.call(ForgetFact(id=fact.id), full_ids=True).id


# Duplicates


def test_the_same_fact_again_is_answered_with_the_one_that_is_there(memory: Memory) -> None:
    fact = memory.store("one", key="k", thread="t", seq=1, type="decision")
    memory.clock.advance(days=1)

    again = memory.store("one", key="k", thread="t", seq=1, type="decision")

    assert (fact.id, True, fact.recorded_at) == (again.id, again.duplicate, again.recorded_at)
    assert 1 == memory.call(ReadStatus()).revisions


def test_a_duplicate_adds_nothing_to_the_ledger(memory: Memory) -> None:
    memory.store("one")
    before = memory.call(ReadStatus()).entries

    memory.store("one")

    assert before == memory.call(ReadStatus()).entries


@pytest.mark.parametrize(
    "changed",
    [
        {"content": "two"},
        {"type": "decision"},
        {"key": "k"},
        {"thread": "t"},
        {"thread": "t", "seq": 1},
        {"project": "other"},
        {"valid_until": "2030-01-01T00:00:00Z"},
        {"valid_from": "2020-01-01T00:00:00Z"},
        {"content": "One"},
        {"content": "one "},
    ],
    ids=str,
)
def test_a_fact_that_differs_in_what_makes_it_one_is_a_new_one(memory: Memory, changed: dict[str, Any]) -> None:
    first = memory.store("one")

    second = memory.call(StoreFact(**{"content": "one", **changed}))

    assert (False, True) == (second.duplicate, first.id != second.id)


@pytest.mark.parametrize("changed", [{"tags": ["t"]}, {"meta": {"a": 1}}, {"source": "s"}, {"confidence": "inferred"}])
def test_tags_and_remarks_alone_do_not_make_a_fact_new(memory: Memory, changed: dict[str, Any]) -> None:
    first = memory.store("one")

    second = memory.call(StoreFact(content="one", **changed))

    assert (first.id, True) == (second.id, second.duplicate)


def test_a_dated_fact_is_a_duplicate_only_of_the_very_same_interval(memory: Memory) -> None:
    dated = {"valid_from": "2026-01-01T00:00:00Z", "valid_until": "2026-02-01T00:00:00Z"}
    first = memory.store("one", **dated)

    same = memory.store("one", valid_from="2026-01-01T02:00:00+02:00", valid_until="2026-02-01T00:00:00Z")
    later = memory.store("one", valid_from="2026-01-02T00:00:00Z", valid_until="2026-02-01T00:00:00Z")
    shorter = memory.store("one", valid_from="2026-01-01T00:00:00Z", valid_until="2026-01-31T00:00:00Z")

    assert (first.id, True) == (same.id, same.duplicate)
    assert (False, False) == (later.duplicate, shorter.duplicate)


def test_a_fact_without_date_is_a_duplicate_of_a_dated_one_that_is_open_now(memory: Memory) -> None:
    dated = memory.store("one", valid_from="2026-01-01T00:00:00Z")

    again = memory.store("one")

    assert (dated.id, True) == (again.id, again.duplicate)


def test_a_fact_that_has_ended_or_not_begun_is_no_duplicate(memory: Memory) -> None:
    memory.store("one", valid_from="2026-01-01T00:00:00Z", valid_until="2026-02-01T00:00:00Z")
    memory.store("two", valid_from="2026-04-01T00:00:00Z")

    assert (False, False) == (memory.store("one").duplicate, memory.store("two").duplicate)


def test_a_retracted_fact_is_no_duplicate(memory: Memory) -> None:
    first = memory.store("one")
    memory.call(RetractFact(id=first.id))

    second = memory.store("one")

    assert (False, True) == (second.duplicate, first.id != second.id)


def test_a_forgotten_fact_can_be_stored_again(memory: Memory) -> None:
    memory.call(ForgetFact(id=memory.store("one").id))

    assert memory.store("one").duplicate is False


def test_the_same_fact_from_many_at_once_is_kept_once(memory: Memory) -> None:
    stored = memory.together([StoreFact(content="one") for _ in range(50)])

    assert 1 == len({fact.id for fact in stored})
    assert 49 == sum(fact.duplicate for fact in stored)


def test_a_duplicate_of_another_process_is_seen(memory: Memory) -> None:
    with memory.reopen() as other:
        first = other.store("one")

        again = memory.store("one")

        assert (first.id, True) == (again.id, again.duplicate)


# Batches


def test_a_batch_is_stored_in_the_order_given_and_counts_its_duplicates(memory: Memory) -> None:
    memory.store("b")

    done = memory.call(StoreFacts(facts=[NewFact(content=content) for content in ("a", "b", "c", "a")]))

    assert ["a", "b", "c", "a"] == [fact.content for fact in done.facts]
    assert [False, True, False, True] == [fact.duplicate for fact in done.facts]
    assert (2, 2) == (done.stored, done.duplicates)


@pytest.mark.parametrize(
    "bad",
    [
        {"content": ""},
        {"content": "x" * (limits.CONTENT_BYTES_MAX + 1)},
        {"content": "x", "tags": ["a\nb"]},
        {"content": "x", "type": " "},
        {"content": "x", "valid_from": "2026-01-02T00:00:00Z", "valid_until": "2026-01-01T00:00:00Z"},
        {"content": "x", "project": "-x"},
        {"content": "x", "meta": {"a": float("nan")}},
        {"content": LONE},
    ],
    ids=lambda bad: str(bad)[:40],
)
def test_a_batch_with_one_bad_fact_names_it_and_stores_nothing(memory: Memory, bad: dict[str, Any]) -> None:
    facts = [NewFact(content="good"), NewFact(content="fine"), NewFact(**bad), NewFact(content="also good")]

    with pytest.raises(CortexError, match=r"facts\[2\]"):
        memory.call(StoreFacts(facts=facts))

    assert [] == ids(memory)


def test_a_batch_of_one_thousand_is_taken_and_one_more_is_too_large(memory: Memory) -> None:
    full = [NewFact(content=f"fact {number}") for number in range(limits.BATCH_FACTS_MAX)]

    assert limits.BATCH_FACTS_MAX == memory.call(StoreFacts(facts=full)).stored
    with pytest.raises(TooLarge):
        memory.call(StoreFacts(facts=[*full, NewFact(content="one more")]))
    with pytest.raises(CortexError):
        memory.call(StoreFacts(facts=[]))


def test_a_batch_is_bounded_in_bytes(memory: Memory) -> None:
    over = [NewFact(content=f"{number:02}" + "x" * (limits.CONTENT_BYTES_MAX - 2)) for number in range(17)]

    with pytest.raises(TooLarge, match=str(limits.BATCH_BYTES_MAX)):
        memory.call(StoreFacts(facts=over))


# Limits


@pytest.mark.parametrize(
    ("field", "most", "over"),
    [
        ("content", "x" * limits.CONTENT_BYTES_MAX, "x" * (limits.CONTENT_BYTES_MAX + 1)),
        ("content", "é" * (limits.CONTENT_BYTES_MAX // 2), "é" * (limits.CONTENT_BYTES_MAX // 2) + "x"),
        ("type", "é" * limits.TYPE_CHARS_MAX, "t" * (limits.TYPE_CHARS_MAX + 1)),
        ("key", "é" * limits.KEY_CHARS_MAX, "k" * (limits.KEY_CHARS_MAX + 1)),
        ("source", "é" * limits.SOURCE_CHARS_MAX, "s" * (limits.SOURCE_CHARS_MAX + 1)),
        ("thread", "é" * limits.KEY_CHARS_MAX, "t" * (limits.KEY_CHARS_MAX + 1)),
        ("project", "é" * limits.NAME_CHARS_MAX, "p" * (limits.NAME_CHARS_MAX + 1)),
        ("tags", ["é" * limits.TAG_CHARS_MAX], ["t" * (limits.TAG_CHARS_MAX + 1)]),
        ("tags", [str(n) for n in range(limits.TAGS_MAX)], [str(n) for n in range(limits.TAGS_MAX + 1)]),
        ("meta", {"a": "x" * (limits.META_BYTES_MAX - 8)}, {"a": "x" * (limits.META_BYTES_MAX - 7)}),
        ("meta", {"a": "é" * (limits.META_BYTES_MAX // 2 - 4)}, {"a": "é" * (limits.META_BYTES_MAX // 2 - 3)}),
    ],
    ids=lambda given: str(given)[:16],
)
def test_each_size_is_taken_up_to_its_limit_and_refused_beyond(
    memory: Memory, field: str, most: Any, over: Any
) -> None:
    fact = memory.call(StoreFact(**{"content": "x", field: most}))

    assert most == getattr(memory.call(ShowFact(id=fact.id)), field)
    with pytest.raises(TooLarge):
        memory.call(StoreFact(**{"content": "x", field: over}))


def test_seq_goes_up_to_its_limit_and_not_below_zero(memory: Memory) -> None:
    assert limits.SEQ_MAX == memory.store("x", thread="t", seq=limits.SEQ_MAX).seq
    for seq in (-1, limits.SEQ_MAX + 1, 1 << 70):
        with pytest.raises(CortexError):
            memory.store("y", thread="t", seq=seq)


def nested(depth: int) -> dict[str, Any]:
    meta: Any = {}
    for _ in range(depth - 1):
        meta = {"a": meta}
    return {"a": meta}


def test_meta_may_be_nested_up_to_its_limit(memory: Memory) -> None:
    deepest = nested(limits.META_DEPTH_MAX - 1)

    assert deepest == memory.store("x", meta=deepest).meta
    for depth in (limits.META_DEPTH_MAX + 1, 2_000, 100_000):
        with pytest.raises(Invalid):
            memory.store("y", meta=nested(depth))


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), float("-inf"), LONE, {LONE: 1}, [[float("nan")]], object()]
)
def test_meta_that_is_not_json_is_refused(memory: Memory, value: Any) -> None:
    with pytest.raises(Invalid):
        memory.store("x", meta={"a": value})


@pytest.mark.parametrize("value", [10**30, -(10**30), 2**64, 2**63, 1e308, 5e-324, "", {}, [], {"": 0}, "\x00"])
def test_meta_holds_any_json(memory: Memory, value: Any) -> None:
    fact = memory.store("x", meta={"a": value})

    assert {"a": value} == memory.call(ShowFact(id=fact.id)).meta


@pytest.mark.parametrize("field", ["type", "key", "source", "thread", "project"])
@pytest.mark.parametrize("bad", ["a\x00b", "a\nb", "a\x1b[0m", "\u202eabc", LONE, "", "  ", "a\u2028b"])
def test_names_are_one_line_of_printable_text(memory: Memory, field: str, bad: str) -> None:
    with pytest.raises(Invalid):
        memory.call(StoreFact(**{"content": "x", field: bad}))


@pytest.mark.parametrize("bad", ["a\x00b", "a\nb", "\u202eabc", LONE, "", "  "])
def test_tags_are_one_line_of_printable_text(memory: Memory, bad: str) -> None:
    with pytest.raises(Invalid):
        memory.store("x", tags=["good", bad])


@pytest.mark.parametrize("content", ["", "   ", "\n\t", "\u3000", LONE, f"a{LONE}b", "\udfff"])
def test_empty_content_and_lone_surrogates_are_refused(memory: Memory, content: str) -> None:
    with pytest.raises(Invalid):
        memory.store(content)


@pytest.mark.parametrize(
    "request_",
    [
        ListFacts(types=[LONE]),
        ListFacts(tags=[LONE]),
        ListFacts(key=LONE),
        ListFacts(thread=LONE),
        ListFacts(project=LONE),
        ListFacts(cursor=LONE),
        ReadHistory(id=LONE),
    ],
    ids=lambda request: str(request)[:60].encode("ascii", "replace").decode(),
)
def test_lone_surrogates_in_filters_are_refused(memory: Memory, request_: Any) -> None:
    with pytest.raises(Invalid):
        memory.call(request_)


def test_forgetting_leaves_nothing_in_the_raw_files(memory: Memory) -> None:
    secret = "the launch code is nine seven three aardvark"
    fact = memory.store(secret, key="launch-key-aardvark", meta={"m": "meta-aardvark"}, tags=["tag-aardvark"])

    receipt = memory.call(ForgetFact(id=fact.id))

    assert ("scrubbed", 0, 1) == (receipt.state, receipt.residue, receipt.revisions)
    memory.close()
    raw = b"".join(file.read_bytes() for file in memory.path.parent.glob("memory.db*") if file.is_file())
    assert b"aardvark" not in raw
