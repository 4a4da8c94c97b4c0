"""The offline verifier: clean ledgers pass, every tampering is named, and it claims no more than it checked."""

import copy
import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nacl.exceptions import CryptoError
from nacl.signing import SigningKey, VerifyKey

from cortex import canonical, limits, verify
from cortex.errors import CortexError
from cortex.ledger import checkpoint, merkle, proof
from cortex.ledger.checkpoint import Checkpoint, Signer

SIGNER = Signer("cortex/transactions/0123456789abcdef/fedcba9876543210", b"\x01" * 32)
THIEF = Signer(SIGNER.name, b"\x02" * 32)
ELSEWHERE = Signer("cortex/transactions/0123456789abcdef/0000000000000000", b"\x01" * 32)
SALT = b"\x05" * 16
FIELDS = ("Ada likes tea", "note", '["tea"]', None, None, "{}", None, None, None, None, "1")

Row = dict[str, Any]


@dataclasses.dataclass
class Log:
    """A log in memory, to be changed and written."""

    rows: list[Row]
    notes: list[str]
    signer: Signer = SIGNER

    def link(self, start: int = 0) -> "Log":
        """Recompute the links from leaf `start` on, as a forger would."""
        for at in range(start, len(self.rows)):
            before = merkle.leaf_hash(line(self.rows[at - 1])).hex() if at else canonical.origin_link(self.signer.name)
            self.rows[at]["prev"] = before
        return self

    def head(self, size: int) -> Checkpoint:
        hashes = [merkle.leaf_hash(line(row)) for row in self.rows[:size]]
        return Checkpoint(self.signer.name, size, merkle.root(hashes))

    def seal(self, *sizes: int, signer: Signer | None = None) -> "Log":
        self.notes = [checkpoint.sign(self.head(size), signer or self.signer) for size in sizes]
        return self

    def directory(self, path: Path) -> Path:
        path.mkdir()
        (path / "leaves.jsonl").write_bytes(b"".join(line(row) + b"\n" for row in self.rows))
        (path / "checkpoints.jsonl").write_text("".join(json.dumps({"note": note}) + "\n" for note in self.notes))
        (path / "README.md").write_text("read me")
        return path


def line(row: Row) -> bytes:
    return canonical.encode(tuple(row[name] for name in sorted(row)))  # type: ignore[arg-type]


def log(size: int = 12, signer: Signer = SIGNER) -> Log:
    """A log with batches of one, two and three leaves, and checkpoints at 5, 8 and its end."""
    rows: list[Row] = []
    batch = width = 0
    for idx in range(size):
        if idx == batch + width:
            batch, width = idx, min(1 + idx % 3, size - idx)
        rows.append(
            {
                "actor": f"agent:ädä{idx % 3}",
                "batch": batch,
                "batch_n": width,
                "digest": canonical.fact_digest(SALT, FIELDS).hex() if idx else None,
                "idx": idx,
                "kind": "fact" if idx else "origin",
                "parent": None,
                "prev": "",
                "project": 'tea "time"' if idx else None,
                "rev": f"{idx}" if idx else None,
                "subject": f"fact-{idx}" if idx else signer.vkey,
                "ts": f"2026-03-01T{idx // 7200:02}:{idx // 120 % 60:02}:{idx // 2 % 60:02}.000000Z",
                "v": 1,
            }
        )
    return Log(rows, [], signer).link().seal(*sorted({min(5, size), min(8, size), size}))


@pytest.fixture(name="trust")
def trust_file(tmp_path: Path) -> Path:
    path = tmp_path / "believed.txt"
    path.write_text(f"# the log of Ada\n\nlog {SIGNER.vkey}\nquorum none\n")
    return path


def codes(report: verify.Report) -> set[str]:
    return {found["code"] for found in report.findings}


def bundles(tmp_path: Path, made: Log) -> list[Path]:
    directory = made.directory(tmp_path / "bundle")
    archive = tmp_path / "bundle.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for part in directory.iterdir():
            file.write(part, part.name)
    document = {
        "format": "cortex-ledger/v1",
        "log": "transactions",
        "leaves": [line(row).decode() for row in made.rows],
        "checkpoints": made.notes,
    }
    (tmp_path / "bundle.json").write_text(json.dumps(document))
    return [directory, archive, tmp_path / "bundle.json"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 12, 33])
def test_a_clean_ledger_is_valid_in_every_form_with_trust_and_without(tmp_path: Path, trust: Path, size: int) -> None:
    made = log(size)
    kept = tmp_path / "kept.note"
    kept.write_text(made.notes[0])

    for path in bundles(tmp_path, made):
        bare, trusted = verify.verify_path(path), verify.verify_path(path, trust, [kept])

        assert (0, [], "", size) == (bare.exit_code, bare.findings, bare.error, bare.leaves)
        assert (0, [], "", size) == (trusted.exit_code, trusted.findings, trusted.error, trusted.leaves)
        assert SIGNER.name == trusted.origin


def test_the_report_says_what_was_not_checked(tmp_path: Path, trust: Path) -> None:
    made = log()
    (tmp_path / "kept").write_text(made.notes[0])

    bare = str(verify.verify_path(log().seal(5).directory(tmp_path / "bundle")))
    trusted = str(verify.verify_path(made.directory(tmp_path / "sealed"), trust, [tmp_path / "kept"]))

    assert "--  origin not checked (no --trust)" in bare
    assert "ok  1 checkpoint, signed by the key in leaf 0" in bare
    assert "--  no checkpoint" in str(verify.verify_path(log().seal().directory(tmp_path / "unsigned")))
    assert "--  outside memory: 0 checkpoints" in bare
    assert "--  leaves under a checkpoint: 5 of 12" in bare
    assert "ok  origin trusted" in trusted
    assert "signed by trusted keys" in trusted
    assert "ok  outside memory: 1 checkpoint" in trusted


