"""Changing facts: insert, revise, retract, erase. Each change and its ledger entry are one transaction."""

import hashlib

from msgspec import structs

from cortex.canonical import fact_digest
from cortex.db.connect import Tx, value
from cortex.errors import Conflict, NotFound, RevisionConflict
from cortex.ids import plain
from cortex.index import text
from cortex.ledger.chain import Appending, Placed
from cortex.memory import derived, likeness, lookup, projects
from cortex.memory.model import Decided, Fact
from cortex.memory.visibility import View, present, reached


def insert(tx: Tx, log: Appending, new: Decided, *, marked: bool = True) -> tuple[Fact, bool]:
    """Store a fact. Returns it and whether it was there already: then nothing changed.

    Unless `marked`, what near duplicates are found by follows after the commit.

    A duplicate has the same project, type, content, key, thread and seq, is believed, and covers the same time: the
    very interval when the caller dated it, else any that is open now.
    """
    new = _since(new, log.ts)
    project_id = projects.ensure(tx, new.project)
    mark = fingerprint(project_id, new.type, new.key, new.thread, new.seq, new.content)
    existing = _duplicate(tx, project_id, mark, new, log.ts)
    if existing is not None:
        return lookup.revision(tx, existing), True
    tx.execute("INSERT INTO fact (id, tail, project_id) VALUES (?, ?, ?)", (new.id, plain(new.id)[::-1], project_id))
    placed = log.add(
        "fact", subject=new.id, project=new.project, digest=fact_digest(new.salt, fields(new)), versioned=True
    )
    _write(tx, new, project_id, 1, None, placed, log.actor, mark, marked=marked)
    return _fact(new, 1, placed, log.actor), False


def stored_as(tx: Tx, new: Decided, now: str) -> str | None:
    """The id of the fact that is there already, of which `new` would be a duplicate."""
    project_id = projects.number(tx, new.project)
    if project_id is None:
        return None
    mark = fingerprint(project_id, new.type, new.key, new.thread, new.seq, new.content)
    existing = _duplicate(tx, project_id, mark, new, present(tx, now))
    if existing is None:
        return None
    found = value(tx, "SELECT fact_id FROM revision WHERE id = ?", (existing,))
    assert isinstance(found, str)
    return found


def revise(tx: Tx, log: Appending, new: Decided, if_revision: int | None) -> Fact:
    """Replace what is believed of a fact by `new`; the revision before it stays readable in the history."""
    row_id, number, rev, project_id = _current(tx, new.id, if_revision)
    placed = log.add(
        "revise",
        subject=new.id,
        project=new.project,
        digest=fact_digest(new.salt, fields(new)),
        parent=rev,
        versioned=True,
    )
    _retire(tx, row_id, placed)
    mark = fingerprint(project_id, new.type, new.key, new.thread, new.seq, new.content)
    _write(tx, new, project_id, number + 1, rev, placed, log.actor, mark)
    return _fact(new, number + 1, placed, log.actor)


def retract(tx: Tx, log: Appending, fact_id: str, if_revision: int | None) -> Fact:
    """End the belief in a fact; its history stays."""
    row_id, _, rev, project_id = _current(tx, fact_id, if_revision)
    placed = log.add("retract", subject=fact_id, project=_name(tx, project_id), parent=rev)
    _retire(tx, row_id, placed)
    return lookup.revision(tx, row_id)


def erase(tx: Tx, log: Appending, fact_id: str) -> tuple[int, Placed]:
    """Delete text, salt and index rows of every revision, and the reasons of votes on them.

    Returns how many revisions there were and the ledger entry.
    """
    row = tx.execute("SELECT project_id, erased_at FROM fact WHERE id = ?", (fact_id,)).fetchone()
    if row is None or row[1] is not None:
        raise NotFound(f"there is no fact {fact_id}", "it may have been forgotten already")
    revisions = [r[0] for r in tx.execute("SELECT id FROM revision WHERE fact_id = ?", (fact_id,))]
    for number in revisions:
        derived.removing(tx, number)
    tx.execute("DELETE FROM revision WHERE fact_id = ?", (fact_id,))
    tx.execute("DELETE FROM vote_reason WHERE fact = ?", (fact_id,))
    placed = log.add("erase", subject=fact_id, project=_name(tx, row[0]))
    tx.execute("UPDATE fact SET erased_at = ? WHERE id = ?", (placed.ts, fact_id))
    return len(revisions), placed


def _since(new: Decided, recorded_at: str) -> Decided:
    """A fact without a date of its own is true from when it is recorded, though the clock stepped back before."""
    if new.dated or new.valid_from == recorded_at:
        return new
    since = reached(new.valid_from, recorded_at)
    if new.valid_until is not None and new.valid_until <= since:
        return new
    return structs.replace(new, valid_from=since)


