"""Disks that fill up and fail: what was acknowledged stays, what was refused is nowhere, and the ledger holds."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest
from db_memories import (
    Gate,
    as_a_crash_leaves_it,
    child,
    contents,
    insert,
    kinds,
    memory,
    names,
    opened,
    outcomes,
    said,
    verified,
)
from faulty_disk import FOR_GOOD, Disk, Failure

from cortex import limits
from cortex.app import App
from cortex.errors import Unavailable
from cortex.ops.facts import NewFact, StoreFact, StoreFacts

# Enough for every write of the batch below.
WRITES = 72


class _Told:
    """What the callers were told of each text."""

    def __init__(self) -> None:
        self.acknowledged: list[str] = []
        self.refused: list[str] = []
        self.unknown: list[str] = []

    def take(self, texts: list[str], result: Any) -> None:
        """Sort the texts of one request by its outcome."""
        if not isinstance(result, BaseException):
            self.acknowledged += texts
        elif "outcome unknown" in str(result):
            self.unknown += texts
        else:
            assert kinds([result]) == ["unavailable"], repr(result)
            self.refused += texts

    def check(self, path: Path) -> None:
        """Compare with what is in the file, opened anew, and verify its ledger."""
        found = contents(path)
        report = verified(path)

        assert len(set(found)) == len(found)
        assert [] == sorted(set(self.acknowledged) - set(found)), "acknowledged, but gone"
        assert [] == sorted(set(found) - set(self.acknowledged) - set(self.unknown)), "refused, but there"
        assert ([], True) == (report.findings, report.ok)


async def _round(app: App, number: int, told: _Told) -> None:
    """One batch: a write that holds the others up until all are queued, four facts, and a request of several."""
    gate = Gate()
    texts = [[f"round {number} fact {n} " + "word " * 40] for n in range(4)]
    texts.append([f"round {number} part {n} " + "word " * 40 for n in range(12)])
    requests: list[Any] = [StoreFact(content=text) for (text,) in texts[:4]]
    requests.append(StoreFacts(facts=[NewFact(content=text) for text in texts[4]]))
    holding = asyncio.create_task(app.context.database.write(gate))
    await gate.entered()
    running = asyncio.gather(*(app.call(request) for request in requests), return_exceptions=True)
    await asyncio.sleep(0)
    gate.release()
    for stored, result in zip(texts, await running, strict=True):
        told.take(stored, result)
    await outcomes(holding)


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside-a-reader"])
@pytest.mark.parametrize("times", [1, 2, 3, FOR_GOOD], ids=["once", "twice", "thrice", "for-good"])
@pytest.mark.parametrize("error", [apsw.FullError, apsw.IOError], ids=["full", "io"])
@pytest.mark.parametrize("operation", ["write", "sync"])
def test_no_failure_of_the_disk_loses_what_was_acknowledged_or_keeps_what_was_refused(
    path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch, operation: str, error: Failure, times: int, beside: bool
) -> None:
    monkeypatch.setattr(limits, "BATCH_WORK_MS", 60_000)
    told = _Told()
    points = range(1, WRITES if operation == "write" else 6)
    failures = 0

    with memory(path, vfs=disk.name) as app:
        asyncio.run(_round(app, 0, told))
        if beside:
            asyncio.run(app.context.database.read(names))
        for number in points:
            disk.fail(operation, number, error, times=times)
            asyncio.run(_round(app, number, told))
            failures += disk.failed
            disk.mend()
            if number % 8 == times % 8 or operation == "sync":
                told.check(as_a_crash_leaves_it(path, path.with_name(f"crash-{number}.db")))
        asyncio.run(_round(app, WRITES, told))

    told.check(path)
    assert failures > (0 if operation == "sync" else len(points) // 2)
    assert len(told.refused) + len(told.unknown) > 0
    assert f"round {WRITES} fact 3 " + "word " * 40 in told.acknowledged, "a mended disk is used again"


@contextmanager
def _small_cache(app: App) -> Iterator[None]:
    """Let the writer put pages into the log in the middle of a transaction."""
    asyncio.run(app.context.database.write(lambda tx: tx.execute("PRAGMA cache_size = 5").fetchall()))
    yield


@pytest.mark.parametrize("error", [apsw.FullError, apsw.IOError], ids=["full", "io"])
def test_a_disk_that_fails_in_the_middle_of_a_transaction_fails_the_whole_batch_at_most(
    path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch, error: Failure
) -> None:
    monkeypatch.setattr(limits, "BATCH_WORK_MS", 60_000)
    told = _Told()
    failures = 0

    with memory(path, vfs=disk.name) as app:
        asyncio.run(_round(app, 0, told))
        for number in range(1 + (error is apsw.IOError), 160, 4):
            with _small_cache(app):
                disk.fail("write", number, error)
                asyncio.run(_round(app, number, told))
            failures += disk.failed
            disk.mend()
            told.check(as_a_crash_leaves_it(path, path.with_name(f"crash-{number}.db")))

    told.check(path)
    assert failures > 5
    assert len(told.refused) > 0


def test_a_failed_commit_that_cannot_be_looked_up_is_called_unknown(path: Path, disk: Disk) -> None:
    with memory(path, vfs=disk.name) as app:
        asyncio.run(app.call(StoreFact(content="before")))
        disk.fail("sync", 1, apsw.IOError, times=FOR_GOOD)

        result = asyncio.run(outcomes(app.call(StoreFact(content="unknown"))))

        disk.mend()
        asyncio.run(app.call(StoreFact(content="after")))
    assert ["unavailable"] == kinds(result)
    assert "outcome unknown" in str(result[0])
    assert "look whether the change is there before trying again" in str(result[0])
    assert {"before", "after"} <= set(contents(path)) <= {"before", "unknown", "after"}
    assert verified(path).ok


CRASHES = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import apsw
from db_memories import memory
from faulty_disk import Disk
from cortex.errors import CortexError
from cortex.ops.facts import StoreFact

disk = Disk("faulty")
with memory(Path(sys.argv[2]), vfs="faulty") as app:
    asyncio.run(app.call(StoreFact(content="acknowledged")))
    disk.fail(sys.argv[3], int(sys.argv[4]), apsw.IOError)
    try:
        asyncio.run(app.call(StoreFact(content="tried")))
        print("acknowledged", flush=True)
    except CortexError as error:
        print(error, flush=True)
    os._exit(1)
"""


