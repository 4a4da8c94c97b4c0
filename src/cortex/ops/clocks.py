"""What a node believes of clocks: its own one, and those of machines that signed elsewhere."""

from cortex import limits, times
from cortex.errors import ClockAhead

_AHEAD_MICROS = limits.CLOCK_AHEAD_SECONDS * 1_000_000


def check_sane(at: str) -> None:
    """Raise ClockAhead where the clock of this machine cannot be right: what it once said in a log stays said."""
    if at >= limits.CLOCK_END:
        year = limits.CLOCK_END[:4]
        raise ClockAhead(f"it is {at} by the clock", f"set the clock of this machine: none is believed from {year} on")


def check_ahead(at: str, now: str, what: str) -> None:
    """Raise ClockAhead for the time of what was signed elsewhere, if it is too far ahead of ours."""
    if times.micros(at) - times.micros(now) > _AHEAD_MICROS:
        raise ClockAhead(
            f"the {what} is of {at}, here it is {now}",
            f"set the clock that signed it: {limits.CLOCK_AHEAD_SECONDS} seconds ahead are taken",
        )
