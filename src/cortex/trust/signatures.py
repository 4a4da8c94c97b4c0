"""The signature pass over the votes log: each signature of each event, and that its key was valid at its place.

One thread: checking signatures in several was measured to be no faster.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Any

from cortex import limits
from cortex.db.connect import Tx
from cortex.errors import BadSignature, Corrupt, Invalid
from cortex.ledger.findings import Findings
from cortex.progress import Progress
from cortex.trust import events, validity
from cortex.trust import log as logs
from cortex.trust.events import SIGNATURE_BYTES, Signed
from cortex.trust.validity import Keys

_Row = tuple[Any, ...]


@dataclass(slots=True)
class SignaturesChecked:
    """How many signatures were checked, and the indexes of leaves that have no effect: nobody may have signed them."""

    count: int = 0
    void: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Pass:
    origin: str
    keys: Keys
    findings: Findings
    done: SignaturesChecked

    def add(self, code: str, what: str, idx: int) -> None:
        self.done.void.add(idx)
        self.findings.add(code, what, origin=self.origin, entry=idx)


def check(tx: Tx, origin: str, findings: Findings, *, start: int, keys: Keys, progress: Progress) -> SignaturesChecked:
    """Check the leaves from index `start` on; `keys` are those after the leaves before."""
    at = _Pass(origin, keys, findings, SignaturesChecked())
    ids, numbers = array("q"), array("q")
    total = logs.needed(tx).size - start
    for rows in _chunks(tx, start):
        for row in rows:
            _check_row(at, row)
            # Hashes of the ids, since a million ids would take ten times as much memory.
            ids.append(hash(row[6]))
            numbers.append(row[0])
            if start and _stands_before(tx, row[6], start):
                at.add("EVENT_TWICE", f"the id {row[6]} stands in an entry before {start}", row[0] - 1)
        progress(len(ids), total, "signatures")
    for number, event_id in _repeated(tx, ids, numbers):
        at.add("EVENT_TWICE", f"the id {event_id} stands in an entry before", number - 1)
    return at.done


def _chunks(tx: Tx, start: int) -> Iterator[list[_Row]]:
    where = f"WHERE id > {start:d}" if start else ""
    rows: Any = tx.execute(f"SELECT {logs.LEAF_COLUMNS} FROM vote_ledger NOT INDEXED {where} ORDER BY id")
    while chunk := list(islice(rows, limits.TEXT_CHUNK_LEAVES)):
        yield chunk


def _check_row(at: _Pass, row: _Row) -> None:
    """Check one leaf. What cannot be an event at all is for the integrity pass to say; it only has no effect."""
    number, kind, agent, key, event, signature = row[0], row[1], row[3], row[7], row[12], row[14]
    try:
        encoded = logs.event_bytes(row, at.origin)
        if kind != "vote" or event is not None:
            _check_event(at, number - 1, kind, encoded, signature)
            return
    except (Corrupt, Invalid):
        at.done.void.add(number - 1)
        return
    at.done.count += 1
    if not events.signature_holds(key, events.BALLOT_PREFIX + encoded, signature):
        at.add("AGENT_SIG", f"the ballot is not signed by the key {key.hex()[:16]}… of {agent}", number - 1)
    why = at.keys.of_agent(key, agent)
    if why is not None:
        at.add("KEY_NOT_VALID", why, number - 1)


def _check_event(at: _Pass, idx: int, kind: str, encoded: bytes, signature: bytes) -> None:
    event = events.decode(kind, encoded)
    if kind == "vote" or event.log != at.origin or (kind == "genesis") != (idx == 0):
        raise Invalid("an event that has no effect at its place")
    sigs = tuple(signature[at : at + SIGNATURE_BYTES] for at in range(0, len(signature), SIGNATURE_BYTES))
    at.done.count += len(sigs)
    try:
        events.verify(Signed(event, sigs), encoded)
    except BadSignature as error:
        at.add("EVENT_SIG", error.message, idx)
        return
    why = validity.refusal(at.keys, event)
    if why is None:
        validity.take(at.keys, event)
    else:
        at.add("KEY_NOT_VALID", why, idx)


def _stands_before(tx: Tx, event_id: str, start: int) -> bool:
    row = tx.execute("SELECT 1 FROM vote_ledger WHERE event_id = ? AND id <= ?", (event_id, start)).fetchone()
    return row is not None


def _repeated(tx: Tx, ids: "array[int]", numbers: "array[int]") -> Iterator[tuple[int, str]]:
    """Rows whose id stands in a row before. The index is not asked: it could have been made to leave rows out."""
    # In parts, since sorting all at once would take the most memory of the whole verification.
    parts = 1 + len(ids) // limits.EVENT_IDS_SORTED
    for part in range(parts):
        order = sorted((at for at in range(len(ids)) if ids[at] % parts == part), key=ids.__getitem__)
        for one, other in pairwise(order):
            if ids[one] == ids[other] and _id_of(tx, numbers[one]) == _id_of(tx, numbers[other]):
                yield numbers[other], _id_of(tx, numbers[other])


def _id_of(tx: Tx, number: int) -> str:
    row: Any = tx.execute("SELECT event_id FROM vote_ledger WHERE id = ?", (number,)).fetchone()
    return str(row[0])
