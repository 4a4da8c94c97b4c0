"""Dialogues: each turn is an episode of the thread named after the file, numbered in order.

As text, a line `Speaker: utterance` begins a turn, `[2026-03-01T10:00:00Z] Speaker: utterance` one with a time, and
other lines continue the turn above; a line that begins with a blank always does. A speaker is at most five words that
begin with a letter. As JSON (an array, lines, or `{"messages": [...]}`), a turn has `role` or `speaker`, and `content`
or `text`. A time without an offset stays in meta as it was written.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from cortex import limits
from cortex.importers import files, records, sniff
from cortex.importers.items import Item, Skip, checked_text, utc

_TURN = re.compile(
    r"(?:\[(?P<time>[^\]]{1,64})\] ?)?"
    r"(?P<speaker>[^\W\d_][^\s:\[\]]{0,63}(?: [^\s:\[\]]{1,64}){0,4}):(?:\s+(?P<said>.*))?",
    re.DOTALL,
)
_WRAPPERS = ("messages",)


class _Turn(msgspec.Struct):
    where: str
    speaker: str
    lines: list[str]
    time: str | None = None
    held_chars: int = 0

    def hold(self, line: str) -> None:
        """Add a line, unless the turn is too long to be kept already: then what follows need not be held."""
        if self.held_chars <= limits.CONTENT_BYTES_MAX:
            self.lines.append(line)
            self.held_chars += len(line) + 1


def read(path: Path, name: str) -> Iterator[Item | Skip]:
    """One item a turn. A turn that is skipped keeps its number, so that importing again numbers the others alike."""
    turns = _json_turns(path) if sniff.is_json(files.head(path)) else _text_turns(path)
    seq = 0
    for turn in turns:
        if isinstance(turn, Skip):
            yield turn
            continue
        yield _item(turn, name, seq)
        seq += 1


def _item(turn: _Turn, name: str, seq: int) -> Item | Skip:
    said = "\n".join(turn.lines).strip()
    if not said:
        return Skip(turn.where, "the turn says nothing")
    instant = utc(turn.time) if turn.time is not None else None
    meta: dict[str, Any] = {"speaker": turn.speaker}
    if turn.time is not None and instant is None:
        meta["timestamp"] = turn.time
    return checked_text(
        Item(
            content=f"{turn.speaker}: {said}",
            where=turn.where,
            type="episode",
            thread=name,
            seq=seq,
            source=name,
            meta=meta,
            valid_from=instant,
        )
    )


def _text_turns(path: Path) -> Iterator[_Turn | Skip]:
    turn: _Turn | None = None
    for number, line in files.text_lines(path):
        where = f"line {number}"
        if line is None:
            yield Skip(where, f"the line has more than {limits.IMPORT_LINE_BYTES_MAX} bytes")
        elif found := _TURN.fullmatch(line):
            if turn:
                yield turn
            turn = _Turn(where, found["speaker"], [found["said"] or ""], found["time"])
        elif turn:
            turn.hold(line.rstrip())
        elif line.strip():
            yield Skip(where, "no speaker yet: a turn begins with `Speaker: `")
    if turn:
        yield turn


def _json_turns(path: Path) -> Iterator[_Turn | Skip]:
    for record in records.read(path, _WRAPPERS):
        yield record if isinstance(record, Skip) else _json_turn(record)


def _json_turn(record: records.Record) -> _Turn | Skip:
    value = record.value
    speaker = next((value[key] for key in ("speaker", "role") if isinstance(value.get(key), str)), None)
    said = next((_words(value[key]) for key in ("content", "text") if value.get(key) is not None), None)
    if speaker is None:
        return Skip(record.where, "neither `role` nor `speaker` is a text")
    if said is None:
        return Skip(record.where, "neither `content` nor `text` is a text")
    time = value.get("timestamp")
    return _Turn(record.where, speaker, [said], None if time is None else str(time))


def _words(content: object) -> str | None:
    """The text of a message; chat interfaces also write it as a list of parts, of which only some are text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    parts = [part.get("text") for part in content if isinstance(part, dict)]
    return "\n".join(part for part in parts if isinstance(part, str))
