"""Operations on the transactions ledger: checkpoint, verify, prove, export."""

import asyncio
from contextlib import suppress
from typing import Annotated, Any

from msgspec import Meta, Struct, structs

from cortex import canonical, limits
from cortex import verify as offline
from cortex.db.connect import Tx
from cortex.errors import Corrupt, NotFound, Unavailable
from cortex.ledger import chain, export, merkle, proof, sealing
from cortex.ledger.findings import Verification
from cortex.ledger.keys import NodeKey
from cortex.memory import lookup
from cortex.ops import checking, fields, saving, witnessing
from cortex.ops.context import Context
from cortex.ops.registry import Cli, Request, Tool, operation
from cortex.ops.witnessing import StampedNote, StoredCheckpoint, Vouched

_GROUP = "Trust"


class LedgerHead(Struct, frozen=True, kw_only=True):
    """A log's signed state. `vkey` is the key to hand to verifiers, `note` the C2SP signed note."""

    origin: str
    vkey: str
    size: int
    root: str
    note: str
    witnesses: list[Vouched] = []
    timestamp: StampedNote | None = None

    @property
    def exit_code(self) -> int:
        """0; 1 where a witness has seen another history, 3 where one could not be had."""
        return witnessing.exit_code(self.witnesses)


class MakeCheckpoint(Request[LedgerHead], frozen=True, kw_only=True):
    """Sign a checkpoint now."""

    witness: witnessing.Witness | None = None
    timestamp: witnessing.Timestamp = False


@operation(
    "ledger.checkpoint",
    effect="write",
    order="local",
    method="checkpoint",
    cli=(Cli("ledger checkpoint", group=_GROUP), Cli("ledger init", group=_GROUP)),
    mcp=Tool("trust", title="Sign a checkpoint of the ledger", idempotent=True),
)
async def checkpoint(ctx: Context, request: MakeCheckpoint) -> LedgerHead:
    """Sign the ledger as it stands: origin, number of entries, Merkle root. Keep it elsewhere to detect rewriting.

    Starts the ledger in a new file. `vkey` is what a verifier needs to trust this log (a line `log <vkey>`). The
    configured witnesses take the checkpoint too.
    """
    state, found = await _seal(ctx)
    vouched = await witnessing.vouched(ctx, found, wanted=request.witness)
    stamp = await witnessing.stamped(ctx, found) if request.timestamp else None
    last = await ctx.database.read(lambda tx: witnessing.sealed(tx, "transactions", state.id, found.size))
    return LedgerHead(
        origin=state.origin,
        vkey=state.vkey,
        size=state.size,
        root=state.root.hex(),
        note=last.note,
        witnesses=vouched,
        timestamp=stamp,
    )


async def _seal(ctx: Context) -> tuple[chain.State, StoredCheckpoint]:
    at = ctx.now()

    def seal(tx: Tx) -> tuple[chain.State, StoredCheckpoint]:
        state = sealing.ensure_log(tx, ctx.node_key, at=at, actor=ctx.caller.actor)
        return state, StoredCheckpoint("transactions", state.id, state.size, sealing.seal(tx, state, ctx.node_key))

    return await ctx.database.write(seal)


class VerifyLedger(Request[Verification], frozen=True, kw_only=True):
    """Verify the ledger and every fact against it."""

    incremental: Annotated[bool, Meta(description="Only what came since the last verification.")] = False
    text: Annotated[bool, Meta(description="Also every fact's text and fields against the entry that recorded it.")] = (
        True
    )


@operation(
    "ledger.verify",
    effect="read",
    order="local",
    method="verify",
    cli=(Cli("ledger verify", group=_GROUP),),
    mcp=Tool("trust", title="Verify the ledger"),
)
async def verify(ctx: Context, request: VerifyLedger) -> Verification:
    """Check every entry, link, checkpoint and fact, and compare with what was remembered outside the file.

    Also with what witnesses hold. What is found valid is remembered in your own folder for the next time. The
    report claims no more than was checked.
    """
    task = checking.transactions_task(ctx, incremental=request.incremental, text=request.text)
    return await checking.transactions(ctx, task)


class AcceptLedger(Request[Verification], frozen=True, kw_only=True):
    """Take the file as it is from now on."""


