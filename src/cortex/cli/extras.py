"""The commands that are no operations: where each stands in the help, and the click command that it is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Extra:
    """A command of the command line alone. `place` is `module:name`, imported when it is needed.

    The command's docstring is its description. It returns its exit code, or None for 0. `command.globals_of` and
    `run.load` give it the settings, `run.present` prints a result. Heavy imports belong inside its function.
    """

    words: str
    group: str
    place: str


EXTRAS: tuple[Extra, ...] = (
    Extra("mcp start", "Agents' clients", "cortex.cli.mcp:start"),
    Extra("quickstart", "Memory", "cortex.cli.quickstart:quickstart"),
    Extra("restore", "Node", "cortex.cli.maintenance:restore"),
    Extra("migrate", "Node", "cortex.cli.maintenance:migrate"),
    Extra("config show", "Node", "cortex.cli.config:show"),
    Extra("completion", "Node", "cortex.cli.completion:completion"),
    Extra("help", "Node", "cortex.cli.help:show"),
)
