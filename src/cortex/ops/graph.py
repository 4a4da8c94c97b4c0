"""Operations on the graph of entities: list them, read round one, find a path, state a relation."""

from typing import Annotated

from msgspec import Meta, Struct

from cortex import limits
from cortex.db.connect import Tx
from cortex.errors import Conflict, Invalid, NotFound
from cortex.meaning import filling
from cortex.memory import extraction, graph, phrases, pieces, projects
from cortex.memory.graph import EntitySummary, GraphEdge, GraphNode
from cortex.memory.model import StoredFact
from cortex.memory.visibility import View, present
from cortex.ops import fields
from cortex.ops.commands import FactsStored
from cortex.ops.context import Context
from cortex.ops.facts import NewFact, decide
from cortex.ops.registry import Cli, Request, Tool, operation

EntityName = Annotated[
    str,
    Meta(description="Name of an entity, in any letter case.", min_length=1, max_length=limits.ENTITY_NAME_CHARS_MAX),
]
EntityKind = Annotated[
    str,
    Meta(
        description=f"Kind of entity: {', '.join(extraction.KINDS)}, or your own word.",
        min_length=1,
        max_length=limits.TYPE_CHARS_MAX,
    ),
]
_TYPE = "relation"


class EntityList(Struct, frozen=True, kw_only=True):
    """Entities, the most mentioned first. `pending` facts were not looked through yet; `more` were left out."""

    entities: list[EntitySummary]
    more: bool
    pending: int


class ListEntities(Request[EntityList], frozen=True, kw_only=True):
    """List entities."""

    project: fields.Project | None = None
    kind: EntityKind | None = None
    query: Annotated[str, Meta(description="Beginning of the name.", max_length=limits.ENTITY_NAME_CHARS_MAX)] = ""
    as_of: fields.AsOf | None = None
    known_at: fields.KnownAt | None = None
    limit: fields.Limit = limits.PAGE_DEFAULT


@operation(
    "graph.entities",
    effect="read",
    order="local",
    method="entities",
    cli=(Cli("entities", group="Memory"),),
    mcp=Tool("all", title="List entities"),
)
async def entities(ctx: Context, request: ListEntities) -> EntityList:
    """List what the facts of a project speak of: people, projects, files, packages, symbols, dates, tags.

    The most mentioned come first, with the number of facts that mention them.
    """
    name = fields.project_name(ctx, request.project)
    kind = None if request.kind is None else pieces.clean(request.kind.lower())
    pending = await _looked_through(ctx)

    def read(tx: Tx) -> EntityList:
        seen = _view(ctx, tx, request)
        found, more = graph.listed(
            tx, projects.number(tx, name), seen, kind=kind, prefix=request.query, limit=request.limit
        )
        return EntityList(entities=found, more=more, pending=pending)

    return await ctx.database.read(read)


class Neighbourhood(Struct, frozen=True, kw_only=True):
    """What is round an entity. `evidence` are the last facts that mention it; `more` says that nodes were left out."""

    entity: str
    kind: str
    evidence: list[str]
    nodes: list[GraphNode]
    edges: list[GraphEdge]
    more: bool
    pending: int


class ShowGraph(Request[Neighbourhood], frozen=True, kw_only=True):
    """Read the graph round an entity."""

    entity: EntityName
    project: fields.Project | None = None
    depth: Annotated[int, Meta(description="How many hops from the entity.", ge=1, le=limits.GRAPH_DEPTH_MAX)] = 1
    limit: Annotated[int, Meta(description="How many entities at most.", ge=2, le=limits.GRAPH_NODES_MAX)] = (
        limits.GRAPH_NODES_DEFAULT
    )
    as_of: fields.AsOf | None = None
    known_at: fields.KnownAt | None = None


@operation(
    "graph.show",
    effect="read",
    order="local",
    method="graph",
    cli=(Cli("graph ENTITY", group="Memory"),),
    mcp=Tool("all", title="Read the graph round an entity"),
)
async def show(ctx: Context, request: ShowGraph) -> Neighbourhood:
    """Show what an entity is related to, with the facts that say so.

    Relations that facts state, and entities that they mention together; the strongest of each entity first.
    """
    name = fields.project_name(ctx, request.project)
    pending = await _looked_through(ctx)

    def read(tx: Tx) -> Neighbourhood:
        seen = _view(ctx, tx, request)
        start = _found(tx, name, request.entity, seen)
        around = graph.around(tx, start, seen, depth=request.depth, limit=request.limit)
        return Neighbourhood(
            entity=around.nodes[0].name,
            kind=around.nodes[0].kind,
            evidence=graph.mentioning(tx, start, seen, most=limits.GRAPH_EVIDENCE_MAX),
            nodes=around.nodes,
            edges=around.edges,
            more=around.more,
            pending=pending,
        )

    return await ctx.database.read(read)


class EntityPath(Struct, frozen=True, kw_only=True):
    """A shortest path: its entities in order, and the edges between them. Both are empty where none was found.

    `complete` is false where so much had to be read that the search was given up before it had seen all.
    """

    nodes: list[GraphNode]
    edges: list[GraphEdge]
    complete: bool
    pending: int


