"""Bringing a file to another schema: with a copy kept, once, and never backwards."""

import asyncio
from dataclasses import replace
from pathlib import Path

import apsw
import pytest
from db_memories import child, insert, kinds, names, opened, outcomes, said, tell

from cortex import limits
from cortex.db import migrate, schema
from cortex.db.connect import value
from cortex.db.database import Database
from cortex.errors import Corrupt, Unavailable

SHIPPED = migrate.shipped()
NEXT = migrate.Migration(len(SHIPPED) + 1, "next.sql", "CREATE TABLE later (id INTEGER PRIMARY KEY) STRICT;")
BROKEN = replace(NEXT, sql="CREATE TABLE later (id INTEGER PRIMARY KEY); INSERT INTO nowhere VALUES (1);")

USES_THE_FILE = """
import asyncio, sys
from pathlib import Path
from cortex.db.database import Database
from cortex.errors import CortexError

def names(tx):
    return [row[0] for row in tx.execute("SELECT name FROM project ORDER BY id")]

async def run():
    database = Database.open(Path(sys.argv[1]))
    for name in ("before", "after"):
        try:
            await database.write(lambda tx: tx.execute("INSERT INTO project (name) VALUES (?)", (name,)).fetchall())
            print("written", flush=True)
        except CortexError as error:
            print(error.kind, error.message, flush=True)
        print(await database.read(names), flush=True)
        sys.stdin.readline()
    database.close()

asyncio.run(run())
"""


def _version(path: Path) -> int:
    connection = apsw.Connection(str(path))
    try:
        return migrate.version(connection)
    finally:
        connection.close()


def _filled(path: Path) -> None:
    with opened(path) as database:
        asyncio.run(database.write(insert("billing")))


def test_an_older_file_is_migrated_and_a_copy_of_it_is_kept_beside(path: Path) -> None:
    _filled(path)

    with opened(path, migrations=(*SHIPPED, NEXT)) as database:
        found = asyncio.run(database.read(names))
        differences = asyncio.run(database.read(lambda tx: schema.differences(tx, (*SHIPPED, NEXT))))

    kept = path.with_name(f"memory.db.schema-{len(SHIPPED)}.bak")
    assert (["billing"], []) == (found, differences)
    assert {path, kept} == set(path.parent.iterdir())
    assert (len(SHIPPED) + 1, len(SHIPPED), 0o600) == (_version(path), _version(kept), kept.stat().st_mode & 0o777)
    with opened(kept) as database:
        assert ["billing"] == asyncio.run(database.read(names))


def test_a_current_file_is_not_copied(path: Path) -> None:
    _filled(path)

    _filled_again = Database.open(path)
    _filled_again.close()

    assert [path] == list(path.parent.iterdir())


def test_a_migration_that_fails_changes_nothing_and_can_be_tried_again(path: Path) -> None:
    _filled(path)

    for _ in range(2):
        with pytest.raises(Exception, match="nowhere"):
            Database.open(path, migrations=(*SHIPPED, BROKEN))

    assert len(SHIPPED) == _version(path)
    assert [path] == list(path.parent.iterdir()), "no copy of a file that is as it was"
    with opened(path, migrations=(*SHIPPED, NEXT)) as database:
        assert ["billing"] == asyncio.run(database.read(names))


def test_each_migration_runs_once(path: Path) -> None:
    known = (*SHIPPED, NEXT)

    for _ in range(3):
        Database.open(path, migrations=known).close()

    with opened(path, migrations=known) as database:
        applied = asyncio.run(database.read(lambda tx: list(tx.execute("SELECT number, sha256 FROM migration"))))
    assert [(migration.number, migration.digest) for migration in known] == applied


def test_a_file_of_a_newer_version_is_refused(path: Path) -> None:
    Database.open(path, migrations=(*SHIPPED, NEXT)).close()

    with pytest.raises(Unavailable, match=f"newer Cortex .schema {len(SHIPPED) + 1}, this one knows {len(SHIPPED)}"):
        Database.open(path)


