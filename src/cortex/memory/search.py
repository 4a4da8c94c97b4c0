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
    numbers = projects.numbers(tx, filters.projects)
    parsed = text.parse(query, numbers)
    if parsed is None or numbers == ():
        return [], parsed
    narrow, given = filters.condition()
    visible, bindings = view.condition()
    # CROSS JOIN keeps the index as the outer loop: rows come best first, and reading stops at the k-th that passes.
    rows = tx.execute(
        f"SELECT r.id, f.rank, snippet(revision_fts, 0, '{_OPEN}', '{_CLOSE}', '…', {_SNIPPET_TOKENS}), "
        f"{lookup.COLUMNS} "
        "FROM revision_fts AS f CROSS JOIN revision AS r ON r.id = f.rowid JOIN project AS p ON p.id = r.project_id "
        f"WHERE f.revision_fts MATCH :match AND f.rank MATCH 'bm25({text.WEIGHTS})' AND {narrow} AND {visible} "
        "ORDER BY f.rank LIMIT :limit",
        {**given, **bindings, "match": parsed.expression, "limit": top_k},
    ).fetchall()
    rows.sort(key=_by_rank)
    return [_hit(number, row) for number, row in enumerate(rows, 1)], parsed


def _by_rank(row: tuple[Any, ...]) -> tuple[float, int]:
    return row[1], row[0]


def _hit(place: int, row: tuple[Any, ...]) -> Hit:
    snippet, highlights = _unmark(row[2], row[3 + 2])
    score = round(-float(row[1]), 6)
    return Hit(
        fact=lookup.fact(row[3:]),
        score=score,
        snippet=snippet,
        highlights=highlights,
        context=[],
        explain=[Explanation(list="text", rank=place, score=score)],
    )


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
