"""Receipts that agents keep: what was appended is there, whatever stopped the program; damage is named."""

import json
import os
import random
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from cortex import limits
from cortex.errors import Corrupt, Invalid, TooLarge, Unavailable
from cortex.ledger.memory import ReceiptsMark
from cortex.trust import receipt_marks, receipts
from cortex.trust.receipt import AgentReceipt
from cortex.trust.receipt_marks import ReceiptsReading

SEED = 20_261_121

APPENDS = """
import sys
from pathlib import Path
from cortex.trust import receipts
from cortex.trust.receipt import AgentReceipt
path, who, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
for number in range(count):
    ballot = {"id": f"{who}-{number}", "vote": 1}
    receipts.append(path, AgentReceipt(ballot=ballot, sig="0" * 128, idx=number, leaf="x" * (number % 97 * 100)))
    print(number, flush=True)
"""

FULL_DISK = """
import resource, sys
from pathlib import Path
from cortex.errors import CortexError
from cortex.trust import receipts
from cortex.trust.receipt import AgentReceipt
path, room = Path(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
try:
    receipts.append(path, AgentReceipt(ballot={"id": "late"}, sig="0" * 128, idx=1, leaf="leaf"))
except CortexError as error:
    print(error.kind, error)
"""

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
some = st.builds(
    AgentReceipt,
    ballot=st.dictionaries(texts, st.none() | st.integers(-limits.SEQ_MAX, limits.SEQ_MAX) | texts, max_size=4).flatmap(
        lambda ballot: texts.filter(bool).map(lambda found: {**ballot, "id": found})
    ),
    sig=st.text("0123456789abcdef", min_size=128, max_size=128),
    idx=st.integers(0, limits.SEQ_MAX),
    leaf=texts,
    promise=st.none() | texts,
    proof=st.none() | texts,
)


def receipt(ballot_id: str = "a", idx: int = 0, **given: str | None) -> AgentReceipt:
    return AgentReceipt(ballot={"id": ballot_id, "vote": 1}, sig="ab" * 64, idx=idx, leaf='{"idx":0}', **given)


def ids(path: Path) -> list[str]:
    return [found.id for found in receipts.read(path)]


def start(path: Path, who: str, count: int) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", APPENDS, str(path), who, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert "ready\n" == process.stdout.readline()
    return process


