"""What an operation may use: the database, the journal, who calls, and the sources of time and randomness."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cortex import ids, times
from cortex.db.database import Database
from cortex.ledger.keys import NodeKey
from cortex.meaning.meaning import Meaning
from cortex.ops.alerts import Alerts
from cortex.ops.answers import Answers
from cortex.progress import Progress, silent
from cortex.settings import Settings
from cortex.trust.keyring import Keyring

if TYPE_CHECKING:
    from cortex.ops.journal import Journal


@dataclass(frozen=True)
class Caller:
    """Who calls: the name written on changes, the face it came through, and the project it works in."""

    actor: str
    face: str
    project: str
    # Over MCP a model picks the id; what cannot be undone takes the whole of it.
    full_ids: bool = False
    # Whether the name is only what a client calls itself: it may not sign with a key that an agent has for itself.
    claimed: bool = False
    # Whether nobody else waits for this process, so that long work may run in it.
    alone: bool = False


@dataclass(frozen=True)
class Context:
    """Handed to every operation."""

    database: Database
    journal: "Journal"
    settings: Settings
    node_key: NodeKey
    meaning: Meaning
    answers: Answers
    keyring: Keyring
    caller: Caller
    # Where findings are told. Without a webhook they are in the program's log alone.
    alerts: Alerts = field(default_factory=Alerts)
    progress: Progress = silent
    # Where an operation streams lines to; None where the face has no such place.
    emit: Callable[[bytes], None] | None = None
    clock: Callable[[], str] = field(default=times.now)
    # What is called before the file is closed.
    ending: list[Callable[[], None]] = field(default_factory=list)

    def now(self) -> str:
        """The wall clock, in stored form."""
        return self.clock()

    def new_id(self) -> str:
        """A new UUIDv7."""
        return ids.uuid7(times.micros(self.now()))

    def new_salt(self) -> bytes:
        """The 16 random bytes that keep a digest from being guessed."""
        return os.urandom(16)
