"""What retrieval is measured on: documents, and questions that say which of them answer."""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from cortex import limits
from cortex.errors import Invalid


class Document(Struct, frozen=True):
    """A text to be found. `part` is what a question searches by itself, such as one conversation."""

    id: str
    text: str
    part: str = "data"
    thread: str | None = None
    seq: int | None = None


class Question(Struct, frozen=True):
    """A question and the documents that answer it, with how much each is worth.

    `without` is a document that is not counted among the hits: the one that the question itself is.
    """

    id: str
    text: str
    relevant: dict[str, float]
    part: str = "data"
    category: int | None = None
    without: str | None = None


class Collection(Struct, frozen=True, kw_only=True):
    """One set of documents and questions. `left_out` counts, by the reason, what of it is not measured."""

    name: str
    form: str
    documents: list[Document]
    questions: list[Question]
    left_out: dict[str, int] = {}


class Intake:
    """Documents and questions as they are read, each checked against its bound."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.documents: dict[tuple[str, str], Document] = {}
        self.questions: list[Question] = []
        self.left_out: dict[str, int] = {}

    def add(self, where: str, document: Document) -> None:
        """Take a document; one that says nothing is left out. Raises Invalid for an id that is taken."""
        if not readable(document.text):
            self.leave_out("documents without text")
            return
        size = len(document.text.encode())
        if size > limits.CONTENT_BYTES_MAX:
            raise self.wrong(where, f"a text of {size} bytes, more than {limits.CONTENT_BYTES_MAX}")
        if len(self.documents) >= limits.BENCH_FACTS_MAX:
            raise self.wrong(where, f"more than {limits.BENCH_FACTS_MAX} texts")
        if (document.part, document.id) in self.documents:
            raise self.wrong(where, f"the id {shown(document.id)} is there already")
        self.documents[document.part, document.id] = document

    def ask(self, where: str, question: Question) -> None:
        """Take a question, with those of its answers that are there; without any it is left out."""
        if not readable(question.text):
            raise self.wrong(where, "a question without text")
        if len(self.questions) >= limits.BENCH_QUESTIONS_MAX:
            raise self.wrong(where, f"more than {limits.BENCH_QUESTIONS_MAX} questions")
        known = {name: worth for name, worth in question.relevant.items() if (question.part, name) in self.documents}
        if not known:
            self.leave_out("questions without evidence")
            return
        self.questions.append(msgspec.structs.replace(question, relevant=known))

    def leave_out(self, what: str) -> None:
        """Count something that is not measured."""
        self.left_out[what] = self.left_out.get(what, 0) + 1

    def wrong(self, where: str, what: str) -> Invalid:
        """The error for a place of the file."""
        return Invalid(f"{self.source}: {where}: {what}", "docs/benchmarks.md says what is read")

    def collection(self, form: str) -> Collection:
        """What was read. Raises Invalid where there is nothing to ask."""
        if not self.questions:
            raise self.wrong("all of it", f"read as {form}, it has no question whose answer is in it")
        documents, questions = self._merged()
        return Collection(name=self.source, form=form, documents=documents, questions=questions, left_out=self.left_out)

    def _merged(self) -> tuple[list[Document], list[Question]]:
        """Documents that are the same in all but the id are one, as they are to a memory: the first stands for all."""
        first: dict[Any, str] = {}
        names: dict[tuple[str, str], str] = {}
        for document in self.documents.values():
            same = (document.part, document.text, document.thread, document.seq)
            names[document.part, document.id] = first.setdefault(same, document.id)
        repeated = len(names) - len(first)
        if not repeated:
            return list(self.documents.values()), self.questions
        self.left_out["documents repeated"] = repeated
        kept = [one for one in self.documents.values() if names[one.part, one.id] == one.id]
        return kept, [self._renamed(question, names) for question in self.questions]

    def _renamed(self, question: Question, names: dict[tuple[str, str], str]) -> Question:
        relevant: dict[str, float] = {}
        for name, worth in question.relevant.items():
            kept = names[question.part, name]
            relevant[kept] = max(worth, relevant.get(kept, 0.0))
        return msgspec.structs.replace(question, relevant=relevant)


def readable(text: str) -> bool:
    """Whether there is something to store: the same rule as for the content of a fact."""
    return any(char.isprintable() and not char.isspace() for char in text)


def shown(text: str) -> str:
    """A foreign name as part of a message."""
    return repr(text if len(text) <= 60 else f"{text[:59]}…")


def text_of(found: Any) -> str | None:
    """A value as text where it is one; numbers count, as some files write ids so."""
    if isinstance(found, str):
        return found
    return str(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def decoded(data: bytes) -> Any:
    """A JSON value. Raises ValueError with the reason."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"no JSON ({error})") from None
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None


def batches(documents: list[Document]) -> Iterator[list[Document]]:
    """The documents in batches that a store takes at once."""
    batch: list[Document] = []
    size = 0
    for document in documents:
        own = len(document.text.encode())
        if batch and (len(batch) >= limits.BATCH_FACTS_MAX or size + own > limits.BATCH_BYTES_MAX // 2):
            yield batch
            batch, size = [], 0
        batch.append(document)
        size += own
    if batch:
        yield batch
