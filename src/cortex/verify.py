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
import os
import re
import stat
import sys
import zipfile
import zlib
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import datetime
from functools import partial, reduce
from pathlib import Path
from typing import IO, Any, NamedTuple

LINE_BYTES_MAX, NOTE_BYTES_MAX, FILE_BYTES_MAX, SHOWN_CHARS_MAX = 64 << 10, 32 << 10, 64 << 20, 1_000
CHECKPOINTS_MAX, FINDINGS_MAX, FILES_MAX, ZIP_RATIO_MAX, INTEGER_MAX = 100_000, 100, 1_000, 200, (1 << 53) - 1
DISCLOSED = ["content", "type", "tags", "key", "source", "meta"]
DISCLOSED += ["confidence", "valid_from", "valid_until", "thread", "seq"]
MEMBERS = {"cortex-ledger/v1": ["log", "leaves", "checkpoints"], "cortex-proof/v1": ["leaf", "proof", "disclosure"]}
_json = partial(json.loads, object_pairs_hook=tuple)  # a dict would keep one of two members of a name
_PLAIN = (ValueError, json.JSONDecodeError, zipfile.BadZipFile, zlib.error)  # what exactly these say is for people
_ERRORS = (*_PLAIN, OSError, EOFError, RuntimeError, ArithmeticError, TypeError, LookupError, AttributeError)

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

Key = tuple[str, bytes, bytes]  # name, key id, and the public key or a signature by it
Leaf = tuple[tuple[int, int], str, int, str, str, Any]  # batch, digest as JSON, idx, prev, ts, in leaf 0 the log's key


class Note(NamedTuple):
    origin: str
    size: int
    root: bytes
    signed: bytes
    signatures: list[Key]


def _need(good: object, what: str) -> None:
    if not good:
        raise ValueError(what)


class Report:
    def __init__(self) -> None:
        self.origin, self.leaves, self.error = "", 0, ""
        self.notes, self.disclosed, self.findings = list[str](), dict[str, Any](), list[dict[str, str]]()

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
        ends = {0: "valid, as far as the lines above go", 1: f"NOT VALID: {len(found)} findings", 3: "not checked"}
        return "\n".join([*self.notes, *found, ends[self.exit_code] + (f" ({self.error})" if self.error else "")])


