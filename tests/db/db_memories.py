"""Opening memories and files for the tests of the database layer, in this process and in others."""

import asyncio
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import apsw

from cortex import settings
from cortex.app import App, app_on
from cortex.db.database import Database
from cortex.errors import CortexError
from cortex.ledger.findings import Verification
from cortex.ops.context import Caller
from cortex.ops.ledger import VerifyLedger

T = TypeVar("T")

WAIT_SECONDS = 60


def settings_of(path: Path) -> settings.Settings:
    """Settings that know nothing of this machine."""
    flags = {"db": path, "home": path.parent / "home", "project": "tests", "agent": "tester"}
    return settings.load(flags=flags, environ={"HOME": str(path.parent)}, cwd=path.parent)


@contextmanager
def memory(path: Path, **options: Any) -> Iterator[App]:
    """An application on `path`, with options of `Database.open`."""
    chosen = settings_of(path)
    app = app_on(
        Database.open(path, **options), chosen, Caller(actor="tester", face="python", project="tests", alone=True)
    )
    try:
        yield app
    finally:
        app.close()


@contextmanager
def opened(path: Path, **options: Any) -> Iterator[Database]:
    """A database, closed in the end."""
    database = Database.open(path, **options)
    try:
        yield database
    finally:
        database.close()


def verified(path: Path) -> Verification:
    """What a verification of every pass finds in the file, opened anew."""
    with memory(path) as app:
        return asyncio.run(app.call(VerifyLedger()))


def contents(path: Path) -> list[str]:
    """The texts of what is believed in the file, in the order stored, by a plain connection."""
    connection = apsw.Connection(str(path))
    try:
        return [
            row[0] for row in connection.execute("SELECT content FROM revision WHERE retired_at IS NULL ORDER BY id")
        ]
    finally:
        connection.close()


def as_a_crash_leaves_it(path: Path, copy: Path) -> Path:
    """A copy of the files as they are on the disk now. Without -shm: shared memory does not outlive a machine."""
    for ending in ("", "-wal", ".key"):
        if Path(f"{path}{ending}").exists():
            shutil.copy(f"{path}{ending}", f"{copy}{ending}")
    return copy


def insert(name: str) -> Callable[[apsw.Connection], str]:
    """A small write: a project of this name."""

    def write(tx: apsw.Connection) -> str:
        tx.execute("INSERT INTO project (name) VALUES (?)", (name,))
        return name

    return write


def names(tx: apsw.Connection) -> list[str]:
    """The projects, in the order written."""
    return [row[0] for row in tx.execute("SELECT name FROM project ORDER BY id")]


class Gate:
    """A function of a transaction that waits inside the database's thread until it is let go."""

    def __init__(self) -> None:
        self._entered = threading.Event()
        self._released = threading.Event()

    def __call__(self, tx: apsw.Connection) -> str:
        tx.execute("SELECT count(*) FROM project").fetchall()
        self._entered.set()
        assert self._released.wait(WAIT_SECONDS)
        return "gate"

    async def entered(self) -> None:
        """Wait until the database's thread is inside."""
        assert await asyncio.to_thread(self._entered.wait, WAIT_SECONDS)

    def release(self) -> None:
        """Let it go on."""
        self._released.set()


async def outcomes(*running: Coroutine[Any, Any, Any]) -> list[Any]:
    """What each came to: its result, or its error."""
    return await asyncio.gather(*running, return_exceptions=True)


def kinds(results: list[Any]) -> list[str]:
    """The kind of each error; other results and errors by their type's name."""
    return [result.kind if isinstance(result, CortexError) else type(result).__name__ for result in results]


@contextmanager
def child(code: str, *argv: object) -> Iterator["subprocess.Popen[str]"]:
    """A Python process that runs `code`, talked to through its pipes; killed in the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, argv)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ.get("PATH", ""), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def said(process: "subprocess.Popen[str]") -> str:
    """The next line of a process."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def tell(process: "subprocess.Popen[str]", line: object = "") -> None:
    """Give a process a line."""
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
