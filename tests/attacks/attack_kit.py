"""An attacker who owns the database file: edits rows, and recomputes as much as the means at hand allow."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from cortex import canonical, limits
from cortex.ledger import chain, checkpoint, merkle
from cortex.ledger.findings import Verification
from cortex.ledger.keys import NodeKey
from cortex.ops.facts import ForgetFact, NewFact, RetractFact, ReviseFact, StoreFacts
from cortex.ops.ledger import AcceptLedger, ExportLedger, MakeCheckpoint, VerifyLedger
from cortex.ops.projects import RenameProject
from cortex.ops.transfer import ImportFiles
from cortex.verify import Report, verify_path
from opened import Clock, Memory

# How far an attacker goes after an edit: nothing; the hash of the row; everything that needs no key (the rest of the
# chain, the tree and its state); also every checkpoint, signed with a key of the attacker's own, or with the log's.
LEVELS = ("edit", "rehashed", "relinked", "forged", "resigned")

# What an attacker who removes a revision removes with it.
ORPHANS = "DELETE FROM fact WHERE erased_at IS NULL AND id NOT IN (SELECT fact_id FROM revision)"

TRIGGERS = ("transactions_keep", "transactions_stay")


def build(folder: Path) -> Path:
    """A ledger with every kind of entry, batches, and checkpoints in the middle and at the end."""
    folder.mkdir(exist_ok=True)
    path, clock = folder / "memory.db", Clock()
    (folder / "notes.jsonl").write_text('{"content": "imported one"}\n{"content": "imported two"}\n')
    with Memory(path, folder / "home", clock, checkpoint_leaves=1_000_000) as memory:
        alpha = memory.store("alpha is the first", key="slot", tags=["t"])  # 0, 1
        beta = memory.store("beta is retracted", project="second")  # 2
        batch = memory.call(StoreFacts(facts=[NewFact(content=f"gamma {n}") for n in range(3)])).facts  # 3, 4, 5
        clock.advance(minutes=1)
        memory.call(ReviseFact(id=alpha.id, content="alpha was revised"))  # 6
        memory.call(RetractFact(id=beta.id))  # 7
        memory.call(ForgetFact(id=batch[2].id))  # 8
        memory.call(RenameProject(old="second", new="renamed"))  # 9
        memory.call(ImportFiles(paths=[str(folder / "notes.jsonl")]))  # 10, 11, 12
        clock.advance(minutes=1)
        memory.store("delta stands alone")  # 13
        memory.call(MakeCheckpoint())
        clock.advance(minutes=1)
        memory.call(StoreFacts(facts=[NewFact(content=f"filler {n}") for n in range(270)]))  # 14 to 283
        clock.advance(minutes=1)
        memory.store("epsilon comes late")  # 284
        memory.store("zeta is the last")  # 285
        memory.call(MakeCheckpoint())
    return path


@dataclass
class Attacked:
    """A copy of a ledger that an attacker works on, and the people who check it afterwards."""

    path: Path
    home: Path
    sql: apsw.Connection

    @classmethod
    def copy(cls, built: Path, folder: Path, *, remembered: bool = False) -> "Attacked":
        """A copy in `folder`; `remembered` lets its owner verify it once before the attack."""
        path = folder / "memory.db"
        shutil.copy(built, path)
        shutil.copy(f"{built}.key", f"{path}.key")
        attacked = cls(path, folder / "home", apsw.Connection(str(path)))
        if remembered:
            assert attacked.verified().ok
        return attacked

    def opened(self) -> Memory:
        return Memory(self.path, self.home, Clock("2026-03-03T00:00:00Z"), checkpoint_leaves=1_000_000)

    def verified(self, *, accept: bool = False, **request: Any) -> Verification:
        """What the ledger's owner is told; with `accept`, after taking the file as it is."""
        with self.opened() as memory:
            return memory.call(AcceptLedger() if accept else VerifyLedger(**request))

    def exported(self, name: str = "bundle") -> Path:
        """The bundle that the owner hands out."""
        target = self.path.parent / name
        with self.opened() as memory:
            memory.call(ExportLedger(path=str(target)))
        return target

    def checked(self, bundle: Path, *, trust: bool = True, saved: Path | None = None) -> Report:
        """What an outsider finds in a bundle, who has the log's key or not, and a checkpoint saved before or not."""
        keys = self.path.parent / "trust.txt"
        keys.write_text(f"log {self.value('SELECT vkey FROM ledger_log ORDER BY id LIMIT 1')}\n")
        return verify_path(bundle, keys if trust else None, [saved] if saved else [])

    def saved_checkpoint(self, size: int | None = None) -> Path:
        """The newest checkpoint, or the one of `size`, as somebody keeps it elsewhere."""
        order = "seq DESC" if size is None else f"abs(tree_size - {size})"
        file = self.path.parent / "kept.txt"
        file.write_text(self.value(f"SELECT note FROM ledger_checkpoint ORDER BY {order} LIMIT 1"))
        return file

    # What the attacker does.

    def value(self, sql: str, bindings: Any = ()) -> Any:
        row = self.sql.execute(sql, bindings).fetchone()
        return row and row[0]

    def fact_of(self, idx: int) -> Any:
        return self.value("SELECT subject FROM transactions WHERE idx = ?", (idx,))

    @contextmanager
    def unlocked(self) -> Iterator[apsw.Connection]:
        """Without the triggers, which are back afterwards."""
        texts = [self.value("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)) for name in TRIGGERS]
        for name in TRIGGERS:
            self.sql.execute(f"DROP TRIGGER {name}")
        try:
            yield self.sql
        finally:
            for text in texts:
                self.sql.execute(text)

    def edit(self, sql: str, bindings: Any = ()) -> None:
        """Change rows of the ledger or of anything else."""
        with self.unlocked() as connection:
            connection.execute(sql, bindings)

    def go_on(self, level: str, since: int) -> None:
        """Recompute what `level` allows from entry `since` on."""
        if level == "rehashed":
            self.rehash(since)
        if level in {"relinked", "forged", "resigned"}:
            self.relink(since)
            self.retree()
        if level in {"forged", "resigned"}:
            self.resign(self.path.parent / "attacker.key" if level == "forged" else None)

    def rehash(self, idx: int) -> None:
        """The hash of one row from its columns."""
        self.edit("UPDATE transactions SET hash = ? WHERE idx = ?", (self.hashed(idx), idx))

    def hashed(self, idx: int) -> bytes:
        row = self.sql.execute(f"SELECT {chain.LEAF_COLUMNS} FROM transactions WHERE idx = ?", (idx,)).fetchone()
        return merkle.leaf_hash(chain.encode_row(row))

    def relink(self, since: int) -> None:
        """Links and hashes from entry `since` to the end."""
        origin = bytes.fromhex(canonical.origin_link(self.value("SELECT origin FROM ledger_log")))
        before = self.value("SELECT hash FROM transactions WHERE idx < ? ORDER BY idx DESC LIMIT 1", (since,)) or origin
        with self.unlocked() as connection:
            for (idx,) in connection.execute(
                "SELECT idx FROM transactions WHERE idx >= ? ORDER BY idx", (since,)
            ).fetchall():
                connection.execute("UPDATE transactions SET prev = ? WHERE idx = ?", (before, idx))
                before = self.hashed(idx)
                connection.execute("UPDATE transactions SET hash = ? WHERE idx = ?", (before, idx))

    def retree(self) -> None:
        """The state row and the stored nodes from the hashes."""
        rows = self.sql.execute("SELECT hash, ts FROM transactions ORDER BY idx").fetchall()
        range_: list[bytes] = []
        nodes: list[merkle.Node] = []
        for at, (hashed, _) in enumerate(rows):
            nodes += merkle.range_append(range_, at, hashed)
        self.sql.execute("DELETE FROM ledger_node")
        for node in nodes:
            if node[0] >= limits.NODE_LEVEL_MIN:
                self.sql.execute("INSERT INTO ledger_node SELECT id, ?, ?, ? FROM ledger_log", node)
        # How many entries before the last one bear its time; the first entry counts twice.
        clock = sum(ts == rows[-1][1] for _, ts in rows) - (rows[-1][1] != rows[0][1])
        self.sql.execute(
            "UPDATE ledger_log SET size = ?, head = ?, range = ?, ts = ?, clock = ?",
            (len(rows), rows[-1][0], merkle.range_encode(range_), rows[-1][1], clock),
        )

    def root(self, size: int) -> bytes:
        rows = self.sql.execute("SELECT hash FROM transactions ORDER BY idx LIMIT ?", (size,))
        return merkle.root(row[0] for row in rows)

    def resign(self, key: Path | None = None) -> None:
        """Every checkpoint anew, with the log's key unless another one is given; those beyond the log are gone."""
        origin, size = self.sql.execute("SELECT origin, size FROM ledger_log").fetchone()
        signer = NodeKey(key or Path(f"{self.path}.key")).signer(origin)
        sizes = [min(row[0], size) for row in self.sql.execute("SELECT tree_size FROM ledger_checkpoint ORDER BY seq")]
        self.sql.execute("DELETE FROM ledger_checkpoint")
        sizes = sorted({*sizes, size})
        for seq, covered in enumerate(sizes, 1):
            root = self.root(covered)
            note = checkpoint.sign(checkpoint.Checkpoint(origin, covered, root), signer)
            at = self.value("SELECT ts FROM transactions ORDER BY idx LIMIT 1 OFFSET ?", (covered - 1,))
            self.sql.execute(
                "INSERT INTO ledger_checkpoint SELECT id, ?, ?, ?, ?, NULL, ? FROM ledger_log",
                (seq, covered, root, note, at),
            )
        self.sql.execute(
            "UPDATE ledger_log SET checkpoints = ?, sealed_size = ?, sealed_at ="
            " (SELECT created_at FROM ledger_checkpoint ORDER BY seq DESC LIMIT 1)",
            (len(sizes), size),
        )

    def close(self) -> None:
        self.sql.close()


def codes(found: Verification | Report) -> set[str]:
    """The set of codes in a report."""
    if isinstance(found, Report):
        return {finding["code"] for finding in found.findings}
    return {finding.code for finding in found.findings}
