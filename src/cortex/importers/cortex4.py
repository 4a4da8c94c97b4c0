"""The SQLite file of an earlier Cortex, version 4 and its successors: table `facts`, one item a row.

Columns came and went between its versions, so they are read from the table. Times without an offset were UTC there. A
deprecated fact keeps its `valid_until`; a tombstoned, quarantined or encrypted one is skipped. The row's id stays in
the item's meta as `cortex4.id`: `cortex4_votes` reads the tables `agents`, `consensus_votes` and `consensus_votes_v2`,
whose votes name it, and `cortex4_chains` checks the chained tables. The file is opened read-only, and nothing in it is
trusted.
"""

import re
from collections.abc import Iterator, Sequence
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
_REAL = "WHERE type = 'table' AND rootpage > 0"
_ENCRYPTED = re.compile(r"v\d+_aesgcm:")
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MINUTE = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d", re.ASCII)

_Row = dict[str, str | None]

# Text and bytes are bytes here, so that text which is not UTF-8 is found by whoever reads it.
Value = int | float | bytes | None


def require(path: Path) -> None:
    """Raise Invalid for a SQLite file that is not one of these, Corrupt for one that cannot be read."""
    connection = opened(path)
    try:
        fact_columns(connection, path)
    except apsw.Error as error:
        raise fault(path, "its schema", error) from None
    finally:
        connection.close()


def read(path: Path, name: str) -> Iterator[Item | Skip]:
    """One item a row in the order of the file."""
    connection = opened(path)
    place_reached = "its schema"
    try:
        columns = fact_columns(connection, path)
        found = rows(connection, "facts", columns, bytes_max=limits.CONTENT_BYTES_MAX)
        for number, (largest, values) in enumerate(found, start=1):
            place_reached = f"row {number}"
            yield _row_item(place_reached, largest, values, name)
    except apsw.Error as error:
        raise fault(path, place_reached, error) from None
    finally:
        connection.close()


def id_of(entry: Item | Skip) -> int | float | str | None:
    """The id that an entry's row had, None where that is not known."""
    meta = entry.meta if isinstance(entry, Item) else None
    kept = (meta or {}).get("cortex4")
    return kept.get("id") if isinstance(kept, dict) else None


def opened(path: Path) -> apsw.Connection:
    """The file, to read from only. The caller closes it."""
    # Without a log or a journal beside it nobody is half-way through a write, and `immutable` leaves no files behind.
    beside = any(path.with_name(path.name + end).exists() for end in ("-wal", "-journal"))
    uri = path.absolute().as_uri() + ("?mode=ro" if beside else "?mode=ro&immutable=1")
    try:
        connection = apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    except apsw.Error as error:
        raise fault(path, "its start", error) from None
    connection.set_busy_timeout(limits.BUSY_TIMEOUT_MS)
    connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    return connection


def fault(path: Path, reached: str, error: apsw.Error) -> Corrupt | Unavailable:
    """What an error of SQLite says about the file."""
    if isinstance(error, apsw.CorruptError | apsw.NotADBError | apsw.SQLError):
        return Corrupt(
            f"{str(path)!r} is damaged after {reached}: {error}", "repair it with `sqlite3 FILE .recover` and try again"
        )
    return Unavailable(
        f"{str(path)!r} could not be read after {reached}: {error}",
        "stop what uses the file, or import a copy that it has closed",
    )


def fact_columns(connection: apsw.Connection, path: Path) -> list[str]:
    """The columns of `facts` that are read. Raises Invalid for a file without such a table."""
    there = set(columns_of(connection, "facts"))
    if not there >= _REQUIRED:
        found = place(", ".join(tables(connection)[:10])) or "none"
        raise Invalid(
            f"{str(path)!r} is a SQLite file, but not of Cortex 4; its tables: {found}",
            "export it with the program that made it, and import that",
        )
    return [column for column in _READ if column in there]


def tables(connection: apsw.Connection) -> list[str]:
    """The names of its real tables. A root page tells them from views and virtual tables, which could run anything."""
    found = connection.execute(
        f"SELECT CAST(name AS BLOB) FROM main.sqlite_schema {_REAL} ORDER BY name LIMIT {limits.IMPORT_OLD_TABLES_MAX}"
    )
    return [_name(row[0]) for row in found]


