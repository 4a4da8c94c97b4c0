"""Answers kept for the same question, as long as nothing was committed and no time limit of a fact went by.

An answer is kept under the version of the file that was read before the snapshot it was made from: what was committed
since, by any process, has another version. So it can be given again, but never stale.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from cortex import limits
from cortex.db.connect import Tx


@dataclass(frozen=True)
class _Answer:
    since: str
    until: str | None
    given: Any


class Answers:
    """The last ANSWERS_MAX answers of a process, all of one version of the file. Safe for several threads."""

    def __init__(self) -> None:
        self._version: int | None = None
        self._held: OrderedDict[bytes, _Answer] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: bytes, version: int | None, now: str) -> Any:
        """The answer under `key`, where nothing has changed since; else None. Answers of other versions are let go."""
        with self._lock:
            if version != self._version:
                self._held.clear()
                self._version = version
            found = self._held.get(key)
            if found is None or not found.since <= now or (found.until is not None and found.until <= now):
                return None
            self._held.move_to_end(key)
            return found.given

    def put(self, key: bytes, version: int | None, *, since: str, until: str | None, given: Any) -> None:
        """Keep an answer that was made at `since` and holds until `until`, if nothing is committed before.

        Not one whose version went by meanwhile: it may hold what was forgotten since.
        """
        with self._lock:
            if version is None or version != self._version:
                return
            self._held[key] = _Answer(since, until, given)
            self._held.move_to_end(key)
            while len(self._held) > limits.ANSWERS_MAX:
                self._held.popitem(last=False)

    def clear(self) -> None:
        """Keep nothing: an answer may hold what was forgotten."""
        with self._lock:
            self._version = None
            self._held.clear()


def holds_until(tx: Tx, now: str) -> str | None:
    """When a fact next begins or ceases to be true; None where no such time is known."""
    row: Any = tx.execute(
        "SELECT min(at) FROM (SELECT min(valid_from) AS at FROM revision WHERE valid_from > recorded_at"
        " AND valid_from > ?1 UNION ALL SELECT min(valid_until) FROM revision WHERE valid_until IS NOT NULL"
        " AND valid_until > ?1)",
        (now,),
    ).fetchone()
    return None if row[0] is None else str(row[0])
