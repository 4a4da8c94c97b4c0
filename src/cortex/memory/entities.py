"""The tables of the graph: filled from revisions that are believed, and cleared of those that no longer are.

`derive` for some revisions, in any order and any number of times, with `remove` for those that retire or go, leaves
what `rebuild` would make of the same facts. The weights of links are kept beside the mentions that they count, so that
what is read later is not counted again.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from cortex import limits
from cortex.db.connect import Tx
from cortex.memory import extraction, pieces
from cortex.memory.extraction import Extracted, Mentioned

_CHUNK = 200
_TABLES = ("mention", "relation", "link", "entity_form", "entity")
_decode_tags = msgspec.json.Decoder(list[str]).decode
_encode = msgspec.json.Encoder().encode

_Pair = tuple[int, int]
_Key = tuple[int, str]
_Form = tuple[int, str, str, int]


class _Mention(NamedTuple):
    entity: int
    place: int


class Found(NamedTuple):
    """What was found in a revision; `rev` is its name, since the numbers of rows that went are given again."""

    revision_id: int
    rev: str
    project_id: int
    extracted: Extracted


def derive(tx: Tx, revision_ids: Sequence[int]) -> None:
    """Put the entities of these revisions into the tables; those that are there, gone or not believed are left out."""
    put(tx, look(tx, revision_ids))


def look(tx: Tx, revision_ids: Sequence[int]) -> list[Found]:
    """What these revisions speak of. The slow part, which needs no more than a snapshot."""
    rows: list[Any] = tx.execute(
        f"SELECT r.id, r.rev, r.project_id, r.content, r.tags, r.meta {_MISSING}", (_json(revision_ids),)
    ).fetchall()
    return [
        Found(row_id, rev, project_id, extraction.extract(content, _decode_tags(tags), meta))
        for row_id, rev, project_id, content, tags, meta in rows
    ]


def put(tx: Tx, found: Sequence[Found]) -> None:
    """Put what was found into the tables, but for revisions that went or retired since, or are there already."""
    rows: Any = tx.execute(f"SELECT r.id, r.rev {_MISSING}", (_json([one.revision_id for one in found]),))
    missing = set(rows)
    new = [(one.revision_id, one.project_id, one.extracted) for one in found if (one.revision_id, one.rev) in missing]
    if any(extracted.mentions for _, _, extracted in new):
        _insert(tx, new)


_MISSING = (
    "FROM json_each(?) AS wanted JOIN revision AS r ON r.id = wanted.value WHERE r.retired_at IS NULL"
    " AND NOT EXISTS (SELECT 1 FROM mention AS m WHERE m.revision_id = r.id) GROUP BY r.id ORDER BY r.id"
)


def _json(numbers: Sequence[int]) -> str:
    return _encode(list(numbers)).decode()


def remove(tx: Tx, revision_id: int) -> None:
    """Take away what this revision put into the tables, and every entity that nothing else mentions."""
    mentions: list[tuple[int, int, int]] = tx.execute(
        "SELECT entity_id, place, form_id FROM mention WHERE revision_id = ?", (revision_id,)
    ).fetchall()  # type: ignore[assignment]
    if not mentions:
        return
    related: list[_Pair] = tx.execute(
        "SELECT subject_id, object_id FROM relation WHERE revision_id = ?", (revision_id,)
    ).fetchall()  # type: ignore[assignment]
    tx.execute("DELETE FROM mention WHERE revision_id = ?", (revision_id,))
    tx.execute("DELETE FROM relation WHERE revision_id = ?", (revision_id,))
    together = Counter(_together([_Mention(entity, place) for entity, place, _ in mentions]))
    _add_links(tx, together, Counter(map(_ordered, related)), sign=-1)
    tx.executemany("UPDATE entity_form SET facts = facts - 1 WHERE id = ?", [(form,) for _, _, form in mentions])
    tx.executemany("DELETE FROM entity_form WHERE id = ? AND facts = 0", [(form,) for _, _, form in mentions])
    entities = [entity for entity, _, _ in mentions]
    _count(tx, Counter(entities), sign=-1)
    tx.executemany("DELETE FROM entity WHERE id = ? AND facts = 0", [(entity,) for entity in entities])
    _show(tx, entities)


def rebuild(tx: Tx) -> None:
    """Make all of it anew from the revisions that are believed."""
    for table in _TABLES:
        tx.execute(f"DELETE FROM {table}")
    last = 0
    while chunk := _next_ids(tx, last):
        derive(tx, chunk)
        last = chunk[-1]


def _next_ids(tx: Tx, last: int) -> list[int]:
    rows = tx.execute("SELECT id FROM revision WHERE id > ? AND retired_at IS NULL ORDER BY id LIMIT ?", (last, _CHUNK))
    return [row[0] for row in rows]


def _insert(tx: Tx, found: list[tuple[int, int, Extracted]]) -> None:
    wanted: dict[_Key, Mentioned] = {}
    for _, project_id, extracted in found:
        for mention in extracted.mentions:
            wanted.setdefault((project_id, pieces.key(mention.name)), mention)
    numbers, fresh = _entities(tx, wanted)
    entities = [
        [numbers[project_id, pieces.key(mention.name)] for mention in extracted.mentions]
        for _, project_id, extracted in found
    ]
    forms = Counter(
        (entity, *_written(mention))
        for own, (_, _, extracted) in zip(entities, found, strict=True)
        for entity, mention in zip(own, extracted.mentions, strict=True)
    )
    _count(tx, Counter(entity for own in entities for entity in own), sign=1)
    _join(tx, found, entities, _forms(tx, forms))
    # The only form of a new entity is shown already.
    forms_of = Counter(form[0] for form in forms)
    _show(tx, [entity for entity in forms_of if entity not in fresh or forms_of[entity] > 1])


def _join(tx: Tx, found: list[tuple[int, int, Extracted]], entities: list[list[int]], forms: dict[_Form, int]) -> None:
    """Mentions, relations and links; `entities` has the numbers of what each fact mentions."""
    mentions, relations = [], []
    together: Counter[_Pair] = Counter()
    related: Counter[_Pair] = Counter()
    for own, (row_id, _, extracted) in zip(entities, found, strict=True):
        for place, (entity, mention) in enumerate(zip(own, extracted.mentions, strict=True)):
            mentions.append((row_id, entity, place, forms[entity, *_written(mention)]))
        together.update(_together([_Mention(entity, place) for place, entity in enumerate(own)]))
        for subject, predicate, object_ in extracted.relations:
            relations.append((row_id, own[subject], predicate, own[object_]))
            related[_ordered((own[subject], own[object_]))] += 1
    tx.executemany("INSERT INTO mention VALUES (?, ?, ?, ?)", mentions)
    tx.executemany("INSERT INTO relation VALUES (?, ?, ?, ?)", relations)
    _add_links(tx, together, related, sign=1)


def _written(mention: Mentioned) -> tuple[str, str, int]:
    return mention.name, mention.kind, int(mention.stated)


def _entities(tx: Tx, wanted: dict[_Key, Mentioned]) -> tuple[dict[_Key, int], set[int]]:
    """The numbers of entities by project and key, and which of them are new."""
    numbers: dict[_Key, int] = {}
    fresh: set[int] = set()
    for known, mention in wanted.items():
        row = tx.execute("SELECT id FROM entity WHERE project_id = ? AND key = ?", known).fetchone()
        if row is None:
            tx.execute(
                "INSERT INTO entity (project_id, key, name, kind, facts) VALUES (?, ?, ?, ?, 0)",
                (*known, mention.name, mention.kind),
            )
            numbers[known] = tx.last_insert_rowid()
            fresh.add(numbers[known])
        else:
            numbers[known] = row[0]
    return numbers, fresh


def _forms(tx: Tx, forms: Counter[_Form]) -> dict[_Form, int]:
    numbers: dict[_Form, int] = {}
    for form, count in forms.items():
        row = tx.execute(
            "INSERT INTO entity_form (entity_id, name, kind, stated, facts) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET facts = facts + excluded.facts RETURNING id",
            (*form, count),
        ).fetchone()
        assert row is not None
        numbers[form] = row[0]
    return numbers


def _count(tx: Tx, counts: Counter[int], *, sign: int) -> None:
    tx.executemany(
        "UPDATE entity SET facts = facts + ? WHERE id = ?", [(sign * count, entity) for entity, count in counts.items()]
    )


def _together(mentions: Iterable[_Mention]) -> list[_Pair]:
    """The pairs of entities that one fact mentions within LINK_PLACES of each other."""
    found = sorted(mentions, key=lambda mention: mention.place)
    return [
        _ordered((one.entity, other.entity))
        for number, one in enumerate(found)
        for other in found[number + 1 : number + 1 + limits.LINK_PLACES]
        if other.place - one.place <= limits.LINK_PLACES
    ]


def _ordered(pair: _Pair) -> _Pair:
    return pair if pair[0] < pair[1] else (pair[1], pair[0])


def _add_links(tx: Tx, together: Counter[_Pair], related: Counter[_Pair], *, sign: int) -> None:
    rows = [(*pair, sign * together[pair], sign * related[pair]) for pair in together.keys() | related.keys()]
    # In the order of the table, each page is written once.
    both = sorted([*rows, *((two, one, *counts) for one, two, *counts in rows)])
    if sign > 0:
        tx.executemany(
            "INSERT INTO link (entity_id, other_id, together, related) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " together = together + excluded.together, related = related + excluded.related",
            both,
        )
        return
    tx.executemany(
        "UPDATE link SET together = together + ?3, related = related + ?4 WHERE entity_id = ?1 AND other_id = ?2", both
    )
    tx.executemany(
        "DELETE FROM link WHERE entity_id = ? AND other_id = ? AND together = 0 AND related = 0",
        [pair[:2] for pair in both],
    )


def _show(tx: Tx, entities: Iterable[int]) -> None:
    """Settle how each entity is shown: written as most facts do, of the most telling kind."""
    changed = []
    for entity in dict.fromkeys(entities):
        forms: list[tuple[str, str, int, int]] = tx.execute(
            "SELECT name, kind, stated, facts FROM entity_form WHERE entity_id = ?", (entity,)
        ).fetchall()  # type: ignore[assignment]
        if forms:
            changed.append((*_shown(forms), entity))
    tx.executemany("UPDATE entity SET name = ?1, kind = ?2 WHERE id = ?3 AND (name <> ?1 OR kind <> ?2)", changed)


def _shown(forms: list[tuple[str, str, int, int]]) -> tuple[str, str]:
    """The name that most facts have; the kind that tells most, of several that callers stated the most frequent one."""
    names: Counter[str] = Counter()
    kinds: Counter[tuple[int, str]] = Counter()
    for name, kind, stated, facts in forms:
        names[name] += facts
        kinds[extraction.rank(kind, stated=bool(stated)), kind] += facts
    name = min(names, key=lambda given: (-names[given], given))
    _, kind = min(kinds, key=lambda given: (given[0] if given[0] >= 0 else -1, -kinds[given], given))
    return name, kind
