"""A witness as people start it: `cortex witness serve` in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serving(folder: Path, *vkeys: str, options: tuple[str, ...] = ()) -> Iterator[str]:
    """A witness that knows the logs of these keys; what it prints first, which is how it is named as a target."""
    folder.mkdir(exist_ok=True)
    (folder / "logs").write_text("".join(f"log {vkey}\n" for vkey in vkeys))
    command = [sys.executable, "-m", "cortex", "witness", "serve", "--port", "0"]
    places = ["--state", str(folder / "state.db"), "--logs", str(folder / "logs")]
    with subprocess.Popen(
        [*command, *places, *options], stdout=subprocess.PIPE, env={**os.environ, "HOME": str(folder)}
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().decode().strip()
        finally:
            process.terminate()
            assert 0 == process.wait(60)
