"""A log that only grows, with its checkpoints and proofs; and one that is the same up to a leaf and then another."""

from collections.abc import Callable

from cortex.ledger import checkpoint, merkle
from cortex.ledger.checkpoint import Checkpoint, Signer

ORIGIN = "cortex/votes/0123456789abcdef/fedcba9876543210"


class GrowingLog:
    """Leaves whose hashes are made of their numbers. `forked_at` is the first leaf that is another."""

    def __init__(self, origin: str = ORIGIN, seed: bytes = b"\x01" * 32, forked_at: int | None = None) -> None:
        self.signer = Signer(origin, seed)
        self._forked_at = forked_at
        self._hashes: list[bytes] = []

    def hashes(self, size: int) -> list[bytes]:
        for n in range(len(self._hashes), size):
            forked = self._forked_at is not None and n >= self._forked_at
            self._hashes.append(merkle.leaf_hash(f"{n} {forked}".encode()))
        return self._hashes[:size]

    def note(self, size: int) -> str:
        return checkpoint.sign(Checkpoint(self.signer.name, size, merkle.root(self.hashes(size))), self.signer)

    def proof(self, old: int, size: int) -> list[bytes]:
        def get(level: int, index: int) -> bytes:
            return merkle.root(self.hashes(size)[index << level : (index + 1) << level])

        return merkle.consistency_proof(old, size, get)

    def proof_to(self, size: int) -> Callable[[int], list[bytes]]:
        return lambda old: self.proof(old, size)
