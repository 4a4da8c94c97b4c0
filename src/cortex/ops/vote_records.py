"""Operations that show the votes log to others: export, what was exported, the history of a fact, proofs."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct, structs

from cortex import files, limits
from cortex import verify as offline
from cortex.db.connect import Tx, integer
from cortex.errors import CortexError, Invalid, NotFound
from cortex.ledger import checkpoint, merkle, proof
from cortex.ledger import export as bundles
from cortex.ledger.checkpoint import Checkpoint
from cortex.memory import lookup
from cortex.ops import fields, saving
from cortex.ops.balloting import kept_reason
from cortex.ops.context import Context
from cortex.ops.registry import Cli, Request, Tool, operation
from cortex.trust import export, keyfiles, receipts, sealing
from cortex.trust import log as logs
from cortex.trust.receipt import AgentReceipt
from cortex.trust.reputation import UNIT

_GROUP = "Trust"


class ExportedVotes(Struct, frozen=True, kw_only=True):
    """What was exported. `digest` is SHA-256 of the file (of a folder: leaves.jsonl with checkpoints.jsonl behind it).

    `trust` are the lines that a verifier's trust file needs; hand them over another way.
    """

    path: str
    format: str
    entries: int
    unsigned: Annotated[int, Meta(description="Entries after the last checkpoint, which were left out.")]
    checkpoints: int
    origin: str
    root: str
    digest: str
    trust: list[str]
    verifier: str


class ExportVotes(Request[ExportedVotes], frozen=True, kw_only=True):
    """Export the votes log for an outsider."""

    path: Annotated[fields.FilePath, Meta(description="Folder, .zip, .json or .csv to make; must not exist yet.")]
    format: Annotated[bundles.Format, Meta(description="By the path's ending unless given.")] | None = None


@operation(
    "vote_ledger.export",
    effect="write",
    order="local",
    file="needed",
    method="export_votes",
    cli=(Cli("vote-ledger export PATH", group=_GROUP),),
)
async def export_votes(ctx: Context, request: ExportVotes) -> ExportedVotes:
    """Write the votes log's entries and checkpoints for an outsider, and note that in the file. No reason is in it.

    `verifier` is the one file of plain Python that checks it anywhere, without Cortex.
    """
    target, at = fields.path_of(request.path), ctx.now()
    form = request.format or bundles.format_of(target)
    files.refuse_existing(target)

    def begin(tx: Tx) -> int:
        note = sealing.handed_out(tx, logs.needed(tx), ctx.node_key)
        return _begin_export(tx, checkpoint.parse(note)[0], (at, ctx.caller.actor, str(target.absolute()), form))

    # Before there is a file: what a crash leaves behind is listed too.
    number = await ctx.database.write(begin)
    made: list[Path] = []

    def write(tx: Tx) -> ExportedVotes:
        log = logs.needed(tx)
        found = export.bundle(tx, log, ctx.progress)
        bundles.write(found, target, form)
        made.append(target)
        head, _ = checkpoint.parse(found.notes[-1])
        return ExportedVotes(
            path=str(target.absolute()),
            format=form,
            entries=head.size,
            unsigned=max(0, log.size - head.size),
            checkpoints=len(found.notes),
            origin=log.origin,
            root=head.root.hex(),
            digest=bundles.digest(target, form).hex(),
            trust=export.trust_lines(tx, log),
            verifier=str(offline.__file__),
        )

    try:
        exported = await ctx.database.read(write)
    except CortexError:
        if not made:
            with suppress(CortexError):  # then it stays listed as not finished
                await ctx.database.write(lambda tx: tx.execute(_DROP_EXPORT, (number,)))
        raise
    await ctx.database.write(lambda tx: _finish_export(tx, number, exported))
    return exported


_DROP_EXPORT = "DELETE FROM vote_audit_exports WHERE id = ?"


def _begin_export(tx: Tx, head: Checkpoint, about: tuple[str, str, str, str]) -> int:
    """Note an export that is about to be made, `about` whom and what: without a digest. Returns its number."""
    tx.execute(
        "INSERT INTO vote_audit_exports (created_at, actor, path, format, size, root_hash, digest)"
        " VALUES (?, ?, ?, ?, ?, ?, x'')",
        (*about, head.size, head.root),
    )
    return tx.last_insert_rowid()


def _finish_export(tx: Tx, number: int, made: ExportedVotes) -> None:
    tx.execute(
        "UPDATE vote_audit_exports SET size = ?, root_hash = ?, digest = ? WHERE id = ?",
        (made.entries, bytes.fromhex(made.root), bytes.fromhex(made.digest), number),
    )


class AuditExport(Struct, frozen=True, kw_only=True):
    """An export that was made: who made it, where to, of which state, and SHA-256 of what was written.

    Without a `digest` it was not finished: there may be a file, or none.
    """

    id: int
    at: str
    actor: str
    path: str
    format: str
    entries: int
    root: str
    digest: str | None


class VoteExports(Struct, frozen=True, kw_only=True):
    """Exports of the votes log that were made from this file, the newest first."""

    exports: list[AuditExport]
    more: int


class ListVoteExports(Request[VoteExports], frozen=True, kw_only=True):
    """List the exports of the votes log."""

    limit: fields.Limit = limits.PAGE_DEFAULT


@operation(
    "vote_ledger.exports",
    effect="read",
    order="local",
    method="vote_exports",
    cli=(Cli("vote-ledger exports", group=_GROUP),),
)
async def list_exports(ctx: Context, request: ListVoteExports) -> VoteExports:
    """Which exports of the votes log were made from this file, with the hash that each had."""

    def run(tx: Tx) -> VoteExports:
        rows = tx.execute(
            "SELECT id, created_at, actor, path, format, size, lower(hex(root_hash)), nullif(lower(hex(digest)), '')"
            " FROM vote_audit_exports ORDER BY id DESC LIMIT ?",
            (request.limit,),
        )
        names = ("id", "at", "actor", "path", "format", "entries", "root", "digest")
        found: list[Any] = [dict(zip(names, row, strict=True)) for row in rows]
        count = integer(tx, "SELECT count(*) FROM vote_audit_exports")
        return VoteExports(exports=[AuditExport(**row) for row in found], more=count - len(found))

    return await ctx.database.read(run)


class VoteLogEntry(Struct, frozen=True, kw_only=True):
    """A vote on a fact, or (`truth`) a person's word about it: 1 true, -1 false, 0 open again.

    `revision` is the one that it was on; null where the fact was forgotten.
    """

    entry: int
    kind: str
    agent: str | None
    vote: int | None
    weight: float | None
    custody: str | None
    truth: int | None
    reason: str | None
    at: str
    vote_id: str
    revision: int | None
    digest: str
    hash: str


class VoteHistory(Struct, frozen=True, kw_only=True):
    """What the votes log says of a fact, oldest first; `next` leads to more."""

    fact: str
    entries: list[VoteLogEntry]
    next: str | None


class ReadVoteHistory(Request[VoteHistory], frozen=True, kw_only=True):
    """Read what the votes log says of a fact."""

    fact: fields.FactId
    limit: fields.Limit = limits.PAGE_DEFAULT
    cursor: fields.Cursor | None = None

    def check(self) -> None:
        """Raise Invalid for a cursor that is none."""
        _after(self.cursor)


def _after(cursor: str | None) -> int:
    """The row after which a page begins."""
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= limits.ENTRY_DIGITS_MAX):
        raise Invalid(f"{cursor[:40]!r} is no cursor", "give `next` of the page before")
    return int(cursor)


@operation(
    "vote_ledger.history",
    effect="read",
    order="local",
    method="vote_history",
    cli=(Cli("vote-ledger history FACT", group=_GROUP),),
    mcp=Tool("trust", title="Read what the votes log says of a fact"),
)
async def history(ctx: Context, request: ReadVoteHistory) -> VoteHistory:
    """Every vote on a fact and every person's word about it, oldest first, also of earlier texts of it."""

    def run(tx: Tx) -> VoteHistory:
        fact = lookup.resolve(tx, request.fact, forgotten=True)
        rows = tx.execute(_HISTORY, (fact, _after(request.cursor), request.limit + 1)).fetchall()
        shown = rows[: request.limit]
        entries = [_entry(row) for row in shown]
        return VoteHistory(fact=fact, entries=entries, next=str(shown[-1][0]) if len(rows) > len(shown) else None)

    return await ctx.database.read(run)


