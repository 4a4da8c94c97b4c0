"""Making sure that what was forgotten is gone: samples of a text, and looking for them in the raw files."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cortex.db.connect import Tx, value
from cortex.files import found
from cortex.index.vector_rows import WINDOW

_CHUNK_BYTES = 1 << 20
_PIECE_BYTES = 48
_PIECE_BYTES_MIN = 8
_PIECES_MAX = 6
_REVISIONS_MAX = 8
_VECTORS_MAX = 64


@dataclass(frozen=True)
class Sample:
    """Bytes that a fact left in the file.

    A salt is nobody else's. A piece of text may stand in other facts too, and the same text has the same vector.
    """

    found: bytes
    of: Literal["salt", "text", "vector"]


def samples(tx: Tx, fact_id: str) -> tuple[Sample, ...]:
    """The salts of a fact's last revisions, pieces of their texts, of its vectors and of the reasons of votes.

    Taken before it is erased.
    """
    rows = tx.execute(
        "SELECT salt, content FROM revision WHERE fact_id = ? ORDER BY number DESC LIMIT ?", (fact_id, _REVISIONS_MAX)
    )
    taken: list[Sample] = []
    for salt, content in rows:
        stored = content.encode()
        step = max(_PIECE_BYTES, len(stored) // _PIECES_MAX)
        pieces = [stored[at : at + _PIECE_BYTES] for at in range(0, len(stored), step)][:_PIECES_MAX]
        taken.append(Sample(salt, "salt"))
        taken += [Sample(piece, "text") for piece in pieces if len(piece) >= _PIECE_BYTES_MIN]
    reasons = tx.execute(
        "SELECT salt, reason FROM vote_reason WHERE fact = ? ORDER BY event_id DESC LIMIT ?", (fact_id, _REVISIONS_MAX)
    )
    for salt, reason in reasons:
        taken += [Sample(salt, "salt"), Sample(reason.encode()[:_PIECE_BYTES], "text")]
    taken += [Sample(codes[:_PIECE_BYTES], "vector") for codes in _codes(tx, fact_id)]
    return tuple(dict.fromkeys(taken))


def _codes(tx: Tx, fact_id: str) -> list[bytes]:
    """The vectors of a fact's last passages, and of the windows that it stands in."""
    rows = tx.execute(
        "SELECT codes FROM (SELECT v.id, v.codes FROM vector AS v JOIN revision AS r ON r.id = v.revision_id"
        " WHERE r.fact_id = ?1 UNION SELECT v.id, v.codes FROM revision AS r JOIN turn_window AS own ON own.id = r.id"
        " JOIN vector AS v ON v.revision_id IN (own.before_id, own.after_id) AND v.kind = ?2 WHERE r.fact_id = ?1)"
        " ORDER BY id DESC LIMIT ?3",
        (fact_id, WINDOW, _VECTORS_MAX),
    )
    return [codes for (codes,) in rows]


def scan(path: Path, wanted: Iterable[Sample]) -> tuple[Sample, ...]:
    """Those of `wanted` that the database file or its write-ahead log still holds."""
    left = set(wanted)
    hit: set[Sample] = set()
    overlap = max((len(sample.found) for sample in left), default=1) - 1
    for file in (path, Path(f"{path}-wal")):
        if found(file) is None:
            continue
        with file.open("rb") as raw:
            tail = b""
            while left and (chunk := raw.read(_CHUNK_BYTES)):
                window = tail + chunk
                here = {sample for sample in left if sample.found in window}
                hit |= here
                left -= here
                tail = window[-overlap:] if overlap else b""
    return tuple(hit)


def held_elsewhere(tx: Tx, sample: Sample) -> bool:
    """Whether this piece stands in something that is still kept: a fact's text, its labels, a name, its vector."""
    if sample.of == "vector":
        same = "SELECT 1 FROM vector WHERE substr(codes, 1, ?) = ? LIMIT 1"
        return value(tx, same, (len(sample.found), sample.found)) is not None
    if sample.of == "salt":
        return False
    piece = sample.found.decode(errors="ignore")
    return any(value(tx, _holds(table, columns), (piece,)) is not None for table, columns in _TEXTS.items())


# Every column with text that people or programs gave.
_TEXTS = {
    "revision": ("content", "type", "tags", "key", "source", "meta", "thread", "actor", "grams"),
    "project": ("name",),
    "import_run": ("name",),
    "entity": ("key", "name"),
    "entity_form": ("name",),
    "transactions": ("subject", "project", "actor"),
    "vote_reason": ("reason",),
}


def _holds(table: str, columns: tuple[str, ...]) -> str:
    return f"SELECT 1 FROM {table} WHERE {' OR '.join(f'instr({column}, ?1)' for column in columns)} LIMIT 1"


def unscrubbed(tx: Tx) -> list[str]:
    """Facts that were erased while the raw files could not be cleaned, or were found not to be clean afterwards."""
    return [row[0] for row in tx.execute(f"SELECT id FROM fact WHERE {UNSCRUBBED} ORDER BY id")]


# As the index has it.
UNSCRUBBED = "erased_at IS NOT NULL AND scrubbed_at IS NULL"


def mark_scrubbed(tx: Tx, fact_ids: Iterable[str], at: str) -> None:
    """Note that the raw files were cleaned after these facts were erased."""
    tx.executemany("UPDATE fact SET scrubbed_at = ? WHERE id = ?", [(at, fact_id) for fact_id in fact_ids])
