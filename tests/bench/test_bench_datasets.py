"""Sets to measure on: what is read of each format, and what is refused with its place."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex import limits
from cortex.bench import datasets, docstrings, retrieval
from cortex.bench.questions import Collection
from cortex.errors import Invalid, NotFound


def turn(dia_id: str | None, text: str | None, speaker: str = "Ann", **more: Any) -> dict[str, Any]:
    return {"speaker": speaker, **({"dia_id": dia_id} if dia_id else {}), **({"text": text} if text else {}), **more}


def asked(question: str, *evidence: str, category: int = 4) -> dict[str, Any]:
    return {"question": question, "answer": "so", "evidence": list(evidence), "category": category}


def sample(qa: list[dict[str, Any]], **sessions: list[dict[str, Any]]) -> dict[str, Any]:
    return {"sample_id": "s", "conversation": {"speaker_a": "Ann", "speaker_b": "Bo", **sessions}, "qa": qa}


SESSIONS = {
    "session_2": [turn("D2:1", "Later."), turn("D2:2", "The blue one.", "Bo")],
    "session_1": [turn("D1:1", "Hi."), turn("D1:2", "Which boat?"), turn("D1:26", "Look", blip_caption="a red boat")],
}


def read(tmp_path: Path, content: Any, name: str = "data.json") -> Collection:
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return datasets.read(path)


def lines(*objects: dict[str, Any]) -> str:
    return "".join(json.dumps(one) + "\n" for one in objects)


def test_a_conversation_is_a_part_and_a_session_a_thread(tmp_path: Path) -> None:
    whole = [
        sample([asked("Which?", "D2:2")], **SESSIONS),
        sample([asked("What?", "D1:1")], session_1=[turn(None, "Yes.")]),
    ]

    found = read(tmp_path, whole)

    assert [
        ("conversation-1", "session_1", 0, "D1:1", "Ann: Hi."),
        ("conversation-1", "session_1", 1, "D1:2", "Ann: Which boat?"),
        ("conversation-1", "session_1", 2, "D1:26", "Ann: Look [picture: a red boat]"),
        ("conversation-1", "session_2", 0, "D2:1", "Ann: Later."),
        ("conversation-1", "session_2", 1, "D2:2", "Bo: The blue one."),
        ("conversation-2", "session_1", 0, "D1:1", "Ann: Yes."),
    ] == [(d.part, d.thread, d.seq, d.id, d.text) for d in found.documents]
    assert [("conversation-1", {"D2:2": 1.0}), ("conversation-2", {"D1:1": 1.0})] == [
        (question.part, question.relevant) for question in found.questions
    ]


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (["D1:2"], {"D1:2"}),
        (["D1:2", "D1:2"], {"D1:2"}),
        (["D1:2; D2:1"], {"D1:2", "D2:1"}),
        (["D1:2 D2:1,D1:1"], {"D1:2", "D2:1", "D1:1"}),
        (["D:1:26"], {"D1:26"}),
        (["D01:02"], {"D1:2"}),
        (["d1:2"], {"D1:2"}),
        ("D1:1", {"D1:1"}),
        (["D1:2", "D9:9", "D", "", None, 7], {"D1:2"}),
    ],
)
def test_evidence_is_read_as_far_as_it_names_turns(tmp_path: Path, evidence: Any, expected: set[str]) -> None:
    found = read(tmp_path, [sample([asked("Which?") | {"evidence": evidence}], **SESSIONS)])

    assert expected == set(found.questions[0].relevant)


def test_questions_without_evidence_and_of_category_5_are_left_out_and_counted(tmp_path: Path) -> None:
    without = {"question": "No evidence?", "category": 1}
    qa = [asked("A?", "D1:1"), asked("B?"), asked("C?", "D7:7"), asked("D?", "D1:1", category=5), without]

    found = read(tmp_path, [sample(qa, **SESSIONS)])

    assert ["A?"] == [question.text for question in found.questions]
    assert {"questions without evidence": 3, "questions of category 5": 1} == found.left_out


def test_a_conversation_by_itself_is_read_like_a_list_of_one(tmp_path: Path) -> None:
    one = sample([asked("Which?", "D1:2")], **SESSIONS)

    assert read(tmp_path, [one]).questions == read(tmp_path, json.dumps(one, indent=2)).questions


def test_a_turn_without_text_or_picture_is_left_out(tmp_path: Path) -> None:
    found = read(tmp_path, [sample([asked("A?", "D1:1", "D1:2")], session_1=[turn("D1:1", " "), turn("D1:2", "Yes.")])])

    assert ["D1:2"] == [document.id for document in found.documents]
    assert {"D1:2": 1.0} == found.questions[0].relevant


def test_evidence_names_the_first_of_two_turns_with_one_name(tmp_path: Path) -> None:
    found = read(tmp_path, [sample([asked("A?", "D1:1")], session_1=[turn("D1:1", "One."), turn("D1:1", "Two.")])])

    assert ["Ann: One."] == [d.text for d in found.documents if d.id in found.questions[0].relevant]
    assert 2 == len(found.documents)


def beir(folder: Path, qrels: dict[str, str] | None = None, **files: str) -> Path:
    corpus = lines({"_id": "d1", "title": "Title", "text": "First."}, {"_id": "d2", "text": "Second."})
    queries = lines({"_id": "q1", "text": "one?"}, {"_id": "q2", "text": "two?"}, {"_id": "q3", "text": "three?"})
    (folder / "qrels").mkdir(parents=True)
    for name, text in {"corpus.jsonl": corpus, "queries.jsonl": queries, **files}.items():
        (folder / name).write_text(text)
    usual = {"test.tsv": "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t1\nq2\td1\t0\nq3\tgone\t1\n"}
    for name, text in (usual if qrels is None else qrels).items():
        (folder / "qrels" / name).write_text(text)
    return folder


def test_a_folder_of_beir_is_read_with_its_grades(tmp_path: Path) -> None:
    found = datasets.read(beir(tmp_path / "set"))

    assert [("d1", "Title\nFirst."), ("d2", "Second.")] == [(d.id, d.text) for d in found.documents]
    assert [("q1", {"d1": 2.0, "d2": 1.0})] == [(q.id, q.relevant) for q in found.questions]
    assert {"questions without evidence": 1} == found.left_out


def test_the_test_split_is_taken_where_it_is_there(tmp_path: Path) -> None:
    splits = {"dev.tsv": "query-id\tcorpus-id\tscore\nq1\td1\t1\n", "test.tsv": "q2\td2\t1\n"}

    both = datasets.read(beir(tmp_path / "both", splits))
    one = datasets.read(beir(tmp_path / "one", {"dev.tsv": splits["dev.tsv"]}))

    assert (["q2"], ["q1"]) == ([q.id for q in both.questions], [q.id for q in one.questions])


def test_a_question_that_is_in_the_corpus_itself_is_not_counted_as_a_hit(tmp_path: Path) -> None:
    corpus = lines(
        {"_id": "q1", "text": "one?"}, {"_id": "q2", "text": "Another text."}, {"_id": "d1", "text": "First."}
    )
    qrels = {"test.tsv": "q1\td1\t1\nq2\td1\t1\n"}

    found = datasets.read(beir(tmp_path / "set", qrels, **{"corpus.jsonl": corpus}))

    assert ["q1", None] == [question.without for question in found.questions]


def test_lines_of_questions_are_searched_among_all_their_answers(tmp_path: Path) -> None:
    content = lines({"query": "one?", "relevant": "First."}, {"query": "two?", "relevant": ["Second.", "First."]})

    found = read(tmp_path, content, "data.jsonl")

    assert ["First.", "Second."] == [document.text for document in found.documents]
    assert [1, 2] == [len(question.relevant) for question in found.questions]


def test_lines_may_name_texts_of_the_file_by_id_or_word_for_word(tmp_path: Path) -> None:
    content = lines(
        {"query": "one?", "relevant": "a"},
        {"id": "a", "text": "First."},
        {"id": 7, "content": "Seventh.", "tags": []},
        {"text": "Nobody asks for this."},
        {"query": "two?", "relevant": ["First.", 7], "lang": "en"},
    )

    found = read(tmp_path, content, "data.jsonl")

    assert ["a", "7", "line 4"] == [document.id for document in found.documents]
    assert [{"a": 1.0}, {"a": 1.0, "7": 1.0}] == [question.relevant for question in found.questions]


def test_documents_of_the_same_text_are_one(tmp_path: Path) -> None:
    content = lines(
        {"id": "a", "text": "Same."}, {"id": "b", "text": "Same."}, {"id": "c", "text": "Other."},
        {"query": "which?", "relevant": ["b", "a"]},
    )  # fmt: skip

    found = read(tmp_path, content, "data.jsonl")

    assert ["a", "c"] == [document.id for document in found.documents]
    assert {"a": 1.0} == found.questions[0].relevant
    assert {"documents repeated": 1} == found.left_out


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "line 1: JSON is expected"),
        ("once upon a time", "line 1: JSON is expected"),
        ('[{"conversation": {}},\n{"conversation": \n', "line 3: no JSON"),
        ("[]", "line 1: a list of conversations"),
        ('{"query": "a", "relevant": "b"}\n{"query": \n', "line 2: no JSON"),
        ('{"query": "a", "relevant": "b"}\n7\n', "line 2: an object is expected"),
        ('{"query": "a", "relevant": "b"}\n\n{"question": "c"}\n', "line 3: expected"),
        ('{"query": " ", "relevant": "b"}\n', "line 1: `query` is no text"),
        ('{"query": "a"}\n', "line 1: `relevant` is neither"),
        ('{"query": "a", "relevant": [["b"]]}\n', "line 1: `relevant` is neither"),
        ('{"id": "x", "text": "b"}\n{"query": "a", "relevant": "y"}\n', "line 2: `relevant` names 'y'"),
        ('{"id": "x", "text": "b"}\n{"id": "x", "text": "c"}\n', "line 2: the id 'x' is there already"),
        ('{"id": "x", "text": 8}\n', "line 1: `text` and `id` are texts"),
        ('{"query": "a", "relevant": []}\n', "no question whose answer is in it"),
        ('{"query": "\\ud800", "relevant": "b"}\n', "line 1: no JSON"),
        ('{"id": "x", "text": "b"}\n', "no question whose answer is in it"),
        (json.dumps([sample([], session_1={"a": 1})]), "sample 1, session_1: a list of turns"),  # type: ignore[arg-type]
        (json.dumps([sample([], session_1=["hi"])]), "sample 1, session_1, turn 1: an object"),  # type: ignore[list-item]
        (json.dumps([sample(["why?"], **SESSIONS)]), "sample 1, question 1"),  # type: ignore[list-item]
        (json.dumps([sample([], **SESSIONS), 5]), "sample 2: an object with"),
        (json.dumps([sample([], **SESSIONS)]), "no question whose answer is in it"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place_and_the_reason(tmp_path: Path, content: str, expected: str) -> None:
    with pytest.raises(Invalid) as refused:
        read(tmp_path, content)

    assert expected in refused.value.message


@pytest.mark.parametrize(
    ("files", "qrels", "expected"),
    [
        ({"corpus.jsonl": '{"title": "a"}\n'}, None, "corpus.jsonl line 1: `_id` is missing"),
        ({"queries.jsonl": '{"_id": "q1", "text": "a"\n'}, None, "queries.jsonl line 1: no JSON"),
        ({}, {}, "there is no .tsv file"),
        ({}, {"test.tsv": "q1 d1 1\n"}, "test.tsv line 1: expected query-id"),
        ({}, {"test.tsv": "q1\td1\tmuch\n"}, "test.tsv line 1: expected query-id"),
        ({}, {"test.tsv": "q1\td1\tnan\n"}, "test.tsv line 1: expected query-id"),
        ({}, {"test.tsv": "q1\tgone\t1\n"}, "no question whose answer is in it"),
    ],
)
def test_a_wrong_folder_is_refused_with_the_place_and_the_reason(
    tmp_path: Path, files: dict[str, str], qrels: dict[str, str] | None, expected: str
) -> None:
    with pytest.raises(Invalid) as refused:
        datasets.read(beir(tmp_path / "set", qrels, **files))

    assert expected in refused.value.message


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        datasets.read(tmp_path / "none.json")
    with pytest.raises(Invalid, match=r"a folder without corpus\.jsonl"):
        datasets.read(tmp_path)


def test_a_file_beyond_the_bound_is_not_read(tmp_path: Path) -> None:
    large = tmp_path / "large.jsonl"
    with large.open("wb") as file:
        file.truncate(limits.BENCH_DATA_BYTES_MAX + 1)

    with pytest.raises(Invalid, match="more than"):
        datasets.read(large)


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["conversation", "qa", "session_1", "text", "dia_id", "speaker", "question", "evidence", "category", "query", "relevant", "id"]
    ), inner, max_size=5),
    max_leaves=12,
)  # fmt: skip


@given(value=ODD)
def test_any_json_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    try:
        found = read(tmp_path_factory.mktemp("odd"), value)
    except Invalid:
        return
    known = {(document.part, document.id) for document in found.documents}
    assert all((question.part, name) in known for question in found.questions for name in question.relevant)


def test_our_own_dialogues_name_turns_that_are_there() -> None:
    found = next(iter(retrieval.own()))

    assert {"questions of category 5": 3} == found.left_out
    assert (13, 290) == (len({document.part for document in found.documents}), len(found.questions))


def test_the_question_of_a_function_is_not_in_it() -> None:
    found = docstrings.read()

    texts = {document.id: document.text for document in found.documents}

    assert len(found.questions) > 300
    assert [] == [q.id for q in found.questions if squeezed([q.text]) in squeezed(texts[q.id].splitlines())]


def squeezed(parts: Sequence[str]) -> str:
    return " ".join(" ".join(parts).split())
