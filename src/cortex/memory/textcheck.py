"""The text pass: every entry against the fact it recorded, every fact that is held against its entry."""

import hmac
from typing import Any, NamedTuple

from cortex import limits
from cortex.canonical import fact_digest
from cortex.db.connect import Tx, integer, value
from cortex.ids import plain
from cortex.ledger.findings import Findings
from cortex.memory import facts
from cortex.progress import Progress


class _Entry(NamedTuple):
    """An entry, the revision that it recorded (if held), and what ended that and what it ended itself."""

    log: int
    idx: int
    kind: str
    subject: str | None
    project: str | None
    rev: str | None
    parent: str | None
    digest: bytes | None
    actor: str
    ts: str
    row: int | None
    fact_id: str
    held_project: str | None
    held_rev: str
    held_parent: str | None
    held_actor: str
    recorded_at: str
    retired_at: str | None
    number: int
    salt: bytes
    content: str
    type: str
    tags: str
    key: str | None
    source: str | None
    meta: str | None
    confidence: str
    valid_from: str
    valid_until: str | None
    thread: str | None
    seq: int | None
    ended_parent: str | None
    ended_ts: str | None
    before_number: int | None
    before_log: int | None
    before_idx: int | None
    fact_project: int | None
    own_project: int | None
    tail: str | None
    grams: str | None
    fingerprint: int
    retired_log: int | None
    retired_idx: int | None


_ENTRIES = """
SELECT t.log, t.idx, t.kind, t.subject, t.project, t.rev, t.parent, t.digest, t.actor, t.ts,
       r.id, r.fact_id, p.name, r.rev, r.parent, r.actor, r.recorded_at, r.retired_at, r.number, r.salt, r.content,
       r.type, r.tags, r.key, r.source, r.meta, r.confidence, r.valid_from, r.valid_until, r.thread, r.seq,
       e.parent, e.ts, b.number, b.retired_log, b.retired_idx, f.project_id, r.project_id, f.tail, r.grams,
       r.fingerprint, r.retired_log, r.retired_idx
FROM transactions AS t
LEFT JOIN revision AS r ON r.log = t.log AND r.idx = t.idx
LEFT JOIN project AS p ON p.id = r.project_id
LEFT JOIN fact AS f ON f.id = r.fact_id
LEFT JOIN transactions AS e ON e.log = r.retired_log AND e.idx = r.retired_idx AND e.kind IN ('revise', 'retract')
LEFT JOIN revision AS b ON b.rev = t.parent
WHERE t.log = ? AND t.idx > ? ORDER BY t.idx
"""


class _Names:
    """What a project is called today that had a certain name when an entry was made."""

    def __init__(self, tx: Tx) -> None:
        rows = tx.execute("SELECT log, idx, subject, project FROM transactions WHERE kind = 'rename' ORDER BY log, idx")
        self._renames: dict[object, list[tuple[tuple[Any, Any], object]]] = {}
        for log, idx, old, new in rows:
            self._renames.setdefault(old, []).append(((log, idx), new))

    def today(self, entry: _Entry) -> str | None:
        name: object = entry.project
        at = (entry.log, entry.idx)
        while following := [rename for rename in self._renames.get(name, ()) if rename[0] > at]:
            at, name = following[0]
        assert name is None or isinstance(name, str)
        return name


class Erasures:
    """Which facts the ledger says were erased.

    With `whole` all of them, read from the table itself: an index could have been made to name another fact.
    """

    def __init__(self, tx: Tx, *, whole: bool) -> None:
        self._tx = tx
        self._all = {fact for (fact,) in tx.execute(_ERASED.format("NOT INDEXED"))} if whole else None

    def __contains__(self, fact: str | None) -> bool:
        if self._all is not None:
            return fact in self._all
        return value(self._tx, f"{_ERASED.format('')} AND subject = ?", (fact,)) is not None


_ERASED = "SELECT subject FROM transactions {} WHERE kind = 'erase'"


