"""The rules of reputation, one by one, with values that were worked out by hand (units of 1e-6)."""

from pathlib import Path
from typing import Any

import pytest
from vote_kit import VoteLog, digest_of, fact_id

from cortex.errors import ClockAhead, Conflict, KeyNotValid
from cortex.trust import events, reputation, tally
from cortex.trust.policy import LINEAR, WEIGHTED
from cortex.trust.tally import Sums

# ln(3), ln(9), ln(19): weights at reputation .75, .9 and .95 (the ceiling).
STANDARD, TRUSTED, MOST = 1_098_612, 2_197_224, 2_944_438


@pytest.fixture
def log(tmp_path: Path) -> VoteLog:
    return VoteLog(tmp_path / "log")


def row(log: VoteLog, columns: str, fact: int = 1) -> Any:
    found = log.tx.execute(f"SELECT {columns} FROM vote_tally WHERE fact = ?", (fact_id(fact),)).fetchone()
    return found[0] if found is not None and len(found) == 1 else found


def evidence(log: VoteLog, name: str) -> tuple[int, int]:
    found: Any = log.tx.execute("SELECT for_e6, against_e6 FROM vote_agent WHERE name = ?", (name,)).fetchone()
    return (found[0], found[1])


def settle(log: VoteLog, **later: float) -> None:
    """Let time go by, and an event that has nothing to do with the facts of the test."""
    log.wait(**(later or {"hours": 24}))
    if log.tx.execute("SELECT 1 FROM vote_agent WHERE name = 'clock'").fetchone() is None:
        log.agent("clock", "untrusted")
    else:
        log.vote("clock", 999, 1)


def test_what_each_level_weighs_at_first() -> None:
    weights = [reputation.weight_e6(WEIGHTED, level, 0, 0) for level in ("untrusted", "standard", "trusted", "revoked")]

    assert [0, STANDARD, TRUSTED, 0] == weights


def test_reputation_stays_between_floor_and_ceiling() -> None:
    best, worst = (reputation.weight_e6(WEIGHTED, "standard", *told) for told in ((10**12, 0), (0, 10**12)))

    assert [MOST, 0] == [best, worst]
    assert [950_000, 50_000] == [
        reputation.reputation_e6(WEIGHTED, "trusted", *told) for told in ((10**12, 0), (0, 10**12))
    ]


def test_an_untrusted_agent_is_one_deviation_below_its_mean() -> None:
    # Beta(1 + 9, 1): mean 10/11, deviation sqrt(10 / (121 * 12)) = .0829883; r = .8261026; odds 4.750517; ln = 1.558253
    assert 1_558_253 == reputation.weight_e6(WEIGHTED, "untrusted", 9_000_000, 0)


def test_evidence_fades_by_half_in_a_hundred_and_eighty_days() -> None:
    left = [reputation.faded(1_000_000, days, 180) for days in (0, 1, 90, 180, 360, 100_000)]

    # Rounded toward zero: what is left never adds up to more than there was.
    assert [1_000_000, 996_156, 707_106, 500_000, 250_000, 0] == left


def test_three_standard_agents_verify_and_two_do_not(log: VoteLog) -> None:
    names = log.agents(3)

    verdicts = []
    for name in names:
        log.vote(name, 1)
        verdicts.append((row(log, "verdict"), row(log, "sigma_e6")))

    assert [("none", STANDARD), ("none", 2 * STANDARD), ("verified", 3 * STANDARD)] == verdicts


def test_two_agents_of_any_weight_are_not_enough(log: VoteLog) -> None:
    for name in log.agents(2, "trusted"):
        log.vote(name, 1)

    assert ("none", 2 * TRUSTED) == row(log, "verdict, sigma_e6")


def test_three_on_each_side_are_contested(log: VoteLog) -> None:
    for number, name in enumerate(log.agents(6)):
        log.vote(name, 1, 1 if number % 2 else -1)

    assert ("contested", 0) == row(log, "verdict, sigma_e6")


def test_a_verdict_is_settled_after_a_day_and_not_before(log: VoteLog) -> None:
    names = log.agents(4)
    for name in names:
        log.vote(name, 1)

    settle(log, hours=23)
    early = [evidence(log, name) for name in names]
    settle(log, hours=1)
    late = [evidence(log, name) for name in names]

    assert ([(0, 0)] * 4, [(1_000_000, 0)] * 4) == (early, late)
    assert (1, None) == row(log, "settled, due")


