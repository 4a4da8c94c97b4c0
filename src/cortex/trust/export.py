"""The votes log as a bundle that an outsider checks; the writers are those of the other log."""

from collections.abc import Iterator
from typing import Any

from cortex.db.connect import Tx, integer
from cortex.ledger import merkle
from cortex.ledger.export import Bundle, counted
from cortex.progress import Progress
from cortex.trust import log as logs
from cortex.trust import outside
from cortex.trust.log import Log

# `idx` is what findings and proofs call an entry; the row that people see in the file is one more.
_COLUMNS = (
    "idx",
    "id",
    "kind",
    "fact_id",
    "agent_id",
    "vote",
    "vote_weight",
    "weight_e6",
    "event_id",
    "key",
    "author",
    "fact_digest",
    "reason_digest",
    "at",
    "event",
    "timestamp",
    "signature",
    "prev_hash",
    "hash",
)


def bundle(tx: Tx, log: Log, progress: Progress) -> Bundle:
    """The log up to its last checkpoint, read while it is written. No reason's text is in it."""
    signed = signed_size(tx)
    found: Any = tx.execute("SELECT note FROM vote_checkpoints ORDER BY id")

    def rows(columns: str) -> Iterator[Any]:
        # From a generator, so that it begins when it is read: of leaves and table only one is.
        yield from tx.execute(f"SELECT {columns} FROM vote_ledger ORDER BY id LIMIT ?", (signed,))

    return Bundle(
        log=logs.LOG,
        leaves=counted((logs.encode_row(row, log.origin) for row in rows(logs.LEAF_COLUMNS)), signed, progress),
        notes=[row[0] for row in found],
        columns=_COLUMNS,
        rows=rows(", ".join(("id - 1", *_COLUMNS[1:]))),
    )


def signed_size(tx: Tx) -> int:
    """How many leaves the last checkpoint covers: what comes after, nobody signed for yet."""
    return integer(tx, "SELECT coalesce(max(tree_size), 0) FROM vote_checkpoints")


def trust_lines(tx: Tx, log: Log) -> list[str]:
    """The lines for a verifier's trust file: the keys of the log, also those of before it was restored, and entry 0."""
    genesis = merkle.leaf_hash(logs.leaf_at(tx, log.origin, 0))
    return [*(f"log {vkey}" for vkey in outside.vkeys(tx, log)), f"genesis {genesis.hex()}"]
