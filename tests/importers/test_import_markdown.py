"""Markdown sections as facts."""

from pathlib import Path

import pytest
from import_entries import items, read, skip, write
from markdown_it import MarkdownIt

from cortex import limits
from cortex.errors import TooLarge
from cortex.importers import Item, Skip, markdown

DOCUMENT = """\
Written for agents.

# Guide

Read this first.

## Set-up

Run `make`.

- one
- two

### Windows *only* `now`

Use the [other](https://example.org/a_b) script.

## Empty

Team
====

Ann leads.
"""


def test_each_section_with_text_is_a_fact_with_its_path(tmp_path: Path) -> None:
    path = write(tmp_path, DOCUMENT)

    found = items(path, "markdown")

    assert [
        ("Written for agents.", "notes/given#", "before the first heading"),
        ("Guide: Read this first.", "notes/given#guide", "# Guide"),
        ("Guide > Set-up:\n\nRun `make`.\n\n- one\n- two", "notes/given#guide/set-up", "# Guide > ## Set-up"),
        (
            "Guide > Set-up > Windows only now: Use the [other](https://example.org/a_b) script.",
            "notes/given#guide/set-up/windows-only-now",
            "# Guide > ## Set-up > ### Windows only now",
        ),
        ("Team: Ann leads.", "notes/given#team", "# Team"),
    ] == [(item.content, item.key, item.where) for item in found]
    assert {"path": ["Guide", "Set-up"], "line": 7} == found[2].meta
    assert all(item.source == item.key for item in found)


@pytest.mark.parametrize(
    "block",
    [
        "```\n# no\n```",
        "~~~ sh\n# no\n```\n# no\n~~~",
        "````\n```\n# no\n````",
        "<!--\n# no\n-->",
        "<pre>\n# no\n</pre>",
        "    # no",
        "> # no",
        "- # no\n\n  # no",
        "1. one\n   ```\n   # no\n   ```",
        "#no",
        "####### no",
        "\\# no",
        "- a\n---",
    ],
)
def test_what_commonmark_does_not_take_for_a_heading_is_text(tmp_path: Path, block: str) -> None:
    path = write(tmp_path, f"# Yes\n\nA.\n\n{block}\n\nB.\n")

    (found,) = items(path, "markdown")

    assert f"Yes:\n\nA.\n\n{block}\n\nB." == found.content


def test_equal_headings_get_numbered_keys(tmp_path: Path) -> None:
    path = write(tmp_path, "# A\n1\n## B\n2\n## B\n3\n### C\n4\n## B-1\n5\n# A\n6\n## B\n7\n")

    found = items(path, "markdown")

    keys = ["a", "a/b", "a/b-1", "a/b-1/c", "a/b-1-1", "a-1", "a-1/b"]
    assert [f"notes/given#{key}" for key in keys] == [item.key for item in found]


def test_many_equal_headings_take_linear_time(tmp_path: Path) -> None:
    path = write(tmp_path, "# H\nx\n" * 20_000)

    found = items(path, "markdown")

    assert 20_000 == len({item.key for item in found})


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        ("Set-up & Tests!", "set-up--tests"),
        ("snake_case", "snake_case"),
        ("Über uns", "über-uns"),
        ("メモ", "メモ"),
        ("!!!", "section"),
        ("x" * 200, "x" * limits.IMPORT_SLUG_CHARS_MAX),
    ],
)
def test_slugs_look_like_anchors_on_github(heading: str, expected: str) -> None:
    assert expected == markdown.slug(heading)


def test_front_matter_is_skipped_and_does_not_move_the_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "---\ndescription: x\n# comment\n---\n# A\n\ntext\n")

    skipped, item = read(path, "markdown")

    assert Skip("lines 1 to 4", "front matter is not imported") == skipped
    assert isinstance(item, Item)
    assert {"path": ["A"], "line": 5} == item.meta


def test_a_rule_at_the_start_is_not_front_matter(tmp_path: Path) -> None:
    path = write(tmp_path, "---\n\n# A\n\ntext\n")

    found = items(path, "markdown")

    assert ["A: text"] == [item.content for item in found]


