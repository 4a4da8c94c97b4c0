"""The MCP server: the SDK's protocol machinery with the operations behind it."""

import asyncio
import logging
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from mcp.server.lowlevel import Server
from mcp.types import CallToolRequestParams, ListToolsResult, NotificationParams, PaginatedRequestParams

from cortex._version import __version__
from cortex.mcp import calls, library, opening, tools
from cortex.mcp.desk import Calling, Desk
from cortex.mcp.transport import Transport
from cortex.mcp.wire import Lines
from cortex.mcp.workplace import Workplace
from cortex.ops.catalog import OPERATIONS
from cortex.settings import Settings


def serve(settings: Settings, lines: Lines, outgoing: int, first: bytes, *, answered: bool) -> None:
    """Serve one client until it goes; `first` is its first line, `answered` whether it has its answer already."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="cortex mcp: %(levelname)s: %(message)s")
    asyncio.run(_serve(settings, lines, outgoing, first, answered))


async def _serve(settings: Settings, lines: Lines, outgoing: int, first: bytes, answered: bool) -> None:
    workplace = Workplace(settings, os.environ, Path.cwd())
    desk = Desk(settings, workplace)
    transport = Transport(lines, outgoing, first, answered=answered)
    try:
        await transport.serve(build(desk, workplace))
    finally:
        desk.close()


def build(desk: Desk, workplace: Workplace) -> Server[Any]:
    """The SDK's server with our handlers."""
    offered = tools.offered(OPERATIONS, desk.settings)
    listed = ListToolsResult(tools=[tools.described(operation, desk.settings) for operation in offered.values()])

    async def list_tools(_calling: Calling, _params: PaginatedRequestParams | None) -> ListToolsResult:
        return listed

    async def roots_changed(_calling: Calling, _params: NotificationParams) -> None:
        workplace.changed()

    server: Server[Any] = Server(
        opening.NAME,
        version=__version__,
        title=opening.TITLE,
        instructions=opening.INSTRUCTIONS,
        on_list_tools=list_tools,
        on_list_resources=library.list_resources,
        on_list_resource_templates=library.list_templates,
        on_read_resource=partial(library.read_resource, desk),
        on_list_prompts=library.list_prompts,
        on_get_prompt=partial(library.get_prompt, desk),
    )
    # Here a plain dictionary may be the result. The SDK checks it in any case; a model would be made for nothing.
    server.add_request_handler("tools/call", CallToolRequestParams, partial(calls.call, desk, offered))
    server.add_notification_handler("notifications/roots/list_changed", NotificationParams, roots_changed)
    server.middleware.clear()  # it only makes spans, and nothing here collects them
    return server
