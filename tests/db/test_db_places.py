"""Places that cannot be reached, written, or linked in: told as what they are, and nothing left behind."""

import os
from pathlib import Path

import pytest
from db_memories import child, opened, said

from cortex import files
from cortex.db.database import Database
from cortex.errors import Conflict, Unavailable

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")

NOBODY = 65534

TRIES = f"""
import os, sys
from pathlib import Path
from cortex import files
from cortex.db import migrate
from cortex.db.connect import connect
from cortex.db.database import Database
from cortex.errors import CortexError
from cortex.ledger.keys import NodeKey

known = migrate.shipped()  # read while this may be read
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid({NOBODY})
    os.setuid({NOBODY})
closed, blind = Path(sys.argv[1], "closed"), Path(sys.argv[1], "blind")
for act in (
    lambda: Database.open(closed / "memory.db", migrations=known),
    lambda: Database.open(closed / "memory.db", create=False, migrations=known),
    lambda: connect(closed / "memory.db", busy_timeout_ms=1),
    lambda: NodeKey(closed / "key").exists(),
    lambda: files.refuse_existing(closed / "file"),
    lambda: files.write_whole(closed / "file", b"content"),
    lambda: files.write_whole(blind / "file", b"content"),
):
    try:
        print("done", act(), flush=True)
    except CortexError as error:
        print(error.kind, error.message, bool(error.hint), flush=True)
"""


@posix
@pytest.mark.skipif(os.name == "posix" and os.geteuid() != 0, reason="needs a second user")
def test_what_lies_in_a_closed_folder_is_unavailable(shared_folder: Path) -> None:
    closed, blind = shared_folder / "closed", shared_folder / "blind"
    closed.mkdir(mode=0o700)
    blind.mkdir()
    blind.chmod(0o733)

    with child(TRIES, shared_folder) as process:
        answers = [said(process) for _ in range(7)]

    def told(name: str) -> str:
        return f"unavailable {closed / name} cannot be reached (Permission denied) True"

    assert [told("memory.db")] * 3 + [told("key")] + [told("file")] * 2 == answers[:6]
    assert f"unavailable {blind / 'file'} cannot be written (Permission denied) True" == answers[6]
    assert [] == list(blind.iterdir())


@posix
def test_a_link_that_leads_nowhere_is_told(tmp_path: Path) -> None:
    link = tmp_path / "memory.db"
    link.symlink_to(tmp_path / "gone" / "memory.db")

    for create in (True, False):
        with pytest.raises(Unavailable, match=f"{link} is a link to {tmp_path}/gone/memory.db, which is not there"):
            Database.open(link, create=create)


@posix
def test_links_in_a_circle_are_told(tmp_path: Path) -> None:
    link = tmp_path / "memory.db"
    link.symlink_to(link)

    with pytest.raises(Unavailable, match="cannot be reached"):
        Database.open(link)


@pytest.fixture
def no_hard_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system such as exFAT."""

    def refused(source: object, target: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)


@pytest.mark.usefixtures("no_hard_links")
def test_a_file_takes_its_name_where_there_are_no_hard_links(tmp_path: Path) -> None:
    files.write_whole(tmp_path / "file", b"content")

    assert [tmp_path / "file"] == list(tmp_path.iterdir())
    assert b"content" == (tmp_path / "file").read_bytes()
    assert 0o600 == (tmp_path / "file").stat().st_mode & 0o777 or os.name == "nt"


@pytest.mark.usefixtures("no_hard_links")
def test_without_hard_links_too_nothing_is_written_over(tmp_path: Path) -> None:
    target = tmp_path / "file"

    def write_while_somebody_is_faster() -> None:
        with files.new_file(target) as file:
            file.write(b"mine")
            target.write_bytes(b"of somebody else")

    with pytest.raises(Conflict, match="exists already"):
        write_while_somebody_is_faster()

    assert [target] == list(tmp_path.iterdir())
    assert b"of somebody else" == target.read_bytes()


def test_a_file_whose_writing_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail() -> None:
        with files.new_file(tmp_path / "file") as file:
            file.write(b"half")
            raise ValueError("of the writer")

    with pytest.raises(ValueError, match="of the writer"):
        fail()

    assert [] == list(tmp_path.iterdir())


def test_a_path_with_a_nul_is_told(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="is not a path"), opened(tmp_path / "a\0b"):
        pass
