"""A place for a file, a database in it, and a disk that can fail."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from db_memories import opened
from faulty_disk import Disk

from cortex.db.database import Database


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file will be."""
    return tmp_path / "memory.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    """A new database."""
    with opened(path) as database:
        yield database


@pytest.fixture
def disk() -> Iterator[Disk]:
    """A disk in order, until it is told to fail."""
    disk = Disk("faulty")
    yield disk
    disk.unregister()


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that another user can reach: those of pytest are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="cortex-test-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)
