"""Opening files: new, missing, foreign, newer, changed, read-only, damaged."""

import asyncio
import os
import sqlite3
import stat
from pathlib import Path

import apsw
import pytest
from db_memories import child, contents, insert, kinds, memory, names, opened, outcomes, said, tell

from cortex.db import backup
from cortex.db.connect import Tx
from cortex.db.database import Database
from cortex.errors import CortexError, Invalid, Unavailable
from cortex.ledger import chain
from cortex.ops.facts import NewFact, StoreFact, StoreFacts
from cortex.ops.search import SearchFacts

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")

PAGE_BYTES = 4096
NOBODY = 65534

CREATES = """
import asyncio, sys
from pathlib import Path
from cortex.db.database import Database
from cortex.errors import CortexError

print("ready", flush=True)
for line in sys.stdin:
    folder, name = line.split()
    try:
        database = Database.open(Path(folder, "memory.db"))
        asyncio.run(database.write(lambda tx: tx.execute("INSERT INTO project (name) VALUES (?)", (name,)).fetchall()))
        database.close()
        print("done", flush=True)
    except CortexError as error:
        print(error, flush=True)
"""

WITHOUT_PRIVILEGES = f"""
import asyncio, os, sys
from pathlib import Path
from cortex.db import migrate
from cortex.db.database import Database
from cortex.errors import CortexError

known = migrate.shipped()  # read while this may be read
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid({NOBODY})
    os.setuid({NOBODY})

def names(tx):
    return [row[0] for row in tx.execute("SELECT name FROM project ORDER BY id")]

async def run():
    try:
        database = Database.open(Path(sys.argv[1]), migrations=known)
    except CortexError as error:
        print(error.kind, error.message, flush=True)
        return
    print(await database.read(names), flush=True)
    try:
        await database.write(lambda tx: tx.execute("INSERT INTO project (name) VALUES ('mine')").fetchall())
    except CortexError as error:
        print(error.kind, error.message, flush=True)
    database.close()

asyncio.run(run())
"""


@posix
def test_the_file_and_what_sqlite_puts_beside_it_are_the_owners_alone(database: Database) -> None:
    before = os.umask(0)
    try:
        asyncio.run(database.write(insert("billing")))
    finally:
        os.umask(before)

    beside = sorted(database.path.parent.glob("memory.db*"))
    assert ["memory.db", "memory.db-shm", "memory.db-wal"] == [file.name for file in beside]
    assert {0o600} == {stat.S_IMODE(file.stat().st_mode) for file in beside}


def test_folders_on_the_way_are_made(tmp_path: Path) -> None:
    with opened(tmp_path / "new" / "folder" / "memory.db") as database:
        assert [] == asyncio.run(database.read(names))


def test_processes_that_create_one_file_at_the_same_time_share_it(tmp_path: Path) -> None:
    rounds = 8
    folders = [tmp_path / str(number) for number in range(rounds)]
    with child(CREATES) as one, child(CREATES) as two, child(CREATES) as three, child(CREATES) as four:
        processes = (one, two, three, four)
        assert ["ready"] * 4 == [said(process) for process in processes]

        answers = []
        for folder in folders:
            for number, process in enumerate(processes):
                tell(process, f"{folder} p{number}")
            answers += [said(process) for process in processes]

    assert ["done"] * 4 * rounds == answers
    for folder in folders:
        with opened(folder / "memory.db") as database:
            assert ["p0", "p1", "p2", "p3"] == sorted(asyncio.run(database.read(names)))
        assert ["memory.db"] == [file.name for file in folder.iterdir()]


def test_another_programs_database_is_refused_and_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as foreign:
        foreign.execute("CREATE TABLE other (id)")
    foreign.close()
    before = path.read_bytes()

    with pytest.raises(Invalid, match="another program's SQLite file"):
        Database.open(path)

    assert before == path.read_bytes()


def test_a_text_file_is_refused_and_left_alone(path: Path) -> None:
    path.write_text("to do: buy milk\n" * 400)

    with pytest.raises(Invalid, match="is not an SQLite file"):
        Database.open(path)

    assert "to do: buy milk\n" * 400 == path.read_text()


def test_a_folder_is_refused(path: Path) -> None:
    path.mkdir()

    with pytest.raises(Invalid, match="is a folder"):
        Database.open(path)


def test_a_path_below_a_file_is_refused(path: Path) -> None:
    path.write_text("text")

    with pytest.raises(Unavailable):
        Database.open(path / "memory.db")


def test_a_missing_file_is_not_made_where_that_was_not_wanted(path: Path) -> None:
    with pytest.raises(Unavailable, match="there is no file") as refused:
        Database.open(path, create=False)

    assert not path.exists()
    assert "cortex init" in refused.value.hint


def test_an_empty_file_becomes_a_database(path: Path) -> None:
    path.touch()

    with opened(path, create=False) as database:
        assert [] == asyncio.run(database.read(names))


@posix
def test_a_read_only_file_can_be_read_and_writing_says_why_not(shared_folder: Path) -> None:
    path = shared_folder / "memory.db"
    with opened(path) as database:
        asyncio.run(database.write(insert("billing")))
    path.chmod(0o444)
    shared_folder.chmod(0o555)

    with child(WITHOUT_PRIVILEGES, path) as process:
        answer = said(process), said(process)

    assert ("['billing']", f"unavailable {path} is read-only here") == answer
    assert [path] == list(shared_folder.iterdir())


