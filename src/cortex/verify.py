"""Checks a ledger bundle or a proof of Cortex offline; this file needs Python 3.9 or later and nothing else.

    python verify.py PATH [--trust FILE] [--checkpoint NOTE_FILE]... [--receipts FILE]... [--verdicts] [--json]

Tampering is found relative to what was kept outside PATH: trusted keys, saved checkpoints (a note, or the file of a
witness with a line {"note": ...} for each), an agent's receipts. `id` in findings is the index of a leaf. A trust
file has lines of `log <vkey> [url]`, `genesis <hash of leaf 0>`, `threshold <k>` and, as in C2SP tlog-policy, `witness
<name> <vkey> [url]`, `group <name> <any|all|k> <member>...`, `quorum <name|none>`.
Exit 0 valid, 1 tampered or refused, 3 could not check.
"""

from __future__ import annotations

import argparse
import base64
import concurrent.futures
import hashlib
import heapq
import hmac
import importlib
import itertools
import json
import os
import re
import stat
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from datetime import datetime
from decimal import MAX_EMAX, MIN_EMIN, ROUND_HALF_EVEN, Context, Decimal, localcontext
from functools import lru_cache, partial, reduce
from pathlib import Path
from typing import IO, Any, NamedTuple

LINE_BYTES_MAX, NOTE_BYTES_MAX, FILE_BYTES_MAX, SHOWN_CHARS_MAX = 64 << 10, 32 << 10, 64 << 20, 1_000
CHECKPOINTS_MAX, FINDINGS_MAX, FILES_MAX, ZIP_RATIO_MAX, INTEGER_MAX = 100_000, 100, 1_000, 200, (1 << 53) - 1
RECEIPT_BYTES_MAX, TRUST_NAMES_MAX, TEXT_CHARS_MAX, JUMP_DAYS, JOBS_MAX = 512 << 10, 256, 256, 30, 64
RECEIPTS_MAX = 1_000_000
DISCLOSED = ["content", "type", "tags", "key", "source", "meta"]
DISCLOSED += ["confidence", "valid_from", "valid_until", "thread", "seq"]
MEMBERS = {"cortex-ledger/v1": ["log", "leaves", "checkpoints"], "cortex-proof/v1": ["leaf", "proof", "disclosure"]}
_json = partial(json.loads, object_pairs_hook=tuple)  # a dict would keep one of two members of a name
_PLAIN = (ValueError, json.JSONDecodeError, zipfile.BadZipFile, zlib.error)  # what exactly these say is for people
_ERRORS = (*_PLAIN, OSError, EOFError, RuntimeError, ArithmeticError, TypeError, LookupError, AttributeError)

# A leaf in its canonical form (RFC 8785, fixed fields, no control characters) is exactly what this matches.
_TEXT = r'"[^"\\\x00-\x1f\x7f-\x9f]*(?:\\["\\][^"\\\x00-\x1f\x7f-\x9f]*)*"'
_NUMBER = "(0|[1-9][0-9]{0,15})"
# Python 3.14 reads 24:00 too.
_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}\.[0-9]{6}"
_LEAF = re.compile(
    rf'{{"actor":{_TEXT},"batch":{_NUMBER},"batch_n":{_NUMBER},"digest":(null|{_TEXT}),"idx":{_NUMBER},'
    rf'"kind":"(origin|fact|revise|retract|erase|rename|import)","parent":(?:null|{_TEXT}),'
    rf'"prev":"([0-9a-f]{{64}})","project":(?:null|{_TEXT}),"rev":(?:null|{_TEXT}),"subject":(null|{_TEXT}),'
    rf'"ts":"({_TIME})Z","v":1}}'
)
_NAME = "[^\\s+\x00-\x1f\x7f-\x9f]+"
_SIGNATURE = f"— ({_NAME}) ([A-Za-z0-9+/]{{7,}}={{0,2}})\n"
_BODY = f"([^\x00-\x1f\x7f-\x9f]+)\n{_NUMBER}\n([A-Za-z0-9+/]{{43}}=)\n"
_PROMISE = f"cortex-promise/v1\n{_BODY}"
_HASHES = "((?:[A-Za-z0-9+/]{43}=\n){0,53})"
_PROOF = f"c2sp\\.org/tlog-proof@v1\n(?:extra ([A-Za-z0-9+/=]{{1,5464}})\n)?index {_NUMBER}\n{_HASHES}\n(?s:(.+))"

Key = tuple[str, bytes, bytes]  # name, key id, and the public key or a signature by it
Keys = list[tuple[int, Key]]  # each from the size of a log on
Leaf = tuple[tuple[int, int], str, int, str, str, Any]  # batch, digest as JSON, idx, prev, ts, in leaf 0 the log's key
Row = dict[str, Any]  # an object of a votes leaf
Place = tuple[int, str, str]  # idx, prev, ts


class Note(NamedTuple):
    origin: str
    size: int
    root: bytes
    signed: bytes
    signatures: list[Key]


def _need(good: object, what: str) -> None:
    if not good:
        raise ValueError(what)


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'s' * (count != 1)}"


class Report:
    def __init__(self) -> None:
        self.origin, self.leaves, self.error = "", 0, ""
        self.notes, self.disclosed, self.findings = list[str](), dict[str, Any](), list[dict[str, str]]()
        self.verdicts, self.agents = list[Row](), list[Row]()

    @property
    def exit_code(self) -> int:
        return 1 if self.findings else 3 if self.error else 0

    def fail(self, code: str, where: int | str, what: str, unless: object = None) -> None:
        if not unless:
            self.findings.append({"code": code, "id": str(where), "what": what})
            count = len(self.findings)
            _need(count < FINDINGS_MAX and code != "REFUSED", f"stopped after {count} findings")

    def say(self, what: str, mark: str = "ok") -> None:
        if not self.findings:
            self.notes.append(f"{mark}  {what}")

    def __str__(self) -> str:
        found = ["FAIL {code} id={id} {what}".format(**found) for found in self.findings]
        counted = [f"verdict {json.dumps(row)}" for row in self.verdicts]
        counted += [f"agent {json.dumps(row)}" for row in self.agents]
        ends = {
            0: "valid, as far as the lines above go",
            1: f"NOT VALID: {_many(len(found), 'finding')}",
            3: "not checked",
        }
        end = ends[self.exit_code] + (f" ({self.error})" if self.error else "")
        return "\n".join([*self.notes, *counted, *found, end])


