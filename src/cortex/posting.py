"""One HTTP POST to a place that someone named: bounded in bytes and in time, no redirects, the outcome as a value."""

import functools
import http.client
import ipaddress
import re
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal
from urllib.error import URLError
from urllib.parse import urlsplit

from cortex import limits
from cortex._version import __version__

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"

_VISIBLE = re.compile(r"[!-~]+")
_PART_BYTES = 1 << 16
_room = threading.BoundedSemaphore(limits.POSTS_MAX)


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

    Only for URLs that `host_of` takes. Timeouts of sockets are for each step alone, so a thread does the asking, and
    its connection is cut at the deadline. What cannot be cut (finding a host's address) may outlast that: no more than
    POSTS_MAX threads are ever at it.
    """
    assert host_of(url) is not None, "whoever names the URL is told what is wrong with it"
    ends = time.monotonic() + seconds
    if not _room.acquire(timeout=max(0.0, seconds)):
        return NotPosted("slow")
    line = _Line()
    sent = {"Content-Type": kind, "User-Agent": f"cortex/{__version__}", **(headers or {})}
    outcomes: list[Posted | NotPosted] = []

    def ask() -> None:
        try:
            outcomes.append(_outcome(_Request(url, body, sent, line), most, ends))
        finally:
            line.close()
            _room.release()

    thread = threading.Thread(target=ask, name="cortex-post", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # no thread could be started
        _room.release()
        return NotPosted("unreachable", "no thread could be started")
    try:
        thread.join(max(0.0, ends - time.monotonic()))
        # Before the cut: what the thread finds after it is our own doing.
        return outcomes[0] if outcomes else NotPosted("slow")
    finally:
        line.cut()


class _Line:
    """The connection of one request, for another thread to cut."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: socket.socket | None = None
        self._cut = False

    def hold(self, made: socket.socket) -> None:
        """Take a new connection in. Raises TimeoutError where the time is over already."""
        with self._lock:
            if self._cut:
                raise TimeoutError
            if self._held is None:
                # Of its own: TLS takes the socket over before a handshake, which may be what has to be cut.
                self._held = made.dup()

    def cut(self) -> None:
        """Let whoever reads from the connection, or writes to it, find that it ended."""
        with self._lock:
            self._cut = True
            if self._held is not None:
                with suppress(OSError):  # it may have ended by itself
                    self._held.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with self._lock:
            self._cut = True
            if self._held is not None:
                self._held.close()
                self._held = None


class _Request(urllib.request.Request):
    """A POST with the line that it goes over."""

    def __init__(self, url: str, body: bytes, headers: dict[str, str], line: _Line) -> None:
        # The scheme was checked, and the opener has no handlers for others.
        super().__init__(url, body, headers, method="POST")
        self.line = line


class _Held(http.client.HTTPConnection):
    """A connection of http.client that hands its socket to a line, before anything is said over it."""

    def __init__(self, host: str, /, **named: Any) -> None:
        self._line: _Line = named.pop("line")
        super().__init__(host, **named)

    @property
    def sock(self) -> Any:
        """The socket, None where there is none yet or no more."""
        return self._sock

    @sock.setter
    def sock(self, made: Any) -> None:
        self._sock = made
        if made is not None:
            self._line.hold(made)


class _Secure(_Held, http.client.HTTPSConnection):
    """HTTPS."""


class _Connecting(urllib.request.AbstractHTTPHandler):
    """Opens requests over connections that can be cut."""

    http_request = https_request = urllib.request.AbstractHTTPHandler.do_request_

    def http_open(self, request: _Request) -> http.client.HTTPResponse:
        return self.do_open(_Held, request, line=request.line)

    def https_open(self, request: _Request) -> http.client.HTTPResponse:
        return self.do_open(_Secure, request, line=request.line, context=_certificates())


def _outcome(request: _Request, most: int, ends: float) -> Posted | NotPosted:
    opener = _opener(direct=_is_here(request.full_url))
    try:
        with opener.open(request, timeout=max(0.001, ends - time.monotonic())) as answer:
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

    What follows redirects or raises for a status is left out.
    """
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler({} if direct else None),
        _Connecting(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


@functools.cache
def _certificates() -> ssl.SSLContext:
    """What HTTPS believes: the system's certificates. Made once, since to read them takes a while."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _is_here(url: str) -> bool:
    """Whether it is this machine, which is asked directly: a proxy has no business with what never leaves it."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
