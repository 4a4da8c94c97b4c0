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

GROUPS = ("honest", "liar", "identity")
_LOOKS = 48
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_ORIGIN = "cortex/votes/0000000000000000/0000000000000000"
# Apply does not look at signatures: what is let in is for those who receive events to say.
_SIGNATURE = bytes(events.SIGNATURE_BYTES)
_ADMIN = hashlib.sha256(b"admin").hexdigest()


class Verdicts(Struct, frozen=True, kw_only=True):
    """What the facts came to by one rule."""

    facts: int
    decided: int
    wrong: int
    targets: int
    targets_decided: int
    targets_wrong: int


class Look(Struct, frozen=True, kw_only=True):
    """The mean reputation of each group of agents on a day."""

    day: float
    means: dict[str, float]


class Outcome(Struct, frozen=True, kw_only=True):
    """One run of a scenario. `linear` is the same votes judged by the linear rule."""

    scenario: str
    seed: int
    weighted: Verdicts
    linear: Verdicts
    history: list[Look]


def simulate(scenario: Scenario, seed: int, facts: int = scenarios.FACTS) -> Outcome:
    """All votes of a scenario through apply, in the order of time, and what they came to."""
    world = scenarios.world(scenario, seed, facts)
    with _log(world) as (tx, log):
        history = _cast(tx, log, world, scenarios.votes(scenario, world, seed))
        weighted = _verdicts(tx, world)
        _apply(tx, log, PolicySet(at=log.ts, id=_id(1 << 60), key=_ADMIN, log=_ORIGIN, policy=policy.LINEAR, v=1))
        linear = _verdicts(tx, world)
    return Outcome(scenario=scenario.name, seed=seed, weighted=weighted, linear=linear, history=history)


@contextmanager
def _log(world: World) -> Iterator[tuple[Tx, Log]]:
    """A votes log in memory with its agents."""
    tx = apsw.Connection(":memory:")
    try:
        # One transaction, never rolled back: a journal would hold every page a second time.
        tx.execute("PRAGMA journal_mode = OFF").fetchall()
        tx.execute("BEGIN")
        migrate.apply(tx, migrate.shipped())
        at = _time(-1.0 * 86_400)
        genesis = Genesis(at=at, id=_id(0), key=_ADMIN, log=_ORIGIN, policy=policy.WEIGHTED, v=1, vkey="simulation")
        rules.start(tx, Signed(genesis, (_SIGNATURE,)), at)
        log = logs.needed(tx)
        for name in (*world.honest, *world.liars, *world.identities):
            _apply(tx, log, _registration(name, at, vouched=name not in world.identities[:1] and not name.startswith("identity")))
        yield tx, log
    finally:
        tx.close()


def _registration(name: str, at: str, *, vouched: bool) -> AgentRegistered:
    return AgentRegistered(
        admin=_ADMIN,
        agent=name,
        at=at,
        custody="agent",
        id=_digest(name)[:8] + "-0000-7000-8000-" + _digest(name)[8:20],
        key=_digest(name),
        log=_ORIGIN,
        projects=["*"],
        trust="standard" if vouched else "untrusted",
        v=1,
    )


def _cast(tx: Tx, log: Log, world: World, votes: Sequence[Voting]) -> list[Look]:
    facts = [(_id(1 << 40 | number), _digest(f"fact {number}")) for number in range(len(world.truth))]
    keys = {name: _digest(name) for name in (*world.honest, *world.liars, *world.identities)}
    looks = iter([votes[-1].at_s * part / _LOOKS for part in range(_LOOKS + 1)])
    due = next(looks)
    history = []
    for number, (at_s, fact, agent, vote) in enumerate(votes, 1):
        if at_s >= due:
            history.append(_look(tx, due))
            due = next(looks, float("inf"))
        at = _time(at_s)
        ballot = Ballot(
            agent=agent, at=at, author="author", fact=facts[fact][0], fact_digest=facts[fact][1], id=_id(number),
            key=keys[agent], log=_ORIGIN, reason_digest=None, v=1, vote=vote,
        )  # fmt: skip
        rules.apply(tx, log, Signed(ballot, (_SIGNATURE,)), at)
    return history


def _apply(tx: Tx, log: Log, event: Event) -> None:
    rules.apply(tx, log, Signed(event, (_SIGNATURE,) * len(events.signers(event))), event.at)


def _verdicts(tx: Tx, world: World) -> Verdicts:
    found: dict[str, str] = dict(tx.execute("SELECT fact, verdict FROM vote_tally"))
    signs = {"verified": 1, "disputed": -1}
    said = [signs.get(found.get(_id(1 << 40 | number), "none"), 0) for number in range(len(world.truth))]
    wrong = {number for number, truth in enumerate(world.truth) if said[number] == -truth}
    decided = {number for number, sign in enumerate(said) if sign}
    return Verdicts(
        facts=len(said),
        decided=len(decided),
        wrong=len(wrong),
        targets=len(world.targets),
        targets_decided=len(decided & world.targets),
        targets_wrong=len(wrong & world.targets),
    )


def _look(tx: Tx, at_s: float) -> Look:
    day = judging.day_of(_time(at_s))
    rows: list[Any] = tx.execute("SELECT name, level, for_e6, against_e6, day FROM vote_agent").fetchall()
    groups: dict[str, list[int]] = {}
    for row in rows:
        agent = judging.Agent(*row)
        left = judging.evidence(agent, policy.WEIGHTED, day)
        shown = reputation.reputation_e6(policy.WEIGHTED, agent.level, *left)
        groups.setdefault(agent.name.partition("-")[0], []).append(shown)
    means = {group: sum(shown) / len(shown) / 1e6 for group, shown in groups.items()}
    return Look(day=round(at_s / 86_400, 3), means=means)


def _time(at_s: float) -> str:
    return times.canonical(_BEGIN + timedelta(seconds=at_s))


def _id(number: int) -> str:
    return ids.dashed(f"{number:032x}")


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