def test_rules_between_sections_are_not_facts(tmp_path: Path) -> None:
    path = write(tmp_path, "# A\n\n---\n\n## B\n\n***\n")

    assert [] == read(path, "markdown")


def test_a_long_section_is_split_between_blocks(tmp_path: Path) -> None:
    block = "```\n" + "# line of code\n\n" * 6_000 + "```"
    path = write(tmp_path, f"# A\n\nfirst\n\n{block}\n\n{block}\n\n{block}\n\nlast\n")

    found = items(path, "markdown")

    assert ["notes/given#a", "notes/given#a~2"] == [item.key for item in found]
    assert {"notes/given#a"} == {item.source for item in found}
    assert [4, 2] == [item.content.count("```") for item in found]
    assert all(len(item.content) <= limits.IMPORT_SECTION_BYTES_MAX + 10 for item in found)


def test_a_block_that_is_too_long_alone_is_cut_and_nothing_is_lost(tmp_path: Path) -> None:
    words = [f"word{number}" for number in range(100_000)]
    path = write(tmp_path, "# A\n\n" + " ".join(words) + "\n")

    found = items(path, "markdown")

    assert len(found) > 1
    assert words == " ".join(item.content.removeprefix("A: ").removeprefix("A:\n\n") for item in found).split()


def test_bytes_that_are_not_utf8_skip_their_section_only(tmp_path: Path) -> None:
    path = write(tmp_path, b"# A\n\nfine\n\n# B\n\n[x](\xff) \xe9\n\n# C\n\nfine\n\n# \xff\n\nfine\n\n[r]: \xff\n")

    found = read(path, "markdown")

    assert [Item, Skip, Item, Skip] == [type(entry) for entry in found]
    assert "the content is not valid UTF-8" == (found[1].reason if isinstance(found[1], Skip) else None)


def test_nul_byte_order_mark_and_every_line_end_are_handled(tmp_path: Path) -> None:
    path = write(tmp_path, b"\xef\xbb\xbf# A\r\n\r\none\r\ntwo\r\n# B\r\rthree\r# C\n\nx\0y\n")

    a, b, c = read(path, "markdown")

    assert ["A:\n\none\ntwo", "B: three"] == [entry.content for entry in (a, b) if isinstance(entry, Item)]
    assert Skip("# C", "the content holds a NUL character") == c


def test_a_file_over_the_limit_for_markdown_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, b"a" * (limits.IMPORT_MARKDOWN_BYTES_MAX + 1))

    with pytest.raises(TooLarge, match=str(limits.IMPORT_MARKDOWN_BYTES_MAX)):
        read(path, "markdown")


def test_a_name_that_makes_the_key_too_long_skips_the_section(tmp_path: Path) -> None:
    heading = "".join(f"{'#' * level} {'x' * 100}\n" for level in range(1, 7))
    path = write(tmp_path, heading + "text\n")
    long_name = "d" * 200

    (found,) = markdown.read(path, long_name)

    assert isinstance(found, Skip)
    assert "the key has" in found.reason


def test_the_sections_are_those_of_a_full_commonmark_parse(tmp_path: Path) -> None:
    path = write(tmp_path, DOCUMENT)
    tokens = MarkdownIt("commonmark").parse(DOCUMENT)
    headings = sum(token.type == "heading_open" and token.level == 0 for token in tokens)

    found = items(path, "markdown")

    # One text stands before the first heading and one heading has none.
    assert headings == len(found)


def test_an_empty_file_has_no_entries(tmp_path: Path) -> None:
    path = write(tmp_path, b"")

    assert [] == read(path, "markdown")


def test_the_only_entry_of_a_section_in_latin1_is_a_skip(tmp_path: Path) -> None:
    path = write(tmp_path, b"d\xe9j\xe0 vu")

    assert Skip("before the first heading", "the content is not valid UTF-8") == skip(path, "markdown")
