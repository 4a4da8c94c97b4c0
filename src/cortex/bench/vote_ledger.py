"""Verifying a votes log: all of it, and only what came since; and whether appending to it stays as fast as it grows."""

import statistics
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from cortex.bench import clock, figures, vote_files
from cortex.bench.clock import Lap
from cortex.bench.figures import Figure, Target
from cortex.bench.task import Task
from cortex.db import structure
from cortex.db.connect import Tx, connect
from cortex.ledger.findings import Findings
from cortex.ledger.keys import NodeKey
from cortex.ledger.memory import RememberedVotes
from cortex.ops.vote_verification import TABLES
from cortex.progress import silent
from cortex.trust import copies, integrity, replay, signatures, validity
from cortex.trust import log as logs
from cortex.trust.validity import Keys

_MORE = 1_000
_MILLION = 1_000_000
_ROUNDS, _ROUNDS_QUICK = 5, 2
_EXPECTED_CPU_MS = {10_000: 100.0, _MILLION: 6_000.0}
_EXPECTED_SIGNED_CPU_MS = {10_000: 700.0}
_EXPECTED_PEAK_MIB = {_MILLION: 150.0}
_EXPECTED_RATIO = 1.2
# So short that nothing is settled while appending is measured: every log is given the same work.
_APPENDED_EVERY = timedelta(milliseconds=1)
_BUSY_MS = 30_000


@dataclass
class _Laps:
    """CPU milliseconds of each pass, round by round."""

    integrity: list[float] = field(default_factory=list)
    signatures: list[float] = field(default_factory=list)
    rules: list[float] = field(default_factory=list)

    @property
    def signed(self) -> list[float]:
        """Of integrity and signatures together."""
        return [one + other for one, other in zip(self.integrity, self.signatures, strict=True)]


def verification(task: Task) -> list[Figure]:
    """The passes over the file of `task.size` votes, and then over what came since alone."""
    size, path = task.size, vote_files.votes_file(task.path, task.size)
    rounds = _ROUNDS_QUICK if task.quick else _ROUNDS
    with closing(connect(path, busy_timeout_ms=_BUSY_MS)) as tx:
        first, remembered = _integrity(tx, None)
        peak = clock.peak_mib()
        copy = path.with_name(f"{path.name}.copy")
        whole = _whole(tx, copy, 1 if size >= _MILLION else rounds, first)
        since = _since(tx, copy, rounds, remembered, _node_key(path))
        pages = [_structure(tx) for _ in range(1 if size >= _MILLION else rounds)]
    name = f"{size:,} votes"
    later = f"{name}, {_MORE:,} later, incremental: CPU"
    return [
        figures.measured(f"integrity of {name}: CPU", "ms", whole.integrity, _below(_EXPECTED_CPU_MS, size)),
        _peak(f"integrity of {name}: peak memory", peak, _below(_EXPECTED_PEAK_MIB, size)),
        figures.measured(
            f"integrity and all signatures of {name}: CPU", "ms", whole.signed, _below(_EXPECTED_SIGNED_CPU_MS, size)
        ),
        figures.measured(f"rules of {name}, replayed: CPU", "ms", whole.rules),
        figures.measured(f"structure of {name}: CPU", "ms", pages),
        figures.measured(f"integrity of {later}", "ms", since.integrity),
        figures.measured(f"integrity and signatures of {later}", "ms", since.signed),
        figures.measured(f"rules of {later}", "ms", since.rules),
    ]


def _whole(tx: Tx, copy: Path, rounds: int, first: float) -> _Laps:
    """All passes from the beginning; the integrity pass was made once. What was replayed stays in `copy`."""
    laps = _Laps(integrity=[first, *(_integrity(tx, None)[0] for _ in range(rounds - 1))])
    for _ in range(rounds):
        laps.signatures.append(_signatures(tx, 0, Keys()))
        copy.unlink(missing_ok=True)
        laps.rules.append(_rules(tx, copy, keep=True))
    return laps


