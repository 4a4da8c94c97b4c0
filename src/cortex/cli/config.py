"""`cortex config show`: the settings in force and where each comes from."""

from collections.abc import Iterator
from pathlib import Path

import click
from msgspec import Struct

from cortex import projects, settings
from cortex.cli import terminal
from cortex.cli.command import CommandLine, globals_of

_HIDDEN = "(set, not shown)"


class ShownSetting(Struct, frozen=True, kw_only=True):
    """A setting, its value, and where that comes from."""

    name: str
    value: str | int | list[str] | None
    origin: str
    about: str


class ShownSettings(Struct, frozen=True, kw_only=True):
    """All settings, in the order of docs/settings.md."""

    settings: list[ShownSetting]


@click.command(cls=CommandLine)
@click.pass_context
def show(ctx: click.Context) -> int:
    """Show each setting, its value, and where it comes from."""
    from cortex.cli.loading import load
    from cortex.cli.run import present

    given = globals_of(ctx)
    loaded = load(given)
    shown = ShownSettings(settings=[_shown(setting, loaded) for setting in settings.SETTINGS])
    if given.json:
        return present(shown, as_json=True)
    terminal.say(_table(shown.settings))
    return 0


def _shown(setting: settings.Setting, loaded: settings.Loaded) -> ShownSetting:
    value = getattr(loaded.settings, setting.name)
    origin = loaded.origins[setting.name]
    if value is None and setting.name == "project":
        value = projects.detect(Path.cwd(), home=projects.user_home() or Path("/"))
        origin = "found from the working directory"
    if value is None and setting.name == "node_key":
        value = loaded.settings.node_key_path
    if setting.secret and value is not None:
        value = _HIDDEN
    plain = list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value
    return ShownSetting(name=setting.key, value=plain, origin=origin, about=setting.about)


def _table(shown: list[ShownSetting]) -> Iterator[str]:
    rows = [(s.name, terminal.one_line(_text(s.value)), terminal.one_line(s.origin)) for s in shown]
    names, values = (max(terminal.cells(row[column]) for row in rows) for column in (0, 1))
    for name, value, origin in rows:
        yield f"{name:<{names}}  {value}{' ' * (values - terminal.cells(value))}  {origin}"


def _text(value: str | int | list[str] | None) -> str:
    if value is None:
        return "-"
    return ",".join(value) if isinstance(value, list) else str(value)