# No tool: whether a file was replaced on purpose is for people to say.
@operation(
    "ledger.accept",
    effect="read",
    order="local",
    method="accept_ledger",
    cli=(Cli("ledger accept", group=_GROUP),),
)
async def accept(ctx: Context, request: AcceptLedger) -> Verification:
    """Forget what was remembered of this file and take it as it is, after you replaced it on purpose.

    Verifies everything that the file itself can show, and remembers that.
    """
    task = checking.transactions_task(ctx, incremental=False, accept=True)
    return await checking.transactions(ctx, task)


class ProofOfFact(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A proof that a fact is in the ledger, for someone who has only this and the log's key.

    `leaf` is the entry's bytes, `proof` a C2SP tlog-proof, `disclosure` the fact's fields and salt, from which the
    entry's digest is recomputed. Saved as JSON it is what `verify-external` and `verify.py` read;
    `path` is where it was saved.
    """

    format: str
    leaf: str
    proof: str
    disclosure: dict[str, Any] | None
    path: str | None = None


class ProveFact(Request[ProofOfFact], frozen=True, kw_only=True):
    """Prove that a fact is in the ledger."""

    id: fields.FactId
    revision: Annotated[int, Meta(description="Which revision; the newest unless given.", ge=1)] | None = None
    output: Annotated[fields.FilePath, Meta(description="File to write the proof to.")] | None = None
    text: Annotated[
        bool, Meta(description="With the fact's text and salt; without, only that something was recorded.")
    ] = True


@operation(
    "ledger.prove",
    effect="write",
    order="local",
    file="needed",
    method="prove",
    cli=(Cli("ledger prove ID", group=_GROUP),),
)
async def prove(ctx: Context, request: ProveFact) -> ProofOfFact:
    """Prove to an outsider that a fact was recorded: its entry, the way to a signed checkpoint, and its text."""
    at = ctx.now()

    def build(tx: Tx) -> ProofOfFact:
        fact_id = lookup.resolve(tx, request.id)
        state = sealing.ensure_log(tx, ctx.node_key, at=at, actor=ctx.caller.actor)
        row = _recorded(tx, fact_id, request.revision)
        note = _note_above(tx, state, row[0], row[1], ctx.node_key)
        size = sealing.size_of(note)
        hashes = merkle.inclusion_proof(row[1], size, chain.nodes(tx, row[0]))
        return ProofOfFact(
            format="cortex-proof/v1",
            leaf=chain.leaf_bytes(tx, row[0], row[1]).decode(),
            proof=proof.encode(proof.Proof(row[1], tuple(hashes), note)),
            disclosure=_disclosure(row[2:]) if request.text else None,
        )

    made = await ctx.database.write(build)
    if request.output is None:
        return made
    return structs.replace(made, path=await asyncio.to_thread(saving.as_json, made, request.output))


def _recorded(tx: Tx, fact_id: str, number: int | None) -> tuple[Any, ...]:
    row: Any = tx.execute(
        "SELECT log, idx, lower(hex(salt)), content, type, tags, key, source, meta, confidence, valid_from,"
        " valid_until, thread, seq FROM revision WHERE fact_id = ? AND (? IS NULL OR number = ?)"
        " ORDER BY number DESC LIMIT 1",
        (fact_id, number, number),
    ).fetchone()
    if row is None:
        raise NotFound(f"fact {fact_id} has no revision {number}", "`cortex history` lists them")
    return tuple(row)


def _note_above(tx: Tx, state: chain.State, log: int, idx: int, key: NodeKey) -> str:
    """The newest checkpoint that covers an entry. A log that does not go on from its last one is signed no more."""
    if log == state.id:
        with suppress(Corrupt):
            return sealing.seal(tx, state, key)
    return _last_note(tx, log, idx)


def _last_note(tx: Tx, log: int, idx: int) -> str:
    row = tx.execute(
        "SELECT note FROM ledger_checkpoint WHERE log = ? AND tree_size > ? ORDER BY seq LIMIT 1", (log, idx)
    ).fetchone()
    if row is None:
        raise Unavailable("that entry is in an earlier log that no checkpoint covers", "prove a newer revision")
    return str(row[0])


def _disclosure(row: tuple[Any, ...]) -> dict[str, Any]:
    salt, *held = row
    shown = dict(zip(canonical.FACT_FIELDS, held, strict=True))
    if shown["seq"] is not None:
        shown["seq"] = str(shown["seq"])
    return {"salt": salt, "fields": shown}


class ExportedLedger(Struct, frozen=True, kw_only=True):
    """What was exported, and the `others` logs of this file that were not.

    `digest` is SHA-256 of the file (of a folder: leaves.jsonl with checkpoints.jsonl behind it).
    `trust` is the line that a verifier's trust file needs; hand it over another way.
    """

    path: str
    format: str
    entries: int
    unsigned: Annotated[int, Meta(description="Entries after the last checkpoint, which were left out.")]
    checkpoints: int
    origin: str
    digest: str
    others: list[str]
    trust: str
    verifier: str


class ExportLedger(Request[ExportedLedger], frozen=True, kw_only=True):
    """Export the ledger for an outsider."""

    path: Annotated[fields.FilePath, Meta(description="Folder, .zip, .json or .csv to make; must not exist yet.")]
    format: Annotated[export.Format, Meta(description="By the path's ending unless given.")] | None = None
    origin: Annotated[str, Meta(description="Which log; the active one unless given.", max_length=200)] | None = None


@operation(
    "ledger.export",
    effect="write",
    order="local",
    file="needed",
    method="export_ledger",
    cli=(Cli("ledger export PATH", group=_GROUP),),
)
async def export_ledger(ctx: Context, request: ExportLedger) -> ExportedLedger:
    """Write the ledger's entries and checkpoints for an outsider. No fact's text is in it.

    `verifier` is the one file of plain Python that checks it anywhere, without Cortex.
    """
    target = fields.path_of(request.path)
    form = request.format or export.format_of(target)
    # A log that does not go on from its last checkpoint is handed out as it was signed: who checks it finds why.
    with suppress(Corrupt):
        await _seal(ctx)

    def write(tx: Tx) -> tuple[chain.State, int, int, list[str], str, str]:
        states = chain.logs(tx)
        known = [state.origin for state in states]
        if request.origin is not None and request.origin not in known:
            raise NotFound(f"there is no log {request.origin!r} here", f"there is {', '.join(known)}")
        state = next((state for state in states if state.origin == request.origin), states[-1])
        found = export.bundle(tx, state, ctx.progress)
        export.write(found, target, form)
        others = [origin for origin in known if origin != state.origin]
        digest = export.digest(target, form).hex()
        return state, export.signed_size(tx, state), len(found.notes), others, str(target.absolute()), digest

    state, signed, checkpoints, others, path, digest = await ctx.database.read(write)
    return ExportedLedger(
        path=path,
        format=form,
        entries=signed,
        unsigned=state.size - signed,
        checkpoints=checkpoints,
        origin=state.origin,
        digest=digest,
        others=others,
        trust=f"log {state.vkey}",
        verifier=str(offline.__file__),
    )


class LedgerEntry(Struct, frozen=True, kw_only=True):
    """One entry of the ledger that concerns a fact."""

    origin: str
    idx: int
    kind: str
    project: str | None
    actor: str
    at: str
    rev: str | None
    parent: str | None
    digest: str | None
    hash: str


class LedgerHistory(Struct, frozen=True, kw_only=True):
    """The entries that concern a fact, oldest first; they remain after it is forgotten."""

    fact: str
    entries: list[LedgerEntry]


class ReadLedgerHistory(Request[LedgerHistory], frozen=True, kw_only=True):
    """Read what the ledger says of a fact."""

    fact: fields.FactId


@operation(
    "ledger.history",
    effect="read",
    order="local",
    method="ledger_history",
    cli=(Cli("ledger history FACT", group=_GROUP),),
    mcp=Tool("trust", title="Read what the ledger says of a fact"),
)
async def ledger_history(ctx: Context, request: ReadLedgerHistory) -> LedgerHistory:
    """What the ledger says of a fact: who changed it and when, also after it was forgotten."""

    def read(tx: Tx) -> LedgerHistory:
        fact_id = lookup.resolve(tx, request.fact, forgotten=True)
        rows = tx.execute(
            "SELECT l.origin, t.idx, t.kind, t.project, t.actor, t.ts, t.rev, t.parent, lower(hex(t.digest)),"
            " lower(hex(t.hash)) FROM transactions AS t JOIN ledger_log AS l ON l.id = t.log WHERE t.subject = ?"
            " AND t.kind IN ('fact', 'revise', 'retract', 'erase') ORDER BY t.log, t.idx LIMIT ?",
            (fact_id, limits.LEDGER_BATCH_MAX),
        )
        names = ("origin", "idx", "kind", "project", "actor", "at", "rev", "parent", "digest", "hash")
        entries: list[Any] = [dict(zip(names, row, strict=True)) for row in rows]
        return LedgerHistory(
            fact=fact_id, entries=[LedgerEntry(**{**entry, "digest": entry["digest"] or None}) for entry in entries]
        )

    return await ctx.database.read(read)
