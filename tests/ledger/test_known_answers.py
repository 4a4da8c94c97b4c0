"""Answers that others published: trees, notes, signatures and canonical JSON, asked of both implementations."""

import base64
import hashlib
import itertools
import json
from datetime import datetime
from typing import Any

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from cortex import canonical, verify
from cortex.errors import Corrupt, Invalid
from cortex.ledger import checkpoint, merkle, proof
from cortex.ledger.checkpoint import Checkpoint, Key, Signer

# The tree of Certificate Transparency's reference tests: leaves, roots of its first 1 to 8 leaves, proofs.
CT_LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
CT_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
N01, N4 = CT_ROOTS[1], "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
N23 = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
N45 = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
N47 = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
N67 = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
N1 = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
CT_INCLUSION: list[tuple[int, int, list[str]]] = [
    (0, 1, []),
    (0, 8, [N1, N23, N47]),
    (5, 8, [N4, N67, CT_ROOTS[3]]),
    (2, 3, [N01]),
    (1, 5, [CT_ROOTS[0], N23, N4]),
]
CT_CONSISTENCY: list[tuple[int, int, list[str]]] = [
    (1, 1, []),
    (1, 8, [N1, N23, N47]),
    (6, 8, [N45, N67, CT_ROOTS[3]]),
    (2, 5, [N23, N4]),
]

ORDER = 2**252 + 27742317777372353535851937790883648493
# RFC 8032, 7.1: TEST 1, 2, 3 and SHA(abc), each secret, public, message, signature.
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        hashlib.sha512(b"abc").hexdigest(),
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
]
# ed25519-speccheck, of "Taming the many EdDSAs" (2020): message, public key, R, S, and what a strict verifier without
# the cofactor says: canonical encodings, S below the order, neither A nor R of small order.
SPECCHECK = [
    # 0: A and R of small order, S = 0.
    (
        "8c93255d71dcab10e8f379c26200f3c7bd5f09d9bc3068d3ef4edeb4853022b6",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "0000000000000000000000000000000000000000000000000000000000000000",
        False,
    ),
    # 1: A of small order, R of mixed order.
    (
        "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
        False,
    ),
    # 2: A of mixed order, R of small order.
    (
        "aebf3f2601a0c8c5d39cc7d8911642f740b78168218da8471772b35f9d35b9ab",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "8c4bd45aecaca5b24fb97bc10ac27ac8751a7dfe1baff8b953ec9f5833ca260e",
        False,
    ),
    # 3: A and R of mixed order, the equation holds with and without the cofactor.
    (
        "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "9046a64750444938de19f227bb80485e92b83fdb4b6506c160484c016cc1852f",
        "87909e14428a7a1d62e9f22f3d3ad7802db02eb2e688b6c52fcd6648a98bd009",
        True,
    ),
    # 4: it holds with the cofactor alone.
    (
        "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed512",
        "5ec6bc982a269b723e0668e540911a9a6a58921d6925e434ab10aa7940551a09",
        False,
    ),
    # 5: it holds with the cofactor alone, and only if 8h is not reduced first.
    (
        "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "21122a84e0b5fca4052f5b1235c80a537878b38f3142356b2c2384ebad4668b7",
        "e40bc836dac0f71076f9abe3a53f9c03c1ceeeddb658d0030494ace586687405",
        False,
    ),
    # 6: S above the order.
    (
        "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
        "e96f66be976d82e60150baecff9906684aebb1ef181f67a7189ac78ea23b6c0e",
        "547f7690a0e2ddcd04d87dbc3490dc19b3b3052f7ff0538cb68afb369ba3a514",
        False,
    ),
    # 7: S far above the order, so that a test of its high bits alone lets it pass.
    (
        "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
        "8ce5b96c8f26d0ab6c47958c9e68b937104cd36e13c33566acd2fe8d38aa1942",
        "7e71f98a473474f2f13f06f97c20d58cc3f54b8bd0d272f42b695dd7e89a8c22",
        False,
    ),
    # 8 and 9: R of small order in another form than the canonical, reduced or not before it is hashed.
    (
        "9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "03be9678ac102edcd92b0210bb34d7428d12ffc5df5f37e359941266a4e35f0f",
        False,
    ),
    (
        "9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "ca8c5b64cd208982aa38d4936621a4775aa233aa0505711d8fdcfdaa943d4908",
        False,
    ),
    # 10 and 11: A of small order in another form than the canonical, reduced or not before it is hashed.
    (
        "e96b7021eb39c1a163b6da4e3093dcd3f21387da4cc4572be588fafae23c155b",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dc",
        "a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
        False,
    ),
    (
        "39a591f5321bbe07fd5a23dc2f39d025d74526615746727ceefd6e82ae65c06f",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dc",
        "a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
        False,
    ),
]


