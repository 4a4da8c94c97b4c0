"""Exit codes, and how an error is told."""

import difflib
from dataclasses import dataclass

import click
import msgspec

from cortex.cli import terminal
from cortex.cli.grammar import MARK
from cortex.errors import CortexError, Unavailable

DONE = 0
REFUSED = 1
USAGE = 2
UNAVAILABLE = 3
INTERRUPTED = 130
BROKEN_PIPE = 141

# By kind of error; a finer kind that is not listed goes by the kind that it refines.
EXIT_CODES = {
    "invalid": USAGE,
    "too_large": USAGE,
    "unauthenticated": REFUSED,
    "forbidden": REFUSED,
    "not_found": REFUSED,
    "conflict": REFUSED,
    "corrupt": REFUSED,
    "rate_limited": UNAVAILABLE,
    "unavailable": UNAVAILABLE,
    "internal": UNAVAILABLE,
}


@dataclass(frozen=True)
class Told:
    """An error in the words that are printed."""

    kind: str
    message: str
    hint: str
    exit_code: int
    retry_after_ms: int | None = None


def of_error(error: CortexError) -> Told:
    """What is told of an error that was raised on purpose."""
    kinds = [kind for part in type(error).__mro__ if (kind := getattr(part, "kind", None)) in EXIT_CODES]
    retry_after_ms = error.retry_after_ms if isinstance(error, Unavailable) else None
    return Told(error.kind, error.message, error.hint, EXIT_CODES[kinds[0]], retry_after_ms)


def of_usage(error: click.ClickException) -> Told:
    """What is told of words that the command line does not know."""
    message = error.format_message().replace(MARK, "").strip().rstrip(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    hints: list[str] = []
    if isinstance(error, click.NoSuchOption):
        message = f"no such option: {error.option_name}"
        # The dashes that all options share would make any two short ones look alike.
        known = {name.lstrip("-"): name for name in _options(context)}
        near = difflib.get_close_matches(error.option_name.lstrip("-"), known, 1)
        hints = [f"did you mean {known[near[0]]}?"] if near else ["put -- before a text that begins with two dashes"]
    if context is not None:
        hints.append(f"see `{context.command_path} --help`")
    return Told("invalid", message[:1].lower() + message[1:], "; ".join(hints), USAGE)


def of_fault(error: BaseException) -> Told:
    """What is told of a fault of ours."""
    said = f"{type(error).__name__}: {error}".strip(": ")
    return Told("internal", said, "please report it; `PYTHONDEVMODE=1` shows where it happened", UNAVAILABLE)


def of_result(result: object) -> int:
    """The exit code of a result: its own if it has one, else whether what was checked is as it should be."""
    own = getattr(result, "exit_code", None)
    if isinstance(own, int) and not isinstance(own, bool):
        return own
    found_false = getattr(result, "ok", None) is False or getattr(result, "valid", None) is False
    return REFUSED if found_false else DONE


def tell(told: Told, *, as_json: bool) -> None:
    """Print an error: for people on standard error, as JSON on standard output."""
    if not as_json:
        lines = [f"error ({told.kind}): {terminal.one_line(told.message)}"]
        terminal.note([*lines, f"  {terminal.one_line(told.hint)}"] if told.hint else lines)
        return
    body: dict[str, object] = {"kind": told.kind, "message": _unicode(told.message), "hint": _unicode(told.hint)}
    if told.retry_after_ms is not None:
        body["retry_after_ms"] = told.retry_after_ms
    terminal.emit(msgspec.json.encode({"error": body}) + b"\n")


def _options(context: click.Context | None) -> list[str]:
    if context is None:
        return []
    return [name for parameter in context.command.get_params(context) for name in parameter.opts]


def _unicode(text: str) -> str:
    """Text that JSON can hold: bytes of an argument that are no UTF-8 are escaped."""
    return text.encode("utf-8", "backslashreplace").decode()
