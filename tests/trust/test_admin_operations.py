"""The admin key and the rules through operations: locked, rotated, lost; and a clock that jumped."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cortex import limits, times
from cortex.errors import ClockAhead, Conflict, CortexError, Forbidden, Invalid, KeyNotValid, Locked, NotFound
from cortex.ops.admin import LockAdmin, RotateAdmin, ShowAdmin, UnlockAdmin
from cortex.ops.agent_changes import TrustAgent
from cortex.ops.agents import AddAgent, ShowAgent
from cortex.ops.node import InitNode
from cortex.ops.policies import ConfirmClock, SetPolicy
from cortex.ops.registry import Request
from cortex.ops.resolving import ResolveFact
from cortex.ops.vote_ledger import InitVoteLog
from cortex.ops.votes import CastVote, ReadVotes
from cortex.trust import keyfiles, private
from cortex.trust import log as logs
from cortex.trust.adminkey import AdminKeyFile, Hardness
from cortex.trust.policy import WEIGHTED
from opened import Memory

Opening = Callable[..., Memory]

EASY = Hardness(ops=1, memory_bytes=8192)
SECRET = "open sesame"

KILLED = """
import os, signal, sys
left = int(sys.argv[1])
def watch(event, told):
    global left
    if event in ("open", "os.rename", "os.link", "os.remove") and "/admin/" in str(told):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
