"""What stands near a fact: near duplicates, found by marks without a model, and other values of its slot.

Two texts are near duplicates when at least ALIKE of their distinct words are in both. Case does not count, nor do stop
words and negations; a number is a word like any other. That is a flag and never a merge: "deploy on Fridays" and "do
not deploy on Fridays" are near duplicates that say opposite things.
"""

import itertools
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from cortex import limits
from cortex.db.connect import Tx
from cortex.index.text import STOP_WORDS, grams
from cortex.memory import projects
from cortex.memory.model import Fact
from cortex.memory.visibility import View

ALIKE = 0.8

# How many of the smallest hashes of a text's words make its marks, each two neighbours one. With six, one in a hundred
# of the pairs of texts that have four words in five in common has no mark in common.
_MINIMA = 6
# Texts of fewer words are alike only when their words are the same, so one mark of all of them does.
_WORDS_MIN = 4
# A row's mark is the number of its project above that of its words: what another project repeats hides nothing.
_MARK_BITS = 40
_PROJECT_BITS = 22
# Fibonacci hashing: the upper bits of a product by 2^64 over the golden ratio.
_SPREAD = 0x9E3779B97F4A7C15

_WORD = re.compile(r"[^\W_]+(?:'t(?![^\W_]))?")
NEGATIONS = frozenset(
    """
    not no never none nor neither nothing nobody nowhere without cannot ain't aren't can't couldn't didn't doesn't
    don't hadn't hasn't haven't isn't mightn't mustn't needn't shan't shouldn't wasn't weren't won't wouldn't
    """.split()  # noqa: SIM905 - a list of quoted words is harder to read
)
# The last four are what an apostrophe leaves over.
_LEFT_OUT = STOP_WORDS | NEGATIONS | {"s", "ll", "re", "ve"}


def words(content: str) -> frozenset[str]:
    """The distinct words of a text's first LIKENESS_CHARS characters, as they are compared.

    Without stop words and negations where anything is left then. Unspaced scripts count by pairs of characters.
    """
    text = plain(content[: limits.LIKENESS_CHARS])
    found = frozenset(_WORD.findall(text))
    pairs = grams(text)
    if pairs is not None:
        found = frozenset(word for word in found if grams(word) is None).union(pairs.split(" "))
    return found - _LEFT_OUT or found


def plain(content: str) -> str:
    """A text in the letters in which words are compared."""
    return content.lower() if content.isascii() else content.lower().replace("’", "'")


def tokens(content: str) -> Iterator[str]:
    """The words of a text in their order, each as often as it stands there, stop words and all."""
    return (found[0] for found in _WORD.finditer(plain(content)))


def shared(one: frozenset[str], other: frozenset[str]) -> float:
    """The part of the words of two texts that both have (Jaccard)."""
    both = len(one & other)
    return both / (len(one) + len(other) - both) if both else 0.0


def marks(content: str) -> tuple[int, ...]:
    """Numbers of which near duplicates very likely share one: pairs of neighbours among the smallest hashes of words.

    The same on every machine. None for a text without a word.
    """
    return marks_of(words(content))


def marks_of(found: frozenset[str]) -> tuple[int, ...]:
    """The marks of a text with these words."""
    hashes = sorted({zlib.crc32(word.encode(errors="replace")) for word in found})
    if len(hashes) < _WORDS_MIN:
        return (_mark(zlib.crc32(repr(hashes).encode()), len(hashes)),) if hashes else ()
    least = hashes[:_MINIMA]
    return tuple(_mark(low, high) for low, high in itertools.pairwise(least))


def _mark(one: int, other: int) -> int:
    return (((one << 32 | other) * _SPREAD) & ((1 << 64) - 1)) >> (64 - _MARK_BITS)


def add(tx: Tx, revision_id: int, project_id: int, content: str) -> None:
    """Keep the marks of a revision that was just inserted."""
    found = marks(content)
    if found:
        # A row at a time: for a statement of several rows SQLite makes a savepoint, at which FTS5 flushes its memory.
        tx.executemany(
            "INSERT OR IGNORE INTO likeness (mark, revision_id) VALUES (?, ?)",
            [(_placed(project_id, mark), revision_id) for mark in found],
        )


def _placed(project_id: int, mark: int) -> int:
    return (project_id % (1 << _PROJECT_BITS)) << _MARK_BITS | mark


def complete(tx: Tx, revision_ids: Sequence[int]) -> None:
    """Keep the marks of those of these revisions that are believed and have none."""
    rows: list[Any] = tx.execute(
        "SELECT r.id, r.project_id, r.content FROM json_each(?) AS w CROSS JOIN revision AS r ON r.id = w.value"
        " WHERE r.retired_at IS NULL AND NOT EXISTS (SELECT 1 FROM likeness AS l WHERE l.revision_id = r.id)",
        (json.dumps(list(revision_ids)),),
    ).fetchall()
    for revision_id, project_id, content in rows:
        add(tx, revision_id, project_id, content)


