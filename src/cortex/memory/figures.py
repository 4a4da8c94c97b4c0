"""Figures of a file: how much it holds, by the tables themselves."""

from msgspec import Struct

from cortex.db.connect import Tx, integer
from cortex.memory.erasure import UNSCRUBBED


class Figures(Struct, frozen=True, kw_only=True):
    """Counts over all projects and all origins of the ledger; `facts` are those that are believed."""

    facts: int
    revisions: int
    projects: int
    forgotten: int
    unscrubbed: int
    origins: int
    entries: int
    checkpoints: int


def count(tx: Tx) -> Figures:
    """Count on the snapshot of `tx`."""
    return Figures(
        facts=integer(tx, "SELECT count(*) FROM revision WHERE retired_at IS NULL"),
        revisions=integer(tx, "SELECT count(*) FROM revision"),
        projects=integer(tx, "SELECT count(*) FROM project"),
        forgotten=integer(tx, "SELECT count(*) FROM fact WHERE erased_at IS NOT NULL"),
        unscrubbed=integer(tx, f"SELECT count(*) FROM fact WHERE {UNSCRUBBED}"),
        origins=integer(tx, "SELECT count(*) FROM ledger_log"),
        entries=integer(tx, "SELECT coalesce(sum(size), 0) FROM ledger_log"),
        checkpoints=integer(tx, "SELECT coalesce(sum(checkpoints), 0) FROM ledger_log"),
    )
