"""Agents and their keys through operations: what each may do, what is refused, what a crash leaves behind."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from nacl.signing import SigningKey

from cortex import times
from cortex.errors import (
    Conflict,
    CortexError,
    Forbidden,
    Invalid,
    KeyNotValid,
    Locked,
    NotFound,
    TooLarge,
    Unavailable,
)
from cortex.ops.agent_changes import RevokeAgent, TrustAgent
from cortex.ops.agent_keys import AddAgentKey, RotateAgentKey
from cortex.ops.agents import AddAgent, ListAgents, ShowAgent
from cortex.ops.policies import SetPolicy
from cortex.ops.registry import Request
from cortex.ops.votes import CastVote, ReadVotes
from cortex.trust import keyfiles, private
from cortex.trust.adminkey import AdminKeyFile, Hardness
from opened import Memory

Opening = Callable[..., Memory]

EASY = Hardness(ops=1, memory_bytes=8192)

# Runs one command line and is killed at the n-th change of a file among the keys; tells whether it got to the end.
KILLED = """
import os, signal, sys
home, left = sys.argv[1], int(sys.argv[2])
def watch(event, told):
    global left
    if event not in ("open", "os.rename", "os.link", "os.remove") or home not in str(told[0]) + str(told[1:]):
        return
    if "agents" not in str(told) or str(told[0]).endswith(".db"):
        return
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
from cortex.cli.main import main
sys.addaudithook(watch)
sys.exit(main(sys.argv[3:]))
"""


def size(memory: Memory) -> int:
    """The length of the votes log."""
    return int(memory.sql().execute("SELECT count(*) FROM vote_ledger").fetchone()[0])


def origin_of(memory: Memory) -> str:
    found = memory.call(ListAgents()).origin
    assert found is not None
    return found


def key_path(memory: Memory, name: str) -> Path:
    return keyfiles.agent_path(memory.home, origin_of(memory), name)


def admin_path(memory: Memory) -> Path:
    return keyfiles.admin_path(memory.home, origin_of(memory))


def without_admin(memory: Memory) -> Path:
    """The admin key is taken elsewhere; returns where."""
    away = memory.path.with_name("away.key")
    return admin_path(memory).rename(away)


def refused(memory: Memory, request: Request[Any], kind: type[CortexError], match: str) -> None:
    """That a request is refused so, and that the log is as long as before."""
    before = size(memory)
    with pytest.raises(kind, match=match) as caught:
        memory.call(request)
    assert kind is type(caught.value)
    assert before == size(memory)


# Registering.


def test_an_agent_gets_a_key_of_its_own_and_the_trust_of_whoever_holds_the_admin_key(memory: Memory) -> None:
    fact = memory.store("Invoices leave on the 3rd")

    added = memory.call(AddAgent(name="bob"))
    cast = memory.call(CastVote(id=fact.id, vote=1, agent="bob"))

    assert ("registered", "standard", "agent", ["*"], 1) == (
        added.change, added.level, added.custody, added.projects, added.entry
    )  # fmt: skip
    assert str(key_path(memory, "bob")) == added.key_path
    assert os.name == "nt" or 0o600 == stat.S_IMODE(key_path(memory, "bob").stat().st_mode)
    assert keyfiles.load(key_path(memory, "bob")).public.hex() == added.public
    assert ("agent", 1.098612) == (cast.custody, cast.weight)


@pytest.mark.parametrize("level", ["untrusted", "standard", "trusted"])
def test_the_admin_gives_the_trust_that_is_asked_for(memory: Memory, level: Any) -> None:
    assert level == memory.call(AddAgent(name="bob", trust=level)).level


def test_without_the_admin_key_an_agent_is_untrusted(memory: Memory) -> None:
    memory.call(AddAgent(name="ann"))
    without_admin(memory)

    added = memory.call(AddAgent(name="bob"))

    assert "untrusted" == added.level
    assert ["its votes weigh nothing until an admin vouches for it: `cortex agent trust bob standard`"] == added.notes


def test_trust_without_the_admin_key_is_refused_and_no_key_is_made(memory: Memory) -> None:
    memory.call(AddAgent(name="ann"))
    without_admin(memory)

    refused(memory, AddAgent(name="bob", trust="standard"), Forbidden, "is not on this machine")

    assert not key_path(memory, "bob").exists()


def test_a_locked_admin_key_gives_trust_with_its_passphrase_only(memory: Memory, opening: Opening) -> None:
    memory.call(AddAgent(name="ann"))
    AdminKeyFile(admin_path(memory), origin_of(memory), EASY).lock("open sesame")

    refused(memory, AddAgent(name="bob", trust="standard"), Locked, "is locked")
    untrusted = memory.call(AddAgent(name="bob"))
    standard = opening(admin_passphrase="open sesame").call(AddAgent(name="cem"))
    wrong = opening(admin_passphrase="open barley")

    assert ("untrusted", "standard") == (untrusted.level, standard.level)
    refused(wrong, AddAgent(name="dov"), Forbidden, "does not open")


def test_an_admin_key_that_was_rotated_elsewhere_vouches_for_nobody(memory: Memory) -> None:
    memory.call(AddAgent(name="ann"))
    path, origin = admin_path(memory), origin_of(memory)
    path.unlink()
    AdminKeyFile(path, origin).make()

    assert "untrusted" == memory.call(AddAgent(name="bob")).level
    refused(memory, AddAgent(name="cem", trust="trusted"), KeyNotValid, "not the admin key of this log")


def test_a_name_that_is_taken_is_refused_before_a_key_is_made(memory: Memory, tmp_path: Path) -> None:
    memory.call(AddAgent(name="bob"))

    refused(memory, AddAgent(name="bob"), Conflict, "an agent bob already")
    refused(memory, AddAgent(name="bob", key_out=str(tmp_path / "new.key")), Conflict, "an agent bob already")

    assert not (tmp_path / "new.key").exists()


@pytest.mark.parametrize("name", ["bob", "BOB", "Bob"])
def test_a_name_that_is_taken_leaves_no_key_behind_in_whatever_case(memory: Memory, tmp_path: Path, name: str) -> None:
    memory.call(AddAgent(name="bob"))
    kept = sorted(path.name for path in key_path(memory, "bob").parent.iterdir())

    for request in (AddAgent(name=name), AddAgent(name=name, key_out=str(tmp_path / "new.key"))):
        with pytest.raises(Conflict, match="there is an agent bob already") as caught:
            memory.call(request)
        assert "`cortex agent key bob --out FILE` adds a key to it" in caught.value.hint

    assert kept == sorted(path.name for path in key_path(memory, "bob").parent.iterdir())
    assert [] == [*tmp_path.glob("new.key*")]


def test_an_agent_that_is_refused_by_the_log_alone_leaves_no_key_behind(memory: Memory, tmp_path: Path) -> None:
    memory.call(AddAgent(name="ann"))
    left = keyfiles.make(tmp_path / "left.key", "eve", origin_of(memory))
    with memory.sql() as connection:
        connection.execute("UPDATE vote_seal SET restored = 1")

    refused(memory, AddAgent(name="bob"), Unavailable, "put back from a backup")
    refused(memory, AddAgent(name="cem", key_out=str(tmp_path / "cem.key")), Unavailable, "put back from a backup")
    refused(memory, AddAgent(name="eve", key_out=str(tmp_path / "left.key")), Unavailable, "put back from a backup")

    assert not key_path(memory, "bob").exists()
    assert not (tmp_path / "cem.key").exists()
    assert left == keyfiles.load(tmp_path / "left.key")


def test_of_requests_that_make_one_key_at_once_none_takes_it_from_the_one_that_registers_it(memory: Memory) -> None:
    memory.call(AddAgent(name="ann"))

    answers = memory.together([AddAgent(name="bob") for _ in range(8)])

    registered = [answer for answer in answers if not isinstance(answer, CortexError)]
    assert [keyfiles.load(key_path(memory, "bob")).public.hex()] == [answer.public for answer in registered]


def test_a_key_that_was_brought_along_stays_where_its_agent_is_refused(memory: Memory, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text(bytes(range(32)).hex())
    (tmp_path / "mine").chmod(0o600)
    memory.call(AddAgent(name="bob", key=str(tmp_path / "mine")))

    refused(memory, AddAgent(name="cem", key=str(tmp_path / "mine")), Conflict, "was in this log before")

    assert bytes(range(32)).hex() == (tmp_path / "mine").read_text()


def test_a_key_that_an_attempt_before_left_is_used(memory: Memory) -> None:
    memory.call(AddAgent(name="ann"))
    left = keyfiles.make(key_path(memory, "bob"), "bob", origin_of(memory))

    assert left.public.hex() == memory.call(AddAgent(name="bob")).public


def test_a_key_is_written_where_it_is_wanted_and_never_over_anything(memory: Memory, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a letter")
    (tmp_path / "taken").chmod(0o600)
    memory.call(AddAgent(name="ann", key_out=str(tmp_path / "ann.key")))
    fact = memory.store("Invoices leave on the 3rd")

    refused(memory, AddAgent(name="bob", key_out=str(tmp_path / "taken")), Unavailable, "not an agent's key")
    refused(memory, AddAgent(name="bob", key_out=str(tmp_path / "ann.key")), Conflict, "holds the key of ann")
    cast = memory.call(CastVote(id=fact.id, vote=1, key=str(tmp_path / "ann.key")))

    assert "a letter" == (tmp_path / "taken").read_text()
    assert ("ann", "agent") == (cast.agent, cast.custody)
    assert not key_path(memory, "ann").exists()


def test_a_key_from_elsewhere_is_registered_and_stays_where_it_is(memory: Memory, tmp_path: Path) -> None:
    seed = bytes(range(32))
    (tmp_path / "mine").write_text(seed.hex())
    (tmp_path / "mine").chmod(0o600)

    added = memory.call(AddAgent(name="bob", key=str(tmp_path / "mine")))

    assert bytes(SigningKey(seed).verify_key).hex() == added.public
    assert str(tmp_path / "mine") == added.key_path
    assert not key_path(memory, "bob").exists()


def test_one_key_belongs_to_one_agent(memory: Memory, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text(bytes(range(32)).hex())
    (tmp_path / "mine").chmod(0o600)
    memory.call(AddAgent(name="bob", key=str(tmp_path / "mine")))

    refused(memory, AddAgent(name="cem", key=str(tmp_path / "mine")), Conflict, "was in this log before")


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a/b", "é", "x" * 65, "a\n", "\ud800"])
def test_what_is_no_name_is_refused(memory: Memory, name: str) -> None:
    with pytest.raises(Invalid):
        memory.call(AddAgent(name=name))

    assert 0 == size(memory)


@pytest.mark.parametrize(
    "projects", [["x"] * 17, [""], ["a\nb"], ["x" * 129], ["\ud800"]], ids=["many", "empty", "line", "long", "half"]
)
def test_projects_beyond_the_limits_are_refused(memory: Memory, projects: list[str]) -> None:
    with pytest.raises((Invalid, TooLarge)):
        memory.call(AddAgent(name="bob", projects=projects))

    assert 0 == size(memory)


@pytest.mark.parametrize("path", ["a\0b", "\ud800", "x" * 5000, ""])
def test_what_is_no_path_is_refused(memory: Memory, path: str) -> None:
    memory.call(AddAgent(name="ann"))
    before = size(memory)

    for request in (
        AddAgent(name="bob", key_out=path),
        AddAgent(name="bob", key=path),
        AddAgentKey(name="ann", out=path),
        AddAgentKey(name="ann", out="x", key=path),
        RotateAgentKey(name="ann", key=path),
    ):
        with pytest.raises((Invalid, TooLarge)):
            memory.call(request)

    assert before == size(memory)


def test_names_and_projects_at_the_limits_are_taken(memory: Memory) -> None:
    projects = [f"{number:02}" + "x" * 126 for number in range(16)]

    added = memory.call(AddAgent(name="x" * 64, projects=[*reversed(projects[1:]), projects[0]]))

    assert projects == added.projects


def test_a_key_for_some_projects_votes_in_these_alone(memory: Memory) -> None:
    here, there = memory.store("one", project="billing"), memory.store("two", project="mail")
    memory.call(AddAgent(name="bob", projects=["bill*", "bill*"]))

    memory.call(CastVote(id=here.id, vote=1, agent="bob"))

    refused(memory, CastVote(id=there.id, vote=1, agent="bob"), Forbidden, "votes in bill\\*")


def test_of_two_that_register_one_name_at_once_one_does(memory: Memory) -> None:
    memory.call(AddAgent(name="ann"))

    answers = memory.together([AddAgent(name="bob"), AddAgent(name="bob")])

    assert {"AgentChange", "Conflict"} == {type(answer).__name__ for answer in answers}
    assert "standard" == memory.call(ShowAgent(name="bob")).level


def test_of_processes_that_register_one_name_at_once_one_does(memory: Memory) -> None:
    memory.clock.set(times.now())
    memory.call(AddAgent(name="ann"))
    fact = memory.store("Invoices leave on the 3rd")

    running = [cli(memory, "agent", "add", "bob") for _ in range(3)]
    codes = sorted(process.wait(60) for process in running)

    assert [0, 1, 1] == codes
    assert "agent" == memory.call(CastVote(id=fact.id, vote=1, agent="bob")).custody


def cli(memory: Memory, *argv: str, code: str = "", kill_at: int = 0) -> "subprocess.Popen[bytes]":
    """`cortex` as a process on the same file; with `code`, that is run and told of the command line."""
    environ = {**os.environ, "HOME": str(memory.home), "CORTEX_HOME": str(memory.home), "CORTEX_EMBEDDER_KIND": "none"}
    environ |= {"CORTEX_AGENT": "tester", "CORTEX_PROJECT": "work"}
    told = ["-c", code, str(memory.home), str(kill_at)] if code else ["-m", "cortex"]
    line = [sys.executable, *told, *argv, f"--db={memory.path}"]
    return subprocess.Popen(line, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


# Reading.


def test_where_there_is_no_log_there_are_no_agents(memory: Memory) -> None:
    found = memory.call(ListAgents())

    assert (None, [], None) == (found.origin, found.agents, found.next)
    with pytest.raises(NotFound, match="no agent bob"):
        memory.call(ShowAgent(name="bob"))


def test_agents_are_listed_by_name_and_in_pages(memory: Memory) -> None:
    fact = memory.store("Invoices leave on the 3rd")
    for name in ("cem", "ann", "bob"):
        memory.call(AddAgent(name=name))
    memory.call(CastVote(id=fact.id, vote=1))

    first = memory.call(ListAgents(limit=3))
    second = memory.call(ListAgents(limit=3, cursor=first.next))

    assert ["ann", "bob", "cem"] == [agent.name for agent in first.agents]
    assert ("cem", None) == (first.next, second.next)
    tester = second.agents[0]
    assert ("tester", "untrusted", 1, 1, "server", 0.0) == (
        tester.name, tester.level, tester.votes, tester.keys, tester.custody, tester.weight
    )  # fmt: skip


def test_an_agent_is_shown_with_all_its_keys_and_the_log_they_are_for(memory: Memory, tmp_path: Path) -> None:
    added = memory.call(AddAgent(name="bob"))
    rotated = memory.call(RotateAgentKey(name="bob"))
    device = memory.call(AddAgentKey(name="bob", out=str(tmp_path / "device.key"), projects=["billing"]))
    memory.call(RevokeAgent(name="bob", public=device.public))

    found = memory.call(ShowAgent(name="bob"))

    assert [
        (added.public, ["*"], 1, 2, "rotated"),
        (rotated.public, ["*"], 2, None, None),
        (device.public, ["billing"], 3, 4, "revoked"),
    ] == [(key.public, key.projects, key.since, key.until, key.ended) for key in found.keys]
    assert ("standard", 0.75, "agent", 5) == (found.level, found.reputation, found.key_here, found.entries)
    assert (origin_of(memory), "weighted") == (found.log, found.policy["rule"])
    assert found.vkey.startswith(found.log)
    assert keyfiles.load(key_path(memory, "bob")).public.hex() == rotated.public


def test_under_the_linear_rule_the_next_vote_of_each_agent_but_revoked_ones_weighs_a_tenth(memory: Memory) -> None:
    fact = memory.store("Invoices leave on the 3rd")
    memory.call(AddAgent(name="ann", trust="trusted"))
    memory.call(AddAgent(name="bob", trust="untrusted"))
    memory.call(AddAgent(name="eve"))
    memory.call(RevokeAgent(name="eve"))
    memory.call(SetPolicy(rule="linear"))

    listed = {agent.name: agent.weight for agent in memory.call(ListAgents()).agents}
    shown = memory.call(ShowAgent(name="bob")).weight
    cast = memory.call(CastVote(id=fact.id, vote=1, agent="bob")).weight

    assert {"ann": 0.1, "bob": 0.1, "eve": 0.0} == listed
    assert (0.1, 0.1) == (shown, cast)


def test_votes_of_a_revoked_agent_are_not_among_those_that_count(memory: Memory, tmp_path: Path) -> None:
    facts = [memory.store(f"Fact number {number}") for number in range(2)]
    memory.call(AddAgent(name="bob"))
    for fact in facts:
        memory.call(CastVote(id=fact.id, vote=1, agent="bob"))
    memory.call(RevokeAgent(name="bob"))

    revoked = memory.call(ListAgents()).agents[0].votes
    memory.call(TrustAgent(name="bob", level="standard"))
    memory.call(AddAgentKey(name="bob", out=str(tmp_path / "new.key")))
    back = memory.call(ShowAgent(name="bob")).votes
    memory.call(CastVote(id=facts[0].id, vote=1, key=str(tmp_path / "new.key")))

    assert (0, 0, 1) == (revoked, back, memory.call(ShowAgent(name="bob")).votes)


def test_reading_needs_no_admin_key(memory: Memory) -> None:
    memory.call(AddAgent(name="bob"))
    without_admin(memory)

    assert ("bob", 1) == (memory.call(ShowAgent(name="bob")).name, len(memory.call(ListAgents()).agents))


# Trust.


def test_trust_is_raised_and_lowered_by_the_admin_key(memory: Memory) -> None:
    fact = memory.store("Invoices leave on the 3rd")
    memory.call(AddAgent(name="bob", trust="untrusted"))

    raised = memory.call(TrustAgent(name="bob", level="trusted"))
    memory.call(CastVote(id=fact.id, vote=1, agent="bob"))
    before = memory.call(ReadVotes(id=fact.id)).sigma
    lowered = memory.call(TrustAgent(name="bob", level="untrusted"))
    after = memory.call(ReadVotes(id=fact.id))

    assert ("trusted", "untrusted") == (raised.level, lowered.level)
    assert (2.197224, 0.0) == (before, after.sigma)
    assert "lowered after this vote" in str(after.votes[0].why_zero)


def test_trust_is_refused_without_the_admin_key_for_nobody_and_where_nothing_changes(memory: Memory) -> None:
    memory.call(AddAgent(name="bob"))

    refused(memory, TrustAgent(name="eve", level="standard"), NotFound, "no agent eve")
    refused(memory, TrustAgent(name="bob", level="standard"), Conflict, "is standard already")
    without_admin(memory)
    refused(memory, TrustAgent(name="bob", level="trusted"), Forbidden, "is not on this machine")
    refused(memory, RevokeAgent(name="bob"), Forbidden, "is not on this machine")


def test_without_a_log_nothing_can_be_changed(memory: Memory) -> None:
    for request in (
        TrustAgent(name="bob", level="standard"),
        RevokeAgent(name="bob"),
        RotateAgentKey(name="bob"),
        AddAgentKey(name="bob", out="x.key"),
    ):
        with pytest.raises(NotFound, match="no votes log yet"):
            memory.call(request)


def test_a_revoked_agent_votes_no_more_and_its_votes_weigh_nothing(memory: Memory, tmp_path: Path) -> None:
    fact = memory.store("Invoices leave on the 3rd")
    memory.call(AddAgent(name="bob"))
    memory.call(CastVote(id=fact.id, vote=1, agent="bob"))

    revoked = memory.call(RevokeAgent(name="bob"))

    assert ("revoked", "revoked", []) == (revoked.change, revoked.level, revoked.notes)
    assert 0.0 == memory.call(ReadVotes(id=fact.id)).sigma
    refused(memory, CastVote(id=fact.id, vote=1, agent="bob"), KeyNotValid, "was revoked")
    refused(memory, RevokeAgent(name="bob"), Conflict, "is revoked already")
    refused(memory, RotateAgentKey(name="bob"), KeyNotValid, "was revoked")
    refused(memory, AddAgentKey(name="bob", out=str(tmp_path / "x.key")), Conflict, "was revoked")
    assert not (tmp_path / "x.key").exists()
    assert not private.next_of(key_path(memory, "bob")).exists()


def test_a_revoked_agent_comes_back_with_a_new_key(memory: Memory, tmp_path: Path) -> None:
    fact = memory.store("Invoices leave on the 3rd")
    memory.call(AddAgent(name="bob"))
    memory.call(RevokeAgent(name="bob"))

    back = memory.call(TrustAgent(name="bob", level="standard"))
    memory.call(AddAgentKey(name="bob", out=str(tmp_path / "new.key")))
    cast = memory.call(CastVote(id=fact.id, vote=1, key=str(tmp_path / "new.key")))

    assert ["it has no valid key left: `cortex agent key bob --out FILE` adds one with the admin key"] == back.notes
    assert 1.098612 == cast.weight


# Keys.


def test_one_key_of_several_is_revoked_by_the_start_of_it(memory: Memory, tmp_path: Path) -> None:
    fact = memory.store("Invoices leave on the 3rd")
    memory.call(AddAgent(name="bob"))
    device = memory.call(AddAgentKey(name="bob", out=str(tmp_path / "device.key")))

    revoked = memory.call(RevokeAgent(name="bob", public=str(device.public)[:12]))

    assert ("key revoked", device.public, "standard") == (revoked.change, revoked.public, revoked.level)
    refused(
        memory, CastVote(id=fact.id, vote=1, key=str(tmp_path / "device.key")), KeyNotValid, "of agent bob was revoked"
    )
    refused(memory, RevokeAgent(name="bob", public=device.public), KeyNotValid, "was revoked")
    refused(memory, RevokeAgent(name="bob", public="0" * 64), KeyNotValid, "has no key")
    refused(memory, RevokeAgent(name="eve", public=device.public), NotFound, "no agent eve")
    assert 1 == memory.call(CastVote(id=fact.id, vote=1, agent="bob")).vote


def test_the_last_key_can_be_revoked_and_the_answer_says_so(memory: Memory) -> None:
    added = memory.call(AddAgent(name="bob"))

    revoked = memory.call(RevokeAgent(name="bob", public=added.public))

    assert 1 == len(revoked.notes)
    assert "no valid key left" in revoked.notes[0]


def test_a_device_key_is_signed_by_a_key_of_the_agent_without_the_admin(memory: Memory, tmp_path: Path) -> None:
    fact = memory.store("Invoices leave on the 3rd")
    memory.call(AddAgent(name="bob"))
    without_admin(memory)

    added = memory.call(AddAgentKey(name="bob", out=str(tmp_path / "device.key")))
    cast = memory.call(CastVote(id=fact.id, vote=1, key=str(tmp_path / "device.key")))

    assert ("key added", "agent", ["*"]) == (added.change, added.custody, added.projects)
    assert ("bob", 1.098612) == (cast.agent, cast.weight)


def test_where_no_key_of_the_agent_is_the_admin_signs_for_a_new_one(memory: Memory, tmp_path: Path) -> None:
    memory.call(AddAgent(name="bob", projects=["billing"]))
    key_path(memory, "bob").unlink()

    added = memory.call(AddAgentKey(name="bob", out=str(tmp_path / "device.key")))
    without_admin(memory)

    assert ["*"] == added.projects
    refused(memory, AddAgentKey(name="bob", out=str(tmp_path / "more.key")), Forbidden, "is not on this machine")
    assert not (tmp_path / "more.key").exists()
    more = memory.call(AddAgentKey(name="bob", out=str(tmp_path / "more.key"), key=str(tmp_path / "device.key")))
    assert "key added" == more.change


def test_a_key_gives_another_no_more_projects_than_it_has(memory: Memory, tmp_path: Path) -> None:
    memory.call(AddAgent(name="bob", projects=["bill*", "mail"]))

    for number, wider in enumerate((["*"], ["bil*"], ["mail", "post"], ["bill?"], ["m*"])):
        out = str(tmp_path / f"{number}.key")
        refused(memory, AddAgentKey(name="bob", out=out, projects=wider), Forbidden, "let the admin key sign")
        assert not Path(out).exists()
    narrower = memory.call(AddAgentKey(name="bob", out=str(tmp_path / "a.key"), projects=["billing", "bill*"]))
    same = memory.call(AddAgentKey(name="bob", out=str(tmp_path / "b.key")))

    assert (["bill*", "billing"], ["bill*", "mail"]) == (narrower.projects, same.projects)


def test_a_device_key_that_an_attempt_before_left_is_used_and_one_that_is_known_is_refused(
    memory: Memory, tmp_path: Path
) -> None:
    memory.call(AddAgent(name="bob"))
    left = keyfiles.make(tmp_path / "device.key", "bob", origin_of(memory))

    added = memory.call(AddAgentKey(name="bob", out=str(tmp_path / "device.key")))

    assert left.public.hex() == added.public
    assert "an interrupted attempt" in added.notes[0]
    refused(memory, AddAgentKey(name="bob", out=str(tmp_path / "device.key")), Conflict, "was in this log before")
    assert left == keyfiles.load(tmp_path / "device.key")


def test_a_device_key_that_is_refused_by_the_log_alone_leaves_no_file(memory: Memory, tmp_path: Path) -> None:
    memory.call(AddAgent(name="bob"))
    with memory.sql() as connection:
        connection.execute("UPDATE vote_seal SET restored = 1")

    refused(memory, AddAgentKey(name="bob", out=str(tmp_path / "device.key")), Unavailable, "put back from a backup")

    assert not (tmp_path / "device.key").exists()


@pytest.mark.parametrize("text", ["", "my shopping list"])
def test_a_file_that_is_no_key_is_not_replaced_by_a_device_key(memory: Memory, tmp_path: Path, text: str) -> None:
    memory.call(AddAgent(name="bob"))
    place = tmp_path / "device.key"
    place.write_text(text)
    place.chmod(0o600)

    refused(memory, AddAgentKey(name="bob", out=str(place)), Unavailable, "is not an agent's key")

    assert text == place.read_text()


# Rotating.


def test_a_rotated_key_signs_no_more_and_the_new_one_does(memory: Memory, tmp_path: Path) -> None:
    fact = memory.store("Invoices leave on the 3rd")
    memory.call(AddAgent(name="bob", projects=["w*"]))
    old = key_path(memory, "bob").read_text()
    (tmp_path / "old.key").write_text(old)
    (tmp_path / "old.key").chmod(0o600)

    rotated = memory.call(RotateAgentKey(name="bob"))

    assert ("key rotated", ["w*"], "agent") == (rotated.change, rotated.projects, rotated.custody)
    assert old != key_path(memory, "bob").read_text()
    assert not private.next_of(key_path(memory, "bob")).exists()
    refused(memory, CastVote(id=fact.id, vote=1, key=str(tmp_path / "old.key")), KeyNotValid, "was rotated")
    refused(memory, RotateAgentKey(name="bob", key=str(tmp_path / "old.key")), KeyNotValid, "was rotated")
    assert 1 == memory.call(CastVote(id=fact.id, vote=1, agent="bob")).vote


def test_a_key_that_cortex_keeps_is_rotated_in_its_place(memory: Memory) -> None:
    fact = memory.store("Invoices leave on the 3rd")
    memory.call(CastVote(id=fact.id, vote=1))

    rotated = memory.call(RotateAgentKey(name="tester"))

    assert "server" == rotated.custody
    assert str(keyfiles.custody_path(memory.home, origin_of(memory), "tester")) == rotated.key_path
    assert "server" == memory.call(CastVote(id=fact.id, vote=-1)).custody


def test_a_key_that_lies_elsewhere_is_rotated_there(memory: Memory, tmp_path: Path) -> None:
    path = tmp_path / "ann.key"
    memory.call(AddAgent(name="ann", key_out=str(path)))
    before = path.read_text()

    refused(memory, RotateAgentKey(name="ann"), NotFound, "no key of agent ann is on this machine")
    rotated = memory.call(RotateAgentKey(name="ann", key=str(path)))

    assert (str(path), True) == (rotated.key_path, before != path.read_text())


def test_a_rotation_that_the_log_has_and_the_file_not_is_finished(memory: Memory) -> None:
    fact = memory.store("Invoices leave on the 3rd")
    memory.call(AddAgent(name="bob"))
    path = key_path(memory, "bob")
    old = path.read_text()
    done = memory.call(RotateAgentKey(name="bob"))
    # As a crash between the log and the file leaves it.
    private.next_of(path).write_text(path.read_text())
    private.next_of(path).chmod(0o600)
    path.write_text(old)
    before = size(memory)

    with memory.reopen() as again:
        finished = again.call(RotateAgentKey(name="bob"))
        cast = again.call(CastVote(id=fact.id, vote=1, agent="bob"))

    assert (done.public, done.entry, done.hash) == (finished.public, finished.entry, finished.hash)
    assert (before, before) == (cast.entry, size(memory) - 1)


def test_a_key_that_was_prepared_and_not_told_is_used(memory: Memory) -> None:
    memory.call(AddAgent(name="bob"))
    prepared = keyfiles.prepare_next(key_path(memory, "bob"))

    assert prepared.public.hex() == memory.call(RotateAgentKey(name="bob")).public


def test_a_device_key_is_added_where_a_rotation_was_not_finished(memory: Memory, tmp_path: Path) -> None:
    memory.call(AddAgent(name="bob"))
    path = key_path(memory, "bob")
    old = path.read_text()
    memory.call(RotateAgentKey(name="bob"))
    private.next_of(path).write_text(path.read_text())
    private.next_of(path).chmod(0o600)
    path.write_text(old)
    without_admin(memory)

    added = memory.call(AddAgentKey(name="bob", out=str(tmp_path / "device.key")))

    assert "key added" == added.change
    assert not private.next_of(path).exists()


def test_a_key_behind_a_link_is_not_rotated(memory: Memory, tmp_path: Path) -> None:
    path = tmp_path / "ann.key"
    memory.call(AddAgent(name="ann", key_out=str(path)))
    link = tmp_path / "link.key"
    link.symlink_to(path)

    refused(memory, RotateAgentKey(name="ann", key=str(link)), Conflict, "is a link")


def test_rotations_at_once_come_one_after_the_other(memory: Memory) -> None:
    memory.clock.set(times.now())
    fact = memory.store("Invoices leave on the 3rd")
    memory.call(AddAgent(name="bob"))

    running = [cli(memory, "agent", "rotate", "bob") for _ in range(3)]
    codes = [process.wait(60) for process in running]
    keys = memory.call(ShowAgent(name="bob")).keys

    assert [0, 0, 0] == codes
    assert [4, 3] == [len(keys), sum(key.ended == "rotated" for key in keys)]
    with memory.reopen() as again:
        assert 1 == again.call(CastVote(id=fact.id, vote=1, agent="bob")).vote


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
@pytest.mark.parametrize("words", [("add", "bob"), ("rotate", "ann")], ids=["add", "rotate"])
def test_whenever_it_is_killed_the_same_command_finishes_it(memory: Memory, words: tuple[str, str]) -> None:
    memory.clock.set(times.now())
    fact = memory.store("Invoices leave on the 3rd")
    memory.call(AddAgent(name="ann"))
    command, name = words

    for kill_at in range(1, 100):
        if command == "add":
            name = f"{words[1]}{kill_at}"
        killed = cli(memory, "agent", command, name, code=KILLED, kill_at=kill_at).wait(60)
        if killed == 0:
            break
        assert -9 == killed
        with memory.reopen() as again:
            if command == "rotate" or name not in [agent.name for agent in again.call(ListAgents()).agents]:
                again.call(AddAgent(name=name) if command == "add" else RotateAgentKey(name=name))
            assert name == again.call(CastVote(id=fact.id, vote=1, agent=name)).agent
        # Each rotation keeps the key before and looks for a free name for it.
        for kept in memory.home.glob("agents/*/*.key.[0-9]*"):
            kept.unlink()

    assert 3 <= kill_at < 99


@given(st.text(max_size=80))
@examples(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_another_file_holds_never_becomes_a_key_by_accident(memory: Memory, tmp_path: Path, text: str) -> None:
    path = tmp_path / "junk.key"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    path.chmod(0o600)
    before = path.read_bytes()

    with pytest.raises(CortexError):
        memory.call(AddAgent(name="bob", key_out=str(path)))

    assert before == path.read_bytes()


def test_many_rotations_at_once_in_one_process_all_get_their_turn(memory: Memory) -> None:
    memory.call(AddAgent(name="bob"))

    answers = memory.together([RotateAgentKey(name="bob")] * 16)

    assert {"AgentChange"} == {type(answer).__name__ for answer in answers}
    assert 17 == len(memory.call(ShowAgent(name="bob")).keys)
