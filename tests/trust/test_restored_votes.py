"""A votes log after a backup came back: which keys go on with it, what is missed, what is handed in again."""

from collections.abc import Callable
from pathlib import Path

import pytest
from restoring import backed_up, restored

from cortex import limits, maintenance, settings, times
from cortex.errors import KeyNotValid
from cortex.ops.admin import LockAdmin, RotateAdmin, ShowAdmin
from cortex.ops.agent_changes import RevokeAgent, TrustAgent
from cortex.ops.agent_keys import AddAgentKey, RotateAgentKey
from cortex.ops.agents import AddAgent, ShowAgent
from cortex.ops.checking import VotesReport
from cortex.ops.facts import ForgetFact, ReviseFact
from cortex.ops.node import Backup
from cortex.ops.policies import SetPolicy
from cortex.ops.resolving import ResolveFact
from cortex.ops.resubmitting import ResubmitVotes
from cortex.ops.views import ShowFact
from cortex.ops.vote_ledger import AcceptVotes, InitVoteLog, MakeVoteCheckpoint, VerifyVotes
from cortex.ops.votes import CastVote, ReadVotes
from cortex.progress import silent
from cortex.trust import keyfiles, receipts
from opened import Memory

Opening = Callable[..., Memory]


@pytest.fixture
def begun(memory: Memory) -> Memory:
    """A memory whose votes log has an agent, ann, with a key of its own; at the time of the machine."""
    memory.clock.set(times.now())
    memory.call(AddAgent(name="ann"))
    return memory


def replaced(memory: Memory, backup: Path) -> None:
    """Put a copy in the place of the file without a word; the memory is closed first."""
    memory.close()
    for ending in ("", "-wal", "-shm"):
        Path(f"{memory.path}{ending}").unlink(missing_ok=True)
    memory.path.write_bytes(backup.read_bytes())


def place_of(memory: Memory, name: str = "ann") -> Path:
    return keyfiles.receipts_path(memory.home, memory.call(InitVoteLog()).origin, name)


def codes(report: VotesReport) -> set[str]:
    return {finding.code for finding in report.findings}


# The admin key.


def test_a_backup_of_before_a_rotation_goes_on_by_the_key_that_was_kept(begun: Memory) -> None:
    backup, old = backed_up(begun), begun.call(ShowAdmin())
    new = begun.call(RotateAdmin())

    told = restored(begun, backup).votes_note or ""

    path = Path(old.path)
    assert "goes on" in told
    assert f"from before a rotation, kept as {path.name}.1, which is in {path} again" in told
    with begun.reopen() as again:
        shown = again.call(ShowAdmin())
        assert (old.admin, True) == (shown.admin, shown.in_force)
        assert "trusted" == again.call(TrustAgent(name="ann", level="trusted")).level
    kept = keyfiles.decode_seed(path.with_name(f"{path.name}.2").read_text().split()[-1])
    assert kept is not None
    assert new.admin == keyfiles.AgentKey("admin", kept).public.hex()


def test_a_restored_log_goes_on_later_by_the_key_that_was_kept(begun: Memory) -> None:
    backup, old = backed_up(begun), begun.call(ShowAdmin())
    begun.call(RotateAdmin())
    away = Path(old.path).rename(Path(old.path).with_name("away"))
    restored(begun, backup)
    away.rename(old.path)

    with begun.reopen() as again:
        before = again.call(ShowAdmin())
        head = again.call(InitVoteLog())
        after = again.call(ShowAdmin())

    assert (False, f"{old.path}.1") == (before.in_force, before.kept)
    assert head.restored
    assert "from before a rotation" in (head.by or "")
    assert (True, None) == (after.in_force, after.kept)


