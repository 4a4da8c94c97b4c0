"""Where requests of a client become operations: the file opened at the first need, the caller named, errors told."""

import asyncio
import time
from dataclasses import replace
from typing import Any, TypeVar

from mcp.server.context import ServerRequestContext
from mcp.server.session import ServerSession
from mcp.shared.exceptions import MCPError
from mcp.types import INTERNAL_ERROR, INVALID_PARAMS
from msgspec import Struct

from cortex import limits
from cortex.app import App, actor_name, open_app
from cortex.errors import CortexError, Unavailable
from cortex.mcp.workplace import Workplace
from cortex.ops.catalog import BY_REQUEST
from cortex.ops.context import Caller
from cortex.ops.registry import Request
from cortex.settings import Settings

R = TypeVar("R", bound=Struct)

Calling = ServerRequestContext[Any, Any]

_UNKNOWN_CLIENT = "mcp-client"


class Desk:
    """One client's way to the operations. `close` ends it."""

    def __init__(self, settings: Settings, workplace: Workplace) -> None:
        self.settings = settings
        self._workplace = workplace
        self._opening: asyncio.Task[App] | None = None
        self._under_way = 0

    async def run(self, calling: Calling, request: Request[R]) -> R:
        """Run a request for the client. The SDK drops progress that it did not ask for."""
        if self._under_way >= limits.MCP_CALLS_MAX:
            raise Unavailable(
                f"{limits.MCP_CALLS_MAX} calls are under way", "wait for some of them", retry_after_ms=100
            )
        self._under_way += 1
        try:
            app = await self._app()
            caller = await self._caller(calling.session, type(request))
            reporter = _Reporter(calling.session)
            context = replace(app.context, caller=caller, progress=reporter.report)
            response = await app.call(request, context=context)
            await reporter.finish()
            return response
        finally:
            self._under_way -= 1

    def close(self) -> None:
        """Finish what is queued and close the file, if it was opened."""
        if self._opening is not None and self._opening.done() and not self._opening.exception():
            self._opening.result().close()

    async def _app(self) -> App:
        """The application. One call opens it for all; after a failure the next call tries again."""
        if self._opening is None:
            self._opening = asyncio.create_task(asyncio.to_thread(open_app, self.settings, face="mcp"))
        opening = self._opening
        try:
            return await asyncio.shield(opening)
        except CortexError:
            if self._opening is opening:
                self._opening = None
            raise

    async def _caller(self, session: ServerSession, request: type[Request[Any]]) -> Caller:
        client = session.client_params.client_info.name if session.client_params else ""
        return Caller(
            actor=self.settings.agent or (actor_name(client) if client else _UNKNOWN_CLIENT),
            claimed=self.settings.agent is None,
            face="mcp",
            project=await self._workplace.project(session),
            full_ids=BY_REQUEST[request].destructive,
        )


class _Reporter:
    """Progress as notifications, no more often than every MCP_PROGRESS_MS and never backwards."""

    def __init__(self, session: ServerSession) -> None:
        self._session = session
        self._loop = asyncio.get_running_loop()
        self._sent_at = 0.0
        self._done = -1
        self._sending: set[asyncio.Task[None]] = set()

    def report(self, done: int, total: int, label: str) -> None:
        """Called from any thread."""
        now = time.monotonic()
        last = total > 0 and done >= total
        if done <= self._done or (now - self._sent_at < limits.MCP_PROGRESS_MS / 1000 and not last):
            return
        self._done, self._sent_at = done, now
        self._loop.call_soon_threadsafe(self._send, done, total, label)

    async def finish(self) -> None:
        """Let what was reported go out before the answer; nothing may follow it."""
        await asyncio.sleep(0)
        if self._sending:
            await asyncio.wait(self._sending)

    def _send(self, done: int, total: int, label: str) -> None:
        task = asyncio.ensure_future(self._session.report_progress(done, total or None, label))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)


def protocol_error(error: CortexError) -> MCPError:
    """An error for what has no error result of its own: resources and prompts."""
    ours = error.kind in {"internal", "corrupt", "unavailable"}
    return MCPError(code=INTERNAL_ERROR if ours else INVALID_PARAMS, message=told(error))


def told(error: CortexError) -> str:
    """An error as one line: `kind: what was found — what to do`."""
    hint = f" — {error.hint}" if error.hint else ""
    if isinstance(error, Unavailable) and error.retry_after_ms is not None:
        hint += f" (in {error.retry_after_ms} ms)"
    return " ".join(f"{error.kind}: {error.message}{hint}".split())
