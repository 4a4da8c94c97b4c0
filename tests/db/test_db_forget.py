"""What is forgotten is gone from the raw files: the file, its log, its shared memory."""

import asyncio
import random
from pathlib import Path

import apsw
import pytest
from db_memories import child, contents, insert, memory, said, tell, verified

from cortex.app import App
from cortex.ops.doctor import Diagnose
from cortex.ops.facts import ForgetFact, NewFact, ReviseFact, StoreFact, StoreFacts
from cortex.ops.node import ReadStatus

# Words that occur nowhere else, so that a token of them in the index would be found as well.
SECRET = "zqxsecretzqx"

READS = """
import sys
import apsw
connection = apsw.Connection(sys.argv[1])
connection.execute("BEGIN")
print(connection.execute("SELECT count(*) FROM revision").fetchall()[0][0], flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
connection.close()
print("done", flush=True)
sys.stdin.readline()
"""


def _left(path: Path, *words: str) -> list[str]:
    """Which of `words` the raw files hold, in any letter case."""
    raw = b"".join(file.read_bytes() for file in path.parent.iterdir() if file.name.startswith(path.name)).lower()
    return [word for word in words if word.encode() in raw]


def _store(app: App, *facts: NewFact) -> list[str]:
    stored = asyncio.run(app.call(StoreFacts(facts=list(facts))))
    return [fact.id for fact in stored.facts]


@pytest.mark.parametrize("size", [1, 40, 5_000, 15_000])
def test_text_key_tags_source_and_meta_of_a_forgotten_fact_are_gone_at_every_length(path: Path, size: int) -> None:
    secrets = [f"{SECRET}{part}" for part in ("text", "key", "tag", "source", "meta")]
    text, key, tag, source, meta = secrets
    content = " ".join(f"{text}{n}" for n in range(size)) if size > 1 else text
    with memory(path) as app:
        around = [NewFact(content=f"kept {n} " * 30) for n in range(10)]
        fact_id = _store(
            app,
            *around[:5],
            NewFact(content=content, key=key, tags=[tag], source=source, meta={"m": meta}),
            *around[5:],
        )[5]
        assert secrets == _left(path, *secrets)

        receipt = asyncio.run(app.call(ForgetFact(id=fact_id)))

        assert ("scrubbed", 0, 1) == (receipt.state, receipt.residue, receipt.revisions)
        assert [] == _left(path, *secrets)
    assert [] == _left(path, *secrets)
    assert 10 == len(contents(path))
    assert verified(path).ok


def test_no_word_of_long_forgotten_facts_stays_among_those_that_lead_to_the_indexs_pages(path: Path) -> None:
    chance = random.Random(1)
    with memory(path) as app:
        gone = []
        for word, size in (("other", 3_000), (SECRET, 7), (SECRET, 2_037), (SECRET, 34_565), ("other", 500)):
            fact = NewFact(content=" ".join(f"{word}{chance.randint(0, 10**6)}" for _ in range(size)))
            ids = _store(app, fact)
            gone += ids if word == SECRET else []

        for fact_id in gone:
            asyncio.run(app.call(ForgetFact(id=fact_id)))

        assert [] == _left(path, SECRET)


def test_every_revision_of_a_forgotten_fact_is_gone(path: Path) -> None:
    words = [f"{SECRET}{n}" for n in range(12)]
    with memory(path) as app:
        (fact_id,) = _store(app, NewFact(content=words[0] * 50))
        for word in words[1:]:
            asyncio.run(app.call(ReviseFact(id=fact_id, content=f"{word} " * 200, tags=[word])))
        assert words == _left(path, *words)

        receipt = asyncio.run(app.call(ForgetFact(id=fact_id)))

        assert ("scrubbed", 12) == (receipt.state, receipt.revisions)
        assert [] == _left(path, *words)
    assert verified(path).ok


