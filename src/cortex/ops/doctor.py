"""The operation that says what is wrong here, and how to mend it."""

import asyncio
import shutil
import stat
import sys
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import apsw
from msgspec import Struct

from cortex import limits, times
from cortex._version import __version__
from cortex.db.connect import Tx
from cortex.errors import Corrupt, CortexError
from cortex.files import found
from cortex.index import sidecar, text, vector_rows
from cortex.ledger import chain
from cortex.ledger.checkpoint import parse_vkey
from cortex.meaning import filling
from cortex.memory import erasure
from cortex.ops import runs, signing
from cortex.ops.context import Context
from cortex.ops.facts import scrub
from cortex.ops.registry import Cli, Request, operation
from cortex.plurals import counted
from cortex.trust import log as logs
from cortex.trust import sealing
from cortex.trust.keyring import signer
from cortex.trust.log import Log
from cortex.trust.sealing import Sealed

_SPACE_BYTES_MIN = 64 << 20
_LOG_BYTES_MAX = 256 << 20


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
    waiting = _log_bytes(Path(f"{ctx.database.path}-wal"))
    told = f"{waiting >> 20} MiB"
    if waiting <= _LOG_BYTES_MAX:
        return _good(name, told)
    return _bad(name, told, "a process reads without end: find what keeps the file open, and end it")


def _log_bytes(path: Path) -> int:
    at = found(path)
    return 0 if at is None else at.st_size


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


async def _check_vectors(ctx: Context, name: str) -> Check:
    """Whether everything is embedded, by the embedder in use, and the segments are what was written."""

    def read(tx: Tx) -> tuple[int, str | None, int, int]:
        wrong = len(vector_rows.unsound(tx)) + filling.missed(tx)
        return ctx.meaning.waiting(tx), ctx.meaning.made_by_another(tx), len(vector_rows.damaged(tx)), wrong

    pending, other, damaged, wrong = await ctx.database.read(read)
    if other is not None:
        return _bad(name, f"made by {other}, which is not the embedder in use", "`cortex embed` makes them anew")
    if damaged:
        told = f"{damaged} segments are not what was written: their vectors are read one by one"
        return _bad(name, told, "`cortex embed` packs them anew")
    if wrong:
        told = f"{wrong} vectors are missing, or not what was written"
        return _bad(name, told, "`cortex reindex`, then `cortex embed`")
    if ctx.meaning.held.unwanted:
        return _good(name, "no embedder is wanted: search goes by words alone")
    why = ctx.meaning.held.lacking()
    if why is not None:
        return _good(name, f"search goes by words alone: {why}")
    if ctx.meaning.trouble is not None:
        return _bad(name, ctx.meaning.trouble, "see docs/model.md")
    told = (
        f"to be embedded: {counted(pending, 'fact')}; `cortex embed`, or the next search, does it"
        if pending
        else "complete"
    )
    return _good(name, told)


async def _check_sidecars(ctx: Context, name: str) -> Check:
    least = ctx.settings.vectors_sidecar_from
    ok, told = await ctx.database.read(lambda tx: sidecar.told(tx, ctx.database.path, least))
    return _good(name, told) if ok else _bad(name, f"{told}: it is not used", "`cortex embed` makes it anew")


async def _check_clock(ctx: Context, name: str) -> Check:
    head = await ctx.database.read(chain.active)
    now = ctx.now()
    if head is None or head.ts <= now:
        return _good(name, f"{now}")
    if not times.is_stored(head.ts):
        return _bad(name, "the time of the last entry is none", "`cortex ledger verify` says more")
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


async def _check_votes(ctx: Context, name: str) -> Check:
    """Whether the votes log can go on here: by the right key, told of a restore, not pinned by a clock."""

    def read(tx: Tx) -> tuple[Log | None, Sealed]:
        return logs.state(tx), sealing.sealed(tx)

    log, last = await ctx.database.read(read)
    if log is None:
        return _good(name, "begun with the first vote")
    hint = "`cortex vote-ledger init` lets it go on, by the admin key"
    if last.restored:
        return _bad(name, "the file was put back from a backup, and the log does not say so yet", hint)
    if not ctx.node_key.exists() or ctx.node_key.vkey(log.origin) != log.vkey:
        return _bad(name, f"{ctx.node_key.path} is not the key that signs it", f"put the right key back, or {hint}")
    if not times.is_stored(log.ts):
        return _bad(name, "the time of its last event is none", "`cortex vote-ledger verify` says more")
    now = ctx.now()
    ahead = times.micros(log.ts) - times.micros(now)
    if ahead > limits.CLOCK_STEP_SECONDS * 1_000_000:
        told = f"its last event is of {log.ts}, and this machine's clock says {now}"
        return _bad(name, told, "set the clock; until then new events bear the time of that one")
    if -ahead > limits.CLOCK_JUMP_DAYS * times.DAY_MICROS:
        told = f"its last event is of {log.ts}, more than {limits.CLOCK_JUMP_DAYS} days ago"
        return _bad(name, told, "`cortex vote-ledger confirm-clock` says by the admin key that time really passed")
    return _good(name, f"{counted(log.size, 'entry', 'entries')}, {counted(log.votes, 'vote')}")


async def _check_verified(ctx: Context, name: str) -> Check:
    """What the last verification of a log found, that is written down."""
    log, command = _VERIFIED[name]
    last = next((run for run in await ctx.database.read(runs.last_runs) if run.log == log), None)
    if last is None:
        return _good(name, f"never: {command} does it")
    if last.damaged is not None:
        return _bad(name, f"what is written down of the last time is damaged: {last.damaged}", f"{command} again")
    if not last.ok:
        return _bad(name, f"at {last.at} this was found: {', '.join(last.codes)}", f"{command} says more")
    if last.unchecked:
        told = f"at {last.at} not everything could be read: {'; '.join(last.unchecked)}"
        return _bad(name, told, f"make that readable, then {command} again")
    return _good(name, f"at {last.at}, valid{', only what was new' if last.incremental else ''}")


_VERIFIED = {
    "ledger verified": ("transactions", "`cortex ledger verify`"),
    "votes verified": ("votes", "`cortex vote-ledger verify`"),
}


async def _check_admin(ctx: Context, name: str) -> Check:
    log = await ctx.database.read(logs.state)
    if log is None:
        return _good(name, "made with the votes log")
    file = signing.admin_file(ctx.settings, log.origin)
    state = file.state
    if state == "absent":
        # No fault: it may lie on another machine on purpose.
        return _good(name, f"not on this machine ({file.path}): nobody gives trust or resolves here")
    mode = _mode(name, file.path)
    if not mode.ok or state == "locked":
        return mode if not mode.ok else _good(name, f"{file.path} is locked by a passphrase")
    if signer(file.open(), "agent").public != log.admin.hex():
        kept = file.kept(log.admin)
        hint = "put the one in force there" if kept is None else f"it is kept as {kept[0]}, and used when it is needed"
        return _bad(name, f"{file.path} is not the log's admin key", hint)
    return _good(name, f"{file.path} is the log's, without a passphrase; keep a copy of it safe")


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
    "vectors": _check_vectors,
    "vector graphs": _check_sidecars,
    "clock": _check_clock,
    "signing key": _check_key,
    "origins": _check_origins,
    "votes": _check_votes,
    **dict.fromkeys(_VERIFIED, _check_verified),
    "admin key": _check_admin,
    "forgetting": _check_scrubbed,
}
