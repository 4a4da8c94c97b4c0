"""Attacks on a votes ledger, each at every level of means, and what every verifier with some memory says to it."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

from msgspec import Struct

from cortex.bench.attacking import ledgers, on_entries, on_history, on_tables, verifiers
from cortex.bench.attacking.attack import Attack
from cortex.bench.attacking.attacker import Attacker
from cortex.bench.attacking.ledgers import BuiltLedger
from cortex.bench.attacking.verifiers import Told
from cortex.progress import Progress, silent

ATTACKS: tuple[Attack, ...] = (*on_entries.ATTACKS, *on_history.ATTACKS, *on_tables.ATTACKS)
BY_NAME = MappingProxyType({attack.name: attack for attack in ATTACKS})

# So many more votes that a batch is complete.
CROWD_FACTS = 130


class AttackRow(Struct, frozen=True, kw_only=True):
    """What is said of one attack at one level, by those with one memory.

    `owner` are the codes of `cortex vote-ledger verify`, `facts` those of `cortex ledger verify`, `outsider` those of
    `verify.py` with a trust file on what the owner hands out ("-": nothing can be, or nothing is left to check; None:
    who has only what Cortex remembers has no bundle).
    """

    row: str
    attack: str
    level: str
    memory: str
    owner: list[str]
    facts: list[str]
    outsider: list[str] | None


def matrix(seed: int = 0, progress: Progress = silent) -> list[AttackRow]:
    """Every attack at every level, for every memory: the same for the same seed. Takes about a minute."""
    with tempfile.TemporaryDirectory(prefix="cortex-attacks-") as name:
        return list(rows(Path(name), seed, progress))


def rows(folder: Path, seed: int, progress: Progress) -> Iterator[AttackRow]:
    """The same one after the other, made in a folder."""
    small = ledgers.build(folder / "small", seed=seed)
    crowded = ledgers.build(folder / "crowded", seed=seed, crowd_facts=CROWD_FACTS)
    runs = [(attack, level) for attack in ATTACKS for level in attack.levels]
    for number, (attack, level) in enumerate(runs):
        found = carried_out(attack, level, crowded if attack.crowded else small, folder / f"attack-{number}")
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
        progress(number + 1, len(runs), "attacks")


def carried_out(attack: Attack, level: str, built: BuiltLedger, folder: Path) -> Told:
    """What is found in a copy of a ledger, made in `folder`, after an attack."""
    at = Attacker(built, folder)
    try:
        attack.run(at)
        at.go_on(level)
        attack.after(at)
    finally:
        at.close()
    return verifiers.told(built, at.path, at.receipts, attack.bundle)
