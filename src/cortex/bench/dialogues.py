"""Dialogues in the JSON format of LoCoMo: conversations of several sessions, and questions with the turns that answer.

A sample has `conversation` (lists of turns under `session_1`, `session_2`, ...) and `qa`. A turn has `speaker`, `text`,
`dia_id` and sometimes the caption of a picture. Evidence in real files is not always well formed: `D8:6; D9:17` in one
text, `D:11:26`, `D30:05`. What names a turn is taken; the rest is left out.
"""

import re
from collections.abc import Iterator
from typing import Any

from cortex.bench.questions import Collection, Document, Intake, Question, text_of

FORM = "LoCoMo"
# Questions whose answer the conversation does not hold.
_ADVERSARIAL = 5

_SESSION = re.compile(r"session_([0-9]{1,6})")
_TURN = re.compile(r"[Dd]:?([0-9]{1,9}):([0-9]{1,9})")
_PARTS = re.compile(r"[\s;,]+")


def is_sample(value: Any) -> bool:
    """Whether an object is a conversation of this format."""
    return isinstance(value, dict) and isinstance(value.get("conversation"), dict)


def read(source: str, samples: list[Any]) -> Collection:
    """All conversations: each is a part, each session of it a thread."""
    intake = Intake(source)
    for number, sample in enumerate(samples, 1):
        where = f"sample {number}"
        if not is_sample(sample):
            raise intake.wrong(where, "an object with `conversation` and `qa` is expected")
        part = f"conversation-{number}"
        _add_turns(intake, where, part, sample["conversation"])
        _add_questions(intake, where, part, sample)
    return intake.collection(FORM)


def _add_turns(intake: Intake, where: str, part: str, conversation: dict[str, Any]) -> None:
    for number, name in _sessions(conversation):
        turns = conversation[name]
        if not isinstance(turns, list):
            raise intake.wrong(f"{where}, {name}", "a list of turns is expected")
        for seq, turn in enumerate(turns):
            place = f"{where}, {name}, turn {seq + 1}"
            if not isinstance(turn, dict):
                raise intake.wrong(place, "an object is expected")
            said = _said(turn)
            if said is None:
                intake.leave_out("documents without text")
                continue
            given = text_of(turn.get("dia_id"))
            own = _plain(given) if given else f"D{number}:{seq + 1}"
            if (part, own) in intake.documents:
                own = f"{own} ({place})"  # evidence names the first of two turns of one name
            intake.add(place, Document(own, said, part, thread=name, seq=seq))


def _sessions(conversation: dict[str, Any]) -> list[tuple[int, str]]:
    found = ((match[1], name) for name in conversation if (match := _SESSION.fullmatch(name)))
    return sorted((int(number), name) for number, name in found)


def _said(turn: dict[str, Any]) -> str | None:
    text, caption = turn.get("text"), turn.get("blip_caption")
    words = [text.strip()] if isinstance(text, str) and text.strip() else []
    if isinstance(caption, str) and caption.strip():
        words.append(f"[picture: {caption.strip()}]")
    speaker = text_of(turn.get("speaker"))
    return ": ".join([*([speaker] if speaker else []), " ".join(words)]) if words else None


def _add_questions(intake: Intake, where: str, part: str, sample: dict[str, Any]) -> None:
    asked = sample.get("qa", [])
    if not isinstance(asked, list):
        raise intake.wrong(f"{where}, qa", "a list of questions is expected")
    for number, one in enumerate(asked, 1):
        place = f"{where}, question {number}"
        text = text_of(one.get("question")) if isinstance(one, dict) else None
        if text is None:
            raise intake.wrong(place, "an object with `question` is expected")
        category = _category(one.get("category"))
        if category == _ADVERSARIAL:
            intake.leave_out(f"questions of category {_ADVERSARIAL}")
            continue
        turns = {name: 1.0 for name in _evidence(one.get("evidence")) if (part, name) in intake.documents}
        intake.ask(place, Question(f"{part}/{number}", text, turns, part, category))


def _category(given: Any) -> int | None:
    text = text_of(given)
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else None


def _evidence(given: Any) -> Iterator[str]:
    for one in given if isinstance(given, list) else [given]:
        text = text_of(one)
        if text is None:
            continue
        yield text
        found = _TURN.findall(text)
        yield from (f"D{int(session)}:{int(turn)}" for session, turn in found)
        if not found:
            yield from filter(None, _PARTS.split(text))


def _plain(name: str) -> str:
    """A turn's name without leading zeros, as evidence is brought into the same form."""
    match = _TURN.fullmatch(name.strip())
    return f"D{int(match[1])}:{int(match[2])}" if match else name.strip()
