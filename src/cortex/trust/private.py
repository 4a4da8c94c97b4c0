"""Files that hold a secret of their owner: read only where nobody else can, made whole, replaced at once."""

import os
import shlex
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cortex import files, limits
from cortex.errors import Conflict, NotFound, Unavailable
from cortex.ledger.locking import locked

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def read(path: Path, absent_hint: str) -> str:
    """The text of a small file that only its owner may open, without blanks around it. Raises NotFound, Unavailable."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"{path} is not there", absent_hint) from None
    except OSError as error:
        raise _unreadable(path, error) from None
    try:
        # Of the open file, not of the name: between two looks at a name it may lead elsewhere.
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            raise Unavailable(f"{path} is not a regular file", "move it away, or give another place")
        _refuse_open_to_others(path, mode)
        content = os.read(handle, limits.KEY_FILE_BYTES_MAX)
    except OSError as error:
        raise _unreadable(path, error) from None
    finally:
        os.close(handle)
    return content.decode("ascii", "replace").strip()


def make_folder(folder: Path) -> None:
    """Make a folder and those above it for their owner only; `mkdir(parents=True)` would open those above to all."""
    missing: list[Path] = []
    while files.found(folder) is None and folder != folder.parent:
        missing.append(folder)
        folder = folder.parent
    try:
        for made in reversed(missing):
            made.mkdir(mode=0o700, exist_ok=True)
            files.sync_folder(made.parent)
    except OSError as error:
        raise Unavailable(f"{made} cannot be made ({error.strerror})", "make the folder above writable") from None


def make(path: Path, text: str) -> None:
    """Write the new file `path` (0600), whole or not at all, and its folders (0700). Raises Conflict if it exists."""
    make_folder(path.parent)
    files.write_whole(path, text.encode("ascii"))


def replace(path: Path, text: str) -> None:
    """Write the file `path` (mode 0600) in place of what is there, at once."""
    try:
        files.replace_whole(path, text.encode("ascii"))
    except OSError as error:
        raise Unavailable(
            f"{path} cannot be replaced ({error.strerror}); it is as it was", "free space, or make its folder writable"
        ) from None


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Nobody else changes `path` meanwhile. The file itself is replaced, so the lock is on a small one beside it."""
    lock = path.with_name(f"{path.name}.lock")
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise Unavailable(f"{lock} cannot be opened ({error.strerror})", "make its folder writable") from None
    with ExitStack() as stack:
        stack.callback(os.close, handle)
        try:
            stack.enter_context(locked(handle, path))
        except OSError as error:
            raise Unavailable(
                f"{lock} cannot be locked ({error.strerror})", "keep keys on a file system that has locks"
            ) from None
        yield


@contextmanager
def changing(path: Path, flags: int, absent_hint: str) -> Iterator[int]:
    """A handle of a file that is only added to or replaced: nobody else does either meanwhile.

    The lock is on the file itself. Raises NotFound and Unavailable as `opened` does.
    """
    for _ in range(limits.RECEIPT_TRIES_MAX):
        with ExitStack() as stack:
            handle = opened(path, flags, absent_hint)
            stack.callback(os.close, handle)
            stack.enter_context(locked(handle, path))
            # Whoever had the lock before may have replaced it: then this handle is of a file that has no name.
            if _is_still(handle, path):
                yield handle
                return
    raise Unavailable(f"{path} is replaced all the time", "find the process that does it")


def opened(path: Path, flags: int, absent_hint: str) -> int:
    """A handle of a regular file, made with its folders where the flags say so.

    A pipe does not keep us waiting; Windows must not translate newlines.
    """
    flags |= getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        if flags & os.O_CREAT:
            make_folder(path.parent)
        handle = os.open(path, flags, 0o600)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"{path} is not there", absent_hint) from None
    except OSError as error:
        raise Unavailable(f"{path} cannot be opened ({error.strerror})", "check who owns it") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise Unavailable(f"{path} is not a regular file", "move it away")
    return handle


def next_of(path: Path) -> Path:
    """Where the key that is to take the place of `path` waits."""
    return path.with_name(f"{path.name}.next")


def take_next(path: Path, *, keep_old: bool) -> None:
    """What waits takes the place of `path` at once; before that the old one is kept as `path`.<n> if asked for."""
    if keep_old:
        _keep(path)
    try:
        next_of(path).replace(path)
        files.sync_folder(path.parent)
    except OSError as error:
        raise Unavailable(
            f"{next_of(path)} cannot take the place of {path} ({error.strerror})", "make its folder writable, try again"
        ) from None


def kept_of(path: Path) -> list[Path]:
    """The old keys that rotations kept beside `path`, the newest first. Those may be missing that were moved away."""
    numbered = (path.with_name(f"{path.name}.{number}") for number in range(limits.OLD_KEYS_MAX, 0, -1))
    return [kept for kept in numbered if files.found(kept) is not None]


def put_back(path: Path, kept: Path) -> Path:
    """An old key takes the place of `path` at once. Returns where the one that was there is kept from now on."""
    text = read(kept, "look beside it for another one that was kept")
    newer = _keep(path)
    replace(path, f"{text}\n")
    return newer


def refuse_link(path: Path) -> None:
    """Raise Conflict where `path` is a link: to replace it would leave the old key where the link leads."""
    if path.is_symlink():
        raise Conflict(f"{path} is a link", "rotate the file it leads to, and keep both in one folder")


def _is_still(handle: int, path: Path) -> bool:
    at = files.found(path)
    return at is not None and os.path.samestat(at, os.fstat(handle))


def _unreadable(path: Path, error: OSError) -> Unavailable:
    return Unavailable(f"{path} cannot be read ({error.strerror})", "check who owns it")


def _refuse_open_to_others(path: Path, mode: int) -> None:
    if os.name == "posix" and mode & _OTHERS:
        raise Unavailable(
            f"{path} holds a private key and other users may open it (mode {stat.S_IMODE(mode):04o})",
            f"run: chmod 600 {shlex.quote(str(path))}",
        )


def _keep(path: Path) -> Path:
    """Keep a copy under the first free number. A crash may have come after that: the same key is kept once."""
    try:
        content = files.read_start(path, limits.KEY_FILE_BYTES_MAX)
    except OSError as error:
        raise _unreadable(path, error) from None
    for number in range(1, limits.OLD_KEYS_MAX + 1):
        kept = path.with_name(f"{path.name}.{number}")
        try:
            files.write_whole(kept, content)
            return kept
        except Conflict:
            if _holds(kept, content):
                return kept
    raise Unavailable(f"{limits.OLD_KEYS_MAX} old keys are kept beside {path}", "move some of them away")


def _holds(path: Path, content: bytes) -> bool:
    try:
        return files.read_start(path, len(content) + 1) == content
    except OSError:
        return False
