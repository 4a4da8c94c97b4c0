"""What is done to the file as a whole, also where it cannot be opened: restore a backup, migrate."""

import asyncio
from pathlib import Path

import apsw
from msgspec import Struct

from cortex import limits, times
from cortex.app import App, open_app
from cortex.db import backup, migrate
from cortex.db.connect import connect, create_file, use_log
from cortex.db.faults import translate
from cortex.errors import Conflict, Corrupt, Invalid
from cortex.ledger import chain, memory, sealing
from cortex.ledger.findings import Verification
from cortex.ledger.keys import NodeKey
from cortex.ops import verification
from cortex.progress import Progress
from cortex.settings import Settings


class Restored(Struct, frozen=True, kw_only=True):
    """A restored file. `before` is where the file that was there went; `origin` is the new log that it goes on with."""

    path: str
    source: str
    before: str | None
    origin: str
    entries: int
    facts: int


class Migrated(Struct, frozen=True, kw_only=True):
    """The schema before and after, and the copy that was kept of the file before."""

    path: str
    schema_before: int
    schema: int
    backup: str | None


def restore(settings: Settings, source: Path, progress: Progress) -> Restored:
    """Put a backup in the place of the current file, after verifying it, and verify what is there then.

    Other processes may have the file open: they see the restored state from their next transaction on. What was there
    is kept beside it. The restored file goes on as a new origin, so that no entry of the old one is ever used twice.
    Raises Corrupt for a backup that is damaged or was tampered with; then nothing is changed.
    """
    if settings.db.exists() and source.exists() and settings.db.samefile(source):
        raise Conflict(f"{source} is the file that would be replaced", "give the path of a backup")
    origin = connect(source, busy_timeout_ms=settings.busy_timeout_ms)
    try:
        _check_source(origin, source, settings, progress)
        before = _replace(settings, origin)
    except apsw.Error as error:
        raise translate(error, str(settings.db)) from error
    finally:
        origin.close()
    app = open_app(settings, face="cli")
    try:
        return asyncio.run(_begin_anew(app, source, before, progress))
    finally:
        app.close()


def _check_source(origin: apsw.Connection, source: Path, settings: Settings, progress: Progress) -> None:
    older = migrate.pending(origin, str(source), migrate.shipped())
    if older and not migrate.version(origin):
        raise Invalid(f"{source} is empty", "give the path of a backup that `cortex backup` made")
    backup.damage(origin, str(source))
    if older:
        return  # its ledger is verified once it has the present schema
    origin.execute("BEGIN")
    report, _ = verification.examine(
        origin, _key(settings), verification.NOTHING, text=True, incremental=False, progress=progress
    )
    origin.execute("ROLLBACK")
    _refuse_tampered(report, source)


def _refuse_tampered(report: Verification, path: Path) -> None:
    if not report.ok:
        found = "; ".join(f"{finding.code} {finding.what}" for finding in report.findings[:3])
        raise Corrupt(f"{path} does not verify: {found}", "restore another backup")


def _key(settings: Settings) -> NodeKey:
    return NodeKey(settings.node_key_path)


def _replace(settings: Settings, origin: apsw.Connection) -> str | None:
    """Copy `origin` over the current file; returns where that is kept."""
    stamp = times.now().replace(":", "").replace("-", "").replace(".", "").rstrip("Z")
    if not settings.db.exists():
        create_file(settings.db)
        kept = None
    else:
        kept = _set_aside(settings, stamp)
    target = connect(settings.db, busy_timeout_ms=settings.busy_timeout_ms)
    try:
        use_log(target, settings.busy_timeout_ms)
        backup.overwrite(target, origin)
    finally:
        target.close()
    return kept


def _set_aside(settings: Settings, stamp: str) -> str:
    """Keep what is there: a sound file as a copy, a damaged one by another name."""
    kept = settings.db.with_name(f"{settings.db.name}.before-restore-{stamp}.bak")
    try:
        current = connect(settings.db, busy_timeout_ms=settings.busy_timeout_ms)
        try:
            migrate.pending(current, str(settings.db), migrate.shipped())
            backup.copy_to(current, kept)
        finally:
            current.close()
    except (Corrupt, Invalid, apsw.CorruptError) as error:
        # A file without its signing key beside it may be anything: only what was Cortex's is put aside.
        if isinstance(error, Invalid) and not settings.node_key_path.exists():
            raise
        kept = settings.db.with_name(f"{settings.db.name}.damaged-{stamp}")
        for ending in ("", "-wal", "-shm"):
            part = Path(f"{settings.db}{ending}")
            if part.exists():
                part.rename(f"{kept}{ending}")
        create_file(settings.db)
    return str(kept)


async def _begin_anew(app: App, source: Path, before: str | None, progress: Progress) -> Restored:
    ctx = app.context
    at = ctx.now()
    state = await ctx.database.write(
        lambda tx: sealing.begin_origin(tx, chain.active(tx), ctx.node_key, at=at, actor=ctx.caller.actor)
    )
    report, remember = await ctx.database.read(
        lambda tx: verification.examine(
            tx, ctx.node_key, verification.NOTHING, text=True, incremental=False, progress=progress
        )
    )
    _refuse_tampered(report, ctx.database.path)
    # Restoring is the owner's own rollback: what is remembered starts again from here.
    memory.save(ctx.settings.home, ctx.database.path, remember)
    return Restored(
        path=str(ctx.database.path),
        source=str(source),
        before=before,
        origin=state.origin,
        entries=sum(log.size for log in report.logs),
        facts=report.revisions,
    )


def migrate_file(settings: Settings) -> Migrated:
    """Bring the file to this version's schema; an older file is copied beside itself first."""
    connection = connect(settings.db, busy_timeout_ms=limits.BUSY_TIMEOUT_MS)
    try:
        before = migrate.version(connection)
        waiting = migrate.pending(connection, str(settings.db), migrate.shipped())
    finally:
        connection.close()
    open_app(settings, face="cli", create=False).close()
    kept = settings.db.with_name(f"{settings.db.name}.schema-{before}.bak")
    return Migrated(
        path=str(settings.db),
        schema_before=before,
        schema=len(migrate.shipped()),
        backup=str(kept) if waiting and before else None,
    )
