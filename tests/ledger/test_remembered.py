"""The memory of earlier verifications, whatever its file holds."""

from pathlib import Path

import pytest

from cortex.errors import Unavailable
from cortex.ledger import memory


@pytest.mark.parametrize(
    "junk",
    [b"", b"junk", b"\xff", b'{"path": "\xff", "logs": []}', b'{"path": "x", "logs": 1}', b'{"a":' + b"[" * 100_000],
    ids=range(6),
)
def test_a_memory_that_cannot_be_read_is_said_and_never_taken_for_none(tmp_path: Path, junk: bytes) -> None:
    home, database = tmp_path / "home", tmp_path / "memory.db"
    file = memory.place(home, database)
    file.parent.mkdir(parents=True)
    file.write_bytes(junk)

    with pytest.raises(Unavailable, match="cannot be read as the memory"):
        memory.load(home, database)

    assert memory.update(home, database, lambda before: before) is not None
    assert junk == file.read_bytes()
    assert memory.save(home, database, []) is None
    assert [] == memory.load(home, database).logs
