"""`cortex mcp start`: the MCP server for one client."""

import click

from cortex.cli.command import CommandLine, globals_of
from cortex.cli.loading import load


@click.command(cls=CommandLine)
@click.option("--transport", type=click.Choice(["stdio"]), default="stdio", help="How the client talks to it.")
@click.option("--tools", metavar="LIST", help="Sets of tools to offer: memory, trust, all; separated by commas.")
@click.pass_context
def start(ctx: click.Context, transport: str, tools: str | None) -> int:
    """Serve MCP to the client that started this process, over standard input and output."""
    from cortex.mcp.stdio import run

    return run(load(globals_of(ctx), {"mcp_tools": ("--tools", tools)}).settings)
