"""A file as a witness: notes one after the other, each a JSON line, never changed once they are there.

It is worth what its place is worth: on another disk, or where one may append and not rewrite.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from cortex import files, limits
from cortex.errors import Corrupt, CortexError, Unavailable
from cortex.ledger import checkpoint as checkpoints
from cortex.ledger.locking import locked

_BLOCK_BYTES = 64 << 10
_FLAGS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class _Line(Struct, frozen=True, forbid_unknown_fields=True):
    note: str


def remembered(path: Path, origin: str) -> str | None:
    """The last note of a log in the file; None where there is none."""
    if files.found(path) is None:
        return None
    with _opened(path, os.O_RDONLY) as handle:
        return _last(handle, _whole(handle), path, origin)


def keep(path: Path, origin: str, note: str, is_news: Callable[[str | None], bool]) -> None:
    """Append a note unless `is_news`, which is shown the last one of its log, says that it is known, or raises.

    Looking and appending are one step, also where several processes do it.
    """
    made = files.found(path) is None
    with _opened(path, os.O_RDWR | os.O_APPEND | os.O_CREAT) as handle, locked(handle, path):
        end = _whole(handle)
        if not is_news(_last(handle, end, path, origin)):
            return
        try:
            _append(handle, end, msgspec.json.encode(_Line(note)) + b"\n")
            if made:
                files.sync_folder(path.parent)
        except OSError as error:
            raise _unwritable(path, error) from None


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    try:
        handle = os.open(path, flags | _FLAGS, 0o600)
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from None
    try:
        at = os.fstat(handle)
        if not stat.S_ISREG(at.st_mode):
            raise _unwritable(path, OSError(errno.EINVAL, "not a regular file"))
        if at.st_size > limits.WITNESS_FILE_BYTES_MAX:
            raise Unavailable(
                f"{path} holds {at.st_size} bytes, more than {limits.WITNESS_FILE_BYTES_MAX}",
                "begin another file, and keep this one",
            )
        yield handle
    finally:
        os.close(handle)


def _whole(handle: int) -> int:
    """Where the last whole line ends. What follows it was never acknowledged: its writer was stopped in the middle."""
    end = os.fstat(handle).st_size
    start = max(0, end - limits.WITNESS_LINE_BYTES_MAX)
    tail = _at(handle, start, end - start)
    if start and b"\n" not in tail:
        raise Corrupt("the last line of the witness's file is too long for a note", "see who else writes to it")
    return start + tail.rfind(b"\n") + 1


def _append(handle: int, end: int, line: bytes) -> None:
    """One write at the end of the last whole line, on the disk when this returns; or nothing of it."""
    if os.fstat(handle).st_size != end:
        os.ftruncate(handle, end)
    try:
        if os.write(handle, line) != len(line):
            raise OSError(errno.ENOSPC, "no space left")
        os.fsync(handle)
    except OSError:
        os.ftruncate(handle, end)
        raise


def _last(handle: int, end: int, path: Path, origin: str) -> str | None:
    for line in _backwards(handle, end):
        try:
            note = msgspec.json.decode(line, type=_Line).note
            head, _ = checkpoints.parse(note)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, CortexError) as error:
            raise Corrupt(
                f"{path} holds a line that is no note ({str(error)[:100]})", "restore the file; do not just cut it"
            ) from None
        if head.origin == origin:
            return note
    return None


def _backwards(handle: int, end: int) -> Iterator[bytes]:
    """The lines before `end`, which is just behind a newline, from the last to the first."""
    rest = b""
    while end > 0:
        start = max(0, end - _BLOCK_BYTES)
        first, *lines = (_at(handle, start, end - start) + rest).split(b"\n")
        yield from (line for line in reversed(lines) if line)
        rest, end = first, start
        if len(rest) > limits.WITNESS_LINE_BYTES_MAX:
            raise Corrupt("a line of the witness's file is too long for a note", "see who else writes to it")
    if rest:
        yield rest


def _at(handle: int, start: int, length: int) -> bytes:
    os.lseek(handle, start, os.SEEK_SET)
    parts = []
    while length > 0 and (part := os.read(handle, length)):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _unwritable(path: Path, error: OSError | ValueError) -> Unavailable:
    why = error.strerror if isinstance(error, OSError) else "not a path"
    return Unavailable(f"the witness's file {path} cannot be used ({why})", "see its folder, its owner and the disk")
