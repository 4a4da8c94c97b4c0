"""The memory file of the MCP reference server."""

import json
from pathlib import Path

import pytest
from import_entries import items, read, skip, write

from cortex.importers import Item, Skip

ENTITY = {"type": "entity", "name": "Ann", "entityType": "person", "observations": ["Likes tea", "Leads billing"]}
RELATION = {"type": "relation", "from": "Ann", "to": "Acme", "relationType": "works at"}


def test_observations_and_relations_are_facts(tmp_path: Path) -> None:
    path = write(tmp_path, f"{json.dumps(ENTITY)}\n{json.dumps(RELATION)}")

    found = items(path, "mcp-memory")

    first, second = "line 1, observation 1", "line 1, observation 2"
    about = {"entity": "Ann", "entity_type": "person"}
    assert [
        Item(content="Ann: Likes tea", where=first, tags=("person",), source="notes/given", meta=about),
        Item(content="Ann: Leads billing", where=second, tags=("person",), source="notes/given", meta=about),
        Item(
            content="Ann works at Acme",
            where="line 2",
            source="notes/given",
            meta={"relation": {"from": "Ann", "type": "works at", "to": "Acme"}},
        ),
    ] == found


def test_the_whole_graph_in_one_document_is_read_alike(tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps({"entities": [ENTITY], "relations": [RELATION]}, indent=2))

    found = items(path, "mcp-memory")

    assert ["Ann: Likes tea", "Ann: Leads billing", "Ann works at Acme"] == [item.content for item in found]
    assert "relations item 1" == found[2].where


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"type": "person"}, "the `type` is neither entity nor relation"),
        ({"type": "entity", "observations": ["x"]}, "the entity has no name"),
        ({"type": "entity", "name": "Ann", "observations": []}, "the entity has no observations"),
        ({"type": "entity", "name": "Ann", "observations": "x"}, "the entity has no observations"),
        ({"type": "entity", "name": "Ann", "observations": [3]}, "the observation is not a text"),
        ({"type": "relation", "from": "Ann", "to": "Acme"}, "the relation has no `relationType`"),
        ({"type": "relation", "from": "", "to": "Acme", "relationType": "x"}, "the relation has no `from`"),
    ],
)
def test_what_is_incomplete_is_skipped_with_its_reason(tmp_path: Path, record: object, reason: str) -> None:
    path = write(tmp_path, json.dumps(record))

    assert reason == skip(path, "mcp-memory").reason


def test_an_entity_type_too_long_for_a_tag_skips_its_observations(tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps({**ENTITY, "entityType": "t" * 200}))

    found = read(path, "mcp-memory")

    assert [Skip, Skip] == [type(entry) for entry in found]
