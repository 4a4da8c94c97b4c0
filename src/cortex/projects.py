"""Which project a folder belongs to."""

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path

from cortex import limits
from cortex.errors import Invalid, TooLarge

# What is true of the person everywhere, whatever the project.
USER = "user"

# C0 and C1 controls, line and paragraph separators, marks that reorder text on a screen, lone surrogates.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069\\ud800-\\udfff]")
_EDGES = re.compile(r"^[\s-]+|\s+$")
_DIGEST_CHARS = 6

_SECTION = re.compile(r'\s*\[\s*([A-Za-z0-9.-]+)(?:\s+"((?:[^"\\]|\\.)*)")?\s*\]')
_URL_KEY = re.compile(r"\s*url\s*=(.*)", re.IGNORECASE)
_VALUE_PIECE = re.compile(r'"((?:[^"\\]|\\.)*)"|\\(.)|([#;].*)|([^"\\#;]+)|"')
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.-]*::")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_DRIVE = re.compile(r"[A-Za-z]:(?=/)")


def user_home(environ: Mapping[str, str] = os.environ) -> Path | None:
    """The person's home directory; None where the system knows none, as in some containers."""
    named = environ.get("USERPROFILE" if os.name == "nt" else "HOME", "")
    if named and Path(named).is_absolute():
        return Path(named)
    try:
        return Path.home()
    except RuntimeError:
        return None


def check_name(name: str) -> str:
    """The name in its stored form (NFC). Raises Invalid or TooLarge for what cannot name a project."""
    if len(name) <= 4 * limits.NAME_CHARS_MAX:  # normalizing is not linear, so it comes after a first bound
        name = unicodedata.normalize("NFC", name)
    if len(name) > limits.NAME_CHARS_MAX:
        raise TooLarge(
            f"the project name has {len(name)} characters", f"use at most {limits.NAME_CHARS_MAX} characters"
        )
    if not name:
        raise Invalid("the project name is empty", "give a name such as owner/repo")
    if unfit := _UNFIT.search(name):
        raise Invalid(f"the project name {name!r} holds the control character U+{ord(unfit[0]):04X}", "leave it out")
    if name != name.strip():
        raise Invalid(f"the project name {name!r} begins or ends with a space", "leave the space out")
    if name.startswith("-"):
        raise Invalid(f"the project name {name!r} begins with a dash", "begin with a letter or a digit")
    return name


def detect(cwd: Path, *, home: Path) -> str:
    """The project of a folder; `home` is the person's home directory. Never fails, whatever the folder holds.

    The remote of its git repository, else the folder of that repository, else the folder itself. The file
    system's root and the home directory, where nothing is one project, are USER.
    """
    folder, home = resolved(cwd), resolved(home)
    if folder in (home, Path(folder.anchor)):
        return USER
    root, common = _repository(folder, home)
    if common is None:
        # A checkout whose .git leads nowhere is still one project from all of its folders.
        return _folder_name(root or folder)
    # A `.git` (or `.bare`) belongs to the folder round it. Any other, such as a bare repository or the store of
    # a submodule, lies among others of its kind and names itself.
    owner = common.parent if common.name.startswith(".") else common
    url = _remote_url(_text(common / "config", limits.GIT_CONFIG_BYTES_MAX) or "")
    return (remote_name(url, owner) if url else None) or _folder_name(owner)


def repository_root(folder: Path, *, home: Path) -> Path | None:
    """The nearest folder upward that holds `.git`.

    The home directory and the file system's root never count: a repository there (dotfiles) is not the
    project of everything below it.
    """
    for place in _upward(resolved(folder), resolved(home)):
        if _is_folder(place / ".git") or _is_file(place / ".git"):
            return place
    return None


def remote_name(url: str, base: Path) -> str | None:
    """`owner/repo` (with all groups between) from a git remote's URL; None where it does not name two levels.

    `base` is where relative paths start. No part of a user name or password is ever in the answer: everything
    up to the last `@` goes, because passwords may hold `/`, `?` and `@` unescaped.
    """
    if len(url) > limits.SOURCE_CHARS_MAX:
        return None
    text = _HELPER.sub("", url.strip().replace("\\", "/"), count=1)
    scheme = _SCHEME.match(text)
    if _is_local(text):
        parts = _local_parts(text[scheme.end() :] if scheme else text, base)[-2:]
    else:
        parts = _network_parts(text, scheme.end() if scheme else 0)
    return _fit("/".join(parts)) if len(parts) >= 2 else None


def _is_local(text: str) -> bool:
    scheme = _SCHEME.match(text)
    if scheme is not None:
        return scheme[1].lower() == "file"
    return bool(_DRIVE.match(text)) or ":" not in text.partition("/")[0]


def _local_parts(text: str, base: Path) -> list[str]:
    _, cut, path = _DRIVE.sub("", text, count=1).rpartition("@")
    absolute = cut or text.startswith(("/", "~")) or _DRIVE.match(text)
    steps = path.split("/") if absolute else [*base.parts[1:], *path.split("/")]
    walked: list[str] = []
    for step in steps:
        if step == "..":
            del walked[-1:]
        elif step != "~":
            walked.append(step)
    return _cleaned_parts(walked)


