"""Reading the graph: entities, what is round one of them, the shortest path between two.

The tables hold what is believed now. Whatever is shown has a fact behind it that is visible from the point of view: it
is looked up for each edge that is shown, since weights count all believed facts, whenever they are true.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from cortex import limits
from cortex.db.connect import Tx, value
from cortex.memory import phrases, pieces
from cortex.memory.visibility import View

_PREDICATES_SHOWN = 3
_EDGES_PER_NODE = 2
_BRANCHES_MIN = 3
_TRIES_MAX = 16
_NAMES_COMPARED = 1_000
_encode = msgspec.json.Encoder().encode

_Pair = tuple[int, int]


class EntitySummary(Struct, frozen=True, kw_only=True):
    """An entity of a project. `facts` counts those that mention it and are believed now, whenever they are true."""

    name: str
    kind: str
    facts: int


class GraphNode(EntitySummary, frozen=True, kw_only=True):
    """An entity, so many hops from where the reading began."""

    hops: int


class GraphEdge(Struct, frozen=True, kw_only=True):
    """How two entities are related: stated by a predicate, or only `mentioned_with` each other."""

    subject: str
    predicate: str
    object: str
    weight: Annotated[int, Meta(description="How many facts say so that are believed now, whenever they are true.")]
    evidence: Annotated[list[str], Meta(description="Ids of the last of those facts that are visible.")]


class Surroundings(Struct, frozen=True):
    """Nodes and edges round an entity; `more` says that some were left out."""

    nodes: list[GraphNode]
    edges: list[GraphEdge]
    more: bool


class Route(Struct, frozen=True):
    """The nodes of a path, empty where there is none; not `complete` where the search was given up."""

    nodes: list[GraphNode]
    edges: list[GraphEdge]
    complete: bool


def find(tx: Tx, project_id: int | None, name: str, view: View) -> int | None:
    """The number of the entity with this name, in any letter case; None where no visible fact mentions it."""
    for given in dict.fromkeys((name, name.removesuffix("()"), name.removeprefix("./"), f"@{name}")):
        cleaned = pieces.clean(given)
        found = cleaned and value(
            tx, "SELECT id FROM entity WHERE project_id = ? AND key = ?", (project_id, pieces.key(cleaned))
        )
        if isinstance(found, int) and mentioning(tx, found, view, most=1):
            return found
    return None


def near(tx: Tx, project_id: int | None, name: str, view: View) -> list[str]:
    """Names of entities much like this one: what it begins, or nearly spells, among those most mentioned."""
    key = pieces.key(pieces.clean(name) or "")
    rows: list[Any] = tx.execute(
        "SELECT id, key, name FROM (SELECT * FROM entity WHERE project_id = ?1 AND key >= ?2 AND key < ?3"
        " ORDER BY facts DESC, key LIMIT ?4) UNION ALL SELECT id, key, name FROM"
        " (SELECT * FROM entity WHERE project_id = ?1 ORDER BY facts DESC, key LIMIT ?4)",
        (project_id, key, f"{key}\U0010ffff", _NAMES_COMPARED),
    ).fetchall()
    known = {row[1]: row for row in rows}
    begun = [found for found in known if key and found.startswith(key)]
    alike = difflib.get_close_matches(key, known, n=limits.NEAR_NAMES_MAX)
    names = (known[found] for found in dict.fromkeys([*alike, *begun]))
    shown = [row[2] for row in names if mentioning(tx, row[0], view, most=1)]
    return shown[: limits.NEAR_NAMES_MAX]


def mentioning(tx: Tx, entity: int, view: View, *, most: int) -> list[str]:
    """Ids of the last visible facts that mention an entity."""
    visible, bindings = _visible(view)
    rows = tx.execute(
        "SELECT r.fact_id FROM mention AS m CROSS JOIN revision AS r ON r.id = m.revision_id"
        f" WHERE m.entity_id = :entity AND {visible} ORDER BY m.revision_id DESC LIMIT :most",
        {**bindings, "entity": entity, "most": most},
    )
    return [row[0] for row in rows]


def listed(
    tx: Tx, project_id: int | None, view: View, *, kind: str | None, prefix: str | None, limit: int
) -> tuple[list[EntitySummary], bool]:
    """The entities of a project that visible facts mention, the most mentioned first; and whether there are more."""
    start = pieces.key(prefix or "")
    rows = tx.execute(
        "SELECT id, name, kind, facts FROM entity WHERE project_id = ?1"
        " AND (?2 = '' OR (key >= ?2 AND key < ?2 || char(0x10ffff)))"
        " AND (?3 IS NULL OR EXISTS (SELECT 1 FROM entity_form AS f WHERE f.entity_id = entity.id AND f.kind = ?3))"
        " ORDER BY facts DESC, key",
        (project_id, start, kind),
    )
    shown: list[EntitySummary] = []
    for entity, name, own, facts in rows:
        if mentioning(tx, entity, view, most=1):
            if len(shown) == limit:
                return shown, True
            shown.append(EntitySummary(name=name, kind=own, facts=facts))
    return shown, False


def around(tx: Tx, start: int, view: View, *, depth: int, limit: int) -> Surroundings:
    """What is up to `depth` hops from an entity: of each node the strongest neighbours, at most `limit` nodes."""
    evidence = _Evidence(tx, view)
    hops = {start: 0}
    tree: list[_Pair] = []
    frontier = [start]
    more = False
    for hop in range(1, depth + 1):
        room = limit - len(hops)
        quota = room if hop == depth else -(-room // 2)
        share = max(_BRANCHES_MIN, -(-quota // max(1, len(frontier))))
        reached: list[int] = []
        for node in frontier:
            most = min(share, quota - len(reached))
            found, cut = _strongest(tx, node, hops, evidence, most)
            more = more or cut
            hops |= dict.fromkeys(found, hop)
            tree += ((node, other) for other in found)
            reached += found
        frontier = reached
    nodes = _nodes(tx, hops)
    return Surroundings(nodes, _edges_among(tx, list(hops), tree, evidence), more)


def path(tx: Tx, start: int, end: int, view: View, *, hops: int) -> Route:
    """A shortest path of visible edges: looked up where a path leads over them, at last wherever one is met."""
    evidence = _Evidence(tx, view)
    reading = _Reading(tx)
    refused: set[_Pair] = set()

    def unrefused(node: int) -> Iterator[int]:
        return (other for other in reading.neighbours(node) if (node, other) not in refused)

    def seen(node: int) -> Iterator[int]:
        return (other for other in reading.neighbours(node) if evidence.of(node, other))

    for _ in range(_TRIES_MAX):
        found = _shortest(unrefused, start, end, hops)
        unseen = [pair for pair in pairwise(found) if not evidence.of(*pair)]
        if not unseen:
            break
        refused |= {*unseen, *((two, one) for one, two in unseen)}
    else:
        found = _shortest(seen, start, end, hops)
    nodes = _nodes(tx, {node: place for place, node in enumerate(found)})
    edges = [edge for pair in pairwise(found) for edge in evidence.of(*pair)]
    return Route(nodes, edges, bool(found) or reading.left > 0)


class _Reading:
    """Links as they are read for paths, at most PATH_LINKS_MAX of them."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._known: dict[int, list[int]] = {}
        self.left = limits.PATH_LINKS_MAX

    def neighbours(self, node: int) -> list[int]:
        """The neighbours of a node, the strongest first."""
        if node not in self._known:
            rows = self._tx.execute(
                "SELECT other_id FROM link WHERE entity_id = ? ORDER BY strength DESC, other_id LIMIT ?",
                (node, self.left),
            )
            self._known[node] = [row[0] for row in rows]
            self.left -= len(self._known[node])
        return self._known[node]


