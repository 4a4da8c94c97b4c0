"""One frozen Settings, read from the config file, the repository's file, the environment and flags."""

import difflib
import os
import re
import stat
import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from cortex import kinds, limits, projects
from cortex.errors import Invalid, TooLarge, Unavailable
from cortex.kinds import Given, Kind, Value

Chosen: TypeAlias = dict[str, tuple[Value, str]]  # by name: the value and where it came from

ENVIRONMENT_PREFIX = "CORTEX_"
CONFIG_FILE = "config.toml"
REPOSITORY_FILE = ".cortex.toml"

_PARSER_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)")
_SHOWN_CHARS = 60


class Setting(Struct, frozen=True):
    """One setting. `scope` is the least trusted place that may give it; each one includes those before it."""

    key: str  # in TOML
    scope: Literal["environment", "config", "repository"]
    kind: Kind
    default: Value  # a Path lies in `home`
    about: str
    secret: bool = False  # whether the value is kept out of everything that is shown

    @property
    def name(self) -> str:
        return self.key.replace(".", "_")

    @property
    def environment(self) -> str:
        return ENVIRONMENT_PREFIX + self.name.upper()


class Settings(Struct, frozen=True, kw_only=True):
    """What SETTINGS describes, by name."""

    home: Path
    db: Path
    project: str | None
    agent: str | None
    node_key: Path | None
    readers: int
    batch_size: int
    busy_timeout_ms: int
    checkpoint_leaves: int
    checkpoint_seconds: int
    recall_tokens: int
    mcp_tools: tuple[str, ...]
    mcp_tool_names: str
    mcp_result_tokens: int
    embedder_kind: str
    embedder_folder: Path
    embedder_url: str | None
    embedder_model: str | None
    embedder_key: kinds.Secret | None
    embedder_timeout_ms: int
    vectors_sidecar_from: int
    search_fusion: Literal["scores", "rrf"]
    admin_key: Path | None
    admin_passphrase: kinds.Secret | None
    witnesses: tuple[str, ...]
    timestamp_url: str | None
    timestamp_roots: Path | None
    verify_every_seconds: int
    verify_full_seconds: int
    alert_webhook: kinds.Secret | None

    @property
    def node_key_path(self) -> Path:
        """The key file: as set, else beside the database."""
        return self.node_key or self.db.with_name(self.db.name + ".key")


class Loaded(Struct, frozen=True):
    """Settings, where each value came from, and what to warn of."""

    settings: Settings
    origins: Mapping[str, str]  # by name: "default", "<file>, line 3", "CORTEX_DB", "flag --db"
    warnings: tuple[str, ...]


def load(
    *,
    flags: Mapping[str, object] = MappingProxyType({}),
    environ: Mapping[str, str] = os.environ,
    cwd: Path | None = None,
    written: Mapping[str, str] = MappingProxyType({}),
) -> Settings:
    """The settings in force in `cwd`. Flags go by setting name; one that is None was not given."""
    return resolve(flags=flags, environ=environ, cwd=cwd, written=written).settings


def resolve(
    *,
    flags: Mapping[str, object] = MappingProxyType({}),
    environ: Mapping[str, str] = os.environ,
    cwd: Path | None = None,
    written: Mapping[str, str] = MappingProxyType({}),
) -> Loaded:
    """As `load`, with the origin of each value and the warnings. `written` is how a flag was given, where not `--name`.

    Every value given anywhere is checked, also one that a later source overrides.
    """
    here, person = _working_folder(cwd), projects.user_home(environ)
    from_environment = _from_environment(environ, here, person)
    from_flags = _from_flags(flags, here, person, written)
    home, home_origin = (from_environment | from_flags).get("home") or (_default_home(person), "default")
    assert isinstance(home, Path), "the home setting is a path"
    defaults = {s.name: home / s.default if isinstance(s.default, Path) else s.default for s in SETTINGS}
    if (cache := _cache_folder(environ, person)) is not None:
        # What can be fetched again is no part of the home: it is not copied when that is.
        defaults["embedder_folder"] = cache / "cortex" / "models"
    chosen: Chosen = {name: (value, "default") for name, value in defaults.items()}
    chosen |= _from_file(home / CONFIG_FILE, person, home=home)
    if found := _repository_file(here, person):
        chosen |= _from_file(found[0], person, home=home, within=found[1])
    chosen |= from_environment | from_flags | {"home": (home, home_origin)}
    values: dict[str, Any] = {name: value for name, (value, _) in chosen.items()}
    # Key, log and memory lie by the name of the file: through a link they would be others than without it.
    values["db"] = projects.resolved(values["db"])
    origins = {name: origin for name, (_, origin) in chosen.items()}
    return Loaded(Settings(**values), MappingProxyType(origins), _warnings(environ))


