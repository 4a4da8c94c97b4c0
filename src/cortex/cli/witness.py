"""`cortex witness serve`: cosign the checkpoints of other people's ledgers."""

from pathlib import Path

import click

from cortex.cli.command import CommandLine, globals_of
from cortex.cli.loading import load

_PORT = 8485


@click.command(cls=CommandLine)
@click.option("--host", default="127.0.0.1", metavar="ADDRESS", help="Where to listen.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65_535), default=_PORT, metavar="N", help="[default: 8485]")
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What it has seen; its key lies beside it.  [default: witness.db in Cortex's home]",
)
@click.option(
    "--logs",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The logs it knows, one `log <vkey>` a line.  [default: witness.logs in Cortex's home]",
)
@click.option("--name", default="cortex-witness", metavar="NAME", help="Name of its key.  [default: cortex-witness]")
@click.pass_context
def serve(ctx: click.Context, host: str, port: int, state: Path | None, logs: Path | None, name: str) -> int:
    """Cosign the checkpoints of the logs that are named in a file, and never two histories of one.

    Prints its URL and key, which is what goes into the setting `witnesses` of those who use it. Ends with Ctrl-C.
    """
    import logging
    import sys

    import msgspec

    from cortex.cli import terminal
    from cortex.trust import private
    from cortex.witness import server

    given = globals_of(ctx)
    home = load(given).settings.home
    place = state or home / "witness.db"
    private.make_folder(place.parent)

    def ready(target: str) -> None:
        url, _, vkey = target.partition(" ")
        if given.json:
            terminal.say_json(msgspec.json.encode({"url": url, "vkey": vkey}).decode())
        else:
            terminal.say([target])

    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="cortex witness: %(levelname)s: %(message)s")
    server.serve(place, logs or home / "witness.logs", host=host, port=port, name=name, ready=ready)
    return 0
