"""What could not be read of what others keep is said where people look: in the alarm, the status and by the doctor."""

from pathlib import Path

import pytest
from tests.conftest import Opening
from watching import NO_TEXT, alarms, edit, look, looks, runs

from cortex.cli import reports
from cortex.cli.terminal import Screen
from cortex.ops.agents import AddAgent
from cortex.ops.doctor import Check, Diagnose
from cortex.ops.node import ReadStatus, Status
from cortex.ops.runs import LastRun
from cortex.ops.vote_ledger import VerifyVotes
from cortex.ops.votes import CastVote
from cortex.ops.watch import Watch
from cortex.times import parse
from opened import START, Memory


@pytest.fixture
def voted(opening: Opening) -> Memory:
    return cast(opening(embedder_kind="none"))


def cast(memory: Memory) -> Memory:
    """Let an agent with a key of its own, and so with receipts, vote."""
    memory.call(AddAgent(name="ann"))
    memory.call(CastVote(id=memory.store("one").id, vote=1, agent="ann"))
    return memory


def spoil_receipts(memory: Memory) -> None:
    next((memory.home / "agents").rglob("*.receipts")).write_bytes(b"junk\n")


def last(memory: Memory, log: str = "votes") -> LastRun:
    return next(run for run in memory.call(ReadStatus()).verified if run.log == log)


def shown(memory: Memory) -> list[str]:
    found: Status = memory.call(ReadStatus())
    lines = reports.status(found, Screen(width=None, color=False, now=parse(START)))
    return [line for line in lines if "verified" in line or "runs" in line]


def check(memory: Memory, name: str) -> Check:
    return next(one for one in memory.call(Diagnose()).checks if one.name == name)


# What could not be read.


def test_receipts_that_cannot_be_read_stay_with_the_run_and_are_shown(voted: Memory) -> None:
    spoil_receipts(voted)

    report = voted.call(VerifyVotes())

    assert 3 == report.exit_code
    run = last(voted)
    assert (True, [], report.unchecked, None) == (run.ok, run.codes, run.unchecked, run.damaged)
    (line,) = [line for line in shown(voted) if line.startswith("votes log verified")]
    assert "not everything could be read" in line
    assert "ann.receipts" in line
    assert ", valid" not in line


def test_the_watch_warns_of_them_and_tries_again_after_a_pause(
    voted: Memory, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_receipts(voted)
    watch = Watch(voted.app.context)

    looks(voted, watch, 3)

    assert [("votes", "UNCHECKED")] == alarms(caplog)
    monkeypatch.setattr("cortex.ops.watch.time.monotonic", lambda: 1e12)
    looks(voted, watch, 1)
    watch.close()
    assert [("votes", "UNCHECKED")] * 2 == alarms(caplog)
    assert last(voted).incremental


def test_where_only_whole_runs_are_made_it_is_a_whole_one_that_is_tried_again(opening: Opening) -> None:
    memory = cast(opening(verify_every_seconds=0, embedder_kind="none"))
    spoil_receipts(memory)
    look(memory)

    look(memory)

    tries = [part for log, _, part in runs(memory) if log == "votes"]
    assert [0, 0] == tries


def test_once_they_can_be_read_again_the_next_try_says_so_and_no_more_is_due(voted: Memory) -> None:
    place = next((voted.home / "agents").rglob("*.receipts"))
    content = place.read_bytes()
    spoil_receipts(voted)
    look(voted)
    place.write_bytes(content)

    look(voted)
    after = last(voted)
    look(voted)

    assert ([], True) == (after.unchecked, after.incremental)
    assert after == last(voted)


# A record that somebody edited.


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (f"findings = {NO_TEXT}", "findings"),
        ("findings = 'junk'", "findings"),
        (f"finished_at = {NO_TEXT}", "time"),
        ("finished_at = 'x'", "time"),
        ("finished_at = '2026-02-30T09:00:00.000000Z'", "time"),
        ("ok = 0", "ok"),
        ("ok = 7", "ok"),
        ('findings = \'[{"code":"GAP","origin":null,"entry":null,"what":"x"}]\'', "ok"),
    ],
)
def test_a_record_that_was_edited_is_called_damaged(voted: Memory, change: str, told: str) -> None:
    voted.call(VerifyVotes())
    edit(voted, f"UPDATE vote_integrity_checks SET {change}")

    run = last(voted)

    assert run.damaged is not None
    assert told in run.damaged
    (line,) = [line for line in shown(voted) if line.startswith("votes log verified")]
    assert "damaged" in line
    assert "cortex vote-ledger verify" in line
    assert not check(voted, "votes verified").ok


