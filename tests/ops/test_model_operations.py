"""`cortex model`: getting the local model and saying what is there, without any memory file."""

from pathlib import Path

import pytest
from tests.cli import argv
from tests.local_model import FOLDER, MODELS, needs_model

from cortex.embed import model


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for models, and nothing else of this machine."""
    monkeypatch.setenv("CORTEX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CORTEX_EMBEDDER_FOLDER", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "models"


@needs_model
def test_a_pulled_model_is_there_and_answers(models: Path) -> None:
    pulled = argv.run(["--json", "model", "pull", "--from", str(FOLDER)]).body

    status = argv.run(["--json", "model", "status"]).body
    assert (model.VERSION, str(FOLDER)) == (pulled["name"], pulled["origin"])
    assert ("whole", True, None) == (status["state"], status["ready"], status["reason"])
    assert str(models / model.VERSION) == status["folder"] == pulled["folder"]
    assert not (models.parent / "home").exists()


@needs_model
def test_pulling_again_takes_what_is_there(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORTEX_EMBEDDER_FOLDER", str(MODELS))

    assert "there already" == argv.run(["--json", "model", "pull"]).body["origin"]


def test_without_a_model_status_says_so_and_what_to_do(models: Path) -> None:
    status = argv.run(["--json", "model", "status"]).body

    assert ("missing", 0, False) == (status["state"], status["bytes"], status["ready"])
    assert "get it with `cortex model pull`" in status["reason"]


def test_a_file_that_is_no_model_is_refused(models: Path) -> None:
    (models.parent / "x.whl").write_bytes(b"PK nothing")

    assert "corrupt" == argv.run(["--json", "model", "pull", "--from", str(models.parent / "x.whl")]).error_kind


def test_status_speaks_of_the_embedder_that_the_settings_choose(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORTEX_EMBEDDER_KIND", "http")
    monkeypatch.setenv("CORTEX_EMBEDDER_URL", "http://127.0.0.1:9/v1/embeddings")
    monkeypatch.setenv("CORTEX_EMBEDDER_MODEL", "small")
    monkeypatch.setenv("CORTEX_EMBEDDER_KEY", "sk-secret")
    monkeypatch.setenv("no_proxy", "*")

    answer = argv.run(["--json", "model", "status"])

    assert ("http", "small", False) == tuple(answer.body[name] for name in ("kind", "embedder", "ready"))
    assert "cannot be reached" in answer.body["reason"]
    assert "sk-secret" not in str(answer)


def test_config_show_says_only_that_there_is_a_key(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORTEX_EMBEDDER_KEY", "sk-secret")

    code, out, err = argv.drive(["config", "show"])

    assert 0 == code
    assert b"(set, not shown)" in out
    assert b"sk-secret" not in out + err
