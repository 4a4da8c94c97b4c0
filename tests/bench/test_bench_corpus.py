"""The corpus: the same on every machine, and shaped like what people write and ask."""

import hashlib
from collections import Counter

import pytest

from cortex.bench import corpus


def words_of(text: str) -> list[str]:
    return text.rstrip(".").lower().split()


def test_the_same_facts_are_made_on_every_machine() -> None:
    made = "\n".join(f"{text.project} {text.content}" for text in corpus.facts(1_000))

    digest = hashlib.sha256(made.encode()).hexdigest()

    assert "1b46253dcd9df1c89c4f2627b33a256f9685b4323836ee97a6979532e1cdb135" == digest


def test_a_smaller_corpus_is_the_beginning_of_a_larger_one() -> None:
    larger = list(corpus.facts(50))

    smaller = list(corpus.facts(20))

    assert larger[:20] == smaller


def test_another_label_gives_other_facts() -> None:
    facts = set(corpus.facts(50))

    others = set(corpus.facts(50, label="others"))

    assert set() == facts & others


def test_facts_have_8_to_30_words_and_lie_in_every_project() -> None:
    facts = list(corpus.facts(500))

    sizes = {len(words_of(text.content)) for text in facts}

    assert (8, 30) == (min(sizes), max(sizes))
    assert {corpus.project(number) for number in range(corpus.PROJECTS)} == {text.project for text in facts}


def test_some_words_are_in_many_facts_and_most_words_in_few() -> None:
    facts = [set(words_of(text.content)) for text in corpus.facts(2_000)]

    standing = Counter(word for words in facts for word in words)

    assert 0.4 < standing["the"] / 2_000 < 0.6
    assert 0.01 < standing["error"] / 2_000 < 0.05
    assert sum(count <= 20 for count in standing.values()) > len(standing) / 2


def test_queries_have_3_to_8_words_and_repeat_by_label() -> None:
    known = [text.content for text in corpus.facts(200)]

    queries = corpus.queries(300, known)

    sizes = {len(query.split()) for query in queries}
    assert (3, 8) == (min(sizes), max(sizes))
    assert queries == corpus.queries(300, known)


@pytest.mark.parametrize("size", [3, 5, 8])
def test_queries_of_a_size_hold_words_of_facts(size: int) -> None:
    known = [text.content for text in corpus.facts(200)]
    vocabulary = {word for content in known for word in words_of(content)}

    asked = [query.split() for query in corpus.queries(300, known) if len(query.split()) == size]

    assert all(vocabulary & set(words) for words in asked)


def test_frequent_queries_hold_words_of_many_facts() -> None:
    facts = [set(words_of(text.content)) for text in corpus.facts(1_000)]

    queries = corpus.frequent_queries(50)

    found = [sum(bool(words & set(query.split())) for words in facts) for query in queries]
    assert queries == corpus.frequent_queries(50)
    assert min(found) > 50
