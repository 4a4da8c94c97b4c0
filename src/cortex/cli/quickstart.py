"""`cortex quickstart`: the main job on a throwaway file, with a real document: import, find, verify, prove, tamper.

The local model is fetched first where it can be had within a minute. It stays, for every memory to come.
"""

import asyncio
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import apsw
import click
from msgspec import Struct

from cortex import limits
from cortex import settings as settings_module
from cortex import verify as offline
from cortex.app import App, open_app
from cortex.cli import terminal
from cortex.cli.command import CommandLine, globals_of
from cortex.cli.loading import load
from cortex.cli.progress import watching
from cortex.cli.run import present
from cortex.embed import choose
from cortex.errors import Corrupt, CortexError, Invalid, NotFound
from cortex.ids import short
from cortex.memory.model import Fact
from cortex.memory.search import Hit
from cortex.ops.external import VerifyExternal
from cortex.ops.ledger import MakeCheckpoint, ProveFact, VerifyLedger
from cortex.ops.model import PullModel
from cortex.ops.search import Recall, SearchFacts
from cortex.ops.transfer import FileImported, ImportFiles
from cortex.ops.views import ListFacts
from cortex.plurals import counted
from cortex.settings import Settings

_WORD = re.compile(r"[^\W\d_]{4,24}")
_PROJECT = "quickstart"
_QUESTION_WORDS = 4
_PROSE_CHARS = 600
_SHOWN_CHARS = 150


class Quickstart(Struct, frozen=True, kw_only=True):
    """What the quickstart did, each part with its figures."""

    embedder: str | None
    document: str
    stored: int
    skipped: int
    import_ms: float
    query: str
    found: str
    found_id: str
    search_ms: float
    recall_tokens: int
    entries: int
    verified: bool
    proof_valid: bool
    tampering_found: list[str]


@click.command(cls=CommandLine)
@click.argument("document", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.pass_context
def quickstart(ctx: click.Context, document: Path | None) -> int:
    """Show the main job in a minute, on a throwaway file.

    Imports a real document (yours, or the README at hand), finds something in it, verifies and proves it, and shows
    that tampering is found. Your own memory is not touched. The model for search by meaning is fetched before, where
    that takes less than a minute, and kept.
    """
    given = globals_of(ctx)
    own = load(given).settings
    with tempfile.TemporaryDirectory(prefix="cortex-quickstart-") as folder:
        tour = _Tour(Path(folder), own, loud=not given.json)
        result = tour.run(document or _document(Path(folder)))
    if given.json:
        return present(result, as_json=True)
    terminal.say(_next_steps())
    return 0


class _Tour:
    """The quickstart from its first step to its last, in a folder of its own."""

    def __init__(self, folder: Path, own: Settings, *, loud: bool) -> None:
        self._loud = loud
        self._folder = folder
        flags: dict[str, object] = {"db": folder / "memory.db", "project": _PROJECT, "agent": "quickstart"}
        # The embedder is the user's own, all else is of the throwaway file.
        flags |= {name: getattr(own, name) for name in own.__struct_fields__ if name.startswith("embedder_")}
        self._settings = settings_module.load(flags=flags, environ={"CORTEX_HOME": str(folder / "home")}, cwd=folder)

    def run(self, document: Path) -> Quickstart:
        app = open_app(self._settings, face="cli")
        try:
            done = asyncio.run(self._steps(app, document))
        finally:
            app.close()
        return done

    async def _steps(self, app: App, document: Path) -> Quickstart:
        embedder = await self._model(app)
        imported, import_ms = await self._import(app, document)
        query, hit, search_ms = await self._search(app)
        briefing = await app.call(Recall(query=query, max_tokens=300))
        self._say(
            "Recalled", f"a briefing of {briefing.tokens} tokens, within a budget of 300: what an agent reads first"
        )
        entries = await self._verify(app)
        await self._prove(app, hit.fact)
        codes = await self._tamper(app, hit.fact)
        return Quickstart(
            embedder=embedder,
            document=str(document),
            stored=imported.stored,
            skipped=imported.skipped,
            import_ms=import_ms,
            query=query,
            found=hit.snippet,
            found_id=hit.fact.id,
            search_ms=search_ms,
            recall_tokens=briefing.tokens,
            entries=entries,
            verified=True,
            proof_valid=True,
            tampering_found=codes,
        )

    async def _model(self, app: App) -> str | None:
        """Have the local model where that is chosen. Without it the tour goes on, and says so."""
        try:
            if self._settings.embedder_kind == "local":
                if choose.ready(self._settings) is not None:
                    self._say("Model", "fetching the one that search by meaning needs, for a minute at most")
                with watching() as progress:
                    request = PullModel(seconds=limits.MODEL_QUICKSTART_SECONDS)
                    pulled = await app.call(request, context=replace(app.context, progress=progress))
                self._say("Model", f"{pulled.name} ({pulled.origin}): search goes by words and by meaning")
            why = choose.tried(self._settings)
        except CortexError as error:
            why = error.message
        if why is not None:
            self._say("Model", f"none, so search goes by words alone: {why}")
            return None
        return choose.name(self._settings)

    async def _import(self, app: App, document: Path) -> tuple[FileImported, float]:
        began = time.perf_counter()
        report = (await app.call(ImportFiles(paths=[str(document)]))).files[0]
        took = (time.perf_counter() - began) * 1000
        if report.error or not report.stored:
            raise Invalid(f"nothing could be read from {document} ({report.error})", "give a Markdown or text file")
        self._say("Imported", f"{document}: {counted(report.stored, 'fact')} in {took:.0f} ms")
        return report, round(took, 2)

    async def _search(self, app: App) -> tuple[str, Hit, float]:
        facts = (await app.call(ListFacts(limit=1000))).facts
        query = _question(facts)
        began = time.perf_counter()
        hits = (await app.call(SearchFacts(query=query, top_k=3))).hits
        took = (time.perf_counter() - began) * 1000
        if not hits:
            raise NotFound(f"nothing was found for {query!r}", "give a document with more text")
        self._say("Searched", f'"{query}": found in {took:.1f} ms')
        self._say("", f"{short(hits[0].fact.id)}  {hits[0].snippet}")
        return query, hits[0], round(took, 2)

    async def _verify(self, app: App) -> int:
        report = await app.call(VerifyLedger())
        if not report.ok:
            raise Corrupt(f"a fresh ledger does not verify: {report.findings}", "report this as a fault of Cortex")
        entries = counted(report.entries, "ledger entry", "ledger entries")
        told = f"{entries} and {counted(report.revisions, 'text')}, every one unchanged"
        self._say("Verified", told)
        return report.entries

    async def _prove(self, app: App, fact: Fact) -> None:
        """A proof, checked as an outsider would: another Python, one file, the log's key."""
        head = await app.call(MakeCheckpoint())
        proof, trust = self._folder / "proof.json", self._folder / "trust.txt"
        await app.call(ProveFact(id=fact.id, output=str(proof)))
        trust.write_text(f"log {head.vkey}\n", encoding="utf-8")
        command = [sys.executable, "-I", str(offline.__file__), str(proof), "--trust", str(trust), "--json"]
        checked = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False, timeout=60)
        report = json.loads(checked.stdout or b"{}")
        if checked.returncode != 0:
            raise Corrupt(f"a fresh proof does not verify: {report}", "report this as a fault of Cortex")
        own = await app.call(VerifyExternal(path=str(proof), trust=str(trust)))
        assert own.status == "valid"
        self._say("Proved", f"that fact to an outsider: verify.py, alone in another process, accepts {proof.name}")

    async def _tamper(self, app: App, fact: Fact) -> list[str]:
        """Change the text behind the product's back, and look whether it is found."""
        connection = apsw.Connection(str(self._settings.db))
        with connection:
            connection.execute("UPDATE revision SET content = content || '.' WHERE fact_id = ?", (fact.id,))
        connection.close()
        report = await app.call(VerifyLedger())
        codes = sorted({finding.code for finding in report.findings})
        if codes != ["FACT_CHANGED"]:
            raise Corrupt(f"tampering was answered with {codes}", "report this as a fault of Cortex")
        self._say("Tampered", f"one character added with plain SQL: verification says {codes[0]}, as it should")
        return codes

    def _say(self, step: str, text: str) -> None:
        if self._loud:
            terminal.say([f"{step:>9}  {terminal.one_line(text)[:_SHOWN_CHARS]}"])