def go(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agents" / "log" / "bob.receipts"


def test_where_there_is_no_file_there_are_no_receipts(path: Path) -> None:
    assert ([], {}) == (list(receipts.read(path)), receipts.latest(path))
    assert not path.parent.exists()


def test_a_receipt_is_one_line_of_json(path: Path) -> None:
    receipts.append(path, receipt(promise="a\nb\n"))

    line = path.read_text()

    assert 1 == line.count("\n")
    assert ["ballot", "sig", "idx", "leaf", "promise", "proof"] == list(json.loads(line))
    assert {
        "ballot": {"id": "a", "vote": 1},
        "sig": "ab" * 64,
        "idx": 0,
        "leaf": '{"idx":0}',
        "promise": "a\nb\n",
        "proof": None,
    } == json.loads(line)


@settings(max_examples=40)
@given(st.lists(some, max_size=6))
def test_what_was_appended_is_read_in_order(
    tmp_path_factory: pytest.TempPathFactory, appended: list[AgentReceipt]
) -> None:
    path = tmp_path_factory.mktemp("receipts") / "bob.receipts"

    for one in appended:
        receipts.append(path, one)

    assert appended == list(receipts.read(path))


@settings(max_examples=60)
@given(some, some, st.integers(0, 10_000), st.integers(0, 40))
def test_a_last_line_cut_anywhere_is_passed_over_and_replaced_by_the_next(
    tmp_path_factory: pytest.TempPathFactory, first: AgentReceipt, torn: AgentReceipt, cut: int, nuls: int
) -> None:
    path = tmp_path_factory.mktemp("receipts") / "bob.receipts"
    receipts.append(path, first)
    size = path.stat().st_size
    receipts.append(path, torn)
    # One byte less than the object itself: the object without its newline is whole.
    kept = size + cut % (path.stat().st_size - size - 1)
    path.write_bytes(path.read_bytes()[:kept] + b"\0" * nuls)

    before = list(receipts.read(path))
    receipts.append(path, torn)

    assert [first] == before
    assert [first, torn] == list(receipts.read(path))


def test_a_whole_last_line_without_its_newline_is_kept(path: Path) -> None:
    receipts.append(path, receipt("a"))
    receipts.append(path, receipt("b"))
    path.write_bytes(path.read_bytes().rstrip(b"\n"))

    before = ids(path)
    receipts.append(path, receipt("c"))

    assert (["a", "b"], ["a", "b", "c"]) == (before, ids(path))


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX modes")
def test_receipts_and_their_folders_are_their_owners_only(path: Path) -> None:
    before = os.umask(0)
    try:
        receipts.append(path, receipt())
    finally:
        os.umask(before)

    modes = [stat.S_IMODE(found.stat().st_mode) for found in (path, path.parent, path.parent.parent)]
    assert [0o600, 0o700, 0o700] == modes


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"junk\n",
        b"{}\n",
        b'{"ballot":{"id":"a"},"sig":"00","idx":0,"leaf":""}\n',
        b'{"ballot":{"id":""},"sig":"%b","idx":0,"leaf":""}\n' % (b"0" * 128),
        b'{"ballot":{},"sig":"%b","idx":0,"leaf":""}\n' % (b"0" * 128),
        b'{"ballot":{"id":"a"},"sig":"%b","idx":-1,"leaf":""}\n' % (b"0" * 128),
        b'{"ballot":{"id":"a"},"sig":"%b","idx":0,"leaf":"","more":1}\n' % (b"0" * 128),
        b'{"ballot":{"id":"a","deep":%b}}\n' % (b"[" * 100_000),
        b'{"ballot":{"id":"\xff"}}\n',
        b"\0\0\0\n",
        b"x" * (limits.RECEIPT_LINE_BYTES_MAX + 10) + b"\n",
    ],
    ids=["blank", "junk", "empty", "sig", "no-id", "without-id", "idx", "more", "deep", "binary", "nul", "long"],
)
def test_damage_in_the_middle_is_named_by_its_line(path: Path, line: bytes) -> None:
    receipts.append(path, receipt("a"))
    good = path.read_bytes()
    path.write_bytes(good + line + good)

    found = receipts.read(path)

    assert receipt("a") == next(found)
    with pytest.raises(Corrupt, match="line 2"):
        next(found)
    with pytest.raises(Corrupt, match="line 2"):
        receipts.latest(path)


@pytest.mark.parametrize(
    "tail", [b"notes of mine", b"{", b'{"ballot":' + b"x" * limits.RECEIPT_LINE_BYTES_MAX, b'{"name":'], ids=len
)
def test_only_what_a_crash_can_leave_is_cut_off(path: Path, tail: bytes) -> None:
    receipts.append(path, receipt("a"))
    content = path.read_bytes() + tail
    path.write_bytes(content)

    if tail == b"{":
        receipts.append(path, receipt("b"))
        assert ["a", "b"] == ids(path)
        return
    for attempt in (lambda: receipts.append(path, receipt("b")), lambda: list(receipts.read(path))):
        with pytest.raises(Corrupt, match="that are no receipt"):
            attempt()
    assert content == path.read_bytes()


def test_a_later_line_completes_what_is_known_of_a_ballot(path: Path) -> None:
    for one in (receipt("a", promise="word"), receipt("b"), receipt("a", proof="proof"), receipt("a", proof="newer")):
        receipts.append(path, one)

    known = receipts.latest(path)

    assert {"a": receipt("a", promise="word", proof="newer"), "b": receipt("b")} == known
    assert ["b", "a"] == list(known)


def test_a_ballot_at_another_place_does_not_take_over_the_proof_of_the_first(path: Path) -> None:
    receipts.append(path, receipt("a", idx=7, promise="word", proof="proof"))
    receipts.append(path, receipt("a", idx=5))

    assert {"a": receipt("a", idx=5)} == receipts.latest(path)
    assert [7, 5] == [found.idx for found in receipts.read(path)]


def test_two_ballots_with_one_id_are_known_apart(path: Path) -> None:
    first, second = receipt("a", promise="p"), structs.replace(receipt("a"), ballot={"id": "a", "vote": -1})
    for one in (first, second, receipt("a", proof="q")):
        receipts.append(path, one)

    known = receipts.ballots(path)

    assert {second.key: second, first.key: receipt("a", promise="p", proof="q")} == known
    assert {"a": receipt("a", promise="p", proof="q")} == receipts.latest(path)


