"""Entities, what is round them, and paths, as lines for people."""

from collections.abc import Iterable, Iterator

from cortex.cli.terminal import Screen, cells, one_line
from cortex.ids import short
from cortex.memory.graph import EntitySummary, GraphEdge
from cortex.ops.graph import EntityList, EntityPath, Neighbourhood
from cortex.plurals import counted


def entities(found: EntityList, screen: Screen) -> Iterator[str]:
    """One entity a line: `redis  name  facts: 3`."""
    width = max((cells(one_line(entity.name)) for entity in found.entities), default=0)
    for entity in found.entities:
        yield screen.line([(_entity(entity, min(width, 40)), False)])
    if not found.entities:
        yield "no entities"
    if found.more:
        yield "more: raise --limit, or give --query or --kind"
    yield from _pending(found.pending)


def neighbourhood(found: Neighbourhood, screen: Screen) -> Iterator[str]:
    """The entity, then its edges, then what was reached."""
    yield screen.line([(one_line(found.entity), True), (f"  {one_line(found.kind)}{_facts(found.evidence)}", False)])
    yield from _edges(found.edges, screen)
    reached = [node for node in found.nodes if node.hops > 1]
    if reached:
        yield "further away:"
        for node in reached:
            yield screen.line([(f"  {node.hops} hops  {_entity(node, 0)}", False)])
    if not found.edges:
        yield "  related to nothing else"
    if found.more:
        yield "more: raise --limit"
    yield from _pending(found.pending)


def path(found: EntityPath, screen: Screen) -> Iterator[str]:
    """The entities of a path in a row, then each step with the facts behind it."""
    if found.nodes:
        yield screen.line([(" → ".join(one_line(node.name) for node in found.nodes), True)])
        yield from _edges(found.edges, screen)
    else:
        yield "no path" if found.complete else "no path found before the search was given up: try fewer --hops"
    yield from _pending(found.pending)


def _edges(edges: Iterable[GraphEdge], screen: Screen) -> Iterator[str]:
    for edge in edges:
        said = one_line(edge.predicate).replace("_", " ")
        count = f" ×{edge.weight}" if edge.weight > 1 else ""
        text = f"  {one_line(edge.subject)}  {said}  {one_line(edge.object)}{count}{_facts(edge.evidence)}"
        yield screen.line([(text, False)])


def _entity(entity: EntitySummary, width: int) -> str:
    name = one_line(entity.name)
    return f"{name}{' ' * (width - cells(name))}  {one_line(entity.kind)}  facts: {entity.facts}"


def _facts(ids: list[str]) -> str:
    return f"  ({', '.join(map(short, ids))})" if ids else ""


def _pending(count: int) -> Iterator[str]:
    if count:
        yield f"still to be looked through: {counted(count, 'fact')}"
