"""Telling of findings in a ledger: a figure, a line in the log of the program, and a webhook if one is set.

What is told are codes and their number, never what is in the file.
"""

import json
import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Iterable
from http import HTTPStatus

from cortex import limits, posting, telemetry, times
from cortex.kinds import Secret

logger = logging.getLogger("cortex.ledger")


class Alerts:
    """Where findings are told. The webhook is asked on a thread of its own, which keeps nobody waiting.

    There is one for all verifications of an application, which ends it by `close`.
    """

    def __init__(self, webhook: Secret | None = None) -> None:
        self._webhook = webhook
        self._waiting: queue.Queue[bytes] = queue.Queue(limits.ALERTS_WAITING_MAX)
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()

    def found(self, event: str, log: str, origin: str | None, codes: Iterable[str]) -> None:
        """Tell what was found wrong with a log: how often each code."""
        counts = Counter(codes)
        if not counts:
            return
        for code, count in counts.items():
            telemetry.add(telemetry.VERIFICATION_FINDINGS, log, code, count=count)
            logger.error(json.dumps({"event": event, "log": log, "code": code, "count": count}))
        if self._webhook is not None:
            told = {"event": event, "log": log, "origin": origin, "at": times.now(), "findings": dict(counts)}
            self._queue(json.dumps(told).encode())

    def settle(self, seconds: float) -> None:
        """Wait until what was told is out, but no longer than this: for a process that ends now."""
        ends = time.monotonic() + seconds
        while self._waiting.unfinished_tasks and time.monotonic() < ends and not self._ending.is_set():
            self._ending.wait(_POLL_SECONDS)

    def close(self) -> None:
        """Let what was told go out, for a while, and send nothing after that. Safe to call twice."""
        self.settle(limits.ALERT_SECONDS)
        self.stop()

    def stop(self) -> None:
        """Send nothing more."""
        self._ending.set()

    def _queue(self, body: bytes) -> None:
        with self._starting:
            try:
                self._waiting.put_nowait(body)
            except queue.Full:
                _complain("too many alerts wait for the webhook; this one is not sent")
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._send_all, name="cortex-alerts", daemon=True)
                self._thread.start()

    def _send_all(self) -> None:
        """Until nothing waits; the next alert starts another thread."""
        while not self._ending.is_set():
            with self._starting:
                try:
                    body = self._waiting.get_nowait()
                except queue.Empty:
                    self._thread = None
                    return
            try:
                self._send(body)
            finally:
                self._waiting.task_done()

    def _send(self, body: bytes) -> None:
        """A few attempts, each later than the one before; that none was good is told in the program's log alone."""
        said = ""
        for attempt in range(limits.ALERT_ATTEMPTS_MAX):
            if attempt and self._ending.wait(limits.ALERT_PAUSE_SECONDS * 2 ** (attempt - 1)):
                break
            said, again = self._posted(body)
            if not again:
                break
        if said:
            _complain(said)

    def _posted(self, body: bytes) -> tuple[str, bool]:
        """What went wrong, empty where nothing did, and whether it is worth another attempt."""
        url = str(self._webhook)
        # Its URL is shown nowhere: who knows it may write there.
        if posting.host_of(url) is None:
            return "alert.webhook is no URL that can be asked", False
        answer = posting.post(
            url, body, kind=posting.JSON, most=limits.ALERT_ANSWER_BYTES_MAX, seconds=limits.ALERT_SECONDS
        )
        if isinstance(answer, posting.NotPosted):
            return f"the webhook could not be asked ({answer.kind})", True
        if answer.status < HTTPStatus.MULTIPLE_CHOICES:
            return "", False
        passing = answer.status == HTTPStatus.TOO_MANY_REQUESTS or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        return f"the webhook answers {answer.status}", passing


def _complain(what: str) -> None:
    logger.warning(json.dumps({"event": "alert_not_sent", "why": what}))


_POLL_SECONDS = 0.05
