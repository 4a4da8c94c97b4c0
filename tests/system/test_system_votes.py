"""Several processes vote on one file and are killed: every acknowledged vote is in the log once, where it was said."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw
import pytest
from writing_child import application

from cortex.ops.facts import StoreFact
from cortex.ops.vote_ledger import VerifyVotes

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs kill -9")

CHILD = Path(__file__).with_name("voting_child.py")


def _facts(path: Path) -> list[str]:
    app = application(path)
    try:
        return [asyncio.run(app.call(StoreFact(content=f"fact number {number}"))).id for number in range(5)]
    finally:
        app.close()


def _killed(path: Path, facts: list[str], life: int, processes: int, lines: int) -> list[dict[str, Any]]:
    """What the processes of one life were told before they were killed."""
    children = [
        subprocess.Popen(
            [sys.executable, CHILD, path, f"p{life}-{number}", *facts],
            stdout=subprocess.PIPE,
            env={"PYTHONDONTWRITEBYTECODE": "1"},
        )
        for number in range(processes)
    ]
    told: list[dict[str, Any]] = []
    for child in children:
        assert child.stdout is not None
        told += [json.loads(child.stdout.readline()) for _ in range(lines)]
    for child in children:
        child.kill()
    for child in children:
        assert child.stdout is not None
        rest = child.stdout.read().decode().split("\n")[:-1]  # the last line may have been cut
        told += [json.loads(line) for line in rest]
        assert -9 == child.wait()
        child.stdout.close()
    return told


def _live(tmp_path: Path, lives: int, processes: int, lines: int) -> None:
    path = tmp_path / "memory.db"
    facts = _facts(path)
    told: list[dict[str, Any]] = []

    for life in range(lives):
        told += _killed(path, facts, life, processes, lines)

    connection = apsw.Connection(str(path))
    rows = connection.execute(
        "SELECT event_id, id - 1, lower(hex(hash)) FROM vote_ledger WHERE kind = 'vote'"
    ).fetchall()
    connection.close()
    held = {event_id: (entry, hashed) for event_id, entry, hashed in rows}
    assert len(rows) == len(held)
    assert {one["id"]: (one["entry"], one["hash"]) for one in told}.items() <= held.items()
    assert not any(one["repeated"] for one in told)
    app = application(path)
    try:
        report = asyncio.run(app.call(VerifyVotes()))
    finally:
        app.close()
    assert ([], True, len(rows)) == (report.findings, report.ok, report.votes)


def test_acknowledged_votes_survive_the_processes_that_cast_them(tmp_path: Path) -> None:
    _live(tmp_path, lives=4, processes=3, lines=40)


@pytest.mark.soak
def test_acknowledged_votes_survive_many_processes(tmp_path: Path) -> None:
    _live(tmp_path, lives=60, processes=4, lines=100)
