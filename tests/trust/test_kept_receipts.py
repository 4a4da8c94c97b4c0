"""Receipts that are kept: two ballots of one id, what is forgotten while they are written, what cannot be read."""

import json
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from restoring import backed_up, restored

from cortex import files, limits, times
from cortex.errors import Corrupt, TooLarge
from cortex.ledger.findings import Findings
from cortex.ledger.memory import ReceiptsMark
from cortex.ops import held_receipts, vote_verification
from cortex.ops.agents import AddAgent
from cortex.ops.checking import VotesReport
from cortex.ops.facts import ForgetFact
from cortex.ops.resubmitting import ResubmitVotes
from cortex.ops.vote_ledger import AcceptVotes, InitVoteLog, VerifyVotes
from cortex.ops.votes import CastVote, CountedVote, ReadVotes
from cortex.trust import keyfiles, outside, private, receipt_marks, receipts
from cortex.trust.receipt import AgentReceipt
from cortex.trust.receipt_marks import ReceiptsReading
from opened import Clock, Memory

V = "0198f3a2-6c1e-7b44-9d0e-5f2a7c81b936"
ORIGIN = "cortex/votes/0123456789abcdef/fedcba9876543210"


@pytest.fixture
def begun(memory: Memory) -> Memory:
    """A memory whose votes log has the agents ann and bob, with keys of their own; at the time of the machine."""
    memory.clock.set(times.now())
    for name in ("ann", "bob"):
        memory.call(AddAgent(name=name))
    return memory


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the agents of a log keep their files under the home `tmp_path`."""
    return keyfiles.receipts_path(tmp_path, ORIGIN, "ann").parent


def place_of(memory: Memory, name: str = "ann") -> Path:
    return keyfiles.receipts_path(memory.home, memory.call(InitVoteLog()).origin, name)


def vote(memory: Memory, fact: str, name: str = "ann", vote_id: str | None = V, reason: str = "seen") -> CountedVote:
    """A vote, a second after what was done before."""
    memory.clock.advance(seconds=1)
    return memory.call(CastVote(id=fact, vote=1, agent=name, vote_id=vote_id, reason=reason))


def gone_back(memory: Memory, backup: Path) -> Memory:
    """The memory after a backup took its place, which the log says; what was open of it is closed."""
    restored(memory, backup)
    again = memory.reopen()
    again.call(InitVoteLog())
    return again


def lost(memory: Memory) -> Memory:
    """A memory that was put back to before a vote of ann."""
    fact, backup = memory.store("one"), backed_up(memory)
    vote(memory, fact.id)
    return gone_back(memory, backup)


def codes(report: VotesReport) -> set[str]:
    return {finding.code for finding in report.findings}


def one(ballot: str = "a", idx: int = 0, fact: str = "f", **given: str | None) -> AgentReceipt:
    told = {"id": ballot, "fact": fact}
    leaf = json.dumps({"event": told, "idx": idx, "sigs": ["ab" * 64]})
    return AgentReceipt(ballot=told, sig="ab" * 64, idx=idx, leaf=leaf, **given)


# Two ballots of one id.


def test_a_vote_that_is_tried_again_after_a_restore_leaves_two_ballots_that_stand_for_themselves(begun: Memory) -> None:
    fact, backup = begun.store("one"), backed_up(begun)
    vote(begun, fact.id)
    with gone_back(begun, backup) as again:
        place = place_of(again)
        second = vote(again, fact.id)

        missed = again.call(VerifyVotes())
        done = again.call(ResubmitVotes())
        accepted = again.call(AcceptVotes())
        after = again.call(VerifyVotes())
        aside = next(place.parent.glob("*.before-*"))
        once_more = again.call(ResubmitVotes(receipts=[str(aside)]))

    assert ({"PROMISE_BROKEN"}, 1, 1) == (codes(missed), len(missed.findings), missed.exit_code)
    assert (1, 0, [V], 0) == (done.present, done.taken, [left.vote_id for left in done.outdated], done.exit_code)
    assert (True, True) == (accepted.ok, after.ok)
    assert [[second.entry], [V]] == [[each.idx for each in receipts.read(place)], [*receipts.latest(aside)]]
    assert [V] == [left.vote_id for left in once_more.outdated]


def test_of_ballots_of_one_id_that_are_all_lost_the_newest_is_handed_in(begun: Memory) -> None:
    fact, backup = begun.store("one"), backed_up(begun)
    vote(begun, fact.id, reason="the first time")
    again = gone_back(begun, backup)
    vote(again, fact.id, reason="the second time")
    with gone_back(again, backup) as last:
        missed = last.call(VerifyVotes())
        done = last.call(ResubmitVotes())
        reasons = [shown.reason for shown in last.call(ReadVotes(id=fact.id)).votes]

        assert ["PROMISE_BROKEN"] * 2 == [finding.code for finding in missed.findings]
        assert (1, 1, 0) == (done.taken, len(done.outdated), done.exit_code)
        assert ["the second time"] == reasons
        assert (True, True) == (last.call(AcceptVotes()).ok, last.call(VerifyVotes()).ok)


def test_a_ballot_whose_id_another_agent_has_taken_is_refused(begun: Memory) -> None:
    fact, backup = begun.store("one"), backed_up(begun)
    vote(begun, fact.id)
    with gone_back(begun, backup) as again:
        vote(again, fact.id, "bob")

        done = again.call(ResubmitVotes(receipts=[str(place_of(again))]))

    assert ([], [("ann", "id_conflict")], 1) == (
        done.outdated,
        [(left.agent, left.kind) for left in done.refused],
        done.exit_code,
    )


def test_a_leaf_that_a_file_has_of_another_ballot_is_lacking(tmp_path: Path) -> None:
    path = tmp_path / "ann.receipts"
    kept, other = one(idx=3), one(idx=3, fact="g")
    receipts.append(path, kept)

    lacking = [receipt_marks.lacks(path, "a", 3, leaf) for leaf in (kept.leaf, other.leaf, None)]

    assert [False, True, False] == lacking


def test_what_is_put_aside_of_two_ballots_with_one_id_is_one_of_them(tmp_path: Path) -> None:
    path = tmp_path / "ann.receipts"
    first, second = one(idx=3), one(idx=3, fact="g")
    for each in (first, second, one("b")):
        receipts.append(path, each)

    count = receipts.put_aside(path, tmp_path / "aside", {first.key: first})

    assert (1, [second, one("b")]) == (count, list(receipts.read(path)))
    assert [first] == list(receipts.read(tmp_path / "aside"))


def test_all_that_is_said_of_each_lost_ballot_is_put_aside(begun: Memory) -> None:
    facts, backup = [begun.store("one"), begun.store("two")], backed_up(begun)
    for fact in facts:
        vote(begun, fact.id, vote_id=None)
    with gone_back(begun, backup) as again:
        place = place_of(again)
        first, second = receipts.read(place)
        receipts.append(place, structs.replace(first, idx=limits.SEQ_MAX, promise=None))

        accepted = again.call(AcceptVotes())
        aside = next(place.parent.glob("*.before-*"))

    assert (True, []) == (accepted.ok, list(receipts.read(place)))
    assert [first.id, second.id, first.id] == [found.id for found in receipts.read(aside)]


# What a file can be made to say.


def far_away(last: AgentReceipt, _: list[AgentReceipt]) -> AgentReceipt:
    return structs.replace(last, idx=limits.SEQ_MAX, promise=None)


def with_junk_for_a_promise(last: AgentReceipt, _: list[AgentReceipt]) -> AgentReceipt:
    return structs.replace(last, promise="junk")


def with_junk_for_a_proof(last: AgentReceipt, _: list[AgentReceipt]) -> AgentReceipt:
    return structs.replace(last, proof="junk")


def with_the_leaf_of_another(last: AgentReceipt, held: list[AgentReceipt]) -> AgentReceipt:
    return structs.replace(last, idx=held[0].idx, leaf=held[0].leaf)


def with_the_id_of_one_that_stands(last: AgentReceipt, held: list[AgentReceipt]) -> AgentReceipt:
    return structs.replace(held[0], ballot={**held[0].ballot, "id": last.id})


@pytest.mark.parametrize(
    "line",
    [
        far_away,
        with_junk_for_a_promise,
        with_junk_for_a_proof,
        with_the_leaf_of_another,
        with_the_id_of_one_that_stands,
    ],
)
def test_no_line_takes_away_what_another_one_shows(
    begun: Memory, line: Callable[[AgentReceipt, list[AgentReceipt]], AgentReceipt]
) -> None:
    kept, fact = begun.store("kept"), begun.store("one")
    vote(begun, kept.id, vote_id=None)
    backup = backed_up(begun)
    vote(begun, fact.id)
    with gone_back(begun, backup) as again:
        place = place_of(again)
        *before, last = receipts.read(place)
        receipts.append(place, line(last, before))

        report = again.call(VerifyVotes())
        done = again.call(ResubmitVotes())

    assert "PROMISE_BROKEN" in codes(report)
    assert any(V in finding.what for finding in report.findings)
    assert 1 == done.taken


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda whole: b"junk\n" + whole,
        lambda whole: whole + b"junk\n",
        lambda whole: whole + b"junk",
        lambda whole: b"x" * (3 * limits.RECEIPT_LINE_BYTES_MAX) + b"\n" + whole,
        lambda whole: whole + b"x" * (3 * limits.RECEIPT_LINE_BYTES_MAX),
        lambda whole: b"\n" * 100 + whole,
    ],
    ids=["first", "last", "tail", "long", "long-tail", "blank"],
)
def test_a_line_that_is_no_receipt_hides_none_of_the_others(begun: Memory, spoilt: Callable[[bytes], bytes]) -> None:
    with lost(begun) as again:
        place = place_of(again)
        place.write_bytes(spoilt(place.read_bytes()))

        report = again.call(VerifyVotes())
        with pytest.raises(Corrupt):
            again.call(VerifyVotes(receipts=[str(place)]))

    assert ({"PROMISE_BROKEN"}, 1) == (codes(report), report.exit_code)
    assert ["receipts ann.receipts: cannot be read"] == [told.split(" (")[0] for told in report.unchecked]


def test_what_stands_in_a_line_that_is_too_long_is_no_receipt(tmp_path: Path) -> None:
    path = tmp_path / "ann.receipts"
    for name in "ab":
        receipts.append(path, one(name))
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"x" * (limits.RECEIPT_LINE_BYTES_MAX + 1) + first + second)
    reading = ReceiptsReading(path, lenient=True)
    reading.open()

    found = [placed.receipt.id for part in iter(reading.part, []) for placed in part]
    reading.close()

    assert (["b"], 1) == (found, len(reading.odd))


def test_a_file_with_too_many_lines_that_are_none_is_told_alone(begun: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RECEIPTS_ODD_MAX", 2)
    with lost(begun) as again:
        place = place_of(again)
        place.write_bytes(b"junk\n" * 3 + place.read_bytes())

        report = again.call(VerifyVotes())

    assert (True, 3, 1) == (report.ok, report.exit_code, len(report.unchecked))


def test_more_receipts_than_the_limit_that_the_log_does_not_bear_out_are_told(
    begun: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lost(begun) as again:
        place = place_of(again)
        (last,) = receipts.read(place)
        for idx in (100, 101):
            receipts.append(place, structs.replace(last, idx=idx))
        at_the_limit, beyond = [], []
        for most, reports in ((3, at_the_limit), (2, beyond)):
            monkeypatch.setattr(limits, "RECEIPTS_MAX", most)
            reports.append(again.call(VerifyVotes()))
        with pytest.raises(TooLarge, match="RECEIPTS_MAX"):
            again.call(VerifyVotes(receipts=[str(place)]))

    assert [{"PROMISE_BROKEN"}] == [codes(report) for report in at_the_limit]
    assert [(True, 3)] == [(report.ok, report.exit_code) for report in beyond]
    assert "RECEIPTS_MAX" in beyond[0].unchecked[0]


@pytest.mark.parametrize("kind", ["genesis", "restored"])
def test_what_is_odd_in_the_events_that_name_keys_throws_no_report_away(begun: Memory, kind: str) -> None:
    with lost(begun) as again:
        tx = again.sql()
        for (name,) in tx.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            tx.execute(f"DROP TRIGGER {name}")
        tx.execute("UPDATE vote_ledger SET event = CAST(x'7bff' AS TEXT) WHERE kind = ?", (kind,))

        report = again.call(VerifyVotes())

    assert {"LEAF_FORM", "PROMISE_BROKEN"} <= codes(report)


def test_what_was_not_foreseen_in_one_receipt_is_a_finding_and_ends_nothing(begun: Memory) -> None:
    with lost(begun) as again:
        (last,) = receipts.read(place_of(again))
        strange = structs.replace(last, promise=["no", "text"])  # type: ignore[arg-type]
        findings, checked = Findings(), outside.ReceiptsChecked()
        side = outside.Outside(findings, {place_of(again)}, checked)
        doubtful = outside.Doubtful(place_of(again))

        tx = again.sql()
        log = outside.logs.needed(tx)
        side.weigh(tx, log, [strange, last], doubtful)
        side.receipts(tx, log, doubtful, list(doubtful.claims))

    assert ["LEAF_FORM", "PROMISE_BROKEN"] == [finding.code for finding in findings.list]


# How far was compared.


def test_the_mark_stops_before_what_was_appended_after_the_verified_entries(begun: Memory) -> None:
    one, two = begun.store("one"), begun.store("two")
    vote(begun, one.id, vote_id=None)
    report = begun.call(VerifyVotes())
    place = place_of(begun)
    size = place.stat().st_size
    vote(begun, two.id, vote_id=None)
    ctx = begun.app.context
    task = vote_verification.task_of(ctx, incremental=False, nice=0)

    held = begun._runner.run(held_receipts.compare(ctx, task, report, None, [], wanted=False))
    later = begun.call(VerifyVotes())
    whole = begun._runner.run(held_receipts.compare(ctx, task, later, None, [], wanted=False))

    assert (2, [], 2, []) == (held.checked.compared, held.findings.list, whole.checked.compared, whole.findings.list)
    assert [[size], [place.stat().st_size]] == [[mark.offset for mark in each.marks or []] for each in (held, whole)]


def test_a_receipt_of_another_log_holds_no_mark_back(begun: Memory) -> None:
    fact = begun.store("one")
    vote(begun, fact.id)
    place = place_of(begun)
    (kept,) = receipts.read(place)
    receipts.append(place, structs.replace(kept, ballot={**kept.ballot, "log": "other"}, idx=limits.SEQ_MAX))
    before = begun.call(VerifyVotes(incremental=True))

    after = begun.call(VerifyVotes(incremental=True))

    assert (True, True) == (before.ok, after.ok)
    assert [True, False] == [any("of other logs" in told for told in report.outside) for report in (before, after)]


def test_a_receipt_is_read_again_from_where_it_stands_after_a_mark_and_an_append(tmp_path: Path) -> None:
    path = tmp_path / "ann.receipts"
    for name in "abc":
        receipts.append(path, one(name))
    begun = ReceiptsReading(path)
    begun.open()
    places = [placed.place for part in iter(begun.part, []) for placed in part]
    mark = begun.mark(places[1])
    begun.close()
    assert isinstance(mark, ReceiptsMark)
    reading = ReceiptsReading(path, mark)

    reading.open()
    receipts.append(path, one("later"))
    seen = [placed for part in iter(reading.part, []) for placed in part]
    reading.again(places[1:])
    again = [placed for part in iter(reading.part, []) for placed in part]
    reading.close()

    assert (places[1], ["b", "c"]) == (reading.start, [placed.receipt.id for placed in seen])
    assert seen == again


@given(st.lists(st.tuples(st.sampled_from(["a", 'a"', "a\n", "ä", "a\\"]), st.integers(0, 1)), max_size=6))
def test_what_is_known_of_one_ballot_is_what_is_known_of_it_among_all(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[str, int]]
) -> None:
    path = tmp_path_factory.mktemp("receipts") / "ann.receipts"
    for name, idx in lines:
        receipts.append(path, one(name, idx))

    known = receipts.latest(path)

    assert known == {name: each for name in known for each in receipts.latest(path, name).values()}
    assert {} == receipts.latest(path, "none")


# What is forgotten.


def test_what_another_process_is_writing_is_no_file_of_receipts(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "ann.receipts"
    for number in range(3):
        receipts.append(path, one(f"{number}", fact="f").explained("because", b"s" * 16))
    whole = path.read_bytes()
    monkeypatch.setattr(limits, "LOCK_SECONDS", 0)

    with private.changing(path, 0, "") as _, files.replacing(path) as file:
        file.write(whole)
        file.flush()
        told = outside.drop_reasons(tmp_path, ORIGIN, "f")
        begun = next(folder.glob(".ann.*"))
        during = begun.read_bytes()
    after = outside.drop_reasons(tmp_path, ORIGIN, "f")

    assert (whole, 2) == (during, len(told))
    assert all("locked" in each for each in told)
    assert ([], ["0", "1", "2"]) == (after, [found.id for found in receipts.read(path)])
    assert b"because" not in path.read_bytes()


@pytest.mark.parametrize(
    "name", [".ann.receipts.a1_b2c3d", ".ann.receipts.before-20261121.a1_b2c3d", ".gone.receipts.a1_b2c3d"]
)
def test_what_a_process_that_was_killed_left_goes_with_what_is_forgotten(
    tmp_path: Path, folder: Path, name: str
) -> None:
    receipts.append(folder / "ann.receipts", one(fact="g").explained("because", b"s" * 16))
    left = folder / name
    left.write_bytes((folder / "ann.receipts").read_bytes())

    told = outside.drop_reasons(tmp_path, ORIGIN, "f")

    assert ([], False) == (told, left.exists())
    assert b"because" in (folder / "ann.receipts").read_bytes()


def test_an_agent_whose_name_begins_with_a_dot_has_receipts_and_what_else_is_hidden_is_left(
    tmp_path: Path, folder: Path
) -> None:
    kept = [".ann.receipts", ".ann.receipts.before-1", ".ann.receipts.receipts", "ann.receipts", "ann.receipts.bak"]
    others = [".ann.receipts.swp", ".ann.receipts.Ab12Cd", "ann.key.a1_b2c3d", ".ann.receipts.key"]
    for name in kept + others:
        receipts.append(folder / name, one(fact="f").explained("because", b"s" * 16))

    told = outside.drop_reasons(tmp_path, ORIGIN, "f")

    assert ([], sorted(kept + others)) == (told, sorted(path.name for path in folder.iterdir()))
    assert others == [name for name in others if b"because" in (folder / name).read_bytes()]
    assert [] == [name for name in kept if b"because" in (folder / name).read_bytes()]


def test_facts_that_are_forgotten_at_once_lose_no_receipt(tmp_path: Path, folder: Path) -> None:
    path, facts = folder / "ann.receipts", [f"f{number}" for number in range(8)]
    for number in range(400):
        receipts.append(path, one(f"{number}", fact=facts[number % 8], promise="x" * 500).explained("y", b"s" * 16))
    told: list[str] = []

    def forget(some: list[str]) -> None:
        for fact in some:
            told.extend(outside.drop_reasons(tmp_path, ORIGIN, fact))

    threads = [threading.Thread(target=forget, args=(facts[number::4],)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    found = list(receipts.read(path))
    assert ([], [path]) == (told, list(folder.iterdir()))
    assert [f"{number}" for number in range(400)] == [each.id for each in found]
    assert not any(each.explains(fact) for each in found for fact in facts)


def test_a_vote_that_is_handed_in_while_its_fact_is_forgotten_keeps_no_reason(
    begun: Memory, tmp_path: Path, clock: Clock
) -> None:
    first, second, backup = begun.store("one"), begun.store("two"), backed_up(begun)
    for fact, reason in ((first, "I was there"), (second, "I heard it")):
        vote(begun, fact.id, vote_id=None, reason=reason)
    elsewhere = tmp_path / "elsewhere.receipts"
    elsewhere.write_bytes(place_of(begun).read_bytes())
    gone_back(begun, backup).close()
    waiting, threads = ExitStack(), []

    def forget() -> None:
        """Once the second vote is in the log, before its receipt can be written."""
        with waiting, begun.reopen() as other:
            counted, found = "SELECT 1 FROM vote_ledger WHERE kind = 'vote' AND fact_id = ?", None
            while found is None:
                found = other.sql().execute(counted, (second.id,)).fetchone()
            other.call(ForgetFact(id=second.id))

    def progress(done: int, _: int, label: str) -> None:
        if (done, label) == (1, "ballots"):
            waiting.enter_context(private.changing(elsewhere, 2, ""))
            threads.append(threading.Thread(target=forget))
            threads[0].start()

    with Memory(begun.path, begun.home, clock, progress) as again:
        done = again.call(ResubmitVotes(receipts=[str(elsewhere)]))
    threads[0].join()

    assert (2, 4) == (done.taken, len(elsewhere.read_bytes().splitlines()))
    assert (True, False) == tuple(text in elsewhere.read_text() for text in ("I was there", "I heard it"))


@pytest.mark.parametrize("lenient", [False, True])
def test_a_file_that_was_cut_while_it_is_read_is_told(tmp_path: Path, lenient: bool) -> None:
    path = tmp_path / "ann.receipts"
    receipts.append(path, one())
    reading = ReceiptsReading(path, lenient=lenient)
    reading.open()

    path.write_bytes(b"")

    with pytest.raises(Corrupt):
        reading.part()
    reading.close()
