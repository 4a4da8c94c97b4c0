"""Many processes and many tasks on one file: everything is kept, in one unbroken chain."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from writing_child import application

from cortex.ledger import chain
from cortex.ledger.findings import Verification
from cortex.ops.facts import NewFact, ReviseFact, StoreFact, StoreFacts
from cortex.ops.ledger import VerifyLedger
from cortex.ops.node import ReadStatus
from cortex.ops.search import SearchFacts
from cortex.ops.views import ShowFact

PROCESSES = 8
STORES = 100

STORES_MANY = f"""
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from writing_child import application
from cortex.ops.facts import StoreFact

async def run(app):
    for number in range({STORES}):
        stored = await app.call(StoreFact(content=f"process {{sys.argv[3]}} fact {{number}}"))
        print(stored.id, flush=True)

print("ready", flush=True)
sys.stdin.readline()
app = application(Path(sys.argv[2]))
asyncio.run(run(app))
app.close()
"""


def _children(path: Path, count: int, code: str = STORES_MANY) -> list["subprocess.Popen[str]"]:
    return [
        subprocess.Popen(
            [sys.executable, "-c", code, Path(__file__).parent, path, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={"PATH": os.environ.get("PATH", ""), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        for number in range(count)
    ]


def _verified(path: Path) -> Verification:
    app = application(path)
    try:
        return asyncio.run(app.call(VerifyLedger()))
    finally:
        app.close()


def test_eight_processes_store_a_hundred_facts_each_on_one_new_file(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    children = _children(path, PROCESSES)
    for child in children:
        assert child.stdout is not None
        assert "ready\n" == child.stdout.readline()

    told = [child.communicate("go\n", timeout=120) for child in children]

    ids = [line for out, _ in told for line in out.split()]
    assert [""] * PROCESSES == [errors for _, errors in told]
    assert [0] * PROCESSES == [child.returncode for child in children]
    assert PROCESSES * STORES == len(set(ids)) == len(ids)
    report = _verified(path)
    assert ([], True) == (report.findings, report.ok)
    (log,) = report.logs
    assert (PROCESSES * STORES + 1, PROCESSES * STORES) == (log.size, report.revisions)
    app = application(path)
    assert PROCESSES * STORES == asyncio.run(app.call(ReadStatus())).facts
    app.close()


def test_two_hundred_tasks_store_at_once(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    app = application(path)

    async def run() -> set[str]:
        stored = await asyncio.gather(*(app.call(StoreFact(content=f"fact {n}")) for n in range(200)))
        return {fact.id for fact in stored}

    ids = asyncio.run(run())
    commits = asyncio.run(
        app.context.database.read(lambda tx: tx.execute("SELECT change_seq FROM file_state").fetchall())
    )
    app.close()
    assert 200 == len(ids)
    assert commits[0][0] < 200, "they share commits"
    report = _verified(path)
    assert ([], 201) == (report.findings, report.entries)


def test_two_hundred_tasks_that_store_revise_search_and_show_agree(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    app = application(path)

    async def one(number: int) -> tuple[str, list[str]]:
        stored = await app.call(StoreFact(content=f"first word{number}"))
        await app.call(ReviseFact(id=stored.id, content=f"second word{number}"))
        shown = await app.call(ShowFact(id=stored.id))
        found = await app.call(SearchFacts(query=f"word{number}"))
        return shown.content, [hit.fact.content for hit in found.hits[:1]]

    async def run() -> list[tuple[str, list[str]]]:
        return await asyncio.gather(*(one(number) for number in range(200)))

    found = asyncio.run(run())
    app.close()
    assert [(f"second word{n}", [f"second word{n}"]) for n in range(200)] == found
    assert _verified(path).ok


def test_tasks_that_revise_one_fact_at_once_leave_a_line_of_revisions(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    app = application(path)

    async def run() -> tuple[int, int]:
        stored = await app.call(StoreFact(content="the beginning"))
        results = await asyncio.gather(
            *(app.call(ReviseFact(id=stored.id, content=f"version {n}")) for n in range(5)), return_exceptions=True
        )
        made = sum(not isinstance(result, BaseException) for result in results)
        return made, (await app.call(ShowFact(id=stored.id))).revision

    made, revision = asyncio.run(run())
    app.close()
    assert (5, 6) == (made, revision)
    assert _verified(path).ok


@pytest.mark.parametrize("count", [3])
def test_a_process_reads_what_others_wrote_before_it_asked(tmp_path: Path, count: int) -> None:
    path = tmp_path / "memory.db"
    app = application(path)
    children = _children(path, count)
    acknowledged = 0

    async def status() -> int:
        return (await app.call(ReadStatus())).facts

    for child in children:
        assert child.stdin is not None
        assert child.stdout is not None
        assert "ready\n" == child.stdout.readline()
        child.stdin.write("go\n")
        child.stdin.flush()
    seen = []
    for _ in range(STORES):
        for child in children:
            assert child.stdout is not None
            acknowledged += bool(child.stdout.readline().strip())
        seen.append(asyncio.run(status()) >= acknowledged)
    for child in children:
        child.communicate()
    app.close()

    assert [True] * STORES == seen
    assert _verified(path).ok


def test_batches_of_processes_stay_together(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    code = STORES_MANY.replace("StoreFact\n", "NewFact, StoreFacts\n").replace(
        'stored = await app.call(StoreFact(content=f"process {sys.argv[3]} fact {number}"))\n        print(stored.id, flush=True)',
        'await app.call(StoreFacts(facts=[NewFact(content=f"{sys.argv[3]} {number} {n}") for n in range(5)]))',
    ).replace(f"range({STORES})", "range(20)")  # fmt: skip
    children = _children(path, 3, code)
    told = [child.communicate("go\n", timeout=120) for child in children]

    app = application(path)
    rows = asyncio.run(
        app.context.database.read(
            lambda tx: tx.execute(
                "SELECT batch, batch_n, count(*) FROM transactions WHERE kind = 'fact' GROUP BY 1"
            ).fetchall()
        )
    )
    size = asyncio.run(app.context.database.read(chain.logs))[0].size
    asyncio.run(app.call(StoreFacts(facts=[NewFact(content="one more")])))
    app.close()
    assert [""] * 3 == [errors for _, errors in told]
    assert ({(5, 5)}, 60, 301) == ({row[1:] for row in rows}, len(rows), size)
    assert _verified(path).ok
