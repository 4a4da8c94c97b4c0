"""A lock that processes share: on a file of its own or on the file that is changed, given up when its holder ends."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from cortex import limits
from cortex.errors import Unavailable

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_POLL_SECONDS = 0.01
# Windows locks bytes and keeps others from reading them: one far behind the end of any file.
_LOCKED_BYTE = 1 << 62


@contextmanager
def locked(handle: int, name: object) -> Iterator[None]:
    """Hold the lock of an open file. Raises Unavailable where another process keeps it."""
    ends = time.monotonic() + limits.LOCK_SECONDS
    while not _taken(handle):
        if time.monotonic() > ends:
            raise Unavailable(
                f"another process keeps {name} locked", "try again; if it stays so, find that process", 1_000
            )
        time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        _release(handle)


@contextmanager
def taken(handle: int) -> Iterator[bool]:
    """Hold the lock of an open file if nobody else does; says whether. Does not wait."""
    mine = _taken(handle)
    try:
        yield mine
    finally:
        if mine:
            _release(handle)


if sys.platform == "win32":

    def _taken(handle: int) -> bool:
        os.lseek(handle, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _release(handle: int) -> None:
        os.lseek(handle, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:

    def _taken(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _release(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)
