"""What somebody put in the file, or what became of the own folder, keeps no self-verification away."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conftest import Opening
from watching import NO_TEXT, alarms, edit, look, looks, runs

from cortex import times
from cortex.errors import Unavailable
from cortex.ledger import checkpoint
from cortex.ledger import memory as outside
from cortex.ledger.checkpoint import Checkpoint
from cortex.ops import verification, vote_verification
from cortex.ops.ledger import VerifyLedger
from cortex.ops.node import ReadStatus
from cortex.ops.vote_ledger import InitVoteLog, MakeVoteCheckpoint, VerifyVotes
from cortex.ops.votes import CastVote
from cortex.ops.watch import Watch
from opened import Memory

BOTH = [("transactions", 1, 0), ("votes", 1, 0)]


@pytest.fixture
def voted(memory: Memory) -> Memory:
    fact = memory.store("one")
    memory.call(CastVote(id=fact.id, vote=1))
    return memory


# Cells that are no text.


@pytest.mark.parametrize("column", ["passes", "finished_at", "findings", "log"])
def test_runs_whose_text_is_none_count_as_no_runs(voted: Memory, column: str) -> None:
    look(voted)
    edit(voted, f"UPDATE vote_integrity_checks SET {column} = {NO_TEXT}")

    look(voted)

    assert BOTH == runs(voted)[2:]


@pytest.mark.parametrize("nested", ["[" * 200_000, "[" * 50_000 + "]" * 50_000])
def test_runs_that_are_nested_beyond_reading_count_as_no_runs(voted: Memory, nested: str) -> None:
    look(voted)
    with voted.sql() as connection:
        connection.execute("UPDATE vote_integrity_checks SET passes = ?, findings = ?", (nested, nested))

    look(voted)

    assert BOTH == runs(voted)[2:]


@pytest.mark.parametrize(
    ("statement", "log"),
    [
        (f"UPDATE vote_log SET origin = {NO_TEXT}", "votes"),
        ("DROP TABLE vote_log", "votes"),
        (f"UPDATE ledger_log SET origin = {NO_TEXT}", "transactions"),
        ("DROP TABLE ledger_log", "transactions"),
    ],
)
def test_a_state_row_that_cannot_be_read_makes_its_log_due_and_leaves_the_other_alone(
    voted: Memory, statement: str, log: str, caplog: pytest.LogCaptureFixture
) -> None:
    other = "votes" if log == "transactions" else "transactions"
    edit(voted, statement)

    look(voted)

    assert (log, 0, 0) in runs(voted)
    assert other in {name for name, _, _ in runs(voted)}
    assert log in {name for name, _ in alarms(caplog)}


@pytest.mark.parametrize("statement", [f"UPDATE vote_log SET origin = {NO_TEXT}", "DROP TABLE vote_log"])
def test_the_alarm_over_such_a_row_is_not_given_again_at_each_look(voted: Memory, statement: str) -> None:
    edit(voted, statement)

    look(voted)
    first = runs(voted)
    look(voted)

    assert first == runs(voted)


def test_a_table_of_runs_that_is_gone_is_found_and_not_told_again_at_each_look(
    voted: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    edit(voted, "DROP TABLE vote_integrity_checks")
    watch = Watch(voted.app.context)

    looks(voted, watch, 3)
    watch.close()

    assert [("transactions", "SCHEMA"), ("votes", "SCHEMA")] == sorted(set(alarms(caplog)))
    assert len(set(alarms(caplog))) == len(alarms(caplog))


# The own folder.


def _no_json(place: Path) -> None:
    place.write_text("{")


def _a_folder(place: Path) -> None:
    place.unlink()
    place.mkdir()


def _no_folder_above(place: Path) -> None:
    shutil.rmtree(place.parent)
    place.parent.write_text("x")


@pytest.mark.parametrize("damage", [_no_json, _a_folder, _no_folder_above])
def test_a_memory_that_cannot_be_read_is_written_down_and_told_once_a_pause(
    voted: Memory, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    voted.call(VerifyLedger())
    voted.call(VerifyVotes())
    damage(outside.place(voted.home, voted.path))
    watch = Watch(voted.app.context)

    looks(voted, watch, 3)
    watch.close()

    assert [("transactions", "UNFINISHED"), ("votes", "UNFINISHED")] == alarms(caplog)
    assert [("transactions", 0, 0), ("votes", 0, 0)] == runs(voted)[2:]
    assert [["UNFINISHED"]] * 2 == [run.codes for run in voted.call(ReadStatus()).verified]


def test_what_a_worker_says_of_trying_again_is_passed_on(voted: Memory) -> None:
    passing = Unavailable("locked", "try again", 1_000)

    again = verification.error_of(verification.error_line(passing))

    assert isinstance(again, Unavailable)
    assert 1_000 == again.retry_after_ms


def test_witnesses_are_asked_also_where_verifying_failed(
    opening: Opening, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    memory = opening(witnesses=f"file:{tmp_path / 'witness'}")
    memory.call(InitVoteLog())
    memory.call(MakeVoteCheckpoint(witness=False))
    memory.home.joinpath("verified").mkdir(exist_ok=True)
    outside.place(memory.home, memory.path).write_text("{")

    look(memory)

    assert "note" in (tmp_path / "witness").read_text()
    assert ("votes", "UNFINISHED") in alarms(caplog)


# Runs written by hand.


def forge(memory: Memory, at: str, ok: int) -> None:
    with memory.sql() as connection:
        for log, passes in (("transactions", verification.PASSES), ("votes", vote_verification.PASSES)):
            connection.execute(
                "INSERT INTO vote_integrity_checks (log, started_at, finished_at, ok, incremental, size, votes, passes,"
                " findings) VALUES (?1, ?2, ?2, ?3, 0, 3, 1, ?4, '[]')",
                (log, at, ok, str(sorted(passes)).replace("'", '"')),
            )


def test_a_run_by_hand_that_says_it_found_something_holds_nothing_off(voted: Memory) -> None:
    forge(voted, voted.clock(), 0)

    look(voted)

    assert BOTH == runs(voted)[2:]


def test_an_alarm_is_not_repeated_by_another_process_that_looks_too(voted: Memory) -> None:
    edit(voted, "UPDATE vote_tally SET sigma_e6 = 1")

    look(voted)
    with voted.reopen() as other:
        look(other)

    assert [("transactions", 1, 0), ("votes", 0, 0)] == runs(voted)


def test_a_run_by_hand_that_found_something_is_not_repeated_at_once(voted: Memory) -> None:
    edit(voted, "UPDATE vote_tally SET sigma_e6 = 1")
    voted.call(VerifyVotes())

    look(voted)

    assert [("votes", 0, 0), ("transactions", 1, 0)] == runs(voted)


@pytest.mark.parametrize(
    "trigger",
    [
        "AFTER INSERT ON vote_integrity_checks BEGIN DELETE FROM vote_integrity_checks; END",
        "AFTER INSERT ON vote_integrity_checks BEGIN UPDATE vote_integrity_checks SET finished_at = ''; END",
    ],
)
def test_a_trigger_that_takes_the_runs_away_repeats_no_alarm_at_each_look(
    voted: Memory, trigger: str, caplog: pytest.LogCaptureFixture
) -> None:
    edit(voted, f"CREATE TRIGGER more {trigger}")

    look(voted)
    look(voted)

    assert [("transactions", "SCHEMA"), ("votes", "SCHEMA")] == alarms(caplog)


def test_an_alarm_of_long_ago_lets_no_forged_run_count(voted: Memory) -> None:
    edit(voted, "UPDATE vote_tally SET sigma_e6 = 1")
    look(voted)
    place = outside.place(voted.home, voted.path)
    (mark,) = [found for found in place.parent.iterdir() if found.name.endswith(".alarm-votes")]
    now = times.now()[:4]
    mark.write_text(mark.read_text().replace(f'"{now}', '"2020'))
    forge(voted, voted.clock(), 0)

    look(voted)

    assert ("votes", 0, 0) == runs(voted)[-1]


def test_a_note_of_a_witness_that_was_forged_is_told_by_both(
    opening: Opening, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    memory = opening(witnesses=f"file:{tmp_path / 'witness'}")
    memory.store("one")
    with memory.sql() as connection:
        (origin,) = connection.execute("SELECT origin FROM ledger_log").fetchone()
    forged = checkpoint.sign(Checkpoint(origin, 1_000, bytes(32)), memory.app.context.node_key.signer(origin))
    (tmp_path / "witness").write_text(json.dumps({"note": forged}) + "\n")

    look(memory)

    assert ("transactions", "ROLLBACK") in alarms(caplog)
