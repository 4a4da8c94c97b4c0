"""Exports of the votes log: what they hold, that outsiders can check them, and that they are written down."""

import csv
import hashlib
import json
import zipfile
from pathlib import Path

import apsw
import pytest

from cortex import verify
from cortex.errors import Conflict, CortexError, Invalid, NotFound, Unavailable
from cortex.ops.external import VerifyExternal
from cortex.ops.ledger import ProveFact
from cortex.ops.node import InitNode
from cortex.ops.vote_ledger import InitVoteLog, MakeVoteCheckpoint
from cortex.ops.vote_records import ExportedVotes, ExportVotes, ListVoteExports, ProveVote
from cortex.ops.votes import CastVote
from cortex.trust import keyfiles
from opened import Memory


@pytest.fixture
def voted(memory: Memory) -> Memory:
    """Three votes by two agents, one of which keeps receipts."""
    fact = memory.store("one")
    origin = memory.call(InitVoteLog()).origin
    keyfiles.make(keyfiles.agent_path(memory.home, origin, "ann"), "ann", origin)
    memory.call(CastVote(id=fact.id, vote=1, agent="ann", reason="a reason that stays here"))
    memory.call(CastVote(id=fact.id, vote=-1, agent="bob"))
    memory.call(CastVote(id=fact.id, vote=0, agent="ann"))
    return memory


def exported(memory: Memory, path: Path) -> ExportedVotes:
    return memory.call(ExportVotes(path=str(path)))


@pytest.mark.parametrize("name", ["votes", "votes.zip", "votes.json"])
def test_an_export_is_found_valid_by_the_offline_verifier(voted: Memory, tmp_path: Path, name: str) -> None:
    made = exported(voted, tmp_path / name)
    (tmp_path / "trust").write_text("\n".join(made.trust) + "\n")
    origin = made.origin
    kept = keyfiles.receipts_path(voted.home, origin, "ann")

    report = voted.call(VerifyExternal(path=str(tmp_path / name), trust=str(tmp_path / "trust"), receipts=[str(kept)]))

    assert ("valid", 6, origin) == (report.status, report.entries, report.origin)


def test_an_export_that_was_changed_is_found_out(voted: Memory, tmp_path: Path) -> None:
    exported(voted, tmp_path / "votes.json")
    text = (tmp_path / "votes.json").read_text()
    (tmp_path / "votes.json").write_text(text.replace('\\"vote\\":-1', '\\"vote\\":1'))

    report = voted.call(VerifyExternal(path=str(tmp_path / "votes.json")))

    assert "AGENT_SIG" in {finding["code"] for finding in report.findings}


def test_no_reason_is_in_an_export(voted: Memory, tmp_path: Path) -> None:
    for name in ("votes", "votes.json", "votes.csv"):
        exported(voted, tmp_path / name)

    files = [path for path in tmp_path.rglob("votes*") if path.is_file()] + list((tmp_path / "votes").iterdir())
    assert not any(b"stays here" in path.read_bytes() for path in files)


