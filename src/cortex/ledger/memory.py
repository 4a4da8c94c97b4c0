"""What is remembered of a log outside its file: without it, whoever owns the file and its key can rewrite history.

One small JSON file per database path, in the person's own folder. It also lets an incremental run resume.
"""

import hashlib
import os
import tempfile
from pathlib import Path

import msgspec
from msgspec import Struct

from cortex.errors import Invalid, Unavailable

_FILE_BYTES_MAX = 1 << 20


class Remembered(Struct, frozen=True, kw_only=True):
    """A log as it was when it was last verified: enough to compare with and to resume from. Hashes in hex."""

    origin: str
    size: int
    root: str
    range: str
    head: str
    ts: str
    verified_at: str
    # Up to which entry the texts were checked too; a verification without texts leaves it where it was.
    text_size: int = 0


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
    """What is remembered of a database; nothing where there is no memory yet. Raises Invalid for a damaged one."""
    file = place(home, database)
    try:
        with file.open("rb") as opened:
            return msgspec.json.decode(opened.read(_FILE_BYTES_MAX), type=Memory)
    except FileNotFoundError:
        return Memory(path=str(database.resolve()), logs=[])
    except (msgspec.DecodeError, OSError) as error:
        raise Invalid(f"{file} cannot be read as the memory of {database} ({error})", "restore or remove it") from None


def save(home: Path, database: Path, logs: list[Remembered]) -> None:
    """Replace what is remembered, whole or not at all. Raises Unavailable where the folder cannot be written."""
    file = place(home, database)
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        with os.fdopen(handle, "wb") as opened:
            opened.write(msgspec.json.encode(Memory(path=str(database.resolve()), logs=logs)))
            opened.flush()
            os.fsync(handle)
        Path(name).replace(file)
    except OSError as error:
        raise Unavailable(
            f"what was verified cannot be remembered in {file.parent} ({error.strerror})", "make it writable"
        ) from None