def test_a_log_begun_after_a_restore_is_valid(tmp_path: Path, trust: Path) -> None:
    made = log()
    made.rows[0]["parent"] = f"{ELSEWHERE.name} 40 {'ab' * 32}"
    path = made.link().seal(12).directory(tmp_path / "bundle")

    assert 0 == verify.verify_path(path, trust).exit_code


def change(name: str, value: object, at: int = 6) -> Callable[[Log], object]:
    return lambda made: made.rows[at].update({name: value})


def delete(at: int) -> Callable[[Log], object]:
    return lambda made: made.rows.pop(at)


def swap(made: Log) -> None:
    made.rows[6], made.rows[7] = made.rows[7], made.rows[6]


def swap_indexes(made: Log) -> None:
    swap(made)
    for at in (6, 7):
        made.rows[at]["idx"] = at


ROW_EDITS: list[tuple[Callable[[Log], object], set[str]]] = [
    (change("actor", "agent:eve"), {"CHAIN_LINK", "HISTORY_REWRITTEN"}),
    (change("digest", "00" * 32), {"CHAIN_LINK", "HISTORY_REWRITTEN"}),
    (change("project", None), {"CHAIN_LINK", "HISTORY_REWRITTEN"}),
    (change("kind", "erase"), {"CHAIN_LINK", "HISTORY_REWRITTEN"}),
    (change("kind", "vote"), {"LEAF_FORM", "CHAIN_LINK", "HISTORY_REWRITTEN"}),
    (change("kind", "origin"), {"LEAF_FORM", "CHAIN_LINK", "HISTORY_REWRITTEN"}),
    (change("v", 2), {"LEAF_FORM", "CHAIN_LINK", "HISTORY_REWRITTEN"}),
    (change("actor", "a\x1b[2J"), {"LEAF_FORM", "CHAIN_LINK", "HISTORY_REWRITTEN"}),
    (change("ts", "2026-02-01T09:00:00.000000Z"), {"TIME_ORDER", "CHAIN_LINK"}),
    (change("ts", "2026-02-30T09:00:00.000000Z"), {"LEAF_FORM", "CHAIN_LINK"}),
    (change("ts", "2027-02-01T09:00:00.000000Z"), {"TIME_ORDER", "CHAIN_LINK"}),
    (change("prev", "00" * 32), {"CHAIN_LINK", "HISTORY_REWRITTEN"}),
    (change("idx", 99), {"LEAF_FORM", "CHAIN_LINK"}),
    (change("batch_n", 9), {"GAP", "CHAIN_LINK"}),
    (change("batch", 0), {"LEAF_FORM", "CHAIN_LINK"}),
    (change("subject", THIEF.vkey, 0), {"CHAIN_LINK", "CHECKPOINT_SIG"}),
    (change("subject", ELSEWHERE.vkey, 0), {"CHAIN_LINK", "ORIGIN"}),
    (change("subject", None, 0), {"LEAF_FORM", "CHAIN_LINK"}),
    (delete(6), {"GAP", "CHAIN_LINK", "TRUNCATED", "HISTORY_REWRITTEN"}),
    (delete(0), {"GAP", "CHAIN_LINK"}),
    (delete(-1), {"GAP", "TRUNCATED"}),
    (lambda made: made.rows.clear(), {"CHECKPOINT_SIG"}),
    (lambda made: made.rows.insert(6, copy.deepcopy(made.rows[6])), {"GAP", "CHAIN_LINK", "HISTORY_REWRITTEN"}),
    (swap, {"GAP", "CHAIN_LINK"}),
    (swap_indexes, {"CHAIN_LINK"}),
]


@pytest.mark.parametrize(("edit", "expected"), ROW_EDITS, ids=range(len(ROW_EDITS)))
def test_an_edited_row_is_found_without_any_outside_memory(
    tmp_path: Path, edit: Callable[[Log], object], expected: set[str]
) -> None:
    made = log()
    edit(made)

    report = verify.verify_path(made.directory(tmp_path / "bundle"))

    assert expected <= codes(report)
    assert 1 == report.exit_code


def test_a_rewritten_and_relinked_log_does_not_fit_its_checkpoints(tmp_path: Path, trust: Path) -> None:
    made = log()
    made.rows[6]["actor"] = "agent:eve"
    path = made.link(7).directory(tmp_path / "bundle")

    assert {"HISTORY_REWRITTEN"} == codes(verify.verify_path(path))
    assert ["8", "12"] == [found["id"] for found in verify.verify_path(path, trust).findings]


def test_a_log_resealed_by_another_key_needs_trust_to_be_found(tmp_path: Path, trust: Path) -> None:
    made = log()
    made.rows[0]["subject"] = THIEF.vkey
    path = made.link().seal(5, 12, signer=THIEF).directory(tmp_path / "bundle")

    assert 0 == verify.verify_path(path).exit_code
    assert {"CHECKPOINT_SIG"} == codes(verify.verify_path(path, trust))


