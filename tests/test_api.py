"""The Python face: opening and closing, what it takes, and how it refuses."""

import asyncio
import inspect
import os
import threading
from pathlib import Path
from typing import Any

import apsw
import pytest

import cortex


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a working directory that nothing else uses."""
    for name in [*os.environ]:
        if name.startswith("CORTEX_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("CORTEX_PROJECT", "here")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_open_takes_what_cortex_takes() -> None:
    parameters = list(inspect.signature(cortex.Cortex).parameters.values())

    assert parameters == list(inspect.signature(cortex.open).parameters.values())


def test_progress_agent_and_settings_are_arguments_of_both_faces(folder: Path) -> None:
    told: list[str] = []
    (folder / "notes.md").write_text("# Billing\n\nInvoices leave on the 3rd.\n", encoding="utf-8")

    async def use() -> str:
        options: dict[str, Any] = {"agent": "ana", "progress": lambda *report: told.append(report[2]), "readers": 1}
        async with cortex.Cortex(folder / "a.db", **options) as memory:
            await memory.import_files(["notes.md"])
            return (await memory.list_facts())[0].actor

    first = asyncio.run(use())
    seen = len(told)
    with cortex.open("b.db", agent="ana", progress=lambda *report: told.append(report[2]), readers=1) as memory:
        memory.import_files(["notes.md"])
        second = memory.list_facts()[0].actor

    assert ("ana", "ana") == (first, second)
    assert 0 < seen < len(told)


def test_a_setting_that_is_wrong_is_named_as_an_argument() -> None:
    for wrong in ({"batch_size": 0}, {"path": ""}):
        with pytest.raises(cortex.Invalid, match=f"^argument {next(iter(wrong))}: "), cortex.open(**wrong):
            pass


def test_the_file_is_named_once() -> None:
    with pytest.raises(cortex.Invalid, match="given twice"):
        cortex.open("a.db", db="b.db")


@pytest.mark.parametrize("place", ["http://node:8484", "https://node", "file:///x.db", Path("http://node/x")])
def test_a_url_is_refused_and_makes_nothing(place: Any, folder: Path) -> None:
    with pytest.raises(cortex.Invalid, match="there is no client for URLs yet") as caught, cortex.open(place):
        pass

    assert "give the path of a file" == caught.value.hint
    assert [] == list(folder.iterdir())


def test_a_closed_memory_says_so() -> None:
    with cortex.open("a.db") as blocking:
        blocking.store("x")

    async def use() -> cortex.Cortex:
        async with cortex.Cortex("a.db") as memory:
            return memory

    waiting = asyncio.run(use())

    for call in (lambda: blocking.store("y"), lambda: asyncio.run(waiting.store("y"))):
        with pytest.raises(cortex.Invalid, match="the memory is closed; open it again"):
            call()


def test_a_memory_can_be_opened_again() -> None:
    async def use() -> int:
        memory = cortex.Cortex("a.db")
        for _ in range(2):
            async with memory:
                await memory.store("x")
        async with memory:
            return len(await memory.list_facts())

    assert 1 == asyncio.run(use())


def holding(path: Path) -> apsw.Connection:
    """A connection that lets no other one at the file until it is closed."""
    connection = apsw.Connection(str(path))
    connection.execute("BEGIN EXCLUSIVE")
    return connection


def test_opening_a_locked_file_leaves_the_event_loop_running(folder: Path) -> None:
    holder = holding(folder / "a.db")

    async def use() -> int:
        memory = cortex.Cortex(folder / "a.db", busy_timeout_ms=10_000)
        opening = asyncio.ensure_future(memory.__aenter__())
        await asyncio.sleep(0)
        holder.close()
        await opening
        try:
            return len(await memory.list_facts())
        finally:
            await memory.__aexit__(None, None, None)

    assert 0 == asyncio.run(use())


def test_closing_leaves_the_event_loop_running_while_a_change_waits(folder: Path) -> None:
    async def use() -> str:
        async with cortex.Cortex(folder / "a.db", busy_timeout_ms=10_000) as memory:
            holder = apsw.Connection(str(folder / "a.db"))
            holder.execute("BEGIN IMMEDIATE")
            asyncio.get_running_loop().call_later(0.01, holder.close)
            storing = asyncio.ensure_future(memory.store("Invoices leave on the 3rd"))
            await asyncio.sleep(0)
        return (await storing).content

    assert "Invoices leave on the 3rd" == asyncio.run(use())


def test_what_opens_for_a_caller_that_was_cancelled_is_closed(folder: Path) -> None:
    holder = holding(folder / "a.db")

    async def use() -> None:
        opening = asyncio.ensure_future(cortex.Cortex(folder / "a.db", busy_timeout_ms=10_000).__aenter__())
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        holder.close()

    asyncio.run(use())

    assert [] == [thread.name for thread in threading.enumerate() if thread.name.startswith("cortex")]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("agent_add", "add_agent"), ("list_agent", "list_agents"), ("vote_verify", "verify_votes"), ("serch", "search")],
)
def test_a_name_that_is_no_method_says_which_is_meant(wrong: str, right: str) -> None:
    with cortex.open("a.db") as memory, pytest.raises(AttributeError) as blocking:
        getattr(memory, wrong)
    with pytest.raises(AttributeError) as awaited:
        getattr(cortex.Cortex("a.db"), wrong)

    assert f"there is no method {wrong!r}; did you mean {right}?" == str(blocking.value) == str(awaited.value)


def test_a_name_like_no_other_and_a_private_one_are_told_shortly() -> None:
    for name, hint in (("xyzzy", "; docs/python.md has them"), ("_app_of", "")):
        with pytest.raises(AttributeError) as caught:
            getattr(cortex.Cortex("a.db"), name)

        assert f"there is no method {name!r}{hint}" == str(caught.value)
        assert not hasattr(cortex.Cortex("a.db"), name)


def test_a_persons_word_may_be_a_boolean() -> None:
    with cortex.open("a.db", embedder_kind="none") as memory:
        fact = memory.store("Invoices leave on the 3rd")

        found = [memory.resolve(fact.id, truth) for truth in (True, False, "true", "false", "open")]

    assert ["true", "false", "true", "false", "open"] == [each.truth for each in found]
    assert [2.0, 0.0, 2.0, 0.0, 1.0] == [each.consensus_score for each in found]
