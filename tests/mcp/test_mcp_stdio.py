"""The process: quick to answer, deaf to junk, gone with its client, and silent but for the protocol."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from client import INITIALIZE, START, Client, Refused, connected, environment, spawned
from mcp_types import jsonrpc_message_adapter

from cortex import limits

SLOW = (Path(__file__).parent / "slow_server.py").read_text()
# Of the processor, which a busy machine gives later and not less; docs/mcp.md has the times, from the benchmark.
INITIALIZE_CPU_SECONDS = 0.3
LIST_CPU_SECONDS = 1.5
# Far beyond what it takes: one that stays until somebody ends it would stay for ever.
EXIT_SECONDS = 20.0
MEMORY_KB = 90_000


def status(client: Client, name: str) -> int:
    text = Path(f"/proc/{client.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith(f"{name}:")))


def run_with(folder: Path, data: bytes, **variables: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", START], input=data, capture_output=True, env=environment(folder, **variables),
        cwd=folder, timeout=30, check=False,
    )  # fmt: skip


def message(method: str, number: int | None = None, params: dict[str, Any] | None = None) -> bytes:
    body: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
    body |= {"id": number} if number is not None else {}
    body |= {"params": params} if params is not None else {}
    return json.dumps(body).encode() + b"\n"


HELLO = message("initialize", 0, INITIALIZE) + message("notifications/initialized")


def cpu_seconds(client: Client) -> float:
    """What the server has taken of the processor so far."""
    ticks = Path(f"/proc/{client.process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processor time is read from /proc")
def test_the_first_answers_take_little(tmp_path: Path) -> None:
    taken = []
    for _ in range(3):
        with spawned(tmp_path) as client:
            client.initialize()
            initialized = cpu_seconds(client)  # and what it went on to do before we looked
            client.ask("tools/list")
            taken.append((initialized, cpu_seconds(client)))

    assert min(first for first, _ in taken) < INITIALIZE_CPU_SECONDS
    assert min(last for _, last in taken) < LIST_CPU_SECONDS


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="memory is read from /proc")
def test_the_server_stays_small(tmp_path: Path) -> None:
    with connected(tmp_path, CORTEX_MCP_TOOLS="all") as client:
        client.ask("tools/list")
        for number in range(20):
            client.call("cortex_store", {"content": f"Fact {number} about invoices"})
            client.call("cortex_search", {"query": "invoices"})
            client.call("cortex_recall")

        assert status(client, "VmRSS") < MEMORY_KB


def test_the_end_of_input_ends_the_process_without_a_child(tmp_path: Path) -> None:
    with connected(tmp_path) as client:
        client.call("cortex_store", {"content": "One"})
        children = Path(f"/proc/{client.process.pid}/task/{client.process.pid}/children")
        left = children.read_text() if children.exists() else ""
        begun = time.perf_counter()

        code = client.close()

    assert 0 == code
    assert "" == left
    assert time.perf_counter() - begun < EXIT_SECONDS


@pytest.mark.parametrize("data", [b"", b"\n\n", HELLO[:40], message("initialize", 0, INITIALIZE)])
def test_a_client_that_leaves_early_ends_the_process(tmp_path: Path, data: bytes) -> None:
    done = run_with(tmp_path, data)

    assert 0 == done.returncode
    assert b"Traceback" not in done.stderr


def test_requests_that_were_sent_before_the_end_of_input_are_answered(tmp_path: Path) -> None:
    call = message("tools/call", 1, {"name": "cortex_store", "arguments": {"content": "One"}})

    done = run_with(tmp_path, HELLO + call + message("tools/list", 2))

    assert {0, 1, 2} == {json.loads(line)["id"] for line in done.stdout.splitlines()}


def test_a_call_that_hangs_does_not_keep_the_process(tmp_path: Path) -> None:
    with connected(tmp_path, code=SLOW) as client:
        client.send("tools/call", {"name": "cortex_stuck", "arguments": {}, "_meta": {"progressToken": 1}})
        assert "notifications/progress" == client.receive()["method"]
        begun = time.perf_counter()

        code = client.close()

    assert 0 == code
    assert time.perf_counter() - begun < EXIT_SECONDS


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_cleanly(tmp_path: Path, number: int) -> None:
    with connected(tmp_path) as client:
        client.call("cortex_store", {"content": "One"})
        begun = time.perf_counter()

        client.process.send_signal(number)

        assert 0 == client.process.wait(10)
        assert time.perf_counter() - begun < EXIT_SECONDS


def test_a_client_that_reads_no_more_does_not_keep_the_process(tmp_path: Path) -> None:
    with connected(tmp_path) as client:
        assert client.process.stdin is not None
        os.set_blocking(client.process.stdin.fileno(), False)
        sent = 0
        # Until both pipes are full, and the server reads no more either.
        while sent < 100 * limits.MCP_PENDING_MAX and select.select([], [client.process.stdin], [], 2)[1]:
            sent += 1
            os.write(client.process.stdin.fileno(), message("tools/list", sent))
        assert sent < 100 * limits.MCP_PENDING_MAX
        assert status(client, "VmRSS") < 2 * MEMORY_KB
        begun = time.perf_counter()

        client.process.terminate()

        assert 0 == client.process.wait(10)
        assert time.perf_counter() - begun < EXIT_SECONDS


JUNK = [
    b"hello",
    b"{",
    b"\xff\xfe\x00",
    b"null",
    b"[]",
    b'"text"',
    b"[" * 10_000,
    b'{"jsonrpc":"2.0"}',
    b'{"jsonrpc":"2.0","id":7,"method":5}',
    b'{"jsonrpc":"2.0","id":{"a":1},"method":"ping"}',
    b'{"jsonrpc":"2.0","id":9,"method":"no/such/method"}',
    b'{"jsonrpc":"2.0","id":10,"method":"tools/call","params":[]}',
    b'{"jsonrpc":"2.0","id":11,"method":"tools/call","params":{"name":5}}',
    b'{"jsonrpc":"2.0","method":"notifications/nothing"}',
    b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":12345}}',
    b'{"jsonrpc":"2.0","id":99,"result":{}}',
    b'{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}',
]


def test_junk_lines_are_answered_or_dropped_and_nothing_else_is_printed(tmp_path: Path) -> None:
    ping = message("ping", 77)

    done = run_with(tmp_path, HELLO + b"\n".join(JUNK) + b"\n" + ping)

    answers = [jsonrpc_message_adapter.validate_json(line, by_name=False) for line in done.stdout.splitlines()]
    assert 0 == done.returncode
    assert 77 in {getattr(answer, "id", None) for answer in answers}
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("first", JUNK[::3], ids=range(len(JUNK[::3])))
def test_junk_as_the_first_line_does_not_end_the_conversation(tmp_path: Path, first: bytes) -> None:
    done = run_with(tmp_path, first + b"\n" + message("initialize", 1, INITIALIZE) + message("ping", 2))

    answers = [jsonrpc_message_adapter.validate_json(line, by_name=False) for line in done.stdout.splitlines()]
    assert {1, 2} <= {getattr(answer, "id", None) for answer in answers}


def test_a_line_over_the_limit_is_refused_without_being_held(tmp_path: Path) -> None:
    with connected(tmp_path) as client:
        client.write(b"x" * (limits.MCP_LINE_BYTES_MAX + 10) + b"\n")
        refused = client.receive()
        answer = client.ask("ping")

    assert refused["id"] is None
    assert str(limits.MCP_LINE_BYTES_MAX) in refused["error"]["message"]
    assert {} == answer["result"]


def test_a_stray_print_goes_to_standard_error(tmp_path: Path) -> None:
    call = message("tools/call", 1, {"name": "cortex_count", "arguments": {}})
    done = subprocess.run(
        [sys.executable, "-c", SLOW], input=HELLO + call, capture_output=True, env=environment(tmp_path),
        cwd=tmp_path, timeout=30, check=False,
    )  # fmt: skip

    assert b"a stray print" in done.stderr
    for line in done.stdout.splitlines():
        jsonrpc_message_adapter.validate_json(line, by_name=False)


def test_what_nobody_expected_is_told_as_internal_and_logged_without_reaching_the_client(tmp_path: Path) -> None:
    with connected(tmp_path, code=SLOW) as client:
        found = client.call("cortex_break_down")
        after = client.call("cortex_count")

    assert Refused("internal") == found
    assert "secret" not in found.text
    assert {"done": 3} == after


def test_lines_that_came_with_the_first_one_are_not_lost(tmp_path: Path) -> None:
    calls = [
        message("tools/call", n, {"name": "cortex_store", "arguments": {"content": f"Fact {n}"}}) for n in range(1, 30)
    ]

    done = run_with(tmp_path, HELLO + b"".join(calls))

    assert set(range(30)) == {json.loads(line)["id"] for line in done.stdout.splitlines()}
    assert 30 == len(done.stdout.splitlines())


def test_progress_is_told_to_who_asked_and_only_grows(tmp_path: Path) -> None:
    with connected(tmp_path, code=SLOW) as client:
        number = client.send(
            "tools/call", {"name": "cortex_count", "arguments": {"steps": 500}, "_meta": {"progressToken": "p"}}
        )
        told = []
        while "method" in (found := client.receive()):
            told.append(found["params"])
        silent = client.send("tools/call", {"name": "cortex_count", "arguments": {"steps": 5}})
        answer = client.receive()

    assert number == found["id"]
    assert ["p"] * len(told) == [params["progressToken"] for params in told]
    assert sorted({params["progress"] for params in told}) == [params["progress"] for params in told]
    assert {"progressToken": "p", "progress": 500, "total": 500, "message": "steps"} == told[-1]
    assert len(told) < 50
    assert silent == answer["id"]


def test_a_cancelled_call_interrupts_its_read_and_others_go_on(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environment(tmp_path), cwd=tmp_path,
    )  # fmt: skip
    with process:
        client = Client(process)
        client.initialize()
        assert process.stderr is not None
        number = client.send("tools/call", {"name": "cortex_wait", "arguments": {}})
        assert any(b"reading" in line for line in process.stderr)
        assert {"done": 3} == client.call("cortex_count")

        client.send("notifications/cancelled", {"requestId": number}, notify=True)

        assert any(b"interrupted" in line for line in process.stderr)
        assert "id" in client.call("cortex_store", {"content": "still here"})
        assert process.stdin is not None
        process.stdin.close()
        assert 0 == process.wait(10)


def test_ids_that_cannot_be_answered_are_refused_and_the_session_goes_on(tmp_path: Path) -> None:
    with connected(tmp_path) as client:
        for line in (
            rb'{"jsonrpc":"2.0","id":"\ud800","method":"ping"}',
            b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}',
            b'{"jsonrpc":"2.0","id":true,"method":"ping"}',
            b'{"jsonrpc":"2.0","id":null,"method":"ping"}',
        ):
            client.write(line + b"\n")
            assert -32600 == client.receive()["error"]["code"]

        assert {} == client.ask("ping")["result"]
