"""Shorthands of the import tests: a file of given bytes, and what a format makes of it."""

from pathlib import Path

from cortex import importers
from cortex.importers import Item, Skip


def write(tmp_path: Path, content: str | bytes, name: str = "given") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path: Path, format_name: str) -> list[Item | Skip]:
    return list(importers.read(path, format_name, name="notes/given"))


def items(path: Path, format_name: str) -> list[Item]:
    """The items of a file in which nothing may be skipped."""
    found = read(path, format_name)
    assert [] == [entry for entry in found if isinstance(entry, Skip)]
    return [entry for entry in found if isinstance(entry, Item)]


def skip(path: Path, format_name: str) -> Skip:
    """The only entry of a file, which is skipped."""
    (found,) = read(path, format_name)
    assert isinstance(found, Skip)
    return found
