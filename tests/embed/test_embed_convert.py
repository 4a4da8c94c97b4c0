"""Converting the published weights: the same bytes everywhere, and nothing believed of a file."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortex.embed import convert, model
from cortex.errors import Corrupt

NAMES: dict[str, tuple[int, ...]] = {
    "embeddings.word_embeddings.weight": (30_522, 384),
    "embeddings.position_embeddings.weight": (512, 384),
    "embeddings.token_type_embeddings.weight": (2, 384),
    "embeddings.LayerNorm.weight": (384,),
    "embeddings.LayerNorm.bias": (384,),
}
for layer in range(6):
    at = f"encoder.layer.{layer}."
    for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
        NAMES |= {f"{at}{part}.weight": (384, 384), f"{at}{part}.bias": (384,)}
    NAMES |= {f"{at}intermediate.dense.weight": (1536, 384), f"{at}intermediate.dense.bias": (1536,)}
    NAMES |= {f"{at}output.dense.weight": (384, 1536), f"{at}output.dense.bias": (384,)}
    for part in ("attention.output.LayerNorm", "output.LayerNorm"):
        NAMES |= {f"{at}{part}.weight": (384,), f"{at}{part}.bias": (384,)}


def header(**changed: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    end = 0
    for name, shape in NAMES.items():
        size = 4 * math.prod(shape)
        found[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    return {"__metadata__": {"format": "pt"}, **found, **changed}


def safetensors(path: Path, told: bytes, data: bytes = b"") -> Path:
    path.write_bytes(len(told).to_bytes(8, "little") + told + data)
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the right shape with weights by chance."""
    count = sum(math.prod(shape) for shape in NAMES.values())
    numbers = np.random.default_rng(5).standard_normal(count, dtype=np.float32)
    numbers[:384] = 0  # a word without any weight
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    return safetensors(path, json.dumps(header()).encode(), numbers.tobytes())


def tensors(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {
        tensor.name: np.frombuffer(content[tensor.offset : tensor.offset + tensor.bytes], tensor.dtype).reshape(
            tensor.shape
        )
        for tensor in convert.layout()
    }


def original(path: Path, name: str) -> Any:
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    first, last = header()[name]["data_offsets"]
    return np.frombuffer(content[start + first : start + last], "<f4").reshape(NAMES[name])


def test_the_weights_file_has_the_pinned_size() -> None:
    last = convert.layout()[-1]

    assert model.WEIGHTS.bytes == last.offset + last.bytes


def test_converting_twice_gives_the_same_bytes_and_their_hash(source: Path, tmp_path: Path) -> None:
    told = [convert.convert(source, tmp_path / name) for name in ("one", "two")]

    assert [hashlib.sha256((tmp_path / "one").read_bytes()).hexdigest()] * 2 == told
    assert model.WEIGHTS.bytes == (tmp_path / "one").stat().st_size


def test_what_is_converted_is_near_what_it_was(source: Path, tmp_path: Path) -> None:
    convert.convert(source, tmp_path / "weights")

    found = tensors(tmp_path / "weights")
    words = found["words.codes"] * found["words.scales"]
    assert (
        np.abs(words - original(source, "embeddings.word_embeddings.weight")).max() <= found["words.scales"].max() / 2
    )
    assert np.abs(words[0]).max() == 0
    down = (found["5.down.codes"] * found["5.down.scales"]).T
    assert (
        np.abs(down - original(source, "encoder.layer.5.output.dense.weight")).max()
        <= found["5.down.scales"].max() / 2 + 1e-6
    )
    query = (found["0.qkv.codes"] * found["0.qkv.scales"]).T[:384]
    assert (
        np.abs(query - original(source, "encoder.layer.0.attention.self.query.weight")).max()
        <= found["0.qkv.scales"].max() / 2 + 1e-6
    )
    assert (found["3.up.bias"] == original(source, "encoder.layer.3.intermediate.dense.bias")).all()


def test_codes_of_matrices_leave_room_for_sums_of_two_products_in_16_bits(source: Path, tmp_path: Path) -> None:
    convert.convert(source, tmp_path / "weights")

    codes = [found for name, found in tensors(tmp_path / "weights").items() if name[0].isdigit() and "codes" in name]
    assert 64 == max(int(np.abs(found.astype(np.int16)).max()) for found in codes)


WORD = "embeddings.word_embeddings.weight"
HOSTILE = {
    "empty": b"",
    "a header of 2 EiB": (1 << 61).to_bytes(8, "little"),
    "a header cut short": (1000).to_bytes(8, "little") + b"{}",
    "no JSON": (4).to_bytes(8, "little") + b"nope",
    "deep JSON": (100_000).to_bytes(8, "little") + b"[" * 100_000,
    "no tensors": (2).to_bytes(8, "little") + b"{}",
    "a list": (2).to_bytes(8, "little") + b"[]",
}
ENTRIES = {
    "a negative offset": {"dtype": "F32", "shape": [30_522, 384], "data_offsets": [-46_881_792, 0]},
    "past the end": {"dtype": "F32", "shape": [30_522, 384], "data_offsets": [1 << 40, (1 << 40) + 46_881_792]},
    "another shape": {"dtype": "F32", "shape": [384, 30_522], "data_offsets": [0, 46_881_792]},
    "another size": {"dtype": "F32", "shape": [30_522, 384], "data_offsets": [0, 46_881_796]},
    "another type": {"dtype": "F16", "shape": [30_522, 384], "data_offsets": [0, 46_881_792]},
    "huge numbers": {"dtype": "F32", "shape": [30_522, 384], "data_offsets": [0, 10**400]},
    "text for an offset": {"dtype": "F32", "shape": [30_522, 384], "data_offsets": ["0", "1"]},
    "nothing": None,
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_safetensors_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)

    with pytest.raises(Corrupt, match="not those of all-MiniLM-L6-v2"):
        convert.convert(tmp_path / "model.safetensors", tmp_path / "target")


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES.keys())
def test_a_tensor_that_is_not_as_it_should_be_is_refused(tmp_path: Path, entry: Any) -> None:
    file = safetensors(tmp_path / "model.safetensors", json.dumps(header(**{WORD: entry})).encode(), bytes(1 << 20))

    with pytest.raises(Corrupt, match=WORD):
        convert.convert(file, tmp_path / "target")
