"""Operations that carry facts in and out: import of files, export as JSONL."""

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, structs

from cortex import files, importers, limits, projects
from cortex.db.connect import Tx
from cortex.errors import CortexError, Invalid, Unavailable
from cortex.importers import cortex4, cortex4_votes
from cortex.memory import facts, imports, lookup
from cortex.memory.model import Decided, Fact
from cortex.memory.visibility import View
from cortex.ops import earlier_votes, fields
from cortex.ops.commands import ImportAdvanced
from cortex.ops.context import Context
from cortex.ops.earlier_votes import Taking, TrustImported
from cortex.ops.facts import NewFact, decide
from cortex.ops.registry import Cli, Request, operation

_EARLIER = "cortex4"


class Skipped(Struct, frozen=True, kw_only=True):
    """An entry that was left out, where it stands in the file, and why."""

    where: str
    reason: str


class FileImported(Struct, frozen=True, kw_only=True):
    """What came of one file. `skips` shows the first of them; `projects` is where its facts went.

    `resumed_at` is where an interrupted import went on; the counts are those of the whole of it. `trust` is what came
    of agents and votes where the file has such, and whether its ledger still fits together.
    """

    path: str
    format: str
    stored: int
    duplicates: int
    skipped: int
    skips: list[Skipped]
    resumed_at: int
    projects: list[str]
    error: str | None
    trust: TrustImported | None = None


class ImportReport(Struct, frozen=True, kw_only=True):
    """What came of an import, in all and for each file. `pending` counts facts that are not embedded yet."""

    project: str
    stored: int
    duplicates: int
    skipped: int
    files: list[FileImported]
    pending: int

    @property
    def exit_code(self) -> int:
        """1 when a file could not be read, or its ledger was tampered with."""
        return 1 if any(file.error or (file.trust and file.trust.tampered) for file in self.files) else 0


class ImportFiles(Request[ImportReport], frozen=True, kw_only=True):
    """Import files."""

    paths: Annotated[
        list[fields.FilePath],
        Meta(description="Files to import.", min_length=1, max_length=limits.IMPORT_FILES_MAX),
    ]
    format: (
        Annotated[str, Meta(description=f"One of {', '.join(importers.FORMATS)}; found out unless given.")] | None
    ) = None
    project: fields.Project | None = None

    def check(self) -> None:
        """Raise Invalid for an unknown format."""
        if self.format is not None and self.format not in importers.FORMATS:
            raise Invalid(f"there is no format {self.format[:40]!r}", f"there are {', '.join(importers.FORMATS)}")


@operation(
    "transfer.import",
    effect="write",
    order="gossip",
    method="import_files",
    cli=(Cli("import PATHS...", group="Memory"),),
)
async def import_files(ctx: Context, request: ImportFiles) -> ImportReport:
    """Import facts from files: JSONL, Markdown, text, dialogues, other memories' exports, an earlier CORTEX file.

    Duplicates are counted, not stored again; an interrupted import goes on where it stopped; what is skipped is
    named. Of an earlier CORTEX file the agents and votes come too, after its ledger was checked.
    """
    project = fields.project_name(ctx, request.project)
    given = request.project is not None
    tasks = [_Import(Path(path), project, given=given) for path in request.paths]
    done = [await _import_file(ctx, task, request.format) for task in tasks]
    pending = await settled(ctx)
    return ImportReport(
        project=project,
        stored=sum(file.stored for file in done),
        duplicates=sum(file.duplicates for file in done),
        skipped=sum(file.skipped for file in done),
        files=done,
        pending=pending,
    )


async def settled(ctx: Context) -> int:
    """Embed what was stored, where no other part of this process does. Returns how much is pending still.

    What was imported is kept though the embedder fails: a search says so then.
    """
    if ctx.caller.alone:
        await ctx.meaning.settle_if_possible(ctx.progress)
    return await ctx.database.read(ctx.meaning.waiting)


class _Import:
    """The import of one file: where its facts go, and what it came to so far."""

    def __init__(self, path: Path, project: str, *, given: bool) -> None:
        self.path = path
        self.project = project
        # Whether the project was asked for: then it counts for every entry, whatever the file says.
        self.given = given
        self.skips: list[Skipped] = []
        self.projects: set[str] = set()
        # The agents and votes of an earlier Cortex's file.
        self.trust: Taking | None = None