def test_a_file_of_after_the_rotation_finds_the_newer_key_again(begun: Memory) -> None:
    old, older = begun.call(ShowAdmin()), backed_up(begun)
    new = begun.call(RotateAdmin())
    newer = begun.path.with_name("newer.db")
    begun.call(Backup(target=str(newer)))
    restored(begun, older)

    told = restored(begun, newer).votes_note or ""

    assert "goes on" in told
    with begun.reopen() as again:
        shown = again.call(ShowAdmin())
        assert (new.admin, True) == (shown.admin, shown.in_force)
    assert {f"{Path(old.path).name}.{number}" for number in (1, 2)} <= {
        path.name for path in Path(old.path).parent.iterdir()
    }


def test_a_locked_key_that_was_kept_takes_its_passphrase(begun: Memory, opening: Opening) -> None:
    secret = opening(admin_passphrase="open sesame")
    secret.call(LockAdmin())
    backup, old = backed_up(begun), begun.call(ShowAdmin())
    secret.call(RotateAdmin())
    secret.close()
    restored(begun, backup)

    with opening(admin_passphrase="open sesame") as again:
        head = again.call(InitVoteLog())
        shown = again.call(ShowAdmin())

    assert (True, "locked", True, old.admin) == (head.restored, shown.state, shown.in_force, shown.admin)


def test_where_no_key_of_the_log_was_kept_the_hint_fits_an_older_log_too(begun: Memory) -> None:
    backup, old = backed_up(begun), begun.call(ShowAdmin())
    begun.call(RotateAdmin())
    Path(f"{old.path}.1").write_text("junk")
    told = restored(begun, backup).votes_note or ""

    with begun.reopen() as again, pytest.raises(KeyNotValid) as caught:
        again.call(InitVoteLog())

    assert "takes no votes" in told
    assert old.admin[:16] in caught.value.message
    assert "took its place" not in str(caught.value)


# Keys of agents.


def test_an_agent_that_rotated_since_the_backup_votes_with_the_key_of_before(begun: Memory) -> None:
    fact = begun.store("one")
    backup = backed_up(begun)
    before = begun.call(ShowAgent(name="ann")).keys[0].public
    begun.call(RotateAgentKey(name="ann"))
    restored(begun, backup)

    with begun.reopen() as again:
        counted = again.call(CastVote(id=fact.id, vote=1, agent="ann"))
        shown = again.call(ShowAgent(name="ann"))

    assert ("agent", 1) == (counted.custody, counted.vote)
    assert [before] == [key.public for key in shown.keys]


def test_an_agent_that_rotated_since_the_backup_rotates_and_gets_keys_by_the_key_of_before(
    begun: Memory, tmp_path: Path
) -> None:
    backup = backed_up(begun)
    before = begun.call(ShowAgent(name="ann")).keys[0].public
    begun.call(RotateAgentKey(name="ann"))
    restored(begun, backup)

    with begun.reopen() as again:
        again.call(AddAgentKey(name="ann", out=str(tmp_path / "device.key")))
        rotated = again.call(RotateAgentKey(name="ann"))
        keys = again.call(ShowAgent(name="ann")).keys

    assert [("rotated", before)] == [(key.ended, key.public) for key in keys if key.ended]
    assert rotated.public in {key.public for key in keys}


def test_an_agent_whose_key_of_before_is_gone_is_told_how_to_get_another(begun: Memory) -> None:
    fact = begun.store("one")
    backup = backed_up(begun)
    begun.call(RotateAgentKey(name="ann"))
    for kept in (begun.home / "agents").glob("*/ann.key.1"):
        kept.unlink()
    restored(begun, backup)

    with begun.reopen() as again:
        for request in (CastVote(id=fact.id, vote=1, agent="ann"), RotateAgentKey(name="ann")):
            with pytest.raises(KeyNotValid) as caught:
                again.call(request)
            assert "`cortex agent key ann --out FILE` with the admin key" in caught.value.hint


