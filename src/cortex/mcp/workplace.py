"""The project a client works in: what its roots say, else its environment, else the working directory."""

import asyncio
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mcp.server.session import ServerSession
from mcp.shared.exceptions import MCPError
from mcp.types import ListRootsRequest, ListRootsResult

from cortex import limits, projects
from cortex.settings import Settings

# What clients tell the servers that they start: a folder, or several with the platform's separator between.
_VARIABLES = ("CLAUDE_PROJECT_DIR", "WORKSPACE_FOLDER_PATHS")

logger = logging.getLogger(__name__)


class Workplace:
    """Finds the project at the first call and keeps it until the roots change."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], cwd: Path) -> None:
        self._settings = settings
        self._environ = environ
        self._cwd = cwd
        self._finding = asyncio.Lock()
        self._found: str | None = None
        self._changes = 0

    async def project(self, session: ServerSession) -> str:
        """The project of a request that names none."""
        if self._settings.project is not None:
            return self._settings.project
        async with self._finding:
            if self._found is not None:
                return self._found
            changes = self._changes
            folder = await _root(session) or _named(self._environ) or self._cwd
            home = projects.user_home(self._environ) or Path("/")
            found = await asyncio.to_thread(projects.detect, folder, home=home)
            if changes == self._changes:
                self._found = found
            return found

    def changed(self) -> None:
        """The client has other roots now."""
        self._found = None
        self._changes += 1


def folder_of(uri: str) -> Path | None:
    """The folder that a `file:` URI names; None for anything else."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    path = unquote(parts.path)
    if os.name == "nt":
        path = path.lstrip("/")
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or "\0" in path:
        return None
    return Path(path) if Path(path).is_absolute() else None


async def _root(session: ServerSession) -> Path | None:
    """The client's first root that is a folder. A client that does not answer in time is as one that has none."""
    capabilities = session.client_capabilities
    if capabilities is None or capabilities.roots is None:
        return None
    try:
        listed = await session.send_request(
            ListRootsRequest(), ListRootsResult, request_read_timeout_seconds=limits.MCP_ROOTS_SECONDS
        )
    except (MCPError, ValueError) as error:  # a ValueError is an answer of the wrong form
        logger.warning("the client's roots are not known: %s", error)
        return None
    return next((folder for root in listed.roots if (folder := folder_of(str(root.uri)))), None)


def _named(environ: Mapping[str, str]) -> Path | None:
    for variable in _VARIABLES:
        first = environ.get(variable, "").split(os.pathsep)[0]
        if first and "\0" not in first and Path(first).is_absolute():
            return Path(first)
    return None
