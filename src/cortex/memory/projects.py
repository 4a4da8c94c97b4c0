"""Projects in the database: numbers for names, listing, renaming."""

from cortex.db.connect import Tx, value
from cortex.errors import Conflict, NotFound
from cortex.ledger.chain import Appending


def number(tx: Tx, name: str) -> int | None:
    """The number of a project, or None where nothing was ever stored in it."""
    found = value(tx, "SELECT id FROM project WHERE name = ?", (name,))
    assert found is None or isinstance(found, int)
    return found


def ensure(tx: Tx, name: str) -> int:
    """The number of a project, made where it is new."""
    found = number(tx, name)
    if found is None:
        tx.execute("INSERT INTO project (name) VALUES (?)", (name,))
        found = tx.last_insert_rowid()
    return found


def numbers(tx: Tx, names: tuple[str, ...] | None) -> tuple[int, ...] | None:
    """The numbers of those of `names` that exist; None (every project) stays None."""
    if names is None:
        return None
    return tuple(found for name in names if (found := number(tx, name)) is not None)


def rename(tx: Tx, log: Appending, old: str, new: str) -> None:
    """Give a project another name. Raises NotFound for an unknown project, Conflict where the new name is taken."""
    if number(tx, old) is None:
        raise NotFound(f"there is no project {old!r}", "`cortex projects` lists them")
    if number(tx, new) is not None:
        raise Conflict(f"there is a project {new!r} already", "choose another name")
    tx.execute("UPDATE project SET name = ? WHERE name = ?", (new, old))
    log.add("rename", subject=old, project=new)
