"""Attacks on checkpoints, the tree, the log's row, the schema and the facts, and the exact codes that each one gives."""

import base64
import json
import shutil
from pathlib import Path

import apsw
import pytest
from attack_kit import ORPHANS, Attacked, codes

from cortex.ledger.checkpoint import Checkpoint, sign
from cortex.ledger.keys import NodeKey
from cortex.ops.facts import ForgetFact, StoreFact
from cortex.ops.ledger import ExportLedger, ProveFact, VerifyLedger
from cortex.verify import verify_path

SEQ, SIG, STATE, NODE = {"CHECKPOINT_SEQ"}, {"CHECKPOINT_SIG"}, {"TREE_STATE"}, {"TREE_NODE"}
CHANGED, MISSING, SCHEMA = {"FACT_CHANGED"}, {"FACT_MISSING"}, {"SCHEMA"}

# The row's own columns and the stored tree are not exported, so a bundle shows only what concerns the notes.
LEDGER_ROWS = {
    "a checkpoint deleted": ("DELETE FROM ledger_checkpoint WHERE tree_size = 14", SEQ, set()),
    "the last checkpoint deleted": ("DELETE FROM ledger_checkpoint WHERE tree_size = 286", SEQ, set()),
    "all checkpoints deleted": ("DELETE FROM ledger_checkpoint", SEQ, set()),
    "a checkpoint of another size": ("UPDATE ledger_checkpoint SET tree_size = 13 WHERE tree_size = 14", SIG, set()),
    "a checkpoint of another root": (
        "UPDATE ledger_checkpoint SET tree_root = zeroblob(32) WHERE tree_size = 14", SIG, set()),
    "the last checkpoint out of reach": (
        "UPDATE ledger_checkpoint SET tree_size = 900 WHERE tree_size = 286", SEQ | SIG, set()),
    "signatures stripped": (
        "UPDATE ledger_checkpoint SET note = substr(note, 1, instr(note, '— ') - 1) WHERE tree_size = 14", SIG, SIG),
    "a note that says another size": (
        ("UPDATE ledger_checkpoint SET note = replace(note, char(10) || '14' || char(10), char(10) || '13' || char(10))"
        " WHERE tree_size = 14"), SIG, SIG),
    "one note under another's row": (
        ("UPDATE ledger_checkpoint SET note = (SELECT note FROM ledger_checkpoint WHERE tree_size = 2)"
        " WHERE tree_size = 14"), SIG, SEQ),
    "checkpoints numbered anew": ("UPDATE ledger_checkpoint SET seq = seq + 10", SEQ, set()),
    "a stored node": ("UPDATE ledger_node SET hash = zeroblob(32)", NODE, set()),
    "stored nodes deleted": ("DELETE FROM ledger_node", NODE, set()),
    "a node too many": ("INSERT INTO ledger_node SELECT id, 8, 9, zeroblob(32) FROM ledger_log", NODE, set()),
    "the range": ("UPDATE ledger_log SET range = zeroblob(length(range))", STATE, set()),
    "the head": ("UPDATE ledger_log SET head = zeroblob(32)", STATE, set()),
    "the last time": ("UPDATE ledger_log SET ts = '2027-01-01T00:00:00.000000Z'", STATE, set()),
    "the count of checkpoints": ("UPDATE ledger_log SET checkpoints = 9", SEQ, set()),
    "the sealed size": ("UPDATE ledger_log SET sealed_size = 14", SEQ, set()),
}  # fmt: skip


@pytest.mark.parametrize("name", LEDGER_ROWS)
def test_an_edit_beside_the_entries_is_found(built: Path, tmp_path: Path, name: str) -> None:
    sql, owner, bundle = LEDGER_ROWS[name]
    attacked = Attacked.copy(built, tmp_path)

    attacked.edit(sql)

    assert owner == codes(attacked.verified())
    assert bundle == codes(attacked.checked(attacked.exported()))


