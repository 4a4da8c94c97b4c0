"""Every error Cortex raises on purpose, as one small tree.

    CortexError
    ├── Invalid          the request is wrong; says what was found and what is accepted
    ├── Unauthenticated  no valid credentials
    │   └── BadSignature      a signature that does not fit what it signs
    ├── Forbidden        valid credentials, not allowed
    │   ├── KeyNotValid       a key that is unknown, of another agent, revoked or rotated
    │   └── Locked            the admin key needs its passphrase
    ├── NotFound         nothing there, or nothing the caller may see
    │   └── Forgotten         the fact was erased
    ├── Conflict         the state does not fit the request
    │   ├── RevisionConflict  `if_revision` is not the current revision
    │   ├── Retracted         the fact is not believed any more
    │   ├── IdConflict        an id that stands for something else already
    │   ├── WrongLog          a ballot or event for another log
    │   └── ClockAhead        a time further ahead than a sound clock could be
    ├── TooLarge         over a limit; names the limit
    ├── RateLimited      too many requests
    ├── Corrupt          the file does not hold what it should
    ├── Internal         a fault of ours
    └── Unavailable      could not be done now: locked, full, read-only, newer schema

Each class has a stable `kind` (what programs test), a message that says what was found, and a `hint` that says what to
do. Faces map kinds to exit codes, HTTP statuses and MCP results in one table each.
"""

from typing import ClassVar


class CortexError(Exception):
    """The root. `message` says what was found, `hint` what to do about it (may be empty)."""

    kind: ClassVar[str] = "internal"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class Invalid(CortexError):
    kind = "invalid"


class Unauthenticated(CortexError):
    kind = "unauthenticated"


class BadSignature(Unauthenticated):
    kind = "bad_signature"


class Forbidden(CortexError):
    kind = "forbidden"


class KeyNotValid(Forbidden):
    kind = "key_not_valid"


class Locked(Forbidden):
    kind = "locked"


class NotFound(CortexError):
    kind = "not_found"


class Forgotten(NotFound):
    kind = "forgotten"


class Conflict(CortexError):
    kind = "conflict"


class RevisionConflict(Conflict):
    kind = "revision_conflict"


class Retracted(Conflict):
    kind = "retracted"


class IdConflict(Conflict):
    kind = "id_conflict"


class WrongLog(Conflict):
    kind = "wrong_log"


class ClockAhead(Conflict):
    kind = "clock_ahead"


class TooLarge(CortexError):
    kind = "too_large"


class RateLimited(CortexError):
    kind = "rate_limited"


class Corrupt(CortexError):
    kind = "corrupt"


class Internal(CortexError):
    kind = "internal"


class Unavailable(CortexError):
    """Not now. `retry_after_ms` is a guess at when trying again may help; None when waiting does not help."""

    kind = "unavailable"

    def __init__(self, message: str, hint: str = "", retry_after_ms: int | None = None) -> None:
        super().__init__(message, hint)
        self.retry_after_ms = retry_after_ms


BY_KIND: dict[str, type[CortexError]] = {
    error.kind: error
    for error in (
        Invalid,
        Unauthenticated,
        BadSignature,
        Forbidden,
        KeyNotValid,
        Locked,
        NotFound,
        Forgotten,
        Conflict,
        RevisionConflict,
        Retracted,
        IdConflict,
        WrongLog,
        ClockAhead,
        TooLarge,
        RateLimited,
        Corrupt,
        Internal,
        Unavailable,
    )
}