def hashes(texts: list[str]) -> list[bytes]:
    return [bytes.fromhex(text) for text in texts]


def subtree(level: int, index: int) -> bytes:
    """The definition of RFC 9162, 2.1.1, for a complete subtree of the published leaves."""
    if level == 0:
        return hashlib.sha256(b"\0" + CT_LEAVES[index]).digest()
    return hashlib.sha256(b"\1" + subtree(level - 1, 2 * index) + subtree(level - 1, 2 * index + 1)).digest()


def test_the_published_roots_are_those_of_both_trees() -> None:
    leaves = [merkle.leaf_hash(data) for data in CT_LEAVES]
    log = verify._Log(range(1, 9))
    for size, leaf in enumerate(leaves):
        merkle.range_append(log.range, size, leaf)

        assert CT_ROOTS[size] == merkle.root(leaves[: size + 1]).hex()
        assert CT_ROOTS[size] == merkle.range_root(log.range, size + 1).hex()


@pytest.mark.parametrize(("index", "size", "path"), CT_INCLUSION)
def test_the_published_inclusion_proofs_are_made_and_climbed_by_both(index: int, size: int, path: list[str]) -> None:
    leaf, expected = merkle.leaf_hash(CT_LEAVES[index]), bytes.fromhex(CT_ROOTS[size - 1])

    made = merkle.inclusion_proof(index, size, subtree)

    assert path == [found.hex() for found in made]
    merkle.verify_inclusion(leaf, index, size, made, expected)
    assert expected == verify._climb(leaf, index, size, made)


@pytest.mark.parametrize(("old", "new", "path"), CT_CONSISTENCY)
def test_the_published_consistency_proofs_are_made_and_climbed(old: int, new: int, path: list[str]) -> None:
    made = merkle.consistency_proof(old, new, subtree)

    assert path == [found.hex() for found in made]
    merkle.verify_consistency(old, new, made, *hashes([CT_ROOTS[old - 1], CT_ROOTS[new - 1]]))


@given(st.integers(0, 20), st.integers(0, 20), st.lists(st.sampled_from(hashes(CT_ROOTS)), max_size=6))
def test_any_path_leads_both_to_the_same_root_or_to_none(index: int, size: int, path: list[bytes]) -> None:
    leaf = merkle.leaf_hash(b"leaf")
    found = verify._climb(leaf, index, size, path)

    if found is not None:
        merkle.verify_inclusion(leaf, index, size, path, found)
    else:
        for expected in [leaf, *path, b"\0" * 32]:
            with pytest.raises(Corrupt, match=r"too (long|short)|in a tree"):
                merkle.verify_inclusion(leaf, index, size, path, expected)


def judged(public: bytes, message: bytes, signature: bytes) -> bool:
    """The verdict of both, which must be one."""
    try:
        checkpoint.verify_signature(Key("anyone", public), message, signature)
        theirs = True
    except Corrupt:
        theirs = False
    assert theirs == verify.verify_ed25519(public, message, signature)
    return theirs


