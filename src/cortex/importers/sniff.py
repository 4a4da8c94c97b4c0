"""Which format a file is in, from its name and its first bytes."""

import re
from collections.abc import Iterator
from pathlib import Path

from cortex.errors import Invalid
from cortex.importers import cortex4, files

_MARKDOWN_SUFFIXES = frozenset({".md", ".markdown", ".mdown", ".mkd", ".mdc"})
# Agents' rule files that are Markdown whatever their name says.
_MARKDOWN_NAMES = frozenset({".cursorrules", ".windsurfrules", ".clinerules"})
_JSON_SUFFIXES = frozenset({".json", ".jsonl", ".ndjson"})
_BINARY = {
    b"%PDF-": "a PDF document",
    b"PK\x03\x04": "a ZIP archive or an Office document",
    b"\x1f\x8b": "a gzip archive",
    b"(\xb5/\xfd": "a Zstandard archive",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"\x7fELF": "a program",
}
_JSON_START = re.compile(rb"\s*(?:\{\s*[\"}]|\[\s*[{\]])")
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[{}\[\]:]', re.DOTALL)
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_LISTS = {b"results": "mem0", b"memories": "mem0", b"entities": "mcp-memory", b"messages": "dialogue"}


def detect(path: Path) -> str:
    """One of `FORMATS`. Plain text is never taken for a dialogue: say so with the format."""
    files.require(path)
    head = files.head(path)
    if head.startswith(files.SQLITE_MAGIC):
        cortex4.require(path)
        return "cortex4"
    _refuse_binary(path, head)
    suffix = path.suffix.lower()
    if suffix in _MARKDOWN_SUFFIXES or path.name.lower() in _MARKDOWN_NAMES:
        return "markdown"
    if is_json(head):
        return _json_format(head)
    return "jsonl" if suffix in _JSON_SUFFIXES else "text"


def is_json(head: bytes) -> bool:
    """Whether a file that begins so holds JSON objects. `[10:00] Ann: hi` is not JSON."""
    return _JSON_START.match(head) is not None


def _refuse_binary(path: Path, head: bytes) -> None:
    found = next((what for magic, what in _BINARY.items() if head.startswith(magic)), None)
    if found is None and (b"\0" in head or 10 * len(_CONTROL.findall(head)) > len(head)):
        found = f"binary data that begins with {head[:8].hex(' ')}"
    if found is not None:
        raise Invalid(
            f"{str(path)!r} is {found}", "convert it to UTF-8 text, Markdown or JSON lines, or name its format"
        )


def _json_format(head: bytes) -> str:
    keys = set(_first_keys(head))
    for key, name in _LISTS.items():
        if key in keys and b"content" not in keys:
            return name
    if keys & {b"entityType", b"relationType"}:
        return "mcp-memory"
    if keys & {b"role", b"speaker"} and keys & {b"content", b"text"}:
        return "dialogue"
    return "mem0" if b"memory" in keys else "jsonl"


def _first_keys(head: bytes) -> Iterator[bytes]:
    """The keys of the first object, as far as the bytes go: it may be longer than they are."""
    depth = base = 0
    last = b""
    for found in _TOKEN.finditer(head):
        token = found[0]
        if token == b":" and depth == base:
            yield last[1:-1]
        elif token in b"{[":
            depth += 1
            base = base or (depth if token == b"{" else 0)
        elif token in b"}]":
            depth -= 1
            if depth < base:
                return
        last = token
