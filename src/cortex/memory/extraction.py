"""Finding entities and relations in a fact without a model: by their form, by capitals, by what callers state.

What is found depends on the fact's own text, tags and `meta` alone, never on the name of its project, which may change,
nor on other facts. It is meant to miss rather than to invent: a word that may be a name or not is none.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from cortex import limits
from cortex.memory import lexicon, phrases, pieces, sentences
from cortex.memory.sentences import BREAK, Name, Row, Sentence

# What an entity is, the most telling first. A kind that only callers state comes before all of them.
KINDS = (
    "person", "organization", "project", "package", "file", "url", "symbol", "date", "name", "tag",
)  # fmt: skip
_RANKS = {kind: rank for rank, kind in enumerate(KINDS)}

_BEFORE_OTHERS = frozenset(
    {"of", "for", "in", "on", "at", "with", "to", "from", "by", "about", "into", "against", "than", "as", "via", "per"}
)
_BETWEEN_LIKE = ([BREAK], ["and"], [BREAK, "and"], ["and", "the"], [BREAK, "the"])
_SINGULAR = frozenset({"is", "was", "has", "wrote", "built"})
_SHOUTED_WORDS = 4
_TITLE_WORDS = 5
_NOUN_CAPITAL_SIGNS = 2
_STATED_MAX = limits.ENTITIES_PER_FACT_MAX


class Mentioned(NamedTuple):
    """An entity as one fact has it; `stated` when a caller said so."""

    name: str
    kind: str
    stated: bool


class Related(NamedTuple):
    """A relation between two of the fact's entities, by their places."""

    subject: int
    predicate: str
    object: int


class Extracted(NamedTuple):
    """What one fact holds, in the order in which it was found; the place of an entity is its number here."""

    mentions: tuple[Mentioned, ...]
    relations: tuple[Related, ...]


def rank(kind: str, *, stated: bool) -> int:
    """Which of several kinds an entity is shown with: the lowest."""
    return _RANKS.get(kind, -1) - (len(KINDS) if stated else 0)


def extract(content: str, tags: list[str], meta: str | None) -> Extracted:
    """The entities and relations of a fact; `meta` is its JSON text."""
    found = _Found()
    readable = _stated(found, meta)
    for tag in tags:
        found.entity(tag, "tag")
    if content not in readable:
        _from_text(found, content[: limits.EXTRACTED_CHARS_MAX])
    return Extracted(tuple(found.mentions), tuple(found.relations))


def sentence(subject: str, predicate: str, object_: str) -> str:
    """A relation in words: the content of a fact that states nothing else."""
    return f"{subject} {predicate.replace('_', ' ')} {object_}"


class _Found:
    """What was found so far, each entity once, within the limits."""

    def __init__(self) -> None:
        self.mentions: list[Mentioned] = []
        self.relations: dict[Related, None] = {}
        self._places: dict[str, int] = {}

    def entity(self, given: str, kind: str, *, stated: bool = False) -> int | None:
        """The place of an entity, new or known; None where it is no name, or one too many."""
        name = pieces.clean(given)
        if name is None:
            return None
        key = pieces.key(name)
        place = self._places.get(key)
        if place is None:
            if len(self.mentions) == limits.ENTITIES_PER_FACT_MAX or not key.strip():
                return None
            place = self._places[key] = len(self.mentions)
            self.mentions.append(Mentioned(name, kind, stated))
            return place
        before = self.mentions[place]
        if rank(kind, stated=stated) < rank(before.kind, stated=before.stated):
            self.mentions[place] = Mentioned(before.name, kind, stated)
        return place

    def relation(self, subject: int | None, predicate: str, object_: int | None, *, swapped: bool) -> None:
        """A relation between two places, unless one is missing or both are the same."""
        if subject is None or object_ is None or subject == object_:
            return
        if len(self.relations) < limits.RELATIONS_PER_FACT_MAX:
            ends = (object_, subject) if swapped else (subject, object_)
            self.relations[Related(ends[0], predicate, ends[1])] = None


# What callers state. Whatever has another shape is simply no statement.