def test_each_voter_is_measured_by_the_others_alone(log: VoteLog) -> None:
    # Three standard agents: the others of each come to 2 * 1.098612 = 2.197224, which is not beyond the bound.
    names = log.agents(3)
    for name in names:
        log.vote(name, 1)

    settle(log)

    assert [(0, 0)] * 3 == [evidence(log, name) for name in names]


def test_who_disagrees_loses_and_the_author_earns_nothing(log: VoteLog) -> None:
    names = log.agents(6)
    for name in names[:5]:
        log.vote(name, 1, author="a4")
    log.vote(names[5], 1, -1, author="a4")

    settle(log)

    told = [evidence(log, name) for name in names]
    assert [(1_000_000, 0)] * 4 + [(0, 0), (0, 1_000_000)] == told


def test_withdrawn_and_later_votes_earn_nothing(log: VoteLog) -> None:
    names = log.agents(7)
    for name in names[:6]:
        log.vote(name, 1)
    log.vote(names[5], 1, 0)

    settle(log)
    log.vote(names[6], 1)
    settle(log)

    assert [(0, 0), (0, 0)] == [evidence(log, name) for name in names[5:]]


def test_what_was_not_kept_for_the_period_is_not_settled(log: VoteLog) -> None:
    names = log.agents(5)
    for name in names:
        log.vote(name, 1)
    log.wait(hours=20)
    for name in names[:3]:
        log.vote(name, 1, 0)
    log.wait(hours=1)
    for name in names[:3]:
        log.vote(name, 1)

    settle(log, hours=23)
    before = row(log, "settled")
    settle(log, hours=1)

    assert [0, 1] == [before, row(log, "settled")]


def test_a_fact_that_settles_the_other_way_takes_back_what_is_left(log: VoteLog) -> None:
    names = log.agents(12)
    for name in names[:4]:
        log.vote(name, 1)
    settle(log)
    given = [evidence(log, name) for name in names[:4]]
    log.wait(days=20)
    for name in names[4:]:
        log.vote(name, 1, -1)
    settle(log)

    # Twenty days later: 1.0 has faded to 0.925875 in both places, so that nothing is left of it.
    assert ("disputed", -1) == row(log, "verdict, settled")
    assert [[(1_000_000, 0)] * 4, [(0, 0)] * 4] == [given, [evidence(log, name) for name in names[:4]]]
    assert [(0, 0)] * 8 == [evidence(log, name) for name in names[4:]]


def test_untrusted_agents_together_weigh_a_quarter_of_the_vouched(log: VoteLog) -> None:
    sums = Sums(vouched_sum=4_000_000, vouched_abs=4_000_000, others_sum=-3_000_000, others_abs=3_000_000)

    assert 3_000_000 == tally.sigma_e6(sums, WEIGHTED)
    assert [-333_333, 333_333] == [tally.capped(part, sums, WEIGHTED) for part in (-1_000_001, 1_000_001)]


def test_a_person_resolves_at_once_and_counts_three(log: VoteLog) -> None:
    names = log.agents(2)
    log.vote(names[0], 1)
    log.vote(names[1], 1, -1)

    log.by_admin(events.FactResolved, fact=fact_id(1), fact_digest=digest_of(1), reason_digest=None, truth=1)
    once = [evidence(log, name) for name in names]
    log.by_admin(events.FactResolved, fact=fact_id(1), fact_digest=digest_of(1), reason_digest=None, truth=1)
    twice = [evidence(log, name) for name in names]
    log.by_admin(events.FactResolved, fact=fact_id(1), fact_digest=digest_of(1), reason_digest=None, truth=-1)
    turned = [evidence(log, name) for name in names]
    log.by_admin(events.FactResolved, fact=fact_id(1), fact_digest=digest_of(1), reason_digest=None, truth=0)
    opened = [evidence(log, name) for name in names]

    assert [(3_000_000, 0), (0, 3_000_000)] == once == twice
    assert [(0, 3_000_000), (3_000_000, 0)] == turned
    assert [(0, 0), (0, 0)] == opened


def test_a_resolution_takes_the_place_of_what_was_settled(log: VoteLog) -> None:
    names = log.agents(4)
    for name in names:
        log.vote(name, 1)
    settle(log)

    log.by_admin(events.FactResolved, fact=fact_id(1), fact_digest=digest_of(1), reason_digest=None, truth=-1)

    assert [(0, 3_000_000)] * 4 == [evidence(log, name) for name in names]
    assert (-1, None) == row(log, "resolved, due")


