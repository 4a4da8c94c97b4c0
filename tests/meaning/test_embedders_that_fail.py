"""Embedders that are down, slow or wrong: words are searched, facts are stored, and nothing that is pending is lost."""

import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortex import limits
from cortex.embed.stub import WordEmbedder
from cortex.errors import Unavailable
from cortex.ops.facts import NewFact, StoreFacts
from cortex.ops.search import SearchFacts
from embedders import WAIT_SECONDS, Blocked, Ill, Opening, contents, embed, meant
from opened import Memory


def down(right: Any) -> Any:
    raise Unavailable("the embedder is down")


def odd(right: Any) -> Any:
    raise RuntimeError("tensor of the wrong colour")


def broken(right: Any) -> Any:
    raise KeyError(3)


def lost(right: Any) -> Any:
    raise OSError(5, "Input/output error")


def with_nan(right: Any) -> Any:
    right[-1, 3] = np.nan
    return right


def with_infinity(right: Any) -> Any:
    right[0, 0] = np.inf
    return right


FAULTS: dict[str, Callable[[Any], Any]] = {
    "down": down,
    "an odd error": odd,
    "a lookup error": broken,
    "a disk error": lost,
    "another dimension": lambda right: right[:, :32],
    "a dimension of one": lambda right: right[:, :1],
    "no dimension": lambda right: right[:, 0],
    "NaN": with_nan,
    "infinity": with_infinity,
    "zeros": np.zeros_like,
    "too many": lambda right: np.vstack([right, right[:1]]),
    "too few": lambda right: right[1:],
    "nothing": lambda right: None,
    "words": lambda right: ["one"] * len(right),
    "ragged": lambda right: [[1.0] * (8 + n) for n in range(len(right))] if len(right) > 1 else [[1.0], 2.0],
    "of whole numbers beyond what fits": lambda right: [[10**400] * 64] * len(right),
}


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """An embedder that failed is asked again at once."""
    monkeypatch.setattr(limits, "EMBEDDER_PAUSE_SECONDS_MAX", 0)


def rows(memory: Memory, sql: str) -> list[Any]:
    connection = memory.sql()
    try:
        return list(connection.execute(sql))
    finally:
        connection.close()


