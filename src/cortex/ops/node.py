"""Operations on the file itself: init, status, doctor, backup, rebuilding the index."""

import asyncio
from pathlib import Path
from typing import Annotated, Literal

import apsw
from msgspec import Meta, Struct, structs

from cortex import times
from cortex._version import __version__
from cortex.db import backup, migrate
from cortex.db.connect import Tx, integer
from cortex.errors import ClockAhead
from cortex.files import found
from cortex.ledger import chain, sealing
from cortex.meaning import filling
from cortex.memory import derived, figures
from cortex.ops import policies, runs, signing
from cortex.ops.context import Context
from cortex.ops.registry import Cli, Request, Tool, operation
from cortex.ops.runs import LastRun
from cortex.trust import export
from cortex.trust import log as logs
from cortex.trust import sealing as votes_sealing
from cortex.trust.log import Log

_GROUP = "Node"


class Initialized(Struct, frozen=True, kw_only=True):
    """Where the file and its keys are, and what a verifier needs to trust the logs of facts and of votes."""

    path: str
    key_path: str
    origin: str
    vkey: str
    votes_origin: str
    votes_vkey: str
    admin_key_path: Annotated[str, Meta(description="The key that gives trust and resolves; keep a copy of it safe.")]
    trust: Annotated[list[str], Meta(description="The lines for a verifier's trust file; hand them over apart.")]
    admin_key: Annotated[Literal["plain", "locked", "absent"], Meta(description="How it is on this machine.")]
    project: str


class InitNode(Request[Initialized], frozen=True, kw_only=True):
    """Create the file and its keys."""


@operation("node.init", effect="write", order="local", method="init", cli=(Cli("init", group="Memory"),))
async def init(ctx: Context, request: InitNode) -> Initialized:
    """Create the file, its ledgers and their keys; where they are there, nothing changes.

    Where the key is missing a new one is made, and the ledger goes on with it under a new origin.
    """
    await signing.ensure_log(ctx)
    at = ctx.now()
    state = await ctx.database.write(lambda tx: sealing.ensure_log(tx, ctx.node_key, at=at, actor=ctx.caller.actor))
    votes = await ctx.database.read(logs.needed)
    trust = await ctx.database.read(lambda tx: export.trust_lines(tx, votes))
    admin = signing.admin_file(ctx.settings, votes.origin)
    return Initialized(
        path=str(ctx.database.path),
        key_path=str(ctx.node_key.path),
        origin=state.origin,
        vkey=state.vkey,
        votes_origin=votes.origin,
        votes_vkey=votes.vkey,
        admin_key_path=str(admin.path),
        trust=[f"log {state.vkey}", *trust],
        admin_key=admin.state,
        project=ctx.caller.project,
    )


class VotesFigures(Struct, frozen=True, kw_only=True):
    """Figures of the votes log. `closed` is why it takes no votes now, where it takes none."""

    origin: str
    entries: int
    votes: int
    agents: int
    last_entry_at: str
    takes_votes: bool
    closed: str | None


class Status(Struct, frozen=True, kw_only=True):
    """Figures of the file. Sizes in bytes; `facts` counts those that are believed, `origins` the logs of the ledger.

    `embedder` made the `vectors`; `pending` facts have none yet. `trouble` is what last kept this process from it.
    `votes_log` is null before the first vote, `verified` the last verification of each log.
    """

    version: str
    sqlite: str
    path: str
    bytes: int
    log_bytes: int
    schema: int
    project: str
    facts: int
    revisions: int
    projects: int
    forgotten: int
    unscrubbed: int
    origin: str | None
    origins: int
    entries: int
    checkpoints: int
    last_entry_at: str | None
    embedder: str | None
    vectors: int
    pending: int
    trouble: str | None
    votes_log: VotesFigures | None
    verified: list[LastRun]


class ReadStatus(Request[Status], frozen=True, kw_only=True):
    """Read the file's figures."""


