"""A process that stores, revises, forgets and imports until it is killed, and says what it was promised.

    writing_child.py FILE LIFE SEED [WRITES]

Each change is told twice, as JSON lines: `try` before it, `done` after it was acknowledged. With WRITES it kills itself
in the middle of that many writes to the disk, where no signal from outside would hit so precisely.
"""

import asyncio
import json
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import apsw

from cortex import settings
from cortex.app import App, app_on
from cortex.db.database import Database
from cortex.ops.context import Caller
from cortex.ops.facts import ForgetFact, NewFact, ReviseFact, StoreFact, StoreFacts
from cortex.ops.transfer import ImportFiles

IMPORT_LINES = 450


class FatalDisk(apsw.VFS):
    """A disk on which one write, or the sync after it, is the process's last."""

    def __init__(self, writes: int) -> None:
        super().__init__("fatal", "")
        self.left = writes

    def xOpen(self, name: Any, flags: Any) -> "_File":  # noqa: N802 - SQLite's name
        return _File(self, name, flags)

    def step(self) -> None:
        """Count down to the end."""
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class _File(apsw.VFSFile):
    def __init__(self, disk: FatalDisk, name: Any, flags: Any) -> None:
        super().__init__("", name, flags)
        self._disk = disk

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        if self._disk.left == 1:
            super().xWrite(bytes(data[: len(data) // 2]), offset)
        self._disk.step()
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        self._disk.step()
        super().xSync(flags)


def say(what: str, **told: Any) -> None:
    """One line, past every buffer."""
    os.write(1, json.dumps({what: told}).encode() + b"\n")


def application(path: Path, vfs: str | None = None) -> App:
    """An application that knows nothing of this machine; a checkpoint every 50 leaves."""
    flags = {"db": path, "home": path.parent / "home", "project": "tests", "agent": "child", "checkpoint_leaves": 50}
    chosen = settings.load(flags=flags, environ={"HOME": str(path.parent)}, cwd=path.parent)
    return app_on(Database.open(path, vfs=vfs), chosen, Caller(actor="child", face="python", project="tests"))


class _Life:
    def __init__(self, app: App, life: str, chance: random.Random, folder: Path) -> None:
        self.app = app
        self.life = life
        self.chance = chance
        self.folder = folder
        self.mine: list[str] = []
        self.count = 0

    def text(self) -> str:
        self.count += 1
        return f"life {self.life} text {self.count} " + "word " * self.chance.choice([1, 20, 300])

    async def store(self) -> None:
        text = self.text()
        say("try", add=[[text]])
        stored = await self.app.call(StoreFact(content=text))
        say("done", add={stored.id: text})
        self.mine.append(stored.id)

    async def store_together(self) -> None:
        texts = [self.text() for _ in range(6)]
        say("try", add=[[text] for text in texts])
        for stored, text in zip(
            await asyncio.gather(*(self.app.call(StoreFact(content=text)) for text in texts)), texts, strict=True
        ):
            say("done", add={stored.id: text})
            self.mine.append(stored.id)

    async def store_batch(self) -> None:
        texts = [self.text() for _ in range(5)]
        say("try", add=[texts])
        made = await self.app.call(StoreFacts(facts=[NewFact(content=text) for text in texts]))
        say("done", add={fact.id: text for fact, text in zip(made.facts, texts, strict=True)})
        self.mine += [fact.id for fact in made.facts]

    async def revise(self) -> None:
        fact_id, text = self.chance.choice(self.mine), self.text()
        say("try", change=fact_id, to=text)
        await self.app.call(ReviseFact(id=fact_id, content=text))
        say("done", change=fact_id, to=text)

    async def forget(self) -> None:
        fact_id = self.mine.pop(self.chance.randrange(len(self.mine)))
        say("try", change=fact_id, to=None)
        await self.app.call(ForgetFact(id=fact_id))
        say("done", change=fact_id, to=None)

    async def import_lines(self) -> None:
        file = self.folder / "lines.jsonl"
        say("try", lines=str(file))
        report = await self.app.call(ImportFiles(paths=[str(file)], format="jsonl"))
        say("done", lines=str(file), error=report.files[0].error)

    async def live(self) -> None:
        await self.store()
        while True:
            change = self.chance.choice([self.store, self.store_together, self.store_batch, self.revise, self.forget])
            if change == self.forget and len(self.mine) < 3:
                change = self.store
            await change()
            if self.chance.random() < 0.1:
                await self.import_lines()


def main() -> None:
    """Live until the end."""
    path, life, seed, *writes = sys.argv[1:]
    disk = FatalDisk(int(writes[0])) if writes else None
    app = application(Path(path), "fatal" if disk else None)
    asyncio.run(_Life(app, life, random.Random(seed), Path(path).parent).live())


if __name__ == "__main__":
    main()
