"""Attacks on the entries of the transactions log, at every level of means, and the exact codes that each one gives.

Where the codes differ from the table of attacks in the design, this is why. A changed entry changes the tree, so
besides LEAF_HASH or CHAIN_LINK there are TREE_NODE, TREE_STATE (the state row and stored nodes are the old ones) and
HISTORY_REWRITTEN (so is the root that was signed); text that no longer fits its entry is FACT_CHANGED. Entries
rewritten without keys leave valid signatures over another root: HISTORY_REWRITTEN, where the design has CHECKPOINT_SIG;
that comes when they are signed with another key. A bundle has no stored hashes: an edit is a CHAIN_LINK there.
"""

from pathlib import Path
from typing import NamedTuple

import pytest
from attack_kit import LEVELS, ORPHANS, Attacked, codes


class Edit(NamedTuple):
    """An edit of one entry: what it shows besides what every edit shows, to the owner and in a bundle."""

    name: str
    entry: int
    sql: str
    text: set[str]
    bundle: set[str] = set()


CHANGED = {"FACT_CHANGED"}

EDITS = [
    Edit("a later time", 13, "ts = '2026-03-02T09:02:30.000000Z'", CHANGED),
    Edit("an earlier time", 13, "ts = '2026-03-01T09:00:00.000000Z'", CHANGED | {"TIME_ORDER"}, {"TIME_ORDER"}),
    Edit("another actor", 13, "actor = 'mallory'", CHANGED),
    Edit("another digest", 13, "digest = zeroblob(32)", CHANGED),
    Edit("no digest", 13, "digest = NULL", CHANGED),
    Edit("another project", 13, "project = 'elsewhere'", CHANGED),
    Edit("another revision", 13, "rev = 'x'", CHANGED),
    Edit("another fact", 13, "subject = (SELECT subject FROM transactions WHERE idx = 11)", CHANGED),
    Edit("characters moved", 13, "actor = substr(subject, -4) || actor, subject = substr(subject, 1, 32)", CHANGED),
    Edit("what it replaced", 6, "parent = NULL", CHANGED),
    Edit("a retraction of another", 7, "parent = (SELECT rev FROM transactions WHERE idx = 3)", CHANGED),
    Edit("an erasure of another", 8, "subject = (SELECT subject FROM transactions WHERE idx = 3)",
         CHANGED | {"FACT_MISSING"}),
    Edit("another new name", 9, "project = 'elsewhere'", CHANGED),
    Edit("another imported file", 12, "digest = zeroblob(32)", CHANGED),
    Edit("an unknown version", 13, "v = 2", {"LEAF_FORM"}, {"LEAF_FORM"}),
    Edit("an unknown kind", 7, "kind = 'bless'", {"LEAF_FORM", *CHANGED}, {"LEAF_FORM"}),
    Edit("a second origin", 7, "kind = 'origin'", {"LEAF_FORM", *CHANGED}, {"LEAF_FORM"}),
    Edit("a batch made longer", 13, "batch_n = 2", {"GAP"}, {"GAP"}),
    Edit("two ids of a batch swapped", 3, "subject = (SELECT t.subject FROM transactions AS t WHERE t.idx = 4)",
         CHANGED),
]  # fmt: skip

# What every edit shows at a level, without memory and with: to the owner, then in a bundle.
TREE = {"TREE_NODE", "TREE_STATE", "HISTORY_REWRITTEN"}
REWRITTEN = {"HISTORY_REWRITTEN"}
SHOWN = {
    "edit": ({"LEAF_HASH", *TREE}, {"LEAF_HASH", *TREE}, {"CHAIN_LINK"} | REWRITTEN, {"CHAIN_LINK"} | REWRITTEN),
    "rehashed": ({"CHAIN_LINK", *TREE}, {"CHAIN_LINK", *TREE}, {"CHAIN_LINK"} | REWRITTEN, {"CHAIN_LINK"} | REWRITTEN),
    "relinked": (REWRITTEN, REWRITTEN, REWRITTEN, REWRITTEN),
    "forged": ({"CHECKPOINT_SIG"}, {"CHECKPOINT_SIG"} | REWRITTEN) * 2,
    "resigned": (set(), REWRITTEN, set(), {"SPLIT_VIEW"} | REWRITTEN),
}


@pytest.mark.parametrize("remembered", [False, True], ids=["no memory", "memory"])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
def test_an_edited_entry_is_found(built: Path, tmp_path: Path, edit: Edit, level: str, remembered: bool) -> None:
    attacked = Attacked.copy(built, tmp_path, remembered=remembered)
    saved = attacked.saved_checkpoint() if remembered else None

    attacked.edit(f"UPDATE transactions SET {edit.sql} WHERE idx = {edit.entry}")
    attacked.go_on(level, edit.entry)

    told, outside = attacked.verified(), attacked.checked(attacked.exported(), saved=saved)
    assert SHOWN[level][remembered] | edit.text == codes(told)
    assert SHOWN[level][2 + remembered] | edit.bundle == codes(outside)
    assert (not codes(told), bool(codes(told))) == (told.ok, bool(told.exit_code))


