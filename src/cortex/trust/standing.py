"""Reading what votes came to: the standing of a text, each vote with its weight, and why a weight is zero."""

import typing
from dataclasses import dataclass
from typing import Any

from cortex.db.connect import Tx
from cortex.trust import judging, policy, reputation, tally
from cortex.trust.log import Log
from cortex.trust.policy import Policy
from cortex.trust.reputation import UNIT
from cortex.trust.tally import Sums, Verdict

# What people are told to do about a weight of nothing.
VOUCHING = "`cortex agent trust` vouches for it"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a text of a fact stands. `sigma` in units of weight; `missing` says what a verdict still lacks."""

    verdict: Verdict
    resolved: bool
    consensus_score: float
    sigma: float
    rule: str
    since: str | None
    due: str | None
    missing: list[str]
    sums: Sums


@dataclass(frozen=True, slots=True)
class HeldVote:
    """What an agent holds of a text now. Weights in units; `contribution` is what it adds to the sum."""

    agent: str
    level: str
    vote: int
    weight: float
    contribution: float
    why_zero: str | None
    custody: str
    at: str
    entry: int
    event_id: str


def of(tx: Tx, log: Log | None, fact: str, digest: bytes) -> Standing:
    """The standing of a text; that of one that nobody voted on where there is no tally."""
    rules = policy.decode(log.policy) if log is not None else policy.WEIGHTED
    row: Any = tx.execute(_STANDING, (fact, digest)).fetchone()
    if row is None:
        sums = Sums()
        sigma, tenths, verdict = tally.judge(sums, rules)
        score = tally.consensus_score(sigma, tenths)
        missing = tally.missing(sums, rules)
        return Standing(
            verdict,
            resolved=False,
            consensus_score=score,
            sigma=0.0,
            rule=rules.rule,
            since=None,
            due=None,
            missing=missing,
            sums=sums,
        )
    sums = Sums(*row[:8])
    sigma, tenths, verdict, since, due, resolved = row[8:]
    return Standing(
        verdict=shown(verdict, resolved),
        resolved=resolved != 0,
        consensus_score=tally.consensus_score(sigma, tenths, resolved),
        sigma=sigma / UNIT,
        rule=rules.rule,
        since=since,
        due=due,
        missing=[] if resolved else tally.missing(sums, rules),
        sums=sums,
    )


def told(text: str) -> tuple[Verdict, bool, float]:
    """What a reader is told of a tally, from its verdict, resolution, sum and tenths as one text."""
    verdict, resolved, sigma, tenths = text.split(" ")
    truth = int(resolved)
    score = tally.consensus_score(int(sigma), int(tenths) if tenths else None, truth)
    return shown(typing.cast("Verdict", verdict), truth), truth != 0, score


def shown(verdict: Verdict, resolved: int) -> Verdict:
    """The verdict that readers see: what a person resolved stands before what the votes say."""
    if resolved:
        return "verified" if resolved > 0 else "disputed"
    return verdict


def cast(log: Log, vote: int, weight_e6: int, level: str, sums: Sums) -> tuple[float, float, str | None]:
    """Weight and contribution in units, and why they are nothing, of a vote that was just counted in `sums`."""
    rules = policy.decode(log.policy)
    return _weighed(rules, sums, vote, weight_e6, weight_e6, level, vouched=level in policy.VOUCHED, counted=1)


def held(tx: Tx, log: Log, fact: str, digest: bytes, limit: int) -> list[HeldVote]:
    """The current votes on a text, those that were cast first at the beginning."""
    rules = policy.decode(log.policy)
    sums = judging.vouching(tx, fact, digest)
    rows: list[Any] = tx.execute(_HELD, (fact, digest, limit)).fetchall()
    return [_held(row, rules, sums) for row in rows]


def one(tx: Tx, log: Log, fact: str, digest: bytes, agent: str) -> HeldVote | None:
    """What one agent holds of a text."""
    row: Any = tx.execute(_HELD_BY, (fact, digest, agent)).fetchone()
    return None if row is None else _held(row, policy.decode(log.policy), judging.vouching(tx, fact, digest))


def _held(row: Any, rules: Policy, sums: Sums) -> HeldVote:
    agent, vote, weight, vouched, counted, leaf, level, written, at, event_id, custody = row
    told = _weighed(rules, sums, vote, weight, written, level, vouched=bool(vouched), counted=counted)
    return HeldVote(agent, level, vote, *told, custody, at, leaf, event_id)


def _weighed(
    rules: Policy, sums: Sums, vote: int, weight: int, written: int, level: str, *, vouched: bool, counted: int
) -> tuple[float, float, str | None]:
    if rules.rule == "linear":
        part, weight = vote * counted * UNIT // 10, counted * UNIT // 10
        why = None if weight else "the agent was revoked"
    else:
        part = vote * weight if vouched else tally.capped(vote * weight, sums, rules)
        why = _why_zero(level, weight, written, vouched)
    return weight / UNIT, part / UNIT, "the vote was withdrawn" if vote == 0 else why


def _why_zero(level: str, weight: int, written: int, vouched: bool) -> str | None:
    """Why a vote weighs nothing, in words; None where it weighs something."""
    if weight > 0:
        return None
    if level == "revoked":
        return "the agent was revoked"
    if written > 0:
        return "the agent's trust was lowered after this vote"
    if not vouched and level in policy.VOUCHED:
        return "it was cast before an admin vouched for the agent: vote again"
    if level == "untrusted":
        return f"nobody vouches for the agent and it has not earned a weight: {VOUCHING}"
    return "the agent was wrong as often as right"


@dataclass(frozen=True, slots=True)
class AgentStanding:
    """An agent as it stands now: reputation from .05 to .95, and what its next vote would weigh, in units."""

    name: str
    level: str
    reputation: float
    weight: float
    evidence_for: float
    evidence_against: float
    since: str


def agent(tx: Tx, log: Log, name: str, now: str) -> AgentStanding:
    """The standing of an agent at a time. Raises NotFound for an unknown one."""
    rules = policy.decode(log.policy)
    found = judging.agent(tx, name)
    pro, con = judging.evidence(found, rules, judging.day_of(max(now, log.ts)))
    since: Any = tx.execute("SELECT since FROM vote_agent WHERE name = ?", (name,)).fetchone()
    return AgentStanding(
        name=name,
        level=found.level,
        reputation=reputation.reputation_e6(rules, found.level, pro, con) / UNIT,
        weight=_next_weight(rules, found.level, pro, con) / UNIT,
        evidence_for=pro / UNIT,
        evidence_against=con / UNIT,
        since=since[0],
    )


def _next_weight(rules: Policy, level: str, pro: int, con: int) -> int:
    """What the next vote of an agent weighs by the rule in force; none of a revoked one is taken."""
    if rules.rule == "linear":
        return 0 if level == "revoked" else UNIT // 10
    return reputation.weight_e6(rules, level, pro, con)


_STANDING = (
    "SELECT vouched_sum, vouched_abs, others_sum, others_abs, vouched_pro, vouched_con, counted_pro, counted_con,"
    " sigma_e6, tenths, verdict, since, due, resolved FROM vote_tally WHERE fact = ? AND digest = ?"
)
_HELD_COLUMNS = (
    "SELECT c.agent, c.vote, c.weight_e6, c.vouched, c.counted, c.leaf, a.level, l.weight_e6, l.timestamp, l.event_id,"
    " k.custody FROM vote_current AS c JOIN vote_agent AS a ON a.name = c.agent"
    " JOIN vote_ledger AS l ON l.id = c.leaf + 1 JOIN vote_key AS k ON k.public = l.key"
)
_HELD = f"{_HELD_COLUMNS} WHERE c.fact = ? AND c.digest = ? ORDER BY c.leaf LIMIT ?"
_HELD_BY = f"{_HELD_COLUMNS} WHERE c.fact = ? AND c.digest = ? AND c.agent = ?"