def check(tx: Tx, findings: Findings, *, since: dict[int, int], progress: Progress) -> tuple[int, int]:
    """Check the entries from `since` (log -> first to check) on. Returns how many revisions and erasures were seen.

    Where `since` is empty, all of them, and that no fact is held without an entry.
    """
    names, gone = _Names(tx), Erasures(tx, whole=not since)
    revisions = erased = done = 0
    total = integer(tx, "SELECT coalesce(sum(size), 0) FROM ledger_log") - sum(since.values())
    logs: list[Any] = tx.execute("SELECT id, origin FROM ledger_log ORDER BY id").fetchall()
    for log, origin in logs:
        last = since.get(log, 0) - 1
        for row in tx.execute(_ENTRIES, (log, last)):
            entry = _Entry._make(row)
            found = _check_entry(tx, entry, names, gone)
            if found is not None:
                findings.add(*found, origin=origin, entry=entry.idx)
            revisions += entry.row is not None
            erased += entry.kind == "erase"
            done += 1
            if done % limits.TEXT_CHUNK_LEAVES == 0 or done == total:
                progress(done, total, "facts")
    if not since:
        _check_unrecorded(tx, findings, revisions)
    return revisions, erased


def _check_entry(tx: Tx, entry: _Entry, names: _Names, gone: Erasures) -> tuple[str, str] | None:
    if entry.kind in {"fact", "revise"}:
        try:
            return _check_recorded(entry, names, gone) or _check_ended(entry)
        except (TypeError, AttributeError):
            return "FACT_CHANGED", f"fact {entry.subject}: a field is not of the type that it should be"
    if entry.kind == "retract":
        return _check_ended(entry)
    if entry.kind == "erase":
        return _check_erased(tx, entry)
    if entry.kind == "import":
        return _check_import(tx, entry)
    return None


def _check_recorded(entry: _Entry, names: _Names, gone: Erasures) -> tuple[str, str] | None:
    """The revision that a `fact` or `revise` entry recorded."""
    if entry.row is None:
        return None if entry.subject in gone else ("FACT_MISSING", f"a revision of fact {entry.subject} is gone")
    if entry.fact_project is None:
        return "FACT_MISSING", f"fact {entry.subject} has lost its row"
    named = (
        ("its id", entry.fact_id, entry.subject),
        ("its revision's name", entry.held_rev, entry.rev),
        ("what it replaced", entry.held_parent, entry.parent),
        ("its author", entry.held_actor, entry.actor),
        ("when it was recorded", entry.recorded_at, entry.ts),
        ("its project", entry.held_project, names.today(entry)),
        ("its project's number", entry.own_project, entry.fact_project),
        ("its revision number", entry.number, _number(entry)),
        ("what its short id is looked up by", entry.tail, plain(entry.fact_id)[::-1]),
    )
    for what, held, recorded in named:
        if held != recorded:
            return "FACT_CHANGED", f"fact {entry.subject}: {what} is {held}, the entry says {recorded}"
    if not hmac.compare_digest(_digest(entry), entry.digest or b""):
        return "FACT_CHANGED", f"fact {entry.subject}: its text or a field differs from what was recorded"
    if _marks(entry) != (entry.grams, entry.fingerprint):
        return (
            "FACT_CHANGED",
            f"fact {entry.subject}: what finds it by script or as a duplicate is not what its text gives",
        )
    return _check_retired(entry)


def _check_retired(entry: _Entry) -> tuple[str, str] | None:
    """What the revision says itself of what ended it."""
    if entry.retired_at != entry.ended_ts or (entry.ended_ts is not None and entry.ended_parent != entry.rev):
        return "FACT_CHANGED", f"fact {entry.subject}: no entry ended the belief at {entry.retired_at}"
    if entry.retired_at is None and (entry.retired_log, entry.retired_idx) != (None, None):
        return "FACT_CHANGED", f"fact {entry.subject}: it is believed, and its row names an entry that ended that"
    return None


def _marks(entry: _Entry) -> tuple[str | None, int]:
    """The columns that are made from the others."""
    assert entry.own_project is not None
    mark = facts.fingerprint(entry.own_project, entry.type, entry.key, entry.thread, entry.seq, entry.content)
    return facts.grams(entry.content, entry.key, entry.tags), mark


