"""What votes come to in the tables: tallies, verdicts, settling, and the evidence that agents earn. Part of apply."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from cortex import times
from cortex.db.connect import Tx
from cortex.errors import NotFound
from cortex.trust import reputation, tally
from cortex.trust.events import Ballot
from cortex.trust.policy import VOUCHED, Policy
from cortex.trust.reputation import UNIT
from cortex.trust.tally import Sums

_LAST = times.parse(times.LAST)
_DECIDED = {"verified": 1, "disputed": -1}


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent as the log has it. Evidence in millionths, beside the prior of its level, as it was on the day."""

    name: str
    level: str
    for_e6: int
    against_e6: int
    day: int

    @property
    def vouched(self) -> bool:
        """Whether an admin vouched for it."""
        return self.level in VOUCHED


@dataclass(slots=True)
class _Tally:
    """A row of vote_tally."""

    fact: str
    digest: bytes
    sums: Sums
    sigma_e6: int
    tenths: int | None
    verdict: str
    since: str
    due: str | None
    settled: int
    resolved: int
    there: bool = True


def day_of(ts: str) -> int:
    """Whole days since 1970-01-01 UTC."""
    return times.micros(ts) // times.DAY_MICROS


def agent(tx: Tx, name: str) -> Agent:
    """An agent by its name. Raises NotFound for a name that was never registered."""
    row: Any = tx.execute(
        "SELECT name, level, for_e6, against_e6, day FROM vote_agent WHERE name = ?", (name,)
    ).fetchone()
    if row is None:
        raise NotFound(f"there is no agent {name}", "`cortex agent add` registers one")
    return Agent(*row)


def evidence(found: Agent, rules: Policy, day: int) -> tuple[int, int]:
    """What is left on a day of the evidence for and against an agent."""
    days = day - found.day
    return (
        reputation.faded(found.for_e6, days, rules.half_life_days),
        reputation.faded(found.against_e6, days, rules.half_life_days),
    )


def cast(tx: Tx, rules: Policy, ballot: Ballot, weight: int, *, vouched: bool, leaf: int, ts: str) -> None:
    """Put a vote in the place of its agent's vote before it, and judge the text of the fact by it."""
    digest = bytes.fromhex(ballot.fact_digest)
    row = _tally(tx, ballot.fact, digest)
    before: Any = None
    if row.there:
        before = tx.execute(
            "SELECT vote, weight_e6, vouched, counted FROM vote_current WHERE fact = ? AND digest = ? AND agent = ?",
            (ballot.fact, digest, ballot.agent),
        ).fetchone()
    if before is not None:
        row.sums.add(before[0], before[1], vouched=bool(before[2]), counted=bool(before[3]), times=-1)
    row.sums.add(ballot.vote, weight, vouched=vouched, counted=True)
    tx.execute(
        "INSERT OR REPLACE INTO vote_current (fact, digest, agent, vote, weight_e6, vouched, own, counted, leaf)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?)",
        (ballot.fact, digest, ballot.agent, ballot.vote, weight, vouched, ballot.agent == ballot.author, leaf),
    )
    _judge(tx, rules, row, ts)


def lower(tx: Tx, rules: Policy, name: str, level: str, ts: str) -> None:
    """Let the votes of an agent count with what its new level begins with, where that is less."""
    revoked = level == "revoked"
    vouched = level in VOUCHED
    most = reputation.weight_e6(rules, level, 0, 0) if vouched else 0
    rows: list[Any] = tx.execute(
        "SELECT fact, digest, vote, weight_e6, vouched, counted FROM vote_current WHERE agent = ?"
        " ORDER BY fact, digest",
        (name,),
    ).fetchall()
    for fact, digest, vote, weight, was_vouched, counted in rows:
        row = _tally(tx, fact, digest)
        row.sums.add(vote, weight, vouched=bool(was_vouched), counted=bool(counted), times=-1)
        after = (min(weight, most), vouched and bool(was_vouched), bool(counted) and not revoked)
        row.sums.add(vote, after[0], vouched=after[1], counted=after[2])
        tx.execute(
            "UPDATE vote_current SET weight_e6 = ?, vouched = ?, counted = ?"
            " WHERE fact = ? AND digest = ? AND agent = ?",
            (*after, fact, digest, name),
        )
        _judge(tx, rules, row, ts)


def judge_all(tx: Tx, rules: Policy, ts: str) -> None:
    """Judge every tally anew, by another policy."""
    keys: list[Any] = tx.execute("SELECT fact, digest FROM vote_tally ORDER BY fact, digest").fetchall()
    for fact, digest in keys:
        _judge(tx, rules, _tally(tx, fact, digest), ts)


def settle_due(tx: Tx, rules: Policy, ts: str) -> None:
    """Settle what stayed verified or disputed for the settling period, in the order in which it fell due."""
    rows: list[Any] = tx.execute(
        "SELECT fact, digest, due FROM vote_tally WHERE due <= ? ORDER BY due, fact, digest", (ts,)
    ).fetchall()
    for fact, digest, due in rows:
        row = _tally(tx, fact, digest)
        decided = _DECIDED[row.verdict]
        day = day_of(due)
        if row.settled == 0:
            _judge_voters(tx, rules, row, None, UNIT, day)
        elif row.settled != decided:
            _take_back(tx, rules, fact, digest, day)
        tx.execute(
            "UPDATE vote_tally SET due = NULL, settled = ? WHERE fact = ? AND digest = ?", (decided, fact, digest)
        )


