"""Clean votes ledgers of many shapes raise no alarm: to their owner in every mode, to outsiders with every format."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex import limits, maintenance, times, verify
from cortex import settings as cortex_settings
from cortex.bench.attacking.ledgers import BuiltLedger
from cortex.errors import CortexError
from cortex.ops.admin import RotateAdmin
from cortex.ops.agent_changes import RevokeAgent, TrustAgent
from cortex.ops.agent_keys import AddAgentKey, RotateAgentKey
from cortex.ops.agents import AddAgent, ShowAgent
from cortex.ops.balloting import NewVote
from cortex.ops.checking import VotesReport
from cortex.ops.facts import ForgetFact, NewFact, RetractFact, ReviseFact, StoreFacts
from cortex.ops.ledger import VerifyLedger
from cortex.ops.node import Backup
from cortex.ops.policies import ConfirmClock, SetPolicy
from cortex.ops.resolving import ResolveFact
from cortex.ops.resubmitting import ResubmitVotes
from cortex.ops.vote_ledger import InitVoteLog, MakeVoteCheckpoint, VerifyVotes
from cortex.ops.vote_records import ExportVotes, ProveVote
from cortex.ops.votes import CastVote, CastVotes
from cortex.progress import silent
from cortex.verify import Report
from opened import Clock, Memory

Opening = Callable[..., Memory]

AGENTS = 7
SIZES = [0, 1, 2, 3, 255, 256, 257, 999, 1000, 1001, 2100]
FORMATS = ["bundle", "bundle.zip", "bundle.json"]


def grow(memory: Memory, votes: int) -> None:
    """Vote with a few agents on one fact after the other until there are so many votes."""
    memory.call(InitVoteLog())
    held = memory.sql().execute("SELECT votes FROM vote_log").fetchone()
    assert held is not None
    for first in range(int(str(held[0])), votes, limits.VOTES_BATCH_MAX):
        numbers = range(first, min(votes, first + limits.VOTES_BATCH_MAX))
        new = [NewFact(content=f"fact {number}") for number in numbers if number % AGENTS == 0 or number == first]
        facts = [fact.id for fact in memory.call(StoreFacts(facts=new)).facts]
        shift = first // AGENTS
        chosen = [
            NewVote(id=facts[number // AGENTS - shift], vote=-1 if number % 5 == 4 else 1, agent=f"a{number % AGENTS}")
            for number in numbers
        ]
        memory.call(CastVotes(votes=chosen))


def clean(memory: Memory, **request: Any) -> VotesReport:
    """A verification without a finding, which says so."""
    told = memory.call(VerifyVotes(**request))
    assert ([], True, 0, 0) == (told.findings, told.ok, told.more_findings, told.exit_code)
    return told


def checked(memory: Memory, target: Path, *, trusting: bool = True, **options: Any) -> Report:
    """What an outsider says of the ledger as it is exported, which finds nothing."""
    exported = memory.call(ExportVotes(path=str(target)))
    trust = target.with_name("trust.txt")
    trust.write_text("\n".join(exported.trust) + "\n")
    report = verify.verify_path(target, trust if trusting else None, **options)
    assert ([], 0, exported.entries) == (report.findings, report.exit_code, report.leaves), str(report)
    return report


def told_alike(memory: Memory, report: Report) -> None:
    """What the offline verifier computes of verdicts and agents is what the tables say."""
    sql = memory.sql()
    tallies = sql.execute("SELECT fact, lower(hex(digest)), sigma_e6, verdict, resolved FROM vote_tally ORDER BY 1, 2")
    agents = sql.execute("SELECT name, level, for_e6, against_e6, day FROM vote_agent ORDER BY name")
    assert tallies.fetchall() == [
        (row["fact"], row["digest"], row["sigma_e6"], row["by_votes"], row["resolved"]) for row in report.verdicts
    ]
    assert agents.fetchall() == [
        (row["agent"], row["level"], row["for_e6"], row["against_e6"], row["day"]) for row in report.agents
    ]


@pytest.mark.parametrize("votes", SIZES)
def test_a_ledger_of_any_size_is_clean(memory: Memory, tmp_path: Path, votes: int) -> None:
    grow(memory, votes)

    told = clean(memory)

    assert (votes, votes // 1_000) == (told.votes, told.merkle_roots)
    assert clean(memory, incremental=True).checked_from == told.size
    told_alike(memory, checked(memory, tmp_path / "bundle", verdicts=True))


def test_a_ledger_is_clean_as_it_grows_and_what_was_verified_is_read_no_second_time(memory: Memory) -> None:
    before = 0
    for votes in (1, 2, 255, 256, 257, 999, 1000, 1001, 2100):
        grow(memory, votes)

        told = clean(memory, incremental=True)

        assert (votes, before) == (told.votes, told.checked_from)
        before = told.size
    assert told.root == clean(memory).root


@pytest.fixture
def scripted(voted: BuiltLedger, tmp_path: Path) -> Iterator[Memory]:
    """A copy of the ledger with rotations, revocations, revisions, an erasure, and several agents and devices."""
    shutil.copytree(voted.home, tmp_path / "home")
    with Memory(voted.copy(tmp_path), tmp_path / "home", Clock("2026-03-06T00:00:00Z")) as memory:
        yield memory


@pytest.mark.parametrize(
    "options", [{}, {"incremental": True}, {"signatures": False}, {"policy": False}, {"text": False}]
)
def test_every_kind_of_event_leaves_a_clean_ledger_in_every_mode(scripted: Memory, options: dict[str, bool]) -> None:
    told = clean(scripted, **options)

    assert any(line.startswith("receipts: ") and "compared" in line for line in told.outside)


def test_every_kind_of_event_leaves_a_clean_ledger_to_who_kept_receipts(scripted: Memory, voted: BuiltLedger) -> None:
    told = clean(scripted, receipts=[str(path) for path in voted.receipts])

    assert [True] == [line.startswith("receipts: ") and line.endswith(" compared") for line in told.outside]


@pytest.mark.parametrize("trusting", [True, False])
@pytest.mark.parametrize("name", FORMATS)
def test_every_kind_of_event_leaves_a_clean_bundle(
    scripted: Memory, voted: BuiltLedger, tmp_path: Path, name: str, trusting: bool
) -> None:
    saved = tmp_path / "saved.txt"
    saved.write_text(voted.saved)

    report = checked(
        scripted, tmp_path / name, trusting=trusting, checkpoints=[saved], receipts=voted.receipts, verdicts=True
    )

    told_alike(scripted, report)
    assert "ok  outside memory: 1 checkpoint, 28 receipts" in report.notes


def test_cosigned_checkpoints_are_what_a_trust_policy_asks_for(
    scripted: Memory, voted: BuiltLedger, tmp_path: Path
) -> None:
    scripted.call(ExportVotes(path=str(tmp_path / "bundle")))
    trust = tmp_path / "policy.txt"
    trust.write_text(voted.trust)

    report = verify.verify_path(tmp_path / "bundle", trust)

    assert ([], 0) == (report.findings, report.exit_code)


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(
            ["vote", "vote", "vote", "withdraw", "prove", "key", "rotate", "end key", "end agent", "trust", "policy",
             "resolve", "revise", "forget", "retract", "admin", "seal", "day", "weeks", "months", "back"]
        ),
        st.integers(0, 20),
    ),
    max_size=30,
)  # fmt: skip


@settings(max_examples=15)
@given(CHANGES)
def test_any_sequence_of_changes_is_clean_and_incremental_verification_equals_full(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    with Memory(folder / "memory.db", folder / "home", Clock(), checkpoint_leaves=7) as memory:
        live = [fact.id for fact in memory.call(StoreFacts(facts=[NewFact(content=f"f{n}") for n in range(6)])).facts]
        for name in ("ann", "bob", "cay", "dan"):
            memory.call(AddAgent(name=name, trust="trusted" if name == "dan" else None))
        for at, (kind, number) in enumerate(changes):
            memory.clock.advance(seconds=1)
            try:
                change(memory, folder, kind, number, live, at)
            except CortexError:
                pass  # what may not be is refused, and leaves no trace
            if at % 6 == 5:
                clean(memory, incremental=True)

        partial, whole = clean(memory, incremental=True), clean(memory)
        assert (partial.size, partial.root) == (whole.size, whole.root)
        assert memory.call(VerifyLedger()).ok
        told_alike(memory, checked(memory, folder / "bundle", verdicts=True))


def change(memory: Memory, folder: Path, kind: str, number: int, live: list[str], at: int) -> None:
    """One change of any kind; some of them are refused."""
    fact, agent = live[number % len(live)] if live else "0" * 32, ("ann", "bob", "cay", "dan", "eve")[number % 5]
    waits = {"day": {"days": 1, "seconds": 1}, "weeks": {"days": 15}, "months": {"days": 95}, "back": {"seconds": -40}}
    match kind:
        case "vote" | "withdraw":
            vote: Any = 0 if kind == "withdraw" else -1 if number % 3 == 0 else 1
            memory.call(CastVote(id=fact, vote=vote, agent=agent, reason="seen" if number % 4 else None))
        case "prove":
            memory.call(ProveVote(vote=str(number)))
        case "key":
            memory.call(AddAgentKey(name=agent, out=str(folder / f"key-{at}")))
        case "rotate":
            memory.call(RotateAgentKey(name=agent))
        case "end key":
            memory.call(RevokeAgent(name=agent, public=memory.call(ShowAgent(name=agent)).keys[-1].public))
        case "end agent":
            memory.call(RevokeAgent(name=agent))
        case "trust":
            memory.call(TrustAgent(name=agent, level=("untrusted", "standard", "trusted")[number % 3]))
        case "policy":
            memory.call(SetPolicy(rule=("weighted", "linear")[number % 2], parameters={"quorum": 1 + number % 3}))
        case "resolve":
            memory.call(ResolveFact(id=fact, truth=("true", "false", "open")[number % 3], reason="said"))
        case "admin":
            memory.call(RotateAdmin())
        case "seal":
            memory.call(MakeVoteCheckpoint())
        case _ if kind in waits:
            memory.clock.advance(**waits[kind])
            if kind == "months":
                memory.call(ConfirmClock())
        case _ if live:
            change_fact(memory, kind, live, live.index(fact), at)


def change_fact(memory: Memory, kind: str, live: list[str], index: int, at: int) -> None:
    if kind == "revise":
        memory.call(ReviseFact(id=live[index], content=f"revised {at}"))
    elif kind == "retract":
        memory.call(RetractFact(id=live.pop(index)))
    else:
        memory.call(ForgetFact(id=live.pop(index)))


def test_settling_over_months_is_clean(memory: Memory, tmp_path: Path) -> None:
    for name in ("ann", "bob", "cay", "dan"):
        memory.call(AddAgent(name=name))
    for month in range(8):
        facts = memory.call(StoreFacts(facts=[NewFact(content=f"fact {month} {n}") for n in range(3)])).facts
        votes = [
            NewVote(id=fact.id, vote=-1 if number == 2 else 1, agent=name)
            for number, fact in enumerate(facts)
            for name in ("ann", "bob", "cay", "dan")
        ]
        memory.call(CastVotes(votes=votes))
        memory.clock.advance(days=2)
        memory.call(CastVote(id=facts[0].id, vote=-1, agent="dan"))
        if month == 4:
            memory.clock.advance(days=40)
            memory.call(ConfirmClock())
        memory.clock.advance(days=28)
        clean(memory, incremental=True)

    judged = memory.sql().execute("SELECT count(*) FROM vote_judged").fetchone()

    assert (96,) == judged
    clean(memory)
    told_alike(memory, checked(memory, tmp_path / "bundle", verdicts=True))


def put_back(memory: Memory, backup: Path) -> Memory:
    """The memory with a backup in the place of its file, opened again."""
    memory.close()
    chosen = cortex_settings.load(
        flags={"db": memory.path, "agent": "tester"}, environ={"CORTEX_HOME": str(memory.home)}, cwd=memory.path.parent
    )
    maintenance.restore(chosen, backup, silent)
    return memory.reopen()


def test_a_restored_ledger_is_clean_once_the_lost_votes_were_handed_in_again(memory: Memory, tmp_path: Path) -> None:
    memory.clock.set(times.now())  # restoring asks the clock of the machine
    facts = memory.call(StoreFacts(facts=[NewFact(content=f"fact {n}") for n in range(4)])).facts
    for name in ("ann", "bob"):
        memory.call(AddAgent(name=name))
        memory.call(CastVote(id=facts[0].id, vote=1, agent=name))
    memory.call(Backup(target=str(tmp_path / "backup.db")))
    lost = [memory.call(CastVote(id=fact.id, vote=-1, agent="ann")) for fact in facts[1:]]
    memory.call(ProveVote(vote=lost[0].vote_id))

    with put_back(memory, tmp_path / "backup.db") as again:
        missed = again.call(VerifyVotes())
        again.call(ResubmitVotes())

        told = clean(again)
        report = checked(again, tmp_path / "bundle", verdicts=True)

    assert {"RECEIPT_MISSING", "PROMISE_BROKEN"} == {finding.code for finding in missed.findings}
    assert 5 == told.votes
    assert ["restored"] == [
        row["event"] and row["kind"] for row in leaves(tmp_path / "bundle") if row["kind"] == "restored"
    ]
    told_alike(again, report)


def leaves(bundle: Path) -> Iterator[dict[str, Any]]:
    """The leaves in a bundle."""
    for line in (bundle / "leaves.jsonl").read_bytes().splitlines():
        leaf = verify.parse_vote_leaf(line)
        assert leaf is not None
        yield leaf


def test_a_ledger_that_another_node_key_goes_on_with_is_clean(memory: Memory, opening: Opening, tmp_path: Path) -> None:
    grow(memory, 20)
    memory.call(MakeVoteCheckpoint())
    memory.close()
    shutil.copy(memory.path, tmp_path / "copy.db")

    copy = opening("copy.db")
    assert copy.call(InitVoteLog()).restored
    grow(copy, 40)

    assert (40, "this node's key") == (clean(copy).votes, clean(copy).checkpoint_key)
    checked(copy, tmp_path / "bundle")


WRITE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from cortex.ops.votes import CastVote
from opened import Clock, Memory
with Memory(Path(sys.argv[2]), Path(sys.argv[3]), Clock(), checkpoint_leaves=7) as memory:
    for number in range(30):
        fact = memory.store(f"{sys.argv[4]} {number}")
        memory.call(CastVote(id=fact.id, vote=1, agent=sys.argv[4], reason="seen"))
"""


def test_verification_is_clean_while_other_processes_vote(memory: Memory) -> None:
    memory.call(InitVoteLog())
    tests = str(Path(__file__).parent.parent)
    for name in ("ann", "bo"):
        memory.call(AddAgent(name=name))
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITE, tests, str(memory.path), str(memory.home), name])
        for name in ("ann", "bo")
    ]

    while any(writer.poll() is None for writer in writers):
        clean(memory)
        clean(memory, incremental=True)

    assert [0, 0] == [writer.returncode for writer in writers]
    assert (60, ["receipts: 60 compared"]) == (clean(memory).votes, clean(memory).outside)
