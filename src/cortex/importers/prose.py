"""Where to cut prose that is too long for one fact: after a sentence, else at a space, else anywhere."""

import re
from collections.abc import Iterator

# At most three closing marks: an open repetition would make long runs of them quadratic.
_SENTENCE_END = re.compile(r"[.!?…][\"'”’»)\]]{0,3}\s|[。！？]")
_SPACE = re.compile(r"\s")


def pieces(text: str, chars_max: int) -> Iterator[tuple[int, str]]:
    """The text in pieces of at most `chars_max` characters without blanks around them, each with its offset."""
    start = 0
    while start < len(text):
        end = _cut(text, start, chars_max)
        piece = text[start:end]
        if piece.strip():
            yield start + len(piece) - len(piece.lstrip()), piece.strip()
        start = end


def _cut(text: str, start: int, chars_max: int) -> int:
    if len(text) - start <= chars_max:
        return len(text)
    for boundary in (_SENTENCE_END, _SPACE):
        ends = [found.end() for found in boundary.finditer(text, start, start + chars_max)]
        if ends:
            return ends[-1]
    return start + chars_max
