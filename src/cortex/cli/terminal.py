"""Writing to the terminal or a pipe: text of any origin stays on its line and cannot steer the screen."""

import contextlib
import errno
import os
import shutil
import sys
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TextIO

from cortex import times
from cortex.errors import Unavailable

# Text and whether it stands out.
Spans = list[tuple[str, bool]]

_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"


@dataclass(frozen=True)
class Screen:
    """Where people read: `width` is None in a pipe, where nothing is cut."""

    width: int | None
    color: bool
    now: datetime

    def line(self, spans: Spans) -> str:
        """The spans as one line, cut to the width."""
        fitting = spans if self.width is None else cut(spans, self.width)
        return "".join(f"{_BOLD}{text}{_PLAIN}" if bold and self.color else text for text, bold in fitting)


def screen() -> Screen:
    """The screen that standard output is."""
    terminal = is_terminal(sys.stdout)
    width = shutil.get_terminal_size().columns if terminal else None
    return Screen(width=width, color=terminal and _shows_color(), now=times.parse(times.now()))


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person sees what is written to `stream`."""
    return stream is not None and not stream.closed and stream.isatty()


def _shows_color() -> bool:
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return os.name != "nt" or "WT_SESSION" in os.environ  # older consoles of Windows print the codes


def printable(text: str) -> str:
    """The text as part of a line: white space is a space; control, format and unknown characters are escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c.isspace() else _escaped(c) for c in text)


def one_line(text: str) -> str:
    """As `printable`, with runs of white space as one space."""
    return " ".join(printable(text).split())


def block(text: str, prefix: str) -> list[str]:
    """Text of several lines, each one printable and behind a prefix."""
    return [f"{prefix}{printable(line.expandtabs())}".rstrip() for line in text.replace("\r\n", "\n").split("\n")]


def _escaped(character: str) -> str:
    point = ord(character)
    if point < 0x100:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def cells(text: str) -> int:
    """How many columns a text takes."""
    return len(text) if text.isascii() else sum(map(_cell, text))


def _cell(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(spans: Spans, width: int) -> Spans:
    """The spans within `width` columns, with an ellipsis where something is left out."""
    if sum(cells(text) for text, _ in spans) <= width:
        return spans
    left = width - 1
    kept: Spans = []
    for text, bold in spans:
        taken = _prefix(text, left)
        kept.append((taken, bold))
        left -= cells(taken)
        if len(taken) < len(text):
            break
    return [*kept, ("…", False)]


def _prefix(text: str, width: int) -> str:
    used = 0
    for number, character in enumerate(text):
        used += _cell(character)
        if used > width:
            return text[:number]
    return text


def say(lines: Iterable[str]) -> None:
    """Lines for people, on standard output."""
    _write(sys.stdout, "".join(f"{line}\n" for line in lines), "standard output")


def note(lines: Iterable[str]) -> None:
    """Lines beside the result, on standard error. Nobody there to read them is no failure."""
    with contextlib.suppress(Unavailable, BrokenPipeError):
        _write(sys.stderr, "".join(f"{line}\n" for line in lines), "standard error")


def say_json(text: str) -> None:
    """One JSON document, in UTF-8 whatever the terminal's encoding."""
    emit(text.encode() + b"\n")


def printable_json(text: str) -> str:
    """JSON as a terminal may show it: characters that could steer the screen are escaped, in JSON's own way."""
    return "".join(c if c.isprintable() or c == "\n" else _json_escaped(c) for c in text)


def _json_escaped(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))


def emit(data: bytes) -> None:
    """Bytes as they are, on standard output."""
    _write(sys.stdout, data, "standard output")


def _write(stream: TextIO | None, given: str | bytes, name: str) -> None:
    if stream is None:
        return
    data = given if isinstance(given, bytes) else given.encode(stream.encoding or "utf-8", "backslashreplace")
    try:
        stream.flush()
        stream.buffer.write(data)
        stream.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        abandon()
        if os.name == "nt" and error.errno == errno.EINVAL:  # what Windows says of a closed pipe
            raise BrokenPipeError from error
        raise Unavailable(f"cannot write to {name}: {error.strerror}", "see where the output goes") from None


def abandon() -> None:
    """Let what is still buffered go nowhere, so that the process ends without another complaint."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    sys.stdout = None
