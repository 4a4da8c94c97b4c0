"""A changed bit in any column of any row of the votes tables is found by a full verification.

Left out is what nothing tells: whether a file was put back (`vote_seal.restored`), timestamps by an authority
(`vote_checkpoints.external_proof`), and the lines of witnesses, which whoever has a trust policy checks.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import apsw
import pytest
from hypothesis import HealthCheck, assume, given, reject, settings
from hypothesis import strategies as st

from cortex.bench.attacking.attacker import Attacker
from cortex.bench.attacking.ledgers import BuiltLedger
from cortex.ops import vote_verification
from cortex.ops.vote_verification import VoteTask, VoteVerification
from cortex.progress import silent

COLUMNS = {
    "vote_log": "origin vkey admin policy size head range ts votes",
    "vote_ledger": (
        "id kind fact_id agent_id vote vote_weight weight_e6 event_id key author fact_digest reason_digest at event"
        " timestamp signature v prev_hash hash"
    ),
    "vote_agent": "name level for_e6 against_e6 day since",
    "vote_key": "public agent custody projects from_idx until_idx ended",
    "vote_current": "fact digest agent vote weight_e6 vouched own counted leaf",
    "vote_tally": (
        "fact digest vouched_sum vouched_abs others_sum others_abs vouched_pro vouched_con counted_pro counted_con"
        " sigma_e6 tenths verdict since due settled resolved"
    ),
    "vote_judged": "fact digest agent agreed amount_e6 day",
    "vote_seal": "checkpoints sealed_size sealed_at",
    "vote_checkpoints": "id tree_size tree_root note created_at",
    "vote_reason": "event_id fact salt reason",
}
# Those that a short log has no rows in.
STORED = {
    "vote_tree": "level idx hash",
    "vote_merkle_roots": "id root_hash vote_start_id vote_end_id vote_count created_at",
}
# Of what a column may hold: an integer of so many bits, and so many bytes.
BITS, BYTES = 62, 4096
# Origin, size, root, an empty line, and the line of the log: what the log's key stands for.
SIGNED_LINES = 5
ALL = [(table, column) for table, names in COLUMNS.items() for column in names.split()]
LARGE = [(table, column) for table, names in STORED.items() for column in names.split()]


@pytest.fixture(scope="module")
def small(voted: BuiltLedger, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacker]:
    """A file in which each change is undone."""
    at = Attacker(voted, tmp_path_factory.mktemp("small"))
    yield at
    at.close()


@pytest.fixture(scope="module")
def large(crowded: BuiltLedger, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacker]:
    """The same with more votes."""
    at = Attacker(crowded, tmp_path_factory.mktemp("large"))
    yield at
    at.close()


def verified(at: Attacker, *, thorough: bool) -> VoteVerification:
    """What is found without any memory."""
    task = VoteTask(
        database=str(at.path), home=str(at.folder), key=f"{at.path}.key", busy_timeout_ms=1_000, incremental=False,
        text=thorough, accept=False, signatures=thorough, policy=thorough,
    )  # fmt: skip
    return vote_verification.examine(at.sql, task, None, None, silent)[0]


def flipped(value: Any, kind: str, bit: int) -> Any:
    """A value with one bit changed; where it is null, one of the column's type."""
    if isinstance(value, float) or kind == "REAL":
        packed = int.from_bytes(struct.pack("<d", value or 0.0), "little") ^ 1 << bit % BITS
        return struct.unpack("<d", packed.to_bytes(8, "little"))[0]
    if isinstance(value, int) or kind == "INTEGER":
        return (value or 0) ^ 1 << bit % BITS
    raw = bytearray(value.encode() if isinstance(value, str) else value or b"x")
    # Of text, the bytes that are letters by themselves: it stays text.
    places = [at for at, byte in enumerate(raw) if byte < 0x80 or kind == "BLOB"]
    raw[places[bit // 8 % len(places)]] ^= 1 << bit % (7 if kind == "TEXT" else 8)
    return raw.decode() if kind == "TEXT" else bytes(raw)


def change(at: Attacker, table: str, column: str, row: int, bit: int) -> None:
    """Flip a bit in a row."""
    names: list[Any] = at.sql.execute(f"PRAGMA table_info({table})").fetchall()
    rows: list[Any] = at.sql.execute(f"SELECT * FROM {table}").fetchall()
    chosen = rows[row % len(rows)]
    number, kind = next((name[0], name[2]) for name in names if name[1] == column)
    value = chosen[number]
    if column == "note":
        lines = value.split("\n")
        signed, rest = "\n".join(lines[:SIGNED_LINES]), "\n".join(["", *lines[SIGNED_LINES:]])
        other = flipped(signed, kind, bit) + rest
    else:
        other = flipped(value, kind, bit)
    assume(other != value)
    where = " AND ".join(f"{name[1]} IS ?" for name in names)
    with not_held():
        at.edit(f"UPDATE {table} SET {column} = ? WHERE {where}", bindings=(other, *chosen))


@contextmanager
def not_held() -> Iterator[None]:
    """What no file can hold is no example."""
    try:
        yield
    except (apsw.ConstraintError, apsw.MismatchError):
        reject()


def found(at: Attacker, place: tuple[str, str], row: int, bit: int, *, thorough: bool) -> VoteVerification:
    """The report after one change, which is undone."""
    at.sql.execute("SAVEPOINT changed")
    try:
        change(at, *place, row, bit)
        return verified(at, thorough=thorough)
    finally:
        at.sql.execute("ROLLBACK TO changed; RELEASE changed").fetchall()


@settings(max_examples=300, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.sampled_from(ALL), st.integers(0, 200), st.integers(0, 8 * BYTES))
def test_a_changed_bit_is_found(small: Attacker, place: tuple[str, str], row: int, bit: int) -> None:
    report = found(small, place, row, bit, thorough=True)

    assert (False, 1) == (report.ok, report.exit_code)


@settings(max_examples=100, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.sampled_from(LARGE), st.integers(0, 200), st.integers(0, 8 * BYTES))
def test_a_changed_bit_of_what_is_stored_of_tree_and_batches_is_found(
    large: Attacker, place: tuple[str, str], row: int, bit: int
) -> None:
    report = found(large, place, row, bit, thorough=False)

    assert (False, 1) == (report.ok, report.exit_code)


def test_without_a_change_nothing_is_found(small: Attacker, large: Attacker) -> None:
    assert [] == verified(small, thorough=True).findings == verified(large, thorough=True).findings


@pytest.mark.parametrize("place", [*ALL, *LARGE], ids=".".join)
def test_a_column_that_is_emptied_is_found(small: Attacker, large: Attacker, place: tuple[str, str]) -> None:
    table, column = place
    at = large if place in LARGE else small
    if at.value(f"SELECT 1 FROM {table} WHERE {column} IS NOT NULL") is None:
        return
    at.sql.execute("SAVEPOINT changed")
    try:
        at.edit(f"UPDATE {table} SET {column} = NULL WHERE {column} IS NOT NULL")
    except (apsw.ConstraintError, apsw.MismatchError):
        return  # no file holds that
    else:
        assert not verified(at, thorough=True).ok
    finally:
        at.sql.execute("ROLLBACK TO changed; RELEASE changed").fetchall()


@pytest.mark.parametrize("table", [table for table in COLUMNS | STORED if table != "vote_reason"])
def test_a_row_that_is_taken_away_is_found(small: Attacker, large: Attacker, table: str) -> None:
    at = large if table in STORED else small
    key = ", ".join(str(row[1]) for row in at.sql.execute(f"PRAGMA table_info({table})") if row[5])
    at.sql.execute("SAVEPOINT changed")
    try:
        at.edit(f"DELETE FROM {table} WHERE ({key}) = (SELECT {key} FROM {table} LIMIT 1)")

        assert not verified(at, thorough=True).ok
    finally:
        at.sql.execute("ROLLBACK TO changed; RELEASE changed").fetchall()