from cortex.cli.main import main
sys.addaudithook(watch)
sys.exit(main(sys.argv[2:]))
"""


def size(memory: Memory) -> int:
    return int(memory.sql().execute("SELECT count(*) FROM vote_ledger").fetchone()[0])


def file_of(memory: Memory) -> AdminKeyFile:
    found = memory.call(ShowAdmin())
    return AdminKeyFile(Path(found.path), found.origin, EASY)


def refused(memory: Memory, request: Request[Any], kind: type[CortexError], match: str) -> None:
    """That a request is refused so, and that the log is as long as before."""
    before = size(memory)
    with pytest.raises(kind, match=match) as caught:
        memory.call(request)
    assert kind is type(caught.value)
    assert before == size(memory)


@pytest.fixture
def begun(memory: Memory) -> Memory:
    """A memory whose votes log has an agent, bob."""
    memory.call(AddAgent(name="bob"))
    return memory


# Looking.


def test_the_admin_key_is_shown_with_its_file_and_its_state(begun: Memory) -> None:
    found = begun.call(ShowAdmin())

    assert ("plain", True, False, found.admin) == (found.state, found.in_force, found.rotating, found.public)
    assert begun.home in Path(found.path).parents
    assert os.name == "nt" or 0o600 == stat.S_IMODE(Path(found.path).stat().st_mode)


def test_where_there_is_no_log_there_is_no_admin_key(memory: Memory) -> None:
    for request in (ShowAdmin(), LockAdmin(), UnlockAdmin(), RotateAdmin(), ConfirmClock()):
        with pytest.raises(NotFound, match="no votes log yet"):
            memory.call(request)


def test_an_admin_key_that_is_elsewhere_is_told(begun: Memory, opening: Opening, tmp_path: Path) -> None:
    away = file_of(begun).path.rename(tmp_path / "away.key")

    found = begun.call(ShowAdmin())
    there = opening(admin_key=away).call(ShowAdmin())

    assert ("absent", None, None) == (found.state, found.public, found.in_force)
    assert ("plain", True, str(away)) == (there.state, there.in_force, there.path)
    for request in (LockAdmin(), UnlockAdmin(), RotateAdmin()):
        refused(begun, request, Forbidden, "is not on this machine")
    refused(begun, SetPolicy(rule="linear"), Forbidden, "is not on this machine")
    assert [] == list(file_of(begun).path.parent.iterdir())


def test_another_key_in_the_place_is_told_and_signs_nothing(begun: Memory) -> None:
    file = file_of(begun)
    file.path.unlink()
    file.make()

    found = begun.call(ShowAdmin())

    assert (False, True) == (found.in_force, found.public != found.admin)
    refused(begun, RotateAdmin(), KeyNotValid, "not the admin key of this log")
    refused(begun, SetPolicy(rule="linear"), KeyNotValid, "not the admin key of this log")
    assert not private.next_of(file.path).exists()


# Locking.


def test_a_key_is_locked_and_unlocked_by_the_passphrase_of_the_settings(begun: Memory, opening: Opening) -> None:
    with_secret = opening(admin_passphrase=SECRET)

    locked = with_secret.call(LockAdmin())
    blind = begun.call(ShowAdmin())
    refused(begun, TrustAgent(name="bob", level="trusted"), Locked, "is locked")
    trusted = with_secret.call(TrustAgent(name="bob", level="trusted"))
    unlocked = with_secret.call(UnlockAdmin())

    assert ("locked", True) == (locked.state, locked.in_force)
    assert ("locked", None, None) == (blind.state, blind.public, blind.in_force)
    assert ("trusted", "plain") == (trusted.level, unlocked.state)
    assert "untrusted" == begun.call(TrustAgent(name="bob", level="untrusted")).level


def test_without_a_passphrase_nothing_is_locked_or_unlocked(begun: Memory) -> None:
    before = file_of(begun).path.read_bytes()

    with pytest.raises(Forbidden) as plain:
        begun.call(LockAdmin())
    after = file_of(begun).path.read_bytes()
    file_of(begun).lock(SECRET)
    locked = file_of(begun).path.read_bytes()
    with pytest.raises(Forbidden) as closed:
        begun.call(UnlockAdmin())

    assert (before, locked) == (after, file_of(begun).path.read_bytes())
    for caught in (plain, closed):
        assert "CORTEX_ADMIN_PASSPHRASE" in caught.value.hint


def test_a_key_that_is_not_locked_or_locked_already_is_told_so_without_a_passphrase(begun: Memory) -> None:
    refused(begun, UnlockAdmin(), Conflict, "is not locked")
    file_of(begun).lock(SECRET)

    refused(begun, LockAdmin(), Conflict, "is locked already")


def test_a_wrong_passphrase_opens_nothing(begun: Memory, opening: Opening) -> None:
    file_of(begun).lock(SECRET)
    wrong = opening(admin_passphrase="open barley")

    for request in (ShowAdmin(), UnlockAdmin(), RotateAdmin(), TrustAgent(name="bob", level="trusted")):
        refused(wrong, request, Forbidden, "does not open")
    with pytest.raises(Conflict, match="locked already"):
        wrong.call(LockAdmin())


def test_a_passphrase_is_in_no_answer_and_no_error(begun: Memory, opening: Opening) -> None:
    file_of(begun).lock(SECRET)

    told = [str(opening(admin_passphrase=SECRET).call(ShowAdmin()))]
    with pytest.raises(Forbidden) as caught:
        opening(admin_passphrase="open barley").call(ShowAdmin())

    assert not any(secret in text for text in (*told, str(caught.value)) for secret in (SECRET, "barley"))


# Rotating.


@pytest.mark.parametrize("secret", [None, SECRET])
def test_a_rotated_admin_key_signs_no_more_and_the_new_one_does(
    begun: Memory, opening: Opening, secret: str | None
) -> None:
    file = file_of(begun)
    before = begun.call(ShowAdmin()).admin
    if secret:
        file.lock(secret)
    memory = opening(**({"admin_passphrase": secret} if secret else {}))

    done = memory.call(RotateAdmin())

    assert before != done.admin == memory.call(ShowAgent(name="bob")).admin
    assert "trusted" == memory.call(TrustAgent(name="bob", level="trusted")).level
    assert ("locked" if secret else "plain") == file.state
    old = AdminKeyFile(file.path.with_name(f"{file.path.name}.1"), file.origin).open(secret)
    assert before == old.public.hex()


def test_an_old_admin_key_is_refused(begun: Memory, opening: Opening, tmp_path: Path) -> None:
    old = tmp_path / "old.key"
    old.write_bytes(file_of(begun).path.read_bytes())
    old.chmod(0o600)
    begun.call(RotateAdmin())

    refused(opening(admin_key=old), TrustAgent(name="bob", level="trusted"), KeyNotValid, "not the admin key")


def test_a_rotation_that_the_log_has_and_the_file_not_is_finished_by_whatever_signs_next(begun: Memory) -> None:
    path = file_of(begun).path
    for request in (RotateAdmin(), TrustAgent(name="bob", level="trusted"), SetPolicy(rule="linear")):
        old = path.read_bytes()
        done = begun.call(RotateAdmin())
        # As a crash between the log and the file leaves it.
        private.next_of(path).write_bytes(path.read_bytes())
        private.next_of(path).chmod(0o600)
        path.write_bytes(old)
        before, shown = size(begun), begun.call(ShowAdmin())

        begun.call(request)

        after = begun.call(ShowAdmin())
        assert (False, True) == (shown.in_force, shown.rotating)
        assert (True, False, done.admin) == (after.in_force, after.rotating, after.admin)
        assert before + (not isinstance(request, RotateAdmin)) == size(begun)


def test_a_key_that_was_prepared_and_not_told_is_used(begun: Memory) -> None:
    prepared = file_of(begun).prepare_next()

    before = begun.call(TrustAgent(name="bob", level="trusted"))
    done = begun.call(RotateAdmin())

    assert ("trusted", prepared.public.hex()) == (before.level, done.admin)


def test_the_form_of_the_key_stays_while_a_rotation_is_under_way(begun: Memory, opening: Opening) -> None:
    file_of(begun).prepare_next()

    refused(opening(admin_passphrase=SECRET), LockAdmin(), Conflict, "a rotation is under way")


def test_an_interrupted_rotation_of_a_locked_key_takes_its_passphrase(begun: Memory, opening: Opening) -> None:
    file_of(begun).lock(SECRET)
    file_of(begun).prepare_next(SECRET)

    refused(begun, RotateAdmin(), Locked, "is locked")
    refused(begun, TrustAgent(name="bob", level="trusted"), Locked, "is locked")


def process(memory: Memory, *line: str) -> "subprocess.Popen[bytes]":
    environ = {**os.environ, "HOME": str(memory.home), "CORTEX_HOME": str(memory.home), "CORTEX_EMBEDDER_KIND": "none"}
    environ |= {"CORTEX_AGENT": "tester", "CORTEX_PROJECT": "work"}
    line = (sys.executable, *line, f"--db={memory.path}")
    return subprocess.Popen(line, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_rotations_at_once_come_one_after_the_other(memory: Memory) -> None:
    memory.clock.set(times.now())
    memory.call(AddAgent(name="bob"))

    running = [process(memory, "-m", "cortex", "admin", "rotate") for _ in range(3)]
    codes = [one.wait(60) for one in running]

    assert [0, 0, 0] == codes
    assert (5, True) == (size(memory), memory.call(ShowAdmin()).in_force)


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_whenever_a_rotation_is_killed_the_next_command_goes_on(memory: Memory) -> None:
    memory.clock.set(times.now())
    memory.call(AddAgent(name="bob"))
    levels: tuple[Any, Any] = ("standard", "trusted")
    folder = file_of(memory).path.parent

    for kill_at in range(1, 100):
        killed = process(memory, "-c", KILLED, str(kill_at), "admin", "rotate").wait(60)
        if killed == 0:
            break
        assert -9 == killed
        assert levels[kill_at % 2] == memory.call(TrustAgent(name="bob", level=levels[kill_at % 2])).level
        # Each rotation keeps the key before and looks for a free name for it.
        for kept in folder.glob("*.key.[0-9]*"):
            kept.unlink()

    assert 5 <= kill_at < 99


# Rules.


def test_the_rules_are_read_without_a_log_and_without_the_admin_key(memory: Memory) -> None:
    before = memory.call(SetPolicy())
    memory.call(AddAgent(name="bob"))
    file_of(memory).path.unlink()
    after = memory.call(SetPolicy())

    assert (None, False, "weighted", 3) == (
        before.origin,
        before.changed,
        before.policy["rule"],
        before.policy["quorum"],
    )
    assert before.policy == after.policy


def test_a_rule_and_single_parameters_are_set_and_the_rest_stays(begun: Memory) -> None:
    first = begun.call(SetPolicy(rule="linear", parameters={"quorum": 2, "prior.standard.for": 4}))
    second = begun.call(SetPolicy(parameters={"prior.trusted.against": 2}))

    changed = {"rule": "linear", "quorum": 2}
    prior = {"standard": [4, 1], "trusted": [9, 2], "untrusted": [1, 1]}
    assert (True, 2, True, 3) == (first.changed, first.entry, second.changed, second.entry)
    given = {name: value for name, value in second.policy.items() if name != "prior"}
    assert {**given, **changed} == given
    assert prior == {level: list(units) for level, units in second.policy["prior"].items()}
    assert {"half_life_days": WEIGHTED.half_life_days}.items() <= second.policy.items()


def test_what_is_in_force_already_is_no_event_and_needs_no_key(begun: Memory) -> None:
    file_of(begun).path.unlink()
    before = size(begun)

    told = begun.call(SetPolicy(rule="weighted", parameters={"quorum": 3}))

    assert (False, None, before) == (told.changed, told.entry, size(begun))


@pytest.mark.parametrize(
    "parameters",
    [
        {"quorums": 3}, {"rule": 1}, {"prior": 1}, {"prior.standard": 1}, {"prior.standard.for": 0}, {"quorum": 0},
        {"prior.revoked.for": 1}, {"prior.standard.for.x": 1}, {"quorum": 1001}, {"cap_e6": 1_000_001}, {"": 1},
        {"floor_e6": 950_000}, {"ceiling_e6": 50_000}, {"settle_s": -1}, {"quorum": True}, {"settle_s": 1 << 60},
        {"\ud800": 1},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_parameter_or_out_of_its_bounds_is_refused(begun: Memory, parameters: dict[str, int]) -> None:
    before = size(begun)

    with pytest.raises(Invalid):
        begun.call(SetPolicy(parameters=parameters))

    assert before == size(begun)


def test_facts_are_judged_by_new_rules_at_once(begun: Memory) -> None:
    fact = begun.store("Invoices leave on the 3rd")
    begun.call(CastVote(id=fact.id, vote=1, agent="bob"))

    begun.call(SetPolicy(parameters={"quorum": 1, "threshold_e6": 1_000_000}))
    weighted = begun.call(ReadVotes(id=fact.id))
    begun.call(SetPolicy(rule="linear"))
    linear = begun.call(ReadVotes(id=fact.id))

    assert ("verified", "none") == (weighted.verdict, linear.verdict)
    assert 1.1 == linear.consensus_score


# Where the settings say where the admin key is.


def node_of(memory: Memory) -> str:
    """The node's name in the origin of the transactions log; empty where there is none."""
    row = memory.sql().execute("SELECT origin FROM ledger_log").fetchone()
    return row[0].split("/")[2] if row else ""