def test_a_table_has_a_row_for_each_entry_and_no_formulas(voted: Memory, tmp_path: Path) -> None:
    exported(voted, tmp_path / "votes.csv")

    with (tmp_path / "votes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert ["genesis", "agent", "vote", "agent", "vote", "vote"] == [row["kind"] for row in rows]
    assert ["1", "-1", "0"] == [row["vote"] for row in rows if row["kind"] == "vote"]
    assert [(str(at), str(at + 1)) for at in range(6)] == [(row["idx"], row["id"]) for row in rows]
    assert not any(value.startswith(("=", "+", "@")) for row in rows for value in row.values())


def test_each_export_is_written_down_with_the_hash_of_what_was_written(voted: Memory, tmp_path: Path) -> None:
    made = [exported(voted, tmp_path / name) for name in ("votes.zip", "folder")]

    listed = voted.call(ListVoteExports())

    whole = hashlib.sha256((tmp_path / "votes.zip").read_bytes()).hexdigest()
    parts = [(tmp_path / "folder" / name).read_bytes() for name in ("leaves.jsonl", "checkpoints.jsonl")]
    assert [whole, hashlib.sha256(b"".join(parts)).hexdigest()] == [each.digest for each in made]
    assert [each.digest for each in reversed(made)] == [each.digest for each in listed.exports]
    assert {("tester", 6, made[0].root)} == {(each.actor, each.entries, each.root) for each in listed.exports}
    assert 1 == voted.call(ListVoteExports(limit=1)).more


def test_an_export_does_not_replace_a_file_and_is_not_written_down_then(voted: Memory, tmp_path: Path) -> None:
    (tmp_path / "votes.zip").write_text("mine")

    with pytest.raises(Conflict):
        exported(voted, tmp_path / "votes.zip")

    assert "mine" == (tmp_path / "votes.zip").read_text()
    assert [] == voted.call(ListVoteExports()).exports


def test_an_export_that_ended_in_the_middle_is_listed_as_not_finished(voted: Memory, tmp_path: Path) -> None:
    exported(voted, tmp_path / "votes.zip")
    with voted.sql() as connection:
        connection.execute(
            "CREATE TRIGGER fails BEFORE UPDATE ON vote_audit_exports BEGIN SELECT raise(ABORT, 'no'); END"
        )

    with pytest.raises((CortexError, apsw.Error)):
        exported(voted, tmp_path / "other.zip")

    assert (tmp_path / "other.zip").exists()
    listed = voted.call(ListVoteExports()).exports
    assert [(str(tmp_path / "other.zip"), True), (str(tmp_path / "votes.zip"), False)] == [
        (each.path, each.digest is None) for each in listed
    ]


def test_an_export_that_could_not_be_written_is_not_listed(voted: Memory, tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        exported(voted, tmp_path / "nowhere" / "votes.zip")

    assert [] == voted.call(ListVoteExports()).exports


def test_an_export_in_no_known_format_is_refused(voted: Memory, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="is no format"):
        exported(voted, tmp_path / "votes.odt")


def test_a_file_without_votes_has_nothing_to_export(memory: Memory, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no votes log"):
        exported(memory, tmp_path / "votes.zip")

    assert not (tmp_path / "votes.zip").exists()


def test_the_same_state_gives_the_same_document(voted: Memory, tmp_path: Path) -> None:
    first = exported(voted, tmp_path / "one.json")

    second = exported(voted, tmp_path / "two.json")

    assert first.digest == second.digest
    document = json.loads((tmp_path / "one.json").read_text())
    assert ("cortex-ledger/v1", "votes", 6) == (document["format"], document["log"], len(document["leaves"]))


def test_an_archive_holds_the_leaves_and_checkpoints_alone(voted: Memory, tmp_path: Path) -> None:
    exported(voted, tmp_path / "votes.zip")

    with zipfile.ZipFile(tmp_path / "votes.zip") as archive:
        assert {"README.md", "leaves.jsonl", "checkpoints.jsonl"} == set(archive.namelist())
        assert "the line `genesis <hash>`" in " ".join(archive.read("README.md").decode().split())


def test_a_proof_of_a_vote_is_found_valid_by_the_offline_verifier(voted: Memory, tmp_path: Path) -> None:
    head = voted.call(MakeVoteCheckpoint())
    (tmp_path / "trust").write_text(f"log {head.vkey}\n")
    for number, entry in enumerate(("2", "4")):
        voted.call(ProveVote(vote=entry, output=str(tmp_path / f"{number}.json")))

    reports = [
        voted.call(VerifyExternal(path=str(tmp_path / f"{number}.json"), trust=str(tmp_path / "trust")))
        for number in range(2)
    ]

    assert ["valid", "valid"] == [report.status for report in reports]


def test_the_proofs_of_a_fact_and_of_a_vote_on_it_are_joined_by_what_both_disclose(
    voted: Memory, tmp_path: Path
) -> None:
    trust = tmp_path / "trust"
    trust.write_text("\n".join(voted.call(InitNode()).trust))
    vote = voted.call(ProveVote(vote="2", output=str(tmp_path / "vote.json")))
    voted.call(ProveFact(id=json.loads(vote.leaf)["event"]["fact"], output=str(tmp_path / "fact.json")))

    told = [verify.verify_path(tmp_path / f"{name}.json", trust).disclosed for name in ("fact", "vote")]

    same = [{name: each[name] for name in ("fact", "fact_digest", "author")} for each in told]
    assert same[0] == same[1]


def test_a_proof_with_another_reason_is_refused(voted: Memory, tmp_path: Path) -> None:
    voted.call(ProveVote(vote="2", output=str(tmp_path / "proof.json")))
    text = (tmp_path / "proof.json").read_text()
    (tmp_path / "proof.json").write_text(text.replace("stays here", "was put there"))

    report = voted.call(VerifyExternal(path=str(tmp_path / "proof.json")))

    assert {"REASON_CHANGED"} == {finding["code"] for finding in report.findings}