def _stated(found: _Found, meta: str | None) -> set[str]:
    """Take what `meta` states. Returns the contents that say no more than that."""
    if meta is None or not ('"entit' in meta or '"relation' in meta):
        return set()
    given: dict[str, Any] = msgspec.json.decode(meta)
    for entry in _objects(given.get("entities")):
        _stated_entity(found, entry.get("name"), entry.get("kind"))
    # As imports from other memories have it.
    _stated_entity(found, given.get("entity"), given.get("entity_type"))
    readable = set()
    for entry in _objects(given.get("relations")):
        readable |= _stated_relation(found, entry.get("subject"), entry.get("predicate"), entry.get("object"))
    for entry in _objects([given.get("relation")]):
        readable |= _stated_relation(found, entry.get("from"), entry.get("type"), entry.get("to"))
    return readable


def _objects(given: object) -> Iterator[dict[str, Any]]:
    if isinstance(given, list):
        yield from (entry for entry in given[:_STATED_MAX] if isinstance(entry, dict))


def _stated_entity(found: _Found, name: object, kind: object) -> None:
    if isinstance(name, str):
        own = pieces.clean(kind.lower()) if isinstance(kind, str) else None
        known = own is not None and len(own) <= limits.TYPE_CHARS_MAX
        found.entity(name, own if known and own is not None else "name", stated=known)


def _stated_relation(found: _Found, subject: object, predicate: object, object_: object) -> set[str]:
    if not (isinstance(subject, str) and isinstance(predicate, str) and isinstance(object_, str)):
        return set()
    meaning = phrases.stated(predicate) if len(predicate) <= limits.TYPE_CHARS_MAX else None
    if meaning is None:
        return set()
    found.relation(found.entity(subject, "name"), meaning[0], found.entity(object_, "name"), swapped=meaning[1])
    return {sentence(subject, predicate, object_), f"{subject} {predicate} {object_}"}


# What the text says.


def _from_text(found: _Found, text: str) -> None:
    read = [sentence for sentence in sentences.read(text) if sentence.items]
    _settle(read)
    _name_in_full(read)
    said = [triple for sentence in read if not sentence.question for triple in _said(sentence.items)]
    for subject, predicate, object_ in said:
        _tell_kinds(subject, predicate, object_)
    places = {name: found.entity(name.name, name.kind) for name in _names(read)}
    for subject, predicate, object_ in said:
        found.relation(places[subject], predicate, places[object_], swapped=False)


def _names(read: list[Sentence]) -> Iterator[Name]:
    return (item for sentence in read for item in sentence.items if isinstance(item, Name))


def _settle(read: list[Sentence]) -> None:
    """Turn names that only their capitals tell into plain words where that is not enough."""
    signs = {word for sentence in read for word in sentence.items if word in lexicon.NOUN_CAPITAL_WORDS}
    nouns_capital = len(signs) >= _NOUN_CAPITAL_SIGNS
    for sentence in read:
        titled = _is_titled(sentence)
        for place, name in _told_by_capitals(sentence):
            _settle_kind(name, sentence.items, place)
            if titled or (nouns_capital and _may_be_a_noun(name)):
                sentence.items[place] = name.name.lower()
    sure = {pieces.key(name.name) for name in _names(read) if not name.unsure}
    sure |= {word for name in _names(read) if name.words > 1 for word in pieces.key(name.name).split()}
    for sentence in read:
        for place, name in _told_by_capitals(sentence):
            known = not name.unsure or pieces.key(name.name) in sure
            if not known and not _acts_like_a_name(sentence.items, place):
                sentence.items[place] = name.name.lower()


def _told_by_capitals(sentence: Sentence) -> list[tuple[int, Name]]:
    return [(place, item) for place, item in enumerate(sentence.items) if isinstance(item, Name) and item.capital]


def _may_be_a_noun(name: Name) -> bool:
    """Whether a name is a single word as every noun is written where nouns have capitals."""
    return name.words == 1 and not (name.name.isupper() or sentences.tells(name.name))


def _is_titled(sentence: Sentence) -> bool:
    """Whether capitals in a sentence tell nothing: a title, or shouting."""
    if sentence.titled or sentence.lower:
        return sentence.titled
    capitals = [item for item in sentence.items if isinstance(item, Name) and item.capital]
    words = sum(name.words for name in capitals)
    if all(name.name.isupper() for name in capitals):
        return words > 1 and words + sum(isinstance(item, str) for item in sentence.items) >= _SHOUTED_WORDS
    return words >= _TITLE_WORDS and BREAK not in sentence.items