def _entry(row: tuple[Any, ...]) -> VoteLogEntry:
    number, kind, agent, vote, weight, digest, event, at, event_id, hashed, reason, custody, revision = row
    told = {} if event is None else json.loads(event)
    return VoteLogEntry(
        entry=number - 1,
        kind=kind,
        agent=agent,
        vote=vote,
        weight=None if weight is None else weight / UNIT,
        custody=custody,
        truth=told.get("truth"),
        reason=reason,
        at=at,
        vote_id=event_id,
        revision=revision,
        digest=told["fact_digest"] if digest is None else digest.hex(),
        hash=hashed.hex(),
    )


_HISTORY = """
SELECT l.id, l.kind, l.agent_id, l.vote, l.weight_e6, l.fact_digest, l.event, l.timestamp, l.event_id, l.hash,
  r.reason, k.custody,
  (SELECT v.number FROM revision AS v JOIN transactions AS t ON t.log = v.log AND t.idx = v.idx
    WHERE v.fact_id = ?1 AND lower(hex(t.digest)) =
      iif(l.fact_digest IS NULL, json_extract(l.event, '$.fact_digest'), lower(hex(l.fact_digest))) LIMIT 1) FROM (
    SELECT id FROM vote_ledger WHERE fact_id = ?1 AND id > ?2
    UNION ALL SELECT id FROM vote_ledger
      WHERE kind <> 'vote' AND kind = 'resolve' AND json_extract(event, '$.fact') = ?1 AND id > ?2
    ORDER BY id LIMIT ?3) AS found
JOIN vote_ledger AS l ON l.id = found.id
LEFT JOIN vote_reason AS r ON r.event_id = l.event_id
LEFT JOIN vote_key AS k ON k.public = l.key
ORDER BY l.id
"""


