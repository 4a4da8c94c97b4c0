"""Turning the published fp32 weights into the small int8 file that the graph `minilm.onnx` reads. NumPy alone does it.

Matrices get one scale for each output and codes from -64 to 64, one bit less than a byte holds. Processors without
VNNI multiply unsigned by signed bytes in pairs and add each pair in 16 bits. That overflows quietly for 8-bit codes
(2 * 255 * 127 > 32767) and never for these (2 * 255 * 64 < 32767), so that products are the same on any processor. The
price is that each weight is rounded to steps twice as large.

Every step is one that IEEE 754 rounds in one way only (maximum, division, rounding, one addition, no sums), so the
result is the same file on every machine, and its hash is pinned too.
"""

import hashlib
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cortex import limits
from cortex.embed import model
from cortex.errors import Corrupt

Array: TypeAlias = NDArray[Any]

WIDTH = 384
INNER = 1536
LAYERS = 6
HEADS = 12
WORDS = 30_522

# Where the matrices and norms of a layer come from, by their names in the graph.
_MATRICES = {
    "qkv": ("attention.self.query", "attention.self.key", "attention.self.value"),
    "mix": ("attention.output.dense",),
    "up": ("intermediate.dense",),
    "down": ("output.dense",),
}
_SHAPES = {"qkv": (WIDTH, 3 * WIDTH), "mix": (WIDTH, WIDTH), "up": (WIDTH, INNER), "down": (INNER, WIDTH)}
_NORMS = {"mixed": "attention.output.LayerNorm", "out": "output.LayerNorm"}

_MATRIX_CODE = 64
_WORD_CODE = 127
_ROWS_AT_ONCE = 2_048
_ALIGNMENT = 64