def test_more_receipts_than_the_limit_are_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RECEIPTS_MAX", 2)
    for name in ("a", "b", "b"):
        receipts.append(path, receipt(name))
    full = len(receipts.latest(path))
    receipts.append(path, receipt("c"))

    with pytest.raises(TooLarge, match="RECEIPTS_MAX"):
        receipts.latest(path)

    assert 2 == full


@pytest.mark.parametrize(
    "given",
    [
        {"sig": "AB" * 64},
        {"sig": "ab" * 63},
        {"sig": "ab" * 64 + "\n"},
        {"idx": -1},
        {"idx": limits.SEQ_MAX + 1},
        {"idx": 1.5},
        {"leaf": "\ud800"},
        {"leaf": None},
        {"ballot": {"id": "a", "vote": 0.5}},
        {"ballot": {"id": "a", "vote": True}},
        {"ballot": {"id": "a", "vote": [1]}},
        {"ballot": {"id": "a", "b": b"x"}},
        {"ballot": {"id": "a", 1: "x"}},
        {"promise": 1},
    ],
    ids=repr,
)
def test_what_could_not_be_read_back_is_not_written(path: Path, given: dict[str, object]) -> None:
    fields = {"ballot": {"id": "a"}, "sig": "ab" * 64, "idx": 0, "leaf": "", **given}

    with pytest.raises(Invalid):
        receipts.append(path, AgentReceipt(**fields))  # type: ignore[arg-type]

    assert not path.exists()


def test_a_line_is_as_long_as_the_limit_and_no_longer(path: Path) -> None:
    receipts.append(path, receipt())
    room = limits.RECEIPT_LINE_BYTES_MAX - path.stat().st_size
    longest = receipt("b", promise="x" * (room + len("null") - len('""')))
    receipts.append(path, longest)

    with pytest.raises(TooLarge, match="RECEIPT_LINE_BYTES_MAX"):
        receipts.append(path, receipt("b", promise="x" * (room + len("null") - len('""') + 1)))

    receipts.append(path, receipt("c"))
    assert [receipt(), longest, receipt("c")] == list(receipts.read(path))


def test_the_longest_line_is_found_torn_too(path: Path) -> None:
    receipts.append(path, receipt())
    good = path.read_bytes()
    path.write_bytes(good + b'{"ballot":' + b"x" * (limits.RECEIPT_LINE_BYTES_MAX - 10))

    receipts.append(path, receipt("b"))

    assert ["a", "b"] == ids(path)


@pytest.mark.skipif(os.name == "nt", reason="needs a sparse file")
def test_a_file_at_its_limit_takes_no_more(path: Path) -> None:
    receipts.append(path, receipt())
    os.truncate(path, limits.RECEIPTS_BYTES_MAX)

    with pytest.raises(TooLarge, match="RECEIPTS_BYTES_MAX"):
        receipts.append(path, receipt("b"))

    assert limits.RECEIPTS_BYTES_MAX == path.stat().st_size


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2)), max_size=6))
def test_what_a_file_lacks_is_what_none_of_its_lines_says(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[str, int]]
) -> None:
    path = tmp_path_factory.mktemp("receipts") / "bob.receipts"
    for name, idx in lines:
        receipts.append(path, receipt(name, idx))

    lacking = {(name, idx) for name in "abc" for idx in range(3) if receipt_marks.lacks(path, name, idx)}

    assert lacking == {(name, idx) for name in "abc" for idx in range(3)} - set(lines)


def test_an_id_that_stands_elsewhere_in_a_line_is_no_receipt_of_it(path: Path) -> None:
    receipts.append(path, AgentReceipt(ballot={"id": "a", "fact": "b"}, sig="ab" * 64, idx=0, leaf='{"id":"b"}'))

    assert [False, True] == [receipt_marks.lacks(path, name, 0) for name in "ab"]


def test_a_receipt_that_a_crash_cut_short_is_lacking(path: Path) -> None:
    receipts.append(path, receipt("a"))
    receipts.append(path, receipt("b"))
    path.write_bytes(path.read_bytes()[:-20])

    assert [False, True] == [receipt_marks.lacks(path, name, 0) for name in "ab"]


