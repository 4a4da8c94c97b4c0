"""Operations on the file itself: init, status, doctor, backup, rebuilding the index."""

import asyncio
import shutil
import stat
import sys
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import apsw
from msgspec import Meta, Struct, structs

from cortex import limits, times
from cortex._version import __version__
from cortex.db import backup, migrate
from cortex.db.connect import Tx
from cortex.errors import Corrupt, CortexError
from cortex.files import found
from cortex.index import text
from cortex.ledger import chain, sealing
from cortex.ledger.checkpoint import parse_vkey
from cortex.memory import derived, erasure, figures
from cortex.ops.context import Context
from cortex.ops.facts import scrub
from cortex.ops.registry import Cli, Request, Tool, operation

_GROUP = "Node"
_SPACE_BYTES_MIN = 64 << 20
_LOG_BYTES_MAX = 256 << 20


class Initialized(Struct, frozen=True, kw_only=True):
    """Where the file and its signing key are, and what a verifier needs to trust the log."""

    path: str
    key_path: str
    origin: str
    vkey: str
    project: str


class InitNode(Request[Initialized], frozen=True, kw_only=True):
    """Create the file and its keys."""


@operation("node.init", effect="write", order="local", method="init", cli=(Cli("init", group="Memory"),))
async def init(ctx: Context, request: InitNode) -> Initialized:
    """Create the file, its ledger and its signing key; where they are there, nothing changes.

    Where the key is missing a new one is made, and the ledger goes on with it under a new origin.
    """
    at = ctx.now()
    state = await ctx.database.write(lambda tx: sealing.ensure_log(tx, ctx.node_key, at=at, actor=ctx.caller.actor))
    return Initialized(
        path=str(ctx.database.path),
        key_path=str(ctx.node_key.path),
        origin=state.origin,
        vkey=state.vkey,
        project=ctx.caller.project,
    )


class Status(Struct, frozen=True, kw_only=True):
    """Figures of the file. Sizes in bytes; `facts` counts those that are believed, `origins` the logs of the ledger."""

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
        )

    return await ctx.database.read(read)


def _bytes(path: Path) -> int:
    at = found(path)
    return 0 if at is None else at.st_size


class Check(Struct, frozen=True, kw_only=True):
    """One check of the doctor: what was found, and what to do where it is not in order."""

    name: str
    ok: bool
    found: str
    hint: str


class Diagnosis(Struct, frozen=True, kw_only=True):
    """All checks; `ok` when each is."""

    ok: bool
    checks: list[Check]

    @property
    def exit_code(self) -> int:
        """1 when something is not in order."""
        return 0 if self.ok else 1


class Diagnose(Request[Diagnosis], frozen=True, kw_only=True):
    """Look what is wrong here."""


# A read: what is remembered stays as it is. Scrubbing ends what `forget` began, where the file may be written.
@operation("node.doctor", effect="read", order="local", method="doctor", cli=(Cli("doctor", group="Memory"),))
async def doctor(ctx: Context, request: Diagnose) -> Diagnosis:
    """Say what is wrong here, and how to mend it.

    Looks at the file, its index and key, the disk and the clock; finishes scrubbing what was forgotten.
    """
    versions = f"Cortex {__version__}, Python {sys.version.split()[0]}, SQLite {apsw.sqlite_lib_version()}"
    checks = [_good("version", versions)]
    for name, check in _CHECKS.items():
        try:
            checks.append(await check(ctx, name))
        except CortexError as error:
            checks.append(_bad(name, error.message, error.hint))
    return Diagnosis(ok=all(check.ok for check in checks), checks=checks)


def _good(name: str, told: str) -> Check:
    return Check(name=name, ok=True, found=told, hint="")


def _bad(name: str, told: str, hint: str) -> Check:
    return Check(name=name, ok=False, found=told, hint=hint)


async def _check_file_mode(ctx: Context, name: str) -> Check:
    return _mode(name, ctx.database.path)


async def _check_key_mode(ctx: Context, name: str) -> Check:
    return _mode(name, ctx.node_key.path)


def _mode(name: str, path: Path) -> Check:
    at = found(path)
    if at is None:
        return _good(name, f"{path} is not there")
    mode = stat.S_IMODE(at.st_mode)
    told = f"{path} has mode {mode:04o}"
    open_to_others = sys.platform != "win32" and mode & 0o077 != 0
    return _bad(name, told, f"chmod 600 {path}") if open_to_others else _good(name, told)


