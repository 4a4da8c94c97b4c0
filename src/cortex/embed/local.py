"""The local model at work: a text becomes 384 numbers, on one thread and without a network."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# Read when onnxruntime is imported: without it some of its builds keep a file of events and send them away. Nothing of
# this process leaves the machine.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]
from onnxruntime.capi import onnxruntime_pybind11_state as refusals  # type: ignore[import-untyped]
from tokenizers import Tokenizer

from cortex import limits
from cortex.embed import model
from cortex.embed.embedder import Vectors
from cortex.errors import Unavailable

# Those that onnxruntime raises for a graph that it cannot run; they have no parent of their own.
_REFUSALS = (refusals.Fail, refusals.InvalidGraph, refusals.NotImplemented, refusals.RuntimeException)


# Many texts share two threads, a question has one. Each text is embedded by itself all the same.
_THREADS = min(2, os.cpu_count() or 1)
_SHARED_TEXTS_MIN = 4


class LocalEmbedder:
    """The model in a folder, loaded and checked. `embed` may be called from several threads at once."""

    name = model.VERSION

    def __init__(self, folder: Path) -> None:
        """Raises NotFound where the model is not there, Corrupt where it was cut short or altered."""
        model.check(folder)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="cortex-model")
        ort.disable_telemetry_events()
        self._tokenizer = Tokenizer.from_file(str(folder / model.TOKENIZER.name))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(limits.LOCAL_TOKENS_MAX)
        try:
            self._session = ort.InferenceSession(
                str(folder / model.GRAPH.name), _options(), providers=["CPUExecutionProvider"]
            )
        except _REFUSALS as error:
            found = f"onnxruntime {ort.__version__} does not run the local model ({str(error)[:200]})"
            raise Unavailable(found, "install another version of it") from None

    def embed(self, texts: Sequence[str], /) -> Vectors:
        """One row for each text. What is past the first 256 tokens of a text is not read."""
        if not texts:
            return np.empty((0, model.DIMENSION), "f4")
        if len(texts) < _SHARED_TEXTS_MIN:
            return np.concatenate([self._one(text) for text in texts])
        return np.concatenate(list(self._pool.map(self._one, texts)))

    def _one(self, text: str) -> Vectors:
        # The tokenizer reads all of a text before it cuts, and takes no lone surrogates.
        start = text[: limits.LOCAL_TEXT_CHARS].encode(errors="replace").decode()
        tokens = self._tokenizer.encode(start).ids
        # One at a time: with others beside it, a text would be quantised in their range and come out different.
        (vectors,) = self._session.run(["vector"], {"input_ids": np.array([tokens], dtype=np.int64)})
        found: Vectors = vectors
        return found


def _options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # The graph is in its final form; see scripts/make_graph.py for what the optimizer would do to it.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    # Both keep the memory of the longest text for good, and make a text of usual length no faster.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    return options
