"""What the operations on the votes log as a whole promise: begin, sign, witness, go on after a backup, show to others."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs
from restoring import restored
from tests.ledger.test_timestamp import made_authority

from cortex import limits, maintenance, times
from cortex.errors import Corrupt, Forbidden, Invalid, NotFound, Unavailable
from cortex.ids import uuid7
from cortex.ledger import checkpoint, cosignature
from cortex.ledger import memory as remembered
from cortex.ops.agents import AddAgent
from cortex.ops.checking import VotesReport
from cortex.ops.facts import ForgetFact, ReviseFact
from cortex.ops.ledger import VerifyLedger
from cortex.ops.node import Backup, ReadStatus
from cortex.ops.resolving import ResolveFact
from cortex.ops.resubmitting import ResubmitVotes
from cortex.ops.vote_ledger import AcceptVotes, InitVoteLog, MakeVoteCheckpoint, VerifyVotes
from cortex.ops.vote_records import ExportVotes, ProveVote, ReadVoteHistory
from cortex.ops.votes import CastVote, ReadVotes
from cortex.progress import silent
from cortex.trust import keyfiles, receipts
from opened import Memory

__all__ = ["made_authority"]

Opening = Callable[..., Memory]


def agent(memory: Memory, name: str = "ann") -> None:
    """An agent whose key lies on this machine, so that it keeps receipts."""
    origin = memory.call(InitVoteLog()).origin
    keyfiles.make(keyfiles.agent_path(memory.home, origin, name), name, origin)


def held(memory: Memory, name: str = "ann") -> dict[str, receipts.AgentReceipt]:
    origin = memory.call(InitVoteLog()).origin
    return receipts.latest(keyfiles.receipts_path(memory.home, origin, name))


# Beginning and signing.


def test_beginning_the_log_makes_its_admin_key_and_signs_its_state(memory: Memory) -> None:
    head = memory.call(InitVoteLog())

    assert (1, False) == (head.size, head.restored)
    assert keyfiles.admin_path(memory.home, head.origin).exists()
    assert head.size == checkpoint.verify(head.note, [head.vkey], origin=head.origin).size


def test_beginning_again_changes_nothing(memory: Memory) -> None:
    first = memory.call(InitVoteLog())

    again = memory.call(InitVoteLog())

    assert structs.replace(first, notes=[]) == again
    assert str(keyfiles.admin_path(memory.home, first.origin)) in first.notes[0]


def test_a_checkpoint_needs_a_log(memory: Memory) -> None:
    with pytest.raises(NotFound, match="no votes log"):
        memory.call(MakeVoteCheckpoint())


def test_a_checkpoint_without_new_entries_is_the_one_before(memory: Memory) -> None:
    fact = memory.store("one")
    memory.call(CastVote(id=fact.id, vote=1))

    first, second = memory.call(MakeVoteCheckpoint()), memory.call(MakeVoteCheckpoint())

    assert first == second
    assert 3 == first.size


def test_a_log_that_lost_entries_is_signed_no_more(memory: Memory, tmp_path: Path) -> None:
    fact = memory.store("one")
    early = tmp_path / "early.db"
    memory.call(CastVote(id=fact.id, vote=1))
    memory.call(Backup(target=str(early)))
    for vote in (-1, 1):
        memory.call(CastVote(id=fact.id, vote=vote))
    memory.call(MakeVoteCheckpoint())
    with memory.sql() as connection:
        connection.execute("ATTACH ? AS early", (str(early),))
        connection.execute("DROP TRIGGER vote_ledger_stay")
        connection.execute("DELETE FROM vote_ledger WHERE id > 3")
        connection.execute("REPLACE INTO vote_log SELECT * FROM early.vote_log")

    for refused in (MakeVoteCheckpoint(), CastVote(id=fact.id, vote=-1)):
        with pytest.raises(Corrupt, match="has 3 entries, and its last checkpoint was signed over 5"):
            memory.call(refused)
    assert 5 == memory.call(ExportVotes(path=str(tmp_path / "bundle"))).entries


def test_a_log_that_grew_again_after_it_lost_entries_is_signed_no_more(memory: Memory, tmp_path: Path) -> None:
    fact = memory.store("one")
    early = tmp_path / "early.db"
    memory.call(CastVote(id=fact.id, vote=1))
    memory.call(Backup(target=str(early)))
    memory.call(CastVote(id=fact.id, vote=-1))
    memory.call(MakeVoteCheckpoint())
    with memory.sql() as connection:
        connection.execute("ATTACH ? AS early", (str(early),))
        connection.execute("DROP TRIGGER vote_ledger_stay")
        connection.execute("DELETE FROM vote_ledger WHERE id > 3")
        connection.execute("REPLACE INTO vote_log SELECT * FROM early.vote_log")
        connection.execute("UPDATE vote_seal SET sealed_size = 3")

    for vote in (0, 1):
        memory.call(CastVote(id=fact.id, vote=vote))
        with pytest.raises(Corrupt, match="another root than was signed over its first 4 entries"):
            memory.call(MakeVoteCheckpoint())


def test_what_no_votes_log_is_called_is_told_before_anything_is_signed(memory: Memory) -> None:
    fact = memory.store("one")
    memory.call(CastVote(id=fact.id, vote=1))
    with memory.sql() as connection:
        connection.execute("UPDATE vote_log SET origin = 'cortex/votes/../..'")

    with memory.reopen() as other:
        for refused in (CastVote(id=fact.id, vote=-1), AddAgent(name="ann")):
            with pytest.raises(Corrupt, match="no origin of a votes log"):
                other.call(refused)
        assert {"ORIGIN"} <= {finding.code for finding in other.call(VerifyVotes()).findings}


def test_a_process_that_stays_begins_the_log_again_after_a_backup_from_before_it_came_back(
    memory: Memory, tmp_path: Path
) -> None:
    fact = memory.store("one")
    memory.call(Backup(target=str(tmp_path / "early.bak")))
    first = memory.call(CastVote(id=fact.id, vote=1))
    maintenance.restore(memory.app.context.settings, tmp_path / "early.bak", silent)

    again = memory.call(CastVote(id=fact.id, vote=1))

    assert (first.entry, False) == (again.entry, first.origin == again.origin)
    assert memory.call(VerifyVotes()).size == again.entry + 1


def test_a_node_with_another_key_goes_on_only_by_the_admin_key(memory: Memory, tmp_path: Path) -> None:
    fact = memory.store("one")
    before = memory.call(InitVoteLog())
    memory.close()
    (tmp_path / "memory.db.key").unlink()

    with memory.reopen() as other:
        with pytest.raises(Unavailable, match="is not the one that signs"):
            other.call(CastVote(id=fact.id, vote=1))
        head = other.call(InitVoteLog())
        other.call(CastVote(id=fact.id, vote=1))

        assert head.restored
        assert before.vkey != head.vkey
        assert before.size + 1 == head.size
        assert 4 == other.call(MakeVoteCheckpoint()).size


def test_without_the_admin_key_a_log_does_not_go_on_with_another_node_key(memory: Memory, tmp_path: Path) -> None:
    head = memory.call(InitVoteLog())
    memory.close()
    (tmp_path / "memory.db.key").unlink()
    keyfiles.admin_path(memory.home, head.origin).unlink()

    with memory.reopen() as other, pytest.raises(Forbidden, match="admin key of this log is not on this machine"):
        other.call(InitVoteLog())


# Witnesses.


def test_a_file_witness_keeps_each_checkpoint(opening: Opening, tmp_path: Path) -> None:
    memory = opening(witnesses=f"file:{tmp_path / 'witness'}")
    memory.call(InitVoteLog())

    head = memory.call(MakeVoteCheckpoint())

    assert [("kept", None)] == [(each.outcome, each.told) for each in head.witnesses]
    assert head.note == json.loads((tmp_path / "witness").read_text())["note"]
    assert 0 == head.exit_code


def test_a_witness_that_has_seen_more_is_told_as_rollback(opening: Opening, tmp_path: Path) -> None:
    memory = opening(witnesses=f"file:{tmp_path / 'witness'}")
    fact = memory.store("one")
    memory.call(InitVoteLog())
    memory.call(Backup(target=str(tmp_path / "backup.db")))
    memory.call(CastVote(id=fact.id, vote=1))
    memory.call(MakeVoteCheckpoint())
    older(memory, tmp_path / "backup.db")

    with memory.reopen() as again:
        head = again.call(MakeVoteCheckpoint())

    assert ["ROLLBACK"] == [each.code for each in head.witnesses]
    assert 1 == head.exit_code


def test_a_witness_that_cannot_be_had_is_said_and_the_checkpoint_is_made(opening: Opening) -> None:
    key = cosignature.WitnessSigner("w", b"\1" * 32)
    memory = opening(witnesses=f"http://127.0.0.1:9/ {key.vkey}")
    memory.call(InitVoteLog())

    head = memory.call(MakeVoteCheckpoint())

    assert ["failed"] == [each.outcome for each in head.witnesses]
    assert (1, 3) == (head.size, head.exit_code)


def test_asking_for_witnesses_where_none_are_configured_is_refused(memory: Memory) -> None:
    memory.call(InitVoteLog())

    with pytest.raises(Invalid, match="no witnesses are configured"):
        memory.call(MakeVoteCheckpoint(witness=True))


def test_asking_for_a_timestamp_without_an_authority_is_refused(memory: Memory) -> None:
    memory.call(InitVoteLog())

    with pytest.raises(Invalid, match="no timestamp authority"):
        memory.call(MakeVoteCheckpoint(timestamp=True))


# Verifying.


def codes(report: VotesReport) -> set[str]:
    return {finding.code for finding in report.findings}


def test_a_sound_log_verifies_whole_and_then_what_is_new(memory: Memory) -> None:
    fact = memory.store("one")
    memory.call(CastVote(id=fact.id, vote=1))
    whole = memory.call(VerifyVotes())
    memory.call(CastVote(id=fact.id, vote=-1))

    partial = memory.call(VerifyVotes(incremental=True))

    assert (True, 0, 3) == (whole.ok, whole.checked_from, whole.size)
    assert (True, 3, 4) == (partial.ok, partial.checked_from, partial.size)
    assert {"schema", "structure", "integrity", "checkpoints", "signatures", "policy", "text"} == set(whole.passes)


def test_without_a_log_nothing_is_checked(memory: Memory) -> None:
    report = memory.call(VerifyVotes())

    assert (True, 3) == (report.ok, report.exit_code)


def test_what_is_left_out_is_said(memory: Memory) -> None:
    memory.call(InitVoteLog())

    report = memory.call(VerifyVotes(signatures=False, policy=False, text=False))

    assert ["schema", "structure", "integrity", "checkpoints"] == report.passes


def test_each_run_is_written_down(memory: Memory) -> None:
    memory.store("one")
    memory.call(InitVoteLog())
    memory.call(VerifyVotes())
    memory.call(VerifyVotes(incremental=True))
    memory.call(VerifyLedger())

    with memory.sql() as connection:
        rows = connection.execute("SELECT log, ok, incremental, size FROM vote_integrity_checks ORDER BY id").fetchall()

    assert [("votes", 1, 0, 1), ("votes", 1, 1, 1), ("transactions", 1, 0, 2)] == rows


def test_a_run_that_cannot_be_written_down_is_told_all_the_same(memory: Memory) -> None:
    memory.call(InitVoteLog())
    with memory.sql() as connection:
        connection.execute("DROP TABLE vote_integrity_checks")

    report = memory.call(VerifyVotes())

    assert {"SCHEMA"} == codes(report)
    assert "not written down" in (report.not_remembered or "")


def test_what_somebody_wrote_among_the_runs_breaks_no_status(memory: Memory) -> None:
    memory.call(InitVoteLog())
    memory.call(VerifyVotes())
    with memory.sql() as connection:
        connection.execute("UPDATE vote_integrity_checks SET findings = 'junk', finished_at = 'junk'")

    assert [("votes", "junk", [])] == [(run.log, run.at, run.codes) for run in memory.call(ReadStatus()).verified]


def test_a_vote_that_is_gone_is_missed_by_the_receipts_of_its_agent(memory: Memory, tmp_path: Path) -> None:
    fact = memory.store("one")
    agent(memory)
    memory.call(Backup(target=str(tmp_path / "backup.db")))
    memory.call(CastVote(id=fact.id, vote=1, agent="ann"))
    older(memory, tmp_path / "backup.db")

    with memory.reopen() as again:
        promised = again.call(VerifyVotes())
        again.call(CastVote(id=fact.id, vote=-1, agent="bob"))
        replaced = again.call(VerifyVotes())

    assert {"PROMISE_BROKEN"} == codes(promised)
    assert {"PROMISE_BROKEN"} == codes(replaced)
    assert 1 == replaced.exit_code


def test_a_vote_that_was_proved_is_missed_as_such(memory: Memory, tmp_path: Path) -> None:
    fact = memory.store("one")
    agent(memory)
    memory.call(Backup(target=str(tmp_path / "backup.db")))
    counted = memory.call(CastVote(id=fact.id, vote=1, agent="ann"))
    memory.call(ProveVote(vote=counted.vote_id))
    older(memory, tmp_path / "backup.db")

    with memory.reopen() as again:
        report = again.call(VerifyVotes())

    assert {"RECEIPT_MISSING"} == codes(report)


def test_receipts_of_somebody_else_that_promise_more_than_there_is_are_no_finding(
    memory: Memory, tmp_path: Path
) -> None:
    fact = memory.store("one")
    agent(memory)
    memory.call(Backup(target=str(tmp_path / "backup.db")))
    origin = memory.call(InitVoteLog()).origin
    memory.call(CastVote(id=fact.id, vote=1, agent="ann"))
    elsewhere = tmp_path / "receipts"
    keyfiles.receipts_path(memory.home, origin, "ann").rename(elsewhere)
    older(memory, tmp_path / "backup.db")

    with memory.reopen() as again:
        report = again.call(VerifyVotes(receipts=[str(elsewhere)]))

    assert report.ok
    assert any("not there yet" in told for told in report.outside)


def test_accepting_a_file_puts_receipts_aside_that_it_does_not_bear_out(memory: Memory, tmp_path: Path) -> None:
    fact = memory.store("one")
    agent(memory)
    memory.call(Backup(target=str(tmp_path / "backup.db")))
    memory.call(CastVote(id=fact.id, vote=1, agent="ann"))
    memory.call(VerifyVotes())
    older(memory, tmp_path / "backup.db")

    with memory.reopen() as again:
        assert {"ROLLBACK", "PROMISE_BROKEN"} == codes(again.call(VerifyVotes()))
        accepted = again.call(AcceptVotes())
        after = again.call(VerifyVotes())

    assert accepted.ok
    assert after.ok
    assert any("put aside" in told for told in accepted.outside)


def test_a_witness_knows_that_the_log_was_rewritten(opening: Opening, tmp_path: Path) -> None:
    memory = opening(witnesses=f"file:{tmp_path / 'witness'}")
    fact = memory.store("one")
    memory.call(InitVoteLog())
    memory.call(Backup(target=str(tmp_path / "backup.db")))
    memory.call(CastVote(id=fact.id, vote=1, agent="ann"))
    memory.call(MakeVoteCheckpoint())
    older(memory, tmp_path / "backup.db")
    shutil.rmtree(memory.home / "verified", ignore_errors=True)

    with memory.reopen() as again:
        rolled_back = again.call(VerifyVotes())
        for number in range(2):
            again.call(CastVote(id=fact.id, vote=-1, agent=f"a{number}"))
        rewritten = again.call(VerifyVotes())

    assert {"ROLLBACK"} == codes(rolled_back)
    assert {"HISTORY_REWRITTEN"} == codes(rewritten)


def test_two_histories_of_one_size_are_a_split_view(opening: Opening, tmp_path: Path) -> None:
    memory = opening(witnesses=f"file:{tmp_path / 'witness'}")
    fact = memory.store("one")
    memory.call(InitVoteLog())
    memory.call(Backup(target=str(tmp_path / "backup.db")))
    memory.call(CastVote(id=fact.id, vote=1, agent="ann"))
    memory.call(MakeVoteCheckpoint())
    older(memory, tmp_path / "backup.db")
    shutil.rmtree(memory.home / "verified", ignore_errors=True)

    with memory.reopen() as again:
        again.call(CastVote(id=fact.id, vote=-1, agent="bob"))
        signed = again.call(MakeVoteCheckpoint())
        report = again.call(VerifyVotes())

    assert ["SPLIT_VIEW"] == [each.code for each in signed.witnesses]
    assert {"SPLIT_VIEW"} == codes(report)


def test_a_damaged_file_of_receipts_is_told_and_named_ones_are_refused(memory: Memory) -> None:
    fact = memory.store("one")
    agent(memory)
    origin = memory.call(InitVoteLog()).origin
    memory.call(CastVote(id=fact.id, vote=1, agent="ann"))
    place = keyfiles.receipts_path(memory.home, origin, "ann")
    place.write_text("junk\n" + place.read_text())

    report = memory.call(VerifyVotes())

    assert (True, 3) == (report.ok, report.exit_code)
    assert ["receipts ann.receipts: cannot be read"] == [told.split(" (")[0] for told in report.unchecked]
    assert set(report.unchecked) <= set(report.outside)
    with pytest.raises(Corrupt):
        memory.call(VerifyVotes(receipts=[str(place)]))
    with pytest.raises(NotFound):
        memory.call(VerifyVotes(receipts=[f"{place}.not"]))


def test_a_witness_that_cannot_be_read_leaves_the_log_unchecked_and_findings_count_more(
    opening: Opening, tmp_path: Path
) -> None:
    memory = opening(witnesses=f"file:{tmp_path / 'witness'}")
    fact = memory.store("one")
    memory.call(CastVote(id=fact.id, vote=1))
    (tmp_path / "witness").write_text("junk\n")

    unread = memory.call(VerifyVotes())
    with memory.sql() as connection:
        connection.execute("UPDATE vote_tally SET sigma_e6 = 1")
    found = memory.call(VerifyVotes())

    assert (True, 3, 1) == (unread.ok, unread.exit_code, len(unread.unchecked))
    assert (False, 1, 1) == (found.ok, found.exit_code, len(found.unchecked))


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a folder that may not be read")
def test_a_folder_of_receipts_that_may_not_be_read_leaves_the_log_unchecked(memory: Memory) -> None:
    fact = memory.store("one")
    agent(memory)
    origin = memory.call(InitVoteLog()).origin
    memory.call(CastVote(id=fact.id, vote=1, agent="ann"))
    folder = keyfiles.receipts_path(memory.home, origin, "ann").parent
    folder.chmod(0o300)

    report = memory.call(VerifyVotes())
    folder.chmod(0o700)

    assert 3 == report.exit_code


# What is remembered of it.


def test_what_receipts_do_not_bear_out_is_not_remembered_as_good(memory: Memory, tmp_path: Path) -> None:
    fact = memory.store("one")
    agent(memory)
    memory.call(VerifyVotes())
    memory.call(Backup(target=str(tmp_path / "backup.db")))
    memory.call(CastVote(id=fact.id, vote=1, agent="ann"))
    older(memory, tmp_path / "backup.db")

    with memory.reopen() as again:
        again.call(CastVote(id=fact.id, vote=-1, agent="bob"))
        found = again.call(VerifyVotes())
        kept = remembered.load(memory.home, memory.path).votes

    assert {"PROMISE_BROKEN"} == codes(found)
    assert kept is not None
    assert 1 == kept.size


def test_an_incremental_run_compares_the_receipts_that_came_since(memory: Memory) -> None:
    fact = memory.store("one")
    agent(memory)
    for vote in (1, -1):
        memory.call(CastVote(id=fact.id, vote=vote, agent="ann"))
    whole = memory.call(VerifyVotes())
    memory.call(CastVote(id=fact.id, vote=1, agent="ann"))

    partial = memory.call(VerifyVotes(incremental=True))
    nothing = memory.call(VerifyVotes(incremental=True))
    again = memory.call(VerifyVotes())

    assert [2, 1, 0, 3] == [compared(report) for report in (whole, partial, nothing, again)]


def compared(report: VotesReport) -> int:
    """How many receipts a report says were compared."""
    return next(int(told.split()[1]) for told in report.outside if told.startswith("receipts: "))


def test_a_file_of_receipts_that_changed_before_the_mark_is_read_whole(memory: Memory) -> None:
    fact = memory.store("one")
    agent(memory)
    origin = memory.call(InitVoteLog()).origin
    for vote in (1, -1, 0):
        memory.call(CastVote(id=fact.id, vote=vote, agent="ann"))
    memory.call(VerifyVotes())
    place = keyfiles.receipts_path(memory.home, origin, "ann")
    lines = place.read_bytes().splitlines(keepends=True)

    place.write_bytes(b"".join(lines[1:]))
    shorter = memory.call(VerifyVotes(incremental=True))
    place.write_bytes(b"".join([*reversed(lines), lines[0]]))
    other = memory.call(VerifyVotes(incremental=True))
    place.unlink()
    gone = memory.call(VerifyVotes(incremental=True))

    assert [2, 4] == [compared(shorter), compared(other)]
    assert "receipts: none" in gone.outside


def test_receipts_that_are_missed_by_an_incremental_run_are_found_by_each_run_after_it(memory: Memory) -> None:
    fact = memory.store("one")
    agent(memory)
    origin = memory.call(InitVoteLog()).origin
    memory.call(CastVote(id=fact.id, vote=1, agent="ann"))
    memory.call(VerifyVotes())
    ((vote_id, kept),) = held(memory).items()
    place = keyfiles.receipts_path(memory.home, origin, "ann")
    receipts.append(place, structs.replace(kept, idx=0, promise=None))

    found = [memory.call(VerifyVotes(incremental=True)) for _ in range(2)]

    assert [{"RECEIPT_MISSING"}] * 2 == [codes(report) for report in found]
    assert all(vote_id in report.findings[0].what for report in found)


def test_receipts_of_entries_that_are_not_there_yet_are_looked_at_by_each_run(memory: Memory) -> None:
    fact = memory.store("one")
    agent(memory)
    origin = memory.call(InitVoteLog()).origin
    memory.call(CastVote(id=fact.id, vote=1, agent="ann"))
    ((_, kept),) = held(memory).items()
    place = keyfiles.receipts_path(memory.home, origin, "ann")
    receipts.append(place, structs.replace(kept, ballot={**kept.ballot, "id": "later"}, idx=3, promise=None))

    before = [memory.call(VerifyVotes(incremental=True)) for _ in range(2)]
    memory.call(CastVote(id=fact.id, vote=-1, agent="bob"))
    after = memory.call(VerifyVotes(incremental=True))

    assert [True, True] == [report.ok for report in before]
    assert all(any("not there yet" in told for told in report.outside) for report in before)
    assert {"RECEIPT_MISSING"} == codes(after)


def test_a_ballot_that_was_handed_in_again_is_no_finding_in_parts_either(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RECEIPTS_PART", 1)
    fact = memory.store("one")
    agent(memory)
    origin = memory.call(InitVoteLog()).origin
    for vote in (1, -1, 0):
        memory.call(CastVote(id=fact.id, vote=vote, agent="ann"))
    place = keyfiles.receipts_path(memory.home, origin, "ann")
    lines = place.read_bytes().splitlines(keepends=True)
    first = next(iter(held(memory).values()))
    place.unlink()
    receipts.append(place, structs.replace(first, idx=0))
    place.write_bytes(place.read_bytes() + b"".join(lines))

    report = memory.call(VerifyVotes())

    assert (True, 4) == (report.ok, compared(report))


# Showing to others.


def test_the_history_of_a_fact_has_every_vote_and_word_in_order_and_pages(memory: Memory) -> None:
    fact = memory.store("one")
    for number, vote in enumerate((1, -1, 0)):
        memory.call(CastVote(id=fact.id, vote=vote, agent=f"a{number}", reason=f"because {number}"))
    memory.call(ReviseFact(id=fact.id, content="one, revised"))
    memory.call(ResolveFact(id=fact.id, truth="true"))

    first = memory.call(ReadVoteHistory(fact=fact.id, limit=3))
    second = memory.call(ReadVoteHistory(fact=fact.id, limit=3, cursor=first.next))

    assert [1, -1, 0] == [entry.vote for entry in first.entries]
    assert ["because 0", "because 1", "because 2"] == [entry.reason for entry in first.entries]
    assert ["server"] * 3 == [entry.custody for entry in first.entries]
    assert [("resolve", 1)] == [(entry.kind, entry.truth) for entry in second.entries]
    assert second.next is None


def test_a_cursor_that_is_none_is_refused(memory: Memory) -> None:
    fact = memory.store("one")
    memory.call(CastVote(id=fact.id, vote=1))

    for junk in ("-1", "x", "²", "9" * 17):
        with pytest.raises(Invalid, match="is no cursor"):
            memory.call(ReadVoteHistory(fact=fact.id, cursor=junk))


def test_a_vote_is_proved_by_id_and_by_number_and_its_receipt_is_completed(memory: Memory, tmp_path: Path) -> None:
    fact = memory.store("one")
    agent(memory)
    counted = memory.call(CastVote(id=fact.id, vote=1, agent="ann", reason="seen it"))
    assert held(memory)[counted.vote_id].proof is None

    proved = memory.call(ProveVote(vote=counted.vote_id, output=str(tmp_path / "proof.json")))
    again = memory.call(ProveVote(vote=str(counted.entry), text=False))

    assert proved.leaf == again.leaf
    assert {"reason": "seen it"} == (proved.disclosure or {})["fields"]
    assert again.disclosure is None
    assert proved.proof == held(memory)[counted.vote_id].proof
    assert {"format", "leaf", "proof", "disclosure"} == set(json.loads((tmp_path / "proof.json").read_text()))


def test_a_receipt_that_could_not_be_kept_is_made_by_proving_where_the_agents_own_key_is(memory: Memory) -> None:
    fact = memory.store("one")
    agent(memory)
    origin = memory.call(InitVoteLog()).origin
    counted = memory.call(CastVote(id=fact.id, vote=1, agent="ann", reason="seen it"))
    other = memory.call(CastVote(id=fact.id, vote=1, agent="bob"))
    place = keyfiles.receipts_path(memory.home, origin, "ann")
    place.unlink()

    proved = [memory.call(ProveVote(vote=vote.vote_id)) for vote in (counted, other)]

    made = held(memory)[counted.vote_id]
    assert (proved[0].proof, proved[0].leaf, "seen it") == (made.proof, made.leaf, made.reason)
    assert memory.call(VerifyVotes()).ok
    assert {} == held(memory, "bob")


def test_a_receipt_that_could_not_be_kept_is_kept_when_the_vote_is_told_again(memory: Memory) -> None:
    fact = memory.store("one")
    agent(memory)
    origin = memory.call(InitVoteLog()).origin
    vote = CastVote(id=fact.id, vote=1, agent="ann", reason="seen it", vote_id=uuid7(7_000_000))
    first = memory.call(vote)
    before = held(memory)
    place = keyfiles.receipts_path(memory.home, origin, "ann")
    place.unlink()

    again = [memory.call(vote) for _ in range(2)]
    bob = memory.call(CastVote(id=fact.id, vote=1, agent="bob", vote_id=uuid7(8_000_000)))
    memory.call(CastVote(id=fact.id, vote=1, agent="bob", vote_id=bob.vote_id))

    assert [(first.entry, True, [])] * 2 == [(one.entry, one.repeated, one.notes) for one in again]
    assert before == held(memory)
    assert 1 == len(place.read_bytes().splitlines())
    assert {} == held(memory, "bob")


def test_proving_what_is_no_vote_is_refused(memory: Memory) -> None:
    fact = memory.store("one")
    memory.call(CastVote(id=fact.id, vote=1))

    for name in ("0", "99", "nothing", fact.id):
        with pytest.raises(NotFound):
            memory.call(ProveVote(vote=name))


def test_the_reason_of_a_forgotten_fact_is_in_no_proof(memory: Memory) -> None:
    fact = memory.store("one")
    counted = memory.call(CastVote(id=fact.id, vote=1, reason="a secret"))
    memory.call(ForgetFact(id=fact.id))

    proved = memory.call(ProveVote(vote=counted.vote_id))

    assert proved.disclosure is None


# Backups.


def older(memory: Memory, backup: Path) -> None:
    """Put an old copy in the place of the file, as somebody does who owns it; the memory is closed first."""
    memory.close()
    for ending in ("", "-wal", "-shm"):
        Path(f"{memory.path}{ending}").unlink(missing_ok=True)
    shutil.copy(backup, memory.path)


def test_a_restored_log_goes_on_by_the_admin_key_at_once(memory: Memory, tmp_path: Path) -> None:
    memory.clock.set(times.now())  # restoring goes by the clock of the machine
    fact = memory.store("one")
    memory.call(CastVote(id=fact.id, vote=1))
    memory.call(Backup(target=str(tmp_path / "backup.db")))
    memory.call(CastVote(id=fact.id, vote=-1, agent="bob"))

    told = restored(memory, tmp_path / "backup.db")

    assert told.votes_note is not None
    assert "goes on" in told.votes_note
    with memory.reopen() as again:
        assert 4 == again.call(MakeVoteCheckpoint()).size
        assert 4 == again.call(CastVote(id=fact.id, vote=1, agent="tester")).entry


def test_a_restored_log_without_its_admin_key_takes_no_votes_until_it_comes(memory: Memory, tmp_path: Path) -> None:
    memory.clock.set(times.now())  # restoring goes by the clock of the machine
    fact = memory.store("one")
    origin = memory.call(InitVoteLog()).origin
    memory.call(Backup(target=str(tmp_path / "backup.db")))
    admin = keyfiles.admin_path(memory.home, origin)
    admin.rename(tmp_path / "admin")

    told = restored(memory, tmp_path / "backup.db")

    assert told.votes_note is not None
    assert "vote-ledger init" in told.votes_note
    with memory.reopen() as again:
        with pytest.raises(Unavailable, match="put back from a backup"):
            again.call(CastVote(id=fact.id, vote=1))
        (tmp_path / "admin").rename(admin)
        assert again.call(InitVoteLog()).restored
        assert 3 == again.call(CastVote(id=fact.id, vote=1)).entry


def test_votes_that_a_backup_lacks_are_handed_in_again_from_the_receipts(memory: Memory, tmp_path: Path) -> None:
    memory.clock.set(times.now())  # restoring goes by the clock of the machine
    one, two = memory.store("one"), memory.store("two")
    agent(memory)
    memory.call(CastVote(id=one.id, vote=1, agent="ann"))
    memory.call(Backup(target=str(tmp_path / "backup.db")))
    second = memory.call(CastVote(id=two.id, vote=-1, agent="ann"))
    restored(memory, tmp_path / "backup.db")

    with memory.reopen() as again:
        done = again.call(ResubmitVotes())
        twice = again.call(ResubmitVotes())

        assert (1, 1, [], []) == (done.present, done.taken, done.outdated, done.refused)
        assert (2, 0) == (twice.present, twice.taken)
        assert [-1] == [vote.vote for vote in again.call(ReadVotes(id=two.id)).votes]
        assert second.entry != held(again)[second.vote_id].idx


def test_a_run_that_ended_before_it_could_keep_a_receipt_is_finished_by_the_next(
    memory: Memory, tmp_path: Path
) -> None:
    memory.clock.set(times.now())  # restoring goes by the clock of the machine
    fact = memory.store("one")
    agent(memory)
    origin = memory.call(InitVoteLog()).origin
    memory.call(CastVote(id=fact.id, vote=-1, agent="ann"))
    memory.call(Backup(target=str(tmp_path / "backup.db")))
    counted = memory.call(CastVote(id=fact.id, vote=1, agent="ann"))
    restored(memory, tmp_path / "backup.db")
    place = keyfiles.receipts_path(memory.home, origin, "ann")
    before = place.read_bytes()

    with memory.reopen() as again:
        again.call(ResubmitVotes())
        place.write_bytes(before)
        assert not again.call(VerifyVotes()).ok
        done = again.call(ResubmitVotes())

        assert (2, 0) == (done.present, done.taken)
        assert counted.entry != held(again)[counted.vote_id].idx
        assert again.call(VerifyVotes()).ok


def test_an_agent_that_the_backup_does_not_know_has_to_be_registered_first(memory: Memory, tmp_path: Path) -> None:
    memory.clock.set(times.now())  # restoring goes by the clock of the machine
    fact = memory.store("one")
    agent(memory)
    memory.call(Backup(target=str(tmp_path / "backup.db")))
    memory.call(CastVote(id=fact.id, vote=1, agent="ann"))
    restored(memory, tmp_path / "backup.db")

    with memory.reopen() as again:
        refused = again.call(ResubmitVotes()).refused
        again.call(AddAgent(name="ann"))
        done = again.call(ResubmitVotes())

    assert ["not_found"] == [left.kind for left in refused]
    assert "cortex agent add" in refused[0].told
    assert 1 == done.taken


def test_ballots_that_no_longer_fit_are_told_apart(memory: Memory, tmp_path: Path) -> None:
    memory.clock.set(times.now())  # restoring goes by the clock of the machine
    one, two = memory.store("one"), memory.store("two")
    agent(memory)
    memory.call(CastVote(id=one.id, vote=1, agent="ann"))
    memory.call(Backup(target=str(tmp_path / "backup.db")))
    later = memory.store("three")
    for fact in (two, later):
        memory.call(CastVote(id=fact.id, vote=1, agent="ann"))
    restored(memory, tmp_path / "backup.db")

    with memory.reopen() as again:
        again.call(ReviseFact(id=two.id, content="another text"))
        done = again.call(ResubmitVotes())

        report = again.call(VerifyVotes())

    assert (1, 0) == (done.present, done.taken)
    assert ["revision_conflict"] == [left.kind for left in done.outdated]
    assert ["not_found"] == [left.kind for left in done.refused]
    assert 1 == done.exit_code
    assert {"PROMISE_BROKEN"} == codes(report)


def test_a_file_of_receipts_that_is_not_there_has_nothing_to_hand_in(memory: Memory, tmp_path: Path) -> None:
    memory.call(InitVoteLog())

    done = memory.call(ResubmitVotes(receipts=[str(tmp_path / "none")]))

    assert (0, 0) == (done.present, done.taken)
