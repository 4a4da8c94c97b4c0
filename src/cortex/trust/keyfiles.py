"""Private keys of agents in files: where they lie, how one is made, found, brought along and rotated.

Under Cortex's home: `agents/<log>/NAME.key` is the agent's own, `custody/<log>/NAME.key` one that the server signs
with, `admin/<log>.key` the admin's. An existing key is never overwritten except by its rotation.
"""

import base64
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from nacl.signing import SigningKey

from cortex import files
from cortex.errors import Conflict, Corrupt, CortexError, Invalid, Unavailable
from cortex.kinds import AGENT_PATTERN
from cortex.ledger.checkpoint import SEED_BYTES
from cortex.trust import private

Custody = Literal["agent", "server"]

SEED_PATTERN = "[A-Za-z0-9+/]{43}="

_NAME = re.compile(AGENT_PATTERN)
_ORIGIN = re.compile("cortex/votes/([0-9a-f]{16})/([0-9a-f]{16})")
_KEY = re.compile(f"cortex-agent-key/v1 ([^ ]+) ([^ ]+) ({SEED_PATTERN})")
_SEED = re.compile(SEED_PATTERN)
_SEED_HEX = re.compile("[0-9a-fA-F]{64}")
# What Windows takes for a device, with any ending.
_DEVICES = re.compile("(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?=\\.|$)")
_UPPER = re.compile("[A-Z]")

_hint = "put the right file back, or register the agent under another key"
_absent = "make one with `cortex agent add NAME`, or give the file with `--key FILE`"


@dataclass(frozen=True, slots=True)
class AgentKey:
    """Who signs, and the seed of the Ed25519 key."""

    name: str
    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        check_name(self.name)
        if len(self.seed) != SEED_BYTES:
            raise Invalid(f"a seed of {len(self.seed)} bytes", f"give {SEED_BYTES}")

    @property
    def public(self) -> bytes:
        return bytes(SigningKey(self.seed).verify_key)

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of the signature."""
        return SigningKey(self.seed).sign(message).signature


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A key on this machine, and who keeps it."""

    key: AgentKey
    custody: Custody


def check_name(name: str) -> None:
    """Raise Invalid for what is no name of an agent."""
    if _NAME.fullmatch(name) is None or name in {".", ".."}:
        raise Invalid(
            f"{ascii(name)[:80]} is no name of an agent", "take 1 to 64 letters, digits, dots, dashes, '_' and '@'"
        )


def log_folder(origin: str) -> str:
    """The name that a votes log has among files. Raises Corrupt for an origin of another form: none is made."""
    matched = _ORIGIN.fullmatch(origin)
    if matched is None:
        raise Corrupt(
            f"{ascii(origin)[:80]} is no origin of a votes log",
            "the form is cortex/votes/<16 hex>/<16 hex>; `cortex vote-ledger verify` says what was changed",
        )
    return f"{matched[1]}-{matched[2]}"


def agent_path(home: Path, origin: str, name: str) -> Path:
    """Where the agent's own key lies."""
    return home / "agents" / log_folder(origin) / f"{_stem(name)}.key"


def receipts_path(home: Path, origin: str, name: str) -> Path:
    """Where the agent keeps its receipts."""
    return home / "agents" / log_folder(origin) / f"{_stem(name)}.receipts"


def custody_path(home: Path, origin: str, name: str) -> Path:
    """Where the key lies with which the server signs for the agent."""
    return home / "custody" / log_folder(origin) / f"{_stem(name)}.key"


def admin_path(home: Path, origin: str) -> Path:
    """Where the admin key of the log lies."""
    return home / "admin" / f"{log_folder(origin)}.key"


def make(path: Path, name: str, origin: str) -> AgentKey:
    """The key in the file, made if there is none. Of two processes that make it at once, one wins and both use it."""
    check_name(name)
    log_folder(origin)
    try:
        private.make(path, _encode(AgentKey(name, os.urandom(SEED_BYTES)), origin))
    except Conflict:
        pass
    return load(path, name, origin)


def load(path: Path, name: str | None = None, origin: str | None = None) -> AgentKey:
    """The key in the file; with `name` and `origin`, only one made for them.

    Raises NotFound where there is none, Unavailable where it cannot be used, Conflict where it is somebody else's.
    """
    key, log = _read(path)
    _check_owner(path, key.name, log, name, origin)
    return key


