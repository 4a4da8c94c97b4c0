"""Proofs as text: made, read strictly, verified."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex import limits
from cortex.errors import Corrupt
from cortex.ledger import checkpoint, merkle, proof
from cortex.ledger.checkpoint import Checkpoint, Signer
from cortex.ledger.proof import Proof

SIGNER = Signer("cortex/transactions/a/b", b"\x01" * 32)
LEAVES = [merkle.leaf_hash(b"%d" % number) for number in range(40)]


def get(level: int, index: int) -> bytes:
    return merkle.root(LEAVES[index << level : index + 1 << level])


def made(index: int, size: int, extra: bytes = b"") -> str:
    note = checkpoint.sign(Checkpoint(SIGNER.name, size, merkle.root(LEAVES[:size])), SIGNER)
    return proof.encode(Proof(index, tuple(merkle.inclusion_proof(index, size, get)), note, extra))


TEXT = made(5, 8, b"more")


def test_a_proof_has_the_form_of_the_specification() -> None:
    text = made(2, 3)

    sibling = base64.b64encode(get(1, 0)).decode()
    head = Checkpoint(SIGNER.name, 3, merkle.root(LEAVES[:3]))
    assert f"c2sp.org/tlog-proof@v1\nindex 2\n{sibling}\n\n{checkpoint.sign(head, SIGNER)}" == text
    assert made(2, 3, b"more").startswith("c2sp.org/tlog-proof@v1\nextra bW9yZQ==\nindex 2\n")
    assert made(0, 1).startswith("c2sp.org/tlog-proof@v1\nindex 0\n\ncortex/")


@given(st.data())
def test_every_proof_reads_back_and_verifies(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, len(LEAVES)))
    index = data.draw(st.integers(0, size - 1))
    text = made(index, size, data.draw(st.binary(max_size=20)))

    found = proof.verify(text, LEAVES[index], [SIGNER.vkey], origin=SIGNER.name)

    assert (index, Checkpoint(SIGNER.name, size, merkle.root(LEAVES[:size]))) == found
    assert text == proof.encode(proof.parse(text))


def test_a_proof_of_another_leaf_key_or_log_is_refused() -> None:
    with pytest.raises(Corrupt):
        proof.verify(TEXT, LEAVES[4], [SIGNER.vkey])
    with pytest.raises(Corrupt):
        proof.verify(TEXT, LEAVES[5], [Signer(SIGNER.name, b"\x02" * 32).vkey])
    with pytest.raises(Corrupt):
        proof.verify(TEXT, LEAVES[5], [SIGNER.vkey], origin="cortex/transactions/c/d")
    with pytest.raises(Corrupt):
        proof.verify(TEXT.replace("index 5", "index 4"), LEAVES[5], [SIGNER.vkey])


def forms() -> list[str]:
    lines = TEXT.split("\n")
    return [
        "",
        TEXT[1:],
        TEXT.replace("@v1", "@v2"),
        TEXT.replace("index 5", "index 05"),
        TEXT.replace("index 5", "index -5"),
        TEXT.replace("index 5", "index  5"),
        TEXT.replace("index 5", "index 9007199254740992"),
        TEXT.replace("index 5\n", ""),
        TEXT.replace("extra bW9yZQ==", "extra "),
        TEXT.replace("extra bW9yZQ==", "extra bW9yZR=="),
        TEXT.replace("extra bW9yZQ==", "extra ===="),
        TEXT.replace("extra bW9yZQ==\nindex 5", "index 5\nextra bW9yZQ=="),
        TEXT.replace("bW9yZQ==", base64.b64encode(b"x" * (limits.PROOF_EXTRA_BYTES_MAX + 1)).decode()),
        TEXT.replace("\n", "\r\n"),
        TEXT.replace(lines[3], lines[3][:-1]),
        TEXT.replace(lines[3], lines[3] + " "),
        TEXT.replace(lines[3], lines[3][:-2] + chr(ord(lines[3][-2]) + 1) + "="),
        TEXT.replace(lines[3] + "\n", (lines[3] + "\n") * (limits.PROOF_HASHES_MAX + 1)),
        TEXT[:-1],
        "\n".join(lines[:7]) + "\n",
        TEXT.replace(SIGNER.name, "x" * 100_000),
    ]


@pytest.mark.parametrize("text", forms(), ids=range(len(forms())))
def test_a_proof_in_any_other_form_than_the_canonical_is_refused(text: str) -> None:
    with pytest.raises(Corrupt):
        proof.parse(text)


@given(st.data())
def test_a_mutated_proof_is_refused_or_is_canonical_itself(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(TEXT) - 1))
    changed = TEXT[:at] + data.draw(st.text(max_size=3)) + TEXT[at + data.draw(st.integers(0, 3)) :]

    try:
        parsed = proof.parse(changed)
    except Corrupt:
        return

    assert changed == proof.encode(parsed)
