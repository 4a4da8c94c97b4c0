"""Holding a log against what others keep of it: the receipts of agents, and the last checkpoints of witnesses.

Whoever calls this reads what is held outside first, and the log on a later snapshot: a log only grows, so that what is
missing then was there.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from cortex import files
from cortex.db.connect import Tx
from cortex.errors import Corrupt, CortexError, NotFound, Unavailable
from cortex.ledger import checkpoint, merkle, proof
from cortex.ledger.findings import PASSING, UNFORESEEN, Findings, unforeseen
from cortex.trust import events, keyfiles, promise, receipts, sealing
from cortex.trust import log as logs
from cortex.trust.events import Genesis, LogRestored
from cortex.trust.log import Log
from cortex.trust.receipt import AgentReceipt

# Receipts, or some that are put aside or were copied. What is hidden is of other programs, or of an agent so named.
_KEPT = re.compile(r".+\.receipts(?:\.before-[0-9]+)?|[^.].*\.receipts.*")
# A file that is to take the place of one of these, as `files` names it.
_BEGUN = re.compile(r"\.((.+\.receipts)(?:\.before-[0-9]+)?)\.[a-z0-9_]{8}")


@dataclass(frozen=True, slots=True)
class HeldReceipt:
    """A receipt and the file that it is in."""

    path: Path
    receipt: AgentReceipt


@dataclass(frozen=True, slots=True)
class HeldNote:
    """The last checkpoint that a witness holds of a log."""

    witness: str
    note: str


class ReceiptPlace(NamedTuple):
    """Where receipts put a ballot: the ballot's key, the entry, and the hash of its leaf."""

    ballot: str
    idx: int
    hashed: bytes


@dataclass(slots=True)
class Claim:
    """What the receipts of one place come to: whose it is, and whether a key of the log signed for it."""

    vote: str
    proved: bool = False
    promised: bool = False


@dataclass(slots=True)
class Doubtful:
    """The receipts of one file that the log may not bear out: `last` has the last one of each ballot, by its key."""

    path: Path
    claims: dict[ReceiptPlace, Claim] = field(default_factory=dict)
    last: dict[str, AgentReceipt] = field(default_factory=dict)


@dataclass(slots=True)
class ReceiptsChecked:
    """How many receipts were compared; those of other logs; those of entries that are not there yet.

    `unfit` are those that the log does not bear out, by their files and the keys of their ballots, if they are
    `wanted`.
    """

    wanted: bool = False
    compared: int = 0
    others: int = 0
    ahead: int = 0
    unfit: dict[Path, dict[str, AgentReceipt]] = field(default_factory=dict)


def own_files(home: Path, origin: str) -> list[Path]:
    """The files of receipts of the agents whose keys are kept here, for this log.

    Raises Unavailable where their folder cannot be read: a glob would say that there are none.
    """
    try:
        return [path for path in _listed(home, origin) if path.name.endswith(".receipts")]
    except Corrupt:
        return []  # no log is called so, which the integrity pass says


def _listed(home: Path, origin: str) -> list[Path]:
    """What lies in the folder of the agents of a log. Raises Corrupt for a name that no log has."""
    folder = home / "agents" / keyfiles.log_folder(origin)
    if files.found(folder) is None:
        return []
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise Unavailable(f"{folder} cannot be read ({error.strerror})", "make it readable for its owner") from None


def drop_reasons(home: Path, origin: str, fact: str) -> list[str]:
    """Take the reasons of votes on a fact out of the receipts that lie here, also of those put aside.

    Returns what could not be done.
    """
    told: list[str] = []
    done: set[Path] = set()
    try:
        # And what was put aside meanwhile; what others began since holds no more than what they put it in the place of.
        while new := [
            path for path in _listed(home, origin) if path not in done and (not done or _KEPT.fullmatch(path.name))
        ]:
            done.update(new)
            told += [left for path in new if (left := _without_reasons(path, fact)) is not None]
    except CortexError as error:
        told.append(f"receipts may still hold reasons of votes on it: {error.message}")
    return told


def _without_reasons(path: Path, fact: str) -> str | None:
    """Take the reasons of votes on a fact out of a file. Returns why that could not be done, None where it was.

    What a process that was killed left half written is removed. Where one is at work still, it ends before that.
    """
    begun = _BEGUN.fullmatch(path.name)
    try:
        if _KEPT.fullmatch(path.name):
            receipts.drop_reasons(path, fact)
        elif begun is not None:
            receipts.remove_left(path, [path.with_name(name) for name in begun.groups()])
    except NotFound:
        pass  # put aside just now, or removed
    except CortexError as error:
        return f"{path} may still hold reasons of votes on it: {error.message}"
    return None


