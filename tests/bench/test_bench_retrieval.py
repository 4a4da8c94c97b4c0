"""The suite `retrieval` as it runs, and the scores that are published."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cortex.bench import published, retrieval, suite
from cortex.bench.retrieval import MODES, Measured, RetrievalSets
from cortex.bench.suite import Options
from cortex.bench.table import lines
from cortex.errors import Conflict, Invalid
from local_model import MODELS, needs_model

COMMAND = "import sys; from cortex.bench.command import benchmark; sys.exit(benchmark.main(standalone_mode=False))"
MEASURES = {"recall@5", "recall@10", "any@5", "mrr", "ndcg@10"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A small dialogue in the format of LoCoMo."""
    said = [
        "The boat is called Heron.",
        "Where is it?",
        "In the harbour of Oslo.",
        "It needs paint.",
        "Green, like before.",
    ]
    turns = [{"speaker": "Ann", "dia_id": f"D1:{number}", "text": text} for number, text in enumerate(said, 1)]
    qa = [
        {"question": "What is the boat called?", "evidence": ["D1:1"], "category": 4},
        {"question": "In which town is the harbour?", "evidence": ["D1:3", "D1:2"], "category": 1},
        {"question": "Who sank it?", "evidence": ["D1:1"], "category": 5},
    ]
    path = tmp_path / "dialogue.json"
    path.write_text(json.dumps([{"conversation": {"session_1": turns}, "qa": qa}]))
    return path


def run(*arguments: str, cwd: Path, **environment: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "--json", "--suite", "retrieval", *arguments],
        env={"HOME": str(cwd), "PATH": "", "TMPDIR": str(cwd), **environment},
        cwd=cwd,
        capture_output=True,
        check=True,
    )
    assert b"" == done.stderr
    return json.loads(done.stdout)


def test_without_an_embedder_text_alone_is_measured_and_the_rest_says_why(data: Path, tmp_path: Path) -> None:
    found = run("--data", "dialogue.json", "--results", "results.jsonl", cwd=tmp_path, CORTEX_EMBEDDER_KIND="none")

    assert (None, None, None) == (found["semantic"], found["hybrid"], found["embedder"])
    assert "no embedder is wanted" in found["notes"][0]
    assert (5, 2, {"questions of category 5": 1}) == (found["facts"], found["questions"], found["left_out"])
    assert {*MEASURES, "latency_ms"} == set(found["text"])
    assert all({"mean", "low", "high"} == set(found["text"][name]) for name in MEASURES)
    assert {"p50", "p95"} == set(found["text"]["latency_ms"])
    assert 1.0 == found["text"]["any@5"]["mean"]


def test_each_question_and_mode_is_a_line_of_the_results(data: Path, tmp_path: Path) -> None:
    run("--data", str(data), "--results", "results.jsonl", cwd=tmp_path, CORTEX_EMBEDDER_KIND="none")

    rows = [json.loads(line) for line in (tmp_path / "results.jsonl").read_bytes().splitlines()]

    assert ["conversation-1/1", "conversation-1/2"] == [row["id"] for row in rows]
    assert "D1:1" == rows[0]["found"][0]
    assert {"D1:2": 1.0, "D1:3": 1.0} == rows[1]["relevant"]
    assert all(MEASURES == set(row["scores"]) for row in rows)


def test_a_results_file_that_exists_is_not_written_over(data: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    kept.write_text("mine")

    with pytest.raises(Conflict):
        suite.run(Options(suite="retrieval", data=str(data), results=str(kept)))

    assert "mine" == kept.read_text()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (Options(suite="memory", data="x"), "the suite memory takes no --data"),
        (Options(suite="retrieval", against=("chromadb",)), "the suite retrieval takes no --against"),
        (Options(suite="vectors", entries=(5,)), "the suite vectors takes no --entries"),
        (Options(suite="memory", against=("usearch",)), "'usearch' cannot be measured"),
    ],
)
def test_options_of_another_suite_are_refused(options: Options, expected: str) -> None:
    with pytest.raises(Invalid, match=expected):
        suite.run(options)


@needs_model
@pytest.mark.parametrize("content", ['{"query": "a vessel", "relevant": "The boat is green."}\n'])
def test_all_modes_stand_at_the_top_of_the_answer(tmp_path: Path, content: str) -> None:
    (tmp_path / "lines.jsonl").write_text(content)

    found = run("--data", "lines.jsonl", cwd=tmp_path, CORTEX_EMBEDDER_FOLDER=str(MODELS))

    assert [1.0, 1.0] == [found[mode]["mrr"]["mean"] for mode in ("semantic", "hybrid")]
    assert 0.0 == found["text"]["mrr"]["mean"]
    assert [] == found["notes"]


@pytest.fixture(scope="module")
def measured() -> RetrievalSets:
    """Our own sets, all of them: about half a minute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CORTEX_EMBEDDER_KIND", "local")
        patch.setenv("CORTEX_EMBEDDER_FOLDER", str(MODELS))
        found = suite.run(Options(suite="retrieval"))
    assert isinstance(found, RetrievalSets)
    return found


@needs_model
@pytest.mark.xdist_group("retrieval")
def test_no_published_score_has_fallen(measured: RetrievalSets) -> None:
    scores = published.read()

    assert "dialogues" in scores
    assert [] == [sentence for one in measured.sets for sentence in published.fallen(scores, one)]


@needs_model
@pytest.mark.xdist_group("retrieval")
@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("other", ["text", "semantic"])
@pytest.mark.parametrize("measure", ["recall_10", "any_5"])
def test_hybrid_search_is_better_than_either_of_its_halves(
    measured: RetrievalSets, number: int, other: str, measure: str
) -> None:
    one = measured.sets[number]

    assert getattr(one.hybrid, measure).mean > getattr(getattr(one, other), measure).mean, one.data


@needs_model
@pytest.mark.xdist_group("retrieval")
def test_people_see_the_scores_of_every_set(measured: RetrievalSets) -> None:
    shown = "\n".join(lines(measured))

    assert all(one.data in shown for one in measured.sets)
    assert 2 == shown.count("hybrid - semantic")
    assert all(f"\n{mode} " in shown for mode in MODES)


def test_a_score_that_fell_is_named() -> None:
    spread = {"mean": 0.5, "low": 0.4, "high": 0.6}
    scores = dict.fromkeys(MEASURES, spread) | {"latency_ms": {"p50": 1.0, "p95": 2.0}}
    nothing = dict.fromkeys(["embedder", "semantic", "hybrid", "hybrid_minus_text", "hybrid_minus_semantic"])
    counts = {"data": "set", "format": "F", "facts": 1, "questions": 1, "left_out": {}, "notes": []}
    one = msgspec.convert({**counts, **nothing, "text": scores}, Measured)

    fallen = list(published.fallen({"set": {"text": {"mrr": 0.52, "any@5": 0.505}, "hybrid": {"mrr": 0.1}}}, one))

    assert ["set: mrr of text was 0.52 and is 0.5", "set: mrr of hybrid was 0.1 and is 0.0"] == fallen
    assert [] == list(published.fallen({"another": {"text": {"mrr": 0.9}}}, one))


def test_a_quick_run_asks_some_questions_whose_answers_are_there() -> None:
    for whole in retrieval.own():
        some = retrieval.shortened(whole)

        known = {(document.part, document.id) for document in some.documents}
        assert 0 < len(some.questions) <= 40
        assert all((q.part, name) in known for q in some.questions for name in q.relevant)
