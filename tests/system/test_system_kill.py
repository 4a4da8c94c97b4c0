"""kill -9 at any moment: what was acknowledged is there, what was not is whole or not there, and the ledger verifies."""

import asyncio
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw
import pytest
from writing_child import IMPORT_LINES, application

from cortex.ops.ledger import VerifyLedger
from cortex.ops.transfer import ImportFiles

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs kill -9")

CHILD = Path(__file__).with_name("writing_child.py")
LIVES_PER_FILE = 25
SEED = 20_260_301


class Promises:
    """What the lives so far were told, and what the one that was killed had not been told yet."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.gone: set[str] = set()
        self.adding: list[list[str]] = []
        self.changing: dict[str, str | None] = {}

    def take(self, line: bytes) -> None:
        """One line of a child."""
        ((what, told),) = json.loads(line).items()
        if what == "try":
            self.adding += told.get("add", [])
            if "change" in told:
                self.changing[told["change"]] = told["to"]
            return
        assert told.get("error") is None, told
        for fact_id, text in told.get("add", {}).items():
            self.kept[fact_id] = text
        acknowledged = set(told.get("add", {}).values())
        self.adding = [texts for texts in self.adding if not acknowledged & set(texts)]
        if "change" in told:
            self._change(told["change"], self.changing.pop(told["change"]))

    def _change(self, fact_id: str, text: str | None) -> None:
        if text is None:
            del self.kept[fact_id]
            self.gone.add(fact_id)
        else:
            self.kept[fact_id] = text

    def settle(self, found: dict[str, str]) -> None:
        """Compare with what a killed life left behind. What it was about to do was done wholly or not at all."""
        for fact_id, text in self.changing.items():
            assert found.get(fact_id) in {self.kept[fact_id], text}
            if found.get(fact_id) == text:
                self._change(fact_id, text)
        texts = {text: fact_id for fact_id, text in found.items()}
        for request in self.adding:
            there = [text for text in request if text in texts]
            assert there in ([], request), "half a request is there"
            self.kept |= {texts[text]: text for text in there}
        self.adding, self.changing = [], {}
        assert self.kept == found
        assert not self.gone & found.keys()


def _believed(path: Path) -> tuple[dict[str, str], list[str]]:
    connection = apsw.Connection(str(path))
    rows = connection.execute("SELECT fact_id, content FROM revision WHERE retired_at IS NULL ORDER BY id").fetchall()
    connection.close()
    imported = [text for _, text in rows if text.startswith("line ")]
    return {fact_id: text for fact_id, text in rows if not text.startswith("line ")}, imported


def _verify(path: Path) -> None:
    app = application(path)
    try:
        report = asyncio.run(app.call(VerifyLedger()))
    finally:
        app.close()
    assert ([], True) == (report.findings, report.ok)
    assert {"integrity", "text"} <= set(report.passes)


def _live_and_die(path: Path, life: int, chance: random.Random, promises: Promises) -> None:
    by_itself = chance.random() < 0.5
    writes = [str(chance.randint(1, 1_200))] if by_itself else []
    lines = chance.randint(1, 60)
    child = subprocess.Popen(
        [sys.executable, CHILD, path, str(life), str(chance.random()), *writes],
        stdout=subprocess.PIPE,
        env={"PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert child.stdout is not None
    for number, line in enumerate(child.stdout, start=1):
        promises.take(line)
        if not by_itself and number == lines:
            child.kill()
    assert -9 == child.wait()
    child.stdout.close()


def _run_lives(folder: Path, seed: int, lives: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    path, lines = folder / "memory.db", folder / "lines.jsonl"
    given = [f"line {n}" for n in range(IMPORT_LINES)]
    lines.write_text("".join(json.dumps({"content": text}) + "\n" for text in given))
    promises = Promises()
    for life in range(lives):
        print(f"life {life}")
        _live_and_die(path, life, chance, promises)
        if not path.exists():
            continue
        _verify(path)
        found, imported = _believed(path)
        promises.settle(found)
        assert given[: len(imported)] == imported, "an import is a beginning of its file, each line once"

    app = application(path)
    report = asyncio.run(app.call(ImportFiles(paths=[str(lines)], format="jsonl")))
    app.close()
    assert None is report.files[0].error
    assert (promises.kept, given) == _believed(path)
    assert len(promises.kept) > lives
    _verify(path)


def test_processes_that_are_killed_break_no_promise(tmp_path: Path) -> None:
    _run_lives(tmp_path, SEED, LIVES_PER_FILE)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("seed", range(1, 1 + 1_000 // LIVES_PER_FILE))
def test_a_thousand_processes_that_are_killed_break_no_promise(tmp_path: Path, seed: int) -> None:
    _run_lives(tmp_path, SEED + seed, LIVES_PER_FILE)


def test_a_process_that_is_killed_at_each_of_its_first_writes_breaks_no_promise(tmp_path: Path) -> None:
    def live(writes: int) -> tuple[Path, Promises]:
        folder = tmp_path / str(writes)
        folder.mkdir()
        (folder / "lines.jsonl").touch()
        path, promises = folder / "memory.db", Promises()
        done: Any = subprocess.run(
            [sys.executable, CHILD, path, "0", "first", str(writes)],
            stdout=subprocess.PIPE,
            env={"PYTHONDONTWRITEBYTECODE": "1"},
            check=False,
        )
        assert -9 == done.returncode
        for line in done.stdout.splitlines():
            promises.take(line)
        return path, promises

    for writes in range(1, 90, 4):
        path, promises = live(writes)
        _verify(path)  # opens the file, and makes whole what was begun
        promises.settle(_believed(path)[0])
