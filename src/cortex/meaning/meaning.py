"""What an open file needs to be searched by meaning: one embedder, the vectors in memory, and the deriving thread."""

import asyncio
import importlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cortex import limits
from cortex.db.connect import Tx
from cortex.db.database import Database
from cortex.errors import CortexError, Unavailable
from cortex.index import sidecar, vector_rows
from cortex.index.near import Narrow, Near, Nearest
from cortex.meaning import embedding, filling, notices
from cortex.meaning.apart import apart
from cortex.meaning.building import Building
from cortex.meaning.held import Held
from cortex.meaning.worker import Worker
from cortex.plurals import counted
from cortex.progress import Progress, silent

if TYPE_CHECKING:
    from cortex.index.vectors import VectorIndex


class Meaning:
    """Made by `open_app`, ended by `close`.

    `background` lets threads do what is pending after commits and searches. `sidecar_from` is how many vectors a file
    must have to get graphs beside it, 0 for never.
    """

    def __init__(self, database: Database, held: Held, home: Path, *, background: bool, sidecar_from: int = 0) -> None:
        self.held = held
        self._database = database
        self._background = background
        self._worker = Worker(self._round, self.note, lambda: held.paused)
        self._sidecar_from = sidecar_from
        self._building = Building(database, self._opened, sidecar_from, self.note)
        self._foreground = 0
        self._index: VectorIndex | None = None
        self._indexing = threading.Lock()
        # Tasks and revisions whose texts the embedder did not take: tried again by the next process.
        self._refused: OrderedDict[tuple[int, int], None] = OrderedDict()
        self.trouble: str | None = None
        self._home = home
        self._noticed: set[str] = set()
        self._answered = False

    def committed(self) -> None:
        """Facts changed here: there may be something to derive."""
        if self._background and self._database.writable:
            self._worker.wake()

    def forgotten(self) -> None:
        """A fact was forgotten: let go of what memory holds of it."""
        self.held.forget_queries()

    def drop_sidecars(self) -> bool:
        """Delete the graphs beside the file, which may hold something of what was forgotten; they are made anew.

        False where they cannot be deleted. To be called off the event loop.
        """
        return sidecar.delete(self._database.path)

    def purge(self, tx: Tx) -> None:
        """Bring the vectors in memory to the snapshot of `tx`: what was removed from the file goes."""
        if self._index is not None:
            self._index.catch_up(tx)

    async def nearest(self, query: str) -> Nearest:
        """What finds by the meaning of `query`. Raises a CortexError where it cannot be embedded."""
        why = self.held.lacking()
        if why is not None:
            raise Unavailable(why)
        vector = await self.held.query(query)
        if not self._answered:
            # Should it go again one day, that is told again.
            self._answered = True
            await asyncio.to_thread(notices.forget, self._home)
        index = self._opened()

        def near(tx: Tx, kind: int, depth: int, narrow: Narrow, /) -> list[Near]:
            return index.nearest(tx, vector, kind, depth, narrow)

        return near

    async def notes(self, note: str) -> list[str]:
        """What to tell of a search that went by words: what lasts, such as a missing model, is told once."""
        if self.held.unwanted:
            return []
        if not self.held.absent:
            return [note]
        if note in self._noticed:
            return []
        self._noticed.add(note)
        return [note] if await asyncio.to_thread(notices.first_time, self._home, note) else []

    def made_by_another(self, tx: Tx) -> str | None:
        """The embedder of the file's vectors, where it is another than the one in use."""
        name = self.held.name
        return None if name is None else filling.made_by_another(tx, name, self.held.dimension)

    async def settle(self, progress: Progress = silent, *, for_ms: int | None = None) -> int:
        """Do what is pending, now and here, for at most about `for_ms`. Returns how much is pending still.

        Raises a CortexError where the embedder fails; without an embedder entities are found all the same.
        """
        until = None if for_ms is None else time.monotonic() + for_ms / 1000
        self._foreground += 1
        try:
            total = left = await self._database.read(filling.waiting)
            # What would not be done in time would be begun in vain, each time.
            most = None if until is None else limits.EMBED_BEFORE_SEARCH_BYTES
            while await self._round(lambda: until is not None and time.monotonic() > until, most):
                left = await self._database.read(filling.waiting)
                total = max(total, left)
                progress(total - left, total, "embedding")
                if until is not None and time.monotonic() > until:
                    return left
            if until is None:
                await self._build(progress)
            return await self._database.read(filling.waiting)
        finally:
            self._foreground -= 1
            if self._background:
                self._worker.wake()

    async def settle_if_possible(self, progress: Progress = silent, *, for_ms: int | None = None) -> None:
        """As `settle`, where the file can be written. What goes wrong is only noted: a search or an import goes on."""
        if not self._database.writable:
            return
        try:
            await self.settle(progress, for_ms=for_ms)
        except CortexError as error:
            self.note(error)

    async def _build(self, progress: Progress) -> None:
        try:
            await self._building.run(lambda: False, progress)
        except CortexError as error:
            self.note(error)  # everything is embedded, and searched by its bits

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
        await self.held.apart(["is there an embedder?"])
        kept = "" if anew else self.held.name or ""

        def write(tx: Tx) -> None:
            filling.others_vectors_go(tx, kept, self.held.dimension)
            vector_rows.drop(tx, vector_rows.damaged(tx))  # packed anew by what follows

        await self._database.write(write)

    def waiting(self, tx: Tx) -> int:
        """How many facts are to be embedded still."""
        return filling.waiting(tx)

    def close(self) -> None:
        """End the threads."""
        self._worker.stop()
        self._building.close()
        if self._index is not None:
            self._index.close()

    def _opened(self) -> "VectorIndex":
        with self._indexing:
            name = self.held.name
            assert name is not None, "an embedder that answered has a name"
            if self._index is None:
                graphs = sidecar.Sidecars(self._database.path, self._sidecar_from)
                self._index = importlib.import_module("cortex.index.vectors").VectorIndex(name, graphs)
            return self._index

    async def _round(self, stopped: Callable[[], bool] | None = None, bytes_max: int | None = None) -> bool:
        """Some of what is pending. False where nothing is left that can be done."""
        if stopped is None and self._foreground:
            return False  # `settle` does it, and wakes the thread afterwards
        ends = stopped or (lambda: self._worker.stopped)
        extracted = await filling.extract(self._database)
        name = self.held.name
        if name is None or self.held.lacking() is not None:
            return extracted > 0
        units = await self._database.read(lambda tx: self._units(tx, bytes_max))
        if not units:
            packed = await self._packed()
            if not packed and stopped is None:
                self._building.begin()
            return packed > 0 or extracted > 0
        if stopped is None:
            made = embedding.embedded(units, self.held, ends)  # on the deriving thread, which has nothing else to do
        else:
            made = await apart(lambda: embedding.embedded(units, self.held, ends))
        self._note_refused(made)
        if made.done:
            await self._database.write(lambda tx: filling.keep(tx, name, made.done))
        return bool(made.done or made.refused)

    def _note_refused(self, made: embedding.Embedding) -> None:
        if not self._refused:
            self.trouble = None
        for unit, error in made.refused:
            self._refused[unit.task, unit.revision_id] = None
            self.trouble = f"could not be embedded: {counted(len(self._refused), 'text')}, the last since {error}"
        while len(self._refused) > limits.REFUSED_MAX:
            self._refused.popitem(last=False)

    def _units(self, tx: Tx, bytes_max: int | None) -> list[embedding.Unit]:
        """What is to be embedded next; nothing where that would be in vain."""
        other = self.made_by_another(tx)
        if other is not None:
            self.trouble = f"the vectors of this file were made by {other}: `cortex embed` makes them anew"
            return []
        return filling.some(tx, self._refused, bytes_max=bytes_max)

    async def _packed(self) -> int:
        name = self.held.name
        if name is None:
            return 0
        damaged = tuple(self._index.damaged) if self._index is not None else ()
        due = await self._database.read(vector_rows.unpacked) or damaged
        if not due:
            return 0
        pack = importlib.import_module("cortex.index.vectors").pack
        packed: int = await self._database.write(lambda tx: pack(tx, name, damaged))
        if self._index is not None:
            del self._index.damaged[: len(damaged)]
        return packed

    def note(self, error: Exception) -> None:
        """Remember what went wrong, for those who ask for the status."""
        self.trouble = str(error) if isinstance(error, CortexError) else f"deriving stopped: {error!r}"
