"""Running: from the fields on the line to an open application, its answer on the screen, and the exit code."""

import asyncio
from dataclasses import dataclass, field, replace

import msgspec
from msgspec import Struct

from cortex.app import open_app
from cortex.cli import exits, terminal
from cortex.cli.command import Globals
from cortex.cli.loading import load
from cortex.cli.progress import watching
from cortex.cli.render import lines
from cortex.ops.invoke import decode
from cortex.ops.registry import Operation


@dataclass
class _Stream:
    """Standard output as the place that an operation streams to."""

    used: bool = field(default=False)

    def emit(self, data: bytes) -> None:
        self.used = True
        terminal.emit(data)


def run_operation(operation: Operation, data: dict[str, object], given: Globals) -> int:
    """Run one operation on the file that the settings name."""
    request = decode(operation, data)
    request.check()  # a wrong request makes no file
    app = open_app(load(given).settings, face="cli")
    stream = _Stream()
    try:
        with watching() as progress:
            context = replace(app.context, emit=stream.emit, progress=progress)
            result: Struct = asyncio.run(app.call(request, context=context))
    finally:
        app.close()  # finishes a write that was begun, also after Ctrl-C
    return present(result, as_json=given.json, beside=stream.used)


def present(result: Struct, *, as_json: bool, beside: bool = False) -> int:
    """Print a result and return its exit code; `beside` what was streamed to standard output, on standard error."""
    screen = terminal.screen()
    if as_json:
        text = _json(result, pretty=screen.width is not None)
        if beside:
            terminal.note([text])
        else:
            terminal.say_json(text)
    elif beside:
        terminal.note(lines(result, replace(screen, width=None, color=False)))
    else:
        terminal.say(lines(result, screen))
    return exits.of_result(result)


def _json(result: Struct, *, pretty: bool) -> str:
    encoded = msgspec.json.encode(result)
    if not pretty:
        return encoded.decode()
    return terminal.printable_json(msgspec.json.format(encoded, indent=2).decode())