# A forged erasure, which would excuse a missing fact.
COLUMNS = (
    "{}, {}, v, 'erase', subject, project, rev, parent, digest, actor, ts, batch, batch_n, prev, hash"
    " FROM transactions WHERE idx = 13"
)
LOG_ROWS = {
    # Without a size to trust the state differs from the entries; what was signed still fits them.
    "the size": ("UPDATE ledger_log SET size = 285", STATE),
    "a range of another length": ("UPDATE ledger_log SET range = x'00'", STATE),
    "no active log": ("UPDATE ledger_log SET active = 0", STATE),
    "another origin": (
        "UPDATE ledger_log SET origin = 'cortex/transactions/x/y'", SIG | {"ORIGIN", "CHAIN_LINK"}),
    "a key that is none": ("UPDATE ledger_log SET vkey = 'x'", SIG | {"ORIGIN"}),
    "another row in the place of entry 0": (
        "UPDATE transactions SET idx = -1 WHERE idx = 0",
        {"GAP", "CHAIN_LINK", "ORIGIN", "TREE_NODE", "TREE_STATE", "HISTORY_REWRITTEN"}),
    "an entry before the first": (f"INSERT INTO transactions SELECT {COLUMNS.format('log', -5)}", {"GAP"}),
    "an entry of a log that is not there": (f"INSERT INTO transactions SELECT {COLUMNS.format(99, 7)}", {"ORIGIN"}),
    # Facts without an entry, an erasure and an import without a log.
    "the log deleted": ("DELETE FROM ledger_log", MISSING | CHANGED),
}  # fmt: skip


@pytest.mark.parametrize("remembered", [False, True], ids=["no memory", "memory"])
@pytest.mark.parametrize("name", LOG_ROWS)
def test_an_edited_log_is_found(built: Path, tmp_path: Path, name: str, remembered: bool) -> None:
    sql, expected = LOG_ROWS[name]
    attacked = Attacked.copy(built, tmp_path, remembered=remembered)
    if name == "the log deleted":
        for table in ("transactions", "ledger_node", "ledger_checkpoint"):
            attacked.edit(f"DELETE FROM {table}")

    attacked.edit(sql)

    gone = {"ROLLBACK"} if remembered and name in {"the log deleted", "another origin"} else set()
    assert expected | gone == codes(attacked.verified())


def test_emptied_tables_and_old_backups_are_found_with_memory_and_only_with_it(built: Path, tmp_path: Path) -> None:
    attacked = Attacked.copy(built, tmp_path, remembered=True)
    saved = attacked.saved_checkpoint()
    for table in ("transactions", "ledger_checkpoint", "ledger_node", "ledger_log", "revision", "import_run", "fact"):
        attacked.edit(f"DELETE FROM {table}")

    told = attacked.verified()

    assert ({"ROLLBACK"}, []) == (codes(told), told.logs)
    assert {"ORIGIN"} == codes(attacked.checked(attacked.exported(), saved=saved))
    assert attacked.verified(accept=True).ok
    assert attacked.verified().ok


def test_a_backup_put_back_is_a_rollback_with_memory_and_only_with_it(built: Path, tmp_path: Path) -> None:
    attacked = Attacked.copy(built, tmp_path)
    with attacked.opened() as memory:
        for number in range(4):
            memory.store(f"later {number}")
        assert memory.call(VerifyLedger()).ok
        memory.call(ExportLedger(path=str(tmp_path / "newest")))
    saved = attacked.saved_checkpoint()
    attacked.close()
    for suffix in ("", "-wal", "-shm"):
        Path(f"{attacked.path}{suffix}").unlink(missing_ok=True)
    shutil.copy(built, attacked.path)
    attacked.sql = apsw.Connection(str(attacked.path))

    assert {"ROLLBACK"} == codes(attacked.verified()) == codes(attacked.verified(incremental=True))
    bundle = attacked.exported()
    assert {"ROLLBACK"} == codes(attacked.checked(bundle, saved=saved))
    assert set() == codes(attacked.checked(bundle))
    assert attacked.verified(accept=True).ok