def fields(new: Decided) -> tuple[str | None, ...]:
    """The fields that a digest binds, in their fixed order, as stored."""
    return (
        new.content, new.type, new.tags, new.key, new.source, new.meta, new.confidence, new.valid_from,
        new.valid_until, new.thread, None if new.seq is None else str(new.seq),
    )  # fmt: skip


def _current(tx: Tx, fact_id: str, if_revision: int | None) -> tuple[int, int, str, int]:
    row = tx.execute(
        "SELECT id, number, rev, project_id, retired_at FROM revision WHERE fact_id = ? ORDER BY number DESC LIMIT 1",
        (fact_id,),
    ).fetchone()
    if row is None:
        raise NotFound(f"there is no fact {fact_id}", "it may have been forgotten")
    row_id, number, rev, project_id, retired_at = row
    if if_revision is not None and if_revision != number:
        raise RevisionConflict(
            f"fact {fact_id} is at revision {number}, not {if_revision}", "read it again and decide anew"
        )
    if retired_at is not None:
        raise Conflict(f"fact {fact_id} was retracted at {retired_at}", "store it again if it is true after all")
    return row_id, number, rev, project_id


def _retire(tx: Tx, row_id: int, placed: Placed) -> None:
    tx.execute(
        "UPDATE revision SET retired_at = ?, retired_log = ?, retired_idx = ? WHERE id = ?",
        (placed.ts, placed.log, placed.idx, row_id),
    )
    derived.retired(tx, row_id)


def _write(
    tx: Tx,
    new: Decided,
    project_id: int,
    number: int,
    parent: str | None,
    placed: Placed,
    actor: str,
    mark: int,
    *,
    marked: bool = True,
) -> None:
    tx.execute(
        _INSERT,
        (
            new.id, project_id, number, placed.rev, parent, new.content, new.type, new.tags, new.key, new.source,
            new.meta, new.confidence, new.valid_from, new.valid_until, new.thread, new.seq, actor, placed.ts,
            new.salt, placed.log, placed.idx, mark, grams(new.content, new.key, new.tags),
        ),
    )  # fmt: skip
    turn = new.thread is not None and new.seq is not None
    row_id = tx.last_insert_rowid()
    derived.added(tx, row_id, turn=turn)
    if marked:
        likeness.add(tx, row_id, project_id, new.content)


def _fact(new: Decided, number: int, placed: Placed, actor: str) -> Fact:
    """What was just written, as reading it back would give it."""
    return lookup.fact(
        (
            new.id, new.project, new.content, new.type, new.tags, new.key, new.source, new.meta, new.confidence,
            new.thread, new.seq, new.valid_from, new.valid_until, placed.ts, None, number, actor, None,
        )
    )  # fmt: skip


_INSERT = (
    "INSERT INTO revision (fact_id, project_id, number, rev, parent, content, type, tags, key, source, meta,"
    " confidence, valid_from, valid_until, thread, seq, actor, recorded_at, salt, log, idx, fingerprint, grams)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def fingerprint(project_id: int, kind: str, key: str | None, thread: str | None, seq: int | None, content: str) -> int:
    """What duplicates have in common, in 64 bits, by which they are looked up."""
    parts = (str(project_id), kind, key, thread, None if seq is None else str(seq), content)
    joined = b"".join(b"-" if p is None else b"%d:%b" % (len(p.encode()), p.encode()) for p in parts)
    return int.from_bytes(hashlib.blake2b(joined, digest_size=8).digest(), "big", signed=True)


def grams(content: str, key: str | None, tags: str) -> str | None:
    """What a fact has in the index's column for unspaced scripts."""
    return text.grams(f"{content} {key or ''} {tags}")


def _duplicate(tx: Tx, project_id: int, mark: int, new: Decided, now: str) -> int | None:
    if value(tx, "SELECT 1 FROM revision WHERE fingerprint = ? AND retired_at IS NULL", (mark,)) is None:
        return None
    visible, bindings = View(as_of=None if new.dated else now).condition()
    dated = "AND r.valid_from = :valid_from" if new.dated else ""
    found = value(
        tx,
        "SELECT r.id FROM revision AS r INDEXED BY revision_fingerprint WHERE r.fingerprint = :fingerprint "
        "AND r.project_id = :project_id "
        "AND r.content = :content AND r.type = :type AND r.key IS :key AND r.thread IS :thread AND r.seq IS :seq "
        f"AND r.valid_until IS :valid_until {dated} AND {visible} ORDER BY r.id LIMIT 1",
        {
            **bindings, "fingerprint": mark, "project_id": project_id, "content": new.content,
            "type": new.type, "key": new.key, "thread": new.thread, "seq": new.seq,
            "valid_until": new.valid_until, "valid_from": new.valid_from,
        },
    )  # fmt: skip
    assert found is None or isinstance(found, int)
    return found


def _name(tx: Tx, project_id: int) -> str:
    name = value(tx, "SELECT name FROM project WHERE id = ?", (project_id,))
    assert isinstance(name, str)
    return name
