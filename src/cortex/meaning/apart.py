"""Running what may never return in a thread of its own, which nothing waits for at the end of the process."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from cortex import limits
from cortex.errors import Unavailable

T = TypeVar("T")

_LOOK_SECONDS = 0.002
_slots = threading.BoundedSemaphore(limits.APART_MAX)


async def apart(run: Callable[[], T], seconds: float | None = None) -> T:
    """What `run` returns or raises. Raises Unavailable after `seconds`, or where so many run so long already.

    Not the event loop's own threads: a process waits for those when it ends.
    """
    full = time.monotonic() + (limits.APART_WAIT_SECONDS if seconds is None else seconds)
    while not _slots.acquire(blocking=False):
        if time.monotonic() > full:
            raise Unavailable(f"{limits.APART_MAX} texts are being embedded already", "try again", retry_after_ms=100)
        await asyncio.sleep(_LOOK_SECONDS)
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(run())
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is told to the caller
            future.set_exception(error)
        finally:
            _slots.release()

    future.set_running_or_notify_cancel()
    threading.Thread(target=work, name="cortex-embedding", daemon=True).start()
    try:
        return await asyncio.wait_for(asyncio.wrap_future(future), seconds)
    except TimeoutError:
        raise Unavailable(f"the embedder did not answer within {seconds:g} s", "see docs/model.md") from None