@pytest.mark.parametrize(("secret", "public", "message", "signature"), RFC_8032, ids=["1", "2", "3", "SHA(abc)"])
def test_the_vectors_of_rfc_8032_are_signed_and_verified_by_both(
    secret: str, public: str, message: str, signature: str
) -> None:
    signer, text = Signer("anyone", bytes.fromhex(secret)), bytes.fromhex(message)

    assert public == signer.key.public.hex()
    assert signature == SigningKey(signer.seed).sign(text).signature.hex()
    assert judged(signer.key.public, text, bytes.fromhex(signature))


@pytest.mark.parametrize(("message", "public", "start", "scalar", "expected"), SPECCHECK, ids=range(12))
def test_the_cases_of_the_many_eddsas_are_judged_strictly_by_both(
    message: str, public: str, start: str, scalar: str, expected: bool
) -> None:
    assert expected == judged(bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(start + scalar))


def test_no_flipped_bit_of_a_signature_or_a_key_is_accepted() -> None:
    _, public, message, signature = map(bytes.fromhex, RFC_8032[2])

    for bit in range(0, 512, 7):
        flipped = bytearray(signature)
        flipped[bit // 8] ^= 1 << bit % 8
        assert not judged(public, message, bytes(flipped))
    for bit in range(0, 256, 7):
        flipped = bytearray(public)
        flipped[bit // 8] ^= 1 << bit % 8
        assert not judged(bytes(flipped), message, signature)


@pytest.mark.parametrize("times", [1, 2, 3, 7, 14, 15])
def test_a_scalar_with_the_order_added_is_not_accepted(times: int) -> None:
    _, public, message, signature = map(bytes.fromhex, RFC_8032[1])
    raised = int.from_bytes(signature[32:], "little") + times * ORDER

    assert not judged(public, message, signature[:32] + raised.to_bytes(32, "little"))


@pytest.mark.parametrize("scalar", [0, ORDER - 1, ORDER, ORDER + 1, 2**252, 2**253 - 1, 2**255 - 1, 2**256 - 1])
def test_a_scalar_at_a_border_is_not_accepted_for_another(scalar: int) -> None:
    _, public, message, signature = map(bytes.fromhex, RFC_8032[1])

    assert not judged(public, message, signature[:32] + scalar.to_bytes(32, "little"))


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 63, 65, 96, 128])
def test_a_signature_of_another_length_is_not_accepted(size: int) -> None:
    _, public, message, signature = map(bytes.fromhex, RFC_8032[1])

    assert not judged(public, message, (signature * 2)[:size])


# Every encoding of a y from p to 2^255 - 1, and of the y that are the same when reduced.
HIGH = [(y | sign << 255).to_bytes(32, "little") for y in [*range(19), *range(2**255 - 19, 2**255)] for sign in (0, 1)]


@pytest.mark.parametrize("encoded", HIGH, ids=range(len(HIGH)))
def test_a_point_at_the_edge_of_the_field_is_judged_alike(encoded: bytes) -> None:
    _, public, message, signature = map(bytes.fromhex, RFC_8032[1])

    assert not judged(encoded, message, signature)
    assert not judged(encoded, message, encoded + b"\0" * 32)
    assert not judged(public, message, encoded + signature[32:])


