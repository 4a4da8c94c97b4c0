"""Every operation on every face: the same answer, and the same kind of error."""

import asyncio
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.cli import argv
from tests.mcp import client as mcp

import cortex
from cortex.ops.admin import LockAdmin, RotateAdmin, ShowAdmin, UnlockAdmin
from cortex.ops.agent_changes import RevokeAgent, TrustAgent
from cortex.ops.agent_keys import AddAgentKey, RotateAgentKey
from cortex.ops.agents import AddAgent, ListAgents, ShowAgent
from cortex.ops.balloting import NewVote
from cortex.ops.catalog import BY_REQUEST, OPERATIONS
from cortex.ops.doctor import Diagnose
from cortex.ops.embed import EmbedFacts
from cortex.ops.external import VerifyExternal
from cortex.ops.facts import ForgetFact, NewFact, RetractFact, ReviseFact, StoreFact, StoreFacts
from cortex.ops.graph import FindPath, ListEntities, RelateEntities, ShowGraph
from cortex.ops.ledger import (
    AcceptLedger,
    ExportLedger,
    MakeCheckpoint,
    ProveFact,
    ReadLedgerHistory,
    VerifyLedger,
)
from cortex.ops.model import PullModel, ReadModelStatus
from cortex.ops.node import Backup, InitNode, ReadStatus, Reindex
from cortex.ops.policies import ConfirmClock, SetPolicy
from cortex.ops.projects import ListProjects, RenameProject
from cortex.ops.registry import Request, encode_custom
from cortex.ops.resolving import ResolveFact
from cortex.ops.resubmitting import ResubmitVotes
from cortex.ops.search import Recall, SearchFacts
from cortex.ops.submitting import SubmitEvent
from cortex.ops.transfer import ExportFacts, ImportFiles
from cortex.ops.views import ListFacts, ReadHistory, ShowFact
from cortex.ops.vote_ledger import AcceptVotes, InitVoteLog, MakeVoteCheckpoint, VerifyVotes
from cortex.ops.vote_records import ExportVotes, ListVoteExports, ProveVote, ReadVoteHistory
from cortex.ops.votes import CastVote, CastVotes, ReadVotes

# A face takes a request and gives the answer as plain data, or the kind of its error.
Face = Callable[[Request[Any]], Any]
Step = Callable[["Scene"], Request[Any]]

DATED = "2026-01-01T00:00:00Z"
VOTE_ID = "00000000-0000-7000-8000-00000000000a"


