"""The bytes that are hashed."""

import hashlib
import hmac
import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from cortex import canonical, limits
from cortex.errors import CortexError, Invalid, TooLarge

TEXT = st.text(
    st.characters(exclude_categories=("Cs",)).filter(lambda c: not ("\x00" <= c <= "\x1f" or "\x7f" <= c <= "\x9f")),
    max_size=40,
)
NULLABLE = st.none() | TEXT
KINDS = sorted(canonical.KINDS - {"origin"})
LEAF: dict[str, Any] = {
    "actor": "agent:ada",
    "batch": 5,
    "batch_n": 2,
    "digest": "ab" * 32,
    "idx": 6,
    "kind": "fact",
    "parent": None,
    "prev": "cd" * 32,
    "project": 'söck "en" \\',
    "rev": None,
    "subject": "0190",
    "ts": "2026-03-01T09:00:00.000001Z",
    "v": 1,
}


@st.composite
def leaves(draw: st.DrawFn) -> dict[str, Any]:
    idx = draw(st.integers(1, limits.SEQ_MAX - 1))
    batch = draw(st.integers(0, idx))
    times = st.datetimes().map(lambda moment: moment.isoformat(timespec="microseconds") + "Z")
    return {
        "actor": draw(TEXT),
        "batch": batch,
        "batch_n": draw(st.integers(idx - batch + 1, limits.SEQ_MAX)),
        "digest": draw(NULLABLE),
        "idx": idx,
        "kind": draw(st.sampled_from(KINDS)),
        "parent": draw(NULLABLE),
        "prev": draw(st.binary(min_size=32, max_size=32)).hex(),
        "project": draw(NULLABLE),
        "rev": draw(NULLABLE),
        "subject": draw(NULLABLE),
        "ts": draw(times),
        "v": 1,
    }


def test_a_leaf_has_these_bytes() -> None:
    encoded = canonical.leaf(**LEAF)

    expected = (
        '{"actor":"agent:ada","batch":5,"batch_n":2,"digest":"' + "ab" * 32 + '","idx":6,"kind":"fact","parent":null,'
        '"prev":"' + "cd" * 32 + '","project":"söck \\"en\\" \\\\","rev":null,"subject":"0190",'
        '"ts":"2026-03-01T09:00:00.000001Z","v":1}'
    )
    assert expected.encode() == encoded


@given(leaves())
def test_both_encoders_write_what_the_library_writes_and_it_reads_back(fields: dict[str, Any]) -> None:
    checked = canonical.leaf(**fields)
    fast = canonical.encode(tuple(fields[name] for name in sorted(fields)))  # type: ignore[arg-type]

    assert rfc8785.dumps(fields) == checked
    assert checked == fast
    assert fields == canonical.parse_leaf(checked)


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=30))
def test_the_fast_encoder_writes_any_stored_text_as_the_library_does(text: str) -> None:
    fields = {**LEAF, "actor": text, "kind": text, "prev": text, "subject": text, "ts": text}

    fast = canonical.encode(tuple(fields[name] for name in sorted(fields)))  # type: ignore[arg-type]

    assert rfc8785.dumps(fields) == fast


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("actor", "a\x00"),
        ("actor", "a\n"),
        ("actor", "\x7f"),
        ("project", "\x9f"),
        ("subject", "\ud800"),
        ("actor", None),
        ("actor", 1),
        ("idx", 6.0),
        ("idx", True),
        ("idx", "6"),
        ("idx", -1),
        ("batch_n", 1 << 53),
        ("batch", 7),
        ("batch_n", 1),
        ("idx", 0),
        ("kind", "origin"),
        ("kind", "vote"),
        ("prev", "CD" * 32),
        ("prev", "cd" * 31),
        ("ts", "2026-03-01T09:00:00Z"),
        ("ts", "2026-02-30T09:00:00.000001Z"),
        ("v", 2),
        ("v", True),
    ],
)
def test_a_leaf_outside_the_profile_is_refused(name: str, value: object) -> None:
    with pytest.raises(Invalid):
        canonical.leaf(**{**LEAF, name: value})