def read_on(path: Path, mark: ReceiptsMark | None = None) -> tuple[list[str], ReceiptsMark | None]:
    """The ids that a reading gives part by part, and the mark for the next one."""
    reading = ReceiptsReading(path, mark)
    try:
        reading.open()
        parts = list(iter(reading.part, []))
        return [placed.receipt.id for part in parts for placed in part], reading.mark()
    finally:
        reading.close()


def test_a_reading_goes_on_from_the_mark_of_the_one_before(path: Path) -> None:
    assert ([], None) == read_on(path)
    receipts.append(path, receipt("a"))
    first, mark = read_on(path)
    for name in "bc":
        receipts.append(path, receipt(name))

    second, later = read_on(path, mark)
    path.write_bytes(path.read_bytes() + b'{"ballot":')
    third, last = read_on(path, later)

    assert [["a"], ["b", "c"], []] == [first, second, third]
    assert later == last


@pytest.mark.parametrize("change", ["shorter", "beginning", "end", "gone"])
def test_a_mark_of_a_file_that_is_another_is_not_used(path: Path, change: str) -> None:
    for number in range(100):
        receipts.append(path, receipt(f"{number:02}"))
    _, mark = read_on(path)
    lines = path.read_bytes().splitlines(keepends=True)
    changed = {
        "shorter": lines[:99],
        "beginning": [lines[0].replace(b'"00"', b'"xx"'), *lines[1:], lines[0]],
        "end": [*lines[:99], lines[99].replace(b'"99"', b'"xx"'), lines[0]],
        "gone": [],
    }[change]
    path.write_bytes(b"".join(changed))

    assert len(changed) == len(read_on(path, mark)[0])


