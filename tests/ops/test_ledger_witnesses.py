"""The transactions logs against the last checkpoints that `file:` and `git:` witnesses hold of them."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.conftest import Opening

from cortex.cli import ledgers
from cortex.cli.terminal import Screen
from cortex.ledger import checkpoint
from cortex.ledger.checkpoint import Checkpoint
from cortex.ledger.findings import Verification
from cortex.ops.ledger import AcceptLedger, MakeCheckpoint, VerifyLedger
from cortex.ops.node import InitNode
from cortex.times import parse
from opened import START, Memory


def codes(report: Verification) -> list[str]:
    return [finding.code for finding in report.findings]


def hold(memory: Memory, place: Path, size: int, root: bytes = bytes(32)) -> None:
    """Let a file witness hold a checkpoint that the log's own key signed."""
    with memory.sql() as connection:
        (origin,) = connection.execute("SELECT origin FROM ledger_log WHERE active").fetchone()
    note = checkpoint.sign(Checkpoint(origin, size, root), memory.app.context.node_key.signer(origin))
    with place.open("a") as file:
        file.write(json.dumps({"note": note}) + "\n")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "witness"


@pytest.fixture
def witnessed(opening: Opening, place: Path) -> Memory:
    memory = opening(witnesses=f"file:{place}", verify_every_seconds=0, verify_full_seconds=0)
    memory.store("one")
    return memory


def test_a_log_that_goes_on_from_what_a_witness_has_seen_is_valid_and_says_so(witnessed: Memory, place: Path) -> None:
    before = witnessed.call(VerifyLedger())
    witnessed.call(MakeCheckpoint())
    witnessed.store("two")

    report = witnessed.call(VerifyLedger())

    assert [f"witness file:{place}: has seen nothing of this log"] == before.outside
    assert [f"witness file:{place}: compared"] == report.outside
    assert (True, 0, []) == (report.ok, report.exit_code, report.unchecked)


@pytest.mark.parametrize("incremental", [False, True])
def test_more_entries_than_there_are_is_a_rollback_and_is_not_remembered(
    witnessed: Memory, place: Path, incremental: bool
) -> None:
    witnessed.call(VerifyLedger())
    witnessed.store("two")
    hold(witnessed, place, 1_000)

    report = witnessed.call(VerifyLedger(incremental=incremental))

    assert (["ROLLBACK"], 1) == (codes(report), report.exit_code)
    assert "has seen 1000 entries" in report.findings[0].what
    assert ["ROLLBACK"] == codes(witnessed.call(AcceptLedger()))


def test_another_root_is_a_rewritten_history(witnessed: Memory, place: Path) -> None:
    hold(witnessed, place, 1)

    assert ["HISTORY_REWRITTEN"] == codes(witnessed.call(VerifyLedger()))


def test_another_root_than_one_that_the_log_signed_itself_is_a_split_view(witnessed: Memory, place: Path) -> None:
    size = witnessed.call(MakeCheckpoint(witness=False)).size
    hold(witnessed, place, size)

    assert ["SPLIT_VIEW"] == codes(witnessed.call(VerifyLedger()))


def test_what_is_no_checkpoint_of_the_log_is_no_witness_that_was_read(witnessed: Memory, place: Path) -> None:
    place.write_text("junk\n")

    report = witnessed.call(VerifyLedger())

    assert (True, 3, 1) == (report.ok, report.exit_code, len(report.unchecked))
    assert "cannot be read" in report.unchecked[0]
    assert report.unchecked[0] in report.outside


def test_the_lines_for_people_say_what_was_compared_and_what_could_not_be_read(witnessed: Memory, place: Path) -> None:
    screen = Screen(width=None, color=False, now=parse(START))
    witnessed.call(MakeCheckpoint())
    good = [*ledgers.verification(witnessed.call(VerifyLedger()), screen)]
    place.write_text("junk\n")

    bad = [*ledgers.verification(witnessed.call(VerifyLedger()), screen)]

    assert f"     witness file:{place}: compared" in good
    assert good[-1].startswith("✓ chain valid")
    assert bad[-1].startswith("could not check everything")


def test_findings_count_more_than_what_could_not_be_read(witnessed: Memory, place: Path) -> None:
    place.write_text("junk\n")
    with witnessed.sql() as connection:
        connection.execute("UPDATE revision SET content = 'edited'")

    assert 1 == witnessed.call(VerifyLedger()).exit_code


def test_nodes_that_are_gone_make_no_error_of_a_comparison(witnessed: Memory, place: Path) -> None:
    witnessed.call(MakeCheckpoint())
    with witnessed.sql() as connection:
        connection.execute("UPDATE ledger_log SET size = 1 << 40")

    report = witnessed.call(VerifyLedger())

    assert "TREE_STATE" in codes(report)


def test_each_log_of_the_file_is_compared(witnessed: Memory, place: Path) -> None:
    witnessed.call(MakeCheckpoint())
    hold(witnessed, place, 1_000)
    key = witnessed.app.context.node_key.path
    witnessed.close()
    key.unlink()
    again = witnessed.reopen()
    again.call(InitNode())

    report = again.call(VerifyLedger())
    again.close()

    assert ["ROLLBACK"] == codes(report)
    assert "goes on under another origin" in report.findings[0].what
    assert [f"witness file:{place}: compared with 1 of 2 logs; has seen nothing of the others"] == report.outside


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_a_git_witness_is_compared_as_well(opening: Opening, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    subprocess.run(["git", "init", "-q", str(repository)], check=True)
    memory = opening(witnesses=f"git:{repository}")
    memory.store("one")
    memory.call(MakeCheckpoint())

    report = memory.call(VerifyLedger())

    assert [f"witness git:{repository}: compared"] == report.outside
    assert 0 == report.exit_code


def test_an_http_witness_is_not_asked_and_that_is_said(opening: Opening) -> None:
    key = checkpoint.Signer("w.example", bytes(32)).key
    vkey = checkpoint.Key(key.name, key.public, checkpoint.WITNESS).vkey
    memory = opening(witnesses=f"http://127.0.0.1:9 {vkey}")
    memory.store("one")

    report = memory.call(VerifyLedger())

    assert ["witness http://127.0.0.1:9: not asked here; `cortex ledger checkpoint` has it compare"] == report.outside
    assert 0 == report.exit_code


def test_a_file_without_a_ledger_asks_no_witness(opening: Opening, place: Path) -> None:
    place.write_text("junk\n")
    memory = opening(witnesses=f"file:{place}")

    report = memory.call(VerifyLedger())

    assert (True, 3, [], []) == (report.ok, report.exit_code, report.outside, report.unchecked)
