"""Real processes: start-up, signals, pipes and terminals."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from conftest import Process

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")


def test_the_version_is_answered_before_anything_is_imported() -> None:
    traced = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "cortex", "--version"], capture_output=True, check=True
    )

    imported = {line.rpartition(b"|")[2].strip() for line in traced.stderr.splitlines()}
    assert traced.stdout.startswith(b"cortex ")
    assert not imported & {b"click", b"msgspec", b"apsw", b"asyncio", b"tempfile"}


def test_store_search_and_exit_code(process: Process) -> None:
    stored = process("store", "Invoices are sent on the 3rd", "--project", "billing")
    found = process("search", "invoices", "--project", "billing")
    missing = process("show", "ffffffff")

    assert (0, b"") == (stored.returncode, stored.stderr)
    assert b"billing  knowledge  Invoices are sent on the 3rd  (" in found.stdout
    assert (1, b"") == (missing.returncode, missing.stdout)


def test_standard_input_of_a_process(process: Process) -> None:
    done = process("store", "-", "--json", input="- ü\n".encode())

    assert b'"content":"- \xc3\xbc"' in done.stdout


@posix
def test_an_argument_that_is_no_utf_8_is_refused(process: Process) -> None:
    done = process("store", os.fsdecode(b"a\xff"), "--json")

    assert 2 == done.returncode
    assert b'"kind":"invalid"' in done.stdout


@posix
def test_ctrl_c_is_quiet(tmp_path: Path) -> None:
    pipe = tmp_path / "facts.json"
    os.mkfifo(pipe)
    waiting = subprocess.Popen(
        [sys.executable, "-m", "cortex", "store-batch", f"@{pipe}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with pipe.open("wb"):  # opens once the process has begun to read
        waiting.send_signal(signal.SIGINT)
        out, err = waiting.communicate(timeout=60)

    assert (130, b"", b"") == (waiting.returncode, out, err)


@posix
@pytest.mark.parametrize("line", ["list", "list --json", "export", "--help", "--version", "nosuch --json"])
def test_a_reader_that_went_away_is_no_fault(process: Process, line: str) -> None:
    process("store", "x")
    reading, writing = os.pipe()
    os.close(reading)

    done = process(*line.split(), stdout=writing)

    os.close(writing)
    assert (141, b"") == (done.returncode, done.stderr)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_output_that_cannot_be_written_is_told(process: Process, flags: list[str]) -> None:
    process("init")
    with Path("/dev/full").open("wb") as full:
        done = process("list", *flags, stdout=full)

    assert (3, b"error (unavailable): cannot write to standard output: No space left on device") == (
        done.returncode,
        done.stderr.splitlines()[0],
    )


@posix
def test_closed_streams_are_no_fault() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f"'{sys.executable}' -m cortex store x <&- >&- 2>&-"], check=False, timeout=60
    )

    assert 0 == done.returncode


def on_terminal(*argv: str, **environment: str) -> str:
    """What a process prints on a terminal of 60 columns."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    child = subprocess.Popen(
        [sys.executable, "-m", "cortex", *argv],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TERM": "xterm", **environment},
    )
    os.close(theirs)
    shown = b""
    while chunk := _read(ours):
        shown += chunk
    child.wait(timeout=60)
    os.close(ours)
    return shown.decode().replace("\r\n", "\n")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # Linux says so that the other side is closed
        return b""


@posix
def test_a_terminal_gets_lines_of_its_width_and_bold_matches(process: Process) -> None:
    process("store", "billing", "Invoices are sent on the 3rd of the month, and reminders on the 17th")

    shown = on_terminal("search", "invoices", "--project", "billing")
    plain = on_terminal("search", "invoices", "--project", "billing", NO_COLOR="1")
    dumb = on_terminal("search", "invoices", "--project", "billing", TERM="dumb")

    assert "\x1b[1mInvoices\x1b[0m" in shown
    assert "\x1b" not in plain + dumb
    assert all(len(line) <= 60 for line in plain.splitlines())


@posix
def test_json_on_a_terminal_is_indented(process: Process) -> None:
    process("init")

    assert '{\n  "projects": [],\n  "current": "here"\n}\n' == on_terminal("projects", "--json")


def test_what_verification_finds_is_told_to_people_alone(process: Process, tmp_path: Path) -> None:
    process("store", "Invoices are sent on the 3rd")
    connection = apsw.Connection(str(tmp_path / ".cortex" / "cortex.db"))
    connection.execute("UPDATE revision SET content = 'Invoices are sent on the 4th'")
    connection.close()

    done = process("ledger", "verify")

    assert (1, b"") == (done.returncode, done.stderr)
    assert b"FAIL FACT_CHANGED" in done.stdout
    assert b"NOT valid: 1 finding (2 entries, 1 text, " in done.stdout
