"""An embedder without a model: texts that share words are near each other. For tests that need no meaning."""

import hashlib
import re
from collections.abc import Sequence

import numpy as np

from cortex.embed.embedder import Vectors

_WORD = re.compile(r"\w+")


class WordEmbedder:
    """Each word is a direction made from its hash, a text the sum of its words': the same on every machine."""

    def __init__(self, dimension: int = 64, name: str = "words-1") -> None:
        self.name = f"{name}/{dimension}"
        self._dimension = dimension

    def embed(self, texts: Sequence[str], /) -> Vectors:
        """One row for each text."""
        return np.array([self._one(text) for text in texts], dtype=np.float32)

    def _one(self, text: str) -> Vectors:
        words = _WORD.findall(text.lower()) or [text]
        total: Vectors = np.sum([self._direction(word) for word in words], axis=0, dtype=np.float32)
        return total

    def _direction(self, word: str) -> Vectors:
        digest = hashlib.shake_128(word.encode(errors="replace")).digest(4 * self._dimension)
        numbers: Vectors = np.frombuffer(digest, dtype="<u4").astype(np.float32) / np.float32(2**31) - np.float32(1)
        return numbers