def until(true: Callable[[], bool]) -> None:
    """Look again and again, until it is true."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def embedded(memory: Memory) -> bool:
    return not rows(memory, "SELECT 1 FROM pending WHERE task IN (1, 2)")


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_query_that_cannot_be_embedded_is_searched_by_its_words_and_that_is_said(
    opening: Opening, fault: Callable[[Any], Any]
) -> None:
    embedder = Ill()
    memory = opening(embedder=embedder)
    memory.store("a red boat")
    memory.store("a blue car")
    embed(memory)
    embedder.fault = fault

    result = memory.call(SearchFacts(query="red boat"))
    by_words = memory.call(SearchFacts(query="red boat", mode="text"))
    with pytest.raises(Unavailable):
        meant(memory, "red boat")
    embedder.fault = None
    mended = memory.call(SearchFacts(query="red boat"))

    assert ("text", ["a red boat"], 1) == (result.mode, contents(result), len(result.notes))
    assert "searched by words alone" in result.notes[0]
    assert (contents(by_words), []) == (["a red boat"], by_words.notes)
    assert ("hybrid", ["a red boat", "a blue car"], []) == (mended.mode, contents(mended), mended.notes)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_what_cannot_be_embedded_stays_pending_and_is_embedded_later(
    opening: Opening, fault: Callable[[Any], Any]
) -> None:
    embedder = Ill()
    memory = opening(embedder=embedder)
    memory.call(StoreFacts(facts=[NewFact(content=f"a boat {n}", thread="talk", seq=n) for n in range(3)]))
    embed(memory)
    vectors = rows(memory, "SELECT id, codes FROM vector ORDER BY id")
    embedder.fault = fault

    stored = memory.call(StoreFacts(facts=[NewFact(content=f"a car {n}", thread="other", seq=n) for n in range(40)]))
    with pytest.raises(Unavailable):
        embed(memory)
    kept = rows(memory, "SELECT id, codes FROM vector ORDER BY id")
    waiting = rows(memory, "SELECT task, revision_id FROM pending WHERE task < 3")
    embedder.fault = None
    after = embed(memory)

    assert (40, 80) == (stored.stored, len(waiting))
    assert vectors == kept, "what was embedded before is untouched"
    assert (6 + 80, 0) == (after.vectors, after.pending)
    assert "a car 7" == contents(meant(memory, "a car 7"))[0]


def test_vectors_of_one_length_are_never_mixed_with_those_of_another(opening: Opening) -> None:
    class Growing(WordEmbedder):
        """Each answer is longer than the one before."""

        def embed(self, texts: Sequence[str], /) -> Any:
            self._dimension += 8
            return super().embed(texts)

    memory = opening(embedder=Growing(16))
    memory.call(StoreFacts(facts=[NewFact(content=f"a boat {n}") for n in range(10)]))
    with pytest.raises(Unavailable):
        embed(memory)

    assert len(rows(memory, "SELECT DISTINCT length(codes) FROM vector")) <= 1
    assert 10 == len(rows(memory, "SELECT 1 FROM pending WHERE task = 1 UNION ALL SELECT 1 FROM vector"))
    assert ["a boat 3"] == contents(memory.call(SearchFacts(query="3")))[:1]


def test_storing_does_not_wait_for_an_embedder_that_does_not_answer(opening: Opening) -> None:
    embedder = Blocked()
    memory = opening(embedder=embedder)
    memory.store("a red boat")
    embed(memory)
    embedder.block()

    memory.store("a blue car")
    assert embedder.entered.wait(WAIT_SECONDS)
    memory.store("a green river")
    by_words = contents(memory.call(SearchFacts(query="green car", mode="text")))
    embedder.release()

    assert {"a blue car", "a green river"} == set(by_words)
    until(lambda: embedded(memory))
    assert {"a red boat", "a blue car", "a green river"} == set(contents(meant(memory, "a green car")))


def test_a_search_does_not_wait_forever_for_an_embedder_that_does_not_answer(opening: Opening) -> None:
    embedder = Blocked()
    memory = opening(embedder=embedder, embedder_timeout_ms=limits.ENDPOINT_TIMEOUT_MS_MIN)
    memory.store("a red boat")
    embed(memory)
    embedder.block()
    given_up = threading.Timer(5, embedder.release)
    given_up.start()

    result = memory.call(SearchFacts(query="a red boat of old"))
    with pytest.raises(Unavailable):
        meant(memory, "another red boat")
    in_time = not embedder._free.is_set()
    given_up.cancel()
    embedder.release()

    assert in_time
    assert ("text", ["a red boat"], 1) == (result.mode, contents(result), len(result.notes))


def test_facts_become_searchable_by_meaning_without_anybody_asking_for_it(opening: Opening) -> None:
    memory = opening(embedder=WordEmbedder(64))

    memory.call(StoreFacts(facts=[NewFact(content=f"a boat {n}", thread="talk", seq=n) for n in range(150)]))

    until(lambda: embedded(memory))
    result = meant(memory, "a boat 77")
    assert (0, "a boat 77") == (result.pending, contents(result)[0])
    assert [(1, 150), (2, 150)] == rows(memory, "SELECT kind, count(*) FROM vector GROUP BY kind")


def test_a_search_says_how_many_facts_it_could_not_compare_yet(opening: Opening) -> None:
    embedder = Blocked()
    memory = opening(embedder=embedder)
    memory.store("a red boat")
    embed(memory)
    memory.call(SearchFacts(query="boats"))
    embedder.block()
    memory.store("a blue car")
    memory.store("a blue boat")
    assert embedder.entered.wait(WAIT_SECONDS)

    result = memory.call(SearchFacts(query="boats"))  # the query is remembered
    embedder.release()

    assert (2, ["a red boat", "a blue boat"]) == (result.pending, sorted(contents(result), reverse=True))
    until(lambda: embedded(memory))
    assert 0 == memory.call(SearchFacts(query="boats")).pending


def test_a_fact_that_has_no_vector_yet_is_found_by_its_words_among_many_that_have_one(opening: Opening) -> None:
    embedder = Blocked()
    memory = opening(embedder=embedder)
    memory.call(StoreFacts(facts=[NewFact(content=f"a boat numbered {n} was seen") for n in range(60)]))
    embed(memory)
    memory.call(SearchFacts(query="zeppelin"))
    embedder.block()
    memory.store("a zeppelin was seen")
    assert embedder.entered.wait(WAIT_SECONDS)

    result = memory.call(SearchFacts(query="zeppelin"))  # the query is remembered
    embedder.release()

    assert (1, "hybrid") == (result.pending, result.mode)
    assert "a zeppelin was seen" in contents(result)


def test_what_a_process_leaves_pending_is_done_by_the_next_that_searches(opening: Opening) -> None:
    with opening("memory.db") as first:  # no embedder
        first.call(StoreFacts(facts=[NewFact(content=f"a boat {n}") for n in range(5)]))
    memory = opening("memory.db", embedder=WordEmbedder(64))

    memory.call(SearchFacts(query="boat"))

    until(lambda: embedded(memory))


def test_without_an_embedder_words_are_searched_and_that_is_said_once(opening: Opening) -> None:
    memory = opening()
    memory.store("a red boat")

    notes = [memory.call(SearchFacts(query=query)).notes for query in ("boat", "boat", "red")]

    assert [1, 0, 0] == list(map(len, notes))
    with pytest.raises(Unavailable):
        meant(memory, "boat")
    with pytest.raises(Unavailable):
        embed(memory)


def test_vectors_of_another_embedder_are_not_mixed_and_made_anew_on_demand(opening: Opening) -> None:
    with opening("memory.db", embedder=WordEmbedder(64, "one")) as first:
        first.call(StoreFacts(facts=[NewFact(content=f"a boat {n}", thread="talk", seq=n) for n in range(20)]))
        embed(first)
    memory = opening("memory.db", embedder=WordEmbedder(64, "two"))
    memory.store("a blue car")
    before = rows(memory, "SELECT * FROM vector ORDER BY id")

    other = memory.call(SearchFacts(query="boat 3"))
    with pytest.raises(Unavailable, match="made by one/64"):
        meant(memory, "boat 3")
    until(lambda: memory.app.context.meaning.trouble is not None)
    after = rows(memory, "SELECT * FROM vector ORDER BY id")
    made = embed(memory)

    assert ("text", [True]) == (other.mode, ["words alone" in note and "one/64" in note for note in other.notes])
    assert before == after
    assert ("two/64", 41, 0) == (made.embedder, made.vectors, made.pending)
    assert [("two/64",)] == rows(memory, "SELECT name FROM embedder")
    mended = memory.call(SearchFacts(query="a boat 3"))
    assert ([], "a boat 3") == (mended.notes, contents(mended)[0])


def test_an_embedder_that_now_gives_longer_vectors_takes_over_on_demand(opening: Opening) -> None:
    class Same(WordEmbedder):
        """Keeps its name whatever it gives."""

        def __init__(self, dimension: int) -> None:
            super().__init__(dimension)
            self.name = "same"

    with opening("memory.db", embedder=Same(64)) as first:
        first.call(StoreFacts(facts=[NewFact(content=f"a boat {n}") for n in range(20)]))
        embed(first)
    memory = opening("memory.db", embedder=Same(128))

    made = embed(memory)

    assert (20, 0) == (made.vectors, made.pending)
    assert [(128,)] == rows(memory, "SELECT DISTINCT length(codes) FROM vector")
    assert "a boat 3" == contents(meant(memory, "boat 3"))[0]


def test_a_memory_that_is_closed_while_it_embeds_ends_soon_and_leaves_the_rest_pending(opening: Opening) -> None:
    class Slow(WordEmbedder):
        """Gives each text its time."""

        def embed(self, texts: Sequence[str], /) -> Any:
            entered.set()
            threading.Event().wait(0.005 * len(texts))
            return super().embed(texts)

    entered = threading.Event()
    with opening("memory.db", embedder=Slow(64)) as first:
        first.call(StoreFacts(facts=[NewFact(content=f"a boat {n}") for n in range(1_000)]))
        assert entered.wait(WAIT_SECONDS)
        began = time.monotonic()
    took = time.monotonic() - began

    assert took < limits.WORKER_STOP_SECONDS + 1
    assert [] == [thread.name for thread in threading.enumerate() if "cortex-deriving" in thread.name]
    memory = opening("memory.db", embedder=WordEmbedder(64))
    pending, made = rows(memory, "SELECT (SELECT count(*) FROM pending WHERE task = 1), (SELECT count(*) FROM vector)")[
        0
    ]
    assert (1_000, True) == (pending + made, pending > 0)


def test_an_embedder_that_never_answers_holds_up_closing_for_a_moment_only(opening: Opening) -> None:
    embedder = Blocked()
    with opening("memory.db", embedder=embedder) as memory:
        memory.store("a red boat")
        embed(memory)
        embedder.block()
        memory.store("a blue car")
        assert embedder.entered.wait(WAIT_SECONDS)
        began = time.monotonic()
    took = time.monotonic() - began
    embedder.release()
    until(lambda: not [thread for thread in threading.enumerate() if "cortex-deriving" in thread.name])
    gc.collect()

    assert took < limits.WORKER_STOP_SECONDS + 1
    again = opening("memory.db", embedder=WordEmbedder(64))
    assert [(1,)] == rows(again, "SELECT count(*) FROM vector") or embedded(again)


NEVER = """
import sys, threading
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from embedders import Blocked
from opened import Clock, Memory

