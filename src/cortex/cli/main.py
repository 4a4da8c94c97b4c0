"""The command line from its arguments to an exit code. Nothing gets past here but that code."""

import os
import sys
import traceback

import click
from click.shell_completion import shell_complete

from cortex.cli import exits, terminal
from cortex.cli.completion import VARIABLE
from cortex.cli.extras import direct
from cortex.errors import CortexError


def main(argv: list[str]) -> int:
    """Run the command line `argv`, without the program's name, and return the exit code."""
    try:
        return _told(argv)
    except BrokenPipeError:
        terminal.abandon()
        return exits.BROKEN_PIPE
    except KeyboardInterrupt:
        return exits.INTERRUPTED


def _told(argv: list[str]) -> int:
    """Run, and tell what went wrong."""
    try:
        return _run(argv)
    except CortexError as error:
        told = exits.of_error(error)
    except click.ClickException as error:
        told = exits.of_usage(error)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - a fault of ours is told in one line to whoever ran the command
        if sys.flags.dev_mode:
            traceback.print_exc()
        told = exits.of_fault(error)
    return _tell(told, as_json=_wants_json(argv) and sys.stdout is not None)


def _run(argv: list[str]) -> int:
    # `mcp start` has a fraction of a second to answer its client: it does not wait for the operations to be imported.
    found = None if VARIABLE in os.environ else direct(argv)
    if found is not None:
        extra, rest = found
        return _invoke(extra.load(), f"cortex {extra.words}", rest)
    from cortex.cli.tree import root

    if instruction := os.environ.get(VARIABLE):
        return shell_complete(root(), {}, "cortex", VARIABLE, instruction)
    return _invoke(root(), "cortex", argv or ["--help"])


def _invoke(command: click.Command, name: str, argv: list[str]) -> int:
    try:
        with command.make_context(name, list(argv)) as ctx:
            code = command.invoke(ctx)
    except click.exceptions.Exit as ended:  # `--help` and `--version` end so
        return ended.exit_code
    return code if isinstance(code, int) else exits.DONE


def _tell(told: exits.Told, *, as_json: bool) -> int:
    try:
        exits.tell(told, as_json=as_json)
    except CortexError:
        # Standard output is what failed; what is left to speak is the exit code.
        exits.tell(told, as_json=False)
    return told.exit_code


def _wants_json(argv: list[str]) -> bool:
    """Whether errors are to be JSON too, also those of a line that cannot be parsed."""
    options = argv[: argv.index("--")] if "--" in argv else argv
    return "--json" in options
