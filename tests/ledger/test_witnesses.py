"""Witnesses seen from the log: what files and repositories keep and refuse, and what is made of HTTP answers."""

import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cortex import limits
from cortex.errors import Conflict, Corrupt, CortexError, Invalid, Unavailable
from cortex.ledger import checkpoint, cosignature, witness_file, witnesses
from cortex.ledger.cosignature import WitnessSigner
from cortex.ledger.witnesses import WitnessTarget
from growing_log import ORIGIN, GrowingLog

LOG = GrowingLog()
OTHER = GrowingLog("cortex/transactions/0123456789abcdef/fedcba9876543210")
WITNESS = WitnessSigner("witness.example", b"\x07" * 32)

Answering = Callable[[str, bytes], tuple[int, bytes]]


def take(target: WitnessTarget, size: int, log: GrowingLog = LOG) -> None:
    witnesses.submit(target, log.note(size), log.proof_to(size))


def git(path: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", path, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(params=["file", "git", "bare"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> WitnessTarget:
    """A witness that holds nothing yet."""
    if request.param == "file":
        return witnesses.parse_target(f"file:{tmp_path / 'notes.jsonl'}")
    bare = ["--bare"] if request.param == "bare" else []
    git(tmp_path, "init", "-q", *bare, "kept")
    return witnesses.parse_target(f"git:{tmp_path / 'kept'}")


def test_a_witness_remembers_the_last_note_of_each_log(target: WitnessTarget) -> None:
    assert None is witnesses.remembered(target, ORIGIN)

    for size in (0, 1, 5, 8, 8, 13):
        take(target, size)
        take(target, 2, OTHER)

    assert LOG.note(13) == witnesses.remembered(target, ORIGIN)
    assert OTHER.note(2) == witnesses.remembered(target, OTHER.signer.name)
    assert None is witnesses.remembered(target, "another")


@pytest.mark.parametrize(
    ("size", "forked_at", "code"), [(7, None, "ROLLBACK"), (8, 6, "SPLIT_VIEW"), (12, 6, "HISTORY_REWRITTEN")]
)
def test_another_history_is_refused_and_not_kept(
    target: WitnessTarget, size: int, forked_at: int | None, code: str
) -> None:
    take(target, 8)

    with pytest.raises(Conflict, match=code):
        take(target, size, GrowingLog(forked_at=forked_at))

    assert LOG.note(8) == witnesses.remembered(target, ORIGIN)
    take(target, 9)


def test_what_is_no_checkpoint_is_not_kept(target: WitnessTarget) -> None:
    with pytest.raises(Corrupt):
        witnesses.submit(target, "any text\n", lambda _: [])
    assert None is witnesses.remembered(target, ORIGIN)


def test_of_many_at_once_the_largest_stays(target: WitnessTarget) -> None:
    def attempt(size: int) -> bool:
        try:
            take(target, size)
        except Conflict:
            return False
        return True

    sizes = [1, 9, 3, 12, 6, 10]
    with ThreadPoolExecutor(len(sizes)) as pool:
        taken = list(pool.map(attempt, sizes))

    assert any(taken)
    assert LOG.note(max(size for size, done in zip(sizes, taken, strict=True) if done)) == witnesses.remembered(
        target, ORIGIN
    )


# Files.


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """A file with two notes."""
    path = tmp_path / "notes.jsonl"
    for size in (3, 5):
        take(witnesses.parse_target(f"file:{path}"), size)
    return path


def test_a_file_holds_json_lines_that_only_its_owner_reads(notes: Path) -> None:
    lines = [json.loads(line) for line in notes.read_text().splitlines()]

    assert [{"note": LOG.note(3)}, {"note": LOG.note(5)}] == lines
    if os.name == "posix":
        assert 0o600 == stat.S_IMODE(notes.stat().st_mode)


def test_a_line_that_was_cut_off_is_passed_over_and_then_replaced(notes: Path) -> None:
    whole = notes.read_bytes()
    target = witnesses.parse_target(f"file:{notes}")
    take(target, 9)
    line = notes.read_bytes()[len(whole) :]

    for cut in (1, len(line) // 2, len(line) - 1):
        notes.write_bytes(whole + line[:cut])
        assert LOG.note(5) == witnesses.remembered(target, ORIGIN)
        take(target, 9)
        assert whole + line == notes.read_bytes()


def test_a_damaged_line_is_said_and_nothing_is_added(notes: Path) -> None:
    target = witnesses.parse_target(f"file:{notes}")
    for damage in (
        b"junk\n",
        b'{"note": 1}\n',
        b'{"note": "x"}\n',
        b"[" * 100_000 + b"\n",
        b"\xff\n",
        b'{"note": "\xff"}\n',
    ):
        damaged = notes.read_bytes() + damage
        notes.write_bytes(damaged)

        for attempt in (lambda: witnesses.remembered(target, ORIGIN), lambda: take(target, 9)):
            with pytest.raises(Corrupt, match="no note"):
                attempt()
        assert damaged == notes.read_bytes()
        notes.write_bytes(damaged.removesuffix(damage))


def test_a_line_that_is_too_long_is_not_read(notes: Path) -> None:
    for junk in (b"x" * (1 << 20), b"x" * (1 << 20) + b"\n"):
        notes.write_bytes(junk)

        with pytest.raises(Corrupt, match="too long"):
            witnesses.remembered(witnesses.parse_target(f"file:{notes}"), ORIGIN)


def test_the_last_note_is_found_behind_many_of_other_logs(notes: Path) -> None:
    others = "".join(json.dumps({"note": OTHER.note(1)}) + "\n" for _ in range(2_000))
    notes.write_text(notes.read_text() + others)

    assert LOG.note(5) == witnesses.remembered(witnesses.parse_target(f"file:{notes}"), ORIGIN)


@pytest.mark.skipif(os.name == "nt", reason="needs pipes and links of POSIX")
def test_a_place_that_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for place in (tmp_path, tmp_path / "pipe", tmp_path / "circle", tmp_path / "none" / "notes", Path("/dev/null")):
        with pytest.raises(Unavailable):
            take(witnesses.parse_target(f"file:{place}"), 3)


@pytest.mark.skipif(os.name == "nt", reason="needs limits of POSIX")
def test_a_full_disk_leaves_the_file_as_it_was(notes: Path) -> None:
    before = notes.read_bytes()
    code = f"""
import resource, signal
from cortex.errors import Unavailable
from cortex.ledger import witnesses
from growing_log import GrowingLog
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + 20}, {len(before) + 20}))
log = GrowingLog()
try:
    witnesses.submit(witnesses.parse_target("file:{notes}"), log.note(9), log.proof_to(9))
except Unavailable as error:
    print("said", error.message)
"""

    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(Path(__file__).parent.parent)},
        capture_output=True,
        check=False,
    )

    assert b"" == done.stderr
    assert done.stdout.startswith(b"said the witness's file")
    assert before == notes.read_bytes()


