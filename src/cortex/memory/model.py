"""The shapes of facts: what comes in, what goes out, what a command carries."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, structs

from cortex.trust.tally import Verdict

Confidence = Literal["stated", "inferred"]


class Fact(Struct, frozen=True, kw_only=True):
    """One fact as it is believed in one of its revisions. Times are RFC 3339 in UTC."""

    id: str
    project: str
    content: str
    type: str
    tags: list[str]
    key: str | None
    source: str | None
    meta: dict[str, Any] | None
    confidence: Confidence
    thread: str | None
    seq: int | None
    valid_from: str
    valid_until: str | None
    recorded_at: str
    retired_at: str | None
    revision: int
    actor: str
    verdict: Annotated[Verdict, Meta(description="What the votes on this revision come to.")] = "none"
    resolved: Annotated[bool, Meta(description="Whether a person settled the verdict.")] = False
    consensus_score: Annotated[float, Meta(description="From 0 to 2; 1 is neutral, also without votes.")] = 1.0


SimilarTo = Annotated[
    list[str], Meta(description="Ids of facts in mostly the same words; compare before relying on either.")
]
Contradicts = Annotated[
    list[str], Meta(description="Ids of facts that say something else of the same slot for the same time.")
]


class StoredFact(Fact, frozen=True, kw_only=True):
    """A fact that was to be stored; `duplicate` says that it was there already and nothing changed."""

    duplicate: bool
    similar_to: SimilarTo = []
    contradicts: Contradicts = []


class Decided(Struct, frozen=True, kw_only=True):
    """The content of a revision with everything settled: what `apply` writes. `meta` and `tags` are JSON text.

    `dated` says whether the caller gave `valid_from`; if not, a duplicate is looked for among what is true now.
    """

    id: str
    project: str
    content: str
    type: str
    tags: str
    key: str | None
    source: str | None
    meta: str | None
    confidence: Confidence
    thread: str | None
    seq: int | None
    valid_from: str
    valid_until: str | None
    salt: bytes
    dated: bool


class Span(Struct, frozen=True, kw_only=True):
    """One value of a slot and the time in which it holds; `until` is null while nothing ends it."""

    id: str
    content: str
    revision: int
    since: str
    until: str | None


class Receipt(Struct, frozen=True, kw_only=True):
    """What forgetting came to.

    `state` is `erased` once text, salt and index rows are gone from the database, and `scrubbed` once they are gone
    from the raw files too (write-ahead log emptied). `residue` counts samples of the text still found in the raw files.
    """

    id: str
    state: Literal["erased", "scrubbed"]
    erased_at: str
    revisions: int
    entry: int
    residue: int
    note: Annotated[str, Meta(description="What remains to be done by people, such as old backups.")]


def stored(fact: Fact, *, duplicate: bool, similar_to: list[str], contradicts: list[str]) -> StoredFact:
    """The answer to a store."""
    return StoredFact(**structs.asdict(fact), duplicate=duplicate, similar_to=similar_to, contradicts=contradicts)
