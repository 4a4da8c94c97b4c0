"""Having others vouch for checkpoints: witnesses take them, an authority says when they were there. Both logs alike."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypeVar

from msgspec import Meta, Struct

from cortex import limits
from cortex.db.connect import Tx
from cortex.errors import Conflict, CortexError, Invalid, Unavailable
from cortex.files import read_start
from cortex.ledger import chain, checkpoint, cosignature, merkle, timestamp, witnesses
from cortex.ledger.witnesses import WitnessTarget
from cortex.ops.context import Context
from cortex.plurals import counted
from cortex.settings import Settings
from cortex.trust import log as logs

T = TypeVar("T")

LogName = Literal["transactions", "votes"]
Code = Literal["ROLLBACK", "SPLIT_VIEW", "HISTORY_REWRITTEN"]

CODES: tuple[Code, ...] = ("ROLLBACK", "SPLIT_VIEW", "HISTORY_REWRITTEN")

Witness = Annotated[bool, Meta(description="Have the configured witnesses take it, which they do unless this is off.")]
Timestamp = Annotated[bool, Meta(description="Ask the configured authority for an RFC 3161 timestamp.")]


class Vouched(Struct, frozen=True, kw_only=True):
    """What became of a checkpoint at one witness: it signed or kept it, has `seen` another history, or `failed`."""

    witness: str
    outcome: Literal["cosigned", "kept", "seen", "failed"]
    code: Code | None = None
    told: str | None = None


class StampedNote(Struct, frozen=True, kw_only=True):
    """A timestamp of a checkpoint's text; `at` and `by` where it was checked with root certificates."""

    bytes: int
    at: str | None
    by: str | None
    told: str | None


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A checkpoint that is stored, and where."""

    log: LogName
    number: int
    size: int
    note: str


class InTransaction(Protocol):
    """Runs a function in a transaction and waits for its result."""

    def __call__(self, run: Callable[[Tx], T], /) -> T: ...


def targets(settings: Settings) -> list[WitnessTarget]:
    """The configured witnesses."""
    return [witnesses.parse_target(text) for text in settings.witnesses]


def last_sealed(tx: Tx) -> list[StoredCheckpoint]:
    """The newest checkpoint of each log that this file appends to."""
    state, found = chain.active(tx), []
    if state is not None and state.checkpoints:
        found.append(sealed(tx, "transactions", state.id, state.sealed_size))
    row: Any = tx.execute("SELECT tree_size, note FROM vote_checkpoints ORDER BY id DESC LIMIT 1").fetchone()
    if row is not None:
        found.append(StoredCheckpoint("votes", 0, row[0], row[1]))
    return found


def sealed(tx: Tx, log: LogName, number: int, size: int) -> StoredCheckpoint:
    """The stored checkpoint of a size; `number` is that of the log among those of the transactions."""
    row: Any = tx.execute(_NOTES[log], (number, size)).fetchone()
    if row is None:
        raise Conflict(f"there is no checkpoint of {counted(size, 'entry', 'entries')} any more", "make one anew")
    return StoredCheckpoint(log, number, size, row[0])


def wanting(target: WitnessTarget, found: StoredCheckpoint) -> bool:
    """Whether a witness has not taken a checkpoint yet, as far as that can be seen from here."""
    head, signatures = checkpoint.parse(found.note)
    if target.kind != "http":
        last = witnesses.remembered(target, head.origin)
        return last is None or checkpoint.parse(last)[0].size < head.size
    assert target.vkey is not None, "an HTTP witness has a key"
    key = cosignature.parse_witness_vkey(target.vkey)
    return (key.name, key.key_id) not in {(line.name, line.key_id) for line in signatures}


def take(target: WitnessTarget, found: StoredCheckpoint, read: InTransaction, write: InTransaction) -> Vouched:
    """Have a witness take a checkpoint; its lines are added to the stored note. Blocks, up to a minute."""
    shown = target.place if target.kind == "http" else str(target)
    try:
        taken = witnesses.submit(target, found.note, lambda old: read(lambda tx: _consistency(tx, found, old)))
        if taken.lines:
            write(lambda tx: _add_lines(tx, found, taken.lines))
    except Conflict as error:
        code = next((code for code in CODES if error.message.startswith(f"{code}:")), None)
        return Vouched(witness=shown, outcome="failed" if code is None else "seen", code=code, told=error.message)
    except CortexError as error:
        return Vouched(witness=shown, outcome="failed", told=error.message)
    return Vouched(witness=shown, outcome="cosigned" if taken.lines else "kept")


async def vouched(ctx: Context, found: StoredCheckpoint, *, wanted: bool | None) -> list[Vouched]:
    """What each configured witness says to a checkpoint: none are asked where that is not `wanted`."""
    asked = targets(ctx.settings) if wanted is not False else []
    if wanted and not asked:
        raise Invalid("no witnesses are configured", "set `witnesses`, see docs/ledger.md")
    loop = asyncio.get_running_loop()

    def read(run: Callable[[Tx], T], /) -> T:
        return asyncio.run_coroutine_threadsafe(ctx.database.read(run), loop).result()

    def write(run: Callable[[Tx], T], /) -> T:
        return asyncio.run_coroutine_threadsafe(ctx.database.write(run), loop).result()

    return list(await asyncio.gather(*(asyncio.to_thread(take, target, found, read, write) for target in asked)))


async def stamped(ctx: Context, found: StoredCheckpoint) -> StampedNote:
    """A timestamp of a checkpoint's text: the one it has, else a new one, which is kept with the checkpoint."""
    token: bytes | None = await ctx.database.read(lambda tx: _token(tx, found))
    text = checkpoint.split_note(found.note)[0].encode()
    if token is None:
        url = ctx.settings.timestamp_url
        if url is None:
            raise Invalid("no timestamp authority is configured", "set timestamp.url to that of an RFC 3161 authority")
        token = await asyncio.to_thread(timestamp.ask, url, text)
        given = token
        token = await ctx.database.write(lambda tx: _keep_token(tx, found, given))
    if ctx.settings.timestamp_roots is None:
        return StampedNote(bytes=len(token), at=None, by=None, told="not checked: timestamp.roots is not set")
    checked = timestamp.check(token, text, _roots(ctx.settings.timestamp_roots))
    return StampedNote(bytes=len(token), at=checked.at, by=checked.by, told=None)