def test_a_log_resealed_with_its_own_key_needs_a_remembered_checkpoint_to_be_found(tmp_path: Path, trust: Path) -> None:
    made = log()
    (tmp_path / "kept").write_text(made.notes[1])
    made.rows[3]["actor"] = "agent:eve"
    path = made.link().seal(5, 12).directory(tmp_path / "bundle")

    assert 0 == verify.verify_path(path, trust).exit_code
    assert {"HISTORY_REWRITTEN"} == codes(verify.verify_path(path, trust, [tmp_path / "kept"]))


def test_a_remembered_checkpoint_needs_no_signature_but_must_not_have_a_bad_one(tmp_path: Path, trust: Path) -> None:
    made = log()
    path = made.directory(tmp_path / "bundle")
    (tmp_path / "unsigned").write_text(checkpoint.sign(made.head(7), Signer("me", b"\x09" * 32)))
    (tmp_path / "bad").write_text(made.notes[0].replace("\n5\n", "\n4\n"))

    assert 0 == verify.verify_path(path, trust, [tmp_path / "unsigned"]).exit_code
    assert {"CHECKPOINT_SIG"} == codes(verify.verify_path(path, trust, [tmp_path / "bad"]))


def test_a_log_shortened_to_an_old_checkpoint_is_a_rollback(tmp_path: Path, trust: Path) -> None:
    made = log()
    (tmp_path / "kept").write_text(made.notes[-1])
    short = log(8)
    path = short.seal(5, 8).directory(tmp_path / "bundle")
    empty = Log([], []).directory(tmp_path / "empty")

    assert 0 == verify.verify_path(path, trust).exit_code
    assert {"ROLLBACK"} == codes(verify.verify_path(path, trust, [tmp_path / "kept"]))
    assert "ROLLBACK" in codes(verify.verify_path(empty, trust, [tmp_path / "kept"]))
    assert 3 == verify.verify_path(empty).exit_code


def test_two_signed_checkpoints_of_one_size_are_a_split_view(tmp_path: Path, trust: Path) -> None:
    made, fork = log(), log()
    fork.rows[3]["actor"] = "agent:eve"
    (tmp_path / "kept").write_text(fork.link().seal(8).notes[0])
    path = made.directory(tmp_path / "bundle")

    report = verify.verify_path(path, trust, [tmp_path / "kept"])

    assert {"HISTORY_REWRITTEN", "SPLIT_VIEW"} == codes(report)


def test_entries_after_the_last_checkpoint_are_a_finding_where_keys_are_trusted(tmp_path: Path, trust: Path) -> None:
    made = log().seal(5, 8)
    (tmp_path / "kept").write_text(made.notes[0])

    for path in bundles(tmp_path, made):
        bare, trusted = verify.verify_path(path), verify.verify_path(path, trust, [tmp_path / "kept"])

        assert (0, True) == (bare.exit_code, "--  leaves under a checkpoint: 8 of 12" in bare.notes)
        assert 1 == trusted.exit_code
        assert [
            {"code": "UNSIGNED", "id": "8", "what": "no checkpoint covers the last 4 of 12 leaves"}
        ] == trusted.findings


def test_a_remembered_checkpoint_covers_entries_too(tmp_path: Path, trust: Path) -> None:
    made = log()
    (tmp_path / "kept").write_text(made.notes[-1])
    path = made.seal(5).directory(tmp_path / "bundle")

    assert 0 == verify.verify_path(path, trust, [tmp_path / "kept"]).exit_code


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda notes: notes.reverse(), "CHECKPOINT_SEQ"),
        (lambda notes: notes.append(notes[-1]), "CHECKPOINT_SEQ"),
        (lambda notes: notes.insert(1, notes[1].replace("\n8\n", "\n7\n")), "CHECKPOINT_SIG"),
        (lambda notes: notes.insert(1, "what?"), "CHECKPOINT_SIG"),
        (lambda notes: notes.insert(1, notes[1].replace("— cortex", "— kortex")), "CHECKPOINT_SIG"),
        (lambda notes: notes.append(checkpoint.sign(Checkpoint(SIGNER.name, 13, b"x" * 32), SIGNER)), "TRUNCATED"),
        (lambda notes: notes.append(checkpoint.sign(Checkpoint(ELSEWHERE.name, 13, b"x" * 32), ELSEWHERE)), "ORIGIN"),
        (lambda notes: notes.append(checkpoint.sign(Checkpoint(SIGNER.name, 12, b"x" * 32), SIGNER)), "SPLIT_VIEW"),
        (lambda notes: notes.clear(), "CHECKPOINT_SIG"),
    ],
)
def test_changed_checkpoints_are_found(
    tmp_path: Path, trust: Path, edit: Callable[[list[str]], object], expected: str
) -> None:
    made = log()
    edit(made.notes)

    report = verify.verify_path(made.directory(tmp_path / "bundle"), trust)

    assert expected in codes(report)


def test_another_log_than_the_trusted_is_told_apart(tmp_path: Path, trust: Path) -> None:
    path = log(12, ELSEWHERE).directory(tmp_path / "bundle")

    assert {"ORIGIN"} == codes(verify.verify_path(path, trust))


def test_a_key_that_was_rotated_is_accepted_where_both_are_trusted(tmp_path: Path, trust: Path) -> None:
    made = log()
    made.notes[-1] = checkpoint.sign(made.head(12), THIEF)
    path = made.directory(tmp_path / "bundle")

    assert {"CHECKPOINT_SIG"} == codes(verify.verify_path(path, trust))
    with trust.open("a") as file:
        file.write(f"log {THIEF.vkey} https://example.com/log\n")
    assert 0 == verify.verify_path(path, trust).exit_code


