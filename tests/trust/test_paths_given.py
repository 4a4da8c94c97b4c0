"""Paths that requests on votes are given: a text that is none is refused before anything is written."""

import pytest

from cortex.errors import Invalid
from cortex.ops.agent_keys import AddAgentKey, RotateAgentKey
from cortex.ops.agents import AddAgent
from cortex.ops.external import VerifyExternal
from cortex.ops.resubmitting import ResubmitVotes
from cortex.ops.vote_ledger import MakeVoteCheckpoint, VerifyVotes
from cortex.ops.vote_records import ExportVotes, ProveVote
from cortex.ops.votes import CastVote
from opened import Memory


@pytest.mark.parametrize("path", [f"a{chr(code)}b" for code in (0, 0xD800, 0xDCFF)])
def test_a_text_that_is_no_path_is_refused_wherever_one_is_given(memory: Memory, path: str) -> None:
    fact = memory.store("one")
    cast = memory.call(CastVote(id=fact.id, vote=1))
    size = memory.call(MakeVoteCheckpoint()).size

    for request in (
        CastVote(id=fact.id, vote=-1, key=path),
        AddAgent(name="ann", key=path),
        AddAgent(name="ann", key_out=path),
        AddAgentKey(name="tester", out=path),
        RotateAgentKey(name="tester", key=path),
        VerifyVotes(receipts=[path]),
        ResubmitVotes(receipts=[path]),
        ExportVotes(path=path),
        ProveVote(vote=str(cast.entry), output=path),
        VerifyExternal(path=path),
        VerifyExternal(path=str(memory.path), receipts=[path]),
    ):
        with pytest.raises(Invalid, match="is not a path"):
            memory.call(request)

    assert size == memory.call(MakeVoteCheckpoint()).size
