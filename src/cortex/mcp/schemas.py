"""JSON schemas as hosts of models accept them: flat, without references, unions or nulls."""

from typing import Any

import msgspec
from msgspec import Struct

from cortex.ops.registry import Instant

Schema = dict[str, Any]

# Of msgspec's schema; names and texts of inner types only cost the reader tokens.
_DROPPED = {"title", "$ref", "$defs", "anyOf", "oneOf"}


def of_request(request: type[Struct], hidden: tuple[str, ...] = ()) -> Schema:
    """What a tool takes, but for `hidden` fields. A field that may be null is simply one that may be left out."""
    schema = _root(request) | {"additionalProperties": False}
    schema["properties"] = {name: part for name, part in schema["properties"].items() if name not in hidden}
    return schema


def of_response(response: type[Struct]) -> Schema:
    """What a tool gives, as `plain` makes it."""
    return _root(response)


def plain(value: object) -> Any:
    """A response as JSON data without the fields that are null. Objects that callers stored are left as they are."""
    if isinstance(value, Struct):
        parts = ((field.encode_name, getattr(value, field.name)) for field in msgspec.structs.fields(value))
        return {name: plain(part) for name, part in parts if part is not None}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return msgspec.to_builtins(value)


def _root(kind: type[Struct]) -> Schema:
    whole = msgspec.json.schema(kind, schema_hook=_ours)
    schema = _flat(whole, whole.get("$defs", {}), ())
    schema.pop("description", None)
    return {"type": "object", "properties": {}} | schema


def _ours(kind: type) -> Schema:
    if kind is Instant:
        return {"type": "string", "format": "date-time"}
    raise NotImplementedError(f"{kind} has no schema")


def _flat(schema: Schema, defs: dict[str, Schema], above: tuple[str, ...]) -> Schema:
    """`schema` with everything it refers to in its place; a type within itself is any object."""
    found: Schema = {}
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        found = {"type": "object"} if name in above else _flat(defs[name], defs, (*above, name))
        found.pop("description", None)
    union: list[Schema] = schema.get("anyOf") or schema.get("oneOf") or []
    options = [option for option in union if option != {"type": "null"}]
    if len(options) == 1:
        found |= _flat(options[0], defs, above)
    for word, value in schema.items():
        if word not in _DROPPED and not (word == "default" and value is None):
            found[word] = _part(word, value, defs, above)
    if "enum" in found and "type" not in found:
        # Some hosts tell what an argument is by its type alone.
        found["type"] = "integer" if all(isinstance(option, int) for option in found["enum"]) else "string"
    if "properties" in schema:
        found["required"] = [name for name in schema.get("required", ()) if not _nullable(schema["properties"][name])]
    return _array(found)


def _part(word: str, value: Any, defs: dict[str, Schema], above: tuple[str, ...]) -> Any:
    match word, value:
        case "properties", dict():
            return {name: _flat(part, defs, above) for name, part in value.items()}
        case "prefixItems", list():
            return [_flat(part, defs, above) for part in value]
        case "items" | "additionalProperties", dict():
            return _flat(value, defs, above)
        case "type", list():
            kinds = [kind for kind in value if kind != "null"]
            return kinds[0] if len(kinds) == 1 else kinds
        case "pattern", str():
            return _of_json(value)
        case "enum", list():
            return [option for option in value if option is not None]
        case _:
            return value


def _of_json(pattern: str) -> str:
    """A pattern as JSON Schema has it, which is ECMAScript's: the ends of a text are written in another way there."""
    return pattern.replace(r"\A", "^").replace(r"\Z", "$")


def _array(schema: Schema) -> Schema:
    """A tuple as a plain array: some hosts know `items` only."""
    parts = schema.pop("prefixItems", None)
    if parts is not None:
        schema["items"] = parts[0] if all(part == parts[0] for part in parts) else {}
    return schema


def _nullable(schema: Schema) -> bool:
    return (
        {"type": "null"} in schema.get("anyOf", ())
        or None in schema.get("enum", ())
        or "null" in schema.get("type", ())
    )
