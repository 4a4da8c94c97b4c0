"""Restoring and migrating: verified before and after, nothing lost, other processes see it."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

import cortex
from cortex import maintenance, settings
from cortex.db import migrate
from cortex.db.database import Database
from cortex.progress import silent
from cortex.settings import Settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CORTEX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CORTEX_PROJECT", "here")
    return tmp_path


def configured(path: Path) -> Settings:
    return settings.load(flags={"db": path})


def contents(path: Path) -> list[str]:
    with cortex.open(path) as memory:
        return sorted(fact.content for fact in memory.list_facts(all_projects=True, limit=1000))


def backed_up(path: Path, target: Path, *facts: str) -> None:
    with cortex.open(path) as memory:
        for fact in facts:
            memory.store(fact)
        memory.backup(str(target))


def test_a_backup_is_one_private_file_that_holds_everything(home: Path) -> None:
    backed_up(home / "a.db", home / "b.bak", "one", "two")

    shutil.copy(home / "b.bak", home / "copy.db")

    assert 0o600 == (home / "b.bak").stat().st_mode & 0o777
    assert ["one", "two"] == contents(home / "copy.db")
    assert not (home / "b.bak-wal").exists()


def test_restoring_brings_back_the_backup_and_keeps_what_was_there(home: Path) -> None:
    backed_up(home / "a.db", home / "b.bak", "one")
    with cortex.open(home / "a.db") as memory:
        memory.store("two")

    restored = maintenance.restore(configured(home / "a.db"), home / "b.bak", silent)

    assert ["one"] == contents(home / "a.db")
    assert restored.before is not None
    assert ["one", "two"] == contents(Path(restored.before))


def test_a_restored_file_goes_on_as_a_new_origin_that_names_the_old_one(home: Path) -> None:
    backed_up(home / "a.db", home / "b.bak", "one")
    with cortex.open(home / "a.db") as memory:
        before = memory.status().origin

    maintenance.restore(configured(home / "a.db"), home / "b.bak", silent)

    with cortex.open(home / "a.db") as memory:
        after = memory.status().origin
        report = memory.verify()
    connection = apsw.Connection(str(home / "a.db"))
    parents = connection.execute("SELECT parent FROM transactions WHERE kind = 'origin' ORDER BY log").fetchall()
    connection.close()
    assert before != after
    assert report.ok
    assert [before, after] == [log.origin for log in report.logs]
    assert parents[1][0].startswith(f"{before} 2 ")


def test_restoring_again_and_again_raises_no_alarm(home: Path) -> None:
    backed_up(home / "a.db", home / "b.bak", "one")

    for number in range(3):
        maintenance.restore(configured(home / "a.db"), home / "b.bak", silent)
        with cortex.open(home / "a.db") as memory:
            memory.store(f"after {number}")
            assert memory.verify().ok


def test_restoring_into_a_place_without_a_file_makes_it(home: Path) -> None:
    backed_up(home / "a.db", home / "b.bak", "one")

    restored = maintenance.restore(configured(home / "new.db"), home / "b.bak", silent)

    assert restored.before is None
    assert ["one"] == contents(home / "new.db")
    assert 0o600 == (home / "new.db").stat().st_mode & 0o777


def test_a_damaged_file_is_put_aside_and_replaced(home: Path) -> None:
    backed_up(home / "a.db", home / "b.bak", *(f"fact {n}" for n in range(200)))
    with (home / "a.db").open("r+b") as file:
        file.seek(0)
        file.write(b"SQLite format 3\0" + b"\xff" * 8000)

    restored = maintenance.restore(configured(home / "a.db"), home / "b.bak", silent)

    assert restored.before is not None
    assert ".damaged-" in restored.before
    assert 200 == len(contents(home / "a.db"))


def tampered(connection: apsw.Connection) -> None:
    connection.execute("UPDATE revision SET content = 'another text'")


def emptied(connection: apsw.Connection) -> None:
    connection.execute("DROP TRIGGER transactions_stay")
    connection.execute("DELETE FROM transactions WHERE idx > 1")


@pytest.mark.parametrize("attack", [tampered, emptied])
def test_a_backup_that_was_tampered_with_is_refused_and_nothing_changes(
    home: Path, attack: Callable[[apsw.Connection], None]
) -> None:
    backed_up(home / "a.db", home / "b.bak", "one", "two")
    connection = apsw.Connection(str(home / "b.bak"))
    attack(connection)
    connection.close()

    with pytest.raises(cortex.Corrupt, match="does not verify"):
        maintenance.restore(configured(home / "a.db"), home / "b.bak", silent)

    assert ["one", "two"] == contents(home / "a.db")


def test_what_is_no_backup_is_refused(home: Path) -> None:
    backed_up(home / "a.db", home / "b.bak", "one")
    (home / "text").write_text("no database")
    sqlite3.connect(home / "foreign.db").execute("CREATE TABLE t (a)").connection.close()
    (home / "empty").touch()

    for name, kind in (
        ("text", cortex.Invalid), ("foreign.db", cortex.Invalid), ("empty", cortex.Invalid),
        ("missing", cortex.Unavailable), ("a.db", cortex.Conflict),
    ):  # fmt: skip
        with pytest.raises(kind):
            maintenance.restore(configured(home / "a.db"), home / name, silent)
    assert ["one"] == contents(home / "a.db")


def test_a_process_that_has_the_file_open_sees_the_restored_state_and_can_write_to_it(home: Path) -> None:
    backed_up(home / "a.db", home / "b.bak", "one")
    code = (
        "import cortex, sys\n"
        "with cortex.open(sys.argv[1]) as memory:\n"
        "    memory.store('two'); print('open', flush=True); sys.stdin.readline()\n"
        "    print(sorted(f.content for f in memory.list_facts(all_projects=True)), flush=True)\n"
        "    memory.store('three')\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(home / "a.db")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert "open\n" == other.stdout.readline()

        maintenance.restore(configured(home / "a.db"), home / "b.bak", silent)
        other.stdin.write("\n")
        other.stdin.flush()

        assert "['one']\n" == other.stdout.readline()
    assert ["one", "three"] == contents(home / "a.db")
    with cortex.open(home / "a.db") as memory:
        assert memory.verify().ok


def test_migrating_a_current_file_changes_nothing(home: Path) -> None:
    with cortex.open(home / "a.db") as memory:
        memory.store("one")

    done = maintenance.migrate_file(configured(home / "a.db"))

    assert len(migrate.shipped()) == done.schema == done.schema_before
    assert done.backup is None


def test_migrating_an_older_file_keeps_a_copy_of_it(home: Path) -> None:
    older = migrate.shipped()[:1]
    Database.open(home / "a.db", migrations=older).close()

    done = maintenance.migrate_file(configured(home / "a.db"))

    assert (1, len(migrate.shipped())) == (done.schema_before, done.schema)
    assert done.backup is not None
    assert Path(done.backup).exists()
    assert [] == contents(home / "a.db")
