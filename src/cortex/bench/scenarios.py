"""What is voted in the simulation of trust: agents, facts, a calendar, and who lies about what. Pure, from a seed.

Attackers know the truth of every fact and act as one. What the set-up leaves open is chosen in their favour.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

FACTS, FACTS_QUICK = 1_500, 150
SEEDS, SEEDS_QUICK = 8, 2
HONEST = 12
HONEST_VOTES = 5
ACCURACY = (0.65, 0.95)
LIARS = 4
TARGET_SHARE = 0.3

# A fact every 5 h 50 min 24 s: 1,500 in a year. Votes on it come within half a day, so that the settling period
# (24 hours) ends after the last of them, and several facts are open at a time.
FACT_EVERY_S = 21_024
VOTED_WITHIN_S = 43_200
_SLOW_S = 3 * 86_400

# Who votes first does so in the minute before the first honest vote can come, who votes last in the minute after.
_RUSH_S = 60

# So many camouflaged identities vote on a fact, others on the next: enough to fill the cap all the time. All of them on
# every fact get no further.
_CROWD = 100

_QUICK_ONE_IN = 10

Order = Literal["first", "mixed", "last"]
Bar = Literal["decided", "targets", ""]


@dataclass(frozen=True)
class Scenario:
    """Who attacks, and how. Liars have the trust of the honest agents (standard), identities are untrusted.

    `bar` says of what the rules promise a bound: the wrong ones of the decided facts, or of the targets.
    """

    name: str
    bar: Bar = ""
    liars: int = 0
    voting: tuple[int, ...] = (2, 3)
    order: Order = "mixed"
    everywhere: bool = False
    truthful_elsewhere: bool = False
    identities: int = 0
    camouflage: bool = False
    attack: Literal["after earning", "throughout"] = "after earning"
    honest_votes: int = HONEST_VOTES
    within_s: int = VOTED_WITHIN_S


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

    @property
    def vouched(self) -> tuple[str, ...]:
        """The agents of standard trust."""
        return (*self.honest, *self.liars)


def scenarios(*, quick: bool) -> dict[str, Scenario]:
    """Every scenario by its key, in the order in which they are shown; with fewer identities if `quick`."""
    few, many = (each // _QUICK_ONE_IN if quick else each for each in (200, 1_000))
    return {"nobody": Scenario("nobody attacks")} | _liars() | _identities(few, many) | _limits()


def _liars() -> dict[str, Scenario]:
    orders: tuple[Order, ...] = ("first", "mixed", "last")
    found = {}
    for place, everywhere in (("each target", False), ("every fact", True)):
        for order in orders:
            told = "among the others" if order == "mixed" else order
            found[f"liars on {place}, {order}"] = Scenario(
                f"2 or 3 of 4 liars on {place}, voting {told}",
                bar="decided",
                liars=LIARS,
                order=order,
                everywhere=everywhere,
            )
    return found


def _identities(few: int, many: int) -> dict[str, Scenario]:
    return {
        "new": Scenario(f"{few:,} new identities", bar="decided", identities=few),
        "few camouflaged": Scenario(f"{few:,} camouflaged identities", bar="targets", identities=few, camouflage=True),
        "many camouflaged": Scenario(
            f"{many:,} camouflaged identities", bar="targets", identities=many, camouflage=True
        ),
        "always": Scenario(
            f"{many:,} camouflaged identities, attacking from the first day on",
            bar="targets",
            identities=many,
            camouflage=True,
            attack="throughout",
        ),
    }  # fmt: skip


def _limits() -> dict[str, Scenario]:
    """Attacks that the rules are known not to withstand: by people who were vouched for. No bar."""
    truthful = "2 or 3 of 4 liars on each target, truthful elsewhere"
    return {
        "all on targets": Scenario("limit: 4 of 4 liars on each target", liars=LIARS, voting=(4,)),
        "all everywhere": Scenario("limit: 4 of 4 liars on every fact", liars=LIARS, voting=(4,), everywhere=True),
        "truthful": Scenario(f"limit: {truthful}", liars=LIARS, truthful_elsewhere=True),
        "more honest": Scenario(
            f"limit: {truthful}, 8 honest votes a fact", liars=LIARS, truthful_elsewhere=True, honest_votes=8
        ),
        "slow": Scenario(
            "limit: 2 or 3 of 4 liars on every fact, voting first, honest votes within 3 days",
            liars=LIARS,
            order="first",
            everywhere=True,
            within_s=_SLOW_S,
        ),
    }


def world(scenario: Scenario, seed: int, facts: int) -> World:
    """The facts and agents of a scenario. The facts of a seed are the same in all, and the honest votes mostly."""
    source = _source(seed, "world")
    truth = tuple(source.choice((1, -1)) for _ in range(facts))
    count = facts if scenario.everywhere else round(facts * TARGET_SHARE)
    spread = source.sample(range(facts), count)
    earned_first = scenario.camouflage and scenario.attack == "after earning"
    return World(
        truth=truth,
        targets=frozenset(range(facts - count, facts) if earned_first else spread),
        honest=_names("honest", HONEST),
        liars=_names("liar", scenario.liars),
        identities=_names("identity", scenario.identities),
    )


def votes(scenario: Scenario, known: World, seed: int) -> list[Voting]:
    """All votes, in the order of their times."""
    found = [
        *_honest(scenario, known, _source(seed, "honest")),
        *_lies(scenario, known, _source(seed, "liars")),
        *_crowd(scenario, known, _source(seed, "identities")),
    ]
    return sorted(found, key=lambda voting: voting.at_s)


def _honest(scenario: Scenario, known: World, source: random.Random) -> Iterator[Voting]:
    low, high = ACCURACY
    for fact, truth in enumerate(known.truth):
        for place in source.sample(range(HONEST), scenario.honest_votes):
            right = source.random() < low + (high - low) * place / (HONEST - 1)
            at_s = _moment(source, fact, "mixed", scenario.within_s)
            yield Voting(at_s, fact, known.honest[place], truth if right else -truth)


def _lies(scenario: Scenario, known: World, source: random.Random) -> Iterator[Voting]:
    if not known.liars:
        return
    for fact, truth in enumerate(known.truth):
        lying = fact in known.targets
        if lying or scenario.truthful_elsewhere:
            for name in source.sample(known.liars, source.choice(scenario.voting)):
                at_s = _moment(source, fact, scenario.order, scenario.within_s)
                yield Voting(at_s, fact, name, -truth if lying else truth)


def _crowd(scenario: Scenario, known: World, source: random.Random) -> Iterator[Voting]:
    """The votes of identities: all of them on each target, or, camouflaged, some of them on each fact."""
    share = min(1.0, _CROWD / len(known.identities)) if scenario.camouflage else 1.0
    for fact, truth in enumerate(known.truth):
        lying = fact in known.targets
        if lying or scenario.camouflage:
            for name in known.identities:
                if source.random() < share:
                    at_s = _moment(source, fact, scenario.order, scenario.within_s)
                    yield Voting(at_s, fact, name, -truth if lying else truth)


def _moment(source: random.Random, fact: int, order: Order, within_s: int) -> float:
    begun = fact * FACT_EVERY_S
    drawn = source.random()
    match order:
        case "first":
            return begun + _RUSH_S * (drawn - 1)
        case "mixed":
            return begun + within_s * drawn
        case "last":
            return begun + within_s + _RUSH_S * drawn


def _names(kind: str, count: int) -> tuple[str, ...]:
    return tuple(f"{kind}-{number}" for number in range(count))


def _source(seed: int, what: str) -> random.Random:
    return random.Random(f"cortex benchmark: trust, {what}, {seed}")  # noqa: S311 - repeatable, not secret
