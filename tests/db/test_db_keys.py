"""The signing key beside the file: made once, kept apart, and told when it is wrong."""

import asyncio
import os
import shutil
import stat
from pathlib import Path

import pytest
from db_memories import child, contents, kinds, memory, outcomes, said, tell, verified

from cortex.errors import Unavailable
from cortex.ledger import chain
from cortex.ledger.keys import NodeKey
from cortex.ops.facts import StoreFact
from cortex.ops.ledger import VerifyLedger

NOBODY = 65534

MAKES_THE_KEY = """
import sys
from pathlib import Path
from cortex.ledger.keys import NodeKey
print("ready", flush=True)
for line in sys.stdin:
    print(NodeKey(Path(line.rstrip("\\n"))).vkey("cortex/transactions/a/b"), flush=True)
"""

READS_THE_KEY = f"""
import os, sys
from pathlib import Path
from cortex.errors import CortexError
from cortex.ledger.keys import NodeKey
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid({NOBODY})
    os.setuid({NOBODY})
try:
    print(NodeKey(Path(sys.argv[1])).vkey("cortex/transactions/a/b"), flush=True)
except CortexError as error:
    print(error.kind, error, flush=True)
"""


def _logs(path: Path) -> list[chain.State]:
    with memory(path) as app:
        return asyncio.run(app.context.database.read(chain.logs))


def test_the_key_is_made_with_the_first_change_for_its_owner_only(path: Path) -> None:
    key = path.with_name("memory.db.key")
    with memory(path) as app:
        before = key.exists()
        asyncio.run(app.call(StoreFact(content="a fact")))

    assert (False, True) == (before, key.exists())
    assert 0o600 == stat.S_IMODE(key.stat().st_mode) or os.name == "nt"
    assert {path, key} == set(path.parent.iterdir())


def test_processes_that_make_one_key_at_the_same_time_use_one(tmp_path: Path) -> None:
    rounds = 20
    answers = []
    with child(MAKES_THE_KEY) as one, child(MAKES_THE_KEY) as two:
        assert ["ready"] * 2 == [said(one), said(two)]
        for number in range(rounds):
            for process in (one, two):
                tell(process, tmp_path / f"{number}.key")
            answers.append((said(one), said(two)))

    assert all(first == second != "" for first, second in answers)
    assert rounds == len(set(answers))
    assert {f"{number}.key" for number in range(rounds)} == {file.name for file in tmp_path.iterdir()}


def test_a_copy_without_its_key_goes_on_under_a_new_origin_that_names_the_old_one(path: Path) -> None:
    with memory(path) as app:
        asyncio.run(app.call(StoreFact(content="before the copy")))
    folder = path.parent / "elsewhere"
    folder.mkdir()
    copy = Path(shutil.copy(path, folder / "copy.db"))

    with memory(copy) as app:
        asyncio.run(app.call(StoreFact(content="after the copy")))

    (old,) = _logs(path)
    left, new = _logs(copy)
    report = verified(copy)
    assert (old.origin, old.size, old.root, False) == (left.origin, left.size, left.root, left.active)
    assert new.active
    assert new.origin != old.origin
    assert old.origin.split("/")[:3] == new.origin.split("/")[:3], "the node keeps its name"
    with memory(copy) as app:
        first = asyncio.run(
            app.context.database.read(
                lambda tx: tx.execute(
                    "SELECT kind, parent FROM transactions WHERE log = ? AND idx = 0", (new.id,)
                ).fetchall()
            )
        )
    assert [("origin", f"{old.origin} {old.size} {old.root.hex()}")] == first
    assert (True, 2, ["before the copy", "after the copy"]) == (report.ok, len(report.logs), contents(copy))
    assert verified(path).ok


def test_a_copy_with_its_key_goes_on_as_it_was(path: Path) -> None:
    with memory(path) as app:
        asyncio.run(app.call(StoreFact(content="one")))
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    shutil.copy(f"{path}.key", f"{copy}.key")

    with memory(copy) as app:
        asyncio.run(app.call(StoreFact(content="two")))

    (log,) = _logs(copy)
    assert (3, True) == (log.size, verified(copy).ok)