class Tensor(Struct, frozen=True):
    """A tensor of the weights file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


class _Entry(Struct):
    """What a safetensors header says of a tensor."""

    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def layout() -> tuple[Tensor, ...]:
    """The tensors of the weights file, in their order: the graph is made from this."""
    found: list[Tensor] = []
    end = 0
    for name, dtype, shape in _described():
        tensor = Tensor(name, dtype, shape, -(-end // _ALIGNMENT) * _ALIGNMENT)
        end = tensor.offset + tensor.bytes
        found.append(tensor)
    return tuple(found)


def convert(source: Path, target: Path) -> str:
    """Write the weights file `target` from the safetensors file `source`, and return its SHA-256.

    Raises Corrupt where `source` is not what it should be; OSError where `target` cannot be written.
    """
    digest = hashlib.sha256()
    with target.open("wb") as file:
        parts = _parts(_Source(source))
        for tensor in layout():
            gap = bytes(tensor.offset - file.tell())
            file.write(gap)
            digest.update(gap)
            _fill(file, tensor, parts, digest)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _fill(file: BinaryIO, tensor: Tensor, parts: Iterator[Array], digest: "hashlib._Hash") -> None:
    """Write one tensor, which comes in one part or in several."""
    end = tensor.offset + tensor.bytes
    while file.tell() < end:
        part = np.ascontiguousarray(next(parts))
        assert part.dtype == tensor.dtype, f"{tensor.name} is {part.dtype}"
        file.write(part.data)
        digest.update(part.data)
    assert file.tell() == end, f"{tensor.name} is longer than the graph says"


def _described() -> Iterator[tuple[str, str, tuple[int, ...]]]:
    yield "words.codes", "int8", (WORDS, WIDTH)
    yield "words.scales", "float32", (WORDS, 1)
    yield "positions", "float32", (1, limits.LOCAL_TOKENS_MAX, WIDTH)
    yield from _norm_described("words")
    for layer in range(LAYERS):
        for name, (inputs, outputs) in _SHAPES.items():
            yield f"{layer}.{name}.codes", "int8", (inputs, outputs)
            yield f"{layer}.{name}.scales", "float32", (outputs,)
            yield f"{layer}.{name}.bias", "float32", (outputs,)
        for name in _NORMS:
            yield from _norm_described(f"{layer}.{name}")


def _norm_described(name: str) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    yield f"{name}.gain", "float32", (WIDTH,)
    yield f"{name}.shift", "float32", (WIDTH,)


def _parts(source: "_Source") -> Iterator[Array]:
    """What `_described` names, in its order. The largest tensor comes in blocks, to keep memory low."""
    words = source.tensor("embeddings.word_embeddings.weight", WORDS, WIDTH)
    blocks = [words[at : at + _ROWS_AT_ONCE] for at in range(0, WORDS, _ROWS_AT_ONCE)]
    for block in blocks:
        yield _codes(block, _scales(block, _WORD_CODE), _WORD_CODE)
    for block in blocks:
        yield _scales(block, _WORD_CODE)
    positions = source.tensor("embeddings.position_embeddings.weight", 512, WIDTH)[: limits.LOCAL_TOKENS_MAX]
    # All tokens are of type 0: texts come alone, not in pairs.
    yield positions + source.tensor("embeddings.token_type_embeddings.weight", 2, WIDTH)[:1]
    yield from _norm(source, "embeddings.LayerNorm")
    for layer in range(LAYERS):
        prefix = f"encoder.layer.{layer}."
        for name, origins in _MATRICES.items():
            yield from _matrix(source, [prefix + origin for origin in origins], *_SHAPES[name])
        for origin in _NORMS.values():
            yield from _norm(source, prefix + origin)


def _matrix(source: "_Source", origins: list[str], inputs: int, outputs: int) -> Iterator[Array]:
    each = outputs // len(origins)
    rows = np.concatenate([source.tensor(f"{origin}.weight", each, inputs) for origin in origins])
    scales = _scales(rows, _MATRIX_CODE)
    yield _codes(rows, scales, _MATRIX_CODE).T
    yield scales[:, 0]
    yield np.concatenate([source.tensor(f"{origin}.bias", each) for origin in origins])


def _norm(source: "_Source", origin: str) -> Iterator[Array]:
    yield source.tensor(f"{origin}.weight", WIDTH)
    yield source.tensor(f"{origin}.bias", WIDTH)


def _scales(rows: Array, code: int) -> Array:
    """For each row the step that makes its largest number `code`."""
    steps = np.abs(rows).max(axis=1, keepdims=True) / np.float32(code)
    return np.where(steps == 0, np.float32(1), steps).astype(np.float32)


def _codes(rows: Array, scales: Array, code: int) -> Array:
    return np.clip(np.rint(rows / scales), -code, code).astype(np.int8)


class _Source:
    """A safetensors file: a header in JSON, then the numbers. Nothing in it is believed before it was checked."""

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                if not 2 <= length <= limits.MODEL_HEADER_BYTES_MAX:
                    raise _unlike(f"its header says to be {length} bytes long")
                self._entries = msgspec.json.decode(file.read(length), type=dict[str, Any])
                self._bytes = np.memmap(path, dtype=np.uint8, mode="r", offset=8 + length)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise _unlike(str(error)[:100]) from None

    def tensor(self, name: str, *shape: int) -> Array:
        """The fp32 tensor of that name and shape."""
        try:
            entry = msgspec.convert(self._entries.get(name), _Entry)
        except msgspec.ValidationError:
            raise _unlike(f"it has no tensor {name}") from None
        start, end = entry.data_offsets
        fits = 0 <= start <= end <= len(self._bytes) and end - start == 4 * math.prod(shape)
        if entry.dtype != "F32" or tuple(entry.shape) != shape or not fits:
            raise _unlike(f"its tensor {name} is another")
        found: Array = np.frombuffer(self._bytes[start:end], dtype="<f4").reshape(shape)
        return found


def _unlike(what: str) -> Corrupt:
    return Corrupt(f"the weights are not those of {model.NAME} ({what})", model.PULL_HINT)
