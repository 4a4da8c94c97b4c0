"""Changes as data: a command says what was decided, `apply` does it the same way on every machine and on replay."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Generic, Protocol, TypeVar

from msgspec import Struct

from cortex.db.connect import Tx
from cortex.db.database import Database
from cortex.errors import Unavailable
from cortex.ledger import chain, sealing
from cortex.ledger.keys import NodeKey
from cortex.ops import clocks
from cortex.ops.registry import Order
from cortex.settings import Settings
from cortex.trust import apply
from cortex.trust import log as votes_log
from cortex.trust import sealing as votes_sealing
from cortex.trust.apply import Applied
from cortex.trust.events import Genesis, LogRestored, Signed
from cortex.trust.log import Log
from cortex.trust.sealing import Sealed

R = TypeVar("R")


class Command(Struct, Generic[R], frozen=True, kw_only=True):
    """A decided change. `actor` and `at` (the wall clock when it was decided) are part of every one."""

    order: ClassVar[Order]

    actor: str
    at: str

    def apply(self, tx: Tx, log: chain.Appending) -> R:
        """Make the change in `tx` and put its entries in `log`. Reads no clock and no settings."""
        raise TypeError(f"{type(self).__name__} has no apply")


class EventsOrdered(Struct, frozen=True, kw_only=True, tag="events_ordered"):
    """Signed events for the votes log: all are applied, or none. `at` is the wall clock of the node that proposes them.

    An id in `loose` that is there already counts as the same where it means the same: the server signed it, so that a
    second attempt has another time and salt.
    """

    at: str
    events: tuple[Signed, ...]
    loose: tuple[str, ...] = ()

    def apply(self, tx: Tx, log: Log | None) -> tuple[Log, list[Applied]]:
        """Append the events to the log, whose state this is (None: there is none yet); return the state after them.

        Reads and writes consensus tables only.
        """
        events = self.events
        done: list[Applied] = []
        if log is None and events and isinstance(events[0].event, Genesis):
            done.append(apply.start(tx, events[0], self.at))
            events = events[1:]
        log = log or votes_log.needed(tx)
        done += [apply.apply(tx, log, one, self.at, exact=one.event.id not in self.loose) for one in events]
        if events:
            votes_log.store(tx, log)
        return log, done


@dataclass(frozen=True)
class Proposal(Generic[R]):
    """What a node decided to propose, and what it does where that is applied: keep what is its own, read the answer."""

    command: EventsOrdered
    answer: Callable[[Tx, list[Applied]], R]


class Journal(Protocol):
    """Where commands go: the local file now, an ordered log of a cluster with the same commands."""

    async def commit(self, command: Command[R]) -> R:
        """Apply `command` durably and return its result."""
        ...

    async def order(self, decide: Callable[[Tx], Proposal[R]]) -> R:
        """Put what `decide` proposes, at this node's view, in its place in the votes log; return the answer.

        `decide` may be run more than once.
        """
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

    async def order(self, decide: Callable[[Tx], Proposal[R]]) -> R:
        """Decide and apply in the writer's next transaction: nothing changes in between."""
        # What is derived from facts has nothing to do with votes, so `committed` is not told.
        return await self._database.write(lambda tx: self._order(tx, decide))

    def _order(self, tx: Tx, decide: Callable[[Tx], Proposal[R]]) -> R:
        proposal = decide(tx)
        if proposal.command.events:
            clocks.check_sane(proposal.command.at)
        log, last = votes_log.sound(tx), votes_sealing.sealed(tx)
        if log is not None:
            _check_ours(log, last, self._key, proposal.command)
        log, applied = proposal.command.apply(tx, log)
        answer = proposal.answer(tx, applied)
        votes_sealing.seal_if_due(
            tx,
            log,
            self._key,
            last,
            leaves=self._settings.checkpoint_leaves,
            seconds=self._settings.checkpoint_seconds,
        )
        return answer

    def _apply(self, tx: Tx, command: Command[R]) -> R:
        state = sealing.ensure_log(tx, self._key, at=command.at, actor=command.actor)
        with chain.appending(tx, state, at=command.at, actor=command.actor) as log:
            result = command.apply(tx, log)
        sealing.seal_if_due(
            tx, log.state, self._key, leaves=self._settings.checkpoint_leaves, seconds=self._settings.checkpoint_seconds
        )
        return result


def _check_ours(log: Log, last: Sealed, key: NodeKey, command: EventsOrdered) -> None:
    """Raise Unavailable where this file may not go on with the log: put back from a backup, or without the log's key.

    Else two copies could give one place in the log to different votes. Raises Corrupt for a log that lost entries.
    """
    votes_sealing.check_grown(log, last.size)
    if command.events and isinstance(command.events[0].event, LogRestored):
        return
    if last.restored:
        raise Unavailable(
            "this file was put back from a backup, and the votes log does not say so yet",
            "`cortex vote-ledger init` says so with the admin key",
        )
    if key.vkey(log.origin) != log.vkey:
        raise Unavailable(
            f"the key {key.path} is not the one that signs this votes log",
            "put the right key back, or let `cortex vote-ledger init` go on with this one by the admin key",
        )