def test_who_owns_file_and_key_and_meets_no_memory_is_not_found_and_nothing_is_claimed(
    built: Path, tmp_path: Path
) -> None:
    attacked = Attacked.copy(built, tmp_path)
    # A fact that was never stored takes the place of one that was, with its text and its entry.
    attacked.sql.execute("UPDATE revision SET actor = 'mallory' WHERE idx = 13")
    attacked.edit("UPDATE transactions SET actor = 'mallory' WHERE idx = 13")
    attacked.go_on("resigned", 13)

    told = attacked.verified()

    assert (True, ["none"], set()) == (told.ok, [log.memory for log in told.logs], codes(told))
    report = attacked.checked(attacked.exported())
    assert "--  outside memory: 0 checkpoints" in report.notes
    assert 0 == report.exit_code


class Removal(NamedTuple):
    """A removal: the codes at the levels edit, relinked, forged and resigned, to the owner and in a bundle."""

    name: str
    since: int
    sql: list[str]
    owner: tuple[set[str], set[str], set[str], set[str]]
    bundle: tuple[set[str], set[str], set[str], set[str]]


RENUMBER = [
    f"UPDATE transactions SET idx = idx - 1, batch = batch - (batch > {13}) WHERE idx = {idx}" for idx in range(14, 286)
]
REMOVALS = [
    Removal(
        "an entry in the middle", 13, ["DELETE FROM transactions WHERE idx = 13"],
        ({"GAP", "CHAIN_LINK", "TRUNCATED", *TREE, *CHANGED}, {"GAP", "TRUNCATED", *REWRITTEN, *CHANGED},
         {"GAP", "CHECKPOINT_SIG", *CHANGED}, {"GAP", *CHANGED}),
        ({"GAP", "CHAIN_LINK", "TRUNCATED", *REWRITTEN}, {"GAP", "TRUNCATED", *REWRITTEN},
         {"GAP", "CHECKPOINT_SIG"}, {"GAP"}),
    ),
    Removal(
        "an entry of a batch, with its fact", 4,
        ["DELETE FROM revision WHERE idx = 4", ORPHANS, "DELETE FROM transactions WHERE idx = 4"],
        ({"GAP", "CHAIN_LINK", "TRUNCATED", *TREE}, {"GAP", "TRUNCATED", *REWRITTEN}, {"GAP", "CHECKPOINT_SIG"}, {"GAP"}),
        ({"GAP", "CHAIN_LINK", "TRUNCATED", *REWRITTEN}, {"GAP", "TRUNCATED", *REWRITTEN},
         {"GAP", "CHECKPOINT_SIG"}, {"GAP"}),
    ),
    Removal(
        "an erasure", 8, ["DELETE FROM transactions WHERE idx = 8"],
        ({"GAP", "CHAIN_LINK", "TRUNCATED", "FACT_MISSING", *TREE}, {"GAP", "TRUNCATED", "FACT_MISSING", *REWRITTEN},
         {"GAP", "CHECKPOINT_SIG", "FACT_MISSING"}, {"GAP", "FACT_MISSING"}),
        ({"GAP", "CHAIN_LINK", "TRUNCATED", *REWRITTEN}, {"GAP", "TRUNCATED", *REWRITTEN},
         {"GAP", "CHECKPOINT_SIG"}, {"GAP"}),
    ),
    Removal(
        "an entry, the rest renumbered", 13, ["DELETE FROM transactions WHERE idx = 13", *RENUMBER],
        ({"LEAF_HASH", "CHAIN_LINK", "TRUNCATED", *TREE, *CHANGED}, {"TRUNCATED", *REWRITTEN, *CHANGED},
         {"CHECKPOINT_SIG", *CHANGED}, CHANGED),
        # The offline verifier stops after so many broken links.
        ({"CHAIN_LINK"}, {"TRUNCATED", *REWRITTEN}, {"CHECKPOINT_SIG"}, set()),
    ),
    Removal(
        "an entry and its fact, the rest renumbered", 13,
        ["DELETE FROM revision WHERE idx = 13", ORPHANS, "UPDATE revision SET idx = idx - 1 WHERE idx > 13",
         "DELETE FROM transactions WHERE idx = 13", *RENUMBER],
        ({"LEAF_HASH", "CHAIN_LINK", "TRUNCATED", *TREE}, {"TRUNCATED", *REWRITTEN}, {"CHECKPOINT_SIG"}, set()),
        ({"CHAIN_LINK"}, {"TRUNCATED", *REWRITTEN}, {"CHECKPOINT_SIG"}, set()),
    ),
    Removal(
        "the last entry", 285, ["DELETE FROM transactions WHERE idx = 285"],
        ({"TRUNCATED", "TREE_STATE", *CHANGED}, {"TRUNCATED", *CHANGED}, {"CHECKPOINT_SIG", *CHANGED}, CHANGED),
        ({"TRUNCATED"}, {"TRUNCATED"}, {"CHECKPOINT_SIG"}, set()),
    ),
    Removal(
        "the last entries and their facts", 284,
        ["DELETE FROM revision WHERE idx >= 284", ORPHANS, "DELETE FROM transactions WHERE idx >= 284"],
        ({"TRUNCATED", "TREE_STATE"}, {"TRUNCATED"}, {"CHECKPOINT_SIG"}, set()),
        ({"TRUNCATED"}, {"TRUNCATED"}, {"CHECKPOINT_SIG"}, set()),
    ),
]  # fmt: skip
REMOVED_LEVELS = ("edit", "relinked", "forged", "resigned")


