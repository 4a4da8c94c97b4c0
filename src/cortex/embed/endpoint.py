"""An embedder behind HTTP, asked in the format of OpenAI's API, which most servers of models speak."""

import http.client
import ipaddress
import re
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from http import HTTPStatus
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

import msgspec
import numpy as np
from msgspec import Struct

from cortex import limits
from cortex._version import __version__
from cortex.embed.embedder import Vectors
from cortex.errors import Invalid, Unavailable

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
        self._headers = {"Content-Type": "application/json", "User-Agent": f"cortex/{__version__}"}
        if key is not None:
            if not _VISIBLE.fullmatch(key):  # what else a header may not hold would be shown in http.client's error
                raise Invalid("the key holds characters that no key has", "give visible ASCII characters")
            self._headers["Authorization"] = f"Bearer {key}"
        self._opener = _opener(url)

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
        answer = self._within(ends, lambda: self._posted(body, ends))
        try:
            rows = msgspec.json.decode(answer, type=_Answer).data
        except (msgspec.DecodeError, RecursionError) as error:
            raise self._junk(f"what is no list of embeddings ({str(error)[:100]})") from None
        if sorted(row.index for row in rows) != list(range(len(texts))):
            raise self._junk(f"{len(rows)} vectors for {len(texts)} texts, or numbered wrongly")
        return [row.embedding for row in sorted(rows, key=lambda row: row.index)]

    def _within(self, ends: float, ask: Callable[[], bytes]) -> bytes:
        """What `ask` gives. Timeouts of sockets are for each step alone: a thread bounds all of them together.

        One that is still waiting is left behind; it ends with its own timeout.
        """
        answers: list[bytes] = []
        failures: list[Unavailable] = []

        def run() -> None:
            try:
                answers.append(ask())
            except Unavailable as error:
                failures.append(error)

        thread = threading.Thread(target=run, name="cortex-endpoint", daemon=True)
        thread.start()
        thread.join(max(0.0, ends - time.monotonic()))
        if failures:
            raise failures[0]
        if not answers:
            raise self._slow()
        return answers[0]

    def _posted(self, body: bytes, ends: float) -> bytes:
        # The scheme was checked, and the opener has no handlers for others.
        request = urllib.request.Request(self._url, body, self._headers, method="POST")  # noqa: S310
        try:
            with self._opener.open(request, timeout=max(0.001, ends - time.monotonic())) as answer:
                return self._read(answer, ends)
        except HTTPError as error:
            error.close()
            raise self._refusal(error.code) from None
        except TimeoutError:
            raise self._slow() from None
        except URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise self._slow() from None
            raise self._unreachable(str(error.reason)) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._unreachable(type(error).__name__) from None

    def _read(self, answer: http.client.HTTPResponse, ends: float) -> bytes:
        parts: list[bytes] = []
        size = 0
        while part := answer.read1(1 << 16):
            parts.append(part)
            size += len(part)
            if size > limits.ENDPOINT_BYTES_MAX:
                raise self._junk(f"more than {limits.ENDPOINT_BYTES_MAX >> 20} MiB")
            if time.monotonic() > ends:
                raise TimeoutError
        return b"".join(parts)

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
        told = f"the embedder at {self._host} cannot be reached ({why[:100]})"
        return Unavailable(told, "see whether it runs, and embedder.url", _RETRY_MS)

    def _junk(self, what: str) -> Unavailable:
        return Unavailable(f"the embedder at {self._host} returned {what}", "see embedder.url and embedder.model")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an error: the key and the texts are for one place only."""

    def redirect_request(self, *_given: object) -> None:
        return None


def _opener(url: str) -> urllib.request.OpenerDirector:
    """HTTP and HTTPS with the system's certificates and proxies, and nothing else: no files, no FTP.

    This machine is asked directly: a proxy has no business with what never leaves it.
    """
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler({} if _is_here(url) else None),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        _NoRedirect(),
    ):
        opener.add_handler(handler)
    return opener


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _host(url: str) -> str:
    """The part of the URL that may be shown. Raises Invalid for one that cannot be asked."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in {"http", "https"} or "@" in parts.netloc or not _VISIBLE.fullmatch(url):
        raise Invalid(
            "the embedder's URL is none that can be asked", "give one with http:// or https:// and no password"
        )
    return f"{host}:{port}" if port else host
