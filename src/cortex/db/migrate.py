"""Numbered SQL migrations, each applied once and recorded with its SHA-256; a changed file refuses to start."""

import hashlib
from dataclasses import dataclass
from importlib import resources

from cortex.db.connect import APPLICATION_ID, Tx, integer, value
from cortex.errors import Corrupt, Invalid, Unavailable
from cortex.times import now


@dataclass(frozen=True)
class Migration:
    """One numbered file of SQL."""

    number: int
    name: str
    sql: str

    @property
    def digest(self) -> str:
        """SHA-256 of the text, which the database file remembers."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def shipped() -> tuple[Migration, ...]:
    """The migrations of this version, in order."""
    folder = resources.files("cortex.db").joinpath("migrations")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    found = tuple(Migration(int(name[:4]), name, folder.joinpath(name).read_text(encoding="utf-8")) for name in names)
    assert [m.number for m in found] == list(range(1, len(found) + 1)), "migrations are numbered without gaps"
    return found


def pending(tx: Tx, path: str, migrations: tuple[Migration, ...]) -> tuple[Migration, ...]:
    """What is still to be applied to this file; all of it for an empty one.

    Raises Invalid for another program's SQLite file, Unavailable for a newer schema, Corrupt for a changed migration.
    """
    application = integer(tx, "PRAGMA application_id")
    if application == 0 and integer(tx, "SELECT count(*) FROM sqlite_schema") == 0:
        return migrations
    if application != APPLICATION_ID:
        raise Invalid(f"{path} is another program's SQLite file", "give the path of a Cortex file, or a new one")
    if integer(tx, "PRAGMA user_version") > len(migrations):
        raise Unavailable(
            f"{path} was written by a newer Cortex (schema {value(tx, 'PRAGMA user_version')}, "
            f"this one knows {len(migrations)})",
            "upgrade cortex-memory",
        )
    applied = list(tx.execute("SELECT number, sha256 FROM migration ORDER BY number"))
    for migration, (number, digest) in zip(migrations, applied, strict=False):
        if (migration.number, migration.digest) != (number, digest):
            raise Corrupt(
                f"{path} was made with another {migration.name} than this version has",
                "install the version of Cortex that made it",
            )
    return migrations[len(applied) :]


def apply(tx: Tx, migrations: tuple[Migration, ...]) -> None:
    """Run `migrations` inside the caller's transaction."""
    for migration in migrations:
        tx.execute(migration.sql).fetchall()
        tx.execute(
            "INSERT INTO migration (number, name, sha256, applied_at) VALUES (?, ?, ?, ?)",
            (migration.number, migration.name, migration.digest, now()),
        )
        tx.execute(f"PRAGMA user_version = {migration.number}")
    tx.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def version(tx: Tx) -> int:
    """The number of the newest migration that was applied; 0 for an empty file."""
    return integer(tx, "PRAGMA user_version")
