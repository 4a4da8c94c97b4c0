"""A git repository as a witness: each log's last note is a file in HEAD, its history the commits. Pushing is not ours.

Git's plumbing writes the commit: no hook and no signing program is run, no filter changes the note, and a bare
repository will do.
"""

import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cortex import files, limits
from cortex.errors import Corrupt, Invalid, Unavailable
from cortex.ledger.locking import locked

_FOLDER = "checkpoints"
_LOCK = "cortex-witness.lock"
_NO_TRICKS = (
    "-c", f"core.hooksPath={os.devnull}", "-c", "commit.gpgsign=false", "-c", "core.fsmonitor=false",
    "-c", "core.fsync=all",
)  # fmt: skip
_WHO = {"NAME": "cortex", "EMAIL": "cortex@localhost"}


@dataclass(frozen=True, slots=True)
class _Repository:
    path: Path
    git_dir: Path
    bare: bool


@dataclass(frozen=True, slots=True)
class _Held:
    blob: str
    note: str


def place_of(origin: str) -> str:
    """The file of a log inside the repository."""
    return f"{_FOLDER}/{hashlib.sha256(origin.encode()).hexdigest()}.note"


def remembered(path: Path, origin: str) -> str | None:
    """The note of a log in HEAD; None where there is none."""
    repository = _repository(path)
    held = _held(repository, _head(repository), place_of(origin))
    return None if held is None else held.note


def keep(path: Path, origin: str, note: str, is_news: Callable[[str | None], bool]) -> None:
    """Commit a note unless `is_news`, which is shown the one in HEAD, says that it is known, or raises.

    HEAD moves only if it is still what was looked at.
    """
    repository, place = _repository(path), place_of(origin)
    if not repository.bare and (path / _FOLDER).is_symlink():
        raise Invalid(f"{path / _FOLDER} is a link", "make it a folder of the repository")
    with _alone(repository):
        head = _head(repository)
        held = _held(repository, head, place)
        if is_news(None if held is None else held.note):
            held = _Held(_git(repository.path, "hash-object", "-w", "--stdin", given=note), note)
            commit = _commit(repository, head, place, held.blob, f"checkpoint of {origin}")
            _git(repository.path, "update-ref", "-m", "cortex: checkpoint", "HEAD", commit, head or "")
        # Also where nothing is new: whoever was stopped before this left it to the next.
        if held is not None and not repository.bare:
            _show(repository, place, held)


def _commit(repository: _Repository, head: str | None, place: str, blob: str, subject: str) -> str:
    """A commit of HEAD's tree with one file changed, made in an index of its own."""
    index = repository.git_dir / f"{_LOCK}.index"
    for left_behind in (index, index.with_name(f"{index.name}.lock")):
        left_behind.unlink(missing_ok=True)
    extra = {"GIT_INDEX_FILE": str(index)}
    try:
        if head is not None:
            _git(repository.path, "read-tree", head, extra=extra)
        _git(repository.path, "update-index", "--add", "--cacheinfo", f"100644,{blob},{place}", extra=extra)
        tree = _git(repository.path, "write-tree", extra=extra)
    finally:
        index.unlink(missing_ok=True)
    parents = ["-p", head] if head is not None else []
    return _git(repository.path, "commit-tree", tree, *parents, given=f"{subject}\n")


def _show(repository: _Repository, place: str, held: _Held) -> None:
    """Bring the work tree along, or the next commit made there by hand would undo the checkpoint."""
    target = repository.path / place
    try:
        target.parent.mkdir(exist_ok=True)
        files.replace_whole(target, held.note.encode())
    except OSError as error:
        raise Unavailable(f"{target} cannot be written ({error.strerror})", "see its folder and the disk") from None
    _git(repository.path, "update-index", "--add", "--cacheinfo", f"100644,{held.blob},{place}")


def _repository(path: Path) -> _Repository:
    told = _git(path, "rev-parse", "--is-bare-repository", "--absolute-git-dir").split("\n")
    bare = told[0] == "true"
    git_dir = Path(told[-1])
    top = git_dir if bare else Path(_git(path, "rev-parse", "--show-toplevel"))
    if not top.samefile(path):
        # A folder somewhere inside a project would get that project's history.
        raise Invalid(f"{path} lies inside the repository {top}", "give the repository itself, or `git init` there")
    return _Repository(path, git_dir, bare)


def _head(repository: _Repository) -> str | None:
    """The commit of HEAD; None in a repository without one."""
    return _git(repository.path, "rev-parse", "--verify", "-q", "HEAD^{commit}", fine=(0, 1)) or None


def _held(repository: _Repository, head: str | None, place: str) -> _Held | None:
    if head is None:
        return None
    entry = _git(repository.path, "ls-tree", "-l", "--full-tree", head, "--", place).split()
    if not entry:
        return None
    if entry[1] != "blob" or int(entry[3]) > limits.NOTE_BYTES_MAX:
        raise Corrupt(f"{place} in {repository.path} is no note", "restore the file from its history")
    return _Held(entry[2], _git(repository.path, "cat-file", "blob", entry[2], strip=False))


@contextmanager
def _alone(repository: _Repository) -> Iterator[None]:
    lock = repository.git_dir / _LOCK
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise Unavailable(f"{lock} cannot be made ({error.strerror})", "make the repository writable") from None
    try:
        with locked(handle, lock):
            yield
    finally:
        os.close(handle)


def _git(
    path: Path,
    *words: str,
    given: str = "",
    extra: Mapping[str, str] | None = None,
    fine: tuple[int, ...] = (0,),
    strip: bool = True,
) -> str:
    """What git answers. Only our own words are its arguments; what it says when it fails is passed on."""
    try:
        done = subprocess.run(  # noqa: S603 - our own words and paths, no shell
            ["git", *_NO_TRICKS, "-C", str(path), *words],  # noqa: S607 - git is found as its user finds it
            input=given.encode(),
            capture_output=True,
            check=False,
            timeout=limits.WITNESS_GIT_SECONDS,
            env=_environment() | dict(extra or {}),
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"git in {path} took over {limits.WITNESS_GIT_SECONDS} s", "see what holds it up") from None
    except (OSError, ValueError) as error:
        raise Unavailable(f"git cannot be run ({error})", "install git, or name another witness") from None
    if done.returncode not in fine:
        said = " ".join(done.stderr.decode(errors="replace").split())[: limits.WITNESS_SAID_CHARS]
        raise Unavailable(f"git {words[0]} in {path} failed ({said!a})", "see `git status` there")
    try:
        answer = done.stdout.decode()
    except UnicodeDecodeError:
        raise Corrupt(f"git {words[0]} in {path} gave no text", "restore the file from its history") from None
    return answer.strip() if strip else answer


def _environment() -> dict[str, str]:
    """Ours without what git hands to the programs it runs: inside a hook it names another repository."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    told = {f"GIT_{role}_{name}": value for role in ("AUTHOR", "COMMITTER") for name, value in _WHO.items()}
    return (
        kept
        | told
        | {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_REPLACE_OBJECTS": "1", "LC_ALL": "C"}
    )
