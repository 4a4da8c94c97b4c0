"""Whether a file's tables, indexes, views and triggers are exactly those that the migrations make."""

import apsw

from cortex.db.connect import Tx
from cortex.db.migrate import Migration, apply

# SQLite's own statistics are the only tables that may come and go.
_OBJECTS = "SELECT type, name, sql FROM sqlite_schema WHERE name NOT IN ('sqlite_stat1', 'sqlite_stat4')"


def differences(tx: Tx, migrations: tuple[Migration, ...]) -> list[str]:
    """What differs, one line each; empty for a file as the migrations make it."""
    fresh = apsw.Connection(":memory:")
    try:
        apply(fresh, migrations)
        expected = {(kind, name): sql for kind, name, sql in fresh.execute(_OBJECTS)}
    finally:
        fresh.close()
    found = {(kind, name): sql for kind, name, sql in tx.execute(_OBJECTS)}
    return [
        *(f"{kind} {name} is missing" for kind, name in expected.keys() - found.keys()),
        *(f"{kind} {name} is not of Cortex" for kind, name in found.keys() - expected.keys()),
        *(f"{kind} {name} was changed" for kind, name in expected.keys() & found.keys()
          if expected[kind, name] != found[kind, name]),
    ]  # fmt: skip
