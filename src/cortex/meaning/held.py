"""The embedder of a process: opened when first needed, left alone for a while after it failed."""

import importlib
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cortex import limits
from cortex.embed import choose
from cortex.errors import CortexError, Unavailable
from cortex.meaning.apart import apart
from cortex.settings import Settings

if TYPE_CHECKING:
    from cortex.embed.embedder import Embedder, Vectors


class Held:
    """One embedder for all threads. `given` is used instead of what the settings choose."""

    def __init__(self, settings: Settings, given: "Embedder | None" = None) -> None:
        self._settings = settings
        self._embedder = given
        self._named = None if given is None else str(_protocol().check_name(given))
        self._opening = threading.Lock()
        self._failed: CortexError | None = None
        self._failures = 0
        self._retry_at = 0.0
        self._dimension: int | None = None
        self._queries: OrderedDict[str, Any] = OrderedDict()
        self._remembering = threading.Lock()

    @property
    def name(self) -> str | None:
        """What the embedder calls itself; None where there is none."""
        return self._named or choose.name(self._settings)

    def lacking(self) -> str | None:
        """Why nothing can be embedded now, in one sentence; None where it can, as far as is known. Cheap."""
        if self._failed is not None and time.monotonic() < self._retry_at:
            return str(self._failed)
        return self.lacking_for_good()

    def lacking_for_good(self) -> str | None:
        """Why there is no embedder, where that lasts until somebody changes it: no model, or none wanted."""
        return None if self._embedder is not None else choose.ready(self._settings)

    @property
    def absent(self) -> bool:
        """Whether there is no embedder, until somebody changes that."""
        return self.lacking_for_good() is not None

    @property
    def unwanted(self) -> bool:
        """Whether the settings say that there is to be none."""
        return self._embedder is None and self._settings.embedder_kind == "none"

    @property
    def dimension(self) -> int | None:
        """How many numbers its vectors have; None until the first."""
        return self._dimension

    def vectors(self, texts: Sequence[str]) -> "Vectors":
        """The vectors of texts. Blocks; raises a CortexError where the embedder cannot be had or fails."""
        if self._failed is not None and time.monotonic() < self._retry_at:
            raise self._failed
        try:
            embedder = self._opened()
            found: Vectors = _protocol().embedded(embedder, texts)
            self._check_dimension(found.shape[1])
        except CortexError as error:
            self._pause(error)
            raise
        self._failed, self._failures = None, 0
        return found

    async def query(self, text: str) -> Any:
        """The vector of one query; the last QUERY_VECTORS_MAX are remembered.

        Raises Unavailable also where there is no answer within the setting `embedder.timeout_ms`.
        """
        with self._remembering:
            known = self._queries.get(text)
            if known is not None:
                self._queries.move_to_end(text)
                return known
        found = (await self.apart([text]))[0]
        if len(text) > limits.QUERY_REMEMBERED_CHARS_MAX:
            return found
        with self._remembering:
            self._queries[text] = found
            while len(self._queries) > limits.QUERY_VECTORS_MAX:
                self._queries.popitem(last=False)
        return found

    async def apart(self, texts: Sequence[str]) -> "Vectors":
        """As `vectors`, off the event loop and within the time that the settings give."""
        try:
            return await apart(lambda: self.vectors(texts), self._settings.embedder_timeout_ms / 1000)
        except Unavailable as error:
            if self._failed is None and error.retry_after_ms is None:
                self._pause(error)
            raise

    def _pause(self, error: CortexError) -> None:
        """Leave an embedder that failed alone, twice as long each time."""
        self._failures += 1
        pause = min(limits.EMBEDDER_PAUSE_SECONDS_MAX, 2.0 ** (self._failures - 1))
        self._retry_at, self._failed = time.monotonic() + pause, error

    def _check_dimension(self, found: int) -> None:
        if self._dimension not in {None, found}:
            said = f"the embedder {self.name} returned vectors of {found} numbers, and of {self._dimension} before"
            raise Unavailable(said, "mend or replace it: docs/model.md")
        self._dimension = found

    def failure(self) -> CortexError | None:
        """Why the embedder does not answer a plain text now; None where it does, whatever it refused before."""
        self._failed = None
        try:
            self.vectors(["is there an embedder?"])
        except CortexError as error:
            return error
        return None

    @property
    def paused(self) -> bool:
        """Whether the embedder failed last and is left alone for a while."""
        return self._failed is not None

    def forget_queries(self) -> None:
        """Remember no query: one may have quoted what was forgotten."""
        with self._remembering:
            self._queries.clear()

    def _opened(self) -> "Embedder":
        with self._opening:
            if self._embedder is None:
                self._embedder = choose.open_embedder(self._settings)
                self._named = str(_protocol().check_name(self._embedder))
            return self._embedder


def _protocol() -> Any:
    """The module that knows what an embedder is: it imports NumPy, which not every process needs."""
    return importlib.import_module("cortex.embed.embedder")
