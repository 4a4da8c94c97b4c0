"""Several processes that store in one file at the same time: how long it takes, and whether everything is kept."""

import subprocess
import sys
import time

import msgspec

from cortex.app import App
from cortex.bench import corpus, figures, stage
from cortex.bench.figures import Figure
from cortex.bench.task import Task
from cortex.db.connect import integer
from cortex.ops.facts import StoreFact
from cortex.ops.ledger import VerifyLedger

PROCESSES = 8
_FILE = "processes.db"


def probe(task: Task) -> list[Figure]:
    """Start the processes, let all of them go at once, count what is in the file afterwards."""
    stores = _stores(task)
    texts = list(corpus.facts(1, label="first"))
    stage.run(task.path / _FILE, lambda app: stage.store(app, texts))
    wall = _race(task)
    kept, intact = stage.run(task.path / _FILE, _kept)
    name = f"{PROCESSES} processes storing {stores} facts each in one file"
    return [
        figures.measured(f"{name}: wall", "s", [wall]),
        figures.measured(
            f"{name}: kept", "facts", [kept - len(texts)], figures.at_least(PROCESSES * stores),
            note="" if intact else "the ledger does not verify",
        ),
    ]  # fmt: skip


def write(task: Task) -> list[Figure]:
    """One of the processes: says that it is ready, waits for a line, stores."""
    texts = list(corpus.facts(_stores(task), label=f"process {task.size}"))

    async def store(app: App) -> None:
        for text in texts:
            await app.call(StoreFact(content=f"{text.content} ({task.size})", project=text.project))

    with stage.opened(task.path / _FILE) as app:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        if sys.stdin.readline():
            stage.go(app, store)
    return []


def _race(task: Task) -> float:
    writers = [_writer(task, number) for number in range(PROCESSES)]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.readline()
    started = time.perf_counter()
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b"go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate()
    return time.perf_counter() - started


def _writer(task: Task, number: int) -> subprocess.Popen[bytes]:
    told = Task(probe="write", folder=task.folder, quick=task.quick, size=number)
    return subprocess.Popen(  # noqa: S603 - our own worker
        [sys.executable, "-m", "cortex.bench.worker", msgspec.json.encode(told).decode()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


async def _kept(app: App) -> tuple[int, bool]:
    count = await app.context.database.read(lambda tx: integer(tx, "SELECT count(*) FROM fact"))
    return count, (await app.call(VerifyLedger())).ok


def _stores(task: Task) -> int:
    return 10 if task.quick else 100