def resolve(tx: Tx, rules: Policy, fact: str, digest: bytes, truth: int, ts: str) -> None:
    """Let a person's word stand: 1, -1, or 0 for taking it back."""
    row = _tally(tx, fact, digest)
    if truth == row.resolved:
        return
    day = day_of(ts)
    _take_back(tx, rules, fact, digest, day)
    row.resolved = truth
    if truth:
        _judge_voters(tx, rules, row, truth, rules.resolve * UNIT, day)
    _judge(tx, rules, row, ts)


def _judge_voters(tx: Tx, rules: Policy, row: _Tally, truth: int | None, amount: int, day: int) -> None:
    """Add to the evidence of those who voted: by `truth`, or each by what the other vouched agents say."""
    voters: list[Any] = tx.execute(
        "SELECT agent, vote, weight_e6, vouched FROM vote_current WHERE fact = ? AND digest = ? AND vote <> 0"
        " AND own = 0 ORDER BY agent",
        (row.fact, row.digest),
    ).fetchall()
    for name, vote, weight, vouched in voters:
        others = row.sums.vouched_sum - (vote * weight if vouched else 0)
        if truth is None and abs(others) <= rules.judge_e6:
            continue
        agreed = 1 if vote * (others if truth is None else truth) > 0 else -1
        _add_evidence(tx, rules, name, agreed, amount, day)
        tx.execute(
            "INSERT OR REPLACE INTO vote_judged (fact, digest, agent, agreed, amount_e6, day)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (row.fact, row.digest, name, agreed, amount, day),
        )


def _take_back(tx: Tx, rules: Policy, fact: str, digest: bytes, day: int) -> None:
    """Take back what is left of what was added for votes on a text."""
    rows: list[Any] = tx.execute(
        "SELECT agent, agreed, amount_e6, day FROM vote_judged WHERE fact = ? AND digest = ? AND amount_e6 > 0"
        " ORDER BY agent",
        (fact, digest),
    ).fetchall()
    for name, agreed, amount, since in rows:
        left = reputation.faded(amount, day - since, rules.half_life_days)
        _add_evidence(tx, rules, name, agreed, -left, day)
    tx.execute("UPDATE vote_judged SET amount_e6 = 0 WHERE fact = ? AND digest = ?", (fact, digest))


def _add_evidence(tx: Tx, rules: Policy, name: str, agreed: int, amount: int, day: int) -> None:
    pro, con = evidence(agent(tx, name), rules, day)
    if agreed > 0:
        pro = max(0, pro + amount)
    else:
        con = max(0, con + amount)
    tx.execute("UPDATE vote_agent SET for_e6 = ?, against_e6 = ?, day = ? WHERE name = ?", (pro, con, day, name))


def _tally(tx: Tx, fact: str, digest: bytes) -> _Tally:
    row: Any = tx.execute(_TALLY, (fact, digest)).fetchone()
    if row is None:
        return _Tally(fact, digest, Sums(), 0, None, "none", "", None, 0, 0, there=False)
    return _Tally(fact, digest, Sums(*row[:8]), *row[8:])


def _judge(tx: Tx, rules: Policy, row: _Tally, ts: str) -> None:
    """Write a tally with its verdict and with when that is due to be settled."""
    sigma, tenths, verdict = tally.judge(row.sums, rules)
    row.due = _due(rules, row, verdict, ts)
    if verdict != row.verdict or not row.there:
        row.since = ts
    row.sigma_e6, row.tenths, row.verdict = sigma, tenths, verdict
    sums = row.sums
    tx.execute(
        _WRITE,
        (
            row.fact, row.digest, sums.vouched_sum, sums.vouched_abs, sums.others_sum, sums.others_abs,
            sums.vouched_pro, sums.vouched_con, sums.counted_pro, sums.counted_con, sigma, tenths, verdict, row.since,
            row.due, row.settled, row.resolved,
        ),
    )  # fmt: skip


def _due(rules: Policy, row: _Tally, verdict: str, ts: str) -> str | None:
    """When a verdict is to be settled: it goes on waiting while it stays, and is settled once."""
    if verdict not in _DECIDED or row.resolved or rules.rule == "linear":
        return None
    if verdict == row.verdict and (row.due is not None or row.settled == _DECIDED[verdict]):
        return row.due
    begun = times.parse(ts)
    # A log of another node may have any time: what falls due after the last one is due then.
    return times.canonical(begun + min(timedelta(seconds=rules.settle_s), _LAST - begun))


def vouching(tx: Tx, fact: str, digest: bytes) -> Sums:
    """The sums over the current votes on a text."""
    return _tally(tx, fact, digest).sums


_COLUMNS = (
    "vouched_sum, vouched_abs, others_sum, others_abs, vouched_pro, vouched_con, counted_pro, counted_con, sigma_e6,"
    " tenths, verdict, since, due, settled, resolved"
)
_TALLY = f"SELECT {_COLUMNS} FROM vote_tally WHERE fact = ? AND digest = ?"
_WRITE = (
    f"INSERT OR REPLACE INTO vote_tally (fact, digest, {_COLUMNS})"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