def test_many_forgotten_facts_are_gone_and_the_others_are_not(path: Path) -> None:
    with memory(path) as app:
        ids = _store(app, *(NewFact(content=f"{SECRET}{n:03d}end and some more {n} " * 20) for n in range(60)))
        gone, kept = ids[::2], ids[1::2]

        async def forget() -> list[str]:
            return [(await app.call(ForgetFact(id=fact_id))).state for fact_id in gone]

        states = asyncio.run(forget())

        assert ["scrubbed"] * 30 == states
        words = [f"{SECRET}{n:03d}end" for n in range(60)]
        assert words[1::2] == _left(path, *words)
        assert len(kept) == len(contents(path))
    assert words[1::2] == _left(path, *words)
    assert verified(path).ok


def test_facts_that_are_forgotten_at_the_same_time_are_all_gone(path: Path) -> None:
    with memory(path) as app:
        ids = _store(app, *(NewFact(content=f"{SECRET}{n:03d}end " * 40) for n in range(20)))

        async def forget() -> None:
            await asyncio.gather(*(app.call(ForgetFact(id=fact_id)) for fact_id in ids))

        asyncio.run(forget())
        asyncio.run(app.call(Diagnose()))

        assert [] == _left(path, SECRET)
        assert 0 == asyncio.run(app.call(ReadStatus())).unscrubbed
    assert verified(path).ok


def test_a_reader_of_another_process_holds_scrubbing_up_and_the_doctor_finishes_it(path: Path) -> None:
    with memory(path) as app:
        (fact_id,) = _store(app, NewFact(content=f"{SECRET} " * 500))
        with child(READS, path) as process:
            assert "1" == said(process)
            held = asyncio.run(app.call(ForgetFact(id=fact_id)))
            ill = asyncio.run(app.call(Diagnose()))
            tell(process)
            assert "done" == said(process)
            well = asyncio.run(app.call(Diagnose()))

        assert "erased" == held.state
        assert "A reader holds the write-ahead log" in held.note
        assert ["forgetting"] == [check.name for check in ill.checks if not check.ok]
        assert [] == [check.found for check in well.checks if not check.ok]
        assert [] == _left(path, SECRET)
        assert 0 == asyncio.run(app.call(ReadStatus())).unscrubbed
    assert verified(path).ok


def test_a_text_that_another_fact_still_has_is_no_residue(path: Path) -> None:
    with memory(path) as app:
        first, second = _store(
            app, NewFact(content=f"{SECRET} shared", key="a"), NewFact(content=f"{SECRET} shared", key="b")
        )

        receipt = asyncio.run(app.call(ForgetFact(id=first)))

        assert ("scrubbed", 0) == (receipt.state, receipt.residue)
        assert [SECRET] == _left(path, SECRET)
        asyncio.run(app.call(ForgetFact(id=second)))
        assert [] == _left(path, SECRET)


def test_a_duplicate_of_a_forgotten_fact_is_a_new_fact(path: Path) -> None:
    with memory(path) as app:
        (fact_id,) = _store(app, NewFact(content=SECRET))
        asyncio.run(app.call(ForgetFact(id=fact_id)))

        again = asyncio.run(app.call(StoreFact(content=SECRET)))

    assert (False, [SECRET]) == (again.duplicate, contents(path))
    assert fact_id != again.id


def test_a_refused_write_leaves_no_text_behind_once_the_log_is_emptied(path: Path) -> None:
    with memory(path) as app:
        database = app.context.database

        def refused(tx: object) -> None:
            insert(SECRET)(tx)  # type: ignore[arg-type]
            raise ValueError("refused")

        with pytest.raises(ValueError, match="refused"):
            asyncio.run(database.write(refused))
        asyncio.run(database.write(insert("kept")))
        database.empty_log()

        assert ["kept"] == _left(path, SECRET, "kept")


