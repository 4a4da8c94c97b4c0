"""Making the graphs beside a file that has very many vectors, in a thread of its own: it takes minutes."""

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from cortex import limits
from cortex.db.connect import Tx, integer
from cortex.db.database import Database
from cortex.index import sidecar
from cortex.meaning.worker import Worker
from cortex.progress import Progress, silent

if TYPE_CHECKING:
    from cortex.index.vectors import VectorIndex


class Building:
    """For one open file. `index` opens its vectors; where there are fewer than `least` (0: ever) nothing is made."""

    def __init__(
        self, database: Database, index: Callable[[], "VectorIndex"], least: int, failed: Callable[[Exception], None]
    ) -> None:
        self._database = database
        self._index = index
        self._least = least
        self._worker = Worker(self._once, failed, lambda: False)
        self._making = False
        self._rests_until = 0.0

    def begin(self) -> None:
        """Let the thread look whether something is to be made."""
        if self._least and time.monotonic() >= self._rests_until:
            self._worker.wake()

    async def run(self, stopped: Callable[[], bool], progress: Progress = silent) -> int:
        """Make what is due, now and here. Returns how many graphs were made.

        Raises Unavailable where one cannot be written.
        """
        if self._making or not await self._wanted():
            return 0
        self._making = True
        try:
            made = [await self._made(kind, stopped, progress) for kind in sidecar.KINDS]
        finally:
            self._making = False
        return sum(made)

    def close(self) -> None:
        """End the thread."""
        self._worker.stop()

    async def _once(self) -> bool:
        if await self.run(lambda: self._worker.stopped):
            self._rests_until = time.monotonic() + limits.SIDECAR_PAUSE_SECONDS
        return False

    async def _wanted(self) -> bool:
        """A glance: whether the file ever had as many vectors, and may have files beside it."""
        if not self._least or not self._database.writable or not sidecar.installed():
            return False
        return await self._database.read(_highest) >= self._least

    async def _made(self, kind: int, stopped: Callable[[], bool], progress: Progress) -> bool:
        index = self._index()
        source = await self._database.read(lambda tx: index.sidecar_source(tx, kind))
        if source is None:
            return False
        build = await asyncio.to_thread(sidecar.Build, self._database.path, source)
        try:
            while not stopped() and await asyncio.to_thread(build.step):
                progress(build.done, len(source.ids), "linking vectors")
            complete = await asyncio.to_thread(build.saved)
            return complete and await self._database.write(build.publish)
        finally:
            build.end()


def _highest(tx: Tx) -> int:
    return integer(tx, "SELECT coalesce(max(id), 0) FROM vector")
