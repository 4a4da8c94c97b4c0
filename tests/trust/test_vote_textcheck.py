"""What was voted on against the facts that are held: edits are found, honest changes raise nothing."""

import hashlib
import hmac
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Opening

from cortex import limits
from cortex.memory.model import StoredFact
from cortex.ops import runs, verification, vote_verification
from cortex.ops.checking import VotesReport
from cortex.ops.facts import ForgetFact, RetractFact, ReviseFact
from cortex.ops.projects import RenameProject
from cortex.ops.resolving import ResolveFact
from cortex.ops.verification import VerificationRun, record
from cortex.ops.vote_ledger import VerifyVotes
from cortex.ops.votes import CastVote
from cortex.trust.copies import blank
from opened import Memory


@pytest.fixture
def memory(opening: Opening) -> Memory:
    return opening(embedder_kind="none")


def vote(memory: Memory, fact: StoredFact, agent: str = "a", cast: Any = 1, reason: str | None = None) -> str:
    """The id of a vote."""
    memory.clock.advance(seconds=1)
    return memory.call(CastVote(id=fact.id, vote=cast, agent=agent, reason=reason)).vote_id


def told(memory: Memory, **options: Any) -> VotesReport:
    return memory.call(VerifyVotes(**options))


def found(memory: Memory, **options: Any) -> list[str]:
    return [finding.code for finding in told(memory, **options).findings]


def edit(memory: Memory, sql: str, *bindings: Any) -> None:
    """Change rows of any table behind the triggers, which are back afterwards."""
    connection = memory.sql()
    triggers: list[Any] = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    with connection:
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(sql, bindings)
        for _, text in triggers:
            connection.execute(text)
    connection.close()


def test_votes_on_facts_that_are_as_they_were_raise_nothing(memory: Memory) -> None:
    facts = [memory.store(f"fact {number}", seq=number, thread="t", tags=["x"]) for number in range(3)]
    for fact in facts:
        for agent in ("a", "b"):
            vote(memory, fact, agent, reason="seen it: ütf-8" if agent == "a" else None)

    report = told(memory)

    assert [] == report.findings
    assert (3, 3) == (report.texts, report.reasons)
    assert "text" in report.passes


def test_revising_retracting_forgetting_and_renaming_raise_nothing(memory: Memory) -> None:
    facts = [memory.store(f"fact {number}", project="second") for number in range(3)]
    for fact in facts:
        vote(memory, fact, reason="because")
    memory.call(ReviseFact(id=facts[0].id, content="another text"))
    vote(memory, facts[0], "b", -1)
    memory.call(RetractFact(id=facts[1].id))
    memory.call(ForgetFact(id=facts[2].id))
    memory.call(RenameProject(old="second", new="renamed"))

    report = told(memory)

    assert [] == report.findings
    assert (3, 2) == (report.texts, report.reasons)
    assert [] == found(memory, incremental=True)


def test_a_text_counts_once_however_many_voted_on_it_and_one_that_is_gone_not_at_all(memory: Memory) -> None:
    kept, gone = memory.store("kept"), memory.store("gone")
    for fact in (kept, gone):
        vote(memory, fact)
        vote(memory, fact, "b", -1)
        memory.call(ResolveFact(id=fact.id, truth="true"))
    memory.call(ForgetFact(id=gone.id))

    report = told(memory)

    assert (1, []) == (report.texts, report.findings)


@pytest.mark.parametrize(
    "change", ["content = 'edited'", "tags = '[]'", "confidence = 'stated'", "source = 'elsewhere'", "salt = x'00'",
               "seq = 8", "valid_from = '2020-01-01T00:00:00.000000Z'"]
)  # fmt: skip
def test_a_text_or_field_that_was_edited_in_the_file_is_found(memory: Memory, change: str) -> None:
    fact = memory.store("as it was", tags=["x"], thread="t", seq=7, confidence="inferred")
    vote(memory, fact)
    vote(memory, fact, "b")

    edit(memory, f"UPDATE revision SET {change}")

    assert ["FACT_CHANGED"] == found(memory)


