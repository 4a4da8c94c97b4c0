"""The words that say how two entities are related, as predicates of a small vocabulary."""

TOGETHER = "mentioned_with"

# What is said of the entity before the words and the one after them; with `<` it is said the other way round.
_SAID = {
    "uses": "uses, use, used, is using, are using, is built with, was built with, is written in, is implemented with",
    "<uses": "is used by, are used by, used by",
    "depends_on": "depends on, depend on, relies on, rely on, requires, require, is based on, runs on, run on,"
    " is built on",
    "<depends_on": "is required by, are required by",
    "part_of": "is part of, are part of, belongs to, belong to, is a part of, is a component of, is a module of",
    "<part_of": "includes, contains, consists of",
    "works_at": "works at, works for, work at, work for, is employed by, is employed at",
    "works_on": "works on, work on, is working on, are working on, worked on, maintains, maintain",
    "<works_on": "is maintained by, are maintained by, maintained by",
    "owns": "owns, own, is owner of, is the owner of",
    "<owns": "is owned by, are owned by, owned by",
    "replaces": "replaces, replace, replaced, has replaced, supersedes, superseded",
    "<replaces": "is replaced by, was replaced by, replaced by, is superseded by, was superseded by, superseded by",
    "is_a": "is a, is an, is a kind of, is an instance of",
    "located_in": "is located in, is in, are in, lives in, live in, is based in, are based in, resides in,"
    " is defined in,"
    " are defined in, is implemented in, is declared in, is stored in, are stored in, is hosted in",
    "calls": "calls, call, invokes, invoke",
    "<calls": "is called by, called by, is invoked by",
    "imports": "imports, import",
    "<imports": "is imported by, imported by",
    "fixed_by": "is fixed by, was fixed by, were fixed by, fixed by",
    "<fixed_by": "fixes, fixed",
    "created_by": "is created by, was created by, created by, is written by, was written by, written by, was made by,"
    " made by, was built by, built by, authored by, was founded by, was designed by, designed by",
    "<created_by": "created, creates, wrote, built, authored, founded, designed, invented",
}
_MEANINGS = {
    phrase.strip(): (said.lstrip("<"), said.startswith("<"))
    for said, phrases in _SAID.items()
    for phrase in phrases.split(",")
}
PREDICATES = tuple(dict.fromkeys(said.lstrip("<") for said in _SAID))

# Words that change nothing of what is related.
_FILLERS = frozenset(
    {
        "the", "a", "an", "our", "its", "their", "his", "her", "my", "your", "now", "also", "currently", "mostly",
        "directly", "still", "already", "both", "mainly", "primarily", "always", "internally", "just", "either",
    }
)  # fmt: skip
WORDS_MAX = 8
# Where more words than the name follow the object, it is not the name that the sentence speaks of: "is a Django app".
WHOLE_OBJECTS = frozenset({"is_a", "owns", "created_by", "fixed_by", "works_at"})


def meaning(words: list[str]) -> tuple[str, bool] | None:
    """The predicate that `words` between two names say, and whether it is said the other way round."""
    if not 0 < len(words) <= WORDS_MAX:
        return None
    if words[-1] in {"a", "an"} and words[0] == "is":
        kept = [word for word in words if word not in _FILLERS or word in {"a", "an"}]
        if len(kept) == 2:
            return "is_a", False
    return _MEANINGS.get(" ".join(word for word in words if word not in _FILLERS))


def stated(predicate: str) -> tuple[str, bool] | None:
    """The predicate that a caller states in own words, and whether it is said the other way round.

    A word that the vocabulary has not stands for itself. None for what no predicate can be.
    """
    words = predicate.casefold().replace("_", " ").replace("-", " ").split()
    known = _MEANINGS.get(" ".join(words))
    if known is not None:
        return known
    own = "_".join(words)
    return None if not own or not own.isprintable() or own == TOGETHER else (own, False)
