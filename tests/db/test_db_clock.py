"""Clocks that jump: the ledger's time never runs back, and what was just stored is found."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from db_memories import contents, memory, verified

from cortex import times
from cortex.app import App
from cortex.memory.model import Fact
from cortex.ops.context import Context
from cortex.ops.facts import ForgetFact, RetractFact, ReviseFact, StoreFact
from cortex.ops.search import SearchFacts
from cortex.ops.views import ShowFact

NOON = "2026-03-01T12:00:00.000000Z"
BACK = {"two-seconds-back": -timedelta(seconds=2), "five-minutes-back": -timedelta(minutes=5)}
FAR = {"a-day-back": -timedelta(days=1), "a-year-back": -timedelta(days=366), "a-year-ahead": timedelta(days=366)}
JUMPS = BACK | FAR


def _at(app: App, moment: str, jump: timedelta = timedelta()) -> Context:
    """The application's context with a clock that stands still."""
    shown = times.canonical(times.parse(moment) + jump)
    return replace(app.context, clock=lambda: shown)


def _times(path: Path) -> list[str]:
    with memory(path) as app:
        return asyncio.run(
            app.context.database.read(
                lambda tx: [row[0] for row in tx.execute("SELECT ts FROM transactions ORDER BY idx")]
            )
        )


def _found(app: App, query: str, context: Context) -> list[str]:
    hits = asyncio.run(app.call(SearchFacts(query=query), context=context)).hits
    return [hit.fact.content for hit in hits]


@pytest.mark.parametrize("jump", JUMPS.values(), ids=JUMPS.keys())
def test_what_is_stored_after_a_jump_is_found_at_once(path: Path, jump: timedelta) -> None:
    with memory(path) as app:
        asyncio.run(app.call(StoreFact(content="the invoice of noon"), context=_at(app, NOON)))
        later = _at(app, NOON, jump)

        asyncio.run(app.call(StoreFact(content="the receipt after the jump"), context=later))

        assert ["the receipt after the jump"] == _found(app, "receipt", later)
    assert sorted(_times(path)) == _times(path)
    assert verified(path).ok


@pytest.mark.parametrize("jump", JUMPS.values(), ids=JUMPS.keys())
def test_every_change_after_a_jump_keeps_the_ledgers_time_in_order(path: Path, jump: timedelta) -> None:
    async def change(app: App) -> Fact:
        noon, later = _at(app, NOON), _at(app, NOON, jump)
        kept = await app.call(StoreFact(content="kept"), context=noon)
        retracted = await app.call(StoreFact(content="retracted"), context=noon)
        forgotten = await app.call(StoreFact(content="forgotten"), context=noon)
        await app.call(ReviseFact(id=kept.id, content="revised"), context=later)
        await app.call(RetractFact(id=retracted.id), context=later)
        await app.call(ForgetFact(id=forgotten.id), context=later)
        await app.call(StoreFact(content="back again"), context=noon)
        return await app.call(ShowFact(id=kept.id), context=noon)

    with memory(path) as app:
        shown = asyncio.run(change(app))

    report = verified(path)
    assert (2, "revised") == (shown.revision, shown.content)
    assert ["revised", "back again"] == contents(path)
    assert sorted(_times(path)) == _times(path)
    assert ([], True) == (report.findings, report.ok)


@pytest.mark.parametrize("jump", BACK.values(), ids=BACK.keys())
def test_what_was_stored_before_a_small_step_back_is_still_found(path: Path, jump: timedelta) -> None:
    with memory(path) as app:
        asyncio.run(app.call(StoreFact(content="the invoice of noon"), context=_at(app, NOON)))

        found = _found(app, "invoice", _at(app, NOON, jump))

    assert ["the invoice of noon"] == found


@pytest.mark.parametrize("jump", JUMPS.values(), ids=JUMPS.keys())
def test_a_newer_value_of_a_key_replaces_the_older_one_whatever_the_clock_says(path: Path, jump: timedelta) -> None:
    with memory(path) as app:
        later = _at(app, NOON, jump)
        asyncio.run(app.call(StoreFact(content="invoices on the 3rd", key="invoices"), context=_at(app, NOON)))

        asyncio.run(app.call(StoreFact(content="invoices on the 4th", key="invoices"), context=later))

        assert ["invoices on the 4th"] == _found(app, "invoices", later)


def test_many_changes_within_one_microsecond_have_their_own_revision_each(path: Path) -> None:
    with memory(path) as app:
        still = _at(app, NOON)

        async def store() -> None:
            await asyncio.gather(*(app.call(StoreFact(content=f"fact {n}"), context=still) for n in range(100)))

        asyncio.run(store())
        revs = asyncio.run(
            app.context.database.read(
                lambda tx: [row[0] for row in tx.execute("SELECT rev FROM revision ORDER BY idx")]
            )
        )

    assert 100 == len(set(revs))
    assert sorted(revs) == revs
    assert verified(path).ok
