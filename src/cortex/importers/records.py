"""JSON objects from a file: lines, an array, one document, or lists inside a wrapping object."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from cortex import limits
from cortex.importers import files
from cortex.importers.items import Skip, place

_FAULTS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_object = msgspec.json.Decoder(dict[str, Any])
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_elements = msgspec.json.Decoder(list[msgspec.Raw])


class Record(msgspec.Struct, frozen=True):
    """One JSON object, where it stood, and the list of the wrapping object that it came from."""

    where: str
    value: dict[str, Any]
    group: str | None = None


def read(path: Path, wrappers: Sequence[str] = ()) -> Iterator[Record | Skip]:
    """The objects of a JSON or JSON Lines file. An object that has one of `wrappers` stands for the lists in it."""
    if files.head(path).lstrip().startswith(b"["):
        data = files.whole(path, limits.IMPORT_DOCUMENT_BYTES_MAX)
        yield from _array("", data, wrappers, None)
        return
    if (document := _document(path)) is not None:
        yield from _unwrapped("document", document, wrappers)
        return
    for number, line in files.lines(path):
        where = f"line {number}"
        if line is None:
            yield Skip(where, f"the line has more than {limits.IMPORT_LINE_BYTES_MAX} bytes")
        elif line.strip():
            yield from _unwrapped(where, line, wrappers)


def _document(path: Path) -> bytes | None:
    """The file when it is one object over several lines, or one line too long to be a line."""
    _, first = next(((number, line) for number, line in files.lines(path) if line is None or line.strip()), (0, b"{}"))
    if first is not None and _is_object(first):
        return None
    if path.stat().st_size > limits.IMPORT_DOCUMENT_BYTES_MAX:
        return None
    data = files.whole(path, limits.IMPORT_DOCUMENT_BYTES_MAX)
    return data if _is_object(data) else None


def _is_object(data: bytes) -> bool:
    try:
        _fields.decode(data)
    except _FAULTS:
        return False
    return True


def _array(name: str, data: bytes | msgspec.Raw, wrappers: Sequence[str], group: str | None) -> Iterator[Record | Skip]:
    prefix = f"{name} item" if name else "item"
    try:
        elements = _elements.decode(data)
    except _FAULTS as fault:
        yield Skip(name or "document", _reason("JSON array", fault))
        return
    for number, element in enumerate(elements, start=1):
        where = f"{prefix} {number}"
        if group is None:
            yield from _unwrapped(where, element, wrappers)
        else:
            yield _record(where, element, group)


def _unwrapped(where: str, data: bytes | msgspec.Raw, wrappers: Sequence[str]) -> Iterator[Record | Skip]:
    if not wrappers:
        yield _record(where, data, None)
        return
    try:
        fields = _fields.decode(data)
    except _FAULTS as fault:
        yield Skip(where, _reason("JSON object", fault))
        return
    lists = [name for name in wrappers if name in fields and bytes(fields[name]).startswith(b"[")]
    for name in lists:
        yield from _array(name if where == "document" else f"{where} {name}", fields[name], (), name)
    if not lists:
        yield _record(where, data, None)


def _record(where: str, data: bytes | msgspec.Raw, group: str | None) -> Record | Skip:
    try:
        return Record(where, _object.decode(data), group)
    except _FAULTS as fault:
        return Skip(where, _reason("JSON object", fault))


def _reason(wanted: str, fault: Exception) -> str:
    if isinstance(fault, RecursionError):
        return "the JSON is nested too deeply"
    if isinstance(fault, UnicodeDecodeError):
        return "is not valid UTF-8"
    return place(f"not a {wanted}: {fault}")
