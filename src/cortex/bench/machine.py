"""The machine that figures hold for, and how fast its disk makes a write durable."""

import os
import platform
import time
from pathlib import Path

import apsw

from cortex._version import __version__
from cortex.bench import figures
from cortex.bench.figures import Figure, Machine

_BLOCK_BYTES = 4_096
_BLOCKS = 256


def describe(folder: Path, *, quick: bool) -> Machine:
    """The machine, with the disk that `folder` is on."""
    return Machine(
        cortex=__version__,
        python=platform.python_version(),
        sqlite=apsw.sqlite_lib_version(),
        system=f"{platform.system()} {platform.machine()}",
        cpus=_cpus(),
        sync=_sync(folder / "sync", 10 if quick else 200),
    )


def _cpus() -> int:
    """The CPUs that this process may use, where the system tells; else all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _sync(path: Path, count: int) -> Figure:
    """Overwriting a block of a file and syncing it: what SQLite's log does in its second round."""
    # Where there is no fdatasync (macOS, Windows), SQLite calls what fsync is there.
    sync = getattr(os, "fdatasync", os.fsync)
    walls = []
    with path.open("w+b", buffering=0) as file:
        file.write(bytes(_BLOCK_BYTES * _BLOCKS))
        os.fsync(file.fileno())
        for number in range(count):
            file.seek(_BLOCK_BYTES * (number % _BLOCKS))
            started = time.perf_counter()
            file.write(os.urandom(_BLOCK_BYTES))
            sync(file.fileno())
            walls.append((time.perf_counter() - started) * 1e3)
    path.unlink()
    return figures.measured(f"one {sync.__name__} of 4 KiB", "ms", walls)