# Ed25519 (RFC 8032), strictly: canonical encodings only, S below the group order, no points of small order, and the
# equation without the cofactor. Points are (X, Y, Z, T) with x = X/Z, y = Y/Z, xy = T/Z.
_P, _ORDER = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
_D, _I = -121665 * pow(121666, -1, _P) % _P, pow(2, (_P - 1) // 4, _P)
_Point = tuple[int, int, int, int]


def _add(one: _Point, two: _Point) -> _Point:
    a, b = (one[1] - one[0]) * (two[1] - two[0]) % _P, (one[1] + one[0]) * (two[1] + two[0]) % _P
    c, d = 2 * _D * one[3] * two[3] % _P, 2 * one[2] * two[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _multiply(point: _Point, scalar: int) -> _Point:
    total = (0, 1, 1, 0)
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


def verify_ed25519(public: bytes, message: bytes, signature: bytes) -> bool:
    base, scalar = _decode(b"\x58" + b"\x66" * 31), int.from_bytes(signature[32:], "little")
    negated = _decode(public[:31] + bytes([public[31] ^ 128])) if (len(public), len(signature)) == (32, 64) else None
    if base is None or negated is None or scalar >= _ORDER or _multiply(negated, 8)[0] == 0:
        return False
    hashed = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % _ORDER
    point = _add(_multiply(base, scalar), _multiply(negated, hashed))
    x, y = (value * pow(point[2], -1, _P) % _P for value in point[:2])
    return _multiply(point, 8)[0] != 0 and signature[:32] == (y | (x & 1) << 255).to_bytes(32, "little")


def _unbase64(text: str) -> bytes:
    raw = base64.b64decode(text, validate=True)
    _need(base64.b64encode(raw).decode() == text, "base64 in another form than the canonical")
    return raw


def parse_vkey(text: str) -> Key:
    """The key of a `<name>+<key id>+<base64>` text; ValueError if it is not a whole Ed25519 key."""
    name, key_id, encoded = [*text.split("+", 2), "", ""][:3]
    raw = _unbase64(encoded)
    hashed = hashlib.sha256(name.encode() + b"\n" + raw).hexdigest()
    whole = re.fullmatch(_NAME, name) and len(raw) == 33 and raw[0] == 1 and hashed[:8] == key_id
    _need(whole, "not a whole Ed25519 verifier key <name>+<key id>+<base64>")
    return name, bytes.fromhex(key_id), raw[1:]


def parse_note(text: str) -> Note:
    """The checkpoint of a signed note (C2SP); ValueError if it is malformed."""
    matched = re.fullmatch(f"({_BODY})\n((?:{_SIGNATURE}){{1,64}})", text) if len(text) <= NOTE_BYTES_MAX else None
    if matched is None or len(text.encode()) > NOTE_BYTES_MAX or int(matched[3]) > INTEGER_MAX:
        raise ValueError("not a checkpoint in canonical form")
    signatures = [(name, (raw := _unbase64(text))[:4], raw[4:]) for name, text in re.findall(_SIGNATURE, matched[5])]
    return Note(matched[2], int(matched[3]), _unbase64(matched[4]), matched[1].encode(), signatures)


def parse_leaf(line: bytes) -> Leaf | None:
    """The leaf of a line, or None when the line is not exactly what a log writes."""
    try:
        matched = _LEAF.fullmatch(line.decode()) if len(line) <= LINE_BYTES_MAX else None
        first, count, digest, index, kind, prev, subject, ts = matched.groups() if matched else [""]
        _need(datetime.fromisoformat(ts).isoformat(timespec="microseconds") == ts, "24:00, which Python 3.14 reads")
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
        self.range, self.keys = list[bytes](), list[Key]()
        self.size, self.next, self.batch, self.prev, self.ts = 0, 0, (0, 0), "", ""

    def append(self, line: bytes, report: Report) -> None:
        whole = len(line) <= LINE_BYTES_MAX + 1 and line[-1:] == b"\n"
        report.fail("LEAF_FORM", self.next, "the line is too long or has no end", unless=whole)
        _need(whole, "the rest was not read")
        hashed, leaf = hashlib.sha256(b"\0" + line[:-1]).digest(), parse_leaf(line[:-1])
        report.fail("LEAF_FORM", self.next, "not a leaf in canonical form", unless=leaf)
        batch, _, idx, prev, ts, key = leaf or ((self.next + 1, 0), "", self.next, self.prev, self.ts, None)
        if key and self.size == 0:
            self.keys, report.origin = [key], key[0]
            self.prev = hashlib.sha256(key[0].encode()).hexdigest()
        linked, follows = prev == self.prev, batch == self.batch or batch[0] == idx == sum(self.batch)
        report.fail("CHAIN_LINK", idx, "prev is not the hash of the leaf before, or of the origin", unless=linked)
        report.fail("GAP", self.next, f"leaf {idx} stands where leaf {self.next} should", unless=idx == self.next)
        report.fail("GAP", idx, "a torn batch", unless=follows or idx != self.next or not leaf)
        report.fail("TIME_ORDER", idx, f"{ts}Z is earlier than the leaf before", unless=ts >= self.ts)
        self.next, self.ts, self.batch, self.prev, size = idx + 1, ts, batch, hashed.hex(), self.size
        while size & 1:
            hashed, size = _node(self.range.pop(), hashed), size >> 1
        self.range.append(hashed)
        self.size = report.leaves = self.size + 1
        if self.size in self.wanted:
            self.roots[self.size] = reduce(lambda right, left: _node(left, right), self.range[::-1])


def _vouch(own: list[Note], kept: list[Note], roots: dict[int, bytes], keys: list[Key], report: Report) -> None:
    """Hold the bundle's own checkpoints and the remembered ones against the roots of the log."""
    known, seen = [key for key in keys if key[0] == report.origin], dict[int, bytes]()
    if keys and report.origin and not known:
        report.fail("ORIGIN", "-", "this is no log that is trusted")
        return
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
        one = not (good and all(good)) or seen.setdefault(where, note.root) == note.root
        report.fail("SPLIT_VIEW", where, "two signed checkpoints of this size have different roots", unless=one)


def _check_log(document: dict[str, Any], trusted: list[Key], kept: list[Note], report: Report) -> None:
    _need(document["log"] == "transactions", "a bundle of another log than that of the transactions")
    notes = _parse_notes(document["checkpoints"], report)
    log = _Log(note.size for note in [*notes, *kept])
    for line in document["leaves"]:
        log.append(line if isinstance(line, bytes) else f"{line}\n".encode("utf-8", "surrogatepass"), report)
    report.fail("GAP", log.next, "the last batch is torn", unless=sum(log.batch) == log.next)
    report.say(f"{log.size} leaves: form, links, order")
    _vouch(notes, kept, log.roots, trusted or log.keys, report)
    covered = max(log.wanted)
    report.fail("CHECKPOINT_SIG", "-", "no checkpoint: nothing is signed by a trusted key", unless=notes or not trusted)
    if trusted and covered < log.size:
        report.fail("UNSIGNED", covered, f"no checkpoint covers the last {log.size - covered} of {log.size} leaves")
    _need(log.size, "the log is empty")
    signed = f"{len(notes)} checkpoints, signed by {'trusted keys' if trusted else 'the key in leaf 0'}"
    report.say(signed if notes else "no checkpoint", "ok" if notes else "--")
    report.say(f"outside memory: {len(kept)} checkpoints", "ok" if kept else "--")
    report.say(f"leaves under a checkpoint: {covered} of {log.size}", "ok" if log.size == covered else "--")


def _check_proof(document: dict[str, Any], trusted: list[Key], kept: list[Note], report: Report) -> None:
    line, disclosure = document["leaf"].encode("utf-8", "surrogatepass"), document["disclosure"]
    fields: dict[str, Any] = {}
    leaf, matched = parse_leaf(line), re.fullmatch(_PROOF, document["proof"])
    if leaf is None or matched is None:
        report.fail("LEAF_FORM" if leaf is None else "PROOF", "-", "not in canonical form")
        raise ValueError("the rest was not looked at")
    note, index, idx, _ = parse_note(matched[4]), int(matched[2]), leaf[2], _unbase64(matched[1] or "")
    report.origin, report.leaves, path = note.origin, 1, [_unbase64(text) for text in matched[3].split()]
    led = index == idx and _climb(hashlib.sha256(b"\0" + line).digest(), index, note.size, path) == note.root
    report.fail("PROOF", idx, "it does not lead from the leaf to the root of the checkpoint", unless=led)
    if disclosure is not None:
        given = _members(disclosure, ["salt", "fields"], report)
        fields = _members(given["fields"], DISCLOSED, report)
        texts = [None if fields[name] is None else fields[name].encode() for name in DISCLOSED]
        bound = b"".join(b"\xff" * 8 if text is None else len(text).to_bytes(8, "big") + text for text in texts)
        digest = hmac.new(bytes.fromhex(given["salt"]), b"cortex-fact/v1\n" + bound, "sha256").hexdigest()
        meant = leaf[1] == f'"{digest}"'
        report.fail("FACT_CHANGED", idx, "the disclosed text has not the digest of the leaf", unless=meant)
    report.say(f"leaf {idx} is under the checkpoint of {note.size}{', the text is its' if fields else ''}")
    same = [other for other in kept if other[:2] == note[:2]]
    _vouch([note] if trusted else [], same, {note.size: note.root}, trusted, report)
    _need(trusted or same, "nothing from outside vouches for the checkpoint: give --trust, or --checkpoint of its size")
    report.say("the checkpoint is signed by a trusted key" if trusted else "the checkpoint is remembered")
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
    return {"log": "transactions", "leaves": leaves, "checkpoints": notes}


def _read_trust(path: Path) -> list[Key]:
    lines = [line.strip() for line in _read(path).split("\n")]
    given = [line for line in lines if not re.fullmatch(r"(#.*|quorum\s+none)?", line)]
    odd = [line[:80] for line in given if not re.fullmatch(r"log\s+\S+(\s+\S+)?", line)]
    _need(not odd, f"{path}: {odd[:1]} is not supported; only `log <vkey>` and `quorum none` are")
    keys = [parse_vkey(line.split()[1]) for line in given]
    _need(keys and len({public for _, _, public in keys}) == len(keys), f"{path} names no log, or one key twice")
    return keys


def verify_path(path: Path, trust: Path | None = None, checkpoints: Iterable[Path] = ()) -> Report:
    """Check a bundle or proof against what the caller trusts and remembers. Never raises for what it holds."""
    report, remembered = Report(), list(checkpoints)
    try:
        for given in filter(None, [trust, *remembered]):
            for place in (given.resolve(), given.parent.resolve() / given.name):
                outside = path.resolve() not in (place, *place.parents)
                report.fail("REFUSED", "-", "trust and checkpoints must come from outside the bundle", unless=outside)
        trusted, kept = _read_trust(trust) if trust else [], [parse_note(_read(given)) for given in remembered]
        with ExitStack() as opened:
            document = _open(path, opened, report)
            (_check_log if "log" in document else _check_proof)(document, trusted, kept, report)
        report.say(f"origin {'trusted' if trusted else 'not checked (no --trust)'}", "ok" if trusted else "--")
    except _ERRORS as error:
        told = str(error) if type(error) in _PLAIN else "a file is damaged, not UTF-8, or not of the form expected"
        told = f"{error.filename or path}: {error.strerror}" if isinstance(error, OSError) else told
        report.error = ascii(told)[1:-1]
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