def test_a_log_cut_back_to_a_checkpoint_is_a_rollback_with_memory_and_only_with_it(built: Path, tmp_path: Path) -> None:
    attacked = Attacked.copy(built, tmp_path, remembered=True)
    saved = attacked.saved_checkpoint()
    attacked.sql.execute("DELETE FROM revision WHERE idx >= 14")
    attacked.sql.execute(ORPHANS)
    attacked.sql.execute("DELETE FROM import_run WHERE idx >= 14")
    attacked.edit("DELETE FROM transactions WHERE idx >= 14")
    attacked.edit("DELETE FROM ledger_checkpoint WHERE tree_size > 14")
    sealed_at = "(SELECT created_at FROM ledger_checkpoint WHERE tree_size = 14)"
    attacked.edit(f"UPDATE ledger_log SET checkpoints = 2, sealed_size = 14, sealed_at = {sealed_at}")
    attacked.retree()

    assert {"ROLLBACK"} == codes(attacked.verified())
    bundle = attacked.exported()
    assert ({"ROLLBACK"}, set()) == (codes(attacked.checked(bundle, saved=saved)), codes(attacked.checked(bundle)))


def test_a_fork_of_one_size_shown_to_two_clients_is_a_split_view(built: Path, tmp_path: Path) -> None:
    forks = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        fork = Attacked.copy(built, tmp_path / name)
        with fork.opened() as memory:
            memory.store(f"only for client {name}")
            memory.call(ExportLedger(path=str(tmp_path / f"bundle-{name}")))
        forks.append(fork)
    first, second = forks

    saved = first.saved_checkpoint()

    assert {"SPLIT_VIEW", "HISTORY_REWRITTEN"} == codes(second.checked(tmp_path / "bundle-two", saved=saved))
    assert set() == codes(first.checked(tmp_path / "bundle-one", saved=saved))


@pytest.mark.parametrize("name", ["trust.txt", "policy.json", "keys.txt", "TRUST"])
def test_a_bundle_that_brings_its_own_trust_is_refused(built: Path, tmp_path: Path, name: str) -> None:
    attacked = Attacked.copy(built, tmp_path)
    bundle = attacked.exported()
    (bundle / name).write_text(f"log {attacked.value('SELECT vkey FROM ledger_log')}\n")

    assert {"REFUSED"} == codes(attacked.checked(bundle))
    assert {"REFUSED"} == codes(verify_path(bundle, bundle / name))


def test_a_log_rewritten_under_another_key_is_not_the_one_that_is_trusted(built: Path, tmp_path: Path) -> None:
    attacked = Attacked.copy(built, tmp_path, remembered=True)
    trust = tmp_path / "kept-trust.txt"
    trust.write_text(f"log {attacked.value('SELECT vkey FROM ledger_log')}\n")
    mine = NodeKey(tmp_path / "memory.db.key.mine")
    vkey = mine.vkey(attacked.value("SELECT origin FROM ledger_log"))
    attacked.edit("UPDATE transactions SET subject = ? WHERE idx = 0", (vkey,))
    attacked.edit("UPDATE ledger_log SET vkey = ?", (vkey,))
    attacked.relink(0)
    attacked.retree()
    attacked.resign(mine.path)
    shutil.copy(mine.path, f"{attacked.path}.key")

    assert {"HISTORY_REWRITTEN"} == codes(attacked.verified())
    bundle = attacked.exported()
    assert {"CHECKPOINT_SIG"} == codes(verify_path(bundle, trust))
    # Whoever trusts nothing is told that the origin was not checked, and nothing more.
    report = verify_path(bundle)
    assert (set(), "--  origin not checked (no --trust)") == (codes(report), report.notes[-1])


