"""The MCP server on standard input and output. Importing it costs nothing; the SDK loads after the first answer."""

import importlib

from cortex import limits
from cortex.errors import TooLarge
from cortex.mcp import opening
from cortex.mcp.wire import Lines, claim_standard_streams, write_all
from cortex.settings import Settings


def run(settings: Settings) -> int:
    """Serve until the client goes; the exit code. Only protocol messages are written on standard output."""
    incoming, outgoing = claim_standard_streams()
    lines = Lines(incoming, limits.MCP_LINE_BYTES_MAX)
    try:
        first = _first(lines)
        if first is None:
            return 0
        answer = opening.answer(first)
        if answer is not None:
            write_all(outgoing, answer)
        serve = importlib.import_module("cortex.mcp.server").serve
        serve(settings, lines, outgoing, first, answered=answer is not None)
    except (KeyboardInterrupt, BrokenPipeError):
        pass  # an interrupt, or a client that left: both mean to stop
    return 0


def _first(lines: Lines) -> bytes | None:
    while True:
        try:
            return lines.next()
        except TooLarge:
            continue  # nobody has said yet that this is a conversation
