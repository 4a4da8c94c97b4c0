"""What a process that stays believes of the runs that are written down, and what it says of one that does not end."""

import asyncio
from pathlib import Path

import pytest
from watching import look, runs

from cortex import telemetry, times
from cortex.errors import Internal
from cortex.ledger import memory as outside
from cortex.ops import verification, vote_verification
from cortex.ops.node import ReadStatus
from cortex.ops.runs import LastRun
from cortex.ops.votes import CastVote
from cortex.progress import silent
from opened import Memory


@pytest.fixture
def voted(memory: Memory) -> Memory:
    fact = memory.store("one")
    memory.call(CastVote(id=fact.id, vote=1))
    return memory


def forge(memory: Memory, incremental: int) -> None:
    """Write runs down that never were."""
    with memory.sql() as connection:
        for log, passes in (("transactions", verification.PASSES), ("votes", vote_verification.PASSES)):
            connection.execute(
                "INSERT INTO vote_integrity_checks (log, started_at, finished_at, ok, incremental, size, votes, passes,"
                " findings) VALUES (?1, ?2, ?2, 1, ?3, 3, 1, ?4, '[]')",
                (log, memory.clock(), incremental, str(sorted(passes)).replace("'", '"')),
            )


@pytest.mark.parametrize("incremental", [0, 1])
def test_a_run_that_left_no_mark_outside_of_the_file_is_not_believed(voted: Memory, incremental: int) -> None:
    forge(voted, incremental)

    look(voted)

    assert [("transactions", 1, 0), ("votes", 1, 0)] == runs(voted)[2:]


def test_whole_runs_are_not_forged_by_the_mark_that_an_incremental_one_leaves(voted: Memory) -> None:
    look(voted)
    forge(voted, 0)
    home, database = voted.home, voted.path
    longer_ago = times.canonical("2020-01-01T00:00:00Z")

    def change(kept: outside.Memory) -> outside.Memory:
        logs = [outside.structs.replace(log, whole_at=longer_ago) for log in kept.logs]
        return outside.structs.replace(kept, logs=logs)

    assert outside.update(home, database, change) is None
    look(voted)

    assert [("transactions", 1, 0)] == runs(voted)[4:]


def test_a_verification_that_ends_without_a_result_is_written_down_and_told(voted: Memory) -> None:
    look(voted)
    voted.clock.advance(days=2)
    before = figure("votes")
    kept = voted.path.with_name("kept.db")
    voted.path.rename(kept)
    voted.path.write_bytes(b"no database" * 1_000)

    look(voted)

    assert before + 1 == figure("votes")
    kept.replace(voted.path)
    assert [("transactions", 0, 0), ("votes", 0, 0)] == runs(voted)[2:]
    assert [["UNFINISHED"], ["UNFINISHED"]] == [run.codes for run in voted.call(ReadStatus()).verified]


def figure(log: str) -> float:
    return telemetry.VERIFICATION_FINDINGS.values.get((log, "UNFINISHED"), 0)


def test_a_worker_without_a_result_is_an_error_of_ours(voted: Memory, tmp_path: Path) -> None:
    task = vote_verification.task_of(voted.app.context, incremental=False)

    with pytest.raises(Internal, match="without a result"):
        asyncio.run(verification.in_worker("cortex.plurals", task, LastRun, silent))
