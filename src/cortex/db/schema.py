"""Whether a file's tables, indexes, views and triggers are exactly those that the migrations make."""

from collections import Counter

import apsw

from cortex.db.connect import Tx
from cortex.db.migrate import Migration, apply

_OBJECTS = "SELECT type, name, tbl_name, sql FROM sqlite_schema"

# SQLite's own statistics are the only tables that may come and go. Their names alone say nothing: a row of any kind can
# be given one.
_STATISTICS = {
    ("table", "sqlite_stat1", "sqlite_stat1", "CREATE TABLE sqlite_stat1(tbl,idx,stat)"),
    ("table", "sqlite_stat4", "sqlite_stat4", "CREATE TABLE sqlite_stat4(tbl,idx,neq,nlt,ndlt,sample)"),
}


def differences(tx: Tx, migrations: tuple[Migration, ...]) -> list[str]:
    """What differs, one line each; empty for a file as the migrations make it."""
    fresh = apsw.Connection(":memory:")
    try:
        apply(fresh, migrations)
        expected = {(kind, name): rest for kind, name, *rest in fresh.execute(_OBJECTS)}
    finally:
        fresh.close()
    rows = [row for row in tx.execute(_OBJECTS) if row not in _STATISTICS]
    found = {(kind, name): rest for kind, name, *rest in rows}
    times = Counter((row[0], row[1]) for row in rows)
    return [
        *(f"{kind} {name} is missing" for kind, name in expected.keys() - found.keys()),
        *(f"{kind} {name} is not of Cortex" for kind, name in found.keys() - expected.keys()),
        *(f"{kind} {name} was changed" for kind, name in expected.keys() & found.keys()
          if expected[kind, name] != found[kind, name]),
        *(f"{kind} {name} is there {count} times" for (kind, name), count in times.items() if count > 1),
    ]  # fmt: skip
