"""A client of the MCP server as a real process: line by line, or with the SDK's own client.

with connected(tmp_path) as client:
    client.call("cortex_store", {"content": "Invoices are sent on the 3rd"})["id"]
    client.call("cortex_show", {"id": "ffffffff"}) == Refused("not_found", ...)
"""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp import ClientSession, StdioServerParameters, stdio_client

START = "import sys; from cortex import settings; from cortex.mcp.stdio import run; sys.exit(run(settings.load()))"
INITIALIZE = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "line-client", "version": "1"},
}


@dataclass(frozen=True)
class Refused:
    """A tool's error: its kind, and the whole text."""

    kind: str
    text: str = field(compare=False, default="")


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """An environment whose home, database and project lie in `folder`. Names are those of settings, in capitals."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("CORTEX_", "CLAUDE_", "WORKSPACE_"))
    }
    return kept | {"HOME": str(folder), "CORTEX_DB": str(folder / "memory.db")} | variables


@dataclass
class Client:
    """A spawned server and its lines."""

    process: subprocess.Popen[bytes]
    last_id: int = 0

    def send(self, method: str, params: dict[str, Any] | None = None, *, notify: bool = False) -> int:
        self.last_id += not notify
        message = {"jsonrpc": "2.0", "method": method} | ({} if params is None else {"params": params})
        self.write(json.dumps(message if notify else message | {"id": self.last_id}).encode() + b"\n")
        return self.last_id

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the server left"
        found: dict[str, Any] = json.loads(line)
        assert found["jsonrpc"] == "2.0"
        return found

    def ask(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a request and wait for its answer; what comes meanwhile is dropped."""
        number = self.send(method, params)
        while (found := self.receive()).get("id") != number or "method" in found:
            pass
        return found

    def initialize(self) -> dict[str, Any]:
        answer = self.ask("initialize", INITIALIZE)
        self.send("notifications/initialized", notify=True)
        return answer

    def result(self, tool: str, arguments: dict[str, Any] | None = None) -> dict[str, Any]:
        """The whole result of a call."""
        answer = self.ask("tools/call", {"name": tool, "arguments": arguments or {}})
        assert "result" in answer, answer
        found: dict[str, Any] = answer["result"]
        return found

    def call(self, tool: str, arguments: dict[str, Any] | None = None) -> Any:
        """The structured content of a call, or how it was refused."""
        result = self.result(tool, arguments)
        if result.get("isError"):
            text = result["content"][0]["text"]
            return Refused(text.partition(":")[0], text)
        return result["structuredContent"]

    def text(self, tool: str, arguments: dict[str, Any] | None = None) -> str:
        return str(self.result(tool, arguments)["content"][0]["text"])

    def close(self) -> int:
        """End the input; the exit code."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        code = self.process.wait(10)
        self.process.stdout.close()
        return code


@contextmanager
def spawned(folder: Path, *, code: str = START, **variables: str) -> Iterator[Client]:
    """A server that nothing was said to yet."""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(folder, **variables),
        cwd=folder,
    )
    client = Client(process)
    try:
        yield client
    except BaseException:
        process.kill()
        raise
    finally:
        if process.poll() is None:
            client.close()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()


@contextmanager
def connected(folder: Path, *, code: str = START, **variables: str) -> Iterator[Client]:
    """A server past the handshake. Variables are settings: `CORTEX_MCP_TOOLS="all"`."""
    with spawned(folder, code=code, **variables) as client:
        client.initialize()
        yield client


@asynccontextmanager
async def session(
    folder: Path, *, code: str = START, options: dict[str, Any] | None = None, **variables: str
) -> AsyncIterator[ClientSession]:
    """The SDK's own session with a spawned server, past the handshake."""
    server = StdioServerParameters(
        command=sys.executable, args=["-c", code], env=environment(folder, **variables), cwd=folder
    )
    async with stdio_client(server) as (read, write), ClientSession(read, write, **(options or {})) as opened:
        await opened.initialize()
        yield opened