def _document(folder: Path) -> Path:
    """A real document at hand: the README or largest Markdown file here, else the one that came with the package."""
    here = sorted(Path.cwd().glob("*.md"), key=lambda path: (path.name != "README.md", -path.stat().st_size))
    for path in here:
        if path.is_file() and path.stat().st_size:
            return path
    try:
        described = metadata.distribution("cortex-memory").read_text("METADATA") or ""
    except metadata.PackageNotFoundError:
        described = ""
    text = described.partition("\n\n")[2]
    if not text.strip():
        raise NotFound("there is no Markdown file here", "give one: `cortex quickstart FILE`")
    written = folder / "README.md"
    written.write_text(text, encoding="utf-8")
    return written


def _question(facts: list[Fact]) -> str:
    """A question that a reader might have: the heading of a section in plain prose, and its rarest words."""
    spread = Counter(word for fact in facts for word in set(_words(fact.content)))
    prose = [fact for fact in facts if "|" not in fact.content and "```" not in fact.content] or facts
    chosen = min(prose, key=lambda fact: (-min(len(fact.content), _PROSE_CHARS), fact.content))
    path, _, body = chosen.content.partition(": ")
    heading = _words(path.rpartition(" > ")[2])[:_QUESTION_WORDS]
    rare = sorted(dict.fromkeys(_words(body)), key=lambda word: (spread[word], -len(word)))
    words = [*heading, *(word for word in rare if word not in heading)][:_QUESTION_WORDS]
    return " ".join(words) or chosen.content[:40]


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


def _next_steps() -> Iterator[str]:
    yield ""
    yield "That file is gone again. To begin with your own:"
    yield '  cortex store "We deploy on Tuesdays" --type decision     keep a fact (in ~/.cortex/cortex.db)'
    yield '  cortex search "when do we deploy"                        find it'
    yield "  cortex import CLAUDE.md notes.md                         take in what is written down"
    yield "  cortex ledger verify                                     check that nothing was changed"
    yield "To give it to an agent, add this to its MCP configuration:"
    server = {"mcpServers": {"cortex": {"command": sys.executable, "args": ["-m", "cortex", "mcp", "start"]}}}
    yield f"  {json.dumps(server)}"
