"""The tree of commands: what the catalog declares and the commands of the command line's own."""

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

import click

from cortex._version import __version__
from cortex.cli.command import with_globals, write_options
from cortex.cli.extras import EXTRAS, Extra
from cortex.cli.grammar import parse_usage
from cortex.errors import Invalid
from cortex.ops.catalog import OPERATIONS
from cortex.ops.registry import Cli, Operation

GROUPS = ("Memory", "Trust", "Agents' clients", "Node", "Cluster", "Code")

_ABOUT = "Memory that AI agents share and anyone can check: one SQLite file, no key, no network."


@dataclass(frozen=True)
class Line:
    """A command, made when it is needed."""

    words: tuple[str, ...]
    group: str
    load: Callable[[], click.Command]
    about: Callable[[], str]


@cache
def lines() -> tuple[Line, ...]:
    """Every command: operations in the order of the catalog, the extra ones before or after them."""
    generated = [_generated(operation, line) for operation in OPERATIONS for line in operation.cli]
    before, after = ([_extra(extra) for extra in EXTRAS if extra.leads is leads] for leads in (True, False))
    found = (*before, *generated, *after)
    assert len({line.words for line in found}) == len(found), "a command line belongs to one command"
    return found


def root() -> "Group":
    """The command `cortex`."""
    group = Group("cortex", (), lines(), help=_ABOUT)
    version = click.version_option(__version__, prog_name="cortex", message="%(prog)s %(version)s")
    return version(group)


def find(words: Iterable[str]) -> tuple[click.Context, click.Command]:
    """The command that `words` lead to, with its context. Raises Invalid for one there is not."""
    command: click.Command = root()
    context = click.Context(command, info_name="cortex", **command.context_settings)
    for word in words:
        if not isinstance(command, Group):
            break
        command = command.find(context, word)
        context = click.Context(command, info_name=word, parent=context, **command.context_settings)
    return context, command


class Group(click.Group):
    """A word that others follow; its commands are made when they are needed."""

    def __init__(self, name: str, prefix: tuple[str, ...], found: tuple[Line, ...], help: str | None = None) -> None:  # noqa: A002 - click's name
        super().__init__(
            name, help=help, no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]}
        )
        with_globals(self)
        self._prefix = prefix
        self._lines = found

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(dict.fromkeys(line.words[len(self._prefix)] for line in self._lines))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        words = (*self._prefix, cmd_name)
        below = tuple(line for line in self._lines if line.words[: len(words)] == words)
        if not below:
            return None
        if below[0].words == words:
            assert len(below) == 1, f"{' '.join(words)!r} is a command and a group"
            return with_globals(below[0].load())
        return Group(cmd_name, words, below, help=f"Commands: {_names(below, len(words))}.")

    def find(self, ctx: click.Context, word: str) -> click.Command:
        """The command of that name. Raises Invalid with the nearest name."""
        command = self.get_command(ctx, word)
        if command is None:
            known = self.list_commands(ctx)
            near = difflib.get_close_matches(word, known, 1)
            hint = f"did you mean `{ctx.command_path} {near[0]}`?" if near else f"see `{ctx.command_path} --help`"
            raise Invalid(f"there is no command {word[:60]!r}", hint)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        return args[0], self.find(ctx, args[0]), args[1:]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        depth = len(self._prefix)
        for heading in _headings(self._lines) if not self._prefix else ("Commands",):
            within = [line for line in self._lines if self._prefix or line.group == heading]
            with formatter.section(heading):
                formatter.write_dl([_row(found, depth) for found in _families(within, depth)])

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_commands(ctx, formatter)
        write_options(self, ctx, formatter)


def _generated(operation: Operation, line: Cli) -> Line:
    def load() -> click.Command:
        from cortex.cli.commands import OperationCommand

        return OperationCommand(operation, line)

    return Line(parse_usage(line.usage).words, line.group, load, lambda: _summary(operation.about))


def _extra(extra: Extra) -> Line:
    return Line(tuple(extra.words.split()), extra.group, extra.load, lambda: _summary(extra.load().help or ""))


def _summary(text: str) -> str:
    """The first sentence of a description."""
    first = " ".join(text.split("\n\n", maxsplit=1)[0].split())
    return first.partition(": ")[0].partition(". ")[0].removesuffix(".") if len(first) > 60 else first.removesuffix(".")


def _headings(found: tuple[Line, ...]) -> tuple[str, ...]:
    present = {line.group: None for line in found}
    return tuple(group for group in GROUPS if group in present) + tuple(g for g in present if g not in GROUPS)


def _families(found: list[Line], depth: int) -> list[list[Line]]:
    """Commands that share their next word, together."""
    families: dict[str, list[Line]] = {}
    for line in found:
        families.setdefault(line.words[depth], []).append(line)
    return list(families.values())


def _row(family: list[Line], depth: int) -> tuple[str, str]:
    if len(family) == 1:
        return " ".join(family[0].words[depth:]), family[0].about()
    return family[0].words[depth], _names(tuple(family), depth + 1)


def _names(family: tuple[Line, ...], depth: int) -> str:
    return ", ".join(dict.fromkeys(line.words[depth] for line in family))
