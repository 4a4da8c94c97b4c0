"""Making a result fit its token budget: inner texts are abridged, then lists shortened, then outer texts abridged."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Struct, structs

from cortex import limits, tokens

_MARK = "…"
# No text counts fewer tokens than this many characters each: four letters and the space after them.
_CHARS_PER_TOKEN_MAX = 5


@dataclass(frozen=True)
class Fitted:
    """A response that fits; `shortened` has each list that lost items, with how many it has and had."""

    response: Struct
    abridged: bool = False
    shortened: tuple[tuple[str, int, int], ...] = ()

    @property
    def whole(self) -> bool:
        """Whether nothing is missing."""
        return not self.abridged and not self.shortened


def within(text: str, most: int) -> bool:
    """Whether `text` counts at most `most` tokens. What is far too long is not counted."""
    return len(text) <= _CHARS_PER_TOKEN_MAX * (most + 1) and tokens.count(text) <= most


def fit(response: Struct, fits: Callable[[Struct], bool], most: int) -> Fitted:
    """`response`, or the part of it that `fits` accepts; the shortest form where even that is refused."""
    if fits(response):
        return Fitted(response)
    smaller = response
    for chars in _sizes(most):
        smaller = _inner_abridged(response, chars)
        if fits(smaller):
            return Fitted(smaller, abridged=True)
    abridged = msgspec.to_builtins(smaller) != msgspec.to_builtins(response)
    shortened: list[tuple[str, int, int]] = []
    for name in _lists(smaller):
        had = len(getattr(smaller, name))
        smaller = _shortened(smaller, name, fits)
        shortened.append((name, len(getattr(smaller, name)), had))
        if fits(smaller):
            return Fitted(smaller, abridged=abridged, shortened=tuple(shortened))
    for chars in _sizes(most):
        cut = structs.replace(smaller, **{name: _abridged(value, chars) for name, value in _items(smaller)})
        if fits(cut):
            break
    return Fitted(cut, abridged=True, shortened=tuple(shortened))


def _sizes(most: int) -> Iterator[int]:
    chars = max(_CHARS_PER_TOKEN_MAX * most, limits.MCP_ABRIDGED_CHARS_MIN)
    while chars > limits.MCP_ABRIDGED_CHARS_MIN:
        yield chars
        chars //= 2
    yield limits.MCP_ABRIDGED_CHARS_MIN


def _inner_abridged(response: Struct, chars: int) -> Struct:
    """`response` with the texts of its parts cut to `chars`; its own are left."""
    inner = {name: _abridged(value, chars) for name, value in _items(response) if not isinstance(value, str | dict)}
    return structs.replace(response, **inner)


def _abridged(value: Any, chars: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= chars else value[:chars] + _MARK
    if isinstance(value, Struct):
        return structs.replace(value, **{name: _abridged(part, chars) for name, part in _items(value)})
    if isinstance(value, dict):
        return value if len(msgspec.json.encode(value)) <= chars else {}
    if isinstance(value, list) and any(isinstance(part, Struct) for part in value):
        return [_abridged(part, chars) for part in value]
    if isinstance(value, list):
        return _few(value, chars)
    return value


def _few(values: list[Any], chars: int) -> list[Any]:
    """The first of `values` that come to about `chars` characters."""
    kept: list[Any] = []
    for value in values:
        chars -= len(str(value)) + 4
        if chars < 0:
            break
        kept.append(value)
    return kept


def _shortened(response: Struct, name: str, fits: Callable[[Struct], bool]) -> Struct:
    """`response` with as many items of the list `name` as fit."""
    items = getattr(response, name)
    low, high = 0, len(items)
    while low < high:
        middle = (low + high + 1) // 2
        if fits(structs.replace(response, **{name: items[:middle]})):
            low = middle
        else:
            high = middle - 1
    return structs.replace(response, **{name: items[:low]})


def _lists(response: Struct) -> list[str]:
    """The lists of structured items in a response, the largest first."""
    found = {
        name: len(msgspec.json.encode(value))
        for name, value in _items(response)
        if isinstance(value, list) and any(isinstance(item, Struct) for item in value)
    }
    return sorted(found, key=lambda name: -found[name])


def _items(value: Struct) -> Iterator[tuple[str, Any]]:
    return ((name, getattr(value, name)) for name in value.__struct_fields__)
