"""Attacks beside the entries of the votes log: checkpoints, tree, batches, what the votes come to, facts and reasons.

Where this differs from the design's table of attacks: an edited checkpoint is CHECKPOINT_SIG where its note says other
than its row, CHECKPOINT_SEQ where one is missing or the node's own row counts others; BATCH_ROOT is for the batches of
votes. What is not in a bundle an outsider cannot see: there the second set is empty. A fact's project, times and author
are in the transactions log alone: `cortex ledger verify` finds them, `cortex vote-ledger verify` what was voted on.

Not found: a checkpoint that is gone with the count of it, since the entries below it and the checkpoints after it are
all there; a reason that is gone, since a ballot may come with the digest of a reason alone; to the owner, cosignatures
that are gone, since a trust policy says which are needed.
"""

import itertools
from pathlib import Path

import pytest
from vote_attack_kit import NONE, ROLLED_BACK, SIGNATURE, Case, unseen

from cortex.bench import attacks
from cortex.bench.attacking import on_tables
from cortex.bench.attacking.ledgers import BuiltLedger
from cortex.ops.vote_ledger import VerifyVotes
from opened import Clock, Memory

SEQUENCE, BATCH, NODE, STATE_ROW = {"CHECKPOINT_SEQ"}, {"BATCH_ROOT"}, {"TREE_NODE"}, {"TREE_STATE"}
STATE, REASON, SCHEMA, REFUSED = {"STATE_POLICY"}, {"REASON_CHANGED"}, {"SCHEMA"}, {"REFUSED"}
RENAMED = {"AGENT_SIG", "CHAIN_LINK", "CHECKPOINT_SIG", "KEY_NOT_VALID", "LEAF_FORM", "LEAF_HASH", "ORIGIN",
           "STATE_POLICY", "TREE_STATE"}  # fmt: skip
TEXT, GONE = {"FACT_CHANGED"}, {"FACT_MISSING"}


def case(name: str, owner: set[str], outsider: set[str] = NONE, facts: set[str] = NONE) -> Case:
    """An attack that no memory adds to."""
    return Case(name, attacks.BY_NAME[name].levels, (owner, outsider), facts=facts)


CASES = [
    # 22: checkpoints and batches
    case("a checkpoint deleted", SEQUENCE),
    case("the last checkpoint deleted", SEQUENCE, SIGNATURE),
    case("all checkpoints deleted", SEQUENCE, SIGNATURE),
    case("another size of a checkpoint", SIGNATURE),
    case("another root of a checkpoint", SIGNATURE),
    case("another time of a checkpoint", SEQUENCE),
    case("the note of another checkpoint", SIGNATURE, SEQUENCE),
    case("a note that is none", SIGNATURE, SIGNATURE),
    case("another count of checkpoints", SEQUENCE),
    case("no row of the node", SEQUENCE),
    case("a checkpoint less, and the node's row with it", NONE),
    case("a batch that there is not", BATCH),
    case("the root of a batch deleted", BATCH),
    case("another root of a batch", BATCH),
    case("another end of a batch", BATCH),
    case("another time of a batch", BATCH),
    # 23
    case("cosignatures stripped", NONE, SIGNATURE),
    case("one cosignature stripped", NONE, SIGNATURE),
    # 24: what is kept of the tree. A log that says another size cannot be exported, and fits no note and no receipt.
    case("another range", STATE_ROW),
    Case("another size in the state row", ("edit",), (STATE_ROW, NONE), checkpoint=(ROLLED_BACK, NONE),
         receipts=({"RECEIPT_MISSING"}, NONE)),
    case("another count of votes", STATE_ROW),
    case("another head", STATE_ROW),
    case("another policy in the state row", STATE_ROW),
    case("another admin key in the state row", STATE_ROW),
    # Everything is bound to the name: nothing of the log holds under another one, and no receipt or note is of it.
    Case("another name of the log", ("edit",), (RENAMED, {"AGENT_SIG", "CHAIN_LINK", "EVENT_SIG", "HISTORY_REWRITTEN"}),
         ROLLED_BACK, receipts=(NONE, {"RECEIPT_MISSING"})),
    Case("a name that no log has", ("edit",), (RENAMED, {"CHAIN_LINK", "HISTORY_REWRITTEN", "LEAF_FORM"}), ROLLED_BACK,
         receipts=(NONE, {"RECEIPT_MISSING", "PROMISE_BROKEN"})),
    case("a name that no log of facts has", NONE, facts={"CHAIN_LINK", "CHECKPOINT_SIG", "ORIGIN"}),
    Case("no state row", ("edit",), (STATE_ROW | {"-"}, {"-"}), remembered=ROLLED_BACK),
    case("a node that there is not", NODE),
    case("another node", NODE),
    case("a node deleted", NODE),
    # 25: of a table that is not that of Cortex nothing else is said. The bundle has what the view shows.
    Case("a view without an entry in the place of the table", ("edit",),
         (SCHEMA | {"-"}, {"CHAIN_LINK", "GAP", "TRUNCATED"}), checkpoint=(NONE, ROLLED_BACK),
         receipts=(NONE, {"RECEIPT_MISSING", "PROMISE_BROKEN"}), facts=SCHEMA),
    case("a view in the place of the table", SCHEMA | {"-"}, facts=SCHEMA),
    case("a trigger gone", SCHEMA, facts=SCHEMA),
    # 26
    case("a fact's text edited", TEXT, facts=TEXT),
    case("a fact's project edited", NONE, facts=TEXT),
    case("the time a fact was recorded edited", NONE, facts=TEXT),
    case("a fact's validity edited", TEXT, facts=TEXT),
    case("a fact's author edited", NONE, facts=TEXT),
    case("a fact's row deleted", GONE, facts=GONE),
    case("an earlier text of a fact edited", TEXT, facts=TEXT),
    # What the votes come to, also where all keys are the attacker's.
    *(case(attack.name, STATE) for attack in on_tables.ATTACKS if attack.row == "rules"),
    # Reasons
    case("a reason edited", REASON),
    case("the reason of a resolution edited", REASON),
    case("a reason of nothing", REASON),
    case("a reason moved to another vote", REASON),
    case("a reason of a forgotten fact put back", REASON),
    case("a reason deleted", NONE),
    # 30
    case("a bundle with its own trust", NONE, REFUSED),
    case("a bundle with keys in a folder of it", NONE, REFUSED),
]  # fmt: skip
TABLE = {(case.name, level): case for case in CASES for level in case.levels}


