"""What people and scripts read: lines that nothing can break, and JSON."""

import io
import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from argv import drive, run
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from cortex.cli import render, terminal
from cortex.cli.terminal import Screen
from cortex.memory.model import Fact
from cortex.memory.search import Hit
from cortex.ops.search import SearchResult
from cortex.ops.views import FactPage

NOW = datetime(2026, 3, 3, 9, tzinfo=UTC)
PIPE = Screen(width=None, color=False, now=NOW)
HOSTILE = "a\x1b[2Jb\r\nc\x9bd\u202ee\u200bf\u2028g\x00h\ufeffi\U000e0041j\x85k"


def fact(**fields: Any) -> Fact:
    known: dict[str, Any] = {
        "id": "01a1fbdb-92ba-7418-924d-74237f3a9c2e",
        "project": "billing",
        "content": "Invoices are sent on the 3rd",
        "type": "decision",
        "tags": [],
        "key": None,
        "source": None,
        "meta": None,
        "confidence": "stated",
        "thread": None,
        "seq": None,
        "valid_from": "2026-03-01T09:00:00.000000Z",
        "valid_until": None,
        "recorded_at": "2026-03-01T09:00:00.000000Z",
        "retired_at": None,
        "revision": 1,
        "actor": "claude-code",
    }
    return Fact(**{**known, **fields})


def shown(hit_fact: Fact, screen: Screen, snippet: str, highlights: list[tuple[int, int]]) -> list[str]:
    hit = Hit(fact=hit_fact, score=1.0, snippet=snippet, highlights=highlights, context=[], explain=[])
    return render.lines(SearchResult(hits=[hit], terms=[], ignored=[], mode="text", pending=0, notes=[]), screen)


def test_a_fact_is_one_line() -> None:
    lines = shown(fact(), PIPE, "Invoices are sent on the 3rd", [])

    assert ["7f3a9c2e  billing  decision  Invoices are sent on the 3rd  (claude-code, 2d)"] == lines


def test_matches_stand_out_on_a_terminal_only() -> None:
    content = "Invoices are sent"

    assert (
        "\x1b[1mInvoices\x1b[0m are"
        in shown(fact(content=content), Screen(200, color=True, now=NOW), content, [(0, 8)])[0]
    )
    assert "\x1b" not in shown(fact(content=content), PIPE, content, [(0, 8)])[0]


def test_a_long_fact_is_cut_to_the_width_and_its_snippet_follows() -> None:
    lines = shown(fact(content="漢字 " * 100), Screen(80, color=False, now=NOW), "…漢字 found", [(4, 9)])

    assert 2 == len(lines)
    assert all(terminal.cells(line) <= 80 for line in lines)
    assert lines[0].endswith("…  (claude-code, 2d)")


def test_in_a_pipe_nothing_is_cut() -> None:
    content = "long " * 500

    assert content.strip() in render.lines(FactPage(facts=[fact(content=content)], next=None), PIPE)[0]


@given(st.text(), st.text(min_size=1), st.integers(1, 100), st.booleans())
@settings(deadline=None)
def test_no_text_can_break_a_line(content: str, name: str, width: int, color: bool) -> None:
    lines = shown(
        fact(content=content, type=name, actor=name), Screen(width, color=color, now=NOW), content, [(0, len(content))]
    )

    for line in lines:
        plain = line.replace("\x1b[1m", "").replace("\x1b[0m", "")
        assert plain.isprintable()
        assert terminal.cells(plain) <= width


class Inner(Struct, frozen=True):
    name: str
    found: dict[str, Any] | None


class Odd(Struct, frozen=True, kw_only=True):
    """A response that nothing was written for."""

    title: str
    long_text: str
    valid: bool
    nothing: None
    some: list[str]
    inner: Inner
    rows: list[Inner]
    data: bytes


