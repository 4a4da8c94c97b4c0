"""Restoring and migrating: verified before and after, nothing lost, other processes see it."""

import asyncio
import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

import cortex
from cortex import limits, maintenance, settings
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


def older(path: Path, *facts: str) -> None:
    """A file of the first schema, which had no ledger."""
    database = Database.open(path, migrations=migrate.shipped()[:1])
    asyncio.run(database.write(lambda tx: [_unrecorded(tx, fact) for fact in facts]))
    database.close()


def _unrecorded(tx: apsw.Connection, content: str) -> None:
    tx.execute("INSERT INTO project VALUES (1, 'here')")
    tx.execute("INSERT INTO fact VALUES ('a', 'a', 1, NULL, NULL)")
    tx.execute(
        "INSERT INTO revision (fact_id, project_id, number, rev, content, type, tags, confidence, valid_from, actor,"
        " recorded_at, salt, log, idx, fingerprint) VALUES ('a', 1, 1, 'r', ?, 'knowledge', '', 'stated', ?1, 'x', ?1,"
        " x'00', 1, 0, 1)",
        (content,),
    )


def test_a_backup_of_an_older_schema_is_restored_in_the_present_one(home: Path) -> None:
    backed_up(home / "a.db", home / "b.bak", "one")
    older(home / "old.bak")
    before = (home / "old.bak").read_bytes()

    maintenance.restore(configured(home / "a.db"), home / "old.bak", silent)

    assert [] == contents(home / "a.db")
    assert before == (home / "old.bak").read_bytes()
    assert [] == [file.name for file in home.iterdir() if file.is_dir() and file.name != "home"]


def test_a_backup_of_an_older_schema_that_does_not_verify_is_refused_and_nothing_changes(home: Path) -> None:
    backed_up(home / "a.db", home / "b.bak", "one")
    older(home / "old.bak", "a fact that no entry recorded")
    before = sorted(home.iterdir())

    with pytest.raises(cortex.Corrupt, match="does not verify"):
        maintenance.restore(configured(home / "a.db"), home / "old.bak", silent)

    assert ["one"] == contents(home / "a.db")
    assert before == sorted(home.iterdir())


def test_a_backup_that_is_not_there_is_told_as_that(home: Path) -> None:
    with pytest.raises(cortex.Unavailable, match="there is no file") as refused:
        maintenance.restore(configured(home / "a.db"), home / "missing", silent)

    assert "backup" in refused.value.hint


def test_a_restore_whose_outcome_cannot_be_remembered_says_so(home: Path) -> None:
    backed_up(home / "a.db", home / "b.bak", "one")
    (home / "file").touch()
    chosen = settings.load(flags={"db": home / "a.db", "home": home / "file"}, environ={}, cwd=home)

    restored = maintenance.restore(chosen, home / "b.bak", silent)

    assert restored.note is not None
    assert "cannot be remembered" in restored.note
    assert ["one"] == contents(home / "a.db")


def test_migrating_a_locked_file_waits_no_longer_than_the_settings_say(home: Path) -> None:
    backed_up(home / "a.db", home / "b.bak", "one")
    other = apsw.Connection(str(home / "b.bak"))
    other.execute("BEGIN EXCLUSIVE")
    chosen = settings.load(flags={"db": home / "b.bak", "busy_timeout_ms": 100})
    began = time.monotonic()

    with pytest.raises(cortex.Unavailable, match="locked"):
        maintenance.migrate_file(chosen)
    other.close()

    assert limits.BUSY_TIMEOUT_MS / 2 > (time.monotonic() - began) * 1000


def test_nothing_that_others_commit_while_a_backup_is_restored_is_lost(home: Path) -> None:
    backed_up(home / "a.db", home / "b.bak", *(f"fact {number}" for number in range(300)))
    code = (
        "import cortex, sys\n"
        "with cortex.open(sys.argv[1]) as memory:\n"
        "    for number in range(400):\n"
        "        memory.store(f'{sys.argv[2]} {number}'); print(f'{sys.argv[2]} {number}', flush=True)\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(home / "a.db"), name], stdout=subprocess.PIPE, text=True)
        for name in ("one", "two")
    ]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.readline()

    restored = maintenance.restore(configured(home / "a.db"), home / "b.bak", silent)

    stored = [line.strip() for writer in writers for line in [f"{writer.args[-1]} 0", *(writer.stdout or [])]]
    assert [0, 0] == [writer.wait() for writer in writers]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.close()
    assert restored.before is not None
    kept, now = set(contents(Path(restored.before))), set(contents(home / "a.db"))
    assert set() == set(stored) - kept - now
    with cortex.open(home / "a.db") as memory:
        assert memory.verify().ok


def test_a_file_by_two_names_has_one_key_and_one_origin(home: Path) -> None:
    (home / "link.db").symlink_to(home / "real.db")
    for name in ("real.db", "link.db", "real.db", "link.db"):
        with cortex.open(home / name) as memory:
            memory.store(f"by {name} {len(memory.list_facts())}")

    with cortex.open(home / "link.db") as memory:
        logs = memory.verify().logs

    assert 1 == len(logs)
    assert not (home / "link.db.key").exists()


def test_a_file_with_a_second_name_is_refused(home: Path) -> None:
    with cortex.open(home / "a.db") as memory:
        memory.store("one")
    (home / "b.db").hardlink_to(home / "a.db")

    with pytest.raises(cortex.Unavailable, match="2 names"), cortex.open(home / "b.db"):
        pass


# What is told of the file that was replaced.


