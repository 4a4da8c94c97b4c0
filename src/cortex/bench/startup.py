"""How long Cortex takes to answer from the moment its process is started, and what its MCP server weighs."""

import asyncio
import json
import os
import subprocess
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from typing import Any

from cortex.bench import clock, figures, stage
from cortex.bench.clock import Lap
from cortex.bench.figures import Figure, Target
from cortex.bench.task import Task
from cortex.errors import Unavailable

_ANSWER_SECONDS = 20
_LINE_BYTES_MAX = 4 << 20

_HANDSHAKE = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "cortex-benchmark", "version": "1"},
}
_CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("cortex_recall", {}),
    ("cortex_search", {"query": "when do we deploy the server"}),
    ("cortex_store", {"content": "The benchmark stores one fact through the MCP server."}),
    ("cortex_search", {"query": "what does the benchmark store"}),
    ("cortex_recall", {"query": "server errors after a release"}),
)


def version(task: Task) -> list[Figure]:
    """The shortest command there is."""
    walls = []
    for _ in range(3 if task.quick else 10):
        with Lap() as lap:
            subprocess.run([sys.executable, "-m", "cortex", "--version"], check=True, capture_output=True)
        walls.append(lap.wall_ms)
    return [figures.measured("cortex --version: wall", "ms", walls, figures.below(150))]


def mcp(task: Task) -> list[Figure]:
    """The MCP server over stdio, as an editor starts it, on a file of `task.size` facts."""
    spawns = 2 if task.quick else 5
    sessions = [asyncio.run(_session(task, embedding=False)) for _ in range(spawns)]
    name = f"MCP server on {task.size:,} facts, after {len(_CALLS)} calls: memory"
    weight = _weight(name, [weight for _, _, weight in sessions], figures.below(90))
    return [
        figures.measured("MCP server: initialize answered after", "ms", [s[0] for s in sessions], figures.below(300)),
        figures.measured("MCP server: tools/list answered after", "ms", [s[1] for s in sessions], figures.below(1_000)),
        weight,
    ]


def memory_figure(task: Task, name: str, target: Target | None, *, embedding: bool) -> Figure:
    """What the MCP server weighs after the calls, with the embedder that the environment chooses or without."""
    spawns = 2 if task.quick else 3
    weights = [asyncio.run(_session(task, embedding=embedding))[2] for _ in range(spawns)]
    return _weight(name, weights, target)


def _weight(name: str, found: list[float | None], target: Target | None) -> Figure:
    weights = [weight for weight in found if weight is not None]
    if not weights:
        return figures.not_measured(name, "MiB", "this system does not tell", target)
    return figures.measured(name, "MiB", weights, target)


async def _session(task: Task, *, embedding: bool) -> tuple[float, float, float | None]:
    """One spawn: ms to the first answer, ms to the list of tools, MiB after some calls."""
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cortex", "mcp", "start", "--project", "project-0", "--db",
        str(stage.facts_file(task.path, task.size)), stdin=PIPE, stdout=PIPE, stderr=DEVNULL, limit=_LINE_BYTES_MAX,
        env=dict(os.environ) | ({} if embedding else {"CORTEX_EMBEDDER_KIND": "none"}),
    )  # fmt: skip
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            await _ask(process, "initialize", _HANDSHAKE)
            first_ms = (time.perf_counter() - started) * 1e3
            _send(process, {"method": "notifications/initialized"})
            await _ask(process, "tools/list", {})
            listed_ms = (time.perf_counter() - started) * 1e3
            for tool, arguments in _CALLS:
                await _ask(process, "tools/call", {"name": tool, "arguments": arguments})
            return first_ms, listed_ms, clock.resident_mib(process.pid)
    except TimeoutError:
        raise Unavailable(f"the MCP server did not answer within {_ANSWER_SECONDS} s") from None
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _send(process: Process, message: dict[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps({"jsonrpc": "2.0"} | message).encode() + b"\n")


async def _ask(process: Process, method: str, params: dict[str, Any]) -> None:
    assert process.stdout is not None
    _send(process, {"id": method, "method": method, "params": params})
    while line := await process.stdout.readline():
        answer = json.loads(line)
        if answer.get("id") != method or "method" in answer:
            continue
        if "error" in answer or answer["result"].get("isError"):
            raise Unavailable(f"the MCP server refused {method}")
        return
    raise Unavailable("the MCP server ended before it answered")