def test_both_logs_of_a_file_name_the_same_node(memory: Memory) -> None:
    origin = memory.call(InitVoteLog()).origin

    assert node_of(memory) == origin.split("/")[2]


def test_a_log_is_begun_with_the_key_that_a_killed_process_left(opening: Opening, tmp_path: Path) -> None:
    place = tmp_path / "usb" / "admin.key"
    memory = opening(admin_key=str(place))
    memory.store("one")
    left = AdminKeyFile(place, logs.new_origin(node_of(memory)), EASY)
    key = left.make()

    memory.call(AddAgent(name="ann"))

    origin = memory.call(InitVoteLog()).origin
    assert (left.origin, key.public.hex()) == (origin, memory.call(ShowAgent(name="ann")).admin)


def test_the_admin_key_of_another_log_begins_none_and_nothing_is_written(opening: Opening, tmp_path: Path) -> None:
    place = tmp_path / "admin.key"
    first = opening(admin_key=str(place))
    first.call(InitVoteLog())
    held = place.read_bytes()
    with Memory(tmp_path / "second.db", first.home, first.clock, admin_key=str(place)) as second:
        for request in (InitNode(), InitVoteLog(), AddAgent(name="ann")):
            refused(second, request, Conflict, "admin key of another log")

        assert ("", held) == (node_of(second), place.read_bytes())
        second.store("one")
        refused(second, InitVoteLog(), Conflict, "set it per database")


