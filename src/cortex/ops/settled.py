"""What a person said of a fact with the admin key, as readers are shown it."""

from typing import Any, Literal

from msgspec import Struct

from cortex.db.connect import Tx

Truth = Literal["true", "false", "open"]


class PersonsWord(Struct, frozen=True, kw_only=True):
    """What a person last said of a text with the admin key. The log has the key; who held it is not known."""

    truth: Truth
    key: str
    reason: str | None
    at: str
    entry: int


# How a word is told to people and models, and as what it stands in an event.
WORDS: dict[Truth, str] = {
    "true": "resolved as true",
    "false": "resolved as false",
    "open": "open to the votes again",
}
NUMBERS: dict[Truth, Literal[-1, 0, 1]] = {"true": 1, "false": -1, "open": 0}
TRUTHS: dict[int | None, Truth] = {number: truth for truth, number in NUMBERS.items()}


def told(number: int | None) -> str:
    """The word that an entry has as a number."""
    truth = TRUTHS.get(number)
    return "settled" if truth is None else WORDS[truth]


def persons_word(tx: Tx, fact: str, digest: bytes) -> PersonsWord | None:
    """The last resolution of a text; None where nobody gave one."""
    row: Any = tx.execute(
        "SELECT l.id - 1, l.timestamp, json_extract(l.event, '$.truth'), json_extract(l.event, '$.key'), r.reason"
        " FROM vote_ledger AS l LEFT JOIN vote_reason AS r ON r.event_id = l.event_id"
        " WHERE l.kind <> 'vote' AND l.kind = 'resolve' AND json_extract(l.event, '$.fact') = ?"
        " AND json_extract(l.event, '$.fact_digest') = ? ORDER BY l.id DESC LIMIT 1",
        (fact, digest.hex()),
    ).fetchone()
    if row is None:
        return None
    entry, at, truth, key, reason = row
    return PersonsWord(truth=TRUTHS.get(truth, "open"), key=key, reason=reason, at=at, entry=entry)