def test_an_old_revision_counts_too(memory: Memory) -> None:
    fact = memory.store("as it was")
    vote(memory, fact)
    memory.call(ReviseFact(id=fact.id, content="another text"))

    edit(memory, "UPDATE revision SET content = 'edited' WHERE number = 1")

    assert ["FACT_CHANGED"] == found(memory)


def test_a_fact_that_is_gone_without_having_been_forgotten_is_found(memory: Memory) -> None:
    fact, other = memory.store("goes"), memory.store("stays")
    vote(memory, fact)
    vote(memory, other)

    edit(memory, "DELETE FROM revision WHERE fact_id = ?", fact.id)

    assert ["FACT_MISSING"] == found(memory)


def test_votes_on_a_fact_or_a_text_that_no_entry_recorded_are_found(memory: Memory) -> None:
    fact, other = memory.store("one"), memory.store("two")
    vote(memory, fact)
    vote(memory, other)

    edit(memory, "UPDATE transactions SET subject = 'x' WHERE subject = ?", fact.id)
    edit(memory, "UPDATE transactions SET digest = zeroblob(32) WHERE subject = ?", other.id)

    assert ["FACT_CHANGED", "FACT_MISSING"] == sorted(found(memory))


def test_another_author_than_the_ledger_has_is_found(memory: Memory) -> None:
    vote(memory, memory.store("one"))

    edit(memory, "UPDATE transactions SET actor = 'somebody else' WHERE kind = 'fact'")

    assert ["FACT_CHANGED"] == found(memory)


@pytest.mark.parametrize("change", ["reason = 'edited'", "salt = x'00'", "fact = 'x'"])
def test_a_reason_that_was_edited_is_found(memory: Memory, change: str) -> None:
    vote(memory, memory.store("one"), reason="because")

    edit(memory, f"UPDATE vote_reason SET {change}")

    assert ["REASON_CHANGED"] == found(memory)


def test_the_reason_of_a_resolution_is_checked_as_well(memory: Memory) -> None:
    fact = memory.store("one")
    vote(memory, fact)
    memory.call(ResolveFact(id=fact.id, truth="true", reason="asked the author"))

    assert 1 == told(memory).reasons
    edit(memory, "UPDATE vote_reason SET reason = 'edited'")
    assert ["REASON_CHANGED"] == found(memory)


def test_a_reason_without_a_vote_and_one_of_a_forgotten_fact_are_found(memory: Memory) -> None:
    kept, gone = memory.store("kept"), memory.store("gone")
    plain = vote(memory, kept)
    vote_id = vote(memory, gone, reason="because")
    (salt, reason) = memory.sql().execute("SELECT salt, reason FROM vote_reason").fetchone()
    memory.call(ForgetFact(id=gone.id))

    for event_id, fact in ((vote_id, gone.id), ("00000000-0000-7000-8000-000000000000", kept.id), (plain, kept.id)):
        edit(memory, "INSERT INTO vote_reason VALUES (?, ?, ?, ?)", event_id, fact, salt, reason)

    report = told(memory)
    assert ["REASON_CHANGED"] * 3 == [finding.code for finding in report.findings]
    assert "was forgotten" in report.findings[0].what


def test_a_reason_need_not_be_here(memory: Memory) -> None:
    vote(memory, memory.store("one"), reason="because")

    edit(memory, "DELETE FROM vote_reason")

    assert [] == found(memory)


def test_the_digest_of_a_reason_is_its_hmac_under_the_prefix(memory: Memory) -> None:
    vote(memory, memory.store("one"), reason="because")
    row: Any = (
        memory.sql()
        .execute(
            "SELECT r.salt, l.reason_digest FROM vote_reason AS r JOIN vote_ledger AS l ON l.event_id = r.event_id"
        )
        .fetchone()
    )

    assert row[1] == hmac.new(row[0], b"cortex-reason/v1\nbecause", hashlib.sha256).digest()


