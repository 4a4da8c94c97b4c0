"""What a witness remembers: for each log the last checkpoint that it cosigned, in an SQLite file of its own.

The journal is a rollback journal and not a write-ahead log: someone who copies the file alone has all of it. A copy
from yesterday is still a danger, since it forgets what was cosigned since; a witness whose file is lost is retired.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import apsw

from cortex import limits, times
from cortex.db import connect
from cortex.db.faults import translate
from cortex.errors import Corrupt, Invalid, Unavailable
from cortex.files import found
from cortex.ledger import cosignature, merkle
from cortex.ledger.checkpoint import Checkpoint
from cortex.ledger.cosignature import WitnessSigner
from cortex.ledger.keys import SeedFile

_APPLICATION_ID = 0x43747877  # "Ctxw"

# EXTRA: with a rollback journal a power cut right after the commit could otherwise undo it.
_PRAGMAS = "PRAGMA journal_mode = DELETE; PRAGMA synchronous = EXTRA;"

_SCHEMA = f"""
CREATE TABLE witness (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    vkey TEXT NOT NULL
) STRICT;
-- `vkey` is the log's key that had signed the note.
CREATE TABLE witnessed (
    origin TEXT PRIMARY KEY,
    size   INTEGER NOT NULL CHECK (size >= 0),
    root   BLOB NOT NULL CHECK (length(root) = {merkle.HASH_BYTES}),
    note   TEXT NOT NULL,
    vkey   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = 1;
"""


class Ruling(NamedTuple):
    """What became of a checkpoint. `size` is that of the last one cosigned, `text` the cosignature or the reason."""

    outcome: Literal["cosigned", "stale", "forked", "unproven"]
    size: int
    text: str


class WitnessState:
    """The file, open. Threads take turns here, processes at SQLite's lock."""

    def __init__(self, connection: apsw.Connection, path: Path, clock: Callable[[], str] = times.now) -> None:
        self._connection = connection
        self._path = path
        self._clock = clock
        self._turn = threading.Lock()

    def close(self) -> None:
        with self._turn:
            self._connection.close()

    def vkey(self) -> str | None:
        """The key that this state belongs to; None before it has one."""
        with self._writing() as tx:
            owner = connect.value(tx, "SELECT vkey FROM witness")
        return None if owner is None else str(owner)

    def claim(self, vkey: str) -> None:
        """Make this the state of the witness `vkey`. Raises Invalid where it is another's."""
        with self._writing() as tx:
            tx.execute("INSERT OR IGNORE INTO witness (id, vkey) VALUES (1, ?)", (vkey,))
            owner = connect.value(tx, "SELECT vkey FROM witness")
        if owner != vkey:
            raise Invalid(
                f"{self._path} is the state of {owner}, not of {vkey}",
                "give the name and the key file it was begun with, or another state file",
            )

    def advance(
        self, head: Checkpoint, note: str, vkey: str, old: int, proof: Sequence[bytes], signer: WitnessSigner
    ) -> Ruling:
        """Cosign a checkpoint whose log's signature was verified, if it goes on from the last one.

        Checking, signing and storing are one transaction, so that no cosignature is of a time at which a larger tree
        was known. The cosignature is returned once it is stored.
        """
        with self._writing() as tx:
            row = tx.execute("SELECT size, root FROM witnessed WHERE origin = ?", (head.origin,)).fetchone()
            size, root = (0, merkle.EMPTY_ROOT) if row is None else (int(row[0]), bytes(row[1]))
            refused = _refused(head, old, proof, size, root)
            if refused is not None:
                return refused
            tx.execute(
                "INSERT INTO witnessed (origin, size, root, note, vkey) VALUES (?, ?, ?, ?, ?) ON CONFLICT (origin)"
                " DO UPDATE SET size = excluded.size, root = excluded.root, note = excluded.note, vkey = excluded.vkey",
                (head.origin, head.size, head.root, note, vkey),
            )
            line = cosignature.cosign(note, signer, times.micros(self._clock()) // 1_000_000)
        return Ruling("cosigned", head.size, line)

    @contextmanager
    def _writing(self) -> Iterator[apsw.Connection]:
        """A transaction that nobody else writes beside. It is rolled back where the block does not end well."""
        with self._turn:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except apsw.Error as error:
                raise translate(error, str(self._path)) from None
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")


def open_witness(path: Path, name: str) -> tuple[WitnessState, WitnessSigner]:
    """The state in the file `path` and the key beside it, both made on first use.

    Raises Unavailable where only one of the two is there: a witness that lost its memory would cosign anything.
    """
    key = SeedFile(
        path.with_name(f"{path.name}.key"),
        "cortex-witness-key/v1",
        "witness's key",
        "put the right file back, or begin another witness with another state file",
        "make its folder writable, or give another place for the state",
    )
    # In this order: whoever begins a witness makes the state, the key, and then the row that names it.
    state = WitnessState(_opened(path, may_begin=not key.exists()), path)
    try:
        if state.vkey() is not None and not key.exists():
            raise Unavailable(f"{path} is there, but not its key {key.path}", key.damaged_hint)
        signer = WitnessSigner(name, key.load_or_make())
        state.claim(signer.vkey)
    except BaseException:  # whatever it was goes on to the caller
        state.close()
        raise
    return state, signer


def _refused(head: Checkpoint, old: int, proof: Sequence[bytes], size: int, root: bytes) -> Ruling | None:
    """Why a checkpoint is not cosigned by a witness that has seen `size` leaves under `root`; None where it is."""
    if old != size:
        return Ruling("stale", size, f"the last checkpoint cosigned has size {size}")
    if head.size == size and head.root != root and size:
        return Ruling("forked", size, f"another root over {size} leaves was cosigned")
    try:
        if size:
            merkle.verify_consistency(size, head.size, proof, root, head.root)
        elif proof or (head.size == 0 and head.root != merkle.EMPTY_ROOT):
            raise Corrupt("a proof from an empty tree, or a root of one that is not it")
    except Corrupt as error:
        return Ruling("unproven", size, error.message)
    return None


def _opened(path: Path, *, may_begin: bool) -> apsw.Connection:
    if may_begin:
        connect.create_file(path)
    elif found(path) is None:
        raise _forgotten(path)
    connection = connect.connect(path, busy_timeout_ms=limits.WITNESS_BUSY_MS)
    try:
        connection.execute("BEGIN IMMEDIATE")
        _begin(connection, path, may_begin=may_begin)
        connection.execute("COMMIT")
        connection.execute(_PRAGMAS).fetchall()
    except apsw.Error as error:
        connection.close()
        raise translate(error, str(path)) from None
    except (Invalid, Unavailable):
        connection.close()
        raise
    return connection


def _begin(tx: apsw.Connection, path: Path, *, may_begin: bool) -> None:
    marks = connect.integer(tx, "PRAGMA application_id"), connect.integer(tx, "PRAGMA user_version")
    if marks == (_APPLICATION_ID, 1):
        return
    if marks != (0, 0) or connect.value(tx, "SELECT 1 FROM sqlite_schema") is not None:
        raise Invalid(f"{path} is no state of a witness that this version reads", "give another file")
    if not may_begin:
        raise _forgotten(path)
    tx.execute(_SCHEMA)


def _forgotten(path: Path) -> Unavailable:
    return Unavailable(
        f"the state {path} is gone, but its key is there",
        "restore the state as it was last; if it is lost, move the key away: others must no longer trust it",
    )
