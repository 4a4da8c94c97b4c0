"""Search: plain words in any script, nothing is an operator, and every filter is inside the query."""

import random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cortex import limits
from cortex.errors import CortexError, Invalid, TooLarge
from cortex.memory.search import Hit
from cortex.ops.doctor import Diagnose
from cortex.ops.facts import ForgetFact, NewFact, RetractFact, ReviseFact, StoreFacts
from cortex.ops.node import Reindex
from cortex.ops.projects import RenameProject
from cortex.ops.search import SearchFacts
from opened import Clock, Memory

LONE = "\ud800"


def hits(memory: Memory, query: str, **request: Any) -> list[Hit]:
    return memory.call(SearchFacts(query=query, **request)).hits


def found(memory: Memory, query: str, **request: Any) -> list[str]:
    return [hit.fact.content for hit in hits(memory, query, **request)]


def fill(memory: Memory, contents: list[str], **fields: Any) -> None:
    for start in range(0, len(contents), limits.BATCH_FACTS_MAX):
        part = contents[start : start + limits.BATCH_FACTS_MAX]
        memory.call(StoreFacts(facts=[NewFact(content=content, **fields) for content in part]))


# Words


def test_one_word_of_many_is_enough_and_more_are_better(memory: Memory) -> None:
    fill(memory, ["invoices go out on the 3rd", "the boiler is checked in May", "rockets and invoices"])

    assert ["rockets and invoices", "invoices go out on the 3rd"] == found(memory, "rockets invoices unheard")


def test_words_are_found_in_their_other_forms(memory: Memory) -> None:
    memory.store("The tests were running slowly")

    assert found(memory, "test run slow")


def test_stop_words_are_left_out_and_said_so(memory: Memory) -> None:
    fill(memory, ["when and where and what", "the invoice"])

    answer = memory.call(SearchFacts(query="what is the invoice"))

    assert (["invoice"], ["what", "is", "the"]) == (answer.terms, answer.ignored)
    assert ["the invoice"] == [hit.fact.content for hit in answer.hits]


def test_a_query_of_stop_words_alone_searches_them(memory: Memory) -> None:
    fill(memory, ["to be or not to be", "something else"])

    assert ["to be or not to be"] == found(memory, "to be or not to be")


@pytest.mark.parametrize("query", ["!!!", "🚀", '"', "()", " ", "___", "—", "\x00", "*", "\u200b", "^^ -- ::"])
def test_a_query_without_a_word_finds_nothing_and_is_no_error(memory: Memory, query: str) -> None:
    memory.store("something 🚀 !!! * \x00")

    answer = memory.call(SearchFacts(query=query))

    assert ([], []) == (answer.hits, answer.terms)


@pytest.mark.parametrize(
    "query",
    [
        "alpha AND omega",
        "alpha OR omega",
        "NOT alpha",
        "NEAR(alpha beta)",
        "NEAR(alpha, 5)",
        '"alpha',
        '"alpha beta"',
        "'alpha'",
        "alpha*",
        "^alpha",
        "content:alpha",
        "project:p2 alpha",
        "labels : alpha",
        "-alpha",
        "+alpha",
        "(alpha",
        "alpha)",
        "{alpha}",
        "alpha; DROP TABLE fact",
        "alpha'--",
        "alpha\x00beta",
        "%alpha%",
        "alpha\\",
        "a:b:c alpha",
        "alpha 🚀",
        "rank alpha",
        "revision_fts MATCH alpha",
    ],
)
def test_nothing_in_a_query_is_an_operator(memory: Memory, query: str) -> None:
    memory.store("alpha particle")
    memory.store("alpha elsewhere", project="other")

    assert ["alpha particle"] == found(memory, query)


def test_operator_words_are_words(memory: Memory) -> None:
    memory.store("NEAR the station")

    assert ["NEAR the station"] == found(memory, "near")


def test_tags_and_keys_are_found_too(memory: Memory) -> None:
    memory.store("paid monthly", tags=["subscription"], key="finance/hosting-cost")

    assert found(memory, "subscription") == found(memory, "hosting") == ["paid monthly"]


def test_the_project_is_a_filter_and_no_word(memory: Memory) -> None:
    memory.store("one", project="p1")

    assert [] == found(memory, "p1", all_projects=True)


# Scripts