@posix
@pytest.mark.skipif(os.name == "posix" and os.geteuid() != 0, reason="needs a second user")
def test_a_user_who_may_only_read_sees_what_a_writer_has_not_moved_into_the_file_yet(shared_folder: Path) -> None:
    path = shared_folder / "memory.db"
    with opened(path) as database:
        asyncio.run(database.write(insert("billing")))
        for file in shared_folder.iterdir():
            file.chmod(0o644)

        with child(WITHOUT_PRIVILEGES, path) as process:
            answer = said(process), said(process)

    assert ("['billing']", f"unavailable {path} is read-only here") == answer


@posix
@pytest.mark.skipif(os.name == "posix" and os.geteuid() != 0, reason="needs a second user")
def test_a_folder_that_cannot_be_written_is_told(shared_folder: Path) -> None:
    path = shared_folder / "memory.db"

    with child(WITHOUT_PRIVILEGES, path) as process:
        answer = said(process)

    assert f"unavailable {path} cannot be created (Permission denied)" == answer
    assert [] == list(shared_folder.iterdir())


def _filled(path: Path) -> int:
    """A file of many pages, all of them in the main file. Returns how many."""
    with memory(path) as app:
        new = [NewFact(content=f"damage {n} " + f"word{n} " * 60, tags=["t"], key=f"k{n}") for n in range(60)]
        asyncio.run(app.call(StoreFacts(facts=new)))
        assert app.context.database.empty_log()
    return path.stat().st_size // PAGE_BYTES


def _everything(tx: Tx) -> int:
    tables = [row[0] for row in tx.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()]
    count = sum(len(tx.execute(f'SELECT * FROM "{table}"').fetchall()) for table in tables)
    chain.logs(tx)
    return count


@pytest.mark.parametrize("junk", [b"\xa5", b"\x00"])
def test_a_damaged_page_is_told_as_corrupt_wherever_it_is(path: Path, junk: bytes) -> None:
    pages = _filled(path)
    sound = path.read_bytes()
    damaged = path.with_name("damaged.db")

    answers: list[list[str]] = []
    for page in range(2, pages + 1):
        start = (page - 1) * PAGE_BYTES
        damaged.write_bytes(sound[:start] + junk * PAGE_BYTES + sound[start + PAGE_BYTES :])
        answers.append(_answers(damaged))
        for file in path.parent.glob("damaged.db*"):
            file.unlink()

    assert pages > 20
    assert {"corrupt"} == {found for found, *_ in answers}, "the check of the structure finds every page"
    assert {"corrupt", "int", "str"} >= {answer for page in answers for answer in page}
    assert len(answers) / 2 < sum(page == ["corrupt"] or page[1] == "corrupt" for page in answers)


def _answers(path: Path) -> list[str]:
    try:
        with memory(path) as app:
            return asyncio.run(_ask(app.context.database))
    except CortexError as error:
        return [error.kind]


async def _ask(database: Database) -> list[str]:
    def damage(tx: Tx) -> str:
        backup.damage(tx, "it")
        return "sound"

    return kinds(
        await outcomes(database.read(damage), database.read(_everything), database.write(insert("after the damage")))
    )


def test_a_damaged_header_is_told(path: Path) -> None:
    _filled(path)
    with path.open("r+b") as file:
        file.write(b"\xa5" * PAGE_BYTES)

    with pytest.raises(Invalid, match="is not an SQLite file"):
        Database.open(path)


def test_a_file_that_was_cut_off_is_told(path: Path) -> None:
    pages = _filled(path)
    os.truncate(path, pages // 2 * PAGE_BYTES)

    found = _answers(path)

    assert {"corrupt"} >= set(found[:2])


def test_text_that_is_not_utf8_is_told_as_damage(database: Database) -> None:
    async def run() -> list[str]:
        return kinds(
            await outcomes(
                database.read(lambda tx: tx.execute("SELECT CAST(x'ff41' AS TEXT)").fetchall()),
                database.write(lambda tx: tx.execute("SELECT CAST(x'ff41' AS TEXT)").fetchall()),
            )
        )

    assert ["corrupt", "corrupt"] == asyncio.run(run())


def test_a_file_whose_log_ends_in_a_torn_commit_opens_at_the_commit_before(path: Path) -> None:
    torn = path.with_name("torn.db")
    with memory(path) as app:
        asyncio.run(app.call(StoreFact(content="the first")))
        first = Path(f"{path}-wal").stat().st_size
        asyncio.run(app.call(StoreFact(content="the second")))
        torn.write_bytes(path.read_bytes())
        whole = Path(f"{path}-wal").read_bytes()

    Path(f"{torn}-wal").write_bytes(whole[: (first + len(whole)) // 2])

    assert ["the first"] == contents(torn)


def test_an_index_that_lost_its_rows_is_found_by_the_structures_check(path: Path) -> None:
    with memory(path) as app:
        asyncio.run(app.call(StoreFact(content="indexed", key="k")))
    connection = apsw.Connection(str(path))
    root = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'fact_tail'").fetchall()[0][0]
    connection.close()
    with path.open("r+b") as file:
        file.seek((root - 1) * PAGE_BYTES)
        file.write(b"\x0a\x00\x00\x00\x00\x10\x00\x00" + bytes(PAGE_BYTES - 8))

    assert "corrupt" == _answers(path)[0]


def test_what_is_stored_is_found_by_a_second_opening(path: Path) -> None:
    with memory(path) as app:
        stored = asyncio.run(app.call(StoreFact(content="Invoices are sent on the 3rd")))

    with memory(path) as app:
        found = asyncio.run(app.call(SearchFacts(query="invoices")))

    assert [stored.id] == [hit.fact.id for hit in found.hits]