def columns_of(connection: apsw.Connection, table: str) -> list[str]:
    """The columns of a real table that are stored in it, none where there is no such table."""
    there = connection.execute(f"SELECT 1 FROM main.sqlite_schema {_REAL} AND name = ?", (table,))
    if there.fetchone() is None:
        return []
    found = connection.execute("SELECT CAST(name AS BLOB) FROM pragma_table_info(?, 'main')", (table,))
    return [_name(row[0]) for row in found]


def rows(
    connection: apsw.Connection, table: str, columns: Sequence[str], *, bytes_max: int, rest: str = ""
) -> Iterator[tuple[int, dict[str, Value]]]:
    """The size of the largest value of each row, and its values; None for one of more than `bytes_max`.

    They are asked for their size first, so that none fills the memory. `rest` is what follows the table in the query.
    """
    names = [_quoted(column) for column in columns]
    largest = ", ".join(f"ifnull(octet_length({name}), 0)" for name in names)
    fields = ", ".join(
        f"CASE WHEN typeof({name}) IN ('integer', 'real') THEN {name}"
        f" WHEN octet_length({name}) <= {bytes_max} THEN CAST({name} AS BLOB) END"
        for name in names
    )
    query = f"SELECT max(0, {largest}), {fields} FROM main.{_quoted(table)} NOT INDEXED {rest}"
    for size, *values in connection.execute(query):
        yield size, dict(zip(columns, values, strict=True))


def text(value: Value) -> str | None:
    """A value as text. Bytes that are not UTF-8 become lone surrogates."""
    if value is None:
        return None
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else repr(value)


def number(written: str) -> int | float | str:
    """An id as the items' meta has it: a number where it is one."""
    found = _json(written)
    return found if isinstance(found, int | float) and not isinstance(found, bool) else written


def instant(written: str | None) -> str | None:
    """The stored form of a time as it was written there, None for anything else."""
    if not written:
        return None
    written = written.strip()
    if _DAY.fullmatch(written):
        return utc(f"{written}T00:00:00Z")
    if _MINUTE.fullmatch(written):
        return utc(f"{written}:00Z")
    return utc(written) or utc(f"{written}Z")


def _name(written: bytes | None) -> str:
    # Names in a damaged schema need not be UTF-8, and such a one is none of those that are asked for.
    return (written or b"").decode(errors="replace")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _row_item(where: str, largest: int, values: dict[str, Value], name: str) -> Item | Skip:
    row: _Row = dict.fromkeys(_READ)
    row |= {column: text(value) for column, value in values.items()}
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
            valid_from=instant(row["valid_from"]) or instant(row["created_at"]),
            valid_until=instant(row["valid_until"]),
            project=row["project"] or None,
        )
    )


def _refusal(row: _Row) -> str | None:
    for flag in _FLAGS:
        if row[flag] not in {None, "", "0"}:
            return f"it is {flag.removeprefix('is_')} there"
    if _ENCRYPTED.match(row["content"] or ""):
        return "its content is encrypted; export it with the program that holds the key"
    if row["valid_until"] and instant(row["valid_until"]) is None:
        return f"its end {place(row['valid_until'][:40])!r} is not a time"
    return None


def _tags(written: str | None) -> tuple[str, ...]:
    """JSON in the versions we know; a list with commas was accepted by hand."""
    found: object = _json(written)
    if found is None:
        found = (written or "").split(",")
    listed = found if isinstance(found, list) else []
    return tuple(dict.fromkeys(tag.strip() for tag in listed if isinstance(tag, str) and tag.strip()))


def _meta(row: _Row) -> dict[str, Any]:
    meta: dict[str, Any] = {}
    kept: dict[str, Any] = {column: row[column] for column in _KEPT if row[column] is not None}
    for column in _NUMBERS & kept.keys():
        kept[column] = number(kept[column])
    for column in ("meta", "metadata"):
        found = _json(row[column])
        if isinstance(found, dict):
            meta |= found
        elif row[column]:
            kept[column] = row[column]
    if row["valid_from"] and instant(row["valid_from"]) is None:
        kept["valid_from"] = row["valid_from"]
    return meta | {"cortex4": kept}


def _json(written: str | None) -> object:
    try:
        return msgspec.json.decode((written or "").encode("utf-8", "surrogateescape"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
