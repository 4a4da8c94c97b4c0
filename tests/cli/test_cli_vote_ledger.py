"""The votes log on the command line: what is printed, with which exit code, and the witness as a process."""

import hashlib
import json
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.cli import argv

from cortex.ledger import witnesses
from served import serving


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a fact and three votes."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CORTEX_EMBEDDER_KIND", "none")
    path = tmp_path / "memory.db"
    fact = argv.run(["--json", f"--db={path}", "store", "Invoices leave on the 3rd"]).body["id"]
    for name in ("ann", "bob", "cid"):
        assert 0 == argv.run(["--json", f"--db={path}", "vote", fact, "1", "--agent", name]).exit_code
    return path


def said(db: Path, *words: str) -> tuple[int, str, str]:
    code, out, err = argv.drive([f"--db={db}", *words])
    return code, out.decode(), err.decode()


def tampered(db: Path) -> None:
    connection = apsw.Connection(str(db))
    connection.execute("DROP TRIGGER vote_ledger_keep")
    connection.execute("UPDATE vote_ledger SET vote = -1 WHERE agent_id = 'bob' AND vote = 1")
    connection.close()


def test_verifying_says_what_was_checked_and_ends_with_the_verdict(db: Path) -> None:
    code, out, _ = said(db, "vote-ledger", "verify")

    assert 0 == code
    assert "✓ chain valid (3 votes, 0 Merkle roots)" == out.splitlines()[-1]
    assert "remembered outside the file: none" in out
    assert "receipts: none" in out
    assert "signatures of agents and admins: 7 checked" in out


def test_what_could_not_be_read_is_in_the_verdict(db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "witness").write_text("junk\n")
    monkeypatch.setenv("CORTEX_WITNESSES", f"file:{tmp_path / 'witness'}")

    code, out, _ = said(db, "vote-ledger", "verify")

    last = out.splitlines()[-1]
    assert 3 == code
    assert last.startswith("could not check everything: nothing wrong in what was read (3 votes")
    assert "witness: cannot be read" in last


def test_what_was_left_out_is_in_the_verdict(db: Path) -> None:
    _, out, _ = said(db, "vote-ledger", "verify", "--no-signatures", "--no-policy", "--no-text")

    assert "not checked: signatures, weights, texts" in out.splitlines()[-1]


def test_an_incremental_run_says_that_it_looked_at_what_is_new(db: Path) -> None:
    said(db, "vote-ledger", "verify")

    code, out, _ = said(db, "vote-ledger", "verify", "--incremental")

    assert 0 == code
    assert out.splitlines()[-1].startswith("✓ nothing wrong in what is new (0 entries of 7")


def test_tampering_is_named_by_code_and_entry_and_ends_with_one(db: Path) -> None:
    tampered(db)

    code, out, _ = said(db, "vote-ledger", "verify")

    assert 1 == code
    assert "FAIL LEAF_HASH id=4 " in out
    assert out.splitlines()[-1].startswith("✗ NOT valid")


def test_a_file_without_votes_ends_with_three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CORTEX_EMBEDDER_KIND", "none")
    argv.run(["--json", f"--db={tmp_path / 'a.db'}", "store", "a fact"])

    code, out, _ = said(tmp_path / "a.db", "vote-ledger", "verify")

    assert 3 == code
    assert "nothing was checked" in out


def test_a_checkpoint_alone_is_on_standard_output_and_what_to_trust_beside_it(db: Path) -> None:
    code, out, err = said(db, "vote-ledger", "checkpoint")

    assert 0 == code
    assert out.startswith("cortex/votes/")
    assert "\nlog cortex/votes/" in err
    assert "\ngenesis " in err


def test_beginning_shows_the_lines_for_a_trust_file(db: Path) -> None:
    _, out, _ = said(db, "init")
    _, _, beside = said(db, "vote-ledger", "init")

    lines = [line.split()[1:] for line in out.splitlines() if line.startswith("trust ")]
    assert ["log", "log", "genesis"] == [line[0] for line in lines]
    assert {" ".join(line) for line in lines[1:]} <= set(beside.splitlines())


def test_beginning_again_is_no_failure(db: Path) -> None:
    assert [0, 0] == [said(db, "vote-ledger", "init")[0] for _ in range(2)]


def test_the_history_proofs_and_exports_are_lines(db: Path, tmp_path: Path) -> None:
    fact = argv.run(["--json", f"--db={db}", "list", "--all-projects"]).body["facts"][0]["id"]

    _, history, _ = said(db, "vote-ledger", "history", fact)
    _, proof, _ = said(db, "vote-ledger", "prove", "2")
    _, exported, _ = said(db, "vote-ledger", "export", str(tmp_path / "votes.zip"))
    _, listed, _ = said(db, "vote-ledger", "exports")

    assert 3 == sum("+1 by " in line and "the server signed" in line for line in history.splitlines())
    assert proof.startswith("c2sp.org/tlog-proof@v1\n")
    assert "genesis " in exported
    assert str(tmp_path / "votes.zip") in listed


