"""What is done to the file as a whole, also where it cannot be opened: restore a backup, migrate."""

import os
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated

import apsw
from msgspec import Meta, Struct, structs

from cortex import times
from cortex.app import actor_of, open_app
from cortex.db import backup, migrate, schema
from cortex.db.connect import Tx, connect, create_file, use_log
from cortex.db.faults import translate
from cortex.db.replace import replace
from cortex.errors import Conflict, Corrupt, CortexError, Invalid, Unavailable
from cortex.files import found
from cortex.index import sidecar
from cortex.ledger import chain, memory, sealing
from cortex.ledger.findings import Verification
from cortex.ledger.keys import NodeKey
from cortex.memory import figures
from cortex.ops import undone, verification, vote_ledger, vote_verification
from cortex.ops.undone import Comparison, Undone
from cortex.progress import Progress
from cortex.settings import Settings


class Restored(Struct, frozen=True, kw_only=True):
    """A restored file. `before` is where the file that was there went; `origin` is the new log that it goes on with."""

    path: str
    source: str
    before: str | None
    origin: str
    entries: int
    facts: Annotated[int, Meta(description="Facts that are believed, as `cortex status` counts them.")]
    forgotten: Annotated[
        int | None,
        Meta(description="Facts there again that the replaced file had forgotten; null where it cannot be told."),
    ]
    forgotten_ids: Annotated[list[str], Meta(description="The first of them: `cortex forget ID` erases each again.")]
    undone: Annotated[list[Undone], Meta(description="What was said of agents, keys, facts, rules since the backup.")]
    undone_more: Annotated[int, Meta(description="How much of that is not shown.")]
    untold: Annotated[list[str], Meta(description="What could not be told of the replaced file, and why.")]
    note: Annotated[str | None, Meta(description="What could not be done, and what that means.")] = None
    votes_note: Annotated[str | None, Meta(description="How the votes log goes on, where there is one.")] = None


class Migrated(Struct, frozen=True, kw_only=True):
    """The schema before and after, and the copy that was kept of the file before."""

    path: str
    schema_before: int
    schema: int
    backup: str | None


def restore(settings: Settings, source: Path, progress: Progress) -> Restored:
    """Put a backup in the place of the current file, after verifying it, and verify what is there then.

    Everything is made ready in a copy: the present schema, the new origin (so that no entry of the old one is ever used
    twice), the verification. Then the copy's content replaces the file's in one transaction, and what it replaces is
    kept beside it: other processes may go on using the file, and nothing that they committed is lost.
    Raises Corrupt for a backup that is damaged or was tampered with; then nothing is changed.
    """
    at = found(source)
    if at is None:
        raise Unavailable(f"there is no file {source}", "give the path of a backup that `cortex backup` made")
    current = found(settings.db)
    if current is not None and os.path.samestat(at, current):
        raise Conflict(f"{source} is the file that would be replaced", "give the path of a backup")
    try:
        with ExitStack() as stack:
            copy, votes_note = _copied(stack, settings, source, progress)
            kept, sound = _put(settings, copy)
        sidecar.delete(settings.db)  # of what was there before; nothing uses it any more
        with closing(connect(settings.db, busy_timeout_ms=settings.busy_timeout_ms)) as restored:
            restored.execute("BEGIN")
            report, after = _examined(restored, settings, progress)
            facts = figures.count(restored).facts
    except apsw.Error as error:
        raise translate(error, str(settings.db)) from error
    _refuse_tampered(report, settings.db)
    # Restoring is the owner's own rollback: what is remembered starts again from here.
    unsaved = memory.update(settings.home, settings.db, lambda _: after, mend=True)
    known = _compared(settings, kept, sound=sound)
    return Restored(
        path=str(settings.db),
        source=str(source),
        before=None if kept is None else str(kept),
        origin=report.logs[-1].origin,
        entries=sum(log.size for log in report.logs),
        facts=facts,
        forgotten=known.forgotten,
        forgotten_ids=known.forgotten_ids,
        undone=known.undone,
        undone_more=known.undone_more,
        untold=known.untold,
        note=f"{unsaved}: `cortex ledger verify` may take the restored file for a rollback" if unsaved else None,
        votes_note=votes_note,
    )