def test_a_restore_counts_facts_as_the_status_does(home: Path) -> None:
    with cortex.open(home / "a.db") as memory:
        memory.revise(memory.store("one").id, content="one and a half")
        memory.retract(memory.store("two").id)
        memory.backup(str(home / "b.bak"))

    restored = maintenance.restore(configured(home / "a.db"), home / "b.bak", silent)

    with cortex.open(home / "a.db") as memory:
        assert 1 == memory.status().facts == restored.facts


def test_what_was_forgotten_since_the_backup_is_named_and_nothing_else(home: Path) -> None:
    with cortex.open(home / "a.db") as memory:
        early, kept, late = (memory.store(text).id for text in ("early", "kept", "late"))
        memory.forget(early)
        memory.backup(str(home / "b.bak"))
        memory.forget(memory.store("stored and forgotten since").id)
        memory.forget(late)

    restored = maintenance.restore(configured(home / "a.db"), home / "b.bak", silent)

    assert (1, [late]) == (restored.forgotten, restored.forgotten_ids)
    assert [] == restored.untold
    with cortex.open(home / "a.db") as memory:
        assert [kept, late] == sorted(fact.id for fact in memory.list_facts())
        memory.forget(late)
        assert [kept] == [fact.id for fact in memory.list_facts()]


def test_where_nothing_was_forgotten_or_replaced_nothing_is_told(home: Path) -> None:
    backed_up(home / "a.db", home / "b.bak", "one")

    over = maintenance.restore(configured(home / "a.db"), home / "b.bak", silent)
    new = maintenance.restore(configured(home / "new.db"), home / "b.bak", silent)

    for restored in (over, new):
        assert (0, [], [], 0, []) == (
            restored.forgotten, restored.forgotten_ids, restored.undone, restored.undone_more, restored.untold,
        )  # fmt: skip


@pytest.mark.parametrize("bound", [2, 3])
def test_no_more_forgotten_facts_are_named_than_the_bound(
    home: Path, monkeypatch: pytest.MonkeyPatch, bound: int
) -> None:
    with cortex.open(home / "a.db") as memory:
        ids = sorted(memory.store(f"fact {number}").id for number in range(3))
        memory.backup(str(home / "b.bak"))
        for each in ids:
            memory.forget(each)
    monkeypatch.setattr(limits, "RESTORE_TOLD_MAX", bound)

    restored = maintenance.restore(configured(home / "a.db"), home / "b.bak", silent)

    assert (3, ids[:bound]) == (restored.forgotten, restored.forgotten_ids)


def test_of_a_damaged_file_it_is_said_that_nothing_could_be_told(home: Path) -> None:
    backed_up(home / "a.db", home / "b.bak", "one")
    with (home / "a.db").open("r+b") as file:
        file.write(b"SQLite format 3\0" + b"\xff" * 8000)

    restored = maintenance.restore(configured(home / "a.db"), home / "b.bak", silent)

    assert (None, []) == (restored.forgotten, restored.forgotten_ids)
    assert 1 == len(restored.untold)
    assert "damaged" in restored.untold[0]


def test_a_file_of_an_older_schema_that_is_replaced_is_compared_as_well(home: Path) -> None:
    backed_up(home / "a.db", home / "b.bak", "one")
    older(home / "old.db")

    restored = maintenance.restore(configured(home / "old.db"), home / "b.bak", silent)

    assert (0, []) == (restored.forgotten, restored.untold)


def test_a_file_with_a_name_that_a_uri_would_read_otherwise_is_compared(home: Path) -> None:
    (home / "a?mode=memory#%41").mkdir()
    path = home / "a?mode=memory#%41" / "a.db"
    with cortex.open(path) as memory:
        fact = memory.store("one").id
        memory.backup(str(home / "b.bak"))
        memory.forget(fact)

    restored = maintenance.restore(configured(path), home / "b.bak", silent)

    assert [fact] == restored.forgotten_ids


def told_by_the_command(home: Path, *words: str) -> str:
    argv = [sys.executable, "-m", "cortex", "--db", str(home / "a.db"), "restore", str(home / "b.bak"), *words]
    return subprocess.run(argv, capture_output=True, text=True, check=True, cwd=home).stdout


def test_the_command_says_what_a_restore_undid_and_how_to_do_it_again(home: Path) -> None:
    with cortex.open(home / "a.db", agent="tester") as memory:
        fact = memory.store("one").id
        memory.add_agent("bob")
        memory.backup(str(home / "b.bak"))
        memory.revoke_agent("bob")
        memory.forget(fact)

    told = told_by_the_command(home)

    lines = told.splitlines()
    assert "1 fact that the replaced file had forgotten is there again; `cortex forget ID` erases it again:" in lines
    assert f"  {fact}" in lines
    assert "  agent bob was revoked and is standard again: `cortex agent revoke bob`" in lines
    assert "facts" == lines[5].split()[0]


def test_the_command_says_the_same_in_json(home: Path) -> None:
    with cortex.open(home / "a.db", agent="tester") as memory:
        fact = memory.store("one").id
        memory.add_agent("bob")
        memory.backup(str(home / "b.bak"))
        memory.revoke_agent("bob")
        memory.forget(fact)

    told = json.loads(told_by_the_command(home, "--json"))

    assert (1, 1, [fact]) == (told["facts"], told["forgotten"], told["forgotten_ids"])
    assert ["cortex agent revoke bob"] == [each["command"] for each in told["undone"]]
    assert (0, []) == (told["undone_more"], told["untold"])


def test_the_command_says_no_more_than_there_is_to_say(home: Path) -> None:
    backed_up(home / "a.db", home / "b.bak", "one")

    told = told_by_the_command(home)

    assert {"path", "source", "before", "origin", "entries", "facts", "note", "votes"} == {
        line.split()[0] for line in told.splitlines()
    }