@pytest.mark.parametrize(
    ("before", "after", "weight", "vouched"),
    [
        ("trusted", "standard", STANDARD, 1),
        ("trusted", "untrusted", 0, 0),
        ("standard", "revoked", 0, 0),
        ("standard", "trusted", STANDARD, 1),
    ],
)
def test_votes_of_an_agent_whose_trust_is_lowered_count_with_less(
    log: VoteLog, before: str, after: str, weight: int, vouched: int
) -> None:
    log.agent("ann", before)
    log.vote("ann", 1)

    log.trust("ann", after)

    assert (weight, vouched) == log.tx.execute("SELECT weight_e6, vouched FROM vote_current").fetchone()
    assert weight == row(log, "sigma_e6")


def test_lowering_never_makes_a_vote_weigh_more(log: VoteLog) -> None:
    log.agent("ann", "trusted")
    log.vote("ann", 2)
    for truth in (-1,):
        log.by_admin(events.FactResolved, fact=fact_id(2), fact_digest=digest_of(2), reason_digest=None, truth=truth)
    weighed = log.vote("ann", 1).weight_e6  # Beta(9, 4): ln(9/4) = .810930

    log.trust("ann", "standard")

    assert 810_930 == weighed == row(log, "sigma_e6")


def test_a_later_promotion_leaves_earlier_votes_as_they_were(log: VoteLog) -> None:
    log.agent("ann", "untrusted")
    log.vote("ann", 1)

    log.trust("ann", "trusted")

    assert (0, 0) == log.tx.execute("SELECT weight_e6, vouched FROM vote_current").fetchone()
    assert TRUSTED == log.vote("ann", 1).weight_e6


def test_the_linear_rule_counts_tenths_and_settles_nothing(log: VoteLog) -> None:
    log.policy(LINEAR)
    names = log.agents(6, "untrusted")
    for name in names:
        log.vote(name, 1)

    settle(log)

    assert (16, "verified", None) == row(log, "tenths, verdict, due")
    assert 1.6 == tally.consensus_score(row(log, "sigma_e6"), row(log, "tenths"))


def test_another_policy_judges_every_fact_anew(log: VoteLog) -> None:
    for name in log.agents(3):
        log.vote(name, 1)

    log.policy(LINEAR)
    linear = row(log, "verdict, tenths, due")
    log.policy(WEIGHTED)

    assert ("none", 13, None) == linear
    assert ("verified", None, True) == (*row(log, "verdict, tenths"), row(log, "due") is not None)


def test_the_same_policy_again_leaves_what_is_due_as_it_was(log: VoteLog) -> None:
    for name in log.agents(4):
        log.vote(name, 1)
    due = row(log, "due")
    log.wait(hours=12)

    log.policy(WEIGHTED)

    assert due == row(log, "due")


def test_ledger_time_never_runs_back(log: VoteLog) -> None:
    log.agent("ann")
    later = log.at
    log.wait(hours=-5)

    assert later == log.vote("ann", 1).ts


@pytest.mark.parametrize("kind", ["vote", "agent", "trust"])
def test_only_the_admins_word_lets_a_month_go_by(log: VoteLog, kind: str) -> None:
    log.agent("ann")
    log.wait(days=31)

    with pytest.raises(ClockAhead):
        {
            "vote": lambda: log.vote("ann", 1),
            "agent": lambda: log.agent("bob"),
            "trust": lambda: log.trust("ann", "trusted"),
        }[kind]()
    log.policy(WEIGHTED)

    assert log.vote("ann", 1).weight_e6 == STANDARD


def test_a_key_is_valid_by_its_place_in_the_log(log: VoteLog) -> None:
    log.agent("ann")
    early = log.ballot("ann", 1)
    late = log.ballot("ann", 2)
    log.put(early)

    log.rotate("ann")

    with pytest.raises(KeyNotValid, match="was rotated"):
        log.put(late)
    assert log.put(early).repeated


def test_a_key_is_introduced_once(log: VoteLog) -> None:
    log.agent("ann")
    again = log.event(
        events.AgentRegistered, admin=None, agent="bob", custody="agent",
        key=bytes(log.keys["ann"].verify_key).hex(), projects=["*"], trust="untrusted",
    )  # fmt: skip

    with pytest.raises(Conflict, match="was in this log before"):
        log.put(log.signed(again, log.keys["ann"]))
