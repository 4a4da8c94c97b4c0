"""Plain text: each paragraph is a fact, a long one several; the source is the file and the line."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from cortex import limits
from cortex.importers import files, prose
from cortex.importers.items import Item, Skip, checked_text


class _Paragraph(msgspec.Struct, frozen=True):
    line: int
    text: str


def read(path: Path, name: str) -> Iterator[Item | Skip]:
    """A paragraph ends at a blank line. A piece with NUL or bytes that are not UTF-8 is skipped, not mended."""
    for found in _paragraphs(path):
        if isinstance(found, Skip):
            yield found
            continue
        for offset, piece in prose.pieces(found.text, limits.IMPORT_PARAGRAPH_CHARS):
            line = found.line + found.text.count("\n", 0, offset)
            yield checked_text(Item(content=piece, source=f"{name}:{line}", where=f"line {line}"))


def _paragraphs(path: Path) -> Iterator[_Paragraph | Skip]:
    held: list[str] = []
    chars = first = 0
    for number, line in files.text_lines(path):
        # A file without blank lines is cut at a line end rather than held in memory.
        if held and (line is None or not line.strip() or chars > limits.IMPORT_PARAGRAPH_CHARS_MAX):
            yield _Paragraph(first, "\n".join(held))
            held, chars = [], 0
        if line is None:
            yield Skip(f"line {number}", f"the line has more than {limits.IMPORT_LINE_BYTES_MAX} bytes")
        elif line.strip():
            first = first if held else number
            held.append(line.rstrip())
            chars += len(line)
    if held:
        yield _Paragraph(first, "\n".join(held))