# Facts


FACTS = {
    **{f"its {column}": (f"UPDATE revision SET {column} = {value} WHERE idx = 13", CHANGED) for column, value in {
        "content": "'something else'", "type": "'decision'", "tags": "'[\"x\"]'", "key": "'k'", "source": "'s'",
        "meta": "'{}'", "confidence": "'inferred'", "valid_from": "'2026-01-01T00:00:00.000000Z'",
        "valid_until": "'2027-01-01T00:00:00.000000Z'", "thread": "'t'", "seq": "7", "salt": "zeroblob(16)",
        "actor": "'mallory'", "recorded_at": "'2026-01-01T00:00:00.000000Z'", "rev": "'x'", "parent": "'x'",
        "number": "2", "project_id": "2", "fact_id": "(SELECT fact_id FROM revision WHERE idx = 11), number = 9",
        "retired_at": "'2026-03-02T09:02:00.000000Z'",
    }.items()},
    "an end that ended another": (
        ("UPDATE revision SET retired_at = '2026-03-02T09:01:00.000000Z', retired_log = 1, retired_idx = 7"
        " WHERE idx = 13"), CHANGED),
    "its place in the log": ("UPDATE revision SET idx = 9999 WHERE idx = 13", CHANGED | MISSING),
    "a revised one, believed again": ("UPDATE revision SET retired_at = NULL WHERE idx = 1", CHANGED),
    "a revised one, without its end": (
        "UPDATE revision SET retired_at = NULL, retired_log = NULL, retired_idx = NULL WHERE idx = 1", CHANGED),
    "a retracted one, believed again": (
        "UPDATE revision SET retired_at = NULL, retired_log = NULL, retired_idx = NULL WHERE idx = 2", CHANGED),
    "the time of a retraction": (
        "UPDATE revision SET retired_at = '2026-03-02T09:00:30.000000Z' WHERE idx = 2", CHANGED),
    "a first revision deleted": ("DELETE FROM revision WHERE idx = 1", MISSING),
    "a newer revision deleted": ("DELETE FROM revision WHERE idx = 6", MISSING),
    "a fact deleted": ("DELETE FROM revision WHERE idx = 13", MISSING),
    "a fact without its row": ("DELETE FROM fact WHERE id = (SELECT fact_id FROM revision WHERE idx = 13)", MISSING),
    "a fact in another project": (
        "UPDATE fact SET project_id = 2 WHERE id = (SELECT fact_id FROM revision WHERE idx = 13)", CHANGED),
    "a fact under another short id": (
        "UPDATE fact SET tail = reverse_of WHERE id = (SELECT fact_id FROM revision WHERE idx = 13)"
        .replace("reverse_of", "'00000000' || substr(tail, 9)"), CHANGED),
    "a fact marked as erased": (
        ("UPDATE fact SET erased_at = '2026-03-02T09:02:00.000000Z'"
        " WHERE id = (SELECT fact_id FROM revision WHERE idx = 13)"), MISSING),
    "an erased fact marked as held": ("UPDATE fact SET erased_at = NULL WHERE erased_at IS NOT NULL", CHANGED),
    "an erased fact put back": (
        ("INSERT INTO revision SELECT 9999, (SELECT id FROM fact WHERE erased_at IS NOT NULL), project_id, number, 'r',"
        " parent, content, type, tags, key, source, meta, confidence, valid_from, valid_until, thread, seq, actor,"
        " recorded_at, retired_at, salt, log, 5, retired_log, retired_idx, fingerprint, grams"
        " FROM revision WHERE idx = 4"), CHANGED),
    "a fact that nobody recorded": (
        ("INSERT INTO revision SELECT 9999, fact_id, project_id, 99, 'r', parent, 'forged', type, tags, key, source, meta,"
        " confidence, valid_from, valid_until, thread, seq, actor, recorded_at, retired_at, salt, log, 9999, retired_log,"
        " retired_idx, fingerprint, grams FROM revision WHERE idx = 13"), CHANGED),
    "a second revision under one entry": (
        ("INSERT INTO revision SELECT 9999, fact_id, project_id, 99, 'r', parent, 'forged', type, tags, key, source, meta,"
        " confidence, valid_from, valid_until, thread, seq, actor, recorded_at, retired_at, salt, log, idx, retired_log,"
        " retired_idx, fingerprint, grams FROM revision WHERE idx = 13"), CHANGED),
    "a project renamed without an entry": ("UPDATE project SET name = 'elsewhere' WHERE name = 'renamed'", CHANGED),
    "a renamed project named back": ("UPDATE project SET name = 'second' WHERE name = 'renamed'", CHANGED),
    "two projects that swap names": (
        "UPDATE project SET name = CASE name WHEN 'work' THEN 'renamed ' ELSE 'work ' END", CHANGED),
    "the file of an import": ("UPDATE import_run SET digest = zeroblob(32)", CHANGED),
    "an import deleted": ("DELETE FROM import_run", MISSING),
}  # fmt: skip


