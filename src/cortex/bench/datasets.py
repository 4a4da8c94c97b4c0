"""Intake a set to measure retrieval on: which of the known formats a file or folder is in, and all of it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cortex import limits
from cortex.bench import beir, dialogues, pairs
from cortex.bench.questions import Collection, Intake, decoded
from cortex.errors import Invalid
from cortex.importers import files

_AT_BYTE = re.compile(r"byte ([0-9]+)")


def read(path: Path) -> Collection:
    """The set in a file (LoCoMo's JSON, or JSONL of questions) or a folder (BEIR).

    Raises Invalid with the place and the reason for anything else, NotFound where nothing is.
    """
    if path.is_dir():
        if not (path / beir.CORPUS).is_file():
            raise Invalid(f"{path} is a folder without {beir.CORPUS}", "name a file, or a folder in the layout of BEIR")
        return beir.read(path)
    intake = Intake(path.name)
    beir.bound(intake, path)
    head = files.head(path).lstrip()
    if head.startswith(b"["):
        return _array(intake, path)
    if not head.startswith(b"{"):
        raise intake.wrong("line 1", "JSON is expected")
    sample = _sample(path)
    if sample is not None:
        return dialogues.read(path.name, [sample])
    return pairs.read(path.name, _lines(intake, path))


def _array(intake: Intake, path: Path) -> Collection:
    data = files.whole(path, limits.BENCH_DATA_BYTES_MAX)
    try:
        values = decoded(data)
    except ValueError as error:
        raise intake.wrong(_place(data, str(error)), str(error)) from None
    if not isinstance(values, list) or not values:
        raise intake.wrong("line 1", "a list of conversations is expected")
    if dialogues.is_sample(values[0]):
        return dialogues.read(path.name, values)
    return pairs.read(path.name, ((f"item {number}", value) for number, value in enumerate(values, 1)))


def _sample(path: Path) -> Any:
    """The file as one conversation; None where it is lines."""
    try:
        value = decoded(files.whole(path, limits.BENCH_DATA_BYTES_MAX))
    except ValueError:
        return None
    return value if dialogues.is_sample(value) else None


def _lines(intake: Intake, path: Path) -> Iterator[tuple[str, Any]]:
    for where, line in beir.lines(intake, path):
        place = where.removeprefix(f"{path.name} ")
        yield place, beir.parsed(intake, place, line)


def _place(data: bytes, reason: str) -> str:
    """The line that a decoder's complaint is about; a file that ends too early is about its last."""
    at = _AT_BYTE.search(reason)
    before = data.count(b"\n", 0, int(at[1]) if at else len(data))
    return f"line {before + 1}"
