"""The layout of BEIR: a folder with corpus.jsonl, queries.jsonl, and qrels/*.tsv, which say what answers what."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cortex import limits
from cortex.bench.questions import Collection, Document, Intake, Question, decoded, shown, text_of
from cortex.importers import files

FORM = "BEIR"
CORPUS = "corpus.jsonl"
_QUERIES = "queries.jsonl"
# Which split is measured: the one that published figures are of, else the first there is.
_SPLITS = ("test.tsv", "dev.tsv", "train.tsv")
_HEAD = ("query-id", "corpus-id", "score")


def read(folder: Path) -> Collection:
    """The whole corpus, and the questions that the judgements name."""
    intake = Intake(folder.name or str(folder))
    for where, value in _objects(intake, folder / CORPUS):
        title, text = text_of(value.get("title")) or "", text_of(value.get("text")) or ""
        intake.add(where, Document(_id(intake, where, value), f"{title}\n{text}".strip()))
    judged = _judgements(intake, folder)
    for where, value in _objects(intake, folder / _QUERIES):
        own = _id(intake, where, value)
        relevant, asked = judged.get(own), text_of(value.get("text"))
        if relevant and asked is not None:
            itself = own if _is_itself(asked, intake.documents.get(("data", own))) else None
            relevant.pop(itself or "", None)
            intake.ask(where, Question(own, asked, relevant, without=itself))
    return intake.collection(FORM)


def lines(intake: Intake, path: Path) -> Iterator[tuple[str, bytes]]:
    """Numbered lines that hold something. Raises Invalid for one that is too long."""
    bound(intake, path)
    for number, line in files.lines(path):
        where = f"{path.name} line {number}"
        if line is None:
            raise intake.wrong(where, f"more than {limits.IMPORT_LINE_BYTES_MAX} bytes")
        if line.strip():
            yield where, line


def bound(intake: Intake, path: Path) -> None:
    """Raise for what is no file, or more than BENCH_DATA_BYTES_MAX."""
    size = files.require(path)
    if size > limits.BENCH_DATA_BYTES_MAX:
        raise intake.wrong(path.name, f"{size} bytes, more than {limits.BENCH_DATA_BYTES_MAX}")


def parsed(intake: Intake, where: str, line: bytes) -> dict[str, Any]:
    """The object of a line."""
    try:
        value = decoded(line)
    except ValueError as error:
        raise intake.wrong(where, str(error)) from None
    if not isinstance(value, dict):
        raise intake.wrong(where, "an object is expected")
    return value


def _objects(intake: Intake, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for where, line in lines(intake, path):
        yield where, parsed(intake, where, line)


def _id(intake: Intake, where: str, value: dict[str, Any]) -> str:
    found = text_of(value.get("_id"))
    if not found:
        raise intake.wrong(where, "`_id` is missing")
    return found


def _is_itself(text: str, document: Document | None) -> bool:
    """Whether the corpus holds the question under its own id: finding that is no merit. Equal ids alone say nothing."""
    return document is not None and " ".join(text.split()) in " ".join(document.text.split())


def _judgements(intake: Intake, folder: Path) -> dict[str, dict[str, float]]:
    """By question, the documents that answer it. A pair judged twice counts as the better."""
    path = _split(intake, folder / "qrels")
    judged: dict[str, dict[str, float]] = {}
    for number, (where, line) in enumerate(lines(intake, path)):
        cells = [cell.strip() for cell in line.decode(errors="replace").split("\t")]
        if number == 0 and tuple(cells) == _HEAD:
            continue
        score = _score(cells)
        if score is None:
            raise intake.wrong(where, f"expected {', '.join(_HEAD)} with tabs between, found {shown(str(cells))}")
        if score > 0:
            answers = judged.setdefault(cells[0], {})
            answers[cells[1]] = max(score, answers.get(cells[1], 0.0))
    return judged


def _split(intake: Intake, folder: Path) -> Path:
    found = {path.name: path for path in sorted(folder.glob("*.tsv"))[: limits.IMPORT_FILES_MAX]}
    if not found:
        raise intake.wrong("qrels", "there is no .tsv file in it")
    return next((found[name] for name in _SPLITS if name in found), next(iter(found.values())))


def _score(cells: list[str]) -> float | None:
    try:
        score = float(cells[2]) if len(cells) == len(_HEAD) and cells[0] and cells[1] else math.nan
    except ValueError:
        return None
    return score if math.isfinite(score) else None
