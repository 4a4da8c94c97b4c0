"""Checkpoints: a log's origin, size and root as an Ed25519 note (C2SP signed-note, tlog-checkpoint)."""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from nacl.exceptions import CryptoError
from nacl.signing import SigningKey, VerifyKey

from cortex import limits
from cortex.errors import Corrupt, Invalid

SEED_BYTES = 32

# What a key is for: the byte before the public key in the texts of signed-note. A log signs the text of its notes,
# a witness a time and the text (tlog-cosignature).
LOG = 1
WITNESS = 4

_PUBLIC_BYTES = 32
_SIGNATURE_BYTES = 64
_ROOT_BYTES = 32
_KEY_ID_BYTES = 4

_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f]")
_KEY_NAME = re.compile("[^\\s+\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_BODY = re.compile("([^\n]+)\n(0|[1-9][0-9]{0,15})\n([A-Za-z0-9+/=]+)\n")
_SIGNATURE = re.compile(f"— ({_KEY_NAME.pattern}) ([A-Za-z0-9+/=]+)")
_VKEY = re.compile(f"({_KEY_NAME.pattern})\\+([0-9a-f]{{8}})\\+([A-Za-z0-9+/=]+)")

_hint = "take the text as the log or the witness gave it"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says of itself: these leaves, this root."""

    origin: str
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line of a note."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Key:
    """A public key under a name; the two together are who signs. `kind` is LOG or WITNESS."""

    name: str
    public: bytes
    kind: int = LOG

    @property
    def key_id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + self._typed).digest()[:_KEY_ID_BYTES]

    @property
    def _typed(self) -> bytes:
        return bytes([self.kind]) + self.public

    @property
    def vkey(self) -> str:
        """The key as policies and leaf 0 write it."""
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(self._typed)}"


@dataclass(frozen=True, slots=True)
class Signer:
    """A name and the seed of its Ed25519 key. The name of a log's key is the log's origin."""

    name: str
    seed: bytes

    def __post_init__(self) -> None:
        if _KEY_NAME.fullmatch(self.name) is None:
            raise Invalid(f"{ascii(self.name)[:80]} is no name of a key", "leave out spaces, plus signs and controls")
        if len(self.seed) != SEED_BYTES:
            raise Invalid(f"a seed of {len(self.seed)} bytes", f"give {SEED_BYTES}")

    def __repr__(self) -> str:
        return f"Signer({self.name!r})"

    @property
    def key(self) -> Key:
        return Key(self.name, bytes(SigningKey(self.seed).verify_key))

    @property
    def vkey(self) -> str:
        return self.key.vkey


def parse_vkey(vkey: str, kind: int = LOG) -> Key:
    """The key of a `<name>+<hex key id>+<base64>` text. Raises Invalid if it is not an Ed25519 key of this kind."""
    matched = _VKEY.fullmatch(vkey)
    if matched is None:
        raise Invalid(f"{ascii(vkey)[:80]} is no verifier key", "the form is <name>+<key id>+<base64>")
    name, key_id, encoded = matched.groups()
    try:
        raw = decode_base64(encoded)
        key = Key(name, raw[1:], kind)
        named = key.key_id.hex()
    except Corrupt:
        raise Invalid(f"{ascii(vkey)[:80]} is no verifier key", "its base64 is damaged") from None
    if raw[:1] != bytes([kind]) or len(key.public) != _PUBLIC_BYTES:
        whose = "witness" if kind == WITNESS else "log"
        raise Invalid(f"the key of {name} is not an Ed25519 {whose} key", f"give a key of type {kind}")
    if named != key_id:
        raise Invalid(f"the key of {name} has the id {named}, not {key_id}", "copy the whole verifier key again")
    return key


def body(checkpoint: Checkpoint) -> str:
    """The text that is signed."""
    return f"{checkpoint.origin}\n{checkpoint.size}\n{encode_base64(checkpoint.root)}\n"


def sign(checkpoint: Checkpoint, signer: Signer) -> str:
    """The checkpoint as a note signed by `signer`."""
    text = body(checkpoint)
    try:
        well_formed = _parse_body(text) == checkpoint
    except Corrupt as error:
        raise Invalid(error.message, "sign an origin of one line, a size and a root of 32 bytes") from None
    assert well_formed, "a body reads back as the checkpoint that it was made of"
    return sign_text(text, signer)


def sign_text(text: str, signer: Signer) -> str:
    """Any text that ends in a newline as a signed note."""
    signature = SigningKey(signer.seed).sign(text.encode()).signature
    return f"{text}\n— {signer.name} {encode_base64(signer.key.key_id + signature)}\n"


def parse(note: str) -> tuple[Checkpoint, tuple[Signature, ...]]:
    """The checkpoint and the signature lines of a note, not verified. Raises Corrupt if malformed."""
    text, signatures = split_note(note)
    return _parse_body(text), signatures


def verify(note: str, vkeys: Iterable[str], threshold: int = 1, origin: str | None = None) -> Checkpoint:
    """The checkpoint of a note that `threshold` different keys of `vkeys` have signed; else raises Corrupt.

    Lines of unknown keys are passed over, a bad signature of a known key fails the note. With `origin`, a
    checkpoint of any other log fails too.
    """
    checkpoint = _parse_body(verify_text(note, vkeys, threshold))
    if origin is not None and checkpoint.origin != origin:
        raise Corrupt(f"a checkpoint of {checkpoint.origin}, not of {origin}", "give the checkpoint of this log")
    return checkpoint


def verify_text(note: str, vkeys: Iterable[str], threshold: int = 1) -> str:
    """The text of a note that `threshold` different keys of `vkeys` have signed; else raises Corrupt."""
    if threshold < 1:
        raise Invalid(f"a threshold of {threshold}", "ask for at least one signature")
    keys = [parse_vkey(vkey) for vkey in vkeys]
    text, signatures = split_note(note)
    signed = text.encode()
    # Counted by key and not by name, or one key under two names would make a quorum.
    good: set[bytes] = set()
    for line in signatures:
        for key in keys:
            if (key.name, key.key_id) == (line.name, line.key_id):
                verify_signature(key, signed, line.signature)
                good.add(key.public)
    if len(good) < threshold:
        raise Corrupt(
            f"{len(good)} of {threshold} signatures by known keys",
            "give the keys of the log, or a note they signed",
        )
    return text


def split_note(note: str) -> tuple[str, tuple[Signature, ...]]:
    """The signed text, its newline included, and the signature lines of a note; Corrupt if malformed."""
    _check_characters(note)
    # The text may hold empty lines: the last one in the note is the one before the signatures.
    text, blank, lines = note.rpartition("\n\n")
    if not text or not blank or not lines.endswith("\n"):
        raise Corrupt("a note without a text, an empty line and signatures that end in a newline", _hint)
    signatures = tuple(parse_signature(line) for line in lines[:-1].split("\n"))
    if len(signatures) > limits.NOTE_SIGNATURES_MAX:
        raise Corrupt(f"a note with {len(signatures)} signatures", f"at most {limits.NOTE_SIGNATURES_MAX} are read")
    return text + "\n", signatures


def encode_base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def decode_base64(text: str) -> bytes:
    """The bytes of a base64 text. Raises Corrupt unless it is the one text that encodes them."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Corrupt(f"{ascii(text)[:80]} is not base64", _hint) from None
    if encode_base64(raw) != text:
        raise Corrupt(f"{ascii(text)[:80]} is not canonical base64", _hint)
    return raw


def _check_characters(note: str) -> None:
    try:
        size = len(note.encode())
    except UnicodeEncodeError:
        raise Corrupt("a lone surrogate in a note", _hint) from None
    if size > limits.NOTE_BYTES_MAX:
        raise Corrupt(f"a note of {size} bytes", f"at most {limits.NOTE_BYTES_MAX} are read")
    found = _CONTROL.search(note)
    if found is not None:
        raise Corrupt(f"U+{ord(found[0]):04X} in a note", _hint)


def parse_signature(line: str) -> Signature:
    """One signature line without its newline. Raises Corrupt if malformed."""
    matched = _SIGNATURE.fullmatch(line)
    if matched is None:
        raise Corrupt(f"{ascii(line)[:80]} is no signature line", _hint)
    raw = decode_base64(matched[2])
    if len(raw) <= _KEY_ID_BYTES:
        raise Corrupt(f"a signature of {len(raw)} bytes by {matched[1]}", _hint)
    return Signature(matched[1], raw[:_KEY_ID_BYTES], raw[_KEY_ID_BYTES:])


def _parse_body(text: str) -> Checkpoint:
    matched = _BODY.fullmatch(text)
    if matched is None:
        raise Corrupt("a note that is not an origin, a size and a root", "extension lines are not accepted")
    _check_characters(matched[1])
    size, root = int(matched[2]), decode_base64(matched[3])
    if size > limits.SEQ_MAX or len(root) != _ROOT_BYTES:
        raise Corrupt(f"a checkpoint of size {size} with a root of {len(root)} bytes", _hint)
    return Checkpoint(matched[1], size, root)


def verify_signature(key: Key, signed: bytes, signature: bytes) -> None:
    """Raises Corrupt unless `signature` is that of `key` over `signed`."""
    if len(signature) != _SIGNATURE_BYTES:
        raise Corrupt(f"a signature of {len(signature)} bytes by {key.name}", _hint)
    try:
        VerifyKey(key.public).verify(signed, signature)
    except CryptoError:
        raise Corrupt(f"a bad signature by {key.name}", "do not trust what this note says") from None
