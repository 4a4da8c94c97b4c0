"""Operations that change facts: store, revise, retract, forget."""

import asyncio
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, structs

from cortex import limits
from cortex.errors import CortexError, Invalid, RevisionConflict, TooLarge, Unavailable
from cortex.ids import plain
from cortex.index import text
from cortex.memory import erasure, lookup
from cortex.memory.model import Confidence, Decided, Fact, Receipt, StoredFact
from cortex.ops import fields
from cortex.ops.commands import Erased, FactErased, FactRetracted, FactRevised, FactsStored
from cortex.ops.context import Context
from cortex.ops.registry import Cli, Request, Tool, operation
from cortex.trust import log as logs
from cortex.trust.outside import drop_reasons

_REVISE_ATTEMPTS_MAX = 8

Clearable = Literal["tags", "key", "source", "meta", "thread", "seq", "valid_until"]


class NewFact(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fact to be stored."""

    content: fields.Content
    type: fields.Type = "knowledge"
    tags: fields.Tags = []
    key: fields.Key | None = None
    source: fields.Source | None = None
    meta: fields.MetaObject | None = None
    confidence: Annotated[Confidence, Meta(description="stated, or inferred by the author.")] = "stated"
    thread: fields.Thread | None = None
    seq: fields.Seq | None = None
    valid_from: fields.ValidFrom | None = None
    valid_until: fields.ValidUntil | None = None
    project: fields.Project | None = None

    def check(self) -> None:
        """Raise Invalid or TooLarge for what the field types alone do not say."""
        fields.check_content(self.content)
        _check_names(self)
        for tag in self.tags:
            fields.check_name("a tag", tag)
        fields.meta_text(self.meta)


class StoreFact(NewFact, Request[StoredFact], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Store one fact."""


@operation(
    "fact.store",
    effect="write",
    order="gossip",
    method="store",
    cli=(Cli("store [PROJECT] CONTENT", group="Memory", rename={"tags": "tag"}, stdin="content"),),
    mcp=Tool("memory", title="Store a fact", idempotent=True),
)
async def store(ctx: Context, request: StoreFact) -> StoredFact:
    """Store one fact in shared memory.

    One self-contained sentence: a decision with its reason, a preference, a fix, a fact that is not obvious. Give
    `key` when a newer value should replace an older one. The same fact stored twice is kept once.
    """
    return (await ctx.journal.commit(_stored(ctx, [request])))[0]


class StoreFacts(Request["StoredFacts"], frozen=True, kw_only=True):
    """Store several facts in one transaction."""

    facts: Annotated[
        list[NewFact], Meta(description="The facts, as JSON.", min_length=1, max_length=limits.BATCH_FACTS_MAX)
    ]

    def check(self) -> None:
        """Check each fact and name the one that is wrong."""
        for number, fact in enumerate(self.facts):
            try:
                fact.check()
            except CortexError as error:
                error.message = f"facts[{number}]: {error.message}"
                raise
        size = sum(len(fact.content.encode()) for fact in self.facts)
        if size > limits.BATCH_BYTES_MAX:
            raise TooLarge(f"the batch has {size} bytes of content", f"at most {limits.BATCH_BYTES_MAX} are accepted")


class StoredFacts(Struct, frozen=True, kw_only=True):
    """The facts of a batch in the order given."""

    facts: list[StoredFact]
    stored: int
    duplicates: int


@operation(
    "fact.store_batch",
    effect="write",
    order="gossip",
    method="store_batch",
    cli=(Cli("store-batch FACTS", group="Memory", stdin="facts"),),
    mcp=Tool("all", title="Store several facts", idempotent=True),
)
async def store_batch(ctx: Context, request: StoreFacts) -> StoredFacts:
    """Store several facts in one transaction: all of them, or none and the wrong one named."""
    stored = await ctx.journal.commit(_stored(ctx, list(request.facts)))
    duplicates = sum(fact.duplicate for fact in stored)
    return StoredFacts(facts=stored, stored=len(stored) - duplicates, duplicates=duplicates)


class ReviseFact(Request[Fact], frozen=True, kw_only=True):
    """Replace parts of what is believed of a fact; what is not given stays as it is."""

    id: fields.FactId
    content: fields.Content | None = None
    type: fields.Type | None = None
    tags: fields.Tags | None = None
    key: fields.Key | None = None
    source: fields.Source | None = None
    meta: fields.MetaObject | None = None
    confidence: Annotated[Confidence, Meta(description="stated, or inferred by the author.")] | None = None
    thread: fields.Thread | None = None
    seq: fields.Seq | None = None
    valid_from: fields.ValidFrom | None = None
    valid_until: fields.ValidUntil | None = None
    clear: Annotated[list[Clearable], Meta(description="Fields to make empty.")] = []
    if_revision: fields.IfRevision | None = None

    def check(self) -> None:
        """Raise Invalid or TooLarge for what the field types alone do not say."""
        changed = self.changes()
        if not changed and not self.clear:
            raise Invalid("nothing to revise", "give the fields that change, or clear some")
        both = sorted(set(self.clear) & changed.keys())
        if both:
            raise Invalid(f"{both[0]} is both given and cleared", "do one of them")
        if self.content is not None:
            fields.check_content(self.content)
        _check_names(self)
        for tag in self.tags or ():
            fields.check_name("a tag", tag)
        fields.meta_text(self.meta)

    def changes(self) -> dict[str, Any]:
        """The fields that were given."""
        given = structs.asdict(self)
        return {
            name: given[name]
            for name in given
            if name not in {"id", "clear", "if_revision"} and given[name] is not None
        }


@operation(
    "fact.revise",
    effect="write",
    order="gossip",
    file="needed",
    method="revise",
    cli=(Cli("revise ID [CONTENT]", group="Memory", rename={"tags": "tag"}, stdin="content", also=("content",)),),
    mcp=Tool("memory", title="Revise a fact"),
)
async def revise(ctx: Context, request: ReviseFact) -> Fact:
    """Correct or update a fact: what is given replaces what was believed, the rest stays.

    Every revision is kept. `if_revision` refuses the change when somebody else revised the fact meanwhile.
    """
    for _ in range(_REVISE_ATTEMPTS_MAX):
        before = await ctx.database.read(lambda tx: lookup.current(tx, lookup.resolve(tx, request.id)))
        after = _revised(ctx, request, before)
        if request.if_revision in {None, before.revision} and _same(after, before):
            return before
        command = FactRevised(
            actor=ctx.caller.actor, at=ctx.now(), new=after, if_revision=request.if_revision or before.revision
        )
        try:
            return await ctx.journal.commit(command)
        except RevisionConflict:
            if request.if_revision is not None:
                raise
    raise Unavailable(
        f"fact {request.id} changed {_REVISE_ATTEMPTS_MAX} times meanwhile", "try again", retry_after_ms=200
    )


class RetractFact(Request[Fact], frozen=True, kw_only=True):
    """Stop believing a fact."""

    id: fields.FactId
    if_revision: fields.IfRevision | None = None


@operation(
    "fact.retract",
    effect="write",
    order="gossip",
    file="needed",
    method="retract",
    cli=(Cli("retract ID", group="Memory"),),
    mcp=Tool("memory", title="Retract a fact"),
)
async def retract(ctx: Context, request: RetractFact) -> Fact:
    """Stop believing a fact that turned out wrong. Its history stays; search and recall no longer show it."""
    fact_id = await _resolve(ctx, request.id)
    return await ctx.journal.commit(
        FactRetracted(actor=ctx.caller.actor, at=ctx.now(), fact_id=fact_id, if_revision=request.if_revision)
    )


class ForgetFact(Request[Receipt], frozen=True, kw_only=True):
    """Delete a fact for good."""

    id: fields.FactId


@operation(
    "fact.forget",
    effect="write",
    order="gossip",
    file="needed",
    method="forget",
    cli=(Cli("forget ID", group="Memory"),),
    mcp=Tool("all", title="Forget a fact for good", destructive=True),
)
async def forget(ctx: Context, request: ForgetFact) -> Receipt:
    """Erase a fact for good: text and salt of every revision, index rows, and what the raw files held of them.

    The ledger keeps that something was erased, not what. Cannot be undone; `retract` keeps the history.
    """
    fact_id = await _resolve(ctx, request.id)
    # Before the fact is erased: what a crash in between leaves is a fact, and receipts without its reasons.
    await _drop_reasons(ctx, fact_id)
    taken = await ctx.database.read(lambda tx: erasure.samples(tx, fact_id))
    erased = await ctx.journal.commit(FactErased(actor=ctx.caller.actor, at=ctx.now(), fact_id=fact_id))
    # And after: a vote may have come in between. From now on there is none.
    kept = await _drop_reasons(ctx, fact_id)
    ctx.answers.clear()
    ctx.meaning.forgotten()
    await ctx.database.read(ctx.meaning.purge)
    emptied = await scrub(ctx)
    residue = await _residue(ctx, taken) if emptied else 0
    if emptied and not residue:
        at = ctx.now()
        await ctx.database.write(lambda tx: erasure.mark_scrubbed(tx, [fact_id], at))
    return _receipt(fact_id, erased, kept, emptied=emptied, residue=residue)


async def _drop_reasons(ctx: Context, fact_id: str) -> list[str]:
    """Take the reasons of votes on a fact out of the receipts that lie here. Returns what could not be done."""
    votes = await ctx.database.read(logs.state)
    return [] if votes is None else await asyncio.to_thread(drop_reasons, ctx.settings.home, votes.origin, fact_id)


async def scrub(ctx: Context) -> bool:
    """Delete the graphs of vectors, empty the index's leftovers and the write-ahead log.

    False where a reader of another process holds the log, or a graph cannot be deleted.
    """
    dropped = await asyncio.to_thread(ctx.meaning.drop_sidecars)
    await ctx.database.write(text.sweep)
    return await asyncio.to_thread(ctx.database.empty_log) and dropped


async def _residue(ctx: Context, taken: tuple[erasure.Sample, ...]) -> int:
    left = await asyncio.to_thread(erasure.scan, ctx.database.path, taken)
    return await ctx.database.read(lambda tx: sum(not erasure.held_elsewhere(tx, sample) for sample in left))


def _receipt(fact_id: str, erased: Erased, kept: list[str], *, emptied: bool, residue: int) -> Receipt:
    note = "Backups, exports and copies made before still hold the text."
    if not emptied:
        note = f"A reader holds the write-ahead log: when it has ended, `cortex doctor` finishes this. {note}"
    if residue:
        note = f"Traces were found in the raw files: `cortex doctor` writes the file anew without them. {note}"
    note = " ".join([*(f"{told}." for told in kept), note])
    return Receipt(
        id=fact_id,
        state="scrubbed" if emptied and not residue else "erased",
        erased_at=erased.at,
        revisions=erased.revisions,
        entry=erased.entry,
        residue=residue,
        note=note,
    )


async def _resolve(ctx: Context, name: str) -> str:
    """The full id for what a caller gave; a caller that must give the whole id may not shorten it."""
    if ctx.caller.full_ids and len(plain(name)) < 32:
        raise Invalid(f"{name!r} is a shortened id", "give the full id, as `cortex_show` has it")
    return await ctx.database.read(lambda tx: lookup.resolve(tx, name))


def _check_names(given: NewFact | ReviseFact) -> None:
    for name in ("type", "key", "source", "thread"):
        fields.check_name(name, getattr(given, name))


def _stored(ctx: Context, new: list[Any]) -> FactsStored:
    now = ctx.now()
    decided = []
    for number, fact in enumerate(new):
        try:
            decided.append(decide(ctx, fact, now))
        except CortexError as error:
            if len(new) > 1:
                error.message = f"facts[{number}]: {error.message}"
            raise
    return FactsStored(actor=ctx.caller.actor, at=now, facts=tuple(decided))


def decide(ctx: Context, fact: NewFact, now: str, fact_id: str | None = None) -> Decided:
    """Settle what `apply` may not: id, salt, times, project."""
    valid_from = str(fact.valid_from) if fact.valid_from is not None else now
    valid_until = str(fact.valid_until) if fact.valid_until is not None else None
    _check_interval(valid_from, valid_until)
    return Decided(
        id=fact_id or ctx.new_id(),
        project=fields.project_name(ctx, fact.project),
        content=fact.content,
        type=fact.type,
        tags=fields.tags_text(fact.tags),
        key=fact.key,
        source=fact.source,
        meta=fields.meta_text(fact.meta),
        confidence=fact.confidence,
        thread=fact.thread,
        seq=fact.seq,
        valid_from=valid_from,
        valid_until=valid_until,
        salt=ctx.new_salt(),
        dated=fact.valid_from is not None,
    )


def _revised(ctx: Context, request: ReviseFact, before: Fact) -> Decided:
    kept = structs.asdict(before) | request.changes()
    kept |= {name: [] if name == "tags" else None for name in request.clear}
    _check_interval(str(kept["valid_from"]), kept["valid_until"] and str(kept["valid_until"]))
    return Decided(
        id=before.id,
        project=before.project,
        content=kept["content"],
        type=kept["type"],
        tags=fields.tags_text(kept["tags"]),
        key=kept["key"],
        source=kept["source"],
        meta=fields.meta_text(kept["meta"]),
        confidence=kept["confidence"],
        thread=kept["thread"],
        seq=kept["seq"],
        valid_from=str(kept["valid_from"]),
        valid_until=kept["valid_until"] and str(kept["valid_until"]),
        salt=ctx.new_salt(),
        dated=True,
    )


def _same(after: Decided, before: Fact) -> bool:
    plain_names = ("content", "type", "key", "source", "confidence", "thread", "seq", "valid_from", "valid_until")
    return (
        all(getattr(after, name) == getattr(before, name) for name in plain_names)
        and after.tags == fields.tags_text(before.tags)
        and after.meta == fields.meta_text(before.meta)
        and before.retired_at is None
    )


def _check_interval(valid_from: str, valid_until: str | None) -> None:
    if valid_until is not None and valid_until <= valid_from:
        raise Invalid(f"valid_until {valid_until} is not after valid_from {valid_from}", "give a later end")
