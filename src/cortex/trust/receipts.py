"""The receipts an agent keeps of its votes, outside the server's reach: one file, one JSON line each, only appended to.

With them it is found when a vote was dropped or changed, and votes can be handed in again after an old backup came
back. A file is replaced only to put receipts aside, or to take out the reasons of votes on a fact that is forgotten.
"""

import io
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cortex import files, limits
from cortex.errors import Corrupt, Invalid, NotFound, TooLarge, Unavailable
from cortex.ledger.locking import locked
from cortex.trust import private
from cortex.trust.receipt import AgentReceipt

_BEGINNING = b'{"ballot":'
_BLOCK_BYTES = 1 << 16

_hint = "compare with a copy of the file; what the lines before it hold is in order"
_absent = "receipts come with votes"

_decoder = msgspec.json.Decoder(AgentReceipt)
# Bytes that are no UTF-8 and depth are not told as a DecodeError.
_DAMAGED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def append(path: Path, receipt: AgentReceipt) -> None:
    """Add a receipt at the end of the file, on the disk when this returns; the file is made (0600) if need be.

    What a crash left of a last line is cut off first. Raises Invalid and TooLarge for what could not be read back,
    Corrupt where the file ends in something else, Unavailable where it cannot be written: it is then as it was.
    """
    line = _line(receipt)
    try:
        with private.changing(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, _absent) as handle:
            _append(handle, path, line)
    except OSError as error:
        raise Unavailable(
            f"the receipt of {receipt.id} cannot be written to {path} ({error.strerror})",
            "free space or make it writable, and ask for the receipt again",
        ) from None


def read(path: Path) -> Iterator[AgentReceipt]:
    """The receipts in the order in which they came; none where there is no file.

    What a crash left of a last line is passed over. Raises Corrupt naming the line for any other damage.
    """
    with opened(path) as found:
        if found is not None:
            yield from (receipt for _, receipt in found.placed())


@contextmanager
def opened(path: Path, odd: list[Corrupt] | None = None) -> Iterator["ReceiptsFile | None"]:
    """The file as it is now, to be read; None where there is none.

    With `odd` lines that are no receipts are passed over: what is wrong with them is added to it.
    """
    try:
        handle = private.opened(path, os.O_RDONLY, _absent)
    except NotFound:
        yield None
        return
    with os.fdopen(handle, "rb") as file:
        try:
            # Whole lines never change again. Only what follows them may, so it is read while nobody appends.
            with locked(handle, path):
                size = os.fstat(handle).st_size
                end = _end_of_lines(handle, path, size) if odd is None else _end_of_all(handle, path, size, odd)
                tail = _read_at(handle, size - end, end)
            yield ReceiptsFile(file, path, end, tail, odd)
        except OSError as error:
            raise Unavailable(f"{path} cannot be read ({error.strerror})", "check the disk") from None


@dataclass(frozen=True, slots=True)
class ReceiptsFile:
    """An open file of receipts: where its whole lines end, and what follows them."""

    file: io.BufferedReader
    path: Path
    end: int
    tail: bytes
    odd: list[Corrupt] | None = None

    def placed(self, start: int = 0, mentioning: bytes = b"") -> Iterator[tuple[int, AgentReceipt]]:
        """Each receipt from the line on that begins at `start`, with where its line begins.

        With `mentioning` only those whose line holds that; far quicker than reading every receipt.
        """
        return _placed(self.file, self.path, self.end, self.tail, start, mentioning, self.odd)

    def of(self, ballot: str) -> Iterator[AgentReceipt]:
        """Each receipt of a ballot with this id."""
        named = msgspec.json.encode(ballot)
        return (receipt for _, receipt in self.placed(mentioning=named) if receipt.id == ballot)

    def at(self, places: Iterable[int]) -> Iterator[tuple[int, AgentReceipt]]:
        """The receipts whose lines begin at these places; once all were read that are to be."""
        return ((place, self._line_at(place)) for place in places)

    def _line_at(self, place: int) -> AgentReceipt:
        self.file.seek(place)
        line = self.tail if place == self.end else self.file.readline(limits.RECEIPT_LINE_BYTES_MAX + 1)
        return _decoded(line, f"{self.path}, at byte {place}")

    def part(self, count: int, offset: int) -> bytes:
        """Some bytes of it; once all receipts were read that are to be."""
        return _read_at(self.file.fileno(), count, offset)


def ballots(path: Path) -> dict[str, AgentReceipt]:
    """What is known of each ballot, by its key, in the order in which they were told of last.

    A later line about the same entry adds to it or replaces its proof. One that puts the ballot at another place
    of the log (handed in again after a restored backup) stands for itself, and so does another ballot of the same id.
    """
    return _known(path, read(path))


