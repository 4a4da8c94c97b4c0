"""Reading files of receipts a part at a time, from where a reading before left off, or for some ballots alone."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from cortex import limits
from cortex.ledger.memory import ReceiptsMark
from cortex.trust import receipts
from cortex.trust.receipt import AgentReceipt
from cortex.trust.receipts import ReceiptsFile

# How much at the beginning and before a mark is compared: what is there never changes but where a file is replaced.
_COMPARED_BYTES = 4 << 10


@dataclass(frozen=True, slots=True)
class PlacedReceipt:
    """A receipt, and where its line begins in the file."""

    place: int
    receipt: AgentReceipt


class ReceiptsReading:
    """A file of receipts that is read in parts, so that none has to be held but these.

    With a `mark` that the file still has, from there on. Closed by `close`.
    """

    def __init__(self, path: Path, mark: ReceiptsMark | None = None) -> None:
        self.path, self._mark = path, mark
        # Where the reading began.
        self.start = 0
        self._stack = ExitStack()
        self._file: ReceiptsFile | None = None
        self._lines: Iterator[tuple[int, AgentReceipt]] = iter(())

    def open(self) -> bool:
        """Open the file; whether there is one. Raises Corrupt and Unavailable as `receipts.read` does, as `part`."""
        self._file = self._stack.enter_context(receipts.opened(self.path))
        if self._file is not None:
            mark = self._mark
            if mark is not None and mark == _marked(self._file, mark.offset):
                self.start = mark.offset
            self._lines = self._file.placed(self.start)
        return self._file is not None

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        self._stack.close()

    @property
    def end(self) -> int:
        """Where the whole lines end."""
        return 0 if self._file is None else self._file.end

    def part(self) -> list[PlacedReceipt]:
        """The next receipts, about RECEIPTS_PART_BYTES of them; none at the end."""
        found: list[PlacedReceipt] = []
        for place, receipt in islice(self._lines, limits.RECEIPTS_PART):
            found.append(PlacedReceipt(place, receipt))
            if place - found[0].place >= limits.RECEIPTS_PART_BYTES:
                break
        return found

    def at(self, places: Iterable[int]) -> list[AgentReceipt]:
        """What is known of the ballots whose receipts begin there. To be asked for after the last part."""
        return [] if self._file is None else list(self._file.at(places).values())

    def mark(self, offset: int | None = None) -> ReceiptsMark | None:
        """What to remember of the file up to `offset`, by default its end. To be asked for after the last part."""
        if self._file is None:
            return None
        return _marked(self._file, self._file.end if offset is None else min(offset, self._file.end))


def _marked(file: ReceiptsFile, offset: int) -> ReceiptsMark | None:
    """The mark at a place; None where the file does not reach there."""
    if not 0 < offset <= file.end:
        return None
    before = min(offset, _COMPARED_BYTES)
    digest = hashlib.sha256(file.part(before, 0) + file.part(before, offset - before))
    return ReceiptsMark(name=file.path.name, offset=offset, digest=digest.hexdigest())


def lacks(path: Path, ballot: str, idx: int) -> bool:
    """Whether the file does not say of a ballot that it stands at that place of the log.

    Raises Corrupt and Unavailable as `receipts.read` does.
    """
    with receipts.opened(path) as file:
        held = () if file is None else (found for _, found in file.placed(mentioning=ballot.encode()))
        return not any((found.id, found.idx) == (ballot, idx) for found in held)