@pytest.mark.parametrize("shown", ["agent", "custody", "locked", "next", "verified"])
def test_a_key_whose_log_was_used_begins_no_other(opening: Opening, tmp_path: Path, shown: str) -> None:
    memory = opening(admin_key=str(tmp_path / "admin.key"))
    memory.store("one")
    file = AdminKeyFile(tmp_path / "admin.key", logs.new_origin(node_of(memory)), EASY)
    file.make(SECRET if shown == "locked" else None)
    match shown:
        case "agent":
            keyfiles.make(keyfiles.agent_path(memory.home, file.origin, "ann"), "ann", file.origin)
        case "custody":
            keyfiles.make(keyfiles.custody_path(memory.home, file.origin, "ann"), "ann", file.origin)
        case "next":
            file.prepare_next()
        case "verified":
            (memory.home / "verified").mkdir(parents=True, exist_ok=True)
            (memory.home / "verified" / "0.json").write_text(f'{{"votes":{{"origin":"{file.origin}"}}}}')

    refused(memory, InitVoteLog(), Conflict, "admin key of another log")


def test_requests_that_begin_a_log_at_once_begin_one(opening: Opening, tmp_path: Path) -> None:
    memory = opening(admin_key=str(tmp_path / "admin.key"))

    done = memory.together([AddAgent(name=name) for name in "abcd"])

    assert ["registered"] * 4 == [each.change for each in done]
    assert [1] == [count for (count,) in memory.sql().execute("SELECT count(*) FROM vote_log")]