def latest(path: Path, ballot: str | None = None) -> dict[str, AgentReceipt]:
    """As `ballots`, or of this one alone, by their ids: of several ballots with one id the one told of last."""
    if ballot is None:
        return {receipt.id: receipt for receipt in ballots(path).values()}
    with opened(path) as file:
        known = {} if file is None else _known(path, file.of(ballot))
    return {receipt.id: receipt for receipt in known.values()}


def put_aside(path: Path, aside: Path, unfit: Mapping[str, AgentReceipt]) -> int:
    """Move what is said of ballots to the new file `aside`; the rest stays. Returns of how many.

    `unfit` has for each key the last receipt of the ballot; where another place of the log is known by now, it stays.
    """
    try:
        with private.changing(path, os.O_RDWR, _absent) as handle:
            known = _known(path, (receipt for receipt in _all(handle, path) if receipt.key in unfit))
            moved = {name for name, now in known.items() if (now.idx, now.leaf) == (unfit[name].idx, unfit[name].leaf)}
            if moved:
                with files.new_file(aside) as file:
                    file.writelines(_encoded(receipt) for receipt in _all(handle, path) if receipt.key in moved)
                with files.replacing(path.resolve()) as file:
                    file.writelines(_encoded(receipt) for receipt in _all(handle, path) if receipt.key not in moved)
            return len(moved)
    except OSError as error:
        raise Unavailable(f"{path} cannot be replaced ({error.strerror})", "make its folder writable") from None


def drop_reasons(path: Path, fact: str) -> bool:
    """Take out the reasons of votes on a fact that is to be forgotten. Returns whether there were any."""
    if not _mentions(path, fact):
        return False
    try:
        with private.changing(path, os.O_RDWR, _absent) as handle:
            if not any(receipt.explains(fact) for receipt in _all(handle, path)):
                return False
            with files.replacing(path.resolve()) as file:
                file.writelines(_encoded(receipt.without_reason(fact)) for receipt in _all(handle, path))
            return True
    except OSError as error:
        raise Unavailable(f"{path} cannot be replaced ({error.strerror})", "make its folder writable") from None


def remove_left(left: Path, owners: Iterable[Path]) -> None:
    """Remove what a process that was killed had begun to write in the place of the first of `owners` that is there.

    It has the file to itself meanwhile: whoever is at work there still is waited for.
    """
    with ExitStack() as alone:
        for owner in owners:
            try:
                alone.enter_context(private.changing(owner, os.O_RDWR, _absent))
                break
            except NotFound:
                continue
        try:
            left.unlink(missing_ok=True)
        except OSError as error:
            raise Unavailable(f"{left} cannot be removed ({error.strerror})", "remove it") from None


def _mentions(path: Path, fact: str) -> bool:
    """Whether the text of a fact's id is in the file: far quicker than reading the receipts."""
    wanted = fact.encode()
    with os.fdopen(private.opened(path, os.O_RDONLY, _absent), "rb") as file:
        try:
            return any(wanted in line for line in iter(lambda: file.readline(limits.RECEIPT_LINE_BYTES_MAX + 1), b""))
        except OSError as error:
            raise Unavailable(f"{path} cannot be read ({error.strerror})", "check the disk") from None


def _known(path: Path, found: Iterable[AgentReceipt]) -> dict[str, AgentReceipt]:
    known: dict[str, AgentReceipt] = {}
    for receipt in found:
        before = known.pop(receipt.key, None)
        known[receipt.key] = receipt if before is None else receipt.after(before)
        if len(known) > limits.RECEIPTS_MAX:
            raise TooLarge(
                f"{path} holds more than {limits.RECEIPTS_MAX} receipts (RECEIPTS_MAX)", "move the file away, keep it"
            )
    return known


def _line(receipt: AgentReceipt) -> bytes:
    try:
        line = _encoded(receipt)
        readable = _decoder.decode(line) == receipt
    except (msgspec.ValidationError, UnicodeEncodeError, TypeError, RecursionError) as error:
        raise Invalid(f"a receipt that cannot be kept: {error}", "give what the log answered") from None
    if not readable:
        raise Invalid("a receipt that would not be read back as it is", "give what the log answered")
    if len(line) > limits.RECEIPT_LINE_BYTES_MAX:
        fits = f"at most {limits.RECEIPT_LINE_BYTES_MAX} are kept (RECEIPT_LINE_BYTES_MAX)"
        raise TooLarge(f"a receipt of {len(line)} bytes", fits)
    return line


def _encoded(receipt: AgentReceipt) -> bytes:
    return msgspec.json.encode(receipt) + b"\n"


def _all(handle: int, path: Path) -> Iterator[AgentReceipt]:
    """Every receipt of a file that nobody else adds to."""
    size = os.fstat(handle).st_size
    end = _end_of_lines(handle, path, size)
    tail = _read_at(handle, size - end, end)
    with os.fdopen(handle, "rb", closefd=False) as file:
        yield from (receipt for _, receipt in _placed(file, path, end, tail))