@pytest.mark.parametrize(("operation", "number"), [("sync", 1), ("sync", 2), ("write", 2), ("write", 5), ("write", 9)])
def test_a_crash_right_after_a_failed_commit_does_not_bring_the_refused_write_back(
    path: Path, operation: str, number: int
) -> None:
    with child(CRASHES, Path(__file__).parent, path, operation, number) as process:
        answer = said(process)
        process.wait()

    expected = ["acknowledged", "tried"] if answer == "acknowledged" else ["acknowledged"]
    assert "outcome unknown" not in answer
    assert expected == contents(path)
    assert verified(path).ok


def test_a_full_file_refuses_what_does_not_fit_and_takes_what_does(path: Path) -> None:
    with memory(path) as app:
        database = app.context.database
        pages = asyncio.run(database.write(lambda tx: tx.execute("PRAGMA page_count").fetchall()))[0][0]
        asyncio.run(database.write(lambda tx: tx.execute(f"PRAGMA max_page_count = {pages + 12}").fetchall()))
        requests = [
            StoreFact(content="small one"),
            StoreFact(content="large " * 40_000),
            StoreFact(content="small two"),
        ]

        async def run() -> list[Any]:
            return await outcomes(*(app.call(request) for request in requests))

        results = asyncio.run(run())

        assert "unavailable" == results[1].kind
        assert "no space left" in str(results[1])
        again = kinds(asyncio.run(run()))
    told = [text for text, result in zip(("small one", "", "small two"), again, strict=True) if result == "StoredFact"]
    assert set(told) <= set(contents(path)) <= {"small one", "small two"}
    assert verified(path).ok


LIMITED = """
import asyncio, resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from db_memories import memory
from cortex.errors import CortexError
from cortex.ops.facts import StoreFact

with memory(Path(sys.argv[2])) as app:
    asyncio.run(app.call(StoreFact(content="the first")))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in range(20, 400, 20):
        grown = max(file.stat().st_size for file in Path(sys.argv[2]).parent.glob("memory.db*"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (grown + room * 1024, hard))
        try:
            while True:
                text = f"room {room} " + "word " * 200 + str(grown := grown + 1)
                asyncio.run(app.call(StoreFact(content=text)))
                print("stored", text, flush=True)
        except CortexError as error:
            print(error.kind, text, flush=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
"""


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX")
def test_a_limit_of_the_system_on_the_files_size_is_survived(path: Path) -> None:
    with child(LIMITED, Path(__file__).parent, path) as process:
        lines = process.communicate(timeout=60)[0].splitlines()

    stored = [line.removeprefix("stored ") for line in lines if line.startswith("stored ")]
    refused = [line.removeprefix("unavailable ") for line in lines if line.startswith("unavailable ")]
    assert (0, 19) == (process.returncode, len(refused))
    assert ["the first", *stored] == contents(path)
    assert verified(path).ok


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte, where the system lets us have one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_really_full_refuses_and_goes_on_when_there_is_space_again(small_disk: Path) -> None:
    path, ballast = small_disk / "memory.db", small_disk / "ballast"
    ballast.write_bytes(bytes(200_000))
    stored = []

    with memory(path) as app:
        while True:
            text = f"fact {len(stored)} " + "word " * 400
            result = asyncio.run(outcomes(app.call(StoreFact(content=text))))[0]
            if isinstance(result, BaseException):
                break
            stored.append(text)
        ballast.unlink()
        asyncio.run(app.call(StoreFact(content="there is space again")))

    assert ["unavailable"] == kinds([result])
    assert "no space left" in str(result)
    assert [*stored, "there is space again"] == contents(path)
    assert verified(path).ok


def test_a_file_that_is_opened_on_a_full_disk_says_that_it_is_full(small_disk: Path) -> None:
    path, ballast = small_disk / "memory.db", small_disk / "ballast"
    with memory(path) as app:
        asyncio.run(app.call(StoreFact(content="one")))
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass  # it is full now

    with pytest.raises(Unavailable, match="no space left"), memory(path) as app:
        asyncio.run(app.call(StoreFact(content="two")))

    ballast.unlink()
    assert ["one"] == contents(path)


def test_a_read_that_meets_a_failing_disk_is_told_so_and_others_go_on(path: Path, disk: Disk) -> None:
    with opened(path, vfs=disk.name) as database:
        asyncio.run(database.write(insert("one")))
        disk.fail("write", 1, apsw.IOError, times=FOR_GOOD)
        failed = asyncio.run(outcomes(database.write(insert("two"))))
        found = asyncio.run(database.read(names))
        disk.mend()

    assert ["unavailable"] == kinds(failed)
    assert ["one"] == found