class Scene:
    """What the steps of a scenario know of the ones before: answers by number, and a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answers: list[Any] = []

    def id_of(self, step: int) -> str:
        return str(self.answers[step]["id"])


def note(scene: Scene) -> str:
    path = scene.folder / "notes.md"
    path.write_text("# Billing\n\nInvoices leave on the 3rd.\n\n## Mail\n\nWe send them by mail.\n")
    return str(path)


# Every operation at least once, and every kind of error that a face can be asked for without breaking the file.
STEPS: list[Step] = [
    lambda s: StoreFact(
        content="Invoices leave on the 3rd", project="billing", key="day", tags=["a", "b"], valid_from=DATED
    ),
    lambda s: StoreFact(
        content="Invoices leave on the 3rd", project="billing", key="day", tags=["a", "b"], valid_from=DATED
    ),
    lambda s: StoreFact(content="- begins with a dash", meta={"a": {"b": [1, 2.5, True]}}, confidence="inferred"),
    lambda s: StoreFacts(facts=[NewFact(content="one", type="decision"), NewFact(content="two", thread="t", seq=1)]),
    lambda s: StoreFacts(facts=[NewFact(content="fine"), NewFact(content="  ")]),
    lambda s: ReviseFact(id=s.id_of(0), content="Invoices leave on the 5th", clear=["tags"]),
    lambda s: ReviseFact(id=s.id_of(0)[-8:], content="Invoices leave on the 6th", if_revision=2),
    lambda s: ReviseFact(id=s.id_of(0), content="too late", if_revision=1),
    lambda s: ReviseFact(id=s.id_of(0)),
    lambda s: ShowFact(id=s.id_of(0), history=True),
    lambda s: ShowFact(id="not an id"),
    lambda s: ShowFact(id="00000000"),
    lambda s: ReadHistory(id=s.id_of(0)),
    lambda s: SearchFacts(query="when do invoices leave?", project="billing", explain=True, top_k=3),
    lambda s: SearchFacts(query='"quoted" AND (broken* OR', all_projects=True),
    lambda s: SearchFacts(query="x", project="a", all_projects=True),
    lambda s: SearchFacts(query="x", as_of="2026-01-01"),
    lambda s: Recall(query="invoices", project="billing", max_tokens=200),
    lambda s: Recall(max_tokens=1),
    lambda s: ListFacts(all_projects=True, types=["decision"], limit=5),
    lambda s: ListFacts(limit=1, cursor="junk"),
    lambda s: ListFacts(limit=0),
    lambda s: ListProjects(),
    lambda s: RenameProject(old="billing", new="invoicing"),
    lambda s: RenameProject(old="nothing", new="else"),
    lambda s: RetractFact(id=s.id_of(2)),
    lambda s: RetractFact(id=s.id_of(2)),
    lambda s: ForgetFact(id=s.id_of(2)),
    lambda s: ShowFact(id=s.id_of(2)),
    lambda s: ReadLedgerHistory(fact=s.id_of(2)),
    lambda s: StoreFact(content="x" * (1 << 20) + "y"),
    lambda s: StoreFact(content="naive", valid_from="2026-01-01T00:00:00"),
    lambda s: MakeCheckpoint(),
    lambda s: VerifyLedger(),
    lambda s: VerifyLedger(incremental=True),
    lambda s: AcceptLedger(),
    lambda s: ReadStatus(),
    lambda s: ImportFiles(paths=[note(s)], project="billing"),
    lambda s: ImportFiles(paths=[str(s.folder / "missing.md")]),
    lambda s: ImportFiles(paths=["x"], format="nonsense"),
    lambda s: ExportFacts(output=str(s.folder / "facts.jsonl"), all_projects=True),
    lambda s: ExportFacts(output=str(s.folder / "facts.jsonl")),
    lambda s: ExportLedger(path=str(s.folder / "ledger.zip")),
    lambda s: ExportLedger(path=str(s.folder / "ledger.odt")),
    lambda s: ProveFact(id=s.id_of(0), output=str(s.folder / "proof.json")),
    lambda s: VerifyExternal(path=str(s.folder / "ledger.zip")),
    lambda s: VerifyExternal(path=str(s.folder / "notes.md")),
    lambda s: InitNode(),
    lambda s: Diagnose(),
    lambda s: Backup(target=str(s.folder / "backup.db")),
    lambda s: Reindex(),
    lambda s: EmbedFacts(),
    lambda s: RelateEntities(subject="Cortex", predicate="uses", object="SQLite", project="graphs"),
    lambda s: RelateEntities(subject="Cortex", predicate="likes", object="", project="graphs"),
    lambda s: ListEntities(project="graphs"),
    lambda s: ShowGraph(entity="cortex", project="graphs", depth=2),
    lambda s: ShowGraph(entity="nobody", project="graphs"),
    lambda s: FindPath(start="Cortex", end="SQLite", project="graphs"),
    lambda s: PullModel(seconds=0),
    lambda s: PullModel(source=str(s.folder / "missing.whl")),
    lambda s: ReadModelStatus(),
    lambda s: CastVote(id=s.id_of(0), vote=1, reason="seen", vote_id=VOTE_ID),
    lambda s: CastVote(id=s.id_of(0), vote=1, reason="seen", vote_id=VOTE_ID),
    lambda s: CastVote(id=s.id_of(0), vote=-1, vote_id=VOTE_ID),
    lambda s: CastVote(id=s.id_of(2), vote=1),
    lambda s: CastVote(id="00000000", vote=1),
    lambda s: CastVotes(votes=[NewVote(id=s.id_of(0), vote=-1, reason="- not so"), NewVote(id=s.id_of(0), vote=0)]),
    lambda s: CastVotes(votes=[NewVote(id=s.id_of(0), vote=1), NewVote(id=s.id_of(2), vote=1)]),
    lambda s: ReadVotes(id=s.id_of(0), limit=5),
    lambda s: ReadVotes(id=s.id_of(2)),
    lambda s: ResolveFact(id=s.id_of(0), truth="false", reason="asked"),
    lambda s: ResolveFact(id=s.id_of(0), truth="open", revision=1),
    lambda s: AddAgent(name="bob", projects=["in*"]),
    lambda s: AddAgent(name="bob", trust="trusted"),
    lambda s: AddAgent(name="..", trust="trusted"),
    lambda s: ListAgents(limit=1),
    lambda s: ShowAgent(name="tester"),
    lambda s: ShowAgent(name="nobody"),
    lambda s: TrustAgent(name="bob", level="trusted"),
    lambda s: AddAgentKey(name="bob", out=str(s.folder / "device.key"), projects=["invoicing"]),
    lambda s: AddAgentKey(name="bob", out=str(s.folder / "wider.key"), projects=["*"]),
    lambda s: RotateAgentKey(name="bob"),
    lambda s: RevokeAgent(name="bob"),
    lambda s: RevokeAgent(name="bob", public="0" * 64),
    lambda s: SubmitEvent(kind="trust", event={"agent": "bob"}, sigs=["0" * 128]),
    lambda s: ShowAdmin(),
    lambda s: LockAdmin(),
    lambda s: UnlockAdmin(),
    lambda s: RotateAdmin(),
    lambda s: SetPolicy(),
    lambda s: SetPolicy(rule="linear", parameters={"quorum": 2}),
    lambda s: SetPolicy(parameters={"quorums": 2}),
    lambda s: ConfirmClock(),
    lambda s: InitVoteLog(),
    lambda s: MakeVoteCheckpoint(),
    lambda s: MakeVoteCheckpoint(witness=True),
    lambda s: MakeCheckpoint(witness=False),
    lambda s: VerifyVotes(),
    lambda s: VerifyVotes(incremental=True, signatures=False, policy=False, text=False),
    lambda s: AcceptVotes(),
    lambda s: ResubmitVotes(),
    lambda s: ExportVotes(path=str(s.folder / "votes.zip")),
    lambda s: ExportVotes(path=str(s.folder / "votes.zip")),
    lambda s: ListVoteExports(limit=1),
    lambda s: ReadVoteHistory(fact=s.id_of(0), limit=2),
    lambda s: ReadVoteHistory(fact=s.id_of(0), cursor="junk"),
    lambda s: ReadVoteHistory(fact=s.id_of(2)),
    lambda s: ProveVote(vote=VOTE_ID, output=str(s.folder / "vote.json")),
    lambda s: ProveVote(vote="0"),
    lambda s: VerifyExternal(path=str(s.folder / "votes.zip"), receipts=[str(s.folder / "notes.md")]),
]

# What differs from run to run; everything else has to be the same.
VOLATILE = {
    "id", "fact", "recorded_at", "valid_from", "retired_at", "erased_at", "changed_at", "last_entry_at", "at", "since",
    "until", "digest", "salt", "hash", "origin", "root", "note", "vkey", "trust", "path", "rev", "parent", "leaf",
    "proof", "key_path", "text", "found", "memory", "signatures", "bytes", "log_bytes", "disclosure", "next", "error", "reason", "tokens",
    "promise", "public", "admin", "log", "registered", "votes_origin", "votes_vkey", "admin_key_path", "genesis",
}  # fmt: skip


_KEY_FILE = re.compile(r"/[^ ]+\.key\b")
# What a person is told to do with the admin key, and what a model is told instead.
_VOUCHING = re.compile(r"`cortex agent trust[^`]*` vouches for it|a person can vouch for it")
_KEEPING = re.compile(r"(its admin key, which .*|a person should) keep a copy of .*elsewhere")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def stable(found: Any) -> Any:
    """An answer without what differs from run to run; nulls are left out, as MCP leaves them out."""
    if isinstance(found, dict):
        return {k: stable(v) for k, v in found.items() if k not in VOLATILE and v is not None}
    if isinstance(found, list | tuple):
        return [stable(part) for part in found]
    if isinstance(found, str):
        told = _KEEPING.sub("keep the admin key", _VOUCHING.sub("vouch for it", found))
        return "an id" if _ID.fullmatch(found) else _KEY_FILE.sub("a key", told)
    return found


@contextmanager
def python_face(folder: Path) -> Iterator[Face]:
    with cortex.open(folder / "memory.db", agent="tester") as memory:

        def run(request: Request[Any]) -> Any:
            try:
                return msgspec.to_builtins(memory.call(request))
            except cortex.CortexError as error:
                return {"error_kind": error.kind}

        yield run


@contextmanager
def cli_face(folder: Path) -> Iterator[Face]:
    def run(request: Request[Any]) -> Any:
        answer = argv.call(BY_REQUEST[type(request)], request, f"--db={folder / 'memory.db'}")
        return {"error_kind": answer.error_kind} if answer.error_kind else answer.body

    yield run


@contextmanager
def mcp_face(folder: Path) -> Iterator[Face]:
    variables = {
        "CORTEX_MCP_TOOLS": "all",
        "CORTEX_AGENT": "tester",
        "CORTEX_PROJECT": "here",
        "CORTEX_EMBEDDER_KIND": "none",
        "CORTEX_MCP_RESULT_TOKENS": "100000",
    }
    with mcp.connected(folder, **variables) as connected:

        def run(request: Request[Any]) -> Any:
            operation = BY_REQUEST[type(request)]
            plain = msgspec.to_builtins(request, enc_hook=encode_custom)
            given = {name: value for name, value in plain.items() if value is not None}
            answer = connected.call(operation.tool_name, given)
            return {"error_kind": answer.kind} if isinstance(answer, mcp.Refused) else answer

        yield run


FACES = {"python": python_face, "cli": cli_face, "mcp": mcp_face}


def perform(name: str, folder: Path, *, only: set[type] | None = None) -> list[Any]:
    """The whole scenario on one face: its answers, None for what the face does not have."""
    scene = Scene(folder)
    with FACES[name](folder) as face:
        for step in STEPS:
            request = step(scene)
            has = name != "mcp" or BY_REQUEST[type(request)].mcp is not None
            if has and (only is None or type(request) in only):
                scene.answers.append(face(request))
            else:
                scene.answers.append(None)
    return scene.answers


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith("CORTEX_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CORTEX_PROJECT", "here")
    monkeypatch.setenv("CORTEX_AGENT", "tester")
    # What is embedded when is no matter of the face.
    monkeypatch.setenv("CORTEX_EMBEDDER_KIND", "none")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return tmp_path


def test_the_scenario_covers_every_operation(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.answers = [{"id": "0" * 32}] * len(STEPS)

    covered = {type(step(scene)) for step in STEPS}

    assert {operation.request for operation in OPERATIONS} == covered


def test_python_and_the_command_line_answer_alike(folder: Path) -> None:
    (folder / "one").mkdir()
    (folder / "two").mkdir()

    expected = perform("python", folder / "one")
    found = perform("cli", folder / "two")

    for number, (one, two) in enumerate(zip(expected, found, strict=True)):
        assert stable(one) == stable(two), f"step {number}"


def test_python_and_mcp_answer_alike(folder: Path) -> None:
    (folder / "one").mkdir()
    (folder / "two").mkdir()
    shared = {operation.request for operation in OPERATIONS if operation.mcp is not None}

    expected = perform("python", folder / "one", only=shared)
    found = perform("mcp", folder / "two")

    for number, (one, two) in enumerate(zip(expected, found, strict=True)):
        assert stable(one) == stable(two), f"step {number}"


def test_errors_of_all_kinds_were_compared(folder: Path) -> None:
    answers = perform("python", folder)

    kinds = {answer["error_kind"] for answer in answers if isinstance(answer, dict) and "error_kind" in answer}

    assert {"invalid", "not_found", "conflict", "revision_conflict", "too_large"} <= kinds


def test_the_async_face_takes_the_same_requests(folder: Path) -> None:
    async def use() -> tuple[str, list[str]]:
        async with cortex.Cortex(folder / "memory.db") as memory:
            fact = await memory.store("Invoices leave on the 3rd", project="billing")
            hits = await memory.search("invoices", project="billing")
            return fact.id, [hit.fact.id for hit in hits]

    stored, found = asyncio.run(use())

    assert [stored] == found
