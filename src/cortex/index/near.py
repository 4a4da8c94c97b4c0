"""What a search among vectors is asked and answers, without what it takes to import one."""

from dataclasses import dataclass
from typing import Any, Protocol

from cortex.db.connect import Tx


@dataclass(frozen=True)
class Narrow:
    """What narrows a search, as SQL over `r` (revision) and `p` (project) with its bindings.

    `projects` are the numbers of the projects that `sql` lets through, None for all; `believed` says that it lets only
    revisions through that are believed now.
    """

    sql: str
    bindings: dict[str, Any]
    projects: tuple[int, ...] | None
    believed: bool


@dataclass(frozen=True)
class Near:
    """A revision, its cosine with the query, and the part of its content that is so near, in characters."""

    revision_id: int
    cosine: float
    start: int
    end: int


class Nearest(Protocol):
    """The `depth` revisions nearest to a query that was embedded already, the nearest first.

    `kind` is vector_rows.PASSAGE or WINDOW.
    """

    def __call__(self, tx: Tx, kind: int, depth: int, narrow: Narrow, /) -> list[Near]: ...
