"""What holds of all formats: detection, limits of files, and that no bytes break a reader."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from import_entries import read, write

from cortex import importers, limits
from cortex.errors import CortexError, Invalid, NotFound, TooLarge
from cortex.importers import Item, Skip, dialogue, jsonl, markdown, mcp_memory, mem0, text
from cortex.importers.items import checked

FACT = '{"content": "x", "meta": {"memory": 1, "role": "a", "results": [{"memory": 1}]}}'
ENTITY = '{"type":"entity","name":"Ann","entityType":"person","observations":["x"]}'
RELATION = '{"type":"relation","from":"Ann","to":"Acme","relationType":"knows"}'
MESSAGE = '{"role": "user", "content": [{"type": "text", "text": "hi"}]}'
MEMORY = '{"id": "1", "memory": "x", "metadata": {"role": "r", "content": "c"}}'


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("README.md", "# A", "markdown"),
        ("rules.MDC", "---\na: b\n---\n", "markdown"),
        (".cursorrules", "Use tabs.", "markdown"),
        ("notes.md", '{"content": "x"}', "markdown"),
        ("a.jsonl", FACT, "jsonl"),
        ("a.ndjson", "", "jsonl"),
        ("a.json", f"[\n{FACT}\n]", "jsonl"),
        ("a", "\ufeff" + FACT, "jsonl"),
        ("memory.jsonl", ENTITY, "mcp-memory"),
        ("memory.json", RELATION, "mcp-memory"),
        ("graph.json", '{"entities": [' + ENTITY + '], "relations": []}', "mcp-memory"),
        ("chat.jsonl", MESSAGE, "dialogue"),
        ("chat.json", f"[{MESSAGE}]", "dialogue"),
        ("chat.json", '{"messages": [' + MESSAGE + "]}", "dialogue"),
        ("m.json", '{"results": [' + MEMORY + "]}", "mem0"),
        ("m.json", '{"memories": [' + MEMORY + "]}", "mem0"),
        ("m.json", f"[{MEMORY}]", "mem0"),
        ("long.json", '[{"memory": "' + "x" * limits.IMPORT_SNIFF_BYTES, "mem0"),
        ("a.txt", "Ann: hi\nBob: ho\n", "text"),
        ("a.txt", "[10:00] Ann: hi", "text"),
        ("a.txt", "[1] a footnote", "text"),
        ("empty.txt", "", "text"),
        ("empty.md", "", "markdown"),
    ],
)  # fmt: skip
def test_the_format_is_found_from_name_and_content(tmp_path: Path, name: str, content: str, expected: str) -> None:
    path = write(tmp_path, content, name)

    assert expected == importers.detect(path)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"%PDF-1.7\n", "a PDF document"),
        (b"PK\x03\x04\x14\0", "a ZIP archive"),
        ("naïve".encode("utf-16"), "UTF-16 text"),
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"abc\0def", "binary data that begins with 61 62 63 00"),
        (bytes(range(1, 32)), "binary data"),
    ],
)
def test_binary_data_is_named_and_refused(tmp_path: Path, content: bytes, found: str) -> None:
    path = write(tmp_path, content, "notes.md")

    with pytest.raises(Invalid, match=found):
        importers.detect(path)


def test_latin1_text_is_text(tmp_path: Path) -> None:
    path = write(tmp_path, "déjà vu\n".encode("latin-1"))

    assert "text" == importers.detect(path)


@pytest.mark.parametrize("format_name", importers.FORMATS)
def test_a_file_that_is_not_there_is_not_found_before_reading(tmp_path: Path, format_name: str) -> None:
    with pytest.raises(NotFound, match=r"none\.md"):
        importers.read(tmp_path / "none.md", format_name, name="none.md")


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    for path in (pipe, tmp_path):
        with pytest.raises(Invalid, match="not a regular file"):
            importers.detect(path)


def test_a_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "huge.jsonl"
    with path.open("wb") as file:
        file.truncate(limits.IMPORT_FILE_BYTES_MAX + 1)

    with pytest.raises(TooLarge, match=str(limits.IMPORT_FILE_BYTES_MAX)):
        importers.detect(path)


def test_a_json_array_over_the_limit_for_documents_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, b"[" + b" " * limits.IMPORT_DOCUMENT_BYTES_MAX)

    with pytest.raises(TooLarge, match=str(limits.IMPORT_DOCUMENT_BYTES_MAX)):
        read(path, "jsonl")


def test_an_unknown_format_is_answered_with_the_nearest(tmp_path: Path) -> None:
    path = write(tmp_path, b"")

    with pytest.raises(Invalid, match="did you mean mem0"):
        importers.read(path, "memo", name="a")


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a\0", "x" * (limits.KEY_CHARS_MAX + 1), "\udcff"])
def test_a_name_that_cannot_be_part_of_a_key_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, b"x")

    with pytest.raises(Invalid, match="cannot name a file"):
        importers.read(path, "text", name=name)


def test_reading_is_lazy(tmp_path: Path) -> None:
    path = write(tmp_path, FACT + "\n" + "x" * 1_000_000)

    found = importers.read(path, "jsonl", name="a")

    assert isinstance(next(found), Item)


@pytest.mark.parametrize("format_name", [name for name in importers.FORMATS if name != "cortex4"])
def test_an_empty_file_has_no_entries(tmp_path: Path, format_name: str) -> None:
    for content in (b"", b"\xef\xbb\xbf", b"\r\n\r\n"):
        assert [] == read(write(tmp_path, content), format_name)


SYNTAX = [
    *["{", "}", "[", "]", ":", ",", '"', "\\", "null", "1e999", '"content"', '"role"', '"memory"', '"type":"entity"'],
    *[
        "\n",
        "\r",
        "\0",
        "\ufeff",
        "\u2028",
        "\x85",
        "\x1b[2J",
        "é",
        "# ",
        "---",
        "```",
        "> ",
        "- ",
        "    ",
        "<!--",
        "`",
    ],
    *["*", "[a](b)", "[a]: b\n", "&amp;", "Ann: ", '"observations":', '"results":'],
]
HOSTILE = st.one_of(
    st.binary(max_size=300),
    st.lists(st.one_of(st.sampled_from(SYNTAX).map(str.encode), st.binary(max_size=3)), max_size=60).map(b"".join),
)


@pytest.mark.parametrize("format_name", importers.FORMATS)
@given(content=HOSTILE)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_break_a_reader(tmp_path: Path, format_name: str, content: bytes) -> None:
    path = write(tmp_path, content)

    try:
        found = read(path, format_name)
        assert importers.detect(path) in importers.FORMATS
    except CortexError:
        return

    for entry in found:
        assert entry.where.isprintable()
        assert entry == checked(entry) if isinstance(entry, Item) else entry.reason.isprintable()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = [
    *["content", "type", "tags", "meta", "seq", "valid_from", "retired_at", "id", "name", "entityType", "observations"],
    *["from", "to", "relationType", "memory", "metadata", "created_at", "categories", "results", "relations", "text"],
    *["entities", "messages", "role", "speaker", "timestamp", "source", "relationship", "target"],
]
FIELDS = st.dictionaries(st.sampled_from(KEYS), VALUES | st.sampled_from(["entity", "relation"]), max_size=6)


@pytest.mark.parametrize("reader", [jsonl.read, mcp_memory.read, mem0.read, dialogue.read])
@given(values=st.lists(FIELDS, max_size=4), as_array=st.booleans())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_json_values_break_a_reader(tmp_path: Path, reader: object, values: list[object], as_array: bool) -> None:
    path = write(tmp_path, json.dumps(values) if as_array else "\n".join(json.dumps(value) for value in values))
    assert callable(reader)

    found = list(reader(path, "given"))

    assert all(isinstance(entry, Item | Skip) for entry in found)


@pytest.mark.parametrize("reader", [text.read, markdown.read, dialogue.read])
@pytest.mark.parametrize(
    "unit", [".", ")", "#", "[", "`", "*", "> ", "- ", "![", "<", "A:", "[a", "a b ", "((", "&", "\\", "a.) "]
)
def test_long_runs_of_one_thing_take_no_more_than_linear_time(tmp_path: Path, reader: object, unit: str) -> None:
    path = write(tmp_path, "# " + unit * (60_000 // len(unit)))
    assert callable(reader)

    found = list(reader(path, "given"))

    assert len(found) <= 64
