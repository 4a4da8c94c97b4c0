"""Signed notes and checkpoints against published examples, forgeries and malformed text."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex import limits
from cortex.errors import Corrupt, CortexError, Invalid
from cortex.ledger import checkpoint
from cortex.ledger.checkpoint import Checkpoint, Signer

# The key and the note of golang.org/x/mod/sumdb/note.
VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
NOTE = (
    f"{TEXT}\n— PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)

ORIGIN = "cortex/transactions/0123456789abcdef/fedcba9876543210"
SIGNER = Signer(ORIGIN, b"\x01" * 32)
OTHER = Signer(ORIGIN, b"\x02" * 32)
HEAD = Checkpoint(ORIGIN, 7, hashlib.sha256(b"root").digest())
SIGNED = checkpoint.sign(HEAD, SIGNER)


def test_the_published_key_and_note_are_made_and_verified() -> None:
    signer = Signer("PeterNeumann", SEED)

    assert VKEY == signer.vkey
    assert NOTE == checkpoint.sign_text(TEXT, signer)
    assert TEXT == checkpoint.verify_text(NOTE, [VKEY])
    assert signer.key == checkpoint.parse_vkey(VKEY)


def test_the_published_checkpoint_reads_as_what_it_says() -> None:
    note = (
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
        "— example.com/behind-the-sofa "
        "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    )

    head, signatures = checkpoint.parse(note)

    assert ("example.com/behind-the-sofa", 20852163) == (head.origin, head.size)
    assert "0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62" == head.root.hex()
    assert ["example.com/behind-the-sofa"] == [line.name for line in signatures]
    assert note.startswith(checkpoint.body(head))


@pytest.mark.parametrize("cut", range(len(VKEY)))
def test_no_part_of_a_key_and_no_changed_key_is_accepted(cut: int) -> None:
    changed = VKEY[:cut] + chr(ord(VKEY[cut]) + 1) + VKEY[cut + 1 :]
    for text in (VKEY[:cut], VKEY[cut + 1 :], changed):
        with pytest.raises(Invalid):
            checkpoint.parse_vkey(text)


@pytest.mark.parametrize(
    "vkey",
    [
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        VKEY + "\n",
        " " + VKEY,
        VKEY.replace("c74f20a3", "C74F20A3"),
    ],
)
def test_a_key_of_another_length_type_or_form_is_refused(vkey: str) -> None:
    with pytest.raises(Invalid):
        checkpoint.parse_vkey(vkey)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u2003b", "a\nb", "a\x7fb", "a\ud800"])
def test_a_signer_needs_a_name_that_a_note_can_hold(name: str) -> None:
    with pytest.raises(Invalid):
        Signer(name, b"\x01" * 32)


def test_a_signer_needs_a_whole_seed_and_does_not_show_it() -> None:
    with pytest.raises(Invalid):
        Signer(ORIGIN, b"\x01" * 31)

    assert f"Signer({ORIGIN!r})" == repr(SIGNER)


@given(st.integers(0, limits.SEQ_MAX), st.binary(min_size=32, max_size=32))
def test_a_signed_checkpoint_reads_back_and_verifies(size: int, root: bytes) -> None:
    head = Checkpoint(ORIGIN, size, root)

    note = checkpoint.sign(head, SIGNER)

    assert head == checkpoint.verify(note, [SIGNER.vkey], origin=ORIGIN)
    assert head == checkpoint.parse(note)[0]


@pytest.mark.parametrize(
    "head",
    [
        Checkpoint("", 1, b"\0" * 32),
        Checkpoint("a\nb", 1, b"\0" * 32),
        Checkpoint("a\r", 1, b"\0" * 32),
        Checkpoint("a\ud800", 1, b"\0" * 32),
        Checkpoint("a", -1, b"\0" * 32),
        Checkpoint("a", 1 << 53, b"\0" * 32),
        Checkpoint("a", 1, b"\0" * 31),
    ],
)
def test_a_checkpoint_that_could_not_be_read_back_is_not_signed(head: Checkpoint) -> None:
    with pytest.raises(Invalid):
        checkpoint.sign(head, SIGNER)


def test_lines_of_unknown_keys_are_passed_over() -> None:
    cosigned = SIGNED + checkpoint.sign(HEAD, Signer("witness.example", b"\x03" * 32)).splitlines(keepends=True)[-1]
    timed = cosigned + "— witness.example/timed " + base64.b64encode(b"\x04" * 76).decode() + "\n"

    assert HEAD == checkpoint.verify(timed, [SIGNER.vkey])
    with pytest.raises(Corrupt, match="0 of 1"):
        checkpoint.verify(timed, [OTHER.vkey])


def test_a_bad_signature_of_a_known_key_fails_the_note_whoever_else_signed() -> None:
    both = SIGNED + checkpoint.sign(Checkpoint(ORIGIN, 8, HEAD.root), OTHER).splitlines(keepends=True)[-1]

    assert HEAD == checkpoint.verify(both, [SIGNER.vkey])
    with pytest.raises(Corrupt, match="bad signature"):
        checkpoint.verify(both, [SIGNER.vkey, OTHER.vkey])


def test_a_threshold_counts_keys_and_neither_lines_nor_names() -> None:
    alias = Signer("alias", SIGNER.seed)
    line = SIGNED.splitlines(keepends=True)[-1]
    twice = SIGNED + line + checkpoint.sign(HEAD, alias).splitlines(keepends=True)[-1]

    with pytest.raises(Corrupt, match="1 of 2"):
        checkpoint.verify(twice, [SIGNER.vkey, alias.vkey], threshold=2)
    quorum = SIGNED + checkpoint.sign(HEAD, OTHER).splitlines(keepends=True)[-1]
    assert HEAD == checkpoint.verify(quorum, [SIGNER.vkey, OTHER.vkey], threshold=2)
    with pytest.raises(Invalid):
        checkpoint.verify(SIGNED, [SIGNER.vkey], threshold=0)


def test_a_checkpoint_of_another_log_is_refused_where_the_log_is_given() -> None:
    with pytest.raises(Corrupt, match="not of"):
        checkpoint.verify(SIGNED, [SIGNER.vkey], origin="cortex/transactions/other")


def forms() -> list[str]:
    head, signature = SIGNED.split("\n\n")
    origin, size, root = head.split("\n")
    return [
        "",
        "\n\n",
        SIGNED[:-1],
        SIGNED + "\n",
        SIGNED.replace("\n7\n", "\n07\n"),
        SIGNED.replace("\n7\n", "\n+7\n"),
        SIGNED.replace("\n7\n", "\n7 \n"),
        SIGNED.replace("\n7\n", "\n٧\n"),
        SIGNED.replace("\n7\n", "\n9007199254740992\n"),
        SIGNED.replace("\n7\n", "\r\n7\r\n"),
        SIGNED.replace(origin, "\x1b" + origin),
        SIGNED.replace(origin, "\x85" + origin),
        SIGNED.replace(origin, "\ud800"),
        f"{head}\nextension\n\n{signature}",
        f"\n{size}\n{root}\n\n{signature}",
        f"{head}\n{signature}",
        f"{head}\n\n\n{signature}",
        f"{head}\n\n",
        f"{head}\n\n- {signature[2:]}",
        f"{head}\n\n— {ORIGIN}  {signature.split(' ')[2]}",
        f"{head}\n\n— a+b {signature.split(' ')[2]}",
        f"{head}\n\n— {ORIGIN} AAAAAA==\n",
        f"{head}\n\n— {ORIGIN} AAAA AAAA\n",
        f"{head}\n\n{signature[:-2]}\n",
        f"{origin}\n{size}\n{root[:-1]}\n\n{signature}",
        f"{origin}\n{size}\n{base64.b64encode(b'x' * 31).decode()}\n\n{signature}",
        f"{origin}\n{size}\n{root[:-2]}{chr(ord(root[-2]) + 1)}=\n\n{signature}",
        f"{head}\n\n" + (signature * (limits.NOTE_SIGNATURES_MAX + 1)),
        SIGNED.replace(origin, "x" * limits.NOTE_BYTES_MAX),
    ]


@pytest.mark.parametrize("note", forms(), ids=range(len(forms())))
def test_a_note_in_any_other_form_than_the_canonical_is_refused(note: str) -> None:
    with pytest.raises(Corrupt):
        checkpoint.parse(note)


@given(st.data())
def test_a_mutated_checkpoint_never_verifies_as_another(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(SIGNED) - 1))
    changed = SIGNED[:at] + data.draw(st.text(max_size=3)) + SIGNED[at + data.draw(st.integers(0, 3)) :]

    try:
        head = checkpoint.verify(changed, [SIGNER.vkey])
    except Corrupt:
        return

    assert head == HEAD


@given(st.text(max_size=300) | st.text(st.sampled_from("ax7A=/+ \n—"), max_size=60))
def test_any_text_is_a_checkpoint_or_corrupt(text: str) -> None:
    for parse in (checkpoint.parse, checkpoint.parse_vkey):
        try:
            parse(text)
        except CortexError:
            continue