def exit_code(found: list[Vouched]) -> int:
    """1 where a witness has seen another history, 3 where one could not be had, else 0."""
    outcomes = {each.outcome for each in found}
    return 1 if "seen" in outcomes else 3 if "failed" in outcomes else 0


def _consistency(tx: Tx, found: StoredCheckpoint, old: int) -> list[bytes]:
    nodes = logs.nodes(tx) if found.log == "votes" else chain.nodes(tx, found.number)
    return merkle.consistency_proof(old, found.size, nodes)


def _add_lines(tx: Tx, found: StoredCheckpoint, lines: tuple[str, ...]) -> None:
    """Add to the note as it is now: others may have added theirs meanwhile."""
    note = cosignature.add_lines(sealed(tx, found.log, found.number, found.size).note, lines)
    tx.execute(_KEEP_NOTE[found.log], (found.number, found.size, note))


def _token(tx: Tx, found: StoredCheckpoint) -> bytes | None:
    row: Any = tx.execute(_TOKENS[found.log], (found.number, found.size)).fetchone()
    return None if row is None else row[0]


def _keep_token(tx: Tx, found: StoredCheckpoint, token: bytes) -> bytes:
    """The token that is kept: the first one, whose time says more."""
    kept = _token(tx, found)
    if kept is None:
        tx.execute(_KEEP_TOKEN[found.log], (found.number, found.size, token))
    return kept or token


def _roots(path: Path) -> bytes:
    try:
        return read_start(path, limits.TIMESTAMP_ROOTS_BYTES_MAX + 1)
    except OSError as error:
        raise Unavailable(f"{path} cannot be read ({error.strerror})", "see timestamp.roots") from None


# ?1 is the log's number, which the votes log has none of, ?2 the size.
_WHICH: dict[LogName, str] = {
    "transactions": "ledger_checkpoint WHERE log = ?1 AND tree_size = ?2",
    "votes": "vote_checkpoints WHERE ?1 = 0 AND tree_size = ?2",
}
_NOTES = {log: f"SELECT note FROM {which}" for log, which in _WHICH.items()}
_TOKENS = {log: f"SELECT external_proof FROM {which}" for log, which in _WHICH.items()}
_KEEP_NOTE = {log: f"UPDATE {which.replace(' WHERE', ' SET note = ?3 WHERE')}" for log, which in _WHICH.items()}
_KEEP_TOKEN = {
    log: f"UPDATE {which.replace(' WHERE', ' SET external_proof = ?3 WHERE')}" for log, which in _WHICH.items()
}
