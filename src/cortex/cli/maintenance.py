"""`cortex restore` and `cortex migrate`: what is done to the file as a whole."""

from pathlib import Path

import click

from cortex.cli.command import CommandLine, globals_of


@click.command(cls=CommandLine)
@click.argument("source", metavar="FROM", type=click.Path(path_type=Path))
@click.pass_context
def restore(ctx: click.Context, source: Path) -> int:
    """Put a backup in the place of the current file.

    The backup is verified first and the result after; what was there is kept beside it. The file goes on as a new
    origin.
    """
    from cortex import maintenance
    from cortex.cli.loading import load
    from cortex.cli.progress import watching
    from cortex.cli.run import present

    given = globals_of(ctx)
    with watching() as progress:
        restored = maintenance.restore(load(given).settings, source, progress)
    return present(restored, as_json=given.json)


@click.command(cls=CommandLine)
@click.pass_context
def migrate(ctx: click.Context) -> int:
    """Bring the file to the schema of this version.

    Opening an older file does the same; a copy of it is kept beside it first.
    """
    from cortex import maintenance
    from cortex.cli.loading import load
    from cortex.cli.run import present

    given = globals_of(ctx)
    return present(maintenance.migrate_file(load(given).settings), as_json=given.json)
