"""Cosignatures of witnesses against the specification's example, a second implementation and forgeries."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from cortex import limits
from cortex.errors import Corrupt, CortexError, Invalid
from cortex.ledger import checkpoint, cosignature
from cortex.ledger.checkpoint import Checkpoint, Signer
from cortex.ledger.cosignature import WitnessSigner

# The example of C2SP tlog-cosignature. Its keys are not published.
BODY = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
LOG_LINE = "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
WITNESS_LINE = "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
AT = 1679315147

LOG = Signer("example.org/log", b"\x01" * 32)
WITNESS = WitnessSigner("witness.example.com/w1", b"\x02" * 32)
NOTE = checkpoint.sign(Checkpoint(LOG.name, 7, hashlib.sha256(b"root").digest()), LOG)
LINE = cosignature.cosign(NOTE, WITNESS, AT)
COSIGNED = NOTE + LINE


def test_the_published_note_reads_as_two_signatures_of_which_one_holds_a_time() -> None:
    _, (log, witness) = checkpoint.parse(f"{BODY}\n{LOG_LINE}{WITNESS_LINE}")

    assert (64, 72) == (len(log.signature), len(witness.signature))
    assert "8d66cf3f" == witness.key_id.hex()
    assert AT == int.from_bytes(witness.signature[:8], "big")
    assert f"{BODY}\n{LOG_LINE}{WITNESS_LINE}" == cosignature.add_lines(f"{BODY}\n{LOG_LINE}", [WITNESS_LINE])


def test_a_line_is_what_the_specification_says_put_together_by_hand() -> None:
    key = SigningKey(b"\x02" * 32)
    key_id = hashlib.sha256(b"witness.example.com/w1\n\x04" + bytes(key.verify_key)).digest()[:4]
    signed = key.sign(b"cosignature/v1\ntime 1679315147\n" + BODY.encode()).signature

    line = cosignature.cosign(f"{BODY}\n{LOG_LINE}", WITNESS, AT)

    by_hand = base64.b64encode(key_id + AT.to_bytes(8, "big") + signed).decode()
    assert f"— witness.example.com/w1 {by_hand}\n" == line
    raw = base64.b64encode(b"\x04" + bytes(key.verify_key)).decode()
    assert f"witness.example.com/w1+{key_id.hex()}+{raw}" == WITNESS.vkey


@given(st.integers(0, 2**63 - 1))
def test_a_cosignature_gives_back_its_time(at: int) -> None:
    note = cosignature.add_lines(NOTE, [cosignature.cosign(NOTE, WITNESS, at)])

    assert at == cosignature.verify_cosignature(note, WITNESS.vkey)
    assert checkpoint.parse(NOTE)[0] == checkpoint.verify(note, [LOG.vkey], origin=LOG.name)


@pytest.mark.parametrize("at", [-1, 2**63])
def test_a_time_that_no_verifier_takes_is_not_signed(at: int) -> None:
    with pytest.raises(Invalid):
        cosignature.cosign(NOTE, WITNESS, at)


def test_a_time_past_the_largest_is_corrupt() -> None:
    raw = WITNESS.key.key_id + b"\xff" * 8 + b"\0" * 64

    with pytest.raises(Corrupt, match="second"):
        cosignature.cosigned_at(f"{NOTE}— {WITNESS.name} {base64.b64encode(raw).decode()}\n", WITNESS.vkey)


def test_a_note_without_the_witness_is_told_from_one_with_a_bad_line() -> None:
    other = WitnessSigner("other.example", b"\x03" * 32)

    assert None is cosignature.cosigned_at(COSIGNED, other.vkey)
    with pytest.raises(Corrupt, match=r"no cosignature by other\.example"):
        cosignature.verify_cosignature(COSIGNED, other.vkey)
    with pytest.raises(Corrupt, match="bad signature"):
        cosignature.cosigned_at(COSIGNED.replace("\n7\n", "\n8\n"), WITNESS.vkey)


def test_the_first_of_several_times_counts_and_a_bad_line_among_them_fails() -> None:
    later = cosignature.cosign(NOTE, WITNESS, AT + 60)
    forged = cosignature.cosign(NOTE.replace("\n7\n", "\n8\n"), WITNESS, AT - 60)

    assert AT == cosignature.verify_cosignature(NOTE + later + LINE, WITNESS.vkey)
    with pytest.raises(Corrupt, match="bad signature"):
        cosignature.verify_cosignature(NOTE + LINE + forged, WITNESS.vkey)


def test_a_log_key_is_no_witness_key_and_the_other_way_round() -> None:
    log_of_same_seed = Signer(WITNESS.name, WITNESS.seed)

    with pytest.raises(Invalid, match="not an Ed25519 witness key"):
        cosignature.parse_witness_vkey(log_of_same_seed.vkey)
    with pytest.raises(Invalid, match="not an Ed25519 log key"):
        checkpoint.parse_vkey(WITNESS.vkey)
    assert WITNESS.key == cosignature.parse_witness_vkey(WITNESS.vkey)
    assert None is cosignature.cosigned_at(checkpoint.sign_text(BODY, log_of_same_seed), WITNESS.vkey)


def test_a_witness_does_not_show_its_seed_and_needs_a_name_that_a_note_can_hold() -> None:
    assert "seed" not in repr(WITNESS)
    assert repr(WITNESS.seed) not in repr(WITNESS)
    for name, seed in (("a b", b"\x02" * 32), ("a", b"\x02" * 31)):
        with pytest.raises(Invalid):
            WitnessSigner(name, seed)


def test_only_checkpoints_are_cosigned() -> None:
    with pytest.raises(Corrupt):
        cosignature.cosign(checkpoint.sign_text("any text\n", LOG), WITNESS, AT)


def test_lines_are_added_once_per_key() -> None:
    again = cosignature.add_lines(COSIGNED, [LINE, cosignature.cosign(NOTE, WITNESS, AT + 1), LINE.rstrip("\n")])

    assert COSIGNED == again
    assert COSIGNED == cosignature.add_lines(NOTE, [LINE.rstrip("\n"), LINE])


@pytest.mark.parametrize(
    "line",
    ["", "\n", LINE + "\n", LINE + LINE, "\n" + LINE, LINE[2:], LINE.replace("— ", "- "), LINE[:-3] + "\n", "— a b\n"],
)
def test_a_malformed_line_is_not_added(line: str) -> None:
    with pytest.raises(Corrupt):
        cosignature.add_lines(NOTE, [line])


def test_a_note_takes_only_so_many_lines() -> None:
    lines = [
        cosignature.cosign(NOTE, WitnessSigner(f"w{n}", b"\x05" * 32), AT) for n in range(limits.NOTE_SIGNATURES_MAX)
    ]

    assert limits.NOTE_SIGNATURES_MAX == len(checkpoint.parse(cosignature.add_lines(NOTE, lines[:-1]))[1])
    with pytest.raises(Corrupt, match="65 signatures"):
        cosignature.add_lines(NOTE, lines)


@given(st.data())
def test_no_changed_note_is_cosigned(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(COSIGNED) - 1))
    changed = COSIGNED[:at] + data.draw(st.text(max_size=3)) + COSIGNED[at + data.draw(st.integers(0, 3)) :]

    try:
        cosignature.verify_cosignature(changed, WITNESS.vkey)
    except CortexError:
        return

    assert checkpoint.parse(NOTE)[0] == checkpoint.parse(changed)[0]
