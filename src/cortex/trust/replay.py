"""The policy pass: the votes log replayed through `apply`, and what that gives compared with the tables of the file."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from dataclasses import replace as changed
from functools import cached_property
from itertools import islice
from typing import Any

import apsw
import msgspec

from cortex import limits, times
from cortex.db.connect import Tx
from cortex.errors import ClockAhead, Conflict, Corrupt, CortexError, Forbidden, Invalid, NotFound
from cortex.ledger import merkle
from cortex.ledger.findings import UNFORESEEN, Findings
from cortex.progress import Progress
from cortex.trust import apply, copies, events
from cortex.trust import log as logs
from cortex.trust.copies import Copy
from cortex.trust.events import Ballot, Event, Genesis, LogRestored, Signed
from cortex.trust.log import Appended, Log

# What apply makes of the leaves beside the log itself, with how many of the first columns are the key.
_MADE = {"vote_agent": 1, "vote_key": 1, "vote_current": 3, "vote_tally": 2, "vote_judged": 3}
_BY_TEXT = ("vote_current", "vote_tally", "vote_judged")
_BY_NAME = {"vote_agent": "name", "vote_key": "public"}
_TABLES = {"vote_log": 1, "vote_ledger": 1, "vote_tree": 2, "vote_merkle_roots": 1, **_MADE}

_Row = tuple[Any, ...]


def replay(leaves: Iterable[tuple[Signed, str]]) -> Tx:
    """A new database with what a log of these events, each with its time, comes to."""
    tx = copies.blank(":memory:")
    following = iter(leaves)
    genesis, at = next(following)
    apply.start(tx, genesis, at)
    log = logs.needed(tx)
    for signed, at in following:
        apply.apply(tx, log, signed, at)
    logs.store(tx, log)
    tx.execute("COMMIT")
    return tx


def leaves(tx: Tx, origin: str) -> Iterator[tuple[Signed, str]]:
    """The events of the log in a file with their times, as `replay` takes them."""
    size = events.SIGNATURE_BYTES
    for row in tx.execute(f"SELECT {logs.LEAF_COLUMNS} FROM vote_ledger ORDER BY id"):
        signature: Any = row[14]
        sigs = tuple(signature[at : at + size] for at in range(0, len(signature), size))
        yield Signed(events.decode(str(row[1]), logs.event_bytes(row, origin)), sigs), str(row[13])


def dump(tx: Tx) -> bytes:
    """All rows of the consensus tables in the order of their keys: the same bytes for the same log everywhere."""
    lines = [
        msgspec.json.encode([table, *row])
        for table, key in _TABLES.items()
        for row in tx.execute(f"SELECT * FROM {table} ORDER BY {_order(key)}")
    ]
    return b"\n".join(lines)


def check(
    tx: Tx, origin: str, findings: Findings, copy: Copy, *, size: int, void: set[int], progress: Progress
) -> None:
    """Replay what the copy does not have yet, and compare the weights and the tables with those of the file.

    Leaves in `void` have no effect. Where a copy that was resumed gives something else, all is replayed anew.
    """
    if copy.resumed:
        found = Findings()
        try:
            _check(tx, origin, found, copy, size, void, progress)
        except UNFORESEEN:
            copy.start_anew()
        else:
            if not found.list:
                return
            copy.start_anew()
    trial = Findings()
    try:
        _check(tx, origin, trial, copy, size, void, progress)
    except apsw.Error:
        # A full disk, say. If it is the file itself that cannot be read, that shows again.
        copy.start_anew(on_disk=False)
        trial = Findings()
        _check(tx, origin, trial, copy, size, void, progress)
    findings.take(trial)


def _check(tx: Tx, origin: str, findings: Findings, copy: Copy, size: int, void: set[int], progress: Progress) -> None:
    if copy.resumed:
        copy.tx.execute(_TOUCHING).fetchall()
    log = _replay(tx, copy.tx, origin, findings, size, void, progress)
    if log is not None:
        logs.store(copy.tx, log)
    if copy.resumed:
        _compare_touched(tx, copy.tx, origin, findings)
    else:
        for table, key in _MADE.items():
            order = f"SELECT * FROM {table} NOT INDEXED ORDER BY {_order(key)}"
            _compare(_Table(table, key, copy.tx), tx.execute(order), copy.tx.execute(order), origin, findings)


def _replay(
    tx: Tx, copy: Tx, origin: str, findings: Findings, size: int, void: set[int], progress: Progress
) -> Log | None:
    """Replay the leaves that follow on those of the copy. Returns the state; None where there is not even a genesis."""
    log = logs.state(copy)
    start = 0 if log is None else log.size
    where = f"WHERE id > {start:d}" if start else ""
    rows: Any = tx.execute(f"SELECT {logs.LEAF_COLUMNS} FROM vote_ledger NOT INDEXED {where} ORDER BY id")
    range_ = [] if log is None else merkle.range_decode(log.range, log.size)
    done = 0
    while chunk := list(islice(rows, limits.TEXT_CHUNK_LEAVES)):
        for row in chunk:
            idx, ts = row[0] - 1, _time(row, origin, findings)
            event = None if idx in void or ts is None else _event(row, origin, findings)
            if log is not None:
                # `restored` compares with the root at its place.
                log.size = idx
                log.range = b"".join(range_) if isinstance(event, LogRestored) else b""
            if event is not None:
                log = _step(copy, log, event, row, findings)
            merkle.range_append(range_, start + done, row[17])
            done += 1
            if log is not None:
                log.size, log.head, log.ts = idx + 1, row[17], max(log.ts, ts or "")
        progress(done, size - start, "rules")
    if log is not None:
        log.range = b"".join(range_)
    return log


def _time(row: _Row, origin: str, findings: Findings) -> str | None:
    """The time of a leaf; None where it is none."""
    if times.is_stored(row[13]):
        return str(row[13])
    findings.add("LEAF_FORM", f"{row[13]!r} is no time in the stored form", origin=origin, entry=row[0] - 1)
    return None


def _event(row: _Row, origin: str, findings: Findings) -> Event | None:
    """The event of a leaf; None where it is none, or of another log. What is not a vote the integrity pass judged."""
    try:
        event = events.decode(row[1], logs.event_bytes(row, origin))
        if (row[1] == "vote") != (row[12] is None) or (row[1] == "genesis") != (row[0] == 1):
            return None
    except (Corrupt, Invalid) as error:
        if row[1] == "vote" and row[12] is None:
            findings.add("LEAF_FORM", str(error), origin=origin, entry=row[0] - 1)
        return None
    return event if event.log == origin else None


def _step(copy: Tx, log: Log | None, event: Event, row: _Row, findings: Findings) -> Log | None:
    """Let one event take effect. One that the rules refuse has none."""
    idx, weight, ts = row[0] - 1, row[5], row[13]
    signed = Signed(event, ())
    try:
        if isinstance(event, Genesis):
            apply.start(copy, signed, ts, append=_count)
            return logs.state(copy)
        if log is None:
            return None
        if isinstance(event, Ballot):
            applied = apply.apply(copy, log, signed, ts, append=_count)
            if applied.weight_e6 != weight:
                told = f"the vote weighs {weight}, by the rules it is {applied.weight_e6}"
                findings.add("WEIGHT_POLICY", told, origin=event.log, entry=idx)
            return log
        trial = changed(log)
        with copy:
            apply.apply(copy, trial, signed, ts, append=_count)
        return trial
    except (CortexError, OverflowError) as error:
        findings.add(_code(event, error), str(error), origin=event.log, entry=idx)
    return log


def _count(tx: Tx, log: Log, signed: Signed, ts: str, weight_e6: int | None) -> Appended:
    """In the place of `logs.append`: the leaf is in the log that is verified."""
    log.size += 1
    log.ts = ts
    log.votes += isinstance(signed.event, Ballot)
    return Appended(log.size - 1, ts, b"", b"", weight_e6)


def _code(event: Event, error: CortexError | OverflowError) -> str:
    """What it is called that an event which the rules refuse stands in the log."""
    if isinstance(error, ClockAhead | OverflowError):
        return "TIME_ORDER"
    if isinstance(error, Conflict) and isinstance(event, LogRestored):
        return "HISTORY_REWRITTEN"
    return "KEY_NOT_VALID" if isinstance(error, Conflict | Forbidden | NotFound) else "LEAF_FORM"


def _order(columns: int) -> str:
    return ", ".join(str(number + 1) for number in range(columns))


@dataclass(frozen=True)
class _Table:
    """A table that is compared, and how many of its first columns are the key."""

    name: str
    key: int
    copy: Tx

    @cached_property
    def columns(self) -> list[str]:
        """The names of the columns, in their order."""
        return [str(row[1]) for row in self.copy.execute(f"PRAGMA table_info({self.name})")]

    def differing(self, held: _Row | None, made: _Row | None) -> str:
        """Which columns of a row are other than they should be, each with both values."""
        if held is None or made is None:
            return f"is {'missing' if held is None else 'there'}, the votes come to {'one' if made else 'none'}"
        each = zip(self.columns, held, made, strict=False)
        told = [f"{name} {_shown(one)}, the votes come to {_shown(two)}" for name, one, two in each if one != two]
        return "has " + "; ".join(told)


def _compare(table: _Table, held: Iterable[_Row], made: Iterable[_Row], origin: str, findings: Findings) -> None:
    """Compare two runs of rows, both in the order of their keys."""
    key = table.key
    lefts, rights = iter(held), iter(made)
    left, right = next(lefts, None), next(rights, None)
    while left is not None or right is not None:
        if left == right:
            left, right = next(lefts, None), next(rights, None)
            continue
        first = min(row[:key] for row in (left, right) if row is not None)
        at_left, at_right = (row if row is not None and row[:key] == first else None for row in (left, right))
        told = f"{table.name} {', '.join(map(_shown, first))} {table.differing(at_left, at_right)}"
        findings.add("STATE_POLICY", told, origin=origin)
        left = left if at_left is None else next(lefts, None)
        right = right if at_right is None else next(rights, None)


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    return value.hex() if isinstance(value, bytes) else str(value)


def _compare_touched(tx: Tx, copy: Tx, origin: str, findings: Findings) -> None:
    """Compare the rows that the replay wrote to."""
    for key in copy.execute("SELECT fact, digest FROM temp.touched_text ORDER BY 1, 2").fetchall():
        for table in _BY_TEXT:
            columns = _MADE[table]
            rows = f"SELECT * FROM {table} WHERE fact = ? AND digest = ? ORDER BY {_order(columns)}"
            compared = _Table(table, columns, copy)
            _compare(compared, tx.execute(rows, key), copy.execute(rows, key), origin, findings)
    for table, column in _BY_NAME.items():
        names = copy.execute("SELECT name FROM temp.touched_row WHERE made = ? ORDER BY 1", (table,)).fetchall()
        for name in names:
            rows = f"SELECT * FROM {table} WHERE {column} = ?"
            _compare(_Table(table, 1, copy), tx.execute(rows, name), copy.execute(rows, name), origin, findings)


def _triggers() -> Iterator[str]:
    for what in ("INSERT", "UPDATE"):
        for table in _BY_TEXT:
            yield (
                f"CREATE TEMP TRIGGER touching_{table}_{what} AFTER {what} ON main.{table}"
                " BEGIN INSERT OR REPLACE INTO touched_text VALUES (new.fact, new.digest); END"
            )
        for table, column in _BY_NAME.items():
            yield (
                f"CREATE TEMP TRIGGER touching_{table}_{what} AFTER {what} ON main.{table}"
                f" BEGIN INSERT OR REPLACE INTO touched_row VALUES ('{table}', new.{column}); END"
            )


# Which rows a replay writes to: an update hook is not told of tables without row ids.
_TOUCHING = ";\n".join(
    (
        "CREATE TEMP TABLE touched_text (fact, digest, PRIMARY KEY (fact, digest)) WITHOUT ROWID",
        "CREATE TEMP TABLE touched_row (made, name, PRIMARY KEY (made, name)) WITHOUT ROWID",
        *_triggers(),
    )
)
