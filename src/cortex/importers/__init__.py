"""Import formats: a file becomes a stream of items to store and of entries that are skipped, each with its reason.

Nothing is stored here. An entry with bytes that are not UTF-8, in plain text also one with NUL, is skipped, never
mended; a byte order mark is dropped, CRLF is a line end.
"""

import difflib
from collections.abc import Callable, Iterator
from pathlib import Path

from cortex import limits
from cortex.errors import Invalid, Unavailable
from cortex.importers import cortex4, dialogue, files, jsonl, markdown, mcp_memory, mem0, text
from cortex.importers.items import Item, Skip
from cortex.importers.sniff import detect

__all__ = ["FORMATS", "Item", "Skip", "detect", "read"]

_Reader = Callable[[Path, str], Iterator[Item | Skip]]

_READERS: dict[str, _Reader] = {
    "jsonl": jsonl.read,
    "markdown": markdown.read,
    "text": text.read,
    "dialogue": dialogue.read,
    "mcp-memory": mcp_memory.read,
    "mem0": mem0.read,
    "cortex4": cortex4.read,
}
FORMATS = tuple(_READERS)


def read(path: Path, format: str, *, name: str) -> Iterator[Item | Skip]:  # noqa: A002  (the word that callers use)
    """The entries of a file in its order, as they are read. `name` is how sources, keys and threads call the file.

    What is wrong with the call or the file as a whole is raised here; damage further in, while iterating.
    """
    if format not in _READERS:
        near = difflib.get_close_matches(format[:64], FORMATS, n=1, cutoff=0.0)[0]
        raise Invalid(f"there is no format {format[:64]!r}", f"did you mean {near}? There are {', '.join(FORMATS)}")
    if not name.strip() or len(name) > limits.KEY_CHARS_MAX or not name.isprintable():
        raise Invalid(
            f"{name[:64]!r} cannot name a file in keys",
            f"give at most {limits.KEY_CHARS_MAX} printable characters",
        )
    files.require(path)
    return _guarded(path, _READERS[format](path, name))


def _guarded(path: Path, entries: Iterator[Item | Skip]) -> Iterator[Item | Skip]:
    try:
        yield from entries
    except OSError as error:
        raise Unavailable(f"{str(path)!r} could not be read: {error}", "check the file and try again") from None
