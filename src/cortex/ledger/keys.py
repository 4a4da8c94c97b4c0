"""Signing keys: 32 random bytes in a file of mode 0600 beside the database, made on first use.

The node's key is deliberately not in the database: a copy of the file alone cannot sign as the original, and goes on as
a new origin that names where it came from.
"""

import base64
import os
from dataclasses import dataclass
from pathlib import Path

from cortex import limits
from cortex.errors import Conflict, Unavailable
from cortex.files import found, read_start, write_whole
from cortex.ledger.checkpoint import SEED_BYTES, Signer


@dataclass(frozen=True, slots=True)
class SeedFile:
    """The seed in the file `path`. `mark` is the file's first word; the hints are for those who find it unusable."""

    path: Path
    mark: str
    what: str
    damaged_hint: str
    unwritable_hint: str

    def exists(self) -> bool:
        """Whether there is a key yet. Raises Unavailable where that cannot be seen."""
        return found(self.path) is not None

    def load_or_make(self) -> bytes:
        """The seed, made first if there is none: of two processes, one makes it and both use it."""
        try:
            return self._load()
        except FileNotFoundError:
            self._make()
        except OSError as error:
            raise Unavailable(f"the key {self.path} cannot be read ({error.strerror})", "check who owns it") from None
        return self._load()

    def _load(self) -> bytes:
        text = read_start(self.path, limits.SEED_FILE_BYTES_MAX).decode("ascii", "replace").strip()
        try:
            seed = base64.b64decode(text.removeprefix(f"{self.mark} "), validate=True)
        except ValueError:
            seed = b""
        if not text.startswith(f"{self.mark} ") or len(seed) != SEED_BYTES:
            raise Unavailable(f"{self.path} is not a {self.what}", self.damaged_hint)
        return seed

    def _make(self) -> None:
        """Write a new key, whole or not at all."""
        try:
            write_whole(self.path, f"{self.mark} {base64.b64encode(os.urandom(SEED_BYTES)).decode()}\n".encode())
        except Conflict:
            pass
        except Unavailable as error:
            raise Unavailable(
                f"the signing key {self.path} cannot be made: {error.message}", self.unwritable_hint
            ) from None


class NodeKey:
    """The key in the file `path`: read when first needed, made when it is not there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = SeedFile(
            path,
            "cortex-node-key/v1",
            "node key",
            "put the right file back, or move it away: Cortex then goes on under a new key and origin",
            "make its folder writable, or set node_key to another place",
        )
        self._seed: bytes | None = None
        self._vkeys: dict[str, str] = {}

    def exists(self) -> bool:
        """Whether there is a key yet. Raises Unavailable where that cannot be seen."""
        return self._file.exists()

    def signer(self, origin: str) -> Signer:
        """Signs as `origin`, making the key first if need be."""
        if self._seed is None:
            self._seed = self._file.load_or_make()
        return Signer(origin, self._seed)

    def vkey(self, origin: str) -> str:
        """The verifier key of `signer(origin)`, computed once."""
        if origin not in self._vkeys:
            self._vkeys[origin] = self.signer(origin).vkey
        return self._vkeys[origin]
