"""Notices that are given once, not with every answer: what is missing here, and how to get it."""

from pathlib import Path

from cortex import files

_FILE = "notices.txt"
_BYTES_MAX = 4 << 10


def first_time(home: Path, notice: str) -> bool:
    """Whether this notice was not given before by any process of this home; it counts as given from now on.

    Where that cannot be written down it is given again.
    """
    path = home / _FILE
    try:
        known = path.read_text(encoding="utf-8").splitlines() if path.stat().st_size <= _BYTES_MAX else []
    except (OSError, UnicodeDecodeError):
        known = []
    line = " ".join(notice.split())
    if line in known:
        return False
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.replace_whole(path, "".join(f"{one}\n" for one in [*known, line]).encode())
    except OSError:
        pass
    return True


def forget(home: Path) -> None:
    """Let every notice be given again."""
    try:
        (home / _FILE).unlink(missing_ok=True)
    except OSError:
        pass  # then it is not said again, which is no more than a courtesy