class FindPath(Request[EntityPath], frozen=True, kw_only=True):
    """Find how two entities are connected."""

    start: EntityName
    end: EntityName
    project: fields.Project | None = None
    hops: Annotated[int, Meta(description="How long the path may be.", ge=1, le=limits.PATH_HOPS_MAX)] = (
        limits.PATH_HOPS_DEFAULT
    )
    as_of: fields.AsOf | None = None
    known_at: fields.KnownAt | None = None


@operation(
    "graph.path",
    effect="read",
    order="local",
    method="path",
    cli=(Cli("path FROM TO", group="Memory", rename={"start": "from", "end": "to"}),),
    mcp=Tool("all", title="Find a path between entities"),
)
async def path(ctx: Context, request: FindPath) -> EntityPath:
    """Find a shortest path between two entities, with the facts behind each step."""
    name = fields.project_name(ctx, request.project)
    pending = await _looked_through(ctx)

    def read(tx: Tx) -> EntityPath:
        seen = _view(ctx, tx, request)
        start, end = (_found(tx, name, given, seen) for given in (request.start, request.end))
        route = graph.path(tx, start, end, seen, hops=request.hops)
        return EntityPath(nodes=route.nodes, edges=route.edges, complete=route.complete, pending=pending)

    return await ctx.database.read(read)


class RelateEntities(Request[StoredFact], frozen=True, kw_only=True):
    """State a relation between two entities."""

    subject: EntityName
    predicate: Annotated[
        str,
        Meta(
            description=f"{', '.join(phrases.PREDICATES)}, or your own word.",
            min_length=1,
            max_length=limits.TYPE_CHARS_MAX,
        ),
    ]
    object: EntityName
    subject_kind: EntityKind | None = None
    object_kind: EntityKind | None = None
    project: fields.Project | None = None
    tags: fields.Tags = []
    source: fields.Source | None = None
    valid_from: fields.ValidFrom | None = None
    valid_until: fields.ValidUntil | None = None

    def check(self) -> None:
        """Raise Invalid for what cannot be a name or a predicate."""
        for name in ("subject", "predicate", "object", "subject_kind", "object_kind"):
            fields.check_name(name, getattr(self, name))
        if phrases.stated(self.predicate) is None:
            raise Invalid(f"the predicate is {self.predicate!r}", "say how the two are related, such as uses or owns")
        if pieces.key(pieces.clean(self.subject) or "") == pieces.key(pieces.clean(self.object) or ""):
            raise Invalid(f"{self.subject!r} is related to itself", "name two entities")
        _new_fact(self).check()


@operation(
    "memory.relate",
    effect="write",
    order="gossip",
    method="relate",
    cli=(Cli("relate SUBJECT PREDICATE OBJECT", group="Memory", rename={"tags": "tag"}),),
    mcp=Tool("all", title="Relate two entities", idempotent=True),
)
async def relate(ctx: Context, request: RelateEntities) -> StoredFact:
    """State that two entities are related. It is stored as a fact: it can be revised, retracted and forgotten."""
    now, fact = ctx.now(), _new_fact(request)
    command = FactsStored(actor=ctx.caller.actor, at=now, facts=(decide(ctx, fact, now),))
    stored = (await ctx.journal.commit(command))[0]
    if stored.duplicate and stored.meta != fact.meta:
        raise Conflict(
            f"fact {stored.id} reads the same and states something else",
            f"`cortex revise {stored.id} --meta JSON` changes what it states",
        )
    return stored


def _new_fact(request: RelateEntities) -> NewFact:
    kinds = {request.subject: request.subject_kind, request.object: request.object_kind}
    stated = [{"name": name, "kind": kind} for name, kind in kinds.items() if kind is not None]
    relation = {"subject": request.subject, "predicate": request.predicate, "object": request.object}
    return NewFact(
        content=extraction.sentence(request.subject, request.predicate, request.object),
        type=_TYPE,
        tags=request.tags,
        source=request.source,
        meta={**({"entities": stated} if stated else {}), "relations": [relation]},
        valid_from=request.valid_from,
        valid_until=request.valid_until,
        project=request.project,
    )


def _view(ctx: Context, tx: Tx, request: ListEntities | ShowGraph | FindPath) -> View:
    return fields.view(request.as_of, request.known_at, present(tx, ctx.now()))


def _found(tx: Tx, project: str, name: str, seen: View) -> int:
    number = projects.number(tx, project)
    found = graph.find(tx, number, name, seen)
    if found is not None:
        return found
    alike = graph.near(tx, number, name, seen)
    hint = f"there is {', '.join(map(repr, alike))}" if alike else "`cortex entities` lists them"
    raise NotFound(f"no fact of {project!r} mentions {name!r}", hint)


async def _looked_through(ctx: Context) -> int:
    """Look through what is pending, for a few seconds at most. Returns how many facts are pending still."""
    return await (ctx.meaning.extract() if ctx.database.writable else ctx.database.read(filling.unread))
