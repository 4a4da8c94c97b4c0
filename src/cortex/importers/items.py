"""What importers yield: an `Item` to store, or a `Skip` that says what was left out and why."""

from typing import Any, Literal

import msgspec

from cortex import limits, times
from cortex.errors import Invalid

_PLACE_CHARS = 200
_TEXT_CHARS_MAX = {
    "type": limits.TYPE_CHARS_MAX,
    "key": limits.KEY_CHARS_MAX,
    "source": limits.SOURCE_CHARS_MAX,
    "thread": limits.KEY_CHARS_MAX,
    "project": limits.NAME_CHARS_MAX,
}


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A fact to store. Times are canonical; `project` None is the project that the import is for."""

    content: str
    where: str
    type: str = "knowledge"
    tags: tuple[str, ...] = ()
    key: str | None = None
    source: str | None = None
    meta: dict[str, Any] | None = None
    confidence: Literal["stated", "inferred"] = "stated"
    thread: str | None = None
    seq: int | None = None
    valid_from: str | None = None
    valid_until: str | None = None
    project: str | None = None


class Skip(msgspec.Struct, frozen=True):
    """An entry that is not imported: its place in the file and the reason, both fit to print."""

    where: str
    reason: str


def place(text: str) -> str:
    """Text from a file as a place name: short and printable whatever it holds."""
    cut = text if len(text) <= _PLACE_CHARS else text[: _PLACE_CHARS - 1] + "…"
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in cut)


def checked(item: Item) -> Item | Skip:
    """The item, or why it cannot be a fact: something empty, over a limit, or not text."""
    reason = _content_fault(item.content) or _text_fault(item) or _tags_fault(item.tags)
    reason = reason or _meta_fault(item.meta) or _order_fault(item)
    return Skip(place(item.where), reason) if reason else item


def checked_text(item: Item) -> Item | Skip:
    """`checked` for formats that are plain text, where NUL means that something else was taken for text."""
    if "\0" in item.content:
        return Skip(place(item.where), "the content holds a NUL character")
    return checked(item)


def utc(text: str) -> str | None:
    """The canonical form of a time with an offset, None for anything else."""
    try:
        return times.canonical(text)
    except Invalid:
        return None


def _content_fault(content: str) -> str | None:
    if not content.strip():
        return "the content is empty"
    try:
        size = len(content.encode())
    except UnicodeEncodeError:
        return "the content is not valid UTF-8"
    if size > limits.CONTENT_BYTES_MAX:
        return f"the content has {size} bytes, more than {limits.CONTENT_BYTES_MAX}"
    return None


def _text_fault(item: Item) -> str | None:
    for field, chars_max in _TEXT_CHARS_MAX.items():
        value: str | None = getattr(item, field)
        if value is None:
            continue
        if fault := _name_fault(value, chars_max):
            return f"the {field} {fault}"
    if item.project is not None and (item.project != item.project.strip() or item.project.startswith("-")):
        return "the project begins with a dash or has a space around it"
    if item.seq is not None and not 0 <= item.seq <= limits.SEQ_MAX:
        return f"the seq is not between 0 and {limits.SEQ_MAX}"
    return None


def _name_fault(value: str, chars_max: int) -> str | None:
    if not value.strip():
        return "is empty"
    if len(value) > chars_max:
        return f"has {len(value)} characters, more than {chars_max}"
    if not value.isprintable():
        unfit = next(char for char in value if not char.isprintable())
        return f"holds the character U+{ord(unfit):04X}"
    return None


def _tags_fault(tags: tuple[str, ...]) -> str | None:
    if len(tags) > limits.TAGS_MAX:
        return f"{len(tags)} tags, more than {limits.TAGS_MAX}"
    for tag in tags:
        if fault := _name_fault(tag, limits.TAG_CHARS_MAX):
            return f"the tag {place(tag[:40])!r} {fault}"
    return None


def _meta_fault(meta: dict[str, Any] | None) -> str | None:
    if meta is None:
        return None
    if _deeper_than(meta, limits.META_DEPTH_MAX):
        return f"the meta is nested deeper than {limits.META_DEPTH_MAX}"
    try:
        size = len(msgspec.json.encode(meta))
    except UnicodeEncodeError:
        return "the meta is not valid UTF-8"
    if size > limits.META_BYTES_MAX:
        return f"the meta has {size} bytes, more than {limits.META_BYTES_MAX}"
    return None


def _deeper_than(meta: dict[str, Any], levels: int) -> bool:
    layer: list[Any] = [meta]
    for _ in range(levels):
        holders = [
            value.values() if isinstance(value, dict) else value for value in layer if isinstance(value, dict | list)
        ]
        layer = [inner for holder in holders for inner in holder]
    return bool(layer)


def _order_fault(item: Item) -> str | None:
    if item.valid_from and item.valid_until and item.valid_until <= item.valid_from:
        return f"it ends at {item.valid_until}, not after it begins at {item.valid_from}"
    return None
