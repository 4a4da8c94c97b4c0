"""A locked admin key: the terminal is asked for its passphrase, and what is no terminal is told what to set."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")

SECRET = "a long secret of several words"


def _environment(tmp_path: Path, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return {**kept, "HOME": str(tmp_path), "CORTEX_EMBEDDER_KIND": "none", "CORTEX_AGENT": "ana", **more}


def _run(tmp_path: Path, *words: str, **more: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "cortex", *words],
        env=_environment(tmp_path, **more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def _at_terminal(tmp_path: Path, answer: str, *words: str) -> tuple[int, str]:
    mine, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "cortex", *words],
        env=_environment(tmp_path),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    told = b""
    while b"Passphrase" not in told:
        told += os.read(mine, 4096)
    os.write(mine, f"{answer}\n".encode())
    while True:
        try:
            told += os.read(mine, 4096)
        except OSError:  # the other end is closed
            break
    os.close(mine)
    return child.wait(), told.decode()


def test_the_terminal_is_asked_for_the_passphrase(tmp_path: Path) -> None:
    _run(tmp_path, "init")
    _run(tmp_path, "admin", "lock", CORTEX_ADMIN_PASSPHRASE=SECRET)

    silent = _run(tmp_path, "agent", "add", "bob", "--trust", "trusted")
    code, told = _at_terminal(tmp_path, SECRET, "agent", "add", "bob", "--trust", "trusted")
    wrong, said = _at_terminal(tmp_path, "not that", "agent", "add", "eve", "--trust", "trusted")

    assert 1 == silent.returncode
    assert "CORTEX_ADMIN_PASSPHRASE" in silent.stderr
    assert (0, True) == (code, "trusted" in told)
    assert SECRET not in told
    assert 1 == wrong
    assert "eve" not in _run(tmp_path, "agent", "list").stdout
    assert "wrong" in said or "passphrase" in said