# Everything about settings comes from this table: keys, variables, `cortex config show`, errors.
SETTINGS: tuple[Setting, ...] = (
    Setting("home", "environment", kinds.PATH, Path(), "folder of Cortex's own files; else ~/.cortex"),
    Setting("db", "repository", kinds.PATH, Path("cortex.db"), "the database file; else cortex.db in home"),
    Setting("project", "repository", kinds.PROJECT, None, "the project; else found from the working directory"),
    Setting("agent", "config", kinds.AGENT, None, "the name that changes are written under"),
    Setting("node_key", "config", kinds.PATH, None, "file of the ledger's signing key; else <db>.key"),
    Setting("readers", "config", kinds.READERS, limits.READERS_MAX, "connections that read at once"),
    Setting("batch_size", "config", kinds.BATCH, limits.BATCH_OPS_MAX, "most operations that one commit takes"),
    Setting("busy_timeout_ms", "config", kinds.BUSY, limits.BUSY_TIMEOUT_MS, "longest wait for a locked file"),
    Setting("checkpoint_leaves", "config", kinds.LEAVES, limits.CHECKPOINT_LEAVES, "leaves between checkpoints"),
    Setting("checkpoint_seconds", "config", kinds.SECONDS, limits.CHECKPOINT_SECONDS, "longest time between them"),
    Setting("recall.tokens", "repository", kinds.TOKENS, limits.RECALL_TOKENS_DEFAULT, "most tokens of a briefing"),
    Setting("mcp.tools", "config", kinds.PRESETS, ("memory",), "sets of tools that the MCP server offers"),
    Setting("mcp.tool_names", "repository", kinds.STYLE, "underscore", "cortex_search or cortex.search"),
    Setting(
        "mcp.result_tokens", "repository", kinds.RESULT_TOKENS, limits.TOOL_RESULT_TOKENS_MAX, "most of one result"
    ),
    Setting("embedder.kind", "config", kinds.EMBEDDER, "local", "what turns texts into vectors"),
    Setting(
        "embedder.folder", "config", kinds.PATH, Path("models"), "folder of local models; else in the user's cache"
    ),
    Setting("embedder.url", "config", kinds.ENDPOINT, None, "where an HTTP embedder is asked"),
    Setting("embedder.model", "config", kinds.MODEL, None, "the model that an HTTP embedder is asked for"),
    Setting("embedder.key", "config", kinds.KEY, None, "the key that an HTTP embedder wants", secret=True),
    Setting(
        "embedder.timeout_ms",
        "config",
        kinds.ENDPOINT_WAIT,
        limits.ENDPOINT_TIMEOUT_MS,
        "longest wait for an embedder's answer",
    ),
    Setting(
        "vectors.sidecar_from",
        "config",
        kinds.SIDECAR_FROM,
        limits.SIDECAR_FROM,
        "vectors from which a graph of them is made; 0 for never",
    ),
    Setting("search.fusion", "config", kinds.FUSION, "scores", "how the lists of a hybrid search become one"),
    Setting("admin.key", "config", kinds.PATH, None, "file of the votes log's admin key; else below home"),
    Setting("admin.passphrase", "environment", kinds.PASSPHRASE, None, "what unlocks the admin key", secret=True),
    Setting("witnesses", "config", kinds.WITNESSES, (), "who cosigns or keeps the ledgers' checkpoints"),
    Setting("timestamp.url", "config", kinds.ENDPOINT, None, "the RFC 3161 authority for checkpoints"),
    Setting("timestamp.roots", "config", kinds.PATH, None, "its root certificates, as PEM"),
    Setting(
        "verify.every_seconds",
        "config",
        kinds.EVERY,
        limits.VERIFY_EVERY_SECONDS,
        "how often what is new is verified; 0 for never",
    ),
    Setting(
        "verify.full_seconds", "config", kinds.EVERY, limits.VERIFY_FULL_SECONDS, "how often all of it is; 0 for never"
    ),
    Setting("alert.webhook", "config", kinds.WEBHOOK, None, "where findings are told", secret=True),
)