@pytest.mark.parametrize("name", ["trust.txt", "Policy", "trusted-keys", "deep/TRUST"])
def test_a_bundle_that_brings_its_own_trust_is_refused(tmp_path: Path, name: str) -> None:
    directory = log().directory(tmp_path / "bundle")
    (directory / name).parent.mkdir(exist_ok=True)
    (directory / name).write_text(f"log {SIGNER.vkey}\n")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as file:
        for part in directory.rglob("*"):
            file.write(part, part.relative_to(directory))

    for path in (directory, tmp_path / "b.zip"):
        report = verify.verify_path(path)

        assert ({"REFUSED"}, 1) == (codes(report), report.exit_code)


@pytest.mark.parametrize("name", ["trust", "policy", "keys"])
def test_a_json_bundle_that_brings_its_own_trust_is_refused(tmp_path: Path, name: str) -> None:
    path = bundles(tmp_path, log())[2]
    path.write_text(json.dumps({**json.loads(path.read_text()), name: SIGNER.vkey}))

    assert {"REFUSED"} == codes(verify.verify_path(path))


@pytest.mark.parametrize("member", ["format", "log", "leaves", "checkpoints", "content"])
def test_a_json_bundle_with_a_member_twice_or_one_too_many_is_refused(tmp_path: Path, member: str) -> None:
    path = bundles(tmp_path, log())[2]
    path.write_text(json.dumps({member: "shown"})[:-1] + "," + path.read_text()[1:])

    assert ({"REFUSED"}, 1) == (codes(report := verify.verify_path(path)), report.exit_code)


@pytest.mark.parametrize("member", ["note", "text"])
def test_a_checkpoint_line_with_a_member_twice_or_one_too_many_is_refused(tmp_path: Path, member: str) -> None:
    made = log()
    path = made.directory(tmp_path / "bundle")
    lines = [json.dumps({member: "shown"})[:-1] + "," + json.dumps({"note": note})[1:] + "\n" for note in made.notes]
    (path / "checkpoints.jsonl").write_text("".join(lines))

    assert "REFUSED" in codes(verify.verify_path(path))


def test_a_json_bundle_with_an_archive_behind_it_is_not_checked_as_either(tmp_path: Path, trust: Path) -> None:
    _, archive, document = bundles(tmp_path, log())
    shown = json.dumps({**json.loads(document.read_text()), "leaves": []}).encode()
    (tmp_path / "both.json").write_bytes(shown + archive.read_bytes())

    report = verify.verify_path(tmp_path / "both.json", trust)

    assert 0 != report.exit_code
    assert 0 == report.leaves


@pytest.mark.parametrize("hidden", [b"{}", b"PK\x03\x04{}", b"\n"])
def test_an_archive_with_anything_before_or_behind_it_is_not_checked(tmp_path: Path, hidden: bytes) -> None:
    archive = bundles(tmp_path, log())[1]
    raw, path = archive.read_bytes(), tmp_path / "more.zip"
    commented = raw[:-2] + len(hidden).to_bytes(2, "little") + hidden

    for changed in (hidden + raw, raw + hidden, commented):
        path.write_bytes(changed)
        report = verify.verify_path(path)

        assert (False, 0) == (report.exit_code == 0, report.leaves)
    assert {"REFUSED"} == codes(report)


def test_the_form_is_chosen_by_the_first_bytes_and_not_by_the_name(tmp_path: Path) -> None:
    _, archive, document = bundles(tmp_path, log())
    shutil.copy(archive, tmp_path / "archive.json")
    shutil.copy(document, tmp_path / "document.zip")
    (tmp_path / "spaced.json").write_text(" " + document.read_text())

    assert 0 == verify.verify_path(tmp_path / "archive.json").exit_code
    assert 0 == verify.verify_path(tmp_path / "document.zip").exit_code
    assert 3 == verify.verify_path(tmp_path / "spaced.json").exit_code


def test_a_pipe_or_a_device_is_not_read_wherever_it_stands(tmp_path: Path, trust: Path) -> None:
    made = log()
    pipe, linked = tmp_path / "pipe", tmp_path / "linked"
    os.mkfifo(pipe)
    linked.symlink_to(pipe)
    good = made.directory(tmp_path / "good")
    cases: list[tuple[Path, Path | None, list[Path]]] = [
        (pipe, None, []),
        (linked, None, []),
        (Path("/dev/zero"), None, []),
        (good, pipe, []),
        (good, linked, []),
        (good, trust, [pipe]),
        (good, tmp_path, []),
    ]
    for part in ("leaves.jsonl", "checkpoints.jsonl"):
        for kind in (pipe, Path("/dev/zero")):
            bad = made.directory(tmp_path / f"{part}{kind.name}")
            (bad / part).unlink()
            (bad / part).symlink_to(kind)
            cases.append((bad, trust, []))

    reports = [verify.verify_path(*case) for case in cases]

    assert [(3, [])] * len(cases) == [(report.exit_code, report.findings) for report in reports]
    assert all("not a regular file" in report.error for report in reports)


