"""Operations on the file itself: init, status, doctor, backup, rebuilding the index."""

import asyncio
import shutil
import stat
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import apsw
from msgspec import Meta, Struct

from cortex import limits, times
from cortex._version import __version__
from cortex.db import backup, migrate
from cortex.db.connect import Tx, integer
from cortex.errors import CortexError
from cortex.index import text
from cortex.ledger import chain, sealing
from cortex.memory import erasure
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
    """Create the file, its ledger and its signing key. Running it again changes nothing."""
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
    """Figures of the file. Sizes in bytes; `facts` counts those that are believed."""

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
            facts=integer(tx, "SELECT count(*) FROM revision WHERE retired_at IS NULL"),
            revisions=integer(tx, "SELECT count(*) FROM revision"),
            projects=integer(tx, "SELECT count(*) FROM project"),
            forgotten=integer(tx, "SELECT count(*) FROM fact WHERE erased_at IS NOT NULL"),
            unscrubbed=len(erasure.unscrubbed(tx)),
            origin=head.origin if head else None,
            entries=integer(tx, "SELECT coalesce(sum(size), 0) FROM ledger_log"),
            checkpoints=integer(tx, "SELECT coalesce(sum(checkpoints), 0) FROM ledger_log"),
            last_entry_at=head.ts if head else None,
        )

    return await ctx.database.read(read)


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


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


@operation("node.doctor", effect="read", order="local", method="doctor", cli=(Cli("doctor", group="Memory"),))
async def doctor(ctx: Context, request: Diagnose) -> Diagnosis:
    """Say what is wrong here, and how to mend it.

    Looks at the file, its index and key, the disk and the clock; finishes scrubbing what was forgotten.
    """
    checks = [
        Check(name="version", ok=True, found=f"Cortex {__version__}, Python {sys.version.split()[0]}, "
              f"SQLite {apsw.sqlite_lib_version()}", hint=""),
        *_check_files(ctx),
        await _check_structure(ctx),
        await _check_index(ctx),
        await _check_clock(ctx),
        await _check_key(ctx),
        await _check_scrubbed(ctx),
    ]  # fmt: skip
    return Diagnosis(ok=all(check.ok for check in checks), checks=checks)


def _check_files(ctx: Context) -> list[Check]:
    checks = []
    for name, path in (("file mode", ctx.database.path), ("key mode", ctx.node_key.path)):
        if path.exists():
            mode = stat.S_IMODE(path.stat().st_mode)
            open_to_others = sys.platform != "win32" and mode & 0o077 != 0
            hint = f"chmod 600 {path}" if open_to_others else ""
            checks.append(Check(name=name, ok=not open_to_others, found=f"{path} has mode {mode:04o}", hint=hint))
    free = shutil.disk_usage(ctx.database.path.parent).free
    enough = free >= _SPACE_BYTES_MIN
    checks.append(
        Check(name="space", ok=enough, found=f"{free >> 20} MiB are free", hint="" if enough else "free some space")
    )
    waiting = _bytes(Path(f"{ctx.database.path}-wal"))
    small = waiting <= _LOG_BYTES_MAX
    hint = "" if small else "a process reads without end: find what keeps the file open, and end it"
    checks.append(Check(name="write-ahead log", ok=small, found=f"{waiting >> 20} MiB", hint=hint))
    return checks


async def _check_structure(ctx: Context) -> Check:
    try:
        await asyncio.to_thread(ctx.database.check_structure)
    except CortexError as error:
        return Check(name="structure", ok=False, found=error.message, hint=error.hint)
    return Check(name="structure", ok=True, found="every page is sound", hint="")


async def _check_index(ctx: Context) -> Check:
    try:
        await ctx.database.write(text.check)
    except CortexError as error:
        return Check(name="text index", ok=False, found=error.message, hint="cortex reindex")
    return Check(name="text index", ok=True, found="it holds what the facts say", hint="")


async def _check_clock(ctx: Context) -> Check:
    head = await ctx.database.read(chain.active)
    now = ctx.now()
    if head is None or head.ts <= now:
        return Check(name="clock", ok=True, found=f"{now}", hint="")
    ahead = times.parse(head.ts) - times.parse(now)
    return Check(
        name="clock",
        ok=ahead <= timedelta(seconds=limits.CLOCK_STEP_SECONDS),
        found=f"the last entry is {ahead} ahead of this machine's clock",
        hint="set the clock; facts stored under a wrong clock may count as future ones: revise their valid_from",
    )


async def _check_key(ctx: Context) -> Check:
    head = await ctx.database.read(chain.active)
    if head is None:
        return Check(name="signing key", ok=True, found="made with the first change", hint="")
    if not ctx.node_key.exists():
        found = f"{ctx.node_key.path} is not there"
        return Check(
            name="signing key", ok=False, found=found, hint="put it back, or go on as a new origin at the next change"
        )
    try:
        same = ctx.node_key.vkey(head.origin) == head.vkey
    except CortexError as error:
        return Check(name="signing key", ok=False, found=error.message, hint=error.hint)
    found = "it is the log's" if same else f"{ctx.node_key.path} is the key of another log"
    return Check(name="signing key", ok=same, found=found, hint="" if same else "the next change begins a new origin")


async def _check_scrubbed(ctx: Context) -> Check:
    if not await ctx.database.read(erasure.unscrubbed):
        return Check(name="forgetting", ok=True, found="nothing forgotten is left in the raw files", hint="")
    if await scrub(ctx):
        return Check(name="forgetting", ok=True, found="what was forgotten is scrubbed now", hint="")
    found = "what was forgotten is still in the write-ahead log, which another process reads"
    return Check(name="forgetting", ok=False, found=found, hint="close that process, then `cortex doctor` again")


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
    """How many revisions the index holds now."""

    revisions: int


class Reindex(Request[Reindexed], frozen=True, kw_only=True):
    """Make the text index anew."""


@operation("node.reindex", effect="write", order="local", method="reindex", cli=(Cli("reindex", group=_GROUP),))
async def reindex(ctx: Context, request: Reindex) -> Reindexed:
    """Make the text index anew from the facts."""

    def rebuild(tx: Tx) -> Reindexed:
        text.rebuild(tx)
        return Reindexed(revisions=integer(tx, "SELECT count(*) FROM revision"))

    return await ctx.database.write(rebuild)