def test_a_leaf_that_no_bundle_line_could_hold_is_refused() -> None:
    with pytest.raises(TooLarge, match="BUNDLE_LINE_BYTES_MAX"):
        canonical.leaf(**{**LEAF, "subject": "x" * limits.BUNDLE_LINE_BYTES_MAX})


def changed_forms() -> list[bytes]:
    line = canonical.leaf(**LEAF)
    return [
        b"",
        line + b"\n",
        b" " + line,
        line.replace(b":5", b": 5"),
        line.replace(b":5", b":5.0"),
        line.replace(b":5", b":5e0"),
        line.replace(b":5", b":05"),
        line.replace(b'"idx":6', b'"idx":6,"idx":6'),
        line.replace(b'"idx":6', b'"idx":' + b"9" * 5000),
        line.replace("ö".encode(), b"\\u00f6"),
        line.replace("ö".encode(), b"\xf6"),
        line.replace("ö".encode(), b"\\ud800"),
        line.replace(b"agent:", b"agent\\u003a"),
        line.replace(b'"v":1', b'"v":1,"x":1'),
        line.replace(b',"v":1', b""),
        line.replace(b'"v":1}', b'"v":1,}'),
        b"[" * 100_000,
        b"[" * 60_000,
        b"null",
        json.dumps(json.loads(line)).encode(),
        b"\xef\xbb\xbf" + line,
    ]


@pytest.mark.parametrize("line", changed_forms(), ids=range(len(changed_forms())))
def test_a_line_in_any_other_form_than_the_canonical_is_refused(line: bytes) -> None:
    with pytest.raises(Invalid):
        canonical.parse_leaf(line)


@given(st.data())
def test_a_mutated_line_is_refused_or_is_canonical_itself(data: st.DataObject) -> None:
    line = bytearray(canonical.leaf(**LEAF))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(line) - 1))
        line[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))

    try:
        fields = canonical.parse_leaf(bytes(line))
    except Invalid:
        return

    assert rfc8785.dumps(dict(fields)) == bytes(line)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_leaf_or_invalid(line: bytes) -> None:
    with pytest.raises(CortexError) as raised:
        canonical.parse_leaf(line)

    assert "invalid" == raised.value.kind


def test_the_first_link_is_the_hash_of_the_origin() -> None:
    assert hashlib.sha256(b"cortex/transactions/a/b").hexdigest() == canonical.origin_link("cortex/transactions/a/b")


def test_a_digest_is_the_hmac_of_the_fields_each_with_its_length() -> None:
    fields = ("né\n", "", None, None, None, "{}", None, None, None, None, "7")

    digest = canonical.fact_digest(b"salt", fields)

    null = b"\xff" * 8
    text = b"cortex-fact/v1\n" + b"\0" * 7 + b"\x04n\xc3\xa9\n" + b"\0" * 8 + null * 3 + b"\0" * 7 + b"\x02{}"
    text += null * 4 + b"\0" * 7 + b"\x017"
    assert hmac.new(b"salt", text, "sha256").digest() == digest


FACTS = st.tuples(*[st.none() | st.text(st.sampled_from("ab\x00"), max_size=3)] * 11)


@given(FACTS, FACTS)
def test_two_facts_share_a_digest_only_if_they_are_the_same(
    one: tuple[str | None, ...], two: tuple[str | None, ...]
) -> None:
    same = canonical.fact_digest(b"s", one) == canonical.fact_digest(b"s", two)

    assert (one == two) == same


@pytest.mark.parametrize("fields", [("x",) * 10, ("x",) * 12, ("\ud800", *[None] * 10)])
def test_a_digest_of_other_than_the_fields_of_a_fact_is_refused(fields: tuple[str | None, ...]) -> None:
    with pytest.raises(Invalid):
        canonical.fact_digest(b"salt", fields)
