"""The events of the votes log: their members, their canonical bytes, and who has to sign them. Pure.

Each Struct has its fields in the order of their canonical bytes (RFC 8785), so that encoding one is canonical. What
the members mean is in DESIGN.md.
"""

import hmac
import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct
from nacl.bindings import crypto_sign_open
from nacl.exceptions import CryptoError

from cortex import limits, times
from cortex.errors import BadSignature, Invalid
from cortex.kinds import AGENT_PATTERN
from cortex.trust.policy import Level, Policy

VERSION: Literal[1] = 1
SIGNATURE_BYTES = 64
BALLOT_PREFIX = b"cortex-ballot/v1\n"
EVENT_PREFIX = b"cortex-event/v1\n"
REASON_PREFIX = b"cortex-reason/v1\n"

_FREE = r"[^\x00-\x1f\x7f-\x9f]"

# The forms of an id, and in hex of the salt of a reason.
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
SALT = r"(?:[0-9a-f]{2}){16,64}"

Name = Annotated[str, Meta(pattern=rf"\A{AGENT_PATTERN}\Z")]
Hex = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
EventId = Annotated[str, Meta(pattern=rf"\A{UUID}\Z")]
_Time = Annotated[str, Meta(pattern=r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z\Z")]
_Text = Annotated[str, Meta(pattern=rf"\A{_FREE}{{1,{limits.EVENT_TEXT_CHARS_MAX}}}\Z")]
_Globs = Annotated[
    list[Annotated[str, Meta(pattern=rf"\A{_FREE}{{1,{limits.NAME_CHARS_MAX}}}\Z")]],
    Meta(min_length=1, max_length=limits.KEY_PROJECTS_MAX),
]
_One = Literal[1]
Custody = Literal["agent", "server"]


class Genesis(Struct, frozen=True, forbid_unknown_fields=True):
    at: _Time
    id: EventId
    key: Hex
    log: _Text
    policy: Policy
    v: _One
    vkey: _Text


class AgentRegistered(Struct, frozen=True, forbid_unknown_fields=True):
    admin: Hex | None
    agent: Name
    at: _Time
    custody: Custody
    id: EventId
    key: Hex
    log: _Text
    projects: _Globs
    trust: Level
    v: _One


class KeyChanged(Struct, frozen=True, forbid_unknown_fields=True):
    agent: Name
    at: _Time
    by: Hex
    custody: Custody | None
    id: EventId
    key: Hex
    log: _Text
    op: Literal["add", "rotate", "revoke"]
    projects: _Globs | None
    v: _One


class TrustSet(Struct, frozen=True, forbid_unknown_fields=True):
    agent: Name
    at: _Time
    id: EventId
    key: Hex
    log: _Text
    trust: Literal["untrusted", "standard", "trusted", "revoked"]
    v: _One


class AdminRotated(Struct, frozen=True, forbid_unknown_fields=True):
    at: _Time
    id: EventId
    key: Hex
    log: _Text
    new: Hex
    v: _One


class PolicySet(Struct, frozen=True, forbid_unknown_fields=True):
    at: _Time
    id: EventId
    key: Hex
    log: _Text
    policy: Policy
    v: _One


class FactResolved(Struct, frozen=True, forbid_unknown_fields=True):
    at: _Time
    fact: EventId
    fact_digest: Hex
    id: EventId
    key: Hex
    log: _Text
    reason_digest: Hex | None
    truth: Literal[-1, 0, 1]
    v: _One


class LogRestored(Struct, frozen=True, forbid_unknown_fields=True):
    at: _Time
    id: EventId
    key: Hex
    log: _Text
    root: Hex
    size: Annotated[int, Meta(ge=1, le=limits.SEQ_MAX)]
    v: _One
    vkey: _Text


class Ballot(Struct, frozen=True, forbid_unknown_fields=True):
    """A vote as its agent signs it."""

    agent: Name
    at: _Time
    author: _Text
    fact: EventId
    fact_digest: Hex
    id: EventId
    key: Hex
    log: _Text
    reason_digest: Hex | None
    v: _One
    vote: Literal[-1, 0, 1]


Event = (
    Genesis | AgentRegistered | KeyChanged | TrustSet | AdminRotated | PolicySet | FactResolved | LogRestored | Ballot
)
Kind = Literal["genesis", "agent", "key", "trust", "admin", "policy", "resolve", "restored", "vote"]

KINDS: dict[Kind, type[Event]] = {
    "genesis": Genesis,
    "agent": AgentRegistered,
    "key": KeyChanged,
    "trust": TrustSet,
    "admin": AdminRotated,
    "policy": PolicySet,
    "resolve": FactResolved,
    "restored": LogRestored,
    "vote": Ballot,
}
_KIND_OF: dict[type, Kind] = {struct: kind for kind, struct in KINDS.items()}
_DECODERS = {kind: msgspec.json.Decoder(struct) for kind, struct in KINDS.items()}

encode = msgspec.json.Encoder().encode


class Signed(Struct, frozen=True):
    """An event with its signatures, in the order in which its kind has them."""

    event: Event
    sigs: tuple[bytes, ...]

    @property
    def kind(self) -> Kind:
        return _KIND_OF[type(self.event)]


def kind_of(event: Event) -> Kind:
    return _KIND_OF[type(event)]


def decode(kind: str, given: bytes) -> Event:
    """The event of canonical bytes. Raises Invalid for an unknown kind, and for bytes in any other form."""
    decoder = _DECODERS.get(kind)  # type: ignore[call-overload]
    if decoder is None:
        raise Invalid(f"{kind[:40]!r} is no kind of event", f"known: {', '.join(KINDS)}")
    try:
        event: Event = decoder.decode(given)
        times.parse(event.at)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise Invalid(f"not an event of kind {kind} ({error})", _HINT) from None
    check(event)
    if encode(event) != given:
        raise Invalid(f"an event of kind {kind} that is not in canonical form", _HINT)
    return event


def check(event: Event) -> None:
    """Raise Invalid for what the field types alone do not say."""
    projects = event.projects if isinstance(event, AgentRegistered | KeyChanged) else None
    if projects is not None and projects != sorted(set(projects)):
        raise Invalid(f"the projects {projects} are not sorted, or one is there twice", _HINT)
    if isinstance(event, KeyChanged):
        plain = event.op == "revoke"
        if plain != (event.custody is None) or plain != (event.projects is None):
            raise Invalid(f"a key event {event.op!r} with custody {event.custody}", _HINT)
    if isinstance(event, AgentRegistered) and event.admin is None and event.trust != "untrusted":
        raise Invalid(f"an agent of trust {event.trust} without the admin key", "register it as untrusted")
    _check_text(event)


_SURROGATE = re.compile("[\ud800-\udfff]")
_HINT = "DESIGN.md of cortex.trust has the members and forms of each kind"


def _check_text(event: Event) -> None:
    given = event.author if isinstance(event, Ballot) else event.log
    if _SURROGATE.search(given):
        raise Invalid("a lone surrogate in an event", "give valid Unicode text")


def reason_digest(salt: bytes, reason: str) -> bytes:
    """What binds a reason that is kept elsewhere: HMAC-SHA-256, salted so that it cannot be guessed."""
    return hmac.digest(salt, REASON_PREFIX + reason.encode(), "sha256")


def message(event: Event, encoded: bytes | None = None) -> bytes:
    """The bytes that are signed."""
    encoded = encode(event) if encoded is None else encoded
    if isinstance(event, Ballot):
        return BALLOT_PREFIX + encoded
    return EVENT_PREFIX + kind_of(event).encode() + b"\n" + encoded


def signers(event: Event) -> tuple[str, ...]:
    """The public keys (hex) that have to sign an event, in the order of its signatures."""
    match event:
        case AgentRegistered(admin=str() as admin):
            return (event.key, admin)
        case KeyChanged(op="revoke"):
            return (event.by,)
        case KeyChanged():
            return (event.by, event.key)
        case AdminRotated():
            return (event.key, event.new)
        case _:
            return (event.key,)


def verify(signed: Signed, encoded: bytes | None = None) -> None:
    """Raise BadSignature unless each signature is by its key. Whether a key may sign is for the log to say."""
    wanted = signers(signed.event)
    if len(wanted) != len(signed.sigs):
        raise BadSignature(f"{len(signed.sigs)} signatures where there should be {len(wanted)}", _SIGN)
    told = message(signed.event, encoded)
    for public, signature in zip(wanted, signed.sigs, strict=True):
        if not signature_holds(bytes.fromhex(public), told, signature):
            raise BadSignature(f"the signature by {public[:16]}… does not fit the event", _SIGN)


_SIGN = "sign the canonical bytes, with the prefix, as docs/votes.md says"


def signature_holds(public: bytes, told: bytes, signature: bytes) -> bool:
    """Whether an Ed25519 signature is good, by libsodium's strict rules."""
    if len(signature) != SIGNATURE_BYTES:
        return False
    try:
        crypto_sign_open(signature + told, public)
    except (CryptoError, ValueError):
        return False
    return True
