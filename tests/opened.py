"""An open memory for tests: requests are called without await, time stands still until it is moved."""

import asyncio
import dataclasses
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Self, TypeVar

import apsw
from msgspec import Struct

from cortex import settings, times
from cortex.app import App, open_app
from cortex.embed.embedder import Embedder
from cortex.memory.model import StoredFact
from cortex.ops.facts import StoreFact
from cortex.ops.registry import Request
from cortex.progress import Progress, silent

R = TypeVar("R", bound=Struct)

START = "2026-03-02T09:00:00.000000Z"


class Clock:
    """The wall clock of a memory under test."""

    def __init__(self, at: str = START) -> None:
        self.at = times.canonical(at)

    def __call__(self) -> str:
        return self.at

    def set(self, at: str) -> None:
        """Let it be `at`, earlier or later."""
        self.at = times.canonical(at)

    def advance(self, **units: float) -> str:
        """Let time go by, in the units of timedelta. Returns what it is then."""
        self.at = times.canonical(times.parse(self.at) + timedelta(**units))
        return self.at


class Memory:
    """An open file, a clock, and a loop to run requests in."""

    def __init__(
        self,
        path: Path,
        home: Path,
        clock: Clock,
        progress: Progress = silent,
        embedder: Embedder | None = None,
        **options: Any,
    ) -> None:
        self.path, self.home, self.clock, self.embedder, self.options = path, home, clock, embedder, options
        # The HOME of the machine has nothing to do with a test, and nor has the folder it runs in.
        environ = {"HOME": str(home), "USERPROFILE": str(home), "CORTEX_HOME": str(home)}
        flags = {"db": path, "project": "work", "agent": "tester", **options}
        chosen = settings.load(flags=flags, environ=environ, cwd=path.parent)
        app = open_app(chosen, face="python", progress=progress, embedder=embedder)
        self.app = App(dataclasses.replace(app.context, clock=clock))
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *told: object) -> None:
        self.close()

    def call(self, request: Request[R], **caller: Any) -> R:
        """The response to one request; `caller` changes who calls."""
        own = self.app.context
        context = dataclasses.replace(own, caller=dataclasses.replace(own.caller, **caller)) if caller else None
        return self._runner.run(self.app.call(request, context=context))

    def together(self, requests: Sequence[Request[Any]]) -> list[Any]:
        """The responses, or errors, to requests that run at the same time."""

        async def gathered() -> list[Any]:
            return await asyncio.gather(*(self.app.call(request) for request in requests), return_exceptions=True)

        return self._runner.run(gathered())

    def store(self, content: str, **fields: Any) -> StoredFact:
        """Store a fact."""
        return self.call(StoreFact(content=content, **fields))

    def sql(self) -> apsw.Connection:
        """A connection of an outsider with write access to the file."""
        connection = apsw.Connection(str(self.path))
        connection.set_busy_timeout(10_000)
        return connection

    def reopen(self) -> "Memory":
        """Another process, as it were, on the same file."""
        return Memory(self.path, self.home, self.clock, embedder=self.embedder, **self.options)

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        self.app.close()
        self._runner.close()
