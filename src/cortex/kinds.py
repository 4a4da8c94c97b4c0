"""What settings accept: how a value as somebody gave it becomes the value in force, or is refused."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from msgspec import Struct, structs

from cortex import limits, projects
from cortex.errors import Invalid

Value: TypeAlias = str | int | Path | tuple[str, ...] | None

TOOL_PRESETS = ("memory", "trust", "all")
TOOL_NAME_STYLES = ("underscore", "dotted")
EMBEDDERS = ("local", "http", "none")
FUSIONS = ("scores", "rrf")

# What agents are called, everywhere.
AGENT_PATTERN = rf"[A-Za-z0-9._@-]{{1,{limits.AGENT_CHARS_MAX}}}"

_WHOLE = re.compile(r"-?[0-9]{1,18}")
# One letter is a drive of Windows; a Path has one slash where the URL had two.
_URL = re.compile(r"([a-z][a-z0-9+.-]+):/|(file):", re.IGNORECASE)
_ENDPOINT = re.compile(r"https?://[!-~]+", re.IGNORECASE)
_WITNESS_FILE = re.compile(r"(file|git):(.+)", re.DOTALL)
_WITNESS_URL = re.compile(r"(https?://[!-~]+) ([!-~]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]+={0,2})")
_SHOWN_CHARS = 60


class Secret(str):
    """A text that is not shown where what holds it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret()"


class Given(Struct, frozen=True):
    """A value as somebody gave it: where it stands and what it may reach."""

    value: object
    origin: str
    base: Path  # where relative paths start
    person: Path | None  # what `~` means
    text: bool = False  # from the environment or a flag, so a number may be digits
    within: Path | None = None  # from a repository's file: the folder that paths stay in


class Kind(Struct, frozen=True):
    """What a setting accepts, in words, and the function that reads it: None for anything else."""

    accepts: str
    read: Callable[[Given], Value]


def shown(value: object) -> str:
    """A value for an error message, short. `repr` fails on deep tables and huge numbers."""
    if isinstance(value, dict | list | tuple):
        return "a table" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and value.bit_length() > 64:
        return "a very large number"
    return repr(value)[:_SHOWN_CHARS] if value != "" else "empty"


