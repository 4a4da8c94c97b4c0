"""Facts as `cortex export` writes them: one JSON object a line, or a JSON array of such objects."""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from cortex import times
from cortex.errors import Invalid
from cortex.importers import records
from cortex.importers.items import Item, Skip, checked, place

# What the file of origin called the fact; kept in meta under "imported".
_ORIGIN = ("id", "recorded_at", "actor")
# Computed by the file of origin, or true only there.
_IGNORED = ("retired_at", "revision", "verdict", "resolved", "consensus_score", "similar_to", "anchors")


class _Fact(msgspec.Struct):
    content: str
    type: str = "knowledge"
    tags: list[str] = []
    key: str | None = None
    source: str | None = None
    meta: dict[str, Any] | None = None
    confidence: Literal["stated", "inferred"] = "stated"
    thread: str | None = None
    seq: int | None = None
    valid_from: str | None = None
    valid_until: str | None = None
    project: str | None = None


_KNOWN = (*_Fact.__struct_fields__, *_ORIGIN, *_IGNORED)


def read(path: Path, name: str) -> Iterator[Item | Skip]:
    """One item an object. A fact that was retired where it comes from is skipped: importing it would revive it."""
    del name
    for record in records.read(path):
        yield record if isinstance(record, Skip) else _item(record)


def _item(record: records.Record) -> Item | Skip:
    if (reason := _refusal(record.value)) is not None:
        return Skip(record.where, reason)
    try:
        fact = msgspec.convert({k: v for k, v in record.value.items() if v is not None}, _Fact)
        item = Item(
            content=fact.content,
            where=record.where,
            type=fact.type,
            tags=tuple(dict.fromkeys(fact.tags)),
            key=fact.key,
            source=fact.source,
            meta=_meta(fact.meta, record.value),
            confidence=fact.confidence,
            thread=fact.thread,
            seq=fact.seq,
            valid_from=times.canonical(fact.valid_from) if fact.valid_from is not None else None,
            valid_until=times.canonical(fact.valid_until) if fact.valid_until is not None else None,
            project=fact.project,
        )
    except msgspec.ValidationError as error:
        return Skip(record.where, place(str(error)))
    except Invalid as error:
        return Skip(record.where, place(error.message))
    return checked(item)


def _refusal(value: dict[str, Any]) -> str | None:
    for key in value:
        if key not in _KNOWN:
            near = difflib.get_close_matches(key[:64], _KNOWN, n=1, cutoff=0.0)
            return f"unknown key {place(key[:64])!r}; the nearest known is {near[0]!r}"
    if value.get("retired_at") is not None:
        return f"it was retired at {place(str(value['retired_at'])[:40])}"
    return None


def _meta(meta: dict[str, Any] | None, value: dict[str, Any]) -> dict[str, Any] | None:
    origin = {field: value[field] for field in _ORIGIN if value.get(field) is not None}
    if not origin:
        return meta
    # The first origin stays when a fact goes from file to file.
    return {"imported": origin, **(meta or {})}
