"""Storing: one by one, in batches, and many at once, each acknowledged only when it is on the disk."""

import asyncio
import time
from itertools import islice

from cortex.app import App
from cortex.bench import corpus, figures, stage
from cortex.bench.clock import Lap
from cortex.bench.figures import Figure
from cortex.bench.task import Task
from cortex.ops.facts import StoreFact, StoreFacts

BATCH = 100
AT_ONCE = 64

ADD_CPU = ("add one by one: CPU per fact", "ms")
ADD_WALL = ("add one by one: wall per fact", "ms")
BATCH_CPU = (f"add a batch of {BATCH}: CPU", "ms")
BATCH_WALL = (f"add a batch of {BATCH}: wall", "ms")

_WAVES = 5


def probe(task: Task) -> list[Figure]:
    """All of it on files that are empty at first."""
    adds, rounds = sizes(quick=task.quick)
    found = stage.run(task.path / "stores.db", lambda app: _one_by_one(app, adds, rounds))
    with stage.opened(task.path / "shared.db") as shared, stage.opened(task.path / "each.db", batch_size=1) as each:
        return found + asyncio.run(at_once(shared, each, rounds, ""))


def sizes(*, quick: bool) -> tuple[int, int]:
    """How many adds make a round, and how many rounds there are."""
    return (20, 3) if quick else (200, 5)


async def _one_by_one(app: App, adds: int, rounds: int) -> list[Figure]:
    texts = corpus.facts((adds + BATCH) * rounds + BATCH, label="adds")
    await stage.store(app, islice(texts, BATCH))  # opens the connections, makes the log
    alone, batches = [], []
    for _ in range(rounds):
        chosen = list(islice(texts, adds))
        with Lap() as lap:
            for text in chosen:
                await app.call(StoreFact(content=text.content, project=text.project))
        alone.append(lap)
        batch = stage.new_facts(islice(texts, BATCH))
        with Lap() as lap:
            await app.call(StoreFacts(facts=batch))
        batches.append(lap)
    return [
        figures.measured(*ADD_CPU, [lap.cpu_ms / adds for lap in alone], figures.at_most(0.5)),
        figures.measured(*ADD_WALL, [lap.wall_ms / adds for lap in alone]),
        figures.measured(*BATCH_CPU, [lap.cpu_ms for lap in batches], figures.below(5)),
        figures.measured(*BATCH_WALL, [lap.wall_ms for lap in batches]),
    ]


async def at_once(shared: App, each: App, rounds: int, where: str) -> list[Figure]:
    """The two in turns, so that what else the machine does falls on both; `where` goes into the names."""
    texts = corpus.facts((2 * rounds + 2) * _WAVES * AT_ONCE, label="at once")
    together, apart = [], []
    for number in range(rounds + 1):
        together.append(await _throughput(shared, list(islice(texts, _WAVES * AT_ONCE))))
        apart.append(await _throughput(each, list(islice(texts, _WAVES * AT_ONCE))))
        if number == 0:
            together.clear()  # the first round opens files and fills caches
            apart.clear()
    ratios = [one / other for one, other in zip(together, apart, strict=True)]
    name = f"{AT_ONCE} stores at once{where}"
    return [
        figures.measured(name, "facts/s", together),
        figures.measured(f"{name}, one commit each", "facts/s", apart),
        figures.measured(f"{name}: shared commits against one each", "times", ratios, figures.at_least(5)),
    ]


async def _throughput(app: App, texts: list[corpus.Text]) -> float:
    started = time.perf_counter()
    for first in range(0, len(texts), AT_ONCE):
        wave = texts[first : first + AT_ONCE]
        await asyncio.gather(*(app.call(StoreFact(content=text.content, project=text.project)) for text in wave))
    return len(texts) / (time.perf_counter() - started)