@pytest.mark.parametrize("remembered", [False, True], ids=["no memory", "memory"])
@pytest.mark.parametrize("name", FACTS)
def test_an_edited_fact_is_found(built: Path, tmp_path: Path, name: str, remembered: bool) -> None:
    sql, expected = FACTS[name]
    attacked = Attacked.copy(built, tmp_path, remembered=remembered)

    attacked.sql.execute(sql)

    told = attacked.verified()
    assert (expected, False) == (codes(told), told.ok)
    # The text is not part of the log: without the text pass nothing is said of it.
    assert attacked.verified(text=False).ok
    assert set() == codes(attacked.checked(attacked.exported()))


# Schema


def test_a_view_in_the_place_of_the_log_is_found(built: Path, tmp_path: Path) -> None:
    attacked = Attacked.copy(built, tmp_path)
    attacked.sql.execute("ALTER TABLE transactions RENAME TO hidden")
    attacked.sql.execute("CREATE VIEW transactions AS SELECT * FROM hidden WHERE idx <> 13")

    told = attacked.verified()

    assert (SCHEMA, ["schema"], False) == (codes(told), told.passes, told.ok)


SCHEMAS = [
    "DROP TRIGGER transactions_keep",
    "DROP INDEX transactions_subject",
    "CREATE TRIGGER t AFTER INSERT ON revision BEGIN UPDATE revision SET content = 'forged' WHERE id = new.id; END",
    "CREATE TABLE mine (a)",
    "CREATE VIEW mine AS SELECT 1",
    "CREATE INDEX mine ON revision (actor)",
    "ALTER TABLE revision ADD COLUMN mine TEXT",
    "DROP VIEW revision_text",
    "DROP TABLE revision_fts",
    "DROP TABLE ledger_checkpoint",
]


@pytest.mark.parametrize("sql", SCHEMAS)
def test_a_changed_schema_is_found(built: Path, tmp_path: Path, sql: str) -> None:
    attacked = Attacked.copy(built, tmp_path)
    attacked.sql.execute(sql)

    assert SCHEMA == codes(attacked.verified())


def test_tables_that_were_made_lax_and_filled_with_other_types_are_found(built: Path, tmp_path: Path) -> None:
    attacked = Attacked.copy(built, tmp_path)
    attacked.sql.execute("PRAGMA writable_schema = ON")
    attacked.sql.execute("UPDATE sqlite_schema SET sql = replace(sql, 'STRICT, ', '') WHERE name = 'transactions'")
    attacked.sql.execute("PRAGMA writable_schema = RESET")
    with attacked.unlocked() as connection:
        connection.execute("UPDATE transactions SET prev = 'text', batch = 'many' WHERE idx = 13")

    assert SCHEMA == codes(attacked.verified())


