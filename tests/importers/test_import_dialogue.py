"""Dialogues as threads of episodes."""

import json
from pathlib import Path

import pytest
from import_entries import items, read, skip, write

from cortex import limits
from cortex.importers import Item, Skip

CHAT = """\
[2026-03-01T11:00:00+01:00] Ann Lee: Shall we
ship it?

  Note: this belongs to Ann.
Bob: Yes.
[yesterday] Ann Lee: Done: https://example.org
12:30 is fine too
"""


def test_turns_are_numbered_episodes_of_the_thread(tmp_path: Path) -> None:
    path = write(tmp_path, CHAT)

    found = items(path, "dialogue")

    assert [
        Item(
            content="Ann Lee: Shall we\nship it?\n\n  Note: this belongs to Ann.",
            where="line 1",
            type="episode",
            thread="notes/given",
            seq=0,
            source="notes/given",
            meta={"speaker": "Ann Lee"},
            valid_from="2026-03-01T10:00:00.000000Z",
        ),
        Item(
            content="Bob: Yes.",
            where="line 5",
            type="episode",
            thread="notes/given",
            seq=1,
            source="notes/given",
            meta={"speaker": "Bob"},
        ),
        Item(
            content="Ann Lee: Done: https://example.org\n12:30 is fine too",
            where="line 6",
            type="episode",
            thread="notes/given",
            seq=2,
            source="notes/given",
            meta={"speaker": "Ann Lee", "timestamp": "yesterday"},
        ),
    ] == found


def test_a_naive_time_is_kept_as_written(tmp_path: Path) -> None:
    path = write(tmp_path, "[2026-03-01 10:00] Ann: hi\n")

    (found,) = items(path, "dialogue")

    assert {"speaker": "Ann", "timestamp": "2026-03-01 10:00"} == found.meta
    assert found.valid_from is None


def test_text_before_the_first_speaker_is_skipped(tmp_path: Path) -> None:
    path = write(tmp_path, "Minutes of the meeting\n\nAnn: hi\n")

    skipped, item = read(path, "dialogue")

    assert Skip("line 1", "no speaker yet: a turn begins with `Speaker: `") == skipped
    assert "line 3" == item.where


def test_a_turn_that_is_skipped_keeps_its_number(tmp_path: Path) -> None:
    path = write(tmp_path, b"Ann: one\nBob:\nCid: \xff\nDan: " + b"long\n" * limits.CONTENT_BYTES_MAX + b"Eve: five\n")

    first, *skipped, last = read(path, "dialogue")

    assert ["the turn says nothing", "the content is not valid UTF-8"] == [entry.reason for entry in skipped[:2]]
    assert "more than" in skipped[2].reason
    assert [0, 4] == [entry.seq for entry in (first, last) if isinstance(entry, Item)]


@pytest.mark.parametrize("shape", ["array", "lines", "wrapped"])
def test_messages_in_json_are_turns(tmp_path: Path, shape: str) -> None:
    messages = [
        {"role": "user", "content": "Hello", "timestamp": "2026-03-01T10:00:00Z"},
        {"speaker": "Ann", "text": "Hi", "timestamp": 1770000000},
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}],
        },
    ]
    written = {
        "array": json.dumps(messages),
        "lines": "\n".join(json.dumps(message) for message in messages),
        "wrapped": json.dumps({"model": "x", "messages": messages}),
    }
    path = write(tmp_path, written[shape])

    found = items(path, "dialogue")

    assert ["user: Hello", "Ann: Hi", "assistant: a\nb"] == [item.content for item in found]
    assert [0, 1, 2] == [item.seq for item in found]
    assert ["2026-03-01T10:00:00.000000Z", None, None] == [item.valid_from for item in found]
    assert {"speaker": "Ann", "timestamp": "1770000000"} == found[1].meta


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"content": "x"}, "neither `role` nor `speaker` is a text"),
        ({"role": 3, "content": "x"}, "neither `role` nor `speaker` is a text"),
        ({"role": "user", "content": None}, "neither `content` nor `text` is a text"),
        ({"role": "user", "content": 3}, "neither `content` nor `text` is a text"),
        ({"role": "user", "content": []}, "the turn says nothing"),
        ({"role": "user", "content": "x\0"}, "the content holds a NUL character"),
    ],
)
def test_a_message_that_is_not_a_turn_is_skipped(tmp_path: Path, message: object, reason: str) -> None:
    path = write(tmp_path, json.dumps([message]))

    assert Skip("item 1", reason) == skip(path, "dialogue")