async def _import_file(ctx: Context, task: _Import, form: str | None) -> FileImported:
    run, start = None, 0
    try:
        chosen = form if form is not None else await asyncio.to_thread(importers.detect, task.path)
        run = await _begin(ctx, task.path, chosen, task.project)
        start = run.position
        damage = await _read_trust(task, run)
        entries = itertools.islice(importers.read(task.path, chosen, name=run.name), start, None)
        async for moved in _steps(ctx, run, entries, task):
            run = moved
            ctx.progress(run.position, 0, task.path.name)
        if damage is not None:
            raise damage
        if not run.finished and task.trust is not None:
            await earlier_votes.take(ctx, task.trust, await _facts_here(ctx, run, task, task.trust.voted))
            run = await _advanced(ctx, structs.replace(run, finished=True), ())
    except CortexError as error:
        return _report(task, run, form, start=start, error=str(error))
    return _report(task, run, form, start=start, error=None)


async def _begin(ctx: Context, path: Path, form: str, project: str) -> imports.Run:
    digest = await asyncio.to_thread(_sha256, path)
    before = await ctx.database.read(lambda tx: imports.unfinished(tx, project, digest, form))
    return before or imports.Run(
        id=ctx.new_id(),
        project=project,
        name=source_name(path, Path.cwd(), project),
        format=form,
        digest=digest,
        salt=ctx.new_salt(),
        position=0,
        stored=0,
        duplicates=0,
        skipped=0,
        finished=False,
    )


async def _steps(
    ctx: Context, run: imports.Run, entries: Iterator[importers.Item | importers.Skip], task: _Import
) -> AsyncIterator[imports.Run]:
    while True:
        batch = await asyncio.to_thread(_take, entries)
        now = ctx.now()
        new: list[Decided] = []
        for entry in batch:
            fact = _decided(ctx, entry, task, now)
            if isinstance(fact, Skipped):
                run = structs.replace(run, skipped=run.skipped + 1)
                if len(task.skips) < limits.IMPORT_SKIPS_SHOWN:
                    task.skips.append(fact)
            else:
                new.append(fact)
                task.projects.add(fact.project)
        last = _is_last(batch)
        # With agents and votes to follow it is not finished.
        finished = last and (task.trust is None or not task.trust.found.agents)
        run = structs.replace(run, position=run.position + len(batch), finished=finished)
        run = await _advanced(ctx, run, tuple(new), now)
        yield run
        if last:
            return


async def _advanced(ctx: Context, run: imports.Run, new: tuple[Decided, ...], at: str | None = None) -> imports.Run:
    return await ctx.journal.commit(ImportAdvanced(actor=ctx.caller.actor, at=at or ctx.now(), run=run, facts=new))


async def _read_trust(task: _Import, run: imports.Run) -> CortexError | None:
    """Read the agents and votes of an earlier Cortex's file. What is wrong with them does not keep its facts out."""
    if run.format != _EARLIER:
        return None
    try:
        found = await asyncio.to_thread(cortex4_votes.read, task.path)
    except CortexError as error:
        return error
    if found.agents or found.skips or found.chains:
        task.trust = Taking(found, run.digest, task.path.name)
    return None


async def _facts_here(
    ctx: Context, run: imports.Run, task: _Import, wanted: frozenset[int | str]
) -> dict[int | str | float, str]:
    """The facts that entries of an earlier Cortex's file are here, by their ids there."""
    here: dict[int | str | float, str] = {}
    entries = importers.read(task.path, run.format, name=run.name) if wanted else iter(())
    while True:
        batch = await asyncio.to_thread(_take, entries)
        now = ctx.now()
        decided: dict[int | str | float, Decided] = {}
        for entry in batch:
            old_id = cortex4.id_of(entry)
            if old_id is None or old_id not in wanted or old_id in here:
                continue
            fact = _decided(ctx, entry, task, now)
            if isinstance(fact, Decided):
                decided.setdefault(old_id, fact)

        def look(tx: Tx, decided: dict[int | str | float, Decided] = decided, now: str = now) -> dict[Any, str | None]:
            return {old_id: facts.stored_as(tx, fact, now) for old_id, fact in decided.items()}

        found = await ctx.database.read(look)
        here |= {old_id: fact for old_id, fact in found.items() if fact is not None}
        if _is_last(batch):
            return here


def _is_last(batch: list[importers.Item | importers.Skip]) -> bool:
    return len(batch) < limits.IMPORT_BATCH_FACTS and _size(batch) < limits.IMPORT_BATCH_BYTES


def _take(entries: Iterator[importers.Item | importers.Skip]) -> list[importers.Item | importers.Skip]:
    batch: list[importers.Item | importers.Skip] = []
    size = 0
    while len(batch) < limits.IMPORT_BATCH_FACTS and size < limits.IMPORT_BATCH_BYTES:
        entry = next(entries, None)
        if entry is None:
            break
        batch.append(entry)
        size = _size(batch[-1:]) + size
    return batch


