"""Casting votes: what is counted, what is refused and with which kind, and what the answers explain."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey
from tests.opened import Clock, Memory

from cortex.errors import CortexError, Forbidden
from cortex.ids import uuid7
from cortex.memory.model import StoredFact
from cortex.ops.agent_changes import RevokeAgent, TrustAgent
from cortex.ops.agent_keys import AddAgentKey
from cortex.ops.agents import AddAgent
from cortex.ops.balloting import NewVote
from cortex.ops.facts import ForgetFact, RetractFact, ReviseFact
from cortex.ops.journal import EventsOrdered, Proposal
from cortex.ops.policies import SetPolicy
from cortex.ops.resolving import ResolveFact
from cortex.ops.search import Recall, SearchFacts
from cortex.ops.signing import admin
from cortex.ops.views import ShowFact
from cortex.ops.votes import CastVote, CastVotes, ReadVotes
from cortex.trust import events, policy, receipts
from cortex.trust import log as logs
from cortex.trust.events import AgentRegistered, Ballot, KeyChanged, PolicySet, TrustSet
from cortex.trust.keyfiles import receipts_path
from cortex.trust.keyring import EventSigner, sign


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory(tmp_path / "cortex.db", tmp_path / "home", Clock(), embedder_kind="none") as opened:
        yield opened


class Remote:
    """An agent on another machine, with its key: it signs ballots there."""

    def __init__(self, memory: Memory, name: str, trust: str = "standard", projects: tuple[str, ...] = ("*",)) -> None:
        self.memory, self.name = memory, name
        memory.call(ReadVotes(id=memory.store(f"for {name}").id))
        self.key = SigningKey(hashlib.sha256(name.encode()).digest())
        self.signer = EventSigner(name, bytes(self.key.verify_key).hex(), "agent", self.key)
        self.register(trust, projects)

    def register(self, trust: str, projects: tuple[str, ...]) -> None:
        context, log = self.memory.app.context, state(self.memory)
        admin_key = admin(context, log)
        event = AgentRegistered(
            admin=admin_key.public, agent=self.name, at=self.memory.clock(), custody="agent", id=context.new_id(),
            key=self.signer.public, log=log.origin, projects=sorted(projects), trust=trust, v=1,  # type: ignore[arg-type]
        )  # fmt: skip
        order(self.memory, sign(event, self.signer, admin_key))

    def ballot(self, fact: StoredFact, vote: int = 1, **changes: Any) -> dict[str, Any]:
        shown = self.memory.call(ShowFact(id=fact.id))
        return {
            "agent": self.name,
            "at": self.memory.clock(),
            "author": shown.actor,
            "fact": fact.id,
            "fact_digest": shown.entry.digest,
            "id": self.memory.app.context.new_id(),
            "key": self.signer.public,
            "log": state(self.memory).origin,
            "reason_digest": None,
            "v": 1,
            "vote": vote,
            **changes,
        }

    def vote(self, fact: StoredFact, vote: int = 1, **changes: Any) -> CastVote:
        ballot = self.ballot(fact, vote, **changes)
        told = (
            b"cortex-ballot/v1\n"
            + json.dumps(ballot, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        )
        return CastVote(id=fact.id, vote=vote, ballot=ballot, sig=self.key.sign(told).signature.hex())  # type: ignore[arg-type]


def state(memory: Memory) -> logs.Log:
    found = memory._runner.run(memory.app.context.database.read(logs.state))
    if found is None:
        first = memory.store("the first of all")
        memory.call(CastVote(id=first.id, vote=0, agent="opener"))
        return state(memory)
    return found


def order(memory: Memory, *signed: events.Signed) -> None:
    at = memory.clock()
    journal = memory.app.context.journal
    memory._runner.run(journal.order(lambda tx: Proposal(EventsOrdered(at=at, events=signed), lambda tx, done: None)))


def trusted(memory: Memory, *names: str, trust: str = "standard") -> None:
    """Let agents whose keys the server keeps be vouched for."""
    context = memory.app.context
    fact = memory.store("to be registered by")
    for name in names:
        memory.call(CastVote(id=fact.id, vote=0, agent=name))
        log = state(memory)
        key = admin(context, log)
        event = TrustSet(
            agent=name,
            at=memory.clock(),
            id=context.new_id(),
            key=key.public,
            log=log.origin,
            trust=trust,
            v=1,  # type: ignore[arg-type]
        )
        order(memory, sign(event, key))


def held(memory: Memory) -> tuple[int, bytes, int]:
    """Everything that a refused vote must leave as it is."""
    log = state(memory)
    reasons = memory.sql().execute("SELECT count(*) FROM vote_reason").fetchone()
    return log.size, log.head, reasons[0]  # type: ignore[index]


def refused(memory: Memory, request: CastVote) -> str:
    before = held(memory)
    with pytest.raises(CortexError) as caught:
        memory.call(request)
    assert before == held(memory)
    assert caught.value.hint
    return caught.value.kind


def test_three_vouched_agents_verify_a_fact(memory: Memory) -> None:
    fact = memory.store("Invoices are sent on the 3rd")
    trusted(memory, "ann", "bob", "cas")

    answers = [memory.call(CastVote(id=fact.id, vote=1, agent=name)) for name in ("ann", "bob", "cas")]

    assert ["none", "none", "verified"] == [answer.verdict for answer in answers]
    assert [1.098612] * 3 == [answer.weight for answer in answers]
    assert 3.295836 == answers[-1].sigma
    assert ("verified", 1.928571) == (memory.call(ShowFact(id=fact.id)).verdict, round(answers[-1].consensus_score, 6))
    assert [] == answers[-1].missing
    assert [
        "2 more vouched agents of positive weight (it takes 3)",
        "1.846 more weight on one side (it takes 2.944)",
    ] == (answers[0].missing)


def test_verdicts_are_told_wherever_the_fact_is(memory: Memory) -> None:
    fact = memory.store("Invoices are sent on the 3rd")
    trusted(memory, "ann", "bob", "cas")
    for name in ("ann", "bob", "cas"):
        memory.call(CastVote(id=fact.id, vote=-1, agent=name, reason=f"{name} saw another date"))

    hit = memory.call(SearchFacts(query="invoices")).hits[0].fact
    briefing = memory.call(Recall(query="invoices"))
    shown = memory.call(ShowFact(id=fact.id))

    assert ("disputed", 0.071429) == (hit.verdict, hit.consensus_score)
    assert " disputed]" in briefing.text
    assert "disputed" == briefing.facts[0].verdict
    assert ["ann saw another date", "bob saw another date", "cas saw another date"] == [v.reason for v in shown.votes]


def test_a_resolution_stands_before_the_votes(memory: Memory) -> None:
    fact = memory.store("Invoices are sent on the 3rd")
    trusted(memory, "ann", "bob", "cas")
    for name in ("ann", "bob", "cas"):
        memory.call(CastVote(id=fact.id, vote=1, agent=name))

    settled = memory.call(ResolveFact(id=fact.id, truth="false", reason="the contract says the 5th"))
    opened = memory.call(ResolveFact(id=fact.id, truth="open"))

    assert ("disputed", True, 0.0, 3) == (settled.verdict, settled.resolved, settled.consensus_score, settled.judged)
    assert ("verified", False, 0) == (opened.verdict, opened.resolved, opened.judged)


def test_votes_of_unknown_agents_weigh_nothing_and_say_why(memory: Memory) -> None:
    fact = memory.store("Invoices are sent on the 3rd")

    answer = memory.call(CastVote(id=fact.id, vote=1, agent="stranger"))
    shown = memory.call(ReadVotes(id=fact.id)).votes[0]

    assert (0.0, 0.0, "untrusted", "server") == (answer.weight, answer.contribution, answer.level, answer.custody)
    assert answer.why_zero is not None
    assert "nobody vouches for the agent" in answer.why_zero
    assert (answer.why_zero, answer.vote_id, "server") == (shown.why_zero, shown.vote_id, shown.custody)


def test_a_hundred_votes_at_once_under_the_linear_rule_give_exactly_eleven(memory: Memory) -> None:
    fact = memory.store("Invoices are sent on the 3rd")
    log, context = state(memory), memory.app.context
    key = admin(context, log)
    event = PolicySet(memory.clock(), context.new_id(), key.public, log.origin, policy.LINEAR, 1)
    order(memory, sign(event, key))

    answers = memory.together([CastVote(id=fact.id, vote=1, agent=f"agent-{number}") for number in range(100)])

    assert [11.0, 100] == [max(answer.consensus_score for answer in answers), len({a.entry for a in answers})]
    assert 11.0 == memory.call(ReadVotes(id=fact.id)).consensus_score
    assert "verified" == memory.call(ReadVotes(id=fact.id)).verdict


def test_a_vote_replaces_the_one_before_and_the_ledger_keeps_both(memory: Memory) -> None:
    fact = memory.store("Invoices are sent on the 3rd")
    trusted(memory, "ann")
    size = state(memory).size

    memory.call(CastVote(id=fact.id, vote=1, agent="ann"))
    memory.call(CastVote(id=fact.id, vote=-1, agent="ann"))
    withdrawn = memory.call(CastVote(id=fact.id, vote=0, agent="ann"))

    assert (size + 3, 0.0, "the vote was withdrawn") == (state(memory).size, withdrawn.sigma, withdrawn.why_zero)
    assert [0] == [vote.vote for vote in memory.call(ReadVotes(id=fact.id)).votes]


def test_the_same_vote_id_counts_once_and_answers_as_it_did(memory: Memory) -> None:
    fact = memory.store("Invoices are sent on the 3rd")
    trusted(memory, "ann")
    request = CastVote(id=fact.id, vote=1, agent="ann", reason="seen", vote_id=uuid7(1_000_000))

    first = memory.call(request)
    size = state(memory).size
    memory.clock.advance(hours=1)
    memory.call(ReviseFact(id=fact.id, content="Invoices are sent on the 4th"))
    again = memory.call(request)

    assert (size, first.entry, first.hash, True) == (state(memory).size, again.entry, again.hash, again.repeated)
    assert "that vote was on an earlier revision; the score is that of the newest" in again.notes


CHANGES: list[dict[str, Any]] = [
    {"vote": -1},
    {"agent": "bob"},
    {"reason": "another"},
    {"reason": None},
    {"id": "other"},
]


@pytest.mark.parametrize("change", CHANGES)
def test_the_same_vote_id_with_other_content_is_a_conflict(memory: Memory, change: dict[str, Any]) -> None:
    fact, other = memory.store("Invoices are sent on the 3rd"), memory.store("another one")
    trusted(memory, "ann", "bob")
    request = {"id": fact.id, "vote": 1, "agent": "ann", "reason": "seen", "vote_id": uuid7(1_000_000)}
    memory.call(CastVote(**request))  # type: ignore[arg-type]

    kind = refused(memory, CastVote(**(request | {k: other.id if k == "id" else v for k, v in change.items()})))  # type: ignore[arg-type]

    assert "id_conflict" == kind


def test_two_requests_with_one_vote_id_at_once_are_one_vote(memory: Memory) -> None:
    fact = memory.store("Invoices are sent on the 3rd")
    trusted(memory, "ann")
    size, vote_id = state(memory).size, uuid7(1_000_000)

    answers = memory.together([CastVote(id=fact.id, vote=1, agent="ann", vote_id=vote_id) for _ in range(8)])

    assert (size + 1, 1) == (state(memory).size, len({answer.entry for answer in answers}))
    assert [False] + [True] * 7 == sorted(answer.repeated for answer in answers)


def test_facts_that_cannot_be_voted_on_have_each_their_kind(memory: Memory) -> None:
    forgotten, retracted, kept = (memory.store(f"fact number {number}") for number in range(3))
    trusted(memory, "ann")
    memory.call(ForgetFact(id=forgotten.id))
    memory.call(RetractFact(id=retracted.id))

    kinds = [
        refused(memory, CastVote(id=forgotten.id, vote=1, agent="ann")),
        refused(memory, CastVote(id=retracted.id, vote=1, agent="ann")),
        refused(memory, CastVote(id="01999999-9999-7999-8999-999999999999", vote=1, agent="ann")),
        refused(memory, CastVote(id=kept.id, vote=1, agent="ann", revision=2)),
    ]

    assert ["forgotten", "retracted", "not_found", "revision_conflict"] == kinds


def test_a_signed_ballot_is_counted_with_a_promise(memory: Memory) -> None:
    fact = memory.store("Invoices are sent on the 3rd")
    remote = Remote(memory, "ann")

    answer = memory.call(remote.vote(fact))

    assert (1.098612, "agent", False) == (answer.weight, answer.custody, answer.repeated)
    assert answer.promise is not None
    assert answer.promise.startswith(f"cortex-promise/v1\n{answer.origin}\n{answer.entry}\n")


def test_a_signed_ballot_sent_again_gives_the_first_place(memory: Memory) -> None:
    fact = memory.store("Invoices are sent on the 3rd")
    request = Remote(memory, "ann").vote(fact)

    first = memory.call(request)
    memory.call(ReviseFact(id=fact.id, content="Invoices are sent on the 4th"))
    again = memory.call(request)

    assert (first.entry, first.hash, True) == (again.entry, again.hash, again.repeated)


def test_ballots_that_do_not_fit_have_each_their_kind(memory: Memory) -> None:
    fact = memory.store("Invoices are sent on the 3rd")
    ann, bob = Remote(memory, "ann"), Remote(memory, "bob", projects=("billing-*",))
    good = ann.vote(fact)
    assert good.ballot is not None
    first = memory.call(ann.vote(fact, id=uuid7(1_000_000)))
    later = "2026-03-02T09:02:01.000000Z"

    kinds = {
        "another log": refused(memory, ann.vote(fact, log="cortex/votes/0000000000000000/0000000000000000")),
        "a clock ahead": refused(memory, ann.vote(fact, at=later)),
        "another author": refused(memory, ann.vote(fact, author="somebody")),
        "another text": refused(memory, ann.vote(fact, fact_digest="ab" * 32)),
        "another agent's key": refused(memory, ann.vote(fact, agent="bob")),
        "no agent": refused(memory, ann.vote(fact, agent="nobody")),
        "a changed ballot": refused(memory, CastVote(id=fact.id, vote=1, ballot=good.ballot | {"v": 1, "id": uuid7(5)}, sig=good.sig)),
        "another project": refused(memory, bob.vote(fact)),
        "an id that was taken": refused(memory, ann.vote(fact, -1, id=first.vote_id)),
        "a member too many": refused(memory, ann.vote(fact, extra=1)),
        "a vote of two": refused(memory, CastVote(id=fact.id, vote=1, ballot=good.ballot | {"vote": 2}, sig=good.sig)),
    }  # fmt: skip

    assert {
        "another log": "wrong_log",
        "a clock ahead": "clock_ahead",
        "another author": "invalid",
        "another text": "revision_conflict",
        "another agent's key": "key_not_valid",
        "no agent": "not_found",
        "a changed ballot": "bad_signature",
        "another project": "forbidden",
        "an id that was taken": "id_conflict",
        "a member too many": "invalid",
        "a vote of two": "invalid",
    } == kinds


def test_a_clock_that_is_two_minutes_ahead_is_taken(memory: Memory) -> None:
    fact = memory.store("Invoices are sent on the 3rd")

    answer = memory.call(Remote(memory, "ann").vote(fact, at="2026-03-02T09:02:00.000000Z"))

    assert memory.clock() == answer.at


def test_an_outdated_ballot_is_a_revision_conflict(memory: Memory) -> None:
    fact = memory.store("Invoices are sent on the 3rd")
    request = Remote(memory, "ann").vote(fact)
    memory.call(ReviseFact(id=fact.id, content="Invoices are sent on the 4th"))

    assert "revision_conflict" == refused(memory, request)


def test_revoked_and_rotated_keys_sign_nothing_any_more(memory: Memory) -> None:
    fact = memory.store("Invoices are sent on the 3rd")
    ann, bob = Remote(memory, "ann"), Remote(memory, "bob")
    context, log = memory.app.context, state(memory)
    key, new = admin(context, log), SigningKey(b"n" * 32)
    fresh = EventSigner("bob", bytes(new.verify_key).hex(), "agent", new)
    revoked = KeyChanged(
        "ann", memory.clock(), key.public, None, context.new_id(), ann.signer.public, log.origin, "revoke", None, 1
    )
    rotated = KeyChanged(
        "bob",
        memory.clock(),
        bob.signer.public,
        "agent",
        context.new_id(),
        fresh.public,
        log.origin,
        "rotate",
        ["*"],
        1,
    )
    order(memory, sign(revoked, key), sign(rotated, bob.signer, fresh))

    kinds = [refused(memory, ann.vote(fact)), refused(memory, bob.vote(fact))]
    bob.key, bob.signer = new, fresh

    assert ["key_not_valid", "key_not_valid"] == kinds
    assert 1.098612 == memory.call(bob.vote(fact)).weight


def test_a_clock_that_jumped_a_month_is_not_believed_without_the_admin(memory: Memory) -> None:
    fact = memory.store("Invoices are sent on the 3rd")
    trusted(memory, "ann")
    memory.clock.advance(days=31)

    kind = refused(memory, CastVote(id=fact.id, vote=1, agent="ann"))
    log, context = state(memory), memory.app.context
    key = admin(context, log)
    order(memory, sign(PolicySet(memory.clock(), context.new_id(), key.public, log.origin, policy.WEIGHTED, 1), key))

    assert "clock_ahead" == kind
    assert 1.098612 == memory.call(CastVote(id=fact.id, vote=1, agent="ann")).weight


def test_a_batch_counts_whole_or_not_at_all(memory: Memory) -> None:
    facts = [memory.store(f"fact number {number}") for number in range(3)]
    trusted(memory, "ann")
    memory.call(RetractFact(id=facts[1].id))
    before = held(memory)

    with pytest.raises(CortexError, match=r"votes\[1\]: fact") as caught:
        memory.call(CastVotes(votes=[NewVote(id=fact.id, vote=1, agent="ann") for fact in facts]))
    counted = memory.call(CastVotes(votes=[NewVote(id=fact.id, vote=1, agent="ann") for fact in (facts[0], facts[2])]))

    assert "retracted" == caught.value.kind
    assert [before[0], before[0] + 1] == [vote.entry for vote in counted.votes]


def test_reasons_are_forgotten_with_the_fact(memory: Memory) -> None:
    fact = memory.store("Invoices are sent on the 3rd")
    memory.call(CastVote(id=fact.id, vote=-1, agent="ann", reason="the ledger of accounts says the fifth of the month"))

    receipt = memory.call(ForgetFact(id=fact.id))

    assert [("scrubbed", 0)] == [(receipt.state, receipt.residue)]
    assert (0,) == memory.sql().execute("SELECT count(*) FROM vote_reason").fetchone()
    assert b"ledger of accounts" not in memory.path.read_bytes()


def test_a_reason_is_bound_by_a_salted_digest(memory: Memory) -> None:
    fact = memory.store("Invoices are sent on the 3rd")
    remote = Remote(memory, "ann")
    salt = b"s" * 16
    digest = hmac.new(salt, b"cortex-reason/v1\nseen it", hashlib.sha256).hexdigest()
    request = remote.vote(fact, reason_digest=digest)
    assert request.ballot is not None

    wrong = refused(
        memory, CastVote(id=fact.id, vote=1, ballot=request.ballot, sig=request.sig, reason="another", salt=salt.hex())
    )
    memory.call(CastVote(id=fact.id, vote=1, ballot=request.ballot, sig=request.sig, reason="seen it", salt=salt.hex()))

    assert "invalid" == wrong
    assert ["seen it"] == [vote.reason for vote in memory.call(ReadVotes(id=fact.id)).votes]


def test_an_author_is_told_that_its_own_vote_earns_nothing(memory: Memory) -> None:
    fact = memory.store("Invoices are sent on the 3rd")
    trusted(memory, "tester")

    answer = memory.call(CastVote(id=fact.id, vote=1, agent="tester"))

    assert ["an author earns no reputation by voting on its own fact"] == answer.notes


def test_nobody_votes_for_an_agent_whose_key_is_elsewhere(memory: Memory) -> None:
    fact = memory.store("Invoices are sent on the 3rd")
    Remote(memory, "ann")

    with pytest.raises(Forbidden, match="no key of agent ann is on this machine"):
        memory.call(CastVote(id=fact.id, vote=1, agent="ann"))


def test_an_agents_own_key_leaves_it_a_receipt(memory: Memory, tmp_path: Path) -> None:
    fact = memory.store("Invoices are sent on the 3rd")
    remote = Remote(memory, "ann")
    file = tmp_path / "ann.key"
    log = state(memory)
    file.write_text(remote.key.encode().hex())
    file.chmod(0o600)

    answer = memory.call(CastVote(id=fact.id, vote=1, agent="ann", key=str(file)))
    kept = list(receipts.read(receipts_path(memory.home, log.origin, "ann")))

    assert [(answer.vote_id, answer.entry, answer.promise)] == [(one.id, one.idx, one.promise) for one in kept]
    event = events.decode("vote", json.dumps(kept[0].ballot, separators=(",", ":"), sort_keys=True).encode())
    assert isinstance(event, Ballot)
    events.verify(events.Signed(event, (bytes.fromhex(kept[0].sig),)))


def test_every_vote_of_many_at_once_is_kept_once(memory: Memory) -> None:
    facts = [memory.store(f"fact number {number}") for number in range(10)]
    trusted(memory, *(f"agent-{number}" for number in range(8)))
    size = state(memory).size
    requests = [CastVote(id=facts[n % 10].id, vote=1, agent=f"agent-{n % 8}") for n in range(400)]

    answers = memory.together(requests)

    assert sorted(answer.entry for answer in answers) == list(range(size, size + 400))
    assert (size + 400, 400) == (state(memory).size, len({answer.vote_id for answer in answers}))


def test_an_id_that_stands_twice_in_a_batch_is_refused(memory: Memory) -> None:
    fact = memory.store("Invoices are sent on the 3rd")
    before = held(memory)

    with pytest.raises(CortexError, match="stands twice in one batch"):
        memory.call(CastVotes(votes=[NewVote(id=fact.id, vote=1, vote_id=uuid7(5, b"1" * 10)) for _ in range(2)]))

    assert before == held(memory)


def test_an_older_ballot_takes_no_newer_ones_place(memory: Memory) -> None:
    fact = memory.store("Invoices are sent on the 3rd")
    remote = Remote(memory, "ann")
    withheld = remote.vote(fact, 1)
    memory.clock.advance(minutes=1)
    memory.call(remote.vote(fact, -1))

    assert "conflict" == refused(memory, withheld)
    assert [-1] == [vote.vote for vote in memory.call(ReadVotes(id=fact.id)).votes]


def test_a_ballot_in_a_batch_is_compared_as_exactly_as_alone(memory: Memory) -> None:
    fact, other = memory.store("Invoices are sent on the 3rd"), memory.store("another one")
    remote = Remote(memory, "ann")
    first = remote.vote(fact)
    memory.call(first)
    assert first.ballot is not None
    memory.clock.advance(seconds=1)
    second = remote.vote(fact, id=first.ballot["id"])
    before = held(memory)

    with pytest.raises(CortexError) as caught:
        memory.call(
            CastVotes(
                votes=[
                    NewVote(id=fact.id, vote=1, ballot=second.ballot, sig=second.sig),
                    NewVote(id=other.id, vote=1, agent="bob"),
                ]
            )
        )

    assert ("id_conflict", before) == (caught.value.kind, held(memory))


def test_a_name_that_a_client_claims_signs_with_no_agents_own_key(memory: Memory) -> None:
    fact = memory.store("Invoices are sent on the 3rd")
    memory.call(AddAgent(name="auditor"))
    before = held(memory)

    with pytest.raises(Forbidden, match="the client only says that this is its name"):
        memory.call(CastVote(id=fact.id, vote=1), actor="auditor", claimed=True)
    counted = memory.call(CastVote(id=fact.id, vote=1), actor="some-client", claimed=True)

    assert (before[0] + 2, "server") == (state(memory).size, counted.custody)


def test_a_revoked_agent_gets_no_key_until_it_has_a_level_again(memory: Memory, tmp_path: Path) -> None:
    memory.call(AddAgent(name="ann"))
    memory.call(RevokeAgent(name="ann"))

    with pytest.raises(CortexError, match="was revoked") as caught:
        memory.call(AddAgentKey(name="ann", out=str(tmp_path / "ann.key")))
    memory.call(TrustAgent(name="ann", level="untrusted"))
    memory.call(AddAgentKey(name="ann", out=str(tmp_path / "more.key")))

    assert "conflict" == caught.value.kind


def test_names_that_differ_by_case_alone_are_one_name(memory: Memory) -> None:
    memory.call(AddAgent(name="Auditor"))

    with pytest.raises(CortexError, match="there is an agent Auditor already"):
        memory.call(AddAgent(name="auditor"))


def test_resolving_again_judges_nobody_again(memory: Memory) -> None:
    fact = memory.store("Invoices are sent on the 3rd")
    trusted(memory, "ann")
    memory.call(CastVote(id=fact.id, vote=1, agent="ann"))

    judged = [memory.call(ResolveFact(id=fact.id, truth=truth)).judged for truth in ("true", "true", "false")]

    assert [1, 0, 1] == judged


def test_another_policy_is_no_word_about_the_clock(memory: Memory) -> None:
    state(memory)
    memory.clock.advance(days=31)

    with pytest.raises(CortexError, match="confirm-clock") as caught:
        memory.call(SetPolicy(rule="linear"))

    assert "clock_ahead" == caught.value.kind