def _leave_in_an_unused_page(path: Path, text: str) -> None:
    """What a program leaves behind that does not overwrite what it deletes."""
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE stray (a); INSERT INTO stray VALUES (?)", (text * 200,))
    connection.execute("DROP TABLE stray")
    connection.close()


def test_a_text_that_is_left_in_an_unused_page_is_told_until_the_doctor_wrote_the_file_anew(path: Path) -> None:
    with memory(path) as app:
        first, second = _store(app, NewFact(content=SECRET), NewFact(content="an unremarkable text"))
        _leave_in_an_unused_page(path, SECRET)

        receipt = asyncio.run(app.call(ForgetFact(id=first)))
        other = asyncio.run(app.call(ForgetFact(id=second)))
        before = asyncio.run(app.call(ReadStatus())).unscrubbed
        report = asyncio.run(app.call(Diagnose()))

        assert ("erased", 1, "scrubbed") == (receipt.state, receipt.residue, other.state)
        assert "`cortex doctor` writes the file anew" in receipt.note
        assert 1 == before
        assert ["scrubbed now, by writing the file anew: 1 forgotten"] == [
            check.found for check in report.checks if check.name == "forgetting" and check.ok
        ]
        assert 0 == asyncio.run(app.call(ReadStatus())).unscrubbed
        assert [] == _left(path, SECRET)
    assert verified(path).ok


@pytest.mark.parametrize(
    "other",
    [
        NewFact(content="another", source=SECRET),
        NewFact(content="another", key=SECRET),
        NewFact(content="another", meta={"of": SECRET}),
        NewFact(content="another", tags=[SECRET]),
        NewFact(content="another", thread=SECRET, seq=1),
        NewFact(content="another", type=SECRET),
        NewFact(content="another", project=SECRET),
    ],
    ids=["source", "key", "meta", "tags", "thread", "type", "project"],
)
def test_a_text_that_stands_elsewhere_in_another_fact_is_no_residue(path: Path, other: NewFact) -> None:
    with memory(path) as app:
        (fact_id, _) = _store(app, NewFact(content=SECRET), other)

        receipt = asyncio.run(app.call(ForgetFact(id=fact_id)))

        assert ("scrubbed", 0) == (receipt.state, receipt.residue)
        assert [SECRET] == _left(path, SECRET)


def test_the_doctor_finishes_any_number_of_forgotten_facts(path: Path) -> None:
    with memory(path) as app:
        _store(app, NewFact(content="a fact"))
        rows = [(f"{n:036d}", f"{n:032d}") for n in range(1_500)]
        asyncio.run(
            app.context.database.write(
                lambda tx: tx.executemany(
                    "INSERT INTO fact VALUES (?, ?, 1, '2026-01-01T00:00:00.000000Z', NULL)", rows
                )
            )
        )

        before = asyncio.run(app.call(ReadStatus())).unscrubbed
        asyncio.run(app.call(Diagnose()))

        assert (1_500, 0) == (before, asyncio.run(app.call(ReadStatus())).unscrubbed)


def test_no_forgotten_word_parts_the_pages_of_the_index(path: Path) -> None:
    chance = random.Random(2)

    def word(start: str) -> str:
        return start + "".join(chance.choices("bcdfghjklmnpqrstvwxz", k=8))

    with memory(path) as app:
        kept = [NewFact(content=" ".join(word("a") for _ in range(40))) for _ in range(100)]
        asyncio.run(app.call(StoreFacts(facts=kept)))
        gone = [NewFact(content=" ".join(word("zq") for _ in range(80))) for _ in range(60)]
        stored = asyncio.run(app.call(StoreFacts(facts=gone))).facts

        for fact in stored:
            assert "scrubbed" == asyncio.run(app.call(ForgetFact(id=fact.id))).state

    connection = apsw.Connection(str(path))
    parting = [bytes(term) for (term,) in connection.execute("SELECT term FROM revision_fts_idx")]
    connection.close()
    assert [] == [term for term in parting if term.startswith(b"0zq")]
