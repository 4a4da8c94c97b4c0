"""A witness as a process: what it refuses, what it survives, and that it never cosigns two histories."""

import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection
from itertools import pairwise
from pathlib import Path

import apsw
import pytest

from cortex.errors import Conflict, CortexError, Unavailable
from cortex.ledger import checkpoint, cosignature, witnesses
from cortex.ledger.witnesses import WitnessTarget
from growing_log import ORIGIN, GrowingLog

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs signals")

CHILD = Path(__file__).with_name("witness_child.py")
LOG = GrowingLog()
FORK = GrowingLog(forked_at=4)
SEED = 20_261_121


class Place:
    """A folder with a state file and the logs a witness knows, and the processes that serve it."""

    def __init__(self, folder: Path) -> None:
        self.state, self.logs = folder / "witness.db", folder / "logs"
        self.logs.write_text(f"log {LOG.signer.vkey}\n")
        self._processes: list[subprocess.Popen[bytes]] = []

    def started(self, *limits: str, name: str = "witness.example") -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, CHILD, self.state, self.logs, name, *limits],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
        self._processes.append(process)
        return process

    def serving(self, *limits: str) -> tuple[subprocess.Popen[bytes], WitnessTarget]:
        process = self.started(*limits)
        assert process.stdout is not None
        return process, witnesses.parse_target(process.stdout.readline().decode().strip())

    def refused(self, *, name: str = "witness.example") -> str:
        process = self.started(name=name)
        _, said = process.communicate(timeout=60)
        assert 1 == process.returncode
        return said.decode()

    def held(self) -> list[tuple[str, int]]:
        connection = apsw.Connection(str(self.state))
        rows = connection.execute("SELECT origin, size FROM witnessed").fetchall()
        connection.close()
        return rows

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Where a witness keeps its things."""
    made = Place(tmp_path)
    yield made
    made.end()


def stopped(process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    return process.returncode, said.decode()


def submitted(target: WitnessTarget, size: int, log: GrowingLog = LOG) -> int:
    """The time of the cosignature."""
    note = log.note(size)
    given = witnesses.submit(target, note, log.proof_to(size))
    return cosignature.verify_cosignature(cosignature.add_lines(note, given.lines), target.vkey or "")


def request(target: WitnessTarget, body: bytes, path: str = "/add-checkpoint") -> tuple[int, str | None, bytes]:
    connection = HTTPConnection(target.place.removeprefix("http://"), timeout=60)
    connection.request("POST", path, body)
    answer = connection.getresponse()
    found = answer.status, answer.getheader("Content-Type"), answer.read()
    connection.close()
    return found


def asking(old: int, size: int, log: GrowingLog = LOG, *, proof: list[bytes] | None = None) -> bytes:
    made = log.proof(old, size) if proof is None and 0 < old < size else proof or []
    lines = "".join(f"{checkpoint.encode_base64(found)}\n" for found in made)
    return f"old {old}\n{lines}\n{log.note(size)}".encode()


def raw(target: WitnessTarget, sent: bytes) -> bytes:
    """Everything that is answered to some bytes until the witness hangs up."""
    host, port = target.place.removeprefix("http://").split(":")
    parts = []
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        with suppress(OSError):
            connection.sendall(sent)
        with suppress(ConnectionResetError):
            while part := connection.recv(1 << 16):
                parts.append(part)
    return b"".join(parts)


def test_a_log_that_grows_is_cosigned_and_stays_known_after_a_restart(place: Place) -> None:
    process, target = place.serving()
    times = [submitted(target, size) for size in (0, 1, 3, 3, 8)]
    assert (0, "") == stopped(process)

    process, again = place.serving()
    times.append(submitted(again, 12))

    assert target.vkey == again.vkey
    assert sorted(times) == times
    assert [(ORIGIN, 12)] == place.held()
    assert [0o600, 0o600] == [path.stat().st_mode & 0o777 for path in place.state.parent.glob("witness.db*")]
    assert (0, "") == stopped(process, signal.SIGINT)


def test_the_key_is_shown_to_whoever_asks(place: Place) -> None:
    _, target = place.serving()
    connection = HTTPConnection(target.place.removeprefix("http://"), timeout=60)
    for path in ("/", "/vkey"):
        connection.request("GET", path)
        answer = connection.getresponse()
        assert (200, f"{target.vkey}\n".encode()) == (answer.status, answer.read())
    connection.request("GET", "/else")
    assert 404 == connection.getresponse().status
    connection.close()


def test_a_split_view_and_a_rewritten_history_are_refused_and_not_stored(place: Place) -> None:
    process, target = place.serving()
    submitted(target, 8)

    for size, code in ((8, "SPLIT_VIEW"), (5, "ROLLBACK"), (11, "HISTORY_REWRITTEN")):
        with pytest.raises(Conflict, match=code):
            submitted(target, size, FORK)

    assert [(ORIGIN, 8)] == place.held()
    submitted(target, 9)
    code, said = stopped(process)
    assert 0 == code
    assert 1 == said.count("SPLIT_VIEW")
    assert ascii(FORK.note(8)) in said


def test_each_refusal_has_the_status_that_the_protocol_gives_it(place: Place) -> None:
    _, target = place.serving()
    submitted(target, 5)
    text, size = "text/plain; charset=utf-8", "text/x.tlog.size"
    stranger, impostor = GrowingLog("stranger"), GrowingLog(seed=b"\x09" * 32)
    empty = checkpoint.sign(checkpoint.Checkpoint(ORIGIN, 0, b"\x01" * 32), LOG.signer)

    assert (404, text) == request(target, asking(0, 3, stranger))[:2]
    assert (403, text) == request(target, asking(5, 8, impostor))[:2]
    assert (400, text) == request(target, asking(9, 8))[:2]
    assert (409, size, b"5\n") == request(target, asking(0, 8))
    assert (409, size, b"5\n") == request(target, asking(4, 8))
    assert (409, size, b"5\n") == request(target, asking(7, 8))
    assert (409, size, b"5\n") == request(target, asking(5, 5, FORK))
    assert (409, size, b"5\n") == request(target, f"old 0\n\n{empty}".encode())
    assert (422, text) == request(target, asking(5, 8, proof=[b"\0" * 32]))[:2]
    assert (422, text) == request(target, asking(5, 8, proof=LOG.proof(4, 8)))[:2]
    assert (422, text) == request(target, asking(5, 5, proof=[b"\0" * 32]))[:2]
    assert (422, text) == request(target, asking(5, 8, FORK))[:2]
    assert (404, text) == request(target, asking(5, 8), "/add-checkpoints")[:2]
    assert [(ORIGIN, 5)] == place.held()
    assert 200 == request(target, asking(5, 8))[0]


def test_the_first_checkpoint_needs_no_proof_and_an_empty_tree_has_one_root(place: Place) -> None:
    _, target = place.serving()
    empty = checkpoint.sign(checkpoint.Checkpoint(ORIGIN, 0, b"\x01" * 32), LOG.signer)

    assert 422 == request(target, f"old 0\n\n{empty}".encode())[0]
    assert 422 == request(target, asking(0, 3, proof=[b"\0" * 32]))[0]
    assert (409, b"0\n") == request(target, asking(2, 3))[::2]
    assert [] == place.held()
    assert 200 == request(target, asking(0, 0))[0]
    assert 200 == request(target, asking(0, 3))[0]


NOTE = LOG.note(8).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\n", b"old 0", b"old 0\n", b"old 0\n\n", b"old 0\n" + NOTE, b"old 00\n\n" + NOTE, b"old -1\n\n" + NOTE,
        b"old +1\n\n" + NOTE, b"old  0\n\n" + NOTE, b"old 0 \n\n" + NOTE, b"old 0\r\n\r\n" + NOTE, b"new 0\n\n" + NOTE,
        b"old \xd9\xa1\n\n" + NOTE, b"old 0\nAA==\n\n" + NOTE, b"old 0\n" + b"A" * 42 + b"B=\n\n" + NOTE,
        b"old 0\n" + (b"A" * 43 + b"=\n") * 64 + b"\n" + NOTE, b"old 99999999999999999999\n\n" + NOTE,
        b"old 0\n\n" + NOTE[:-1], b"old 0\n\n" + NOTE + b"x", b"old 0\n\n\n" + NOTE, b"\xff" * 100,
        b"old 0\n\nany text\n\n" + NOTE.split(b"\n\n")[1], b"old 0\n\n" + NOTE + NOTE,
    ],
)  # fmt: skip
def test_a_junk_request_is_a_bad_request(junk_witness: WitnessTarget, body: bytes) -> None:
    assert 400 == request(junk_witness, body)[0]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"junk\r\n\r\n", b"400"),
        (b"POST /add-checkpoint HTTP/1.1\r\n\r\n", b"411"),
        (b"POST /add-checkpoint HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", b"411"),
        (b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy", b"400"),
        (b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: \xd9\xa1\r\n\r\n", b"400"),
        (b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 65537\r\n\r\n", b"413"),
        (b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", b"400"),
        (b"PUT / HTTP/1.1\r\n\r\n", b"501"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 90 + b"Z: " + b"z" * 17_000 + b"\r\n\r\n", b"431"),
        (b"GET /" + b"x" * 17_000 + b" HTTP/1.1\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", b"431"),
    ],
)  # fmt: skip
def test_junk_http_is_refused_and_hung_up_on(junk_witness: WitnessTarget, sent: bytes, status: bytes) -> None:
    answered = raw(junk_witness, sent)

    # Where more was sent than is read, the system may throw the answer away with the connection.
    assert status in answered or (not answered and len(sent) > 16_000)


@pytest.fixture(scope="module")
def junk_witness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WitnessTarget]:
    """One witness for all junk, which must cosign as ever when that is over, and must have said nothing."""
    place = Place(tmp_path_factory.mktemp("junk"))
    process, target = place.serving()
    yield target
    submitted(target, 8)
    assert (0, "") == stopped(process)
    place.end()


def test_slow_and_idle_clients_are_hung_up_on_while_others_are_served(place: Place) -> None:
    _, target = place.serving("WITNESS_CONNECTION_SECONDS=1", "WITNESS_THREADS_MAX=4")
    host, port = target.place.removeprefix("http://").split(":")
    slow = [socket.create_connection((host, int(port)), timeout=60) for _ in range(3)]
    for connection in slow:
        connection.sendall(b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 1000\r\n\r\nold")

    submitted(target, 5)

    for connection in slow:
        assert b"" == connection.recv(1)
        connection.close()


@pytest.mark.parametrize(
    "begun",
    [b"P", b"POST /add-checkpoint HTTP/1.1\r\nX", b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 60000\r\n\r\n"],
)
def test_a_request_that_drips_is_hung_up_on_long_before_its_connection_would_be(place: Place, begun: bytes) -> None:
    _, target = place.serving("WITNESS_REQUEST_SECONDS=1", "WITNESS_CONNECTION_SECONDS=600", "WITNESS_IDLE_SECONDS=600")
    host, port = target.place.removeprefix("http://").split(":")

    with socket.create_connection((host, int(port)), timeout=0.05) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\n\r\n")
        answered = False
        try:
            slow.sendall(begun)
            while part := received(slow):
                answered = answered or b"200 OK" in part
                slow.sendall(b"x")
        except OSError:
            pass  # the witness has gone

    assert answered
    submitted(target, 5)


def received(connection: socket.socket) -> bytes:
    """What came, something where nothing came yet, nothing after the end."""
    try:
        return connection.recv(1 << 16)
    except TimeoutError:
        return b"nothing yet"


def test_more_connections_than_there_are_threads_are_turned_away_for_the_moment(place: Place) -> None:
    process, target = place.serving("WITNESS_THREADS_MAX=2", "WITNESS_CONNECTION_SECONDS=600")
    host, port = target.place.removeprefix("http://").split(":")
    holding = [HTTPConnection(host, int(port), timeout=60) for _ in range(2)]
    for connection in holding:
        connection.request("GET", "/")
        assert 200 == connection.getresponse().status

    assert b"503" in raw(target, b"")
    # Idle connections do not keep it from stopping.
    assert (0, "") == stopped(process)
    for connection in holding:
        connection.close()


def test_the_trust_file_is_read_again_when_it_changes(place: Place) -> None:
    process, target = place.serving()
    other, rotated = GrowingLog("other"), GrowingLog(seed=b"\x03" * 32)
    assert 404 == request(target, asking(0, 1, other))[0]

    place.logs.write_text(f"# both\nlog {LOG.signer.vkey}\nlog {rotated.signer.vkey}\nlog {other.signer.vkey}\n")
    assert 200 == request(target, asking(0, 1, other))[0]
    assert 200 == request(target, asking(0, 1))[0]
    assert 200 == request(target, asking(1, 2, rotated))[0]

    for broken in ("log junk\n", "log \udcff"):
        place.logs.write_bytes(broken.encode(errors="surrogateescape"))
        assert [503, 503] == [request(target, asking(2, 3))[0] for _ in range(2)]
    place.logs.unlink()
    assert 503 == request(target, asking(2, 3))[0]

    place.logs.write_text(f"log {rotated.signer.vkey}\n")
    assert 403 == request(target, asking(2, 3))[0]
    assert 200 == request(target, asking(2, 3, rotated))[0]
    code, said = stopped(process)
    assert (0, 3) == (code, said.count("cannot be used"))


def test_a_witness_that_lost_its_memory_or_its_key_does_not_start(place: Place) -> None:
    process, target = place.serving()
    submitted(target, 5)
    stopped(process)
    key = place.state.with_name("witness.db.key")
    state_bytes, key_bytes = place.state.read_bytes(), key.read_bytes()

    place.state.unlink()
    assert "the state" in (said := place.refused())
    assert "is gone" in said
    place.state.touch()
    assert "is gone" in place.refused()
    place.state.write_bytes(state_bytes)
    key.unlink()
    assert "but not its key" in place.refused()
    assert not key.exists()
    key.write_text("junk")
    assert "is not a witness's key" in place.refused()
    key.write_bytes(key_bytes)
    assert "is the state of" in place.refused(name="another.example")
    process, again = place.serving()
    assert target.vkey == again.vkey


def test_files_that_are_no_witness_are_left_alone(place: Place) -> None:
    connection = apsw.Connection(str(place.state))
    connection.execute("CREATE TABLE mine (x)")
    connection.close()
    assert "no state of a witness" in place.refused()
    place.state.write_bytes(b"text" * 1_000)
    assert "not an SQLite file" in place.refused()
    place.state.unlink()
    place.logs.write_text("log junk")
    assert "line 1" in place.refused()


def _all_at_once(targets: list[WitnessTarget], sizes: list[int], logs: list[GrowingLog]) -> list[tuple[int, int, bool]]:
    """Size, time and whether it was the fork, of what was cosigned."""

    def attempt(number: int) -> tuple[int, int, bool] | None:
        log = logs[number % len(logs)]
        try:
            return sizes[number], submitted(targets[number % len(targets)], sizes[number], log), log is FORK
        except CortexError:
            return None

    with ThreadPoolExecutor(8) as pool:
        return [done for done in pool.map(attempt, range(len(sizes))) if done is not None]


def test_two_processes_on_one_state_cosign_one_history(place: Place) -> None:
    first, second = place.started(), place.started()
    targets = []
    for process in (first, second):
        assert process.stdout is not None
        targets.append(witnesses.parse_target(process.stdout.readline().decode().strip()))
    assert targets[0].vkey == targets[1].vkey
    chance = random.Random(SEED)
    sizes = [chance.randint(5, 300) for _ in range(60)]

    # Three of one log to one of the fork, so that both processes get both.
    done = _all_at_once(targets, sizes, [LOG, LOG, LOG, FORK, FORK])

    assert 1 == len({forked for _, _, forked in done})
    assert [(ORIGIN, max(size for size, _, _ in done))] == place.held()
    by_time = sorted(done, key=lambda each: each[1])
    for (size, at, _), (later, then, _) in pairwise(by_time):
        assert at == then or size <= later


def test_what_was_cosigned_is_known_after_a_kill_in_the_middle_of_many(place: Place) -> None:
    chance = random.Random(SEED)
    print(f"seed {SEED}")
    largest = 0
    for _ in range(8):
        process, target = place.serving()
        size = largest
        kill_at = chance.randint(1, 15)

        def told(step: int, victim: subprocess.Popen[bytes] = process, last: int = kill_at) -> None:
            if step == last:
                victim.kill()

        with ThreadPoolExecutor(1) as killer, suppress(Unavailable):
            for step in range(1, 1_000):
                size += chance.randint(1, 5)
                killer.submit(told, step)
                submitted(target, size)
                largest = size
        assert -9 == process.wait()
        ((_, held),) = place.held()
        assert largest <= held <= size
        largest = held

    _, target = place.serving()
    with pytest.raises(Conflict, match=r"SPLIT_VIEW|ROLLBACK"):
        submitted(target, largest, FORK)
    submitted(target, largest + 1)


def test_a_state_that_others_keep_locked_is_said_and_nothing_is_cosigned(place: Place) -> None:
    _, target = place.serving("WITNESS_BUSY_MS=100")
    connection = apsw.Connection(str(place.state))
    connection.execute("BEGIN EXCLUSIVE")

    assert 503 == request(target, asking(0, 5))[0]

    connection.execute("ROLLBACK")
    connection.close()
    assert [] == place.held()
    assert 200 == request(target, asking(0, 5))[0]


def test_a_log_name_of_any_script_is_witnessed(place: Place) -> None:
    log = GrowingLog("журнал.example/№1")
    place.logs.write_text(f"log {log.signer.vkey}\n")
    _, target = place.serving()

    submitted(target, 3, log)

    assert [(log.signer.name, 3)] == place.held()
