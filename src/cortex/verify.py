"""Checks a ledger bundle or a proof of Cortex offline; this file needs Python 3.9 or later and nothing else.

    python verify.py PATH [--trust FILE] [--checkpoint NOTE_FILE]... [--json]

Tampering is found relative to what was kept outside PATH: trusted keys (lines of `log <vkey>`), saved checkpoints.
Exit 0 valid, 1 tampered or refused, 3 could not check.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import io
import itertools
import json
import os
import re
import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

LINE_BYTES_MAX, NOTE_BYTES_MAX, FILE_BYTES_MAX = 64 << 10, 32 << 10, 64 << 20
CHECKPOINTS_MAX, FINDINGS_MAX, FILES_MAX, ZIP_RATIO_MAX = 100_000, 100, 1_000, 200
INTEGER_MAX = (1 << 53) - 1
DISCLOSED = "content type tags key source meta confidence valid_from valid_until thread seq".split()

# A leaf in its canonical form (RFC 8785, fixed fields, no control characters) is exactly what this matches.
_TEXT = r'"[^"\\\x00-\x1f\x7f-\x9f]*(?:\\["\\][^"\\\x00-\x1f\x7f-\x9f]*)*"'
_NUMBER = "(0|[1-9][0-9]{0,15})"
_LEAF = re.compile(
    rf'{{"actor":{_TEXT},"batch":{_NUMBER},"batch_n":{_NUMBER},"digest":(null|{_TEXT}),"idx":{_NUMBER},'
    rf'"kind":"(origin|fact|revise|retract|erase|rename|import)","parent":(?:null|{_TEXT}),'
    rf'"prev":"([0-9a-f]{{64}})","project":(?:null|{_TEXT}),"rev":(?:null|{_TEXT}),"subject":(null|{_TEXT}),'
    r'"ts":"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6})Z","v":1}'
)
_NAME = "[^\\s+\x00-\x1f\x7f-\x9f]+"
_VKEY = re.compile(f"({_NAME})\\+([0-9a-f]{{8}})\\+([A-Za-z0-9+/=]+)")
_SIGNATURE = re.compile(f"— ({_NAME}) ([A-Za-z0-9+/=]+)\n")
_BODY = f"(([^\x00-\x1f\x7f-\x9f]+)\n{_NUMBER}\n([A-Za-z0-9+/]{{43}}=)\n)\n"
_NOTE = re.compile(f"{_BODY}((?:— {_NAME} [A-Za-z0-9+/=]+\n){{1,64}})")
_PROOF = re.compile(
    f"c2sp\\.org/tlog-proof@v1\n(?:extra ([A-Za-z0-9+/=]{{1,5464}})\n)?index {_NUMBER}\n"
    "((?:[A-Za-z0-9+/]{43}=\n){0,53})\n(?s:(.+))"
)


class Key(NamedTuple):
    name: str
    key_id: bytes
    public: bytes


class Leaf(NamedTuple):
    batch: tuple[int, int]  # where it begins and how many leaves it has
    digest: str  # as JSON
    idx: int
    prev: str
    ts: str
    key: Key | None  # of the log; in leaf 0


class Note(NamedTuple):
    origin: str
    size: int
    root: bytes
    signed: bytes
    signatures: list[tuple[str, bytes, bytes]]


class Report:
    """What was checked and what was found."""

    def __init__(self) -> None:
        self.origin, self.leaves, self.error = "", 0, ""
        self.notes: list[str] = []
        self.findings: list[dict[str, str]] = []

    @property
    def exit_code(self) -> int:
        return 1 if self.findings else 3 if self.error else 0

    def fail(self, code: str, where: int | str, what: str) -> None:
        self.findings.append({"code": code, "id": str(where), "what": what})
        if len(self.findings) >= FINDINGS_MAX or code == "REFUSED":
            raise ValueError(f"stopped after {len(self.findings)} findings")

    def say(self, what: str, *codes: str) -> None:
        """Note that `what` holds, unless one of `codes` was found; without codes, that it was not checked."""
        if not any(found["code"] in codes for found in self.findings):
            self.notes.append(f"{'ok' if codes else '--'}  {what}")

    def __str__(self) -> str:
        found = ["FAIL {code} id={id} {what}".format(**found) for found in self.findings]
        ends = {0: "valid, as far as the lines above go", 1: f"NOT VALID: {len(found)} findings", 3: "not checked"}
        return "\n".join([*self.notes, *found, ends[self.exit_code] + (f" ({self.error})" if self.error else "")])


# Ed25519 (RFC 8032), strictly: canonical encodings only, S below the group order, no points of small order, and the
# equation without the cofactor. Points are (X, Y, Z, T) with x = X/Z, y = Y/Z, xy = T/Z.
_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D, _I = -121665 * pow(121666, -1, _P) % _P, pow(2, (_P - 1) // 4, _P)
_ZERO = (0, 1, 1, 0)
_Point = tuple[int, int, int, int]


def _add(one: _Point, two: _Point) -> _Point:
    a = (one[1] - one[0]) * (two[1] - two[0]) % _P
    b = (one[1] + one[0]) * (two[1] + two[0]) % _P
    c, d = 2 * _D * one[3] * two[3] % _P, 2 * one[2] * two[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _multiply(point: _Point, scalar: int) -> _Point:
    total = _ZERO
    for bit in f"{scalar:b}":
        total = _add(total, total)
        total = _add(total, point) if bit == "1" else total
    return total


def _decode(encoded: bytes) -> _Point | None:
    value = int.from_bytes(encoded, "little")
    y, sign = value & (1 << 255) - 1, value >> 255
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    x = x if x * x % _P == square else x * _I % _P
    if y >= _P or x * x % _P != square or (x == 0 and sign):
        return None
    x = x if x & 1 == sign else _P - x
    return x, y, 1, x * y % _P


_BASE = _decode((4 * pow(5, -1, _P) % _P).to_bytes(32, "little")) or _ZERO


def verify_ed25519(public: bytes, message: bytes, signature: bytes) -> bool:
    key = _decode(public) if len(public) == 32 and len(signature) == 64 else None
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or scalar >= _ORDER or _multiply(key, 8)[0] == 0:
        return False
    hashed = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % _ORDER
    negated = (_P - key[0], key[1], 1, _P - key[3])
    point = _add(_multiply(_BASE, scalar), _multiply(negated, hashed))
    inverse = pow(point[2], -1, _P)
    x, y = point[0] * inverse % _P, point[1] * inverse % _P
    return _multiply(point, 8)[0] != 0 and signature[:32] == (y | (x & 1) << 255).to_bytes(32, "little")


def _unbase64(text: str) -> bytes:
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise ValueError("base64 in another form than the canonical")
    return raw


def parse_vkey(text: str) -> Key:
    """The key of a `<name>+<key id>+<base64>` text; ValueError if it is not a whole Ed25519 key."""
    matched = _VKEY.fullmatch(text)
    raw = _unbase64(matched[3]) if matched else b""
    key_id = hashlib.sha256(matched[1].encode() + b"\n" + raw).digest()[:4] if matched else b""
    if not matched or len(raw) != 33 or raw[:1] != b"\x01" or key_id.hex() != matched[2]:
        raise ValueError("not a whole Ed25519 verifier key <name>+<key id>+<base64>")
    return Key(matched[1], key_id, raw[1:])


def parse_note(text: str) -> Note:
    """The checkpoint of a signed note (C2SP); ValueError if it is malformed."""
    matched = _NOTE.fullmatch(text) if len(text.encode()) <= NOTE_BYTES_MAX else None
    if matched is None or int(matched[3]) > INTEGER_MAX:
        raise ValueError("not a checkpoint in canonical form")
    signatures = [(name, _unbase64(encoded)) for name, encoded in _SIGNATURE.findall(matched[5])]
    if any(len(raw) <= 4 for _, raw in signatures):
        raise ValueError("a signature line without a signature")
    lines = [(name, raw[:4], raw[4:]) for name, raw in signatures]
    return Note(matched[2], int(matched[3]), _unbase64(matched[4]), matched[1].encode(), lines)


def parse_leaf(line: bytes) -> Leaf | None:
    """The leaf of a line, or None when the line is not exactly what a log writes."""
    try:
        matched = _LEAF.fullmatch(line.decode()) if len(line) <= LINE_BYTES_MAX else None
        if matched is None:
            return None
        first, count, digest, index, kind, prev, subject, ts = matched.groups()
        datetime.fromisoformat(ts)
        key = parse_vkey(subject[1:-1]) if kind == "origin" else None
    except ValueError:
        return None
    batch, idx = (int(first), int(count)), int(index)
    placed = batch[0] <= idx < sum(batch) and max(idx, batch[1]) <= INTEGER_MAX and (idx == 0) == (key is not None)
    return Leaf(batch, digest, idx, prev, ts, key) if placed else None


def check_signatures(note: Note, keys: Iterable[Key]) -> bool | None:
    """Whether keys of the note's log vouch for it: None when none of them signed, False for a bad signature."""
    found = None
    for key, (name, key_id, signature) in itertools.product(keys, note.signatures):
        if key.name == note.origin and (name, key_id) == key[:2]:
            if not verify_ed25519(key.public, note.signed, signature):
                return False
            found = True
    return found


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def _climb(hashed: bytes, index: int, size: int, proof: list[bytes]) -> bytes:
    """The root that an inclusion proof (RFC 9162) leads to; ValueError for one of the wrong length."""
    if size <= 1 or not proof:
        if index or size != 1 or proof:
            raise ValueError("a proof of the wrong length")
        return hashed
    half = 1 << (size - 1).bit_length() - 1
    if index < half:
        return _node(_climb(hashed, index, half, proof[:-1]), proof[-1])
    return _node(proof[-1], _climb(hashed, index - half, size - half, proof[:-1]))


