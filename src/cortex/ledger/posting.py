"""One HTTP POST to a place that someone named: bounded in bytes and in time, no redirects, the status as a value."""

import http.client
import ipaddress
import re
import threading
import time
import urllib.request
from dataclasses import dataclass
from urllib.error import URLError
from urllib.parse import urlsplit

from cortex import limits
from cortex._version import __version__
from cortex.errors import Invalid, Unavailable

_VISIBLE = re.compile(r"[!-~]+")
_PART_BYTES = 1 << 16
_RETRY_MS = 5_000


@dataclass(frozen=True, slots=True)
class Posted:
    """What came back."""

    status: int
    body: bytes

    def said(self) -> str:
        """The beginning of the body, fit to be shown."""
        text = self.body[: 4 * limits.WITNESS_SAID_CHARS].decode(errors="replace")
        return ascii(" ".join(text.split())[: limits.WITNESS_SAID_CHARS])


def check_url(url: str) -> str:
    """The host and port of a URL. Raises Invalid for one that cannot be asked."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    plain = _VISIBLE.fullmatch(url) is not None and "@" not in parts.netloc and not parts.query and "#" not in url
    if not host or parts.scheme not in {"http", "https"} or not plain or len(url) > limits.ENDPOINT_URL_CHARS_MAX:
        raise Invalid(
            f"{ascii(url)[:80]} is no URL that can be asked",
            "give one with http:// or https://, without a password and a query",
        )
    return f"{host}:{port}" if port else host


def post(url: str, body: bytes, *, most: int, timeout_ms: int) -> Posted:
    """Send `body` and read at most `most` bytes of the answer, all within the time.

    Raises Unavailable where nothing whole comes back. Any status is an answer, a redirect too.
    """
    host = check_url(url)
    ends = time.monotonic() + timeout_ms / 1000
    # Timeouts of sockets are for each step alone: a thread bounds all of them together.
    answers: list[Posted] = []
    failures: list[Unavailable] = []

    def run() -> None:
        try:
            answers.append(_posted(url, host, body, most, ends))
        except Unavailable as error:
            failures.append(error)

    thread = threading.Thread(target=run, name="cortex-post", daemon=True)
    thread.start()
    thread.join(max(0.0, ends - time.monotonic()))
    if failures:
        raise failures[0]
    if not answers:
        raise _slow(host)
    return answers[0]


def _posted(url: str, host: str, body: bytes, most: int, ends: float) -> Posted:
    headers = {"Content-Type": "text/plain; charset=utf-8", "User-Agent": f"cortex/{__version__}"}
    # The scheme was checked, and the opener has no handlers for others.
    request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310
    try:
        with _opener(url).open(request, timeout=max(0.001, ends - time.monotonic())) as answer:
            return Posted(answer.status, _read(answer, host, most, ends))
    except TimeoutError:
        raise _slow(host) from None
    except URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise _slow(host) from None
        raise _unreachable(host, str(error.reason)) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _unreachable(host, type(error).__name__) from None


def _read(answer: http.client.HTTPResponse, host: str, most: int, ends: float) -> bytes:
    parts: list[bytes] = []
    size = 0
    while part := answer.read1(_PART_BYTES):
        parts.append(part)
        size += len(part)
        if size > most:
            raise Unavailable(f"{host} returned more than {most} bytes", "see whether the URL is that of a witness")
        if time.monotonic() > ends:
            raise TimeoutError
    return b"".join(parts)


def _opener(url: str) -> urllib.request.OpenerDirector:
    """HTTP and HTTPS with the system's certificates and proxies. A redirect or an error is an answer as any other.

    This machine is asked directly: a proxy has no business with what never leaves it.
    """
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler({} if _is_here(url) else None),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _slow(host: str) -> Unavailable:
    return Unavailable(f"{host} did not answer in time", "see whether it runs", _RETRY_MS)


def _unreachable(host: str, why: str) -> Unavailable:
    return Unavailable(f"{host} cannot be reached ({why[:100]})", "see whether it runs, and its URL", _RETRY_MS)
