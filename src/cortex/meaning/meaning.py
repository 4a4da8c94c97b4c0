"""What an open file needs to be searched by meaning: one embedder, the vectors in memory, and the deriving thread."""

import asyncio
import importlib
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cortex import limits
from cortex.db.connect import Tx
from cortex.db.database import Database
from cortex.errors import CortexError, Unavailable
from cortex.index.near import Narrow, Near, Nearest
from cortex.meaning import filling
from cortex.meaning.held import Held
from cortex.meaning.worker import Worker
from cortex.progress import Progress, silent

if TYPE_CHECKING:
    from cortex.index.vectors import VectorIndex


class Meaning:
    """Made by `open_app`, ended by `close`.

    `background` lets a thread do what is pending after commits and searches.
    """

    def __init__(self, database: Database, held: Held, *, background: bool) -> None:
        self.held = held
        self._database = database
        self._background = background
        self._worker = Worker(self._round, self._note)
        self._foreground = 0
        self._index: VectorIndex | None = None
        self._indexing = threading.Lock()
        self.trouble: str | None = None

    def committed(self) -> None:
        """Facts changed here: there may be something to derive."""
        if self._background:
            self._worker.wake()

    def forgotten(self) -> None:
        """A fact was forgotten: let go of what memory holds of it."""
        self.held.forget_queries()

    def purge(self, tx: Tx) -> None:
        """Bring the vectors in memory to the snapshot of `tx`: what was removed from the file goes."""
        if self._index is not None:
            self._index.catch_up(tx)

    async def nearest(self, query: str) -> Nearest:
        """What finds by the meaning of `query`. Raises a CortexError where it cannot be embedded."""
        why = self.held.lacking()
        if why is not None:
            raise Unavailable(why)
        vector = await asyncio.to_thread(self.held.query, query)
        index = self._opened()

        def near(tx: Tx, kind: int, depth: int, narrow: Narrow, /) -> list[Near]:
            return index.nearest(tx, vector, kind, depth, narrow)

        return near

    def made_by_another(self, tx: Tx) -> str | None:
        """The embedder of the file's vectors, where it is another than the one in use."""
        return None if self.held.name is None else filling.made_by_another(tx, self.held.name)

    async def settle(self, progress: Progress = silent, *, for_ms: int | None = None) -> int:
        """Do what is pending, now and here, for at most about `for_ms`. Returns how much is pending still.

        Raises a CortexError where the embedder fails; without an embedder entities are found all the same.
        """
        until = None if for_ms is None else time.monotonic() + for_ms / 1000
        self._foreground += 1
        try:
            total = left = await self._database.read(filling.waiting)
            while await self._round(stopped=lambda: until is not None and time.monotonic() > until):
                left = await self._database.read(filling.waiting)
                total = max(total, left)
                progress(total - left, total, "embedding")
                if until is not None and time.monotonic() > until:
                    return left
            return await self._database.read(filling.waiting)
        finally:
            self._foreground -= 1
            if self._worker is not None and self._background:
                self._worker.wake()

    async def extract(self) -> int:
        """Find the entities of what is pending, some seconds at most. Returns how many revisions are pending still."""
        until = time.monotonic() + limits.EXTRACT_BEFORE_READ_SECONDS
        while time.monotonic() < until and await filling.extract(self._database):
            pass
        return await self._database.read(filling.unread)

    async def adopt(self, *, anew: bool = False) -> None:
        """Let the embedder in use be the one of this file: vectors of others go, or with `anew` all.

        Raises a CortexError where the embedder cannot be had.
        """
        await asyncio.to_thread(self.held.query, "is there an embedder?")
        kept = "" if anew else self.held.name or ""
        await self._database.write(lambda tx: filling.others_vectors_go(tx, kept))

    def waiting(self, tx: Tx) -> int:
        """How many facts are to be embedded still."""
        return filling.waiting(tx)

    def close(self) -> None:
        """End the thread."""
        self._worker.stop()

    def _opened(self) -> "VectorIndex":
        with self._indexing:
            name = self.held.name
            assert name is not None, "an embedder that answered has a name"
            if self._index is None:
                self._index = importlib.import_module("cortex.index.vectors").VectorIndex(name)
            return self._index

    async def _round(self, stopped: Callable[[], bool] | None = None) -> bool:
        """Some of what is pending. False where nothing is left that can be done."""
        if stopped is None and self._foreground:
            return False  # `settle` does it, and wakes the thread afterwards
        ends = stopped or (lambda: self._worker.stopped)
        extracted = await filling.extract(self._database)
        if self.held.lacking() is not None:
            return extracted > 0
        units = await self._database.read(filling.some)
        if not units:
            return await self._packed() > 0 or extracted > 0
        made = await asyncio.to_thread(filling.embedded, units, self.held.vectors, ends)
        name = self.held.name
        assert name is not None, "an embedder that answered has a name"
        kept = await self._database.write(lambda tx: filling.keep(tx, name, made)) if made else 0
        self.trouble = None
        return kept > 0

    async def _packed(self) -> int:
        name = self.held.name
        if name is None:
            return 0
        pack = importlib.import_module("cortex.index.vectors").pack
        damaged = tuple(self._index.damaged) if self._index is not None else ()
        due = await self._database.read(_unpacked) or damaged
        if not due:
            return 0
        packed: int = await self._database.write(lambda tx: pack(tx, name, damaged))
        if self._index is not None:
            del self._index.damaged[: len(damaged)]
        return packed

    def _note(self, error: Exception) -> None:
        self.trouble = str(error) if isinstance(error, CortexError) else f"deriving stopped: {error!r}"


def _unpacked(tx: Tx) -> bool:
    """Whether enough vectors are in no segment to make one, at a glance."""
    row: Any = tx.execute(
        "SELECT (SELECT max(id) FROM vector) - coalesce((SELECT max(last_id) FROM vector_segment), 0)"
    ).fetchone()
    return row[0] is not None and row[0] >= limits.SEGMENT_VECTORS
