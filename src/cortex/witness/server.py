"""The witness's HTTP: bounded in bytes, in time and in threads, on loopback unless told otherwise."""

import io
import logging
import re
import signal
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cortex import limits
from cortex.errors import Unavailable
from cortex.witness import protocol
from cortex.witness.protocol import AcceptedLogs, Reply
from cortex.witness.state import open_witness

LOOPBACK = "127.0.0.1"

logger = logging.getLogger(__name__)

_LENGTH = re.compile("[0-9]{1,9}", re.ASCII)
_POLL_SECONDS = 0.2
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"


def serve(
    state_path: Path,
    logs_path: Path,
    host: str = LOOPBACK,
    port: int = 0,
    name: str = "cortex-witness",
    ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Answer until SIGTERM or SIGINT. `ready` gets `URL VKEY`, which is how others name this witness as a target."""
    state, signer = open_witness(state_path, name)
    try:
        logs = AcceptedLogs(logs_path)
        logs.check()
        vkey = signer.vkey

        def answer(body: bytes) -> Reply:
            return protocol.answer(body, state, logs, signer)

        with _listening(host, port, vkey, answer) as server, _until_signalled(server.shutdown):
            ready(f"{server.url} {vkey}")
            server.serve_forever(_POLL_SECONDS)
    finally:
        state.close()


@contextmanager
def _listening(host: str, port: int, vkey: str, answer: Callable[[bytes], Reply]) -> Iterator["_Server"]:
    try:
        server = _Server(host, port, vkey, answer)
    except (OSError, OverflowError, UnicodeError) as error:
        raise Unavailable(f"{host}:{port} cannot be listened on ({error})", "give another host or port") from None
    try:
        yield server
    finally:
        server.hang_up()
        server.server_close()


@contextmanager
def _until_signalled(stop: Callable[[], None]) -> Iterator[None]:
    """Where this is the main thread, the signals that end a program end the serving instead."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stopped(*_: object) -> None:
        # `stop` waits for the loop that this handler interrupted.
        threading.Thread(target=stop, name="cortex-witness-stop", daemon=True).start()

    before = {each: signal.signal(each, stopped) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # what is being stored is finished before the program ends

    def __init__(self, host: str, port: int, vkey: str, answer: Callable[[bytes], Reply]) -> None:
        self.vkey = vkey
        self.answer = answer
        self._room = threading.BoundedSemaphore(limits.WITNESS_THREADS_MAX)
        # When each connection ends for good, and when it ends unless it goes on.
        self._ends: dict[socket.socket, float] = {}
        self._live: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        shown = f"[{host!s}]" if self.address_family == socket.AF_INET6 else str(host)
        return f"http://{shown}:{port}"

    def server_bind(self) -> None:
        """Without the look-up of the machine's name that HTTPServer does, which may take seconds."""
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for a connection, or a quick refusal."""
        if not self._room.acquire(blocking=False):
            request.settimeout(0)
            with suppress(OSError):
                request.send(_BUSY)
            self.shutdown_request(request)
            return
        with self._lock:
            self._live[request] = self._ends[request] = time.monotonic() + limits.WITNESS_CONNECTION_SECONDS
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread could be started
            self._forget(request)
            raise

    def allow(self, request: socket.socket, seconds: float) -> None:
        """Let a connection last so much longer, and no longer than it may at all."""
        with self._lock:
            self._live[request] = min(self._ends[request], time.monotonic() + seconds)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._forget(request)

    def service_actions(self) -> None:
        """End connections that have lasted too long: a socket's timeout alone starts anew with every byte."""
        now = time.monotonic()
        with self._lock:
            late = [request for request, ends in self._live.items() if ends < now]
        _end(late, socket.SHUT_RDWR)

    def hang_up(self) -> None:
        """Read no more from anyone. Answers under way are still written."""
        with self._lock:
            live = list(self._live)
        _end(live, socket.SHUT_RD)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is no news; anything else is a fault of ours."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            logger.error("a request could not be answered", exc_info=error)

    def _forget(self, request: socket.socket) -> None:
        with self._lock:
            self._live.pop(request, None)
            self._ends.pop(request, None)
        self._room.release()


def _end(connections: list[socket.socket], how: int) -> None:
    for connection in connections:
        with suppress(OSError):  # it may have ended by itself
            connection.shutdown(how)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "cortex"
    sys_version = ""
    timeout = limits.WITNESS_IDLE_SECONDS
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self._bounded = _Bounded(self.rfile)
        self.rfile = self._bounded

    def handle_one_request(self) -> None:
        self._bounded.left = limits.WITNESS_HEAD_BYTES_MAX
        self.server.allow(self.connection, limits.WITNESS_REQUEST_SECONDS)
        super().handle_one_request()

    def do_GET(self) -> None:
        """The key, for whoever sets up a log."""
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            self._refuse(HTTPStatus.BAD_REQUEST, "a body that is not read")
        elif self.path in {"/", "/vkey"}:
            self._reply(Reply(HTTPStatus.OK, f"{self.server.vkey}\n"))
        else:
            self._reply(Reply(HTTPStatus.NOT_FOUND, "nothing here\n"))

    def do_POST(self) -> None:
        """A checkpoint."""
        lengths = self.headers.get_all("Content-Length", [])
        if self.path != "/add-checkpoint":
            self._refuse(HTTPStatus.NOT_FOUND, "nothing here")
        elif "Transfer-Encoding" in self.headers or not lengths:
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "a body of unknown length")
        elif len(lengths) > 1 or _LENGTH.fullmatch(lengths[0]) is None:
            self._refuse(HTTPStatus.BAD_REQUEST, "a length that is no number")
        elif int(lengths[0]) > limits.WITNESS_BODY_BYTES_MAX:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {limits.WITNESS_BODY_BYTES_MAX} bytes are read")
        else:
            self._take(int(lengths[0]))

    def _take(self, length: int) -> None:
        body = self.rfile.read(length)
        if len(body) != length:
            self.close_connection = True
            return
        self.server.allow(self.connection, limits.WITNESS_CONNECTION_SECONDS)
        self._reply(self.server.answer(body))

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        """Answer and close, since the body was not read."""
        self.close_connection = True
        self._reply(Reply(status, f"{why}\n"))

    def _reply(self, reply: Reply) -> None:
        raw = reply.text.encode(errors="replace")
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(raw)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the library
        """Requests are not logged; what matters of them is, where it is found."""
        logger.debug(format, *args)


class _Bounded(io.BufferedIOBase):
    """A request's lines up to a number of bytes. Bodies are read whole, with a length that was checked."""

    def __init__(self, inner: io.BufferedIOBase) -> None:
        self._inner = inner
        self.left = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        """A line, or its beginning. Raises HTTPException, which becomes status 431, after too many bytes."""
        if self.left <= 0:
            raise HTTPException(f"more than {limits.WITNESS_HEAD_BYTES_MAX} bytes before the body")
        line = self._inner.readline(self.left if size is None or size < 0 else min(size, self.left))
        self.left -= len(line)
        return line

    def read(self, size: int | None = -1, /) -> bytes:
        return self._inner.read(size)

    def close(self) -> None:
        self._inner.close()
        super().close()
