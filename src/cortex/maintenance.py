"""What is done to the file as a whole, also where it cannot be opened: restore a backup, migrate."""

import asyncio
import os
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated

import apsw
from msgspec import Meta, Struct

from cortex import times
from cortex.app import App, open_app
from cortex.db import backup, migrate
from cortex.db.connect import connect, create_file, use_log
from cortex.db.faults import translate
from cortex.errors import Conflict, Corrupt, Invalid, Unavailable
from cortex.files import found
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
    note: Annotated[str, Meta(description="What could not be done, and what that means; empty when all was.")] = ""


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
    at = found(source)
    if at is None:
        raise Unavailable(f"there is no file {source}", "give the path of a backup that `cortex backup` made")
    current = found(settings.db)
    if current is not None and os.path.samestat(at, current):
        raise Conflict(f"{source} is the file that would be replaced", "give the path of a backup")
    with ExitStack() as stack:
        try:
            origin = _checked(stack, settings, source, progress)
            before = _replace(settings, origin)
        except apsw.Error as error:
            raise translate(error, str(settings.db)) from error
    app = open_app(settings, face="cli")
    try:
        return asyncio.run(_begin_anew(app, source, before, progress))
    finally:
        app.close()


def _checked(stack: ExitStack, settings: Settings, source: Path, progress: Progress) -> apsw.Connection:
    """The backup, or where it is of an older schema a copy of the present one, verified; `stack` closes it."""
    origin = stack.enter_context(closing(connect(source, busy_timeout_ms=settings.busy_timeout_ms)))
    older = migrate.pending(origin, str(source), migrate.shipped())
    if older and not migrate.version(origin):
        raise Invalid(f"{source} is empty", "give the path of a backup that `cortex backup` made")
    backup.damage(origin, str(source))
    if older:
        origin = _migrated_copy(stack, settings, origin, older)
    origin.execute("BEGIN")
    report, _ = verification.examine(
        origin, _key(settings), verification.NOTHING, text=True, incremental=False, progress=progress
    )
    origin.execute("ROLLBACK")
    _refuse_tampered(report, source)
    return origin


def _migrated_copy(
    stack: ExitStack, settings: Settings, origin: apsw.Connection, older: tuple[migrate.Migration, ...]
) -> apsw.Connection:
    """A copy with the present schema, in a folder of its own beside the file, which has room for it in the end."""
    place = settings.db.parent
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=f".{settings.db.name}.", dir=place))
    except OSError as error:
        raise Unavailable(f"{place} cannot be written ({error.strerror})", "give another --db") from None
    path = Path(folder, "migrated.db")
    backup.copy_to(origin, path)
    copy = stack.enter_context(closing(connect(path, busy_timeout_ms=settings.busy_timeout_ms)))
    copy.execute("BEGIN")
    migrate.apply(copy, older)
    copy.execute("COMMIT")
    return copy


def _refuse_tampered(report: Verification, path: Path) -> None:
    if not report.ok:
        found = "; ".join(f"{finding.code} {finding.what}" for finding in report.findings[:3])
        raise Corrupt(f"{path} does not verify: {found}", "restore another backup")


def _key(settings: Settings) -> NodeKey:
    return NodeKey(settings.node_key_path)


def _replace(settings: Settings, origin: apsw.Connection) -> str | None:
    """Copy `origin` over the current file; returns where that is kept."""
    stamp = times.now().replace(":", "").replace("-", "").replace(".", "").rstrip("Z")
    if found(settings.db) is None:
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
        if isinstance(error, Invalid) and found(settings.node_key_path) is None:
            raise
        kept = settings.db.with_name(f"{settings.db.name}.damaged-{stamp}")
        for ending in ("", "-wal", "-shm"):
            part = Path(f"{settings.db}{ending}")
            if found(part) is not None:
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
    unsaved = memory.save(ctx.settings.home, ctx.database.path, remember)
    return Restored(
        path=str(ctx.database.path),
        source=str(source),
        before=before,
        origin=state.origin,
        entries=sum(log.size for log in report.logs),
        facts=report.revisions,
        note=f"{unsaved}: `cortex ledger verify` may take the restored file for a rollback" if unsaved else "",
    )


def migrate_file(settings: Settings) -> Migrated:
    """Bring the file to this version's schema; an older file is copied beside itself first."""
    try:
        with closing(connect(settings.db, busy_timeout_ms=settings.busy_timeout_ms)) as connection:
            before = migrate.version(connection)
    except apsw.Error as error:
        raise translate(error, str(settings.db)) from error
    app = open_app(settings, face="cli", create=False)
    app.close()
    kept = app.context.database.kept
    return Migrated(
        path=str(settings.db),
        schema_before=before,
        schema=len(migrate.shipped()),
        backup=None if kept is None else str(kept),
    )
