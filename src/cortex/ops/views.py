"""Operations that read facts: show, list, history."""

import base64
import binascii
import hashlib
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, structs

from cortex import limits, times
from cortex.db.connect import Tx, value
from cortex.errors import Invalid
from cortex.ledger import chain
from cortex.memory import likeness, lookup
from cortex.memory.model import Contradicts, Fact, SimilarTo, Span
from cortex.memory.visibility import View, present
from cortex.ops import fields
from cortex.ops.context import Context
from cortex.ops.registry import Cli, Request, Tool, operation
from cortex.ops.settled import PersonsWord, persons_word
from cortex.ops.votes import ShownVote, shown
from cortex.trust import log as logs
from cortex.trust import standing


class Entry(Struct, frozen=True, kw_only=True):
    """Where the ledger recorded a revision, and what recomputes its digest (see docs/ledger.md)."""

    origin: str
    idx: int
    digest: str
    salt: str


class FactView(Fact, frozen=True, kw_only=True):
    """A fact with its ledger entry, what stands near it and, when asked for, its revisions and its slot's values."""

    entry: Entry
    similar_to: SimilarTo
    contradicts: Contradicts
    votes: Annotated[list[ShownVote], Meta(description="Current votes, at most 20: `cortex_votes` has all of them.")]
    missing: Annotated[list[str], Meta(description="What a verdict still lacks, where there are votes.")]
    resolution: PersonsWord | None
    revisions: list[Fact]
    slot: list[Span]


class ShowFact(Request[FactView], frozen=True, kw_only=True):
    """Show one fact."""

    id: fields.FactId
    known_at: fields.KnownAt | None = None
    history: Annotated[bool, Meta(description="With all revisions, and the values of its slot.")] = False


@operation(
    "fact.show",
    effect="read",
    order="local",
    method="show",
    cli=(Cli("show ID", group="Memory"),),
    mcp=Tool("memory", title="Show a fact"),
)
async def show(ctx: Context, request: ShowFact) -> FactView:
    """Show one fact in full.

    With where the ledger recorded it, its near duplicates and what contradicts it in its slot; with `history` also
    its revisions and the values of its slot.
    """

    def read(tx: Tx) -> FactView:
        fact = lookup.current(tx, lookup.resolve(tx, request.id), request.known_at)
        slot = lookup.slot(tx, fact.project, fact.key, request.known_at) if request.history and fact.key else []
        seen = fields.view(None, request.known_at, present(tx, ctx.now()))
        return FactView(
            **structs.asdict(fact),
            entry=_entry(tx, fact),
            similar_to=likeness.similar(tx, fact, seen),
            contradicts=likeness.contradicting(tx, fact, request.known_at),
            **_voted(tx, fact),
            revisions=lookup.history(tx, fact.id) if request.history else [],
            slot=slot,
        )

    return await ctx.database.read(read)


def _voted(tx: Tx, fact: Fact) -> dict[str, Any]:
    """The votes on a revision, and what a verdict still lacks where there are some."""
    log, digest = logs.sound(tx), value(tx, _DIGEST, (fact.id, fact.revision))
    if log is None or not isinstance(digest, bytes):
        return {"votes": [], "missing": [], "resolution": None}
    held = standing.held(tx, log, fact.id, digest, limits.SHOWN_VOTES)
    missing = standing.of(tx, log, fact.id, digest).missing if held else []
    word = persons_word(tx, fact.id, digest) if fact.resolved else None
    return {"votes": [shown(tx, vote) for vote in held], "missing": missing, "resolution": word}


_DIGEST = (
    "SELECT t.digest FROM revision AS r JOIN transactions AS t ON t.log = r.log AND t.idx = r.idx"
    " WHERE r.fact_id = ? AND r.number = ?"
)


def _entry(tx: Tx, fact: Fact) -> Entry:
    row = tx.execute(
        "SELECT l.origin, r.idx, lower(hex(t.digest)), lower(hex(r.salt)) FROM revision AS r"
        " JOIN ledger_log AS l ON l.id = r.log LEFT JOIN transactions AS t ON t.log = r.log AND t.idx = r.idx"
        " WHERE r.fact_id = ? AND r.number = ?",
        (fact.id, fact.revision),
    ).fetchone()
    assert row is not None
    return Entry(origin=row[0], idx=row[1], digest=row[2] or "", salt=row[3])


class FactHistory(Struct, frozen=True, kw_only=True):
    """Every revision of a fact, oldest first, and the values of its slot if it has a key."""

    revisions: list[Fact]
    slot: list[Span]


class ReadHistory(Request[FactHistory], frozen=True, kw_only=True):
    """Read a fact's history."""

    id: fields.FactId