def test_a_key_that_ended_in_the_log_is_not_taken_for_one_of_before(begun: Memory) -> None:
    fact = begun.store("one")
    begun.call(RotateAgentKey(name="ann"))
    place = keyfiles.agent_path(begun.home, begun.call(InitVoteLog()).origin, "ann")
    newer = place.read_bytes()
    place.write_bytes(place.with_name("ann.key.1").read_bytes())

    with begun.reopen() as again, pytest.raises(KeyNotValid, match="was rotated"):
        again.call(CastVote(id=fact.id, vote=1, agent="ann"))

    assert newer != place.read_bytes()


# What is missed, and why.


def lost_a_vote(memory: Memory, put: Callable[[Memory, Path], object] = restored) -> str:
    """Two votes of ann, of which the file that is put back lacks the second. Returns the id of its fact."""
    one, two = memory.store("one"), memory.store("two")
    memory.call(CastVote(id=one.id, vote=1, agent="ann"))
    backup = backed_up(memory)
    memory.call(CastVote(id=two.id, vote=-1, agent="ann", reason="I was there"))
    put(memory, backup)
    return two.id


def test_after_a_restore_the_findings_name_it_and_what_helps(begun: Memory) -> None:
    lost_a_vote(begun)

    with begun.reopen() as again:
        report = again.call(VerifyVotes())

    assert ({"PROMISE_BROKEN"}, 1) == (codes(report), report.exit_code)
    assert "the log was put back from a backup at entry 3" in report.findings[0].what
    assert "`cortex vote-ledger resubmit`" in report.findings[0].what


def test_a_log_that_waits_for_its_admin_key_says_where_it_was_put_back(begun: Memory) -> None:
    path = Path(begun.call(ShowAdmin()).path)
    away = path.with_name("away")

    def without_key(memory: Memory, backup: Path) -> None:
        path.rename(away)
        restored(memory, backup)

    lost_a_vote(begun, without_key)

    with begun.reopen() as again:
        found = again.call(VerifyVotes()).findings

    assert ["PROMISE_BROKEN"] == [finding.code for finding in found]
    assert "put back from a backup at entry 3 and waits for `cortex vote-ledger init`" in found[0].what


def test_a_witness_that_has_seen_more_is_told_with_the_cause(opening: Opening, tmp_path: Path) -> None:
    memory = opening(witnesses=f"file:{tmp_path / 'witness'}")
    memory.clock.set(times.now())
    memory.call(InitVoteLog())
    backup = backed_up(memory)
    for name in ("bob", "carl", "dora"):
        memory.call(AddAgent(name=name))
    memory.call(MakeVoteCheckpoint())
    restored(memory, backup)

    with memory.reopen() as again:
        found = again.call(VerifyVotes()).findings

    assert ["ROLLBACK"] == [finding.code for finding in found]
    assert "the log was put back from a backup at entry 1" in found[0].what


def test_a_log_that_was_replaced_in_silence_has_no_such_excuse(begun: Memory) -> None:
    lost_a_vote(begun, replaced)

    with begun.reopen() as again:
        found = again.call(VerifyVotes()).findings

    assert {"PROMISE_BROKEN"} == {finding.code for finding in found}
    assert not any("put back" in finding.what for finding in found)


def test_what_was_lost_before_the_log_was_put_back_has_another_cause(begun: Memory) -> None:
    fact = begun.store("one")
    begun.call(CastVote(id=fact.id, vote=1, agent="ann"))
    place = place_of(begun)
    line = place.read_text()
    restored(begun, backed_up(begun))
    place.write_text(line.replace('\\"vote\\":1', '\\"vote\\":-1'))

    with begun.reopen() as again:
        found = again.call(VerifyVotes()).findings

    assert ["RECEIPT_MISSING"] == [finding.code for finding in found]
    assert "put back" not in found[0].what


# Handing in again.


def test_a_vote_is_handed_in_again_with_its_reason(begun: Memory) -> None:
    fact = lost_a_vote(begun)

    with begun.reopen() as again:
        done = again.call(ResubmitVotes())
        votes = again.call(ReadVotes(id=fact)).votes
        report = again.call(VerifyVotes())

    assert (1, 0) == (done.taken, done.without_reason)
    assert ["I was there"] == [vote.reason for vote in votes]
    assert (True, 1) == (report.ok, report.reasons)


