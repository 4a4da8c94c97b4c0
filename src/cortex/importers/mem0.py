"""What mem0 returns or exports: `{"results": [...], "relations": [...]}`, `{"memories": [...]}`, or a bare list.

A memory's metadata becomes the meta of the fact; ids, scopes and times of mem0 go below it under "mem0".
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cortex.importers import records
from cortex.importers.items import Item, Skip, checked, utc

_WRAPPERS = ("results", "memories", "relations")
_TEXT = ("memory", "text", "content")
# Its JavaScript client writes the same names in camel case.
_KEPT = {
    "id": "id",
    "hash": "hash",
    "user_id": "userId",
    "agent_id": "agentId",
    "app_id": "appId",
    "run_id": "runId",
    "actor_id": "actorId",
    "role": "role",
    "created_at": "createdAt",
    "updated_at": "updatedAt",
    "expiration_date": "expirationDate",
}


def read(path: Path, name: str) -> Iterator[Item | Skip]:
    """One item a memory, true from its `created_at` when that has an offset, and one a relation of its graph."""
    for record in records.read(path, _WRAPPERS):
        if isinstance(record, Skip):
            yield record
        elif record.group == "relations":
            yield _relation(record, name)
        else:
            yield _memory(record, name)


def _memory(record: records.Record, source: str) -> Item | Skip:
    value = record.value
    content = next((value[key] for key in _TEXT if isinstance(value.get(key), str)), None)
    if content is None:
        return Skip(record.where, "no `memory` that is a text")
    metadata = value.get("metadata")
    kept = {name: found for name, camel in _KEPT.items() if (found := value.get(name, value.get(camel))) is not None}
    meta: dict[str, Any] = dict(metadata) if isinstance(metadata, dict) else {}
    if kept:
        meta["mem0"] = kept
    created = kept.get("created_at")
    categories = value.get("categories")
    tags = [tag for tag in categories if isinstance(tag, str) and tag.strip()] if isinstance(categories, list) else []
    return checked(
        Item(
            content=content,
            where=record.where,
            tags=tuple(dict.fromkeys(tags)),
            source=source,
            meta=meta or None,
            valid_from=utc(created) if isinstance(created, str) else None,
        )
    )


def _relation(record: records.Record, source: str) -> Item | Skip:
    value = record.value
    ends = {
        "from": value.get("source"),
        "type": value.get("relationship", value.get("relation")),
        "to": value.get("destination", value.get("target")),
    }
    for key, end in ends.items():
        if not isinstance(end, str) or not end.strip():
            return Skip(record.where, f"the relation has no text for its {key!r} end")
    content = f"{ends['from']} {ends['type']} {ends['to']}"
    return checked(Item(content=content, where=record.where, source=source, meta={"relation": ends}))
