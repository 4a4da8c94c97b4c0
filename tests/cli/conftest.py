"""A command line with a home of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Process = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a working directory that nothing else uses."""
    for name in [*os.environ]:
        if name.startswith(("CORTEX_", "_CORTEX_")) or name in {"NO_COLOR", "COLUMNS", "LINES"}:
            monkeypatch.delenv(name)
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("CORTEX_PROJECT", "here")
    monkeypatch.setenv("CORTEX_EMBEDDER_KIND", "none")
    monkeypatch.chdir(folder)
    return tmp_path


@pytest.fixture
def process() -> Process:
    """Runs `cortex` as a process of its own."""

    def run(*argv: str, **options: Any) -> "subprocess.CompletedProcess[bytes]":
        piped: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        if "input" in options:
            del piped["stdin"]
        return subprocess.run([sys.executable, "-m", "cortex", *argv], timeout=60, **{**piped, **options})  # noqa: PLW1510

    return run
