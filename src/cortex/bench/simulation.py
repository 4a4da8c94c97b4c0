"""Running a scenario of the simulation through the rules as they are: `trust.apply` on a database in memory."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import apsw
from msgspec import Struct

from cortex import ids, times
from cortex.bench import scenarios
from cortex.bench.scenarios import Scenario, Voting, World
from cortex.db import migrate
from cortex.db.connect import Tx
from cortex.trust import apply as rules
from cortex.trust import events, judging, policy, reputation
from cortex.trust import log as logs
from cortex.trust.events import AgentRegistered, Ballot, Event, Genesis, PolicySet, Signed
from cortex.trust.log import Log

_LOOKS = 48
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_DAY_S = 86_400
_ORIGIN = "cortex/votes/0000000000000000/0000000000000000"
_AUTHOR = "author"  # votes on nothing, so every voter may earn by every vote
# Apply looks at no signature: whoever receives an event has done so.
_SIGNATURE = bytes(events.SIGNATURE_BYTES)
_SIGNS = {"verified": 1, "disputed": -1}


class Verdicts(Struct, frozen=True, kw_only=True):
    """What the facts came to at the end, by one rule. Decided is verified or disputed."""

    facts: int
    decided: int
    wrong: int
    targets: int
    targets_decided: int
    targets_wrong: int


class Look(Struct, frozen=True, kw_only=True):
    """The mean reputation of each group of agents at a time."""

    day: float
    means: dict[str, float]


class SimulatedRun(Struct, frozen=True, kw_only=True):
    """One run of a scenario. `linear` is what the same votes come to by the linear rule."""

    scenario: str
    seed: int
    weighted: Verdicts
    linear: Verdicts
    history: list[Look]


def simulate(scenario: Scenario, seed: int, facts: int) -> SimulatedRun:
    """All votes of a scenario through apply, in the order of time, and what they came to."""
    world = scenarios.world(scenario, seed, facts)
    with _begun(world) as (tx, log):
        history = _cast(tx, log, world, scenarios.votes(scenario, world, seed))
        weighted = _verdicts(tx, world)
        # The linear rule has no past: judged by it at the end is the same as judged by it all along.
        _apply(tx, log, PolicySet(at=log.ts, id=_id("policy", 0), key=_key("admin"), log=_ORIGIN, policy=policy.LINEAR,
                                  v=1))  # fmt: skip
        linear = _verdicts(tx, world)
    return SimulatedRun(scenario=scenario.name, seed=seed, weighted=weighted, linear=linear, history=history)


@contextmanager
def _begun(world: World) -> Iterator[tuple[Tx, Log]]:
    """A votes log in memory, a day before the first vote, with its agents."""
    tx = apsw.Connection(":memory:")
    try:
        # One transaction that is never rolled back: a journal would keep what nobody asks for.
        tx.execute("PRAGMA journal_mode = OFF").fetchall()
        tx.execute("BEGIN")
        migrate.apply(tx, migrate.shipped())
        at = _time(-_DAY_S)
        genesis = Genesis(
            at=at, id=_id("genesis", 0), key=_key("admin"), log=_ORIGIN, policy=policy.WEIGHTED, v=1, vkey="simulated"
        )
        rules.start(tx, Signed(genesis, (_SIGNATURE,)), at)
        log = logs.needed(tx)
        for number, name in enumerate((*world.vouched, *world.identities)):
            trust: policy.Level = "standard" if number < len(world.vouched) else "untrusted"
            _apply(tx, log, AgentRegistered(
                admin=_key("admin"), agent=name, at=at, custody="agent", id=_id("agent", number), key=_key(name),
                log=_ORIGIN, projects=["*"], trust=trust, v=1,
            ))  # fmt: skip
        yield tx, log
    finally:
        tx.close()


def _cast(tx: Tx, log: Log, world: World, votes: Sequence[Voting]) -> list[Look]:
    """Apply the votes; what the reputations were on the way."""
    facts = [(_id("fact", number), _key(f"fact {number}")) for number in range(len(world.truth))]
    keys = {name: _key(name) for name in (*world.vouched, *world.identities)}
    history = [_look(tx, 0.0)]
    for number, (at_s, fact, agent, vote) in enumerate(votes):
        due_s = votes[-1].at_s * len(history) / _LOOKS
        if at_s >= due_s:
            history.append(_look(tx, due_s))
        at = _time(at_s)
        ballot = Ballot(
            agent=agent, at=at, author=_AUTHOR, fact=facts[fact][0], fact_digest=facts[fact][1],
            id=_id("vote", number), key=keys[agent], log=_ORIGIN, reason_digest=None, v=1,
            vote=1 if vote > 0 else -1,
        )  # fmt: skip
        rules.apply(tx, log, Signed(ballot, (_SIGNATURE,)), at)
    return history


def _apply(tx: Tx, log: Log, event: Event) -> None:
    rules.apply(tx, log, Signed(event, (_SIGNATURE,) * len(events.signers(event))), event.at)


def _verdicts(tx: Tx, world: World) -> Verdicts:
    found: dict[str, str] = dict(tx.execute("SELECT fact, verdict FROM vote_tally"))
    decided, wrong = set(), set()
    for number, truth in enumerate(world.truth):
        sign = _SIGNS.get(found.get(_id("fact", number), "none"), 0)
        if sign:
            decided.add(number)
        if sign == -truth:
            wrong.add(number)
    return Verdicts(
        facts=len(world.truth),
        decided=len(decided),
        wrong=len(wrong),
        targets=len(world.targets),
        targets_decided=len(decided & world.targets),
        targets_wrong=len(wrong & world.targets),
    )


def _look(tx: Tx, at_s: float) -> Look:
    """The reputations as they would weigh at a time."""
    day = judging.day_of(_time(at_s))
    rows: list[Any] = tx.execute("SELECT name, level, for_e6, against_e6, day FROM vote_agent").fetchall()
    groups: dict[str, list[int]] = {}
    for row in rows:
        agent = judging.Agent(*row)
        shown = reputation.reputation_e6(policy.WEIGHTED, agent.level, *judging.evidence(agent, policy.WEIGHTED, day))
        groups.setdefault(agent.name.partition("-")[0], []).append(shown)
    means = {group: round(sum(shown) / len(shown) / reputation.UNIT, 6) for group, shown in groups.items()}
    return Look(day=round(at_s / _DAY_S, 3), means=means)


def _time(at_s: float) -> str:
    return times.canonical(_BEGIN + timedelta(seconds=at_s))


_SPACES = {"genesis": 0, "policy": 1, "agent": 2, "fact": 3, "vote": 4}


def _id(kind: str, number: int) -> str:
    return ids.dashed(f"{_SPACES[kind] << 96 | number:032x}")


def _key(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