def test_findings_that_are_nested_beyond_reading_are_called_damaged(voted: Memory) -> None:
    voted.call(VerifyVotes())
    with voted.sql() as connection:
        connection.execute("UPDATE vote_integrity_checks SET findings = ?", ("[" * 50_000 + "]" * 50_000,))

    assert last(voted).damaged is not None


def test_a_run_of_no_log_is_called_damaged_and_the_log_never_verified(voted: Memory) -> None:
    voted.call(VerifyVotes())
    edit(voted, f"UPDATE vote_integrity_checks SET log = {NO_TEXT}")

    lines = shown(voted)

    assert any("never" in line for line in lines if line.startswith("votes log verified"))
    assert any("damaged" in line for line in lines if "runs" in line)


def test_a_table_of_runs_that_is_gone_breaks_no_status(voted: Memory) -> None:
    edit(voted, "DROP TABLE vote_integrity_checks")

    assert {True} == {run.damaged is not None for run in voted.call(ReadStatus()).verified}


# The doctor.


def test_a_log_whose_last_time_is_none_breaks_neither_status_nor_doctor(voted: Memory) -> None:
    edit(voted, "UPDATE vote_log SET ts = 'x'", "UPDATE ledger_log SET ts = 'x'")

    found = voted.call(ReadStatus()).votes_log

    assert found is not None
    assert not found.takes_votes
    assert (False, False) == (check(voted, "votes").ok, check(voted, "clock").ok)


def test_the_doctor_says_that_nothing_was_verified_yet_with_the_command(voted: Memory) -> None:
    votes, ledger = check(voted, "votes verified"), check(voted, "ledger verified")

    assert (True, True) == (votes.ok, "never" in votes.found)
    assert "`cortex vote-ledger verify`" in votes.found
    assert "`cortex ledger verify`" in ledger.found


def test_the_doctor_names_the_run_that_found_something(voted: Memory) -> None:
    edit(voted, "UPDATE vote_tally SET sigma_e6 = 1")
    voted.call(VerifyVotes())

    votes = check(voted, "votes verified")

    assert (False, True, True) == (votes.ok, "STATE_POLICY" in votes.found, START in votes.found)
    assert "cortex vote-ledger verify" in votes.hint
    assert check(voted, "ledger verified").ok


def test_the_doctor_names_what_could_not_be_read(voted: Memory) -> None:
    spoil_receipts(voted)
    voted.call(VerifyVotes())

    votes = check(voted, "votes verified")

    assert (False, True) == (votes.ok, "ann.receipts" in votes.found)


def test_a_good_run_is_in_order(voted: Memory) -> None:
    voted.call(VerifyVotes())

    votes = check(voted, "votes verified")

    assert (True, True) == (votes.ok, START in votes.found)


def test_what_cannot_be_put_into_text_is_told_all_the_same(voted: Memory) -> None:
    folder: Path = next((voted.home / "agents").rglob("*.receipts")).parent
    try:
        (folder / "odd\udcff.receipts").write_bytes(b"junk\n")
    except OSError:
        pytest.skip("needs names that are no text")

    report = voted.call(VerifyVotes())

    assert any("odd" in each for each in report.unchecked)
    assert last(voted).unchecked == report.unchecked
