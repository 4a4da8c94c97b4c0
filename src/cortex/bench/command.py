"""`cortex benchmark`: measure this machine."""

import importlib
from typing import Any

import click
import msgspec

from cortex.cli import terminal
from cortex.cli.command import CommandLine, globals_of
from cortex.cli.progress import watching


class _Sizes(click.ParamType[tuple[int, ...]]):
    """Whole numbers, separated by commas."""

    name = "sizes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(int(part.replace("_", "")) for part in value.split(",") if part.strip())
        except ValueError:
            self.fail(f"{value!r} is not whole numbers separated by commas", param, ctx)


@click.command(cls=CommandLine)
@click.option(
    "--suite", default="memory", metavar="NAME", help="What to measure: memory, vectors, retrieval, trust, ledger."
)
@click.option(
    "--against",
    default="",
    metavar="LIST",
    help="Also measure, where installed: chromadb, lancedb, sqlite-vec, usearch.",
)
@click.option("--facts", type=_Sizes(), default=(), metavar="LIST", help="How many facts to search: 10000,100000.")
@click.option("--entries", type=_Sizes(), default=(), metavar="LIST", help="Ledger sizes to verify: 10000,100000.")
@click.option("--data", default="", metavar="PATH", help="Questions for retrieval: LoCoMo, JSONL, or a folder of BEIR.")
@click.option(
    "--results", default="", metavar="FILE", help="Write what each question of retrieval found to a new file."
)
@click.option("--plot", default="", metavar="FILE", help="Draw the runs of trust to a new file, .svg or .png.")
@click.option("--quick", is_flag=True, help="Seconds instead of minutes: shows that it works, measures little.")
@click.pass_context
def benchmark(ctx: click.Context, /, **given: Any) -> int:
    """Measure Cortex on this machine, on a throwaway folder.

    Your own files and settings are not touched. TMPDIR chooses the disk. Figures hold for this machine and this moment.
    """
    bench = importlib.import_module("cortex.bench.suite")
    table = importlib.import_module("cortex.bench.table")
    names = tuple(name.strip() for name in given.pop("against").split(",") if name.strip())
    options = bench.Options(against=names, **given)
    with watching() as progress:
        result = bench.run(options, progress)
    if globals_of(ctx).json:
        terminal.say_json(msgspec.json.encode(result).decode())
    else:
        terminal.say(table.lines(result))
    return 0
