"""The scores that docs/benchmarks.md publishes: a change that lowers one of them fails a test."""

import importlib.resources
from collections.abc import Iterator

import msgspec

from cortex.bench.retrieval import MODES, Measured
from cortex.bench.scores import MEASURES, NAMES

FILE = "scores.json"
# What another CPU or another version of SQLite or onnxruntime may change.
TOLERANCE = 0.01

# By the name of the set, by mode, by measure. Docstrings are named with the version of Python that they are of.
Published = dict[str, dict[str, dict[str, float]]]


def read() -> Published:
    """The scores as published."""
    data = importlib.resources.files("cortex.bench").joinpath("data", FILE).read_bytes()
    return msgspec.json.decode(data, type=Published)


def found(measured: Measured) -> dict[str, dict[str, float]]:
    """The means of a measured set, by mode and measure; without the modes that were not measured."""
    scores = {mode: getattr(measured, mode) for mode in MODES}
    return {
        mode: {name: getattr(one, field).mean for name, field in zip(NAMES, MEASURES, strict=True)}
        for mode, one in scores.items()
        if one is not None
    }


def fallen(published: Published, measured: Measured) -> Iterator[str]:
    """Each published score that this set no longer has, as a sentence. None of a set that is not published."""
    now = found(measured)
    for mode, scores in published.get(measured.data, {}).items():
        for name, value in scores.items():
            held = now.get(mode, {}).get(name, 0.0)
            if held < value - TOLERANCE:
                yield f"{measured.data}: {name} of {mode} was {value} and is {held}"
