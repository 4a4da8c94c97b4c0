"""Commands and groups as click knows them: global options anywhere on the line, and help in sections."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import click

_GIVEN = "cortex.globals"

_GLOBAL_OPTIONS = {
    "db": ("--db", "PATH", "The database file."),
    "project": ("--project", "NAME", "The project to work in."),
    "json": ("--json", None, "Print the result as one JSON document."),
}


@dataclass(frozen=True)
class Globals:
    """The global options of a line; `flags` is what they set."""

    project: str | None = None
    json: bool = False
    flags: Mapping[str, str] = field(default_factory=dict)


def globals_of(ctx: click.Context) -> Globals:
    """The global options as given anywhere on the line."""
    given: dict[str, Any] = ctx.meta.get(_GIVEN, {})
    flags: dict[str, str] = {name: given[name] for name in ("db", "project") if name in given}
    return Globals(project=given.get("project"), json=bool(given.get("json")), flags=flags)


def global_names() -> frozenset[str]:
    """The global options, as they are written."""
    return frozenset(option for option, _, _ in _GLOBAL_OPTIONS.values())


def with_globals(command: click.Command) -> click.Command:
    """The command with the global options added that it does not have."""
    taken = {name for parameter in command.params for name in parameter.opts}
    command.params += [_global(name) for name, (option, _, _) in _GLOBAL_OPTIONS.items() if option not in taken]
    return command


class _Global(click.Option):
    """An option that every command takes."""


def _global(name: str) -> click.Option:
    option, metavar, about = _GLOBAL_OPTIONS[name]
    return _Global(
        [option, f"global_{name}"],
        metavar=metavar,
        is_flag=metavar is None,
        default=None,
        help=about,
        expose_value=False,
        callback=_keep,
        type=None if metavar is None else click.UNPROCESSED,
    )


def _keep(ctx: click.Context, parameter: click.Parameter, value: object) -> None:
    if value is not None and parameter.name is not None and _on_line(ctx, parameter.name):
        ctx.meta.setdefault(_GIVEN, {})[parameter.name.removeprefix("global_")] = value


def _on_line(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def given(ctx: click.Context) -> dict[str, Any]:
    """The parameters that stand on the line; defaults are the operation's business."""
    return {name: value for name, value in ctx.params.items() if _on_line(ctx, name)}


class CommandLine(click.Command):
    """A command whose help tells its own options from the global ones."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", {"help_option_names": ["-h", "--help"]})
        super().__init__(*args, **kwargs)
        with_globals(self)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_places(formatter)
        write_options(self, ctx, formatter)

    def format_places(self, formatter: click.HelpFormatter) -> None:
        """Describe the values that stand without an option. Here there is nothing known of them."""


def write_options(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """The sections of options: the command's own, then those that every command takes."""
    own: list[tuple[str, str]] = []
    everywhere: list[tuple[str, str]] = []
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
        if record is not None:
            shared = isinstance(parameter, _Global) or "--help" in parameter.opts
            (everywhere if shared else own).append(record)
    for title, records in (("Options", own), ("Options of every command", everywhere)):
        if records:
            with formatter.section(title):
                formatter.write_dl(records)
