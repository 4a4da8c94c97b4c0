"""The probes that measure answers: storing a set, embedding it, and asking its questions in one mode."""

import asyncio
import time
from pathlib import Path
from typing import cast

import msgspec

from cortex.app import App
from cortex.bench import stage
from cortex.bench.figures import Figure
from cortex.bench.questions import Collection, Document, Question, batches
from cortex.bench.scores import TOP_K, Answered
from cortex.bench.task import Task
from cortex.errors import Unavailable
from cortex.memory.search import Mode
from cortex.ops.embed import EmbedFacts
from cortex.ops.facts import NewFact, StoreFacts
from cortex.ops.search import SearchFacts

COLLECTION = "collection.json"
_IDS = "ids.json"
_FILE = "memory.db"


def answers_file(folder: Path, mode: str) -> Path:
    """Where the answers of a mode are left."""
    return folder / f"answers-{mode}.json"


def store(task: Task) -> list[Figure]:
    """Store every document, and write down which fact is which."""
    collection = _collection(task)
    ids: dict[str, str] = {}

    async def stored(app: App) -> None:
        for batch in batches(collection.documents):
            done = await app.call(StoreFacts(facts=[_fact(document) for document in batch]))
            for fact, document in zip(done.facts, batch, strict=True):
                ids.setdefault(fact.id, document.id)

    stage.run(task.path / _FILE, stored)
    (task.path / _IDS).write_bytes(msgspec.json.encode(ids))
    return []


def embed(task: Task) -> list[Figure]:
    """Embed all of it."""
    with stage.meant(task.path / _FILE) as app:
        left = stage.go(app, lambda app: app.call(EmbedFacts())).pending
    if left:
        raise Unavailable(f"{left} texts could not be embedded")
    return []


def ask(task: Task) -> list[Figure]:
    """Ask every question once, and leave the answers in a file."""
    collection = _collection(task)
    ids = msgspec.json.decode((task.path / _IDS).read_bytes(), type=dict[str, str])
    with stage.meant(task.path / _FILE) as app, asyncio.Runner() as loop:
        # The first search opens files and loads the model: not what a question costs.
        loop.run(app.call(SearchFacts(query="ready?", mode=cast("Mode", task.mode))))
        answers = [_answered(app, loop, question, task.mode, ids) for question in collection.questions]
    answers_file(task.path, task.mode).write_bytes(msgspec.json.encode(answers))
    return []


def _answered(app: App, loop: asyncio.Runner, question: Question, mode: str, ids: dict[str, str]) -> Answered:
    request = SearchFacts(
        query=question.text,
        project=question.part,
        mode=cast("Mode", mode),
        top_k=TOP_K if question.without is None else TOP_K + 1,
    )
    started = time.perf_counter()
    result = loop.run(app.call(request))
    ms = (time.perf_counter() - started) * 1e3
    if result.mode != mode or result.pending:
        raise Unavailable(f"searched as {result.mode}, {result.pending} texts pending: {' '.join(result.notes)}")
    found = [ids[hit.fact.id] for hit in result.hits]
    return Answered([name for name in found if name != question.without][:TOP_K], round(ms, 3))


def _collection(task: Task) -> Collection:
    return msgspec.json.decode((task.path / COLLECTION).read_bytes(), type=Collection)


def _fact(document: Document) -> NewFact:
    return NewFact(content=document.text, project=document.part, thread=document.thread, seq=document.seq)
