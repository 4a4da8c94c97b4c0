"""What an operation is, and the decorator that declares one.

A request is a frozen Struct that names its response (`class ShowFact(Request[FactView])`), so `call` is typed. The
faces are generated from the declaration: `cli` gives the command lines, `mcp` the tool, `method` the friendly Python
method. Field descriptions are written once, with `Annotated[..., Meta(description=...)]`.
"""

import inspect
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from msgspec import Struct

from cortex import times
from cortex.errors import Invalid
from cortex.ops.context import Context

R = TypeVar("R", bound=Struct)
Q = TypeVar("Q", bound="Request[Any]")

Effect = Literal["read", "write"]
# What a command does with the database file: makes it where there is none, needs it to be there, or never opens it.
FileUse = Literal["made", "needed", "unused"]
# local: this machine only; gossip: facts, in any order; consensus: one order for all; home: the workspace's node.
Order = Literal["local", "gossip", "consensus", "home"]


class Request(Struct, Generic[R], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of every request, generic in its response."""

    def check(self) -> None:
        """Raise Invalid or TooLarge for what the field types alone do not say."""


class Instant(str):
    """An instant in a request: RFC 3339 with an offset or Z, as text or as an aware datetime."""

    __slots__ = ()


def decode_custom(kind: type, given: object) -> object:
    """How msgspec reads the types of requests that are ours. Naive times are refused (law 7)."""
    if kind is Instant:
        if isinstance(given, str | datetime):
            try:
                return Instant(times.canonical(given))
            except Invalid as error:
                # msgspec lets only these two through with the field's place; what we said is their cause.
                raise ValueError(error.message) from error
        raise TypeError("Expected `datetime`")
    raise TypeError(f"{kind} has no reader")


def encode_custom(given: object) -> object:
    """The plain value of the types of requests that are ours."""
    if isinstance(given, Instant):
        return str(given)
    raise TypeError(f"{type(given)} has no plain value")


@dataclass(frozen=True)
class Cli:
    """A command line: `usage` is its words and its positional fields, `[OPTIONAL]` ones in brackets.

    `rename` gives fields another option name, `stdin` names the field that `-` reads from standard input, `group` is
    the heading in the help. Values of positional fields may begin with a dash; `also` names those that may be an option
    too.
    """

    usage: str
    group: str
    rename: Mapping[str, str] = field(default_factory=dict)
    stdin: str | None = None
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tool:
    """An MCP tool. `preset` is the smallest preset that has it; `hidden` fields are not for models to give."""

    preset: Literal["memory", "trust", "all"]
    title: str
    destructive: bool = False
    idempotent: bool = False
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True)
class Operation:
    """One thing that Cortex can do."""

    name: str
    request: type["Request[Any]"]
    response: type[Struct]
    run: Callable[[Context, Any], Awaitable[Struct]]
    effect: Effect
    order: Order
    method: str
    cli: tuple[Cli, ...]
    mcp: Tool | None
    # Whether it changes or removes what cannot be had back.
    destructive: bool
    file: FileUse

    @property
    def about(self) -> str:
        """What it does, from its docstring: the first line is a summary."""
        return inspect.getdoc(self.run) or ""

    @property
    def tool_name(self) -> str:
        """`cortex_` and the method's name: what hosts of models accept."""
        return f"cortex_{self.method}"


def operation(
    name: str,
    *,
    effect: Effect,
    order: Order,
    method: str,
    cli: tuple[Cli, ...] = (),
    mcp: Tool | None = None,
    file: FileUse | None = None,
) -> Callable[[Callable[[Context, Q], Awaitable[R]]], Operation]:
    """Declare an operation. Request and response are read from the function's annotations.

    Unless `file` says otherwise, what writes makes the file and what reads needs it.
    """

    def declare(run: Callable[[Context, Q], Awaitable[R]]) -> Operation:
        hints = typing.get_type_hints(run)
        return Operation(
            name=name,
            request=hints["request"],
            response=hints["return"],
            run=run,
            effect=effect,
            order=order,
            method=method,
            cli=cli,
            mcp=mcp,
            destructive=mcp is not None and mcp.destructive,
            file=file or ("made" if effect == "write" else "needed"),
        )

    return declare
