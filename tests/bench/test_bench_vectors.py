"""The suite `vectors` as it runs: the same vectors for all, and answers compared with the right ones."""

from pathlib import Path

import numpy as np
import pytest

from cortex.bench import peers, suite, vectors
from cortex.bench.figures import Benchmark
from cortex.bench.peers import VECTOR_PEERS
from cortex.bench.probing import measure
from cortex.bench.table import lines
from cortex.bench.task import Task
from local_model import MODELS, needs_model

ALONE = [
    "vectors of 60 facts: insert, wall per vector",
    "vectors of 60 facts: load from segments",
    "vectors of 60 facts: p50",
    "vectors of 60 facts: p95",
    "vectors of 60 facts: recall@10",
    "vectors of 60 facts: memory of the process",
]
MEANT = [
    "search 60 facts, one project, hybrid: p50",
    "search 60 facts, one project, hybrid: p95",
    "search 60 facts, one project, hybrid: CPU, mean",
    "search 60 facts, all projects, hybrid: p50",
    "search 60 facts, all projects, hybrid: p95",
    "search 60 facts, all projects, hybrid: CPU, mean",
    "the same question again",
    "memory of the process that searched 60 facts",
    "100 facts stored and to be found by meaning",
    "first answer from 60 facts: from the start of the process",
    "first answer from 60 facts: loading the model",
    "first answer from 60 facts: less loading the model",
    "MCP server on 60 facts, with the embedder: memory",
    "MCP server on 60 facts, without the embedder: memory",
]


def run(temporary: Path, folder: Path) -> Benchmark:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CORTEX_EMBEDDER_KIND", "local")
        patch.setenv("CORTEX_EMBEDDER_FOLDER", str(folder))
        patch.setattr("tempfile.tempdir", str(temporary))
        found = suite.run(suite.Options(suite="vectors", facts=(60,), quick=True, against=VECTOR_PEERS))
    assert isinstance(found, Benchmark)
    return found


def test_without_a_model_vectors_alone_are_measured_and_the_rest_says_why(tmp_path: Path) -> None:
    found = run(tmp_path, tmp_path / "no models")

    names = [figure.name for figure in found.figures if figure.verdict != "not measured"]
    reasons = {figure.note for figure in found.figures if figure.verdict == "not measured"}
    assert ALONE == [name for name in names if name.startswith("vectors")]
    assert reasons
    assert all(reason.startswith("the model all-MiniLM-L6-v2 is not there") for reason in reasons)
    assert [] == list(tmp_path.iterdir())


@needs_model
def test_a_quick_run_measures_everything(tmp_path: Path) -> None:
    found = run(tmp_path, MODELS)

    names = [figure.name for figure in found.figures]
    assert [*ALONE, *MEANT] == [name for name in names if name in {*ALONE, *MEANT}]
    assert [] == [figure.note for figure in found.figures if figure.verdict == "not measured"]
    assert any(name.startswith("graph of 60 facts") for name in names)
    assert all(name in "\n".join(lines(found)) for name in names)


@pytest.mark.parametrize("peer", VECTOR_PEERS)
def test_a_peer_finds_the_same_vectors(tmp_path: Path, peer: str) -> None:
    if peers.version(peer) is None:
        pytest.skip(f"{peer} is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CORTEX_EMBEDDER_FOLDER", str(tmp_path / "no models"))
        vectors.make(Task(probe="make vectors", folder=str(tmp_path), quick=True, size=300))
    (tmp_path / peer).mkdir()

    found = measure(Task(probe="peer vectors", folder=str(tmp_path / peer), quick=True, size=300, peer=peer))

    values = {figure.name: figure.value for figure in found.figures}
    assert "" == found.failed
    assert (values["vectors of 300 facts: recall@10"] or 0) > 0.9


def test_vectors_are_the_same_in_every_run(tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CORTEX_EMBEDDER_FOLDER", str(tmp_path / "no models"))
            vectors.make(Task(probe="make vectors", folder=str(folder), quick=True, size=300))
        made.append(np.array(vectors.rows(folder, 300)))

    assert (made[0] == made[1]).all()
    assert np.allclose(np.linalg.norm(made[0], axis=1), 1, atol=1e-5)


def test_the_right_answers_are_the_nearest(tmp_path: Path) -> None:
    source = np.random.Generator(np.random.PCG64(1))
    held = source.standard_normal((25_000, 384)).astype(np.float32)
    held /= np.linalg.norm(held, axis=1, keepdims=True)
    np.save(tmp_path / "vectors.npy", held)
    np.save(tmp_path / "queries.npy", held[[0, 24_999]])

    found = vectors.truth(tmp_path, 25_000)

    exact = np.argsort(-(held[[0, 24_999]] @ held.T), axis=1)[:, :10]
    assert [set(row) for row in exact.tolist()] == found