def _size(batch: list[importers.Item | importers.Skip]) -> int:
    return sum(len(entry.content.encode()) for entry in batch if isinstance(entry, importers.Item))


def _decided(ctx: Context, entry: importers.Item | importers.Skip, task: _Import, now: str) -> Decided | Skipped:
    if isinstance(entry, importers.Skip):
        return Skipped(where=entry.where, reason=entry.reason)
    given = structs.asdict(entry)
    where = given.pop("where")
    named = None if task.given else entry.project
    if named == projects.USER != task.project:
        # What is in `user` stands before the person in every project: that is not for a file to decide.
        return Skipped(where=where, reason=f"it names the scope {projects.USER!r}: import it with that project given")
    given |= {"tags": list(entry.tags), "project": named or task.project}
    try:
        fact = NewFact(**given)
        fact.check()
        return decide(ctx, fact, now)
    except CortexError as error:
        return Skipped(where=where, reason=error.message)


def _report(task: _Import, run: imports.Run | None, form: str | None, *, start: int, error: str | None) -> FileImported:
    return FileImported(
        path=str(task.path),
        format=run.format if run else form or "",
        stored=run.stored if run else 0,
        duplicates=run.duplicates if run else 0,
        skipped=run.skipped if run else 0,
        skips=task.skips,
        resumed_at=start,
        projects=sorted(task.projects),
        error=error,
        trust=None if task.trust is None else task.trust.report(),
    )


def source_name(path: Path, cwd: Path, project: str) -> str:
    """What a file is called in keys and sources: its path from its repository's root, from here, or in full.

    A file of another repository than the project's goes with the name of that: two READMEs are two documents.
    """
    resolved, home = projects.resolved(path), projects.user_home() or Path("/")
    root = projects.repository_root(resolved.parent, home=home)
    if root is not None:
        own = projects.detect(root, home=home)
        within = resolved.relative_to(root).as_posix()
        same = own == project or root == projects.repository_root(projects.resolved(cwd), home=home)
        return within if same else f"{own}:{within}"
    here = projects.resolved(cwd)
    return resolved.relative_to(here).as_posix() if resolved.is_relative_to(here) else resolved.as_posix()


def _sha256(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise Unavailable(f"{path} cannot be read ({error.strerror})", "give a file that you can read") from None


class ExportReport(Struct, frozen=True, kw_only=True):
    """How many facts were exported, and where to (null: streamed)."""

    facts: int
    path: str | None


class ExportFacts(Request[ExportReport], frozen=True, kw_only=True):
    """Export facts as JSON lines."""

    output: Annotated[fields.FilePath, Meta(description="File to make; standard output unless given.")] | None = None
    project: fields.Project | None = None
    all_projects: fields.AllProjects = False
    types: fields.Types = []
    tags: fields.HasTags = []


@operation(
    "transfer.export",
    effect="read",
    order="local",
    method="export_facts",
    cli=(Cli("export", group="Memory", rename={"types": "type", "tags": "tag"}),),
)
async def export_facts(ctx: Context, request: ExportFacts) -> ExportReport:
    """Export facts as JSON lines.

    Everything that is believed, past and future facts too, one object a line: what `import` reads back.
    """
    narrow = fields.filters(fields.only(ctx, request.project, every=request.all_projects), request.types, request.tags)
    emit = ctx.emit
    if request.output is not None:
        target = Path(request.output)
        count = await ctx.database.read(lambda tx: _write_file(tx, narrow, target, ctx))
        return ExportReport(facts=count, path=request.output)
    if emit is None:
        raise Invalid("there is nowhere to export to", "give `output`")

    def stream(tx: Tx) -> int:
        written = 0
        emit(b"")  # an empty memory is a stream too
        for fact in lookup.every(tx, narrow, View(None)):
            emit(_line(fact))
            written += 1
        return written

    count = await ctx.database.read(stream)
    return ExportReport(facts=count, path=None)


def _write_file(tx: Tx, narrow: lookup.Filters, target: Path, ctx: Context) -> int:
    count = 0
    with files.new_file(target) as file:
        for fact in lookup.every(tx, narrow, View(None)):
            file.write(_line(fact))
            count += 1
            if count % limits.EXPORT_PROGRESS_FACTS == 0:
                ctx.progress(count, 0, target.name)
    return count


def _line(fact: Fact) -> bytes:
    return msgspec.json.encode(fact) + b"\n"
