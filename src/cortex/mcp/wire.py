"""Lines in and bytes out over file descriptors, with nothing buffered that another reader would miss."""

import asyncio
import os
import queue
import sys
import threading

from cortex.errors import TooLarge

_CHUNK_BYTES = 64 << 10


class Lines:
    """The lines of a descriptor, each at most `most` bytes long. What was read stays here until it is asked for."""

    def __init__(self, descriptor: int, most: int) -> None:
        self._descriptor = descriptor
        self._most = most
        self._held = bytearray()
        self._ended = False

    def next(self) -> bytes | None:
        """The next line that is not blank; None at the end. Raises TooLarge for a longer one, after skipping it."""
        while (line := self._line()) is not None:
            if line.strip():
                return line
        return None

    def _line(self) -> bytes | None:
        size, searched = 0, 0
        while True:
            end = self._held.find(b"\n", searched)
            if end >= 0 or self._ended:
                return self._take(end if end >= 0 else len(self._held), size)
            if len(self._held) > self._most:
                size += len(self._held)
                self._held.clear()
            searched = len(self._held)
            chunk = os.read(self._descriptor, _CHUNK_BYTES)
            self._ended = not chunk
            self._held += chunk

    def _take(self, end: int, skipped: int) -> bytes | None:
        if self._ended and not self._held and not skipped:
            return None
        line = bytes(self._held[:end])
        del self._held[: end + 1]
        if skipped + len(line) > self._most:
            raise TooLarge(f"the line has {skipped + len(line)} bytes", f"at most {self._most} are accepted")
        return line


class Outlet:
    """Writes to a descriptor in the order of the calls, on a thread of its own: a slow reader must not stop the loop.

    The thread is a daemon, so a client that reads no more cannot keep the process.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting: queue.SimpleQueue[tuple[bytes, asyncio.Future[None]]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="cortex-mcp-out", daemon=True).start()

    async def write(self, data: bytes) -> None:
        """Return when `data` is written; raises OSError when nobody reads any more."""
        written = asyncio.get_running_loop().create_future()
        self._waiting.put((data, written))
        await written

    def _run(self) -> None:
        while True:
            data, written = self._waiting.get()
            failure: OSError | None = None
            try:
                write_all(self._descriptor, data)
            except OSError as error:
                failure = error
            try:
                written.get_loop().call_soon_threadsafe(_settle, written, failure)
            except RuntimeError:
                return  # the loop is closed: nobody waits


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def claim_standard_streams() -> tuple[int, int]:
    """Private descriptors of standard input and output.

    The numbers 0 and 1 then lead to the null device and to standard error, so that a stray print, or a child process,
    can neither write into the protocol nor take lines from it.
    """
    incoming, outgoing = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return incoming, outgoing


def _settle(written: asyncio.Future[None], failure: OSError | None) -> None:
    if written.done():
        return
    if failure is None:
        written.set_result(None)
    else:
        written.set_exception(failure)
