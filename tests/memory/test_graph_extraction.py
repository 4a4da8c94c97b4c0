"""Finding entities and relations in a text: what is found, and what is not taken for a name."""

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cortex import limits
from cortex.memory import phrases, pieces
from cortex.memory.extraction import Extracted, extract


def entities(content: str, **meta: Any) -> list[tuple[str, str]]:
    found = extract(content, [], json.dumps(meta) if meta else None)
    return [(mention.name, mention.kind) for mention in found.mentions]


def names(content: str) -> list[str]:
    return [name for name, _ in entities(content)]


def relations(content: str, **meta: Any) -> list[tuple[str, str, str]]:
    return triples(extract(content, [], json.dumps(meta) if meta else None))


def triples(found: Extracted) -> list[tuple[str, str, str]]:
    shown = [mention.name for mention in found.mentions]
    return [(shown[subject], predicate, shown[object_]) for subject, predicate, object_ in found.relations]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("the bug is in src/app/users.py:42, I think", [("src/app/users.py", "file")]),
        ("see ./Makefile and ~/notes and /etc/nginx/nginx.conf", ["Makefile", "~/notes", "/etc/nginx/nginx.conf"]),
        (r"it lies in C:\data\report.csv", [("C:\\data\\report.csv", "file")]),
        ("put it in tests/ops or README.md", [("tests/ops", "file"), ("README.md", "file")]),
        ("read https://example.com/a_(b)/c, then go on", [("https://example.com/a_(b)/c", "url")]),
        ("[the page](https://example.com/docs).", [("https://example.com/docs", "url")]),
        ("mail goes through example.com now", [("example.com", "url")]),
        ("first `pip install -U requests flask` then go", [("requests", "package"), ("flask", "package")]),
        ("run pip install requests and wait", [("requests", "package")]),
        ("`npm i @scope/kit react@18.2.0`", [("@scope/kit", "package"), ("react", "package")]),
        ("pinned to numpy==2.1 and apsw>=3.50", [("numpy", "package"), ("apsw", "package")]),
        ("```\nimport os.path, json\nfrom numpy import array\n```", ["os", "json", "numpy"]),
        ("```\nconst x = require('left-pad')\n```", [("left-pad", "package")]),
        ("the function parse_line() calls std::move", [("parse_line", "symbol"), ("std::move", "symbol")]),
        ("`UserService` and userId, HTTPServer", [("UserService", "symbol"), ("userId", "symbol"), ("HTTPServer", "symbol")]),
        ("it is os.path.join that `search` needs", [("os.path.join", "symbol"), ("search", "symbol")]),
        ("set MAX_RETRIES to five", [("MAX_RETRIES", "symbol")]),
        ("we moved to PostgreSQL and GitHub Actions", [("PostgreSQL", "name"), ("GitHub Actions", "name")]),
        ("ask @bob about it", [("@bob", "person")]),
        ("yesterday I met Anna-Lena O'Brien and Ludwig van Beethoven", ["Anna-Lena O'Brien", "Ludwig van Beethoven"]),
        ("we saw Dr. Smith", [("Smith", "person")]),
        ("it is about project Apollo", [("Apollo", "project")]),
        ("the Apollo project is late", [("Apollo", "project")]),
        ("due on 2026-03-03T10:00:00Z", [("2026-03-03", "date")]),
        ("due on 3 March 2026 or March 5th, 2026", [("2026-03-03", "date"), ("2026-03-05", "date")]),
        ("from April 2026", [("2026-04", "date")]),
        ("bis 24.12.2026", [("2026-12-24", "date")]),
        ("我们用Redis存储会话。", [("Redis", "name")]),
        ("вчера Анна Петрова приехала в Москву", [("Анна Петрова", "name"), ("Москву", "name")]),
        ("the AWS and GDPR rules", [("AWS", "name"), ("GDPR", "name")]),
        ("we take Redis/Memcached here", [("Redis", "name"), ("Memcached", "name")]),
    ],
)  # fmt: skip
def test_an_entity_is_known_by_its_form(content: str, expected: list[Any]) -> None:
    found = entities(content)

    assert expected == [entity if isinstance(expected[0], tuple) else entity[0] for entity in found]


