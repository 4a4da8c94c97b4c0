"""The commands of operations: one for each `Cli` line of the catalog."""

from dataclasses import replace
from typing import Any

import click
from click.shell_completion import CompletionItem

from cortex.cli import values
from cortex.cli.command import CommandLine, Globals, given, global_names, globals_of
from cortex.cli.grammar import Positional, Usage, assign, parse_usage, protect, unprotect
from cortex.errors import CortexError, Invalid
from cortex.ops.registry import Cli, Operation

_VALUES = "positional_values"


class Completing(click.ParamType[str]):
    """A value that is read once the whole line is known; here it only knows what can be completed."""

    name = "text"

    def __init__(self, choices: tuple[str, ...] = ()) -> None:
        self.choices = choices

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(choice) for choice in self.choices if choice.startswith(incomplete)]


class OperationCommand(CommandLine):
    """A command line of an operation."""

    def __init__(self, operation: Operation, line: Cli) -> None:
        self.operation = operation
        self.line = line
        self.fields = {found.name: found for found in values.fields_of(operation.request)}
        self.usage = _resolved(parse_usage(line.usage), self.fields, line)
        super().__init__(
            name=self.usage.words[-1],
            help=operation.about,
            params=[*self._arguments(), *self._options()],
            callback=self._run,
        )

    def option_of(self, name: str) -> str:
        """How a field is written as an option."""
        return "--" + self.line.rename.get(name, name).replace("_", "-")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        takes_value = {
            name: isinstance(parameter, click.Option) and not parameter.is_flag
            for parameter in self.get_params(ctx)
            for name in (*parameter.opts, *parameter.secondary_opts)
            if name.startswith("-")
        }
        return super().parse_args(ctx, protect(args, takes_value))

    def format_places(self, formatter: click.HelpFormatter) -> None:
        records = [(place.shown, self._about_place(place)) for place in self.usage.positionals]
        if records:
            with formatter.section("Values"):
                formatter.write_dl(records)

    def read(self, ctx: click.Context) -> dict[str, object]:
        """The request's fields as they stand on the line."""
        options = given(ctx)
        words = [unprotect(value) for value in options.pop(_VALUES, ())]
        inputs = values.Inputs()
        try:
            data = self._from_places(words, inputs)
        except CortexError as error:
            error.hint = "; ".join(filter(None, (error.hint, f"see `{ctx.command_path} --help`")))
            raise
        if twice := next((name for name in options if name in data), None):
            raise Invalid(f"{twice} is given twice", f"give it once, with or without {self.option_of(twice)}")
        data |= {name: self._from_option(name, value, inputs) for name, value in options.items()}
        self._take_project(data, globals_of(ctx))
        for name, found in self.fields.items():
            if found.required and name not in data:
                raise Invalid(f"{self.option_of(name)} is missing", f"see `{ctx.command_path} --help`")
        return data

    def _run(self, **_given: object) -> int:
        from cortex.cli.run import run_operation

        ctx = click.get_current_context()
        data = self.read(ctx)
        given_globals = globals_of(ctx)
        if "project" in self.fields:
            # The operation takes it itself, with its own checks.
            flags = {name: value for name, value in given_globals.flags.items() if name != "project"}
            given_globals = replace(given_globals, flags=flags)
        return run_operation(self.operation, data, given_globals)

    def _from_places(self, words: list[str], inputs: values.Inputs) -> dict[str, object]:
        return {
            place.field: values.read(
                self.fields[place.field],
                texts,
                inputs,
                stdin=place.field == self.line.stdin,
                label=place.shown,
            )
            for place, texts in assign(self.usage.positionals, words).items()
        }

    def _from_option(self, name: str, value: object, inputs: values.Inputs) -> object:
        if isinstance(value, bool):
            return value
        texts = [str(part) for part in value] if isinstance(value, tuple) else [str(value)]
        return values.read(self.fields[name], texts, inputs, stdin=name == self.line.stdin, label=self.option_of(name))

    def _take_project(self, data: dict[str, object], given_globals: Globals) -> None:
        if given_globals.project is None or "project" not in self.fields:
            return
        if "project" in data:
            raise Invalid("the project is given twice", "give it before the content or with --project")
        data["project"] = given_globals.project

    def _arguments(self) -> list[click.Parameter]:
        if not self.usage.positionals:
            return []
        # One argument takes all values: which of them is left out is decided when they have been counted.
        return [click.Argument([_VALUES], nargs=-1, required=False, metavar=self.usage.places, type=click.UNPROCESSED)]

    def _options(self) -> list[click.Parameter]:
        placed = {place.field for place in self.usage.positionals} | {"project"}
        options: list[click.Parameter] = []
        for found in self.fields.values():
            if found.name in placed and found.name not in self.line.also:
                continue
            option = self.option_of(found.name)
            assert option not in global_names(), f"{option} of {self.operation.name} is a global option"
            options.append(_flag(found, option) if found.flag else _valued(found, option))
        return options

    def _about_place(self, place: Positional) -> str:
        found = self.fields[place.field]
        sources = ["`-` reads standard input."] if place.field == self.line.stdin else []
        if found.choices:
            sources.append(f"One of {', '.join(found.choices)}.")
        if values.metavar(found).endswith("@FILE"):
            sources.append("`@FILE` reads a file.")
        return " ".join([found.about, *sources]).strip()


def _resolved(usage: Usage, fields: dict[str, values.Field], line: Cli) -> Usage:
    """The usage with each place led to its field: by name, by its option's name, or as one of many."""
    by_option = {option.replace("-", "_"): name for name, option in line.rename.items()}

    def field_of(place: Positional) -> str:
        for name in (place.field, by_option.get(place.field, ""), f"{place.field}s"):
            if name in fields:
                return name
        raise AssertionError(f"{line.usage!r} names {place.shown}, which is no field")

    return Usage(usage.words, tuple(replace(place, field=field_of(place)) for place in usage.positionals))


def _flag(found: values.Field, option: str) -> click.Option:
    return click.Option([f"{option}/--no-{option[2:]}", found.name], default=None, help=found.about)


def _valued(found: values.Field, option: str) -> click.Option:
    repeated = found.repeated or found.mapping
    return click.Option(
        [option, found.name],
        type=Completing(found.choices),
        metavar=values.metavar(found),
        multiple=repeated,
        default=None,
        help=_about(found, repeated=repeated),
    )


def _about(found: values.Field, *, repeated: bool) -> str:
    parts = [found.about]
    if repeated:
        parts.append("May be repeated.")
    if found.required:
        parts.append("Required.")
    elif isinstance(found.default, str | int | float) and not found.flag:
        parts.append(f"[default: {found.default}]")
    return " ".join(filter(None, parts))