SCRIPTS = [
    ("東京都に住んでいます", ["東京", "京都", "東京都", "住", "す", "住んで"], ["大阪", "京東"]),
    ("我们使用PostgreSQL数据库", ["数据库", "postgresql", "PostgreSQL数据库", "库", "使用"], ["数库", "mysql"]),
    ("서울에서 회의가 있습니다", ["회의", "서울", "회의가"], ["부산"]),
    ("การประชุมวันอังคาร", ["ประชุม", "อังคาร"], ["เชียงใหม่"]),
    ("ประชุมที่บ้าน", ["บ้าน", "ที่"], ["ถนน"]),
    ("カタカナとひらがな", ["カタカナ", "ひらがな"], ["ABC"]),
    ("الاجتماع يوم الثلاثاء", ["الاجتماع", "الثلاثاء"], ["الأربعاء"]),
    ("הפגישה ביום שלישי", ["הפגישה", "שלישי"], ["רביעי"]),
    ("Встреча во вторник", ["встреча", "ВТОРНИК"], ["среда"]),
    ("Συνάντηση την Τρίτη", ["συνάντηση", "ΤΡΊΤΗ"], ["Πέμπτη"]),
    ("Le café est fermé à Noël", ["cafe", "CAFÉ", "ferme", "noel"], ["the"]),
    ("Größe und Straße", ["größe", "straße", "grösse straße"], ["lange"]),
    ("naïve façade", ["naive", "facade"], ["navy"]),
    ("日本語 and English mixed 混在text", ["english", "混在", "text", "日本"], ["french"]),
    ("deploy 🚀 on friday", ["deploy 🚀", "🚀 friday"], ["monday"]),
    ("𠮷野家で食べる", ["𠮷野家", "食べる"], ["松屋"]),
]


@pytest.mark.parametrize(("content", "queries", "others"), SCRIPTS, ids=lambda given: str(given)[:10])
def test_every_script_is_searched(memory: Memory, content: str, queries: list[str], others: list[str]) -> None:
    memory.store(content)
    memory.store("a fact in plain words")

    for query in queries:
        assert [content] == found(memory, query), query
    for query in others:
        assert [] == found(memory, query), query


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("re\u0301sume\u0301 of Zo\u0308e", "résumé"),
        ("résumé of Zöe", "re\u0301sume\u0301"),
        ("résumé of Zöe", "resume"),
        ("re\u0301sume\u0301 of Zo\u0308e", "zöe"),
        ("\u1112\u116c\u110b\u1174 회의록", "회의"),
        ("회의록", "\u1112\u116c\u110b\u1174"),
        ("が一番", "か\u3099一番"),
    ],
)
def test_composed_and_decomposed_text_is_the_same(memory: Memory, stored: str, asked: str) -> None:
    memory.store(stored)
    memory.store("nothing of the kind")

    assert [stored] == found(memory, asked)


# Limits


