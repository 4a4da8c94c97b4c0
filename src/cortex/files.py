"""Writing files that others read: whole or not at all, never over what is there, readable by their owner only."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cortex.errors import Conflict, Unavailable


@contextmanager
def new_file(target: Path) -> Iterator[BinaryIO]:
    """A file (mode 0600) that takes the name `target` when the block ends well, synced; otherwise nothing is left.

    Raises Conflict where `target` exists, Unavailable where it cannot be written.
    """
    refuse_existing(target)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise Unavailable(f"{target.parent} cannot be written ({error.strerror})", "give another folder") from None
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # A hard link refuses an existing target, where a rename would replace it.
        os.link(temporary, target)
    except FileExistsError:
        raise exists(target) from None
    except OSError as error:
        raise Unavailable(
            f"{target} cannot be written ({error.strerror})", "free space or give another place"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(target.parent)


def write_whole(target: Path, content: bytes) -> None:
    """Write `content` as the new file `target`."""
    with new_file(target) as file:
        file.write(content)


def refuse_existing(target: Path) -> None:
    """Raise Conflict if something has the name `target`."""
    if target.exists() or target.is_symlink():
        raise exists(target)


def exists(target: Path) -> Conflict:
    """The refusal to write over what is there."""
    return Conflict(f"{target} exists already", "give another name, or remove it first")


def sync_folder(folder: Path) -> None:
    """Make a new name in `folder` last. Where folders cannot be opened (Windows) the system does it by itself."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
