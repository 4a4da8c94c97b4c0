"""What another file's copy of a votes log has beyond this one, votes left out: as far as keys of the log signed it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cortex import limits
from cortex.db.connect import Tx, integer, value
from cortex.errors import BadSignature, Corrupt, Invalid
from cortex.trust import events, validity
from cortex.trust import log as logs
from cortex.trust.events import SIGNATURE_BYTES, Event, Signed
from cortex.trust.validity import Keys


@dataclass(slots=True)
class Beyond:
    """How far a walk over the other log came: events that nobody may have signed so, and whether it was cut short."""

    unsigned: int = 0
    cut: bool = False


def common(tx: Tx, other: str) -> int:
    """How many leaves the log in `tx` and the one in its attached database `other` begin with alike.

    Each hash covers all leaves before it: the logs are alike up to the last leaf whose hashes are.
    """
    sizes = [integer(tx, f"SELECT coalesce(max(id), 0) FROM {name}.vote_ledger") for name in ("main", other)]
    low, high = 0, min(sizes)
    while low < high:
        middle = (low + high + 1) // 2
        hashes = [value(tx, f"SELECT hash FROM {name}.vote_ledger WHERE id = ?", (middle,)) for name in ("main", other)]
        low, high = (middle, high) if hashes[0] == hashes[1] else (low, middle - 1)
    return low


def walk(tx: Tx, other: str, origin: str, found: Beyond) -> Iterator[tuple[int, Event]]:
    """The events beyond what both logs of one origin have, with their indexes there, at most RESTORE_EVENTS_MAX.

    The other file may be the reason for which a backup is restored: an event counts only if its signatures hold, by
    keys that may sign it at its place.
    """
    size = common(tx, other)
    keys = validity.at(tx, None, origin, size)
    rows: Any = tx.execute(
        f"SELECT {logs.LEAF_COLUMNS} FROM {other}.vote_ledger NOT INDEXED WHERE id > ? AND kind <> 'vote' ORDER BY id",
        (size,),
    )
    for number, row in enumerate(rows):
        if number == limits.RESTORE_EVENTS_MAX:
            found.cut = True
            return
        event = _signed(row, origin, keys)
        if event is None:
            found.unsigned += 1
            continue
        validity.take(keys, event)
        yield row[0] - 1, event


def _signed(row: tuple[Any, ...], origin: str, keys: Keys) -> Event | None:
    """The event of a row of LEAF_COLUMNS; None where it is none, or is not signed by keys that may."""
    kind, signature = row[1], row[14]
    try:
        encoded = logs.event_bytes(row, origin)
        event = events.decode(kind, encoded)
        sigs = tuple(signature[at : at + SIGNATURE_BYTES] for at in range(0, len(signature), SIGNATURE_BYTES))
        events.verify(Signed(event, sigs), encoded)
    except (Corrupt, Invalid, BadSignature):
        return None
    return event if event.log == origin and validity.refusal(keys, event) is None else None
