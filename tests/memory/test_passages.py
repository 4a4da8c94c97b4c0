"""Passages: what an embedder reads at a time of a long text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex import limits
from cortex.memory import passages

MOST = limits.PASSAGE_CHARS

# Long texts of few kinds of pieces, so that every kind of cut comes about.
PIECES = st.sampled_from(
    [
        "word ",
        "A sentence. ",
        "\n\n",
        "\n",
        "x" * 40,
        "y" * 950,
        "東京へ行く。",
        " " * 30,
        "\r\n \r\n",
        "e\u0301",
        "…” ",
    ]
)
TEXTS = st.lists(st.tuples(PIECES, st.integers(1, 60)), max_size=30).map(
    lambda runs: "".join(piece * times for piece, times in runs)
)


def texts_of(content: str) -> list[str]:
    return [content[start:end] for start, end in passages.passages(content)]


def ink(content: str) -> str:
    return "".join(content.split())


@given(TEXTS)
def test_every_visible_character_is_in_exactly_one_passage(content: str) -> None:
    spans = passages.passages(content)

    assert ink(content) == ink("".join(content[start:end] for start, end in spans))
    edges = [edge for span in spans for edge in span]
    assert sorted(edges) == edges
    assert all(0 <= start <= end <= len(content) for start, end in spans)


@given(TEXTS)
def test_no_passage_is_longer_than_an_embedder_reads(content: str) -> None:
    assert all(len(passage) <= MOST for passage in texts_of(content))
    if len(content) > MOST:
        assert all(passage and passage == passage.strip() for passage in texts_of(content))


@given(TEXTS)
def test_the_same_text_has_the_same_passages(content: str) -> None:
    assert passages.passages(content) == passages.passages(content)


@pytest.mark.parametrize("content", ["short", " padded ", "x" * MOST, "a\n\nb"])
def test_a_short_text_is_one_passage(content: str) -> None:
    assert [(0, len(content))] == passages.passages(content)


def test_a_text_is_cut_between_paragraphs_before_sentences_and_sentences_before_words() -> None:
    sentence = "Four words stand here. "
    paragraph = sentence * 20

    assert [paragraph.strip()] * 3 == texts_of("\n\n".join([paragraph] * 3))
    assert all(passage.endswith("here.") for passage in texts_of(sentence * 100))
    assert all(passage.endswith("word") for passage in texts_of("word " * 1_000))
    assert ["x" * MOST, "x" * MOST] == texts_of("x" * 2 * MOST)


def test_lines_of_a_list_are_not_cut_apart() -> None:
    lines = [f"- item {number} of a list without full stops" for number in range(100)]

    cut = [passage.split("\n") for passage in texts_of("\n".join(lines))]

    assert lines == [line for passage in cut for line in passage]


def test_neither_a_heading_alone_nor_the_last_words_alone_make_a_passage() -> None:
    section = "Guide:\n\n" + "word " * 170 + "end of the text"

    assert all(len(passage) >= MOST // 4 for passage in texts_of(section))


def test_a_text_of_the_greatest_length_has_a_bounded_number_of_passages() -> None:
    hostile = ("a " + "x" * (MOST - 1) + "\n") * (limits.CONTENT_BYTES_MAX // (MOST + 2))

    for content in (hostile, "word " * (limits.CONTENT_BYTES_MAX // 5), ".\n\n" * (limits.CONTENT_BYTES_MAX // 3)):
        spans = passages.passages(content)
        assert len(spans) <= limits.PASSAGES_MAX
        assert ink(content) == ink("".join(content[start:end] for start, end in spans))


def test_blanks_without_end_are_in_no_passage() -> None:
    blank = " \n" * 400_000

    assert ["a"] == texts_of(blank + "a" + blank)


def test_each_later_passage_of_an_imported_section_says_where_it_stands() -> None:
    content = "Guide > Set-up:\n\n" + "\n\n".join(["A paragraph of some length about it. " * 10] * 6)

    embedded = [passages.text(content, span) for span in passages.passages(content)]

    assert 3 <= len(embedded)
    assert all(text.startswith("Guide > Set-up:") for text in embedded)
    assert "Guide > Set-up: A paragraph" in embedded[1]
    assert 1 == embedded[0].count("Guide")


@pytest.mark.parametrize(
    ("content", "heading"),
    [
        ("Guide > Set-up:\n\nRun it.", "Guide > Set-up"),
        ("Guide > Set-up: Run it.", "Guide > Set-up"),
        ("\n# Guide\n\n## Set-up ##\nRun it.", "Guide > Set-up"),
        ("#\n\nRun it.", ""),
        ("#tag and words\n", ""),
        ("Ann said: run it.", ""),
        ("Steps:\n- one\n- two", ""),
        ("No heading here.\n\nBut: this", ""),
        (f"{'long ' * 60}:\n\nRun it.", ""),
        ("", ""),
        (":\n\nx", ""),
    ],
)
def test_the_heading_is_what_the_text_begins_with(content: str, heading: str) -> None:
    assert heading == passages.heading(content)


@given(TEXTS)
def test_what_is_embedded_ends_with_the_passage(content: str) -> None:
    for start, end in passages.passages(content):
        embedded = passages.text(content, (start, end))
        assert embedded.endswith(content[start:end])
        assert len(embedded) <= MOST + limits.HEADING_CHARS_MAX + 2
