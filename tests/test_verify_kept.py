"""What the offline verifier takes from outside: notes that were saved, files of witnesses, receipts with reasons."""

import json
from pathlib import Path

import pytest

from cortex import verify
from cortex.ledger import witness_file
from vote_logs import VotesLog, key_of, reason_digest, vkey

OTHER = "cortex/votes/0123456789abcdef/0000000000000000"


def voted(votes: int = 3, origin: str | None = None) -> VotesLog:
    """An agent and so many votes of it; two leaves stand before these."""
    log = VotesLog().genesis() if origin is None else VotesLog(origin=origin).genesis()
    log.agent("a0")
    for number in range(votes):
        log.wait(seconds=1).vote("a0", number)
    return log


@pytest.fixture
def trust(tmp_path: Path) -> Path:
    path = tmp_path / "believed"
    path.write_text(f"log {vkey(key_of('log'))}\n")
    return path


def witnessed(path: Path, *notes: str) -> Path:
    """The file of a witness that has seen these notes."""
    for note in notes:
        witness_file.keep(path, note.partition("\n")[0], note, lambda _: True)
    return path


def test_a_checkpoint_newer_than_the_export_is_told_as_that(tmp_path: Path, trust: Path) -> None:
    path = voted(3).seal().directory(tmp_path / "bundle")
    (tmp_path / "kept").write_text(voted(5).note())

    report = verify.verify_path(path, trust, [tmp_path / "kept"])

    told = "the remembered checkpoint covers 7 leaves, the export ends at 5: an older export, or shortened"
    assert [("ROLLBACK", "7", told)] == [(one["code"], one["id"], one["what"]) for one in report.findings]


def test_the_file_of_a_witness_is_taken_for_checkpoints(tmp_path: Path, trust: Path) -> None:
    log = voted(3)
    path = log.seal().directory(tmp_path / "bundle")
    seen = witnessed(tmp_path / "witness", log.note(3), log.note())
    longer = witnessed(tmp_path / "longer", log.note(3), voted(5).note())

    report = verify.verify_path(path, trust, [seen])

    assert (0, True) == (report.exit_code, "ok  outside memory: 2 checkpoints" in str(report))
    assert ["ROLLBACK"] == [one["code"] for one in verify.verify_path(path, trust, [longer]).findings]


def test_another_history_in_the_file_of_a_witness_is_found(tmp_path: Path) -> None:
    log, other = voted(3), voted(3)
    other.rows[-1]["event"]["vote"] = -1
    seen = witnessed(tmp_path / "witness", other.note())

    report = verify.verify_path(log.seal().directory(tmp_path / "bundle"), None, [seen])

    assert {"HISTORY_REWRITTEN", "SPLIT_VIEW"} == {one["code"] for one in report.findings}


def test_what_a_witness_holds_of_other_logs_is_passed_over_and_said(tmp_path: Path, trust: Path) -> None:
    log, other = voted(3), voted(9, OTHER)
    path = log.seal(4).directory(tmp_path / "bundle")
    seen = witnessed(tmp_path / "witness", other.note(), log.note(4))
    (tmp_path / "single").write_text(other.note())

    report = verify.verify_path(path, None, [seen])

    assert (0, []) == (report.exit_code, report.findings)
    assert "--  1 checkpoint of other logs, which witnesses hold, passed over" in report.notes
    assert "--  leaves under a checkpoint: 4 of 5" in report.notes
    assert ["UNSIGNED"] == [one["code"] for one in verify.verify_path(path, trust, [seen]).findings]
    assert ["ORIGIN"] == [one["code"] for one in verify.verify_path(path, None, [tmp_path / "single"]).findings]


def test_a_proof_is_vouched_for_by_the_file_of_a_witness(tmp_path: Path) -> None:
    log, other = voted(3), voted(3, OTHER)
    path = tmp_path / "proof.json"
    told = {"format": "cortex-proof/v1", "leaf": log.lines[3].decode(), "proof": log.proof(3), "disclosure": None}
    path.write_text(json.dumps(told))

    known = verify.verify_path(path, None, [witnessed(tmp_path / "seen", other.note(), log.note())])
    unknown = verify.verify_path(path, None, [witnessed(tmp_path / "others", other.note())])

    assert (0, 3) == (known.exit_code, unknown.exit_code)
    assert log.rows[3]["event"]["fact_digest"] == known.disclosed["fact_digest"]


@pytest.mark.parametrize("line", ["{}", '{"note":1}', '{"note":"x"}', '{"note":"x","note":"y"}', "{", "[" * 9])
def test_a_file_of_a_witness_that_is_damaged_is_not_checked_against(tmp_path: Path, line: str) -> None:
    log = voted(3)
    seen = witnessed(tmp_path / "witness", log.note())
    seen.write_text(f"{seen.read_text()}{line}\n")

    report = verify.verify_path(log.seal().directory(tmp_path / "bundle"), None, [seen])

    assert report.exit_code in {1, 3}
    assert "no checkpoint in line 2" in report.error


def test_a_torn_last_line_of_a_witness_was_never_acknowledged(tmp_path: Path) -> None:
    log = voted(3)
    seen = witnessed(tmp_path / "witness", log.note())
    seen.write_text(f"{seen.read_text()}\n{seen.read_text()[:40]}")

    report = verify.verify_path(log.seal().directory(tmp_path / "bundle"), None, [seen])

    assert (0, True) == (report.exit_code, "ok  outside memory: 1 checkpoint" in str(report))


def test_receipts_with_the_reason_and_its_salt_are_receipts(tmp_path: Path) -> None:
    log, salt = voted(2), b"s" * 16
    log.vote("a0", 7, reason_digest=reason_digest(salt, "seen it"))
    path = log.seal().directory(tmp_path / "bundle")
    kept = tmp_path / "kept"
    kept.write_text(log.receipt(4, promise=log.promise(4), reason="seen it", salt=salt.hex()) + log.receipt(3))

    report = verify.verify_path(path, receipts=[kept])

    assert (0, True) == (report.exit_code, "0 checkpoints, 2 receipts" in str(report))
