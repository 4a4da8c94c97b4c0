"""What an attack is: what is done to a ledger's file before and after what follows from it is recomputed."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cortex.bench.attacking.attacker import LEVELS, Attacker

Deed = Callable[[Attacker], None]


def nothing(at: Attacker) -> None:
    """Leave the file as it is."""


@dataclass(frozen=True)
class Attack:
    """One attack. `row` is that of the table of attacks in the design, or what else it is about.

    `run` comes first, `after` when what the level allows was recomputed; `bundle` is done to what is handed out.
    A `crowded` ledger has a complete batch of votes, and nodes that are stored. What is `allowed` nobody has to find.
    """

    row: str
    name: str
    run: Deed = nothing
    after: Deed = nothing
    levels: tuple[str, ...] = LEVELS
    bundle: Callable[[Path], None] | None = None
    crowded: bool = False
    allowed: bool = False


def edits(*statements: str) -> Deed:
    """Runs statements as they are."""
    return lambda at: at.edit(*statements)
