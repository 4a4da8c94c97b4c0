"""Clean ledgers of many shapes raise no alarm."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from attack_kit import Attacked, codes
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex import limits
from cortex.ledger.findings import Verification
from cortex.ops.facts import ForgetFact, NewFact, RetractFact, ReviseFact, StoreFacts
from cortex.ops.ledger import ExportLedger, MakeCheckpoint, VerifyLedger
from cortex.ops.node import Backup, ReadStatus
from cortex.ops.projects import RenameProject
from cortex.verify import verify_path
from opened import Clock, Memory

Opening = Callable[..., Memory]


def grow(memory: Memory, entries: int) -> None:
    """Store facts until the log has so many entries."""
    while (held := memory.call(ReadStatus()).entries) < entries:
        count = min(entries - max(held, 1), limits.BATCH_FACTS_MAX)
        memory.call(StoreFacts(facts=[NewFact(content=f"fact {held} {number}") for number in range(count)]))


def clean(memory: Memory, **request: bool) -> Verification:
    """A verification without a finding."""
    told = memory.call(VerifyLedger(**request))
    assert (set(), True, 0) == (codes(told), told.ok, told.more_findings), told.findings
    return told


def check_bundle(memory: Memory, bundle: Path) -> None:
    exported = memory.call(ExportLedger(path=str(bundle)))
    trust = bundle.with_suffix(".trust")
    trust.write_text(f"{exported.trust}\n")
    report = verify_path(bundle, trust)
    assert (set(), 0, exported.entries) == (codes(report), report.exit_code, report.leaves), str(report)


def test_a_file_without_a_ledger_is_clean(memory: Memory) -> None:
    assert (0, []) == (clean(memory).entries, clean(memory).logs)


SIZES = [*range(2, 18), 255, 256, 257, 999, 1000, 1001, 2100]


@pytest.mark.parametrize("size", SIZES)
def test_a_ledger_of_any_size_is_clean(memory: Memory, tmp_path: Path, size: int) -> None:
    grow(memory, size)

    told = clean(memory)

    assert (size, size - 1) == (told.entries, told.revisions)
    assert clean(memory).logs[0].memory.startswith(f"{size:,} entries")
    check_bundle(memory, tmp_path / "bundle")


def test_a_ledger_of_one_entry_is_clean(memory: Memory, tmp_path: Path) -> None:
    assert 1 == memory.call(MakeCheckpoint()).size

    assert 1 == clean(memory).entries
    check_bundle(memory, tmp_path / "bundle")


def test_every_kind_of_change_leaves_a_clean_ledger(built: Path, tmp_path: Path) -> None:
    attacked = Attacked.copy(built, tmp_path)

    with attacked.opened() as memory:
        told = clean(memory)

        assert (286, 1) == (told.entries, told.erased)
        assert ["schema", "structure", "integrity", "checkpoints", "text"] == told.passes
        assert "this node's key" == told.logs[0].signatures
        for name in ("bundle", "bundle.zip", "bundle.json"):
            check_bundle(memory, tmp_path / name)


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["store", "batch", "revise", "retract", "forget", "rename", "seal", "back"]), st.integers(0, 20)
    ),
    max_size=25,
)


@settings(max_examples=20)
@given(CHANGES, st.integers(1, 7))
def test_any_sequence_of_changes_is_clean_and_incremental_verification_equals_full(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, int]], every: int
) -> None:
    folder = tmp_path_factory.mktemp("any")
    with Memory(folder / "memory.db", folder / "home", Clock(), checkpoint_leaves=every) as memory:
        live: list[str] = []
        for at, (kind, number) in enumerate(changes):
            memory.clock.advance(seconds=-40 if kind == "back" else 1)
            change(memory, kind, number, live, at)
            if at % 5 == 4:
                partial = clean(memory, incremental=True)

        partial, whole = clean(memory, incremental=True), clean(memory)
        assert [(log.origin, log.size, log.root) for log in whole.logs] == [
            (log.origin, log.size, log.root) for log in partial.logs
        ]
        check_bundle(memory, folder / "bundle")


def change(memory: Memory, kind: str, number: int, live: list[str], at: int) -> None:
    match kind:
        case "batch":
            facts = [NewFact(content=f"batch {at} {n}", project=f"p{number % 3}") for n in range(number + 1)]
            live += [fact.id for fact in memory.call(StoreFacts(facts=facts)).facts]
        case "revise" if live:
            memory.call(ReviseFact(id=live[number % len(live)], content=f"revised {at}"))
        case "retract" if live:
            memory.call(RetractFact(id=live.pop(number % len(live))))
        case "forget" if live:
            memory.call(ForgetFact(id=live.pop(number % len(live))))
        case "rename":
            memory.store(f"named {at}", project=f"old {at}")
            memory.call(RenameProject(old=f"old {at}", new=f"new {at}"))
            # The old name is free for another project.
            memory.store(f"named again {at}", project=f"old {at}")
        case "seal":
            memory.call(MakeCheckpoint())
        case _:
            live.append(memory.store(f"fact {at}", key=f"k{number % 4}").id)


def test_a_chain_of_renames_is_clean(memory: Memory) -> None:
    memory.store("one", project="a")
    for old, new in (("a", "b"), ("b", "c"), ("c", "a")):
        memory.call(RenameProject(old=old, new=new))
        memory.store(f"stored as {new}", project=new)
    memory.store("another", project="b")
    memory.call(RenameProject(old="a", new="z"))
    memory.call(RenameProject(old="b", new="a"))

    clean(memory)


def test_a_copy_without_the_key_goes_on_as_a_new_origin_that_names_the_old_one(
    memory: Memory, opening: Opening, tmp_path: Path
) -> None:
    grow(memory, 300)
    fact = memory.store("revised by the copy")
    memory.close()
    shutil.copy(memory.path, tmp_path / "copy.db")

    copy = opening("copy.db")
    assert "the key that the log itself names (origin not checked)" == clean(copy).logs[0].signatures
    copy.call(ReviseFact(id=fact.id, content="revised in the copy"))
    copy.call(ForgetFact(id=copy.store("a secret").id))

    told = clean(copy)
    assert [(False, 301), (True, 4)] == [(log.active, log.size) for log in told.logs]
    assert ["the key that the log itself names, which is NOT this node's (origin not checked)", "this node's key"] == [
        log.signatures for log in told.logs
    ]
    assert clean(copy, incremental=True).entries == 0
    check_bundle(copy, tmp_path / "bundle")


def test_what_a_new_origin_names_cannot_be_changed_behind_it(memory: Memory, opening: Opening, tmp_path: Path) -> None:
    memory.store("one")
    memory.store("two")
    memory.close()
    shutil.copy(memory.path, tmp_path / "copy.db")
    copy = opening("copy.db")
    copy.store("three")
    attacked = Attacked(copy.path, copy.home, copy.sql())

    # The last entry of the old log goes, with its fact and all that covers it.
    attacked.edit("DELETE FROM transactions WHERE log = 1 AND idx = 2")
    attacked.sql.execute("DELETE FROM revision WHERE log = 1 AND idx = 2")
    attacked.sql.execute("UPDATE ledger_log SET size = 2, sealed_size = 2 WHERE id = 1")
    attacked.sql.execute(
        "UPDATE ledger_log SET head = t.hash, ts = t.ts FROM transactions AS t WHERE id = 1 AND t.log = 1 AND t.idx = 1"
    )
    told = copy.call(VerifyLedger())

    assert "HISTORY_REWRITTEN" in codes(told)
    assert not told.ok


def test_a_backup_and_a_copy_of_it_are_clean(memory: Memory, opening: Opening, tmp_path: Path) -> None:
    grow(memory, 20)
    memory.call(Backup(target=str(tmp_path / "backup.db")))
    memory.store("after the backup")

    backup = opening("backup.db", node_key=tmp_path / "memory.db.key")

    assert 20 == clean(backup).entries
    clean(memory)


def test_checkpoints_are_signed_by_count_and_by_time(opening: Opening) -> None:
    memory = opening(checkpoint_leaves=10, checkpoint_seconds=3_600)

    def sizes() -> list[int]:
        return [row[0] for row in memory.sql().execute("SELECT tree_size FROM ledger_checkpoint ORDER BY seq")]

    for number in range(25):
        memory.store(f"by count {number}")
    assert [2, 12, 22] == sizes()
    memory.clock.advance(minutes=59)
    memory.store("not yet")
    assert [2, 12, 22] == sizes()
    memory.clock.advance(minutes=2)
    memory.store("by time")
    assert [2, 12, 22, 28] == sizes()
    clean(memory)


def test_a_checkpoint_of_an_unchanged_log_is_the_same_one(memory: Memory) -> None:
    memory.store("one")

    assert memory.call(MakeCheckpoint()) == memory.call(MakeCheckpoint())
    clean(memory)


WRITE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from opened import Clock, Memory
with Memory(Path(sys.argv[2]), Path(sys.argv[3]), Clock(), checkpoint_leaves=7) as memory:
    for number in range(60):
        memory.store(f"{sys.argv[4]} {number}")
"""