def test_a_reading_gives_parts_of_a_bounded_size(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RECEIPTS_PART", 3)
    for number in range(7):
        receipts.append(path, receipt(f"{number}", promise="x" * (100 if number < 6 else 10)))
    reading = ReceiptsReading(path)
    reading.open()

    by_count = [len(part) for part in iter(reading.part, [])]
    reading.close()
    monkeypatch.setattr(limits, "RECEIPTS_PART_BYTES", 1)
    reading.open()
    by_bytes = [len(part) for part in iter(reading.part, [])]
    reading.close()

    assert [3, 3, 1] == by_count
    assert [2, 2, 2, 1] == by_bytes


def test_damage_after_the_mark_is_named_by_where_it_stands(path: Path) -> None:
    receipts.append(path, receipt("a"))
    _, mark = read_on(path)
    receipts.append(path, receipt("b"))
    assert mark is not None
    path.write_bytes(path.read_bytes() + b"junk\n")

    with pytest.raises(Corrupt, match=f"line 2 after byte {mark.offset}"):
        read_on(path, mark)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX files")
def test_a_folder_and_a_pipe_are_told_without_waiting(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    for path in (tmp_path, pipe):
        for attempt in (
            lambda path=path: receipts.append(path, receipt()),
            lambda path=path: list(receipts.read(path)),
        ):
            with pytest.raises(Unavailable, match=r"regular file|cannot be opened"):
                attempt()


def test_a_reading_that_began_sees_whole_receipts_while_others_append(path: Path) -> None:
    for number in range(300):
        receipts.append(path, receipt(f"{number}"))
    reading = receipts.read(path)
    first = next(reading)

    receipts.append(path, receipt("later"))

    assert ("0", 299) == (first.id, len(list(reading)))


def test_a_reading_that_is_left_lets_others_append(path: Path) -> None:
    for name in "ab":
        receipts.append(path, receipt(name))
    reading = receipts.read(path)
    next(reading)
    reading.close()

    receipts.append(path, receipt("c"))

    assert ["a", "b", "c"] == ids(path)


def test_threads_and_processes_that_append_at_once_lose_nothing(path: Path) -> None:
    count = 60
    processes = [start(path, who, count) for who in ("p", "q")]

    def append() -> None:
        for number in range(count):
            receipts.append(path, receipt(f"{threading.current_thread().name}-{number}"))

    threads = [threading.Thread(target=append, name=name) for name in ("t", "u")]
    for process in processes:
        go(process)
    for thread in threads:
        thread.start()
    seen = [len(receipts.latest(path)) for _ in range(50)]
    for thread in threads:
        thread.join()
    for process in processes:
        process.communicate()

    found = ids(path)
    assert {f"{who}-{number}" for who in "pqtu" for number in range(count)} == set(found)
    assert 4 * count == len(found)
    assert seen == sorted(seen)
    for who in "pqtu":
        own = [name for name in found if name.startswith(who)]
        assert [f"{who}-{number}" for number in range(count)] == own


# What is taken out.


def test_what_is_put_aside_is_in_the_other_file_and_the_rest_stays(path: Path) -> None:
    for one in (receipt("a"), receipt("b", promise="p"), receipt("c"), receipt("b", proof="q")):
        receipts.append(path, one)
    aside = path.with_name("aside")

    count = receipts.put_aside(path, aside, {one.key: one for one in (receipt("b"), receipt("x"))})

    assert (1, ["a", "c"]) == (count, ids(path))
    assert {"b": receipt("b", promise="p", proof="q")} == receipts.latest(aside)
    assert os.name == "nt" or {0o600} == {stat.S_IMODE(file.stat().st_mode) for file in (path, aside)}


def test_a_ballot_that_was_handed_in_again_meanwhile_is_not_put_aside(path: Path) -> None:
    receipts.append(path, receipt("a", idx=3))
    receipts.append(path, receipt("a", idx=9))
    before = path.read_bytes()

    count = receipts.put_aside(path, path.with_name("aside"), {receipt("a").key: receipt("a", idx=3)})

    assert (0, before, False) == (count, path.read_bytes(), path.with_name("aside").exists())


def test_the_reason_of_a_ballot_is_known_from_any_of_its_lines(path: Path) -> None:
    told = receipt("a").explained("because", b"s" * 16)
    for one in (told, receipt("a", proof="q"), receipt("a", idx=9)):
        receipts.append(path, one)

    known = receipts.latest(path)["a"]

    assert ("because", "73" * 16, 9) == (known.reason, known.salt, known.idx)
    assert receipt("a") == receipt("a").explained(None, b"")


def test_the_reasons_of_one_fact_are_dropped_from_every_line_behind_a_link_too(path: Path) -> None:
    votes = [AgentReceipt({"id": name, "fact": name[0]}, "ab" * 64, 0, "") for name in ("a1", "b1", "a2")]
    for vote in votes:
        receipts.append(path, vote.explained(f"for {vote.id}", b"s" * 16))
    link = path.with_name("link.receipts")
    link.symlink_to(path)

    done = [receipts.drop_reasons(link, fact) for fact in ("a", "a", "none")]

    assert [True, False, False] == done
    assert link.is_symlink()
    assert [votes[0], votes[1].explained("for b1", b"s" * 16), votes[2]] == list(receipts.read(path))


def test_nothing_is_lost_of_what_others_append_while_receipts_are_put_aside(path: Path) -> None:
    count = 60
    for number in range(count):
        receipts.append(path, receipt(f"old-{number}"))
    processes = [start(path, who, count) for who in ("p", "q")]
    for process in processes:
        go(process)

    for number in range(count):
        old = receipt(f"old-{number}")
        assert 1 == receipts.put_aside(path, path.with_name(f"aside-{number}"), {old.key: old})

    for process in processes:
        process.communicate()
    assert sorted(f"{who}-{number}" for who in "pq" for number in range(count)) == sorted(ids(path))


@pytest.mark.skipif(os.name == "nt", reason="needs kill -9")
def test_what_was_told_is_there_after_kill_9(path: Path) -> None:
    chance = random.Random(SEED)
    told: list[str] = []
    for life in range(12):
        process = start(path, f"life{life}", 10_000)
        go(process)
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(chance.randrange(1, 40))]
        process.kill()
        # Not communicate(), which reads past what a readline before has taken into its buffer, and loses that.
        lines += process.stdout.readlines()
        process.communicate()
        told += [f"life{life}-{line.strip()}" for line in lines if line.endswith("\n")]

        found = ids(path)

        assert set(told) <= set(found), f"seed {SEED}, life {life}"
        assert len(found) == len(set(found)) <= len(told) + life + 1


@pytest.mark.skipif(os.name == "nt", reason="needs a limit on file sizes")
@pytest.mark.parametrize("room", [0, 1, 100])
def test_a_full_disk_leaves_the_receipts_as_they_were(path: Path, room: int) -> None:
    receipts.append(path, receipt("a"))
    before = path.read_bytes()

    told = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path), str(len(before) + room)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert told.startswith("unavailable the receipt of late cannot be written to")
    assert before == path.read_bytes()
    receipts.append(path, receipt("b"))
    assert ["a", "b"] == ids(path)