def test_only_the_request_that_began_the_log_says_where_its_admin_key_is(opening: Opening) -> None:
    by_agent, by_word, by_init = (opening(f"{name}.db") for name in ("agent", "word", "init"))
    fact = by_word.store("Invoices leave on the 3rd")
    by_init.call(InitVoteLog())

    notes = [
        by_agent.call(AddAgent(name="ann")).notes,
        by_agent.call(AddAgent(name="bob")).notes,
        by_word.call(ResolveFact(id=fact.id, truth="true")).notes,
        by_word.call(ResolveFact(id=fact.id, truth="open")).notes,
        by_init.call(AddAgent(name="ann")).notes,
    ]

    assert [True, False, True, False, False] == ["begins here" in " ".join(told) for told in notes]
    assert str(file_of(by_agent).path) in notes[0][0]


def test_of_requests_that_begin_a_log_at_once_one_says_so(memory: Memory) -> None:
    done = memory.together([AddAgent(name=name) for name in "abcd"])

    assert 1 == sum("begins here" in " ".join(each.notes) for each in done)


def test_a_refusal_that_began_the_log_says_where_its_admin_key_is(memory: Memory) -> None:
    fact = memory.store("Invoices leave on the 3rd")
    with pytest.raises(NotFound) as caught:
        memory.call(CastVote(id="00000000", vote=1))

    later = memory.call(CastVote(id=fact.id, vote=1)).notes

    assert f"its admin key, which gives trust and resolves, is {file_of(memory).path}" in caught.value.hint
    assert not any("begins here" in note for note in later)


# A clock that jumped.


