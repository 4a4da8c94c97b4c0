"""What the doctor says of the votes log and of the admin key."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.opened import Clock, Memory

from cortex.ops.admin import RotateAdmin
from cortex.ops.doctor import Check, Diagnose
from cortex.ops.node import InitNode
from cortex.ops.votes import CastVote


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory(tmp_path / "cortex.db", tmp_path / "home", Clock(), embedder_kind="none") as opened:
        opened.call(CastVote(id=opened.store("Invoices are sent on the 3rd").id, vote=1, agent="ann"))
        yield opened


def check(memory: Memory, name: str) -> Check:
    return next(one for one in memory.call(Diagnose()).checks if one.name == name)


def test_a_sound_votes_log_is_told(memory: Memory) -> None:
    votes, admin = check(memory, "votes"), check(memory, "admin key")

    assert (True, "3 entries, 1 vote") == (votes.ok, votes.found)
    assert (True, True) == (admin.ok, "without a passphrase" in admin.found)


def test_a_month_without_votes_asks_for_the_admins_word(memory: Memory) -> None:
    memory.clock.advance(days=31)

    found = check(memory, "votes")

    assert (False, True) == (found.ok, "confirm-clock" in found.hint)


def test_another_signing_key_is_told_with_what_mends_it(memory: Memory) -> None:
    memory.close()
    memory.app.context.node_key.path.unlink()
    again = memory.reopen()
    again.call(InitNode())

    found = check(again, "votes")

    assert (False, True) == (found.ok, "cortex vote-ledger init" in found.hint)
    again.close()


def test_an_admin_key_that_was_rotated_elsewhere_is_told(memory: Memory) -> None:
    file = next((memory.home / "admin").glob("*.key"))
    old = file.read_bytes()
    memory.call(RotateAdmin())
    file.write_bytes(old)

    found = check(memory, "admin key")

    assert (False, True) == (found.ok, "not the log's admin key" in found.found)


def test_an_admin_key_on_another_machine_is_no_fault(memory: Memory) -> None:
    next((memory.home / "admin").glob("*.key")).unlink()

    assert check(memory, "admin key").ok
