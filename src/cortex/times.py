"""Times: one text form, so that they compare as instants. RFC 3339 in, UTC with microseconds and `Z` out."""

import re
from datetime import UTC, datetime

from cortex.errors import Invalid

# The last instant that there is a stored form of.
LAST = "9999-12-31T23:59:59.999999Z"

# Hour 24 is read by some versions of Python and refused by others.
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ]((?!24)\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_STORED = re.compile(r"\d{4}-\d\d-\d\dT(?!24)\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_NAIVE = re.compile(r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?)?", re.ASCII)

DAY_MICROS = 86_400 * 1_000_000

type_hint = "an RFC 3339 time with an offset or Z, such as 2026-03-01T09:00:00Z"


def canonical(value: str | datetime) -> str:
    """The stored form of an instant: 27 characters, `2026-03-01T09:00:00.000000Z`.

    Fractions beyond a microsecond are cut. Raises Invalid for a naive time (no offset), a leap second and anything
    that is not a time.
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise Invalid(f"{value.isoformat()} has no time zone", "give an aware datetime")
        return _render(value)
    matched = _RFC3339.fullmatch(value.strip())
    if matched is None:
        if _NAIVE.fullmatch(value.strip()):
            raise Invalid(f"{value.strip()!r} has no offset", f"give {type_hint}")
        raise Invalid(f"{value[:40]!r} is not a time", f"give {type_hint}")
    date, clock, fraction, offset = matched.groups()
    micros = (fraction or "")[:6].ljust(6, "0")
    try:
        moment = datetime.fromisoformat(f"{date}T{clock}.{micros}{'+00:00' if offset in 'Zz' else offset}")
        return _render(moment)
    except (ValueError, OverflowError) as error:
        raise Invalid(f"{value.strip()!r} is not a time ({error})", f"give {type_hint}") from None


def is_stored(given: str) -> bool:
    """Whether a text is a time in the stored form; what others wrote into a file may be anything."""
    if _STORED.fullmatch(given) is None:
        return False
    try:
        datetime.fromisoformat(given)
    except ValueError:
        return False  # the 30th of February
    return True


def parse(stored: str) -> datetime:
    """The instant of a stored time."""
    return datetime.fromisoformat(stored)


def _render(moment: datetime) -> str:
    try:
        return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError):
        raise Invalid(f"{moment.isoformat()} is outside the years 1 to 9999", f"give {type_hint}") from None


def micros(stored: str) -> int:
    """Microseconds since the Unix epoch."""
    delta = parse(stored) - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def now() -> str:
    """The wall clock."""
    return _render(datetime.now(UTC))
