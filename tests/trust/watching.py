"""What the tests of the self-verification share: a look of a watch, and the runs that are written down."""

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from cortex.ops.watch import Watch
from opened import Memory

# Text that is none: SQLite takes it, and no reader of text does.
NO_TEXT = "CAST(x'ff41' AS TEXT)"


def look(memory: Memory) -> None:
    """One look of a watch over the memory's file."""
    watch = Watch(memory.app.context)
    looks(memory, watch, 1)
    watch.close()


def looks(memory: Memory, watch: Watch, times: int) -> None:
    """Several looks of one watch, one right after the other."""
    with asyncio.Runner() as runner:
        for _ in range(times):
            watch.look(runner)


def runs(memory: Memory) -> list[tuple[Any, ...]]:
    """The runs that are written down: of which log, whether nothing was found, whether of what was new only."""
    with memory.sql() as connection:
        rows = connection.execute("SELECT CAST(log AS BLOB), ok, incremental FROM vote_integrity_checks ORDER BY id")
        return [(log.decode(errors="replace"), ok, part) for log, ok, part in rows.fetchall()]


def edit(memory: Memory, *statements: str) -> None:
    """Change the file as an outsider."""
    with memory.sql() as connection:
        for statement in statements:
            connection.execute(statement)


def alarms(caplog: pytest.LogCaptureFixture, event: str = "verification") -> list[tuple[str, str]]:
    """The log and the code of everything that was told as found."""
    told = [json.loads(record.message) for record in caplog.records if record.levelno == logging.ERROR]
    return [(each["log"], each["code"]) for each in told if each["event"] == event]


@contextmanager
def webhook(
    *statuses: int, asked: threading.Event | None = None, answer: threading.Event | None = None
) -> Iterator[tuple[str, list[Any]]]:
    """A place that answers with these statuses, one after the other, and keeps what it was sent."""
    got: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if asked is not None and answer is not None:
                asked.set()
                answer.wait(60)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.path, self.headers["Content-Type"], json.loads(body)))
            self.send_response(statuses[min(len(got), len(statuses)) - 1])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *told: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as place:
        thread = threading.Thread(target=place.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{place.server_address[1]}/hook?key=s3cret", got
        finally:
            place.shutdown()
            thread.join()
