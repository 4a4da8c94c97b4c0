"""The Merkle tree of RFC 9162: hashes, roots, proofs and the compact range that makes appending O(log n)."""

import hashlib
from collections.abc import Callable, Iterable, Sequence

from cortex.errors import Corrupt, Invalid

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

# The hash of the complete subtree of 2^level leaves that is number `index` at its level.
Get = Callable[[int, int], bytes]
Node = tuple[int, int, bytes]

_sha256 = hashlib.sha256


def leaf_hash(data: bytes) -> bytes:
    return _sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return _sha256(b"\x01" + left + right).digest()


def root(hashes: Iterable[bytes]) -> bytes:
    """The root over leaf hashes."""
    level = list(hashes)
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        # An odd last node moves up as it is. Doubling it would give two trees one root (CVE-2012-2459).
        rest = level[-1:] if len(level) % 2 else []
        level = [node_hash(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)] + rest
    return level[0]


def root_at(get: Get, size: int) -> bytes:
    """The root over the first `size` leaves, from the roots of complete subtrees."""
    range_, start = list[bytes](), 0
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            range_.append(get(level, start >> level))
            start += 1 << level
    return range_root(range_, size)


def inclusion_proof(index: int, size: int, get: Get) -> list[bytes]:
    """The siblings on the way from leaf `index` to the root of a tree of `size` (RFC 9162, 2.1.3.1)."""
    if not 0 <= index < size:
        raise Invalid(f"no leaf {index} in a tree of {size}", "ask for an index below the size")
    proof = []
    start, end = 0, size
    while end - start > 1:
        middle = _middle(start, end)
        if index < middle:
            proof.append(_subtree(middle, end, get))
            end = middle
        else:
            proof.append(_subtree(start, middle, get))
            start = middle
    return proof[::-1]


def consistency_proof(size1: int, size2: int, get: Get) -> list[bytes]:
    """What shows that a tree of `size1` leaves is the beginning of one of `size2` (RFC 9162, 2.1.4.1)."""
    if not 0 < size1 <= size2:
        raise Invalid(f"no proof from size {size1} to {size2}", "give 0 < old size <= new size")
    proof = []
    start, end = 0, size2
    while end != size1:
        middle = _middle(start, end)
        if size1 <= middle:
            proof.append(_subtree(middle, end, get))
            end = middle
        else:
            proof.append(_subtree(start, middle, get))
            start = middle
    if start > 0:
        proof.append(_subtree(start, end, get))
    return proof[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected: bytes) -> None:
    """Raises Corrupt unless `proof` leads from the leaf hash to the root (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        raise Corrupt(f"a proof for leaf {index} in a tree of {size}", _hint)
    _check_hashes(leaf, expected, *proof)
    node, last = index, size - 1
    found = leaf
    for sibling in proof:
        if last == 0:
            raise Corrupt(f"a proof of {len(proof)} hashes is too long for a tree of {size}", _hint)
        if node & 1 or node == last:
            found = node_hash(sibling, found)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        node, last = node >> 1, last >> 1
    if last != 0:
        raise Corrupt(f"a proof of {len(proof)} hashes is too short for a tree of {size}", _hint)
    if found != expected:
        raise Corrupt(f"the proof of leaf {index} does not lead to the root", _hint)


def verify_consistency(size1: int, size2: int, proof: Sequence[bytes], root1: bytes, root2: bytes) -> None:
    """Raises Corrupt unless the first tree is the beginning of the second (RFC 9162, 2.1.4.2)."""
    if not 0 < size1 <= size2:
        raise Corrupt(f"a proof from size {size1} to {size2}", "an empty tree is the beginning of any other")
    _check_hashes(root1, root2, *proof)
    if size1 == size2:
        if proof or root1 != root2:
            raise Corrupt(f"two different trees of {size1} leaves, or a proof between equal ones", _hint)
        return
    path = list(proof)
    if size1 & (size1 - 1) == 0:
        path.insert(0, root1)
    if not path:
        raise Corrupt(f"an empty proof from size {size1} to {size2}", _hint)
    found1, found2, last = _climb(path, size1 - 1, size2 - 1)
    if last != 0:
        raise Corrupt(f"a proof of {len(proof)} hashes is too short for a tree of {size2}", _hint)
    if (found1, found2) != (root1, root2):
        raise Corrupt(f"the tree of {size1} leaves is not the beginning of that of {size2}", _hint)


def range_append(range_: list[bytes], size: int, leaf: bytes) -> list[Node]:
    """Add a leaf hash to the compact range of `size` leaves, in place.

    Returns (level, index, hash) of every node that it completes, the leaf first.
    """
    nodes = [(0, size, leaf)]
    level = 0
    while size & 1:
        leaf = _sha256(b"\x01" + range_.pop() + leaf).digest()
        level += 1
        size >>= 1
        nodes.append((level, size, leaf))
    range_.append(leaf)
    return nodes


def range_root(range_: Sequence[bytes], size: int) -> bytes:
    """The root of the tree of `size` leaves whose compact range this is."""
    _check_range(range_, size)
    if not range_:
        return EMPTY_ROOT
    found = range_[-1]
    for left in range_[-2::-1]:
        found = node_hash(left, found)
    return found


def range_encode(range_: Iterable[bytes]) -> bytes:
    return b"".join(range_)


def range_decode(stored: bytes, size: int) -> list[bytes]:
    """The compact range of `size` leaves from its stored form. Raises Corrupt if its length does not fit."""
    range_ = [stored[at : at + HASH_BYTES] for at in range(0, len(stored), HASH_BYTES)]
    _check_range(range_, size)
    return range_


_hint = "ask the log for the proof again; if it stays so, the log is not the one that the root belongs to"


def _middle(start: int, end: int) -> int:
    """Where a tree is split: after the largest power of two that is less than its size."""
    return start + (1 << (end - start - 1).bit_length() - 1)


def _subtree(start: int, end: int, get: Get) -> bytes:
    """The root over leaves `start` to `end`; only the last of its complete subtrees may be missing leaves."""
    parts = []
    while start < end:
        level = (end - start).bit_length() - 1
        parts.append(get(level, start >> level))
        start += 1 << level
    found = parts.pop()
    while parts:
        found = node_hash(parts.pop(), found)
    return found


def _climb(path: Sequence[bytes], node: int, last: int) -> tuple[bytes, bytes, int]:
    """The old and the new root that a consistency path leads to, and where it ends."""
    while node & 1:
        node, last = node >> 1, last >> 1
    found1 = found2 = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise Corrupt("a consistency proof is too long for its tree", _hint)
        if node & 1 or node == last:
            found1, found2 = node_hash(sibling, found1), node_hash(sibling, found2)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found2 = node_hash(found2, sibling)
        node, last = node >> 1, last >> 1
    return found1, found2, last


def _check_hashes(*hashes: bytes) -> None:
    for found in hashes:
        if len(found) != HASH_BYTES:
            raise Corrupt(f"a hash of {len(found)} bytes", _hint)


def _check_range(range_: Sequence[bytes], size: int) -> None:
    if size < 0 or len(range_) != size.bit_count() or any(len(found) != HASH_BYTES for found in range_):
        raise Corrupt(f"a compact range of {len(range_)} parts for {size} leaves", "rebuild it from the leaves")
