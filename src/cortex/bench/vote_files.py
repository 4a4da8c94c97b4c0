"""Files with a votes log of some size, for measuring: real keys and signatures, put in through `trust.apply`."""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from nacl.signing import SigningKey

from cortex import ids, limits, times
from cortex.app import App
from cortex.bench import figures, stage
from cortex.bench.clock import Lap
from cortex.bench.figures import Figure
from cortex.bench.task import Task
from cortex.db.connect import Tx
from cortex.ledger.keys import NodeKey
from cortex.trust import apply, events, sealing
from cortex.trust import log as logs
from cortex.trust.events import AgentRegistered, Ballot, Event, Genesis, Signed
from cortex.trust.log import Log
from cortex.trust.policy import WEIGHTED

AGENTS = 10
_ORIGIN = "cortex/votes/0123456789abcdef/0123456789abcdef"
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
# A million votes are 23 days: facts are settled on the way, and no clock jumps.
_EVERY = timedelta(seconds=2)
_FACT_EVERY = AGENTS * _EVERY
_AT_ONCE = 10_000
# One vote in so many is against the fact.
_AGAINST_ONE_IN = 7


def votes_file(folder: Path, size: int) -> Path:
    """The file that holds `size` votes, shared by the probes of a run."""
    return folder / f"votes-{size}.db"


def fill(task: Task) -> list[Figure]:
    """Make the file of `task.size` votes."""
    with Lap() as lap:
        make(votes_file(task.path, task.size), task.size)
    if task.size < _AT_ONCE:
        return []
    name = f"{task.size:,} votes signed, checked and applied, {_AT_ONCE:,} in a transaction: CPU per vote"
    return [figures.measured(name, "ms", [lap.cpu_ms / task.size])]


def make(path: Path, size: int) -> None:
    """Make a file with a votes log of `size` votes by ten agents."""
    with stage.opened(path) as app:
        stage.go(app, lambda opened: _fill(opened, size))


async def _fill(app: App, size: int) -> None:
    key = app.context.node_key
    await app.context.database.write(lambda tx: _begin(tx, key))
    for first in range(0, size, _AT_ONCE):
        await app.context.database.write(partial(_grow, key=key, more=min(_AT_ONCE, size - first)))


def put(tx: Tx, key: NodeKey, signed: Iterable[Signed]) -> None:
    """Put events into the log, with checkpoints as a node makes them. Signatures are checked before."""
    log = logs.needed(tx)
    for one in signed:
        apply.apply(tx, log, one, one.event.at)
        if log.size % limits.CHECKPOINT_LEAVES == 0:
            sealing.seal(tx, log, key)
    logs.store(tx, log)


def _grow(tx: Tx, key: NodeKey, more: int) -> None:
    put(tx, key, _checked(ballots(logs.needed(tx), more)))


def _checked(signed: Iterable[Signed]) -> Iterator[Signed]:
    for one in signed:
        events.verify(one)
        yield one


def ballots(log: Log, more: int, *, every: timedelta = _EVERY) -> Iterator[Signed]:
    """Ballots that follow on the votes of the log: ten agents on one fact, then on the next."""
    at = times.parse(log.ts)
    keys = [_key(f"agent-{number}") for number in range(AGENTS)]
    for number in range(log.votes, log.votes + more):
        fact, agent = divmod(number, AGENTS)
        at += every
        event = Ballot(
            agent=f"agent-{agent}",
            at=times.canonical(at),
            author="author",
            fact=_id(_BEGIN + fact * _FACT_EVERY, 1 << 52 | fact),
            fact_digest=hashlib.sha256(b"%d" % fact).hexdigest(),
            id=_id(at, number),
            key=_public(keys[agent]),
            log=log.origin,
            reason_digest=None,
            v=1,
            vote=-1 if (fact + agent) % _AGAINST_ONE_IN == 0 else 1,
        )
        yield _signed(event, keys[agent])


def _begin(tx: Tx, key: NodeKey) -> None:
    admin, at = _key("admin"), times.canonical(_BEGIN)
    genesis = Genesis(
        at=at, id=_id(_BEGIN, 1 << 50), key=_public(admin), log=_ORIGIN, policy=WEIGHTED, v=1, vkey=key.vkey(_ORIGIN)
    )
    apply.start(tx, _signed(genesis, admin), at)
    log = logs.needed(tx)
    for number in range(AGENTS):
        own = _key(f"agent-{number}")
        event = AgentRegistered(
            admin=_public(admin), agent=f"agent-{number}", at=at, custody="agent", id=_id(_BEGIN, 1 << 51 | number),
            key=_public(own), log=_ORIGIN, projects=["*"], trust="standard", v=1,
        )  # fmt: skip
        apply.apply(tx, log, _signed(event, own, admin), at)
    logs.store(tx, log)


def _signed(event: Event, *keys: SigningKey) -> Signed:
    told = events.message(event)
    return Signed(event, tuple(key.sign(told).signature for key in keys))


def _key(name: str) -> SigningKey:
    return SigningKey(hashlib.sha256(name.encode()).digest())


def _public(key: SigningKey) -> str:
    return bytes(key.verify_key).hex()


def _id(at: datetime, number: int) -> str:
    return ids.uuid7(times.micros(times.canonical(at)), number.to_bytes(10, "big"))