@pytest.mark.parametrize("change", [{}, {"salt": "00" * 16}, {"reason": "I was not"}])
def test_reasons_that_the_receipts_do_not_hold_are_counted(begun: Memory, change: dict[str, str]) -> None:
    fact = lost_a_vote(begun)

    with begun.reopen() as again:
        place = place_of(again)
        *before, last = receipts.read(place)
        kept = {"reason": last.reason, "salt": last.salt, **change} if change else {}
        old = receipts.AgentReceipt(last.ballot, last.sig, last.idx, last.leaf, last.promise, None, **kept)  # type: ignore[arg-type]
        place.unlink()
        for receipt in (*before, old):
            receipts.append(place, receipt)
        done = again.call(ResubmitVotes())
        votes = again.call(ReadVotes(id=fact)).votes

    assert (1, 1, 0) == (done.taken, done.without_reason, done.exit_code)
    assert [(-1, None)] == [(vote.vote, vote.reason) for vote in votes]


def test_what_is_forgotten_leaves_no_reason_in_any_receipt(begun: Memory) -> None:
    one, two = begun.store("one"), begun.store("two")
    begun.call(CastVote(id=one.id, vote=1, agent="ann", reason="I was there"))
    begun.call(CastVote(id=two.id, vote=1, agent="ann", reason="I heard it"))
    place = place_of(begun)
    aside = place.with_name(f"{place.name}.before-1")
    aside.write_bytes(place.read_bytes())
    held = receipts.latest(place)

    begun.call(ForgetFact(id=one.id))

    assert list(held) == list(receipts.latest(place))
    for path in (place, aside):
        assert (False, True) == tuple(text in path.read_text() for text in ("I was there", "I heard it"))
    assert begun.call(VerifyVotes()).ok


def test_receipts_that_cannot_be_read_do_not_keep_a_fact(begun: Memory) -> None:
    fact = begun.store("one")
    begun.call(CastVote(id=fact.id, vote=1, agent="ann", reason="I was there"))
    place = place_of(begun)
    place.write_text(f"junk\n{place.read_text()}")

    told = begun.call(ForgetFact(id=fact.id))

    assert "scrubbed" == told.state
    assert "may still hold reasons" in told.note


# Accepting.


def test_accepting_puts_aside_only_what_does_not_fit_and_says_how_to_hand_it_in(begun: Memory) -> None:
    fact = lost_a_vote(begun)

    with begun.reopen() as again:
        place = place_of(again)
        first, second = receipts.latest(place)
        accepted = again.call(AcceptVotes())
        after = again.call(VerifyVotes())
        aside = next(place.parent.glob("*.before-*"))
        done = again.call(ResubmitVotes(receipts=[str(aside)]))

        assert (True, True) == (accepted.ok, after.ok)
        assert any(f"`cortex vote-ledger resubmit --receipts {aside}`" in told for told in accepted.outside)
        assert ([first], 1) == (list(receipts.latest(place)), done.taken)
        assert second in receipts.latest(aside)
        assert ["I was there"] == [vote.reason for vote in again.call(ReadVotes(id=fact)).votes]


def test_on_a_log_that_is_not_valid_nothing_is_put_aside(begun: Memory) -> None:
    lost_a_vote(begun)
    with begun.reopen() as again:
        place = place_of(again)
        before = place.read_bytes()
        again.sql().execute("UPDATE vote_agent SET for_e6 = 9000000")

        report = again.call(AcceptVotes())

    assert ({"STATE_POLICY", "PROMISE_BROKEN"}, 1) == (codes(report), report.exit_code)
    assert any("none was put aside" in told for told in report.outside)
    assert (before, []) == (place.read_bytes(), list(place.parent.glob("*.before-*")))


