"""Full text: how facts are indexed in FTS5, and how what people type becomes a query that cannot break its syntax.

A query is a set of words joined by OR and ranked by bm25: stop words are left out, no operator exists, and each word
reaches SQLite as a quoted string of letters and digits. Scripts that do not part words by spaces (Chinese, Japanese,
Korean, Thai and their like) are indexed as overlapping pairs of characters in a column of their own.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from cortex import limits
from cortex.db.connect import Tx


@dataclass(frozen=True)
class Index:
    """An FTS5 table with external content: the view that says what it holds, its columns and their weights.

    The last column is the project: a filter, never a merit.
    """

    table: str
    view: str
    searched: tuple[str, ...]
    weights: str

    @property
    def columns(self) -> str:
        return ", ".join(("rowid", *self.searched, "project"))


# What a fact says, its key and tags beside it.
FACTS = Index("revision_fts", "revision_text", ("content", "labels", "grams"), "1.0, 0.6, 1.0, 0.0")
# A turn of a dialogue with its neighbours.
WINDOWS = Index("window_fts", "window_text", ("content", "grams"), "1.0, 1.0, 0.0")

_TERM_CHARS_MAX = 256
# Accents that follow their letter belong to the word; FTS5 leaves them out.
_WORD = re.compile("[^\\W_](?:[^\\W_]|[\u0300-\u036f])*")
# Korean letters and Japanese voicing marks, as some systems type them apart. Normalizing a whole text is not linear.
_APART = re.compile("[\u1100-\u1112][\u1161-\u1175][\u11a8-\u11c2]?|[\u3040-\u30ff][\u3099\u309a]")
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_UNSPACED_RUN = re.compile(f"[{_UNSPACED}]+")
_PART = re.compile(f"[{_UNSPACED}]+|[^{_UNSPACED}]+")

STOP_WORDS = frozenset(
    """
    a about an and are as at be been but by can could did do does for from had has have how i if in into is it its me
    my no not of on or our should so that the their them then there these they this those to was we were what when
    where which who whom why will with would you your
    """.split()  # noqa: SIM905 - a list of quoted words is harder to read
)


@dataclass(frozen=True)
class Query:
    """An FTS5 expression made from a person's words, with what was used and what was left out."""

    words: str
    project: str
    terms: tuple[str, ...]
    ignored: tuple[str, ...]

    def expression(self, index: Index) -> str:
        """The whole expression for the columns of `index`."""
        return f"{self.project}{{{' '.join(index.searched)}}} : ({self.words})"


def parse(words: str, project_ids: tuple[int, ...] | None) -> Query | None:
    """The query for `words` within the given projects (None: all); None when nothing in `words` can be searched."""
    found = dict.fromkeys(word.lower() for word in _WORD.findall(_composed(words)) if len(word) <= _TERM_CHARS_MAX)
    kept = [word for word in found if word not in STOP_WORDS] or list(found)
    terms = tuple(kept[: limits.QUERY_TERMS_MAX])
    if not terms:
        return None
    narrow = ""
    if project_ids is not None:
        narrow = f"project : ({' OR '.join(f'p{number}' for number in project_ids)}) AND "
    words_ = " OR ".join(_expression(term) for term in terms)
    return Query(words_, narrow, terms, tuple(word for word in found if word not in terms))


def grams(text: str) -> str | None:
    """What the column for unspaced scripts holds: pairs of characters, the last one of each run, words beside them."""
    if text.isascii():
        return None
    text = _composed(text)
    if not _UNSPACED_RUN.search(text):
        return None
    pieces: list[str] = []
    for word in _WORD.findall(text):
        if _UNSPACED_RUN.search(word):
            for part in _PART.findall(word):
                pieces += [*_pairs(part), part[-1]] if _UNSPACED_RUN.match(part) else [part]
    return " ".join(pieces) or None


def add(tx: Tx, row_id: int, index: Index = FACTS) -> None:
    """Index a row that was just inserted."""
    # Read first, then inserted as values: INSERT … SELECT makes FTS5 write what it holds in memory each time.
    row = _row(tx, row_id, index)
    tx.execute(f"INSERT INTO {index.table} ({index.columns}) VALUES ({_marks(row)})", row)