@pytest.mark.parametrize("remembered", [False, True], ids=["no memory", "memory"])
@pytest.mark.parametrize("level", REMOVED_LEVELS)
@pytest.mark.parametrize("removal", REMOVALS, ids=lambda removal: removal.name)
def test_a_removed_entry_is_found(built: Path, tmp_path: Path, removal: Removal, level: str, remembered: bool) -> None:
    attacked = Attacked.copy(built, tmp_path, remembered=remembered)
    saved = attacked.saved_checkpoint() if remembered else None

    with attacked.unlocked() as connection:
        for statement in removal.sql:
            connection.execute(statement)
    attacked.go_on(level, removal.since)

    at = REMOVED_LEVELS.index(level)
    shorter = {"ROLLBACK"} if remembered else set()
    assert removal.owner[at] | shorter == codes(attacked.verified())
    report = attacked.checked(attacked.exported(), saved=saved)
    stopped = "stopped" in report.error
    assert removal.bundle[at] | (set() if stopped else shorter) == codes(report)


def test_two_entries_that_change_places_are_found(built: Path, tmp_path: Path) -> None:
    attacked = Attacked.copy(built, tmp_path)

    with attacked.unlocked() as connection:
        for before, after in ((12, 1_000), (13, 12), (1_000, 13)):
            connection.execute("UPDATE transactions SET idx = ? WHERE idx = ?", (after, before))

    moved = {"CHAIN_LINK", "TIME_ORDER", "LEAF_HASH", "GAP", "FACT_CHANGED", "FACT_MISSING", *TREE}
    assert moved == codes(attacked.verified())
    # There a leaf outside of its batch is not in canonical form.
    assert {"CHAIN_LINK", "LEAF_FORM", *REWRITTEN} == codes(attacked.checked(attacked.exported()))


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("hash = zeroblob(32)", {"LEAF_HASH", "CHAIN_LINK"}),
        ("prev = zeroblob(32)", {"LEAF_HASH", "CHAIN_LINK", *TREE}),
    ],
)
def test_an_overwritten_hash_or_link_is_found(built: Path, tmp_path: Path, sql: str, expected: set[str]) -> None:
    attacked = Attacked.copy(built, tmp_path)

    attacked.edit(f"UPDATE transactions SET {sql} WHERE idx = 13")

    assert expected == codes(attacked.verified())


def test_a_forged_entry_at_the_end_is_found_by_the_state_and_with_the_key_by_memory_alone(
    built: Path, tmp_path: Path
) -> None:
    attacked = Attacked.copy(built, tmp_path, remembered=True)
    attacked.edit(
        "INSERT INTO transactions SELECT log, 286, v, kind, subject, project, 'forged', parent, digest, actor, ts, 286, 1,"
        " hash, hash FROM transactions WHERE idx = 285"
    )

    assert {"LEAF_HASH", "TREE_STATE", "FACT_MISSING"} == codes(attacked.verified())
    attacked.go_on("resigned", 286)
    # It appends to what is remembered, which any owner of the key may do; but it recorded no fact.
    assert {"FACT_MISSING"} == codes(attacked.verified())


def test_a_truncated_log_that_grew_again_is_rewritten_history(built: Path, tmp_path: Path) -> None:
    attacked = Attacked.copy(built, tmp_path, remembered=True)
    saved = attacked.saved_checkpoint()
    attacked.edit("DELETE FROM transactions WHERE idx >= 284")
    attacked.sql.execute("DELETE FROM revision WHERE idx >= 284")
    attacked.sql.execute(ORPHANS)
    attacked.go_on("resigned", 284)
    with attacked.opened() as memory:
        for number in range(5):
            memory.store(f"another {number}")

    assert REWRITTEN == codes(attacked.verified())
    # From what is remembered on, the new entries do not follow.
    assert {"CHAIN_LINK", "TREE_STATE"} == codes(attacked.verified(incremental=True))
    assert REWRITTEN == codes(attacked.checked(attacked.exported(), saved=saved))
