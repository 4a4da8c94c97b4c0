"""Graphs over sign bits in files beside the database: candidates among very many vectors, without counting over all.

One file for each kind of vectors, made by the package usearch (the extra `scale`) from what the index has in memory,
and mapped rather than read. A graph only proposes: what it names is compared and scored as always, and vectors newer
than it are searched by their bits. It can be deleted at any time, and is whenever a fact is forgotten.

The row in vector_sidecar says what a file must be. Any other is not opened: usearch trusts what it reads. Imports
neither NumPy nor usearch before they are needed.
"""

import hashlib
import importlib
import importlib.util
import mmap
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortex import files, limits
from cortex.db.connect import Tx, integer, writable
from cortex.errors import Corrupt, CortexError, Unavailable
from cortex.index import vector_rows
from cortex.index.vector_rows import PASSAGE, WINDOW

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KINDS = (PASSAGE, WINDOW)
INSTALL_HINT = "pip install 'cortex-memory[scale]'"

_LIBRARY = "usearch"
# Links of a vector, and how many candidates for them are looked at. With these the graph finds what counting finds.
_CONNECTIVITY = 16
_EXPANSION = 128
# Added at a time: a fraction of a second, after which it can be stopped.
_STEP = 2_000
_TOKEN_BYTES = 16


@dataclass(frozen=True)
class Known:
    """What the file of one kind must be, as the database has it, and up to which vector it reaches."""

    kind: int
    last_id: int
    vectors: int
    digest: bytes
    identity: str


@dataclass(frozen=True)
class Material:
    """What a graph is made from: the signs of vectors as they were at one state of the file."""

    kind: int
    embedder: int
    epoch: bytes
    forgotten: int
    ids: "NDArray[np.int64]"
    signs: "NDArray[np.uint64]"


def installed() -> bool:
    """Whether usearch is there. A glance: it is not imported."""
    return importlib.util.find_spec(_LIBRARY) is not None


def place(database: Path, kind: int) -> Path:
    """The file for one kind of vectors of a database."""
    return database.with_name(f"{database.name}.hnsw-{kind}")


def delete(database: Path) -> bool:
    """Delete what there is beside a database, also what is being made. False where some of it cannot be deleted."""
    names = (name(database, kind) for kind in KINDS for name in (place, _claim))
    # A folder of such a name is none of ours, and holds nothing of the database.
    there = [path for path in names if os.path.lexists(path) and (path.is_symlink() or not path.is_dir())]
    try:
        for path in there:
            path.unlink(missing_ok=True)
        if there:
            files.sync_folder(database.parent)
    except OSError:
        return False
    return True


def entry(tx: Tx, kind: int, embedder: int | None) -> Known | None:
    """What the file of this kind must be; None where there is none, or it is void."""
    row: Any = tx.execute(
        "SELECT s.last_id, s.vectors, s.digest, s.identity FROM vector_sidecar AS s JOIN vector_epoch AS e"
        " ON e.epoch = s.epoch AND e.forgotten = s.forgotten WHERE s.kind = ? AND s.embedder_id = ?",
        (kind, embedder),
    ).fetchone()
    return row and Known(kind, *row)


class Sidecar:
    """An open graph. A search that comes after `close` finds nothing."""

    def __init__(self, known: Known, index: Any, held: object) -> None:
        self.entry = known
        self._index = index
        self._held = held  # what the index looks into
        self._lock = threading.Lock()

    def closest(self, bits: "NDArray[np.uint64]", most: int) -> "NDArray[np.int64] | None":
        """The ids of about `most` vectors whose signs differ least from `bits`; None once it is closed."""
        with self._lock:
            if self._index is None:
                return None
            found = self._index.search(bits.view("u1"), most, threads=1)
        ids: NDArray[np.int64] = found.keys.astype("i8")
        return ids

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._index.reset()
            self._index = self._held = None


def opened(path: Path, known: Known, dimension: int) -> Sidecar:
    """The graph in a file. Raises Corrupt where it is not what was made, Unavailable where it cannot be read."""
    try:
        if _identity(path) != known.identity:
            raise Corrupt(f"{path} is not the file that was made here", "`cortex embed` makes it anew")
        data = _data(path)
    except FileNotFoundError:
        raise Unavailable(f"{path} is not there", "`cortex embed` makes it anew") from None
    except OSError as error:
        raise Unavailable(f"{path} cannot be read ({error.strerror})", "make it readable, or remove it") from None
    if _digest(data) != known.digest:
        raise Corrupt(f"{path} was changed", "`cortex embed` makes it anew")
    index = _empty(dimension)
    try:
        index.view(data)
    except (RuntimeError, ValueError) as error:
        raise Corrupt(f"{path} cannot be used ({error})", "`cortex embed` makes it anew") from None
    return Sidecar(known, index, data)


