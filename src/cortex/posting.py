"""One HTTP POST to a place that someone named: bounded in bytes and in time, no redirects, the outcome as a value."""

import functools
import http.client
import ipaddress
import re
import threading
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.error import URLError
from urllib.parse import urlsplit

from cortex import limits
from cortex._version import __version__

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"

_VISIBLE = re.compile(r"[!-~]+")
_PART_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Posted:
    """What came back. Any status is an answer, a redirect too."""

    status: int
    body: bytes

    def said(self) -> str:
        """The beginning of the body, fit to be shown."""
        text = self.body[: 4 * limits.WITNESS_SAID_CHARS].decode(errors="replace")
        return ascii(" ".join(text.split())[: limits.WITNESS_SAID_CHARS])


@dataclass(frozen=True, slots=True)
class NotPosted:
    """That nothing whole came back: not in time, not at all (`why`, short, without the URL), or too much."""

    kind: Literal["slow", "unreachable", "large"]
    why: str = ""


def host_of(url: str) -> str | None:
    """The host and port of a URL, which may be shown. None for one that cannot be asked, or that holds a password."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    plain = _VISIBLE.fullmatch(url) is not None and len(url) <= limits.ENDPOINT_URL_CHARS_MAX
    if not host or port == 0 or parts.scheme not in {"http", "https"} or "@" in parts.netloc or not plain:
        return None
    return f"{host}:{port}" if port else host


def post(
    url: str, body: bytes, *, kind: str, most: int, seconds: float, headers: Mapping[str, str] | None = None
) -> Posted | NotPosted:
    """Send `body`, of the content type `kind`, and read at most `most` bytes of the answer, all within the time.

    Only for URLs that `host_of` takes. Timeouts of sockets are for each step alone: a thread bounds all of them
    together. One that is still waiting is left behind; it ends with its own timeout.
    """
    assert host_of(url) is not None, "whoever names the URL is told what is wrong with it"
    ends = time.monotonic() + seconds
    sent = {"Content-Type": kind, "User-Agent": f"cortex/{__version__}", **(headers or {})}
    outcomes: list[Posted | NotPosted] = []
    thread = threading.Thread(
        target=lambda: outcomes.append(_outcome(url, body, sent, most, ends)), name="cortex-post", daemon=True
    )
    thread.start()
    thread.join(max(0.0, ends - time.monotonic()))
    return outcomes[0] if outcomes else NotPosted("slow")


def _outcome(url: str, body: bytes, headers: dict[str, str], most: int, ends: float) -> Posted | NotPosted:
    # The scheme was checked, and the opener has no handlers for others.
    request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310
    try:
        with _opener(direct=_is_here(url)).open(request, timeout=max(0.001, ends - time.monotonic())) as answer:
            read = _read(answer, most, ends)
            return NotPosted("large") if read is None else Posted(answer.status, read)
    except TimeoutError:
        return NotPosted("slow")
    except URLError as error:
        slow = isinstance(error.reason, TimeoutError)
        return NotPosted("slow") if slow else NotPosted("unreachable", str(error.reason)[:100])
    except (OSError, http.client.HTTPException, ValueError) as error:
        return NotPosted("unreachable", type(error).__name__)


def _read(answer: http.client.HTTPResponse, most: int, ends: float) -> bytes | None:
    """The body, None where there is more of it than is read."""
    parts: list[bytes] = []
    size = 0
    while part := answer.read1(_PART_BYTES):
        parts.append(part)
        size += len(part)
        if size > most:
            return None
        if time.monotonic() > ends:
            raise TimeoutError
    return b"".join(parts)


@functools.cache
def _opener(*, direct: bool) -> urllib.request.OpenerDirector:
    """HTTP and HTTPS with the system's certificates and, unless `direct`, its proxies: no files, no FTP.

    What follows redirects or raises for a status is left out. Made once: to read the certificates takes a while.
    """
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler({} if direct else None),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _is_here(url: str) -> bool:
    """Whether it is this machine, which is asked directly: a proxy has no business with what never leaves it."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
