"""`cortex quickstart`, with a model, without one, and where one cannot be had."""

from pathlib import Path

import pytest
from tests.cli import argv
from tests.local_model import MODELS, needs_model

NOTES = (
    "# Deploying\n\nWe deploy on Tuesdays, since the team is complete then.\n\n## Why\n\nMondays are for planning.\n"
)


@pytest.fixture
def notes(tmp_path: Path) -> str:
    (tmp_path / "notes.md").write_text(NOTES)
    return str(tmp_path / "notes.md")


@needs_model
def test_with_a_model_it_searches_by_meaning_too(notes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORTEX_EMBEDDER_KIND", "local")
    monkeypatch.setenv("CORTEX_EMBEDDER_FOLDER", str(MODELS))

    code, out, _ = argv.drive(["quickstart", notes])

    assert 0 == code
    assert b"search goes by words and by meaning" in out


def test_without_an_embedder_it_goes_on_and_says_so(notes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORTEX_EMBEDDER_KIND", "none")

    answer = argv.run(["--json", "quickstart", notes])

    assert 0 == answer.exit_code
    assert answer.body["embedder"] is None
    assert answer.body["verified"]


def test_where_the_model_cannot_be_had_it_goes_on_and_says_so(notes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORTEX_EMBEDDER_KIND", "local")
    monkeypatch.setenv("CORTEX_EMBEDDER_FOLDER", str(Path(notes) / "models"))

    code, out, _ = argv.drive(["quickstart", notes])

    assert 0 == code
    assert b"none, so search goes by words alone: the model cannot be written to" in out