class Sidecars:
    """The open graphs of one database, by kind. To be used under the lock of the index that they belong to.

    Where an index has fewer than `least` vectors of a kind, there is none for it; with 0 there is never one.
    """

    def __init__(self, database: Path, least: int) -> None:
        self._database = database
        self._least = least if writable(database) and installed() else 0
        self._open: dict[int, Sidecar] = {}
        self._refused: dict[int, Known] = {}
        # Why a file is not used, by kind.
        self.told: dict[int, str] = {}

    def get(self, kind: int) -> Sidecar | None:
        """The open graph of a kind."""
        return self._open.get(kind)

    def follow(self, tx: Tx, embedder: int | None, dimension: int, counts: dict[int, int]) -> None:
        """Let go of files that are void in the snapshot of `tx`, and open those that are not."""
        for kind in KINDS:
            wanted = entry(tx, kind, embedder) if self._enough(counts.get(kind, 0)) else None
            held = self._open.get(kind)
            if held is not None and held.entry == wanted:
                continue
            if held is not None:
                self._open.pop(kind).close()
            if wanted is not None and wanted != self._refused.get(kind):
                self._try(wanted, dimension)

    def due(self, kind: int, count: int, newer: int) -> bool:
        """Whether a graph over `count` vectors is to be made, `newer` of them not in the present one."""
        return self._enough(count) and (kind not in self._open or newer * limits.SIDECAR_NEWER_ONE_IN > count)

    def close(self) -> None:
        """Let go of every file."""
        for kind in list(self._open):
            self._open.pop(kind).close()

    def _enough(self, count: int) -> bool:
        return 0 < self._least <= count

    def _try(self, wanted: Known, dimension: int) -> None:
        try:
            self._open[wanted.kind] = opened(place(self._database, wanted.kind), wanted, dimension)
            self.told.pop(wanted.kind, None)
        except CortexError as error:
            # Its vectors are searched by their bits; the doctor says it too.
            self._refused[wanted.kind] = wanted
            self.told[wanted.kind] = error.message


class Build:
    """A graph being made. `step` until that says it is complete, then `saved`, then `publish`; `end` in any case.

    A file beside the database says that somebody is at it. Where that is taken away, by a process that forgets a fact
    or takes this one for dead, nothing comes of it.
    """

    def __init__(self, database: Path, source: Material) -> None:
        self.source = source
        self.done = 0
        self._database = database
        self._path = _claim(database, source.kind)
        self._token = os.urandom(_TOKEN_BYTES)
        self._identity: str | None = None
        self._digest = b""
        self._index = _empty(64 * source.signs.shape[1])
        # A step that nobody waits for any more may still run when it is ended.
        self._lock = threading.Lock()
        self._claimed = _claim_file(self._path, self._token)

    @property
    def ours(self) -> bool:
        """Whether it is still this one that is to become the file."""
        try:
            if self._identity is not None:
                return _identity(self._path) == self._identity
            return self._claimed and files.read_start(self._path, _TOKEN_BYTES) == self._token
        except OSError:
            return False

    def step(self) -> bool:
        """Add some more. False where nothing is left, or it is not ours any more."""
        end = min(self.done + _STEP, len(self.source.ids))
        with self._lock:
            if self.done == end or not self.ours:
                return False
            self._index.add(self.source.ids[self.done : end], self.source.signs[self.done : end].view("u1"), threads=1)
        self.done = end
        try:
            os.utime(self._path)
        except FileNotFoundError:
            return False
        return True

    def saved(self) -> bool:
        """Write the file, under another name still. False where it is not complete, or not ours any more.

        Raises Unavailable where it cannot be written.
        """
        try:
            with self._lock:
                if self.done < len(self.source.ids) or not self.ours:
                    return False
                self._index.save(self._path)
            self._path.chmod(0o600)  # it is another file where the first was taken away in this moment
            with self._path.open("rb+") as written:
                os.fsync(written.fileno())
            self._digest = _digest(_data(self._path))
            self._identity = _identity(self._path)
        except FileNotFoundError:
            return False
        except (OSError, RuntimeError) as error:
            self._path.unlink(missing_ok=True)
            raise Unavailable(f"{self._path} cannot be written ({error})", "free space on its disk") from None
        return True

    def publish(self, tx: Tx) -> bool:
        """Let it be the file, in a write transaction. False where what it was made from is void meanwhile.

        Inside of the transaction, since a fact may be forgotten before it or after it, but not meanwhile.
        """
        source = self.source
        state = tx.execute("SELECT epoch, forgotten FROM vector_epoch").fetchone()
        if state != (source.epoch, source.forgotten) or self._identity is None or not self.ours:
            return False
        path = place(self._database, source.kind)
        try:
            self._path.replace(path)
            identity = _identity(path)
        except OSError as error:
            raise Unavailable(f"{path} cannot be written ({error.strerror})", "see what has its name") from None
        self._claimed = False
        last = int(source.ids[-1])
        tx.execute(
            "INSERT OR REPLACE INTO vector_sidecar VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (source.kind, source.embedder, *state, last, len(source.ids), self._digest, identity),
        )
        return True

    def end(self) -> None:
        """Leave nothing behind but what was published."""
        with self._lock:
            if self._claimed and self.ours:
                self._path.unlink(missing_ok=True)
            self._claimed = False
            self._index.reset()


