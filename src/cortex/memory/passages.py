"""Parting long texts into passages that an embedder can read whole, each of which knows the heading it stands under."""

import re

from cortex import limits

Span = tuple[int, int]

_INK = re.compile(r"\S")
# At most three closing marks: an open repetition would make long runs of them quadratic.
_PARAGRAPH = re.compile(r"\n[^\S\n]*\n")
_SENTENCE = re.compile(r"[.!?…][\"'”’»)\]]{0,3}\s|[。！？]|\n")
_SPACE = re.compile(r"\s")
# A paragraph or sentence that ends sooner than this part of a passage does not end it.
_LEAST_PART = 3

_MARKED = re.compile(r"\s*#{1,6}[ \t]([^\n]*)\n")
_HEADINGS_MAX = 6


def passages(content: str) -> list[Span]:
    """[start, end) of each passage, in characters, in order: every character that is no space is in exactly one.

    A text of at most PASSAGE_CHARS is one passage. A longer one is cut where paragraphs end, else sentences or lines,
    else at a space, else anywhere, into passages of at most PASSAGE_CHARS without spaces around them; where that came
    to more than PASSAGES_MAX, into longer ones.
    """
    if len(content) <= limits.PASSAGE_CHARS:
        return [(0, len(content))]
    size = limits.PASSAGE_CHARS
    while (found := _cut(content, size)) is None:
        size += size // 4
    return found


def text(content: str, span: Span) -> str:
    """What is embedded of a passage: its text, under the heading of the whole where it does not begin with that."""
    start, end = span
    named = heading(content) if start > 0 else ""
    passage = content[start:end]
    return f"{named}: {passage}" if named and not passage.startswith(named) else passage


def heading(content: str) -> str:
    """The headings with which a text begins, as `Guide > Set-up`; empty where there are none or they are long.

    Imported sections begin with `Guide > Set-up:` and a blank line, or are one line `Guide > Set-up: text`; other texts
    may begin with headings marked by `#`.
    """
    # Room for blanks and marks round headings that are just short enough.
    start = content[: 4 * limits.HEADING_CHARS_MAX].lstrip()
    named = _marked(start) if start.startswith("#") else _path(start)
    return named if len(named) <= limits.HEADING_CHARS_MAX else ""


def _marked(start: str) -> str:
    names: list[str] = []
    at = 0
    while len(names) < _HEADINGS_MAX and (found := _MARKED.match(start, at)):
        names.append(found[1].strip(" \t#"))
        at = found.end()
    return " > ".join(name for name in names if name)


def _path(start: str) -> str:
    line, _, rest = start.partition("\n")
    following, ended, _ = rest.partition("\n")
    if line.rstrip().endswith(":") and ended and not following.strip():
        return line.rstrip()[:-1]
    named, colon, _ = line.partition(": ")
    return named if colon and " > " in named else ""


def _cut(content: str, size: int) -> list[Span] | None:
    """Passages of at most `size` characters, or None for more than PASSAGES_MAX."""
    spans: list[Span] = []
    ink = _INK.search(content)
    while ink is not None:
        if len(spans) == limits.PASSAGES_MAX:
            return None
        start = ink.start()
        end = _end(content, start, size)
        spans.append((start, start + len(content[start:end].rstrip())))
        ink = _INK.search(content, end)
    return spans


def _end(content: str, start: int, size: int) -> int:
    left = len(content) - start
    if left <= size:
        return len(content)
    least = size // _LEAST_PART
    # The last passage is no scrap either.
    most = min(start + size, len(content) - least)
    for boundary, soonest in ((_PARAGRAPH, start + least), (_SENTENCE, start + least), (_SPACE, start)):
        ends = [found.end() for found in boundary.finditer(content, soonest, most)]
        if ends:
            return ends[-1]
    return most
