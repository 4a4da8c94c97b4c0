"""The embedder of a process: opened when first needed, left alone for a while after it failed."""

import importlib
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cortex import limits
from cortex.embed import choose
from cortex.errors import CortexError
from cortex.settings import Settings

if TYPE_CHECKING:
    from cortex.embed.embedder import Embedder, Vectors


class Held:
    """One embedder for all threads. `given` is used instead of what the settings choose."""

    def __init__(self, settings: Settings, given: "Embedder | None" = None) -> None:
        self._settings = settings
        self._embedder = given
        self._opening = threading.Lock()
        self._failed: CortexError | None = None
        self._failures = 0
        self._retry_at = 0.0
        self._queries: OrderedDict[str, Any] = OrderedDict()
        self._remembering = threading.Lock()

    @property
    def name(self) -> str | None:
        """What the embedder calls itself; None where there is none."""
        return self._embedder.name if self._embedder is not None else choose.name(self._settings)

    def lacking(self) -> str | None:
        """Why nothing can be embedded now, in one sentence; None where it can, as far as is known. Cheap."""
        if self._failed is not None and time.monotonic() < self._retry_at:
            return str(self._failed)
        return self.lacking_for_good()

    def lacking_for_good(self) -> str | None:
        """Why there is no embedder, where that lasts until somebody changes it: no model, or none wanted."""
        return None if self._embedder is not None else choose.ready(self._settings)

    @property
    def unwanted(self) -> bool:
        """Whether the settings say that there is to be none."""
        return self._embedder is None and self._settings.embedder_kind == "none"

    def vectors(self, texts: Sequence[str]) -> "Vectors":
        """The vectors of texts. Blocks; raises a CortexError where the embedder cannot be had or fails."""
        if self._failed is not None and time.monotonic() < self._retry_at:
            raise self._failed
        try:
            embedder = self._opened()
            found: Vectors = importlib.import_module("cortex.embed.embedder").embedded(embedder, texts)
        except CortexError as error:
            self._failures += 1
            pause = min(limits.EMBEDDER_PAUSE_SECONDS_MAX, 2.0 ** (self._failures - 1))
            self._retry_at, self._failed = time.monotonic() + pause, error
            raise
        self._failed, self._failures = None, 0
        return found

    def query(self, text: str) -> Any:
        """The vector of one query; the last QUERY_VECTORS_MAX are remembered."""
        with self._remembering:
            known = self._queries.get(text)
            if known is not None:
                self._queries.move_to_end(text)
                return known
        found = self.vectors([text])[0]
        with self._remembering:
            self._queries[text] = found
            while len(self._queries) > limits.QUERY_VECTORS_MAX:
                self._queries.popitem(last=False)
        return found

    def forget_queries(self) -> None:
        """Remember no query: one may have quoted what was forgotten."""
        with self._remembering:
            self._queries.clear()

    def _opened(self) -> "Embedder":
        with self._opening:
            if self._embedder is None:
                self._embedder = choose.open_embedder(self._settings)
            return self._embedder
