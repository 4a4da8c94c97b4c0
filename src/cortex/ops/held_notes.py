"""Reading the last checkpoints that witnesses hold of logs, as far as they can be had without asking over a network."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cortex.errors import CortexError
from cortex.ledger import witnesses
from cortex.ledger.compared import WitnessNote
from cortex.ledger.witnesses import WitnessTarget
from cortex.ops import verification, witnessing
from cortex.settings import Settings


@dataclass(slots=True)
class NotesRead:
    """What witnesses hold, what there is to say of each, and which could not be read."""

    held: list[WitnessNote] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def read(settings: Settings, origins: Sequence[str], command: str) -> NotesRead:
    """What the configured witnesses hold of logs; `command` has those compare that only answer over a network."""
    found = NotesRead()
    for target in witnessing.targets(settings) if origins else ():
        if target.kind == "http":
            found.told.append(f"witness {target.place}: not asked here; `{command}` has it compare")
            continue
        try:
            held = _held(target, origins)
        except CortexError as error:
            found.unread.append(f"witness {target}: cannot be read ({error.message})")
            continue
        found.told.append(f"witness {target}: {_told(len(held), len(origins))}")
        found.held += held
    return found


def _held(target: WitnessTarget, origins: Sequence[str]) -> list[WitnessNote]:
    notes = ((origin, witnesses.remembered(target, origin)) for origin in origins)
    named = verification.storable(str(target))
    return [WitnessNote(named, origin, note) for origin, note in notes if note is not None]


def _told(held: int, of: int) -> str:
    if not held:
        return f"has seen nothing of {'this log' if of == 1 else f'these {of} logs'}"
    return "compared" if held == of else f"compared with {held} of {of} logs; has seen nothing of the others"
