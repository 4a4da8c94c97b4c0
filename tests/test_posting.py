"""One POST: its outcome is a value, whatever the other side does, and what is for this machine goes nowhere else."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cortex import limits, posting
from cortex.posting import NotPosted, Posted


@contextmanager
def serving(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                answer(self)
            except OSError:
                pass  # the client has gone

        def log_message(self, *told: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/place"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def replying(status: int, body: bytes, *headers: tuple[str, str]) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers:
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def post(url: str, *, most: int = 100, seconds: float = 20, body: bytes = b"asked") -> Posted | NotPosted:
    return posting.post(url, body, kind="a/b", most=most, seconds=seconds, headers={"Authorization": "Bearer k"})


def test_what_is_sent_arrives_with_its_type_and_headers() -> None:
    seen: list[tuple[object, ...]] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        body = getattr(handler, "body", None)
        seen.append((handler.path, body, handler.headers["Content-Type"], handler.headers["Authorization"]))
        replying(200, b"good")(handler)

    with serving(answer) as url:
        found = post(f"{url}?q=1")

    assert Posted(200, b"good") == found
    assert [("/place?q=1", b"asked", "a/b", "Bearer k")] == seen


@pytest.mark.parametrize("status", [201, 302, 307, 404, 500, 599])
def test_any_status_is_an_answer_and_no_redirect_is_followed(status: int) -> None:
    with serving(replying(status, b"said", ("Location", "http://127.0.0.1:1/"))) as url:
        found = post(url)

    assert Posted(status, b"said") == found


def test_an_answer_may_have_as_many_bytes_as_are_read_and_not_one_more() -> None:
    with serving(replying(200, b"x" * 100)) as url:
        fits, large = post(url), post(url, most=99)

    assert (Posted(200, b"x" * 100), NotPosted("large")) == (fits, large)


def test_what_is_for_this_machine_is_sent_to_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)

    with serving(replying(200, b"here")) as url:
        assert Posted(200, b"here") == post(url) == post(url.replace("127.0.0.1", "localhost"))


def test_whoever_drips_is_left_at_the_deadline() -> None:
    done = threading.Event()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        replying(200, b"x")(handler)
        while not done.wait(0.02):
            handler.wfile.write(b"x")

    with serving(answer) as url:
        found = post(url, most=1 << 20, seconds=0.3)
        done.set()

    assert NotPosted("slow") == found


@contextmanager
def going_on() -> Iterator[str]:
    """Whoever connects is told to continue, again and again, and never more."""
    open_ones: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as place:

        def serve() -> None:
            connection, _ = place.accept()
            open_ones.append(connection)
            with suppress(OSError):  # the client has gone
                while True:
                    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{place.getsockname()[1]}/place"
        for connection in open_ones:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in open_ones:
            connection.close()


@contextmanager
def silent() -> Iterator[str]:
    """Whoever connects waits for TLS."""
    with socket.create_server(("127.0.0.1", 0)) as place:
        yield f"https://127.0.0.1:{place.getsockname()[1]}/place"


@pytest.mark.parametrize("server", [going_on, silent])
def test_no_thread_outlasts_the_deadline(server: Callable[[], AbstractContextManager[str]]) -> None:
    before = set(threading.enumerate())

    with server() as url:
        found = post(url, most=1 << 30, seconds=0.3)
        asking = [each for each in threading.enumerate() if each not in before and each.name == "cortex-post"]
        for each in asking:
            each.join(60)

    assert NotPosted("slow") == found
    assert [] == [each for each in asking if each.is_alive()]


def test_no_more_requests_are_under_way_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "_room", threading.BoundedSemaphore(1))
    here, done = threading.Event(), threading.Event()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        here.set()
        done.wait(60)
        replying(200, b"good")(handler)

    with serving(answer) as url:
        first: list[object] = []
        thread = threading.Thread(target=lambda: first.append(post(url)))
        thread.start()
        here.wait(60)
        second = post(url, seconds=0.1)
        done.set()
        thread.join(60)
        third = post(url)

    assert [Posted(200, b"good"), NotPosted("slow"), Posted(200, b"good")] == [*first, second, third]


def test_what_is_not_there_and_what_speaks_no_http_cannot_be_reached() -> None:
    with serving(lambda handler: handler.wfile.write(b"\0\xff\r\n")) as url:
        junk = post(url)

    gone = post(url)

    assert ("unreachable", "unreachable") == (
        junk.kind if isinstance(junk, NotPosted) else "",
        gone.kind if isinstance(gone, NotPosted) else "",
    )
    assert all(isinstance(one, NotPosted) and one.why and "/place" not in one.why for one in (junk, gone))


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://a", "a"),
        ("HTTPS://a:8/x?y#z", "a:8"),
        ("http://[::1]:8/", "::1:8"),
        *(
            (url, None)
            for url in (
                "", "a", "ftp://a/", "file:///a", "http://", "http://?a", "http://a:0/", "http://a:b/", "http://a:99999/",
                "http://u:p@a/", "http://a b/", "http://ä/", "http://a/\r\nX: y", "http://[", "http://a/\0",
                "http://" + "a" * limits.ENDPOINT_URL_CHARS_MAX,
            )
        ),
    ],
)  # fmt: skip
def test_only_urls_of_http_without_a_password_can_be_asked(url: str, host: str | None) -> None:
    assert host == posting.host_of(url)
