"""Attacks beside the entries: rows 22 to 26 and 30, and on what the votes come to."""

from pathlib import Path

from cortex.bench.attacking.attack import Attack, Deed, edits
from cortex.bench.attacking.attacker import EDIT, WITNESS_KEYS, Attacker

_ALONE = (EDIT,)


def _renumbered_checkpoints(at: Attacker) -> None:
    """One checkpoint less, and the node's own row says so."""
    at.edit(
        "DELETE FROM vote_checkpoints WHERE id = 2",
        "UPDATE vote_checkpoints SET id = id - 1 WHERE id > 2",
    )
    at.seal_state()


def _stripped(names: str) -> Deed:
    """Takes the lines of witnesses whose names begin so away."""

    def run(at: Attacker) -> None:
        for number, note in list(at.sql.execute("SELECT id, note FROM vote_checkpoints")):
            lines = str(note).split("\n")
            kept = "\n".join(line for line in lines if not line.startswith(f"— {names}"))
            at.sql.execute("UPDATE vote_checkpoints SET note = ? WHERE id = ?", (kept, number))

    return run


def _view(at: Attacker) -> None:
    at.edit_schema(
        "ALTER TABLE vote_ledger RENAME TO vote_ledger_kept",
        f"CREATE VIEW vote_ledger AS SELECT * FROM vote_ledger_kept WHERE id <> {at.target}",
    )


def _same_view(at: Attacker) -> None:
    at.edit_schema(
        "ALTER TABLE vote_ledger RENAME TO vote_ledger_kept",
        "CREATE VIEW vote_ledger AS SELECT * FROM vote_ledger_kept",
    )


def _fact(change: str) -> Deed:
    """Changes columns of the revision of a fact that was voted on."""

    def run(at: Attacker) -> None:
        at.sql.execute(f"UPDATE revision SET {change} WHERE fact_id = ?", (at.built.facts["sky"],))

    return run


def _fact_deleted(at: Attacker) -> None:
    at.sql.execute("PRAGMA foreign_keys = OFF")
    at.sql.execute("DELETE FROM revision WHERE fact_id = ?", (at.built.facts["sky"],))


def _earlier_text(at: Attacker) -> None:
    at.sql.execute("UPDATE revision SET content = 'x' WHERE fact_id = ? AND number = 1", (at.built.facts["rye"],))


def _forgotten_reason(at: Attacker) -> None:
    """Put the reason of a vote on a forgotten fact back."""
    event_id = at.value("SELECT event_id FROM vote_ledger WHERE id = ?", (at.vote_of("bob", "tea"),))
    at.sql.execute("INSERT INTO vote_reason VALUES (?, ?, x'00', 'guessed')", (event_id, at.built.facts["tea"]))


def _own_trust(bundle: Path) -> None:
    (bundle / "trust.txt").write_text("quorum none\n")


def _own_keys(bundle: Path) -> None:
    (bundle / "more").mkdir()
    (bundle / "more" / "keys.json").write_text("{}")


_OTHER_NOTE = "UPDATE vote_checkpoints SET note = (SELECT note FROM vote_checkpoints WHERE id = 3) WHERE id = 2"
_OTHER_POLICY = """UPDATE vote_log SET policy = replace(policy, '"quorum":3', '"quorum":1')"""
_REASON_MOVED = (
    "UPDATE vote_reason SET event_id = (SELECT event_id FROM vote_ledger WHERE kind = 'vote' AND reason_digest IS NULL)"
    " WHERE reason = 'it is not so'"
)
_ADMINS_REASON = "UPDATE vote_reason SET reason = 'forged' WHERE reason = 'the admin was there'"
_REASON = "UPDATE vote_reason SET reason = 'forged' WHERE reason = 'I have seen it'"
_NO_REASON = "DELETE FROM vote_reason WHERE reason = 'I have seen it'"
_LOG_RENAMED = "UPDATE vote_log SET origin = 'cortex/votes/0123456789abcdef/0123456789abcdef'"

# What only one table knows: how much is recomputed afterwards changes nothing.
_STATE = (
    ("22", "a checkpoint deleted", "DELETE FROM vote_checkpoints WHERE id = 2"),
    ("22", "the last checkpoint deleted", "DELETE FROM vote_checkpoints WHERE id = 4"),
    ("22", "all checkpoints deleted", "DELETE FROM vote_checkpoints"),
    ("22", "another size of a checkpoint", "UPDATE vote_checkpoints SET tree_size = tree_size + 1 WHERE id = 2"),
    ("22", "another root of a checkpoint", "UPDATE vote_checkpoints SET tree_root = zeroblob(32) WHERE id = 2"),
    ("22", "another time of a checkpoint", "UPDATE vote_checkpoints SET created_at = '' WHERE id = 2"),
    ("22", "the note of another checkpoint", _OTHER_NOTE),
    ("22", "a note that is none", "UPDATE vote_checkpoints SET note = 'x' WHERE id = 2"),
    ("22", "another count of checkpoints", "UPDATE vote_seal SET checkpoints = 3"),
    ("22", "no row of the node", "DELETE FROM vote_seal"),
    ("22", "a batch that there is not", "INSERT INTO vote_merkle_roots VALUES (1, zeroblob(32), 1, 2, 2, '')"),
    ("24", "another range", "UPDATE vote_log SET range = zeroblob(length(range))"),
    ("24", "another size in the state row", "UPDATE vote_log SET size = size - 1"),
    ("24", "another count of votes", "UPDATE vote_log SET votes = votes - 1"),
    ("24", "another head", "UPDATE vote_log SET head = zeroblob(32)"),
    ("24", "another policy in the state row", _OTHER_POLICY),
    ("24", "another admin key in the state row", "UPDATE vote_log SET admin = zeroblob(32)"),
    ("24", "another name of the log", _LOG_RENAMED),
    ("24", "a name that no log has", "UPDATE vote_log SET origin = 'a name' || char(10)"),
    ("24", "a name that no log of facts has", "UPDATE ledger_log SET origin = 'a name' || char(10)"),
    ("24", "no state row", "DELETE FROM vote_log"),
    ("24", "a node that there is not", "INSERT INTO vote_tree VALUES (8, 0, zeroblob(32))"),
    ("reason", "a reason edited", _REASON),
    ("reason", "the reason of a resolution edited", _ADMINS_REASON),
    ("reason", "a reason of nothing", "INSERT INTO vote_reason VALUES ('x', 'y', x'00', 'z')"),
    ("reason", "a reason moved to another vote", _REASON_MOVED),
)

