"""`cortex help`: the help of a command, by its words."""

import click

from cortex.cli import terminal
from cortex.cli.command import CommandLine


@click.command(cls=CommandLine)
@click.argument("words", nargs=-1, metavar="[COMMAND]...")
def show(words: tuple[str, ...]) -> int:
    """Show the help of a command."""
    from cortex.cli.tree import find

    context, command = find(words)
    terminal.say([command.get_help(context)])
    return 0
