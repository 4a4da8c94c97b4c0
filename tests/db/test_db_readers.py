"""Readers: one snapshot each, up to date, read-only, bounded, and stopped when nobody waits."""

import asyncio
from pathlib import Path

import apsw
import pytest
from db_memories import WAIT_SECONDS, Gate, insert, kinds, names, opened, outcomes

from cortex import limits
from cortex.db.connect import Tx
from cortex.db.database import Database
from cortex.errors import Unavailable

ENDLESS = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


def test_a_read_sees_one_snapshot_whatever_is_written_meanwhile(database: Database) -> None:
    gate = Gate()

    def twice(tx: Tx) -> tuple[list[str], list[str]]:
        before = names(tx)
        gate(tx)
        return before, names(tx)

    async def run() -> list[object]:
        await database.write(insert("before"))
        reading = asyncio.create_task(database.read(twice))
        await gate.entered()
        await database.write(insert("meanwhile"))
        now = await database.read(names)
        gate.release()
        return [await reading, now]

    assert [(["before"], ["before"]), ["before", "meanwhile"]] == asyncio.run(run())


def test_a_read_sees_what_was_acknowledged_before_it(database: Database) -> None:
    async def run() -> list[int]:
        counts = []
        for number in range(50):
            await database.write(insert(f"p{number}"))
            counts.append(len(await database.read(names)))
        return counts

    assert list(range(1, 51)) == asyncio.run(run())


def test_a_read_sees_what_another_process_committed_at_once(database: Database) -> None:
    # A connection of its own is as foreign to the readers as another process is.
    other = apsw.Connection(str(database.path))

    async def run() -> list[list[str]]:
        seen = [await database.read(names)]
        for name in ("one", "two"):
            insert(name)(other)
            seen.append(await database.read(names))
        return seen

    assert [[], ["one"], ["one", "two"]] == asyncio.run(run())
    other.close()


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO project (name) VALUES ('x')",
        "DELETE FROM project",
        "CREATE TABLE x (id)",
        "DROP TABLE project",
        "PRAGMA user_version = 99",
    ],
)
def test_a_read_cannot_write(database: Database, sql: str) -> None:
    async def run() -> list[object]:
        await database.write(insert("kept"))
        results = await outcomes(database.read(lambda tx: tx.execute(sql).fetchall()))
        return [*kinds(results), await database.read(names)]

    assert ["unavailable", ["kept"]] == asyncio.run(run())


def test_a_cancelled_read_is_stopped_so_that_the_next_can_run(path: Path) -> None:
    gate = Gate()

    def endless(tx: Tx) -> object:
        gate(tx)
        return tx.execute(ENDLESS).fetchall()

    async def run(database: Database) -> list[str]:
        reading = asyncio.create_task(database.read(endless))
        await gate.entered()
        gate.release()
        reading.cancel()
        return [*kinds(await outcomes(reading)), str(await database.read(names))]

    with opened(path, readers=1) as database:
        found = asyncio.run(asyncio.wait_for(run(database), WAIT_SECONDS))

    assert ["CancelledError", "[]"] == found


def test_a_read_that_was_interrupted_within_another_leaves_its_connection_usable(path: Path) -> None:
    gate = Gate()

    def nested(tx: Tx) -> None:
        for _ in tx.execute("SELECT 1 UNION ALL SELECT 2"):
            gate(tx)
            tx.execute(ENDLESS).fetchall()

    async def run(database: Database) -> list[str]:
        reading = asyncio.create_task(database.read(nested))
        await gate.entered()
        gate.release()
        reading.cancel()
        return [*kinds(await outcomes(reading)), str(await database.read(names))]

    with opened(path, readers=1) as database:
        assert ["CancelledError", "[]"] == asyncio.run(asyncio.wait_for(run(database), WAIT_SECONDS))


def test_a_read_that_was_cancelled_while_it_waited_never_runs(path: Path) -> None:
    gate = Gate()
    ran = []

    async def run(database: Database) -> list[str]:
        holding = asyncio.create_task(database.read(gate))
        await gate.entered()
        waiting = asyncio.create_task(database.read(lambda _: ran.append("ran")))
        await asyncio.sleep(0)
        waiting.cancel()
        results = await outcomes(waiting)
        gate.release()
        await holding
        await database.read(names)
        return kinds(results)

    with opened(path, readers=1) as database:
        assert ["CancelledError"] == asyncio.run(run(database))
    assert [] == ran


def test_more_reads_than_may_wait_are_refused_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "READ_QUEUE_MAX", 2)
    gate = Gate()

    async def run(database: Database) -> list[str]:
        holding = [asyncio.create_task(database.read(gate)) for _ in range(2)]
        await gate.entered()
        with pytest.raises(Unavailable, match="2 reads are waiting"):
            await database.read(names)
        gate.release()
        await asyncio.gather(*holding)
        return await database.read(names)

    with opened(path) as database:
        assert [] == asyncio.run(run(database))


@pytest.mark.parametrize("error", [ValueError("odd"), KeyError(1), MemoryError()])
def test_whatever_a_read_raises_reaches_its_caller(path: Path, error: Exception) -> None:
    def broken(tx: Tx) -> None:
        for _ in tx.execute("SELECT 1 UNION ALL SELECT 2"):
            raise error

    async def run(database: Database) -> list[str]:
        return kinds(await outcomes(database.read(broken), database.read(broken), database.read(names)))

    with opened(path, readers=1) as database:
        assert [type(error).__name__] * 2 + ["list"] == asyncio.run(run(database))


def test_reads_run_beside_each_other_and_beside_a_write(path: Path) -> None:
    gates = [Gate() for _ in range(3)]

    async def run(database: Database) -> list[str]:
        holding = [asyncio.create_task(database.read(gate)) for gate in gates[:2]]
        holding.append(asyncio.create_task(database.write(gates[2])))
        for gate in gates:
            await gate.entered()
        for gate in gates:
            gate.release()
        return await asyncio.gather(*holding)

    with opened(path, readers=2) as database:
        assert ["gate"] * 3 == asyncio.run(run(database))


def test_closing_waits_for_reads_under_way(path: Path) -> None:
    database = Database.open(path)
    gate = Gate()

    async def run() -> str:
        reading = asyncio.create_task(database.read(gate))
        await gate.entered()
        closing = asyncio.create_task(asyncio.to_thread(database.close))
        gate.release()
        await closing
        return await reading

    assert "gate" == asyncio.run(run())
