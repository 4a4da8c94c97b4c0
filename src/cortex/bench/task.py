"""What a worker process is told to measure, and what it answers."""

from pathlib import Path

from msgspec import Struct

from cortex import limits
from cortex.bench.figures import Figure


class Task(Struct, frozen=True, kw_only=True):
    """One probe, and how long it may take.

    `size` is how many facts or entries, `peer` another product's name, `mode` how to search or what to simulate; empty
    where unused.
    """

    probe: str
    folder: str
    quick: bool
    size: int = 0
    peer: str = ""
    mode: str = ""
    seconds: int = limits.BENCH_PROBE_SECONDS

    @property
    def path(self) -> Path:
        """The throwaway folder."""
        return Path(self.folder)


class Answer(Struct, frozen=True, kw_only=True):
    """The figures, or in one sentence why there are none."""

    figures: list[Figure] = []
    failed: str = ""