def _whole(low: int, high: int) -> Kind:
    def read(given: Given) -> Value:
        value = given.value
        if given.text and isinstance(value, str) and _WHOLE.fullmatch(value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            return None
        return value if low <= value <= high else None

    return Kind(f"a whole number from {low} to {high}", read)


def _matching(pattern: str, accepts: str) -> Kind:
    def read(given: Given) -> Value:
        return given.value if isinstance(given.value, str) and re.fullmatch(pattern, given.value) else None

    return Kind(accepts, read)


def _read_path(given: Given) -> Value:
    value = given.value
    if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
        return None
    if url := _URL.match(str(value)):
        # Not the whole of it: URLs hold passwords.
        raise Invalid(
            f"there is no client for URLs yet, and this is one ({url[1] or url[2]}:)", "give the path of a file"
        )
    path = given.base / _without_tilde(Path(value), given.person)
    return path if given.within is None else _confined(path, given.within)


def _without_tilde(path: Path, person: Path | None) -> Path:
    if path.parts[:1] == ("~",) and person is not None:
        return person.joinpath(*path.parts[1:])
    try:
        return path.expanduser()
    except RuntimeError:
        raise Invalid(f"{path} begins with a home directory that is not known", "give the whole path") from None


def _confined(path: Path, folder: Path) -> Path:
    """The path without links; Invalid when it leaves the folder or enters git's own files."""
    root, real = projects.resolved(folder), projects.resolved(path)
    if not real.is_relative_to(root) or real == root or ".." in real.parts:
        raise Invalid(f"{str(path)!r} is not a file inside the repository {root}", "give a path below it")
    if ".git" in (part.lower() for part in real.relative_to(root).parts):
        raise Invalid(f"{str(path)!r} is among git's own files", "give a path beside them")
    return real


def _read_project(given: Given) -> Value:
    if not isinstance(given.value, str):
        return None
    name = projects.check_name(given.value)
    if given.within is not None and name == projects.USER:
        # Else cloned code could put what it likes before the person in every other project.
        raise Invalid(f"a repository cannot be the scope {projects.USER!r}", "give the repository its own name")
    return name


def _read_endpoint(given: Given) -> Value:
    value = given.value
    if not isinstance(value, str) or len(value) > limits.ENDPOINT_URL_CHARS_MAX or not _ENDPOINT.fullmatch(value):
        return None
    try:
        parts = urlsplit(value)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is none
        return None
    if "@" in parts.netloc:
        # What stands there is shown in more places than a key is.
        raise Invalid("the URL holds a user name or password", "leave it out; a key has a setting of its own")
    return value if usable else None


def _read_webhook(given: Given) -> Value:
    # Who knows the URL of a webhook may write there, so it is kept as a key is.
    try:
        found = _read_endpoint(given)
    except Invalid:
        return None
    return Secret(found) if isinstance(found, str) else None


def _read_witnesses(given: Given) -> Value:
    value = given.value
    names = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or len(names) > limits.WITNESSES_MAX:
        return None
    found = [_witness(given, name) for name in names]
    return tuple(dict.fromkeys(name for name in found if name is not None)) if all(found) else None


def _witness(given: Given, name: object) -> str | None:
    """One witness, its path made whole; None for what names none."""
    matched = _WITNESS_FILE.fullmatch(name) if isinstance(name, str) else None
    if matched is not None:
        path = _read_path(structs.replace(given, value=matched[2]))
        return None if path is None else f"{matched[1]}:{path}"
    return name if isinstance(name, str) and _WITNESS_URL.fullmatch(name) else None


def _read_secret(given: Given) -> Value:
    value = given.value
    most = limits.ENDPOINT_KEY_CHARS_MAX
    return Secret(value) if isinstance(value, str) and re.fullmatch(rf"[!-~]{{1,{most}}}", value) else None


def _read_passphrase(given: Given) -> Value:
    value = given.value
    usable = isinstance(value, str) and 0 < len(value) <= limits.PASSPHRASE_CHARS_MAX and value.isprintable()
    return Secret(value) if usable else None


def _read_presets(given: Given) -> Value:
    value = given.value
    names = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not names or not all(name in TOOL_PRESETS for name in names):
        return None
    return tuple(dict.fromkeys(names))


PATH = Kind("a path", _read_path)
PROJECT = Kind(f"a project name of 1 to {limits.NAME_CHARS_MAX} characters", _read_project)
AGENT = _matching(
    AGENT_PATTERN,
    f"1 to {limits.AGENT_CHARS_MAX} of the characters A-Z a-z 0-9 . _ @ -",
)
PRESETS = Kind(f"a list, separated by commas, of {', '.join(TOOL_PRESETS)}", _read_presets)
STYLE = _matching("|".join(TOOL_NAME_STYLES), f"one of {', '.join(TOOL_NAME_STYLES)}")
READERS = _whole(1, 4 * limits.READERS_MAX)
BATCH = _whole(1, limits.QUEUE_OPS_MAX)
BUSY = _whole(0, limits.BUSY_TIMEOUT_MS_MAX)
LEAVES = _whole(1, limits.SEQ_MAX)
SECONDS = _whole(1, limits.CHECKPOINT_SECONDS_MAX)
TOKENS = _whole(limits.RECALL_TOKENS_MIN, limits.RECALL_TOKENS_MAX)
RESULT_TOKENS = _whole(limits.TOOL_RESULT_TOKENS_MIN, limits.RECALL_TOKENS_MAX)
EMBEDDER = _matching("|".join(EMBEDDERS), f"one of {', '.join(EMBEDDERS)}")
ENDPOINT = Kind("a URL that begins with http:// or https://", _read_endpoint)
MODEL = _matching(
    rf"[!-~](?:[ -~]{{0,{limits.ENDPOINT_MODEL_CHARS_MAX - 2}}}[!-~])?",
    f"1 to {limits.ENDPOINT_MODEL_CHARS_MAX} ASCII characters",
)
KEY = Kind(f"1 to {limits.ENDPOINT_KEY_CHARS_MAX} ASCII characters without spaces", _read_secret)
PASSPHRASE = Kind(f"1 to {limits.PASSPHRASE_CHARS_MAX} printable characters", _read_passphrase)
FUSION = _matching("|".join(FUSIONS), f"one of {', '.join(FUSIONS)}")
WITNESSES = Kind(
    f"a list of up to {limits.WITNESSES_MAX}, separated by commas, of file:PATH, git:PATH or URL VKEY", _read_witnesses
)
WEBHOOK = Kind("a URL that begins with http:// or https://, without a user name or password", _read_webhook)
EVERY = _whole(0, limits.CHECKPOINT_SECONDS_MAX)
SIDECAR_FROM = _whole(0, limits.SIDECAR_FROM_MAX)
ENDPOINT_WAIT = _whole(limits.ENDPOINT_TIMEOUT_MS_MIN, limits.ENDPOINT_TIMEOUT_MS_MAX)
