"""The settings of a command line, without what running an operation takes to import."""

from collections.abc import Mapping

from cortex import settings
from cortex.cli import terminal
from cortex.cli.command import Globals


def load(given: Globals, flags: Mapping[str, object] | None = None) -> settings.Loaded:
    """The settings in force, with what to warn of said on standard error."""
    loaded = settings.resolve(flags={**given.flags, **(flags or {})})
    terminal.note(f"warning: {terminal.one_line(warning)}" for warning in loaded.warnings)
    return loaded
