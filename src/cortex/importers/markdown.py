"""Markdown: each section that says something is a fact, keyed `name#title/section` so that importing again supersedes.

Headings are what CommonMark takes for headings at the top level: not those in fences, comments, lists or quotes.
"""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
from markdown_it import MarkdownIt

from cortex import limits
from cortex.importers import files, prose
from cortex.importers.items import Item, Skip, checked_text, place

# Blocks only: inline markup takes most of the time and only that of headings is needed.
_blocks = MarkdownIt("commonmark")
_blocks.core.ruler.enableOnly(["normalize", "block"])
_inline = MarkdownIt("commonmark")

_FRONT_MATTER_LINES_MAX = 1_000
# Inline parsing is not linear on hostile input.
_HEADING_CHARS_MAX = 1_000
_LINE_END = re.compile(r"\r\n?")
_NOT_SLUG = re.compile(r"[^\w\- ]")


class _Heading(msgspec.Struct, frozen=True):
    level: int
    text: str
    slug: str

    @property
    def marked(self) -> str:
        return f"{'#' * self.level} {self.text}"


class _Section(msgspec.Struct, frozen=True):
    """The headings above it and its own; the line of its heading and that of each block below, up to `end`."""

    path: tuple[_Heading, ...]
    line: int
    start: int
    blocks: list[int]
    end: int


def read(path: Path, name: str) -> Iterator[Item | Skip]:
    """One item a section with text, in the order of the file; YAML front matter is skipped and said so."""
    data = files.whole(path, limits.IMPORT_MARKDOWN_BYTES_MAX)
    text = _LINE_END.sub("\n", data.decode("utf-8", "surrogateescape"))
    lines = text.split("\n")
    front = _front_matter(lines)
    if front:
        yield Skip(f"lines 1 to {front}", "front matter is not imported")
        lines[:front] = [""] * front
    for section in _sections(lines):
        yield from _items(section, lines, name)


def slug(heading: str) -> str:
    """The anchor of a heading as GitHub makes it: lower case, letters, digits, hyphens; cut to a length."""
    plain = _NOT_SLUG.sub("", heading.strip().lower()).replace(" ", "-")
    return plain[: limits.IMPORT_SLUG_CHARS_MAX] or "section"


def _front_matter(lines: list[str]) -> int:
    if lines[0].rstrip() != "---":
        return 0
    for number, line in enumerate(lines[1:_FRONT_MATTER_LINES_MAX], start=2):
        if line.rstrip() in {"---", "..."}:
            return number
    return 0


def _sections(lines: list[str]) -> Iterator[_Section]:
    tokens = _blocks.parse("\n".join(lines))
    path: tuple[_Heading, ...] = ()
    taken: dict[tuple[str, ...], int] = {}
    line = start = 0
    blocks: list[int] = []
    for index, token in enumerate(tokens):
        if token.level > 0 or token.map is None:
            continue
        if token.type != "heading_open":
            blocks.append(token.map[0])
            continue
        yield _Section(path, line, start, blocks, token.map[0])
        path = _below(path, int(token.tag[1]), _plain(tokens[index + 1].content), taken)
        line, start, blocks = token.map[0] + 1, token.map[1], []
    yield _Section(path, line, start, blocks, len(lines))


def _below(
    path: tuple[_Heading, ...], level: int, text: str, taken: dict[tuple[str, ...], int]
) -> tuple[_Heading, ...]:
    """The path to a heading: under the nearest one of a lower level, with a slug that is free there.

    `taken` holds each slug path in use and the last number given to its repetitions.
    """
    above = tuple(heading for heading in path if heading.level < level)
    slugs = tuple(heading.slug for heading in above)
    base = free = slug(text)
    while (*slugs, free) in taken:
        taken[*slugs, base] += 1
        free = f"{base}-{taken[*slugs, base]}"
    taken[*slugs, free] = 0
    return (*above, _Heading(level, text, free))


def _plain(content: str) -> str:
    """The words of a heading without its markup."""
    inline = _inline.parseInline(content[:_HEADING_CHARS_MAX])[0].children or []
    words = "".join(" " if token.type.endswith("break") else token.content for token in inline)
    return " ".join(words.split())


def _items(section: _Section, lines: list[str], name: str) -> Iterator[Item | Skip]:
    anchor = f"{name}#{'/'.join(heading.slug for heading in section.path)}"
    headings = [heading.text for heading in section.path]
    where = " > ".join(heading.marked for heading in section.path) or "before the first heading"
    for number, (line, body) in enumerate(_parts(section, lines), start=1):
        yield checked_text(
            Item(
                content=_with_path(headings, body),
                where=place(where if number == 1 else f"part {number} of {where}"),
                key=anchor if number == 1 else f"{anchor}~{number}",
                source=anchor,
                meta={"path": headings, "line": section.line if number == 1 and section.line else line},
            )
        )


def _with_path(headings: list[str], body: str) -> str:
    named = " > ".join(heading for heading in headings if heading)
    if not named:
        return body
    return f"{named}:\n\n{body}" if "\n" in body else f"{named}: {body}"


def _parts(section: _Section, lines: list[str]) -> Iterator[tuple[int, str]]:
    """The body with the line where it begins; a long one in parts that end where blocks end."""
    cuts = sorted({section.start, *section.blocks, section.end})
    held: list[str] = []
    size = first = 0
    for start, end in itertools.pairwise(cuts):
        for offset, unit in _units("\n".join(lines[start:end])):
            unit_size = len(unit.encode("utf-8", "surrogateescape")) + 1
            if held and size + unit_size > limits.IMPORT_SECTION_BYTES_MAX:
                yield from _said(first, held)
                held, size = [], 0
            first = first if held else start + offset + 1
            held.append(unit)
            size += unit_size
    yield from _said(first, held)


def _units(block: str) -> Iterator[tuple[int, str]]:
    """A block, or pieces of one that is longer than a part may be, with the lines before each."""
    if len(block.encode("utf-8", "surrogateescape")) <= limits.IMPORT_SECTION_BYTES_MAX:
        yield 0, block
        return
    for offset, piece in prose.pieces(block, limits.IMPORT_SECTION_BYTES_MAX // 4):
        yield block.count("\n", 0, offset), piece


def _said(line: int, held: list[str]) -> Iterator[tuple[int, str]]:
    body = "\n".join(held).strip("\n").rstrip()
    # Rules and empty comments between sections are not text.
    if any(char.isalnum() or ord(char) > 0xFF for char in body):
        yield line, body
