"""Trust policies: every line of the format, what it refuses, and which notes satisfy it."""

import hashlib
from contextlib import suppress
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex import limits
from cortex.errors import Corrupt, Invalid
from cortex.ledger import checkpoint, cosignature, trust_policy
from cortex.ledger.checkpoint import Checkpoint, Signer
from cortex.ledger.cosignature import WitnessSigner

ORIGIN = "example.org/log"
LOGS = [Signer(ORIGIN, bytes([n]) * 32) for n in (1, 2, 3)]
NAMES = ["X1", "X2", "X3", "Y1", "Y2", "Y3"]
WITNESSES = {name: WitnessSigner(f"{name}.example", bytes([10 + n]) * 32) for n, name in enumerate(NAMES)}
HEAD = Checkpoint(ORIGIN, 7, hashlib.sha256(b"root").digest())

# The shape of the example of C2SP tlog-policy.
LOG_LINE = f"log {LOGS[0].vkey}"
WITNESS_LINES = "\n".join(f"witness {name} {WITNESSES[name].vkey}" for name in NAMES)
POLICY = f"""{LOG_LINE}

{WITNESS_LINES}
group X-witnesses 2 X1 X2 X3
group Y-witnesses any Y1 Y2 Y3
group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""


def signed(logs: list[Signer], names: tuple[str, ...] = (), head: Checkpoint = HEAD) -> str:
    note = checkpoint.sign(head, logs[0])
    lines = [checkpoint.sign(head, log).splitlines()[-1] for log in logs[1:]]
    return cosignature.add_lines(note, lines + [cosignature.cosign(note, WITNESSES[name], 1_000) for name in names])


@pytest.mark.parametrize("count", range(len(NAMES) + 1))
def test_the_published_quorum_is_two_of_one_side_and_one_of_the_other(count: int) -> None:
    policy = trust_policy.parse(POLICY)
    for names in combinations(NAMES, count):
        enough = sum(name[0] == "X" for name in names) >= 2 and any(name[0] == "Y" for name in names)

        if enough:
            assert HEAD == policy.satisfied(signed(LOGS[:1], names))
        else:
            with pytest.raises(Corrupt, match=f"{count} of 6 witnesses"):
                policy.satisfied(signed(LOGS[:1], names))


def test_one_witness_may_be_the_quorum_and_none_needs_no_witness() -> None:
    one = trust_policy.parse(f"{LOG_LINE}\n{WITNESS_LINES}\nquorum X2\n")
    none = trust_policy.parse(f"{LOG_LINE}\nquorum none")

    assert HEAD == one.satisfied(signed(LOGS[:1], ("X2",)))
    assert HEAD == none.satisfied(signed(LOGS[:1]))
    with pytest.raises(Corrupt, match="1 of 6"):
        one.satisfied(signed(LOGS[:1], ("X1",)))


def test_a_checkpoint_needs_a_key_of_its_own_log() -> None:
    policy = trust_policy.parse(f"{LOG_LINE}\nquorum none\n")
    elsewhere = Checkpoint("example.org/other", 7, HEAD.root)

    with pytest.raises(Corrupt, match="no log line"):
        policy.satisfied(signed([Signer(elsewhere.origin, LOGS[0].seed)], head=elsewhere))
    with pytest.raises(Corrupt, match="no log line"):
        policy.satisfied(checkpoint.sign(elsewhere, LOGS[0]))
    with pytest.raises(Corrupt, match="0 of 1"):
        policy.satisfied(signed(LOGS[1:2]))
    with pytest.raises(Corrupt):
        trust_policy.parse("quorum none").satisfied(signed(LOGS))


def test_a_bad_cosignature_fails_the_note_whoever_else_signed() -> None:
    policy = trust_policy.parse(f"{LOG_LINE}\n{WITNESS_LINES}\ngroup all-x any X1 X2\nquorum all-x\n")
    note = signed(LOGS[:1], ("X1",))
    bad = cosignature.cosign(note.replace("\n7\n", "\n8\n"), WITNESSES["X2"], 1_000)

    with pytest.raises(Corrupt, match="bad signature by X2"):
        policy.satisfied(cosignature.add_lines(note, [bad]))


def test_a_threshold_counts_the_keys_of_one_log() -> None:
    keys = "\n".join(f"log {log.vkey}" for log in LOGS)
    policy = trust_policy.parse(f"{keys}\nthreshold 2\nquorum none\n")

    assert HEAD == policy.satisfied(signed(LOGS[1:]))
    assert HEAD == policy.satisfied(signed(LOGS))
    with pytest.raises(Corrupt, match="1 of 2"):
        policy.satisfied(signed(LOGS[2:]))
    with pytest.raises(Invalid, match="has 3 keys"):
        trust_policy.parse(f"{keys}\nthreshold 4\nquorum none\n")
    with pytest.raises(Invalid, match=r"example\.org/other has 1 keys"):
        trust_policy.parse(f"{keys}\nlog {Signer('example.org/other', b'9' * 32).vkey}\nthreshold 2\nquorum none\n")


def test_a_node_may_sign_two_logs_with_one_key_but_no_log_twice() -> None:
    other = Signer("example.org/other", LOGS[0].seed)

    logs = trust_policy.parse_logs(f"{LOG_LINE}\nlog {other.vkey} https://example.org/\n")

    assert [(ORIGIN, None), ("example.org/other", "https://example.org/")] == [(log.name, log.url) for log in logs]
    with pytest.raises(Invalid, match="line 2: a key that is named above"):
        trust_policy.parse_logs(f"{LOG_LINE}\n{LOG_LINE}\n")


def test_blanks_comments_and_names_of_any_script_are_read() -> None:
    text = f"# é\n\n \t \n\t{LOG_LINE} \thttps://log.example/ \n  # {LOG_LINE}\nwitness ключ {WITNESSES['X1'].vkey} u\u00a0v\nquorum ключ"

    policy = trust_policy.parse(text)

    assert ["https://log.example/"] == [log.url for log in policy.logs]
    assert [("ключ", "u\u00a0v")] == [(witness.name, witness.url) for witness in policy.witnesses]


W1, W2 = WITNESSES["X1"].vkey, WITNESSES["X2"].vkey


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "without a quorum"),
        (LOG_LINE, "without a quorum"),
        ("quorum none\nquorum none", "line 2: a second quorum"),
        ("quorum a", "line 1: 'a' is not defined"),
        (f"quorum a\nwitness a {W1}", "line 1: 'a' is not defined"),
        ("quorum", "0 words"),
        ("quorum none none", "2 words"),
        ("Quorum none", "begins no line"),
        ("log", "0 words"),
        (f"{LOG_LINE} u v", "3 words"),
        (f"log {W1}", "line 1: the key of X1.example is not an Ed25519 log key"),
        (f"witness a {LOGS[0].vkey}", "not an Ed25519 witness key"),
        (f"log {LOGS[0].vkey[:-1]}", "is no verifier key"),
        (f"witness {W1}", "1 words"),
        (f"witness none {W1}", "the name none"),
        (f"witness a {W1}\nwitness a {W2}", "line 2: 'a' is defined above"),
        (f"witness a {W1}\nwitness b {W1}", "line 2: a key that is named above"),
        (f"witness a {W1}\nwitness b {WitnessSigner('alias', WITNESSES['X1'].seed).vkey}", "a key that is named above"),
        (f"witness a {W1}\ngroup a any a", "'a' is defined above"),
        (f"witness a {W1}\ngroup g any", "group line of 2 words"),
        (f"witness a {W1}\ngroup g any a a", "'a' is a member already"),
        (f"witness a {W1}\ngroup g any a\ngroup h any a", "line 3: 'a' is a member already"),
        (f"witness a {W1}\ngroup g any g", "'g' is not defined"),
        (f"witness a {W1}\ngroup g any none", "'none' is not defined"),
        (f"witness a {W1}\ngroup g 2 a", "'2' of 1 members"),
        (f"witness a {W1}\ngroup g 0 a", "'0' of 1 members"),
        (f"witness a {W1}\ngroup g 01 a", "'01' of 1 members"),
        (f"witness a {W1}\ngroup g ١ a", "of 1 members"),
        (f"witness a {W1}\ngroup g most a", "'most' of 1 members"),
        ("threshold 0\nquorum none", "threshold"),
        ("threshold\nquorum none", "threshold"),
        ("threshold 1\nthreshold 1\nquorum none", "line 2: a second threshold"),
        ("quorum none\r\n", "U+000D"),
        ("quorum\x0bnone", "U+000B"),
        ("quorum none\x00", "U+0000"),
        ("quorum none\x7f", "U+007F"),
        ("quorum\u00a0none", "begins no line"),
        ("#" * (limits.TRUST_FILE_BYTES_MAX + 1), "characters"),
    ],
)
def test_a_policy_that_says_anything_else_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(Invalid) as refused:
        trust_policy.parse(text)

    assert said in refused.value.message
    assert refused.value.hint


def test_there_is_room_for_as_many_names_as_the_limit_says() -> None:
    def keys(count: int) -> str:
        return "".join(f"log {Signer(ORIGIN, n.to_bytes(32)).vkey}\n" for n in range(count))

    assert limits.TRUST_NAMES_MAX == len(trust_policy.parse_logs(keys(limits.TRUST_NAMES_MAX)))
    with pytest.raises(Invalid, match=f"line {limits.TRUST_NAMES_MAX + 1}: more than"):
        trust_policy.parse_logs(keys(limits.TRUST_NAMES_MAX + 1))


@given(st.text(st.sampled_from("logquruminesthdy wp\n#+=\tA1aX-")) | st.text())
def test_any_text_is_a_policy_or_invalid(text: str) -> None:
    with suppress(Invalid):
        assert trust_policy.parse(text).threshold
