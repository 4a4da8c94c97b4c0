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
import itertools
import json
import re
import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

LINE_BYTES_MAX, NOTE_BYTES_MAX, FILE_BYTES_MAX = 64 << 10, 32 << 10, 64 << 20
CHECKPOINTS_MAX, FINDINGS_MAX, FILES_MAX, ZIP_RATIO_MAX, INTEGER_MAX = 100_000, 100, 1_000, 200, (1 << 53) - 1
DISCLOSED = ["content", "type", "tags", "key", "source", "meta"]
DISCLOSED += ["confidence", "valid_from", "valid_until", "thread", "seq"]
_ERRORS = (OSError, EOFError, RuntimeError, ValueError, TypeError, LookupError, AttributeError, zipfile.BadZipFile)

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
_SIGNATURE = f"— ({_NAME}) ([A-Za-z0-9+/]{{7,}}={{0,2}})\n"
_BODY = f"([^\x00-\x1f\x7f-\x9f]+)\n{_NUMBER}\n([A-Za-z0-9+/]{{43}}=)\n"
_HASHES = "((?:[A-Za-z0-9+/]{43}=\n){0,53})"
_PROOF = f"c2sp\\.org/tlog-proof@v1\n(?:extra ([A-Za-z0-9+/=]{{1,5464}})\n)?index {_NUMBER}\n{_HASHES}\n(?s:(.+))"

# A public key under its name, or a signature by one: name, key id, and the key or the signature.
Key = tuple[str, bytes, bytes]
# A leaf: its batch (first, count), digest (as JSON), idx, prev, ts, and in leaf 0 the key of the log.
Leaf = tuple[tuple[int, int], str, int, str, str, Any]


class Note(NamedTuple):
    origin: str
    size: int
    root: bytes
    signed: bytes
    signatures: list[Key]


class Report:
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

    def say(self, what: str, mark: str = "ok") -> None:
        if not self.findings:
            self.notes.append(f"{mark}  {what}")

    def __str__(self) -> str:
        found = ["FAIL {code} id={id} {what}".format(**found) for found in self.findings]
        ends = {0: "valid, as far as the lines above go", 1: f"NOT VALID: {len(found)} findings", 3: "not checked"}
        return "\n".join([*self.notes, *found, ends[self.exit_code] + (f" ({self.error})" if self.error else "")])


