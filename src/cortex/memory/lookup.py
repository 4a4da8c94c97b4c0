"""Reading facts: by id or part of one, listed in pages, with history and slot."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from cortex import limits
from cortex.db.connect import Tx
from cortex.errors import Conflict, Invalid, NotFound
from cortex.ids import dashed, plain
from cortex.memory.model import Fact, Span
from cortex.memory.visibility import View
from cortex.trust import standing
from cortex.trust.tally import Verdict

_HEX = re.compile(r"[0-9a-f]{1,32}")

# What the votes on a revision (aliased `r`) come to, as `standing.told` reads it; null where there are none.
STANDING = (
    "(SELECT v.verdict || ' ' || v.resolved || ' ' || v.sigma_e6 || ' ' || ifnull(v.tenths, '')"
    " FROM vote_tally AS v CROSS JOIN transactions AS t ON t.log = r.log AND t.idx = r.idx AND t.digest = v.digest"
    " WHERE v.fact = r.fact_id)"
)

COLUMNS = (
    "r.fact_id, p.name, r.content, r.type, r.tags, r.key, r.source, r.meta, r.confidence, r.thread, r.seq,"
    " r.valid_from, r.valid_until, r.recorded_at, r.retired_at, r.number, r.actor,"
    f" {STANDING}"
)


def columns(chars: int) -> str:
    """COLUMNS with each long text cut to its first `chars` characters, but for texts with a NUL: substr ends there."""
    short = f"octet_length(r.content) <= {chars} OR instr(r.content, char(0))"
    return COLUMNS.replace("r.content", f"CASE WHEN {short} THEN r.content ELSE substr(r.content, 1, {chars}) END")


# What a fact that nobody voted on says.
_NOBODY: tuple[Verdict, bool, float] = ("none", False, 1.0)

FROM = "FROM revision AS r JOIN project AS p ON p.id = r.project_id"

_decode_tags = msgspec.json.Decoder(list[str]).decode
_decode_meta = msgspec.json.Decoder(dict[str, Any]).decode


def fact(row: tuple[Any, ...]) -> Fact:
    """A row of COLUMNS as a Fact."""
    (fact_id, project, content, kind, tags, key, source, meta, confidence, thread, seq, *rest) = row
    valid_from, valid_until, recorded_at, retired_at, number, actor, told = rest
    verdict, resolved, score = standing.told(told) if told is not None else _NOBODY
    return Fact(
        id=fact_id,
        project=project,
        content=content,
        type=kind,
        tags=_decode_tags(tags),
        key=key,
        source=source,
        meta=None if meta is None else _decode_meta(meta),
        confidence=confidence,
        thread=thread,
        seq=seq,
        valid_from=valid_from,
        valid_until=valid_until,
        recorded_at=recorded_at,
        retired_at=retired_at,
        revision=number,
        actor=actor,
        verdict=verdict,
        resolved=resolved,
        consensus_score=score,
    )


def revision(tx: Tx, row_id: int) -> Fact:
    """One revision by its row number."""
    row = tx.execute(f"SELECT {COLUMNS} {FROM} WHERE r.id = ?", (row_id,)).fetchone()
    assert row is not None, f"revision row {row_id}"
    return fact(row)


def resolve(tx: Tx, name: str, *, forgotten: bool = False) -> str:
    """The full id for a full id, or a prefix or suffix (from 4 hex digits on) that only one fact has.

    Raises Invalid for what cannot be an id, NotFound for no fact (or a forgotten one, unless `forgotten`), Conflict for
    several.
    """
    digits = plain(name.strip())
    if not _HEX.fullmatch(digits) or len(digits) < limits.ID_PREFIX_CHARS_MIN:
        raise Invalid(
            f"{name[:60]!r} is not an id",
            f"give an id, or at least its last {limits.ID_PREFIX_CHARS_MIN} hex digits, as `cortex list` shows them",
        )
    first, backward = dashed(digits), digits[::-1]
    found: list[Any] = tx.execute(
        "SELECT id, erased_at FROM (SELECT id, erased_at FROM fact WHERE id >= ? AND id < ? UNION"
        " SELECT id, erased_at FROM fact WHERE tail >= ? AND tail < ?) ORDER BY erased_at IS NOT NULL, id LIMIT 4",
        (first, f"{first}g", backward, f"{backward}g"),
    ).fetchall()
    held = [row[0] for row in found if forgotten or row[1] is None]
    if len(held) > 1:
        raise Conflict(
            f"{name!r} fits {len(held)} facts or more, among them {' and '.join(held[:2])}", "give more digits"
        )
    if held:
        return str(held[0])
    if found:
        raise NotFound(f"fact {found[0][0]} was forgotten at {found[0][1]}", "nothing of it is left to read")
    raise NotFound(f"there is no fact {name}", "`cortex list` and `cortex search` show ids")


def current(tx: Tx, fact_id: str, known_at: str | None = None) -> Fact:
    """A fact as believed at `known_at`, or its newest revision (retracted or not) when that is None."""
    clause, bindings = ("1", {}) if known_at is None else View(None, known_at).known("r")
    row = tx.execute(
        f"SELECT {COLUMNS} {FROM} WHERE r.fact_id = :id AND {clause} ORDER BY r.number DESC LIMIT 1",
        {**bindings, "id": fact_id},
    ).fetchone()
    if row is None:
        raise NotFound(f"fact {fact_id} was not believed at {known_at}", "`cortex history` shows when it was")
    return fact(row)


def history(tx: Tx, fact_id: str) -> list[Fact]:
    """Every revision of a fact, oldest first."""
    rows = tx.execute(f"SELECT {COLUMNS} {FROM} WHERE r.fact_id = ? ORDER BY r.number", (fact_id,))
    return [fact(row) for row in rows]


def slot(tx: Tx, project: str, key: str, known_at: str | None = None) -> list[Span]:
    """The values that a slot had, in order of time: each ends where the next begins, or at its own `valid_until`."""
    known, bindings = View(None, known_at).known("r")
    rows: list[Any] = tx.execute(
        f"SELECT r.fact_id, r.content, r.number, r.valid_from, r.valid_until {FROM} WHERE p.name = :project "
        f"AND r.key = :key AND {known} ORDER BY r.valid_from, r.rev, r.fact_id",
        {**bindings, "project": project, "key": key},
    ).fetchall()
    spans = []
    for (fact_id, content, number, since, until), following in zip(rows, [*rows[1:], None], strict=False):
        ends = [end for end in (until, following and following[3]) if end is not None]
        spans.append(Span(id=fact_id, content=content, revision=number, since=since, until=min(ends, default=None)))
    return spans


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """What narrows lists and searches. `projects` None means all."""

    projects: tuple[str, ...] | None
    types: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    key: str | None = None
    thread: str | None = None

    def condition(self) -> tuple[str, dict[str, Any]]:
        """SQL over `r` and `p`, and its bindings. A fact has all of `tags` and one of `types`."""
        parts: list[str] = []
        bindings: dict[str, Any] = {}
        if self.projects is not None:
            parts.append(f"p.name IN ({_named('project', self.projects, bindings)})")
        if self.types:
            parts.append(f"r.type IN ({_named('type', self.types, bindings)})")
        names = _names("tag", self.tags, bindings)
        parts += [f"EXISTS (SELECT 1 FROM json_each(r.tags) WHERE value = :{name})" for name in names]
        for column, wanted in (("key", self.key), ("thread", self.thread)):
            if wanted is not None:
                parts.append(f"r.{column} = :only_{column}")
                bindings[f"only_{column}"] = wanted
        return " AND ".join(parts) or "1", bindings


def _names(stem: str, values: Iterable[str], bindings: dict[str, Any]) -> list[str]:
    given = {f"{stem}_{number}": entry for number, entry in enumerate(values)}
    bindings.update(given)
    return list(given)


def _named(stem: str, values: Iterable[str], bindings: dict[str, Any]) -> str:
    return ", ".join(f":{name}" for name in _names(stem, values, bindings))


def page(
    tx: Tx, filters: Filters, view: View, *, before: int | None, limit: int
) -> tuple[list[tuple[int, Fact]], bool]:
    """Facts, the last changed first, with their row numbers: those below `before` when that is given.

    At most `limit`, and no more once they come to PAGE_BYTES_MAX. Also says whether there are more.
    """
    narrow, given = filters.condition()
    visible, bindings = view.condition()
    below = "" if before is None else "AND r.id < :before"
    rows = tx.execute(
        f"SELECT r.id, {COLUMNS} {FROM} WHERE {narrow} AND {visible} {below} ORDER BY r.id DESC LIMIT :limit",
        {**given, **bindings, "before": before, "limit": limit + 1},
    )
    found: list[tuple[int, Fact]] = []
    size = 0
    for row in rows:
        if len(found) == limit or size >= limits.PAGE_BYTES_MAX:
            return found, True
        found.append((row[0], fact(row[1:])))
        size += len(found[-1][1].content)
    return found, False


def beginnings(
    tx: Tx, filters: Filters, view: View, *, ranks: Mapping[str, int], other: int, limit: int, chars: int
) -> list[Fact]:
    """Facts by the rank of their type, then the last changed first, each text cut to its first `chars` characters.

    `ranks` has the rank of each type that has one, `other` that of all the rest.
    """
    narrow, given = filters.condition()
    visible, bindings = view.condition()
    kinds: dict[str, Any] = {}
    cases = " ".join(f"WHEN :{name} THEN {ranks[kinds[name]]}" for name in _names("kind", ranks, kinds))
    rows = tx.execute(
        f"SELECT {columns(chars)} {FROM} WHERE {narrow} AND {visible}"
        f" ORDER BY CASE r.type {cases} ELSE {other} END, r.id DESC LIMIT :limit",
        {**given, **bindings, **kinds, "limit": limit},
    )
    return [fact(row) for row in rows]


def every(tx: Tx, filters: Filters, view: View) -> Iterator[Fact]:
    """All facts, the first changed first, one at a time."""
    narrow, given = filters.condition()
    visible, bindings = view.condition()
    rows = tx.execute(f"SELECT {COLUMNS} {FROM} WHERE {narrow} AND {visible} ORDER BY r.id", {**given, **bindings})
    return (fact(row) for row in rows)


def neighbours(tx: Tx, of: Fact, view: View, reach: int) -> list[Fact]:
    """The turns up to `reach` before and after a fact in its thread, in order, the fact itself left out."""
    if of.thread is None or of.seq is None or reach == 0:
        return []
    visible, bindings = view.condition()
    wanted: Mapping[str, Any] = {
        **bindings, "project": of.project, "thread": of.thread, "id": of.id, "low": of.seq - reach,
        "high": of.seq + reach,
    }  # fmt: skip
    rows = tx.execute(
        f"SELECT {COLUMNS} {FROM} WHERE p.name = :project AND r.thread = :thread AND r.seq BETWEEN :low AND :high"
        f" AND r.fact_id <> :id AND {visible} ORDER BY r.seq, r.id LIMIT {4 * limits.CONTEXT_MAX}",
        wanted,
    )
    return [fact(row) for row in rows]
