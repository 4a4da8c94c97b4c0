"""The Merkle tree against published vectors, a naive definition and tampering."""

import hashlib
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cortex.errors import Corrupt, Invalid
from cortex.ledger import merkle

# The inputs and roots of the Certificate Transparency reference tree.
INPUTS = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES = [merkle.leaf_hash(b"%d" % number) for number in range(131)]


def naive_root(hashes: list[bytes]) -> bytes:
    """RFC 9162, 2.1.1, word for word."""
    if len(hashes) < 2:
        return hashes[0] if hashes else hashlib.sha256(b"").digest()
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return merkle.node_hash(naive_root(hashes[:split]), naive_root(hashes[split:]))


def nodes_of(hashes: list[bytes]) -> Callable[[int, int], bytes]:
    return lambda level, index: naive_root(complete(hashes, index << level, 1 << level))


def complete(hashes: list[bytes], start: int, count: int) -> list[bytes]:
    part = hashes[start : start + count]
    assert count == len(part), "only complete subtrees are asked for"
    return part


def test_the_roots_are_the_published_ones() -> None:
    hashes = [merkle.leaf_hash(data) for data in INPUTS]

    roots = [merkle.root(hashes[:size]).hex() for size in range(9)]

    assert ROOTS == roots


def test_published_proofs_are_made_and_accepted() -> None:
    hashes = [merkle.leaf_hash(data) for data in INPUTS]
    roots = [bytes.fromhex(text) for text in ROOTS]

    inclusion = merkle.inclusion_proof(5, 8, nodes_of(hashes))
    consistency = merkle.consistency_proof(6, 8, nodes_of(hashes))

    assert [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ] == [found.hex() for found in inclusion]
    assert [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ] == [found.hex() for found in consistency]
    merkle.verify_inclusion(hashes[5], 5, 8, inclusion, roots[8])
    merkle.verify_consistency(6, 8, consistency, roots[6], roots[8])


def test_every_size_has_the_root_of_the_definition_and_the_compact_range_agrees() -> None:
    range_: list[bytes] = []
    for size in range(131):
        expected = naive_root(LEAVES[:size])

        found = (merkle.root(LEAVES[:size]), merkle.range_root(range_, size))

        assert (expected, expected) == found
        if size < 130:
            merkle.range_append(range_, size, LEAVES[size])


def test_appending_tells_of_every_complete_node_once() -> None:
    range_: list[bytes] = []
    told: dict[tuple[int, int], bytes] = {}
    for size in range(130):
        for level, index, found in merkle.range_append(range_, size, LEAVES[size]):
            assert (level, index) not in told
            told[level, index] = found

    get = nodes_of(LEAVES)
    expected = {(level, index): get(level, index) for level in range(8) for index in range(130 >> level)}
    assert expected == told