def test_what_could_not_be_read_is_said_in_words(tmp_path: Path, trust: Path) -> None:
    path = log().directory(tmp_path / "bundle")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "bad.json").write_bytes(b'{"\xff')
    (tmp_path / "deep.json").write_text('{"a":' * 200_000)
    (tmp_path / "list.json").write_text('{"format":[]}')
    (tmp_path / "odd.json").write_text('{"format":"cortex-ledger/v1","log":"transactions","leaves":7,"checkpoints":7}')
    with (tmp_path / "large").open("wb") as file:
        file.truncate(verify.FILE_BYTES_MAX + 1)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")

    errors = [
        verify.verify_path(path, tmp_path / "none").error,
        verify.verify_path(path, tmp_path / "binary").error,
        verify.verify_path(path, tmp_path / "large").error,
        verify.verify_path(path, trust, [tmp_path / "binary"]).error,
        *[verify.verify_path(tmp_path / name, trust).error for name in ("bad.json", "deep.json", "list.json")],
        *[verify.verify_path(tmp_path / name, trust).error for name in ("odd.json", "loop", "missing")],
    ]

    assert f"{tmp_path / 'none'}: No such file or directory" == errors[0]
    assert "over 67108864 bytes" in errors[2]
    assert "regular" not in errors[2]
    assert all(error and "Error" not in error and "Errno" not in error for error in errors)


def test_trust_and_memory_from_inside_the_bundle_are_refused(tmp_path: Path, trust: Path) -> None:
    made = log()
    directory, archive, document = bundles(tmp_path, made)
    inside, linked = directory / "believed", directory / "linked"
    inside.write_text(trust.read_text())
    linked.symlink_to(trust)
    (tmp_path / "outside").symlink_to(inside)

    for given_trust in (inside, linked, tmp_path / "outside", directory / ".." / "bundle" / "believed"):
        assert {"REFUSED"} == codes(verify.verify_path(directory, given_trust))
    assert {"REFUSED"} == codes(verify.verify_path(directory, trust, [inside]))
    assert {"REFUSED"} == codes(verify.verify_path(archive, archive))
    assert {"REFUSED"} == codes(verify.verify_path(document, document))


@pytest.mark.parametrize(
    "policy",
    [
        "",
        "quorum none\n",
        "witness w {key}\n",
        "log {key}\nwitness w {key}\n",
        "log {key}\ngroup g any w\n",
        "log {key}\nquorum w\n",
        "log {key}\nlog {key}\n",
        "log {key} url more\n",
        "log\n",
        "log PeterNeumann+00000000+AAAA\n",
        "logs {key}\n",
        "\x00",
    ],
)
def test_a_policy_that_is_not_understood_checks_nothing(tmp_path: Path, policy: str) -> None:
    path = log().directory(tmp_path / "bundle")
    (tmp_path / "believed").write_text(policy.format(key=SIGNER.vkey))

    report = verify.verify_path(path, tmp_path / "believed")

    assert (3, []) == (report.exit_code, report.findings)


def test_what_is_no_bundle_is_not_checked(tmp_path: Path, trust: Path) -> None:
    (tmp_path / "export.csv").write_text("idx,kind\n")
    (tmp_path / "text.json").write_text("hello")
    (tmp_path / "deep.json").write_text("[" * 200_000)
    (tmp_path / "list.json").write_text("[[1, 2]]")
    (tmp_path / "facts.json").write_text('{"format":"cortex-ledger/v1","log":"facts","leaves":[],"checkpoints":[]}')
    (tmp_path / "holes.json").write_text('{"format":"cortex-ledger/v1","log":"transactions","leaves":7}')
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.zip").write_bytes(b"PK\x05\x06" + b"\x00" * 18 + b"x")
    names = ["export.csv", "text.json", "deep.json", "list.json", "facts.json", "holes.json"]
    names += ["binary", "empty", "broken.zip", "missing"]

    for name in names:
        report = verify.verify_path(tmp_path / name, trust)

        assert (3, []) == (report.exit_code, report.findings)
        assert report.error
    assert "reading only" in verify.verify_path(tmp_path / "export.csv").error


def test_archives_that_expand_too_far_or_name_a_file_twice_are_not_checked(tmp_path: Path) -> None:
    bomb, twice, odd = tmp_path / "bomb.zip", tmp_path / "twice.zip", tmp_path / "odd.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("leaves.jsonl", b"\n" * 50_000_000)
        file.writestr("checkpoints.jsonl", b"")
    with zipfile.ZipFile(twice, "w") as file:
        for name in ("leaves.jsonl", "checkpoints.jsonl", "other/leaves.jsonl"):
            file.writestr(name, b"")
    with zipfile.ZipFile(odd, "w", zipfile.ZIP_LZMA) as file:
        file.writestr("leaves.jsonl", b"")
        file.writestr("checkpoints.jsonl", b"")

    assert [3, 3, 3] == [verify.verify_path(path).exit_code for path in (bomb, twice, odd)]


@pytest.mark.parametrize("tail", [b"x" * 200_000 + b"\n", b"x" * 200_000, b"\n", b"{}\n", b'{"actor"', b"\xff\n"])
def test_a_line_that_is_no_leaf_is_found_and_read_within_bounds(tmp_path: Path, tail: bytes) -> None:
    path = log().directory(tmp_path / "bundle")
    with (path / "leaves.jsonl").open("ab") as file:
        file.write(tail)

    assert {"LEAF_FORM"} == codes(verify.verify_path(path))


def test_findings_stop_at_a_hundred(tmp_path: Path) -> None:
    path = log().directory(tmp_path / "bundle")
    (path / "leaves.jsonl").write_bytes(b"{}\n" * 1000)

    report = verify.verify_path(path)

    assert (limits.FINDINGS_MAX, 1) == (len(report.findings), report.exit_code)
    assert "stopped after 100 findings" in str(report)