def test_against_a_witness_nothing_is_put_aside(opening: Opening, tmp_path: Path) -> None:
    memory = opening(witnesses=f"file:{tmp_path / 'witness'}")
    memory.clock.set(times.now())
    memory.call(AddAgent(name="ann"))
    fact, other = memory.store("one"), memory.store("two")
    backup = backed_up(memory)
    for each in (fact, other):
        memory.call(CastVote(id=each.id, vote=1, agent="ann"))
    memory.call(MakeVoteCheckpoint())
    replaced(memory, backup)

    with memory.reopen() as again:
        report = again.call(AcceptVotes())
        aside = list(place_of(again).parent.glob("*.before-*"))

    assert ({"ROLLBACK", "PROMISE_BROKEN"}, []) == (codes(report), aside)


# What is undone.


def undone(memory: Memory, backup: Path) -> maintenance.Restored:
    """All that restoring a backup answers; the memory is closed first."""
    memory.close()
    flags: dict[str, object] = {"db": memory.path, "agent": "tester"}
    chosen = settings.load(flags=flags, environ={"CORTEX_HOME": str(memory.home)}, cwd=memory.path.parent)
    return maintenance.restore(chosen, backup, silent)


def edited(memory: Memory, sql: str) -> None:
    """Change the votes log past its triggers, which are there afterwards as they were."""
    outsider = memory.sql()
    kept = outsider.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    for name, _ in kept:
        outsider.execute(f"DROP TRIGGER {name}")
    outsider.execute(sql)
    for _, made in kept:
        outsider.execute(str(made))
    outsider.close()


def commands(told: maintenance.Restored) -> list[str | None]:
    return [each.command for each in told.undone]


def test_agents_that_were_revoked_or_lowered_since_the_backup_are_named_with_the_command(begun: Memory) -> None:
    for name in ("bob", "carl", "dora"):
        begun.call(AddAgent(name=name))
    begun.call(TrustAgent(name="carl", level="trusted"))
    backup = backed_up(begun)
    begun.call(RevokeAgent(name="bob"))
    begun.call(TrustAgent(name="carl", level="untrusted"))
    begun.call(TrustAgent(name="dora", level="trusted"))
    begun.call(TrustAgent(name="dora", level="standard"))

    told = undone(begun, backup)

    assert ["cortex agent revoke bob", "cortex agent trust carl untrusted"] == commands(told)
    assert [("trust", "bob"), ("trust", "carl")] == [(each.kind, each.subject) for each in told.undone]
    assert "agent bob was revoked and is standard again" == told.undone[0].what
    assert (0, [], []) == (told.undone_more, told.untold, told.forgotten_ids)


def test_keys_that_ended_since_the_backup_are_named_with_the_command(begun: Memory, tmp_path: Path) -> None:
    begun.call(AddAgent(name="bob"))
    other = begun.call(AddAgentKey(name="bob", out=str(tmp_path / "bob.key"))).public or ""
    backup = backed_up(begun)
    begun.call(RevokeAgent(name="bob", public=other))
    begun.call(RotateAgentKey(name="ann"))
    begun.call(RotateAgentKey(name="ann"))
    begun.call(RotateAdmin())

    told = undone(begun, backup)

    assert ["cortex admin rotate", f"cortex agent revoke bob --public {other[:16]}", "cortex agent rotate ann"] == (
        commands(told)
    )


def test_keys_of_an_agent_that_was_revoked_and_taken_back_are_named(begun: Memory) -> None:
    backup = backed_up(begun)
    old = begun.call(ShowAgent(name="ann")).keys[0].public
    begun.call(RevokeAgent(name="ann"))
    begun.call(TrustAgent(name="ann", level="standard"))

    told = undone(begun, backup)

    assert [f"cortex agent revoke ann --public {old[:16]}"] == commands(told)


