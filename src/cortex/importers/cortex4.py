"""The SQLite file of an earlier Cortex, version 4 and its successors: table `facts`, one item a row.

Columns came and went between its versions, so they are read from the table. Times without an offset were UTC there. A
deprecated fact keeps its `valid_until`; a tombstoned, quarantined or encrypted one is skipped. Votes are not imported:
they carry no signature. The file is opened read-only, and nothing in it is trusted.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import msgspec

from cortex import limits
from cortex.errors import Corrupt, Invalid, Unavailable
from cortex.importers.items import Item, Skip, checked, place, utc

_REQUIRED = frozenset({"id", "content", "fact_type"})
_KEPT = ("id", "confidence", "consensus_score", "tx_id", "tenant_id", "created_at", "updated_at", "hash")
_USED = ("project", "content", "fact_type", "tags", "meta", "metadata", "source", "valid_from", "valid_until")
_FLAGS = ("is_tombstoned", "is_quarantined")
_READ = (*_KEPT, *_USED, *_FLAGS)
_NUMBERS = frozenset({"id", "consensus_score", "tx_id"})
_INFERRED = frozenset({"inferred", "hypothesis", "tentative", "speculative", "c1", "c2"})
_VOTES = ("consensus_votes", "consensus_votes_v2")
_ENCRYPTED = re.compile(r"v\d+_aesgcm:")
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MINUTE = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d", re.ASCII)

_Row = dict[str, str | None]


def require(path: Path) -> None:
    """Raise Invalid for a SQLite file that is not one of these, Corrupt for one that cannot be read."""
    connection = _open(path)
    try:
        _columns(connection, path)
    except apsw.Error as error:
        raise _fault(path, "its schema", error) from None
    finally:
        connection.close()


def read(path: Path, name: str) -> Iterator[Item | Skip]:
    """One item a row in the order of the file."""
    connection = _open(path)
    place_reached = "its schema"
    try:
        columns = _columns(connection, path)
        for number, row in enumerate(connection.execute(_select(columns)), start=1):
            place_reached = f"row {number}"
            yield _row_item(place_reached, columns, row, name)
        yield from _votes(connection)
    except apsw.Error as error:
        raise _fault(path, place_reached, error) from None
    finally:
        connection.close()


def _open(path: Path) -> apsw.Connection:
    # Without a log or a journal beside it nobody is half-way through a write, and `immutable` leaves no files behind.
    beside = any(path.with_name(path.name + end).exists() for end in ("-wal", "-journal"))
    uri = path.absolute().as_uri() + ("?mode=ro" if beside else "?mode=ro&immutable=1")
    try:
        connection = apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    except apsw.Error as error:
        raise _fault(path, "its start", error) from None
    connection.set_busy_timeout(limits.BUSY_TIMEOUT_MS)
    connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    return connection


def _fault(path: Path, reached: str, error: apsw.Error) -> Corrupt | Unavailable:
    if isinstance(error, apsw.CorruptError | apsw.NotADBError | apsw.SQLError):
        return Corrupt(
            f"{str(path)!r} is damaged after {reached}: {error}", "repair it with `sqlite3 FILE .recover` and try again"
        )
    return Unavailable(
        f"{str(path)!r} could not be read after {reached}: {error}",
        "stop what uses the file, or import a copy that it has closed",
    )


def _columns(connection: apsw.Connection, path: Path) -> list[str]:
    # A root page tells a real table from a view or a virtual table, which could run anything.
    tables = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 ORDER BY name LIMIT 1000"
    )
    names = [str(row[0]) for row in tables]
    there: set[str] = set()
    if "facts" in names:
        there = {str(row[1]) for row in connection.execute("PRAGMA main.table_info(facts)")}
    if not there >= _REQUIRED:
        found = place(", ".join(names[:10])) or "none"
        raise Invalid(
            f"{str(path)!r} is a SQLite file, but not of Cortex 4; its tables: {found}",
            "export it with the program that made it, and import that",
        )
    return [column for column in _READ if column in there]


def _select(columns: list[str]) -> str:
    """The size of the largest value of a row, then its values.

    As bytes, so that text which is not UTF-8 skips its row only; asked for their size first, so that none fills the
    memory. The columns are names from _READ.
    """
    largest = ", ".join(f'ifnull(octet_length("{column}"), 0)' for column in columns)
    bytes_max = limits.CONTENT_BYTES_MAX
    fields = ", ".join(
        f'CASE WHEN octet_length("{column}") <= {bytes_max} THEN CAST("{column}" AS BLOB) END' for column in columns
    )
    return f"SELECT max({largest}), {fields} FROM main.facts"


def _row_item(where: str, columns: list[str], values: tuple[Any, ...], name: str) -> Item | Skip:
    row: _Row = dict.fromkeys(_READ)
    largest, *fields = values
    for column, value in zip(columns, fields, strict=True):
        row[column] = None if value is None else bytes(value).decode("utf-8", "surrogateescape")
    if row["id"] is not None:
        where = f"{where}, fact {place(row['id'])}"
    if largest > limits.CONTENT_BYTES_MAX:
        return Skip(where, f"a column has {largest} bytes, more than {limits.CONTENT_BYTES_MAX}")
    if (reason := _refusal(row)) is not None:
        return Skip(where, reason)
    confidence = (row["confidence"] or "stated").lower()
    return checked(
        Item(
            content=row["content"] or "",
            where=where,
            type=row["fact_type"] or "knowledge",
            tags=_tags(row["tags"]),
            source=row["source"] or name,
            meta=_meta(row),
            confidence="inferred" if confidence in _INFERRED else "stated",
            valid_from=_instant(row["valid_from"]) or _instant(row["created_at"]),
            valid_until=_instant(row["valid_until"]),
            project=row["project"] or None,
        )
    )


def _refusal(row: _Row) -> str | None:
    for flag in _FLAGS:
        if row[flag] not in {None, "", "0"}:
            return f"it is {flag.removeprefix('is_')} there"
    if _ENCRYPTED.match(row["content"] or ""):
        return "its content is encrypted; export it with the program that holds the key"
    if row["valid_until"] and _instant(row["valid_until"]) is None:
        return f"its end {place(row['valid_until'][:40])!r} is not a time"
    return None


def _tags(text: str | None) -> tuple[str, ...]:
    """JSON in the versions we know; a list with commas was accepted by hand."""
    found: object = _json(text)
    if found is None:
        found = (text or "").split(",")
    listed = found if isinstance(found, list) else []
    return tuple(dict.fromkeys(tag.strip() for tag in listed if isinstance(tag, str) and tag.strip()))


def _meta(row: _Row) -> dict[str, Any]:
    meta: dict[str, Any] = {}
    kept: dict[str, Any] = {column: row[column] for column in _KEPT if row[column] is not None}
    for column in _NUMBERS & kept.keys():
        if isinstance(number := _json(kept[column]), int | float):
            kept[column] = number
    for column in ("meta", "metadata"):
        found = _json(row[column])
        if isinstance(found, dict):
            meta |= found
        elif row[column]:
            kept[column] = row[column]
    if row["valid_from"] and _instant(row["valid_from"]) is None:
        kept["valid_from"] = row["valid_from"]
    return meta | {"cortex4": kept}


def _json(text: str | None) -> object:
    try:
        return msgspec.json.decode((text or "").encode("utf-8", "surrogateescape"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _instant(text: str | None) -> str | None:
    if not text:
        return None
    text = text.strip()
    if _DAY.fullmatch(text):
        return utc(f"{text}T00:00:00Z")
    if _MINUTE.fullmatch(text):
        return utc(f"{text}:00Z")
    return utc(text) or utc(f"{text}Z")


def _votes(connection: apsw.Connection) -> Iterator[Skip]:
    for table in _VOTES:
        there = "SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND rootpage > 0 AND name = ?"
        if connection.execute(there, (table,)).fetchone() is None:
            continue
        for (count,) in connection.execute(f"SELECT count(*) FROM main.{table} HAVING count(*) > 0"):
            yield Skip(f"table {table}", f"{count} votes are not imported: they are not signed")
