"""What is forgotten is in no index, segment, window, cache or file, nor in the memory of the process that forgot it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex import limits
from cortex.embed.stub import WordEmbedder
from cortex.index.vector_rows import words
from cortex.ops.facts import ForgetFact, NewFact, RetractFact, ReviseFact, StoreFacts
from cortex.ops.search import SearchFacts
from embedders import Blocked, Opening, contents, embed, forget, meant
from opened import Clock, Memory

SECRET = "zqxsecretzqx"
DIMENSION = 384
TABLES = ("vector", "pending", "likeness", "mention", "relation", "turn_window", "revision")


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SEGMENT_VECTORS", 4)


@pytest.fixture
def memory(opening: Opening) -> Memory:
    """An open memory with an embedder."""
    return opening(embedder=WordEmbedder(DIMENSION))


def rows(memory: Memory, sql: str, *bindings: object) -> list[Any]:
    connection = memory.sql()
    try:
        return list(connection.execute(sql, bindings))
    finally:
        connection.close()


class Traces:
    """Every run of bytes by which facts could be known in the raw files: their texts, codes and sign bits."""

    def __init__(self, memory: Memory, texts: list[str], revisions: list[int]) -> None:
        narrow = f"revision_id IN ({', '.join(map(str, revisions))})"
        self.codes = [codes for (codes,) in rows(memory, f"SELECT codes FROM vector WHERE {narrow}")]
        self.bits = [signs(codes) for codes in self.codes]
        self.texts = [text.encode() for text in texts]

    def left(self, path: Path) -> list[bytes]:
        """Those that the file, its log or its shared memory hold."""
        files = [file for file in path.parent.iterdir() if file.name.startswith(path.name)]
        raw = b"\n".join(file.read_bytes() for file in files)
        # Pieces: a run may be parted between two pages.
        pieces = [
            run[at : at + 24] for run in (*self.codes, *self.bits) for at in (0, len(run) // 2) if len(run[at:]) >= 16
        ]
        return [run for run in (*self.texts, *pieces) if run in raw]


def signs(codes: bytes) -> bytes:
    """The sign bits of a vector as a segment holds them."""
    packed = np.packbits(np.frombuffer(codes, dtype=np.int8) > 0).tobytes()
    return packed.ljust(8 * words(len(codes)), b"\0")


def in_memory(memory: Memory) -> bytes:
    """The sign bits that the process holds, places of removed vectors included."""
    index = memory.app.context.meaning._index
    held = [] if index is None else list(index._signs.values())
    return b"\n".join(np.ascontiguousarray(one._columns.T).tobytes() for one in held)


def revisions_of(memory: Memory, *fact_ids: str) -> list[int]:
    marks = ", ".join("?" * len(fact_ids))
    return [row_id for (row_id,) in rows(memory, f"SELECT id FROM revision WHERE fact_id IN ({marks})", *fact_ids)]


def say(memory: Memory, *turns: str) -> list[str]:
    new = [NewFact(content=content, thread="talk", seq=seq) for seq, content in enumerate(turns)]
    return [fact.id for fact in memory.call(StoreFacts(facts=new)).facts]


def tables_with(memory: Memory, revisions: list[int]) -> list[str]:
    """Tables that have a row of these revisions."""
    columns = {"turn_window": ("id", "before_id", "after_id"), "revision": ("id",)}
    narrow = ", ".join(map(str, revisions))
    return [
        table
        for table in TABLES
        for column in columns.get(table, ("revision_id",))
        if rows(memory, f"SELECT 1 FROM {table} WHERE {column} IN ({narrow})")
    ]


def test_a_forgotten_turn_leaves_no_text_code_or_sign_bit_in_the_files_or_in_memory(memory: Memory) -> None:
    say(memory, *(f"turn {n} of a talk about boats" for n in range(6)))
    memory.store("before", thread="talk", seq=10)
    gone = memory.store(
        f"Ask Anna about {SECRET}.py and {SECRET} of Acme Corp", thread="talk", seq=11, tags=[SECRET]
    ).id
    memory.store("after", thread="talk", seq=12)
    say(memory, *(f"another turn {n}" for n in range(6)))
    assert 0 == embed(memory).pending
    meant(memory, SECRET)
    memory.call(SearchFacts(query=f"{SECRET} Acme"))
    revisions = revisions_of(memory, gone)
    neighbours = [row_id for (row_id,) in rows(memory, "SELECT id FROM revision WHERE content IN ('before', 'after')")]
    windows = [
        codes
        for (codes,) in rows(
            memory, f"SELECT codes FROM vector WHERE kind = 2 AND revision_id IN ({neighbours[0]}, {neighbours[1]})"
        )
    ]
    traces = Traces(memory, [SECRET], revisions)
    traces.codes += windows
    traces.bits += [signs(codes) for codes in windows]
    before = traces.left(memory.path)
    assert {*traces.texts} <= {*before}
    assert len(before) == len(traces.texts) + 2 * len(traces.codes) + 2 * len(traces.bits)
    assert set(TABLES) == set(tables_with(memory, revisions)) | {"pending", "relation"}
    assert all(bits in in_memory(memory) for bits in traces.bits)

    forget(memory, gone)

    assert [] == traces.left(memory.path)
    assert [] == tables_with(memory, revisions)
    assert [] == rows(memory, "SELECT 1 FROM entity WHERE name LIKE ?", f"%{SECRET}%")
    assert [] == rows(memory, "SELECT 1 FROM entity_form WHERE name LIKE ?", f"%{SECRET}%")
    assert [] == [bits for bits in traces.bits if bits in in_memory(memory)]
    held = memory.app.context.meaning.held
    assert ({}, {}) == (dict(held._queries), dict(memory.app.context.answers._held))
    assert [] == memory.call(SearchFacts(query=SECRET, mode="text")).hits
    memory.close()
    assert [] == traces.left(memory.path)


def test_every_revision_of_a_forgotten_fact_is_gone_from_vectors_and_segments(memory: Memory) -> None:
    gone = memory.store(f"{SECRET} number 0").id
    for number in range(1, 12):
        memory.call(ReviseFact(id=gone, content=f"{SECRET} number {number}", thread="talk", seq=number))
    say(memory, *(f"turn {n}" for n in range(12)))
    embed(memory)
    meant(memory, SECRET)
    revisions = revisions_of(memory, gone)
    traces = Traces(memory, [SECRET], revisions)
    assert len(traces.codes) >= 12

    forget(memory, gone)

    assert ([], []) == (traces.left(memory.path), tables_with(memory, revisions))
    assert [] == [bits for bits in traces.bits if bits in in_memory(memory)]


def test_a_retracted_fact_can_be_forgotten_without_a_trace(memory: Memory) -> None:
    _, gone, _ = say(memory, "first", f"{SECRET} said", "last")
    embed(memory)
    meant(memory, SECRET)
    traces = Traces(memory, [SECRET], revisions := revisions_of(memory, gone))
    memory.call(RetractFact(id=gone))
    embed(memory)

    forget(memory, gone)

    assert ([], []) == (traces.left(memory.path), tables_with(memory, revisions))
    assert [] == [bits for bits in traces.bits if bits in in_memory(memory)]


def test_all_passages_of_a_long_forgotten_text_are_gone(memory: Memory) -> None:
    gone = memory.store("\n\n".join(f"{SECRET}{n} " * 60 for n in range(40))).id
    memory.store("a text that is kept")
    embed(memory)
    meant(memory, f"{SECRET}7")
    traces = Traces(memory, [SECRET], revisions := revisions_of(memory, gone))
    assert len(traces.codes) >= 40

    forget(memory, gone)

    assert ([], []) == (traces.left(memory.path), tables_with(memory, revisions))
    assert [] == [bits for bits in traces.bits if bits in in_memory(memory)]
    assert ["a text that is kept"] == contents(meant(memory, f"{SECRET}7"))


def test_the_vector_of_a_text_that_another_fact_still_has_is_no_residue(memory: Memory) -> None:
    gone = memory.store("the same words").id
    memory.store("the same words", project="home")
    embed(memory)

    receipt = memory.call(ForgetFact(id=gone))

    assert ("scrubbed", 0) == (receipt.state, receipt.residue)


def test_a_fact_that_is_forgotten_while_it_is_embedded_leaves_no_vector(opening: Opening) -> None:
    embedder = Blocked(DIMENSION)
    memory = opening(embedder=embedder)
    embed(memory)
    embedder.block()
    _, gone = say(memory, "before", f"{SECRET} said")
    revisions = revisions_of(memory, gone)
    assert embedder.entered.wait(30)

    receipt = memory.call(ForgetFact(id=gone))
    embedder.release()
    again = say(memory, "another turn")  # takes the row number that was given back
    assert 0 == embed(memory).pending

    assert "scrubbed" == receipt.state
    assert revisions == revisions_of(memory, *again)
    right = WordEmbedder(DIMENSION).embed([f"{SECRET} said"])[0]
    cosines = [
        float(np.frombuffer(codes, dtype=np.int8).astype("f8") @ right * scale / np.linalg.norm(right))
        for codes, scale in rows(memory, "SELECT codes, scale FROM vector WHERE kind = 1")
    ]
    assert max(cosines) < 0.9
    assert [] == Traces(memory, [SECRET], [0]).left(memory.path)


words_ = st.lists(st.sampled_from(["boat", "car", "river", "red", "blue"]), min_size=1, max_size=4).map(" ".join)
fact_ = st.tuples(
    words_, st.sampled_from([None, "talk", "other"]), st.integers(0, 3), st.sampled_from(["work", "home"])
)


@settings(max_examples=25)
@given(given_=st.lists(fact_, min_size=2, max_size=12), gone=st.sets(st.integers(0, 11), min_size=1), data=st.data())
def test_whatever_is_forgotten_of_whatever_was_stored_leaves_no_trace(
    tmp_path_factory: pytest.TempPathFactory, given_: list[Any], gone: set[int], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("forgotten")
    with Memory(folder / "memory.db", folder, Clock(), embedder=WordEmbedder(DIMENSION)) as memory:
        ids = []
        for number, (content, thread, seq, project) in enumerate(given_):
            place = {"thread": thread, "seq": seq} if thread else {}
            ids.append(memory.store(f"{content} zq{number}zq", project=project, **place).id)
            if data.draw(st.integers(0, 3)) == 0:
                memory.call(ReviseFact(id=ids[number], content=f"{content} again zq{number}zq"))
        embed(memory)
        meant(memory, "zq0zq", all_projects=True)
        chosen = sorted(number for number in gone if number < len(ids))
        traces = {number: Traces(memory, [f"zq{number}zq"], revisions_of(memory, ids[number])) for number in chosen}
        revisions = {number: revisions_of(memory, ids[number]) for number in chosen}

        for number in chosen:
            forget(memory, ids[number])

            assert [] == traces[number].left(memory.path)
            assert [] == [bits for bits in traces[number].bits if bits in in_memory(memory)]
            assert [] == tables_with(memory, revisions[number])
        assert 0 == embed(memory).pending
        assert len(ids) - len(chosen) == len(meant(memory, "zq0zq", all_projects=True, top_k=100).hits)
