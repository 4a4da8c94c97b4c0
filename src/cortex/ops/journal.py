"""Changes as data: a command says what was decided, `apply` does it the same way on every machine and on replay."""

from collections.abc import Callable
from typing import ClassVar, Generic, Protocol, TypeVar

from msgspec import Struct

from cortex.db.connect import Tx
from cortex.db.database import Database
from cortex.ledger import chain, sealing
from cortex.ledger.keys import NodeKey
from cortex.ops.registry import Order
from cortex.settings import Settings

R = TypeVar("R")


class Command(Struct, Generic[R], frozen=True, kw_only=True):
    """A decided change. `actor` and `at` (the wall clock when it was decided) are part of every one."""

    order: ClassVar[Order]

    actor: str
    at: str

    def apply(self, tx: Tx, log: chain.Appending) -> R:
        """Make the change in `tx` and put its entries in `log`. Reads no clock and no settings."""
        raise TypeError(f"{type(self).__name__} has no apply")


class Journal(Protocol):
    """Where commands go: the local file now, an ordered log of a cluster with the same commands."""

    async def commit(self, command: Command[R]) -> R:
        """Apply `command` durably and return its result."""
        ...


class LocalJournal:
    """Commits to this file. A checkpoint is signed in the same transaction when enough leaves or time went by.

    `committed` is told after each commit.
    """

    def __init__(
        self, database: Database, settings: Settings, key: NodeKey, committed: Callable[[], None] = lambda: None
    ) -> None:
        self._database = database
        self._committed = committed
        self._settings = settings
        self._key = key

    async def commit(self, command: Command[R]) -> R:
        """Apply `command` in the writer's next transaction."""
        result = await self._database.write(lambda tx: self._apply(tx, command))
        self._committed()
        return result

    def _apply(self, tx: Tx, command: Command[R]) -> R:
        state = sealing.ensure_log(tx, self._key, at=command.at, actor=command.actor)
        with chain.appending(tx, state, at=command.at, actor=command.actor) as log:
            result = command.apply(tx, log)
        sealing.seal_if_due(
            tx, log.state, self._key, leaves=self._settings.checkpoint_leaves, seconds=self._settings.checkpoint_seconds
        )
        return result