def _network_parts(text: str, start: int) -> list[str]:
    before, _, rest = text[start:].rpartition("@")
    rest = re.split(r"[?#]", rest, maxsplit=1)[0]
    host, path = "", rest
    if "/" not in before:  # else the `@` was in the path and the host went with it
        divider = "/" if start else ("]:" if rest.startswith("[") else ":")
        host, found, path = rest.partition(divider)
        host, path = (host, path) if found else ("", rest)
    parts = _cleaned_parts(path.split("/"))
    if len(parts) == 1 and host:
        # A repository at the top of its host: the host stands for the owner, without its port.
        host = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        return _cleaned_parts([host]) + parts
    return parts


def _cleaned_parts(parts: list[str]) -> list[str]:
    kept = [part for part in map(_clean, parts) if part not in ("", ".", "..")]
    if kept and kept[-1].lower().endswith(".git"):
        kept[-1] = _clean(kept[-1][: -len(".git")])
    return [part for part in kept if part]


def _clean(text: str) -> str:
    return _EDGES.sub("", unicodedata.normalize("NFC", _UNFIT.sub("-", text)))


def _fit(name: str) -> str:
    """The name, or where it is too long as much of it as there is room for with a digest of the whole."""
    return name if len(name) <= limits.NAME_CHARS_MAX else _digested(name, name.encode())


def _folder_name(path: Path) -> str:
    """`<folder>-<digest of its path>`: two folders named `api` are two projects."""
    name = _clean(path.name[: limits.NAME_CHARS_MAX]) or "folder"
    return _digested(name, str(path).encode("utf-8", "surrogatepass"))


def _digested(name: str, data: bytes) -> str:
    room = limits.NAME_CHARS_MAX - 1 - _DIGEST_CHARS
    return f"{name[:room]}-{hashlib.sha256(data).hexdigest()[:_DIGEST_CHARS]}"


def _repository(folder: Path, home: Path) -> tuple[Path | None, Path | None]:
    """The root of the working tree and the git directory that its worktrees share; None for what is missing."""
    for place in _upward(folder, home):
        marker = place / ".git"
        if _is_folder(marker):
            return place, _common(marker)
        if _is_file(marker):
            git_dir = _pointer(marker, "gitdir:")
            return place, None if git_dir is None else _common(git_dir)
        if _is_file(place / "HEAD") and _is_folder(place / "objects") and _is_folder(place / "refs"):
            return place, _common(place)  # inside a git directory or a bare repository
    return None, None


def _upward(folder: Path, home: Path) -> Iterator[Path]:
    for place in (folder, *folder.parents):
        if place in (home, place.parent):
            return
        yield place


def _common(git_dir: Path) -> Path:
    return _pointer(git_dir / "commondir", "") or resolved(git_dir)


def _pointer(file: Path, prefix: str) -> Path | None:
    """The folder that a one-line file of git names, or None when it names none that is there."""
    line = (_text(file, limits.GIT_POINTER_BYTES_MAX) or "").strip()
    target = line.removeprefix(prefix).strip()
    if not target or not line.startswith(prefix):
        return None
    folder = resolved(file.parent / target)
    return folder if _is_folder(folder) else None


def _remote_url(config: str) -> str | None:
    """The URL of `origin`, else that of the only remote. Include directives are not followed."""
    urls: dict[str, str] = {}
    remote: str | None = None
    for line in config.replace("\\\r\n", "").replace("\\\n", "").split("\n"):
        setting = line
        if header := _SECTION.match(line):
            remote, setting = _remote_of(header), line[header.end() :]
        if remote is not None and (matched := _URL_KEY.match(setting)) and (url := _value(matched[1])):
            urls.setdefault(remote, url)  # git fetches from the first
    if "origin" in urls:
        return urls["origin"]
    return next(iter(urls.values())) if len(urls) == 1 else None


def _remote_of(header: re.Match[str]) -> str | None:
    """The remote that a section describes: `[remote "origin"]`, or `[remote.origin]` as git once wrote."""
    section, _, dotted = header[1].partition(".")
    if section.lower() != "remote":
        return None
    return dotted.lower() or re.sub(r"\\(.)", r"\1", header[2] or "")


def _value(raw: str) -> str:
    """A value of a git config line without its quotes, escapes and comment."""
    pieces: list[str] = []
    for quoted, escaped, comment, bare in _VALUE_PIECE.findall(raw):
        if comment:
            break
        pieces.append(re.sub(r"\\(.)", r"\1", quoted) + escaped + bare)
    return "".join(pieces).strip()


def _text(file: Path, most: int) -> str | None:
    """What a small file holds; None when it cannot be read or holds more."""
    if not _is_file(file):  # a pipe or a device would block
        return None
    try:
        with file.open("rb") as stream:
            data = stream.read(most + 1)
    except OSError:
        return None
    return None if len(data) > most else data.decode("utf-8-sig", "replace")


def resolved(path: Path) -> Path:
    """The absolute path without symbolic links, as far as it can be followed."""
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, a NUL, a deleted working directory
        return Path(os.sep) / path


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
