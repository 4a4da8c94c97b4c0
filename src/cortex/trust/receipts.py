"""The receipts an agent keeps of its votes, outside the server's reach: one file, one JSON line each, only appended to.

With them it is found when a vote was dropped or changed, and votes can be handed in again after an old backup came
back. A file is replaced only to put receipts aside, or to take out the reasons of votes on a fact that is forgotten.
"""

import io
import os
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec import UNSET

from cortex import files, limits
from cortex.errors import Corrupt, Invalid, NotFound, TooLarge, Unavailable
from cortex.ledger.locking import locked
from cortex.trust import private
from cortex.trust.receipt import AgentReceipt

_BEGINNING = b'{"ballot":'
_BLOCK_BYTES = 1 << 16

_hint = "compare with a copy of the file; what the lines before it hold is in order"

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
        with _alone(path, os.O_RDWR | os.O_APPEND | os.O_CREAT) as handle:
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
def opened(path: Path) -> Iterator["ReceiptsFile | None"]:
    """The file as it is now, to be read; None where there is none."""
    try:
        handle = _opened(path, os.O_RDONLY)
    except NotFound:
        yield None
        return
    with os.fdopen(handle, "rb") as file:
        try:
            # Whole lines never change again. Only what follows them may, so it is read while nobody appends.
            with locked(handle, path):
                size = os.fstat(handle).st_size
                end = _end_of_lines(handle, path, size)
                tail = _read_at(handle, size - end, end)
            yield ReceiptsFile(file, path, end, tail)
        except OSError as error:
            raise Unavailable(f"{path} cannot be read ({error.strerror})", "check the disk") from None


@dataclass(frozen=True, slots=True)
class ReceiptsFile:
    """An open file of receipts: where its whole lines end, and what follows them."""

    file: io.BufferedReader
    path: Path
    end: int
    tail: bytes

    def placed(self, start: int = 0, mentioning: bytes = b"") -> Iterator[tuple[int, AgentReceipt]]:
        """Each receipt from the line on that begins at `start`, with where its line begins.

        With `mentioning` only those whose line holds that; far quicker than reading every receipt.
        """
        return _placed(self.file, self.path, self.end, self.tail, start, mentioning)

    def at(self, places: Iterable[int]) -> dict[str, AgentReceipt]:
        """As `latest`, of what the lines say that begin at these places; once all were read that are to be."""
        return _latest(self.path, (self._line_at(place) for place in places))

    def _line_at(self, place: int) -> AgentReceipt:
        self.file.seek(place)
        line = self.tail if place == self.end else self.file.readline(limits.RECEIPT_LINE_BYTES_MAX + 1)
        return _decoded(line, f"{self.path}, at byte {place}")

    def part(self, count: int, offset: int) -> bytes:
        """Some bytes of it; once all receipts were read that are to be."""
        return _read_at(self.file.fileno(), count, offset)


def latest(path: Path, ballots: Collection[str] | None = None) -> dict[str, AgentReceipt]:
    """What is known of each ballot, or of these alone, by its id.

    A later line about the same entry adds to it or replaces its proof. One that puts the ballot at another place
    of the log (handed in again after a restored backup) stands for itself.
    """
    return _latest(path, (found for found in read(path) if ballots is None or found.id in ballots))


def put_aside(path: Path, aside: Path, unfit: Mapping[str, AgentReceipt]) -> int:
    """Move what is said of ballots to the new file `aside`; the rest stays. Returns of how many.

    `unfit` has for each id a receipt of the ballot; where another place of the log is known by now, it stays.
    """
    try:
        with _alone(path, os.O_RDWR) as handle:
            known = _latest(path, (receipt for receipt in _all(handle, path) if receipt.id in unfit))
            moved = {name for name, now in known.items() if (now.idx, now.leaf) == (unfit[name].idx, unfit[name].leaf)}
            if moved:
                with files.new_file(aside) as file:
                    file.writelines(_encoded(receipt) for receipt in _all(handle, path) if receipt.id in moved)
                with files.replacing(path.resolve()) as file:
                    file.writelines(_encoded(receipt) for receipt in _all(handle, path) if receipt.id not in moved)
            return len(moved)
    except OSError as error:
        raise Unavailable(f"{path} cannot be replaced ({error.strerror})", "make its folder writable") from None


def drop_reasons(path: Path, fact: str) -> bool:
    """Take out the reasons of votes on a fact that is to be forgotten. Returns whether there were any."""
    if not _mentions(path, fact):
        return False
    try:
        with _alone(path, os.O_RDWR) as handle:
            if not any(_explains(receipt, fact) for receipt in _all(handle, path)):
                return False
            with files.replacing(path.resolve()) as file:
                file.writelines(_encoded(_without_reason(receipt, fact)) for receipt in _all(handle, path))
            return True
    except OSError as error:
        raise Unavailable(f"{path} cannot be replaced ({error.strerror})", "make its folder writable") from None


