"""Facts as `cortex export` writes them."""

import json
from pathlib import Path
from typing import Any

import pytest
from import_entries import items, read, skip, write

from cortex import limits
from cortex.importers import Item, Skip


def line(**fields: Any) -> str:
    return json.dumps(fields) + "\n"


def test_every_field_of_a_fact_comes_back(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        line(
            content="Invoices go out on the 3rd",
            type="decision",
            tags=["dates", "billing"],
            key="invoice-day",
            source="CLAUDE.md",
            meta={"why": ["banks", 3]},
            confidence="inferred",
            thread="standup",
            seq=4,
            valid_from="2026-03-01T10:00:00+01:00",
            valid_until="2026-04-01T00:00:00Z",
            project="billing",
        ),
    )

    found = items(path, "jsonl")

    expected = Item(
        content="Invoices go out on the 3rd",
        where="line 1",
        type="decision",
        tags=("dates", "billing"),
        key="invoice-day",
        source="CLAUDE.md",
        meta={"why": ["banks", 3]},
        confidence="inferred",
        thread="standup",
        seq=4,
        valid_from="2026-03-01T09:00:00.000000Z",
        valid_until="2026-04-01T00:00:00.000000Z",
        project="billing",
    )
    assert [expected] == found


def test_where_a_fact_comes_from_is_kept_and_what_is_computed_is_not(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        line(
            id="0197", recorded_at="2026-01-01T00:00:00Z", actor="ann", content="x", meta={"a": 1}, key=None,
            revision=2, retired_at=None, verdict="verified", consensus_score=1.9, similar_to=[], anchors=[],
        ),
    )  # fmt: skip

    (found,) = items(path, "jsonl")

    imported = {"id": "0197", "recorded_at": "2026-01-01T00:00:00Z", "actor": "ann"}
    assert {"a": 1, "imported": imported} == found.meta
    assert found.key is None


def test_the_first_origin_of_a_fact_stays(tmp_path: Path) -> None:
    path = write(tmp_path, line(content="x", id="second", meta={"imported": {"id": "first"}}))

    (found,) = items(path, "jsonl")

    assert {"imported": {"id": "first"}} == found.meta


def test_a_retired_fact_is_not_revived(tmp_path: Path) -> None:
    path = write(tmp_path, line(content="x", retired_at="2026-01-01T00:00:00Z"))

    found = skip(path, "jsonl")

    assert Skip("line 1", "it was retired at 2026-01-01T00:00:00Z") == found