def test_an_export_is_checked_without_a_file_of_ones_own(db: Path, tmp_path: Path) -> None:
    trust = argv.run(["--json", f"--db={db}", "vote-ledger", "export", str(tmp_path / "votes.zip")]).body["trust"]
    (tmp_path / "trust").write_text("\n".join(trust))

    code, out, _ = said(
        tmp_path / "none.db", "vote-ledger", "verify-external", str(tmp_path / "votes.zip"),
        "--trust", str(tmp_path / "trust"),
    )  # fmt: skip

    assert 0 == code
    assert "✓ valid" in out
    assert not (tmp_path / "none.db").exists()


def test_nothing_to_hand_in_again_is_said(db: Path) -> None:
    code, out, _ = said(db, "vote-ledger", "resubmit")

    assert 0 == code
    assert "no agent has receipts here" in out


# The witness.


def test_a_witness_prints_how_it_is_named_cosigns_and_ends_when_told(
    db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vkey = argv.run(["--json", f"--db={db}", "vote-ledger", "init"]).body["vkey"]

    with serving(tmp_path / "witness", vkey) as target:
        monkeypatch.setenv("CORTEX_WITNESSES", target)
        code, out, err = said(db, "vote-ledger", "checkpoint", "--witness")

    assert "http" == witnesses.parse_target(target).kind
    assert 0 == code
    assert "✓ cosigned by http://127.0.0.1:" in err
    assert 2 == out.count("— ")


def test_a_witness_that_does_not_know_the_log_is_told_with_exit_code_three(
    db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tmp_path / "witness") as target:
        monkeypatch.setenv("CORTEX_WITNESSES", target)
        code, out, err = said(db, "vote-ledger", "checkpoint")

    assert 3 == code
    assert "– not had: http://127.0.0.1:" in err
    assert out.startswith("cortex/votes/")


def test_a_witness_without_its_list_of_logs_says_which_file_is_missing(tmp_path: Path) -> None:
    code, _, err = argv.drive(["witness", "serve", "--state", str(tmp_path / "s.db"), "--logs", str(tmp_path / "no")])

    assert 3 == code
    assert str(tmp_path / "no") in err.decode()


def test_a_witness_prints_json_where_that_is_asked_for(tmp_path: Path) -> None:
    with serving(tmp_path / "witness", options=("--json", "--name", "w.example")) as told:
        found = json.loads(told)

    assert found["vkey"].startswith("w.example+")


def test_the_history_says_on_which_revision_each_vote_was_and_which_was_withdrawn(db: Path) -> None:
    fact = argv.run(["--json", f"--db={db}", "list", "--all-projects"]).body["facts"][0]["id"]
    said(db, "revise", fact, "Invoices leave on the 4th")
    said(db, "vote", fact, "1", "--agent", "ann")
    said(db, "vote", fact, "0", "--agent", "ann")
    said(db, "resolve", fact, "true")
    said(db, "resolve", fact, "open")

    lines = said(db, "vote-ledger", "history", fact)[1].splitlines()

    assert "  +1 by ann  on r1  weight 0.000" in lines[0]
    assert "  +1 by ann  on r2  weight 0.000" in lines[3]
    assert "  withdrew: ann  on r2  the server signed  " in lines[4]
    assert "  resolved as true by the admin key  on r2  " in lines[5]
    assert "  open to the votes again by the admin key  on r2  " in lines[6]


def test_a_proof_that_was_written_is_named_and_not_printed(db: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    fact = argv.run(["--json", f"--db={db}", "list", "--all-projects"]).body["facts"][0]["id"]

    votes = said(db, "vote-ledger", "prove", "2", "--output", "vote.json")
    facts = said(db, "ledger", "prove", fact, "--output", "fact.json")

    for name, (code, out, _) in (("vote.json", votes), ("fact.json", facts)):
        assert (0, 1) == (code, len(out.splitlines()))
        assert out.startswith(f"the proof is in {tmp_path / name}: ")
        assert {"format", "leaf", "proof", "disclosure"} == json.loads((tmp_path / name).read_bytes()).keys()


def test_both_exports_tell_their_hash_and_where_they_are(db: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)

    for log in ("ledger", "vote-ledger"):
        code, out, _ = said(db, log, "export", f"{log}.zip")

        lines = {line.partition("  ")[0]: line.partition("  ")[2].strip() for line in out.splitlines()}
        assert 0 == code
        assert f"{tmp_path / log}.zip (zip)" == lines["exported"]
        assert hashlib.sha256((tmp_path / f"{log}.zip").read_bytes()).hexdigest() == lines["sha256"]