def test_verification_is_clean_while_other_processes_write(memory: Memory, tmp_path: Path) -> None:
    memory.store("first")
    tests = str(Path(__file__).parent.parent)
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITE, tests, str(memory.path), str(tmp_path / "home"), name])
        for name in ("ann", "bo")
    ]

    while any(writer.poll() is None for writer in writers):
        clean(memory)
        clean(memory, incremental=True)

    assert [0, 0] == [writer.returncode for writer in writers]
    assert 122 == clean(memory).logs[0].size


def test_a_large_ledger_is_verified_in_a_process_of_its_own(memory: Memory) -> None:

    grow(memory, limits.VERIFY_INLINE_LEAVES + 1)

    told = clean(memory)

    assert limits.VERIFY_INLINE_LEAVES + 1 == told.entries
    memory.sql().execute("UPDATE revision SET content = 'forged' WHERE idx = 4000")
    assert {"FACT_CHANGED"} == codes(memory.call(VerifyLedger()))


def test_what_was_verified_is_read_no_second_time(memory: Memory) -> None:
    grow(memory, 40)
    clean(memory)
    grow(memory, 50)

    partial = clean(memory, incremental=True)

    assert (10, 40, 50) == (partial.entries, partial.logs[0].checked_from, partial.logs[0].size)
    assert partial.logs[0].root == clean(memory).logs[0].root
