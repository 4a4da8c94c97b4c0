"""The text pass: every entry against the fact it recorded, every fact that is held against its entry."""

import hmac
from typing import Any, NamedTuple

from cortex import limits
from cortex.canonical import fact_digest
from cortex.db.connect import Tx, integer, value
from cortex.ids import plain
from cortex.ledger.findings import Findings
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


_ENTRIES = """
SELECT t.log, t.idx, t.kind, t.subject, t.project, t.rev, t.parent, t.digest, t.actor, t.ts,
       r.id, r.fact_id, p.name, r.rev, r.parent, r.actor, r.recorded_at, r.retired_at, r.number, r.salt, r.content,
       r.type, r.tags, r.key, r.source, r.meta, r.confidence, r.valid_from, r.valid_until, r.thread, r.seq,
       e.parent, e.ts, b.number, b.retired_log, b.retired_idx, f.project_id, r.project_id, f.tail
FROM transactions AS t
LEFT JOIN revision AS r ON r.log = t.log AND r.idx = t.idx
LEFT JOIN project AS p ON p.id = r.project_id
LEFT JOIN fact AS f ON f.id = r.fact_id
LEFT JOIN transactions AS e ON e.log = r.retired_log AND e.idx = r.retired_idx AND e.kind IN ('revise', 'retract')
LEFT JOIN revision AS b ON b.rev = t.parent
WHERE t.log = ? AND t.idx > ? ORDER BY t.idx LIMIT ?
"""


class _Names:
    """What a project is called today that had a certain name when an entry was made."""

    def __init__(self, tx: Tx) -> None:
        rows = tx.execute("SELECT log, idx, subject, project FROM transactions WHERE kind = 'rename' ORDER BY log, idx")
        self._renames = [((log, idx), old, new) for log, idx, old, new in rows]

    def today(self, entry: _Entry) -> str | None:
        name = entry.project
        for at, old, new in self._renames:
            if at > (entry.log, entry.idx) and name == old:
                name = new
        return name


def check(tx: Tx, findings: Findings, *, since: dict[int, int], progress: Progress) -> tuple[int, int]:
    """Check the entries from `since` (log -> first to check) on. Returns how many revisions and erasures were seen.

    Where `since` is empty, all of them, and that no fact is held without an entry.
    """
    names = _Names(tx)
    revisions = erased = done = 0
    total = integer(tx, "SELECT coalesce(sum(size), 0) FROM ledger_log") - sum(since.values())
    logs: list[Any] = tx.execute("SELECT id, origin FROM ledger_log ORDER BY id").fetchall()
    for log, origin in logs:
        last = since.get(log, 0) - 1
        while rows := _entries(tx, log, last):
            for entry in rows:
                found = _check_entry(tx, entry, names)
                if found is not None:
                    findings.add(*found, origin=origin, entry=entry.idx)
                revisions += entry.row is not None
                erased += entry.kind == "erase"
            last = rows[-1].idx
            done += len(rows)
            progress(done, total, "facts")
    if not since:
        _check_unrecorded(tx, findings)
    return revisions, erased


def _entries(tx: Tx, log: int, last: int) -> list[_Entry]:
    return [_Entry._make(row) for row in tx.execute(_ENTRIES, (log, last, limits.TEXT_CHUNK_LEAVES))]


def _check_entry(tx: Tx, entry: _Entry, names: _Names) -> tuple[str, str] | None:
    if entry.kind in {"fact", "revise"}:
        return _check_recorded(tx, entry, names) or _check_ended(entry)
    if entry.kind == "retract":
        return _check_ended(entry)
    if entry.kind == "erase":
        return _check_erased(tx, entry)
    if entry.kind == "import":
        return _check_import(tx, entry)
    return None


def _check_recorded(tx: Tx, entry: _Entry, names: _Names) -> tuple[str, str] | None:
    """The revision that a `fact` or `revise` entry recorded."""
    if entry.row is None:
        erased = value(tx, "SELECT 1 FROM transactions WHERE subject = ? AND kind = 'erase'", (entry.subject,))
        return None if erased else ("FACT_MISSING", f"a revision of fact {entry.subject} is gone")
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
    if entry.retired_at != entry.ended_ts or (entry.ended_ts is not None and entry.ended_parent != entry.rev):
        return "FACT_CHANGED", f"fact {entry.subject}: no entry ended the belief at {entry.retired_at}"
    return None


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


def _check_unrecorded(tx: Tx, findings: Findings) -> None:
    rows = tx.execute(
        "SELECT r.fact_id, r.number FROM revision AS r WHERE NOT EXISTS (SELECT 1 FROM transactions AS t"
        " WHERE t.log = r.log AND t.idx = r.idx AND t.kind IN ('fact', 'revise')) LIMIT ?",
        (limits.FINDINGS_MAX,),
    )
    for fact_id, number in rows:
        findings.add("FACT_CHANGED", f"no entry recorded revision {number} of fact {fact_id}")
    rows = tx.execute(
        "SELECT f.id FROM fact AS f WHERE f.erased_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM transactions AS t"
        " WHERE t.subject = f.id AND t.kind = 'erase') LIMIT ?",
        (limits.FINDINGS_MAX,),
    )
    for (fact_id,) in rows:
        findings.add("FACT_MISSING", f"fact {fact_id} is marked as erased, and no entry says so")
