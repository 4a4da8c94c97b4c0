"""How recalled facts overlap: which only repeat one placed before them, and which contradict each other. Pure."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from cortex import limits
from cortex.index.text import grams
from cortex.memory import likeness
from cortex.memory.model import Fact
from cortex.projects import USER

_SPACE = re.compile(r"\s+")
_DIGIT = re.compile(r"\d")
_CAPITALIZED = re.compile(r"[^\W_]+")
_PUNCTUATION = ".,;:!?…()[]{}<>\"'“”‘’«»`"
_NUMBERS = frozenset(
    """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion half
    quarter third once twice thrice first second fourth fifth sixth seventh eighth ninth tenth
    """.split()  # noqa: SIM905 - a list of quoted words is harder to read
)


@dataclass(frozen=True)
class _Said:
    """What a text says, as far as it can be compared without understanding it."""

    words: frozenset[str]
    order: tuple[str, ...]
    names: frozenset[str]


def folded(facts: Iterable[Fact]) -> list[Fact]:
    """The facts without those that repeat an earlier one.

    A text repeats another when it is the same but for blanks and case; or when it is a near duplicate (see `likeness`)
    with the same numbers, negations and names, and the words of both stand in the same order. What contradicts does not
    repeat.
    """
    kept: dict[str, Fact] = {}
    told: list[tuple[Fact, _Said]] = []
    places: dict[tuple[object, int], list[int]] = defaultdict(list)
    for fact in facts:
        normal = _normal(fact.content)
        if normal in kept:
            continue
        if _comparable(fact.content):
            said, groups = _said(fact.content)
            near = dict.fromkeys(place for group in groups for place in places[group])
            if any(_repeats((fact, said), told[place]) for place in list(near)[: limits.LIKENESS_BUCKET]):
                continue
            for group in groups:
                places[group].append(len(told))
            told.append((fact, said))
        kept[normal] = fact
    return list(kept.values())


def contradict(one: Fact, other: Fact) -> bool:
    """Whether two facts say different things of one slot for the same time.

    The slot of a project, or the same key in a project and in what is true of the user everywhere.
    """
    if one.key is None or one.key != other.key or one.id == other.id:
        return False
    if one.project != other.project and USER not in {one.project, other.project}:
        return False
    apart = _before(one, other) or _before(other, one)
    return not apart and _normal(one.content) != _normal(other.content)


def _before(one: Fact, other: Fact) -> bool:
    return one.valid_until is not None and one.valid_until <= other.valid_from


def _repeats(later: tuple[Fact, _Said], earlier: tuple[Fact, _Said]) -> bool:
    (fact, one), (before, other) = later, earlier
    # A swapped word can be another name, and the same words in another order another statement.
    return (
        likeness.shared(one.words, other.words) >= likeness.ALIKE
        and one.names <= other.words
        and other.names <= one.words
        and _common(one, other) == _common(other, one)
        and not contradict(fact, before)
    )


def _common(said: _Said, other: _Said) -> list[str]:
    return [word for word in said.order if word in other.words]


def _comparable(content: str) -> bool:
    """Whether a text is short enough to be compared whole, and its script parts words."""
    return len(content) <= limits.LIKENESS_CHARS and grams(content) is None


def _said(content: str) -> tuple[_Said, list[tuple[object, int]]]:
    """What a text says, and where texts are found that it could repeat: same numbers and negations, a common mark."""
    words, tokens = likeness.words(content), list(likeness.tokens(content))
    names = {word.lower() for word in _CAPITALIZED.findall(content) if word != word.lower()}
    said = _Said(words, tuple(dict.fromkeys(word for word in tokens if word in words)), words & names)
    told = tuple(_numbers(content)), tuple(_negations(tokens))
    return said, [(told, mark) for mark in likeness.marks_of(words)]


def _numbers(content: str) -> Iterable[str]:
    for part in content.split():
        if (word := part.strip(_PUNCTUATION).lower()) in _NUMBERS or _DIGIT.search(word):
            yield word


def _negations(tokens: list[str]) -> Iterable[str]:
    for word in tokens:
        if word in likeness.NEGATIONS:
            yield "not" if word == "cannot" or word.endswith("n't") else word


def _normal(text: str) -> str:
    return _SPACE.sub(" ", text).strip().casefold()