def test_resolutions_and_policies_since_the_backup_are_named_with_the_command(begun: Memory) -> None:
    one, two = begun.store("one"), begun.store("two")
    backup = backed_up(begun)
    begun.call(ResolveFact(id=one.id, truth="false"))
    begun.call(ReviseFact(id=two.id, content="two and a half"))
    begun.call(ResolveFact(id=two.id, truth="true"))
    begun.call(SetPolicy(rule="linear", parameters={"quorum": 5, "prior.standard.for": 4}))

    told = undone(begun, backup)

    assert [
        f"cortex resolve {one.id} false --revision 1",
        None,
        "cortex vote-ledger policy linear --set prior.standard.for=4 --set quorum=5",
    ] == commands(told)
    assert "is not the newest" in told.undone[1].what


def test_agents_that_were_registered_since_the_backup_are_named_with_the_command(begun: Memory, tmp_path: Path) -> None:
    backup = backed_up(begun)
    begun.call(AddAgent(name="bob", trust="trusted", projects=["a b", "work"]))
    begun.call(AddAgent(name="carl"))
    begun.call(TrustAgent(name="carl", level="trusted"))
    begun.call(AddAgent(name="dora"))
    begun.call(RevokeAgent(name="dora"))
    begun.call(AddAgentKey(name="ann", out=str(tmp_path / "ann.key")))

    told = undone(begun, backup)

    assert [
        "cortex agent add bob --trust trusted --projects 'a b' --projects work",
        "cortex agent add carl --trust trusted",
        "cortex agent key ann --out FILE",
    ] == commands(told)


def test_an_agent_that_is_registered_again_has_its_votes_handed_in(begun: Memory) -> None:
    fact = begun.store("one")
    backup = backed_up(begun)
    begun.call(AddAgent(name="bob"))
    begun.call(CastVote(id=fact.id, vote=1, agent="bob"))

    told = undone(begun, backup)

    assert ["cortex agent add bob --trust standard"] == commands(told)
    with begun.reopen() as again:
        again.call(AddAgent(name="bob", trust="standard"))
        assert (1, []) == ((done := again.call(ResubmitVotes())).taken, done.refused)


def test_an_agent_that_cortex_signs_for_is_registered_again_by_its_vote(begun: Memory) -> None:
    fact = begun.store("one")
    backup = backed_up(begun)
    for name in ("yan", "zoe"):
        begun.call(CastVote(id=fact.id, vote=1, agent=name))
    begun.call(TrustAgent(name="zoe", level="trusted"))

    told = undone(begun, backup)

    assert [("yan", None), ("zoe", "cortex agent trust zoe trusted")] == [
        (each.subject, each.command) for each in told.undone
    ]
    with begun.reopen() as again:
        assert "server" == again.call(CastVote(id=fact.id, vote=1, agent="zoe")).custody


def test_what_was_done_again_is_not_told_again(begun: Memory) -> None:
    begun.call(AddAgent(name="bob"))
    fact = begun.store("one")
    backup = backed_up(begun)
    begun.call(RevokeAgent(name="bob"))
    begun.call(ResolveFact(id=fact.id, truth="true"))
    first = undone(begun, backup)
    with begun.reopen() as again:
        again.call(RevokeAgent(name="bob"))
        again.call(ResolveFact(id=fact.id, truth="true", revision=1))

    second = undone(again, Path(first.before or ""))

    assert ["cortex agent revoke bob", f"cortex resolve {fact.id} true --revision 1"] == commands(first)
    assert ([], []) == (commands(second), second.untold)


def test_a_backup_that_is_newer_than_the_file_undoes_nothing(begun: Memory) -> None:
    begun.call(AddAgent(name="bob"))
    older = backed_up(begun)
    begun.call(RevokeAgent(name="bob"))
    newer = begun.path.with_name("newer.db")
    begun.call(Backup(target=str(newer)))
    first = undone(begun, older)

    second = undone(begun, newer)

    assert (["cortex agent revoke bob"], []) == (commands(first), commands(second))
    assert [] == second.untold