_BY_NAME = {setting.name: setting for setting in SETTINGS}
_BY_KEY = {setting.key: setting for setting in SETTINGS if setting.scope != "environment"}
_BY_VARIABLE = {setting.environment: setting for setting in SETTINGS}
_TABLES = {key.partition(".")[0] for key in _BY_KEY if "." in key}

assert tuple(_BY_NAME) == Settings.__struct_fields__, "the table and Settings name the same things"


def _value(setting: Setting, given: Given) -> tuple[Value, str]:
    try:
        value = setting.kind.read(given)
    except (Invalid, TooLarge) as error:
        raise type(error)(f"{given.origin}: {setting.name}: {error.message}", error.hint) from None
    if value is None:
        shown = "not that" if setting.secret else kinds.shown(given.value)
        raise Invalid(f"{given.origin}: {setting.name} is {shown}", f"give {setting.kind.accepts}")
    return value, given.origin


def _default_home(person: Path | None) -> Path:
    if person is None:
        raise Unavailable("no home directory is known", "set HOME or CORTEX_HOME")
    return person / ".cortex"


def _cache_folder(environ: Mapping[str, str], person: Path | None) -> Path | None:
    """Where this system keeps what programs can fetch again; None where no home is known."""
    named = environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME", "")
    if named and Path(named).is_absolute():
        return Path(named)
    usual = {"win32": "AppData/Local", "darwin": "Library/Caches"}.get(sys.platform, ".cache")
    return None if person is None else person / usual


def _working_folder(cwd: Path | None) -> Path:
    try:
        return Path.cwd() if cwd is None else cwd.absolute()
    except OSError:
        raise Unavailable("the working directory is gone", "change to a folder that exists") from None


def _from_environment(environ: Mapping[str, str], here: Path, person: Path | None) -> Chosen:
    return {
        setting.name: _value(setting, Given(environ[variable], variable, here, person, text=True))
        for variable, setting in _BY_VARIABLE.items()
        if variable in environ
    }


def _from_flags(flags: Mapping[str, object], here: Path, person: Path | None, written: Mapping[str, str]) -> Chosen:
    chosen: Chosen = {}
    for name, value in flags.items():
        if name not in _BY_NAME:
            raise Invalid(f"unknown setting {name[:_SHOWN_CHARS]!r}", _suggestion(name, _BY_NAME))
        if value is not None:
            origin = written.get(name) or f"flag --{name.replace('_', '-')}"
            chosen[name] = _value(_BY_NAME[name], Given(value, origin, here, person, text=True))
    return chosen


