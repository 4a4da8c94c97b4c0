"""What does not fit a request is told with its place, what was found there and what to give, on every face."""

import re
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from cortex.errors import CortexError, Invalid, TooLarge
from cortex.ops.catalog import BY_NAME, OPERATIONS
from cortex.ops.context import Context
from cortex.ops.facts import StoreFact, StoreFacts
from cortex.ops.invoke import decode, validate
from cortex.ops.ledger import LedgerHistory
from cortex.ops.registry import Instant, Request, operation


class Piece(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    content: Annotated[str, Meta(min_length=2, max_length=4)]
    size: int = 0


Pieces = Annotated[list[Piece], Meta(min_length=1, max_length=2)]


class Everything(Request[LedgerHistory], frozen=True, kw_only=True):
    """A request with a field of every form that can be wrong."""

    pieces: Pieces = msgspec.field(default_factory=list)
    top_k: Annotated[int, Meta(ge=1, le=200)] = 10
    share: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    side: Literal["left", "right"] = "left"
    loud: bool = False
    label: Annotated[str, Meta(max_length=3)] | None = None
    tags: list[str] = msgspec.field(default_factory=list)
    meta: dict[str, Any] | None = None
    counts: Annotated[dict[str, int], Meta(min_length=1)] | None = None
    either: int | str = 0
    at: Instant | None = None
    step: Annotated[int, Meta(multiple_of=5)] = 5


@operation("test.everything", effect="read", order="local", method="everything")
async def everything(ctx: Context, request: Everything) -> LedgerHistory:
    """Say nothing."""
    return LedgerHistory(fact="", entries=[])


def refusal(data: object, *, lax: bool = False) -> CortexError:
    with pytest.raises(CortexError) as caught:
        decode(everything, data, lax=lax)
    return caught.value


@pytest.mark.parametrize(
    ("data", "message", "hint"),
    [
        ({"top_k": 500}, "top_k is 500", "give at most 200"),
        ({"top_k": 0}, "top_k is 0", "give at least 1"),
        ({"top_k": 10**400}, "top_k is a very large number", "give at most 200"),
        ({"top_k": 1.5}, "top_k is 1.5", "give a whole number"),
        ({"top_k": "ten"}, "top_k is the text 'ten'", "give a whole number"),
        ({"top_k": None}, "top_k is null", "give a whole number"),
        ({"share": 1}, "share is 1", "give less than 1"),
        ({"share": 0.0}, "share is 0.0", "give more than 0"),
        ({"side": "up"}, "side is 'up'", "give one of left, right"),
        ({"side": 3}, "side is 3", "give one of left, right"),
        ({"loud": "x"}, "loud is the text 'x'", "give true or false"),
        ({"label": True}, "label is true", "give text"),
        ({"tags": "a"}, "tags is the text 'a'", "give a list"),
        ({"tags": ["a", {}]}, "tags[1] is an object", "give text"),
        ({"meta": []}, "meta is a list", "give an object"),
        ({"meta": {1: 2}}, "a key of meta is another value", "give text"),
        ({"counts": {"a": "x"}}, "counts[...] is another value", "give a whole number"),
        ({"counts": {}}, "counts is empty", "give at least 1 entry"),
        ({"either": []}, "either is a list", "give a whole number or text"),
        ({"pieces": []}, "pieces is empty", "give at least 1 item"),
        ({"pieces": [{"content": "a"}]}, "pieces[0].content has 1 character", "give at least 2 characters"),
        ({"pieces": [{}]}, "pieces[0].content is missing", "pieces[0] needs content"),
        ({"at": 3}, "at is 3", "give an RFC 3339 time with an offset or Z, such as 2026-03-01T09:00:00Z"),
        ([], "the request is a list", "give an object"),
        (None, "the request is null", "give an object"),
    ],
)  # fmt: skip
def test_what_was_found_and_what_to_give_are_said(data: object, message: str, hint: str) -> None:
    error = refusal(data)

    assert (Invalid, message, hint) == (type(error), error.message, error.hint)


def test_what_is_too_long_is_too_large_with_its_length() -> None:
    error, nested = refusal({"label": "long"}), refusal({"pieces": [{"content": "a" * 5}]})

    assert (TooLarge, "label has 4 characters; give at most 3 characters") == (type(error), str(error))
    assert (TooLarge, "pieces[0].content has 5 characters; give at most 4 characters") == (type(nested), str(nested))


def test_text_that_stands_for_a_number_is_shown_as_it_was_given() -> None:
    assert "top_k is '500'; give at most 200" == str(refusal({"top_k": "500"}, lax=True))


def test_a_wrong_field_is_named_with_its_place_and_the_fields_that_are_there() -> None:
    batch = {"facts": [{"content": "a"}, {"contnt": "b"}]}

    with pytest.raises(Invalid) as caught:
        decode(BY_NAME["fact.store_batch"], batch)

    assert ("facts[1] has no field 'contnt'", "did you mean content?") == (caught.value.message, caught.value.hint)
    assert "pieces[0] has no field 'zzz'; it takes content, size" == str(refusal({"pieces": [{"zzz": 1}]}))


@pytest.mark.parametrize("name", ["a` - at `$.b", "a` - at `$.pieces", "a` - at `$.meta.b`", "\x1b[2J"])
def test_the_name_of_a_wrong_field_cannot_lead_elsewhere(name: str) -> None:
    error = refusal({name: 1, "pieces": [{"content": "ab"}], "meta": {}})

    assert f"test.everything has no field {name!r}" == error.message


def test_a_lone_surrogate_is_refused_wherever_it_stands() -> None:
    for data in ({"\ud800": 1}, {"side": "\ud800"}, {"at": "\ud800"}):
        assert "\\ud800" in refusal(data).message


def test_a_naive_time_keeps_its_own_hint() -> None:
    error = refusal({"at": "2026-03-01"})

    assert "at: '2026-03-01' has no offset" == error.message
    assert "give an RFC 3339 time with an offset or Z, such as 2026-03-01T09:00:00Z" == error.hint


def test_a_request_of_another_operation_or_of_other_data_says_what_is_taken() -> None:
    store = BY_NAME["fact.store"]
    wrong: Any = object()

    for request, hint in (
        (StoreFacts(facts=[]), "takes a StoreFact"),
        (StoreFact(content=wrong), "give text, numbers"),
    ):
        with pytest.raises(Invalid) as caught:
            validate(store, request)
        assert hint in caught.value.hint


NAMES = st.sampled_from([*Everything.__struct_fields__, "content", "size", "x"]) | st.text(max_size=80)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@given(data=ANYTHING, lax=st.booleans())
@example(data={"step": 3}, lax=False)
@example(data={"side": "\ud800", "top_k": "\ud800"}, lax=True)
def test_every_refusal_is_short_and_has_a_hint_and_no_words_of_msgspec(data: object, lax: bool) -> None:
    errors: list[CortexError] = []
    for taking in (everything, *OPERATIONS):
        try:
            decode(taking, data, lax=lax)
        except CortexError as error:
            errors.append(error)

    for error in errors:
        assert 0 < len(error.message) < 250
        assert error.hint
        assert error.message.isprintable()
        assert not re.search(r"Expected|Object |`\$", error.message)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("agent.show", {"name": "bob smith"}, "name is 'bob smith'; give 1 to 64 letters, digits, dots, dashes, '_' and '@'"),
        ("agent.list", {"cursor": "a b"}, "cursor is 'a b'; give `next` of the page before as it was"),
        ("vote.cast", {"id": "x", "vote": 1, "sig": "ab"}, "sig is 'ab'; give 128 hex digits in small letters"),
        (
            "vote.cast_batch",
            {"votes": [{"id": "x", "vote": 1, "vote_id": "1"}]},
            "votes[0].vote_id is '1'; give a UUID in small letters, such as 0198f3a2-6c1e-7b44-9d0e-5f2a7c81b936",
        ),
        ("event.submit", {"kind": "agent", "event": {}, "sigs": ["ab"]}, "sigs[0] is 'ab'; give 128 hex digits in small letters"),
    ],
)  # fmt: skip
def test_a_text_of_another_form_is_told_the_form_in_words(name: str, data: object, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        decode(BY_NAME[name], data)

    assert said == str(caught.value)