def _copied(stack: ExitStack, settings: Settings, source: Path, progress: Progress) -> tuple[Path, str | None]:
    """A verified copy of the backup with the present schema and a new origin, beside the file; `stack` removes it.

    And how its votes log goes on.
    """
    place = settings.db.parent
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=f".{settings.db.name}.", dir=place))
    except OSError as error:
        raise Unavailable(f"{place} cannot be written ({error.strerror})", "give another --db") from None
    path = Path(folder, "restored.db")
    with closing(connect(source, busy_timeout_ms=settings.busy_timeout_ms)) as origin:
        older = migrate.pending(origin, str(source), migrate.shipped())
        if older and not migrate.version(origin):
            raise Invalid(f"{source} is empty", "give the path of a backup that `cortex backup` made")
        backup.damage(origin, str(source))
        backup.copy_to(origin, path)
    with closing(connect(path, busy_timeout_ms=settings.busy_timeout_ms)) as copy:
        copy.execute("BEGIN IMMEDIATE")
        migrate.apply(copy, older)
        report, _ = _examined(copy, settings, progress)
        _refuse_tampered(report, source)
        key = NodeKey(settings.node_key_path)
        sealing.begin_origin(copy, chain.active(copy), key, at=times.now(), actor=actor_of(settings))
        votes_note = vote_ledger.interrupt(copy, settings, key)
        copy.execute("COMMIT")
    return path, votes_note


def _examined(tx: Tx, settings: Settings, progress: Progress) -> tuple[Verification, memory.Memory]:
    """Every pass over both logs, compared with nothing but each other; what is to be remembered of them.

    The report is that of the transactions, with the findings of both.
    """
    key = NodeKey(settings.node_key_path)
    report, logs = verification.examine(tx, key, verification.NOTHING, text=True, incremental=False, progress=progress)
    task = vote_verification.VoteTask(
        database=str(settings.db),
        home=str(settings.home),
        key=str(key.path),
        busy_timeout_ms=settings.busy_timeout_ms,
        incremental=False,
        text=True,
        accept=True,
    )
    votes, remembered = vote_verification.examine(tx, task, None, None, progress)
    report = structs.replace(report, ok=report.ok and votes.ok, findings=[*report.findings, *votes.findings])
    return report, memory.Memory(path=str(settings.db), logs=logs, votes=remembered)


def _refuse_tampered(report: Verification, path: Path) -> None:
    if not report.ok:
        told = "; ".join(f"{finding.code} {finding.what}" for finding in report.findings[:3])
        raise Corrupt(f"{path} does not verify: {told}", "restore another backup")


def _compared(settings: Settings, kept: Path | None, *, sound: bool) -> Comparison:
    """What the file knew that was replaced, by the copy of it. The restored file stands: nothing here is a failure."""
    if kept is None:
        return Comparison(forgotten=0)
    if not sound:
        # Opening it could change it, and whoever examines the damage wants it as it was found.
        told = f"{kept} is damaged or not as Cortex made it: what was forgotten and revoked in it could not be told"
        return Comparison(forgotten=None, untold=[told])
    try:
        with closing(connect(settings.db, busy_timeout_ms=settings.busy_timeout_ms)) as restored:
            return undone.compare(restored, kept)
    except (apsw.Error, CortexError) as error:
        return Comparison(forgotten=None, untold=[f"{kept} could not be compared: {error}"])


def _put(settings: Settings, copy: Path) -> tuple[Path | None, bool]:
    """Let the file hold what `copy` holds. Returns where is kept what it held before, and whether that was sound.

    None where there was nothing.
    """
    stamp = "".join(char for char in times.now() if char.isdigit())
    if found(settings.db) is None:
        _fill(settings, copy)
        return None, True
    kept = settings.db.with_name(f"{settings.db.name}.before-restore-{stamp}.bak")
    try:
        _exchange(settings, copy, kept)
        return kept, True
    except (Corrupt, Invalid, apsw.CorruptError) as error:
        # A file without its signing key beside it may be anything: only what was Cortex's is put aside.
        if isinstance(error, Invalid) and found(settings.node_key_path) is None:
            raise
        kept = settings.db.with_name(f"{settings.db.name}.damaged-{stamp}")
        for ending in ("", "-wal", "-shm"):
            part = Path(f"{settings.db}{ending}")
            if found(part) is not None:
                part.rename(f"{kept}{ending}")
        _fill(settings, copy)
    return kept, False


def _exchange(settings: Settings, copy: Path, kept: Path) -> None:
    """Replace the content of a sound file, which is copied to `kept` while nobody can write to it."""
    open_app(settings, face="cli", create=False).close()  # brings it to the present schema
    with (
        closing(connect(settings.db, busy_timeout_ms=settings.busy_timeout_ms)) as target,
        closing(connect(settings.db, busy_timeout_ms=settings.busy_timeout_ms)) as reader,
    ):
        if changed := schema.differences(target, migrate.shipped()):
            raise Corrupt(f"{settings.db} is not as Cortex made it: {'; '.join(changed[:3])}", "it is put aside")
        replace(target, copy, lambda: backup.copy_to(reader, kept))


def _fill(settings: Settings, copy: Path) -> None:
    """Make the file with the content of `copy`."""
    create_file(settings.db)
    with (
        closing(connect(settings.db, busy_timeout_ms=settings.busy_timeout_ms)) as target,
        closing(connect(copy, busy_timeout_ms=settings.busy_timeout_ms)) as origin,
    ):
        use_log(target, settings.busy_timeout_ms)
        backup.overwrite(target, origin)


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
