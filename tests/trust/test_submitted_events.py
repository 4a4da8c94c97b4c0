"""Events that were signed elsewhere: taken as they were signed, or refused with nothing stored."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from nacl.signing import SigningKey

from cortex import limits
from cortex.errors import (
    BadSignature,
    ClockAhead,
    Conflict,
    CortexError,
    Forbidden,
    Forgotten,
    IdConflict,
    Invalid,
    KeyNotValid,
    NotFound,
    Retracted,
    RevisionConflict,
    TooLarge,
    WrongLog,
)
from cortex.ids import uuid7
from cortex.ops.agents import AddAgent, ListAgents, ShowAgent
from cortex.ops.facts import ForgetFact, RetractFact, ReviseFact
from cortex.ops.policies import SetPolicy
from cortex.ops.resolving import ResolveFact
from cortex.ops.submitting import SubmitEvent, SubmittedEvent
from cortex.ops.views import ShowFact
from cortex.ops.votes import CastVote, ReadVotes
from cortex.trust import keyfiles, policy
from cortex.trust.events import KINDS, Signed, decode, encode, message, reason_digest, verify
from opened import Memory

ANN, EVE = SigningKey(b"a" * 32), SigningKey(b"e" * 32)
GLOBS = ["*"]


def public(key: SigningKey) -> str:
    return bytes(key.verify_key).hex()


class Remote:
    """Another machine that knows of a log what `agent show` says of it."""

    def __init__(self, memory: Memory) -> None:
        memory.call(AddAgent(name="bob"))
        self.memory = memory
        self.log = str(memory.call(ListAgents()).origin)
        path = keyfiles.admin_path(memory.home, self.log)
        text = path.read_text().split()[3]
        self.admin = SigningKey(keyfiles.decode_seed(text) or b"")
        path.unlink()
        self._number = 0

    def request(self, kind: Any, /, *keys: SigningKey, **members: Any) -> SubmitEvent:
        """A request for a kind of event, signed by `keys`."""
        self._number += 1
        shared = {"at": self.memory.clock.at, "log": self.log, "v": 1}
        shared["id"] = uuid7(0, self._number.to_bytes(10, "big"))
        event = KINDS[kind](**(shared | members))
        told = message(event)
        return SubmitEvent(
            kind=kind, event=msgspec.json.decode(encode(event)), sigs=[key.sign(told).signature.hex() for key in keys]
        )

    def agent(self, key: SigningKey, /, *more: SigningKey, **members: Any) -> SubmitEvent:
        usual = {"admin": None, "agent": "ann", "custody": "agent", "key": public(key), "projects": GLOBS}
        return self.request("agent", key, *more, **(usual | {"trust": "untrusted"} | members))

    def key(self, by: SigningKey, key: SigningKey, /, **members: Any) -> SubmitEvent:
        usual = {"agent": "ann", "by": public(by), "custody": "agent", "key": public(key), "op": "add"}
        return self.request("key", by, key, **(usual | {"projects": GLOBS} | members))

    def by_admin(self, kind: Any, /, **members: Any) -> SubmitEvent:
        return self.request(kind, self.admin, key=public(self.admin), **members)

    def resolve(self, fact: str, /, **members: Any) -> SubmitEvent:
        shown = self.memory.call(ShowFact(id=fact)).entry.digest
        usual = {"fact": fact, "fact_digest": shown, "reason_digest": None, "truth": 1}
        return self.by_admin("resolve", **(usual | members))

    def submit(self, request: SubmitEvent) -> SubmittedEvent:
        return self.memory.call(request)

    def size(self) -> int:
        return int(self.memory.sql().execute("SELECT count(*) FROM vote_ledger").fetchone()[0])

    def refused(self, request: Any, kind: type[CortexError], match: str) -> None:
        before = self.size()
        with pytest.raises(kind, match=match) as caught:
            self.memory.call(request)
        assert kind is type(caught.value)
        assert before == self.size()


@pytest.fixture
def remote(memory: Memory) -> Remote:
    return Remote(memory)


def test_an_agent_registers_itself_from_another_machine(remote: Remote) -> None:
    taken = remote.submit(remote.agent(ANN))

    assert ("agent", 2, remote.log, False) == (taken.kind, taken.entry, taken.origin, taken.repeated)
    shown = remote.memory.call(ShowAgent(name="ann"))
    assert ("untrusted", public(ANN), None) == (shown.level, shown.keys[0].public, shown.key_here)


def test_the_same_event_again_has_its_place_and_another_of_that_id_is_refused(remote: Remote) -> None:
    request = remote.agent(ANN)
    first = remote.submit(request)

    again = remote.submit(request)

    assert (first.entry, first.hash, first.at, True) == (again.entry, again.hash, again.at, again.repeated)
    other = remote.agent(EVE, agent="eve", id=request.event["id"])
    remote.refused(other, IdConflict, "stands for another event")


def test_whoever_holds_the_admin_key_vouches_from_another_machine(remote: Remote) -> None:
    remote.submit(remote.agent(ANN, remote.admin, admin=public(remote.admin), trust="standard"))
    before = remote.memory.call(ShowAgent(name="ann")).level
    remote.submit(remote.by_admin("trust", agent="ann", trust="trusted"))

    assert ("standard", "trusted") == (before, remote.memory.call(ShowAgent(name="ann")).level)


def test_a_ballot_counts_for_an_agent_that_registered_itself(remote: Remote) -> None:
    fact = remote.memory.store("Invoices leave on the 3rd")
    remote.submit(remote.agent(ANN))
    digest = remote.memory.call(ShowFact(id=fact.id)).entry.digest
    ballot = remote.request(
        "vote", ANN, agent="ann", author="tester", fact=fact.id, fact_digest=digest, key=public(ANN), reason_digest=None,
        vote=1,
    )  # fmt: skip

    cast = remote.memory.call(CastVote(id=fact.id, vote=1, ballot=ballot.event, sig=ballot.sigs[0]))

    assert ("ann", "agent", 3) == (cast.agent, cast.custody, cast.entry)


def test_keys_are_added_rotated_and_revoked_from_another_machine(remote: Remote) -> None:
    remote.submit(remote.agent(ANN))

    remote.submit(remote.key(ANN, EVE))
    remote.submit(remote.key(EVE, SigningKey(b"n" * 32), op="rotate"))
    remote.submit(
        remote.request("key", remote.admin, agent="ann", by=public(remote.admin), custody=None, key=public(ANN),
                       op="revoke", projects=None)
    )  # fmt: skip

    ended = [key.ended for key in remote.memory.call(ShowAgent(name="ann")).keys]
    assert ["revoked", "rotated", None] == ended
    remote.refused(remote.key(ANN, SigningKey(b"m" * 32)), KeyNotValid, "was revoked")


def test_a_policy_and_an_admin_key_from_another_machine_are_in_force(remote: Remote) -> None:
    remote.submit(remote.by_admin("policy", policy=policy.LINEAR))
    remote.submit(remote.request("admin", remote.admin, EVE, key=public(remote.admin), new=public(EVE)))

    assert "linear" == remote.memory.call(SetPolicy()).policy["rule"]
    assert public(EVE) == remote.memory.call(ShowAgent(name="bob")).admin
    remote.refused(remote.by_admin("policy", policy=policy.WEIGHTED), KeyNotValid, "not the admin key")


def test_a_resolution_from_another_machine_settles_the_fact_and_keeps_its_reason(remote: Remote) -> None:
    fact, salt = remote.memory.store("Invoices leave on the 3rd"), b"s" * 16
    signed = remote.resolve(fact.id, reason_digest=reason_digest(salt, "I looked").hex())
    request = SubmitEvent(kind="resolve", event=signed.event, sigs=signed.sigs, reason="I looked", salt=salt.hex())

    remote.submit(request)

    found = remote.memory.call(ReadVotes(id=fact.id))
    assert ("verified", True) == (found.verdict, found.resolved)
    assert ["I looked"] == [row[0] for row in remote.memory.sql().execute("SELECT reason FROM vote_reason")]


def test_a_resolution_given_again_after_its_fact_was_forgotten_brings_no_reason_back(remote: Remote) -> None:
    fact, salt = remote.memory.store("Invoices leave on the 3rd"), b"s" * 16
    signed = remote.resolve(fact.id, reason_digest=reason_digest(salt, "I looked").hex())
    request = SubmitEvent(kind="resolve", event=signed.event, sigs=signed.sigs, reason="I looked", salt=salt.hex())
    remote.submit(request)
    remote.memory.call(ForgetFact(id=fact.id))
    remote.memory.sql().execute("DELETE FROM vote_reason")

    again = remote.submit(request)

    assert again.repeated
    assert [] == remote.memory.sql().execute("SELECT reason FROM vote_reason").fetchall()


def test_a_resolution_is_for_the_newest_text_of_a_fact_that_is_there(remote: Remote) -> None:
    revised, retracted, forgotten = (remote.memory.store(text) for text in ("one", "two", "three"))
    requests = [remote.resolve(fact.id) for fact in (revised, retracted, forgotten)]
    remote.memory.call(ReviseFact(id=revised.id, content="one and a half"))
    remote.memory.call(RetractFact(id=retracted.id))
    remote.memory.call(ForgetFact(id=forgotten.id))

    remote.refused(requests[0], RevisionConflict, "another text")
    remote.refused(requests[1], Retracted, "was retracted")
    remote.refused(requests[2], Forgotten, "was forgotten")
    nobodys = "00000000-0000-7000-8000-000000000000"
    remote.refused(remote.resolve(revised.id, fact=nobodys), NotFound, "no fact")


def test_what_does_not_fit_is_refused_with_its_kind(remote: Remote, memory: Memory) -> None:
    memory.clock.advance(hours=1)
    late = memory.clock.advance(seconds=121)
    memory.clock.advance(seconds=-121)
    other_log = "cortex/votes/0123456789abcdef/fedcba9876543210"

    remote.refused(remote.agent(ANN, log=other_log), WrongLog, "an event for the log")
    remote.refused(remote.agent(ANN, at=late), ClockAhead, "the event is of")
    remote.refused(remote.agent(ANN, agent="bob"), Conflict, "an agent bob already")
    remote.refused(remote.agent(ANN, agent=".."), Invalid, "no name of an agent")
    remote.refused(remote.agent(ANN, custody="server"), Invalid, "has custody server")
    remote.refused(remote.agent(ANN, trust="trusted"), Invalid, "without the admin key")
    remote.refused(remote.agent(ANN, EVE, admin=public(EVE), trust="trusted"), KeyNotValid, "not the admin key")
    remote.refused(remote.agent(ANN, EVE), BadSignature, "2 signatures")
    remote.refused(remote.key(ANN, EVE, agent="bob"), KeyNotValid, "not one of agent bob")
    remote.refused(remote.key(ANN, EVE), NotFound, "no agent ann")
    remote.refused(remote.by_admin("policy", policy=policy.Policy(floor_e6=950_000)), Invalid, "below the ceiling")
    remote.refused(
        remote.request("trust", EVE, agent="bob", key=public(EVE), trust="trusted"), KeyNotValid, "admin key"
    )


def test_an_event_two_minutes_ahead_is_taken(remote: Remote, memory: Memory) -> None:
    ahead = memory.clock.advance(seconds=120)
    memory.clock.advance(seconds=-120)

    assert 2 == remote.submit(remote.agent(ANN, at=ahead)).entry


def test_a_policy_from_another_machine_confirms_a_jump_of_the_clock_only_if_it_changes_nothing(remote: Remote) -> None:
    remote.memory.clock.advance(days=limits.CLOCK_JUMP_DAYS, microseconds=1)

    remote.refused(remote.by_admin("policy", policy=policy.LINEAR), ClockAhead, "more than 30 days after")
    remote.submit(remote.by_admin("policy", policy=policy.WEIGHTED))
    remote.submit(remote.by_admin("policy", policy=policy.LINEAR))

    assert "linear" == remote.memory.call(SetPolicy()).policy["rule"]


def test_a_key_gives_another_no_more_projects_than_it_has(remote: Remote) -> None:
    remote.submit(remote.agent(ANN, projects=["mail"]))

    remote.refused(remote.key(ANN, EVE), Forbidden, "let the admin key sign")
    remote.refused(remote.key(ANN, EVE, op="rotate"), Forbidden, "let the admin key sign")
    remote.submit(remote.key(remote.admin, EVE))


def test_signatures_by_others_or_for_another_kind_are_refused(remote: Remote) -> None:
    fits = remote.agent(ANN)
    foreign = remote.agent(EVE, key=public(ANN))
    trust = remote.by_admin("trust", agent="bob", trust="trusted")

    remote.refused(foreign, BadSignature, "does not fit")
    remote.refused(SubmitEvent(kind="agent", event=fits.event | {"agent": "ana"}, sigs=fits.sigs), BadSignature, "fit")
    remote.refused(SubmitEvent(kind="agent", event=trust.event, sigs=trust.sigs), Invalid, "not an event of kind agent")
    remote.refused(SubmitEvent(kind="agent", event=fits.event, sigs=["0" * 128]), BadSignature, "does not fit")
    remote.refused(SubmitEvent(kind="agent", event=fits.event, sigs=["0" * 126]), Invalid, "sigs")


@pytest.mark.parametrize("kind", ["genesis", "restored", "vote", ""])
def test_kinds_that_have_another_way_in_are_refused(remote: Remote, kind: Any) -> None:
    remote.refused(SubmitEvent(kind=kind, event={}, sigs=["0" * 128]), Invalid, "kind")


def test_a_reason_goes_with_a_resolution_and_its_salt(remote: Remote) -> None:
    fact = remote.memory.store("Invoices leave on the 3rd")
    agent, signed = remote.agent(ANN), remote.resolve(fact.id)

    def given(request: SubmitEvent, **told: str) -> SubmitEvent:
        return SubmitEvent(kind=request.kind, event=request.event, sigs=request.sigs, **told)

    remote.refused(given(agent, reason="x", salt="00" * 16), Invalid, "of kind resolve")
    remote.refused(given(signed, reason="x"), Invalid, "go together")
    remote.refused(given(signed, reason="x", salt="00" * 16), Invalid, "not the one")


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("a\0b", Invalid),
        ("a\x1b[2J", Invalid),
        ("a\rb", Invalid),
        ("a\x85b", Invalid),
        (" \n", Invalid),
        ("\ud800", Invalid),
        ("x" * (limits.REASON_BYTES_MAX + 1), TooLarge),
    ],
    ids=ascii,
)
def test_a_reason_is_readable_text_of_a_bounded_size_whoever_signs(
    remote: Remote, reason: str, kind: type[CortexError]
) -> None:
    fact = remote.memory.store("Invoices leave on the 3rd")
    signed = remote.resolve(fact.id)

    with pytest.raises(kind, match="reason"):
        remote.memory.call(
            SubmitEvent(kind="resolve", event=signed.event, sigs=signed.sigs, reason=reason, salt="00" * 16)
        )
    with pytest.raises(kind, match="reason"):
        remote.memory.call(ResolveFact(id=fact.id, truth="true", reason=reason))


def test_a_reason_may_have_lines_and_any_script(memory: Memory) -> None:
    fact, reason = memory.store("Invoices leave on the 3rd"), "seen:\n\tон\u00a0сказал 👩\u200d🔬"

    memory.call(ResolveFact(id=fact.id, truth="true", reason=reason))

    told = memory.call(ReadVotes(id=fact.id)).resolution
    assert told is not None
    assert reason == told.reason


def test_a_salt_of_half_a_byte_is_refused(remote: Remote) -> None:
    signed = remote.resolve(remote.memory.store("Invoices leave on the 3rd").id)

    given = SubmitEvent(kind="resolve", event=signed.event, sigs=signed.sigs, reason="x", salt="0" * 33)

    remote.refused(given, Invalid, "salt")


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.data())
@examples(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_junk_is_refused_and_nothing_is_stored(remote: Remote, data: st.DataObject) -> None:
    event = dict(remote.agent(ANN).event)
    event[data.draw(st.sampled_from([*event, "more"]))] = data.draw(_values)
    before = remote.size()

    with pytest.raises(CortexError) as caught:
        remote.memory.call(SubmitEvent(kind="agent", event=event, sigs=["0" * 128]))

    assert caught.value.kind in {"invalid", "bad_signature", "too_large"}
    assert before == remote.size()


def test_the_example_of_the_document_gives_the_bytes_that_are_signed_here() -> None:
    text = (Path(__file__).parents[2] / "docs" / "agents.md").read_text()
    example = text.partition("```python\n")[2].partition("```")[0]
    printed = text.rpartition("```\n{")[2].partition("```")[0]

    done = subprocess.run([sys.executable, "-c", example], capture_output=True, check=True, text=True)

    assert "{" + printed == done.stdout
    encoded, signature = done.stdout.splitlines()
    signed = Signed(decode("agent", encoded.encode()), (bytes.fromhex(signature),))
    verify(signed, encoded.encode())