def test_the_memory_needed_does_not_grow_with_the_log(tmp_path: Path) -> None:
    path = log(20_000).seal(10_000, 20_000).directory(tmp_path / "bundle")
    tracemalloc.start()

    report = verify.verify_path(path)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (0, 20_000) == (report.exit_code, report.leaves)
    assert peak < 2 << 20


def proof_file(path: Path, made: Log, index: int, size: int, **changes: Any) -> Path:
    hashes = [merkle.leaf_hash(line(row)) for row in made.rows]
    siblings = merkle.inclusion_proof(index, size, lambda level, at: merkle.root(hashes[at << level : at + 1 << level]))
    note = checkpoint.sign(made.head(size), made.signer)
    document = {
        "format": "cortex-proof/v1",
        "leaf": line(made.rows[index]).decode(),
        "proof": proof.encode(proof.Proof(index, tuple(siblings), note)),
        "disclosure": {"salt": SALT.hex(), "fields": dict(zip(canonical.FACT_FIELDS, FIELDS, strict=True))},
    }
    path.write_text(json.dumps({**document, **changes}))
    return path


@pytest.mark.parametrize(("index", "size"), [(0, 1), (1, 2), (5, 7), (6, 7), (7, 8), (11, 12), (3, 12)])
def test_a_proof_is_valid_by_a_trusted_key_or_a_remembered_checkpoint(
    tmp_path: Path, trust: Path, index: int, size: int
) -> None:
    made = log()
    path = proof_file(tmp_path / "p.json", made, index, size, **({} if index else {"disclosure": None}))
    (tmp_path / "kept").write_text(checkpoint.sign(made.head(size), THIEF))

    assert 0 == verify.verify_path(path, trust).exit_code
    assert 0 == verify.verify_path(path, None, [tmp_path / "kept"]).exit_code


def test_a_proof_without_anything_from_outside_is_not_checked(tmp_path: Path) -> None:
    report = verify.verify_path(proof_file(tmp_path / "p.json", log(), 5, 12))

    assert 3 == report.exit_code
    assert "nothing from outside vouches" in report.error


def test_a_tampered_proof_is_named(tmp_path: Path, trust: Path) -> None:
    made, other = log(), log()
    other.rows[5]["actor"] = "agent:eve"
    fields = dict(zip(canonical.FACT_FIELDS, FIELDS, strict=True))
    path = proof_file(tmp_path / "p.json", made, 5, 12)
    text = json.loads(path.read_text())["proof"]

    def found(**changes: Any) -> set[str]:
        return codes(verify.verify_path(proof_file(tmp_path / "q.json", made, 5, 12, **changes), trust))

    assert {"PROOF"} == found(leaf=line(other.rows[5]).decode())
    assert {"PROOF"} == found(leaf=line(made.rows[4]).decode())
    assert {"PROOF"} == found(proof=text.replace("index 5", "index 6"))
    assert {"PROOF"} == found(proof=text[1:])
    assert {"LEAF_FORM"} == found(leaf=line(made.rows[5]).decode() + " ")
    assert {"LEAF_FORM"} == found(leaf="\ud800")
    for name in canonical.FACT_FIELDS:
        assert {"FACT_CHANGED"} == found(disclosure={"salt": SALT.hex(), "fields": {**fields, name: "other"}})
    assert {"FACT_CHANGED"} == found(disclosure={"salt": "00", "fields": fields})
    assert {"REFUSED"} == found(disclosure={"salt": SALT.hex(), "fields": {**fields, "author": "Ada"}})
    assert 3 == verify.verify_path(proof_file(tmp_path / "q.json", made, 5, 12, disclosure={}), trust).exit_code


@pytest.mark.parametrize("at", ["document", "disclosure", "fields"])
@pytest.mark.parametrize("member", ["content", "text", "leaf", "salt", "fields", "disclosure"])
def test_a_proof_with_a_member_twice_or_one_too_many_is_refused(
    tmp_path: Path, trust: Path, at: str, member: str
) -> None:
    path = proof_file(tmp_path / "p.json", log(), 5, 12)
    whole = path.read_text()
    start = {"document": 0, "disclosure": whole.index('{"salt"'), "fields": whole.index('{"content"')}[at]
    path.write_text(f'{whole[:start]}{{"{member}": "The shop is closed for ever", {whole[start + 1 :]}')

    report = verify.verify_path(path, trust)

    assert ({"REFUSED"}, 1, {}) == (codes(report), report.exit_code, report.disclosed)
    assert "closed for ever" not in str(report)


