"""Any result as `name  value` lines: what is shown of a response that has no renderer of its own."""

from collections.abc import Iterable, Iterator, Mapping

import msgspec
from msgspec import Struct, structs

from cortex.cli.terminal import Screen, block, cells, one_line

_DEPTH_MAX = 4
_INDENT = "  "


def plain(result: Struct, screen: Screen) -> Iterator[str]:
    """Every field of a result, aligned; lists as lines, what they hold indented."""
    yield from _fields(_pairs(result), "", 0)


def part(result: Struct, but: Iterable[str]) -> Iterator[str]:
    """As `plain`, without some of the fields."""
    left = {name.replace("_", " ") for name in but}
    yield from _fields([(name, found) for name, found in _pairs(result) if name not in left], "", 0)


def details(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Names and values of one line each, aligned."""
    known = list(pairs)
    width = max((cells(name) for name, _ in known), default=0)
    for name, value in known:
        yield f"{name}{' ' * (width - cells(name))}  {one_line(value)}".rstrip()


def _fields(pairs: list[tuple[str, object]], indent: str, depth: int) -> Iterator[str]:
    short = [name for name, value in pairs if not _is_long(value, depth)]
    width = max(map(cells, short), default=0)
    for name, value in pairs:
        if _is_long(value, depth):
            yield f"{indent}{name}:"
            yield from _inside(value, indent + _INDENT, depth + 1)
        else:
            yield f"{indent}{name}{' ' * (width - cells(name))}  {_scalar(value)}".rstrip()


def _inside(value: object, indent: str, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield from block(value, indent)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield indent + _row(item, depth)
    else:
        yield from _fields(_pairs(value), indent, depth)


def _row(item: object, depth: int) -> str:
    """An item of a list on one line."""
    if isinstance(item, Struct | Mapping) and depth < _DEPTH_MAX:
        shown = ((name, _scalar(value)) for name, value in _pairs(item) if value not in (None, "", [], {}))
        return ", ".join(f"{name}: {value}" for name, value in shown)
    return _scalar(item)


def _pairs(value: object) -> list[tuple[str, object]]:
    if isinstance(value, Struct):
        return [(name.replace("_", " "), found) for name, found in structs.asdict(value).items()]
    assert isinstance(value, Mapping)
    return [(one_line(str(name)), found) for name, found in value.items()]


def _is_long(value: object, depth: int) -> bool:
    """Whether a value takes lines of its own."""
    if depth >= _DEPTH_MAX or not value:
        return False
    if isinstance(value, str):
        return "\n" in value.strip()
    if isinstance(value, list | tuple | set | frozenset):
        return any(isinstance(item, Struct | Mapping | list | tuple) for item in value)
    return isinstance(value, Struct | Mapping)


def _scalar(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case str():
            return one_line(value)
        case bytes():
            return value.hex()
        case list() | tuple() | set() | frozenset() if all(isinstance(item, str | int | float) for item in value):
            return ", ".join(map(_scalar, value)) or "-"
        case int() | float():
            return str(value)
        case _:
            return one_line(msgspec.json.encode(value, enc_hook=str).decode())
