"""The writer: many writes in one commit, each for itself, each answered."""

import asyncio
import threading
from pathlib import Path

import apsw
import pytest
from db_memories import WAIT_SECONDS, Gate, insert, kinds, names, opened, outcomes

from cortex import limits
from cortex.db.connect import Tx, integer
from cortex.db.database import Database
from cortex.db.writer import Writer
from cortex.errors import Conflict, Unavailable


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a batch take what is queued however slow the machine is."""
    monkeypatch.setattr(limits, "BATCH_WORK_MS", 60_000)


def commits(tx: Tx) -> int:
    """How many commits the file has seen."""
    return integer(tx, "SELECT change_seq FROM file_state")


def refused(tx: Tx) -> str:
    """A write that changes something and then thinks better of it."""
    insert("refused")(tx)
    raise Conflict("this is refused")


def test_writes_that_wait_share_one_commit(database: Database) -> None:
    gate = Gate()

    async def run() -> tuple[list[str], int]:
        holding = asyncio.create_task(database.write(gate))
        await gate.entered()
        waiting = [asyncio.create_task(database.write(insert(f"p{n}"))) for n in range(50)]
        await asyncio.sleep(0)
        gate.release()
        await holding
        return [await task for task in waiting], await database.read(commits)

    assert ([f"p{n}" for n in range(50)], 1) == asyncio.run(run())


def test_writes_are_made_in_the_order_given(database: Database) -> None:
    given = [f"p{n}" for n in range(200)]

    async def run() -> list[str]:
        await asyncio.gather(*(database.write(insert(name)) for name in given))
        return await database.read(names)

    assert given == asyncio.run(run())


def test_a_refused_write_takes_back_its_own_changes_and_no_others(database: Database) -> None:
    gate = Gate()

    async def run() -> tuple[list[str], list[str]]:
        running = asyncio.gather(
            *(database.write(job) for job in (gate, insert("one"), refused, insert("two"), refused, insert("three"))),
            return_exceptions=True,
        )
        await gate.entered()
        gate.release()
        return kinds(await running), await database.read(names)

    results, found = asyncio.run(run())
    assert ["str", "str", "conflict", "str", "conflict", "str"] == results
    assert ["one", "two", "three"] == found


def test_a_write_after_a_refused_one_does_not_see_what_that_did(database: Database) -> None:
    async def run() -> list[object]:
        return await outcomes(database.write(insert("one")), database.write(refused), database.write(names))

    assert ["one"] == asyncio.run(run())[2]


def test_refused_writes_alone_make_no_commit(database: Database) -> None:
    async def run() -> tuple[list[str], int]:
        return kinds(await outcomes(*(database.write(refused) for _ in range(5)))), await database.read(commits)

    assert (["conflict"] * 5, 0) == asyncio.run(run())


@pytest.mark.parametrize("error", [ValueError("odd"), ZeroDivisionError(), KeyError(3), StopIteration(), MemoryError()])
def test_whatever_a_write_raises_reaches_its_caller_and_the_writer_goes_on(
    database: Database, error: Exception
) -> None:
    def broken(tx: Tx) -> None:
        insert("broken")(tx)
        raise error

    async def run() -> list[str]:
        results = await outcomes(database.write(broken), database.write(insert("sound")))
        return [*kinds(results), *await database.read(names)]

    told = "internal" if isinstance(error, StopIteration) else type(error).__name__
    assert [told, "str", "sound"] == asyncio.run(asyncio.wait_for(run(), WAIT_SECONDS))


def test_an_error_of_sqlite_in_one_write_is_told_in_our_words(database: Database) -> None:
    async def run() -> list[str]:
        await database.write(insert("one"))
        return kinds(
            await outcomes(
                database.write(insert("one")),
                database.write(lambda tx: tx.execute("SELECT nonsense").fetchall()),
                database.write(insert("two")),
            )
        )

    assert ["conflict", "internal", "str"] == asyncio.run(run())


def test_a_write_that_was_cancelled_before_it_began_is_not_made(database: Database) -> None:
    gate = Gate()

    async def run() -> list[str]:
        holding = asyncio.create_task(database.write(gate))
        await gate.entered()
        cancelled = asyncio.create_task(database.write(insert("cancelled")))
        kept = asyncio.create_task(database.write(insert("kept")))
        await asyncio.sleep(0)
        cancelled.cancel()
        await outcomes(cancelled)
        gate.release()
        await asyncio.gather(holding, kept)
        return await database.read(names)

    assert ["kept"] == asyncio.run(run())


def test_a_write_that_was_cancelled_after_it_began_is_finished(database: Database) -> None:
    gate = Gate()

    def begun(tx: Tx) -> None:
        insert("begun")(tx)
        gate(tx)

    async def run() -> list[str]:
        cancelled = asyncio.create_task(database.write(begun))
        await gate.entered()
        cancelled.cancel()
        results = await outcomes(cancelled)
        gate.release()
        await database.write(insert("after"))
        return [*kinds(results), *await database.read(names)]

    assert ["CancelledError", "begun", "after"] == asyncio.run(run())


def test_more_writes_than_the_queue_holds_are_refused_at_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "QUEUE_OPS_MAX", 3)
    gate = Gate()

    async def run() -> tuple[list[str], int | None]:
        holding = asyncio.create_task(database.write(gate))
        await gate.entered()
        waiting = [asyncio.create_task(database.write(insert(f"p{n}"))) for n in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="3 writes are waiting") as full:
            await database.write(insert("too many"))
        gate.release()
        await asyncio.gather(holding, *waiting)
        await database.write(insert("later"))
        return await database.read(names), full.value.retry_after_ms

    assert (["p0", "p1", "p2", "later"], 100) == asyncio.run(run())


def test_closing_finishes_what_is_queued(path: Path) -> None:
    database = Database.open(path)
    gate = Gate()

    async def run() -> list[str]:
        holding = asyncio.create_task(database.write(gate))
        await gate.entered()
        waiting = [asyncio.create_task(database.write(insert(f"p{n}"))) for n in range(150)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(asyncio.to_thread(database.close))
        gate.release()
        await closing
        await holding
        return [await task for task in waiting]

    stored = asyncio.run(run())
    with opened(path) as again:
        assert stored == asyncio.run(again.read(names)) == [f"p{n}" for n in range(150)]


def test_a_closed_database_says_so_and_may_be_closed_again(path: Path) -> None:
    database = Database.open(path)
    database.close()
    database.close()

    async def run() -> list[str]:
        results = await outcomes(database.write(insert("late")), database.read(names))
        return [*kinds(results), *map(str, results)]

    said = f"{path} is closed; open it again"
    assert ["unavailable", "unavailable", said, said] == asyncio.run(run())


def test_several_event_loops_write_at_once(database: Database) -> None:
    ready = threading.Barrier(4)
    failures: list[BaseException] = []

    async def write(loop: int) -> None:
        results = await asyncio.gather(*(database.write(insert(f"{loop}-{n}")) for n in range(50)))
        assert [f"{loop}-{n}" for n in range(50)] == results

    def run(loop: int) -> None:
        ready.wait(WAIT_SECONDS)
        try:
            asyncio.run(write(loop))
        except BaseException as error:  # noqa: BLE001 - told to the test below
            failures.append(error)

    threads = [threading.Thread(target=run, args=(loop,)) for loop in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    found = asyncio.run(database.read(names))
    assert [] == failures
    assert {f"{loop}-{n}" for loop in range(4) for n in range(50)} == set(found)


def test_an_event_loop_that_ended_does_not_hold_others_up(database: Database) -> None:
    gate = Gate()

    async def leave() -> None:
        task = asyncio.create_task(database.write(gate))
        await gate.entered()
        task.cancel()
        await outcomes(task)

    asyncio.run(leave())
    gate.release()

    assert "next" == asyncio.run(asyncio.wait_for(database.write(insert("next")), WAIT_SECONDS))


@pytest.mark.parametrize(("batch_ops", "expected"), [(1, 21), (4, 6), (100, 1)])
def test_a_batch_holds_no_more_writes_than_it_may(path: Path, batch_ops: int, expected: int) -> None:
    gate = Gate()

    async def run(database: Database) -> int:
        holding = asyncio.create_task(database.write(gate))
        await gate.entered()
        waiting = [asyncio.create_task(database.write(insert(f"p{n}"))) for n in range(20)]
        await asyncio.sleep(0)
        gate.release()
        await asyncio.gather(holding, *waiting)
        return await database.read(commits)

    with opened(path, batch_ops=batch_ops) as database:
        assert expected == asyncio.run(run(database))


def test_a_batch_ends_when_its_time_is_over(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BATCH_WORK_MS", -1)

    async def run() -> int:
        await asyncio.gather(*(database.write(insert(f"p{n}")) for n in range(20)))
        return await database.read(commits)

    assert 20 == asyncio.run(run())


def test_what_is_acknowledged_is_in_the_file(database: Database) -> None:
    other = apsw.Connection(str(database.path))

    async def run() -> list[list[str]]:
        seen = []
        for name in ("one", "two", "three"):
            await database.write(insert(name))
            seen.append(names(other))
        return seen

    assert [["one"], ["one", "two"], ["one", "two", "three"]] == asyncio.run(run())
    other.close()


def test_a_file_that_another_process_keeps_locked_is_unavailable_and_then_not(path: Path) -> None:
    with opened(path, busy_timeout_ms=20) as database:
        other = apsw.Connection(str(path))
        other.execute("BEGIN IMMEDIATE")

        async def run() -> list[str]:
            return kinds(await outcomes(*(database.write(insert(f"p{n}")) for n in range(10))))

        locked = asyncio.run(run())
        other.execute("ROLLBACK")
        free = asyncio.run(run())
        other.close()

    assert (["unavailable"] * 10, ["str"] * 10) == (locked, free)


def test_writes_that_wait_for_a_locked_file_wait_once_and_together(path: Path) -> None:
    with opened(path, busy_timeout_ms=20) as database:
        other = apsw.Connection(str(path))
        other.execute("BEGIN IMMEDIATE")

        async def run() -> list[object]:
            return await outcomes(*(database.write(insert(f"p{n}")) for n in range(50)))

        asked = asyncio.run(run())
        other.execute("ROLLBACK")
        other.close()

    assert 3 > len({id(error) for error in asked}), "one failed beginning is told to all who waited for it"


def test_a_file_that_cannot_be_opened_for_writing_is_told_to_every_caller_and_the_writer_goes_on(path: Path) -> None:
    failures = 3

    def connect() -> apsw.Connection:
        raise OSError(5, "Input/output error")

    writer = Writer(str(path), connect, 1)
    writer.start()

    async def run() -> list[object]:
        return [(await outcomes(writer.submit(insert("one"))))[0] for _ in range(failures)]  # type: ignore[arg-type]

    results = asyncio.run(asyncio.wait_for(run(), WAIT_SECONDS))
    writer.close()

    assert ["unavailable"] * failures == kinds(results)
    assert "cannot be opened (Input/output error)" in str(results[0])
