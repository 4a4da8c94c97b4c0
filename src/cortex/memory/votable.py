"""Which text of a fact a vote is cast on: what a node checks of its own facts before it takes a vote."""

from dataclasses import dataclass
from typing import Any

from cortex.db.connect import Tx
from cortex.errors import Forgotten, NotFound, Retracted, RevisionConflict
from cortex.memory import lookup


@dataclass(frozen=True, slots=True)
class Votable:
    """The newest revision of a fact: its number, its digest in the ledger, who wrote it."""

    fact: str
    project: str
    revision: int
    digest: bytes
    author: str


_FULL_ID_CHARS = 36

_NEWEST = (
    "SELECT f.id, p.name, r.number, t.digest, r.actor, r.retired_at, f.erased_at FROM fact AS f"
    " JOIN project AS p ON p.id = f.project_id LEFT JOIN revision AS r ON r.fact_id = f.id"
    " LEFT JOIN transactions AS t ON t.log = r.log AND t.idx = r.idx"
    " WHERE f.id = ? ORDER BY r.number DESC LIMIT 1"
)


def newest(tx: Tx, name: str, *, retracted: bool = False) -> Votable:
    """The newest revision of the fact that `name` (an id or the unique part of one) stands for.

    Raises NotFound for none, Forgotten for an erased one, and unless `retracted` Retracted for one that is not believed
    any more.
    """
    row: Any = tx.execute(_NEWEST, (name,)).fetchone() if len(name) == _FULL_ID_CHARS else None
    if row is None:
        row = tx.execute(_NEWEST, (lookup.resolve(tx, name, forgotten=True),)).fetchone()
    fact, project, number, digest, author, retired_at, erased_at = row
    if erased_at is not None:
        raise Forgotten(f"fact {fact} was forgotten at {erased_at}", "nothing of it is left to vote on")
    if number is None or digest is None:
        raise NotFound(f"fact {fact} has no revision", "`cortex doctor` says what is wrong with it")
    if retired_at is not None and not retracted:
        raise Retracted(f"fact {fact} was retracted at {retired_at}", "store it again if it is true after all")
    return Votable(fact, project, number, digest, author)


def outdated(found: Votable, revision: int | None, digest: str | None) -> None:
    """Raise RevisionConflict where a vote is meant for another revision than the newest."""
    if revision is not None and revision != found.revision:
        raise RevisionConflict(
            f"fact {found.fact} is at revision {found.revision}, not {revision}", "read it again and decide anew"
        )
    if digest is not None and digest != found.digest.hex():
        raise RevisionConflict(
            f"the ballot is for another text than revision {found.revision} of fact {found.fact}",
            "read the fact again, compute its digest and sign a new ballot",
        )