def test_a_changed_migration_is_refused(path: Path) -> None:
    Database.open(path).close()
    changed = replace(SHIPPED[0], sql=SHIPPED[0].sql + "\n-- one more word")

    with pytest.raises(Corrupt, match=f"made with another {SHIPPED[0].name}"):
        Database.open(path, migrations=(changed, *SHIPPED[1:]))


def test_a_process_that_has_the_file_open_while_its_schema_changes_writes_no_more(path: Path) -> None:
    with child(USES_THE_FILE, path) as process:
        before = said(process), said(process)
        Database.open(path, migrations=(*SHIPPED, NEXT)).close()
        tell(process)
        after = said(process), said(process)
        tell(process)
        process.wait()

    assert ("written", "['before']") == before
    changed = f"unavailable {path} was changed to schema {len(SHIPPED) + 1} by another version of Cortex"
    assert (changed, "['before']") == after
    assert 0 == process.returncode


def test_every_write_that_waits_while_the_schema_changes_is_answered(database: Database) -> None:
    Database.open(database.path, migrations=(*SHIPPED, NEXT)).close()

    async def run() -> list[str]:
        return kinds(await outcomes(*(database.write(insert(f"p{n}")) for n in range(20))))

    assert ["unavailable"] * 20 == asyncio.run(run())


def test_processes_that_migrate_one_file_at_the_same_time_do_it_once(path: Path) -> None:
    code = (
        USES_THE_FILE.replace("from pathlib", "from cortex.db import migrate\nfrom pathlib")
        .replace(
            "    database = Database.open(Path(sys.argv[1]))",
            f"    known = (*migrate.shipped(), migrate.Migration({NEXT.number}, {NEXT.name!r}, {NEXT.sql!r}))\n"
            "    print('ready', flush=True)\n    sys.stdin.readline()\n"
            "    database = Database.open(Path(sys.argv[1]), migrations=known)",
        )
        .replace('("before", "after")', "(sys.argv[2],)")
    )
    _filled(path)

    with child(code, path, "one") as one, child(code, path, "two") as two, child(code, path, "three") as three:
        processes = (one, two, three)
        assert ["ready"] * 3 == [said(process) for process in processes]
        for process in processes:
            tell(process)
        answers = [said(process) for process in processes]
        for process in processes:
            tell(process)
            process.wait()

    assert ["written"] * 3 == answers
    with opened(path, migrations=(*SHIPPED, NEXT)) as database:
        assert ["billing", "one", "three", "two"] == sorted(asyncio.run(database.read(names)))
    assert {path, path.with_name(f"memory.db.schema-{len(SHIPPED)}.bak")} == set(path.parent.iterdir())


def test_a_copy_that_is_used_as_a_file_gets_a_write_ahead_log(path: Path) -> None:
    Database.open(path).close()
    plain = apsw.Connection(str(path))
    plain.execute("PRAGMA journal_mode = DELETE").fetchall()
    plain.close()

    with opened(path) as database:
        mode = asyncio.run(database.read(lambda tx: value(tx, "PRAGMA journal_mode")))

    assert "wal" == mode


def test_a_copy_of_an_earlier_time_is_never_replaced(path: Path) -> None:
    _filled(path)
    first = path.with_name(f"memory.db.schema-{len(SHIPPED)}.bak")
    first.write_text("the only copy of something")

    with opened(path, migrations=(*SHIPPED, NEXT)) as database:
        kept = database.kept

    assert Path(f"{first}.1") == kept
    assert "the only copy of something" == first.read_text()
    assert len(SHIPPED) == _version(kept)


def test_there_is_an_end_to_the_copies(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SCHEMA_COPIES_MAX", 2)
    _filled(path)
    first = path.with_name(f"memory.db.schema-{len(SHIPPED)}.bak")
    first.touch()
    Path(f"{first}.1").touch()

    with pytest.raises(Unavailable, match="there are 2 copies"):
        Database.open(path, migrations=(*SHIPPED, NEXT))

    assert len(SHIPPED) == _version(path)
