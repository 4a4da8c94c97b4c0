"""Holding the transactions logs against the last checkpoints that witnesses hold of them.

What witnesses hold is read first, and the logs on a later snapshot: a log only grows, so that what is missing then was
there.
"""

from collections.abc import Iterable

from msgspec import Struct

from cortex.db.connect import Tx, value
from cortex.errors import Corrupt
from cortex.ledger import chain, checkpoint, merkle
from cortex.ledger.chain import State
from cortex.ledger.findings import PASSING, UNFORESEEN, Findings, unforeseen


class WitnessNote(Struct, frozen=True):
    """The last checkpoint that a witness holds of a log."""

    witness: str
    origin: str
    note: str


def compare(tx: Tx, states: Iterable[State], held: Iterable[WitnessNote], findings: Findings) -> None:
    """Compare notes with the logs that they are of."""
    known = {state.origin: state for state in states}
    for note in held:
        if note.origin in known:  # of one that went meanwhile, what is remembered says so
            with unforeseen(findings, f"what the witness {note.witness} holds", origin=note.origin):
                _compare(tx, known[note.origin], note, findings)


def _compare(tx: Tx, state: State, held: WitnessNote, findings: Findings) -> None:
    def fail(code: str, told: str, entry: int | None = None) -> None:
        findings.add(code, f"the witness {held.witness} {told}", origin=state.origin, entry=entry)

    try:
        head, _ = checkpoint.parse(held.note)
    except Corrupt as error:
        fail("HISTORY_REWRITTEN", f"holds what is no checkpoint: {error.message}")
        return
    if head.origin != state.origin:
        fail("SPLIT_VIEW", f"holds a checkpoint of {head.origin[:200]} in its place")
    elif head.size > state.size:
        # That log takes no more entries: the file was put back from a backup, or its key was not here.
        ended = "" if state.active else "; the ledger goes on under another origin since then"
        fail("ROLLBACK", f"has seen {head.size} entries, there are {state.size}{ended}")
    elif _root_at(tx, state, head.size) != head.root:
        other = "SELECT 1 FROM ledger_checkpoint WHERE log = ? AND tree_size = ? AND tree_root <> ?"
        signed = value(tx, other, (state.id, head.size, head.root)) is not None
        told = f"has seen another root over {head.size} entries"
        fail("SPLIT_VIEW" if signed else "HISTORY_REWRITTEN", told, head.size)


def _root_at(tx: Tx, state: State, size: int) -> bytes | None:
    """The root that the log has over its first entries; None where it cannot be had, which other passes explain."""
    try:
        return merkle.root_at(chain.nodes(tx, state.id), size)
    except PASSING:
        raise
    except UNFORESEEN:
        return None
