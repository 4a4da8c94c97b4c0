"""The memory file of the MCP reference server: entities with observations, and relations, one JSON object a line.

The graph as its `read_graph` tool returns it, `{"entities": [...], "relations": [...]}`, is read as well.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cortex.importers import records
from cortex.importers.items import Item, Skip, checked

_WRAPPERS = ("entities", "relations")


def read(path: Path, name: str) -> Iterator[Item | Skip]:
    """One item an observation (`NAME: observation`, tagged with the type of the entity) and one a relation."""
    for record in records.read(path, _WRAPPERS):
        if isinstance(record, Skip):
            yield record
        elif record.group == "entities" or record.value.get("type") == "entity":
            yield from _entity(record, name)
        elif record.group == "relations" or record.value.get("type") == "relation":
            yield _relation(record, name)
        else:
            yield Skip(record.where, "the `type` is neither entity nor relation")


def _entity(record: records.Record, source: str) -> Iterator[Item | Skip]:
    entity, kind, observations = (record.value.get(key) for key in ("name", "entityType", "observations"))
    if not isinstance(entity, str) or not entity.strip():
        yield Skip(record.where, "the entity has no name")
        return
    if not isinstance(observations, list) or not observations:
        yield Skip(record.where, "the entity has no observations")
        return
    tags = (kind,) if isinstance(kind, str) and kind.strip() else ()
    meta: dict[str, Any] = {"entity": entity, **({"entity_type": kind} if tags else {})}
    for number, observation in enumerate(observations, start=1):
        where = f"{record.where}, observation {number}"
        if not isinstance(observation, str) or not observation.strip():
            yield Skip(where, "the observation is not a text")
            continue
        content = f"{entity}: {observation}"
        yield checked(Item(content=content, where=where, tags=tags, source=source, meta=meta))


def _relation(record: records.Record, source: str) -> Item | Skip:
    ends = {key: record.value.get(key) for key in ("from", "relationType", "to")}
    for key, end in ends.items():
        if not isinstance(end, str) or not end.strip():
            return Skip(record.where, f"the relation has no `{key}`")
    content = f"{ends['from']} {ends['relationType']} {ends['to']}"
    meta = {"relation": {"from": ends["from"], "type": ends["relationType"], "to": ends["to"]}}
    return checked(Item(content=content, where=record.where, source=source, meta=meta))