def test_an_unknown_key_is_named_with_the_nearest_known_one(tmp_path: Path) -> None:
    path = write(tmp_path, line(content="x", tag=["a"]))

    found = skip(path, "jsonl")

    assert Skip("line 1", "unknown key 'tag'; the nearest known is 'tags'") == found


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "content"),
        ({"content": None}, "content"),
        ({"content": 3}, "Expected `str`"),
        ({"content": " \n"}, "empty"),
        ({"content": "x", "tags": ["a\nb"]}, "holds the character U+000A"),
        ({"content": "x", "project": "-p"}, "the project begins with a dash"),
        ({"content": "x" * (limits.CONTENT_BYTES_MAX + 1)}, "bytes"),
        ({"content": "x", "type": "t" * (limits.TYPE_CHARS_MAX + 1)}, "the type has 65 characters"),
        ({"content": "x", "key": "k" * (limits.KEY_CHARS_MAX + 1)}, "the key has"),
        ({"content": "x", "key": ""}, "the key is empty"),
        ({"content": "x", "source": "s" * (limits.SOURCE_CHARS_MAX + 1)}, "the source has"),
        ({"content": "x", "project": "p" * (limits.NAME_CHARS_MAX + 1)}, "the project has"),
        ({"content": "x", "tags": ["t" * (limits.TAG_CHARS_MAX + 1)]}, "the tag"),
        ({"content": "x", "tags": [f"t{n}" for n in range(limits.TAGS_MAX + 1)]}, "65 tags"),
        ({"content": "x", "tags": "a"}, "Expected `array`"),
        ({"content": "x", "confidence": "sure"}, "Invalid enum value"),
        ({"content": "x", "seq": -1}, "the seq"),
        ({"content": "x", "seq": True}, "Expected `int"),
        ({"content": "x", "meta": []}, "Expected `object"),
        ({"content": "x", "meta": {"a": "b" * limits.META_BYTES_MAX}}, "the meta has"),
        ({"content": "x", "valid_from": "2026-01-01T00:00:00"}, "no offset"),
        ({"content": "x", "valid_from": "2026-01-02T00:00:00Z", "valid_until": "2026-01-01T00:00:00Z"}, "ends at"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_fact_is_skipped_with_its_reason(tmp_path: Path, fields: dict[str, Any], reason: str) -> None:
    path = write(tmp_path, line(**fields))

    found = skip(path, "jsonl")

    assert "line 1" == found.where
    assert reason in found.reason


def test_content_comes_back_as_it_was_exported(tmp_path: Path) -> None:
    content = "  a\0b\r\n\u2028 \N{GRINNING FACE}\n"
    path = write(tmp_path, line(content=content))

    (found,) = items(path, "jsonl")

    assert content == found.content


def test_meta_may_be_as_deep_as_the_limit_and_no_deeper(tmp_path: Path) -> None:
    def nested(levels: int) -> dict[str, Any]:
        return {} if levels == 1 else {"a": nested(levels - 1)}

    path = write(
        tmp_path,
        line(content="x", meta=nested(limits.META_DEPTH_MAX))
        + line(content="y", meta=nested(limits.META_DEPTH_MAX + 1)),
    )

    found = read(path, "jsonl")

    assert [Item, Skip] == [type(entry) for entry in found]


def test_a_bad_line_does_not_stop_the_next(tmp_path: Path) -> None:
    bad = [b"{", b"[1]", b"7", b'{"content": "\xff"}', b'{"content": "\\ud800"}', b'{"a":' + b"[" * 5_000, b"null"]
    path = write(tmp_path, b'{"content": "first"}\n' + b"\n".join(bad) + b'\n\r\n{"content": "last"}')

    first, *skipped, last = read(path, "jsonl")

    assert isinstance(first, Item)
    assert [f"line {number}" for number in range(2, 9)] == [entry.where for entry in skipped]
    assert all(isinstance(entry, Skip) for entry in skipped)
    assert ("last", "line 10") == (last.content, last.where) if isinstance(last, Item) else None


def test_a_line_over_the_limit_is_skipped_without_being_kept(tmp_path: Path) -> None:
    path = write(tmp_path, b'{"content": "a"}\n' + b"x" * (2 * limits.IMPORT_LINE_BYTES_MAX) + b'\n{"content": "b"}\n')

    first, skipped, last = read(path, "jsonl")

    assert Skip("line 2", f"the line has more than {limits.IMPORT_LINE_BYTES_MAX} bytes") == skipped
    assert ["line 1", "line 3"] == [first.where, last.where]


def test_a_byte_order_mark_and_crlf_are_not_content(tmp_path: Path) -> None:
    path = write(tmp_path, b'\xef\xbb\xbf{"content": "a"}\r\n{"content": "b"}\r\n')

    found = items(path, "jsonl")

    assert ["a", "b"] == [item.content for item in found]


def test_an_array_is_read_like_lines(tmp_path: Path) -> None:
    path = write(tmp_path, '[\n {"content": "a"},\n {"content": 3},\n {"content": "b"}\n]')

    found = read(path, "jsonl")

    assert [("item 1", Item), ("item 2", Skip), ("item 3", Item)] == [(e.where, type(e)) for e in found]


def test_one_object_over_several_lines_is_one_fact(tmp_path: Path) -> None:
    path = write(tmp_path, '{\n  "content": "a"\n}\n')

    found = items(path, "jsonl")

    assert ["a"] == [item.content for item in found]


def test_an_array_that_ends_too_early_is_skipped_as_a_whole(tmp_path: Path) -> None:
    path = write(tmp_path, '[{"content": "a"}, {"con')

    found = skip(path, "jsonl")

    assert "document" == found.where
    assert "truncated" in found.reason