def test_a_file_over_the_limit_takes_no_more(notes: Path) -> None:
    os.truncate(notes, limits.WITNESS_FILE_BYTES_MAX + 1)

    with pytest.raises(Unavailable, match="more than"):
        witness_file.remembered(notes, ORIGIN)


# Repositories.


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One with a commit of its own, and with hooks and settings that would show if they were used."""
    path = tmp_path / "project"
    git(tmp_path, "init", "-q", "project")
    (path / "README").write_text("mine\n")
    git(path, "add", "README")
    git(path, "-c", "user.name=me", "-c", "user.email=me@localhost", "commit", "-qm", "begun")
    for hook in ("pre-commit", "post-commit", "commit-msg", "reference-transaction", "post-index-change"):
        file = path / ".git" / "hooks" / hook
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\ntouch '{tmp_path}/ran-{hook}'\nexit 1\n")
        file.chmod(0o700)
    (path / ".gitattributes").write_text("* filter=trick text eol=crlf\n")
    for name, value in {
        "commit.gpgsign": "true", "gpg.program": f"touch {tmp_path}/ran-gpg", "core.autocrlf": "true",
        "filter.trick.clean": f"touch {tmp_path}/ran-clean", "core.fsmonitor": f"touch {tmp_path}/ran-fsmonitor",
    }.items():  # fmt: skip
        git(path, "config", name, value)
    return path


def test_a_commit_holds_the_note_and_all_that_was_there_and_runs_nothing(repository: Path, tmp_path: Path) -> None:
    take(witnesses.parse_target(f"git:{repository}"), 5)

    names = git(repository, "ls-tree", "-r", "--name-only", "HEAD").split()
    assert 2 == len(names)
    assert "README" in names
    assert LOG.note(5) == subprocess.run(
        ["git", "-C", repository, "cat-file", "blob", f"HEAD:{names[1]}"], capture_output=True, text=True, check=True
    ).stdout  # fmt: skip
    assert "cortex <cortex@localhost>" == git(repository, "log", "-1", "--format=%an <%ae>")
    assert "2" == git(repository, "rev-list", "--count", "HEAD")
    # A filter for other files may be asked about them when git brings its index along, as in any `git status`.
    assert set() == {path.name for path in tmp_path.glob("ran-*")} - {"ran-clean"}


def test_the_work_tree_goes_along_so_that_the_next_commit_undoes_nothing(repository: Path) -> None:
    target = witnesses.parse_target(f"git:{repository}")
    (repository / "README").write_text("changed\n")
    git(repository, "-c", "filter.trick.clean=cat", "-c", "core.hooksPath=/dev/null", "add", "README")

    take(target, 5)

    assert LOG.note(5) == next((repository / "checkpoints").iterdir()).read_text()
    told = ["-c", "core.hooksPath=/dev/null", "-c", "commit.gpgsign=false", "-c", "core.fsmonitor=false"]
    who = ["-c", "user.name=me", "-c", "user.email=me@localhost", "-c", "filter.trick.clean=cat"]
    git(repository, *told, *who, "commit", "-qam", "more")
    assert LOG.note(5) == witnesses.remembered(target, ORIGIN)


def test_a_work_tree_that_was_left_behind_is_mended_by_the_next(repository: Path) -> None:
    target = witnesses.parse_target(f"git:{repository}")
    take(target, 5)
    file = next((repository / "checkpoints").iterdir())
    file.unlink()

    take(target, 5)

    assert LOG.note(5) == file.read_text()
    assert "2" == git(repository, "rev-list", "--count", "HEAD")


def test_what_a_process_that_was_killed_left_behind_is_in_nobodys_way(repository: Path) -> None:
    for name in ("cortex-witness.lock", "cortex-witness.lock.index", "cortex-witness.lock.index.lock"):
        (repository / ".git" / name).write_text("junk")

    take(witnesses.parse_target(f"git:{repository}"), 5)

    assert "2" == git(repository, "rev-list", "--count", "HEAD")


def test_the_variables_of_a_hook_do_not_lead_elsewhere(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "-q", "elsewhere")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere" / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))

    take(witnesses.parse_target(f"git:{repository}"), 5)

    monkeypatch.undo()
    assert "2" == git(repository, "rev-list", "--count", "HEAD")


def test_a_folder_inside_a_repository_or_none_is_refused(repository: Path, tmp_path: Path) -> None:
    (repository / "inside").mkdir()
    (tmp_path / "plain").mkdir()

    with pytest.raises(Invalid, match="inside the repository"):
        take(witnesses.parse_target(f"git:{repository / 'inside'}"), 5)
    for place in (tmp_path / "plain", tmp_path / "absent", repository / "README", repository / ".git"):
        with pytest.raises(CortexError):
            take(witnesses.parse_target(f"git:{place}"), 5)
    assert "1" == git(repository, "rev-list", "--count", "HEAD")


def test_a_linked_folder_is_not_written_through(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "away").mkdir()
    (repository / "checkpoints").symlink_to(tmp_path / "away")

    with pytest.raises(Invalid, match="is a link"):
        take(witnesses.parse_target(f"git:{repository}"), 5)

    assert [] == list((tmp_path / "away").iterdir())
    assert "1" == git(repository, "rev-list", "--count", "HEAD")


# HTTP.


@contextmanager
def answering(answer: Answering) -> Iterator[WitnessTarget]:
    """A server on loopback that answers as `answer` says."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, body = answer(self.path, self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield witnesses.parse_target(f"http://127.0.0.1:{server.server_address[1]}/w/ {WITNESS.vkey}")
        finally:
            server.shutdown()
            thread.join()


