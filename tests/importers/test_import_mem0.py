"""What mem0 returns or exports."""

import json
from pathlib import Path

import pytest
from import_entries import items, skip, write

from cortex.importers import Item

MEMORY = {
    "id": "892db2ae",
    "memory": "Prefers morning meetings",
    "hash": "9d3f",
    "metadata": {"team": "billing"},
    "created_at": "2026-01-05T08:00:00.123-08:00",
    "updated_at": None,
    "user_id": "ann",
    "categories": ["preferences", "preferences", "work"],
    "score": 0.3,
}


@pytest.mark.parametrize(
    "document",
    [
        {"results": [MEMORY]},
        {"count": 1, "next": None, "results": [MEMORY], "relations": []},
        {"memories": [MEMORY]},
        [MEMORY],
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_every_shape_gives_the_same_fact(tmp_path: Path, document: object, indent: int | None) -> None:
    path = write(tmp_path, json.dumps(document, indent=indent))

    (found,) = items(path, "mem0")

    kept = {"id": "892db2ae", "hash": "9d3f", "user_id": "ann", "created_at": "2026-01-05T08:00:00.123-08:00"}
    expected = Item(
        content="Prefers morning meetings",
        where=found.where,
        tags=("preferences", "work"),
        source="notes/given",
        meta={"team": "billing", "mem0": kept},
        valid_from="2026-01-05T16:00:00.123000Z",
    )
    assert expected == found


def test_camel_case_names_are_the_same_names(tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps([{"memory": "x", "userId": "ann", "createdAt": "2026-01-05T08:00:00Z"}]))

    (found,) = items(path, "mem0")

    assert {"mem0": {"user_id": "ann", "created_at": "2026-01-05T08:00:00Z"}} == found.meta
    assert "2026-01-05T08:00:00.000000Z" == found.valid_from


def test_a_time_without_an_offset_is_kept_but_not_believed(tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps([{"memory": "x", "created_at": "2026-01-05T08:00:00"}]))

    (found,) = items(path, "mem0")

    assert found.valid_from is None
    assert {"mem0": {"created_at": "2026-01-05T08:00:00"}} == found.meta


@pytest.mark.parametrize("far_end", ["target", "destination"])
def test_relations_are_facts(tmp_path: Path, far_end: str) -> None:
    relation = {"source": "ann", "relationship": "works_at", far_end: "acme"}
    path = write(tmp_path, json.dumps({"results": [], "relations": [relation]}))

    (found,) = items(path, "mem0")

    assert "ann works_at acme" == found.content
    assert {"relation": {"from": "ann", "type": "works_at", "to": "acme"}} == found.meta


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ([{"id": "1"}], "no `memory` that is a text"),
        ([{"memory": 3}], "no `memory` that is a text"),
        ([{"memory": ""}], "the content is empty"),
        ([3], "Expected `object`"),
        ({"relations": [{"source": "a", "target": "b"}]}, "'type'"),
    ],
)
def test_what_is_incomplete_is_skipped_with_its_reason(tmp_path: Path, document: object, reason: str) -> None:
    path = write(tmp_path, json.dumps(document))

    assert reason in skip(path, "mem0").reason
