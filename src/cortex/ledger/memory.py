"""What is remembered of a log outside its file: without it, whoever owns the file and its key can rewrite history.

One small JSON file per database path, in the person's own folder. It also lets an incremental run resume.
"""

import hashlib
import os
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from cortex import files, limits
from cortex.errors import Unavailable

_FILE_BYTES_MAX = 16 << 20
_HASH_CHARS = 64

_Size = Annotated[int, Meta(ge=0, le=limits.SEQ_MAX)]
_Hash = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class Remembered(Struct, frozen=True, kw_only=True):
    """A log as it was when it was last verified: enough to compare with and to resume from. Hashes in hex."""

    origin: str
    size: _Size
    root: _Hash
    range: Annotated[str, Meta(pattern=r"\A[0-9a-f]*\Z")]
    head: _Hash
    ts: str
    verified_at: str
    # Up to which entry the texts were checked too; a verification without texts leaves it where it was.
    text_size: _Size = 0

    def __post_init__(self) -> None:
        # One root of a complete subtree for each bit of the size.
        if len(self.range) != self.size.bit_count() * _HASH_CHARS:
            raise ValueError(f"a range of {len(self.range)} characters for {self.size} entries")


class Memory(Struct, frozen=True, kw_only=True):
    """What is remembered of the logs in one database file."""

    path: str
    logs: list[Remembered]

    def of(self, origin: str) -> Remembered | None:
        """What is remembered of one log."""
        return next((log for log in self.logs if log.origin == origin), None)


def place(home: Path, database: Path) -> Path:
    """Where the memory of a database lies."""
    name = hashlib.sha256(os.fsencode(database.resolve())).hexdigest()[:32]
    return home / "verified" / f"{name}.json"


def load(home: Path, database: Path) -> Memory:
    """What is remembered of a database; nothing where there is no memory yet. Raises Unavailable for a damaged one."""
    file = place(home, database)
    try:
        return msgspec.json.decode(files.read_start(file, _FILE_BYTES_MAX), type=Memory)
    except FileNotFoundError:
        return Memory(path=str(database.resolve()), logs=[])
    except (msgspec.DecodeError, OSError) as error:
        raise Unavailable(
            f"{file} cannot be read as the memory of {database} ({error})",
            "restore it, or move it away: then nothing is compared with earlier verifications",
        ) from None


def save(home: Path, database: Path, logs: list[Remembered]) -> str | None:
    """Replace what is remembered, whole or not at all. Returns why it could not be done, None where it was.

    Not an error: a verification that found the logs in order has done its work, also where nothing can be written.
    """
    file = place(home, database)
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        files.replace_whole(file, msgspec.json.encode(Memory(path=str(database.resolve()), logs=logs)))
    except OSError as error:
        return f"what was verified cannot be remembered in {file.parent} ({error.strerror})"
    return None