def _warnings(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Variables with our prefix that are no settings. Never an error: container platforms set their own."""
    found = []
    for variable in sorted(environ):
        if variable.startswith(ENVIRONMENT_PREFIX) and variable not in _BY_VARIABLE:
            near = _nearest(variable.removeprefix(ENVIRONMENT_PREFIX).lower(), _BY_NAME)
            hint = f"; did you mean {_BY_NAME[near].environment}?" if near else ""
            found.append(f"the environment variable {variable[:_SHOWN_CHARS]!r} is not a setting{hint}")
    return tuple(found)


def _nearest(name: str, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name[:_SHOWN_CHARS], known, n=1, cutoff=0.6)), None)


def _suggestion(name: str, known: Iterable[str]) -> str:
    near = _nearest(name, known)
    return f"did you mean {near!r}?" if near else f"known are {', '.join(known)}"


def _repository_file(here: Path, person: Path | None) -> tuple[Path, Path] | None:
    """The nearest .cortex.toml of the repository round the working directory, and the repository's root.

    Without a repository only the working directory itself counts, never a folder above it.
    """
    here = projects.resolved(here)
    root = projects.repository_root(here, home=person or Path(here.anchor)) or here
    folders = (folder for folder in (here, *here.parents) if folder.is_relative_to(root))
    return next(((f / REPOSITORY_FILE, root) for f in folders if os.path.lexists(f / REPOSITORY_FILE)), None)


def _from_file(file: Path, person: Path | None, *, home: Path, within: Path | None = None) -> Chosen:
    most = limits.SETTINGS_FILE_BYTES_MAX if within is None else limits.REPOSITORY_SETTINGS_BYTES_MAX
    text = _text(file, most)
    chosen: Chosen = {}
    for key, value in _flat(_parsed(text, file)):
        origin = f"{file}{_line_of(key, text)}"
        setting = _BY_KEY.get(key)
        if key == "home":
            raise Invalid(f"{origin}: no file can set 'home'", "set CORTEX_HOME")
        if setting is None:
            raise Invalid(f"{origin}: unknown key {key[:_SHOWN_CHARS]!r}", _suggestion(key, _BY_KEY))
        if within is not None and setting.scope != "repository":
            raise Invalid(f"{origin}: a repository cannot set {key!r}", f"put it in {home / CONFIG_FILE}")
        chosen[setting.name] = _value(setting, Given(value, origin, file.parent, person, within=within))
    return chosen


def _text(file: Path, most: int) -> str:
    """What a settings file holds; nothing when there is none."""
    try:
        mode = file.stat().st_mode
        if not stat.S_ISREG(mode):  # a pipe or a device would block
            raise Invalid(f"{file} is {'a directory' if stat.S_ISDIR(mode) else 'not a file'}", "put a file there")
        with file.open("rb") as stream:
            data = stream.read(most + 1)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise Unavailable(f"cannot read {file}: {error.strerror}", "make it readable or remove it") from None
    if len(data) > most:
        raise TooLarge(f"{file} is larger than {most} bytes", "a settings file holds a few lines")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Invalid(f"{file}, line {line}: not UTF-8", "save the file as UTF-8") from None


def _parsed(text: str, file: Path) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise Invalid(f"{file}: nested too deeply", "a settings file holds keys and two tables") from None
    except ValueError as error:  # TOMLDecodeError, and what int() raises for a number of thousands of digits
        place, last = _PARSER_PLACE.search(str(error)), text.rstrip().count("\n") + 1
        line = f", line {place[1] or last}" if place else ""
        reason = _PARSER_PLACE.sub("", str(error))[: 2 * _SHOWN_CHARS]
        raise Invalid(f"{file}{line}: not TOML: {reason}", "mend that line") from None


def _flat(document: dict[str, object]) -> list[tuple[str, object]]:
    """The document's keys with dots. Only our own tables are entered."""
    pairs: list[tuple[str, object]] = []
    for key, value in document.items():
        inner = value if key in _TABLES and isinstance(value, dict) else None
        pairs += [(key, value)] if inner is None else [(f"{key}.{name}", inner[name]) for name in inner]
    return pairs


def _line_of(key: str, text: str) -> str:
    """`, line N` of a key, or nothing where text over several lines makes lines that only look like keys."""
    if '"""' in text or "'''" in text:
        return ""
    table = ""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.lstrip().startswith("["):
            table = _plain(line.strip().lstrip("[").partition("]")[0])
            found = table
        else:
            name, sign, _ = line.partition("=")
            found = ".".join(filter(None, (table, _plain(name)))) if sign else ""
        if found and (found == key or found.startswith(f"{key}.") or (found != table and key.startswith(f"{found}."))):
            return f", line {number}"
    return ""


def _plain(key: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in key.split("."))