def _since(tx: Tx, copy: Path, rounds: int, remembered: RememberedVotes, key: NodeKey) -> _Laps:
    """All passes over votes that are added and taken away again each time: the log keeps its size."""
    laps = _Laps()
    keys = validity.at(tx, None, remembered.origin, remembered.size)
    for _ in range(rounds):
        tx.execute("BEGIN IMMEDIATE")
        vote_files.put(tx, key, vote_files.ballots(logs.needed(tx), _MORE))
        laps.integrity.append(_integrity(tx, remembered)[0])
        laps.signatures.append(_signatures(tx, remembered.size, keys))
        laps.rules.append(_rules(tx, copy, keep=False))
        tx.execute("ROLLBACK")
    return laps


def appending(task: Task) -> list[Figure]:
    """Appending to each file that there is, in turns, so that what else the machine does falls on all of them."""
    rounds = _ROUNDS_QUICK if task.quick else _ROUNDS
    places = {int(path.stem.partition("-")[2]): path for path in task.path.glob("votes-*.db")}
    sizes = sorted(places)
    laps: dict[int, list[float]] = {size: [] for size in sizes}
    for number in range(rounds + 1):
        for size in sizes:
            cpu_ms = _appended(places[size])
            if number:  # the first round reads the file
                laps[size].append(cpu_ms / _MORE)
    found = [figures.measured(f"append to {size:,} votes: CPU per vote", "ms", laps[size]) for size in sizes]
    first, last = sizes[0], sizes[-1]
    ratio = statistics.median(laps[last]) / statistics.median(laps[first])
    name = f"append to {last:,} votes: times that of {first:,}"
    return [*found, figures.measured(name, "times", [ratio], figures.at_most(_EXPECTED_RATIO))]


def _appended(path: Path) -> float:
    """CPU milliseconds of appending some votes in one transaction, which is undone: the log keeps its size."""
    key = _node_key(path)
    with closing(connect(path, busy_timeout_ms=_BUSY_MS)) as tx:
        tx.execute("BEGIN IMMEDIATE")
        signed = list(vote_files.ballots(logs.needed(tx), _MORE + 1, every=_APPENDED_EVERY))
        vote_files.put(tx, key, signed[:1])  # reads what an open file has in memory
        with Lap() as lap:
            vote_files.put(tx, key, signed[1:])
        tx.execute("ROLLBACK")
    return lap.cpu_ms


def _integrity(tx: Tx, remembered: RememberedVotes | None) -> tuple[float, RememberedVotes]:
    """CPU milliseconds of the pass, reading the file included, and what is to be remembered."""
    findings = Findings()
    with Lap() as lap, tx:
        _, later = integrity.check(
            tx, logs.needed(tx), findings, remembered=remembered, incremental=remembered is not None, progress=silent
        )
    assert not findings.list, f"our own log verifies, found {findings.list[:1]}"
    return lap.cpu_ms, later


def _structure(tx: Tx) -> float:
    with Lap() as lap, tx:
        found = list(structure.unsound(tx, TABLES))
    assert not found, f"our own tables and their indexes say the same, found {found[:1]}"
    return lap.cpu_ms


def _signatures(tx: Tx, start: int, keys: Keys) -> float:
    findings = Findings()
    with Lap() as lap, tx:
        signatures.check(tx, logs.needed(tx).origin, findings, start=start, keys=keys, progress=silent)
    assert not findings.list, f"our own signatures hold, found {findings.list[:1]}"
    return lap.cpu_ms


def _rules(tx: Tx, copy: Path, *, keep: bool) -> float:
    """CPU milliseconds of the policy pass, which resumes a copy where there is one."""
    findings = Findings()
    resume = copy.exists()
    with Lap() as lap, tx:
        log = logs.needed(tx)
        with copies.opened(copy, tx, log.origin, log.size, log.root, resume=resume) as held:
            assert held.resumed == resume, "a copy of our own log is resumed"
            replay.check(tx, log.origin, findings, held, size=log.size, void=set(), progress=silent)
            if keep:
                held.keep()
    assert not findings.list, f"our own votes follow the rules, found {findings.list[:1]}"
    return lap.cpu_ms


def _node_key(path: Path) -> NodeKey:
    """The key of the node that made the file."""
    return NodeKey(path.with_name(f"{path.name}.key"))


def _below(expected: dict[int, float], size: int) -> Target | None:
    value = expected.get(size)
    return None if value is None else figures.below(value)


def _peak(name: str, peak: float | None, target: Target | None) -> Figure:
    if peak is None:
        return figures.not_measured(name, "MiB", "this system does not tell", target)
    return figures.measured(name, "MiB", [peak], target)
