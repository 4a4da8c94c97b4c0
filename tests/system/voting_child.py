"""A process that votes until it is killed: it prints each vote that was acknowledged."""

import asyncio
import json
import random
import sys
from pathlib import Path

from writing_child import application

from cortex.ids import uuid7
from cortex.ops.votes import CastVote

AGENTS = 4
TOGETHER = 8


async def run(path: Path, name: str, facts: list[str]) -> None:
    app = application(path)
    chance = random.Random(name)
    number = 0
    while True:
        requests = [
            CastVote(
                id=chance.choice(facts),
                vote=chance.choice((1, -1, 0)),
                agent=f"{name}-{chance.randrange(AGENTS)}",
                vote_id=uuid7(number * 1_000 + at),
            )
            for at in range(TOGETHER)
        ]
        number += 1
        for counted in await asyncio.gather(*(app.call(request) for request in requests)):
            told = {"id": counted.vote_id, "entry": counted.entry, "hash": counted.hash, "repeated": counted.repeated}
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