def test_a_query_of_a_mebibyte_is_searched_and_one_byte_more_is_too_large(memory: Memory) -> None:
    memory.store("needle in the haystack")
    most = "needle " + "x" * (limits.QUERY_BYTES_MAX - 7)

    assert ["needle in the haystack"] == found(memory, most)
    assert [] == found(memory, "é" * (limits.QUERY_BYTES_MAX // 2))
    with pytest.raises(TooLarge):
        hits(memory, most + "x")
    with pytest.raises(TooLarge):
        hits(memory, "é" * (limits.QUERY_BYTES_MAX // 2) + "x")


def test_only_so_many_words_are_searched(memory: Memory) -> None:
    answer = memory.call(SearchFacts(query=" ".join(f"word{number}" for number in range(5_000))))

    assert (limits.QUERY_TERMS_MAX, limits.QUERY_TERMS_MAX) == (len(answer.terms), len(answer.ignored))


@pytest.mark.parametrize("query", ["", LONE, f"a{LONE}"])
def test_an_empty_query_or_a_lone_surrogate_is_refused(memory: Memory, query: str) -> None:
    with pytest.raises(Invalid):
        hits(memory, query)


def test_top_k_and_context_are_bounded(memory: Memory) -> None:
    for bad in ({"top_k": 0}, {"top_k": limits.TOP_K_MAX + 1}, {"context": -1}, {"context": limits.CONTEXT_MAX + 1}):
        with pytest.raises(CortexError):
            memory.call(SearchFacts(query="x", **bad))


@given(st.text(max_size=40))
@example("\U0001e030")
@example("İstanbul")
@example("²½①")
@example("ﾊﾟ ﷺ \u1e9e")
def test_any_text_can_be_asked(tmp_path_factory: pytest.TempPathFactory, query: str) -> None:
    memory = shared(tmp_path_factory)

    try:
        memory.call(SearchFacts(query=query))
    except Invalid:
        assert not query or LONE <= max(query)


_shared: list[Memory] = []


def shared(factory: pytest.TempPathFactory) -> Memory:
    """One memory for all examples."""
    if not _shared:
        folder = factory.mktemp("asked")
        _shared.append(Memory(folder / "memory.db", folder / "home", Clock()))
        fill(_shared[0], [content for content, _, _ in SCRIPTS])
    return _shared[0]


@pytest.fixture(scope="module", autouse=True)
def close_shared() -> Any:
    """Close what the examples of a module shared."""
    yield
    while _shared:
        _shared.pop().close()


# Filters


def test_many_others_do_not_hide_the_few_in_the_project(memory: Memory) -> None:
    fill(memory, [f"invoice invoice invoice number {n}" for n in range(10_000)], project="noise")
    fill(memory, [f"a long remark in which the word invoice stands once, {n}" for n in range(5)])

    assert 5 == len(hits(memory, "invoice", top_k=5))
    assert {"work"} == {hit.fact.project for hit in hits(memory, "invoice", top_k=200)}


@pytest.mark.parametrize(
    "narrow",
    [
        {"types": ["decision"]},
        {"tags": ["wanted"]},
        {"as_of": "2020-06-01T00:00:00Z"},
        {"types": ["decision"], "tags": ["wanted"]},
    ],
    ids=str,
)
def test_filters_are_inside_the_query(memory: Memory, narrow: dict[str, Any]) -> None:
    fill(memory, [f"invoice invoice {n}" for n in range(1_000)])
    wanted = [f"much later in this long text comes an invoice, {n}" for n in range(3)]
    fill(memory, wanted, type="decision", tags=["wanted", "more"], valid_from="2020-01-01T00:00:00Z")

    assert wanted == sorted(found(memory, "invoice", top_k=3, **narrow))


def test_search_looks_in_the_project_and_in_what_is_true_of_the_user(memory: Memory) -> None:
    memory.store("tea in this project")
    memory.store("tea for the user", project="user")
    memory.store("tea elsewhere", project="elsewhere")

    assert ["tea for the user", "tea in this project"] == sorted(found(memory, "tea"))
    assert ["tea elsewhere", "tea for the user"] == sorted(found(memory, "tea", project="elsewhere"))
    assert ["tea for the user"] == found(memory, "tea", project="user") == found(memory, "tea", project="unheard of")
    assert 3 == len(found(memory, "tea", all_projects=True))


def test_search_follows_a_renamed_project(memory: Memory) -> None:
    memory.store("an invoice", project="billing")
    memory.call(RenameProject(old="billing", new="invoicing"))
    memory.store("another invoice", project="billing")

    assert ["an invoice"] == found(memory, "invoice", project="invoicing")
    assert ["another invoice"] == found(memory, "invoice", project="billing")


def test_search_finds_what_was_believed_then(memory: Memory) -> None:
    fact = memory.store("the colour is crimson")
    then = memory.clock()
    memory.clock.advance(days=1)
    memory.call(ReviseFact(id=fact.id, content="the colour is teal"))

    assert ["the colour is crimson"] == found(memory, "crimson teal", known_at=then)
    assert ["the colour is teal"] == found(memory, "crimson teal")
    assert [] == found(memory, "crimson")


def test_the_turns_round_a_hit_come_with_it(memory: Memory) -> None:
    for number in range(1, 8):
        memory.store(f"turn {number}" + (" with the needle" if number == 4 else ""), thread="talk", seq=number)
    memory.store("turn of another thread", thread="other", seq=4)

    first, *others = hits(memory, "needle", context=2)

    assert [2, 3, 5, 6] == [turn.seq for turn in first.context]
    assert [3, 5] == sorted(hit.fact.seq for hit in others)  # their windows have the word
    assert [] == hits(memory, "needle")[0].context


# Answers


def test_highlights_are_the_places_of_the_words(memory: Memory) -> None:
    memory.store("Ünïcode 🚀 first: the INVOICE and two invoices, später noch eine Invoice.")

    (hit,) = hits(memory, "invoice später")

    assert ["INVOICE", "invoices", "später", "Invoice"] == [hit.snippet[a:b] for a, b in hit.highlights]


@pytest.mark.parametrize("content", ["a \x02invoice\x03 b", "\x03\x02 invoice", "x\x00invoice y"])
def test_a_text_that_holds_the_marks_is_shown_as_it_is(memory: Memory, content: str) -> None:
    memory.store(content)

    (hit,) = hits(memory, "invoice")

    assert content.replace("\0", "") == hit.snippet
    assert {"invoice"} >= {hit.snippet[a:b] for a, b in hit.highlights}


@given(st.text(st.sampled_from("ab é🚀\x02\x03\x00\"'…\n東京"), max_size=60), st.integers(0, 3))
def test_highlights_are_always_inside_the_snippet(
    tmp_path_factory: pytest.TempPathFactory, filler: str, times: int
) -> None:
    memory = shared(tmp_path_factory)
    memory.clock.advance(seconds=1)
    memory.store(f"{filler} zebra {filler * times} Zebras", key="highlights")

    (hit,) = [hit for hit in hits(memory, "zebra") if hit.fact.key == "highlights"]

    assert len(hit.snippet) <= limits.SNIPPET_CHARS
    for start, end in hit.highlights:
        assert hit.snippet[start:end] in {"zebra", "Zebras"}


def test_explain_says_why_and_only_when_asked(memory: Memory) -> None:
    fill(memory, ["one needle", "needle needle needle"])

    explained = hits(memory, "needle", explain=True)

    assert [[("text", 1)], [("text", 2)]] == [[(e.list, e.rank) for e in hit.explain] for hit in explained]
    assert [hit.score for hit in explained] == [hit.explain[0].score for hit in explained]
    assert [[], []] == [hit.explain for hit in hits(memory, "needle")]


def test_equal_facts_come_in_the_order_of_storing_every_time(memory: Memory) -> None:
    contents = [f"same words here {number:03}" for number in range(300)]
    fill(memory, contents)

    assert contents[:7] == found(memory, "words", top_k=7)
    assert contents[:200] == found(memory, "words", top_k=200) == found(memory, "words", top_k=200)


def test_a_score_is_higher_for_a_better_hit(memory: Memory) -> None:
    fill(memory, ["needle", "needle in a much longer text that says many other things besides", "no match"])

    scores = [hit.score for hit in hits(memory, "needle")]

    assert sorted(scores, reverse=True) == scores
    assert all(score > 0 for score in scores)


# The index


def test_the_index_after_many_changes_is_the_index_made_anew(memory: Memory) -> None:
    dice = random.Random(7)
    words = ["alpha", "beta", "gamma", "delta", "東京", "京都", "запись", "café"]
    live: list[str] = []
    for _ in range(250):
        memory.clock.advance(seconds=1)
        text = " ".join(dice.choices(words, k=5))
        match dice.choice(["store", "store", "revise", "retract", "forget", "rename"]):
            case "revise" if live:
                memory.call(ReviseFact(id=dice.choice(live), content=text, tags=dice.sample(["t", "u", "v"], 1)))
            case "retract" if live:
                memory.call(RetractFact(id=live.pop()))
            case "forget" if live:
                memory.call(ForgetFact(id=live.pop(dice.randrange(len(live)))))
            case "rename":
                memory.call(RenameProject(old="a", new="b")) if rename_possible(memory) else None
            case _:
                live.append(memory.store(text, key=dice.choice([None, "slot"]), project=dice.choice(["work", "a"])).id)

    def answers() -> list[Any]:
        return [[(hit.fact.id, hit.score) for hit in hits(memory, word, all_projects=True)] for word in words]

    before = answers()
    index = next(check for check in memory.call(Diagnose()).checks if check.name == "text index")
    assert index.ok, index.found
    memory.call(Reindex())
    assert before == answers()


def rename_possible(memory: Memory) -> bool:
    names = {row[0] for row in memory.sql().execute("SELECT name FROM project")}
    return "a" in names and "b" not in names


def test_a_damaged_index_is_found_and_mended(memory: Memory) -> None:
    fill(memory, ["one needle", "two needles"])
    memory.sql().execute("INSERT INTO revision_fts (revision_fts) VALUES ('delete-all')")

    assert [] == found(memory, "needle")
    assert not memory.call(Diagnose()).ok
    assert 2 == memory.call(Reindex()).revisions
    assert 2 == len(found(memory, "needle"))
