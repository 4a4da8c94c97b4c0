"""Lines of `{"query": ..., "relevant": ...}`, beside which lines of `{"id": ..., "text": ...}` may stand.

`relevant` is one text or a list. Where the file holds lines with `text`, these are what is searched, and `relevant`
names their ids, or repeats a text word for word. Where it holds none, the relevant texts of all lines together are
what is searched. `content` is taken for `text`, so that an export of Cortex will do; other keys are ignored.
"""

from collections.abc import Iterable
from typing import Any

from cortex.bench.questions import Collection, Document, Intake, Question, readable, shown, text_of

FORM = "JSONL"


def read(source: str, objects: Iterable[tuple[str, Any]]) -> Collection:
    """All lines. `objects` are the values with the place of each."""
    intake = Intake(source)
    asked: list[tuple[str, str, list[str]]] = []
    ids: dict[str, str] = {}
    for where, value in objects:
        if isinstance(value, dict) and "query" in value:
            asked.append((where, *_question(intake, where, value)))
        elif isinstance(value, dict) and ("text" in value or "content" in value):
            _add(intake, where, value, ids)
        else:
            raise intake.wrong(where, 'expected {"query", "relevant"} or {"id", "text"}')
    given = bool(intake.documents)
    for number, (where, query, relevant) in enumerate(asked, 1):
        found = {_named(intake, where, name, ids, given=given): 1.0 for name in relevant}
        intake.ask(where, Question(str(number), query, found))
    return intake.collection(FORM)


def _question(intake: Intake, where: str, value: dict[str, Any]) -> tuple[str, list[str]]:
    query, relevant = value["query"], value.get("relevant")
    names = relevant if isinstance(relevant, list) else [relevant]
    texts = [text for text in map(text_of, names) if text is not None]
    if not isinstance(query, str) or not readable(query):
        raise intake.wrong(where, "`query` is no text")
    if len(texts) != len(names):
        raise intake.wrong(where, "`relevant` is neither a text nor a list of texts")
    return query, texts


def _add(intake: Intake, where: str, value: dict[str, Any], ids: dict[str, str]) -> None:
    text = value.get("text", value.get("content"))
    own = text_of(value.get("id")) if "id" in value else where
    if not isinstance(text, str) or not own:
        raise intake.wrong(where, "`text` and `id` are texts")
    intake.add(where, Document(own, text))
    ids.setdefault(text, own)


def _named(intake: Intake, where: str, name: str, ids: dict[str, str], *, given: bool) -> str:
    """The id that `name` is or is the text of; a new document where the file gives no documents of its own."""
    if ("data", name) in intake.documents and given:
        return name
    if name in ids:
        return ids[name]
    if given:
        raise intake.wrong(where, f"`relevant` names {shown(name)}, which is neither an id nor a text of the file")
    own = f"text {len(ids) + 1}"
    intake.add(where, Document(own, name))
    ids[name] = own
    return own
