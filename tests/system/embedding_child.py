"""A process that stores turns and embeds them until it is killed.

    embedding_child.py FILE LIFE SEED [WRITES]

Says `embedded` after each time that everything was. With WRITES it kills itself in the middle of that many writes to
the disk.
"""

import asyncio
import random
import sys
from pathlib import Path

from writing_child import FatalDisk, say

from cortex import settings
from cortex.app import App, app_on
from cortex.db.database import Database
from cortex.embed.stub import WordEmbedder
from cortex.ops.context import Caller
from cortex.ops.embed import EmbedFacts
from cortex.ops.facts import ForgetFact, NewFact, RetractFact, ReviseFact, StoreFacts


def application(path: Path, vfs: str | None = None) -> App:
    """An application with an embedder that knows nothing of this machine."""
    flags = {"db": path, "home": path.parent / "home", "project": "tests", "agent": "child"}
    chosen = settings.load(flags=flags, environ={"HOME": str(path.parent)}, cwd=path.parent)
    caller = Caller(actor="child", face="python", project="tests")
    return app_on(Database.open(path, vfs=vfs), chosen, caller, embedder=WordEmbedder(64))


async def live(app: App, life: str, chance: random.Random) -> None:
    """Store, change and embed without end."""
    mine: list[str] = []
    for number in range(10**9):
        texts = [
            f"life {life} turn {number} {n} " + "word " * chance.choice([1, 30, 400])
            for n in range(chance.randint(1, 12))
        ]
        new = [NewFact(content=text, thread=f"talk {life}", seq=chance.randint(0, 50)) for text in texts]
        mine += [fact.id for fact in (await app.call(StoreFacts(facts=new))).facts]
        if chance.random() < 0.5:
            await app.call(ReviseFact(id=chance.choice(mine), content=f"life {life} revised {number}"))
        if chance.random() < 0.3:
            await app.call(RetractFact(id=mine.pop(chance.randrange(len(mine)))))
        if len(mine) > 1 and chance.random() < 0.3:
            await app.call(ForgetFact(id=mine.pop(chance.randrange(len(mine)))))
        if chance.random() < 0.7:
            await app.call(EmbedFacts())
            say("embedded")


def main() -> None:
    """Live until the end."""
    path, life, seed, *writes = sys.argv[1:]
    disk = FatalDisk(int(writes[0])) if writes else None
    app = application(Path(path), "fatal" if disk else None)
    asyncio.run(live(app, life, random.Random(seed)))


if __name__ == "__main__":
    main()
