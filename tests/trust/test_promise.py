"""The signed promise: read back as it was given, refused in any other form and from anybody else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from cortex import limits
from cortex.errors import Corrupt, Invalid
from cortex.ledger import checkpoint
from cortex.ledger.checkpoint import Checkpoint, Signer
from cortex.trust import promise
from cortex.trust.promise import Promise

ORIGIN = "cortex/votes/0123456789abcdef/fedcba9876543210"
OTHER = "cortex/votes/fedcba9876543210/0123456789abcdef"
SIGNER = Signer(ORIGIN, b"\x01" * 32)
STRANGER = Signer(ORIGIN, b"\x02" * 32)
HASH = bytes(range(32))
HASH_TEXT = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
TEXT = f"cortex-promise/v1\n{ORIGIN}\n7\n{HASH_TEXT}\n"
NOTE = promise.sign(ORIGIN, 7, HASH, SIGNER)


def test_the_signed_text_is_the_documented_one() -> None:
    signature = SigningKey(SIGNER.seed).sign(TEXT.encode()).signature

    line = f"— {ORIGIN} {checkpoint.encode_base64(SIGNER.key.key_id + signature)}\n"

    assert f"{TEXT}\n{line}" == NOTE


@given(st.integers(0, limits.SEQ_MAX), st.binary(min_size=32, max_size=32))
def test_a_promise_is_read_back_as_it_was_given(idx: int, leaf_hash: bytes) -> None:
    note = promise.sign(ORIGIN, idx, leaf_hash, SIGNER)

    assert Promise(ORIGIN, idx, leaf_hash) == promise.parse(note) == promise.verify(note, [SIGNER.vkey], ORIGIN)
    assert note == promise.sign(ORIGIN, idx, leaf_hash, SIGNER)


@given(st.integers(0, len(NOTE) - 1), st.sampled_from(["", "\n", "\r\n", " ", "0", "A", "\0", "=", "é"]), st.booleans())
def test_a_changed_promise_does_not_verify(place: int, letter: str, insert: bool) -> None:
    changed = NOTE[:place] + letter + NOTE[place + (not insert) :]
    if changed == NOTE:
        return

    with pytest.raises(Corrupt):
        promise.verify(changed, [SIGNER.vkey])


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace("v1", "v2"),
        TEXT.replace("\n7\n", "\n07\n"),
        TEXT.replace("\n7\n", "\n+7\n"),
        TEXT.replace("\n7\n", "\n-7\n"),
        TEXT.replace("\n7\n", "\n٧\n"),
        TEXT.replace("\n7\n", f"\n{limits.SEQ_MAX + 1}\n"),
        TEXT.replace("\n7\n", f"\n{10**17}\n"),
        TEXT.replace("8=", "9="),
        TEXT.replace("Hh8=", ""),
        TEXT.replace(HASH_TEXT, HASH_TEXT + "AAAA"),
        TEXT.replace(ORIGIN, ""),
        TEXT.replace(ORIGIN, "a b"),
        TEXT.replace(ORIGIN, "x" * 257),
        f"{TEXT}more\n",
        f"\n{TEXT}",
        checkpoint.body(Checkpoint(ORIGIN, 7, HASH)),
    ],
)
def test_a_signed_text_of_another_form_is_no_promise(text: str) -> None:
    note = checkpoint.sign_text(text, SIGNER)

    for reading in (promise.parse, lambda given: promise.verify(given, [SIGNER.vkey])):
        with pytest.raises(Corrupt):
            reading(note)


@given(st.text())
def test_any_text_is_refused_as_damaged(text: str) -> None:
    with pytest.raises(Corrupt):
        promise.parse(text)


def test_a_promise_is_no_checkpoint() -> None:
    with pytest.raises(Corrupt):
        checkpoint.verify(NOTE, [SIGNER.vkey])


def test_only_a_known_key_promises() -> None:
    with pytest.raises(Corrupt, match="0 of 1 signatures"):
        promise.verify(NOTE, [STRANGER.vkey])
    with pytest.raises(Corrupt):
        promise.verify(NOTE, [])

    assert 7 == promise.verify(NOTE, [STRANGER.vkey, SIGNER.vkey]).idx


def test_a_promise_of_another_log_is_refused_where_the_log_is_named() -> None:
    with pytest.raises(Corrupt, match=f"a promise of {ORIGIN}, not of {OTHER}"):
        promise.verify(NOTE, [SIGNER.vkey], OTHER)


@pytest.mark.parametrize(
    ("origin", "idx", "leaf_hash"),
    [
        (ORIGIN, -1, HASH),
        (ORIGIN, limits.SEQ_MAX + 1, HASH),
        (ORIGIN, True, HASH),
        (ORIGIN, 7, HASH[:-1]),
        (ORIGIN, 7, HASH + b"\0"),
        ("", 7, HASH),
        ("a\nb", 7, HASH),
        ("\ud800", 7, HASH),
        ("é", 7, HASH),
    ],
)
def test_what_could_not_be_read_back_is_not_signed(origin: str, idx: int, leaf_hash: bytes) -> None:
    with pytest.raises(Invalid):
        promise.sign(origin, idx, leaf_hash, SIGNER)


def test_the_last_index_can_be_promised() -> None:
    assert limits.SEQ_MAX == promise.parse(promise.sign(ORIGIN, limits.SEQ_MAX, HASH, SIGNER)).idx
