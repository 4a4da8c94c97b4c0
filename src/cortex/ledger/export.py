"""The bundle that an outsider checks: entries verbatim, checkpoints, a page that says what it is."""

import csv
import hashlib
import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from cortex import files, limits
from cortex.db.connect import Tx, integer
from cortex.errors import Invalid, Unavailable
from cortex.ledger import chain
from cortex.progress import Progress

Format = Literal["directory", "zip", "json", "csv"]

_BLOCK_BYTES = 1 << 20

_COLUMNS = (
    "idx",
    "kind",
    "subject",
    "project",
    "actor",
    "ts",
    "rev",
    "parent",
    "batch",
    "batch_n",
    "digest",
    "prev",
    "hash",
)

_README = """This is a Cortex ledger: the entries of one log, and its signed checkpoints.

leaves.jsonl       one entry a line, exactly the bytes that were hashed (RFC 8785, RFC 9162)
checkpoints.jsonl  the signed checkpoints (C2SP signed note), one JSON object a line

Check it with `python verify.py PATH --trust FILE`, from a copy of Cortex that you trust (one file, Python 3.9 or later,
nothing to install). FILE holds the line `log <key>`, and for a log of votes the line `genesis <hash>` too, that the
log's owner gave you by another way than this bundle. No text of any fact is in here, and of no vote's reason.
"""


def format_of(target: Path) -> Format:
    """The format that a path's ending means; a folder without one."""
    endings: dict[str, Format] = {"": "directory", ".zip": "zip", ".json": "json", ".csv": "csv"}
    if target.suffix.lower() not in endings:
        raise Invalid(
            f"{target.suffix} is no format of an export", "end in .zip, .json, .csv or nothing, or give --format"
        )
    return endings[target.suffix.lower()]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A log up to its last checkpoint, as it is exported. `columns` and `rows` are what people read in a table."""

    log: str
    leaves: Iterable[bytes]
    notes: list[str]
    columns: tuple[str, ...]
    rows: Iterable[tuple[Any, ...]]


def bundle(tx: Tx, state: chain.State, progress: Progress) -> Bundle:
    """A log of the transactions, read while it is written."""
    signed = signed_size(tx, state)
    found: Any = tx.execute("SELECT note FROM ledger_checkpoint WHERE log = ? ORDER BY seq", (state.id,))
    query = "SELECT {} FROM transactions WHERE log = ? ORDER BY idx LIMIT ?"

    def rows(columns: str) -> Iterator[Any]:
        # From a generator, so that it begins when it is read: of leaves and table only one is.
        yield from tx.execute(query.format(columns), (state.id, signed))

    return Bundle(
        log=chain.LOG,
        leaves=counted((chain.encode_row(row) for row in rows(chain.LEAF_COLUMNS)), signed, progress),
        notes=[row[0] for row in found],
        columns=_COLUMNS,
        rows=rows(", ".join(_COLUMNS)),
    )


def counted(leaves: Iterable[bytes], total: int, progress: Progress) -> Iterator[bytes]:
    """The leaves, with word of how far they are."""
    for done, leaf in enumerate(leaves, 1):
        yield leaf
        if done % limits.VERIFY_CHUNK_LEAVES == 0 or done == total:
            progress(done, total, "entries")


def signed_size(tx: Tx, state: chain.State) -> int:
    """How many entries the last checkpoint covers: what comes after, nobody signed for yet."""
    return integer(tx, "SELECT coalesce(max(tree_size), 0) FROM ledger_checkpoint WHERE log = ?", (state.id,))


def write(found: Bundle, target: Path, form: Format) -> None:
    """Write a log to `target`, whole or not at all.

    Raises Conflict where `target` exists, Unavailable where it cannot be written.
    """
    if form == "directory":
        _write_directory(target, found)
        return
    with files.new_file(target) as file:
        _WRITERS[form](file, found)


def digest(target: Path, form: Format) -> bytes:
    """SHA-256 of what was written: of the file, or of a folder's leaves.jsonl with checkpoints.jsonl behind it.

    Raises Unavailable where it cannot be read.
    """
    parts = [target / "leaves.jsonl", target / "checkpoints.jsonl"] if form == "directory" else [target]
    hashed = hashlib.sha256()
    try:
        for part in parts:
            with part.open("rb") as file:
                while block := file.read(_BLOCK_BYTES):
                    hashed.update(block)
    except OSError as error:
        raise Unavailable(f"{part} cannot be read ({error.strerror})", "export again, to another place") from None
    return hashed.digest()


def _note_lines(notes: list[Any]) -> Iterator[bytes]:
    for note in notes:
        yield json.dumps({"note": note}, ensure_ascii=False).encode() + b"\n"


def _write_directory(target: Path, found: Bundle) -> None:
    files.refuse_existing(target)
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            files.write_whole(temporary / "README.md", _README.encode())
            with files.new_file(temporary / "checkpoints.jsonl") as file:
                file.writelines(_note_lines(found.notes))
            with files.new_file(temporary / "leaves.jsonl") as file:
                file.writelines(leaf + b"\n" for leaf in found.leaves)
            temporary.rename(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise Unavailable(f"{target} cannot be written ({error.strerror})", "give another place") from None


def _write_zip(file: BinaryIO, found: Bundle) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.md", _README)
        archive.writestr("checkpoints.jsonl", b"".join(_note_lines(found.notes)))
        with archive.open("leaves.jsonl", "w", force_zip64=True) as entry:
            for leaf in found.leaves:
                entry.write(leaf + b"\n")


def _write_json(file: BinaryIO, found: Bundle) -> None:
    file.write(f'{{"format":"cortex-ledger/v1","log":"{found.log}","leaves":['.encode())
    lines = (json.dumps(leaf.decode(), ensure_ascii=False).encode() for leaf in found.leaves)
    file.writelines((b",\n" if number else b"\n") + line for number, line in enumerate(lines))
    file.write(b'\n],"checkpoints":' + json.dumps(found.notes, ensure_ascii=False).encode() + b"}\n")


def _write_csv(file: BinaryIO, found: Bundle) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    writer = csv.writer(text)
    writer.writerow(found.columns)
    for row in found.rows:
        writer.writerow([_cell(value) for value in row])
    text.flush()
    text.detach()


_WRITERS: dict[Format, Callable[[BinaryIO, Bundle], None]] = {
    "zip": _write_zip,
    "json": _write_json,
    "csv": _write_csv,
}


def _cell(value: object) -> object:
    """A value that a spreadsheet takes for data: text that begins like a formula is quoted."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t"}:
        return f"'{value}"
    return value
