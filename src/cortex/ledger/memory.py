"""What is remembered of a log outside its file: without it, whoever owns the file and its key can rewrite history.

One small JSON file per database path, in the person's own folder. It also lets an incremental run resume.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct, structs

from cortex import files, limits
from cortex.errors import Unavailable
from cortex.ledger.locking import locked

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
    # When it was last verified from its beginning and with every pass.
    whole_at: str = ""

    def __post_init__(self) -> None:
        # One root of a complete subtree for each bit of the size.
        if len(self.range) != self.size.bit_count() * _HASH_CHARS:
            raise ValueError(f"a range of {len(self.range)} characters for {self.size} entries")


class ReceiptsMark(Struct, frozen=True, kw_only=True):
    """How far an own file of receipts was compared, and a digest of its bytes at the beginning and before there."""

    name: str
    offset: _Size
    digest: _Hash


class RememberedVotes(Remembered, frozen=True, kw_only=True):
    """The votes log, with how many of its entries are votes and which keys and policy were in force at its end."""

    votes: _Size
    vkey: str
    admin: _Hash
    policy: str
    # As text_size: up to which entry every signature was checked too.
    signed_size: _Size = 0
    # How far the receipts were compared that agents keep here; a file without a mark is compared from its beginning.
    receipts: list[ReceiptsMark] = []


class Memory(Struct, frozen=True, kw_only=True):
    """What is remembered of the logs in one database file: those of transactions, and the votes log."""

    path: str
    logs: list[Remembered]
    votes: RememberedVotes | None = None

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
        return msgspec.json.decode(files.read_start(file, limits.REMEMBERED_FILE_BYTES_MAX), type=Memory)
    except FileNotFoundError:
        return _nothing(database)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OSError) as error:
        raise Unavailable(
            f"{file} cannot be read as the memory of {database} ({error})",
            "restore it, or move it away: then nothing is compared with earlier verifications",
        ) from None


def knows(home: Path, origin: str) -> bool:
    """Whether anything is remembered of a log, of whatever database. One that cannot be read may have it."""
    try:
        memories = [file for file in (home / "verified").iterdir() if file.suffix == ".json"]
        return any(origin.encode() in files.read_start(file, limits.REMEMBERED_FILE_BYTES_MAX) for file in memories)
    except OSError as error:
        return not isinstance(error, FileNotFoundError) or files.found(home / "verified") is not None


def save(home: Path, database: Path, logs: list[Remembered]) -> str | None:
    """Replace what is remembered of the transactions logs, as `update` does. A damaged memory is replaced."""

    def change(before: Memory) -> Memory:
        return structs.replace(before, logs=logs)

    return update(home, database, change, mend=True)


def update(home: Path, database: Path, change: Callable[[Memory], Memory], *, mend: bool = False) -> str | None:
    """Put what `change` makes of the memory in its place, whole or not at all; one process at a time.

    With `mend` a damaged memory counts as none. Returns why it could not be written, None where it was. Not an error: a
    verification that found the logs in order has done its work also then.
    """
    file = place(home, database)
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _alone(file.parent):
            after = change(_readable(home, database, mend))
            files.replace_whole(file, msgspec.json.encode(structs.replace(after, path=str(database.resolve()))))
    except OSError as error:
        return f"what was verified cannot be remembered in {file.parent} ({error.strerror})"
    except Unavailable as error:
        return f"what was verified cannot be remembered: {error.message}"
    return None


def _readable(home: Path, database: Path, mend: bool) -> Memory:
    try:
        return load(home, database)
    except Unavailable:
        if not mend:
            raise
        return _nothing(database)


def _nothing(database: Path) -> Memory:
    return Memory(path=str(database.resolve()), logs=[])


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes from changing a memory meanwhile. Windows opens no folder: there the later one counts."""
    if os.name != "posix":
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with locked(handle, folder):
            yield
    finally:
        os.close(handle)
