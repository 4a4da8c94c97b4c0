"""Every type of field comes through the command line as it was."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import click
import msgspec
import pytest
from argv import argv_for, call, drive, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Meta, Struct

from cortex import limits
from cortex.cli.commands import OperationCommand
from cortex.errors import CortexError, Invalid
from cortex.ops.catalog import BY_NAME, OPERATIONS
from cortex.ops.context import Context
from cortex.ops.facts import NewFact, ReviseFact, StoreFact, StoreFacts
from cortex.ops.invoke import decode, validate
from cortex.ops.registry import Cli, Instant, Request, operation
from cortex.ops.search import SearchFacts
from cortex.ops.views import ListFacts


class Part(Struct, frozen=True, kw_only=True):
    name: str
    size: int = 0


class Echo(Struct, frozen=True, kw_only=True):
    done: bool


Words = Annotated[list[str], Meta(description="Words.")]
Choices = list[Literal["a", "b"]]
Parts = list[Part]


class Everything(Request[Echo], frozen=True, kw_only=True):
    """A request with a field of every type that the command line knows."""

    content: str
    label: str | None = None
    count: Annotated[int, Meta(description="How many.")] | None = None
    ratio: float | None = None
    loud: bool = False
    quiet: bool = True
    sides: Literal["left", "right"] = "left"
    vote: Literal[-1, 0, 1] = 0
    at: Instant | None = None
    words: Words = msgspec.field(default_factory=list)
    numbers: list[int] | None = None
    choices: Choices = msgspec.field(default_factory=list)
    meta: dict[str, Any] | None = None
    limits: dict[str, int] | None = None
    part: Part | None = None
    parts: Parts = msgspec.field(default_factory=list)
    grid: list[list[int]] | None = None
    either: int | str | None = None
    project: str | None = None


@operation(
    "test.everything",
    effect="read",
    order="local",
    method="everything",
    cli=(
        Cli("everything [PROJECT] CONTENT", group="Memory", rename={"words": "word"}, stdin="content"),
        Cli("many WORD...", group="Memory", rename={"words": "word"}),
        Cli("cast CONTENT VOTE [COUNT]", group="Memory"),
    ),
)
async def everything(ctx: Context, request: Everything) -> Echo:
    """Say that it was done."""
    return Echo(done=True)


def read(argv: list[str], line: int = 0, request: type[Request[Any]] | None = None) -> Any:
    found = everything if request is None else next(o for o in OPERATIONS if o.request is request)
    command = OperationCommand(found, found.cli[line])
    with command.make_context("line", argv[len(command.usage.words) :]) as ctx:
        return decode(found, command.read(ctx))


def one(*tokens: str, line: int = 0) -> Any:
    return read(["everything", *tokens], line)


_texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1).filter("-".__ne__)
_dashed = st.sampled_from(["-1 is bad", "- item", "+1", "--", "---", "--x", "-h", "--json", "-", "@here", "a=b", "{}"])
_any_text = (_texts | _dashed).filter("-".__ne__)
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=5,
)
_parts = st.builds(Part, name=_texts, size=st.integers(0, 9))
_requests = st.builds(
    Everything,
    content=_any_text,
    label=st.none() | _any_text,
    count=st.none() | st.integers(-(2**53), 2**53),
    ratio=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    loud=st.booleans(),
    quiet=st.booleans(),
    sides=st.sampled_from(["left", "right"]),
    vote=st.sampled_from([-1, 0, 1]),
    at=st.none() | st.just(Instant("2026-03-01T09:00:00.000000Z")),
    words=st.lists(_any_text, max_size=3),
    numbers=st.none() | st.lists(st.integers(-9, 9), min_size=1, max_size=3),
    choices=st.lists(st.sampled_from(["a", "b"]), max_size=3),
    meta=st.none() | st.dictionaries(_texts, _json, min_size=1, max_size=3),
    limits=st.none() | st.dictionaries(_texts, st.integers(-9, 9), min_size=1, max_size=3),
    part=st.none() | _parts,
    parts=st.lists(_parts, max_size=2),
    grid=st.none() | st.lists(st.lists(st.integers(0, 9), max_size=2), min_size=1, max_size=2),
    either=st.none() | _any_text,
)


@given(_requests)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_request_comes_back_from_its_command_line(request: Everything) -> None:
    argv = argv_for(everything, request)

    assert request == read(argv)


@pytest.mark.parametrize("line", [0, 1, 2])
def test_every_command_line_of_an_operation_can_say_the_same(line: int) -> None:
    request = Everything(content="--x", words=["-", "--json"], vote=-1, count=-3, meta={"a": [1, None]})

    assert request == read(argv_for(everything, request, line=line), line)


@pytest.mark.parametrize("text", ["-1 is bad", "- item", "+1", "-x", "---", "-- a", "--Loud", "— b", "", "\0"])
def test_a_value_may_begin_with_a_dash(text: str) -> None:
    assert text == one(text, "--loud").content
    assert text == one("--label", text, "content").label


def test_after_two_dashes_everything_is_a_value() -> None:
    assert "--json" == one("--loud", "--", "--json").content


def test_an_unknown_option_is_refused_with_the_nearest_known_one() -> None:
    code, _, err = drive(["store", "--tgs", "a", "text"])

    assert (2, b"error (invalid): no such option: --tgs\n  did you mean --tag?; see `cortex store --help`\n") == (
        code,
        err,
    )


def test_one_value_is_the_content_and_two_are_project_and_content() -> None:
    assert (None, "text") == (one("text").project, one("text").content)
    assert ("p", "text") == (one("p", "text").project, one("p", "text").content)


def test_the_project_may_stand_anywhere_but_only_once() -> None:
    assert "p" == one("--project", "p", "text").project
    with pytest.raises(Invalid, match="the project is given twice"):
        one("--project", "p", "q", "text")


def test_too_few_and_too_many_values_are_refused() -> None:
    with pytest.raises(Invalid, match="CONTENT is missing"):
        one()
    with pytest.raises(Invalid, match="unexpected 'c'"):
        one("a", "b", "c")


def test_optional_places_on_the_right_are_filled_from_the_left() -> None:
    assert (1, None) == (one("x", "+1", line=2).vote, one("x", "+1", line=2).count)
    assert (-1, -7) == (one("x", "-1", "-7", line=2).vote, one("x", "-1", "-7", line=2).count)


def test_pairs_are_text_and_json_keeps_its_types() -> None:
    assert {"a": "1", "b": "x=y"} == one("t", "--meta", "a=1", "--meta", "b=x=y").meta
    assert {"a": 1, "b": [None]} == one("t", "--meta", '{"a": 1, "b": [null]}').meta
    assert {"a": 1} == one("t", "--limits", "a=1").limits


def test_flags_have_a_negative() -> None:
    assert (True, False) == (one("t", "--loud", "--no-quiet").loud, one("t", "--loud", "--no-quiet").quiet)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["--count", "many"], "--count: 'many' is not a whole number"),
        (["--count", "1_0"], "--count: '1_0' is not a whole number"),
        (["--count", "9" * 5000], "is not a whole number"),
        (["--ratio", "nan"], "--ratio: 'nan' is not a number"),
        (["--sides", "up"], "--sides: 'up' is not one of left, right"),
        (["--meta", "a"], "--meta: 'a' is neither a JSON object nor key=text"),
        (["--meta", "{"], "--meta: not JSON"),
        (["--meta", "{" * 5000], "--meta: not JSON"),
        (["--meta", '{"a":' * 5000], "--meta: "),
        (["--meta", "a=1", "--meta", "a=2"], "--meta: 'a' is given twice"),
        (["--part", "[1]"], "part is a list"),
        (["--part", "@nowhere"], "--part: cannot read nowhere: No such file"),
        (["--part", "@."], "--part: cannot read .:"),
        (["--part", '"\udcff"'], "--part: not JSON"),
        (["--at", "2026-03-01"], "has no offset"),
    ],
)
def test_a_value_of_the_wrong_form_is_named(tokens: list[str], message: str) -> None:
    with pytest.raises(CortexError) as caught:
        one("t", *tokens)

    assert message in caught.value.message
    assert caught.value.hint


def test_json_may_lie_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "parts.json").write_text('[{"name": "ü"}]', encoding="utf-8")

    assert [Part(name="ü")] == one("t", "--parts", f"@{tmp_path / 'parts.json'}").parts


def test_a_dash_reads_standard_input_without_its_last_line_end() -> None:
    answer = run(["store", "-", "--json"], "Zürich\nist schön\r\n".encode())

    assert "Zürich\nist schön" == answer.body["content"]


def test_an_option_reads_standard_input_too() -> None:
    stored = run(["store", "before", "--json"]).body

    assert "after" == run(["revise", stored["id"], "--content", "-", "--json"], b"after").body["content"]


def test_standard_input_gives_a_batch() -> None:
    batch = json.dumps([{"content": "a"}, {"content": "b"}]).encode()

    assert 2 == run(["store-batch", "-", "--json"], batch).body["stored"]


def test_standard_input_that_is_not_utf_8_is_refused() -> None:
    answer = run(["store", "-", "--json"], b"ab\xff")

    assert (2, "standard input is not UTF-8 (byte 2)") == (answer.exit_code, answer.body["error"]["message"])


def test_standard_input_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CLI_INPUT_BYTES_MAX", 10)

    answer = run(["store", "-", "--json"], b"x" * 11)

    assert (2, "too_large") == (answer.exit_code, answer.error_kind)


def test_standard_input_is_read_once() -> None:
    answer = run(["store", "-", "--meta", "-", "--json"], b"{}")

    assert "`-` is given twice" == answer.body["error"]["message"]


@pytest.mark.parametrize(
    "request_",
    [
        StoreFact(
            content="- 東京 \U0001f469‍\U0001f680",
            tags=["-a", "b c", "--json"],
            meta={"a": {"b": [1, 2.5, None]}},
            key="k",
        ),
        StoreFact(content="x", project="p", valid_from=Instant("2026-03-01T10:00:00+01:00"), seq=0, thread="t"),
        StoreFacts(facts=[NewFact(content="one", tags=["t"]), NewFact(content="-2", meta={})]),
    ],
)
def test_a_request_gives_its_answer_over_the_command_line(request_: Any) -> None:
    found = next(o for o in OPERATIONS if o.request is type(request_))

    answer = call(found, request_)

    assert (0, "") == (answer.exit_code, answer.stderr)
    stored = answer.body.get("facts", [answer.body])
    assert [fact.content for fact in getattr(request_, "facts", [request_])] == [fact["content"] for fact in stored]


@pytest.mark.parametrize(
    "request_",
    [
        ReviseFact(id="abcd", clear=["key", "valid_until"], if_revision=2, tags=["x"]),
        SearchFacts(query="--all", types=["a", "b"], all_projects=True, explain=True, top_k=3),
        ListFacts(project="p", every=True, cursor="abc"),
    ],
)
def test_requests_of_the_catalog_come_back_from_their_command_line(request_: Any) -> None:
    found = next(o for o in OPERATIONS if o.request is type(request_))

    again = read(argv_for(found, request_), request=type(request_))

    assert validate(found, request_) == again


def test_what_no_command_line_can_say_is_said() -> None:
    for request in (Everything(content="a\0b"), Everything(content="-"), Everything(content="a", numbers=[])):
        with pytest.raises(ValueError, match=r"NUL|standard input|empty"):
            argv_for(everything, request)


def test_click_knows_every_option_by_its_own_name() -> None:
    store = BY_NAME["fact.store"]
    command = OperationCommand(store, store.cli[0])

    options = {name for parameter in command.params if isinstance(parameter, click.Option) for name in parameter.opts}

    assert {"--tag", "--valid-from", "--db", "--project", "--json"} <= options
    assert "--tags" not in options


def test_a_field_that_may_be_a_place_or_an_option_is_given_once() -> None:
    fact = run(["--json", "store", "Invoices leave on the 3rd"]).body["id"]

    place = run(["--json", "revise", fact, "Invoices leave on the 4th"])
    option = run(["--json", "revise", fact, "--content", "Invoices leave on the 5th"])
    both = run(["--json", "revise", fact, "one", "--content", "another"])

    assert [2, 3] == [place.body["revision"], option.body["revision"]]
    assert ("invalid", "content is given twice") == (both.error_kind, both.body["error"]["message"])
