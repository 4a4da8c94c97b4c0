"""Copies of a file in use: whole, consistent, the owner's alone, and never over anything."""

import asyncio
import os
import stat
from pathlib import Path

import apsw
import pytest
from db_memories import as_a_crash_leaves_it, contents, insert, memory, names, opened, verified

from cortex.db import backup
from cortex.db.database import Database
from cortex.errors import Conflict, Corrupt, Unavailable
from cortex.ops.facts import StoreFact
from cortex.ops.node import Backup


def _copy(database: Database, target: Path) -> None:
    asyncio.run(database.read(lambda tx: backup.copy_to(tx, target)))


def test_a_copy_holds_what_the_file_holds_and_is_the_owners_alone(database: Database, tmp_path: Path) -> None:
    folder = tmp_path / "copies"
    folder.mkdir()
    asyncio.run(database.write(insert("billing")))

    _copy(database, folder / "copy.db")

    assert [folder / "copy.db"] == list(folder.iterdir())
    assert 0o600 == stat.S_IMODE((folder / "copy.db").stat().st_mode) or os.name == "nt"
    with opened(folder / "copy.db") as copy:
        assert ["billing"] == asyncio.run(copy.read(names))


def test_copies_made_while_others_write_are_consistent(path: Path) -> None:
    targets = [path.with_name(f"copy-{n}.db") for n in range(5)]

    async def run() -> None:
        stored = asyncio.gather(*(app.call(StoreFact(content=f"fact {n}")) for n in range(150)))
        for target in targets:
            await app.call(Backup(target=str(target)))
        await stored

    with memory(path) as app:
        asyncio.run(run())

    everything = [f"fact {n}" for n in range(150)]
    for target in targets:
        found = contents(target)
        assert everything[: len(found)] == found
        assert not found or verified(target).ok, "before the first fact there is no ledger to verify"
    assert everything == contents(path)


def test_a_copy_is_never_made_over_something(database: Database, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_text("something")
    dangling = tmp_path / "link.db"
    dangling.symlink_to(tmp_path / "nowhere")

    for existing in (target, dangling, database.path):
        with pytest.raises(Conflict, match="exists already"):
            _copy(database, existing)

    assert "something" == target.read_text()
    assert not (tmp_path / "nowhere").exists()


def test_a_copy_into_a_missing_folder_is_refused(database: Database, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be written"):
        _copy(database, tmp_path / "missing" / "copy.db")


def test_a_damaged_file_gives_no_copy_and_leaves_nothing_behind(path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copies"
    folder.mkdir()
    with memory(path) as app:
        asyncio.run(app.call(StoreFact(content="a fact")))
        app.context.database.empty_log()
    with path.open("r+b") as file:
        file.seek(5 * 4096)
        file.write(b"\xa5" * 4096)

    with opened(path) as database, pytest.raises(Corrupt, match="damaged"):
        _copy(database, folder / "copy.db")

    assert [] == list(folder.iterdir())


def test_damage_says_what_to_do(path: Path) -> None:
    with memory(path) as app:
        asyncio.run(app.call(StoreFact(content="a fact")))
    with path.open("r+b") as file:
        file.seek(5 * 4096)
        file.write(b"\xa5" * 4096)

    with opened(path) as database, pytest.raises(Corrupt, match="is damaged") as found:
        asyncio.run(database.read(lambda tx: backup.damage(tx, "it")))

    assert "cortex restore" in found.value.hint


def test_a_copy_goes_over_an_open_file_in_one_step(path: Path, database: Database, tmp_path: Path) -> None:
    with opened(tmp_path / "other.db") as other:
        asyncio.run(other.write(insert("restored")))
        asyncio.run(database.write(insert("replaced")))
        source, target = apsw.Connection(str(other.path)), apsw.Connection(str(path))

        backup.overwrite(target, source)

        source.close()
        target.close()
    assert ["restored"] == asyncio.run(database.read(names))
    asyncio.run(database.write(insert("and on")))
    assert ["restored", "and on"] == asyncio.run(database.read(names))
    with opened(as_a_crash_leaves_it(path, tmp_path / "crash.db")) as crashed:
        assert ["restored", "and on"] == asyncio.run(crashed.read(names))