def remove(tx: Tx, revision_id: int) -> None:
    """Take out the marks of a revision that is no longer believed, or goes."""
    tx.execute("DELETE FROM likeness WHERE revision_id = ?", (revision_id,))


def rebuild(tx: Tx) -> None:
    """Make all marks anew from what is believed."""
    tx.execute("DELETE FROM likeness")
    believed = tx.execute("SELECT id, project_id, content FROM revision WHERE retired_at IS NULL ORDER BY id")
    for revision_id, project_id, content in believed:
        add(tx, revision_id, project_id, content)


def similar(tx: Tx, fact: Fact, view: View) -> list[str]:
    """The near duplicates of a fact that `view` shows: most alike first, then the youngest; at most SIMILAR_MAX.

    Of the same project, whatever their type: one statement filed twice is what a flag is for. Only what is still
    believed is looked at, and looked for, and of many that share a mark only the latest.
    """
    if tx.execute(_SHARES_A_MARK, (fact.id, fact.revision)).fetchone() is None:
        return []
    project_id = projects.number(tx, fact.project)
    own = words(fact.content)
    found = marks_of(own)
    if project_id is None or not found:
        return []
    visible, bindings = view.condition()
    # One row at a time: SQLite takes longer to begin one statement over all than to run these.
    read = (
        "SELECT r.content, r.fact_id FROM revision AS r WHERE r.id = :row_id AND r.fact_id <> :fact_id"
        f" AND r.project_id = :project_id AND {visible}"
    )
    bindings |= {"fact_id": fact.id, "project_id": project_id}
    scored: list[tuple[float, str]] = []
    for row_id in _candidates(tx, project_id, found):
        bindings["row_id"] = row_id
        row: Any = tx.execute(read, bindings).fetchone()
        if row is not None:
            scored.append((shared(own, words(row[0])), row[1]))
    return [fact_id for score, fact_id in sorted(scored, reverse=True) if score >= ALIKE][: limits.SIMILAR_MAX]


# A glance: most facts share no mark with any other.
_SHARES_A_MARK = (
    "SELECT 1 FROM revision AS r CROSS JOIN likeness AS own ON own.revision_id = r.id CROSS JOIN likeness AS other"
    " ON other.mark = own.mark AND other.revision_id <> r.id WHERE r.fact_id = ? AND r.number = ? LIMIT 1"
)


def _candidates(tx: Tx, project_id: int, found: tuple[int, ...]) -> list[int]:
    """Revisions that share marks, those that share most first; of each mark the latest.

    So what is in every other text costs no more.
    """
    hits: Counter[int] = Counter()
    for mark in found:
        hits.update(row[0] for row in tx.execute(_LATEST, (_placed(project_id, mark),)))
    # One mark in common is chance as a rule: of those only the latest are worth reading.
    several = sorted((row_id for row_id in hits if hits[row_id] > 1), key=lambda row_id: (-hits[row_id], -row_id))
    once = sorted((row_id for row_id in hits if hits[row_id] == 1), reverse=True)[: limits.LIKENESS_CHANCES]
    return [*several, *once][: limits.LIKENESS_CANDIDATES]


_LATEST = f"SELECT revision_id FROM likeness WHERE mark = ? ORDER BY revision_id DESC LIMIT {limits.LIKENESS_BUCKET}"


def contradicting(tx: Tx, fact: Fact, known_at: str | None = None) -> list[str]:
    """Other facts believed at `known_at` that say something else of the same slot for a time that `fact` speaks of too.

    By their times as stated, before the slot gives each the time until the next: so a value that a newer one replaced
    is among them until it is retracted or its `valid_until` is set. The latest first, at most CONTRADICTS_MAX, out of
    the last SLOT_VALUES_LOOKED values.
    """
    if fact.key is None:
        return []
    known, bindings = View(None, known_at).known("r")
    ends = "" if fact.valid_until is None else "AND r.valid_from < :until"
    rows: list[Any] = tx.execute(
        "SELECT fact_id FROM (SELECT r.fact_id, r.content, r.valid_from, r.valid_until, r.rev FROM revision AS r"
        " WHERE r.project_id = (SELECT id FROM project WHERE name = :project) AND r.key = :key"
        f" AND r.fact_id <> :id AND {known} {ends} ORDER BY r.valid_from DESC, r.rev DESC"
        f" LIMIT {limits.SLOT_VALUES_LOOKED}) WHERE content <> :content"
        " AND (valid_until IS NULL OR valid_until > :since)"
        f" ORDER BY valid_from DESC, rev DESC LIMIT {limits.CONTRADICTS_MAX}",
        {**bindings, "project": fact.project, "key": fact.key, "id": fact.id, "content": fact.content,
         "since": fact.valid_from, "until": fact.valid_until},
    ).fetchall()  # fmt: skip
    return [row[0] for row in rows]
