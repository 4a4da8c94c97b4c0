"""Many stores at once on a disk that takes its time: each sync of this process waits a millisecond longer.

What sharing a commit saves is the cost of a commit, and that differs a hundredfold between disks: 0.03 ms on some
virtual machines, 0.5 to 2 ms on usual SSDs. This shows the second kind on a machine of the first.
"""

import asyncio
import time
from typing import Any

import apsw

from cortex.bench import stage, stores
from cortex.bench.figures import Figure
from cortex.bench.task import Task

SYNC_MS = 1


class _SlowDisk(apsw.VFS):
    """The system's file system with slow syncs; new connections of this process use it."""

    def __init__(self) -> None:
        self._below = apsw.vfs_names()[0]
        super().__init__("slow-disk", self._below, makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        """Open a file."""
        return _SlowFile(self._below, name, flags)


class _SlowFile(apsw.VFSFile):
    """A file whose syncs take longer."""

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        """Sync, after the wait."""
        time.sleep(SYNC_MS / 1000)
        super().xSync(flags)


def probe(task: Task) -> list[Figure]:
    """The stores at once, shared commits and one each."""
    disk = _SlowDisk()
    _, rounds = stores.sizes(quick=task.quick)
    shared, each = task.path / "slow.db", task.path / "slow-each.db"
    try:
        with stage.opened(shared) as one, stage.opened(each, batch_size=1) as other:
            return asyncio.run(stores.at_once(one, other, rounds, f", a sync taking {SYNC_MS} ms more"))
    finally:
        disk.unregister()