def test_any_other_result_is_a_readable_listing() -> None:
    odd = Odd(
        title="t",
        long_text="one\ntwo",
        valid=True,
        nothing=None,
        some=["a", "b"],
        inner=Inner("x", {"k": 1}),
        rows=[Inner("y", None)],
        data=b"\x01",
    )

    expected = """\
title    t
long text:
  one
  two
valid    yes
nothing  -
some     a, b
inner:
  name  x
  found:
    k  1
rows:
  name: y
data     01"""
    assert expected.splitlines() == render.lines(odd, PIPE)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    ),
    st.text(),
)
@settings(deadline=None)
def test_a_listing_of_anything_is_printable(value: Any, text: str) -> None:
    inner = Inner(text, {"v": value})
    odd = Odd(title=text, long_text=text, valid=False, nothing=None, some=[text], inner=inner, rows=[inner], data=b"")

    assert all(line.isprintable() for line in render.lines(odd, PIPE))


def test_hostile_text_is_harmless_in_every_command() -> None:
    stored = run(["store", HOSTILE, "--json"]).body
    run(["revise", stored["id"], "--content", HOSTILE + "!", "--json"])
    commands = [
        ["store", HOSTILE + "?"],
        ["list"],
        ["search", "a", "--explain", "--context", "1"],
        ["recall"],
        ["show", stored["id"], "--history"],
        ["history", stored["id"]],
        ["retract", stored["id"]],
        ["store", "x", "--project", HOSTILE],
        ["show", HOSTILE],
        [HOSTILE],
        ["store", f"--{HOSTILE}"],
    ]

    for argv in commands:
        _, out, err = drive(argv)

        assert all(line.isprintable() for line in (out + err).decode().split("\n")), argv


def test_show_prints_a_text_of_several_lines_behind_a_mark() -> None:
    stored = run(["store", "one\n\n  two", "--key", "k", "--meta", "a=1", "--json"]).body

    _, out, _ = drive(["show", stored["id"][-8:], "--history"])

    lines = out.decode().splitlines()
    assert ["  | one", "  |", "  |   two"] == lines[1:4]
    assert f"id          {stored['id']}" in lines
    assert "revisions:" in lines


def test_storing_says_whether_it_was_there_already() -> None:
    first = drive(["store", "x"])[1].decode()
    second = drive(["store", "x"])[1].decode()

    assert (True, True) == (first.startswith("stored  "), second.startswith("already there  "))


def test_a_page_names_the_next_one() -> None:
    for number in range(3):
        drive(["store", f"fact {number}"])

    _, out, _ = drive(["list", "--limit", "2"])
    cursor = out.decode().splitlines()[-1].removeprefix("more: --cursor ")
    _, rest, _ = drive(["list", "--limit", "2", "--cursor", cursor])

    assert (3, 1) == (len(out.decode().splitlines()), len(rest.decode().splitlines()))
    assert "fact 0" in rest.decode()


def test_nothing_found_is_done() -> None:
    drive(["init"])

    assert (0, b"nothing found for rockets (left out: the)\n", b"") == drive(["search", "the rockets"])


def test_recall_prints_the_briefing_alone() -> None:
    drive(["store", "Invoices are sent on the 3rd"])

    _, out, _ = drive(["recall"])

    assert run(["recall", "--json"]).body["text"] == out.decode().removesuffix("\n")


def test_json_is_the_result_on_one_line_in_a_pipe() -> None:
    _, out, _ = drive(["store", "Zürich \u202e", "--json"])

    assert 1 == out.count(b"\n")
    assert "Zürich \u202e" == json.loads(out)["content"]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_json_on_a_terminal_is_the_same_document_with_nothing_that_steers_it(text: str) -> None:
    printed = terminal.printable_json(msgspec.json.encode([text]).decode())

    assert printed.isprintable()
    assert [text] == json.loads(printed)


def test_a_terminal_that_cannot_show_a_character_shows_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", narrow)

    terminal.say(["Zürich"])

    assert b"Z\\xfcrich\n" == narrow.buffer.getvalue()
