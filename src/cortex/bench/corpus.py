"""Facts and questions to measure with: made by a seed, so that two runs measure the same work.

Words follow the law of Zipf and Mandelbrot: function words first, then those of software work, then made-up ones that
can be spoken. So questions bring what makes text search work hard, words that stand in many facts, beside rare ones.
"""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass

PROJECTS = 10
VOCABULARY_WORDS = 4_000

_FACT_WORDS = (8, 30)
_QUERY_WORDS = (3, 8)
_NOISE = 0.2
# Past the words that any list of stop words has, up to those that stand in every fiftieth fact.
_FREQUENT = slice(20, 160)
# The offset that makes the most frequent words as frequent as in English text: about half are function words.
_MANDELBROT = 2.7
_SEED = "cortex benchmark"


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FUNCTION_WORDS = _words(
    "the of and to a in is it that for was on are as with be at this by have from or had not but what all were when "
    "we there can an your which their if do will each about how up out them then she many some so these would other "
    "into has more her two like him see time could no make than first been its who now people my made over did down "
    "only way find use may long little very after called just where most know get through back much before go good "
    "new write our used me man too any day same right look think also around another came come work three must "
    "because does part even place well such here take why things help put years different away again off went old "
    "number every"
)
_WORK_WORDS = _words(
    "test user server deploy build file error branch release token config query table index cache key value request "
    "response client service queue worker job schedule invoice customer account payment order price report team "
    "review merge commit version library package module function class method field column row schema migration "
    "backup restore node cluster leader log metric alert limit timeout retry session login password secret role "
    "permission project task ticket sprint meeting decision preference default option setting flag feature bug fix "
    "patch latency memory disk network port host region zone bucket object event message topic stream batch vector "
    "model prompt agent tool editor plugin theme font layout button page form screen mobile browser"
)
_OPENINGS = (
    "when do we",
    "how does the",
    "what is the",
    "why was",
    "where is",
    "which",
    "who decided",
    "what did we say about",
    "is there",
)
_ONSETS = _words("b br c cl d dr f fl g gr h j k l m n p pl qu r s sk sl st t tr v w z")
_VOWELS = _words("a e i o u ai ea oo ou")
_CODAS = ("", "", "", "l", "m", "n", "r", "s", "t", "nd", "st")


@dataclass(frozen=True)
class Text:
    """A fact to be stored."""

    project: str
    content: str


def project(number: int) -> str:
    """The name of one of the PROJECTS."""
    return f"project-{number}"


def facts(count: int, *, label: str = "facts") -> Iterator[Text]:
    """`count` facts over all projects. The same label gives the same ones."""
    source = _source(label)
    words, weights = _vocabulary()
    for _ in range(count):
        chosen = source.choices(words, cum_weights=weights, k=source.randint(*_FACT_WORDS))
        yield Text(project(source.randrange(PROJECTS)), " ".join(chosen).capitalize() + ".")


def queries(count: int, known: list[str], *, label: str = "queries") -> list[str]:
    """Questions of 3 to 8 words about the facts `known`: some of a fact's words, often in no order, and some noise."""
    source = _source(label)
    words, weights = _vocabulary()
    return [_query(source, source.choice(known), words, weights) for _ in range(count)]


def frequent_queries(count: int) -> list[str]:
    """Questions of 3 to 5 of the frequent words alone: the dearest to answer, as every one stands in many facts."""
    source = _source("frequent queries")
    words, _ = _vocabulary()
    return [" ".join(source.sample(words[_FREQUENT], source.randint(3, 5))) for _ in range(count)]


def _query(source: random.Random, content: str, words: tuple[str, ...], weights: list[float]) -> str:
    size = source.randint(*_QUERY_WORDS)
    asked = source.choice(_OPENINGS).split()[: size - 2] if source.random() < 0.5 else []
    own = list(dict.fromkeys(content.rstrip(".").lower().split()))
    telling = [word for word in own if word not in _FUNCTION_WORDS]
    # People ask with the words that tell most; every third is whatever comes.
    wanted = size - len(asked)
    taken = source.sample(telling, min(wanted - wanted // 3, len(telling)))
    rest = [word for word in own if word not in taken]
    taken += source.sample(rest, min(wanted - len(taken), len(rest)))
    if source.random() < _NOISE:
        taken[-1] = source.choices(words, cum_weights=weights)[0]
    return " ".join([*asked, *taken])


def _vocabulary() -> tuple[tuple[str, ...], list[float]]:
    known = dict.fromkeys((*_FUNCTION_WORDS, *_WORK_WORDS))
    source = _source("words")
    while len(known) < VOCABULARY_WORDS:
        known[_spoken(source)] = None
    return tuple(known), list(itertools.accumulate(1 / (place + _MANDELBROT) for place in range(1, len(known) + 1)))


def _spoken(source: random.Random) -> str:
    syllables = source.randint(2, 3)
    return "".join(source.choice(_ONSETS) + source.choice(_VOWELS) for _ in range(syllables)) + source.choice(_CODAS)


def _source(label: str) -> random.Random:
    return random.Random(f"{_SEED}: {label}")  # noqa: S311 - repeatable, not secret
