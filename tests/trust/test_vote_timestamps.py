"""Timestamps of checkpoints by a real authority, kept with them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.ledger.test_timestamp import OPENSSL, Authority, made_authority
from tests.ledger.test_timestamp import serving as serving_stamps

from cortex.ops.ledger import MakeCheckpoint
from cortex.ops.vote_ledger import InitVoteLog, MakeVoteCheckpoint
from opened import Memory
from served import serving

__all__ = ["made_authority"]

Opening = Callable[..., Memory]


@pytest.mark.skipif(not OPENSSL, reason="openssl, which plays the authority, is not installed")
def test_a_timestamp_is_kept_with_the_checkpoint_and_holds_when_witnesses_sign_it(
    authority: Authority, opening: Opening, tmp_path: Path
) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_bytes(authority.root())
    asked = serving_stamps(
        lambda question: (200, "Content-Type: application/timestamp-reply", authority.answer(question))
    )
    with asked as (url, seen):
        memory = opening(timestamp_url=url, timestamp_roots=str(roots))
        vkey = memory.call(InitVoteLog()).vkey
        first = memory.call(MakeVoteCheckpoint(timestamp=True)).timestamp
        with serving(tmp_path / "witness", vkey) as target:
            opening(witnesses=target).call(MakeVoteCheckpoint())
        again = memory.call(MakeVoteCheckpoint(timestamp=True)).timestamp

    assert first is not None
    assert first == again
    assert 1 == len(seen)
    assert "CN=stämper" == first.by


@pytest.mark.skipif(not OPENSSL, reason="openssl, which plays the authority, is not installed")
def test_without_roots_a_timestamp_is_kept_and_its_time_is_not_claimed(authority: Authority, opening: Opening) -> None:
    kind = "Content-Type: application/timestamp-reply"
    with serving_stamps(lambda question: (200, kind, authority.answer(question))) as (url, _):
        memory = opening(timestamp_url=url)
        memory.store("one")
        stamp = memory.call(MakeCheckpoint(timestamp=True)).timestamp

    assert stamp is not None
    assert (None, None) == (stamp.at, stamp.by)
    assert "not checked" in (stamp.told or "")
