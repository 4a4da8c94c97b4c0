"""Schemas are flat, and what they describe fits them."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from msgspec import Meta, Struct

from cortex.mcp import schemas
from cortex.ops.catalog import OPERATIONS
from cortex.ops.registry import Instant, Operation

TOOLS = [operation for operation in OPERATIONS if operation.mcp is not None]


class Inner(Struct):
    number: int
    note: str | None = None


class Outer(Struct):
    inner: Inner
    many: list[Inner]
    pairs: list[tuple[int, int]]
    mixed: tuple[int, str]
    at: Instant | None
    kind: Literal["a", "b"] | None
    table: dict[str, Inner]
    meta: dict[str, Any] | None
    maybe: Annotated[int, Meta(description="How many.", ge=1)] | None = None
    plain: int = 3


def words(schema: object) -> set[str]:
    """Every keyword and value that is text, however deep, without property names."""
    if isinstance(schema, dict):
        inner = [words(v.values() if k == "properties" else v) | {k} for k, v in schema.items()]
        return set().union(*inner)
    if isinstance(schema, list | type({}.values())):
        return set().union(set(), *(words(part) for part in schema))
    return {schema} if isinstance(schema, str) else {"null"} if schema is None else set()


@pytest.mark.parametrize("operation", TOOLS, ids=lambda operation: operation.name)
def test_schemas_are_flat_and_valid(operation: Operation) -> None:
    for schema in (schemas.of_request(operation.request), schemas.of_response(operation.response)):
        jsonschema.Draft202012Validator.check_schema(schema)
        assert "object" == schema["type"]
        assert set() == words(schema) & {"$ref", "$defs", "anyOf", "oneOf", "allOf", "null", "prefixItems"}
    assert schemas.of_request(operation.request)["additionalProperties"] is False


def test_nullable_fields_become_optional() -> None:
    schema = schemas.of_response(Outer)

    assert ["inner", "many", "pairs", "mixed", "table"] == schema["required"]
    assert {"type": "integer", "minimum": 1, "description": "How many."} == schema["properties"]["maybe"]
    assert {"type": "string", "enum": ["a", "b"]} == schema["properties"]["kind"]
    assert {"type": "string", "format": "date-time"} == schema["properties"]["at"]
    assert 3 == schema["properties"]["plain"]["default"]


def test_inner_types_stand_in_their_place() -> None:
    schema = schemas.of_response(Outer)["properties"]

    inner = {
        "type": "object",
        "properties": {"number": {"type": "integer"}, "note": {"type": "string"}},
        "required": ["number"],
    }
    assert inner == schema["inner"]
    assert inner == schema["many"]["items"]
    assert inner == schema["table"]["additionalProperties"]
    assert {"type": "integer"} == schema["pairs"]["items"]["items"]


def test_plain_data_without_nulls_fits_the_schema() -> None:
    value = Outer(
        inner=Inner(1),
        many=[Inner(2, "x"), Inner(3)],
        pairs=[(0, 4)],
        mixed=(1, "a"),
        at=None,
        kind=None,
        table={"k": Inner(4)},
        meta={"kept": None},
    )

    found = schemas.plain(value)

    jsonschema.validate(found, schemas.of_response(Outer))
    assert {"number": 1} == found["inner"]
    assert {"kept": None} == found["meta"]
    assert "at" not in found


def patterns(schema: object) -> Iterator[str]:
    """Every pattern in a schema, however deep."""
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        for part in schema.values():
            yield from patterns(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from patterns(part)


def test_patterns_are_those_of_ecmascript() -> None:
    found = [pattern for tool in TOOLS for pattern in patterns(schemas.of_request(tool.request))]
    found += [pattern for operation in OPERATIONS for pattern in patterns(schemas.of_request(operation.request))]

    # What Python reads and ECMAScript does not: its own anchors, named groups, flags inside, possessive repetition.
    foreign = re.compile(r"\\[AZz]|\(\?P|\(\?[aiLmsux-]|\(\?#|\(\?>|[*+?}]\+")
    assert found
    for pattern in found:
        assert foreign.search(pattern) is None, pattern
        assert ("^", "$") == (pattern[0], pattern[-1])
        re.compile(pattern)
