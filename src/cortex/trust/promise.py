"""The log's signed promise, given before a vote is sealed: from index and leaf hash on, every tree must hold it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from cortex import limits
from cortex.errors import Corrupt, Invalid
from cortex.ledger import checkpoint as notes
from cortex.ledger.checkpoint import Signer

_HASH_BYTES = 32
_TEXT = re.compile("cortex-promise/v1\n([!-~]{1,256})\n(0|[1-9][0-9]{0,15})\n([A-Za-z0-9+/]{43}=)\n")

_hint = "take the promise as the log gave it"


@dataclass(frozen=True, slots=True)
class Promise:
    """The leaf with this hash is, or will be, the one at `idx`: every checkpoint of a larger size must contain it."""

    origin: str
    idx: int
    leaf_hash: bytes


def sign(origin: str, idx: int, leaf_hash: bytes, signer: Signer) -> str:
    """The promise as a note signed by a key of the log. Raises Invalid for what `parse` would refuse."""
    promise = Promise(origin, idx, leaf_hash)
    text = _body(promise)
    try:
        well_formed = _parse_body(text) == promise
    except Corrupt as error:
        raise Invalid(error.message, "promise an index, and a hash of 32 bytes, of a log") from None
    assert well_formed, "a text reads back as the promise that it was made of"
    return notes.sign_text(text, signer)


def parse(note: str) -> Promise:
    """What a note promises, not verified. Raises Corrupt unless it is in the form that `sign` writes."""
    text, _ = notes.split_note(note)
    return _parse_body(text)


def verify(note: str, vkeys: Iterable[str], origin: str | None = None) -> Promise:
    """What a note signed by one of `vkeys` promises; with `origin`, only of that log. Raises Corrupt."""
    promise = _parse_body(notes.verify_text(note, vkeys))
    if origin is not None and promise.origin != origin:
        raise Corrupt(f"a promise of {promise.origin}, not of {origin}", "give the promise of this log")
    return promise


def _body(promise: Promise) -> str:
    return f"cortex-promise/v1\n{promise.origin}\n{promise.idx}\n{notes.encode_base64(promise.leaf_hash)}\n"


def _parse_body(text: str) -> Promise:
    matched = _TEXT.fullmatch(text)
    if matched is None:
        raise Corrupt("a text that is not a promise of an origin, an index and a leaf hash", _hint)
    idx, leaf_hash = int(matched[2]), notes.decode_base64(matched[3])
    if idx > limits.SEQ_MAX or len(leaf_hash) != _HASH_BYTES:
        raise Corrupt(f"a promise for leaf {idx} with a hash of {len(leaf_hash)} bytes", _hint)
    return Promise(matched[1], idx, leaf_hash)
