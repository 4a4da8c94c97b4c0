"""Running: from the fields on the line to an open application, its answer on the screen, and the exit code."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import click
import msgspec
from msgspec import Struct, structs

from cortex.app import actor_name, default_project, open_app
from cortex.cli import exits, terminal
from cortex.cli.command import Globals
from cortex.cli.loading import load
from cortex.cli.progress import watching
from cortex.cli.render import lines
from cortex.errors import Locked
from cortex.kinds import Secret
from cortex.ledger.keys import NodeKey
from cortex.ops.context import Caller, Context
from cortex.ops.invoke import decode, invoke
from cortex.ops.registry import Operation, Request
from cortex.settings import Settings
from cortex.trust.keyring import Keyring


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
    stream = _Stream()
    with _context(operation, load(given).settings) as opened:
        context = replace(opened, emit=stream.emit)
        try:
            result = _run(context, operation, request)
        except Locked as error:
            result = _run(_unlocked(context, error), operation, request)
    return present(result, as_json=given.json, beside=stream.used)


def _run(context: Context, operation: Operation, request: Request[Any]) -> Struct:
    with watching() as progress:
        return asyncio.run(invoke(replace(context, progress=progress), operation, request))


def _unlocked(context: Context, error: Locked) -> Context:
    """The context with the passphrase of the admin key, which a person at the terminal is asked for."""
    if not terminal.is_terminal(sys.stdin) or not terminal.is_terminal(sys.stderr):
        raise error
    given = click.prompt(f"Passphrase ({error.message})", hide_input=True, err=True)
    return replace(context, settings=structs.replace(context.settings, admin_passphrase=Secret(given)))


@contextmanager
def _context(operation: Operation, settings: Settings) -> Iterator[Context]:
    """What the operation may use, for as long as it runs."""
    if operation.file == "unused":
        yield _without_file(settings)
        return
    # A mistyped --db is told where something is to be read there: an empty file would only hide it.
    app = open_app(settings, face="cli", create=operation.file == "made")
    try:
        yield app.context
    finally:
        app.close()  # finishes a write that was begun, also after Ctrl-C


def _without_file(settings: Settings) -> Context:
    """The context of an operation that touches no database, so that none has to be there."""
    absent: Any = None
    caller = Caller(actor=settings.agent or actor_name(""), face="cli", project=default_project(settings, None))
    return Context(
        database=absent,
        journal=absent,
        settings=settings,
        node_key=NodeKey(settings.node_key_path),
        meaning=absent,
        answers=absent,
        keyring=Keyring(settings.home),
        caller=caller,
    )


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