# The same in a ledger that is long enough to have them.
_BATCHES = (
    ("22", "the root of a batch deleted", "DELETE FROM vote_merkle_roots"),
    ("22", "another root of a batch", "UPDATE vote_merkle_roots SET root_hash = zeroblob(32)"),
    ("22", "another end of a batch", "UPDATE vote_merkle_roots SET vote_end_id = vote_end_id + 1"),
    ("22", "another time of a batch", "UPDATE vote_merkle_roots SET created_at = ''"),
    ("24", "another node", "UPDATE vote_tree SET hash = zeroblob(32) WHERE level = 9 AND idx = 0"),
    ("24", "a node deleted", "DELETE FROM vote_tree WHERE level = 8 AND idx = 3"),
)

_RULES = (
    ("a verdict edited", "UPDATE vote_tally SET verdict = 'verified' WHERE verdict = 'disputed'"),
    ("a tally edited", "UPDATE vote_tally SET vouched_sum = vouched_sum + 1 WHERE resolved = 1"),
    ("a tally deleted", "DELETE FROM vote_tally WHERE resolved = 1"),
    ("a resolution edited", "UPDATE vote_tally SET resolved = -1 WHERE resolved = 1"),
    ("a reputation edited", "UPDATE vote_agent SET for_e6 = for_e6 + 5000000 WHERE name = 'cay'"),
    ("a level edited", "UPDATE vote_agent SET level = 'trusted' WHERE name = 'cay'"),
    ("an agent added", "INSERT INTO vote_agent VALUES ('mallory', 'trusted', 0, 0, 0, '')"),
    ("a revoked key revived", "UPDATE vote_key SET until_idx = NULL, ended = NULL WHERE agent = 'gil'"),
    ("a key added", "INSERT INTO vote_key VALUES (zeroblob(32), 'dan', 'agent', '*', 3, NULL, NULL)"),
    ("a current vote edited", "UPDATE vote_current SET vote = -vote WHERE agent = 'dan'"),
    ("a judgement edited", "UPDATE vote_judged SET agreed = -agreed WHERE agent = 'bob'"),
    ("a judgement deleted", "DELETE FROM vote_judged WHERE agent = 'bob'"),
)

_FACTS = (
    ("a fact's text edited", _fact("content = 'forged'")),
    ("a fact's project edited", _fact("project_id = project_id + 1")),
    ("the time a fact was recorded edited", _fact("recorded_at = '2026-03-01T00:00:00.000000Z'")),
    ("a fact's validity edited", _fact("valid_from = '2020-01-01T00:00:00.000000Z'")),
    ("a fact's author edited", _fact("actor = 'mallory'")),
    ("a fact's row deleted", _fact_deleted),
    ("an earlier text of a fact edited", _earlier_text),
)

ATTACKS = (
    *(Attack(row, name, edits(sql), levels=_ALONE) for row, name, sql in _STATE),
    *(Attack(row, name, edits(sql), levels=_ALONE, crowded=True) for row, name, sql in _BATCHES),
    *(Attack("rules", name, after=edits(sql), levels=(EDIT, WITNESS_KEYS)) for name, sql in _RULES),
    *(Attack("26", name, deed, levels=_ALONE) for name, deed in _FACTS),
    Attack("22", "a checkpoint less, and the node's row with it", _renumbered_checkpoints, levels=_ALONE, allowed=True),
    Attack("23", "cosignatures stripped", _stripped("witness.example/"), levels=_ALONE),
    Attack("23", "one cosignature stripped", _stripped("witness.example/two"), levels=_ALONE),
    Attack("25", "a view without an entry in the place of the table", _view, levels=_ALONE),
    Attack("25", "a view in the place of the table", _same_view, levels=_ALONE),
    Attack("25", "a trigger gone", lambda at: at.edit_schema("DROP TRIGGER vote_ledger_stay"), levels=_ALONE),
    Attack("reason", "a reason deleted", edits(_NO_REASON), levels=_ALONE, allowed=True),
    Attack("reason", "a reason of a forgotten fact put back", _forgotten_reason, levels=_ALONE),
    Attack("30", "a bundle with its own trust", levels=_ALONE, bundle=_own_trust),
    Attack("30", "a bundle with keys in a folder of it", levels=_ALONE, bundle=_own_keys),
)