@pytest.mark.parametrize(("name", "level"), TABLE, ids=[f"{name}, {level}" for name, level in TABLE])
def test_an_attack_beside_the_entries_shows_exactly_this(
    request: pytest.FixtureRequest, tmp_path: Path, name: str, level: str
) -> None:
    attack = attacks.BY_NAME[name]
    built: BuiltLedger = request.getfixturevalue("crowded" if attack.crowded else "voted")

    found = attacks.carried_out(attack, level, built, tmp_path)

    assert TABLE[name, level].told(level) == found


def test_every_attack_beside_the_entries_is_in_the_table() -> None:
    there = {(attack.name, level) for attack in on_tables.ATTACKS for level in attack.levels}

    assert there == set(TABLE)
    assert len(attacks.ATTACKS) == len(attacks.BY_NAME)


def test_a_ledger_that_is_to_be_attacked_has_events_of_every_kind(voted: BuiltLedger, tmp_path: Path) -> None:
    with Memory(voted.copy(tmp_path), tmp_path / "home", Clock()) as memory:
        kinds = {row[0] for row in memory.sql().execute("SELECT kind FROM vote_ledger")}

        report = memory.call(VerifyVotes())

    assert {"genesis", "agent", "key", "trust", "admin", "policy", "resolve", "vote"} == kinds
    assert (True, 4, 0) == (report.ok, report.checkpoints, report.merkle_roots)


def test_the_matrix_is_the_same_for_the_same_seed_and_names_every_memory(tmp_path: Path) -> None:
    one, other = (
        list(itertools.islice(attacks.rows(tmp_path / name, 3, lambda *_: None), 8)) for name in ("one", "other")
    )

    assert one == other
    assert [("edit", memory) for memory in ("none", "remembered", "checkpoint", "receipts")] == [
        (row.level, row.memory) for row in one[:4]
    ]
    assert ["AGENT_SIG", "HISTORY_REWRITTEN", "LEAF_HASH", "STATE_POLICY", "TREE_STATE"] == one[0].owner
    assert (["AGENT_SIG", "CHAIN_LINK", "HISTORY_REWRITTEN"], None) == (one[0].outsider, one[1].outsider)


def test_what_nobody_finds_is_allowed_to_a_server() -> None:
    names = {name for (name, level), row in TABLE.items() if unseen(row.told(level))}

    assert {"a checkpoint less, and the node's row with it", "a reason deleted"} == names
    assert all(attacks.BY_NAME[name].allowed for name in names)