def find(home: Path, origin: str, name: str) -> FoundKey | None:
    """The key that this machine has for an agent: its own, else the server's."""
    if files.found(own := agent_path(home, origin, name)) is not None:
        return FoundKey(load(own, name, origin), "agent")
    if files.found(kept := custody_path(home, origin, name)) is not None:
        return FoundKey(load(kept, name, origin), "server")
    return None


def bring(path: Path, name: str | None = None, origin: str | None = None) -> AgentKey:
    """A key from elsewhere: a key file, or a seed alone as 64 hex digits or in base64, which needs a `name`."""
    text = private.read(path, "give the path of a key file")
    seed = _bare_seed(text)
    if seed is None:
        key, log = _parse(path, text)
        _check_owner(path, key.name, log, name, origin)
        return key
    if name is None:
        raise Invalid(f"{path} does not say whose key it is", "name the agent")
    return AgentKey(name, seed)


def prepare_next(path: Path) -> AgentKey:
    """The key that is to take the place of the one in `path`: what an attempt before left, else a new one."""
    with _rotating(path) as (current, origin):
        return make(private.next_of(path), current.name, origin)


def take_next(path: Path, *, keep_old: bool = False) -> AgentKey:
    """The prepared key takes the place. Raises NotFound where none was prepared."""
    with _rotating(path) as (current, origin):
        prepared = _load_next(path, current.name, origin)
        private.take_next(path, keep_old=keep_old)
        return prepared


def kept(path: Path, name: str, origin: str) -> Iterator[tuple[Path, AgentKey]]:
    """The agent's old keys that rotations kept beside `path`, the newest first; what is none of them is passed over."""
    for old in private.kept_of(path):
        try:
            key = load(old, name, origin)
        except CortexError:
            continue
        yield old, key


def put_back(path: Path, old: Path) -> Path:
    """A key that a rotation kept takes the place again. Returns where the newer one is kept from now on."""
    with _rotating(path):
        return private.put_back(path, old)


def decode_seed(text: str) -> bytes | None:
    """The seed of its base64; None unless this is the one text that encodes it."""
    if _SEED.fullmatch(text) is None:
        return None
    seed = base64.b64decode(text)
    return seed if base64.b64encode(seed).decode() == text else None


def _stem(name: str) -> str:
    """A name as part of a file's name.

    Where a file system does not tell cases apart, two names must not share a key. To refuse the second name would
    let whoever registers first keep others out, so a capital is written as plus and small letter, which no name holds.
    A plus after what Windows takes for a device makes it a file.
    """
    check_name(name)
    small = _UPPER.sub(lambda letter: f"+{letter[0].lower()}", name)
    return _DEVICES.sub(lambda device: f"{device[0]}+", small, count=1) if _DEVICES.match(small) else small


def _encode(key: AgentKey, origin: str) -> str:
    return f"cortex-agent-key/v1 {key.name} {origin} {base64.b64encode(key.seed).decode()}\n"


def _read(path: Path) -> tuple[AgentKey, str]:
    return _parse(path, private.read(path, _absent))


def _parse(path: Path, text: str) -> tuple[AgentKey, str]:
    matched = _KEY.fullmatch(text)
    seed = decode_seed(matched[3]) if matched else None
    if matched is None or seed is None:
        raise Unavailable(f"{path} is not an agent's key", _hint)
    try:
        log_folder(matched[2])
        return AgentKey(matched[1], seed), matched[2]
    except (Corrupt, Invalid) as error:
        raise Unavailable(f"{path} is not an agent's key: {error.message}", _hint) from None


def _check_owner(path: Path, has_name: str, has_origin: str, name: str | None, origin: str | None) -> None:
    if name not in {None, has_name}:
        raise Conflict(f"{path} holds the key of {has_name}, not of {name}", _hint)
    if origin not in {None, has_origin}:
        raise Conflict(f"{path} holds a key for the log {has_origin}, not for {origin}", _hint)


def _bare_seed(text: str) -> bytes | None:
    return bytes.fromhex(text) if _SEED_HEX.fullmatch(text) else decode_seed(text)


def _load_next(path: Path, name: str, origin: str) -> AgentKey:
    waiting = private.next_of(path)
    key, log = _parse(waiting, private.read(waiting, "prepare the next key first"))
    _check_owner(waiting, key.name, log, name, origin)
    return key


@contextmanager
def _rotating(path: Path) -> Iterator[tuple[AgentKey, str]]:
    """The key in the file and its log, while nobody else rotates it."""
    _read(path)  # before a lock is made beside a key that is not there
    with private.alone(path):
        private.refuse_link(path)
        yield _read(path)