def line(note: str, signer: WitnessSigner = WITNESS) -> bytes:
    return cosignature.cosign(note, signer, 1_000).encode()


def test_a_witness_is_first_asked_for_its_size_and_then_with_the_proof_from_there() -> None:
    asked: list[tuple[str, bytes]] = []

    def answer(path: str, body: bytes) -> tuple[int, bytes]:
        asked.append((path, body))
        return (409, b"5\n") if body.startswith(b"old 0\n") else (200, line(LOG.note(9)))

    with answering(answer) as target:
        given = witnesses.submit(target, LOG.note(9), LOG.proof_to(9))

    proof = "".join(f"{checkpoint.encode_base64(found)}\n" for found in LOG.proof(5, 9))
    assert [("/w/add-checkpoint", f"old 0\n\n{LOG.note(9)}".encode())] == asked[:1]
    assert [("/w/add-checkpoint", f"old 5\n{proof}\n{LOG.note(9)}".encode())] == asked[1:]
    assert (target, 9, (line(LOG.note(9)).decode(),)) == (given.target, given.size, given.lines)
    assert None is witnesses.remembered(target, ORIGIN)


def test_lines_of_other_keys_are_left_out() -> None:
    stranger = line(LOG.note(9), WitnessSigner("stranger.example", b"\x08" * 32))

    with answering(lambda *_: (200, stranger + line(LOG.note(9)))) as target:
        given = witnesses.submit(target, LOG.note(9), LOG.proof_to(9))

    assert (line(LOG.note(9)).decode(),) == given.lines