class ProofOfVote(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A proof that a vote is in the log, for someone who has only this and the log's key.

    `leaf` is the entry's bytes, `proof` a C2SP tlog-proof, `disclosure` the reason and its salt. Saved as JSON it is
    what `verify-external` and `verify.py` read; `path` is where it was saved.
    """

    format: str
    leaf: str
    proof: str
    disclosure: dict[str, Any] | None
    path: str | None = None


class ProveVote(Request[ProofOfVote], frozen=True, kw_only=True):
    """Prove that a vote is in the log."""

    vote: Annotated[str, Meta(description="Id of the vote, or the number of its entry.", min_length=1, max_length=64)]
    output: Annotated[fields.FilePath, Meta(description="File to write the proof to.")] | None = None
    text: Annotated[bool, Meta(description="With the reason and its salt.")] = True


@operation(
    "vote_ledger.prove",
    effect="write",
    order="local",
    file="needed",
    method="prove_vote",
    cli=(Cli("vote-ledger prove VOTE", group=_GROUP),),
)
async def prove(ctx: Context, request: ProveVote) -> ProofOfVote:
    """Prove to an outsider that a vote was counted: its entry, the way to a signed checkpoint, and its reason.

    Where the agent's own receipts or its key are on this machine, the proof is added to its receipts.
    """

    def build(tx: Tx) -> tuple[ProofOfVote, str]:
        log = logs.needed(tx)
        idx, event_id, agent = _vote(tx, request.vote)
        note = _note_above(tx, idx) or sealing.seal(tx, log, ctx.node_key)
        hashes = merkle.inclusion_proof(idx, checkpoint.parse(note)[0].size, logs.nodes(tx))
        made = ProofOfVote(
            format="cortex-proof/v1",
            leaf=logs.leaf_at(tx, log.origin, idx).decode(),
            proof=proof.encode(proof.Proof(idx, tuple(hashes), note)),
            disclosure=_disclosure(tx, event_id) if request.text else None,
        )
        return made, agent

    made, agent = await ctx.database.write(build)
    path = None if request.output is None else await asyncio.to_thread(saving.as_json, made, request.output)
    await asyncio.to_thread(_complete, ctx, made, agent)
    return structs.replace(made, path=path)


_VOTE = "SELECT id, event_id, agent_id, kind FROM vote_ledger"


def _vote(tx: Tx, name: str) -> tuple[int, str, str]:
    """The entry, id and agent of a vote."""
    if name.isascii() and name.isdigit() and len(name) <= limits.ENTRY_DIGITS_MAX:
        row: Any = tx.execute(f"{_VOTE} WHERE id = ?", (int(name) + 1,)).fetchone()
    else:
        row = tx.execute(f"{_VOTE} WHERE event_id = ?", (name.lower(),)).fetchone()
    if row is None or row[3] != "vote":
        what = "is no vote" if row is not None else "is not in the votes log"
        raise NotFound(f"{name!r} {what}", "`cortex vote-ledger history FACT` lists the votes on a fact")
    return row[0] - 1, row[1], row[2]


def _note_above(tx: Tx, idx: int) -> str | None:
    """The newest checkpoint, if it covers an entry: witnesses may have cosigned it."""
    row: Any = tx.execute("SELECT note, tree_size FROM vote_checkpoints ORDER BY id DESC LIMIT 1").fetchone()
    return None if row is None or row[1] <= idx else str(row[0])


def _disclosure(tx: Tx, event_id: str) -> dict[str, Any] | None:
    salt, reason = kept_reason(tx, event_id)
    return None if salt is None else {"salt": salt.hex(), "fields": {"reason": reason}}


def _complete(ctx: Context, made: ProofOfVote, agent: str) -> None:
    """Add the proof to the agent's own receipts, where they or its own key are here, and they lack it."""
    again = AgentReceipt.of_leaf(made.leaf.encode(), proof=made.proof)
    origin = str(again.ballot["log"])
    place = keyfiles.receipts_path(ctx.settings.home, origin, agent)
    own = keyfiles.agent_path(ctx.settings.home, origin, agent)
    try:
        if files.found(place) is None and files.found(own) is None:
            return
        held = receipts.latest(place, again.id).get(again.id)
        if held is None or held.leaf != made.leaf or held.proof is None:
            told = made.disclosure
            if told is not None:
                again = again.explained(told["fields"]["reason"], bytes.fromhex(told["salt"]))
            receipts.append(place, again)
    except CortexError:
        pass  # the proof is made all the same; what is wrong with the file, `vote-ledger verify` says