async def _check_space(ctx: Context, name: str) -> Check:
    free = shutil.disk_usage(ctx.database.path.parent).free
    told = f"{free >> 20} MiB are free"
    return _good(name, told) if free >= _SPACE_BYTES_MIN else _bad(name, told, "free some space")


async def _check_log(ctx: Context, name: str) -> Check:
    waiting = _bytes(Path(f"{ctx.database.path}-wal"))
    told = f"{waiting >> 20} MiB"
    if waiting <= _LOG_BYTES_MAX:
        return _good(name, told)
    return _bad(name, told, "a process reads without end: find what keeps the file open, and end it")


async def _check_structure(ctx: Context, name: str) -> Check:
    await asyncio.to_thread(ctx.database.check_structure)
    return _good(name, "every page is sound")


async def _check_index(ctx: Context, name: str) -> Check:
    if not ctx.database.writable:
        return _good(name, "not checked: read-only")  # FTS5 takes the question as an INSERT
    try:
        await ctx.database.write(text.check)
    except Corrupt as error:
        return _bad(name, error.message, "cortex reindex")
    return _good(name, "it holds what the facts say")


async def _check_clock(ctx: Context, name: str) -> Check:
    head = await ctx.database.read(chain.active)
    now = ctx.now()
    if head is None or head.ts <= now:
        return _good(name, f"{now}")
    ahead = times.parse(head.ts) - times.parse(now)
    return Check(
        name=name,
        ok=ahead <= timedelta(seconds=limits.CLOCK_STEP_SECONDS),
        found=f"the last entry is {ahead} ahead of this machine's clock",
        hint="set the clock; facts stored under a wrong clock may count as future ones: revise their valid_from",
    )


async def _check_key(ctx: Context, name: str) -> Check:
    head = await ctx.database.read(chain.active)
    if head is None:
        return _good(name, "made with the first change")
    if not ctx.node_key.exists():
        hint = "put it back; otherwise the next change makes a new key and a new origin"
        return _bad(name, f"{ctx.node_key.path} is not there", hint)
    if ctx.node_key.vkey(head.origin) == head.vkey:
        return _good(name, "it is the log's")
    hint = "put the right one back; otherwise the next change begins a new origin"
    return _bad(name, f"{ctx.node_key.path} is the key of another log", hint)


async def _check_origins(ctx: Context, name: str) -> Check:
    logs = await ctx.database.read(chain.logs)
    if len(logs) < 2:
        return _good(name, "the ledger has one origin" if logs else "the ledger is empty")
    keys = [parse_vkey(log.vkey).public for log in logs]
    lost = sum(before != after for before, after in pairwise(keys))
    why = [f"{_times(lost)} since the key before was not here"] if lost else []
    why += [f"{_times(len(logs) - 1 - lost)} with the same key, as after a restore"] if lost < len(logs) - 1 else []
    return _good(name, f"the ledger has {len(logs)} origins: it was continued under a new one {', '.join(why)}")


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


async def _check_scrubbed(ctx: Context, name: str) -> Check:
    waiting = await ctx.database.read(erasure.unscrubbed)
    if not waiting:
        return _good(name, "nothing forgotten is left in the raw files")
    if not ctx.database.writable:
        told = f"perhaps still in the raw files, which are read-only: {len(waiting)} forgotten"
        return _bad(name, told, "run `cortex doctor` as somebody who may write them")
    # What to look for is gone with the facts. A file written anew holds none of it, wherever it was.
    if await scrub(ctx):
        await asyncio.to_thread(ctx.database.rewrite)
        if await asyncio.to_thread(ctx.database.empty_log):
            at = ctx.now()
            await ctx.database.write(lambda tx: erasure.mark_scrubbed(tx, waiting, at))
            return _good(name, f"scrubbed now, by writing the file anew: {len(waiting)} forgotten")
    told = f"perhaps still in the write-ahead log, which another process reads: {len(waiting)} forgotten"
    return _bad(name, told, "close that process, then `cortex doctor` again")


_CHECKS = {
    "file mode": _check_file_mode,
    "key mode": _check_key_mode,
    "space": _check_space,
    "write-ahead log": _check_log,
    "structure": _check_structure,
    "text index": _check_index,
    "clock": _check_clock,
    "signing key": _check_key,
    "origins": _check_origins,
    "forgetting": _check_scrubbed,
}


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
    return Reindexed(revisions=revisions, pending=await ctx.database.read(ctx.meaning.waiting))
