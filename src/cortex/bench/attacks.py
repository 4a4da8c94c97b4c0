"""Attacks on a votes ledger, each at every level of means, and what every verifier with some memory says to it."""

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import MappingProxyType

import msgspec

from cortex.bench import figures
from cortex.bench.attacking import ledgers, on_entries, on_history, on_tables, verifiers
from cortex.bench.attacking.attack import Attack
from cortex.bench.attacking.attacker import Attacker
from cortex.bench.attacking.ledgers import BuiltLedger
from cortex.bench.attacking.verifiers import AttackTold
from cortex.bench.figures import AttackRow, Figure
from cortex.bench.task import Task
from cortex.progress import Progress, silent

ATTACKS: tuple[Attack, ...] = (*on_entries.ATTACKS, *on_history.ATTACKS, *on_tables.ATTACKS)
BY_NAME = MappingProxyType({attack.name: attack for attack in ATTACKS})

# So many more votes that a batch is complete.
CROWD_FACTS = 130


def table_file(folder: Path) -> Path:
    """Where the probe leaves its table."""
    return folder / "attacks.json"


def probe(task: Task) -> list[Figure]:
    """Carry all attacks out; in a quick run one for each row of the design's table, by who has all keys."""
    chosen = _quick() if task.quick else _all()
    found = list(rows(task.path / "attacks", 0, silent, chosen))
    table_file(task.path).write_bytes(msgspec.json.encode(found))
    return [
        figures.measured("attacks on a votes ledger, each at every level", "attacks", [len(chosen)]),
        figures.measured("attacks that nobody finds", "attacks", [len(unfound(found))], figures.at_most(0)),
    ]


def _all() -> list[tuple[Attack, str]]:
    return [(attack, level) for attack in ATTACKS for level in attack.levels]


def _quick() -> list[tuple[Attack, str]]:
    first: dict[str, Attack] = {}
    for attack in ATTACKS:
        if not attack.crowded:
            first.setdefault(attack.row, attack)
    return [(attack, attack.levels[-1]) for attack in first.values()]


def unfound(found: Iterable[AttackRow]) -> set[tuple[str, str]]:
    """The attacks and levels that no verifier finds with any memory, but for what a server may do."""
    seen: dict[tuple[str, str], bool] = {}
    for row in found:
        told = {*row.owner, *row.facts, *(row.outsider or ())} - {verifiers.UNCHECKED}
        seen[row.attack, row.level] = seen.get((row.attack, row.level), False) or bool(told)
    return {key for key, told in seen.items() if not told and not BY_NAME[key[0]].allowed}


def matrix(seed: int = 0, progress: Progress = silent) -> list[AttackRow]:
    """Every attack at every level, for every memory: the same for the same seed. Takes about two minutes."""
    with tempfile.TemporaryDirectory(prefix="cortex-attacks-") as name:
        return list(rows(Path(name), seed, progress))


def rows(folder: Path, seed: int, progress: Progress, runs: Sequence[tuple[Attack, str]] = ()) -> Iterator[AttackRow]:
    """The same one after the other, made in a folder; all of them unless `runs` says which."""
    runs = runs or _all()
    small = crowded = ledgers.build(folder / "small", seed=seed)
    if any(attack.crowded for attack, _ in runs):
        crowded = ledgers.build(folder / "crowded", seed=seed, crowd_facts=CROWD_FACTS)
    for number, (attack, level) in enumerate(runs):
        place = folder / f"attack-{number}"
        found = carried_out(attack, level, crowded if attack.crowded else small, place)
        shutil.rmtree(place)
        yield from _rows(attack, level, found)
        progress(number + 1, len(runs), "attacks")


def _rows(attack: Attack, level: str, found: AttackTold) -> Iterator[AttackRow]:
    for memory, codes in found.owner.items():
        outsider = found.outsider.get(memory)
        yield AttackRow(
            row=attack.row,
            attack=attack.name,
            level=level,
            memory=memory,
            owner=sorted(codes),
            facts=sorted(found.facts),
            outsider=None if outsider is None else sorted(outsider),
        )


def carried_out(attack: Attack, level: str, built: BuiltLedger, folder: Path) -> AttackTold:
    """What is found in a copy of a ledger, made in `folder`, after an attack."""
    at = Attacker(built, folder)
    try:
        attack.run(at)
        at.go_on(level)
        attack.after(at)
    finally:
        at.close()
    return verifiers.told(built, at.path, at.receipts, attack.bundle)
