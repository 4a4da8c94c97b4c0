"""The admin key of a votes log: a file of its own, locked by a passphrase (argon2id, XSalsa20-Poly1305) if wanted."""

import base64
import os
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nacl.exceptions import CryptoError
from nacl.exceptions import RuntimeError as SodiumError
from nacl.pwhash import argon2id
from nacl.secret import SecretBox

from cortex import files, limits
from cortex.errors import Conflict, Corrupt, CortexError, Forbidden, Invalid, Locked, NotFound, Unavailable
from cortex.ledger.checkpoint import SEED_BYTES, decode_base64, encode_base64
from cortex.trust import private
from cortex.trust.keyfiles import SEED_PATTERN, AgentKey, decode_seed, log_folder

State = Literal["absent", "plain", "locked"]

NAME = "admin"

_PREFIX = "cortex-admin-key/v1"
_PLAIN = re.compile(f"{_PREFIX} ([!-~]+) plain ({SEED_PATTERN})")
_LOCKED = re.compile(f"{_PREFIX} ([!-~]+) locked ([1-9][0-9]{{0,3}}) ([1-9][0-9]{{0,11}}) ([A-Za-z0-9+/=]+)")
_BOXED_BYTES = argon2id.SALTBYTES + SecretBox.NONCE_SIZE + SecretBox.MACBYTES + SEED_BYTES

_hint = "put the right file back; without the admin key nobody can give trust, resolve or revoke in this log"
_absent = "work where the admin key is, or bring its file"


@dataclass(frozen=True, slots=True)
class Hardness:
    """What one guess at the passphrase costs. Written into the file, so that it can change."""

    ops: int = argon2id.OPSLIMIT_MODERATE
    memory_bytes: int = argon2id.MEMLIMIT_MODERATE


@dataclass(frozen=True, slots=True)
class _Boxed:
    """The seed under a passphrase: salt, nonce and box."""

    hardness: Hardness
    content: bytes


