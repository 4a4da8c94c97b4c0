"""The commands that are no operations: where each stands in the help, and the click command that it is."""

import importlib
from dataclasses import dataclass

import click


@dataclass(frozen=True)
class Extra:
    """A command of the command line alone. `place` is `module:name`, imported when it is needed.

    One that `leads` stands in the help before the operations of its group, any other after them.
    The command's docstring is its description. It returns its exit code, or None for 0. `command.globals_of` and
    `loading.load` give it the settings, `run.present` prints a result. Heavy imports belong inside its function.
    """

    words: str
    group: str
    place: str
    leads: bool = False

    def load(self) -> click.Command:
        """Import the command."""
        module, _, name = self.place.partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command), f"{self.place} is no click command"
        return command


EXTRAS: tuple[Extra, ...] = (
    Extra("mcp start", "Node", "cortex.cli.mcp:start", leads=True),
    Extra("quickstart", "Memory", "cortex.cli.quickstart:quickstart", leads=True),
    Extra("restore", "Node", "cortex.cli.maintenance:restore"),
    Extra("migrate", "Node", "cortex.cli.maintenance:migrate"),
    Extra("witness serve", "Trust", "cortex.cli.witness:serve"),
    Extra("benchmark", "Node", "cortex.bench.command:benchmark"),
    Extra("config show", "Node", "cortex.cli.config:show"),
    Extra("completion", "Node", "cortex.cli.completion:completion"),
    Extra("help", "Node", "cortex.cli.help:show"),
)


def direct(argv: list[str]) -> tuple[Extra, list[str]] | None:
    """The extra command that a line begins with, and the rest of the line: it needs no operation to be imported."""
    for extra in EXTRAS:
        words = extra.words.split()
        if argv[: len(words)] == words:
            return extra, argv[len(words) :]
    return None