def test_what_was_done_beside_a_backup_is_told_where_the_logs_part(begun: Memory) -> None:
    begun.call(AddAgent(name="bob"))
    older = backed_up(begun)
    begun.call(RevokeAgent(name="bob"))
    newer = begun.path.with_name("newer.db")
    begun.call(Backup(target=str(newer)))
    undone(begun, older)
    with begun.reopen() as beside:
        beside.call(RevokeAgent(name="ann"))

    told = undone(beside, newer)

    assert ["cortex agent revoke ann"] == commands(told)


def test_events_that_no_valid_key_signed_are_left_out_and_counted(begun: Memory) -> None:
    begun.call(AddAgent(name="bob"))
    backup = backed_up(begun)
    begun.call(TrustAgent(name="ann", level="trusted"))
    begun.call(RevokeAgent(name="bob"))
    edited(begun, "UPDATE vote_ledger SET event = replace(event, 'ann', 'bob') WHERE id = 4")

    told = undone(begun, backup)

    assert ["cortex agent revoke bob"] == commands(told)
    assert ["left out: 1 event of its votes log without a signature by a key that may sign there"] == told.untold


def test_no_more_is_told_than_the_bound_and_no_more_events_are_read(
    begun: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["bob", "carl", "dora", "eve"]
    for name in names:
        begun.call(AddAgent(name=name))
    backup = backed_up(begun)
    for name in names:
        begun.call(RevokeAgent(name=name))
    monkeypatch.setattr(limits, "RESTORE_TOLD_MAX", 2)
    monkeypatch.setattr(limits, "RESTORE_EVENTS_MAX", 3)

    told = undone(begun, backup)

    assert (["cortex agent revoke bob", "cortex agent revoke carl"], 1) == (commands(told), told.undone_more)
    assert ["its votes log has more than 3 events beyond the backup: the rest were not read"] == told.untold


def test_of_a_votes_log_of_another_origin_only_that_is_told(begun: Memory, opening: Opening) -> None:
    other = opening("other.db")
    other.clock.set(times.now())
    other.call(AddAgent(name="bob"))
    backup = backed_up(other)
    other.close()
    begun.call(RevokeAgent(name="ann"))

    told = undone(begun, backup)

    assert [] == told.undone
    assert 1 == len(told.untold)
    assert "is another log than that of the backup" in told.untold[0]


def test_a_backup_of_before_the_votes_log_says_that_the_log_is_gone(memory: Memory) -> None:
    memory.clock.set(times.now())
    memory.store("one")
    backup = backed_up(memory)
    memory.call(AddAgent(name="ann"))

    told = undone(memory, backup)

    assert [] == told.undone
    assert ["the backup has no votes log: that of the replaced file, with 2 entries, is in"] == [
        each.rsplit(" ", 1)[0] for each in told.untold
    ]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE vote_ledger SET event = 'junk' WHERE kind = 'trust'",
        "UPDATE vote_ledger SET signature = x'00' WHERE kind = 'trust'",
        "UPDATE vote_log SET origin = 'x' || char(27) || '[2J'",
        "DELETE FROM vote_ledger WHERE id > 2",
        "UPDATE vote_ledger SET event = CAST(x'ff' AS TEXT) WHERE kind = 'trust'",
    ],
)
def test_a_replaced_votes_log_that_was_edited_keeps_no_backup_from_being_restored(begun: Memory, damage: str) -> None:
    fact = begun.store("one")
    backup = backed_up(begun)
    begun.call(RevokeAgent(name="ann"))
    begun.call(ForgetFact(id=fact.id))
    edited(begun, damage)

    told = undone(begun, backup)

    assert [] == told.undone
    assert (1, [fact.id]) == (told.forgotten, told.forgotten_ids)
    with begun.reopen() as again:
        assert "one" == again.call(ShowFact(id=fact.id)).content
