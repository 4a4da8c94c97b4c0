"""What the tests of restored votes logs share: a backup, and putting it in the place of the file."""

from pathlib import Path

from cortex import maintenance, settings
from cortex.ops.node import Backup
from cortex.progress import silent
from opened import Memory


def backed_up(memory: Memory) -> Path:
    """A backup beside the file."""
    target = memory.path.with_name("backup.db")
    memory.call(Backup(target=str(target)))
    return target


def restored(memory: Memory, backup: Path) -> maintenance.Restored:
    """What restoring a backup says; the memory is closed first."""
    memory.close()
    flags: dict[str, object] = {"db": memory.path, "agent": "tester"}
    chosen = settings.load(flags=flags, environ={"CORTEX_HOME": str(memory.home)}, cwd=memory.path.parent)
    return maintenance.restore(chosen, backup, silent)
