"""The thread that works off what is pending, after commits and beside everything else."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

from cortex import limits
from cortex.errors import CortexError

Round = Callable[[], Awaitable[bool]]


class Worker:
    """Runs `round_` until it says that nothing is left, each time it is woken. Started by the first `wake`.

    An error is told to `failed`, and the next attempt waits for the next wake, or for a while. So it does while
    `unfinished` says that something keeps it from its work for now.
    """

    def __init__(self, round_: Round, failed: Callable[[Exception], None], unfinished: Callable[[], bool]) -> None:
        self._round = round_
        self._unfinished = unfinished
        self._failed = failed
        self._woken = threading.Event()
        self._ending = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self.stopped = False

    def wake(self) -> None:
        """There may be something to do."""
        self._woken.set()
        if self._thread is None and not self.stopped:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._work, name="cortex-deriving", daemon=True)
                    self._thread.start()

    def stop(self) -> None:
        """End after the round under way; wait for that, but no longer than WORKER_STOP_SECONDS."""
        self.stopped = True
        self._ending.set()
        self._woken.set()
        if self._thread is not None:
            self._thread.join(limits.WORKER_STOP_SECONDS)

    def _work(self) -> None:
        with asyncio.Runner() as runner:
            again: float | None = None
            while not self.stopped:
                self._woken.wait(again)
                # What is committed in quick succession is worked off together.
                self._ending.wait(limits.WORKER_GATHER_SECONDS)
                self._woken.clear()
                again = limits.EMBEDDER_PAUSE_SECONDS_MAX if self._rounds(runner) else None

    def _rounds(self, runner: asyncio.Runner) -> bool:
        """Whether it is to be tried again though nobody wakes it."""
        try:
            while not self.stopped and runner.run(self._once()):
                pass
        except CortexError as error:
            self._failed(error)
            return True
        except Exception as error:  # noqa: BLE001 - told to `failed`, which status, doctor and searches show
            self._failed(error)
        return self._unfinished()

    async def _once(self) -> bool:
        return await self._round()
