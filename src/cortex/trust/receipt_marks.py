"""Reading files of receipts a part at a time, from where a reading before left off, or for some ballots alone."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from cortex import limits
from cortex.errors import Corrupt, Unavailable
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

    With a `mark` that the file still has, from there on. With `lenient` lines that are no receipts are passed over, up
    to RECEIPTS_ODD_MAX of them. Closed by `close`.
    """

    def __init__(self, path: Path, mark: ReceiptsMark | None = None, *, lenient: bool = False) -> None:
        self.path, self._mark = path, mark
        # What is wrong with the lines that were passed over.
        self.odd: list[Corrupt] = []
        self._lenient = lenient
        # Where the reading began.
        self.start = 0
        self._stack = ExitStack()
        self._file: ReceiptsFile | None = None
        self._lines: Iterator[tuple[int, AgentReceipt]] = iter(())

    def open(self) -> bool:
        """Open the file; whether there is one. Raises Corrupt and Unavailable as `receipts.read` does, as `part`."""
        self._file = self._stack.enter_context(receipts.opened(self.path, self.odd if self._lenient else None))
        if self._file is not None:
            mark = self._mark
            with self._reading():
                known = mark is not None and mark == _marked(self._file, mark.offset)
            if mark is not None and known:
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
        with self._reading():
            for place, receipt in islice(self._lines, limits.RECEIPTS_PART):
                found.append(PlacedReceipt(place, receipt))
                if place - found[0].place >= limits.RECEIPTS_PART_BYTES:
                    break
        return found

    def again(self, places: Iterable[int]) -> None:
        """Let `part` give the receipts that begin there, in this order. To be asked for after the last part."""
        self._lines = iter(()) if self._file is None else self._file.at(places)

    def mark(self, offset: int | None = None) -> ReceiptsMark | None:
        """What to remember of the file up to `offset`, by default its end. To be asked for after the last part."""
        if self._file is None:
            return None
        with self._reading():
            return _marked(self._file, self._file.end if offset is None else min(offset, self._file.end))

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Unavailable(f"{self.path} cannot be read ({error.strerror})", "check the disk") from None


def _marked(file: ReceiptsFile, offset: int) -> ReceiptsMark | None:
    """The mark at a place; None where the file does not reach there."""
    if not 0 < offset <= file.end:
        return None
    before = min(offset, _COMPARED_BYTES)
    digest = hashlib.sha256(file.part(before, 0) + file.part(before, offset - before))
    return ReceiptsMark(name=file.path.name, offset=offset, digest=digest.hexdigest())


def lacks(path: Path, ballot: str, idx: int, leaf: str | None = None) -> bool:
    """Whether the file does not say of a ballot that it stands at that place of the log, in this leaf if one is given.

    Another ballot with the same id may have stood there before a backup came back. Raises Corrupt and Unavailable as
    `receipts.read` does.
    """
    with receipts.opened(path) as file:
        held = () if file is None else file.of(ballot)
        return not any(found.idx == idx and (leaf is None or leaf == found.leaf) for found in held)