def _shortest(neighbours: Callable[[int], Iterable[int]], start: int, end: int, hops: int) -> list[int]:
    """The nodes from `start` to `end`, searched from both ends, level by level; empty where there is no path."""
    if start == end:
        return [start]
    came: tuple[dict[int, int], dict[int, int]] = ({start: start}, {end: end})
    frontiers = [[start], [end]]
    for _ in range(hops):
        side = 0 if len(frontiers[0]) <= len(frontiers[1]) else 1
        reached: list[int] = []
        for node in frontiers[side]:
            for other in neighbours(node):
                if other in came[side]:
                    continue
                came[side][other] = node
                if other in came[1 - side]:
                    return [*reversed(_back(came[0], other)), *_back(came[1], other)[1:]]
                reached.append(other)
        frontiers[side] = reached
    return []


def _back(came: dict[int, int], node: int) -> list[int]:
    """The way from `node` back to where the search began."""
    way = [node]
    while came[way[-1]] != way[-1]:
        way.append(came[way[-1]])
    return way


def _strongest(tx: Tx, node: int, known: dict[int, int], evidence: "_Evidence", most: int) -> tuple[list[int], bool]:
    """The strongest neighbours that are not `known` yet and visible; and whether any may have been left out."""
    rows: Iterator[Any] = tx.execute(
        "SELECT other_id FROM link WHERE entity_id = ? ORDER BY strength DESC, other_id LIMIT ?",
        (node, limits.GRAPH_LINKS_MAX + 1),
    )
    found: list[int] = []
    for number, (other,) in enumerate(rows):
        if other in known:
            continue
        if len(found) >= most or number == limits.GRAPH_LINKS_MAX:
            return found, True
        if evidence.of(node, other):
            found.append(other)
    return found, False


def _nodes(tx: Tx, hops: dict[int, int]) -> list[GraphNode]:
    rows = tx.execute(
        "SELECT e.id, e.name, e.kind, e.facts FROM json_each(?) AS wanted JOIN entity AS e ON e.id = wanted.value",
        (_encode(list(hops)).decode(),),
    )
    known = {row[0]: row[1:] for row in rows}
    return [
        GraphNode(name=known[node][0], kind=known[node][1], facts=known[node][2], hops=hop)
        for node, hop in hops.items()
    ]