def _append(handle: int, path: Path, line: bytes) -> None:
    size = os.fstat(handle).st_size
    if size + len(line) > limits.RECEIPTS_BYTES_MAX:
        raise TooLarge(
            f"{path} would pass {limits.RECEIPTS_BYTES_MAX} bytes (RECEIPTS_BYTES_MAX)", "move it away, keep it"
        )
    end = _end_of_lines(handle, path, size)
    if size == 0:
        # Before the first line, so that a file with lines has a name that lasts.
        files.sync_folder(path.parent)
    elif end < size and _whole(_read_at(handle, size - end, end)):
        # An editor took away the last newline: the line is not torn, since no beginning of an object is an object.
        line, end = b"\n" + line, size
    elif end < size:
        os.ftruncate(handle, end)
    try:
        written = os.write(handle, line)
        if written != len(line):
            raise OSError(None, f"{written} of {len(line)} bytes fitted")
        os.fsync(handle)
    except OSError:
        with _best_effort():
            os.ftruncate(handle, end)
        raise


@contextmanager
def _best_effort() -> Iterator[None]:
    """A disk that cannot be written may not be cut either; what is left is a torn line, which the next append cuts."""
    try:
        yield
    except OSError:
        pass


def _end_of_lines(handle: int, path: Path, size: int) -> int:
    """Where the last whole line ends. Raises Corrupt where what follows is no receipt that a crash cut short."""
    start = end = size
    while start > 0 and size - start <= limits.RECEIPT_LINE_BYTES_MAX:
        start = max(0, start - _BLOCK_BYTES)
        newline = _read_at(handle, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    tail = _read_at(handle, min(size - end, limits.RECEIPT_LINE_BYTES_MAX + 1), end)
    # A file system may grow a file before its content: the rest is NUL bytes then.
    begun = tail.partition(b"\0")[0]
    if size - end > limits.RECEIPT_LINE_BYTES_MAX or not (begun.startswith(_BEGINNING) or _BEGINNING.startswith(begun)):
        raise Corrupt(f"{path} ends in {size - end} bytes that are no receipt", _hint)
    return end


def _end_of_all(handle: int, path: Path, size: int, odd: list[Corrupt]) -> int:
    """As `_end_of_lines`, but where it raises: all is lines then, of which the last one is none."""
    try:
        return _end_of_lines(handle, path, size)
    except Corrupt as error:
        odd.append(error)
        return size


def _read_at(handle: int, count: int, offset: int) -> bytes:
    """Up to `count` bytes. Windows has no pread; the position is of no use to appends anyway."""
    os.lseek(handle, offset, os.SEEK_SET)
    parts: list[bytes] = []
    while count > 0 and (part := os.read(handle, count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _whole(tail: bytes) -> bool:
    try:
        _decoder.decode(tail)
    except _DAMAGED:
        return False
    return True


def _placed(
    file: io.BufferedReader,
    path: Path,
    end: int,
    tail: bytes,
    start: int = 0,
    mentioning: bytes = b"",
    odd: list[Corrupt] | None = None,
) -> Iterator[tuple[int, AgentReceipt]]:
    os.lseek(file.fileno(), 0, os.SEEK_SET)  # where the reader takes itself to be: it has read nothing yet
    file.seek(start)
    since = f" after byte {start}" if start else ""
    number, place = 0, start
    while place < end:
        line = file.readline(limits.RECEIPT_LINE_BYTES_MAX + 1)
        number, begun, place = number + 1, place, place + len(line)
        try:
            found = _found(line, f"{path}, line {number}{since}", mentioning)
        except Corrupt as error:
            # At the end of a file that was cut meanwhile there is nothing to pass over.
            if odd is None or not line or len(odd) >= limits.RECEIPTS_ODD_MAX:
                raise
            odd.append(error)
            place += _rest_of(file, line)
            continue
        if found is not None:
            yield begun, found
    if tail and mentioning in tail and _whole(tail):
        yield place, _decoded(tail, f"{path}, line {number + 1}{since}")


def _rest_of(file: io.BufferedReader, line: bytes) -> int:
    """Go to the end of a line of which this was read. Returns how far that was."""
    passed = 0
    while line and not line.endswith(b"\n"):
        line = file.readline(limits.RECEIPT_LINE_BYTES_MAX + 1)
        passed += len(line)
    return passed


def _found(line: bytes, where: str, mentioning: bytes) -> AgentReceipt | None:
    if not line.endswith(b"\n"):
        raise Corrupt(f"{where}: no line of at most {limits.RECEIPT_LINE_BYTES_MAX} bytes", _hint)
    return _decoded(line, where) if mentioning in line else None


def _decoded(line: bytes, where: str) -> AgentReceipt:
    try:
        return _decoder.decode(line)
    except _DAMAGED as error:
        raise Corrupt(f"{where}: {error}", _hint) from None
