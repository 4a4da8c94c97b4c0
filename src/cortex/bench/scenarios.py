"""What is voted in the simulation of trust: agents, facts, a calendar, and who lies about what. Pure, from a seed.

Attackers know the truth of every fact and act together. Where a choice was left, it is theirs.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, NamedTuple

FACTS = 1_500
HONEST = 12
ACCURACY = (0.65, 0.95)
HONEST_VOTES = 5
LIARS = 4
LIARS_VOTING = (2, 3)
TARGET_SHARE = 0.3

# A fact every 5 h 50 min 24 s: 1,500 in a year. Honest votes come within half a day of it, so that the settling period
# (24 hours) ends after them, and several facts are open at a time.
FACT_EVERY_S = 21_024
VOTED_WITHIN_S = 43_200
# Liars who come first are there within a minute, those who come last in the minute after the last honest vote.
_RUSH_S = 60

# How many of the facts that it does not attack an identity votes on to be believed. It takes about forty settled facts
# for the most weight that there is.
CAMOUFLAGE_SHARE = 0.1

Order = Literal["first", "mixed", "last"]


@dataclass(frozen=True)
class Scenario:
    """Who attacks, and how. Identities are untrusted, liars have the trust of the honest."""

    name: str
    liars: int = 0
    voting: Sequence[int] = LIARS_VOTING
    order: Order = "mixed"
    everywhere: bool = False
    identities: int = 0
    camouflage: bool = False


class Voting(NamedTuple):
    """One vote: when, in seconds from the beginning, on which fact, by whom."""

    at_s: float
    fact: int
    agent: str
    vote: int


@dataclass(frozen=True)
class World:
    """The facts with their truth (1 or -1), which of them are attacked, and who there is."""

    truth: tuple[int, ...]
    targets: frozenset[int]
    honest: tuple[str, ...]
    liars: tuple[str, ...]
    identities: tuple[str, ...]


_LIARS_FIRST = Scenario("4 liars, 2 or 3 on each target, voting first", liars=LIARS, order="first")
_LIARS_MIXED = Scenario("4 liars, 2 or 3 on each target, voting among the others", liars=LIARS, order="mixed")
_LIARS_LAST = Scenario("4 liars, 2 or 3 on each target, voting last", liars=LIARS, order="last")
SCENARIOS = MappingProxyType(
    {
        "liars first": _LIARS_FIRST,
        "liars mixed": _LIARS_MIXED,
        "liars last": _LIARS_LAST,
    }
)


def world(scenario: Scenario, seed: int, facts: int = FACTS) -> World:
    """The facts and agents of a scenario. Facts and honest votes are the same in every scenario of a seed."""
    source = _source(seed, "world")
    truth = tuple(source.choice((1, -1)) for _ in range(facts))
    count = facts if scenario.everywhere else round(facts * TARGET_SHARE)
    spread = source.sample(range(facts), count)
    # Who earns reputation first attacks at the end.
    targets = spread
    if scenario.camouflage and WHEN=="end": targets=range(facts-count,facts)
    if scenario.camouflage and WHEN=="half": targets=source.sample(range(facts//2,facts),count)
    return World(
        truth=truth,
        targets=frozenset(targets),
        honest=_names("honest", HONEST),
        liars=_names("liar", scenario.liars),
        identities=_names("identity", scenario.identities),
    )


def votes(scenario: Scenario, world: World, seed: int) -> list[Voting]:
    """All votes, in the order of their times."""
    found = [*_honest(world, seed), *_lies(scenario, world, seed), *_crowd(scenario, world, seed)]
    return sorted(found, key=lambda vote: vote.at_s)


def accuracy(place: int) -> float:
    """How often the honest agent of this place is right."""
    low, high = ACCURACY
    return low + (high - low) * place / (HONEST - 1)


def _honest(world: World, seed: int) -> Iterator[Voting]:
    source = _source(seed, "honest")
    for fact, truth in enumerate(world.truth):
        for place in source.sample(range(HONEST), HONEST_VOTES):
            right = source.random() < accuracy(place)
            yield Voting(_moment(source, fact), fact, world.honest[place], truth if right else -truth)


def _lies(scenario: Scenario, world: World, seed: int) -> Iterator[Voting]:
    """Liars vote on every fact: with the truth, where they do not attack, since that is what they are believed for."""
    if not scenario.liars:
        return
    source = _source(seed, "liars")
    for fact, truth in enumerate(world.truth):
        lying = fact in world.targets
        if MODE == "silent" and not lying:
            continue
        for name in source.sample(world.liars, source.choice(scenario.voting)):
            yield Voting(_turn(source, scenario.order, fact), fact, name, -truth if lying else truth)


MODE = "truthful"
WHEN="end"


def _crowd(scenario: Scenario, world: World, seed: int) -> Iterator[Voting]:
    source = _source(seed, "crowd")
    for fact, truth in enumerate(world.truth):
        if fact in world.targets:
            for name in world.identities:
                yield Voting(_moment(source, fact), fact, name, -truth)
        elif scenario.camouflage:
            for name in world.identities:
                if source.random() < CAMOUFLAGE_SHARE:
                    yield Voting(_moment(source, fact), fact, name, truth)


def _turn(source: random.Random, order: Order, fact: int) -> float:
    begun = fact * FACT_EVERY_S
    match order:
        case "first":
            return begun + _RUSH_S * (source.random() - 1)
        case "mixed":
            return _moment(source, fact)
        case "last":
            return begun + VOTED_WITHIN_S + _RUSH_S * source.random()


def _moment(source: random.Random, fact: int) -> float:
    return fact * FACT_EVERY_S + VOTED_WITHIN_S * source.random()


def _names(kind: str, count: int) -> tuple[str, ...]:
    return tuple(f"{kind}-{number}" for number in range(count))


def _source(seed: int, what: str) -> random.Random:
    return random.Random(f"cortex benchmark: trust, {what}, {seed}")  # noqa: S311 - repeatable, not secret
