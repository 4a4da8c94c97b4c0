"""Reading the clocks of this process and the memory of any."""

import time
from pathlib import Path
from typing import Self

_KIB_PER_MIB = 1024


class Lap:
    """From `with` to its end: wall and CPU milliseconds of this process, all its threads."""

    def __init__(self) -> None:
        self.wall_ms = self.cpu_ms = self._wall = self._cpu = 0.0

    def __enter__(self) -> Self:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu_ms = (time.process_time() - self._cpu) * 1e3
        self.wall_ms = (time.perf_counter() - self._wall) * 1e3


def resident_mib(pid: int | None = None) -> float | None:
    """The resident memory of a process, this one by default; None where the system does not tell."""
    return _status(pid, "VmRSS:")


def peak_mib() -> float | None:
    """The most that was resident in this process. Not getrusage: that begins with what the parent had."""
    return _status(None, "VmHWM:")


def _status(pid: int | None, name: str) -> float | None:
    try:
        lines = Path(f"/proc/{pid or 'self'}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / _KIB_PER_MIB for line in lines if line.startswith(name)), None)