@operation(
    "fact.history",
    effect="read",
    order="local",
    method="history",
    cli=(Cli("history ID", group="Memory"),),
    mcp=Tool("all", title="Read a fact's history"),
)
async def history(ctx: Context, request: ReadHistory) -> FactHistory:
    """Show every revision of a fact, and what its slot held."""

    def read(tx: Tx) -> FactHistory:
        revisions = lookup.history(tx, lookup.resolve(tx, request.id))
        newest = revisions[-1]
        slot = lookup.slot(tx, newest.project, newest.key) if newest.key else []
        return FactHistory(revisions=revisions, slot=slot)

    return await ctx.database.read(read)


class FactPage(Struct, frozen=True, kw_only=True):
    """A page of facts, the last changed first. `next` is the cursor of the following page, null on the last."""

    facts: list[Fact]
    next: str | None


class ListFacts(Request[FactPage], frozen=True, kw_only=True):
    """List facts."""

    project: fields.Project | None = None
    all_projects: fields.AllProjects = False
    types: fields.Types = []
    tags: fields.HasTags = []
    key: fields.Key | None = None
    thread: fields.Thread | None = None
    as_of: fields.AsOf | None = None
    known_at: fields.KnownAt | None = None
    every: Annotated[bool, Meta(description="Also what is not true now: past, future and superseded facts.")] = False
    limit: fields.Limit = limits.PAGE_DEFAULT
    cursor: fields.Cursor | None = None


_Row = Annotated[int, Meta(ge=0, le=limits.SEQ_MAX)]


class _Place(Struct, frozen=True, array_like=True):
    """What a cursor holds: the last row shown, the first page's point of view, and where the ledger ended then."""

    before: _Row
    as_of: str
    known_at: str | None
    log: _Row
    size: _Row
    asked: str


@operation(
    "fact.list",
    effect="read",
    order="local",
    method="list_facts",
    cli=(Cli("list", group="Memory", rename={"types": "type", "tags": "tag"}),),
    mcp=Tool("all", title="List facts"),
)
async def list_facts(ctx: Context, request: ListFacts) -> FactPage:
    """List facts, the last changed first. Pages go on at what was believed when the first one was read."""
    names = fields.only(ctx, request.project, every=request.all_projects)
    narrow = fields.filters(names, request.types, request.tags, request.key, request.thread)
    place = _place(request.cursor)
    asked, now = _asked(request, names), ctx.now()
    if place is not None:
        _check_continues(place, request, asked)

    def read(tx: Tx) -> FactPage:
        at = place or _first(tx, request, now, asked)
        seen = View(
            as_of=None if request.every else at.as_of, known_at=at.known_at, before=(at.log, at.size) if place else None
        )
        shown, more = lookup.page(tx, narrow, seen, before=place.before if place else None, limit=request.limit)
        cursor = _cursor(structs.replace(at, before=shown[-1][0])) if more else None
        return FactPage(facts=[fact for _, fact in shown], next=cursor)

    return await ctx.database.read(read)


def _asked(request: ListFacts, names: tuple[str, ...] | None) -> str:
    """What a list was asked for, in a few characters: a cursor goes with that alone."""
    plain = structs.asdict(structs.replace(request, cursor=None, limit=1, as_of=None, known_at=None))
    plain["projects"] = names
    return hashlib.blake2b(repr(plain).encode(), digest_size=9).hexdigest()


def _check_continues(place: _Place, request: ListFacts, asked: str) -> None:
    """Raise Invalid where something beside a cursor says other than the page it comes from."""
    times = ((request.as_of, place.as_of), (request.known_at, place.known_at))
    if place.asked != asked or any(given is not None and str(given) != kept for given, kept in times):
        raise Invalid("the cursor belongs to another list", "give the same filters and times as for the page before")


def _first(tx: Tx, request: ListFacts, now: str, asked: str) -> _Place:
    """The point of view of a first page, which the following ones keep."""
    head = chain.active(tx)
    log, size = (head.id, head.size) if head else (0, 0)
    as_of = str(request.as_of or present(tx, now))
    return _Place(0, as_of, None if request.known_at is None else str(request.known_at), log, size, asked)


def _cursor(place: _Place) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def _place(cursor: str | None) -> _Place | None:
    if cursor is None:
        return None
    try:
        place = msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=_Place)
        if any(given is not None and times.canonical(given) != given for given in (place.as_of, place.known_at)):
            raise ValueError("a time in another form")
        return place
    except (msgspec.DecodeError, binascii.Error, ValueError, Invalid):
        raise Invalid(f"{cursor[:40]!r} is not a cursor", "give `next` of the page before as it was") from None