def told(tx: Tx, database: Path, least: int) -> tuple[bool, str]:
    """Whether all is in order with the files of a database, and what is to be said of them."""
    if not least:
        return True, "none is wanted (vectors.sidecar_from is 0)"
    row: Any = tx.execute("SELECT id, dimension FROM embedder").fetchone()
    said: list[tuple[bool, str]] = []
    for kind in KINDS:
        count = integer(tx, "SELECT count(*) FROM vector WHERE kind = ?", (kind,))
        if count >= least:
            said.append(_told(tx, place(database, kind), entry(tx, kind, row and row[0]), count, row[1]))
    if not said:
        return True, f"none is needed below {least} vectors"
    return all(ok for ok, _ in said), "; ".join(one for _, one in said)


def _told(tx: Tx, path: Path, known: Known | None, count: int, dimension: int) -> tuple[bool, str]:
    if not installed():
        return True, f"{count} vectors are searched faster with usearch: {INSTALL_HINT}"
    try:
        if known is None:
            _empty(dimension)
            return True, f"{path.name} is to be made"
        opened(path, known, dimension).close()
    except CortexError as error:
        return False, error.message
    return True, f"{path.name} has {known.vectors} vectors of {count}"


def _claim(database: Path, kind: int) -> Path:
    return database.with_name(f"{database.name}.hnsw-{kind}.building")


def _claim_file(path: Path, token: bytes) -> bool:
    """Make the file that says who is at it; False where somebody else is."""
    try:
        if os.path.lexists(path) and time.time() - path.lstat().st_mtime > limits.SIDECAR_CLAIM_SECONDS:
            path.unlink(missing_ok=True)  # whoever made it was ended
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(token)
    except FileExistsError:
        return False
    except OSError as error:
        raise Unavailable(f"{path} cannot be written ({error.strerror})", "make its folder writable") from None
    return True


def _identity(path: Path) -> str:
    """What no copy of a file has, and what changes with the file."""
    at = path.lstat()
    return f"{at.st_ino} {at.st_size} {at.st_mtime_ns} {at.st_ctime_ns}"


def _data(path: Path) -> "mmap.mmap | bytes":
    """A file's bytes: mapped, but not on Windows, where a file that is mapped cannot be deleted."""
    with path.open("rb") as file:
        return file.read() if os.name == "nt" else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _digest(data: "mmap.mmap | bytes") -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _empty(dimension: int) -> Any:
    """An index without vectors, for as many signs as whole words hold. Raises Unavailable where usearch is broken."""
    try:
        library = importlib.import_module("usearch.index")
    except (ImportError, OSError) as error:
        raise Unavailable(f"usearch cannot be imported ({error})", INSTALL_HINT) from None
    return library.Index(
        ndim=64 * vector_rows.words(dimension),
        metric="hamming",
        dtype="b1",
        connectivity=_CONNECTIVITY,
        expansion_add=_EXPANSION,
        enable_key_lookups=False,
    )
