"""Starting a probe in a process of its own, and getting its figures or the reason why there are none."""

import contextlib
import os
import signal
import site
import subprocess
import sys
from pathlib import Path

import msgspec

from cortex import settings
from cortex.bench.task import Answer, Task

_HOMES = ("HOME", "USERPROFILE", "XDG_CACHE_HOME", "LOCALAPPDATA")
_REASON_CHARS = 200
_DROPPED = ("CORTEX_", "_CORTEX_")
# What is measured is a file of our own, but found by the embedder of the user: there is no other.
_KEPT = "CORTEX_EMBEDDER_"


def measure(task: Task) -> Answer:
    """Run a probe to its end, or for the seconds it may take. It is gone when this returns or raises."""
    complaints = task.path / "complaints"
    # The worker ends when this pipe does: it is never written to.
    reading, holding = os.pipe()
    try:
        with complaints.open("wb") as errors:
            process = subprocess.Popen(  # noqa: S603 - our own worker
                [sys.executable, "-m", "cortex.bench.worker", msgspec.json.encode(task).decode()],
                stdin=reading,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment(task.path),
                cwd=task.path,
                # Ctrl-C reaches this process, which ends the worker and whatever that has started.
                start_new_session=True,
            )
        try:
            answered, _ = process.communicate(timeout=task.seconds)
        except subprocess.TimeoutExpired:
            return Answer(failed=f"it took longer than {task.seconds} s")
        finally:
            _end(process)
    finally:
        os.close(reading)
        os.close(holding)
    return _answer(answered, complaints)


def environment(folder: Path) -> dict[str, str]:
    """The environment of a probe: a home in the throwaway folder, no telemetry, no downloads.

    No setting of Cortex but those of the embedder, and the folder of its models, which is in the user's own home.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_DROPPED)}
    return (
        kept
        | embedder()
        | {
            "HOME": str(folder),
            "USERPROFILE": str(folder),
            "TMPDIR": str(folder),
            # With another HOME Python would not find what is installed for one user.
            "PYTHONUSERBASE": site.getuserbase(),
            "ANONYMIZED_TELEMETRY": "False",
            "DO_NOT_TRACK": "1",
            "HF_HUB_OFFLINE": "1",
        }
    )


def embedder() -> dict[str, str]:
    """What the environment says of the embedder, with the folder of its models said in any case."""
    said = {name: value for name, value in os.environ.items() if name.startswith(_KEPT)}
    usual = {name: os.environ[name] for name in _HOMES if name in os.environ}
    # A home that is not there holds no settings file either.
    nowhere = {"home": Path(os.devnull) / "cortex"}
    folder = settings.load(flags=nowhere, environ=usual | said, cwd=Path(os.devnull)).embedder_folder
    return said | {f"{_KEPT}FOLDER": str(folder)}


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def _answer(answered: bytes, complaints: Path) -> Answer:
    try:
        return msgspec.json.decode(answered, type=Answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = complaints.read_text(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(said) if line.strip()), "it ended without an answer")
        return Answer(failed=last[:_REASON_CHARS])