@pytest.mark.parametrize(
    "content",
    [
        "Invoices leave on the 3rd",
        "Use tabs. Never commit secrets! Always review: Tests first",
        "I think it’s fine. I'm sure we’ll see, they’re done. It's OK",
        "On Monday in March we met",
        "# Deployment Guide For New People",
        "How to Deploy With The Others And Win",
        "NEVER PUSH TO MAIN WITHOUT REVIEW",
        "Die Rechnungen werden am Dritten an den Kunden geschickt und das wird gut für uns.",
        "and/or, his/her, n/a, e.g. 50% at 10:30 for $100, version 1.2.3 or v1.2.3",
        "mail a@b.com, see file(s) or word(s), and the end.Start of it",
        "call /v1/facts with --dry-run",
        "2026-13-45 and 99 March 2026 are no dates",
        "we import the data and install it again",
        "@property and @dataclass",
        "Vitamin C and plan B",
    ],
)
def test_what_may_be_a_common_word_is_no_entity(content: str) -> None:
    found = [name for name in names(content) if name != "Vitamin C"]

    assert [] == found


def test_a_word_that_begins_a_sentence_is_a_name_when_it_is_one_elsewhere_in_the_fact() -> None:
    assert ["Kafka"] == names("Kafka is slow. That is why we left Kafka.")
    assert [] == names("Caching is slow. That is why we left caching.")


def test_a_first_name_stands_for_the_full_name_in_the_same_fact() -> None:
    assert ["Anna Berger", "Rome"] == names("We met Anna Berger, and Anna went to Rome")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("Alice works at Acme.", ("Alice", "works_at", "Acme")),
        ("Redis replaces Memcached", ("Redis", "replaces", "Memcached")),
        ("Memcached was replaced by Redis", ("Redis", "replaces", "Memcached")),
        ("`UserService` calls `save_user()`", ("UserService", "calls", "save_user")),
        ("we know that app.py imports utils.py", ("app.py", "imports", "utils.py")),
        ("cortex.memory.facts depends on the apsw==3.50", ("cortex.memory.facts", "depends_on", "apsw")),
        ("the Parser is part of the Kernel", ("Parser", "part_of", "Kernel")),
        ("`parse_line` is defined in src/parse.rs", ("parse_line", "located_in", "src/parse.rs")),
        ("the crash in `run_all`: `run_all` was fixed by Maria", ("run_all", "fixed_by", "Maria")),
        ("Beethoven wrote Fidelio", ("Fidelio", "created_by", "Beethoven")),
        ("it is said that Apollo is owned by Acme", ("Acme", "owns", "Apollo")),
        ("Kafka is a Database", ("Kafka", "is_a", "Database")),
    ],
)  # fmt: skip
def test_words_between_two_entities_relate_them(content: str, expected: tuple[str, str, str]) -> None:
    assert [expected] == relations(content)


def test_what_is_said_of_several_is_said_of_each() -> None:
    expected = [("Alice", "works_on", "Apollo"), ("Bob", "works_on", "Apollo")]
    assert expected == relations("Alice and Bob work on Apollo")
    expected = [("Apollo", "depends_on", name) for name in ("Docker", "Kubernetes", "Helm")]
    assert expected == relations("Project Apollo depends on Docker, Kubernetes and Helm.")


@pytest.mark.parametrize(
    "content",
    [
        "Does Alice use Vim?",
        "Alice does not use Vim",
        "Alice no longer works at Acme",
        "Support for Windows depends on Docker",
        "the owner of Apollo uses Redis",
        "Bob owns the Acme account",
        "Billing is a Django app",
        "we know Alice uses Bob's laptop",
        "Alice likes Redis. Uses Vim",
        "Alice used it in 2026-03-03",
    ],
)
def test_what_is_asked_denied_or_said_of_something_else_is_no_relation(content: str) -> None:
    assert [] == relations(content)


def test_user_password_and_query_of_an_address_are_left_out() -> None:
    found = names("at https://ann:secret@example.com/a?token=secret#secret and postgres://u:secret@db.local/x")

    assert ["https://example.com/a", "postgres://db.local/x"] == found


def test_every_tag_is_an_entity() -> None:
    found = extract("we like it", ["billing", "Q3 plan"], None)

    assert [("billing", "tag"), ("Q3 plan", "tag")] == [(mention.name, mention.kind) for mention in found.mentions]


def test_callers_state_entities_and_relations_in_meta() -> None:
    meta: Any = {
        "entities": [{"name": "the blue one", "kind": "Vehicle"}],
        "relations": [{"subject": "the blue one", "predicate": "is used by", "object": "ann"}],
    }

    assert [("the blue one", "vehicle"), ("ann", "name")] == entities("as agreed", **meta)
    assert [("ann", "uses", "the blue one")] == relations("as agreed", **meta)


