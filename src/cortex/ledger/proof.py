"""A leaf's place in a signed log as one text (C2SP tlog-proof): index, inclusion proof and checkpoint."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from cortex import limits
from cortex.errors import Corrupt
from cortex.ledger import checkpoint as checkpoints
from cortex.ledger import merkle
from cortex.ledger.checkpoint import Checkpoint

_HEADER = "c2sp.org/tlog-proof@v1\n"
_PROOF = re.compile(
    "(?:extra ([A-Za-z0-9+/=]+)\n)?index (0|[1-9][0-9]{0,15})\n((?:[A-Za-z0-9+/]{43}=\n)*)\n(.+)", re.DOTALL
)
_TEXT_CHARS_MAX = limits.NOTE_BYTES_MAX + 2 * limits.PROOF_EXTRA_BYTES_MAX + 64 * limits.PROOF_HASHES_MAX

_hint = "take the proof as the log gave it"


@dataclass(frozen=True, slots=True)
class Proof:
    """The leaf's index, the hashes from its sibling up, the checkpoint's note. `extra` is not vouched for."""

    index: int
    hashes: tuple[bytes, ...]
    note: str
    extra: bytes = b""


def encode(proof: Proof) -> str:
    extra = f"extra {checkpoints.encode_base64(proof.extra)}\n" if proof.extra else ""
    hashes = "".join(f"{checkpoints.encode_base64(found)}\n" for found in proof.hashes)
    return f"{_HEADER}{extra}index {proof.index}\n{hashes}\n{proof.note}"


def parse(text: str) -> Proof:
    """The parts of a proof, not verified. Raises Corrupt unless `encode` would write the same text."""
    if len(text) > _TEXT_CHARS_MAX:
        raise Corrupt(f"a proof of {len(text)} characters", f"at most {_TEXT_CHARS_MAX} are read")
    matched = _PROOF.fullmatch(text.removeprefix(_HEADER)) if text.startswith(_HEADER) else None
    if matched is None:
        raise Corrupt("a text that is not a tlog-proof", f"its first line is {_HEADER.strip()}")
    extra, index, hashes, note = matched.groups()
    checkpoints.parse(note)
    proof = Proof(
        index=int(index),
        hashes=tuple(checkpoints.decode_base64(line) for line in hashes.splitlines()),
        note=note,
        extra=checkpoints.decode_base64(extra) if extra else b"",
    )
    if proof.index > limits.SEQ_MAX or len(proof.hashes) > limits.PROOF_HASHES_MAX:
        raise Corrupt(f"a proof of {len(proof.hashes)} hashes for leaf {proof.index}", _hint)
    if len(proof.extra) > limits.PROOF_EXTRA_BYTES_MAX:
        raise Corrupt(f"{len(proof.extra)} extra bytes in a proof", f"at most {limits.PROOF_EXTRA_BYTES_MAX} are read")
    return proof


def verify(
    text: str, leaf_hash: bytes, vkeys: Iterable[str], threshold: int = 1, origin: str | None = None
) -> tuple[int, Checkpoint]:
    """The leaf's index and the checkpoint above it; raises Corrupt for a bad proof, signature or origin."""
    proof = parse(text)
    checkpoint = checkpoints.verify(proof.note, vkeys, threshold, origin)
    merkle.verify_inclusion(leaf_hash, proof.index, checkpoint.size, proof.hashes, checkpoint.root)
    return proof.index, checkpoint