def _number(entry: _Entry) -> int:
    if entry.kind == "fact":
        return 1
    return entry.number if entry.before_number is None else entry.before_number + 1


def _digest(entry: _Entry) -> bytes:
    seq = None if entry.seq is None else str(entry.seq)
    fields = (
        entry.content, entry.type, entry.tags, entry.key, entry.source, entry.meta, entry.confidence,
        entry.valid_from, entry.valid_until, entry.thread, seq,
    )  # fmt: skip
    return fact_digest(entry.salt, fields)


def _check_ended(entry: _Entry) -> tuple[str, str] | None:
    """The revision that a `revise` or `retract` entry ended, where it is still held."""
    if entry.before_number is None or (entry.before_log, entry.before_idx) == (entry.log, entry.idx):
        return None
    return (
        "FACT_CHANGED",
        f"fact {entry.subject}: revision {entry.before_number} ended here and is believed all the same",
    )


def _check_erased(tx: Tx, entry: _Entry) -> tuple[str, str] | None:
    if value(tx, "SELECT 1 FROM revision WHERE fact_id = ?", (entry.subject,)):
        return "FACT_CHANGED", f"fact {entry.subject} was erased and is held all the same"
    if value(tx, "SELECT erased_at FROM fact WHERE id = ?", (entry.subject,)) != entry.ts:
        return "FACT_CHANGED", f"fact {entry.subject} was erased at {entry.ts}, which its row does not say"
    return None


def _check_import(tx: Tx, entry: _Entry) -> tuple[str, str] | None:
    row = tx.execute("SELECT salt, digest FROM import_run WHERE id = ?", (entry.subject,)).fetchone()
    if row is None:
        return "FACT_MISSING", f"import {entry.subject} has lost its row"
    if not hmac.compare_digest(hmac.digest(row[0], row[1], "sha256"), entry.digest or b""):
        return "FACT_CHANGED", f"import {entry.subject}: its file is not the one that was recorded"
    return None


def _check_unrecorded(tx: Tx, findings: Findings, matched: int) -> None:
    """What is held without an entry. Tables are read themselves: an index could have been made to leave rows out."""
    held = integer(tx, "SELECT count(*) FROM revision NOT INDEXED")
    if held != matched:
        findings.add("FACT_CHANGED", f"{held} revisions are held, and entries recorded {matched} of them")
    for code, told, query in _UNRECORDED:
        for (what,) in tx.execute(f"{query} LIMIT {limits.FINDINGS_PER_CODE_MAX}"):
            findings.add(code, told.format(what))


_UNRECORDED = (
    (
        "FACT_CHANGED",
        "no entry recorded a revision of fact {}",
        (
            "SELECT r.fact_id FROM revision AS r NOT INDEXED WHERE NOT EXISTS (SELECT 1 FROM transactions AS t"
            " WHERE t.log = r.log AND t.idx = r.idx AND t.kind IN ('fact', 'revise'))"
        ),
    ),
    (
        "FACT_CHANGED",
        "no entry recorded fact {}",
        (
            "SELECT f.id FROM fact AS f NOT INDEXED WHERE NOT EXISTS (SELECT 1 FROM transactions AS t"
            " WHERE t.subject = f.id AND t.kind = 'fact')"
        ),
    ),
    (
        "FACT_CHANGED",
        "no entry recorded import {}",
        (
            "SELECT i.id FROM import_run AS i NOT INDEXED WHERE NOT EXISTS (SELECT 1 FROM transactions AS t"
            " WHERE t.log = i.log AND t.idx = i.idx AND t.subject = i.id AND t.kind = 'import')"
        ),
    ),
    (
        "FACT_MISSING",
        "fact {} is marked as erased, and no entry says so",
        (
            "SELECT f.id FROM fact AS f NOT INDEXED WHERE f.erased_at IS NOT NULL AND NOT EXISTS"
            " (SELECT 1 FROM transactions AS t WHERE t.subject = f.id AND t.kind = 'erase')"
        ),
    ),
)
