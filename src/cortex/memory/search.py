"""Finding facts: the text index ranks, and every filter is inside the query, so the best k that pass are found."""

import re
from typing import Annotated, Any

from msgspec import Meta, Struct

from cortex import limits
from cortex.db.connect import Tx
from cortex.index import text
from cortex.memory import lookup, projects
from cortex.memory.model import Fact
from cortex.memory.visibility import View

# Marks round a match inside SQLite's answer; where a fact's own text holds them, they are not taken for marks.
_OPEN, _CLOSE = "\x02", "\x03"
_MARKED = re.compile(f"{_OPEN}([^{_OPEN}{_CLOSE}]*){_CLOSE}")
_SNIPPET_TOKENS = 40
# How a word of a long text is taken for one of the query without its stem: the same beginning, another ending.
_STEM_CHARS_MIN = 3
_ENDING_CHARS = 3


class Explanation(Struct, frozen=True, kw_only=True):
    """Why a hit stands where it stands: its place and score in the list that found it."""

    list: str
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


def by_text(
    tx: Tx, query: str, filters: lookup.Filters, view: View, *, top_k: int
) -> tuple[list[Hit], text.Query | None]:
    """The best `top_k` facts by bm25, and the query as it was understood (None: nothing in it can be searched).

    Equal scores are ordered by row, oldest first, so that the same file gives the same order.
    """
    parsed, rows = _ranked(tx, query, filters, view, top_k, _SNIPPET, lookup.COLUMNS)
    terms = parsed.terms if parsed else ()
    return [_hit(number, row, terms) for number, row in enumerate(rows, 1)], parsed


def beginnings(tx: Tx, query: str, filters: lookup.Filters, view: View, *, top_k: int, chars: int) -> list[Fact]:
    """The same facts, each text cut to its first `chars` characters, without snippets."""
    _, rows = _ranked(tx, query, filters, view, top_k, "NULL", lookup.columns(chars))
    return [lookup.fact(row[3:]) for row in rows]


# FTS5 takes time by the square of the matches in a fact to choose a snippet, so it chooses from short texts only.
_SNIPPET = (
    f"CASE WHEN length(r.content) <= {limits.SNIPPET_TEXT_CHARS_MAX} THEN "
    f"snippet(revision_fts, 0, '{_OPEN}', '{_CLOSE}', '…', {_SNIPPET_TOKENS}) END"
)


def _ranked(
    tx: Tx, query: str, filters: lookup.Filters, view: View, top_k: int, snippet: str, columns: str
) -> tuple[text.Query | None, list[tuple[Any, ...]]]:
    """The query, and its rows best first: row number, rank, snippet, then `columns`."""
    numbers = projects.numbers(tx, filters.projects)
    parsed = text.parse(query, numbers)
    if parsed is None or numbers == ():
        return parsed, []
    narrow, given = filters.condition()
    visible, bindings = view.condition()
    # CROSS JOIN keeps the index as the outer loop: rows come best first, and reading stops at the k-th that passes.
    rows = tx.execute(
        f"SELECT r.id, f.rank, {snippet}, {columns} "
        "FROM revision_fts AS f CROSS JOIN revision AS r ON r.id = f.rowid JOIN project AS p ON p.id = r.project_id "
        f"WHERE f.revision_fts MATCH :match AND f.rank MATCH 'bm25({text.WEIGHTS})' AND {narrow} AND {visible} "
        "ORDER BY f.rank LIMIT :limit",
        {**given, **bindings, "match": parsed.expression, "limit": top_k},
    ).fetchall()
    rows.sort(key=_by_rank)
    return parsed, rows


def _by_rank(row: tuple[Any, ...]) -> tuple[float, int]:
    return row[1], row[0]


def _hit(place: int, row: tuple[Any, ...], terms: tuple[str, ...]) -> Hit:
    content = row[3 + 2]
    snippet, highlights = _part(content, terms) if row[2] is None else _unmark(row[2], content)
    score = round(-float(row[1]), 6)
    return Hit(
        fact=lookup.fact(row[3:]),
        score=score,
        snippet=snippet,
        highlights=highlights,
        context=[],
        explain=[Explanation(list="text", rank=place, score=score)],
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
