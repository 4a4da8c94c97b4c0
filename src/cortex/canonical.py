"""The only bytes that are hashed: the leaves of the transactions log (RFC 8785) and the digests of facts."""

import hashlib
import hmac
import json
import re
from json.encoder import encode_basestring
from typing import TypedDict

from cortex import limits, times
from cortex.errors import Invalid, TooLarge

VERSION = 1
KINDS = frozenset({"origin", "fact", "revise", "retract", "erase", "rename", "import"})

# The fields of a fact's digest, in the order in which they are hashed. A new field needs a new prefix.
FACT_FIELDS = (
    "content",
    "type",
    "tags",
    "key",
    "source",
    "meta",
    "confidence",
    "valid_from",
    "valid_until",
    "thread",
    "seq",
)

_FACT_PREFIX = b"cortex-fact/v1\n"
_NULL_LENGTH = b"\xff" * 8
_INTEGER_MAX = limits.SEQ_MAX
_HASH = re.compile("[0-9a-f]{64}")
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

# The C escaper writes what RFC 8785 asks for: it escapes quote, backslash and U+0000 to U+001F, nothing else.
_text = encode_basestring

_hint = "take the line as it was exported"


class Leaf(TypedDict):
    """The fields of a leaf, in the order of their bytes."""

    actor: str
    batch: int
    batch_n: int
    digest: str | None
    idx: int
    kind: str
    parent: str | None
    prev: str
    project: str | None
    rev: str | None
    subject: str | None
    ts: str
    v: int


# A leaf as the columns of a row, in the order of Leaf.
Row = tuple[
    str,
    int,
    int,
    str | None,
    int,
    str,
    str | None,
    str,
    str | None,
    str | None,
    str | None,
    str,
    int,
]


def leaf(
    *,
    actor: str,
    batch: int,
    batch_n: int,
    digest: str | None,
    idx: int,
    kind: str,
    parent: str | None,
    prev: str,
    project: str | None,
    rev: str | None,
    subject: str | None,
    ts: str,
    v: int = VERSION,
) -> bytes:
    """The bytes of a leaf to append. Raises Invalid for what is outside the restricted profile."""
    for name, number in (("batch", batch), ("batch_n", batch_n), ("idx", idx), ("v", v)):
        _check_integer(name, number)
    for name, text in (("actor", actor), ("kind", kind), ("prev", prev), ("ts", ts)):
        check_text(name, text)
    nullable = {"digest": digest, "parent": parent, "project": project, "rev": rev, "subject": subject}
    for name, optional in nullable.items():
        if optional is not None:
            check_text(name, optional)
    _check_place(idx, kind, v)
    if not batch <= idx < batch + batch_n:
        raise Invalid(f"leaf {idx} is outside its batch", f"the batch has {batch_n} leaves from {batch}")
    _check_link(prev, ts)
    encoded = encode((actor, batch, batch_n, digest, idx, kind, parent, prev, project, rev, subject, ts, v))
    if len(encoded) > limits.BUNDLE_LINE_BYTES_MAX:
        fits = f"at most {limits.BUNDLE_LINE_BYTES_MAX} fit a line (BUNDLE_LINE_BYTES_MAX)"
        raise TooLarge(f"leaf {idx} takes {len(encoded)} bytes", fits)
    return encoded


def encode(row: Row) -> bytes:
    """The bytes of a stored leaf, without checks: a changed column gives other bytes, and so another hash."""
    actor, batch, batch_n, digest, idx, kind, parent, prev, project, rev, subject, ts, v = row
    return (
        f'{{"actor":{_text(actor)},"batch":{batch},"batch_n":{batch_n}'
        f',"digest":{"null" if digest is None else _text(digest)},"idx":{idx},"kind":{_text(kind)}'
        f',"parent":{"null" if parent is None else _text(parent)},"prev":{_text(prev)}'
        f',"project":{"null" if project is None else _text(project)}'
        f',"rev":{"null" if rev is None else _text(rev)}'
        f',"subject":{"null" if subject is None else _text(subject)},"ts":{_text(ts)},"v":{v}}}'
    ).encode()


def parse_leaf(line: bytes) -> Leaf:
    """The fields of a leaf. Raises Invalid for a line that is not exactly what `leaf` writes for them."""
    if len(line) > limits.BUNDLE_LINE_BYTES_MAX:
        raise Invalid(f"a leaf of {len(line)} bytes", f"at most {limits.BUNDLE_LINE_BYTES_MAX} fit a line")
    try:
        fields: Leaf = json.loads(line.decode())
    except (ValueError, RecursionError):
        raise Invalid("a leaf that is not JSON", _hint) from None
    if not isinstance(fields, dict) or fields.keys() != Leaf.__annotations__.keys():
        raise Invalid("a leaf without exactly the fields of a leaf", _hint)
    if leaf(**fields) != line:
        raise Invalid("a leaf that is not in canonical form", _hint)
    return fields


def origin_link(origin: str) -> str:
    """What the first leaf of a log has as `prev`: the hash of the log's origin."""
    return hashlib.sha256(origin.encode()).hexdigest()


def fact_digest(salt: bytes, fields: tuple[str | None, ...]) -> bytes:
    """HMAC-SHA-256 over the FACT_FIELDS, each with its length, so that no two facts share a digest."""
    if len(fields) != len(FACT_FIELDS):
        raise Invalid(f"{len(fields)} fields in a fact", f"give {', '.join(FACT_FIELDS)}")
    parts = [_FACT_PREFIX]
    for name, field in zip(FACT_FIELDS, fields, strict=True):
        if field is None:
            parts.append(_NULL_LENGTH)
            continue
        try:
            stored = field.encode()
        except UnicodeEncodeError:
            raise Invalid(f"a lone surrogate in {name}", "give text that UTF-8 can hold") from None
        parts += (len(stored).to_bytes(8, "big"), stored)
    return hmac.digest(salt, b"".join(parts), "sha256")


def _check_integer(name: str, number: object) -> None:
    if type(number) is not int or not 0 <= number <= _INTEGER_MAX:
        raise Invalid(f"{name} is {ascii(number)[:40]}", "give an integer from 0 to 2^53 - 1")


def check_text(name: str, text: object) -> None:
    """Raise Invalid for what a leaf may not hold: control characters and lone surrogates."""
    if not isinstance(text, str):
        raise Invalid(f"{name} is {ascii(text)[:40]}", "give text")
    found = _FORBIDDEN.search(text)
    if found is not None:
        raise Invalid(f"U+{ord(found[0]):04X} in {name}", "give text without control characters and lone surrogates")


def _check_place(idx: int, kind: str, v: int) -> None:
    if v != VERSION:
        raise Invalid(f"version {v} of a leaf", f"this program knows version {VERSION}")
    if kind not in KINDS:
        raise Invalid(f"{kind[:40]!r} is no kind of leaf", f"known: {', '.join(sorted(KINDS))}")
    if (idx == 0) != (kind == "origin"):
        raise Invalid(f"leaf {idx} of kind {kind}", "a log begins with its origin, and has one")


def _check_link(prev: str, ts: str) -> None:
    if _HASH.fullmatch(prev) is None:
        raise Invalid(f"prev is {prev[:70]!r}", "give 64 lower case hex digits")
    stored = times.canonical(ts)
    if stored != ts:
        raise Invalid(f"{ts[:40]!r} is not a stored time", f"its stored form is {stored}")
