"""The bundle that an outsider checks: entries verbatim, checkpoints, a page that says what it is."""

import csv
import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

from cortex import files, limits
from cortex.db.connect import Tx, integer
from cortex.errors import Invalid, Unavailable
from cortex.ledger import chain
from cortex.progress import Progress

Format = Literal["directory", "zip", "json", "csv"]

_README = """This is a Cortex ledger: the entries of one log, and its signed checkpoints.

leaves.jsonl       one entry a line, exactly the bytes that were hashed (RFC 8785, RFC 9162)
checkpoints.jsonl  the signed checkpoints (C2SP signed note), one JSON object a line

Check it with `python verify.py PATH --trust FILE`, from a copy of Cortex that you trust (one file, Python 3.9 or later,
nothing to install). FILE holds the line `log <key>` that the log's owner gave you by another way than this bundle.
No text of any fact is in here.
"""


def format_of(target: Path) -> Format:
    """The format that a path's ending means; a folder without one."""
    endings: dict[str, Format] = {"": "directory", ".zip": "zip", ".json": "json", ".csv": "csv"}
    if target.suffix.lower() not in endings:
        raise Invalid(
            f"{target.suffix} is no format of an export", "end in .zip, .json, .csv or nothing, or give --format"
        )
    return endings[target.suffix.lower()]


def write(tx: Tx, state: chain.State, target: Path, form: Format, progress: Progress) -> int:
    """Write a log up to its last checkpoint to `target`, whole or not at all. Returns how many checkpoints it has.

    Raises Conflict where `target` exists, Unavailable where it cannot be written.
    """
    leaves = _leaves(tx, state, progress)
    notes = [row[0] for row in tx.execute("SELECT note FROM ledger_checkpoint WHERE log = ? ORDER BY seq", (state.id,))]
    if form == "directory":
        _write_directory(target, leaves, notes)
    elif form == "zip":
        with files.new_file(target) as file:
            _write_zip(file, leaves, notes)
    elif form == "json":
        with files.new_file(target) as file:
            _write_json(file, leaves, notes)
    else:
        with files.new_file(target) as file:
            _write_csv(file, tx, state)
    return len(notes)


def _leaves(tx: Tx, state: chain.State, progress: Progress) -> Iterator[bytes]:
    signed = signed_size(tx, state)
    query = f"SELECT {chain.LEAF_COLUMNS} FROM transactions WHERE log = ? ORDER BY idx LIMIT ?"
    rows = tx.execute(query, (state.id, signed))
    for done, row in enumerate(rows, 1):
        yield chain.encode_row(row)
        if done % limits.VERIFY_CHUNK_LEAVES == 0 or done == signed:
            progress(done, signed, "entries")


def signed_size(tx: Tx, state: chain.State) -> int:
    """How many entries the last checkpoint covers: what comes after, nobody signed for yet."""
    return integer(tx, "SELECT coalesce(max(tree_size), 0) FROM ledger_checkpoint WHERE log = ?", (state.id,))


def _note_lines(notes: list[Any]) -> Iterator[bytes]:
    for note in notes:
        yield json.dumps({"note": note}, ensure_ascii=False).encode() + b"\n"


def _write_directory(target: Path, leaves: Iterator[bytes], notes: list[Any]) -> None:
    files.refuse_existing(target)
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            files.write_whole(temporary / "README.md", _README.encode())
            with files.new_file(temporary / "checkpoints.jsonl") as file:
                file.writelines(_note_lines(notes))
            with files.new_file(temporary / "leaves.jsonl") as file:
                file.writelines(leaf + b"\n" for leaf in leaves)
            temporary.rename(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise Unavailable(f"{target} cannot be written ({error.strerror})", "give another place") from None


def _write_zip(file: BinaryIO, leaves: Iterator[bytes], notes: list[Any]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.md", _README)
        archive.writestr("checkpoints.jsonl", b"".join(_note_lines(notes)))
        with archive.open("leaves.jsonl", "w", force_zip64=True) as entry:
            for leaf in leaves:
                entry.write(leaf + b"\n")


def _write_json(file: BinaryIO, leaves: Iterator[bytes], notes: list[Any]) -> None:
    file.write(b'{"format":"cortex-ledger/v1","log":"transactions","leaves":[')
    lines = (json.dumps(leaf.decode(), ensure_ascii=False).encode() for leaf in leaves)
    file.writelines((b",\n" if number else b"\n") + line for number, line in enumerate(lines))
    file.write(b'\n],"checkpoints":' + json.dumps(notes, ensure_ascii=False).encode() + b"}\n")


def _write_csv(file: BinaryIO, tx: Tx, state: chain.State) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    writer = csv.writer(text)
    columns = (
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
    writer.writerow(columns)
    query = f"SELECT {', '.join(columns)} FROM transactions WHERE log = ? ORDER BY idx LIMIT ?"
    rows = tx.execute(query, (state.id, signed_size(tx, state)))
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    text.flush()
    text.detach()


def _cell(value: object) -> object:
    """A value that a spreadsheet takes for data: text that begins like a formula is quoted."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t"}:
        return f"'{value}"
    return value
