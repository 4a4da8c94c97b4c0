"""An embedder behind HTTP, asked in the format of OpenAI's API, which most servers of models speak."""

import re
import time
from collections.abc import Sequence
from http import HTTPStatus

import msgspec
import numpy as np
from msgspec import Struct

from cortex import limits, posting
from cortex.embed.embedder import Vectors
from cortex.errors import Invalid, Unavailable
from cortex.posting import NotPosted

_VISIBLE = re.compile(r"[!-~]+")
_RETRY_MS = 5_000
_HINTS = {
    HTTPStatus.UNAUTHORIZED: "see embedder.key",
    HTTPStatus.FORBIDDEN: "see embedder.key",
    HTTPStatus.NOT_FOUND: "see embedder.url and embedder.model",
    HTTPStatus.BAD_REQUEST: "see embedder.model",
    HTTPStatus.TOO_MANY_REQUESTS: "it takes no more now: try again later",
}


class _Row(Struct):
    index: int
    embedding: list[float]


class _Answer(Struct):
    data: list[_Row]


class EndpointEmbedder:
    """The model `model` behind `url`. Errors name the host, never the key nor the rest of the URL."""

    def __init__(
        self,
        url: str,
        model: str,
        key: str | None = None,
        *,
        timeout_ms: int = limits.ENDPOINT_TIMEOUT_MS,
    ) -> None:
        self.name = model
        self._host = _host(url)
        self._url = url
        self._timeout_ms = timeout_ms
        self._headers: dict[str, str] = {}
        if key is not None:
            if not _VISIBLE.fullmatch(key):  # what else a header may not hold would be shown in http.client's error
                raise Invalid("the key holds characters that no key has", "give visible ASCII characters")
            self._headers["Authorization"] = f"Bearer {key}"

    def embed(self, texts: Sequence[str], /) -> Vectors:
        """One row for each text, all within the timeout."""
        ends = time.monotonic() + self._timeout_ms / 1000
        rows: list[list[float]] = []
        for at in range(0, len(texts), limits.EMBED_BATCH):
            rows += self._asked([*texts[at : at + limits.EMBED_BATCH]], ends)
        if len({len(row) for row in rows}) > 1:
            raise self._junk("vectors of different lengths")
        with np.errstate(over="ignore"):  # what is too large becomes infinite, which `embedded` refuses
            return np.array(rows, dtype=np.float32)

    def _asked(self, texts: list[str], ends: float) -> list[list[float]]:
        safe = [text.encode(errors="replace").decode() for text in texts]
        body = msgspec.json.encode({"model": self.name, "input": safe, "encoding_format": "float"})
        answer = self._posted(body, ends)
        try:
            rows = msgspec.json.decode(answer, type=_Answer).data
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._junk(f"what is no list of embeddings ({str(error)[:100]})") from None
        if sorted(row.index for row in rows) != list(range(len(texts))):
            raise self._junk(f"{len(rows)} vectors for {len(texts)} texts, or numbered wrongly")
        return [row.embedding for row in sorted(rows, key=lambda row: row.index)]

    def _posted(self, body: bytes, ends: float) -> bytes:
        answer = posting.post(
            self._url,
            body,
            kind=posting.JSON,
            most=limits.ENDPOINT_BYTES_MAX,
            seconds=max(0.0, ends - time.monotonic()),
            headers=self._headers,
        )
        match answer:
            case NotPosted(kind="large"):
                raise self._junk(f"more than {limits.ENDPOINT_BYTES_MAX >> 20} MiB")
            case NotPosted(kind="slow"):
                raise self._slow()
            case NotPosted():
                raise self._unreachable(answer.why)
        if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            raise self._refusal(answer.status)
        return answer.body

    def _refusal(self, status: int) -> Unavailable:
        """For an answer that is none. What the server wrote is left out: some repeat the key."""
        if 300 <= status < 400:
            hint = "set embedder.url to where it leads: the key is sent to no other place"
            return Unavailable(f"the embedder at {self._host} redirects ({status})", hint)
        passing = status == HTTPStatus.TOO_MANY_REQUESTS or status >= 500
        known = {each.value: each for each in HTTPStatus}.get(status)
        told = f"the embedder at {self._host} answers {status}{f' {known.phrase}' if known else ''}"
        hint = _HINTS.get(known, "see the server's log") if known else "see the server's log"
        return Unavailable(told, hint, _RETRY_MS if passing else None)

    def _slow(self) -> Unavailable:
        told = f"the embedder at {self._host} did not answer within {self._timeout_ms} ms"
        return Unavailable(told, "see whether it runs, or raise embedder.timeout_ms", _RETRY_MS)

    def _unreachable(self, why: str) -> Unavailable:
        told = f"the embedder at {self._host} cannot be reached ({why})"
        return Unavailable(told, "see whether it runs, and embedder.url", _RETRY_MS)

    def _junk(self, what: str) -> Unavailable:
        return Unavailable(f"the embedder at {self._host} returned {what}", "see embedder.url and embedder.model")


def _host(url: str) -> str:
    """The part of the URL that may be shown. Raises Invalid for one that cannot be asked."""
    host = posting.host_of(url)
    if host is None:
        raise Invalid(
            "the embedder's URL is none that can be asked", "give one with http:// or https:// and no password"
        )
    return host