def test_relations_of_imported_memories_are_stated() -> None:
    meta = {"relation": {"from": "ann", "type": "sings_with", "to": "ben"}}

    assert [("ann", "sings_with", "ben")] == relations("ann sings_with ben", **meta)
    assert [("ann", "singer")] == entities("ann: is tall", entity="ann", entity_type="Singer")


@pytest.mark.parametrize(
    "meta",
    [
        {"entities": "x"},
        {"entities": {"name": "x"}},
        {"entities": [1, None, [], {}, {"name": 1}, {"name": ""}, {"name": "x" * 300}, {"name": "a\u202eb"}, {"kind": "x"}]},
        {"relations": [1, {}, {"subject": "a"}, {"subject": "a", "predicate": 1, "object": "b"}]},
        {"relations": [{"subject": "a", "predicate": "mentioned with", "object": "b"}]},
        {"relations": [{"subject": "a", "predicate": "x" * 65, "object": "b"}]},
        {"relation": {"from": "a", "type": "", "to": "b"}, "entity": {"name": "x"}},
    ],
)  # fmt: skip
def test_statements_of_another_shape_are_ignored(meta: dict[str, Any]) -> None:
    assert [] == entities("as agreed", **meta)
    assert [] == relations("as agreed", **meta)


def test_names_that_differ_in_case_and_width_are_one_entity() -> None:
    found = extract("Then Redis and `redis` and ＲＥＤＩＳ", ["REDIS"], None)

    assert [("REDIS", "symbol")] == [(mention.name, mention.kind) for mention in found.mentions]


@given(st.text(max_size=300), st.lists(st.text(min_size=1, max_size=20), max_size=4))
@example("Alice\u202e works at \x00Acme \ud83d", ["\u200b"])
@example("``` `x` `` ` (a) ((b)) [c](d) e-mail: ::: ... --- @ @@ / // \\ :// = == #", [])
@example("3 March 2026 March March 5, March 5 2026", [])
def test_any_text_is_read_and_what_is_found_is_a_printable_line_within_limits(content: str, tags: list[str]) -> None:
    found = extract(content, tags, None)

    assert len(found.mentions) <= limits.ENTITIES_PER_FACT_MAX
    assert len(found.mentions) == len({pieces.key(mention.name) for mention in found.mentions})
    for mention in found.mentions:
        assert mention.name.isprintable()
        assert 0 < len(mention.name) <= limits.ENTITY_NAME_CHARS_MAX
    for relation in found.relations:
        assert relation.predicate in phrases.PREDICATES
        assert relation.subject != relation.object
        assert max(relation.subject, relation.object) < len(found.mentions)


HOSTILE = {
    "letters": "a",
    "capitals": "A",
    "names": "Aa ",
    "sentences": "Aa. ",
    "ticks": "`a",
    "snakes": "a_",
    "dots": "a.",
    "scopes": "a::",
    "addresses": "http://",
    "handles": "@a/",
    "brackets": "((",
    "dates": "3 March ",
    "installs": "pip install a ",
    "imports": "from 'a",
    "lists": "Alice, Bob and ",
    "relations": "Alice uses ",
    "links": "Aa von ",
    "humps": "aB",
    "unspaced": "的A",
    "lines": "\n",
    "fences": "```\nimport a\n",
}


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE.keys())
def test_the_longest_fact_is_read_in_a_bounded_number_of_steps(piece: str) -> None:
    size = limits.CONTENT_BYTES_MAX // len(piece.encode())

    whole = calls(lambda: extract(piece * size, [], None))
    half = calls(lambda: extract((piece * size)[: limits.EXTRACTED_CHARS_MAX // 2], [], None))

    # Each step is a call on a piece of bounded length; twice the text takes at most about twice the steps.
    assert whole <= 2.2 * half + 200
    assert whole <= 30 * limits.EXTRACTED_CHARS_MAX


def calls(run: Callable[[], object]) -> int:
    """How many functions are called, Python's and those in C."""
    count = 0

    def counting(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(counting)
    try:
        run()
    finally:
        sys.setprofile(before)
    return count


def test_a_fact_of_many_entities_keeps_the_first() -> None:
    found = names(" ".join(f"name_{number}" for number in range(500)))

    assert [f"name_{number}" for number in range(limits.ENTITIES_PER_FACT_MAX)] == found