def test_the_disclosed_fields_are_printed_once_they_are_verified(
    tmp_path: Path, trust: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = proof_file(tmp_path / "p.json", log(), 5, 12)

    code = verify.main([str(path), "--trust", str(trust)])
    printed = capsys.readouterr().out.splitlines()
    verify.main([str(path), "--trust", str(trust), "--json"])
    shown = json.loads(capsys.readouterr().out)["disclosed"]

    assert 0 == code
    assert 'ok  disclosed content: "Ada likes tea"' in printed
    assert r'ok  disclosed tags: "[\"tea\"]"' in printed
    assert "ok  disclosed key: null" in printed
    leaf = json.loads(json.loads(path.read_text())["leaf"])
    named = {"fact": leaf["subject"], "fact_digest": leaf["digest"], "author": leaf["actor"]}
    assert named | dict(zip(canonical.FACT_FIELDS, FIELDS, strict=True)) == shown


def test_a_disclosed_text_is_printed_in_ascii_and_within_bounds(tmp_path: Path, trust: Path) -> None:
    made, text = log(), "\x1b[2J\x7f\u202e\n" + "é" * 5_000
    fields = (text, *FIELDS[1:])
    made.rows[5]["digest"] = canonical.fact_digest(SALT, fields).hex()
    made.link()
    disclosure = {"salt": SALT.hex(), "fields": dict(zip(canonical.FACT_FIELDS, fields, strict=True))}

    report = verify.verify_path(proof_file(tmp_path / "p.json", made, 5, 12, disclosure=disclosure), trust)

    line = next(note for note in report.notes if "disclosed content" in note)
    assert (0, text) == (report.exit_code, report.disclosed["content"])
    assert r'ok  disclosed content: "\u001b[2J\u007f\u202e\n\u00e9' in line
    assert line.isascii()
    assert line.isprintable()
    assert line.endswith("...")
    assert len(line) < 1_100


def test_what_was_not_verified_is_not_printed(tmp_path: Path, trust: Path) -> None:
    resealed = log()
    resealed.signer = THIEF
    bare = verify.verify_path(proof_file(tmp_path / "p.json", log(), 5, 12))
    forged = verify.verify_path(proof_file(tmp_path / "q.json", resealed, 5, 12), trust)

    for report in (bare, forged):
        assert {} == report.disclosed
        assert "Ada likes tea" not in str(report)


def test_a_proof_of_another_log_key_or_history_is_named(tmp_path: Path, trust: Path) -> None:
    fork = log()
    fork.rows[3]["actor"] = "agent:eve"
    (tmp_path / "kept").write_text(fork.link().seal(12).notes[0])
    resealed = log()
    resealed.signer = THIEF

    path = proof_file(tmp_path / "p.json", log(), 5, 12)
    assert {"HISTORY_REWRITTEN", "SPLIT_VIEW"} == codes(verify.verify_path(path, trust, [tmp_path / "kept"]))
    assert {"HISTORY_REWRITTEN"} == codes(verify.verify_path(path, None, [tmp_path / "kept"]))
    path = proof_file(tmp_path / "thief.json", resealed, 5, 12)
    assert {"CHECKPOINT_SIG"} == codes(verify.verify_path(path, trust))
    path = proof_file(tmp_path / "elsewhere.json", log(12, ELSEWHERE), 5, 12)
    assert {"ORIGIN"} == codes(verify.verify_path(path, trust))


# RFC 8032, section 7.1: secret key, public key, message, and the two halves of the signature.
VECTORS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155",
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da",
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac",
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]
ORDER = 2**252 + 27742317777372353535851937790883648493
# The encodings of points of small order, canonical and not.
SMALL = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


@pytest.mark.parametrize(("secret", "public", "message", "start", "scalar"), VECTORS)
def test_the_vectors_of_rfc_8032_verify_and_no_change_of_them_does(
    secret: str, public: str, message: str, start: str, scalar: str
) -> None:
    key, text, signed = (bytes.fromhex(part) for part in (public, message, start + scalar))

    assert signed == SigningKey(bytes.fromhex(secret)).sign(text).signature
    assert verify.verify_ed25519(key, text, signed)
    assert not verify.verify_ed25519(key, text + b"x", signed)
    raised = int.from_bytes(signed[32:], "little") + ORDER
    assert not verify.verify_ed25519(key, text, signed[:32] + raised.to_bytes(32, "little"))
    assert not verify.verify_ed25519(key, text, signed + b"\0")
    assert not verify.verify_ed25519(key[:31], text, signed)


