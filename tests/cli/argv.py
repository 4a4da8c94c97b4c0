"""A request as the command line that means it, and the answer of that line: what comparisons of the faces run on."""

import contextlib
import io
import re
import sys
from dataclasses import dataclass
from typing import Any

import msgspec

from cortex.cli.commands import OperationCommand
from cortex.cli.main import main
from cortex.ops.registry import Operation, Request, encode_custom

_OPTION = re.compile(r"--[a-z][a-z0-9-]*(=.*)?|-h", re.DOTALL)


@dataclass(frozen=True)
class Answer:
    """What a line came to. `body` is its JSON, None where it printed none."""

    exit_code: int
    body: Any
    stderr: str

    @property
    def error_kind(self) -> str | None:
        return self.body["error"]["kind"] if isinstance(self.body, dict) and "error" in self.body else None


def argv_for(operation: Operation, request: Request[Any], *, line: int = 0) -> list[str]:
    """The arguments that mean `request`, command words first. ValueError for what no command line can say.

    That is: NUL characters, `-` as a text that standard input could stand for, null or an empty list where the default
    is something else, and an optional place that is left out before one that is given.
    """
    command = OperationCommand(operation, operation.cli[line])
    plain = msgspec.to_builtins(request, enc_hook=encode_custom)
    data = {name: value for name, value in plain.items() if value != command.fields[name].default}
    values = [text for texts in _places(command, data) for text in texts]
    options = [token for name, value in data.items() for token in _option(command, name, value)]
    if any("\0" in token for token in (*options, *values)):
        raise ValueError("no argument of a process holds a NUL")
    divider = ["--"] if any(token == "--" or _OPTION.fullmatch(token) for token in values) else []
    return [*command.usage.words, *options, *divider, *values]


def call(operation: Operation, request: Request[Any], *flags: str, line: int = 0) -> Answer:
    """Run `request` over the command line in this process, with `--json` and `flags` such as `--db=PATH`.

    Not to be called where an event loop is running.
    """
    return run(["--json", *flags, *argv_for(operation, request, line=line)])


def run(argv: list[str], stdin: bytes = b"") -> Answer:
    """Run a command line that prints JSON."""
    code, out, err = drive(argv, stdin)
    try:
        body = msgspec.json.decode(out) if out else None
    except msgspec.DecodeError:
        body = None
    return Answer(code, body, err.decode())


def drive(argv: list[str], stdin: bytes = b"") -> tuple[int, bytes, bytes]:
    """Run a command line in this process: exit code, standard output, standard error."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    before, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(argv)
    finally:
        sys.stdin = before
    return code, out.buffer.getvalue(), err.buffer.getvalue()


def _places(command: OperationCommand, data: dict[str, Any]) -> list[list[str]]:
    """The values that stand without an option, taken out of `data`."""
    texts: list[list[str]] = []
    skipped = False
    for place in command.usage.positionals:
        if place.field not in data:
            skipped = True
            continue
        if skipped and not place.required:
            raise ValueError(f"{place.shown} is given and an optional place before it is not")
        value = data.pop(place.field)
        items = value if command.fields[place.field].repeated else [value]
        texts.append([_text(command, place.field, item) for item in items])
    return texts


def _option(command: OperationCommand, name: str, value: Any) -> list[str]:
    found = command.fields[name]
    option = "--project" if name == "project" else command.option_of(name)
    if value is None or value == []:
        raise ValueError(f"{option} cannot be made empty")
    if found.flag:
        return [option if value else f"--no-{option[2:]}"]
    items = value if found.repeated else [value]
    return [f"{option}={_text(command, name, item)}" for item in items]


def _text(command: OperationCommand, name: str, value: Any) -> str:
    if not isinstance(value, str) or command.fields[name].structured:
        return msgspec.json.encode(value).decode()
    if value == "-" and command.line.stdin == name:
        raise ValueError("`-` means standard input")
    return value
