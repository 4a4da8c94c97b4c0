"""The suite as it runs: complete, on a throwaway folder, and gone without a trace."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from cortex.bench import suite
from cortex.bench.figures import Benchmark
from cortex.bench.peers import PEERS
from cortex.bench.probing import measure
from cortex.bench.table import lines
from cortex.bench.task import Task
from cortex.errors import Invalid

COMMAND = "import sys; from cortex.bench.command import benchmark; sys.exit(benchmark.main(standalone_mode=False))"
QUICK = ["--json", "--quick", "--facts", "60", "--entries", "70", "--against", ",".join(PEERS)]
TELLING = """
from cortex.bench.suite import Options, run
run(Options(facts=(1000,), entries=(1000,)), lambda *at: print(*at, flush=True))
"""
NAMES = [
    "add one by one: CPU per fact",
    "add one by one: wall per fact",
    "add a batch of 100: CPU",
    "add a batch of 100: wall",
    "64 stores at once",
    "64 stores at once, one commit each",
    "64 stores at once: shared commits against one each",
    "64 stores at once, a sync taking 1 ms more",
    "64 stores at once, a sync taking 1 ms more, one commit each",
    "64 stores at once, a sync taking 1 ms more: shared commits against one each",
    "8 processes storing 10 facts each in one file: wall",
    "8 processes storing 10 facts each in one file: kept",
    "cortex --version: wall",
    "load 60 facts in batches of 1,000: wall per fact",
    "search 60 facts, one project: p50",
    "search 60 facts, one project: p95",
    "search 60 facts, one project: CPU, mean",
    "search 60 facts, all projects: p50",
    "search 60 facts, all projects: p95",
    "search 60 facts, all projects: CPU, mean",
    "search 60 facts, all projects, frequent words: p50",
    "search 60 facts, all projects, frequent words: p95",
    "search 60 facts, all projects, frequent words: CPU, mean",
    "memory of the process that searched 60 facts",
    "recall from 60 facts, by a query",
    "recall from 60 facts, without a query",
    "verify 60 facts, text included: CPU",
    "MCP server: initialize answered after",
    "MCP server: tools/list answered after",
    "MCP server on 60 facts, after 5 calls: memory",
    "load 70 facts in batches of 1,000: wall per fact",
    "integrity of 70 entries: CPU",
    "integrity of 70 entries: peak memory",
    "integrity of 70 entries, 1,000 entries later, incremental: CPU",
]


@dataclass(frozen=True)
class Ran:
    """A quick run of the command: what it printed, and the folders round it."""

    result: Benchmark
    temporary: Path
    home: Path


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    temporary, home = tmp_path_factory.mktemp("temporary"), tmp_path_factory.mktemp("home")
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *QUICK],
        env=surroundings(temporary, home),
        cwd=home,
        capture_output=True,
        check=True,
    )
    assert b"" == done.stderr
    return Ran(msgspec.json.decode(done.stdout, type=Benchmark), temporary, home)


def surroundings(temporary: Path, home: Path) -> dict[str, str]:
    broken = {"CORTEX_DB": str(home / "mine.db"), "CORTEX_HOME": str(home / "mine"), "CORTEX_BATCH_SIZE": "no number"}
    return dict(os.environ) | {"HOME": str(home), "TMPDIR": str(temporary)} | broken


def test_a_quick_run_measures_everything(ran: Ran) -> None:
    assert NAMES == [figure.name for figure in ran.result.figures]
    assert [] == [figure.name for figure in ran.result.figures if figure.verdict == "not measured"]
    assert all(figure.low <= figure.value <= figure.high for figure in ran.result.figures)  # type: ignore[operator]


def test_what_several_processes_store_is_kept(ran: Ran) -> None:
    kept = next(figure for figure in ran.result.figures if figure.name.endswith("kept"))

    assert (80, "met", "") == (kept.value, kept.verdict, kept.note)


def test_the_machine_is_named_with_the_result(ran: Ran) -> None:
    machine = ran.result.machine

    assert machine.cpus >= 1
    assert machine.python == ".".join(map(str, sys.version_info[:3]))
    assert machine.sync.value is not None
    assert machine.sync.value > 0


def test_a_peer_has_figures_and_ratios_or_is_not_installed(ran: Ran) -> None:
    assert list(PEERS) == [peer.name for peer in ran.result.peers]
    for peer in ran.result.peers:
        assert (peer.version is None) == (peer.note == "not installed")
        assert (peer.version is None) == (peer.figures == [])
        assert {ratio.name for ratio in peer.ratios} <= {figure.name for figure in peer.figures}


def test_nothing_is_left_on_the_disk_and_nothing_of_the_user_is_touched(ran: Ran) -> None:
    assert [] == list(ran.temporary.iterdir())
    assert [] == list(ran.home.iterdir())


def test_people_see_all_that_programs_get(ran: Ran) -> None:
    shown = "\n".join(lines(ran.result))

    assert all(figure.name in shown for figure in ran.result.figures)
    assert all(peer.name in shown for peer in ran.result.peers)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_an_interrupt_ends_every_process_and_leaves_nothing(tmp_path: Path) -> None:
    temporary, home = tmp_path / "temporary", tmp_path / "home"
    temporary.mkdir()
    home.mkdir()
    running = subprocess.Popen(
        [sys.executable, "-c", TELLING],
        env=surroundings(temporary, home) | {"CORTEX_BATCH_SIZE": "100"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert running.stdout is not None
    first = running.stdout.readline()

    running.send_signal(signal.SIGINT)
    _, complaint = running.communicate(timeout=60)

    assert first.startswith(b"1 ")
    assert b"KeyboardInterrupt" in complaint
    assert [] == list(temporary.iterdir())
    assert [] == processes_naming(str(temporary))


@pytest.mark.skipif(os.name != "posix", reason="process groups of POSIX")
def test_a_benchmark_that_is_killed_takes_its_worker_along(tmp_path: Path) -> None:
    reading, holding = os.pipe()
    task = Task(probe="stores", folder=str(tmp_path), quick=False)
    worker = subprocess.Popen(
        [sys.executable, "-m", "cortex.bench.worker", msgspec.json.encode(task).decode()],
        stdin=reading,
        start_new_session=True,
    )
    os.close(reading)

    os.close(holding)

    assert worker.wait(timeout=60) in {-signal.SIGKILL, 1}


def test_a_probe_that_fails_says_why(tmp_path: Path) -> None:
    answer = measure(Task(probe="peer stores", folder=str(tmp_path), quick=True, peer="nobody"))

    assert "KeyError: 'nobody'" == answer.failed
    assert [] == answer.figures


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (suite.Options(suite="speed"), "there is no suite 'speed'"),
        (suite.Options(against=("other",)), "'other' cannot be measured"),
        (suite.Options(facts=(0,)), "facts of 0"),
        (suite.Options(entries=(10**9,)), "entries of 1000000000"),
        (suite.Options(facts=(1, 2, 3, 4, 5)), "facts of 1, 2, 3, 4, 5"),
    ],
)
def test_options_that_cannot_be_are_refused(options: suite.Options, found: str) -> None:
    with pytest.raises(Invalid, match=found):
        suite.run(options)


def processes_naming(text: str) -> list[str]:
    """The command lines of running processes that hold `text`; none where the system does not tell."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended meanwhile
        if text in line:
            found.append(line)
    return found