class _Log:
    """What is known of the log from the leaves read so far."""

    def __init__(self, wanted: Iterable[int]) -> None:
        self.wanted, self.roots = frozenset(wanted), {0: hashlib.sha256().digest()}
        self.range: list[bytes] = []
        self.key: Key | None = None
        self.batch: tuple[int, int] | None = None
        self.size, self.next, self.prev, self.ts = 0, 0, "", ""

    def append(self, line: bytes, report: Report) -> None:
        if len(line) > LINE_BYTES_MAX + 1 or line[-1:] != b"\n":
            report.fail("LEAF_FORM", self.next, "the line is too long or has no end")
            raise ValueError("the rest was not read")
        hashed, leaf = hashlib.sha256(b"\0" + line[:-1]).digest(), parse_leaf(line[:-1])
        if leaf is None:
            report.fail("LEAF_FORM", self.next, "not a leaf in canonical form")
            self.next, self.batch = self.next + 1, None
        else:
            self._check(leaf, report)
        self.prev, size = hashed.hex(), self.size
        while size & 1:
            hashed, size = _node(self.range.pop(), hashed), size >> 1
        self.range.append(hashed)
        self.size += 1
        if self.size in self.wanted:
            self.roots[self.size] = functools.reduce(lambda right, left: _node(left, right), self.range[::-1])

    def _check(self, leaf: Leaf, report: Report) -> None:
        if leaf.key and self.size == 0:
            self.key, report.origin = leaf.key, leaf.key.name
            self.prev = hashlib.sha256(leaf.key.name.encode()).hexdigest()
        if leaf.prev != self.prev:
            report.fail("CHAIN_LINK", leaf.idx, "prev is not the hash of the leaf before, or of the origin")
        if leaf.idx != self.next:
            report.fail("GAP", self.next, f"leaf {leaf.idx} stands where leaf {self.next} should")
        elif self.batch not in (None, leaf.batch) and not (leaf.batch[0] == leaf.idx == sum(self.batch or ())):
            report.fail("GAP", leaf.idx, "a torn batch")
        if leaf.ts < self.ts:
            report.fail("TIME_ORDER", leaf.idx, f"{leaf.ts}Z is earlier than the leaf before")
        self.next, self.ts, self.batch = leaf.idx + 1, leaf.ts, leaf.batch


def _vouch(given: Iterable[tuple[Note, bool]], keys: list[Key], roots: dict[int, bytes], report: Report) -> int:
    """Hold checkpoints (of the bundle, or remembered) against the roots; returns the largest size that fits."""
    covered, seen = 0, {}
    for note, remembered in given:
        signed = check_signatures(note, keys)
        if report.origin not in ("", note.origin):
            report.fail("ORIGIN", note.size, "a checkpoint of another log")
        elif signed is False or not (signed or remembered):
            report.fail("CHECKPOINT_SIG", note.size, "a bad signature, or none by a known key")
        elif signed and seen.setdefault(note.size, note.root) != note.root:
            report.fail("SPLIT_VIEW", note.size, "two signed checkpoints of this size have different roots")
        if note.size not in roots:
            report.fail("ROLLBACK" if remembered else "TRUNCATED", note.size, f"the log ends at {report.leaves}")
        elif roots[note.size] != note.root:
            report.fail("HISTORY_REWRITTEN", note.size, "the leaves have another root than the checkpoint")
        covered = max(covered, note.size)
    return covered