# Ed25519 (RFC 8032), strictly: canonical encodings only, S below the group order, no points of small order, and the
# equation without the cofactor. Points are (X, Y, Z, T) with x = X/Z, y = Y/Z, xy = T/Z. Points to be added often are
# kept as (y + x, y - x, 2dxy), which takes a multiplication less.
_P, _ORDER = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
_D, _I = -121665 * pow(121666, -1, _P) % _P, pow(2, (_P - 1) // 4, _P)
_Point = tuple[int, int, int, int]
_Table = list[list[tuple[int, int, int]]]
# A key that signs so often gets a table that spares the doublings (8 ms and 400 KiB each), if it is among the first.
_OFTEN, _TABLES_MAX, _KEY_BITS, _BASE_BITS = 20, 64, 5, 6


def _add(one: _Point, two: _Point) -> _Point:
    a, b = (one[1] - one[0]) * (two[1] - two[0]) % _P, (one[1] + one[0]) * (two[1] + two[0]) % _P
    c, d = 2 * _D * one[3] * two[3] % _P, 2 * one[2] * two[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _multiply(point: _Point, scalar: int) -> _Point:
    total: _Point = (0, 1, 1, 0)
    for bit in f"{scalar:b}":
        total = _add(total, total) if bit == "0" else _add(_add(total, total), point)
    return total


def _decode(encoded: bytes) -> _Point | None:
    sign, y = divmod(int.from_bytes(encoded, "little"), 1 << 255)
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    x = x if x * x % _P == square else x * _I % _P
    if y >= _P or x * x % _P != square or (x == 0 and sign):
        return None
    x = x if x & 1 == sign else _P - x
    return x, y, 1, x * y % _P


def _table(point: _Point, bits: int, places: int) -> _Table:
    """For each place of a scalar, of so many bits, the multiples of the point that a digit there stands for."""
    points, products, kept, width = list[_Point](), [1], list[tuple[int, int, int]](), (1 << bits) - 1
    for _ in range(places):
        multiple = point
        for _ in range(width):
            points.append(multiple)
            products.append(products[-1] * multiple[2] % _P)
            multiple = _add(multiple, point)
        point = multiple
    inverse = pow(products.pop(), -1, _P)  # one inversion serves all points (Montgomery)
    while points:
        x, y, z, _ = points.pop()
        own, inverse = inverse * products.pop() % _P, inverse * z % _P
        x, y = x * own % _P, y * own % _P
        kept.append(((y + x) % _P, (y - x) % _P, 2 * _D * x * y % _P))
    return [kept[at - width : at][::-1] for at in range(len(kept), 0, -width)]


def _add_multiple(point: _Point, table: _Table, scalar: int) -> _Point:
    """The point and so many times that of a table."""
    x, y, z, t = point
    mask = len(table[0])
    bits = mask.bit_length()
    for row in table:
        digit = scalar & mask
        scalar >>= bits
        if digit:
            plus, minus, twice = row[digit - 1]
            a, b, c, d = (y - x) * minus, (y + x) * plus, t * twice, 2 * z
            e, f, g, h = (b - a) % _P, (d - c) % _P, (d + c) % _P, (b + a) % _P
            x, y, z, t = e * f % _P, g * h % _P, f * g % _P, e * h % _P
    return x, y, z, t


def _times(table: _Table, scalar: int) -> _Point:
    """So many times the point of a table of one place of four bits."""
    x, y, z, t = 0, 1, 1, 0
    for digit in f"{scalar:x}":
        for _ in range(4):
            a, b, s = x * x % _P, y * y % _P, x + y
            h, g = a + b, a - b
            e, f = h - s * s % _P, 2 * z * z % _P + g
            x, y, z = e * f % _P, g * h % _P, f * g % _P
        x, y, z, t = _add_multiple((x, y, z, e * h % _P), table, int(digit, 16))
    return x, y, z, t


class _Public:
    """A public key, negated, with what makes it quick to multiply."""

    tables = 0

    def __init__(self, point: _Point) -> None:
        self.point, self.uses, self.table = point, 0, _table(point, 4, 1)

    def times(self, scalar: int) -> _Point:
        self.uses += 1
        if self.uses == _OFTEN and _Public.tables < _TABLES_MAX:
            _Public.tables += 1
            self.table = _table(self.point, _KEY_BITS, -(-253 // _KEY_BITS))
        return _add_multiple((0, 1, 1, 0), self.table, scalar) if len(self.table) > 1 else _times(self.table, scalar)


@lru_cache(maxsize=2048)
def _public(encoded: bytes) -> _Public | None:
    """The key of 32 bytes; None for what is no point in canonical form, or one of small order."""
    negated = _decode(encoded[:31] + bytes([encoded[31] ^ 128]))
    return None if negated is None or _multiply(negated, 8)[0] == 0 else _Public(negated)


@lru_cache(maxsize=1)
def _base() -> _Table:
    point = _decode(b"\x58" + b"\x66" * 31)
    return _table(point, _BASE_BITS, -(-253 // _BASE_BITS)) if point else []


def verify_ed25519(public: bytes, message: bytes, signature: bytes) -> bool:
    key = _public(public) if (len(public), len(signature)) == (32, 64) else None
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or scalar >= _ORDER:
        return False
    hashed = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % _ORDER
    point = _add_multiple(key.times(hashed), _base(), scalar)
    inverse = pow(point[2], -1, _P)
    x, y = point[0] * inverse % _P, point[1] * inverse % _P
    return signature[:32] == (y | (x & 1) << 255).to_bytes(32, "little") and _multiply(point, 8)[0] != 0


class _Signatures:
    """Signatures of leaves, checked many at a time: by other processes where there are enough to be worth it."""

    MANY, ENOUGH = 8_192, 2_048

    def __init__(self, jobs: int, report: Report) -> None:
        self.jobs, self.report, self.pool, self.count = min(jobs, JOBS_MAX), report, ExitStack(), 0
        self.map: Callable[..., Iterable[bool]] = map
        self.places, self.columns = list[tuple[str, int]](), (list[bytes](), list[bytes](), list[bytes]())

    def add(self, code: str, where: int, public: bytes, message: bytes, signature: bytes) -> None:
        self.places.append((code, where))
        for column, value in enumerate((public, message, signature)):
            self.columns[column].append(value)
        if len(self.places) >= self.MANY:
            self.check()

    def check(self) -> None:
        if self.jobs > 1 and self.map is map and len(self.places) >= self.ENOUGH:
            self._start()
        try:
            good = list(self.map(verify_ed25519, *self.columns))
        except (OSError, RuntimeError):  # a process could not start, or was ended
            good, self.map, self.jobs = list(map(verify_ed25519, *self.columns)), map, 1
        for code, where in dict.fromkeys(itertools.compress(self.places, [not one for one in good])):
            told = "the vote is not signed by its key" if code == "AGENT_SIG" else "not signed by who has to sign it"
            self.report.fail(code, where, told)
        self.count += len(self.places)
        for values in (self.places, *self.columns):
            values.clear()

    def _start(self) -> None:
        try:  # importing this takes longer than checking a small log; forking a process with threads is not safe
            context = importlib.import_module("multiprocessing").get_context("spawn")
            pool = self.pool.enter_context(concurrent.futures.ProcessPoolExecutor(self.jobs, mp_context=context))
            self.map = partial(pool.map, chunksize=256)
        except (ImportError, OSError, RuntimeError):  # a system without semaphores
            self.jobs = 1


def _unbase64(text: str) -> bytes:
    raw = base64.b64decode(text, validate=True)
    _need(base64.b64encode(raw).decode() == text, "base64 in another form than the canonical")
    return raw


def parse_vkey(text: str, algorithm: int = 1) -> Key:
    """The key of a `<name>+<key id>+<base64>` text; ValueError if it is not a whole Ed25519 key of that use."""
    name, key_id, encoded = [*text.split("+", 2), "", ""][:3]
    raw = _unbase64(encoded)
    hashed = hashlib.sha256(name.encode() + b"\n" + raw).hexdigest()
    whole = re.fullmatch(_NAME, name) and len(raw) == 33 and raw[0] == algorithm and hashed[:8] == key_id
    _need(whole, "not a whole Ed25519 verifier key <name>+<key id>+<base64>")
    return name, bytes.fromhex(key_id), raw[1:]


def parse_note(text: str, body: str = _BODY) -> Note:
    """The checkpoint of a signed note (C2SP), or the promise; ValueError if it is malformed."""
    matched = re.fullmatch(f"({body})\n((?:{_SIGNATURE}){{1,64}})", text) if len(text) <= NOTE_BYTES_MAX else None
    if matched is None or len(text.encode()) > NOTE_BYTES_MAX or int(matched[3]) > INTEGER_MAX:
        raise ValueError("not a checkpoint in canonical form")
    signatures = [(name, (raw := _unbase64(text))[:4], raw[4:]) for name, text in re.findall(_SIGNATURE, matched[5])]
    return Note(matched[2], int(matched[3]), _unbase64(matched[4]), matched[1].encode(), signatures)


def _signed_by(note: Note, keys: Iterable[Key]) -> list[tuple[bytes, bool]]:
    """The keys that a note names of these, each with whether its signature is good."""
    lines = ((key, line[2]) for key in keys for line in note.signatures if key[:2] == line[:2])
    return [(key[2], verify_ed25519(key[2], note.signed, signature)) for key, signature in lines]


def _cosigned_by(note: Note, key: Key) -> list[bool]:
    """Whether each cosignature (C2SP, v1) by a witness is good."""
    good = []
    for line in note.signatures:
        if key[:2] == line[:2]:
            told = b"cosignature/v1\ntime %d\n" % int.from_bytes(line[2][:8], "big") + note.signed
            good.append(line[2][:1] < b"\x80" and verify_ed25519(key[2], told, line[2][8:]))
    return good


class _Trust:
    """What the caller believes: keys of logs and witnesses, how many of them have to sign, the first leaf."""

    FORMS = {"log": (1, 2), "genesis": (1, 1), "threshold": (1, 1), "witness": (2, 3), "group": (3, 999)}
    FORMS["quorum"] = (1, 1)

    def __init__(self) -> None:
        self.keys, self.genesis, self.threshold = list[Key](), set[str](), 0
        self.witnesses, self.groups, self.quorum = dict[str, Key](), dict[str, tuple[int, list[str]]](), ""

    def read(self, line: str) -> None:
        word, *rest = re.split("[ \t]+", line)
        least, most = self.FORMS.get(word, (1, 0))
        room = word != "log" or len(self.keys) < TRUST_NAMES_MAX
        _need(room and least <= len(rest) <= most, f"the line {line[:80]!r} is not known, or one too many")
        if word == "log":
            self.keys.append(parse_vkey(rest[0]))
        elif word == "genesis":
            _need(re.fullmatch("[0-9a-f]{64}", rest[0]), "a genesis that is no hash of 64 hex digits")
            self.genesis.add(rest[0])
        elif word == "threshold":
            _need(re.fullmatch("[1-9][0-9]{0,8}", rest[0]) and not self.threshold, "a second threshold, or no number")
            self.threshold = int(rest[0])
        elif word == "quorum":
            _need(not self.quorum and (rest[0] == "none" or self._named(rest[0])), "a second quorum, or of nobody")
            self.quorum = rest[0]
        else:
            self._define(word, *rest)

    def _named(self, name: str) -> bool:
        return name in self.witnesses or name in self.groups

    def _define(self, word: str, name: str, what: str, *rest: str) -> None:
        room = len(self.witnesses) + len(self.groups) < 2 * TRUST_NAMES_MAX
        _need(room and name != "none" and not self._named(name), f"the name {name[:80]!r} is taken, or one too many")
        if word == "witness":
            self.witnesses[name] = parse_vkey(what, 4)
            return
        taken = [member for _, members in self.groups.values() for member in members]
        fits = all(self._named(member) for member in rest) and len({*taken, *rest}) == len(taken) + len(rest)
        _need(fits, f"the group {name[:80]!r} names one that is not defined above, or that is a member already")
        number = int(what) if re.fullmatch("[1-9][0-9]{0,8}", what) else {"any": 1, "all": len(rest)}.get(what, 0)
        _need(0 < number <= len(rest), f"the group {name[:80]!r} asks for another number than it has members")
        self.groups[name] = (number, list(rest))

    def check(self) -> None:
        own, seen = [(name, public) for name, _, public in self.keys], [key[2] for key in self.witnesses.values()]
        _need(own and len(set(own)) == len(own) and len(set(seen)) == len(seen), "it names no log, or one key twice")
        counts = [sum(name == other for other, _ in own) for name, _ in own]
        _need(self.threshold <= min(counts), f"a threshold of {self.threshold} where a log has {min(counts)} keys")

    def agree(self, note: Note, known: list[Key], report: Report) -> None:
        """Hold a checkpoint against the threshold and the quorum, and say who signed it."""
        signed = len({public for public, good in _signed_by(note, known) if good})
        seen = {name for name, key in self.witnesses.items() if (lines := _cosigned_by(note, key)) and all(lines)}
        told = f"signed by {signed} of {len(known)} log keys"
        told += f", cosigned by {len(seen)} of {len(self.witnesses)} witnesses"
        bad = any(not all(_cosigned_by(note, key)) for key in self.witnesses.values())
        for name, (number, members) in self.groups.items():
            if len(seen.intersection(members)) >= number:
                seen.add(name)
        enough = signed >= (self.threshold or 1) and self.quorum in ("", "none", *seen) and not bad
        asked = f"threshold {self.threshold or 1}, quorum {ascii(self.quorum or 'none')[1:-1]}"
        report.fail("CHECKPOINT_SIG", note.size, f"{told}: not what is asked for ({asked})", unless=enough)
        report.say(f"checkpoint of {note.size}: {told} ({asked})")


def parse_leaf(line: bytes) -> Leaf | None:
    """The leaf of a line, or None when the line is not exactly what a log writes."""
    try:
        matched = _LEAF.fullmatch(line.decode()) if len(line) <= LINE_BYTES_MAX else None
        first, count, digest, index, kind, prev, subject, ts = matched.groups() if matched else [""]
        datetime.fromisoformat(ts)
        key = parse_vkey(subject[1:-1]) if kind == "origin" else None
    except ValueError:
        return None
    batch, idx = (int(first), int(count)), int(index)
    placed = batch[0] <= idx < sum(batch) and max(idx, batch[1]) <= INTEGER_MAX and (idx == 0) == (key is not None)
    return (batch, digest, idx, prev, ts, key) if placed else None


# The votes log. Its leaves, too, are exactly what these match, but for what `_within` says.
_HEX, _ID = '"[0-9a-f]{64}"', '"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"'
_AGENT, _SIGN, _DIGITS = '"[A-Za-z0-9._@-]{1,64}"', "(?:-1|0|1)", "(?:0|[1-9][0-9]{0,15})"
_GLOBS, _OWNER = rf"\[{_TEXT}(?:,{_TEXT}){{0,15}}\]", '"(?:agent|server)"'
_BOUNDS = {"cap_e6": (0, 10**6), "half_life_days": (1, 36_500), "settle_s": (0, 366 * 86_400)}
_BOUNDS.update(dict.fromkeys(["ceiling_e6", "floor_e6"], (1, 999_999)))
_BOUNDS.update(dict.fromkeys(["contested", "quorum", "resolve"], (1, 1_000)))
_BOUNDS.update(dict.fromkeys(["judge_e6", "threshold_e6"], (1, 10**8)))
_LEVELS = ["revoked", "untrusted", "standard", "trusted"]  # from the lowest on


def _object(**members: str) -> str:
    return "{" + ",".join(f'"{name}":{members[name]}' for name in sorted(members)) + "}"


_PRIOR = _object(**dict.fromkeys(_LEVELS[1:], rf"\[{_DIGITS},{_DIGITS}\]"))
_POLICY = _object(prior=_PRIOR, rule='"(?:weighted|linear)"', **dict.fromkeys(_BOUNDS, _DIGITS))
_FACT = {"fact": _ID, "fact_digest": _HEX, "reason_digest": f"(?:null|{_HEX})"}
_ADDS = {"agent": _AGENT, "by": _HEX, "custody": _OWNER, "op": '"(?:add|rotate)"', "projects": _GLOBS}
_TRUSTED = {"agent": _AGENT, "admin": f"(?:null|{_HEX})", "trust": f'"(?:{"|".join(_LEVELS[1:])})"'}
_EVENTS: list[tuple[str, dict[str, str]]] = [
    ("vote", {**_FACT, "agent": _AGENT, "author": _TEXT, "vote": _SIGN}),
    ("genesis", {"policy": _POLICY, "vkey": _TEXT}),
    ("agent", {**_TRUSTED, "custody": _OWNER, "projects": _GLOBS}),
    ("key", _ADDS),
    ("key", {**_ADDS, "custody": "null", "op": '"revoke"', "projects": "null"}),
    ("trust", {"agent": _AGENT, "trust": f'"(?:{"|".join(_LEVELS)})"'}),
    ("admin", {"new": _HEX}),
    ("policy", {"policy": _POLICY}),
    ("resolve", {**_FACT, "truth": _SIGN}),
    ("restored", {"root": _HEX, "size": _DIGITS, "vkey": _TEXT}),
]
_VOTES_LEAVES = [
    _object(
        event=_object(at=f'"{_TIME}Z"', id=_ID, key=_HEX, log=_TEXT, v="1", **members),
        idx="0" if kind == "genesis" else "[1-9][0-9]{0,15}",
        kind=f'"{kind}"',
        prev=_HEX,
        sigs=r'\[(?:"[0-9a-f]{128}"(?:,"[0-9a-f]{128}")?)?\]',
        ts=f'"{_TIME}Z"',
        v="1",
        weight_e6="(?:0|-?[1-9][0-9]{0,15})" if kind == "vote" else "null",
    )
    for kind, members in _EVENTS
]
_VOTES_LEAF = re.compile("|".join(_VOTES_LEAVES))


def parse_vote_leaf(line: bytes) -> Row | None:
    """The leaf of a line of the votes log, or None when the line is not exactly what that log writes."""
    try:
        if len(line) > LINE_BYTES_MAX or not _VOTES_LEAF.fullmatch(text := line.decode()):
            return None
        leaf: Row = json.loads(text)
        datetime.fromisoformat(leaf["ts"][:-1])
        return leaf if _within(leaf["event"], leaf) else None
    except ValueError:
        return None


def _within(event: Row, leaf: Row) -> bool:
    """Whether times, numbers, lengths and lists are what they may be."""
    datetime.fromisoformat(event["at"][:-1])
    if "vkey" in event:
        parse_vkey(event["vkey"])
    numbers = [leaf["idx"], abs(leaf["weight_e6"] or 0), event.get("size", 1)]
    texts, globs = [event["log"], event.get("author", "-"), event.get("vkey", "-")], event.get("projects") or ["*"]
    short = all(0 < len(text) <= TEXT_CHARS_MAX for text in texts) and all(0 < len(glob) <= 128 for glob in globs)
    policy = event.get("policy", {})
    held = all(least <= policy[name] <= most for name, (least, most) in _BOUNDS.items() if policy)
    held = held and all(1 <= units <= 10_000 for prior in policy.get("prior", {}).values() for units in prior)
    return short and held and max(numbers) <= INTEGER_MAX and numbers[2] > 0 and globs == sorted(set(globs))


def _check_signed(line: bytes, leaf: Row, signatures: _Signatures | None, report: Report) -> None:
    """Have the signatures of an event checked; that they are as many as they should be is seen at once."""
    kind, event = leaf["kind"], leaf["event"]
    names = {"agent": ["key", "admin"], "key": ["by", "key"], "admin": ["key", "new"]}.get(kind, ["key"])
    keys = [event[name] for name in (["by"] if event.get("op") == "revoke" else names) if event[name]]
    code, prefix = ("AGENT_SIG", "ballot/v1") if kind == "vote" else ("EVENT_SIG", f"event/v1\n{kind}")
    told = f"cortex-{prefix}\n".encode() + line[len('{"event":') : line.index(b',"idx":')]
    whole = len(keys) == len(leaf["sigs"])
    report.fail(code, leaf["idx"], f"{len(leaf['sigs'])} signatures where {len(keys)} should be", unless=whole)
    for at, key in enumerate(keys if whole else []):
        if signatures:
            signatures.add(code, leaf["idx"], bytes.fromhex(key), told, bytes.fromhex(leaf["sigs"][at]))


_UNIT, _FADING, _DAY = 10**6, 10**12, 86_400 * 10**6
_FORTY = Context(prec=40, rounding=ROUND_HALF_EVEN, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[])
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - times of the log are UTC, all of them
_LN2 = Decimal(2).ln(_FORTY)
_DECIDED = {"verified": 1, "disputed": -1}


def _micros(ts: str) -> int:
    passed = datetime.fromisoformat(ts.rstrip("Z")) - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * _UNIT + passed.microseconds


# The last time that there is.
_LAST = _micros("9999-12-31T23:59:59.999999Z")


def _packed(event_id: str) -> bytes:
    """An id in little room: those of a whole log are kept."""
    return bytes.fromhex(event_id.replace("-", ""))


@lru_cache(maxsize=4096)
def _left(days: int, half_life_days: int) -> int:
    """What is left of 10^12 after so many days. Products and quotients are rounded from left to right."""
    with localcontext(_FORTY):
        return int((-days * _LN2 / half_life_days).exp() * _FADING)


def _faded(evidence: int, days: int, policy: Row) -> int:
    return evidence * _left(days, policy["half_life_days"]) // _FADING if days > 0 else evidence


@lru_cache(maxsize=65_536)
def _weight(a_e6: int, b_e6: int, lowered: bool, floor_e6: int, ceiling_e6: int) -> int:
    """The weight by evidence, prior included; `lowered` takes one standard deviation of Beta(a, b) off first."""
    with localcontext(_FORTY):
        a, b = Decimal(a_e6) / _UNIT, Decimal(b_e6) / _UNIT
        r = a / (a + b)
        if lowered:
            r -= (a * b / ((a + b) * (a + b) * (a + b + 1))).sqrt()
        r = min(max(r, Decimal(floor_e6) / _UNIT), Decimal(ceiling_e6) / _UNIT)
        return max(0, int((r / (1 - r)).ln() * _UNIT))


class _Agent:
    __slots__ = ("day", "evidence", "level", "texts")

    def __init__(self, level: str, day: int) -> None:
        self.level, self.evidence, self.day, self.texts = level, [0, 0], day, list[_Tally]()

    @property
    def vouched(self) -> bool:
        return self.level in ("standard", "trusted")

    def now(self, day: int, policy: Row) -> list[int]:
        return [_faded(part, day - self.day, policy) for part in self.evidence]

    def weight(self, evidence: list[int], policy: Row) -> int:
        if self.level == "revoked":
            return 0
        a, b = (prior * _UNIT + part for prior, part in itertools.zip_longest(policy["prior"][self.level], evidence))
        return _weight(a, b, not self.vouched, policy["floor_e6"], policy["ceiling_e6"])

    def gain(self, agreed: bool, amount: int, day: int, policy: Row) -> None:
        self.evidence, at = self.now(day, policy), 0 if agreed else 1
        self.evidence[at], self.day = max(0, self.evidence[at] + amount), day


class _Held(NamedTuple):
    """What an agent holds of a text of a fact."""

    vote: int
    weight: int
    vouched: bool
    own: bool
    counted: bool  # no longer where the agent was revoked


class _Tally:
    __slots__ = ("digest", "due", "fact", "held", "judged", "resolved", "settled", "sigma", "sums", "tenths", "verdict")

    def __init__(self, fact: str, digest: str) -> None:
        self.fact, self.digest, self.held, self.judged = fact, digest, dict[str, _Held](), dict[str, list[int]]()
        # Weights with their signs and without, of vouched agents and of others; then voters for and against, vouched
        # ones of positive weight and all that are not revoked.
        self.sums, self.sigma, self.tenths, self.verdict = [0] * 8, 0, 10, "none"
        self.due: int | None = None
        self.settled = self.resolved = 0

    def put(self, name: str, held: _Held) -> None:
        for one, times in ((self.held.get(name), -1), (held, 1)):
            if one and one.vote:
                sums, against = self.sums, one.vote < 0
                sums[0 if one.vouched else 2] += times * one.weight * one.vote
                sums[1 if one.vouched else 3] += times * one.weight
                sums[4 + against] += times * (one.vouched and one.weight > 0)
                sums[6 + against] += times * one.counted
        self.held[name] = held

    def judge(self, policy: Row) -> str:
        """The verdict by a policy, which is not yet that of the tally; sigma and tenths are."""
        vouched, vouched_abs, others, others_abs, pro, con, all_pro, all_con = self.sums
        if others_abs * _UNIT > policy["cap_e6"] * vouched_abs:
            cut = abs(others) * policy["cap_e6"] * vouched_abs // (_UNIT * others_abs)
            others = cut if others > 0 else -cut
        self.sigma, self.tenths = vouched + others, 10 + all_pro - all_con
        value, high, low = self.sigma, policy["threshold_e6"], -policy["threshold_e6"]
        if policy["rule"] == "linear":
            value, high, low, pro, con = self.tenths, 15, 5, all_pro, all_con
        if policy["rule"] == "linear" or pro + con >= policy["quorum"]:
            if value >= high:
                return "verified"
            if value <= low:
                return "disputed"
        return "contested" if min(pro, con) >= policy["contested"] else "none"


class _Rules:
    """What follows from the events of the votes log: keys, weights, verdicts, settling, evidence."""

    def __init__(self, genesis: Row, ts: int) -> None:
        self.admin, self.policy, self.latest = genesis["key"], genesis["policy"], ts
        self.owners, self.ended = {genesis["key"]: ""}, dict[str, str]()  # an admin key is of no agent
        self.agents, self.tallies = dict[str, _Agent](), dict[tuple[str, str], _Tally]()
        self.ids, self.names = {_packed(genesis["id"])}, set[str]()
        self.waiting = list[tuple[int, str, str]]()

    def fault(self, kind: str, event: Row) -> tuple[str, str] | None:
        """The code and the text of what forbids an event at this place, were it signed."""
        seen = len(self.ids)
        self.ids.add(_packed(event["id"]))
        if len(self.ids) == seen:
            return "EVENT_TWICE", f"the event {event['id']} is in the log already"
        new = {"agent": "key", "key": "key", "admin": "new"}.get(kind, "")
        if new and event.get("op") != "revoke" and event[new] in self.owners:
            return "EVENT_TWICE", f"the key {event[new]} was in the log before"
        if kind == "agent" and event["admin"] is None and event["trust"] != "untrusted":
            return "EVENT_SIG", f"trust {event['trust']} without the admin key"
        wrong = self._wrong_key(kind, event)
        return ("KEY_NOT_VALID", wrong) if wrong else None

    def _wrong_key(self, kind: str, event: Row) -> str:
        if kind != "agent" and "agent" in event and event["agent"] not in self.agents:
            return f"there is no agent {event['agent']}"
        if kind == "vote":
            return self._not_of(event["key"], event["agent"])
        if kind == "agent" and event["agent"].lower() in self.names:
            return f"the agent {event['agent']} is registered already, or one whose name differs by case alone"
        if kind == "agent":
            return self._not_admin(event["admin"] or self.admin)
        if kind != "key":
            return self._not_admin(event["key"])
        if event["op"] == "revoke":
            return self._not_admin(event["by"]) or self._not_of(event["key"], event["agent"])
        if self.agents[event["agent"]].level == "revoked":
            return f"the agent {event['agent']} was revoked"
        added = event["op"] == "add" and event["by"] == self.admin
        return "" if added else self._not_of(event["by"], event["agent"])

    def _not_admin(self, key: str) -> str:
        return "" if key == self.admin else f"{key} is not the admin key in force"

    def _not_of(self, key: str, agent: str) -> str:
        if key not in self.ended and self.owners.get(key) == agent:
            return ""
        return f"the key {key} is not one of {agent}" + (f": it was {self.ended[key]}" if key in self.ended else "")

    def apply(self, kind: str, event: Row, ts: int) -> int | None:
        """Take an event in; of a vote the weight that it has by the rules."""
        self._settle(ts)
        if "agent" in event and kind != "agent" and event["agent"] not in self.agents:
            return None
        weight: int | None = getattr(self, f"_{kind}")(event, ts)
        return weight

    def _agent(self, event: Row, ts: int) -> None:
        self.agents.setdefault(event["agent"], _Agent(event["trust"], ts // _DAY))
        self.names.add(event["agent"].lower())
        self.owners.setdefault(event["key"], event["agent"])

    def _key(self, event: Row, ts: int) -> None:
        if event["op"] == "revoke":
            self.ended.setdefault(event["key"], "revoked")
            return
        if event["op"] == "rotate":
            self.ended.setdefault(event["by"], "rotated")
        self.owners.setdefault(event["key"], event["agent"])

    def _trust(self, event: Row, ts: int) -> None:
        name, level = event["agent"], event["trust"]
        agent = self.agents[name]
        lower, agent.level = _LEVELS.index(level) < _LEVELS.index(agent.level), level
        if level == "revoked":
            self.ended = {**{key: level for key, owner in self.owners.items() if owner == name}, **self.ended}
        if lower:
            most = agent.weight([0, 0], self.policy) if agent.vouched else 0
            for tally in agent.texts:
                held = tally.held[name]
                counted = held.counted and level != "revoked"
                vouched = held.vouched and agent.vouched
                tally.put(name, _Held(held.vote, min(held.weight, most), vouched, held.own, counted))
                self._judge(tally, ts)

    def _admin(self, event: Row, ts: int) -> None:
        self.ended.setdefault(self.admin, "rotated")
        self.admin = event["new"]
        self.owners.setdefault(self.admin, "")

    def _policy(self, event: Row, ts: int) -> None:
        self.policy = event["policy"]
        for tally in self.tallies.values():
            self._judge(tally, ts)

    def _restored(self, event: Row, ts: int) -> None:
        """What it says of the log is checked where the log is known."""

    def _vote(self, event: Row, ts: int) -> int:
        name, agent = event["agent"], self.agents[event["agent"]]
        weight = agent.weight(agent.now(ts // _DAY, self.policy), self.policy)
        tally = self._tally(event)
        if name not in tally.held:
            agent.texts.append(tally)
        tally.put(name, _Held(event["vote"], weight, agent.vouched, name == event["author"], counted=True))
        self._judge(tally, ts)
        return weight

    def _resolve(self, event: Row, ts: int) -> None:
        place = (event["fact"], event["fact_digest"])
        if event["truth"] == (self.tallies[place].resolved if place in self.tallies else 0):
            return
        tally = self._tally(event)
        tally.resolved = event["truth"]
        self._take_back(tally, ts // _DAY)
        if tally.resolved:
            self._judge_voters(tally, tally.resolved, self.policy["resolve"] * _UNIT, ts // _DAY)
        self._judge(tally, ts)

    def _tally(self, event: Row) -> _Tally:
        fact, digest = event["fact"], event["fact_digest"]
        return self.tallies.setdefault((fact, digest), _Tally(fact, digest))

    def _judge(self, tally: _Tally, ts: int) -> None:
        verdict, before = tally.judge(self.policy), tally.verdict
        tally.verdict = verdict
        if verdict not in _DECIDED or tally.resolved or self.policy["rule"] == "linear":
            tally.due = None
        elif verdict != before or (tally.due is None and tally.settled != _DECIDED[verdict]):
            tally.due = due = min(ts + self.policy["settle_s"] * _UNIT, _LAST)
            heapq.heappush(self.waiting, (due, tally.fact, tally.digest))

    def _settle(self, ts: int) -> None:
        while self.waiting and self.waiting[0][0] <= ts:
            due, fact, digest = heapq.heappop(self.waiting)
            tally = self.tallies[fact, digest]
            if tally.due != due:
                continue
            decided = _DECIDED[tally.verdict]
            if not tally.settled:
                self._judge_voters(tally, 0, _UNIT, due // _DAY)
            elif tally.settled != decided:
                self._take_back(tally, due // _DAY)
            tally.due, tally.settled = None, decided

    def _judge_voters(self, tally: _Tally, truth: int, amount: int, day: int) -> None:
        """Add to the evidence of all who voted but the author: by what is true, or by what the other vouched say."""
        for name, held in tally.held.items():
            others = tally.sums[0] - (held.vote * held.weight if held.vouched else 0)
            if held.vote and not held.own and (truth or abs(others) > self.policy["judge_e6"]):
                agreed = held.vote * (truth or others) > 0
                self.agents[name].gain(agreed, amount, day, self.policy)
                tally.judged[name] = [agreed, amount, day]

    def _take_back(self, tally: _Tally, day: int) -> None:
        for name, (agreed, amount, since) in tally.judged.items():
            self.agents[name].gain(bool(agreed), -_faded(amount, day - since, self.policy), day, self.policy)
        tally.judged.clear()

    def tell(self, report: Report) -> None:
        """What everything came to."""
        linear = self.policy["rule"] == "linear"
        for place in sorted(self.tallies):
            tally = self.tallies[place]
            said = {1: "verified (resolved)", -1: "disputed (resolved)"}.get(tally.resolved, tally.verdict)
            row: Row = {"fact": tally.fact, "digest": tally.digest, "verdict": said, "by_votes": tally.verdict}
            row |= {"sigma_e6": tally.sigma, "tenths": tally.tenths if linear else None, "resolved": tally.resolved}
            report.verdicts.append(row)
        for name, agent in sorted(self.agents.items()):
            evidence = {"for_e6": agent.evidence[0], "against_e6": agent.evidence[1], "day": agent.day}
            report.agents.append({"agent": name, "level": agent.level, **evidence})


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def _climb(hashed: bytes, index: int, size: int, proof: list[bytes]) -> bytes | None:
    """The root that an inclusion proof (RFC 9162) leads to, None for a proof of the wrong length."""
    forks = (index ^ (size - 1)).bit_length()  # below this level, siblings are on both sides; above, on the left
    if index >= size or len(proof) != forks + f"{index >> forks:b}".count("1"):
        return None
    for level, sibling in enumerate(proof):
        on_left = level >= forks or index >> level & 1
        hashed = _node(sibling, hashed) if on_left else _node(hashed, sibling)
    return hashed


class _Transactions:
    """What a log of changes of facts has of its own: batches."""

    name, opening = "transactions", b'{"actor":'

    def __init__(self) -> None:
        self.keys, self.batch = list[tuple[int, Key]](), (0, 0)

    def parse(self, line: bytes) -> tuple[Place, Any] | None:
        leaf = parse_leaf(line)
        return ((leaf[2], leaf[3], f"{leaf[4]}Z"), leaf) if leaf else None

    def begin(self, leaf: Leaf, hashed: bytes, report: Report) -> str:
        key: Key | None = leaf[5]
        self.keys = [(0, key)] if key else []
        return key[0] if key else ""

    def take(self, leaf: Leaf | None, line: bytes, log: _Log, report: Report) -> None:
        batch, idx = (leaf[0], leaf[2]) if leaf else ((log.next + 1, 0), log.next)
        follows = batch == self.batch or batch[0] == idx == sum(self.batch)
        report.fail("GAP", idx, "a torn batch", unless=follows or idx != log.next or not leaf)
        self.batch = batch

    def finish(self, log: _Log, report: Report) -> None:
        report.fail("GAP", log.next, "the last batch is torn", unless=sum(self.batch) == log.next)
        report.say(f"{log.size} leaves: form, links, order")


class _Votes:
    """What the votes log has of its own: signed events, and rules that say what follows from them."""

    name, opening = "votes", b'{"event":'

    def __init__(self, given: _Given, signatures: _Signatures | None) -> None:
        self.given, self.signatures, self.keys, self.votes = given, signatures, list[tuple[int, Key]](), 0
        self.rules: _Rules | None = None

    def parse(self, line: bytes) -> tuple[Place, Any] | None:
        leaf = parse_vote_leaf(line)
        return ((leaf["idx"], leaf["prev"], leaf["ts"]), leaf) if leaf else None

    def begin(self, leaf: Row, hashed: bytes, report: Report) -> str:
        if leaf["kind"] != "genesis":
            return ""
        event, genesis = leaf["event"], self.given.trust.genesis
        self.keys, self.rules = [(0, parse_vkey(event["vkey"]))], _Rules(event, _micros(leaf["ts"]))
        origin: str = event["log"]
        named = re.fullmatch("cortex/votes/[^/]+/[^/]+", origin) and self.keys[0][1][0] == origin
        report.fail("ORIGIN", 0, "the genesis does not name a votes log and its key", unless=named)
        trusted = not genesis or hashed.hex() in genesis
        report.fail("ORIGIN", 0, "this is not the genesis that is trusted", unless=trusted)
        return origin

    def take(self, leaf: Row | None, line: bytes, log: _Log, report: Report) -> None:
        if leaf is None:
            return
        kind, event, idx = leaf["kind"], leaf["event"], leaf["idx"]
        _check_signed(line, leaf, self.signatures, report)
        if self.rules is None or kind == "genesis":
            return
        ts, fault = _micros(leaf["ts"]), self.rules.fault(kind, event)
        jumped = ts - self.rules.latest > JUMP_DAYS * _DAY and kind not in ("policy", "restored")
        report.fail("TIME_ORDER", idx, f"over {JUMP_DAYS} days after the leaf before", unless=not jumped)
        if event["log"] != report.origin:
            fault = "EVENT_SIG", f"it was signed for another log, {event['log']!a}"
        # A leaf older than the one before counts with the time of that one. What nobody may have signed has no effect.
        self.rules.latest = max(ts, self.rules.latest)
        weight = None
        if not fault and not jumped:
            weight = self.rules.apply(kind, event, self.rules.latest)
        if fault:
            report.fail(fault[0], idx, fault[1])
        elif kind == "vote" and not jumped:
            told = f"the weight is {leaf['weight_e6']}, by the rules it is {weight}"
            report.fail("WEIGHT_POLICY", idx, told, unless=weight == leaf["weight_e6"])
        if kind == "restored":
            key, same = parse_vkey(event["vkey"]), (event["size"], event["root"]) == (log.size, log.root.hex())
            report.fail("HISTORY_REWRITTEN", idx, "the log before it is not the one that was restored", unless=same)
            report.fail("ORIGIN", idx, "a key of another log", unless=key[0] == report.origin)
            told = f"entry {idx} says by the admin key: put back from a backup, or signed by another key, from here on"
            report.notes.append(f"--  {told}")
            self.keys.append((log.size + 1, key))
        self.votes += kind == "vote"

    def finish(self, log: _Log, report: Report) -> None:
        checked, pinned = self.signatures, bool(self.given.trust.genesis)
        if checked:
            checked.check()
        if self.rules and self.given.verdicts:
            self.rules.tell(report)
        report.say(f"{log.size} leaves: form, links, order; {_many(self.votes, 'vote')}: keys, weights, settling")
        told = f"{_many(checked.count, 'signature')} of events" if checked else "signatures of events not checked"
        report.say(told, "ok" if checked else "--")
        report.say(f"genesis {'trusted' if pinned else 'not pinned'}", "ok" if pinned else "--")


class _Log:
    """What both logs are: lines, links, indexes, times and a tree. The hashes of the leaves `held` are kept."""

    def __init__(
        self, wanted: Iterable[int], book: _Transactions | _Votes | None = None, held: Iterable[int] = ()
    ) -> None:
        self.wanted, self.roots = frozenset([0, *wanted]), {0: hashlib.sha256().digest()}
        self.book, self.range = book or _Transactions(), list[bytes]()
        self.held, self.hashes = frozenset(held), dict[int, bytes]()
        self.size, self.next, self.prev, self.ts = 0, 0, "", ""

    @property
    def root(self) -> bytes:
        return reduce(lambda right, left: _node(left, right), self.range[::-1])

    def append(self, line: bytes, report: Report) -> None:
        whole = len(line) <= LINE_BYTES_MAX + 1 and line[-1:] == b"\n"
        report.fail("LEAF_FORM", self.next, "the line is too long or has no end", unless=whole)
        _need(whole, "the rest was not read")
        hashed, found = hashlib.sha256(b"\0" + line[:-1]).digest(), self.book.parse(line[:-1])
        report.fail("LEAF_FORM", self.next, "not a leaf in canonical form", unless=found)
        (idx, prev, ts), leaf = found or ((self.next, self.prev, self.ts), None)
        if leaf and self.size == 0 and (origin := self.book.begin(leaf, hashed, report)):
            report.origin, self.prev = origin, hashlib.sha256(origin.encode()).hexdigest()
        linked = prev == self.prev
        report.fail("CHAIN_LINK", idx, "prev is not the hash of the leaf before, or of the origin", unless=linked)
        report.fail("GAP", self.next, f"leaf {idx} stands where leaf {self.next} should", unless=idx == self.next)
        report.fail("TIME_ORDER", idx, f"{ts} is earlier than the leaf before", unless=ts >= self.ts)
        self.book.take(leaf, line[:-1], self, report)
        if self.size in self.held:
            self.hashes[self.size] = hashed
        self.next, self.ts, self.prev, size = idx + 1, ts, hashed.hex(), self.size
        while size & 1:
            hashed, size = _node(self.range.pop(), hashed), size >> 1
        self.range.append(hashed)
        self.size = report.leaves = self.size + 1
        if self.size in self.wanted:
            self.roots[self.size] = self.root


class _Given(NamedTuple):
    """What the caller kept outside the bundle, and asks for."""

    trust: _Trust
    notes: list[Note]
    seen: list[Note]  # by witnesses, of any log
    receipts: dict[str, _Receipt]
    jobs: int
    signatures: bool
    verdicts: bool

    def known(self, own: list[tuple[int, Key]], origin: str) -> Callable[[int], list[Key]]:
        """The keys that may sign a checkpoint of a size: the trusted ones, else the one that the log names there."""
        trusted = [key for key in self.trust.keys if key[0] == origin]
        return lambda size: trusted if self.trust.keys else [key for start, key in own if start <= size][-1:]


def _own_notes(given: _Given, report: Report) -> _Given:
    """What witnesses have seen of this log is remembered as checkpoints are; what they hold of others is not."""
    mine = [note for note in given.seen if report.origin in ("", note.origin)]
    others = len(given.seen) - len(mine)
    if others:
        report.say(f"{_many(others, 'checkpoint')} of other logs, which witnesses hold, passed over", "--")
    return given._replace(notes=[*given.notes, *mine], seen=[])


def _hold(note: Note, keys: list[Key], roots: dict[int, bytes], report: Report, *, remembered: bool) -> bool:
    """Hold a checkpoint against the root of its size; whether it is signed, and every signature by a key is good."""
    where, good = note.size, [fine for _, fine in _signed_by(note, keys)]
    told = f"checkpoint covers {where} leaves, the export ends at {report.leaves}: an older export, or shortened"
    if report.origin not in ("", note.origin):
        report.fail("ORIGIN", where, "a checkpoint of another log")
    elif not all(good) or not (good or remembered):
        report.fail("CHECKPOINT_SIG", where, "a bad signature" if good else "no signature by a known key")
    elif where not in roots and remembered:
        report.fail("ROLLBACK", where, f"the remembered {told}")
    elif where not in roots:
        report.fail("TRUNCATED", where, told)
    elif roots[where] != note.root:
        report.fail("HISTORY_REWRITTEN", where, "the checkpoint has another root than the leaves")
    return bool(good) and all(good)


def _vouch(own: list[Note], given: _Given, roots: dict[int, bytes], keys: Keys, report: Report) -> None:
    """Hold the bundle's own checkpoints and the remembered ones against the roots of the log."""
    known, trust, seen = given.known(keys, report.origin), given.trust, dict[int, bytes]()
    if trust.keys and report.origin and not known(0):
        report.fail("ORIGIN", "-", "this is no log that is trusted")
        return
    before = len(report.findings)
    for at, note in enumerate([*own, *given.notes]):
        signed = _hold(note, known(note.size), roots, report, remembered=at >= len(own))
        if signed and seen.setdefault(note.size, note.root) != note.root:
            report.fail("SPLIT_VIEW", note.size, "two signed checkpoints of this size have different roots")
    signed_badly = any(found["code"] in ("CHECKPOINT_SIG", "ORIGIN") for found in report.findings[before:])
    if own and trust.keys and not signed_badly:
        trust.agree(own[-1], known(own[-1].size), report)


def _book(document: dict[str, Any], given: _Given, signatures: _Signatures, report: Report) -> _Transactions | _Votes:
    """What reads the leaves of a bundle; they show of which log it is, and JSON says it too."""
    leaves = iter(document["leaves"])
    first = list(itertools.islice(leaves, 1))
    document["leaves"] = itertools.chain(first, leaves)
    shown = first[0] if first else b""
    shown = shown if isinstance(shown, bytes) else shown.encode("utf-8", "surrogatepass")
    openings = [book.name for book in (_Transactions, _Votes) if shown.startswith(book.opening)]
    name = document["log"] if "format" in document else (openings or ["transactions"])[0]
    _need(name in ("transactions", "votes"), f"a bundle of another log than those of Cortex: {ascii(name)[:80]}")
    report.fail("REFUSED", "-", f"a log of {name} with leaves of another", unless=not openings or name in openings)
    return _Votes(given, signatures if given.signatures else None) if name == "votes" else _Transactions()


def _check_log(document: dict[str, Any], given: _Given, report: Report) -> None:
    notes, signatures = _parse_notes(document["checkpoints"], report), _Signatures(given.jobs, report)
    book = _book(document, given, signatures, report)
    held = (receipt.idx for receipt in given.receipts.values())
    log = _Log((note.size for note in [*notes, *given.notes, *given.seen]), book, held)
    with signatures.pool:
        for line in document["leaves"]:
            log.append(line if isinstance(line, bytes) else f"{line}\n".encode("utf-8", "surrogatepass"), report)
        book.finish(log, report)
    given = _own_notes(given, report)
    _vouch(notes, given, log.roots, book.keys, report)
    _check_receipts(log, given, report)
    covered, trusted = max((note.size for note in [*notes, *given.notes]), default=0), given.trust.keys
    report.fail("CHECKPOINT_SIG", "-", "no checkpoint: nothing is signed by a trusted key", unless=notes or not trusted)
    if trusted and covered < log.size:
        report.fail("UNSIGNED", covered, f"no checkpoint covers the last {log.size - covered} of {log.size} leaves")
    _need(log.size, "the log is empty")
    own = "the key in leaf 0" if len(book.keys) < 2 else "the keys that leaves name"
    signed = f"{_many(len(notes), 'checkpoint')}, signed by {'trusted keys' if trusted else own}"
    report.say(signed if notes else "no checkpoint", "ok" if notes else "--")
    kept = _many(len(given.notes), "checkpoint")
    kept += f", {_many(len(given.receipts), 'receipt')}" * bool(given.receipts)
    report.say(f"outside memory: {kept}", "ok" if given.notes or given.receipts else "--")
    report.say(f"leaves under a checkpoint: {covered} of {log.size}", "ok" if log.size == covered else "--")


class _Receipt(NamedTuple):
    """Where the log put a vote, as its agent was told, and where its lines begin in files."""

    origin: str
    idx: int
    hashed: bytes
    lines: list[tuple[Path, int]]


def _parse_receipt(line: bytes) -> tuple[Row, Row]:
    """A line of an agent's receipts and the leaf in it; ValueError for what is none."""
    try:
        given = json.loads(line.decode())
        leaf = parse_vote_leaf(given["leaf"].encode())
        same = leaf and (leaf["kind"], leaf["event"], leaf["sigs"]) == ("vote", given["ballot"], [given["sig"]])
        texts = [given[name] for name in ("promise", "proof")]
    except _ERRORS:
        leaf, same, texts = None, False, []
    whole = leaf and same and leaf["idx"] == given["idx"] and all(isinstance(text, (str, type(None))) for text in texts)
    if not leaf or not whole:
        raise ValueError("not a receipt")
    return given, leaf


def _read_receipts(path: Path) -> Iterator[tuple[str, _Receipt]]:
    """The receipts of a file by the ids of the ballots. What a crash left of a last line is passed over."""
    with _stream(path) as stream:
        for number in itertools.count(1):
            place, line = stream.tell(), stream.readline(RECEIPT_BYTES_MAX + 1)
            if not line:
                return
            try:
                given, leaf = _parse_receipt(line)
            except ValueError:
                torn = not line.endswith(b"\n") and len(line) <= RECEIPT_BYTES_MAX
                _need(torn, f"{path}: no receipt in line {number}")
                return
            hashed = hashlib.sha256(b"\0" + given["leaf"].encode()).digest()
            yield leaf["event"]["id"], _Receipt(leaf["event"]["log"], leaf["idx"], hashed, [(path, place)])


def _gather(paths: Iterable[Path]) -> dict[str, _Receipt]:
    """Later lines add to earlier ones; one that puts a ballot elsewhere (handed in again) takes their place."""
    known: dict[str, _Receipt] = {}
    for path in paths:
        for ballot, receipt in _read_receipts(path):
            before = known.get(ballot)
            if before and before[:3] == receipt[:3]:
                before.lines.extend(receipt.lines)
            else:
                known[ballot] = receipt
            _need(len(known) <= RECEIPTS_MAX, f"over {RECEIPTS_MAX} receipts")
    return known


def _evidence(receipt: _Receipt, keys: list[Key]) -> str:
    """What of a receipt a key of the log signed: `proof`, else `promise`, else nothing."""
    signed = set()
    for path, place in receipt.lines:
        with _stream(path) as stream:
            stream.seek(place)
            given, _ = _parse_receipt(stream.readline(RECEIPT_BYTES_MAX + 1))
        for name, holds in (("proof", _proves), ("promise", _promises)):
            try:
                if given[name] is not None and holds(given[name], receipt, keys):
                    signed.add(name)
            except ValueError:
                continue
    return next((name for name in ("proof", "promise") if name in signed), "")


def _promises(text: str, receipt: _Receipt, keys: list[Key]) -> bool:
    note = parse_note(text, _PROMISE)
    same = (note.origin, note.size, note.root) == receipt[:3]
    return same and any(good for _, good in _signed_by(note, keys))


def _proves(text: str, receipt: _Receipt, keys: list[Key]) -> bool:
    index, path, note = _parse_proof(text)
    same = (index, note.origin) == (receipt.idx, receipt.origin)
    led = same and _climb(receipt.hashed, index, note.size, path) == note.root
    return led and any(good for _, good in _signed_by(note, keys))


def _check_receipts(log: _Log, given: _Given, report: Report) -> None:
    """Hold what agents were promised and given proofs of against the leaves."""
    own = {key: None for _, key in log.book.keys}
    keys = [key for key in (given.trust.keys or own) if key[0] == report.origin]
    passed: Counter[tuple[str, str]] = Counter()
    for receipt in given.receipts.values():
        if receipt.origin != report.origin:
            passed["receipt", "of another log"] += 1
        elif log.hashes.get(receipt.idx) != receipt.hashed:
            signed, told = _evidence(receipt, keys), "the log has another leaf than the vote"
            told = told if receipt.idx < log.size else f"the log has {log.size} leaves, without the vote"
            if signed == "proof":
                report.fail("RECEIPT_MISSING", receipt.idx, f"{told} that a signed checkpoint covers")
            elif signed and receipt.idx < log.size:
                report.fail("PROMISE_BROKEN", receipt.idx, f"{told} that was promised there")
            else:
                beyond = ("promise", "beyond the end of the log")
                passed[beyond if signed else ("receipt", "that no key of this log vouches for")] += 1
    for (word, which), count in passed.items():
        report.say(f"{_many(count, word)} {which}", "--")


def _parse_proof(text: str) -> tuple[int, list[bytes], Note]:
    """The index, the way and the checkpoint of a tlog-proof (C2SP); ValueError if it is malformed."""
    matched = re.fullmatch(_PROOF, text)
    if matched is None:
        raise ValueError("not a proof in canonical form")
    note, _ = parse_note(matched[4]), _unbase64(matched[1] or "")
    return int(matched[2]), [_unbase64(part) for part in matched[3].split()], note


def _disclosed_fact(leaf: Leaf, disclosure: Any, report: Report) -> dict[str, Any]:
    """The fields of a fact, which have to give the digest of the leaf."""
    given = _members(disclosure, ["salt", "fields"], report)
    fields = _members(given["fields"], DISCLOSED, report)
    texts = [None if fields[name] is None else fields[name].encode() for name in DISCLOSED]
    bound = b"".join(b"\xff" * 8 if text is None else len(text).to_bytes(8, "big") + text for text in texts)
    digest = hmac.new(bytes.fromhex(given["salt"]), b"cortex-fact/v1\n" + bound, "sha256").hexdigest()
    meant = leaf[1] == f'"{digest}"'
    report.fail("FACT_CHANGED", leaf[2], "the disclosed text has not the digest of the leaf", unless=meant)
    return fields


def _disclosed_event(leaf: Row, disclosure: Any, report: Report) -> dict[str, Any]:
    """What the event of a votes leaf says, and the reason, which has to give the digest in it."""
    event = leaf["event"]
    names = ("agent", "vote", "truth", "trust", "op", "fact", "fact_digest", "author", "at")
    fields = {"kind": leaf["kind"], **{name: event[name] for name in names if name in event}}
    if leaf["kind"] == "vote":
        fields["weight_e6"] = leaf["weight_e6"]
    if disclosure is not None:
        given = _members(disclosure, ["salt", "fields"], report)
        reason = _members(given["fields"], ["reason"], report)["reason"]
        digest = hmac.new(bytes.fromhex(given["salt"]), b"cortex-reason/v1\n" + reason.encode(), "sha256").hexdigest()
        meant = event.get("reason_digest") == digest
        report.fail("REASON_CHANGED", leaf["idx"], "the disclosed reason has not the digest of the leaf", unless=meant)
        fields["reason"] = reason
    return fields


def _check_event(line: bytes, leaf: Row, origin: str, checked: bool, report: Report) -> None:
    """The signatures of an event alone; what they are worth depends on the whole log."""
    signatures = _Signatures(1, report)
    _check_signed(line, leaf, signatures if checked else None, report)
    signatures.check()
    other = f"it was signed for another log, {leaf['event']['log']!a}"
    report.fail("EVENT_SIG", leaf["idx"], other, unless=leaf["event"]["log"] == origin)
    report.say(f"its signatures: {'good' if checked else 'not checked'}", "ok" if checked else "--")
    report.say("whether its keys had the right to sign is not shown by a proof alone", "--")


def _check_proof(document: dict[str, Any], given: _Given, report: Report) -> None:
    line, disclosure = document["leaf"].encode("utf-8", "surrogatepass"), document["disclosure"]
    vote = parse_vote_leaf(line) if line.startswith(_Votes.opening) else None
    leaf, matched = parse_leaf(line), re.fullmatch(_PROOF, document["proof"])
    if (leaf is None and vote is None) or matched is None:
        report.fail("PROOF" if leaf or vote else "LEAF_FORM", "-", "not in canonical form")
        raise ValueError("the rest was not looked at")
    index, path, note = _parse_proof(document["proof"])
    idx: int = leaf[2] if leaf else vote["idx"] if vote else 0
    report.origin, report.leaves = note.origin, 1
    led = index == idx and _climb(hashlib.sha256(b"\0" + line).digest(), index, note.size, path) == note.root
    report.fail("PROOF", idx, "it does not lead from the leaf to the root of the checkpoint", unless=led)
    told = json.loads(line.decode()) if leaf else {}
    joins = {"fact": "subject", "fact_digest": "digest", "author": "actor"}.items()  # as ballots say, to join proofs
    fields = {name: told[member] for name, member in joins} if told.get("kind") in ("fact", "revise") else {}
    with_text = ""
    if leaf and disclosure is not None:
        fields.update(_disclosed_fact(leaf, disclosure, report))
        with_text = ", the text is its"
    report.say(f"leaf {idx} is under the checkpoint of {note.size}{with_text}")
    if vote:
        fields = _disclosed_event(vote, disclosure, report)
        _check_event(line, vote, note.origin, given.signatures, report)
    kept = _own_notes(given, report).notes
    trusted, same = given.trust.keys, [other for other in kept if other[:2] == note[:2]]
    _vouch([note] if trusted else [], given._replace(notes=same), {note.size: note.root}, [], report)
    _need(trusted or same, "nothing from outside vouches for the checkpoint: give --trust, or --checkpoint of its size")
    report.say("the checkpoint is signed by a trusted key" if trusted else "the checkpoint is remembered")
    if given.receipts:
        report.say("receipts are held against a log, not against a proof", "--")
    report.disclosed = {} if report.findings else fields
    for name, text in report.disclosed.items():
        shown = json.dumps(text)
        report.say(f"disclosed {name}: {shown[:SHOWN_CHARS_MAX]}{'...' * (len(shown) > SHOWN_CHARS_MAX)}")


def _parse_notes(given: Iterable[Any], report: Report) -> list[Note]:
    notes: list[Note] = []
    for at, item in enumerate(given):
        try:
            text = item if isinstance(item, str) else _members(_json(item.decode()), ["note"], report)["note"]
            notes.append(parse_note(text))
        except _ERRORS:
            report.fail("CHECKPOINT_SIG", "-", f"checkpoint {at} is not in canonical form")
        _need(at < CHECKPOINTS_MAX, f"over {CHECKPOINTS_MAX} checkpoints")
    for before, note in enumerate(notes[1:]):
        grown = note.size > notes[before].size
        report.fail("CHECKPOINT_SEQ", note.size, "is not larger than the checkpoint before", unless=grown)
    return notes


def _members(pairs: Any, names: list[str], report: Report) -> dict[str, Any]:
    """The members of an object, each once and no other: a reader may be shown another that nothing vouches for."""
    _need(isinstance(pairs, tuple) and set(names) <= set(dict(pairs)), f"not a JSON object of {', '.join(names)}")
    report.fail("REFUSED", "-", f"a member twice, or one beside {', '.join(names)}", unless=len(pairs) == len(names))
    return dict(pairs)


def _stream(path: Path) -> IO[bytes]:
    """A regular file, opened: a pipe or a device may keep its reader waiting for ever."""
    _need(stat.S_ISREG(path.stat().st_mode), f"{path} is not a regular file")
    stream = os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb")
    _need(stat.S_ISREG(os.fstat(stream.fileno()).st_mode), f"{path} is not a regular file any more")
    return stream


def _read(path: Path) -> str:
    with _stream(path) as stream:
        raw = stream.read(FILE_BYTES_MAX + 1)
    _need(len(raw) <= FILE_BYTES_MAX, f"{path} is over {FILE_BYTES_MAX} bytes (a large log is exported as a directory)")
    return raw.decode()


def _open(path: Path, opened: ExitStack, report: Report) -> dict[str, Any]:
    """A proof or a bundle; a directory or an archive as a JSON bundle would be."""
    if path.is_dir():
        names = [part.name for part in itertools.islice(path.rglob("*"), FILES_MAX + 1)]
    else:
        start = (stream := opened.enter_context(_stream(path))).read(4)
        if start[:1] == b"{":
            return _members(pairs := _json(_read(path)), ["format", *MEMBERS[dict(pairs)["format"]]], report)
        _need(start == b"PK\3\4", f"{path} begins neither as .zip nor as JSON with {{ (a .csv is for reading only)")
        files, names = (archive := zipfile.ZipFile(stream)).infolist(), archive.namelist()
        stream.seek(-22, os.SEEK_END)  # where the end record begins if nothing is behind it, not even a comment
        alone = stream.read(4) == b"PK\5\6" and not archive.comment and 0 in {file.header_offset for file in files}
        report.fail("REFUSED", "-", "there is something before or behind the archive", unless=alone)
        plain = all(f.compress_type in (0, 8) and f.file_size <= f.compress_size * ZIP_RATIO_MAX + 9999 for f in files)
        _need(plain, "an archive that expands too far, or of a compression that is not deflate")
    own = re.search("(?im)^(.*/)?(trust|policy|keys)[^/]*/?$", "\n".join(names))
    report.fail("REFUSED", "-", "the bundle brings its own trust", unless=not own)
    held = sorted(re.findall(r"(?m)^(?:.*/)?(checkpoints|leaves)\.jsonl$", "\n".join(names)))
    whole = held == ["checkpoints", "leaves"] and len(names) <= FILES_MAX
    _need(whole, f"not one leaves.jsonl and one checkpoints.jsonl, or over {FILES_MAX} files")
    parts = (_stream(path / f"{part}.jsonl") if path.is_dir() else archive.open(f"{part}.jsonl") for part in held)
    notes, leaves = [iter(partial(opened.enter_context(part).readline, LINE_BYTES_MAX + 2), b"") for part in parts]
    return {"log": None, "leaves": leaves, "checkpoints": notes}


def _read_trust(path: Path) -> _Trust:
    trust = _Trust()
    try:
        for line in _read(path).split("\n"):
            text = line.strip(" \t\r")
            if text and not text.startswith("#"):
                trust.read(text)
        trust.check()
    except ValueError as error:
        raise ValueError(str(error) if isinstance(error, UnicodeError) else f"{path}: {error}") from None
    return trust


def _read_checkpoints(paths: list[Path], report: Report) -> tuple[list[Note], list[Note]]:
    """Notes that were saved, and those in files of witnesses."""
    notes, seen = list[Note](), list[Note]()
    for path in paths:
        with _stream(path) as stream:
            if stream.read(1) != b"{":
                notes.append(parse_note(_read(path)))
                continue
            stream.seek(0)
            for number, line in enumerate(iter(partial(stream.readline, LINE_BYTES_MAX * 4), b""), 1):
                if not line.endswith(b"\n") or not line.strip():  # in what has no end, its writer was stopped
                    continue
                try:
                    seen.append(parse_note(_members(_json(line.decode()), ["note"], report)["note"]))
                except _ERRORS:
                    raise ValueError(f"{path}: no checkpoint in line {number}") from None
                _need(len(seen) <= CHECKPOINTS_MAX, f"over {CHECKPOINTS_MAX} checkpoints")
    return notes, seen


def _read_outside(
    path: Path, trust: Path | None, checkpoints: list[Path], receipts: list[Path], report: Report
) -> tuple[_Trust, list[Note], list[Note], dict[str, _Receipt]]:
    """What was kept outside the bundle, and is outside of it."""
    for given in filter(None, [trust, *checkpoints, *receipts]):
        for place in (given.resolve(), given.parent.resolve() / given.name):
            outside = path.resolve() not in (place, *place.parents)
            what = "trust, checkpoints and receipts must come from outside the bundle"
            report.fail("REFUSED", "-", what, unless=outside)
    trusted = _read_trust(trust) if trust else _Trust()
    return (trusted, *_read_checkpoints(checkpoints, report), _gather(receipts))


def verify_path(
    path: Path,
    trust: Path | None = None,
    checkpoints: Iterable[Path] = (),
    *,
    receipts: Iterable[Path] = (),
    jobs: int = 1,
    signatures: bool = True,
    verdicts: bool = False,
) -> Report:
    """Check a bundle or proof against what the caller trusts and remembers. Never raises for what it holds.

    With `jobs` over 1, signatures of a large votes log are spread over so many processes.
    """
    report = Report()
    try:
        kept = _read_outside(path, trust, list(checkpoints), list(receipts), report)
        given = _Given(*kept, jobs, signatures, verdicts)
        with ExitStack() as opened:
            document = _open(path, opened, report)
            if "log" in document:
                _check_log(document, given, report)
            else:
                _check_proof(document, given, report)
        if given.trust.keys:
            report.say("origin trusted")
        else:
            report.say("origin not checked (no --trust)", "--")
    except _ERRORS as error:
        told = str(error) if type(error) in _PLAIN else "a file is damaged, not UTF-8, or not of the form expected"
        told = f"{error.filename or path}: {error.strerror}" if isinstance(error, OSError) else told
        report.error = ascii(told)[1:-1]
    return report


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Check a Cortex ledger bundle or proof offline.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--trust", type=Path, help="keys to believe, lines of `log <vkey>` and others")
    parser.add_argument("--checkpoint", type=Path, action="append", default=[], help="a saved one, or a witness's file")
    parser.add_argument("--receipts", type=Path, action="append", default=[], help="receipts that an agent kept")
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1), help="processes for signatures")
    parser.add_argument("--no-signatures", action="store_true", help="leave the signatures of events out")
    parser.add_argument("--verdicts", action="store_true", help="tell verdicts and what agents have earned")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    given = parser.parse_args(argv)
    asked = {"receipts": given.receipts, "jobs": given.jobs, "verdicts": given.verdicts}
    report = verify_path(given.path, given.trust, given.checkpoint, signatures=not given.no_signatures, **asked)
    print(json.dumps({"exit": report.exit_code, **vars(report)}) if given.json else report)
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