def test_an_incremental_run_checks_the_texts_of_new_votes_only_and_a_run_without_texts_leaves_them(
    memory: Memory,
) -> None:
    one, two = memory.store("one"), memory.store("two")
    vote(memory, one)
    assert told(memory).ok
    vote(memory, two)

    assert (0, True) == (told(memory, incremental=True, text=False).texts, told(memory, incremental=True).ok)
    vote(memory, one, "b")
    report = told(memory, incremental=True)

    assert (1, []) == (report.texts, report.findings)
    edit(memory, "UPDATE revision SET content = 'edited'")
    vote(memory, two, "b")
    assert ["FACT_CHANGED"] == found(memory, incremental=True)
    assert ["FACT_CHANGED"] * 2 == found(memory)


# The operation around the passes.


def test_each_run_is_written_down_with_what_it_found(memory: Memory) -> None:
    vote(memory, memory.store("one"))
    assert told(memory).ok
    edit(memory, "UPDATE revision SET content = 'edited'")
    told(memory, incremental=True)
    told(memory)

    rows = memory.sql().execute(
        "SELECT log, ok, incremental, size, votes, passes LIKE '%\"text\"%', findings LIKE '%FACT_CHANGED%'"
        " FROM vote_integrity_checks ORDER BY id"
    )  # fmt: skip

    assert [("votes", 1, 0, 3, 1, 1, 0), ("votes", 1, 1, 3, 1, 1, 0), ("votes", 0, 0, 3, 1, 1, 1)] == list(rows)


def test_a_worker_process_says_the_same(memory: Memory) -> None:
    vote(memory, memory.store("one"))
    here = told(memory)
    task = vote_verification.task_of(memory.app.context, incremental=False)
    seen: list[tuple[int, int, str]] = []

    there = memory._runner.run(
        verification.in_worker(
            "cortex.ops.vote_verification", task, vote_verification.VotesExamined, lambda *at: seen.append(at)
        )
    ).report

    assert (here.root, here.passes, here.findings) == (there.root, there.passes, there.findings)
    assert {"entries", "signatures", "rules", "voted facts"} == {what for _, _, what in seen}


def test_a_file_without_votes_is_nothing_to_check(memory: Memory) -> None:
    memory.store("one")

    report = told(memory)

    assert (True, 3, None) == (report.ok, report.exit_code, report.origin)


def test_the_record_of_runs_keeps_the_newest(tmp_path: Path) -> None:
    tx = blank(str(tmp_path / "x.db"))
    run = VerificationRun(
        log="transactions", started_at="", finished_at="", incremental=False, size=1, votes=0, ok=True, passes=[],
        findings=[],
    )  # fmt: skip
    tx.execute("INSERT INTO vote_integrity_checks VALUES (?, '', '', '', 1, 1, 1, 1, '', '')", (5,))
    tx.execute(
        "INSERT INTO vote_integrity_checks VALUES (?, '', '', '', 1, 1, 1, 1, '', '')",
        (limits.INTEGRITY_CHECKS_MAX + 4,),
    )

    record(tx, run)

    ids = [number for (number,) in tx.execute("SELECT id FROM vote_integrity_checks ORDER BY id")]
    assert [limits.INTEGRITY_CHECKS_MAX + 4, limits.INTEGRITY_CHECKS_MAX + 5] == ids


def test_a_run_with_the_greatest_number_there_is_does_not_stay_the_newest(tmp_path: Path) -> None:
    tx = blank(str(tmp_path / "x.db"))
    run = VerificationRun(
        log="votes", started_at="a", finished_at="b", incremental=False, size=1, votes=0, ok=True, passes=[],
        findings=[],
    )  # fmt: skip
    record(tx, run)
    tx.execute("INSERT INTO vote_integrity_checks VALUES (?, 'votes', '', '', 1, 0, 1, 1, '', '[]')", ((1 << 63) - 1,))

    record(tx, run)

    assert [(1,), (2,)] == tx.execute("SELECT id FROM vote_integrity_checks ORDER BY id").fetchall()
    assert ["b"] == [last.at for last in runs.last_runs(tx)]
