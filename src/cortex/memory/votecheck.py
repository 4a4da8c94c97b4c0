"""The text pass over the votes log: what was voted on against the transactions ledger and the facts that are held."""

import hmac
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from cortex import limits
from cortex.canonical import fact_digest
from cortex.db.connect import Tx, integer, value
from cortex.errors import Invalid
from cortex.ledger.findings import Findings
from cortex.memory.textcheck import Erasures
from cortex.progress import Progress
from cortex.trust import events
from cortex.trust.events import FactResolved


class _Said(NamedTuple):
    """What a vote or a resolution says of the text that it is about."""

    event_id: str
    fact: str
    digest: bytes
    author: str | None
    reason: bytes | None


_LEAVES = (
    "SELECT id, kind, fact_id, fact_digest, author, reason_digest, event_id, event FROM vote_ledger NOT INDEXED"
    " WHERE kind IN ('vote', 'resolve') AND id > ? ORDER BY id"
)

_RECORDED = (
    "SELECT t.actor, r.fact_id, r.salt, r.content, r.type, r.tags, r.key, r.source, r.meta, r.confidence,"
    " r.valid_from, r.valid_until, r.thread, CAST(r.seq AS TEXT) FROM transactions AS t LEFT JOIN revision AS r"
    " ON r.log = t.log AND r.idx = t.idx WHERE t.subject = ? AND t.digest = ? AND t.kind IN ('fact', 'revise')"
    " ORDER BY t.log, t.idx"
)


@dataclass(frozen=True, slots=True)
class ReasonedTexts:
    """How many texts were compared, each once; how many reasons the leaves speak of, and how many of them are held."""

    texts: int = 0
    held: int = 0
    given: int = 0


def check(tx: Tx, origin: str, findings: Findings, *, since: int, progress: Progress) -> ReasonedTexts:
    """Check what the leaves from index `since` on are about.

    Where `since` is 0 also that no reason is held without a leaf. A reason need not be here: a ballot may be handed in
    with its digest alone.
    """
    # Hashes, since the texts of a million votes would take a lot of memory.
    seen: set[int] = set()
    texts: set[int] = set()
    erased = Erasures(tx, whole=since == 0)
    held_count = given = done = 0
    total = integer(tx, "SELECT size FROM vote_log") - since
    rows: Any = tx.execute(_LEAVES, (since,))
    while chunk := list(islice(rows, limits.TEXT_CHUNK_LEAVES)):
        for row in chunk:
            said = _said(row)
            if said is None:
                continue
            mark = hash((said.fact, said.digest, said.author))
            held = _held_reason(tx, said) if said.reason is not None or row[1] == "resolve" else None
            held_count += held is not None
            given += said.reason is not None
            wrong = (
                None if mark in seen else _check_text(tx, said, erased, texts),
                None if held is None else _check_reason(said, held, erased),
            )
            seen.add(mark)
            for found in filter(None, wrong):
                findings.add(*found, origin=origin, entry=row[0] - 1)
        done += len(chunk)
        progress(done, total, "voted facts")
    if since == 0:
        for (event_id,) in tx.execute(_UNRECORDED):
            findings.add("REASON_CHANGED", f"no entry recorded the reason of {event_id}", origin=origin)
    return ReasonedTexts(len(texts), held_count, given)


def _said(row: tuple[Any, ...]) -> _Said | None:
    """None for an event that is none, which the integrity pass says."""
    _, kind, fact, digest, author, reason, event_id, given = row
    if kind == "vote":
        return None if digest is None else _Said(event_id, fact, digest, author, reason)
    try:
        event = events.decode(kind, (given or "").encode())
    except Invalid:
        return None
    if not isinstance(event, FactResolved):
        return None
    told = None if event.reason_digest is None else bytes.fromhex(event.reason_digest)
    return _Said(event_id, event.fact, bytes.fromhex(event.fact_digest), None, told)


def _check_text(tx: Tx, said: _Said, erased: Erasures, texts: set[int]) -> tuple[str, str] | None:
    """What is wrong with a text. One that is compared is added to `texts`, whoever voted on it."""
    rows: list[Any] = tx.execute(_RECORDED, (said.fact, said.digest)).fetchall()
    if not rows:
        if value(tx, "SELECT 1 FROM transactions WHERE subject = ? AND kind = 'fact'", (said.fact,)) is None:
            return "FACT_MISSING", f"nothing here recorded fact {said.fact}, which was voted on"
        return "FACT_CHANGED", f"fact {said.fact} never had the text that was voted on"
    if said.author is not None and said.author not in {row[0] for row in rows}:
        return "FACT_CHANGED", f"fact {said.fact} is by {rows[0][0]}, the vote says {said.author}"
    for _, holder, salt, *fields in rows:
        if holder is None:
            if said.fact not in erased:
                return "FACT_MISSING", f"the revision of fact {said.fact} that was voted on is gone"
            continue
        texts.add(hash((said.fact, said.digest)))
        if holder != said.fact or not _is_text(salt, fields, said.digest):
            return "FACT_CHANGED", f"fact {said.fact}: its text or a field is not what was voted on"
    return None


def _is_text(salt: bytes, fields: list[Any], digest: bytes) -> bool:
    try:
        return hmac.compare_digest(fact_digest(salt, tuple(fields)), digest)
    except (TypeError, AttributeError):
        return False  # a field that is not of its type


def _held_reason(tx: Tx, said: _Said) -> tuple[Any, ...] | None:
    row: Any = tx.execute("SELECT fact, salt, reason FROM vote_reason WHERE event_id = ?", (said.event_id,)).fetchone()
    return None if row is None else tuple(row)


def _check_reason(said: _Said, held: tuple[Any, ...], erased: Erasures) -> tuple[str, str] | None:
    fact, salt, reason = held
    if fact != said.fact or said.reason != events.reason_digest(salt, reason):
        return "REASON_CHANGED", f"the reason of {said.event_id} is not the one that was recorded"
    if fact in erased:
        return "REASON_CHANGED", f"fact {fact} was forgotten and the reason of {said.event_id} is held all the same"
    return None


_UNRECORDED = (
    "SELECT v.event_id FROM vote_reason AS v NOT INDEXED WHERE NOT EXISTS (SELECT 1 FROM vote_ledger AS l"
    " WHERE l.event_id = v.event_id AND (l.reason_digest IS NOT NULL OR l.kind = 'resolve'))"
    f" ORDER BY v.event_id LIMIT {limits.FINDINGS_PER_CODE_MAX}"
)