def _edges_among(tx: Tx, nodes: list[int], tree: list[_Pair], evidence: "_Evidence") -> list[GraphEdge]:
    """The edges that led to the nodes, and the strongest of the others between them."""
    rows: Iterator[Any] = tx.execute(
        "SELECT entity_id, other_id FROM link WHERE entity_id IN (SELECT value FROM json_each(?1))"
        " AND other_id IN (SELECT value FROM json_each(?1)) AND entity_id < other_id"
        " ORDER BY strength DESC, entity_id, other_id LIMIT ?2",
        (_encode(nodes).decode(), _EDGES_PER_NODE * len(nodes)),
    )
    edges = [edge for pair in tree for edge in evidence.of(*pair)]
    led = {frozenset(pair) for pair in tree}
    for pair in rows:
        if len(edges) >= _EDGES_PER_NODE * len(nodes):
            break
        if frozenset(pair) not in led:
            edges += evidence.of(*pair)
    return edges


class _Evidence:
    """The visible edges between two entities, each pair looked up once."""

    def __init__(self, tx: Tx, view: View) -> None:
        self._tx = tx
        visible, self._bindings = _visible(view)
        self._sql_saying = _SAYING.format(visible=visible)
        self._sql_together = _TOGETHER.format(visible=visible)
        self._known: dict[_Pair, list[GraphEdge]] = {}

    def of(self, one: int, other: int) -> list[GraphEdge]:
        """What is stated of the two, else that they are mentioned together; empty where no visible fact says so."""
        pair = (one, other) if one < other else (other, one)
        if pair not in self._known:
            self._known[pair] = self._edges(*pair)
        return self._known[pair]

    def _edges(self, one: int, other: int) -> list[GraphEdge]:
        row: Any = self._tx.execute(
            "SELECT l.together, l.related, a.name, b.name, a.facts, b.facts FROM link AS l"
            " JOIN entity AS a ON a.id = l.entity_id JOIN entity AS b ON b.id = l.other_id"
            " WHERE l.entity_id = ? AND l.other_id = ?",
            (one, other),
        ).fetchone()
        if row is None:
            return []
        together, related, name, other_name, facts, other_facts = row
        stated = self._stated(one, other, name, other_name) if related else []
        if stated or not together:
            return stated
        ends = (one, other) if facts <= other_facts else (other, one)
        shown = self._together(*ends, most=min(together, limits.GRAPH_EVIDENCE_MAX))
        if not shown:
            return []
        return [GraphEdge(subject=name, predicate=phrases.TOGETHER, object=other_name, weight=together, evidence=shown)]

    def _stated(self, one: int, other: int, name: str, other_name: str) -> list[GraphEdge]:
        """The relations that most facts state of the two, in either direction."""
        counts: list[Any] = self._tx.execute(
            "SELECT subject_id = ?1, predicate, count(*) AS facts FROM relation"
            " WHERE (subject_id = ?1 AND object_id = ?2) OR (subject_id = ?2 AND object_id = ?1)"
            " GROUP BY 1, 2 ORDER BY facts DESC, predicate, 1",
            (one, other),
        ).fetchall()
        edges: list[GraphEdge] = []
        for forward, predicate, count in counts:
            ends = (one, other) if forward else (other, one)
            names = (name, other_name) if forward else (other_name, name)
            if shown := self._saying(ends[0], predicate, ends[1]):
                edges.append(
                    GraphEdge(subject=names[0], predicate=predicate, object=names[1], weight=count, evidence=shown)
                )
            if len(edges) == _PREDICATES_SHOWN:
                break
        return edges

    def _saying(self, subject: int, predicate: str, object_: int) -> list[str]:
        wanted = {**self._bindings, "subject": subject, "object": object_, "predicate": predicate}
        return [row[0] for row in self._tx.execute(self._sql_saying, wanted)]

    def _together(self, rarer: int, other: int, *, most: int) -> list[str]:
        wanted = {**self._bindings, "rarer": rarer, "other": other, "most": most}
        return [row[0] for row in self._tx.execute(self._sql_together, wanted)]


_SAYING = (
    "SELECT r.fact_id FROM relation AS x CROSS JOIN revision AS r ON r.id = x.revision_id"
    " WHERE x.subject_id = :subject AND x.object_id = :object AND x.predicate = :predicate AND {visible}"
    f" ORDER BY x.revision_id DESC LIMIT {limits.GRAPH_EVIDENCE_MAX}"
)
# From the rarer of the two, so that an entity that half of all facts mention costs no more than another.
_TOGETHER = (
    "SELECT r.fact_id FROM mention AS m CROSS JOIN mention AS o ON o.revision_id = m.revision_id"
    f" AND o.entity_id = :other AND o.place BETWEEN m.place - {limits.LINK_PLACES} AND m.place + {limits.LINK_PLACES}"
    " CROSS JOIN revision AS r ON r.id = m.revision_id WHERE m.entity_id = :rarer AND {visible}"
    " ORDER BY m.revision_id DESC LIMIT :most"
)


def _visible(view: View) -> tuple[str, dict[str, Any]]:
    """SQL over `r` for what is visible and believed now: nothing else is in the tables."""
    visible, bindings = view.condition()
    return f"{visible} AND r.retired_at IS NULL", bindings
