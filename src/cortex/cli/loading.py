"""The settings of a command line, without what running an operation takes to import."""

from collections.abc import Mapping
from types import MappingProxyType

from cortex import settings
from cortex.cli import terminal
from cortex.cli.command import Globals


def load(given: Globals, options: Mapping[str, tuple[str, object]] = MappingProxyType({})) -> settings.Loaded:
    """The settings in force, with what to warn of said on standard error.

    `options` are those of the command that are settings: by setting, how the option is written and its value.
    """
    flags = {**given.flags, **{name: value for name, (_, value) in options.items()}}
    loaded = settings.resolve(flags=flags, written={name: f"flag {option}" for name, (option, _) in options.items()})
    terminal.note(f"warning: {terminal.one_line(warning)}" for warning in loaded.warnings)
    return loaded
