"""Texts to vectors: what is pending as it was read, the slow part, and what of it is kept."""

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cortex import limits
from cortex.errors import CortexError
from cortex.meaning.held import Held


@dataclass(frozen=True)
class Part:
    """A text to be embedded, and the span of the content that it stands for, in characters."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Unit:
    """One pending task: a revision's passages, or its window as it was when it was read."""

    task: int
    revision_id: int
    parts: tuple[Part, ...]
    state: Any


# A unit with its vectors as rows hold them: start, end, scale, codes.
Vectored = tuple[Unit, list[Any]]


@dataclass(frozen=True)
class Embedding:
    """What came of some units: those with their vectors, and those whose texts the embedder does not take."""

    done: list[Vectored]
    refused: list[tuple[Unit, CortexError]]


def embedded(units: Sequence[Unit], held: Held, stopped: Callable[[], bool]) -> Embedding:
    """The vectors of each unit's parts, short ones first. Ends early, with fewer units, once `stopped` says so.

    Where the embedder fails but answers a plain text, one of the texts is what it does not take: each unit is tried for
    itself. Raises the embedder's error where nothing was made and it does not answer at all.
    """
    made = Embedding([], [])
    for group in _groups(sorted(units, key=lambda unit: len(unit.parts))):
        if stopped():
            break
        try:
            made.done.extend(_together(group, held, stopped))
        except CortexError:
            if not _singly(group, held, stopped, made):
                break
    return made


def _singly(group: list[Unit], held: Held, stopped: Callable[[], bool], made: Embedding) -> bool:
    """Try units one by one. False where the embedder is down and something was made before; then that is kept."""
    for unit in group:
        if stopped():
            return False
        error = held.failure()
        if error is not None:
            if made.done or made.refused:
                return False
            raise error
        try:
            made.done.extend(_together([unit], held, stopped))
        except CortexError as refusal:
            made.refused.append((unit, refusal))
    down = held.failure()
    if down is not None and not made.done:
        raise down
    return down is None


def _groups(units: Sequence[Unit]) -> Iterator[list[Unit]]:
    """Units that go to the embedder together: EMBED_BATCH texts, or one long unit."""
    group: list[Unit] = []
    for unit in units:
        if group and sum(len(one.parts) for one in group) + len(unit.parts) > limits.EMBED_BATCH:
            yield group
            group = []
        group.append(unit)
    if group:
        yield group


def _together(units: list[Unit], held: Held, stopped: Callable[[], bool]) -> list[Vectored]:
    quantised = importlib.import_module("cortex.index.vectors").quantised
    parts = [part for unit in units for part in unit.parts]
    rows: list[Any] = []
    for at in range(0, len(parts), limits.EMBED_BATCH):
        if stopped():
            return []
        these = parts[at : at + limits.EMBED_BATCH]
        found = quantised(held.vectors([part.text for part in these]))
        rows += [(part.start, part.end, *one) for part, one in zip(these, found, strict=True)]
    done: list[Vectored] = []
    for unit in units:
        done.append((unit, rows[: len(unit.parts)]))
        rows = rows[len(unit.parts) :]
    return done
