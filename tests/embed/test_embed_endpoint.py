"""An embedder behind HTTP, against a real server on this machine."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from cortex import limits
from cortex.embed.embedder import embedded
from cortex.embed.endpoint import EndpointEmbedder
from cortex.errors import Invalid, Unavailable

KEY = "sk-very-secret-0123456789"


class Server:
    """Answers with what `reply` makes of the request's JSON: bytes, or a status and bytes; keeps what was asked."""

    def __init__(self) -> None:
        self.reply: Callable[[dict[str, Any]], Any] = vectors
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.released = threading.Event()
        self.extra: dict[str, str] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.asked.append(body)
                outer.headers.append(dict(self.headers))
                answer = outer.reply(body)
                status, data = answer if isinstance(answer, tuple) else (200, answer)
                self.send_response(status)
                for name, value in outer.extra.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    for part in data if isinstance(data, Iterator) else [data]:
                        self.wfile.write(part)
                        self.wfile.flush()
                except OSError:
                    pass  # the client has gone

            def log_message(self, *told: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/embeddings"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def vectors(body: dict[str, Any]) -> bytes:
    """An answer as it should be, in the opposite order: the index says which is which."""
    rows = [{"object": "embedding", "index": i, "embedding": [len(t), 1.0] * 4} for i, t in enumerate(body["input"])]
    return json.dumps({"object": "list", "data": rows[::-1], "model": "m", "usage": {"total_tokens": 3}}).encode()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    running = Server()
    yield running
    running.close()


def opened(server: Server, timeout_ms: int = 5_000) -> EndpointEmbedder:
    return EndpointEmbedder(server.url, "small-model", KEY, timeout_ms=timeout_ms)


def test_texts_are_sent_in_the_openai_format_and_vectors_come_in_their_order(server: Server) -> None:
    found = opened(server).embed(["a", "bbb", "é"])

    assert [1.0, 3.0, 1.0] == found[:, 0].tolist()
    assert [{"model": "small-model", "input": ["a", "bbb", "é"], "encoding_format": "float"}] == server.asked
    assert f"Bearer {KEY}" == server.headers[0]["Authorization"]


def test_without_a_key_no_authorization_is_sent(server: Server) -> None:
    EndpointEmbedder(server.url, "small-model").embed(["a"])

    assert "Authorization" not in server.headers[0]


def test_many_texts_go_in_several_requests(server: Server) -> None:
    found = opened(server).embed(["x" * n for n in range(2 * limits.EMBED_BATCH + 1)])

    assert list(range(2 * limits.EMBED_BATCH + 1)) == found[:, 0].tolist()
    assert 3 == len(server.asked)


def test_odd_texts_are_sent_all_the_same(server: Server) -> None:
    assert (2, 8) == opened(server).embed(["", "\ud800"]).shape


def test_the_model_is_the_embedders_name(server: Server) -> None:
    assert "small-model" == opened(server).name


REFUSALS = {
    400: "see embedder.model",
    401: "see embedder.key",
    403: "see embedder.key",
    404: "see embedder.url and embedder.model",
    429: "try again later",
    500: "the server's log",
    599: "the server's log",
}


@pytest.mark.parametrize("status", REFUSALS)
def test_a_refusal_says_its_status_and_what_to_do_but_never_the_key(server: Server, status: int) -> None:
    server.reply = lambda body: (status, f"the key {KEY} is wrong".encode())

    with pytest.raises(Unavailable, match=str(status)) as caught:
        opened(server).embed(["a"])

    assert REFUSALS[status] in caught.value.hint
    assert KEY not in str(caught.value)
    assert (caught.value.retry_after_ms is not None) == (status in {429, 500, 599})


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(server: Server, status: int) -> None:
    server.extra = {"Location": server.url.replace("embeddings", "elsewhere")}
    server.reply = lambda body: (status, b"")

    with pytest.raises(Unavailable, match="redirects"):
        opened(server).embed(["a"])

    assert 1 == len(server.asked)


def rows(*found: Any) -> bytes:
    return json.dumps({"data": [{"index": i, "embedding": row} for i, row in enumerate(found)]}).encode()


JUNK = {
    "html": b"<html>hello</html>",
    "nothing": b"",
    "not UTF-8": b"\xff\xfe",
    "a string that is not UTF-8": b'{"data": "\xff"}',
    "no data": b"{}",
    "another shape": b'{"data": [1, 2]}',
    "too few": rows([1.0] * 8),
    "too many": rows([1.0] * 8, [1.0] * 8, [1.0] * 8),
    "the same index twice": b'{"data": [{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [1]}]}',
    "text for numbers": rows(["1"] * 8, ["1"] * 8),
    "nulls": rows([None] * 8, [1.0] * 8),
    "NaN": rows([float("nan")] * 8, [1.0] * 8),
    "infinity": rows([1e300] * 8, [1.0] * 8),
    "zeros": rows([0.0] * 8, [1.0] * 8),
    "lengths that differ": rows([1.0] * 8, [1.0] * 9),
    "hardly a dimension": rows([1.0], [1.0]),
    "deep nesting": b"[" * 100_000,
}


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK.keys())
def test_junk_is_refused(server: Server, junk: bytes) -> None:
    server.reply = lambda body: junk

    with pytest.raises(Unavailable, match="returned"):
        embedded(opened(server), ["a", "b"])


def test_an_endless_answer_is_cut_off(server: Server) -> None:
    server.reply = lambda body: iter(lambda: b" " * (1 << 20), None)

    with pytest.raises(Unavailable, match="more than 32 MiB"):
        opened(server, 60_000).embed(["a"])


def test_a_server_that_says_nothing_is_left_at_the_deadline(server: Server) -> None:
    server.reply = lambda body: (server.released.wait(30), b"")[1]
    began = time.monotonic()

    with pytest.raises(Unavailable, match="did not answer within 200 ms"):
        opened(server, 200).embed(["a"])

    assert time.monotonic() - began < 5


def test_a_server_that_drips_is_left_at_the_deadline_too(server: Server) -> None:
    def drops() -> Iterator[bytes]:
        while not server.released.wait(0.02):
            yield b" "

    server.reply = lambda body: drops()
    began = time.monotonic()

    with pytest.raises(Unavailable, match="did not answer within 300 ms"):
        opened(server, 300).embed(["a"])

    assert time.monotonic() - began < 5


def test_a_server_that_is_not_there_is_said_so(server: Server) -> None:
    server.close()

    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:\d+ cannot be reached") as caught:
        opened(server).embed(["a"])

    assert KEY not in str(caught.value)


def test_several_threads_may_ask_at_once(server: Server) -> None:
    embedder, found = opened(server), []
    threads = [threading.Thread(target=lambda n=n: found.append(embedder.embed(["x" * n])[0, 0])) for n in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert list(range(8)) == sorted(np.array(found).tolist())


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://host/x", "http://?secret", "http://a b/", "http://u:p@host/", "http://[", "x"]
)
def test_only_urls_of_http_without_a_password_are_taken(url: str) -> None:
    with pytest.raises(Invalid) as caught:
        EndpointEmbedder(url, "m")

    assert url not in str(caught.value)


def test_a_key_that_would_break_the_header_is_refused_without_showing_it(server: Server) -> None:
    with pytest.raises(Invalid) as caught:
        EndpointEmbedder(server.url, "m", "abc\r\nHost: other")

    assert "abc" not in str(caught.value)