def held_in(paths: Iterable[Path]) -> list[HeldReceipt]:
    """What the files say of each ballot last. Raises NotFound, Corrupt and Unavailable as `receipts` does."""
    return [HeldReceipt(path, receipt) for path in paths for receipt in receipts.ballots(path).values()]


class Outside:
    """Holds a log against what is outside, and says where it does not fit.

    `own` are files of receipts for which what is promised beyond the end counts as lost: the whole log is here, and a
    promise is made once the entry is.
    """

    def __init__(self, findings: Findings, own: set[Path], checked: ReceiptsChecked) -> None:
        self._findings, self._own, self._checked = findings, own, checked

    def notes(self, tx: Tx, log: Log, held: Iterable[HeldNote]) -> None:
        """Compare notes with the log on a snapshot that is later than they are."""
        at = _Comparing(tx, log, self._findings, self._own, self._checked)
        for note in held:
            at.note(note)

    def doubtful(self, tx: Tx, log: Log, held: Iterable[AgentReceipt]) -> list[bool]:
        """For each receipt whether it is of this log and its entry is not there.

        That is no finding yet: a later line may put the ballot at another place, or nothing may bear the receipt out.
        """
        at = _Comparing(tx, log, self._findings, self._own, self._checked)
        return [at.doubts(receipt) for receipt in held]

    def weigh(self, tx: Tx, log: Log, held: Iterable[AgentReceipt], doubtful: Doubtful) -> None:
        """Add to what is doubtful some receipts that are. None can take away what another one of the place shows."""
        at = _Comparing(tx, log, self._findings, self._own, self._checked)
        for receipt in held:
            with unforeseen(self._findings, "the receipts", origin=log.origin):
                at.weigh(receipt, doubtful.claims)
            if self._checked.wanted:
                doubtful.last[receipt.key] = receipt

    def receipts(self, tx: Tx, log: Log, doubtful: Doubtful, places: Iterable[ReceiptPlace]) -> None:
        """Compare some of the places with the log, on a snapshot that is later than the receipts."""
        at = _Comparing(tx, log, self._findings, self._own, self._checked)
        for place in places:
            with unforeseen(self._findings, "the receipts", origin=log.origin):
                at.receipt(doubtful, place)


