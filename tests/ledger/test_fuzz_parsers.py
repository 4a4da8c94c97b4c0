"""Readers of what outsiders bring: they refuse in their own words, accept one form alone, and agree with each other."""

import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cortex import canonical, verify
from cortex.errors import Corrupt, Invalid, TooLarge
from cortex.ledger import checkpoint, merkle, proof
from cortex.ledger.checkpoint import Checkpoint, Key, Signer
from cortex.ledger.proof import Proof

SIGNER = Signer("cortex/transactions/0123456789abcdef/fedcba9876543210", b"\x01" * 32)
WITNESS = Signer("witness.example/ä", b"\x02" * 32)

# What looks the same to people, or to a lenient reader, as what a form asks for.
ALIKE = [
    *[("\n", "\r\n"), ("\n", "\r"), ("\n", "\u2028"), ("\n", "\x85"), ("\n", "\n\n"), ("\n\n", "\n"), ("\n", "\n ")],
    *[(" ", "\u00a0"), (" ", "\u2003"), (" ", "  "), (" ", "\t"), (" ", ""), ("—", "-"), ("—", "–"), ("—", "―")],
    *[
        ("0", "٠"),
        ("1", "１"),
        ("7", "７"),
        ("0", "O"),
        ("1", "+1"),
        ("1", "01"),
        ("3", "3.0"),
        ("3", "3e0"),
        ("3", "-3"),
    ],
    *[("a", "а"), ("c", "с"), ("e", "é"), ("e", "e\u0301"), ("ä", "a\u0308"), ("o", "ο"), ("a", "A"), ("/", "∕")],
    *[("=", ""), ("=", "=="), ("+", "-"), ("/", "_"), ('"', "'"), ('"', "“"), ("/", "\\/"), ("a", "\\u0061")],
    *[
        (":", ": "),
        (",", ", "),
        ("{", "{ "),
        ("}", " }"),
        ("null", '"null"'),
        ("null", "false"),
        (".", ".0"),
        ("Z", "z"),
    ],
    *[("Z", "+00:00"), ("T0", "T2"), ("T09", "T24"), (":00", ":60"), ("03-01", "02-30"), ("20", "00"), ("\ufeff", "")],
]
BASE64 = re.compile(r"[A-Za-z0-9+/]{7,}={1,2}")
SYMBOLS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def log(size: int) -> tuple[list[bytes], list[str]]:
    """The leaves of a small log, and the notes at its half and its end."""
    lines: list[bytes] = []
    prev = canonical.origin_link(SIGNER.name)
    for idx in range(size):
        lines.append(
            canonical.leaf(
                actor='agent:ada "ä" \\',
                batch=idx,
                batch_n=1,
                digest="ab" * 32 if idx else None,
                idx=idx,
                kind="fact" if idx else "origin",
                parent=None,
                prev=prev,
                project="tea" if idx else None,
                rev=f"{idx}" if idx else None,
                subject=f"fact-{idx}" if idx else SIGNER.vkey,
                ts=f"2026-03-01T09:00:0{idx}.000000Z",
            )
        )
        prev = merkle.leaf_hash(lines[-1]).hex()
    return lines, [checkpoint.sign(head(lines[:at]), SIGNER) for at in (size // 2, size)]


def head(lines: list[bytes]) -> Checkpoint:
    return Checkpoint(SIGNER.name, len(lines), merkle.root(map(merkle.leaf_hash, lines)))


def get(level: int, index: int) -> bytes:
    return merkle.root(map(merkle.leaf_hash, LEAVES[index << level : index + 1 << level]))


LEAVES, NOTES = log(6)
COSIGNED = NOTES[1] + checkpoint.sign(head(LEAVES), WITNESS).splitlines(keepends=True)[-1]
PROOF = proof.encode(Proof(2, tuple(merkle.inclusion_proof(2, 6, get)), COSIGNED, b"more"))
FIRST_PROOF = proof.encode(Proof(0, (), checkpoint.sign(head(LEAVES[:1]), SIGNER)))


@st.composite
def mutations(draw: st.DrawFn, seed: str) -> str:
    """A text changed one to three times, as a mistake, a tool or a forger would."""
    for _ in range(draw(st.integers(1, 3))):
        seed = draw(st.sampled_from(CHANGES))(draw, seed)
    return seed


def flip(draw: st.DrawFn, text: str) -> str:
    raw = bytearray(text.encode("utf-8", "surrogatepass") or b"x")
    raw[draw(st.integers(0, len(raw) - 1))] ^= 1 << draw(st.integers(0, 7))
    return raw.decode("utf-8", "replace")


def splice(draw: st.DrawFn, text: str) -> str:
    at, gone = draw(st.integers(0, len(text))), draw(st.integers(0, 3))
    return text[:at] + draw(st.text(max_size=3)) + text[at + gone :]


def lines_moved(draw: st.DrawFn, text: str) -> str:
    lines = text.splitlines(keepends=True) or [""]
    one, two = draw(st.integers(0, len(lines) - 1)), draw(st.integers(0, len(lines) - 1))
    match draw(st.sampled_from(["twice", "swap", "drop", "end"])):
        case "twice":
            lines.insert(two, lines[one])
        case "swap":
            lines[one], lines[two] = lines[two], lines[one]
        case "drop":
            del lines[one]
        case _:
            lines[one] = lines[one].rstrip("\n")
    return "".join(lines)


def alike(draw: st.DrawFn, text: str) -> str:
    old, new = draw(st.sampled_from(ALIKE))
    places = [found.start() for found in re.finditer(re.escape(old), text)]
    if not places:
        return text + draw(st.sampled_from(["\n", " ", "\0", "\ufeff", "\u200b", "\ud800"]))
    at = draw(st.sampled_from(places))
    return text[:at] + new + text[at + len(old) :]


def padding(draw: st.DrawFn, text: str) -> str:
    """Other bits under the padding of a base64 text: lenient readers see the same bytes."""
    found = list(BASE64.finditer(text))
    if not found:
        return splice(draw, text)
    last = draw(st.sampled_from(found)).group()
    at = len(last.rstrip("=")) - 1
    other = SYMBOLS[(SYMBOLS.index(last[at]) + draw(st.integers(1, 63))) % 64]
    return text.replace(last, last[:at] + other + last[at + 1 :], 1)


CHANGES: list[Callable[[st.DrawFn, str], str]] = [flip, splice, lines_moved, alike, alike, padding]
JUNK = st.text(max_size=200) | st.text(st.sampled_from("ax7A=/+ \n—09"), max_size=80)


def changed(*seeds: str) -> st.SearchStrategy[str]:
    return st.sampled_from(seeds).flatmap(mutations) | st.sampled_from(seeds) | JUNK


def ours_of_note(text: str) -> tuple[object, ...] | None:
    try:
        found, signatures = checkpoint.parse(text)
    except Corrupt:
        return None
    raws = [checkpoint.encode_base64(line.key_id + line.signature) for line in signatures]
    again = "".join(f"— {line.name} {raw}\n" for line, raw in zip(signatures, raws, strict=True))
    assert text == f"{checkpoint.body(found)}\n{again}", "what is read is written the same"
    return found.origin, found.size, found.root, [(line.name, line.key_id, line.signature) for line in signatures]


def theirs_of_note(text: str) -> tuple[object, ...] | None:
    try:
        found = verify.parse_note(text)
    except ValueError:
        return None
    assert text.startswith(found.signed.decode() + "\n—")
    return found.origin, found.size, found.root, found.signatures


@settings(max_examples=1_500)
@given(changed(NOTES[0], NOTES[1], COSIGNED))
@example(NOTES[1])
def test_a_note_has_one_form_and_both_read_the_same_in_it(text: str) -> None:
    ours = ours_of_note(text)

    assert ours == theirs_of_note(text)
    assert ours is not None or text not in {*NOTES, COSIGNED}


@settings(max_examples=800)
@given(changed(NOTES[1], COSIGNED))
def test_a_changed_note_never_vouches_for_another_checkpoint(text: str) -> None:
    for keys, most in [([SIGNER.vkey], 1), ([SIGNER.vkey, WITNESS.vkey], 2)]:
        try:
            found = checkpoint.verify(text, keys, most)
        except Corrupt:
            continue

        assert head(LEAVES) == found


@settings(max_examples=800)
@given(changed(SIGNER.vkey, WITNESS.vkey))
def test_a_key_has_one_form_and_both_read_the_same_in_it(text: str) -> None:
    ours = theirs = None
    try:
        key = checkpoint.parse_vkey(text)
        ours = key.name, key.key_id, key.public
    except Invalid:
        pass
    try:
        theirs = verify.parse_vkey(text)
    except ValueError:
        pass

    assert ours == theirs
    assert ours is None or text == Key(ours[0], ours[2]).vkey


def theirs_of_proof(text: str) -> tuple[object, ...] | None:
    """As verify.py reads the proof of a document, step by step."""
    matched = re.fullmatch(verify._PROOF, text)
    if matched is None:
        return None
    try:
        verify.parse_note(matched[4])
        extra = verify._unbase64(matched[1] or "")
        hashes = tuple(verify._unbase64(part) for part in matched[3].split())
    except ValueError:
        return None
    return int(matched[2]), hashes, matched[4], extra


@settings(max_examples=1_500)
@given(changed(PROOF, FIRST_PROOF))
@example(PROOF)
@example(FIRST_PROOF.replace("index 0", "index 9007199254740991"))
def test_a_proof_has_one_form_and_both_read_the_same_in_it(text: str) -> None:
    ours = None
    try:
        found = proof.parse(text)
        ours = found.index, found.hashes, found.note, found.extra
        assert text == proof.encode(found)
    except Corrupt:
        pass

    assert ours == theirs_of_proof(text)


@settings(max_examples=600)
@given(changed(PROOF))
def test_a_changed_proof_never_vouches_for_another_place(text: str) -> None:
    try:
        index, found = proof.verify(text, merkle.leaf_hash(LEAVES[2]), [SIGNER.vkey])
    except Corrupt:
        return

    assert (2, head(LEAVES)) == (index, found)


def both_of_leaf(line: bytes) -> tuple[bool, bool]:
    try:
        fields = canonical.parse_leaf(line)
        assert line == canonical.leaf(**fields)
        if fields["kind"] == "origin":
            checkpoint.parse_vkey(fields["subject"] or "")  # verify.py has no other place to take a key from
        ours = True
    except (Invalid, TooLarge):
        ours = False
    return ours, verify.parse_leaf(line) is not None


@settings(max_examples=2_000)
@given(changed(LEAVES[0].decode(), LEAVES[3].decode()))
@example(LEAVES[3].decode().replace("T09:", "T24:"))
@example(LEAVES[3].decode().replace("2026-", "0000-"))
@example(LEAVES[3].decode().replace("tea", "\ud800"))
def test_a_leaf_has_one_form_and_both_accept_it_alone(text: str) -> None:
    ours, theirs = both_of_leaf(text.encode("utf-8", "surrogatepass"))

    assert ours == theirs


@settings(max_examples=500)
@given(
    st.binary(max_size=100)
    | st.binary(max_size=4).flatmap(lambda piece: st.sampled_from([LEAVES[3] + piece, piece + LEAVES[0]]))
)
def test_any_bytes_are_a_leaf_for_both_or_for_neither(line: bytes) -> None:
    ours, theirs = both_of_leaf(line)

    assert ours == theirs


def document() -> str:
    bundle = {
        "format": "cortex-ledger/v1",
        "log": "transactions",
        "leaves": [line.decode() for line in LEAVES],
        "checkpoints": NOTES,
    }
    return json.dumps(bundle, ensure_ascii=False)


def proven() -> str:
    return json.dumps(
        {"format": "cortex-proof/v1", "leaf": LEAVES[2].decode(), "proof": PROOF, "disclosure": None},
        ensure_ascii=False,
    )


def written(path: Path, form: str, parts: dict[str, bytes]) -> Path:
    """A bundle of these files as a directory or an archive."""
    shutil.rmtree(path, ignore_errors=True)
    if form == "zip":
        archive = path.with_suffix(".zip")
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in parts.items():
                file.writestr(name, content)
        return archive
    path.mkdir()
    for name, content in parts.items():
        (path / name).write_bytes(content)
    return path


def trust(folder: Path) -> Path:
    path = folder / "believed"
    path.write_text(f"log {SIGNER.vkey}\n")
    return path


PARTS = {
    "leaves.jsonl": b"".join(line + b"\n" for line in LEAVES),
    "checkpoints.jsonl": "".join(json.dumps({"note": note}, ensure_ascii=False) + "\n" for note in NOTES).encode(),
}
SAME_FOLDER = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


def sound(report: verify.Report) -> bool:
    """Whether a report, which is always one of three, says that the bundle is valid."""
    assert report.exit_code in {0, 1, 3}
    assert (report.exit_code == 3) == (bool(report.error) and not report.findings)
    assert all(line.isprintable() for line in str(report).split("\n"))
    return report.exit_code == 0


@settings(max_examples=400, suppress_health_check=SAME_FOLDER)
@given(part=st.sampled_from(sorted(PARTS)), form=st.sampled_from(["directory", "zip"]), data=st.data())
def test_a_changed_file_of_a_bundle_is_found_or_says_the_same(
    tmp_path: Path, part: str, form: str, data: st.DataObject
) -> None:
    text = data.draw(mutations(PARTS[part].decode()))
    content = text.encode("utf-8", "surrogatepass")

    report = verify.verify_path(written(tmp_path / "bundle", form, {**PARTS, part: content}), trust(tmp_path))

    if sound(report) and part == "leaves.jsonl":
        assert PARTS[part] == content
    elif report.exit_code == 0:
        # JSON around a note may be written in more ways than one, and a checkpoint before the last may be left out.
        assert heads_in(text) in ([head(LEAVES)], [head(LEAVES[:3]), head(LEAVES)])


def heads_in(text: str) -> list[Checkpoint]:
    return [checkpoint.verify(json.loads(line)["note"], [SIGNER.vkey]) for line in text.split("\n") if line]


@settings(max_examples=500, suppress_health_check=SAME_FOLDER)
@given(changed(document(), proven()))
def test_a_changed_document_is_found_or_says_the_same(tmp_path: Path, text: str) -> None:
    path = tmp_path / "document"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))

    report = verify.verify_path(path, trust(tmp_path))

    assert not sound(report) or said_by(text)


def said_by(text: str) -> bool:
    """Whether a document that was found valid has our leaves under our checkpoint."""
    read = json.loads(text)
    if read["format"] == "cortex-proof/v1":
        index, found = proof.verify(read["proof"], merkle.leaf_hash(read["leaf"].encode()), [SIGNER.vkey])
        return (2, head(LEAVES), LEAVES[2]) == (index, found, read["leaf"].encode())
    return [line.encode() for line in read["leaves"]] == LEAVES


@settings(max_examples=400, suppress_health_check=SAME_FOLDER)
@given(
    changes=st.lists(
        st.tuples(st.integers(0, 1 << 16), st.binary(max_size=3), st.integers(0, 3)), min_size=1, max_size=3
    )
)
def test_changed_bytes_of_an_archive_are_found_or_say_the_same(
    tmp_path: Path, changes: list[tuple[int, bytes, int]]
) -> None:
    path = written(tmp_path / "bundle", "zip", PARTS)
    raw = path.read_bytes()
    for place, piece, gone in changes:
        at = place % len(raw)
        raw = raw[:at] + piece + raw[at + gone :]
    path.write_bytes(raw)

    report = verify.verify_path(path, trust(tmp_path))

    assert not sound(report) or report.leaves == len(LEAVES)
