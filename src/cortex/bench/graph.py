"""Reading the graph of entities: three hops round one, a path between two, and how long finding them in facts takes."""

import asyncio
import itertools
import random
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from cortex.app import App
from cortex.bench import corpus, figures, stage
from cortex.bench.clock import Lap
from cortex.bench.figures import Figure
from cortex.bench.task import Task
from cortex.db.connect import Tx
from cortex.memory import entities
from cortex.ops.graph import FindPath, ListEntities, ShowGraph
from cortex.ops.registry import Request

# Half of all facts mention this one.
HUB = "Acme"

_SEED = "cortex benchmark: graph"
_VERBS = ("uses", "depends on", "replaces", "calls", "is part of", "came after", "is slower than", "and")
_TAGS = ("billing", "shipping", "search", "infra")
_HOPS = 3
_BATCH = 100
_FACTS_PER_NAME = 5
_EXPECTED_MS = 5.0
_EXPECTED_DERIVING_MS = 15.0


def facts(count: int) -> Iterator[corpus.Text]:
    """`count` facts of one project about names, a few of which stand in many facts and most in few."""
    source = random.Random(_SEED)  # noqa: S311 - repeatable, not secret
    known = names(count)
    weights = list(itertools.accumulate(1 / place for place in range(3, len(known) + 3)))
    for _ in range(count):
        chosen = source.choices(range(len(known)), cum_weights=weights, k=3)
        one, two, three = (known[number] for number in chosen)
        # Two names are mostly related in one way.
        verb = _VERBS[(chosen[0] + 3 * chosen[1]) % len(_VERBS)]
        hub = f" at {HUB}" if source.random() < 0.5 else ""
        text = f"We said that {one} {verb} {two} since {three} was moved{hub}, see src/{one.lower()}.py"
        yield corpus.Text(corpus.project(0), text)


def names(count: int) -> list[str]:
    """The names that `count` facts are about, the most frequent first."""
    source = random.Random(f"{_SEED}: names")  # noqa: S311 - repeatable, not secret
    made: dict[str, None] = {}
    while len(made) < max(_BATCH, count // _FACTS_PER_NAME):
        syllables = (source.choice("bdfgklmnprstvz") + source.choice("aeiou") for _ in range(source.randint(2, 4)))
        made["".join(syllables).capitalize()] = None
    return list(made)


def probe(task: Task) -> list[Figure]:
    """All of it in a file of `task.size` facts."""
    with stage.opened(task.path / f"graph-{task.size}.db") as app, asyncio.Runner() as loop:
        loop.run(stage.store(app, facts(task.size)))
        while loop.run(app.call(ListEntities(limit=1))).pending:
            pass
        return _figures(app, loop, task)


def _figures(app: App, loop: asyncio.Runner, task: Task) -> list[Figure]:
    known = names(task.size)
    # The hub, the frequent ones, and those that few facts mention.
    asked = [HUB, *known[:10], *known[_BATCH // 2 : _BATCH // 2 + 20]][: 5 if task.quick else None]
    around = [ShowGraph(entity=name, depth=_HOPS) for name in asked]
    paths = [FindPath(start=one, end=two) for one, two in itertools.pairwise(asked)]
    rounds = 2 if task.quick else 5
    name = f"graph of {task.size:,} facts"
    size = min(_BATCH, task.size)
    deriving = [loop.run(app.context.database.write(partial(_derived_again, size))) for _ in range(rounds)]
    return [
        figures.measured(
            f"{name}, {_HOPS} hops: p50", "ms", _laps(app, loop, around, rounds, 50),
            figures.below(_EXPECTED_MS) if task.size == 10_000 else None,
        ),
        figures.measured(f"{name}, {_HOPS} hops: p95", "ms", _laps(app, loop, around, rounds, 95)),
        figures.measured(f"{name}, path between two: p50", "ms", _laps(app, loop, paths, rounds, 50)),
        figures.measured(
            f"find the entities of {size} facts: CPU", "ms", deriving,
            figures.below(_EXPECTED_DERIVING_MS) if size == _BATCH else None,
        ),
    ]  # fmt: skip


def _laps(app: App, loop: asyncio.Runner, requests: Sequence[Request[Any]], rounds: int, percent: int) -> list[float]:
    """What so many percent of the questions take at most, round by round."""
    found = []
    for _ in range(rounds):
        laps = []
        for request in requests:
            with Lap() as lap:
                loop.run(app.call(request))
            laps.append(lap.wall_ms)
        found.append(figures.percentile(laps, percent))
    return found


def _derived_again(count: int, tx: Tx) -> float:
    """CPU milliseconds for the entities of the last `count` facts, which are taken out before."""
    last = [row[0] for row in tx.execute("SELECT id FROM revision ORDER BY id DESC LIMIT ?", (count,))]
    for row_id in last:
        entities.remove(tx, row_id)
    with Lap() as lap:
        entities.derive(tx, last)
    return lap.cpu_ms