def test_a_lost_key_begins_a_new_origin_and_everything_still_verifies(path: Path) -> None:
    for number in range(3):
        with memory(path) as app:
            asyncio.run(app.call(StoreFact(content=f"fact {number}")))
        path.with_name("memory.db.key").unlink()

    report = verified(path)
    assert ([2, 2, 2], [False, False, True]) == ([log.size for log in report.logs], [log.active for log in report.logs])
    assert ([], True) == (report.findings, report.ok)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"cortex-node-key/v1 ",
        b"cortex-node-key/v1 AAAA\n",
        b"cortex-node-key/v2 " + b"A" * 43 + b"=\n",
        b"\xff" * 64,
        b"cortex-node-key/v1 " + b"A" * 4000,
    ],
    ids=["empty", "text", "no-seed", "short", "other-version", "binary", "long"],
)
def test_a_damaged_key_is_told_nothing_is_stored_and_the_file_stays(path: Path, content: bytes) -> None:
    key = path.with_name("memory.db.key")
    key.write_bytes(content)

    with memory(path) as app:
        results = asyncio.run(outcomes(app.call(StoreFact(content="a fact")), app.call(VerifyLedger())))

    assert "unavailable" == kinds(results)[0]
    assert f"{key} is not a node key" in str(results[0])
    assert "put the right file back" in str(results[0])
    assert ([], content) == (contents(path), key.read_bytes())


def test_a_key_that_is_put_back_is_used_again(path: Path) -> None:
    key, away = path.with_name("memory.db.key"), path.with_name("away")
    with memory(path) as app:
        asyncio.run(app.call(StoreFact(content="one")))
    key.rename(away)
    key.write_text("not a key")
    with memory(path) as app:
        assert ["unavailable"] == kinds(asyncio.run(outcomes(app.call(StoreFact(content="two")))))
    away.rename(key)

    with memory(path) as app:
        asyncio.run(app.call(StoreFact(content="three")))

    assert 1 == len(_logs(path))
    assert (["one", "three"], True) == (contents(path), verified(path).ok)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="needs a second user")
def test_a_key_that_may_not_be_read_is_told(shared_folder: Path) -> None:
    key = shared_folder / "node.key"
    NodeKey(key).vkey("cortex/transactions/a/b")

    with child(READS_THE_KEY, key) as process:
        answer = said(process)

    assert f"unavailable the key {key} cannot be read (Permission denied); check who owns it" == answer


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="needs a second user")
def test_a_key_that_may_not_be_made_is_told(shared_folder: Path) -> None:
    with child(READS_THE_KEY, shared_folder / "node.key") as process:
        answer = said(process)

    assert answer.startswith(f"unavailable the signing key {shared_folder / 'node.key'} cannot be made: ")
    assert "set node_key to another place" in answer
    assert [] == list(shared_folder.iterdir())


def test_a_folder_in_the_keys_place_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be read"):
        NodeKey(tmp_path).vkey("cortex/transactions/a/b")


def test_a_key_with_blank_lines_round_it_is_read(tmp_path: Path) -> None:
    made = NodeKey(tmp_path / "key").vkey("cortex/transactions/a/b")
    content = (tmp_path / "key").read_text()
    (tmp_path / "key").write_text(f"\n{content}\n\n")

    assert made == NodeKey(tmp_path / "key").vkey("cortex/transactions/a/b")


def test_only_the_prefix_makes_a_key(tmp_path: Path) -> None:
    NodeKey(tmp_path / "key").vkey("cortex/transactions/a/b")
    (tmp_path / "key").write_text((tmp_path / "key").read_text().removeprefix("cortex-node-key/v1 "))

    with pytest.raises(Unavailable, match="is not a node key"):
        NodeKey(tmp_path / "key").vkey("cortex/transactions/a/b")


def test_a_verification_that_needs_a_damaged_key_could_not_be_done(path: Path) -> None:
    with memory(path) as app:
        asyncio.run(app.call(StoreFact(content="a fact")))
    Path(f"{path}.key").write_text("not a key")

    with memory(path) as app:
        results = asyncio.run(outcomes(app.call(VerifyLedger())))

    assert ["unavailable"] == kinds(results)
