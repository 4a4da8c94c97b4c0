"""What a verification can find, and the report of one."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import apsw
from msgspec import Meta, MsgspecError, Struct
from nacl.exceptions import CryptoError

from cortex import limits
from cortex.errors import CortexError, Unavailable

# Every code, with what it says. docs/ledger.md and docs/votes.md explain each.
CODES = {
    "SCHEMA": "a table, index, view or trigger is not what Cortex made, or an index does not say what its table says",
    "GAP": "an entry is missing, or a batch is torn",
    "LEAF_FORM": "an entry is of a version or a kind that there is not at its place",
    "LEAF_HASH": "an entry's columns no longer give its hash",
    "CHAIN_LINK": "an entry does not name the hash of the one before",
    "TIME_ORDER": "an entry is older than the one before",
    "ORIGIN": "the first entry does not name the log's origin and key",
    "TREE_STATE": "the state row differs from what the entries give",
    "TREE_NODE": "a stored node of the tree differs from what the entries give",
    "CHECKPOINT_SEQ": "a checkpoint is missing or out of order",
    "CHECKPOINT_SIG": "a checkpoint is not signed by the log's key, or says other than its row",
    "TRUNCATED": "a signed checkpoint covers more entries than there are",
    "HISTORY_REWRITTEN": "the entries do not give the root that was signed or remembered",
    "SPLIT_VIEW": "two signed checkpoints of one size have different roots",
    "ROLLBACK": "the log is shorter than it was when it was last verified, or gone",
    "FACT_CHANGED": "a fact is not what its entry recorded",
    "FACT_MISSING": "a fact that was recorded is gone without having been erased",
    "WEIGHT_MIRROR": "vote_weight, which is for people, is not weight_e6 in units",
    "WEIGHT_POLICY": "a vote's weight is not what the rules give at its place",
    "STATE_POLICY": "a tally, agent or key is not what the votes come to",
    "BATCH_ROOT": "the root over a batch of votes is missing, or is not that of its votes",
    "AGENT_SIG": "a ballot is not signed by the key that it names",
    "EVENT_SIG": "an event other than a vote is not signed by the keys that it names",
    "KEY_NOT_VALID": "a key signed that may not at this place: unknown, of another agent, rotated, revoked",
    "EVENT_TWICE": "the id of an event stands in the log more than once",
    "REASON_CHANGED": "the reason of a vote is not what its entry recorded, or is held without one",
    "RECEIPT_MISSING": "the log does not hold what an agent has a receipt for",
    "PROMISE_BROKEN": "the log does not hold an entry at the place that it promised",
    "UNFINISHED": "a verification ended without saying what it found",
}

# What a pass raises over content that none of its checks foresaw, and what says something of the machine alone.
UNFORESEEN = (
    TypeError, ValueError, ArithmeticError, AssertionError, LookupError, AttributeError, RecursionError,
    MsgspecError, CryptoError, CortexError, apsw.Error,
)  # fmt: skip
PASSING = (
    Unavailable, apsw.BusyError, apsw.LockedError, apsw.FullError, apsw.IOError, apsw.NoMemError, apsw.InterruptError,
    apsw.CantOpenError, apsw.ReadOnlyError, apsw.SchemaChangeError,
)  # fmt: skip


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that is wrong: a stable code, where, and what was found."""

    code: str
    origin: str | None
    entry: int | None
    what: str


class Findings:
    """Findings as they come, up to FINDINGS_PER_CODE_MAX of each code, so that none hides another.

    `more` counts the rest.
    """

    def __init__(self) -> None:
        self.list: list[Finding] = []
        self.more = 0
        self._of_code: Counter[str] = Counter()

    def add(self, code: str, what: str, *, origin: str | None = None, entry: int | None = None) -> None:
        assert code in CODES, code
        self._of_code[code] += 1
        if self._of_code[code] > limits.FINDINGS_PER_CODE_MAX:
            self.more += 1
            return
        self.list.append(Finding(code=code, origin=origin, entry=entry, what=what))

    def take(self, others: "Findings") -> None:
        """Add what was found apart."""
        for finding in others.list:
            self.add(finding.code, finding.what, origin=finding.origin, entry=finding.entry)
        self.more += others.more


@contextmanager
def unforeseen(findings: Findings, what: str, code: str = "LEAF_FORM", *, origin: str | None = None) -> Iterator[None]:
    """Make a finding of what ends a pass early: what was never foreseen was not written by us.

    Whoever edits a file must not be able to end its verification without a word.
    """
    try:
        yield
    except PASSING:
        raise
    except UNFORESEEN as error:
        said = error.message if isinstance(error, CortexError) else str(error)
        told = ascii(f"{type(error).__name__}: {said}"[: limits.FINDING_SAID_CHARS])[1:-1]
        findings.add(code, f"{what} could not be gone through to the end ({told})", origin=origin)


class LogChecked(Struct, frozen=True, kw_only=True):
    """What was checked of one log."""

    origin: str
    active: bool
    size: int
    root: str
    checked_from: int
    checkpoints: int
    signatures: Annotated[str, Meta(description="Whose key the checkpoints were checked against.")]
    memory: Annotated[str, Meta(description="What was remembered outside the file, and used.")]


class Verification(Struct, frozen=True, kw_only=True):
    """The report of a verification. `ok` is true when nothing was found; it claims no more than what was checked."""

    ok: bool
    findings: list[Finding]
    more_findings: int
    logs: list[LogChecked]
    passes: list[str]
    entries: int
    revisions: int
    erased: int
    not_remembered: Annotated[str | None, Meta(description="Why this could not be remembered outside the file.")]
    outside: Annotated[list[str], Meta(description="What witnesses hold of the logs, and how it compares.")] = []
    unchecked: Annotated[list[str], Meta(description="What others keep of the logs that could not be read.")] = []

    @property
    def exit_code(self) -> int:
        """0 valid, 1 tampered, 3 where there was no ledger to check, or a witness could not be read."""
        if not self.ok:
            return 1
        return 3 if not self.logs or self.unchecked else 0
