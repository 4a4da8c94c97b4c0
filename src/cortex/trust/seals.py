"""Checking the checkpoints of the votes log, one after the other, as a pass comes to the sizes that they are of."""

from collections.abc import Callable
from typing import Any

from cortex.db.connect import Tx
from cortex.errors import CortexError
from cortex.ledger import checkpoint
from cortex.ledger.findings import Findings

_Row = tuple[Any, ...]


class Seals:
    """The checkpoints of more than `start` leaves, and roots that are expected for other reasons.

    `next` names the size to stop at, `reached` compares what is expected there. `vkey_at` gives the key in force at a
    size that was reached.
    """

    def __init__(
        self, tx: Tx, origin: str, start: int, findings: Findings, vkey_at: Callable[[int], str | None]
    ) -> None:
        self._tx, self._origin, self._findings, self._vkey_at = tx, origin, findings, vkey_at
        self._size = start
        self._expected: dict[int, tuple[str, bytes]] = {}
        covered: Any = tx.execute(
            "SELECT id, tree_size, created_at FROM vote_checkpoints WHERE tree_size BETWEEN 1 AND ?"
            " ORDER BY id DESC LIMIT 1",
            (start,),
        ).fetchone()
        self.seen: int = covered[0] if covered else 0
        self._last_size: int = covered[1] if covered else 0
        self._last_at: str | None = covered[2] if covered else None
        # From the beginning all are read, also what somebody numbered from below it.
        where = f"WHERE id > {self.seen:d}" if start else ""
        self._rows: Any = tx.execute(
            f"SELECT id, tree_size, tree_root, note, created_at FROM vote_checkpoints {where} ORDER BY id"
        )
        self._row = self._following()

    def expect(self, size: int, told: str, root: bytes) -> None:
        """Expect a root at a size, which somebody `told`."""
        self._expected[size] = (told, root)

    def next(self) -> int | None:
        """The next size at which something is expected."""
        sizes = list(self._expected) if self._row is None else [*self._expected, self._row[1]]
        return min(sizes, default=None)

    def reached(self, size: int, root: bytes, ts: str) -> None:
        """Compare what is expected of the tree of `size` leaves, the last of which is of `ts`."""
        self._size = size
        told, expected = self._expected.pop(size, ("", root))
        if root != expected:
            self._rewritten(told, size)
        while self._row is not None and self._row[1] == size:
            number, _, _, _, created_at = self._row
            said = self._verified(self._row)
            if said is not None and said != root:
                self._rewritten(f"in checkpoint {number}", size)
            elif said is not None and created_at != ts:
                self._add("CHECKPOINT_SEQ", f"checkpoint {number} is of {ts}, its row says {created_at}", size)
            self._row = self._following()

    def end(self, size: int) -> None:
        """Say what is left over at the end of a log of `size` leaves, and compare with the node's own state."""
        while self._row is not None:
            number, covers = self._row[:2]
            self._verified(self._row)
            self._add("TRUNCATED", f"checkpoint {number} covers {covers} entries, there are {size}")
            self._row = self._following()
        row: Any = self._tx.execute("SELECT checkpoints, sealed_size, sealed_at FROM vote_seal").fetchone()
        # There is no row before the first checkpoint.
        if (row or (0, 0, None)) != (self.seen, self._last_size, self._last_at):
            told = f"there are {self.seen} checkpoints up to {self._last_size} entries, the state row says {row}"
            self._add("CHECKPOINT_SEQ", told)

    def _following(self) -> _Row | None:
        """The next row of a size that is still to come; those that are out of order are told on the way."""
        for row in self._rows:
            number, size, _, _, created_at = row
            self.seen += 1
            if number != self.seen or size <= self._last_size:
                self._add("CHECKPOINT_SEQ", f"checkpoint {number} of {size} entries is out of order", size)
            self._last_size, self._last_at = size, created_at
            if size > self._size:
                return tuple(row)
            self._verified(row)
        return None

    def _verified(self, row: _Row) -> bytes | None:
        """The root that a checkpoint was signed for; None, and a finding, where it is not good."""
        number, size, root, note, _ = row
        vkey = self._vkey_at(size)
        if vkey is None:
            self._add("CHECKPOINT_SIG", f"checkpoint {number} is of no size that a key was in force at", size)
            return None
        try:
            said = checkpoint.verify(note, [vkey])
        except CortexError as error:
            self._add("CHECKPOINT_SIG", f"checkpoint {number}: {error.message}", size)
            return None
        if (said.origin, said.size, said.root) != (self._origin, size, root):
            self._add("CHECKPOINT_SIG", f"checkpoint {number} says other than its row", size)
            return None
        return said.root

    def _rewritten(self, told: str, size: int) -> None:
        self._add("HISTORY_REWRITTEN", f"another root was {told}", size)

    def _add(self, code: str, what: str, entry: int | None = None) -> None:
        self._findings.add(code, what, origin=self._origin, entry=entry)
