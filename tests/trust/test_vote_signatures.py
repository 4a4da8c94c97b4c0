"""Who signed: every signature of every event, by keys that were valid at their place, and no event twice."""

from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey
from vote_kit import VoteLog, busy, codes, digest_of, forge, public, relink, seed_of

from cortex.ledger.findings import Findings
from cortex.progress import silent
from cortex.trust import copies, events, replay, signatures, validity
from cortex.trust.events import Signed
from cortex.trust.policy import LINEAR


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> VoteLog:
    return busy(tmp_path_factory.mktemp("built"))


@pytest.fixture
def log(built: VoteLog, tmp_path: Path) -> VoteLog:
    return built.copy(tmp_path)


def signed_by(log: VoteLog, **options: Any) -> list[tuple[str, int | None]]:
    """What the integrity and signature passes find, and where."""
    report = log.verified(policy=False, **options)
    return [(finding.code, finding.entry) for finding in report.findings]


def test_each_signature_of_each_event_is_checked(log: VoteLog) -> None:
    report = log.verified()

    # An agent vouched for, a key that another one adds, a new admin key: two signatures each.
    assert report.size + 8 == report.signatures
    assert report.ok


def test_an_edited_signature_is_found_at_its_vote_and_at_its_event(log: VoteLog) -> None:
    log.edit("UPDATE vote_ledger SET signature = zeroblob(64) WHERE id = 20")
    log.edit("UPDATE vote_ledger SET signature = zeroblob(128) WHERE id = 21")
    log.edit("UPDATE vote_ledger SET signature = substr(signature, 2) WHERE id = 22")
    log.edit("UPDATE vote_ledger SET signature = zeroblob(128) WHERE id = 3")
    relink(log, 2)

    found = signed_by(log)

    assert {("EVENT_SIG", 2), ("AGENT_SIG", 19), ("AGENT_SIG", 20), ("AGENT_SIG", 21)} < set(found)
    # The agent of entry 2 was never registered then, and none of its votes count.
    assert {"EVENT_SIG", "AGENT_SIG", "KEY_NOT_VALID"} == {code for code, _ in found}


def test_a_forged_vote_by_a_key_of_its_own_is_not_signed_by_the_agent(log: VoteLog) -> None:
    ballot = log.ballot("t0", 1).event
    own = seed_of("mallory")
    told = events.message(ballot)

    one = forge(log, Signed(ballot, (own.sign(told).signature,)))
    other = events.Ballot(**{**_members(ballot), "id": _members(log.ballot("t0", 1).event)["id"], "key": public(own)})
    two = forge(log, Signed(other, (own.sign(events.message(other)).signature,)))

    assert [("AGENT_SIG", one), ("KEY_NOT_VALID", two)] == signed_by(log)


def _members(event: Any) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__}


def test_a_vote_of_another_agent_with_ones_own_key_is_not_valid(log: VoteLog) -> None:
    ballot = log.ballot("t0", 1, agent="a1")

    idx = forge(log, ballot)

    assert [("KEY_NOT_VALID", idx)] == signed_by(log)


@pytest.mark.parametrize(("name", "number"), [("a1", 0), ("a2", 0), ("u1", 0)], ids=["rotated", "revoked", "all"])
def test_a_key_that_ended_is_not_valid_afterwards_but_was_before(log: VoteLog, name: str, number: int) -> None:
    assert [] == signed_by(log)
    log.keys[name] = seed_of(name, number)

    idx = forge(log, log.ballot(name, 3))

    assert [("KEY_NOT_VALID", idx)] == signed_by(log)
    assert [("KEY_NOT_VALID", idx)] == signed_by(log, incremental=True)


