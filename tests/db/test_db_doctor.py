"""What the doctor says of files that are locked, read-only, or have lost their key."""

import asyncio
import os
from pathlib import Path

import apsw
import pytest
from db_memories import child, memory, said

from cortex.ops.doctor import Check, Diagnose
from cortex.ops.facts import StoreFact
from cortex.ops.node import ReadStatus

NOBODY = 65534

ASKS_THE_DOCTOR = f"""
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from db_memories import memory
from cortex.db import migrate
from cortex.ops.doctor import Diagnose

known = migrate.shipped()  # read while this may be read
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid({NOBODY})
    os.setuid({NOBODY})
with memory(Path(sys.argv[2]), migrations=known) as app:
    for check in asyncio.run(app.call(Diagnose())).checks:
        print(check.name, check.ok, check.found, sep="|", flush=True)
print("done", flush=True)
"""


def _check(path: Path, name: str, **options: int) -> Check:
    with memory(path, **options) as app:
        return next(check for check in asyncio.run(app.call(Diagnose())).checks if check.name == name)


def test_a_locked_file_is_no_reason_to_make_its_index_anew(path: Path) -> None:
    with memory(path) as app:
        asyncio.run(app.call(StoreFact(content="a fact")))
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")

    found = _check(path, "text index", busy_timeout_ms=50)
    other.close()

    assert not found.ok
    assert "locked" in found.found
    assert "reindex" not in found.hint


def test_an_index_that_does_not_hold_what_the_facts_say_is_to_be_made_anew(path: Path) -> None:
    with memory(path) as app:
        asyncio.run(app.call(StoreFact(content="a fact")))
        asyncio.run(app.context.database.write(lambda tx: tx.execute("UPDATE revision SET content = 'b'").fetchall()))

    found = _check(path, "text index")

    assert (False, "cortex reindex") == (found.ok, found.hint)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX")
def test_a_read_only_file_is_looked_at_as_far_as_that_goes(shared_folder: Path) -> None:
    path = shared_folder / "memory.db"
    with memory(path) as app:
        asyncio.run(app.call(StoreFact(content="a fact")))
        mark = "UPDATE fact SET erased_at = '2026-01-01T00:00:00.000000Z'"
        asyncio.run(app.context.database.write(lambda tx: tx.execute(mark).fetchall()))
    path.chmod(0o444)
    shared_folder.chmod(0o555)

    with child(ASKS_THE_DOCTOR, Path(__file__).parent, path) as process:
        lines = list(iter(lambda: said(process), "done"))

    assert "text index|True|not checked: read-only" in lines
    assert "forgetting|False|perhaps still in the raw files, which are read-only: 1 forgotten" in lines
    assert "structure|True|every page is sound" in lines


def test_a_ledger_that_was_continued_without_its_key_is_told(path: Path) -> None:
    for number in range(3):
        with memory(path) as app:
            asyncio.run(app.call(StoreFact(content=f"fact {number}")))
        if number:
            Path(f"{path}.key").unlink()

    with memory(path) as app:
        asyncio.run(app.call(StoreFact(content="the last")))
        origins = asyncio.run(app.call(ReadStatus())).origins
    found = _check(path, "origins")

    told = "the ledger has 3 origins: it was continued under a new one 2 times since the key before was not here"
    assert (3, True, told) == (origins, found.ok, found.found)


def test_one_origin_is_nothing_to_tell_of(path: Path) -> None:
    with memory(path) as app:
        asyncio.run(app.call(StoreFact(content="a fact")))

    assert "the ledger has one origin" == _check(path, "origins").found
