"""`cortex restore` and `cortex migrate`: what is done to the file as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cortex.cli.command import CommandLine, globals_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cortex.maintenance import Restored


@click.command(cls=CommandLine)
@click.argument("source", metavar="FROM", type=click.Path(path_type=Path))
@click.pass_context
def restore(ctx: click.Context, source: Path) -> int:
    """Put a backup in the place of the current file.

    The backup is verified first and the result after; what was there is kept beside it. The file goes on as a new
    origin. What was forgotten or revoked since the backup is listed, with the commands that do it again.
    """
    from cortex import maintenance
    from cortex.cli import terminal
    from cortex.cli.loading import load
    from cortex.cli.progress import watching
    from cortex.cli.run import present

    given = globals_of(ctx)
    with watching() as progress:
        restored = maintenance.restore(load(given).settings, source, progress)
    if given.json:
        return present(restored, as_json=True)
    terminal.say(_lines(restored))
    return 0


def _lines(restored: Restored) -> Iterator[str]:
    """The figures, then what the restore undid and how to do it again."""
    from cortex.cli import listing
    from cortex.cli.terminal import one_line

    yield from listing.part(restored, ["forgotten", "forgotten_ids", "undone", "undone_more", "untold"])
    yield from _forgotten(restored)
    if restored.undone:
        yield ""
        yield "said in the votes log since the backup, and not so any more:"
    for each in restored.undone:
        yield f"  {one_line(each.what)}{f': `{one_line(each.command)}`' if each.command else ''}"
    if restored.undone_more:
        yield f"  and {restored.undone_more:,} more, in {one_line(restored.before or '')}"
    if restored.untold:
        yield ""
        yield "not told of the replaced file:"
    for told in restored.untold:
        yield f"  {one_line(told)}"


def _forgotten(restored: Restored) -> Iterator[str]:
    from cortex.cli.terminal import one_line
    from cortex.plurals import counted

    if not restored.forgotten:
        return
    one = restored.forgotten == 1
    are, them = ("is", "it") if one else ("are", "each")
    yield ""
    yield (
        f"{counted(restored.forgotten, 'fact')} that the replaced file had forgotten {are} there again;"
        f" `cortex forget ID` erases {them} again:"
    )
    yield from (f"  {one_line(fact)}" for fact in restored.forgotten_ids)
    if more := restored.forgotten - len(restored.forgotten_ids):
        yield f"  and {more:,} more, in {one_line(restored.before or '')}"


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
