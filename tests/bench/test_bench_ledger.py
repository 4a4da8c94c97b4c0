"""The suite `ledger`: complete, on logs that verify, and gone without a trace."""

from pathlib import Path

import pytest

from cortex.bench import suite, vote_files, vote_ledger
from cortex.bench.figures import Benchmark
from cortex.bench.table import lines
from cortex.bench.task import Task
from cortex.db.connect import connect, integer
from cortex.errors import Invalid
from cortex.trust import log as logs

NAMES = [
    "vote one by one: CPU per vote",
    "plain insert of the same row: CPU",
    "vote one by one: CPU beyond a plain insert",
    "32 voters at once",
    "32 voters at once: acknowledged votes that are there once",
    "a batch of 60 votes",
    "integrity of 70 votes: CPU",
    "integrity of 70 votes: peak memory",
    "integrity and all signatures of 70 votes: CPU",
    "rules of 70 votes, replayed: CPU",
    "structure of 70 votes: CPU",
    "integrity of 70 votes, 1,000 later, incremental: CPU",
    "integrity and signatures of 70 votes, 1,000 later, incremental: CPU",
    "rules of 70 votes, 1,000 later, incremental: CPU",
    "append to 1 votes: CPU per vote",
    "append to 70 votes: CPU per vote",
    "append to 70 votes: times that of 1",
    "attacks on a votes ledger, each at every level",
    "attacks that nobody finds",
]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    temporary = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(temporary))
        found = suite.run(suite.Options(suite="ledger", quick=True, entries=(70,)))
    assert isinstance(found, Benchmark)
    assert [] == list(temporary.iterdir())
    return found


def test_a_quick_run_measures_everything(ran: Benchmark) -> None:
    assert NAMES == [figure.name for figure in ran.figures]
    assert [] == [figure.note for figure in ran.figures if figure.verdict == "not measured"]


def test_votes_that_were_acknowledged_are_in_the_ledger_once(ran: Benchmark) -> None:
    kept = next(figure for figure in ran.figures if figure.name.endswith("there once"))

    assert (320, "met") == (kept.value, kept.verdict)


def test_people_see_all_that_programs_get(ran: Benchmark) -> None:
    shown = "\n".join(lines(ran))

    assert all(figure.name in shown for figure in ran.figures)
    assert {code for row in ran.attacks for code in row.owner} <= set(shown.split())


def test_the_attacks_stand_in_a_table_and_none_goes_unfound(ran: Benchmark) -> None:
    flipped = [row for row in ran.attacks if (row.attack, row.level) == ("a vote flipped", "witness keys")]

    assert [0.0] == [figure.value for figure in ran.figures if figure.name == "attacks that nobody finds"]
    assert [
        ("none", ["AGENT_SIG", "STATE_POLICY"], ["AGENT_SIG"]),
        ("remembered", ["AGENT_SIG", "HISTORY_REWRITTEN", "STATE_POLICY"], None),
    ] == [(row.memory, row.owner, row.outsider) for row in flipped[:2]]


def test_measuring_leaves_a_log_its_size(tmp_path: Path) -> None:
    for size in (1, 25):
        vote_files.fill(Task(probe="fill votes", folder=str(tmp_path), quick=True, size=size))

    vote_ledger.verification(Task(probe="vote integrity", folder=str(tmp_path), quick=True, size=25))
    vote_ledger.appending(Task(probe="append votes", folder=str(tmp_path), quick=True))

    assert [1, 25] == [votes_in(vote_files.votes_file(tmp_path, size)) for size in (1, 25)]


def test_filled_logs_hold_votes_of_every_agent_on_each_fact(tmp_path: Path) -> None:
    vote_files.make(tmp_path / "votes.db", 40)

    tx = connect(tmp_path / "votes.db", busy_timeout_ms=1_000)

    try:
        assert 40 + 1 + vote_files.AGENTS == logs.needed(tx).size
        assert 4 == integer(tx, "SELECT count(DISTINCT fact) FROM vote_tally")
        assert 0 < integer(tx, "SELECT count(*) FROM vote_current WHERE vote = -1") < 20
    finally:
        tx.close()


def test_facts_are_no_option_of_the_ledger() -> None:
    with pytest.raises(Invalid, match="the suite ledger takes no --facts"):
        suite.run(suite.Options(suite="ledger", facts=(10,)))


def votes_in(path: Path) -> int:
    tx = connect(path, busy_timeout_ms=1_000)
    try:
        return logs.needed(tx).votes
    finally:
        tx.close()
