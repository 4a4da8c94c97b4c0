"""Plain text as paragraphs."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from import_entries import items, read, write

from cortex import limits
from cortex.importers import Item, Skip, prose


def test_paragraphs_are_facts_with_their_line_as_source(tmp_path: Path) -> None:
    path = write(tmp_path, "\nOne\nstill one.\n\n   \nTwo.\n")

    found = items(path, "text")

    assert [
        Item(content="One\nstill one.", where="line 2", source="notes/given:2"),
        Item(content="Two.", where="line 6", source="notes/given:6"),
    ] == found


def test_a_long_paragraph_is_split_at_sentence_ends(tmp_path: Path) -> None:
    sentence = "This sentence says something that is worth a fact.\n"
    path = write(tmp_path, sentence * 100)

    found = items(path, "text")

    assert len(found) > 1
    assert all(item.content.endswith(".") for item in found)
    assert all(len(item.content) <= limits.IMPORT_PARAGRAPH_CHARS for item in found)
    assert ["line 1", "line 40", "line 79"] == [item.where for item in found]


def test_a_file_without_blank_lines_is_cut_rather_than_held(tmp_path: Path) -> None:
    path = write(tmp_path, "word word word\n" * 50_000)

    found = items(path, "text")

    assert 150_000 == sum(len(item.content.split()) for item in found)


def test_bytes_that_are_not_utf8_skip_their_paragraph_only(tmp_path: Path) -> None:
    path = write(tmp_path, b"\xef\xbb\xbffine\r\n\r\nbad \xff\r\n\r\nnul \0\r\n\r\nfine\r\n")

    first, bad, nul, last = read(path, "text")

    assert Skip("line 3", "the content is not valid UTF-8") == bad
    assert Skip("line 5", "the content holds a NUL character") == nul
    assert ["line 1", "line 7"] == [first.where, last.where]


def test_a_line_over_the_limit_does_not_take_its_neighbours_along(tmp_path: Path) -> None:
    path = write(tmp_path, b"before\n" + b"x" * (limits.IMPORT_LINE_BYTES_MAX + 1) + b"\nafter\n")

    found = read(path, "text")

    assert [("line 1", Item), ("line 2", Skip), ("line 3", Item)] == [(e.where, type(e)) for e in found]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", b" \t\r\n"])
def test_a_blank_file_has_no_entries(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path, content)

    assert [] == read(path, "text")


@given(st.text(alphabet="ab.?! \n。", max_size=400), st.integers(1, 50))
def test_pieces_fit_and_together_say_what_the_text_says(text: str, chars_max: int) -> None:
    found = list(prose.pieces(text, chars_max))

    assert all(0 < len(piece) <= chars_max for _, piece in found)
    assert all(text.startswith(piece, offset) for offset, piece in found)
    assert "".join(text.split()) == "".join("".join(piece.split()) for _, piece in found)