@pytest.mark.parametrize("size", range(1, 131))
def test_every_leaf_of_every_tree_has_a_proof_that_is_accepted(size: int) -> None:
    root, get = naive_root(LEAVES[:size]), nodes_of(LEAVES[:size])
    for index in range(size) if size < 40 or size > 120 else (0, 1, size // 2, size - 1):
        proof = merkle.inclusion_proof(index, size, get)

        merkle.verify_inclusion(LEAVES[index], index, size, proof, root)


@pytest.mark.parametrize("size", range(1, 131))
def test_every_tree_is_the_beginning_of_every_later_one(size: int) -> None:
    root, get = naive_root(LEAVES[:size]), nodes_of(LEAVES[:size])
    for old in range(1, size + 1) if size < 40 or size > 127 else (1, size // 2, size - 1, size):
        proof = merkle.consistency_proof(old, size, get)

        merkle.verify_consistency(old, size, proof, naive_root(LEAVES[:old]), root)


@given(st.data())
def test_a_changed_inclusion_proof_is_refused(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 70))
    index = data.draw(st.integers(0, size - 1))
    root = naive_root(LEAVES[:size])
    proof = merkle.inclusion_proof(index, size, nodes_of(LEAVES))
    changed = data.draw(changes(proof, LEAVES[index], index, size, root))

    with pytest.raises(Corrupt):
        merkle.verify_inclusion(*changed)


@st.composite
def changes(
    draw: st.DrawFn, proof: list[bytes], leaf: bytes, index: int, size: int, root: bytes
) -> tuple[bytes, int, int, list[bytes], bytes]:
    other = draw(st.binary(min_size=32, max_size=32).filter(lambda found: found not in {*proof, leaf, root}))
    match draw(st.sampled_from(["leaf", "index", "root", "longer", "shorter", "hash", "short hash", "swap"])):
        case "leaf":
            leaf = other
        case "index":
            index = draw(st.integers(-2, 200).filter(lambda found: found != index))
        case "root":
            root = other
        case "longer":
            proof = [*proof, other]
        case "hash" if proof:
            at = draw(st.integers(0, len(proof) - 1))
            proof = [*proof[:at], other, *proof[at + 1 :]]
        case "short hash" if proof:
            proof = [*proof[:-1], proof[-1][:31]]
        case "swap" if len(proof) > 1:
            proof = [*proof[1:], proof[0]]
        case _:
            assume(bool(proof))
            proof = proof[:-1]
    return leaf, index, size, proof, root


@given(st.data())
def test_a_changed_consistency_proof_is_refused(data: st.DataObject) -> None:
    size2 = data.draw(st.integers(2, 70))
    size1 = data.draw(st.integers(1, size2 - 1))
    root1, root2 = naive_root(LEAVES[:size1]), naive_root(LEAVES[:size2])
    proof = merkle.consistency_proof(size1, size2, nodes_of(LEAVES))
    other = data.draw(st.binary(min_size=32, max_size=32).filter(lambda found: found not in {*proof, root1, root2}))
    at = data.draw(st.integers(0, len(proof) - 1))
    changed = data.draw(
        st.sampled_from(
            [
                (size1, size2, [*proof[:at], other, *proof[at + 1 :]], root1, root2),
                (size1, size2, [*proof, other], root1, root2),
                (size1, size2, proof[:-1], root1, root2),
                (size1, size2, [*proof[:-1], proof[-1] + b"x"], root1, root2),
                (size1, size2, proof, other, root2),
                (size1, size2, proof, root1, other),
                (size1, size2, [], root1, root2),
                (0, size2, proof, root1, root2),
                (0, size2, [], merkle.EMPTY_ROOT, root2),
                (size2, size1, proof, root2, root1),
            ]
        )
    )

    with pytest.raises(Corrupt):
        merkle.verify_consistency(*changed)


def test_doubling_the_last_leaf_changes_the_root() -> None:
    assert merkle.root(LEAVES[:3]) != merkle.root([*LEAVES[:3], LEAVES[2]])


def test_the_same_tree_needs_no_proof_but_the_same_root() -> None:
    merkle.verify_consistency(3, 3, [], naive_root(LEAVES[:3]), naive_root(LEAVES[:3]))

    with pytest.raises(Corrupt):
        merkle.verify_consistency(3, 3, [], naive_root(LEAVES[:3]), naive_root(LEAVES[:4]))


@pytest.mark.parametrize(("index", "size"), [(0, 0), (3, 3), (-1, 3)])
def test_a_proof_for_a_leaf_outside_the_tree_is_not_made(index: int, size: int) -> None:
    with pytest.raises(Invalid):
        merkle.inclusion_proof(index, size, nodes_of(LEAVES))


@pytest.mark.parametrize(("old", "new"), [(0, 3), (4, 3), (-1, 3)])
def test_a_proof_between_sizes_out_of_order_is_not_made(old: int, new: int) -> None:
    with pytest.raises(Invalid):
        merkle.consistency_proof(old, new, nodes_of(LEAVES))


@given(st.integers(0, 130))
def test_a_stored_range_reads_back_and_fits_only_its_size(size: int) -> None:
    range_: list[bytes] = []
    for at in range(size):
        merkle.range_append(range_, at, LEAVES[at])

    stored = merkle.range_encode(range_)

    assert range_ == merkle.range_decode(stored, size)
    for wrong in (stored + b"x", stored + b"x" * 32, stored[:-1] if stored else b"x"):
        with pytest.raises(Corrupt):
            merkle.range_decode(wrong, size)


def test_the_root_of_a_range_of_another_size_is_corrupt() -> None:
    with pytest.raises(Corrupt):
        merkle.range_root([LEAVES[0]], 3)