NAMED_ALIKE = WitnessSigner(WITNESS.name, b"\x08" * 32)


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (200, line(LOG.note(8)), Corrupt, "bad signature"),
        (200, line(LOG.note(9), NAMED_ALIKE), Corrupt, "without a line of witness.example"),
        (200, b"", Corrupt, "no lines"),
        (200, line(LOG.note(9))[:-1], Corrupt, "no lines"),
        (200, b"\n" + line(LOG.note(9)), Corrupt, "no signature line"),
        (200, b"<html>\n", Corrupt, "no signature line"),
        (200, b"\xff\n", Corrupt, "no text"),
        (200, b"x" * (limits.WITNESS_ANSWER_BYTES_MAX + 1), Unavailable, "more than"),
        (409, b"10\n", Conflict, "ROLLBACK"),
        (409, b"9\n", Conflict, "SPLIT_VIEW"),
        (409, b"0\n", Corrupt, "refuses the size 0"),
        (409, b"many\n", Corrupt, "refuses the size 0"),
        (422, b"bad\n", Unavailable, "422"),
        (404, b"who?\n", Unavailable, r"404: 'who\?'"),
        (403, b"\x1b[2J", Unavailable, r"403: '\\x1b\[2J'"),
        (400, b"", Unavailable, "400"),
        (302, b"", Unavailable, "302"),
        (503, b"", Unavailable, "503"),
        (299, b"", Unavailable, "299"),
    ],
)
def test_an_answer_that_is_no_cosignature_is_an_error(
    status: int, body: bytes, kind: type[CortexError], said: str
) -> None:
    with answering(lambda *_: (status, body)) as target, pytest.raises(kind, match=said):
        witnesses.submit(target, LOG.note(9), LOG.proof_to(9))


def test_a_proof_that_the_witness_refuses_means_another_history() -> None:
    def answer(_: str, body: bytes) -> tuple[int, bytes]:
        return (409, b"5\n") if body.startswith(b"old 0\n") else (422, b"no")

    with answering(answer) as target, pytest.raises(Conflict, match="HISTORY_REWRITTEN"):
        witnesses.submit(target, LOG.note(9), LOG.proof_to(9))


def test_a_witness_whose_size_never_settles_is_given_up() -> None:
    asked = iter(range(1, 100))

    with answering(lambda *_: (409, b"%d\n" % next(asked))) as target, pytest.raises(Unavailable, match="others too"):
        witnesses.submit(target, LOG.note(9), LOG.proof_to(9))

    assert limits.WITNESS_ATTEMPTS_MAX + 1 == next(asked)


def test_a_line_that_the_note_had_does_not_speak_for_the_answer() -> None:
    note = LOG.note(9) + line(LOG.note(9)).decode()

    with answering(lambda *_: (200, line(LOG.note(8)))) as target, pytest.raises(Corrupt, match="bad signature"):
        witnesses.submit(target, note, LOG.proof_to(9))


def test_a_slow_answer_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()
    monkeypatch.setattr(limits, "WITNESS_TIMEOUT_MS", 200)

    def answer(*_: object) -> tuple[int, bytes]:
        done.wait(30)
        return 200, b""

    with answering(answer) as target:
        began = time.monotonic()
        with pytest.raises(Unavailable, match="in time"):
            witnesses.submit(target, LOG.note(9), LOG.proof_to(9))
        done.set()

    assert time.monotonic() - began < 25


def test_a_witness_that_is_not_there_is_unavailable() -> None:
    with answering(lambda *_: (200, b"")) as target:
        pass

    with pytest.raises(Unavailable, match="cannot be reached"):
        witnesses.submit(target, LOG.note(9), LOG.proof_to(9))


@pytest.mark.parametrize(
    "text",
    [
        "", "notes.jsonl", "file:", "git: ", "file:a\0b", "ftp://w.example k", "http://w.example",
        f"http:// {WITNESS.vkey}", f"http://u:p@w.example {WITNESS.vkey}", f"http://w.example?q {WITNESS.vkey}",
        f"http://w.example:x {WITNESS.vkey}", f"http://w.exämple {WITNESS.vkey}", f"http://[::1 {WITNESS.vkey}",
        f"http://w.example {LOG.signer.vkey}", f"http://w.example {WITNESS.vkey} more",
        f"http://{'w' * limits.ENDPOINT_URL_CHARS_MAX} {WITNESS.vkey}",
    ],
)  # fmt: skip
def test_a_text_that_names_no_witness_is_invalid(text: str) -> None:
    with pytest.raises(Invalid):
        witnesses.parse_target(text)


@pytest.mark.parametrize("text", ["file:a b", "git:/kept", f"https://w.example/x {WITNESS.vkey}"])
def test_a_target_reads_back_from_its_text(text: str) -> None:
    target = witnesses.parse_target(text)

    assert text == str(target)
    assert target == witnesses.parse_target(str(target))
