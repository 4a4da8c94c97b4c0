"""Files as importers read them: regular ones only, within limits, whole or line by line."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from cortex import limits
from cortex.errors import Invalid, NotFound, TooLarge, Unavailable

BOM = b"\xef\xbb\xbf"
SQLITE_MAGIC = b"SQLite format 3\0"


def require(path: Path) -> int:
    """The size of a regular file within the limit. A pipe or a device could block or never end."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"there is no file {str(path)!r}", "check the path") from None
    except (OSError, ValueError) as error:
        raise Unavailable(f"{str(path)!r} could not be opened: {error}", "check the path") from None
    if not stat.S_ISREG(found.st_mode):
        raise Invalid(f"{str(path)!r} is not a regular file", "name the files to import")
    return _within(path, found.st_size, limits.IMPORT_FILE_BYTES_MAX)


def head(path: Path) -> bytes:
    """The first bytes, without a byte order mark: enough to tell formats apart."""
    with path.open("rb") as file:
        return file.read(limits.IMPORT_SNIFF_BYTES).removeprefix(BOM)


def whole(path: Path, bytes_max: int) -> bytes:
    """All bytes of a file whose format cannot be read piece by piece, without a byte order mark."""
    with path.open("rb") as file:
        _within(path, os.fstat(file.fileno()).st_size, bytes_max)
        data = file.read(bytes_max + 1)
    _within(path, len(data), bytes_max)
    return data.removeprefix(BOM)


def lines(path: Path) -> Iterator[tuple[int, bytes | None]]:
    """Numbered lines without their ends; None for a line longer than a line may be."""
    total = 0
    with path.open("rb") as file:
        number = 0
        while line := file.readline(limits.IMPORT_LINE_BYTES_MAX + 1):
            number += 1
            total += len(line)
            if len(line) > limits.IMPORT_LINE_BYTES_MAX and not line.endswith(b"\n"):
                total += _finish_line(file)
                yield number, None
            else:
                yield number, (line.removeprefix(BOM) if number == 1 else line).rstrip(b"\r\n")
            # A file that someone still writes to would otherwise never end.
            _within(path, total, limits.IMPORT_FILE_BYTES_MAX)


def text_lines(path: Path) -> Iterator[tuple[int, str | None]]:
    """Lines as text. Bytes that are not UTF-8 become lone surrogates, which `items.checked` finds and names."""
    for number, line in lines(path):
        yield number, None if line is None else line.decode("utf-8", "surrogateescape")


def _finish_line(file: IO[bytes]) -> int:
    passed = 0
    while chunk := file.readline(limits.IMPORT_LINE_BYTES_MAX):
        passed += len(chunk)
        if chunk.endswith(b"\n") or passed > limits.IMPORT_FILE_BYTES_MAX:
            break
    return passed


def _within(path: Path, size: int, bytes_max: int) -> int:
    if size > bytes_max:
        raise TooLarge(
            f"{str(path)!r} has {size} bytes, more than the {bytes_max} that this format takes",
            "split the file",
        )
    return size
