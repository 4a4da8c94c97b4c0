"""Which revisions count at a point of the two clocks, as SQL: believed at `known_at`, true at `as_of`."""

from dataclasses import dataclass
from datetime import timedelta

from cortex import limits, times
from cortex.db.connect import Tx, value


@dataclass(frozen=True)
class View:
    """A point of view. `known_at` None means what is believed now; `as_of` None does not filter by validity."""

    as_of: str | None
    known_at: str | None = None

    def condition(self) -> tuple[str, dict[str, str]]:
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

    def known(self, alias: str) -> tuple[str, dict[str, str]]:
        """SQL for what is believed at `known_at`."""
        if self.known_at is None:
            return f"{alias}.retired_at IS NULL", {}
        return (
            f"{alias}.recorded_at <= :known_at AND ({alias}.retired_at IS NULL OR {alias}.retired_at > :known_at)",
            {"known_at": self.known_at},
        )


def present(tx: Tx, now: str) -> str:
    """The instant that reads take for now: the wall clock, or the file's last entry where that is a little ahead.

    A clock that stepped back, or another process a moment ahead, must not hide what was just stored.
    """
    last = value(tx, "SELECT ts FROM ledger_log WHERE active = 1 AND log = 'transactions'")
    if isinstance(last, str) and last > now:
        ahead = times.parse(last) - times.parse(now)
        if ahead <= timedelta(seconds=limits.CLOCK_STEP_SECONDS):
            return last
    return now
