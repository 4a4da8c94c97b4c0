"""Finding facts: up to four ranked lists, fused. Every filter is inside each list, so the best k that pass are found.

The lists are the words of facts and of windows over dialogues (BM25), and the vectors of both. Plain text search of a
file without dialogues has one list and skips the fusion.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from cortex import limits, times
from cortex.db.connect import Tx
from cortex.index import boost, text
from cortex.index.fuse import Fused, Fusion, ListName, Ranked, fuse
from cortex.index.near import Narrow, Near, Nearest
from cortex.index.vector_rows import PASSAGE, WINDOW
from cortex.memory import lookup, projects
from cortex.memory.model import Fact
from cortex.memory.visibility import View
from cortex.trust import standing

Mode = Literal["hybrid", "text", "semantic"]
Boost = Literal["recency", "consensus"]

# Marks round a match inside SQLite's answer; where a fact's own text holds them, they are not taken for marks.
_OPEN, _CLOSE = "\x02", "\x03"
_MARKED = re.compile(f"{_OPEN}([^{_OPEN}{_CLOSE}]*){_CLOSE}")
_SNIPPET_TOKENS = 40
# How a word of a long text is taken for one of the query without its stem: the same beginning, another ending.
_STEM_CHARS_MIN = 3
_ENDING_CHARS = 3


class Explanation(Struct, frozen=True, kw_only=True):
    """Why a hit stands where it stands: its place and score in one of the lists that found it.

    The score of a text list is BM25, that of a vector list the cosine.
    """

    list: ListName
    rank: int
    score: float


class Hit(Struct, frozen=True, kw_only=True):
    """A found fact. `highlights` are [start, end) character offsets in `snippet`."""

    fact: Fact
    score: Annotated[float, Meta(description="Higher is better; comparable within one answer only.")]
    snippet: str
    highlights: list[tuple[int, int]]
    context: list[Fact]
    explain: list[Explanation]
    similar_to: Annotated[list[str], Meta(description="Other facts that say nearly the same.")] = []


@dataclass(frozen=True)
class Wanted:
    """What is searched. `near` finds by meaning; None where the mode does not need it."""

    query: str
    mode: Mode
    top_k: int
    near: Nearest | None = None
    min_score: float | None = None
    boosts: tuple[Boost, ...] = ()
    now: str = ""
    fusion: Fusion = "scores"
    # Windows are of what is believed now: a search of another time goes without.
    windows: bool = True


@dataclass(frozen=True)
class _Found:
    """The fused results, the query as it was understood; by revision the nearest part, and snippets that are known."""

    fused: list[Fused]
    parsed: text.Query | None
    parts: dict[int, Near]
    marked: dict[int, str | None]


def find(tx: Tx, wanted: Wanted, filters: lookup.Filters, view: View) -> tuple[list[Hit], text.Query | None]:
    """The best `top_k` facts, and the query as it was understood (None: nothing in it can be searched by its words).

    Equal scores are ordered by row, oldest first, so that the same file gives the same order.
    """
    found = _ranked(tx, wanted, filters, view, _SNIPPET)
    facts = _facts(tx, found.fused, lookup.COLUMNS)
    snippets = _snippets(tx, found, facts)
    return [
        _hit(one, facts[one.id], snippets.get(one.id) or _nearest_part(facts[one.id], found.parts.get(one.id)))
        for one in found.fused
    ], found.parsed


def beginnings(tx: Tx, wanted: Wanted, filters: lookup.Filters, view: View, *, chars: int) -> list[Fact]:
    """The same facts, each text cut to its first `chars` characters, without snippets."""
    found = _ranked(tx, wanted, filters, view)
    facts = _facts(tx, found.fused, lookup.columns(chars))
    return [facts[one.id] for one in found.fused]


def _ranked(tx: Tx, wanted: Wanted, filters: lookup.Filters, view: View, snippet: str = "NULL") -> _Found:
    numbers = projects.numbers(tx, filters.projects)
    parsed = text.parse(wanted.query, numbers) if wanted.mode != "semantic" else None
    if numbers == ():
        return _Found([], parsed, {}, {})
    narrow = _narrow(filters, view, numbers)
    lists: dict[ListName, Ranked] = {}
    parts: dict[int, Near] = {}
    windows = wanted.windows and _has_turns(tx, numbers)
    # One list alone needs no more than was asked for.
    single = wanted.mode != "hybrid" and not windows and not wanted.boosts
    depth = wanted.top_k if single else max(limits.LIST_DEPTH, 2 * wanted.top_k)
    marked: dict[int, str | None] = {}
    if single and wanted.mode == "text":
        # Everything that is found is shown, so its snippet is made where it is found.
        lists["text"], marked = _by_text(tx, parsed, text.FACTS, narrow, depth, snippet)
    elif wanted.mode != "semantic":
        lists["text"], _ = _by_text(tx, parsed, text.FACTS, narrow, depth)
        if windows:
            lists["text-window"], _ = _by_text(tx, parsed, text.WINDOWS, narrow, depth)
    if wanted.near is not None:
        near = wanted.near(tx, PASSAGE, depth, narrow)
        parts = {one.revision_id: one for one in near}
        lists["vector"] = _scores(near)
        if windows:
            lists["vector-window"] = _scores(wanted.near(tx, WINDOW, depth, narrow))
    unjudged = _unjudged(tx, lists, depth, windows=windows)
    fused = fuse(lists, wanted.fusion, unjudged)
    return _Found(_chosen(tx, wanted, fused), parsed, parts, marked)


def _has_turns(tx: Tx, numbers: tuple[int, ...] | None) -> bool:
    """Whether there are turns of dialogues in these projects."""
    if numbers is None:
        return tx.execute("SELECT 1 FROM turn_window LIMIT 1").fetchone() is not None
    sql = "SELECT 1 FROM revision WHERE project_id = ? AND thread IS NOT NULL AND retired_at IS NULL LIMIT 1"
    return any(tx.execute(sql, (number,)).fetchone() is not None for number in numbers)


def _unjudged(tx: Tx, lists: dict[ListName, Ranked], depth: int, *, windows: bool) -> dict[int, frozenset[ListName]]:
    """The lists that cannot have a result, by result; facts without a window stand in for theirs where they can."""
    unjudged = _not_embedded(tx, lists)
    if not windows:
        return unjudged
    windowed = _windowed(tx, lists)
    _stand_in(lists, windowed, depth)
    if "text-window" in lists:
        # BM25 of windows and of facts comes from different counts: a fact without a window has no place in that list.
        for row_id in {row_id for ranked in lists.values() for row_id, _ in ranked} - windowed:
            unjudged[row_id] = unjudged.get(row_id, frozenset()) | {"text-window"}
    return unjudged


def _not_embedded(tx: Tx, lists: dict[ListName, Ranked]) -> dict[int, frozenset[ListName]]:
    """Those of the results that the lists of vectors cannot have, since they are not embedded yet."""
    if "vector" not in lists or "text" not in lists:
        return {}
    found = {row_id for ranked in lists.values() for row_id, _ in ranked}
    rows: list[Any] = tx.execute(
        "SELECT p.revision_id, p.task FROM json_each(?) AS j CROSS JOIN pending AS p ON p.revision_id = j.value"
        " AND p.task IN (?, ?)",
        (json.dumps(list(found)), PASSAGE, WINDOW),
    ).fetchall()
    placed = {name: {row_id for row_id, _ in lists.get(name, ())} for name in _BY_MEANING}
    unjudged: dict[int, frozenset[ListName]] = {}
    for row_id, task in rows:
        # Without a window of its own, a fact stands in the list of windows by its passages.
        names = {name for name in _BY_MEANING if name in lists and (task == PASSAGE or name == "vector-window")}
        missing = {name for name in names if row_id not in placed[name]}
        unjudged[row_id] = unjudged.get(row_id, frozenset()) | missing
    return unjudged


_BY_MEANING: tuple[ListName, ...] = ("vector", "vector-window")


def _scores(near: list[Near]) -> Ranked:
    return [(one.revision_id, one.cosine) for one in near]


def _stand_in(lists: dict[ListName, Ranked], windowed: set[int], depth: int) -> None:
    """Let facts without a window stand in the list of windows' vectors by their own.

    Else the best window would be first in its list however far from the query it is, and a fact outside of any dialogue
    could never come first.
    """
    if "vector" in lists:
        alone = [one for one in lists["vector"] if one[0] not in windowed]
        lists["vector-window"] = sorted([*lists["vector-window"], *alone], key=lambda one: (-one[1], one[0]))[:depth]


def _windowed(tx: Tx, lists: dict[ListName, Ranked]) -> set[int]:
    """Those of the results that have windows."""
    ids = json.dumps([row_id for ranked in lists.values() for row_id, _ in ranked])
    rows: Any = tx.execute("SELECT id FROM turn_window WHERE id IN (SELECT value FROM json_each(?))", (ids,))
    return {row_id for (row_id,) in rows}


def _chosen(tx: Tx, wanted: Wanted, fused: list[Fused]) -> list[Fused]:
    if wanted.boosts:
        fused = _boosted(tx, wanted, fused)
    if wanted.min_score is not None:
        fused = [one for one in fused if one.score >= wanted.min_score]
    return fused[: wanted.top_k]


def _boosted(tx: Tx, wanted: Wanted, fused: list[Fused]) -> list[Fused]:
    rows: list[Any] = tx.execute(
        f"SELECT r.id, r.recorded_at, {lookup.STANDING} FROM revision AS r"
        " WHERE r.id IN (SELECT value FROM json_each(?))",
        (_ids(fused),),
    ).fetchall()
    now = times.parse(wanted.now)
    lifts: dict[int, tuple[float | None, float]] = {}
    for row_id, at, told in rows:
        age = max(0.0, (now - times.parse(at)).total_seconds() / 86_400) if "recency" in wanted.boosts else None
        vouched = standing.told(told)[2] if told is not None and "consensus" in wanted.boosts else 1.0
        lifts[row_id] = (age, vouched)
    scored = [
        Fused(
            one.id,
            boost.boosted(one.score, age_days=lifts[one.id][0], consensus_score=min(2.0, max(0.0, lifts[one.id][1]))),
            one.places,
        )
        for one in fused
    ]
    return sorted(scored, key=lambda one: (-one.score, one.id))


def _narrow(filters: lookup.Filters, view: View, numbers: tuple[int, ...] | None) -> Narrow:
    chosen, given = filters.condition()
    visible, bindings = view.condition()
    return Narrow(
        sql=f"{chosen} AND {visible}",
        bindings={**given, **bindings},
        projects=numbers,
        believed=view.known_at is None and view.before is None,
    )


def _by_text(
    tx: Tx, parsed: text.Query | None, index: text.Index, narrow: Narrow, depth: int, snippet: str = "NULL"
) -> tuple[Ranked, dict[int, str | None]]:
    """Row numbers and scores of the best `depth`, best first; and what `snippet` gives for each."""
    if parsed is None:
        return [], {}
    # CROSS JOIN keeps the index as the outer loop: rows come best first, and reading stops at the last that passes.
    rows: list[Any] = tx.execute(
        f"SELECT r.id, f.rank, {snippet} FROM {index.table} AS f CROSS JOIN revision AS r ON r.id = f.rowid"
        " JOIN project AS p ON p.id = r.project_id"
        f" WHERE f.{index.table} MATCH :match AND f.rank MATCH 'bm25({index.weights})' AND {narrow.sql}"
        " ORDER BY f.rank LIMIT :limit",
        {**narrow.bindings, "match": parsed.expression(index), "limit": depth},
    ).fetchall()
    rows.sort(key=lambda row: (row[1], row[0]))
    return [(row_id, -rank) for row_id, rank, _ in rows], {row_id: marked for row_id, _, marked in rows}


def _facts(tx: Tx, fused: Sequence[Fused], columns: str) -> dict[int, Fact]:
    rows = tx.execute(
        f"SELECT r.id, {columns} {lookup.FROM} WHERE r.id IN (SELECT value FROM json_each(?))", (_ids(fused),)
    )
    return {row[0]: lookup.fact(row[1:]) for row in rows}


def _ids(fused: Sequence[Fused]) -> str:
    return json.dumps([one.id for one in fused])


Snippet = tuple[str, list[tuple[int, int]]]


def _snippets(tx: Tx, found: _Found, facts: dict[int, Fact]) -> dict[int, Snippet]:
    """The snippets of those that were found by their own words."""
    if found.parsed is None:
        return {}
    worded = [one.id for one in found.fused if any(place.list == "text" for place in one.places)]
    long = [row_id for row_id in worded if len(facts[row_id].content) > limits.SNIPPET_TEXT_CHARS_MAX]
    snippets = {row_id: _part(facts[row_id].content, found.parsed.terms) for row_id in long}
    marked = {row_id: text_ for row_id, text_ in found.marked.items() if text_ is not None}
    unmarked = [row_id for row_id in worded if row_id not in snippets and row_id not in marked]
    if unmarked:
        rows: list[Any] = tx.execute(
            f"SELECT f.rowid, {_SNIPPET} FROM revision_fts AS f CROSS JOIN revision AS r ON r.id = f.rowid"
            " WHERE f.revision_fts MATCH ? AND f.rowid IN (SELECT value FROM json_each(?))",
            (found.parsed.expression(text.FACTS), json.dumps(unmarked)),
        ).fetchall()
        marked |= dict(rows)
    return snippets | {row_id: _unmark(marked[row_id], facts[row_id].content) for row_id in worded if row_id in marked}


# FTS5 takes time by the square of the matches in a fact to choose a snippet, so it chooses from short texts only.
_SNIPPET = (
    f"CASE WHEN length(r.content) <= {limits.SNIPPET_TEXT_CHARS_MAX} THEN "
    f"snippet(revision_fts, 0, '{_OPEN}', '{_CLOSE}', '…', {_SNIPPET_TOKENS}) END"
)


def _nearest_part(fact: Fact, near: Near | None) -> Snippet:
    """The beginning of the passage that is nearest in meaning, or of the text; there is no word to highlight."""
    start = near.start if near is not None else 0
    cut = fact.content[start : start + limits.SNIPPET_CHARS - 2]
    return f"{'…' if start else ''}{cut}{'…' if start + len(cut) < len(fact.content) else ''}", []


def _hit(one: Fused, fact: Fact, snippet: Snippet) -> Hit:
    return Hit(
        fact=fact,
        score=round(one.score, 6),
        snippet=snippet[0],
        highlights=snippet[1],
        context=[],
        explain=[Explanation(list=p.list, rank=p.rank, score=round(p.score, 6)) for p in one.places],
    )


def _part(content: str, terms: tuple[str, ...]) -> tuple[str, list[tuple[int, int]]]:
    """The part of a long text round the first word that begins like one of `terms`, and where such words are in it."""
    stems = "|".join(re.escape(term[: max(_STEM_CHARS_MIN, len(term) - _ENDING_CHARS)]) for term in terms)
    begins = re.compile(rf"(?<![^\W_])(?:{stems})[^\W_]{{0,{_ENDING_CHARS}}}", re.IGNORECASE)
    first = begins.search(content)
    start = max(0, first.start() - limits.SNIPPET_CHARS // 4) if first else 0
    cut = content[start : start + limits.SNIPPET_CHARS]
    before, after = "…" if start else "", "…" if start + len(cut) < len(content) else ""
    shift = len(before)
    snippet = f"{before}{cut}"[: limits.SNIPPET_CHARS - len(after)] + after
    ends = len(snippet) - len(after)
    found = ((match.start() + shift, match.end() + shift) for match in begins.finditer(cut))
    return snippet, [(a, b) for a, b in found if b <= ends]


def _unmark(marked: str, content: str) -> tuple[str, list[tuple[int, int]]]:
    """The snippet as plain text within SNIPPET_CHARS, and where the matches are."""
    if _OPEN in content or _CLOSE in content:
        return content[: limits.SNIPPET_CHARS], []
    pieces: list[str] = []
    highlights: list[tuple[int, int]] = []
    length = done = 0
    for match in _MARKED.finditer(marked):
        before = marked[done : match.start()]
        length += len(before)
        highlights.append((length, length + len(match[1])))
        length += len(match[1])
        pieces += [before, match[1]]
        done = match.end()
    snippet = "".join([*pieces, marked[done:]])
    return snippet[: limits.SNIPPET_CHARS], [(a, b) for a, b in highlights if b <= limits.SNIPPET_CHARS]
