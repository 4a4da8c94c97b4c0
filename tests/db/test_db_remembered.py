"""What is remembered of a ledger outside its file: damaged, out of form, or in a place that cannot be written."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from cortex.errors import Unavailable
from cortex.ledger import memory

HASH = "0f" * 32
GOOD = {
    "origin": "cortex/transactions/a/b", "size": 5, "root": HASH, "range": HASH * 2, "head": HASH,
    "ts": "2026-01-01T00:00:00.000000Z", "verified_at": "2026-01-01T00:00:00.000000Z", "text_size": 5,
}  # fmt: skip


def _placed(home: Path, database: Path, content: bytes) -> None:
    file = memory.place(home, database)
    file.parent.mkdir(parents=True)
    file.write_bytes(content)


def _written(home: Path, database: Path, **changes: Any) -> None:
    _placed(home, database, msgspec.json.encode({"path": str(database), "logs": [GOOD | changes]}))


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    log = msgspec.convert(GOOD, memory.Remembered)

    assert memory.save(tmp_path / "home", tmp_path / "a.db", [log]) is None

    assert [log] == memory.load(tmp_path / "home", tmp_path / "a.db").logs


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff" * 10, b"[]", b"{}"], ids=["empty", "cut", "binary", "list", "object"]
)
def test_a_damaged_memory_is_unavailable_and_the_hint_says_to_move_it_away(tmp_path: Path, content: bytes) -> None:
    _placed(tmp_path / "home", tmp_path / "a.db", content)

    with pytest.raises(Unavailable, match="cannot be read as the memory") as refused:
        memory.load(tmp_path / "home", tmp_path / "a.db")

    assert "move it away" in refused.value.hint


@pytest.mark.parametrize(
    "changes",
    [
        {"size": -1}, {"text_size": -1}, {"root": "0f"}, {"root": "zz" * 32}, {"root": HASH + "\n"}, {"head": HASH * 2},
        {"range": HASH}, {"range": "0f"}, {"range": "z" * 128}, {"size": 7}, {"size": 1 << 60}, {"size": "5"},
    ],
    ids=str,
)  # fmt: skip
def test_a_memory_out_of_form_is_refused_when_it_is_loaded(tmp_path: Path, changes: dict[str, Any]) -> None:
    _written(tmp_path / "home", tmp_path / "a.db", **changes)

    with pytest.raises(Unavailable, match="cannot be read as the memory"):
        memory.load(tmp_path / "home", tmp_path / "a.db")


def test_a_home_that_cannot_be_written_is_told_and_nothing_is_raised(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file in the folder's place")

    told = memory.save(tmp_path / "home", tmp_path / "a.db", [])

    assert told is not None
    assert "cannot be remembered" in told


def test_a_memory_that_cannot_take_its_name_leaves_nothing_behind(tmp_path: Path) -> None:
    file = memory.place(tmp_path / "home", tmp_path / "a.db")
    (file / "in the way").mkdir(parents=True)

    told = memory.save(tmp_path / "home", tmp_path / "a.db", [])

    assert told is not None
    assert [file] == list(file.parent.iterdir())
