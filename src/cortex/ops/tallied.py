"""Where a fact stands by its votes, as the answers have it."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from cortex.db.connect import Tx
from cortex.memory.votable import Votable
from cortex.trust import standing
from cortex.trust.log import Log
from cortex.trust.standing import Standing
from cortex.trust.tally import Verdict


class Tally(Struct, frozen=True, kw_only=True):
    """Where the newest revision of a fact stands. `sigma` is the weighted sum of its votes."""

    fact: str
    revision: int
    digest: str
    verdict: Verdict
    resolved: bool
    consensus_score: float
    sigma: float
    rule: str
    since: str | None
    due: Annotated[str | None, Meta(description="When the voters will be judged by this verdict.")]
    missing: Annotated[list[str], Meta(description="What a verdict still lacks.")]


def tally(tx: Tx, log: Log | None, on: Votable) -> dict[str, Any]:
    """The fields of a Tally."""
    return as_fields(on, standing.of(tx, log, on.fact, on.digest))


def as_fields(on: Votable, found: Standing) -> dict[str, Any]:
    """The fields of a Tally, of a standing that was read."""
    return {
        "fact": on.fact,
        "revision": on.revision,
        "digest": on.digest.hex(),
        "verdict": found.verdict,
        "resolved": found.resolved,
        "consensus_score": found.consensus_score,
        "sigma": found.sigma,
        "rule": found.rule,
        "since": found.since,
        "due": found.due,
        "missing": found.missing,
    }
