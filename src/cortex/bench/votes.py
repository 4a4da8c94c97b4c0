"""Voting through the operations, as everybody does: what a vote costs, and how many agents at once come to."""

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import Any

from cortex import limits
from cortex.app import App
from cortex.bench import corpus, figures, stage
from cortex.bench.clock import Lap
from cortex.bench.figures import Figure
from cortex.bench.task import Task
from cortex.db.connect import Tx, integer
from cortex.ops.balloting import NewVote
from cortex.ops.votes import CastVote, CastVotes

VOTERS = 32
_EXPECTED_OVERHEAD_MS = 0.3
_EXPECTED_VOTES_PER_SECOND = 5_000
_ROUNDS, _ROUNDS_QUICK = 5, 2
_ALONE, _ALONE_QUICK = 200, 20
_EACH, _EACH_QUICK = 100, 5


def probe(task: Task) -> list[Figure]:
    """Votes one by one, many agents at once, and in batches, in one file of few facts."""
    rounds = _ROUNDS_QUICK if task.quick else _ROUNDS
    alone, each = (_ALONE_QUICK, _EACH_QUICK) if task.quick else (_ALONE, _EACH)
    return stage.run(task.path / "voting.db", lambda app: _figures(app, rounds, alone, each))


async def _figures(app: App, rounds: int, alone: int, each: int) -> list[Figure]:
    needed = max(alone, each) * (rounds + 1)
    await stage.store(app, corpus.facts(needed, label="votes"))
    facts: list[str] = await app.context.database.read(_facts)
    await app.context.database.write(lambda tx: tx.execute(_PLAIN).fetchall())
    found = await _one_by_one(app, facts, rounds, alone)
    found += await _at_once(app, facts, rounds, each)
    return found + await _batches(app, facts, rounds)


async def _one_by_one(app: App, facts: Sequence[str], rounds: int, alone: int) -> list[Figure]:
    """Votes, and plain inserts of the rows that they became, each in a transaction of its own by the same writer."""
    votes, inserts = [], []
    for number in range(rounds + 1):
        chosen = facts[number * alone : (number + 1) * alone]
        with Lap() as voting:
            for fact in chosen:
                await app.call(CastVote(id=fact, vote=1, agent="alone"))
        rows: list[Any] = await app.context.database.read(partial(_last, count=len(chosen)))
        with Lap() as inserting:
            for row in rows:
                await app.context.database.write(partial(_insert, row=row))
        votes.append(voting.cpu_ms / alone)
        inserts.append(inserting.cpu_ms / alone)
    # The first round opens connections and makes the log and the agent's key.
    votes, inserts = votes[1:], inserts[1:]
    over = [vote - insert for vote, insert in zip(votes, inserts, strict=True)]
    return [
        figures.measured("vote one by one: CPU per vote", "ms", votes),
        figures.measured("plain insert of the same row: CPU", "ms", inserts),
        figures.measured(
            "vote one by one: CPU beyond a plain insert", "ms", over, figures.below(_EXPECTED_OVERHEAD_MS)
        ),
    ]  # fmt: skip


async def _at_once(app: App, facts: Sequence[str], rounds: int, each: int) -> list[Figure]:
    """Agents that vote at the same time, each on one fact after the other, waiting for each answer."""
    names = [f"voter-{number}" for number in range(VOTERS)]
    await asyncio.gather(*(app.call(CastVote(id=facts[0], vote=1, agent=name)) for name in names))
    speeds: list[float] = []
    ids: list[str] = []

    async def vote(agent: str, chosen: Sequence[str]) -> None:
        for fact in chosen:
            counted = await app.call(CastVote(id=fact, vote=1, agent=agent))
            ids.append(counted.vote_id)

    for number in range(rounds):
        chosen = facts[1 + number * each : 1 + (number + 1) * each]
        started = time.perf_counter()
        await asyncio.gather(*(vote(name, chosen) for name in names))
        speeds.append(VOTERS * len(chosen) / (time.perf_counter() - started))
    name = f"{VOTERS} voters at once"
    kept = await app.context.database.read(lambda tx: sum(_times(tx, one) == 1 for one in ids))
    return [
        figures.measured(name, "votes/s", speeds, figures.at_least(_EXPECTED_VOTES_PER_SECOND)),
        figures.measured(
            f"{name}: acknowledged votes that are there once", "votes", [kept], figures.at_least(len(ids))
        ),
    ]  # fmt: skip


async def _batches(app: App, facts: Sequence[str], rounds: int) -> list[Figure]:
    size = min(limits.VOTES_BATCH_MAX, len(facts))
    speeds = []
    for number in range(rounds + 1):
        votes = [NewVote(id=fact, vote=1, agent=f"batch-{number}") for fact in islice(facts, size)]
        started = time.perf_counter()
        await app.call(CastVotes(votes=votes))
        speeds.append(size / (time.perf_counter() - started))
    return [figures.measured(f"a batch of {size:,} votes", "votes/s", speeds[1:])]


def _facts(tx: Tx) -> list[str]:
    return [str(row[0]) for row in tx.execute("SELECT id FROM fact ORDER BY id")]


def _last(tx: Tx, count: int) -> list[Any]:
    return tx.execute("SELECT * FROM vote_ledger ORDER BY id DESC LIMIT ?", (count,)).fetchall()


def _insert(tx: Tx, row: tuple[Any, ...]) -> None:
    tx.execute(f"INSERT INTO plain_leaf VALUES ({', '.join('?' * len(row))})", row)


def _times(tx: Tx, vote_id: str) -> int:
    return integer(tx, "SELECT count(*) FROM vote_ledger WHERE event_id = ?", (vote_id,))


# The columns of a leaf, and none of its indexes and triggers.
_PLAIN = "CREATE TABLE plain_leaf AS SELECT * FROM vote_ledger LIMIT 0"
