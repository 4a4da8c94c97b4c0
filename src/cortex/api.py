"""The Python face: `Cortex` for async programs, `open` for scripts and notebooks."""

import asyncio
import difflib
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from anyio.from_thread import BlockingPortal, start_blocking_portal
from msgspec import Struct

from cortex import limits
from cortex import settings as settings_module
from cortex.app import App, open_app
from cortex.errors import Invalid
from cortex.methods import Methods
from cortex.ops.registry import Request
from cortex.progress import Progress, silent

if TYPE_CHECKING:
    from cortex.embed.embedder import Embedder

R = TypeVar("R", bound=Struct)

# How settings are called in messages, where they are arguments of `Cortex`.
_WRITTEN = {name: f"argument {'path' if name == 'db' else name}" for name in settings_module.Settings.__struct_fields__}


class Cortex(Methods):
    """A memory, open from `async with` to its end. A missing file is made.

    `path` defaults to the file that the settings name; `project` and `agent` (the name written on changes) likewise.
    `progress` is told of long work as (done, total, label), from any thread; total 0 means unknown. `embedder` turns
    texts into vectors instead of the one that the settings choose (docs/model.md). `options` are other settings by name
    (docs/settings.md), such as `batch_size=10`.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        project: str | None = None,
        agent: str | None = None,
        progress: Progress = silent,
        embedder: "Embedder | None" = None,
        **options: Any,
    ) -> None:
        if path is not None and "db" in options:
            raise Invalid("the file is given twice, as path and as db", "leave out db")
        given = {"db": path, "project": project, "agent": agent, **options}
        self._flags = {name: value for name, value in given.items() if value is not None}
        self._progress = progress
        self._embedder = embedder
        self._app: App | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        # Opening waits for locks and closing for what is queued: neither may stop the caller's event loop.
        opening = asyncio.get_running_loop().run_in_executor(None, self._open)
        try:
            self._app = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unwanted)
            raise
        self._closed = False
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        app, self._app, self._closed = self._app, None, True
        if app is not None:
            await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, app.close))

    def _open(self) -> App:
        chosen = settings_module.load(flags=self._flags, written=_WRITTEN)
        return open_app(chosen, face="python", progress=self._progress, embedder=self._embedder)

    async def call(self, request: Request[R]) -> R:
        """Run any request and return the whole response."""
        if self._closed:
            raise _closed()
        if self._app is None:
            raise Invalid("the memory is not open", "use `async with cortex.Cortex(...) as memory:`")
        return await self._app.call(request)

    if not TYPE_CHECKING:  # type checkers know the methods that there are

        def __getattr__(self, name: str) -> Any:
            raise _no_method(name, self)


class Blocking:
    """The same methods without await, each run in a thread that has an event loop of its own."""

    def __init__(self, memory: Cortex, portal: BlockingPortal, ended: threading.Event) -> None:
        self._memory = memory
        self._portal = portal
        self._ended = ended

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = None if name.startswith("_") else getattr(type(self._memory), name, None)
        if not callable(method):
            raise _no_method(name, self)
        method = getattr(self._memory, name)

        def blocking(*arguments: Any, **named: Any) -> Any:
            try:
                running = self._portal.start_task_soon(partial(method, *arguments, **named))
            except RuntimeError:
                if self._ended.is_set():
                    raise _closed() from None
                raise
            return running.result()

        blocking.__doc__, blocking.__name__ = method.__doc__, name
        return blocking

    def __dir__(self) -> list[str]:
        return [name for name in dir(self._memory) if not name.startswith("_")]


class _Opening(AbstractContextManager["Blocking"]):
    """From `with` to its end: the thread, and the memory in it."""

    def __init__(self, memory: Cortex) -> None:
        self._memory = memory
        self._thread = start_blocking_portal()
        self._inside: AbstractContextManager[Cortex] | None = None
        self._ended = threading.Event()

    def __enter__(self) -> Blocking:
        portal = self._thread.__enter__()
        try:
            self._inside = cast("AbstractContextManager[Cortex]", portal.wrap_async_context_manager(self._memory))
            return Blocking(self._inside.__enter__(), portal, self._ended)
        except BaseException:
            self._thread.__exit__(None, None, None)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._inside is not None:
                self._inside.__exit__(kind, error, trace)
        finally:
            self._ended.set()
            self._thread.__exit__(None, None, None)


def open(  # noqa: A001 - `cortex.open` reads as it should
    path: str | Path | None = None,
    *,
    project: str | None = None,
    agent: str | None = None,
    progress: Progress = silent,
    embedder: "Embedder | None" = None,
    **options: Any,
) -> AbstractContextManager[Blocking]:
    """Open a memory for a script or a notebook: `with cortex.open("memory.db") as memory: memory.store("…")`.

    Takes what `Cortex` takes.
    """
    return _Opening(Cortex(path, project=project, agent=agent, progress=progress, embedder=embedder, **options))


def _no_method(name: str, of: object) -> AttributeError:
    """The error to raise for a name that is no method, with the one that may be meant."""
    told = f"there is no method {name!r}"
    if not name.startswith("_"):
        known = {_sorted_words(each): each for each in dir(Methods) if not each.startswith("_")}
        near = difflib.get_close_matches(_sorted_words(name[: limits.METHOD_NAME_CHARS]), known, 1)
        told += f"; did you mean {known[near[0]]}?" if near else "; docs/python.md has them"
    return AttributeError(told, name=name, obj=of)


def _sorted_words(name: str) -> str:
    """A name whose words may stand in any order: `agent_add` is as `add_agent`."""
    return "_".join(sorted(name.lower().split("_")))


def _closed() -> Invalid:
    return Invalid("the memory is closed", "open it again")


def _close_unwanted(opening: "asyncio.Future[App]") -> None:
    """Close what was opened for a caller that was cancelled meanwhile."""
    if opening.exception() is None:
        opening.result().close()