embedder = Blocked()
folder = Path(sys.argv[2])
with Memory(folder / "memory.db", folder, Clock(), embedder=embedder) as memory:
    embedder.block()
    memory.store("a red boat")
    embedder.entered.wait(30)
print("closed", flush=True)
"""


def test_a_process_whose_embedder_never_answers_ends(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NEVER, Path(__file__).parent.parent, tmp_path],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        env={"PATH": os.environ.get("PATH", ""), "PYTHONDONTWRITEBYTECODE": "1"},
    )

    assert ("closed\n", "", 0) == (done.stdout, done.stderr, done.returncode)


def test_a_text_that_the_embedder_does_not_take_keeps_no_other_from_it(opening: Opening) -> None:
    class Picky(WordEmbedder):
        """Has no vector for one word."""

        def embed(self, texts: Sequence[str], /) -> Any:
            found = super().embed(texts)
            for place, text in enumerate(texts):
                if "poison" in text:
                    found[place] = 0
            return found

    memory = opening(embedder=Picky(64))
    memory.call(StoreFacts(facts=[NewFact(content=f"a boat {n}") for n in range(100)]))
    memory.store("a poison pill")

    made = embed(memory)
    found = memory.call(SearchFacts(query="boat 77"))

    assert (100, 1) == (made.vectors, made.pending)
    assert ("hybrid", "a boat 77") == (found.mode, contents(found)[0])
    assert ["a poison pill"] == contents(memory.call(SearchFacts(query="pill")))[:1]
    assert "could not be embedded" in str(memory.app.context.meaning.trouble)


def test_many_searches_at_once_wait_for_each_other(opening: Opening) -> None:
    memory = opening(embedder=WordEmbedder(64))
    memory.store("a red boat")
    embed(memory)

    found = memory.together([SearchFacts(query=f"boat {n}", mode="semantic") for n in range(60)])

    assert [["a red boat"]] * 60 == [contents(one) for one in found]


def test_an_embedder_that_fails_for_a_while_is_tried_again_though_nobody_asks(
    opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "EMBEDDER_PAUSE_SECONDS_MAX", 0.05)
    embedder = Ill()
    memory = opening(embedder=embedder)
    embedder.fault = down
    memory.store("a red boat")
    until(lambda: memory.app.context.meaning.trouble is not None)
    memory.store("a blue car")

    embedder.fault = None

    until(lambda: embedded(memory))