@pytest.mark.parametrize("encoded", SMALL)
def test_keys_of_small_order_vouch_for_nothing(encoded: str) -> None:
    point = bytes.fromhex(encoded)
    for start in [bytes.fromhex(other) for other in SMALL]:
        assert not verify.verify_ed25519(point, b"anything", start + b"\0" * 32)
    key = bytes.fromhex(VECTORS[0][1])
    assert not verify.verify_ed25519(key, b"anything", point + b"\0" * 32)


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=80), st.data())
def test_signatures_are_judged_as_pynacl_judges_them(seed: bytes, message: bytes, data: st.DataObject) -> None:
    signing = SigningKey(seed)
    signature = bytearray(signing.sign(message).signature)
    public = bytearray(bytes(signing.verify_key))
    target = data.draw(st.sampled_from([None, signature, public]))
    if target is not None:
        target[data.draw(st.integers(0, len(target) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        VerifyKey(bytes(public)).verify(message, bytes(signature))
        expected = True
    except CryptoError:
        expected = False

    assert expected == verify.verify_ed25519(bytes(public), message, bytes(signature))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_the_two_readers_of_leaves_notes_and_keys_accept_the_same(data: st.DataObject) -> None:
    made = log(3)
    whole = data.draw(st.sampled_from([line(made.rows[0]), line(made.rows[2]), made.notes[0].encode()]))
    whole = data.draw(st.sampled_from([whole, SIGNER.vkey.encode()]))
    at = data.draw(st.integers(0, len(whole) - 1))
    piece = data.draw(st.binary(max_size=2) | st.text(max_size=1).map(lambda text: text.encode("utf-8", "replace")))
    changed = whole[:at] + piece + whole[at + data.draw(st.integers(0, 2)) :]

    if whole == SIGNER.vkey.encode():
        ours, theirs = accepts(checkpoint.parse_vkey, changed), accepts(verify.parse_vkey, changed)
    elif whole.startswith(b"{"):
        ours, theirs = accepts(leaf_with_key, changed), verify.parse_leaf(changed) is not None
    else:
        ours, theirs = accepts(checkpoint.parse, changed), accepts(verify.parse_note, changed)

    assert ours == theirs


def leaf_with_key(text: str) -> None:
    """Leaf 0 has to name a key for the verifier, which has no other place to take one from."""
    fields = canonical.parse_leaf(text.encode())
    if fields["kind"] == "origin":
        checkpoint.parse_vkey(fields["subject"] or "")


def accepts(parse: Callable[[str], object], raw: bytes) -> bool:
    try:
        parse(raw.decode())
    except (CortexError, ValueError):
        return False
    return True


def test_the_bounds_and_names_are_those_of_the_package() -> None:
    expected = (limits.BUNDLE_LINE_BYTES_MAX, limits.NOTE_BYTES_MAX, limits.FINDINGS_MAX, limits.SEQ_MAX)

    assert expected == (verify.LINE_BYTES_MAX, verify.NOTE_BYTES_MAX, verify.FINDINGS_MAX, verify.INTEGER_MAX)
    assert list(canonical.FACT_FIELDS) == verify.DISCLOSED


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_bundle_makes_the_verifier_crash_and_no_changed_one_is_valid(tmp_path: Path, data: st.DataObject) -> None:
    made = log(4)
    path = tmp_path / "fuzzed"
    shutil.rmtree(path, ignore_errors=True)
    made.directory(path)
    part = path / data.draw(st.sampled_from(["leaves.jsonl", "checkpoints.jsonl"]))
    whole = part.read_bytes()
    at = data.draw(st.integers(0, len(whole)))
    changed = whole[:at] + data.draw(st.binary(max_size=4)) + whole[at + data.draw(st.integers(0, 4)) :]
    part.write_bytes(changed)

    report = verify.verify_path(path)

    # JSON around a note may be written in more ways than one; the note in it may not.
    same = changed == whole or (part.name == "checkpoints.jsonl" and notes_of(changed) == made.notes)
    assert same or report.exit_code != 0
    assert changed != whole or report.exit_code == 0


def notes_of(raw: bytes) -> list[str] | None:
    try:
        return [json.loads(text)["note"] for text in raw.split(b"\n") if text]
    except (ValueError, TypeError, KeyError):
        return None


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_archive_or_document_makes_the_verifier_crash(tmp_path: Path, data: st.DataObject) -> None:
    directory = tmp_path / "forms"
    directory.mkdir(exist_ok=True)
    shutil.rmtree(directory / "bundle", ignore_errors=True)
    path = data.draw(st.sampled_from(bundles(directory, log(3))[1:]))
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(raw))

    report = verify.verify_path(path)

    assert report.exit_code in {0, 1, 3}


def interpreters() -> list[str]:
    """Every Python from 3.9 on that runs here, and always the one that runs this test."""
    found = [sys.executable]
    for minor in range(9, 16):
        path = shutil.which(f"python3.{minor}")
        asked = path and subprocess.run(
            [path, "-c", "import sys; print(sys.version_info[1])"], capture_output=True, text=True, check=False
        )
        if path and asked and asked.stdout.strip() == str(minor):
            found.append(path)
    return found


@pytest.mark.parametrize("python", interpreters())
def test_the_file_alone_checks_a_bundle_in_an_empty_directory(tmp_path: Path, python: str) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(str(verify.__file__), alone / "verify.py")
    made = log()
    path = bundles(tmp_path, made)[1]
    (tmp_path / "believed").write_text(f"log {SIGNER.vkey}\n")
    (tmp_path / "kept").write_text(made.notes[0])
    made.rows[4]["actor"] = "\u202eeve"
    made.directory(tmp_path / "tampered")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [python, "-I", "-W", "error", "verify.py", *arguments]
        environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
        return subprocess.run(command, cwd=alone, env=environment, capture_output=True, text=True, check=False)

    good = run(str(path), "--trust", "../believed", "--checkpoint", "../kept")
    bad = run(str(tmp_path / "tampered"), "--json")
    none = run("nothing")

    assert (0, "") == (good.returncode, good.stderr)
    assert good.stdout.endswith("valid, as far as the lines above go\n")
    assert 1 == bad.returncode
    assert {"code": "CHAIN_LINK", "id": "5"}.items() <= json.loads(bad.stdout)["findings"][0].items()
    assert (3, True) == (none.returncode, none.stdout.startswith("not checked"))


def test_findings_are_printed_one_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = log()
    made.rows.pop(6)

    code = verify.main([str(made.directory(tmp_path / "bundle"))])

    printed = capsys.readouterr().out.splitlines()
    assert 1 == code
    assert "FAIL GAP id=6 leaf 7 stands where leaf 6 should" in printed
    assert printed[-1].startswith("NOT VALID: ")


def test_it_imports_nothing_but_the_standard_library() -> None:
    source = Path(str(verify.__file__)).read_text()

    names = {text.split()[1].partition(".")[0] for text in source.splitlines() if text.startswith(("import ", "from "))}

    assert names <= sys.stdlib_module_names


def test_a_digest_is_the_hmac_that_the_rfc_writes_out() -> None:
    text = b"cortex-fact/v1\n" + b"\xff" * 88
    inner = hashlib.sha256(b"\x36" * 64 + text).digest()

    assert hashlib.sha256(b"\x5c" * 64 + inner).digest() == canonical.fact_digest(b"", (None,) * 11)