@pytest.mark.parametrize(
    "kind",
    [
        "genesis",
        "agent",
        "again",
        "vouched",
        "add",
        "rotate",
        "revoke",
        "known key",
        "trust",
        "admin",
        "policy",
        "resolve",
    ],
)
def test_an_event_by_somebody_who_may_not_is_not_valid(log: VoteLog, kind: str) -> None:
    own, old = seed_of("mallory"), seed_of("admin")
    mine, before = public(own), public(old)
    change = {"agent": "t0", "by": mine, "custody": "agent", "key": public(seed_of("x")), "projects": ["*"]}
    new = {"agent": "m", "custody": "agent", "projects": ["*"], "admin": None, "trust": "untrusted", "key": mine}
    made: dict[str, tuple[Any, tuple[SigningKey, ...]]] = {
        "genesis": (log.event(events.Genesis, key=mine, policy=LINEAR, vkey="x"), (own,)),
        "agent": (log.event(events.AgentRegistered, **new | {"key": before}), (old,)),
        "again": (log.event(events.AgentRegistered, **new | {"agent": "t0"}), (own,)),
        "vouched": (log.event(events.AgentRegistered, **new | {"admin": before, "trust": "trusted"}), (own, old)),
        "add": (log.event(events.KeyChanged, **change, op="add"), (own, seed_of("x"))),
        "rotate": (log.event(events.KeyChanged, **change | {"by": public(log.admin)}, op="rotate"),
                   (log.admin, seed_of("x"))),
        "revoke": (log.event(events.KeyChanged, **change | {"by": before, "key": public(log.keys["t0"]),
                                                            "custody": None, "projects": None}, op="revoke"), (old,)),
        "known key": (log.event(events.KeyChanged, **change | {"by": public(log.keys["t0"]), "key": before}, op="add"),
                      (log.keys["t0"], old)),
        "trust": (log.event(events.TrustSet, agent="u1", key=before, trust="trusted"), (old,)),
        "admin": (log.event(events.AdminRotated, key=before, new=mine), (old, own)),
        "policy": (log.event(events.PolicySet, key=mine, policy=LINEAR), (own,)),
        "resolve": (log.event(events.FactResolved, fact=log.ballot("t0", 1).event.fact, fact_digest=digest_of(1),
                              key=before, reason_digest=None, truth=1), (old,)),
    }  # fmt: skip
    event, keys = made[kind]

    idx = forge(log, log.signed(event, *keys))

    found = {(code, entry) for code, entry in signed_by(log)}
    expected = ("LEAF_FORM", idx) if kind == "genesis" else ("KEY_NOT_VALID", idx)
    # The state row names the admin key and the policy of the last such event.
    assert {expected} == {one for one in found if one[0] != "TREE_STATE"}


def test_a_key_swapped_in_the_event_that_brought_it_is_not_signed_for(log: VoteLog) -> None:
    swapped = public(seed_of("mallory"))
    log.edit("UPDATE vote_ledger SET event = replace(event, ?, ?) WHERE id = 2", (public(seed_of("a0")), swapped))
    relink(log, 1)

    assert ("EVENT_SIG", 1) == signed_by(log)[0]


@pytest.mark.parametrize("incremental", [False, True])
def test_an_old_signed_vote_or_event_that_is_appended_again_is_found(log: VoteLog, incremental: bool) -> None:
    assert [] == signed_by(log)
    kept = [(signed.event.id, signed) for signed, _ in replay.leaves(log.tx, log.origin)]
    text = log.value("SELECT sql FROM sqlite_schema WHERE name = 'vote_ledger_event'")
    log.tx.execute("DROP INDEX vote_ledger_event")
    vote = next(signed for _, signed in reversed(kept) if isinstance(signed.event, events.Ballot))

    idx = forge(log, vote)
    log.tx.execute(text.replace("UNIQUE ", ""))

    report = log.verified(incremental=incremental, policy=False)
    assert {"SCHEMA", "EVENT_TWICE"} == codes(report)
    assert [idx] == [finding.entry for finding in report.findings if finding.code == "EVENT_TWICE"]


def test_the_keys_of_a_copy_are_those_of_the_leaves_at_every_size(log: VoteLog) -> None:
    tx, origin = log.tx, log.origin
    size = log.value("SELECT size FROM vote_log")

    with copies.opened(None, tx, origin, size, b"", resume=False) as copy:
        replay.check(tx, origin, Findings(), copy, size=size, void=set(), progress=silent)
        for at in range(1, size + 1):
            assert validity.at(tx, None, origin, at) == validity.at(tx, copy.tx, origin, at)


def test_keys_of_a_copy_that_ends_earlier_go_on_with_the_leaves(built: VoteLog, tmp_path: Path) -> None:
    log = VoteLog(tmp_path)
    log.agents(2)
    assert log.verified().ok
    log.rotate("a0")
    log.vote("a0", 1)
    assert log.verified(incremental=True, policy=False).ok
    log.vote("a0", 2)

    report = log.verified(incremental=True)

    assert [] == report.findings
    assert 1 == report.signatures


def test_a_row_that_holds_no_event_has_no_effect_and_stops_nothing(log: VoteLog) -> None:
    log.edit("UPDATE vote_ledger SET event = '[]' WHERE id = 3")
    log.edit("UPDATE vote_ledger SET key = NULL WHERE id = 20")
    log.edit("UPDATE vote_ledger SET fact_id = 'x' WHERE id = 2")
    origin = log.origin
    findings = Findings()

    done = signatures.check(
        log.tx, origin, findings, start=0, keys=validity.at(log.tx, None, origin, 0), progress=silent
    )

    assert {1, 2, 19} <= done.void
