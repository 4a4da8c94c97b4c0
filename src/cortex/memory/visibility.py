"""Which revisions count at a point of the two clocks, as SQL: believed at `known_at`, true at `as_of`."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from cortex import limits, times
from cortex.db.connect import Tx, value


@dataclass(frozen=True)
class View:
    """A point of view. `known_at` None means what is believed now; `as_of` None does not filter by validity.

    `before` is the end of the ledger (log, index) in the snapshot that a later page goes on with: an instant would not
    do, since what changes after the snapshot may bear the same one.
    """

    as_of: str | None
    known_at: str | None = None
    before: tuple[int, int] | None = None

    def condition(self) -> tuple[str, dict[str, Any]]:
        """SQL over a table aliased `r`, and its bindings."""
        known, bindings = self.known("r")
        if self.as_of is None:
            return known, bindings
        later_known, _ = self.known("later")
        slot = (
            "(r.key IS NULL OR NOT EXISTS (SELECT 1 FROM revision AS later WHERE later.project_id = r.project_id "
            f"AND later.key = r.key AND {later_known} AND later.valid_from <= :as_of "
            "AND (later.valid_from, later.rev, later.fact_id) > (r.valid_from, r.rev, r.fact_id)))"
        )
        valid = "r.valid_from <= :as_of AND (r.valid_until IS NULL OR r.valid_until > :as_of)"
        return f"{known} AND {valid} AND {slot}", {**bindings, "as_of": self.as_of}

    def known(self, alias: str) -> tuple[str, dict[str, Any]]:
        """SQL for what is believed at `known_at`, and was in the ledger before `before`."""
        recorded, ended = [], [f"{alias}.retired_at IS NULL"]
        bindings: dict[str, Any] = {}
        if self.known_at is not None:
            recorded.append(f"{alias}.recorded_at <= :known_at")
            ended.append(f"{alias}.retired_at > :known_at")
            bindings["known_at"] = self.known_at
        if self.before is not None:
            recorded.append(f"({alias}.log, {alias}.idx) < (:before_log, :before_idx)")
            ended.append(f"({alias}.retired_log, {alias}.retired_idx) >= (:before_log, :before_idx)")
            bindings |= {"before_log": self.before[0], "before_idx": self.before[1]}
        return " AND ".join([*recorded, f"({' OR '.join(ended)})"]), bindings


def present(tx: Tx, now: str) -> str:
    """The instant that reads take for now: the wall clock, or the file's last entry where that is a little ahead.

    A clock that stepped back, or another process a moment ahead, must not hide what was just stored.
    """
    last = value(tx, "SELECT ts FROM ledger_log WHERE active = 1 AND log = 'transactions'")
    return reached(now, last) if isinstance(last, str) else now


def reached(now: str, last: str) -> str:
    """`last` where it is ahead of `now` by no more than a step of the clock, else `now`."""
    if last > now and times.parse(last) - times.parse(now) <= timedelta(seconds=limits.CLOCK_STEP_SECONDS):
        return last
    return now