def test_triggers_hidden_by_way_of_the_schema_table_are_missed(built: Path, tmp_path: Path) -> None:
    attacked = Attacked.copy(built, tmp_path)
    attacked.sql.execute("PRAGMA writable_schema = ON")
    attacked.sql.execute("DELETE FROM sqlite_schema WHERE type = 'trigger'")
    attacked.sql.execute("PRAGMA writable_schema = RESET")
    attacked.sql.execute("UPDATE transactions SET actor = 'mallory' WHERE idx = 13")

    assert SCHEMA | {"LEAF_HASH", "TREE_NODE", "TREE_STATE", "HISTORY_REWRITTEN"} | CHANGED == codes(
        attacked.verified()
    )


# Proofs


def test_a_proof_holds_for_its_text_alone(built: Path, tmp_path: Path) -> None:
    attacked = Attacked.copy(built, tmp_path)
    proof, fact_id = tmp_path / "proof.json", attacked.fact_of(13)
    with attacked.opened() as memory:
        memory.call(ProveFact(id=fact_id, output=str(proof)))
    assert set() == codes(attacked.checked(proof))
    told = json.loads(proof.read_text())

    for field, value in (
        ("content", "something else"),
        ("source", "s"),
        ("valid_until", "2030-01-01T00:00:00.000000Z"),
    ):
        forged = {
            **told,
            "disclosure": {**told["disclosure"], "fields": {**told["disclosure"]["fields"], field: value}},
        }
        proof.write_text(json.dumps(forged))
        assert CHANGED == codes(attacked.checked(proof))
    proof.write_text(json.dumps({**told, "leaf": told["leaf"].replace("tester", "fester")}))
    assert {"PROOF"} == codes(attacked.checked(proof))


def test_a_proof_under_a_checkpoint_of_another_key_is_found(built: Path, tmp_path: Path) -> None:
    attacked = Attacked.copy(built, tmp_path)
    proof = tmp_path / "proof.json"
    with attacked.opened() as memory:
        memory.call(ProveFact(id=attacked.fact_of(13), output=str(proof)))
    told = json.loads(proof.read_text())
    head, _, note = told["proof"].partition("\n\n")
    origin, size, root = note.split("\n")[:3]
    signer = NodeKey(tmp_path / "mine.key").signer(origin)
    forged = sign(Checkpoint(origin, int(size), base64.b64decode(root)), signer)
    proof.write_text(json.dumps({**told, "proof": f"{head}\n\n{forged}"}))

    assert SIG == codes(attacked.checked(proof))


def test_a_damaged_file_of_the_memory_is_an_error_and_no_clean_bill(built: Path, tmp_path: Path) -> None:
    attacked = Attacked.copy(built, tmp_path, remembered=True)
    (kept,) = (attacked.home / "verified").glob("*.json")
    kept.write_text("{")

    with pytest.raises(Exception, match="cannot be read"):
        attacked.verified()


def test_what_was_found_is_not_remembered_as_good(built: Path, tmp_path: Path) -> None:
    attacked = Attacked.copy(built, tmp_path, remembered=True)
    (kept,) = (attacked.home / "verified").glob("*.json")
    before = kept.read_bytes()
    attacked.sql.execute("UPDATE revision SET content = 'forged' WHERE idx = 13")

    assert CHANGED == codes(attacked.verified())

    assert before == kept.read_bytes()


def test_work_goes_on_after_an_attack_and_the_finding_stays(built: Path, tmp_path: Path) -> None:
    attacked = Attacked.copy(built, tmp_path)
    attacked.sql.execute("UPDATE revision SET content = 'forged' WHERE idx = 13")
    with attacked.opened() as memory:
        fact = memory.call(StoreFact(content="stored after the attack"))
        memory.call(ForgetFact(id=fact.id))

    assert CHANGED == codes(attacked.verified())