@operation(
    "node.status",
    effect="read",
    order="local",
    method="status",
    cli=(Cli("status", group="Memory"),),
    mcp=Tool("all", title="Status of the memory"),
)
async def status(ctx: Context, request: ReadStatus) -> Status:
    """Figures: facts, projects, sizes, the ledger."""

    def read(tx: Tx) -> Status:
        head = chain.active(tx)
        return Status(
            version=__version__,
            sqlite=apsw.sqlite_lib_version(),
            path=str(ctx.database.path),
            bytes=_bytes(ctx.database.path),
            log_bytes=_bytes(Path(f"{ctx.database.path}-wal")),
            schema=migrate.version(tx),
            project=ctx.caller.project,
            **structs.asdict(figures.count(tx)),
            origin=head.origin if head else None,
            last_entry_at=head.ts if head else None,
            embedder=filling.maker(tx),
            vectors=integer(tx, "SELECT count(*) FROM vector"),
            pending=ctx.meaning.waiting(tx),
            trouble=ctx.meaning.trouble,
            votes_log=_votes_log(tx, ctx),
            verified=runs.last_runs(tx),
        )

    return await ctx.database.read(read)


def _votes_log(tx: Tx, ctx: Context) -> VotesFigures | None:
    log = logs.state(tx)
    if log is None:
        return None
    closed = _closed(tx, ctx, log)
    return VotesFigures(
        origin=log.origin,
        entries=log.size,
        votes=log.votes,
        agents=integer(tx, "SELECT count(*) FROM vote_agent"),
        last_entry_at=log.ts,
        takes_votes=closed is None,
        closed=closed,
    )


def _closed(tx: Tx, ctx: Context, log: Log) -> str | None:
    """Why the votes log takes no votes; None where it takes them."""
    if votes_sealing.sealed(tx).restored:
        return "the file was put back from a backup, which `cortex vote-ledger init` says in the log"
    # Asked for only where it is: a read makes no key.
    if not ctx.node_key.exists() or ctx.node_key.vkey(log.origin) != log.vkey:
        return f"{ctx.node_key.path} is not the key that signs it: `cortex doctor` says more"
    if not times.is_stored(log.ts):
        return "the time of its last event is none: `cortex vote-ledger verify` says more"
    try:
        policies.check_jump(log, ctx.now())
    except ClockAhead as error:
        return f"{error.message}: {error.hint}"
    return None


def _bytes(path: Path) -> int:
    at = found(path)
    return 0 if at is None else at.st_size


class BackedUp(Struct, frozen=True, kw_only=True):
    """A copy that was checked after it was written. The signing key is not in it."""

    path: str
    bytes: int


class Backup(Request[BackedUp], frozen=True, kw_only=True):
    """Copy the file."""

    target: Annotated[str, Meta(description="File to make; must not exist yet.", min_length=1, max_length=4096)]


@operation("node.backup", effect="read", order="local", method="backup", cli=(Cli("backup TARGET", group=_GROUP),))
async def make_backup(ctx: Context, request: Backup) -> BackedUp:
    """Copy the file while it is in use, and check the copy. The signing key is not part of it."""
    target = Path(request.target)
    await ctx.database.read(lambda tx: backup.copy_to(tx, target))
    return BackedUp(path=str(target), bytes=_bytes(target))


class Reindexed(Struct, frozen=True, kw_only=True):
    """How many revisions the indexes were made from, and how many facts are to be embedded."""

    revisions: int
    pending: int


class Reindex(Request[Reindexed], frozen=True, kw_only=True):
    """Make the indexes anew."""


@operation(
    "node.reindex",
    effect="write",
    order="local",
    file="needed",
    method="reindex",
    cli=(Cli("reindex", group=_GROUP),),
)
async def reindex(ctx: Context, request: Reindex) -> Reindexed:
    """Make everything that is derived from the facts anew: the text index, windows, segments of vectors, the graph.

    Vectors themselves stay: `cortex embed --anew` makes them anew.
    """
    revisions = await ctx.database.write(derived.rebuild)
    await asyncio.to_thread(ctx.meaning.drop_sidecars)
    return Reindexed(revisions=revisions, pending=await ctx.database.read(ctx.meaning.waiting))