class AdminKeyFile:
    """The admin key of the log `origin` in the file `path`."""

    def __init__(self, path: Path, origin: str, hardness: Hardness | None = None) -> None:
        log_folder(origin)
        self.path = path
        self.origin = origin
        self.hardness = hardness or Hardness()

    @property
    def state(self) -> State:
        """Whether there is a key, and whether it needs a passphrase. Raises Unavailable for a file that is no key."""
        try:
            return _state(self._read(self.path))
        except NotFound:
            return "absent"

    def open(self, passphrase: str | None = None) -> AgentKey:
        """The key, to sign with. Raises Forbidden where it is locked and this is not its passphrase."""
        return self._opened(self.path, passphrase)

    def make(self, passphrase: str | None = None) -> AgentKey:
        """The key in the file, made if there is none: locked if a passphrase is given."""
        try:
            private.make(self.path, self._encode(os.urandom(SEED_BYTES), passphrase))
        except Conflict:
            if passphrase is not None and self.state == "plain":
                raise Conflict(f"the admin key {self.path} exists already, without a passphrase", "lock it") from None
        return self.open(passphrase)

    def lock(self, passphrase: str) -> None:
        """Put the key under a passphrase. Raises Conflict where it is under one."""
        with self._changing():
            if self.state == "locked":
                raise Conflict(f"the admin key {self.path} is locked already", "unlock it first")
            private.replace(self.path, self._encode(self.open().seed, passphrase))

    def unlock(self, passphrase: str) -> None:
        """Write the key without a passphrase. Raises Conflict where it has none."""
        with self._changing():
            if self.state == "plain":
                raise Conflict(f"the admin key {self.path} is not locked", "use it as it is")
            private.replace(self.path, self._encode(self.open(passphrase).seed, None))

    def prepare_next(self, passphrase: str | None = None) -> AgentKey:
        """The key that is to take the place: what an attempt before left, else a new one in the form of this one."""
        with self._rotating():
            self.open(passphrase)
            waiting = private.next_of(self.path)
            if files.found(waiting) is None:
                chosen = passphrase if self.state == "locked" else None
                private.make(waiting, self._encode(os.urandom(SEED_BYTES), chosen))
            return self._opened(waiting, passphrase)

    def take_next(self, *, keep_old: bool = False) -> None:
        """The prepared key takes the place. Raises NotFound where none was prepared."""
        with self._rotating():
            waiting = private.next_of(self.path)
            prepared = _state(self._parse(waiting, private.read(waiting, "prepare the next key first")))
            if prepared != self.state:
                raise Conflict(f"{waiting} is {prepared}, {self.path} is {self.state}", "bring both into one form")
            private.take_next(self.path, keep_old=keep_old)

    def kept(self, public: bytes, passphrase: str | None = None) -> tuple[Path, AgentKey] | None:
        """The key with this public half among those that rotations kept; None where none that opens is it."""
        for path in private.kept_of(self.path):
            try:
                key = self._opened(path, passphrase)
            except CortexError:
                continue  # locked otherwise, damaged or not ours: it signs nothing here
            if key.public == public:
                return path, key
        return None

    def put_back(self, kept: Path) -> Path:
        """A key that a rotation kept takes the place again. Returns where the newer one is kept from now on."""
        with self._rotating():
            return private.put_back(self.path, kept)

    def changed(self) -> bool:
        """Whether the key was ever locked or rotated, as only that of a log is that was begun."""
        others = (private.next_of(self.path), *private.kept_of(self.path))
        return self.state == "locked" or any(files.found(path) is not None for path in others)

    @contextmanager
    def _rotating(self) -> Iterator[None]:
        self._read(self.path)  # before a lock is made beside a key that is not there
        with private.alone(self.path):
            private.refuse_link(self.path)
            yield

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Nobody else changes the file, and no key waits that would bring the other form back."""
        with self._rotating():
            waiting = private.next_of(self.path)
            if files.found(waiting) is not None:
                raise Conflict(f"a rotation is under way: {waiting}", "finish it first")
            yield

    def _opened(self, path: Path, passphrase: str | None) -> AgentKey:
        held = self._read(path)
        if isinstance(held, bytes):
            return AgentKey(NAME, held)
        if passphrase is None:
            raise Locked(f"the admin key {path} is locked", "set CORTEX_ADMIN_PASSPHRASE to its passphrase")
        return AgentKey(NAME, _unboxed(path, held, passphrase))

    def _read(self, path: Path) -> bytes | _Boxed:
        return self._parse(path, private.read(path, _absent))

    def _parse(self, path: Path, text: str) -> bytes | _Boxed:
        matched = _PLAIN.fullmatch(text) or _LOCKED.fullmatch(text)
        held = None
        if matched is not None:
            held = decode_seed(matched[2]) if matched.re is _PLAIN else _boxed(matched)
        if matched is None or held is None:
            raise Unavailable(f"{path} is not an admin key", _hint)
        if matched[1] != self.origin:
            raise Conflict(f"{path} holds the admin key of {matched[1][:80]}, not of {self.origin}", _hint)
        return held

    def _encode(self, seed: bytes, passphrase: str | None) -> str:
        if passphrase is None:
            return f"{_PREFIX} {self.origin} plain {base64.b64encode(seed).decode()}\n"
        salt = os.urandom(argon2id.SALTBYTES)
        box = SecretBox(_derived(salt, passphrase, self.hardness)).encrypt(seed)
        hardness = f"{self.hardness.ops} {self.hardness.memory_bytes}"
        return f"{_PREFIX} {self.origin} locked {hardness} {encode_base64(salt + bytes(box))}\n"


def origin_in(path: Path) -> str | None:
    """Of which log the file holds the admin key; None where there is no file. Raises Unavailable for no such key."""
    try:
        text = private.read(path, _absent)
    except NotFound:
        return None
    matched = _PLAIN.fullmatch(text) or _LOCKED.fullmatch(text)
    if matched is None:
        raise Unavailable(f"{path} is not an admin key", _hint)
    return matched[1]


def _state(held: bytes | _Boxed) -> State:
    return "plain" if isinstance(held, bytes) else "locked"


def _boxed(matched: re.Match[str]) -> _Boxed | None:
    """What a locked file holds; None where no Cortex would write it, or it would take all memory to open."""
    try:
        content = decode_base64(matched[4])
    except Corrupt:
        return None
    ops, memory = int(matched[2]), int(matched[3])
    fits = argon2id.OPSLIMIT_MIN <= ops <= limits.PASSPHRASE_OPS_MAX
    fits = fits and argon2id.MEMLIMIT_MIN <= memory <= limits.PASSPHRASE_MEMORY_BYTES_MAX
    return _Boxed(Hardness(ops, memory), content) if fits and len(content) == _BOXED_BYTES else None


def _unboxed(path: Path, held: _Boxed, passphrase: str) -> bytes:
    salt, box = held.content[: argon2id.SALTBYTES], held.content[argon2id.SALTBYTES :]
    try:
        return SecretBox(_derived(salt, passphrase, held.hardness)).decrypt(box)
    except CryptoError:
        raise Forbidden(f"the passphrase does not open {path}", "give the one that it was locked with") from None


def _derived(salt: bytes, passphrase: str, hardness: Hardness) -> bytes:
    if not 0 < len(passphrase) <= limits.PASSPHRASE_CHARS_MAX:
        raise Invalid(
            f"a passphrase of {len(passphrase)} characters", f"give 1 to {limits.PASSPHRASE_CHARS_MAX} characters"
        )
    try:
        # One passphrase, however a keyboard or a system composes its letters.
        given = unicodedata.normalize("NFKC", passphrase).encode()
        return argon2id.kdf(SecretBox.KEY_SIZE, given, salt, hardness.ops, hardness.memory_bytes)
    except UnicodeEncodeError:
        raise Invalid("a passphrase that is not text", "give text that UTF-8 can hold") from None
    except SodiumError:
        raise Unavailable(
            f"{hardness.memory_bytes} bytes of memory to open the admin key cannot be had", "free memory"
        ) from None
