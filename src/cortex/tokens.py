"""Counting tokens without a model's vocabulary: a stated upper estimate, so that a budget is a promise.

Model tokenizers differ and need a download. This one counts each run of up to four ASCII letters, each run of up to two
digits, each other visible character and each newline as one token; a single space is free. It is meant to err on
the high side.
"""

import re

_PIECE = re.compile(r"[A-Za-z]{1,4}|[0-9]{1,2}| {2,4}|[^A-Za-z0-9 ]")


def count(text: str) -> int:
    """How many tokens `text` is counted as."""
    return sum(1 for _ in _PIECE.finditer(text))


def cut(text: str, most: int) -> str:
    """The longest prefix of `text` that counts at most `most` tokens."""
    for number, match in enumerate(_PIECE.finditer(text)):
        if number == most:
            return text[: match.start()]
    return text