def test_after_a_jump_nothing_is_taken_until_the_admin_confirms_the_clock(begun: Memory) -> None:
    fact = begun.store("Invoices leave on the 3rd")
    before = begun.clock.at
    begun.clock.advance(days=limits.CLOCK_JUMP_DAYS, microseconds=1)
    vote = CastVote(id=fact.id, vote=1, agent="bob")

    refused(begun, vote, ClockAhead, "more than 30 days after")
    refused(begun, TrustAgent(name="bob", level="trusted"), ClockAhead, "more than 30 days after")
    confirmed = begun.call(ConfirmClock())
    cast = begun.call(vote)

    assert (before, begun.clock.at, 2) == (confirmed.before, confirmed.at, confirmed.entry)
    assert 3 == cast.entry
    refused(begun, ConfirmClock(), Conflict, "nothing to confirm")


def test_what_was_verified_is_settled_by_the_confirmation_only(begun: Memory) -> None:
    fact = begun.store("Invoices leave on the 3rd")
    for name in ("cem", "dov", "eva"):
        begun.call(AddAgent(name=name, trust="trusted"))
        begun.call(CastVote(id=fact.id, vote=1, agent=name))
    before = begun.call(ShowAgent(name="cem")).evidence_for
    begun.clock.advance(days=40)

    with pytest.raises(ClockAhead):
        begun.call(CastVote(id=fact.id, vote=1, agent="bob"))
    between = begun.call(ReadVotes(id=fact.id)).due
    begun.call(ConfirmClock())
    begun.call(CastVote(id=fact.id, vote=1, agent="bob"))
    after = begun.call(ReadVotes(id=fact.id)).due

    assert (0.0, True, None) == (before, between is not None, after)
    assert 0.0 < begun.call(ShowAgent(name="cem")).evidence_for


def test_within_thirty_days_there_is_nothing_to_confirm(begun: Memory) -> None:
    begun.clock.advance(days=limits.CLOCK_JUMP_DAYS)

    refused(begun, ConfirmClock(), Conflict, "nothing to confirm")
    assert "trusted" == begun.call(TrustAgent(name="bob", level="trusted")).level


def test_what_would_be_confirmed_is_shown_before_it_is(begun: Memory) -> None:
    before = begun.clock.at
    refused(begun, ConfirmClock(preview=True), Conflict, "nothing to confirm")
    begun.clock.advance(days=60)

    shown = begun.call(ConfirmClock(preview=True))

    assert (before, begun.clock.at, None, None) == (shown.before, shown.at, shown.entry, shown.hash)
    refused(begun, TrustAgent(name="bob", level="trusted"), ClockAhead, "more than 30 days after")
    assert 2 == begun.call(ConfirmClock()).entry


@pytest.mark.parametrize("at", [limits.CLOCK_END, "9999-12-31T23:59:59.5Z"])
def test_a_clock_centuries_ahead_is_never_confirmed_and_signs_nothing(begun: Memory, at: str) -> None:
    fact, now = begun.store("Invoices leave on the 3rd"), begun.clock.at
    begun.clock.set(at)

    for request in (ConfirmClock(), ConfirmClock(preview=True), SetPolicy(rule="linear")):
        refused(begun, request, ClockAhead, "none is believed")
    refused(begun, CastVote(id=fact.id, vote=1, agent="bob"), ClockAhead, "none is believed")

    begun.clock.set(now)
    assert 2 == begun.call(CastVote(id=fact.id, vote=1, agent="bob")).entry


def test_a_clock_centuries_ahead_begins_no_log(memory: Memory) -> None:
    memory.clock.set(limits.CLOCK_END)

    refused(memory, InitVoteLog(), ClockAhead, "none is believed")

    assert not (memory.home / "admin").exists()


def test_a_jump_is_confirmed_with_the_admin_key_only(begun: Memory) -> None:
    file_of(begun).path.unlink()
    begun.clock.advance(days=365)

    refused(begun, ConfirmClock(), Forbidden, "is not on this machine")


def test_a_person_settles_a_fact_with_the_key_that_was_rotated_to(begun: Memory) -> None:
    fact = begun.store("Invoices leave on the 3rd")
    begun.call(RotateAdmin())

    assert "verified" == begun.call(ResolveFact(id=fact.id, truth="true")).verdict