class _Comparing:
    def __init__(self, tx: Tx, log: Log, findings: Findings, own: set[Path], checked: ReceiptsChecked) -> None:
        self._tx, self._log, self._findings, self._own, self.checked = tx, log, findings, own, checked
        self._vkeys: list[str] | None = None
        self._turns: list[Turn] | None = None

    def doubts(self, receipt: AgentReceipt) -> bool:
        """Whether a receipt of this log has another entry than the log; counts it."""
        if receipt.ballot.get("log") != self._log.origin:
            self.checked.others += 1
            return False
        self.checked.compared += 1
        there = receipt.idx < self._log.size
        return not there or self._leaf_hash(receipt.idx) != merkle.leaf_hash(receipt.leaf.encode())

    def weigh(self, receipt: AgentReceipt, claims: dict[ReceiptPlace, Claim]) -> None:
        """Add a receipt to what is claimed of its place."""
        place = ReceiptPlace(receipt.key, receipt.idx, merkle.leaf_hash(receipt.leaf.encode()))
        claim = claims.setdefault(place, Claim(receipt.id))
        claim.proved = claim.proved or self._proved(receipt, place.hashed)
        claim.promised = claim.promised or (not claim.proved and self._promised(receipt, place.hashed))

    def receipt(self, doubtful: Doubtful, place: ReceiptPlace) -> None:
        """Compare what receipts say of a place with the log."""
        claim = doubtful.claims[place]
        if place.idx < self._log.size:
            if self._leaf_hash(place.idx) != place.hashed:
                broken = claim.promised and not claim.proved
                code = "PROMISE_BROKEN" if broken else "RECEIPT_MISSING"
                self._add(code, doubtful, place, "another entry stands in its place")
        elif claim.proved:
            self._add("RECEIPT_MISSING", doubtful, place, f"the log has {self._log.size} entries")
        elif claim.promised and doubtful.path in self._own:
            self._add("PROMISE_BROKEN", doubtful, place, f"the log has {self._log.size} entries")
        else:
            self.checked.ahead += 1

    def note(self, held: HeldNote) -> None:
        """Compare the last checkpoint that a witness holds with the log."""
        try:
            head, _ = checkpoint.parse(held.note)
        except Corrupt as error:
            self._fail("HISTORY_REWRITTEN", f"what the witness {held.witness} holds is no checkpoint: {error.message}")
            return
        size, log = head.size, self._log
        if head.origin != log.origin:
            self._fail("SPLIT_VIEW", f"the witness {held.witness} holds a checkpoint of {head.origin[:200]}")
        elif size > log.size:
            told = f"the witness {held.witness} has seen {size} entries, there are {log.size}"
            self._fail("ROLLBACK", f"{told}{self._cause(size - 1)}")
        elif self._root_at(size) != head.root:
            row: Any = self._tx.execute(
                "SELECT 1 FROM vote_checkpoints WHERE tree_size = ? AND tree_root <> ?", (size, head.root)
            ).fetchone()
            code = "HISTORY_REWRITTEN" if row is None else "SPLIT_VIEW"
            told = f"the witness {held.witness} has seen another root over {size} entries"
            self._fail(code, f"{told}{self._cause(size - 1)}", size)

    def _leaf_hash(self, idx: int) -> bytes | None:
        try:
            return merkle.leaf_hash(logs.leaf_at(self._tx, self._log.origin, idx))
        except PASSING:
            raise
        except UNFORESEEN:
            return None  # the integrity pass says what is wrong with it

    def _root_at(self, size: int) -> bytes | None:
        try:
            return logs.root_at(self._tx, size)
        except CortexError:
            return None  # the integrity pass says what is wrong with it

    def _promised(self, receipt: AgentReceipt, hashed: bytes) -> bool:
        """Whether a key of the log promised the place of the entry."""
        if receipt.promise is None:
            return False
        try:
            given = promise.verify(receipt.promise, self._keys(), self._log.origin)
        except CortexError:
            return False
        return (given.idx, given.leaf_hash) == (receipt.idx, hashed)

    def _proved(self, receipt: AgentReceipt, hashed: bytes) -> bool:
        """Whether a key of the log signed for the entry."""
        if receipt.proof is None:
            return False
        try:
            idx, _ = proof.verify(receipt.proof, hashed, self._keys(), origin=self._log.origin)
        except CortexError:
            return False
        return idx == receipt.idx

    def _keys(self) -> list[str]:
        """Every key that ever signed for the log."""
        if self._vkeys is None:
            self._vkeys = vkeys(self._tx, self._log)
        return self._vkeys

    def _add(self, code: str, doubtful: Doubtful, place: ReceiptPlace, told: str) -> None:
        if self.checked.wanted:
            self.checked.unfit.setdefault(doubtful.path, {})[place.ballot] = doubtful.last[place.ballot]
        named = f"the vote {doubtful.claims[place].vote[:64]} of which {doubtful.path.name} has a receipt"
        self._fail(code, f"{named}: {told}{self._cause(place.idx)}", place.idx)

    def _cause(self, entry: int) -> str:
        """What the log itself says of why an entry that was there before is not: it was put back."""
        if self._turns is None:
            self._turns = turns(self._tx, self._log)
        told = next((turn.told for turn in reversed(self._turns) if turn.entry <= entry), None)
        if told is None:
            return ""
        return f"; {told}, and `cortex vote-ledger resubmit` hands in again what agents have receipts of"

    def _fail(self, code: str, told: str, entry: int | None = None) -> None:
        self._findings.add(code, told, origin=self._log.origin, entry=entry)


@dataclass(frozen=True, slots=True)
class Turn:
    """An entry from which the log went on from a backup, or with another node's key, and what is told of that."""

    entry: int
    told: str


def turns(tx: Tx, log: Log) -> list[Turn]:
    """Where the log was put back, the first one first."""
    found, before = [], ""
    for event in _keyed(tx):
        if isinstance(event, LogRestored):
            same = event.vkey == before
            how = "was put back from a backup" if same else "was put back from a backup, or given another node key,"
            found.append(Turn(event.size, f"the log {how} at entry {event.size}"))
        before = event.vkey
    if sealing.sealed(tx).restored:
        told = f"the log was put back from a backup at entry {log.size} and waits for `cortex vote-ledger init`"
        found.append(Turn(log.size, told))
    return found


def vkeys(tx: Tx, log: Log) -> list[str]:
    """The keys that sign for the log, and those that did before it was restored."""
    return list(dict.fromkeys([log.vkey, *(event.vkey for event in _keyed(tx))]))


def _keyed(tx: Tx) -> Iterator[Genesis | LogRestored]:
    """The events that name a key for the log, the first one first."""
    # As bytes: a text that is no UTF-8 would end the reading.
    rows: Any = tx.execute(
        "SELECT kind, CAST(event AS BLOB) FROM vote_ledger WHERE kind IN ('genesis', 'restored') ORDER BY id"
    )
    for kind, event in rows:
        try:
            decoded = events.decode(kind, event or b"")
        except PASSING:
            raise
        except UNFORESEEN:
            continue  # the integrity pass says what is wrong with it
        assert isinstance(decoded, Genesis | LogRestored), "these kinds are these events"
        yield decoded
