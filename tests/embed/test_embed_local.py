"""The local model: near meanings are near, and a file that was touched is not loaded."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from tests.local_model import FOLDER, needs_model

from cortex.embed import model
from cortex.embed.convert import layout
from cortex.embed.embedder import Embedder, embedded
from cortex.embed.local import LocalEmbedder
from cortex.errors import Corrupt, NotFound

TEXTS = [
    "Invoices are sent out on the third day of each month",
    "When do we bill our customers?",
    "The cat sleeps on the warm windowsill",
    "Deploy the service with a rolling restart",
]
# What the fp32 model gives for these: the cosines of each pair in turn.
COSINES = [0.5226, -0.0321, 0.1204, 0.0130, 0.1388, 0.0194]


@pytest.fixture(scope="module")
def local() -> Embedder:
    return LocalEmbedder(FOLDER)


@needs_model
def test_cosines_are_those_of_the_model_in_full_precision(local: Embedder) -> None:
    found = embedded(local, TEXTS)

    cosines = (found @ found.T)[np.triu_indices(len(TEXTS), 1)]
    assert cosines == pytest.approx(COSINES, abs=0.03)


@needs_model
def test_a_text_has_the_same_vector_alone_and_beside_others(local: Embedder) -> None:
    together = local.embed([*TEXTS, "word " * 500])

    assert (together[1] == local.embed(TEXTS[1:2])[0]).all()


@needs_model
@pytest.mark.parametrize(
    "text", ["", " ", "\0", "\ud800", "[SEP] [CLS] [MASK]", "é" * 100_000, "a " * 100_000, "🜁 明日"]
)
def test_odd_texts_have_a_vector_too(local: Embedder, text: str) -> None:
    found = embedded(local, [text])

    assert (1, model.DIMENSION) == found.shape


@needs_model
def test_no_texts_have_no_vectors(local: Embedder) -> None:
    assert (0, model.DIMENSION) == local.embed([]).shape


@needs_model
def test_threads_get_the_same_vectors_as_one_alone(local: Embedder) -> None:
    expected = local.embed(TEXTS)
    found: list[bool] = []

    threads = [
        threading.Thread(target=lambda: found.extend((local.embed(TEXTS) == expected).all() for _ in range(10)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [True] * 40 == found


@needs_model
@pytest.mark.parametrize("name", [file.name for file in model.FILES])
@pytest.mark.parametrize("harm", ["cut", "changed", "gone"])
def test_a_model_that_is_not_whole_is_refused_with_what_to_do(tmp_path: Path, name: str, harm: str) -> None:
    shutil.copytree(FOLDER, tmp_path / "model")
    file = tmp_path / "model" / name
    if harm == "gone":
        file.unlink()
    else:
        with file.open("rb+") as opened:
            if harm == "cut":
                opened.truncate(file.stat().st_size - 1)
            else:
                opened.seek(1_000)
                opened.write(b"\x55\xaa")

    with pytest.raises((Corrupt, NotFound)) as caught:
        LocalEmbedder(tmp_path / "model")

    assert (NotFound if harm == "gone" else Corrupt) is type(caught.value)
    assert "get it with `cortex model pull`" == caught.value.hint


def test_the_graph_that_comes_with_cortex_is_the_pinned_one() -> None:
    model.check_file(model.graph_file(), model.GRAPH)


def test_the_graph_names_every_tensor_of_the_weights_file() -> None:
    graph = model.graph_file().read_bytes()

    assert [] == [tensor.name for tensor in layout() if tensor.name.encode() not in graph]
    assert model.WEIGHTS.name.encode() in graph


@needs_model
def test_loading_the_model_leaves_no_file_and_opens_no_connection(tmp_path: Path) -> None:
    script = (
        "import socket, sys\n"
        "def refused(*given): raise SystemExit(7)\n"
        "socket.socket.connect = refused\n"
        "from pathlib import Path\n"
        "from cortex.embed.local import LocalEmbedder\n"
        "LocalEmbedder(Path(sys.argv[1])).embed(['one'])\n"
    )
    kept = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    home = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}

    done = subprocess.run([sys.executable, "-c", script, str(FOLDER)], env=kept | home, timeout=60, check=False)

    assert 0 == done.returncode
    assert [] == [path for path in tmp_path.rglob("*") if path.is_file()]
