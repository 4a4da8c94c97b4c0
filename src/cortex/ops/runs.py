"""Verifications that ended: as they are written down in the file, and what is remembered outside of those that alarmed.

Whoever may write the file may write anything there. What is read is therefore taken as bytes, and never believed alone.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import apsw
import msgspec
from msgspec import Meta, Struct

from cortex import files, limits, times
from cortex.db.connect import Tx
from cortex.errors import CortexError
from cortex.ledger import memory
from cortex.ledger.findings import Finding
from cortex.ops import verification, vote_verification
from cortex.ops.verification import VerificationRun
from cortex.trust import private

# No finding in a log: something that others keep of it could not be read, and so was not compared.
UNCHECKED = "UNCHECKED"

# The logs and their passes, where none is left out.
PASSES = {"transactions": verification.PASSES, "votes": vote_verification.PASSES}


class EndedRun(Struct, frozen=True, kw_only=True):
    """A run that is written down, as far as it decides when the next one is due. The time may be any text."""

    at: str
    ok: bool
    unchecked: bool


class LastRun(Struct, frozen=True, kw_only=True):
    """The last verification of a log that was written down, and the codes of what it found."""

    log: str
    at: str
    ok: bool
    incremental: bool
    codes: list[str]
    unchecked: Annotated[list[str], Meta(description="What others keep of the log that could not be read.")] = []
    damaged: Annotated[str | None, Meta(description="Why this was not written down so by a verification.")] = None


class AlarmsGiven(Struct, frozen=True, kw_only=True):
    """When a run with findings ended, by this machine's clock; the last one, and the last whole one."""

    some_at: str = ""
    whole_at: str = ""


def ended(tx: Tx, log: str, *, full: bool) -> Iterator[EndedRun]:
    """The runs of a log that left no pass out, the newest first; with `full` only those from the beginning."""
    rows: Any = tx.execute(
        "SELECT CAST(finished_at AS BLOB), ok, CAST(passes AS BLOB), CAST(findings AS BLOB) FROM vote_integrity_checks"
        " WHERE log = ? AND incremental <= ? ORDER BY id DESC",
        (log, 0 if full else 1),
    )
    for at, ok, passes, findings in rows:
        found = _decoded(findings, list[Finding])
        if is_whole(log, _decoded(passes, list[str]) or []) and _is_told(ok, found):
            yield EndedRun(at=_text(at), ok=bool(ok), unchecked=UNCHECKED in {each.code for each in found})


def is_whole(log: str, passes: list[str]) -> bool:
    """Whether a run made every pass; where the schema kept it from the others, there was no more to be made."""
    return set(passes) == {"schema"} or set(passes) >= PASSES[log]


def last_runs(tx: Tx) -> list[LastRun]:
    """The last run of each log, of any process; and one of no log, where somebody wrote that down."""
    try:
        found = [_last(log, row) for log in PASSES for row in tx.execute(f"{_RUNS} WHERE log = ? {_NEWEST}", (log,))]
        stray = [_last(None, row) for row in tx.execute(f"{_RUNS} WHERE log NOT IN (?, ?) {_NEWEST}", (*PASSES,))]
    except apsw.SQLError as error:
        # Its table is not the one that Cortex made, which a verification finds.
        return [_damaged(log, f"its table cannot be read: {error}") for log in PASSES]
    return found + stray


_RUNS = (
    "SELECT CAST(log AS BLOB), CAST(finished_at AS BLOB), ok, incremental, CAST(findings AS BLOB)"
    " FROM vote_integrity_checks"
)
_NEWEST = "ORDER BY id DESC LIMIT 1"


def _last(log: str | None, row: Any) -> LastRun:
    named, at, ok, part, findings = row
    found = _decoded(findings, list[Finding])
    return LastRun(
        log=_text(named),
        at=_text(at),
        ok=bool(ok),
        incremental=bool(part),
        codes=list(dict.fromkeys(each.code for each in found or [] if each.code != UNCHECKED)),
        unchecked=[each.what for each in found or [] if each.code == UNCHECKED],
        damaged=_damage(log, _text(at), ok, found),
    )


def _damage(log: str | None, at: str, ok: Any, found: list[Finding] | None) -> str | None:
    """Why no verification wrote this; None where one could have."""
    if log is None:
        return "it is of no log"
    if found is None:
        return "its findings are none"
    if not times.is_stored(at):
        return "its time is none"
    return None if _is_told(ok, found) else "its ok is not what its findings say"


def _is_told(ok: Any, found: list[Finding] | None) -> bool:
    """Whether the findings are some, and say the same as the verdict beside them."""
    return found is not None and ok == (0 if any(each.code != UNCHECKED for each in found) else 1)


def _damaged(log: str, why: str) -> LastRun:
    return LastRun(log=log, at="", ok=False, incremental=False, codes=[], damaged=why)


def _text(cell: Any) -> str:
    return bytes(cell).decode(errors="replace") if isinstance(cell, bytes) else ""


def _decoded(cell: Any, kind: Any) -> Any:
    """What a cell says in JSON; None where it does not."""
    try:
        return msgspec.json.decode(cell, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError):
        return None


def remember_alarm(home: Path, database: Path, run: VerificationRun) -> str | None:
    """Remember outside the file that a run with findings ended now. Returns why that could not be, None where it was.

    Else the same alarm would be given at each look, since what the file says of its runs is not believed alone.
    """
    place, now = _place(home, database, run.log), times.now()
    whole_at = alarms_given(home, database, run.log).whole_at if run.incremental else now
    try:
        private.make_folder(place.parent)
        files.replace_whole(place, msgspec.json.encode(AlarmsGiven(some_at=now, whole_at=whole_at)))
    except OSError as error:
        return f"that this was found cannot be remembered in {place.parent} ({error.strerror})"
    except CortexError as error:
        return f"that this was found cannot be remembered: {error.message}"
    return None


def alarms_given(home: Path, database: Path, log: str) -> AlarmsGiven:
    """When runs of a log with findings ended; never, where nothing that can be read says so."""
    try:
        return msgspec.json.decode(
            files.read_start(_place(home, database, log), limits.REMEMBERED_FILE_BYTES_MAX), type=AlarmsGiven
        )
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OSError):
        return AlarmsGiven()


def _place(home: Path, database: Path, log: str) -> Path:
    return memory.place(home, database).with_suffix(f".alarm-{log}")
