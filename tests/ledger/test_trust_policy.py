"""Trust files as a witness reads them: the logs they name, the lines it passes over, and what it refuses."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex import limits
from cortex.errors import Invalid
from cortex.ledger import trust_policy
from cortex.ledger.checkpoint import Signer
from cortex.ledger.cosignature import WitnessSigner

ORIGIN = "example.org/log"
LOG = Signer(ORIGIN, bytes([1]) * 32)
LOG_LINE = f"log {LOG.vkey}"
WITNESS = WitnessSigner("X1.example", bytes([10]) * 32).vkey


def test_a_node_may_sign_two_logs_with_one_key_but_no_log_twice() -> None:
    other = Signer("example.org/other", LOG.seed)

    logs = trust_policy.parse_logs(f"{LOG_LINE}\nlog {other.vkey} https://example.org/\n")

    assert [(ORIGIN, LOG.vkey), ("example.org/other", other.vkey)] == [(log.name, log.vkey) for log in logs]
    with pytest.raises(Invalid, match="line 2: a key that is named above"):
        trust_policy.parse_logs(f"{LOG_LINE}\n{LOG_LINE}\n")


def test_the_other_lines_of_a_verifiers_trust_file_are_passed_over() -> None:
    lines = [f"genesis {'ab' * 32}", f"witness w {WITNESS}", "group all any w", "quorum all", "threshold 1"]

    logs = trust_policy.parse_logs("\n".join([LOG_LINE, *lines, ""]))

    assert [(ORIGIN, LOG.vkey)] == [(log.name, log.vkey) for log in logs]


def test_blanks_and_comments_are_read() -> None:
    logs = trust_policy.parse_logs(f"# é\n\n \t \n\t{LOG_LINE} \thttps://log.example/ \n  # {LOG_LINE}\n")

    assert [(ORIGIN, LOG.vkey)] == [(log.name, log.vkey) for log in logs]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("log", "0 words"),
        (f"{LOG_LINE} u v", "3 words"),
        (f"quorum none\nlog {WITNESS}", "line 2: the key of X1.example is not an Ed25519 log key"),
        (f"log {LOG.vkey[:-1]}", "is no verifier key"),
        ("Log x", "line 1: 'Log' begins no line"),
        ("quorum\u00a0none", "begins no line"),
        ("quorum none\r\n", "U+000D"),
        ("quorum\x0bnone", "U+000B"),
        ("quorum none\x00", "U+0000"),
        ("quorum none\x7f", "U+007F"),
        ("#" * (limits.TRUST_FILE_BYTES_MAX + 1), "characters"),
    ],
)
def test_a_file_that_says_anything_else_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(Invalid) as refused:
        trust_policy.parse_logs(text)

    assert said in refused.value.message
    assert refused.value.hint


def test_there_is_room_for_as_many_logs_as_the_limit_says() -> None:
    def keys(count: int) -> str:
        return "".join(f"log {Signer(ORIGIN, n.to_bytes(32)).vkey}\n" for n in range(count))

    assert limits.TRUST_NAMES_MAX == len(trust_policy.parse_logs(keys(limits.TRUST_NAMES_MAX)))
    with pytest.raises(Invalid, match=f"line {limits.TRUST_NAMES_MAX + 1}: more than"):
        trust_policy.parse_logs(keys(limits.TRUST_NAMES_MAX + 1))


@given(st.text(st.sampled_from("logquruminesthdy wp\n#+=\tA1aX-")) | st.text())
def test_any_text_is_a_trust_file_or_invalid(text: str) -> None:
    with suppress(Invalid):
        assert [] == [log for log in trust_policy.parse_logs(text) if not log.name]