# A point of order 8, and what a secret of ours is multiplied to; the torsion added to both is what is tried.
EIGHTH = verify._decode(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"))
BASE = verify._decode(b"\x58" + b"\x66" * 31)


def shifted(scalar: int, eighths: int) -> bytes:
    """The encoding of scalar * B + eighths * T."""
    assert BASE is not None
    assert EIGHTH is not None
    point = verify._add(verify._multiply(BASE, scalar), verify._multiply(EIGHTH, eighths))
    inverse = pow(point[2], -1, 2**255 - 19)
    x, y = (value * inverse % (2**255 - 19) for value in point[:2])
    return (y | (x & 1) << 255).to_bytes(32, "little")


@pytest.mark.parametrize(("key_eighths", "start_eighths"), list(itertools.product(range(8), range(8))))
def test_torsion_is_judged_by_the_equation_without_the_cofactor(key_eighths: int, start_eighths: int) -> None:
    """Computed here and not published: S = r + h·a satisfies it exactly if R's torsion + h · A's torsion is none."""
    secret, nonce = 0x1234567 << 200, 0x7654321 << 180
    public, start = shifted(secret, key_eighths), shifted(nonce, start_eighths)
    for message in (b"a", b"b", b"c"):
        hashed = int.from_bytes(hashlib.sha512(start + public + message).digest(), "little") % ORDER
        signature = start + ((nonce + hashed * secret) % ORDER).to_bytes(32, "little")

        assert ((start_eighths + hashed * key_eighths) % 8 == 0) == judged(public, message, signature)
        # The same with a key, and then a start, that is nothing but torsion.
        assert not judged(shifted(0, key_eighths), message, start + nonce.to_bytes(32, "little"))
        assert not judged(public, message, shifted(0, start_eighths) + signature[32:])


VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
SIGNED = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="


def test_published_notes_verify_with_their_published_keys_by_both() -> None:
    name, key_id, public = verify.parse_vkey(VKEY)
    raw = base64.b64decode(SIGNED)

    assert TEXT == checkpoint.verify_text(f"{TEXT}\n— PeterNeumann {SIGNED}\n", [VKEY])
    assert ("PeterNeumann", "c74f20a3", key_id) == (name, key_id.hex(), raw[:4])
    assert verify.verify_ed25519(public, TEXT.encode(), raw[4:])
    assert Key(name, public) == checkpoint.parse_vkey(VKEY)

    # A checkpoint of Go's checksum database, and its key.
    key = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
    note = (
        "go.sum database tree\n6476701\nmb8QLQIs0Z0yP5Cstq6guj87oXWeC9gEM8oVikmm9Wk=\n\n— sum.golang.org "
        "Az3grsLX85Gz+s1SiTbgkuqxgItqFq7gsMUEyVnrsa9LM7Us9S+1xbFIGu95949rj4nPRYfvimWEPWL+o3GeoWwOoAw=\n"
    )
    read = verify.parse_note(note)
    assert 6476701 == checkpoint.verify(note, [key], origin="go.sum database tree").size == read.size
    assert verify.verify_ed25519(verify.parse_vkey(key)[2], read.signed, read.signatures[0][2])


def test_the_checkpoint_of_the_specification_reads_the_same_for_both() -> None:
    note = (
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
        "— example.com/behind-the-sofa "
        "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    )

    head, lines = checkpoint.parse(note)
    read = verify.parse_note(note)

    assert (head.origin, head.size, head.root) == read[:3]
    assert checkpoint.body(head).encode() == read.signed
    assert [(line.name, line.key_id, line.signature) for line in lines] == read.signatures


def test_the_form_of_the_specifications_proof_is_read() -> None:
    """The hashes are those of C2SP's example, which leaves its signatures out: the note is ours."""
    lines = [
        "gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=",
        "B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=",
        "EKNzoDWG8LGC0Yp9o+sv3qllpMP9uHQ9B20KNL+Q1zs=",
        "RoopEkOdqkYqMB4MJXrbt/hMjOxsVn0IrWjpz1ZMMes=",
        "AHCioX9nLjsrse6YhjRRmk1WUEirVOLLRoOQ6vfO5vk=",
    ]
    root = base64.b64decode("sFodV/vSp5O8n9a8QpW6PRY97tfOSW5bsc2Xl/EQi08=")
    signer = Signer("example.com/fancylog", b"\x07" * 32)
    note = checkpoint.sign(Checkpoint(signer.name, 109482, root), signer)
    text = "c2sp.org/tlog-proof@v1\nindex 73894\n" + "\n".join(lines) + f"\n\n{note}"

    read = proof.parse(text)

    assert (73894, [base64.b64decode(line) for line in lines], note) == (read.index, list(read.hashes), read.note)
    assert text == proof.encode(read)
    with pytest.raises(Corrupt, match="too short"):
        proof.verify(text, b"\0" * 32, [signer.vkey])


LEAF: dict[str, Any] = {
    "actor": "agent:ada",
    "batch": 5,
    "batch_n": 3,
    "digest": None,
    "idx": 6,
    "kind": "fact",
    "parent": None,
    "prev": "cd" * 32,
    "project": None,
    "rev": None,
    "subject": "s",
    "ts": "2026-03-01T09:00:00.000001Z",
    "v": 1,
}


@pytest.mark.parametrize(
    ("text", "written"),
    [
        # RFC 8785, 3.2.2, without its two control characters; then what its authors test of Unicode beside it.
        ('€$A\'B"\\\\"/', '"€$A\'B\\"\\\\\\\\\\"/"'),
        ("\u1e0d\u0307", '"ḍ̇"'),
        ("\u20ac", '"€"'),
        ("\U0001f600", '"😀"'),
        ("\ufb33", '"\ufb33"'),
        ("ö", '"ö"'),
        ("\u2028\u2029", '"\u2028\u2029"'),
        ("</script>", '"</script>"'),
    ],
)
def test_text_is_written_as_rfc_8785_writes_it_and_read_by_both(text: str, written: str) -> None:
    line = canonical.leaf(**{**LEAF, "subject": text})

    assert f'"subject":{written},'.encode() in line
    assert rfc8785.dumps({**LEAF, "subject": text}) == line
    assert text == canonical.parse_leaf(line)["subject"]
    assert verify.parse_leaf(line) is not None


# What RFC 8785 can write and a leaf may not hold: section 3.2.2's numbers, literals and controls, appendix B's numbers.
OUTSIDE = [
    *["1e+30", "4.5", "333333333.3333333", "0.002", "1e-27", "true", "false", "[]", "{}", '"6"', "null"],
    *["5e-324", "1.7976931348623157e+308", "9007199254740992", "-9007199254740992", "295147905179352830000"],
    *["9007199254740993", "1e+21", "0.000001", "1e23", "-1"],
    *["6.0", "6e0", "60e-1", "06", "+6", "-0", "0x6", "6 ", " 6", "٦", "NaN", "Infinity", "6n", ""],
]


@pytest.mark.parametrize("number", OUTSIDE)
def test_a_number_outside_the_profile_is_read_by_neither(number: str) -> None:
    line = canonical.leaf(**LEAF).replace(b'"idx":6', f'"idx":{number}'.encode())

    assert verify.parse_leaf(line) is None
    with pytest.raises(Invalid):
        canonical.parse_leaf(line)


@pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA0)])
def test_a_control_character_is_read_by_neither_escaped_or_bare(code: int) -> None:
    plain = canonical.leaf(**LEAF)
    for written in (chr(code), f"\\u{code:04x}", json.dumps(chr(code))[1:-1]):
        line = plain.replace(b'"subject":"s"', f'"subject":"s{written}"'.encode())

        assert verify.parse_leaf(line) is None
        with pytest.raises(Invalid):
            canonical.parse_leaf(line)


TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20)
INTEGERS = st.integers(0, 2**52)


@given(TEXTS, st.none() | TEXTS, INTEGERS, st.integers(1, 1000), st.datetimes())
@example('"\\/', "\u2028", 0, 1, datetime(1, 1, 1))  # noqa: DTZ001
def test_any_leaf_is_the_bytes_that_the_library_writes(
    actor: str, optional: str | None, batch: int, width: int, at: datetime
) -> None:
    fields = {
        **LEAF,
        "actor": actor,
        "digest": optional,
        "parent": optional,
        "project": optional,
        "rev": optional,
        "batch": batch,
        "batch_n": width + 1,
        "idx": batch + width,
        "ts": f"{at.isoformat(timespec='microseconds')}Z",
    }

    line = canonical.leaf(**fields)

    assert rfc8785.dumps(fields) == line
    assert fields == canonical.parse_leaf(line)
    assert verify.parse_leaf(line) is not None
