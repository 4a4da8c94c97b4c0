"""Writing files that others read: whole or not at all, never over what is there, readable by their owner only."""

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cortex.errors import Conflict, Invalid, Unavailable


def found(path: Path) -> os.stat_result | None:
    """What `path` leads to; None where that is nothing. `Path.exists` raises where a folder may not be entered.

    Raises Unavailable where it cannot be seen, Invalid for a text that is no path.
    """
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Unavailable(
            f"{path} cannot be reached ({error.strerror})", "make its folder accessible, or give another path"
        ) from None
    except ValueError:
        raise Invalid(f"{str(path)!r} is not a path", "leave the NUL character out") from None


def read_start(path: Path, most: int) -> bytes:
    """The first `most` bytes of a regular file. A pipe or a device is an OSError too: it could keep us waiting."""
    with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return file.read(most)


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """An empty file (mode 0600) to be filled, which takes the name `target`, synced, when the block ends well.

    Otherwise nothing is left. Raises Conflict where `target` exists, Unavailable where it cannot be written.
    """
    refuse_existing(target)
    try:
        temporary = _temporary(target)
    except OSError as error:
        raise Unavailable(f"{target.parent} cannot be written ({error.strerror})", "give another folder") from None
    try:
        yield temporary
        # Windows syncs no handle that may not write.
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        _take_name(temporary, target)
    except OSError as error:
        raise Unavailable(
            f"{target} cannot be written ({error.strerror})", "free space or give another place"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_file(target: Path) -> Iterator[BinaryIO]:
    """As `whole`, open for writing."""
    with whole(target) as temporary, temporary.open("wb") as file:
        yield file


def write_whole(target: Path, content: bytes) -> None:
    """Write `content` as the new file `target`."""
    with new_file(target) as file:
        file.write(content)


def replace_whole(target: Path, content: bytes) -> None:
    """Write `content` as the file `target` (mode 0600) in place of what is there. Raises OSError."""
    with replacing(target) as file:
        file.write(content)


@contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """A file (mode 0600) to be filled, which takes the place of `target`, synced, when the block ends well.

    Raises OSError.
    """
    temporary = _temporary(target)
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
        sync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def refuse_existing(target: Path) -> None:
    """Raise Conflict if something has the name `target`."""
    if found(target) is not None or target.is_symlink():
        raise _exists(target)


def sync_folder(folder: Path) -> None:
    """Make a new name in `folder` last. Where folders cannot be opened (Windows) the system does it by itself."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _exists(target: Path) -> Conflict:
    return Conflict(f"{target} exists already", "give another name, or remove it first")


def _temporary(target: Path) -> Path:
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    os.close(handle)
    return Path(name)


def _take_name(temporary: Path, target: Path) -> None:
    """Give a file its name, and make that last. A hard link refuses an existing target, which a rename replaces."""
    try:
        linked = _linked(temporary, target)
        if not linked:
            # The name is taken by an empty file first: for a moment it is not whole, but it is nobody else's.
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        raise _exists(target) from None
    try:
        if not linked:
            temporary.replace(target)
        sync_folder(target.parent)
    except OSError:
        target.unlink(missing_ok=True)
        raise


def _linked(temporary: Path, target: Path) -> bool:
    """False where the file system has no hard links, as exFAT; each says so in another way."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError:
        return False
    return True
