"""The passes over the votes log that may be left out, as people and models are told of them."""

from collections.abc import Collection

_WORDS = {"signatures": "signatures", "policy": "weights", "text": "texts"}


def left_out(passes: Collection[str]) -> list[str]:
    """What was not checked, where these passes were made."""
    return [word for name, word in _WORDS.items() if name not in passes]
