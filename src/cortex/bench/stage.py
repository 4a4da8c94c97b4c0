"""Opening Cortex on a throwaway file the way a program does, and filling it with facts."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from cortex import limits, settings
from cortex.app import App, open_app
from cortex.bench import probing
from cortex.bench.corpus import Text
from cortex.ops.facts import NewFact, StoreFacts
from cortex.settings import Settings

T = TypeVar("T")


def facts_file(folder: Path, count: int) -> Path:
    """The file that holds `count` facts, shared by the probes of a run."""
    return folder / f"facts-{count}.db"


@contextmanager
def opened(path: Path, **flags: object) -> Iterator[App]:
    """Cortex on `path`, without an embedder; settings of the user, of a repository and of the environment stay out."""
    app = open_app(chosen(path, {"embedder_kind": "none", **flags}), face="cli", cwd=path.parent)
    try:
        yield app
    finally:
        app.close()


@contextmanager
def meant(path: Path, embedder: Any = None) -> Iterator[App]:
    """Cortex on `path` with the embedder that the environment chooses, or the one given."""
    app = open_app(chosen(path, {}), face="cli", cwd=path.parent, embedder=embedder)
    try:
        yield app
    finally:
        app.close()


def chosen(path: Path, flags: dict[str, object]) -> Settings:
    """The settings for a throwaway file: only what the environment says of the embedder is taken from outside."""
    own: dict[str, object] = {"db": path, "project": "project-0", "agent": "benchmark", "home": path.parent / "home"}
    outside = {"HOME": str(path.parent), "USERPROFILE": str(path.parent)}
    return settings.load(flags=own | flags, environ=outside | probing.embedder(), cwd=path.parent)


def run(path: Path, work: Callable[[App], Coroutine[Any, Any, T]], **flags: object) -> T:
    """Open `path`, do the work in an event loop, close."""
    with opened(path, **flags) as app:
        return go(app, work)


def go(app: App, work: Callable[[App], Coroutine[Any, Any, T]]) -> T:
    """Do the work in an event loop of its own."""
    return asyncio.run(work(app))


async def store(app: App, texts: Iterable[Text]) -> None:
    """Store texts in the largest batches there are."""
    source = iter(texts)
    while batch := list(islice(source, limits.BATCH_FACTS_MAX)):
        await app.call(StoreFacts(facts=new_facts(batch)))


def new_facts(texts: Iterable[Text]) -> list[NewFact]:
    """Texts as facts to be stored."""
    return [NewFact(content=text.content, project=text.project) for text in texts]