def _settle_kind(name: Name, items: Row, place: int) -> None:
    following = items[place + 1] if place + 1 < len(items) else None
    if not name.unsure and name.kind == "name" and following in lexicon.PROJECT_WORDS:
        name.kind = "project"
    if name.kind == "name" and following in lexicon.PERSON_VERBS:
        name.kind = "person"
    if place and name.kind == "name" and items[place - 1] in lexicon.PROJECT_WORDS:
        name.kind = "project"


def _acts_like_a_name(items: Row, place: int) -> bool:
    """Whether a capitalised word that begins a sentence does what a common noun would need an article for."""
    words: list[str] = []
    several = False
    for item in items[place + 1 :]:
        if isinstance(item, Name):
            if words not in _BETWEEN_LIKE:
                return phrases.meaning(words) is not None and (several or _is_singular(words[0]))
            words, several = [], True
            continue
        if not words and item in lexicon.NAME_VERBS:
            return True
        if len(words) == phrases.WORDS_MAX:
            return False
        words.append(item)
    return False


def _is_singular(verb: str) -> bool:
    return verb in _SINGULAR or verb.endswith(("s", "ed"))


def _name_in_full(read: list[Sentence]) -> None:
    """A single word that is part of one longer name in the same fact stands for that name."""
    longer: dict[str, set[str]] = defaultdict(set)
    for name in _names(read):
        if name.capital and name.words > 1:
            words = pieces.key(name.name).split()
            longer[words[0]].add(name.name)
            longer[words[-1]].add(name.name)
    for name in _names(read):
        whole = longer.get(pieces.key(name.name), ()) if name.capital and name.words == 1 else ()
        if len(whole) == 1:
            (name.name,) = whole


def _said(items: Row) -> Iterator[tuple[Name, str, Name]]:
    """Who does what to whom in one sentence: words between two names that stand next to each other.

    What is said of one of several names in a row (`A, B and C`) is said of each.
    """
    subjects: list[Name] = []
    objects: tuple[list[Name], str, bool] | None = None
    words: list[str] = []
    governed = False
    for place, item in enumerate(items):
        if not isinstance(item, Name):
            words.append(item)
            continue
        alike = bool(subjects) and words in _BETWEEN_LIKE and not item.possessive
        told = None if alike or governed or not subjects else _meaning(words, items, place)
        if alike:
            subjects.append(item)
        else:
            objects = (subjects, *told) if told else None
            governed = bool(words) and words[-1] in _BEFORE_OTHERS
            subjects = [item]
        if objects is not None:
            yield from _triples(objects, item)
        words = []


def _meaning(words: list[str], items: Row, place: int) -> tuple[str, bool] | None:
    """What the words before the name at `place` say of it, if it is the name that they speak of."""
    name = items[place]
    told = phrases.meaning(words)
    if told is None or not isinstance(name, Name) or name.possessive:
        return None
    following = items[place + 1] if place + 1 < len(items) else BREAK
    goes_on = isinstance(following, Name) or (following[0].isalpha() and following not in lexicon.PLAIN_WORDS)
    return None if goes_on and told[0] in phrases.WHOLE_OBJECTS else told


def _triples(told: tuple[list[Name], str, bool], object_: Name) -> Iterator[tuple[Name, str, Name]]:
    subjects, predicate, swapped = told
    for subject in subjects:
        if "date" not in {subject.kind, object_.kind} and not subject.possessive:
            yield (object_, predicate, subject) if swapped else (subject, predicate, object_)


def _tell_kinds(subject: Name, predicate: str, object_: Name) -> None:
    """What a relation says of its ends: who works is a person, and where is an organization."""
    if predicate in {"works_at", "works_on"} and subject.kind == "name":
        subject.kind = "person"
    if predicate == "works_at" and object_.kind == "name":
        object_.kind = "organization"
    if predicate == "created_by" and object_.kind == "name":
        object_.kind = "person"
