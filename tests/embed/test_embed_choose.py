"""Which embedder the settings choose."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.local_model import MODELS, needs_model

from cortex import settings
from cortex.embed import choose, model
from cortex.errors import NotFound, Unavailable
from cortex.settings import Settings

URL = "http://127.0.0.1:9/v1/embeddings"


def chosen(tmp_path: Path, **flags: Any) -> Settings:
    named = {f"embedder_{name}": value for name, value in flags.items()}
    return settings.load(flags={"embedder_folder": tmp_path, **named}, environ={"CORTEX_HOME": str(tmp_path)})


def test_the_local_model_is_chosen_and_missed_where_it_is_not_there(tmp_path: Path) -> None:
    given = chosen(tmp_path)

    assert model.VERSION == choose.name(given)
    assert "cortex model pull" in (choose.ready(given) or "")
    with pytest.raises(NotFound, match="there is no"):
        choose.open_embedder(given)


@needs_model
def test_the_local_model_is_opened_where_it_is(tmp_path: Path) -> None:
    given = chosen(tmp_path, folder=MODELS)

    assert choose.ready(given) is None
    assert choose.tried(given) is None
    assert model.VERSION == choose.open_embedder(given).name


def test_a_model_that_was_cut_short_is_not_ready(tmp_path: Path) -> None:
    (tmp_path / model.VERSION).mkdir()
    for file in model.FILES:
        (tmp_path / model.VERSION / file.name).write_bytes(b"")

    assert "not whole" in (choose.ready(chosen(tmp_path)) or "")


@pytest.mark.parametrize(
    ("flags", "missing"), [({}, "embedder.url"), ({"url": URL}, "embedder.model"), ({"model": "m"}, "embedder.url")]
)
def test_an_http_embedder_wants_a_url_and_a_model(tmp_path: Path, flags: dict[str, Any], missing: str) -> None:
    given = chosen(tmp_path, kind="http", **flags)

    assert f"embedder.kind is http, and {missing} is not set" == choose.ready(given)
    with pytest.raises(Unavailable):
        choose.open_embedder(given)


def test_an_http_embedder_is_opened_without_asking_it(tmp_path: Path) -> None:
    given = chosen(tmp_path, kind="http", url=URL, model="m", key="secret", timeout_ms=2_000)

    assert choose.ready(given) is None
    assert "m" == choose.name(given) == choose.open_embedder(given).name
    assert "cannot be reached" in (choose.tried(given) or "")


def test_none_is_none(tmp_path: Path) -> None:
    given = chosen(tmp_path, kind="none")

    assert choose.name(given) is None
    assert "no embedder is wanted" in (choose.ready(given) or "")
    with pytest.raises(Unavailable):
        choose.open_embedder(given)


def test_choosing_imports_nothing_heavy() -> None:
    code = (
        "import sys; from cortex import settings; from cortex.embed import choose, fetch, model\n"
        "choose.ready(settings.load())\n"
        "print(sorted({'numpy', 'onnxruntime', 'tokenizers', 'huggingface_hub'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[]\n" == done.stdout
