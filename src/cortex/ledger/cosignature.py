"""Cosignatures: what a witness signs to say when it saw a checkpoint (C2SP tlog-cosignature, Ed25519 v1)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from nacl.signing import SigningKey

from cortex import limits
from cortex.errors import Corrupt, Invalid
from cortex.ledger import checkpoint as checkpoints
from cortex.ledger.checkpoint import WITNESS, Key, Signature, Signer

_TIME_BYTES = 8
_TIME_MAX = (1 << 63) - 1
_NEWLINES = re.compile("[\r\n]")


@dataclass(frozen=True, slots=True)
class WitnessSigner:
    """A witness's name and the seed of its Ed25519 key.

    The signed message does not hold the name, so a key must not be used under two.
    """

    name: str
    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        Signer(self.name, self.seed)  # the rules for names and seeds are the same

    @property
    def key(self) -> Key:
        return Key(self.name, bytes(SigningKey(self.seed).verify_key), WITNESS)

    @property
    def vkey(self) -> str:
        return self.key.vkey


def parse_witness_vkey(text: str) -> Key:
    """The key of a witness from its `<name>+<hex key id>+<base64>` text. Raises Invalid for any other key."""
    return checkpoints.parse_vkey(text, WITNESS)


def cosign(note: str, signer: WitnessSigner, at_seconds: int) -> str:
    """The signature line, newline included, by which `signer` says that it saw this checkpoint at that time.

    Only the note's form is looked at: what a witness has to check before it signs is not known here.
    """
    if not 0 <= at_seconds <= _TIME_MAX:
        raise Invalid(f"a cosignature of second {at_seconds}", "give seconds since 1970")
    checkpoints.parse(note)
    text, _ = checkpoints.split_note(note)
    signature = SigningKey(signer.seed).sign(_message(text, at_seconds)).signature
    raw = signer.key.key_id + at_seconds.to_bytes(_TIME_BYTES, "big") + signature
    return f"— {signer.name} {checkpoints.encode_base64(raw)}\n"


def cosigned_at(note: str, vkey: str) -> int | None:
    """When the witness saw this checkpoint, in seconds since 1970; None where it did not cosign the note.

    Of several times the first. Raises Corrupt where one of its lines is bad, whatever the others are.
    """
    key = parse_witness_vkey(vkey)
    checkpoints.parse(note)
    text, signatures = checkpoints.split_note(note)
    times = [_verified(text, line, key) for line in signatures if (line.name, line.key_id) == (key.name, key.key_id)]
    return min(times, default=None)


def verify_cosignature(note: str, vkey: str) -> int:
    """When the witness saw this checkpoint; raises Corrupt unless it cosigned the note."""
    at = cosigned_at(note, vkey)
    if at is None:
        raise Corrupt(
            f"no cosignature by {parse_witness_vkey(vkey).name}", "ask the witness for one, or give the key it has now"
        )
    return at


def add_lines(note: str, lines: Iterable[str]) -> str:
    """The note with these signature lines added, each with or without its newline. Raises Corrupt for a malformed one.

    One line per key is kept, the one that was there first: an earlier time says more. Nothing is verified.
    """
    _, signatures = checkpoints.split_note(note)
    seen = {(line.name, line.key_id) for line in signatures}
    added = []
    for given in lines:
        line = given.removesuffix("\n")
        if _NEWLINES.search(line):
            raise Corrupt(f"{ascii(given)[:80]} is not one signature line", "give one line at a time")
        found = checkpoints.parse_signature(line)
        if (found.name, found.key_id) not in seen:
            seen.add((found.name, found.key_id))
            added.append(f"{line}\n")
        if len(added) > limits.NOTE_SIGNATURES_MAX:
            break  # the check below refuses the note
    extended = note + "".join(added)
    checkpoints.split_note(extended)
    return extended


def _verified(text: str, line: Signature, key: Key) -> int:
    at = int.from_bytes(line.signature[:_TIME_BYTES], "big")
    if at > _TIME_MAX:
        raise Corrupt(f"a cosignature of second {at} by {key.name}", "do not trust what this note says")
    checkpoints.verify_signature(key, _message(text, at), line.signature[_TIME_BYTES:])
    return at


def _message(text: str, at_seconds: int) -> bytes:
    return f"cosignature/v1\ntime {at_seconds}\n{text}".encode()
