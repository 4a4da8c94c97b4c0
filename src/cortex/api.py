"""The Python face: `Cortex` for async programs, `open` for scripts and notebooks."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self, TypeVar, cast

from anyio.from_thread import BlockingPortal, start_blocking_portal
from msgspec import Struct

from cortex import settings as settings_module
from cortex.app import App, open_app
from cortex.errors import Invalid
from cortex.methods import Methods
from cortex.ops.registry import Request
from cortex.progress import Progress, silent

R = TypeVar("R", bound=Struct)

_NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


class Cortex(Methods):
    """A memory, open from `async with` to its end. A missing file is made.

    `path` defaults to the file that the settings name; `project` and `agent` (the name written on changes) likewise.
    `progress` is told of long work as (done, total, label); total 0 means unknown.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        project: str | None = None,
        agent: str | None = None,
        progress: Progress = silent,
        options: Mapping[str, Any] = _NO_OPTIONS,
    ) -> None:
        flags = {"db": path, "project": project, "agent": agent, **options}
        self._flags = {name: given for name, given in flags.items() if given is not None}
        self._progress = progress
        self._app: App | None = None

    async def __aenter__(self) -> Self:
        self._app = open_app(settings_module.load(flags=self._flags), face="python", progress=self._progress)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        app, self._app = self._app, None
        if app is not None:
            app.close()

    async def call(self, request: Request[R]) -> R:
        """Run any request and return the whole response."""
        if self._app is None:
            raise Invalid("the memory is not open", "use `async with cortex.Cortex(...) as memory:`")
        return await self._app.call(request)


class Blocking:
    """The same methods without await, each run in a thread that has an event loop of its own."""

    def __init__(self, memory: Cortex, portal: BlockingPortal) -> None:
        self._memory = memory
        self._portal = portal

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._memory, name)
        if name.startswith("_") or not callable(method):
            raise AttributeError(f"there is no method {name!r}")

        def blocking(*arguments: Any, **named: Any) -> Any:
            return self._portal.call(partial(method, *arguments, **named))

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

    def __enter__(self) -> Blocking:
        portal = self._thread.__enter__()
        try:
            self._inside = cast("AbstractContextManager[Cortex]", portal.wrap_async_context_manager(self._memory))
            return Blocking(self._inside.__enter__(), portal)
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
            self._thread.__exit__(None, None, None)


def open(  # noqa: A001 - `cortex.open` reads as it should
    path: str | Path | None = None, *, project: str | None = None, agent: str | None = None, **options: Any
) -> AbstractContextManager[Blocking]:
    """Open a memory for a script or a notebook: `with cortex.open("memory.db") as memory: memory.store("…")`."""
    return _Opening(Cortex(path, project=project, agent=agent, options=options))