# Ed25519 (RFC 8032), strictly: canonical encodings only, S below the group order, no points of small order, and the
# equation without the cofactor. Points are (X, Y, Z, T) with x = X/Z, y = Y/Z, xy = T/Z.
_P, _ORDER = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
_D, _I = -121665 * pow(121666, -1, _P) % _P, pow(2, (_P - 1) // 4, _P)
_Point = tuple[int, int, int, int]


def _add(one: _Point, two: _Point) -> _Point:
    a = (one[1] - one[0]) * (two[1] - two[0]) % _P
    b = (one[1] + one[0]) * (two[1] + two[0]) % _P
    c, d = 2 * _D * one[3] * two[3] % _P, 2 * one[2] * two[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _multiply(point: _Point, scalar: int) -> _Point:
    total = (0, 1, 1, 0)
    for bit in f"{scalar:b}":
        total = _add(total, total) if bit == "0" else _add(_add(total, total), point)
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


def verify_ed25519(public: bytes, message: bytes, signature: bytes) -> bool:
    base, scalar = _decode(b"\x58" + b"\x66" * 31), int.from_bytes(signature[32:], "little")
    negated = _decode(public[:31] + bytes([public[31] ^ 128])) if (len(public), len(signature)) == (32, 64) else None
    if base is None or negated is None or scalar >= _ORDER or _multiply(negated, 8)[0] == 0:
        return False
    hashed = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % _ORDER
    point = _add(_multiply(base, scalar), _multiply(negated, hashed))
    inverse = pow(point[2], -1, _P)
    x, y = point[0] * inverse % _P, point[1] * inverse % _P
    return _multiply(point, 8)[0] != 0 and signature[:32] == (y | (x & 1) << 255).to_bytes(32, "little")


def _unbase64(text: str) -> bytes:
    if base64.b64encode(raw := base64.b64decode(text, validate=True)).decode() != text:
        raise ValueError("base64 in another form than the canonical")
    return raw


def parse_vkey(text: str) -> Key:
    """The key of a `<name>+<key id>+<base64>` text; ValueError if it is not a whole Ed25519 key."""
    name, key_id, encoded = [*text.split("+", 2), "", ""][:3]
    raw = _unbase64(encoded)
    hashed = hashlib.sha256(name.encode() + b"\n" + raw).hexdigest()
    if not re.fullmatch(_NAME, name) or len(raw) != 33 or raw[0] != 1 or hashed[:8] != key_id:
        raise ValueError("not a whole Ed25519 verifier key <name>+<key id>+<base64>")
    return name, bytes.fromhex(key_id), raw[1:]


def parse_note(text: str) -> Note:
    """The checkpoint of a signed note (C2SP); ValueError if it is malformed."""
    matched = re.fullmatch(f"({_BODY})\n((?:{_SIGNATURE}){{1,64}})", text) if len(text) <= NOTE_BYTES_MAX else None
    if matched is None or len(text.encode()) > NOTE_BYTES_MAX or int(matched[3]) > INTEGER_MAX:
        raise ValueError("not a checkpoint in canonical form")
    lines = [(name, _unbase64(encoded)) for name, encoded in re.findall(_SIGNATURE, matched[5])]
    signatures = [(name, raw[:4], raw[4:]) for name, raw in lines]
    return Note(matched[2], int(matched[3]), _unbase64(matched[4]), matched[1].encode(), signatures)


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


class _Log:
    def __init__(self, wanted: Iterable[int]) -> None:
        self.wanted, self.roots = frozenset([0, *wanted]), {0: hashlib.sha256().digest()}
        self.range: list[bytes] = []
        self.keys: list[Key] = []
        self.size, self.next, self.batch, self.prev, self.ts = 0, 0, (0, 0), "", ""

    def append(self, line: bytes, report: Report) -> None:
        if len(line) > LINE_BYTES_MAX + 1 or line[-1:] != b"\n":
            report.fail("LEAF_FORM", self.next, "the line is too long or has no end")
            raise ValueError("the rest was not read")
        hashed, leaf = hashlib.sha256(b"\0" + line[:-1]).digest(), parse_leaf(line[:-1])
        if leaf is None:
            report.fail("LEAF_FORM", self.next, "not a leaf in canonical form")
            self.next, self.batch = self.next + 1, (self.next + 1, 0)
        else:
            self._check(leaf, report)
        self.prev, size = hashed.hex(), self.size
        while size & 1:
            hashed, size = _node(self.range.pop(), hashed), size >> 1
        self.range.append(hashed)
        self.size += 1
        if self.size in self.wanted:
            for left in self.range[-2::-1]:
                hashed = _node(left, hashed)
            self.roots[self.size] = hashed

    def _check(self, leaf: Leaf, report: Report) -> None:
        batch, _, idx, prev, ts, key = leaf
        if key and self.size == 0:
            self.keys, report.origin = [key], key[0]
            self.prev = hashlib.sha256(key[0].encode()).hexdigest()
        if prev != self.prev:
            report.fail("CHAIN_LINK", idx, "prev is not the hash of the leaf before, or of the origin")
        if idx != self.next:
            report.fail("GAP", self.next, f"leaf {idx} stands where leaf {self.next} should")
        elif batch != self.batch and not batch[0] == idx == sum(self.batch):
            report.fail("GAP", idx, "a torn batch")
        if ts < self.ts:
            report.fail("TIME_ORDER", idx, f"{ts}Z is earlier than the leaf before")
        self.next, self.ts, self.batch = idx + 1, ts, batch


def _vouch(own: list[Note], kept: list[Note], roots: dict[int, bytes], keys: list[Key], report: Report) -> None:
    """Hold the bundle's own checkpoints and the remembered ones against the roots of the log."""
    known = [key for key in keys if key[0] == report.origin]
    if keys and report.origin and not known:
        report.fail("ORIGIN", "-", "this is no log that is trusted")
        return
    seen: dict[int, bytes] = {}
    for at, note in enumerate([*own, *kept]):
        where, remembered = note.size, at >= len(own)
        good = [verify_ed25519(k[2], note.signed, s[2]) for k in known for s in note.signatures if k[:2] == s[:2]]
        if report.origin not in ("", note.origin):
            report.fail("ORIGIN", where, "a checkpoint of another log")
        elif not all(good) or not (good or remembered):
            report.fail("CHECKPOINT_SIG", where, "a bad signature" if good else "no signature by a known key")
        elif where not in roots:
            report.fail("ROLLBACK" if remembered else "TRUNCATED", where, f"the log has {report.leaves} leaves")
        elif roots[where] != note.root:
            report.fail("HISTORY_REWRITTEN", where, "the checkpoint has another root than the leaves")
        if good and all(good) and seen.setdefault(where, note.root) != note.root:
            report.fail("SPLIT_VIEW", where, "two signed checkpoints of this size have different roots")


def _check_log(document: dict[str, Any], trusted: list[Key], kept: list[Note], report: Report) -> None:
    if (document["format"], document["log"]) != ("cortex-ledger/v1", "transactions"):
        raise ValueError("neither a bundle of the log of transactions nor a proof")
    notes = _parse_notes(document["checkpoints"], report)
    log = _Log(note.size for note in [*notes, *kept])
    for line in document["leaves"]:
        log.append(line if isinstance(line, bytes) else f"{line}\n".encode("utf-8", "surrogatepass"), report)
        report.leaves = log.size
    if sum(log.batch) != log.next:
        report.fail("GAP", log.next, "the last batch is torn")
    report.say(f"{log.size} leaves: form, links, order")
    _vouch(notes, kept, log.roots, trusted or log.keys, report)
    if trusted and not notes:
        report.fail("CHECKPOINT_SIG", "-", "no checkpoint: nothing is signed by a trusted key")
    if not log.size:
        raise ValueError("the log is empty")
    by = "trusted keys" if trusted else "the key in leaf 0"
    report.say(f"{len(notes)} checkpoints, signed by {by}" if notes else "no checkpoint", "ok" if notes else "--")
    report.say(f"outside memory: {len(kept)} checkpoints", "ok" if kept else "--")
    report.say(f"leaves under a checkpoint: {max(log.wanted)}", "ok" if log.size in log.wanted else "--")


def _check_proof(document: dict[str, Any], trusted: list[Key], kept: list[Note], report: Report) -> None:
    line, disclosure = document["leaf"].encode("utf-8", "surrogatepass"), document.get("disclosure")
    leaf, matched = parse_leaf(line), re.fullmatch(_PROOF, document["proof"])
    if leaf is None or matched is None:
        report.fail("LEAF_FORM" if leaf is None else "PROOF", "-", "not in canonical form")
        raise ValueError("the rest was not looked at")
    note, index, idx, _ = parse_note(matched[4]), int(matched[2]), leaf[2], _unbase64(matched[1] or "")
    report.origin, report.leaves, path = note.origin, 1, [_unbase64(text) for text in matched[3].split()]
    if index != idx or _climb(hashlib.sha256(b"\0" + line).digest(), index, note.size, path) != note.root:
        report.fail("PROOF", idx, "it does not lead from the leaf to the root of the checkpoint")
    if disclosure is not None and _digest(disclosure) != leaf[1]:
        report.fail("FACT_CHANGED", idx, "the disclosed text has not the digest of the leaf")
    report.say(f"leaf {idx} is under the checkpoint of {note.size}{'' if disclosure is None else ', the text is its'}")
    same = [other for other in kept if other[:2] == note[:2]]
    _vouch([note] if trusted else [], same, {note.size: note.root}, trusted, report)
    if not trusted and not same:
        raise ValueError("nothing from outside vouches for the checkpoint; give --trust, or a --checkpoint of its size")
    report.say("the checkpoint is signed by a trusted key" if trusted else "the checkpoint is remembered")


def _digest(disclosure: dict[str, Any]) -> str:
    fields, parts = disclosure["fields"], [b"cortex-fact/v1\n"]
    for name in {**dict.fromkeys(DISCLOSED), **fields}:  # a field that the digest does not bind is not disclosed
        raw = b"" if fields[name] is None else fields[name].encode()
        parts += [b"\xff" * 8 if fields[name] is None else len(raw).to_bytes(8, "big"), raw]
    return f'"{hmac.new(bytes.fromhex(disclosure["salt"]), b"".join(parts), "sha256").hexdigest()}"'


def _parse_notes(given: Iterable[Any], report: Report) -> list[Note]:
    notes: list[Note] = []
    for at, item in enumerate(given):
        try:
            note = parse_note(item if isinstance(item, str) else json.loads(item)["note"])
        except _ERRORS:
            report.fail("CHECKPOINT_SIG", "-", f"checkpoint {at} is not in canonical form")
        else:
            if notes and note.size <= notes[-1].size:
                report.fail("CHECKPOINT_SEQ", note.size, "stands after a checkpoint of this size or a larger one")
            notes.append(note)
        if at >= CHECKPOINTS_MAX:
            raise ValueError(f"over {CHECKPOINTS_MAX} checkpoints")
    return notes


def _lines(root: Any, name: str) -> Iterator[bytes]:
    with (root / name).open("rb") as stream:
        while line := stream.readline(LINE_BYTES_MAX + 2):
            yield line


def _open(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The content of a bundle in the form of a JSON bundle, and the names of all its parts."""
    if path.suffix.lower() == ".csv":
        raise ValueError("a CSV is for reading only: export a directory, a .zip or JSON")
    if path.is_dir():
        root: Any = path
        names = [part.name for part in itertools.islice(path.rglob("*"), FILES_MAX + 1)]
    elif zipfile.is_zipfile(path):
        files = (root := zipfile.Path(path)).root.infolist()
        if any(f.compress_type not in (0, 8) or f.file_size > f.compress_size * ZIP_RATIO_MAX + 9999 for f in files):
            raise ValueError("an archive that expands too far, or of a compression that is not deflate")
        names = [Path(file.filename).name for file in files]
    else:
        return (document := dict(json.loads(_read(path)))), list(document)
    if len(names) > FILES_MAX or names.count("leaves.jsonl") != 1 or names.count("checkpoints.jsonl") != 1:
        raise ValueError(f"not one leaves.jsonl and one checkpoints.jsonl, or over {FILES_MAX} files")
    parts = {part: _lines(root, f"{part}.jsonl") for part in ("leaves", "checkpoints")}
    return {"format": "cortex-ledger/v1", "log": "transactions", **parts}, names


def _read(path: Path) -> str:
    if not path.is_file() or path.stat().st_size > FILE_BYTES_MAX:
        raise ValueError(f"{path} is no file, or over {FILE_BYTES_MAX} bytes (a large log is exported as a directory)")
    return path.read_bytes().decode()


def _read_trust(path: Path) -> list[Key]:
    keys = []
    for line in _read(path).split("\n"):
        words = line.split()
        if words and not words[0].startswith("#") and words != ["quorum", "none"]:
            if words[0] != "log" or len(words) not in (2, 3):
                raise ValueError(f"{path}: {line[:80]!r} is not supported; only `log <vkey>` and `quorum none` are")
            keys.append(parse_vkey(words[1]))
    if not keys or len({public for _, _, public in keys}) < len(keys):
        raise ValueError(f"{path} names no log, or one key twice")
    return keys


def _check(path: Path, trust: Path | None, checkpoints: list[Path], report: Report) -> None:
    for given in filter(None, [trust, *checkpoints]):
        places = (given.resolve(), given.parent.resolve() / given.name)
        if any(path.resolve() in (place, *place.parents) for place in places):
            report.fail("REFUSED", "-", "trust and remembered checkpoints must come from outside the bundle")
    trusted = _read_trust(trust) if trust else []
    kept = [parse_note(_read(given)) for given in checkpoints]
    document, names = _open(path)
    if any(name.lower().startswith(("trust", "policy", "keys")) for name in names):
        report.fail("REFUSED", "-", "the bundle brings its own trust")
    (_check_proof if document["format"] == "cortex-proof/v1" else _check_log)(document, trusted, kept, report)
    report.say(f"origin {'trusted' if trusted else 'not checked (no --trust)'}", "ok" if trusted else "--")


def verify_path(path: Path, trust: Path | None = None, checkpoints: Iterable[Path] = ()) -> Report:
    """Check a bundle or proof against what the caller trusts and remembers. Never raises for what it holds."""
    report = Report()
    try:
        _check(path, trust, list(checkpoints), report)
    except (*_ERRORS, zlib.error) as error:
        report.error = ascii(f"{error}" if type(error) is ValueError else f"{type(error).__name__}: {error}")[1:-1]
    return report


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Check a Cortex ledger bundle or proof offline.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--trust", type=Path, help="keys to believe, lines of `log <vkey>`")
    parser.add_argument("--checkpoint", type=Path, action="append", default=[], help="a checkpoint saved before")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    given = parser.parse_args(argv)
    report = verify_path(given.path, given.trust, given.checkpoint)
    print(json.dumps({"exit": report.exit_code, **vars(report)}) if given.json else report)
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
