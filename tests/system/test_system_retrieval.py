"""Processes that search and embed on one file: each sees what was acknowledged, and being killed leaves nothing half."""

import asyncio
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw
import pytest
from embedding_child import application

from cortex.ops.doctor import Diagnose
from cortex.ops.embed import EmbedFacts
from cortex.ops.node import Reindex
from cortex.ops.search import SearchFacts

HERE = Path(__file__).parent
ENVIRONMENT = {"PATH": os.environ.get("PATH", ""), "PYTHONDONTWRITEBYTECODE": "1"}
SEED = 20_260_301


def _rows(path: Path, sql: str) -> list[Any]:
    connection = apsw.Connection(str(path))
    try:
        return list(connection.execute(sql))
    finally:
        connection.close()


# Two processes


def _write_and_search(folder: Path, seconds: float) -> None:
    names = ("anna", "ben")
    for name in names:
        (folder / name).touch()
    children = [
        subprocess.Popen(
            [sys.executable, HERE / "searching_child.py", folder, name, other, str(seconds)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
        for name, other in (names, names[::-1])
    ]

    told = [child.communicate(timeout=seconds + 120) for child in children]

    assert ["", ""] == [errors for _, errors in told]
    assert [0, 0] == [child.returncode for child in children]
    for out, _ in told:
        writes, searches = map(int, out.split())
        print(f"{writes} writes, {searches} searches")
        assert writes > seconds
        assert searches > 20 * seconds


def test_two_processes_find_all_that_was_acknowledged_before_they_searched(tmp_path: Path) -> None:
    _write_and_search(tmp_path, 3)


@pytest.mark.soak
def test_two_processes_find_all_that_was_acknowledged_before_they_searched_for_half_a_minute(tmp_path: Path) -> None:
    _write_and_search(tmp_path, 30)


# Being killed


def _live_and_die(path: Path, life: int, chance: random.Random) -> None:
    by_itself = chance.random() < 0.6
    child = subprocess.Popen(
        [sys.executable, HERE / "embedding_child.py", path, str(life), str(chance.random())]
        + ([str(chance.randint(1, 900))] if by_itself else []),
        stdout=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    assert child.stdout is not None
    lines = chance.randint(1, 6)
    for number, _ in enumerate(child.stdout, start=1):
        if not by_itself and number == lines:
            child.kill()
    assert -9 == child.wait()
    child.stdout.close()


def _check(path: Path) -> None:
    """Each revision and each window has its vectors or is pending, never half of them, nothing twice."""
    for table, kind in (("revision", 1), ("turn_window", 2)):
        made, pending = (
            f"SELECT revision_id FROM vector WHERE kind = {kind}",
            f"SELECT revision_id FROM pending WHERE task = {kind}",
        )
        assert [] == _rows(path, f"SELECT id FROM {table} WHERE id NOT IN ({made}) AND id NOT IN ({pending})")
        assert [] == _rows(path, f"SELECT id FROM {table} WHERE id IN ({made}) AND id IN ({pending})")
        assert [] == _rows(path, f"{made} AND revision_id NOT IN (SELECT id FROM {table})")
        assert [] == _rows(path, f"{pending} AND revision_id NOT IN (SELECT id FROM {table})")
    twice = "SELECT 1 FROM vector GROUP BY revision_id, kind, part_start HAVING count(*) > 1"
    assert [] == _rows(path, twice)
    assert len(_rows(path, "SELECT 1 FROM embedder")) <= 1
    ends = "SELECT max(v.part_end) FROM vector AS v JOIN revision AS r ON r.id = v.revision_id WHERE v.kind = 1 GROUP BY r.id HAVING max(v.part_end) < length(rtrim(r.content))"
    assert [] == _rows(path, ends)


def _finished(path: Path) -> None:
    """What was left pending is done, and everything is in order."""
    app = application(path)
    try:
        done = asyncio.run(app.call(EmbedFacts()))
        ill = [check.found for check in asyncio.run(app.call(Diagnose())).checks if not check.ok]
        before = asyncio.run(app.call(SearchFacts(query="life turn 0 0 word", mode="semantic", top_k=100)))
        asyncio.run(app.call(Reindex()))
        after = asyncio.run(app.call(SearchFacts(query="life turn 0 0 word", mode="semantic", top_k=100)))
    finally:
        app.close()
    assert (0, []) == (done.pending, ill)
    assert [(hit.fact.id, hit.score) for hit in before.hits] == [(hit.fact.id, hit.score) for hit in after.hits]
    believed = _rows(path, "SELECT count(*) FROM revision WHERE retired_at IS NULL")[0][0]
    assert min(100, believed) == len(before.hits)
    _check(path)


def _run_lives(folder: Path, seed: int, lives: int) -> None:
    print(f"seed {seed}")
    chance, path = random.Random(seed), folder / "memory.db"
    for life in range(lives):
        print(f"life {life}")
        _live_and_die(path, life, chance)
        if path.exists() and path.stat().st_size:
            application(path).close()  # makes whole what was begun
            _check(path)
    _finished(path)


@pytest.mark.skipif(os.name == "nt", reason="needs kill -9")
def test_processes_that_are_killed_while_they_embed_leave_nothing_half_and_nothing_twice(tmp_path: Path) -> None:
    _run_lives(tmp_path, SEED, 12)


@pytest.mark.soak
@pytest.mark.skipif(os.name == "nt", reason="needs kill -9")
@pytest.mark.parametrize("seed", range(1, 11))
def test_hundreds_of_processes_that_are_killed_while_they_embed_leave_nothing_half(tmp_path: Path, seed: int) -> None:
    _run_lives(tmp_path, SEED + seed, 30)