def remove(tx: Tx, row_id: int, index: Index = FACTS) -> None:
    """Take a row out of the index, before it or what it refers to goes."""
    row = _row(tx, row_id, index)
    tx.execute(f"INSERT INTO {index.table} ({index.table}, {index.columns}) VALUES ('delete', {_marks(row)})", row)
    # A savepoint lets FTS5 write what it holds in memory. A row that is removed and indexed again in one go, under
    # `secure-delete`, can leave words of the removed one in the index.
    tx.execute("SAVEPOINT removed; RELEASE removed").fetchall()


def sweep(tx: Tx) -> None:
    """Delete words of removed texts that FTS5 leaves behind where it parts its pages.

    It keeps the first word of each page, or its beginning, in a table of its own: also when the page goes, and when the
    word goes and the page stays. Only once what was removed is committed: before, it has not written the removal.
    """
    for index in (FACTS, WINDOWS):
        tx.execute(
            f"DELETE FROM {index.table}_idx WHERE NOT EXISTS"
            f" (SELECT 1 FROM {index.table}_data WHERE id = (segid << 37) + (pgno >> 1))"
        )
        if _parted_by_removed(tx, index):
            tx.execute(f"INSERT INTO {index.table} ({index.table}) VALUES ('optimize')")


def _parted_by_removed(tx: Tx, index: Index) -> bool:
    """Whether a page begins with what is the beginning of no word in the index any more."""
    words = f"temp.{index.table}_word"
    tx.execute(f"CREATE VIRTUAL TABLE IF NOT EXISTS {words} USING fts5vocab (main, {index.table}, row)")
    parting: list[Any] = tx.execute(f"SELECT term FROM {index.table}_idx WHERE length(term) > 1").fetchall()
    for (found,) in parting:
        # The first byte tells the kind of index; what follows may end within a character.
        start = bytes(found)[1:].decode(errors="ignore")
        word = tx.execute(f"SELECT term FROM {words} WHERE term >= ? ORDER BY term LIMIT 1", (start,)).fetchone()
        if word is None or not str(word[0]).startswith(start):
            return True
    return False


def rebuild(tx: Tx) -> None:
    """Make both indexes anew from the facts and their windows."""
    for index in (FACTS, WINDOWS):
        tx.execute(f"INSERT INTO {index.table} ({index.table}) VALUES ('rebuild')")


def check(tx: Tx) -> None:
    """Raise SQLite's corruption error unless the indexes hold exactly what the facts say."""
    for index in (FACTS, WINDOWS):
        tx.execute(f"INSERT INTO {index.table} ({index.table}, rank) VALUES ('integrity-check', 1)")


def _composed(text: str) -> str:
    return text if text.isascii() else _APART.sub(lambda found: unicodedata.normalize("NFC", found[0]), text)


def _row(tx: Tx, row_id: int, index: Index) -> tuple[Any, ...]:
    columns = index.columns.replace("rowid", "id", 1)
    found = tx.execute(f"SELECT {columns} FROM {index.view} WHERE id = ?", (row_id,)).fetchone()
    assert found is not None, f"row {row_id} of {index.view}"
    return tuple(found)


def _marks(row: tuple[Any, ...]) -> str:
    return ", ".join("?" * len(row))


def _expression(term: str) -> str:
    parts = _PART.findall(term)
    if len(parts) == 1 and not _UNSPACED_RUN.match(term):
        return f'"{term}"'
    return " OR ".join(_gram_expression(part) if _UNSPACED_RUN.match(part) else f'"{part}"' for part in parts)


def _gram_expression(run: str) -> str:
    # One character alone is found as the beginning of a pair, or as the end of a run.
    return f'"{run}" *' if len(run) == 1 else f'"{" ".join(_pairs(run))}"'


def _pairs(run: str) -> list[str]:
    return [run[i : i + 2] for i in range(len(run) - 1)]