def _mentions(path: Path, fact: str) -> bool:
    """Whether the text of a fact's id is in the file: far quicker than reading the receipts."""
    wanted = fact.encode()
    with os.fdopen(_opened(path, os.O_RDONLY), "rb") as file:
        try:
            return any(wanted in line for line in iter(lambda: file.readline(limits.RECEIPT_LINE_BYTES_MAX + 1), b""))
        except OSError as error:
            raise Unavailable(f"{path} cannot be read ({error.strerror})", "check the disk") from None


def _explains(receipt: AgentReceipt, fact: str) -> bool:
    return receipt.ballot.get("fact") == fact and receipt.reason is not UNSET


def _without_reason(receipt: AgentReceipt, fact: str) -> AgentReceipt:
    return msgspec.structs.replace(receipt, reason=UNSET, salt=UNSET) if _explains(receipt, fact) else receipt


def _latest(path: Path, found: Iterable[AgentReceipt]) -> dict[str, AgentReceipt]:
    known: dict[str, AgentReceipt] = {}
    for receipt in found:
        before = known.get(receipt.id)
        known[receipt.id] = receipt if before is None else _completed(path, before, receipt)
        if len(known) > limits.RECEIPTS_MAX:
            raise TooLarge(
                f"{path} holds more than {limits.RECEIPTS_MAX} receipts (RECEIPTS_MAX)", "move the file away, keep it"
            )
    return known


def _completed(path: Path, before: AgentReceipt, later: AgentReceipt) -> AgentReceipt:
    if before.ballot != later.ballot:
        raise Corrupt(f"{path} holds two different ballots with the id {later.id}", _hint)
    later = msgspec.structs.replace(
        later,
        reason=before.reason if later.reason is UNSET else later.reason,
        salt=before.salt if later.salt is UNSET else later.salt,
    )
    if (before.sig, before.idx, before.leaf) != (later.sig, later.idx, later.leaf):
        return later
    return msgspec.structs.replace(
        later,
        promise=before.promise if later.promise is None else later.promise,
        proof=before.proof if later.proof is None else later.proof,
    )


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


@contextmanager
def _alone(path: Path, flags: int) -> Iterator[int]:
    """A handle of the file: nobody else adds to it or replaces it meanwhile."""
    for _ in range(limits.RECEIPT_TRIES_MAX):
        with ExitStack() as stack:
            handle = _opened(path, flags)
            stack.callback(os.close, handle)
            stack.enter_context(locked(handle, path))
            # Whoever had the lock before may have replaced it: then this handle is of a file that has no name.
            if _is_still(handle, path):
                yield handle
                return
    raise Unavailable(f"{path} is replaced all the time", "find the process that does it")


def _is_still(handle: int, path: Path) -> bool:
    at = files.found(path)
    return at is not None and os.path.samestat(at, os.fstat(handle))


def _all(handle: int, path: Path) -> Iterator[AgentReceipt]:
    """Every receipt of a file that nobody else adds to."""
    size = os.fstat(handle).st_size
    end = _end_of_lines(handle, path, size)
    tail = _read_at(handle, size - end, end)
    with os.fdopen(handle, "rb", closefd=False) as file:
        yield from (receipt for _, receipt in _placed(file, path, end, tail))


def _opened(path: Path, flags: int) -> int:
    """A handle of the regular file. A pipe does not keep us waiting; Windows must not translate newlines."""
    flags |= getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        if flags & os.O_CREAT:
            private.make_folder(path.parent)
        handle = os.open(path, flags, 0o600)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"{path} is not there", "receipts come with votes") from None
    except OSError as error:
        raise Unavailable(f"{path} cannot be opened ({error.strerror})", "check who owns it") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise Unavailable(f"{path} is not a regular file", "move it away")
    return handle


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
    file: io.BufferedReader, path: Path, end: int, tail: bytes, start: int = 0, mentioning: bytes = b""
) -> Iterator[tuple[int, AgentReceipt]]:
    os.lseek(file.fileno(), start, os.SEEK_SET)  # nothing is buffered yet
    since = f" after byte {start}" if start else ""
    number, place = 0, start
    while place < end:
        line = file.readline(limits.RECEIPT_LINE_BYTES_MAX + 1)
        number, begun, place = number + 1, place, place + len(line)
        if not line.endswith(b"\n"):
            told = f"no line of at most {limits.RECEIPT_LINE_BYTES_MAX} bytes"
            raise Corrupt(f"{path}, line {number}{since}: {told}", _hint)
        if mentioning in line:
            yield begun, _decoded(line, f"{path}, line {number}{since}")
    if tail and mentioning in tail and _whole(tail):
        yield place, _decoded(tail, f"{path}, line {number + 1}{since}")


def _decoded(line: bytes, where: str) -> AgentReceipt:
    try:
        return _decoder.decode(line)
    except _DAMAGED as error:
        raise Corrupt(f"{where}: {error}", _hint) from None
