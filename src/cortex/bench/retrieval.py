"""The suite `retrieval`: how well questions are answered by words, by meaning, and by both."""

import importlib.resources
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
from msgspec import Meta, Struct, structs

from cortex import files, limits, times
from cortex.bench import asking, datasets, dialogues, docstrings, machine, scores, stage
from cortex.bench.figures import Machine
from cortex.bench.probing import measure
from cortex.bench.questions import Collection, decoded
from cortex.bench.scores import Answered, Judged, Measures, Scores
from cortex.bench.steps import Counted, Options, throwaway
from cortex.bench.task import Task
from cortex.embed import choose
from cortex.errors import Unavailable
from cortex.memory.search import Mode
from cortex.progress import Progress

MODES: tuple[Mode, ...] = ("text", "semantic", "hybrid")

DIALOGUES = "dialogues"
_QUICK_QUESTIONS = 40
_QUICK_DOCUMENTS = 200


class Measured(Struct, frozen=True, kw_only=True):
    """One set. A mode that could not be measured is null, and `notes` says why."""

    data: str
    format: str
    facts: int
    questions: int
    left_out: Annotated[dict[str, int], Meta(description="What of the data is not measured, by the reason.")]
    embedder: str | None
    text: Scores | None
    semantic: Scores | None
    hybrid: Scores | None
    hybrid_minus_text: Measures | None
    hybrid_minus_semantic: Measures | None
    notes: list[str]


class Retrieval(Measured, frozen=True, kw_only=True):
    """The result for the data that was named."""

    suite: str
    started_at: str
    seconds: float
    machine: Machine


class RetrievalSets(Struct, frozen=True, kw_only=True):
    """The result for the sets that come with Cortex."""

    suite: str
    started_at: str
    seconds: float
    machine: Machine
    sets: list[Measured]


class Row(Struct, frozen=True, kw_only=True):
    """A line of the results file: one question in one mode."""

    data: str
    id: str
    part: str
    query: str
    category: int | None
    mode: Mode
    relevant: dict[str, float]
    found: list[str]
    ms: float
    scores: Judged


def run(options: Options, progress: Progress) -> Retrieval | RetrievalSets:
    """Measure the named data, or the sets that come with Cortex."""
    started_at, started = times.now(), time.monotonic()
    collections = [datasets.read(Path(options.data))] if options.data else list(own())
    if options.quick:
        collections = [shortened(collection) for collection in collections]
    needed = limits.BENCH_FACT_BYTES * sum(len(collection.documents) for collection in collections)
    told = Counted(progress, len(collections) * (2 + len(MODES)))
    with (
        files.new_file(Path(options.results)) if options.results else nullcontext() as out,
        throwaway(needed) as folder,
    ):
        described = machine.describe(folder, quick=options.quick)
        done = [
            _measured(collection, folder / str(number), told, out)
            for number, collection in enumerate(collections)
        ]  # fmt: skip
    whole = RetrievalSets(
        suite=options.suite,
        started_at=started_at,
        seconds=round(time.monotonic() - started, 1),
        machine=described,
        sets=done,
    )
    return _flat(whole) if options.data else whole


def _flat(whole: RetrievalSets) -> Retrieval:
    """The result for the one set that there is."""
    return Retrieval(
        suite=whole.suite,
        started_at=whole.started_at,
        seconds=whole.seconds,
        machine=whole.machine,
        **structs.asdict(whole.sets[0]),
    )


def own() -> Iterator[Collection]:
    """The sets that come with Cortex: dialogues, and the functions of the interpreter's standard library."""
    data = importlib.resources.files("cortex.bench").joinpath("data", f"{DIALOGUES}.json").read_bytes()
    yield dialogues.read(DIALOGUES, decoded(data))
    yield docstrings.read()


def shortened(collection: Collection) -> Collection:
    """Some questions, and the documents that they need among some others."""
    questions = collection.questions[:_QUICK_QUESTIONS]
    needed = {(question.part, name) for question in questions for name in question.relevant}
    parts = {question.part for question in questions}
    within = [document for document in collection.documents if document.part in parts]
    documents = [
        document
        for number, document in enumerate(within)
        if number < _QUICK_DOCUMENTS or (document.part, document.id) in needed
    ]
    return structs.replace(collection, questions=questions, documents=documents)


def _measured(collection: Collection, folder: Path, told: Counted, out: BinaryIO | None) -> Measured:
    folder.mkdir()
    (folder / asking.COLLECTION).write_bytes(msgspec.json.encode(collection))
    notes: list[str] = []
    _step("store questions", folder, told)
    embedder = _embedded(folder, told, notes)
    answers = {mode: _asked(mode, folder, told, notes) for mode in MODES if mode == "text" or embedder}
    judged = {
        mode: [scores.judge(question, one) for question, one in zip(collection.questions, found, strict=True)]
        for mode, found in answers.items()
        if found
    }
    if out is not None:
        _write(out, collection, answers, judged)
    totals = {mode: scores.score(judged[mode], answers[mode]) if mode in judged else None for mode in MODES}
    both = "text" in judged and "hybrid" in judged
    return Measured(
        data=collection.name,
        format=collection.form,
        facts=len(collection.documents),
        questions=len(collection.questions),
        left_out=collection.left_out,
        embedder=embedder,
        **totals,
        hybrid_minus_text=scores.gain(judged["hybrid"], judged["text"]) if both else None,
        hybrid_minus_semantic=(
            scores.gain(judged["hybrid"], judged["semantic"]) if both and "semantic" in judged else None
        ),
        notes=notes,
    )


def _embedded(folder: Path, told: Counted, notes: list[str]) -> str | None:
    """The name of the embedder, once everything is embedded; None and a note where that cannot be."""
    settings = stage.chosen(folder / "none.db", {})
    why = choose.ready(settings)
    if why is None:
        try:
            _step("embed questions", folder, told)
            return choose.name(settings)
        except Unavailable as error:
            why = error.message
    notes.append(f"only text was measured: {why}")
    return None


def _asked(mode: Mode, folder: Path, told: Counted, notes: list[str]) -> list[Answered]:
    """The answers; none and a note where the mode could not be measured."""
    try:
        _step("ask questions", folder, told, mode)
    except Unavailable as error:
        if mode == "text":
            raise
        notes.append(f"{mode} was not measured: {error.message}")
        return []
    return msgspec.json.decode(asking.answers_file(folder, mode).read_bytes(), type=list[Answered])


def _step(probe: str, folder: Path, told: Counted, mode: str = "") -> None:
    seconds = limits.BENCH_RETRIEVAL_SECONDS
    answer = measure(Task(probe=probe, folder=str(folder), quick=False, mode=mode, seconds=seconds))
    if answer.failed:
        raise Unavailable(answer.failed)
    told.step()


def _write(
    out: BinaryIO, collection: Collection, answers: dict[Mode, list[Answered]], judged: dict[Mode, list[Judged]]
) -> None:
    for mode, verdicts in judged.items():
        for question, answered, verdict in zip(collection.questions, answers[mode], verdicts, strict=True):
            row = Row(
                data=collection.name,
                id=question.id,
                part=question.part,
                query=question.text,
                category=question.category,
                mode=mode,
                relevant=question.relevant,
                found=answered.found,
                ms=answered.ms,
                scores=verdict,
            )
            out.write(msgspec.json.encode(row) + b"\n")
