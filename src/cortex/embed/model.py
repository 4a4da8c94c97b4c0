"""The local model: its names, its pins, where it lies and whether it is whole. Imports nothing heavy."""

import hashlib
from pathlib import Path
from typing import Literal

from msgspec import Struct

from cortex import files
from cortex.errors import Corrupt, NotFound, Unavailable
from cortex.settings import Settings

NAME = "all-MiniLM-L6-v2"
# The folder's name, and the name stored with each vector: another conversion is another model.
VERSION = f"{NAME}-int8-1"
DIMENSION = 384

PULL_HINT = "get it with `cortex model pull`"


class Pinned(Struct, frozen=True):
    """A file of which only one content is right."""

    name: str
    bytes: int
    sha256: str


# What is published, in whichever way it comes.
PUBLISHED_WEIGHTS = Pinned(
    "model.safetensors", 90_868_376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
)
TOKENIZER = Pinned("tokenizer.json", 466_247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037")
# What is made of it: `convert` gives the same bytes on every machine, `scripts/make_graph.py` made the graph.
WEIGHTS = Pinned("minilm.bin", 23_058_432, "a7664f48cbffac76173385cb8b4ddd276eb1ecb250a1b274fad685be55a1920c")
GRAPH = Pinned("minilm.onnx", 19_315, "4a060c29fde8b94995bff2e4ce2273cf98797827ab9d75d9068ba545a596c698")

FILES = (GRAPH, WEIGHTS, TOKENIZER)

State = Literal["whole", "missing", "damaged"]


def graph_file() -> Path:
    """The graph as it comes with Cortex."""
    return Path(__file__).with_name(GRAPH.name)


def folder(settings: Settings) -> Path:
    """Where the model lies, or will."""
    return settings.embedder_folder / VERSION


def present(where: Path) -> bool:
    """Whether all files are there in their right size: a glance, no proof."""
    return all((at := files.found(where / file.name)) is not None and at.st_size == file.bytes for file in FILES)


def check(where: Path) -> None:
    """Read every file, and raise NotFound where one is missing, Corrupt where one is not what it should be."""
    for file in FILES:
        check_file(where / file.name, file)


def check_file(path: Path, pinned: Pinned, hint: str = PULL_HINT) -> None:
    """Raise NotFound where there is no such file, Corrupt where it holds something else than what is pinned."""
    at = files.found(path)
    if at is None:
        raise NotFound(f"there is no {path}", hint)
    if at.st_size != pinned.bytes:
        raise Corrupt(f"{path} has {at.st_size} bytes instead of {pinned.bytes}", hint)
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise Unavailable(f"{path} cannot be read ({error.strerror})", "make it readable") from None
    if digest != pinned.sha256:
        raise Corrupt(f"{path} was altered: its SHA-256 is {digest}", hint)


def state(where: Path) -> State:
    """Whether the model is there and unchanged. Reads all of it."""
    try:
        check(where)
    except NotFound:
        return "missing"
    except Corrupt:
        return "damaged"
    return "whole"
