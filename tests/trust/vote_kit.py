"""Makes votes logs for tests: real keys and signatures, put into the log by `trust.apply` itself."""

import copy
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
from msgspec import structs
from nacl.signing import SigningKey

from cortex import canonical, limits, times
from cortex.db import migrate
from cortex.ids import uuid7
from cortex.ledger import merkle
from cortex.ledger.keys import NodeKey
from cortex.ops.vote_verification import VoteTask, VoteVerification, remember, verify
from cortex.progress import silent
from cortex.trust import apply, events, sealing
from cortex.trust import log as logs
from cortex.trust.apply import Applied
from cortex.trust.events import Event, Signed
from cortex.trust.policy import LINEAR, WEIGHTED, Policy

START = "2026-03-02T09:00:00.000000Z"
TRIGGERS = ("vote_ledger_keep", "vote_ledger_stay")


def fact_id(number: int) -> str:
    """The id of a fact that nobody stored."""
    return f"00000000-0000-7000-8000-{number:012x}"


def digest_of(number: int) -> str:
    """A digest of a text that nobody wrote."""
    return f"{number:064x}"


def seed_of(name: str, number: int = 0) -> SigningKey:
    """The key of a name: the same in every run."""
    return SigningKey(f"{name}/{number}".encode().ljust(32, b".")[:32])


class VoteLog:
    """A file with a votes log that a test writes to, and the keys of everyone in it."""

    def __init__(self, folder: Path, *, policy: Policy = WEIGHTED, origin: str = "cortex/votes/n/i") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self.home = folder / "votes.db", folder / "home"
        self.tx = apsw.Connection(str(self.path))
        self.tx.execute("PRAGMA synchronous = OFF").fetchall()
        with self.tx:
            migrate.apply(self.tx, migrate.shipped())
        self.node_key = NodeKey(folder / "node.key")
        self.origin, self.at, self.admin = origin, START, seed_of("admin")
        self.keys: dict[str, SigningKey] = {}
        self._number = 0
        genesis = self.event(events.Genesis, policy=policy, vkey=self.node_key.vkey(origin), key=public(self.admin))
        with self.tx:
            apply.start(self.tx, self.signed(genesis, self.admin), self.at)

    def copy(self, folder: Path) -> "VoteLog":
        """The same log in another file, with the same keys."""
        folder.mkdir(parents=True, exist_ok=True)
        other = copy.copy(self)
        other.path, other.home, other.keys = folder / "votes.db", folder / "home", dict(self.keys)
        shutil.copy(self.path, other.path)
        other.tx = apsw.Connection(str(other.path))
        return other

    # Time.

    def wait(self, **units: float) -> None:
        self.at = times.canonical(times.parse(self.at) + timedelta(**units))

    # Events.

    def event(self, struct: type[Any], **members: Any) -> Any:
        """An event with the members that all kinds have."""
        self._number += 1
        name = uuid7(times.micros(self.at), self._number.to_bytes(10, "big"))
        return struct(**({"at": self.at, "id": name, "log": self.origin, "v": 1} | members))

    def signed(self, event: Event, *keys: SigningKey) -> Signed:
        told = events.message(event)
        return Signed(event, tuple(key.sign(told).signature for key in keys))

    def put(self, signed: Signed, at: str | None = None) -> Applied:
        """Into the log, as a node does it that received the event."""
        with self.tx:
            log = logs.needed(self.tx)
            applied = apply.apply(self.tx, log, signed, at or self.at)
            logs.store(self.tx, log)
        return applied

    def put_all(self, signed: Iterable[Signed]) -> None:
        """Many events in one transaction."""
        with self.tx:
            log = logs.needed(self.tx)
            for one in signed:
                apply.apply(self.tx, log, one, self.at)
            logs.store(self.tx, log)

    def agent(self, name: str, trust: str = "standard") -> Applied:
        self.keys[name] = seed_of(name)
        admin = None if trust == "untrusted" else public(self.admin)
        event = self.event(
            events.AgentRegistered, admin=admin, agent=name, custody="agent", key=public(self.keys[name]),
            projects=["*"], trust=trust,
        )  # fmt: skip
        return self.put(self.signed(event, self.keys[name], *([] if admin is None else [self.admin])))

    def agents(self, count: int, trust: str = "standard", prefix: str = "a") -> list[str]:
        names = [f"{prefix}{number}" for number in range(count)]
        for name in names:
            self.agent(name, trust)
        return names

    def ballot(self, name: str, fact: int | str, vote: int = 1, **members: Any) -> Signed:
        """A signed ballot that is not in the log yet."""
        number = fact if isinstance(fact, int) else 0
        event = self.event(
            events.Ballot,
            **(
                {
                    "agent": name, "author": "author", "fact": fact if isinstance(fact, str) else fact_id(number),
                    "fact_digest": digest_of(number), "key": public(self.keys[name]), "reason_digest": None,
                    "vote": vote,
                } | members
            ),
        )  # fmt: skip
        return self.signed(event, self.keys[name])

    def vote(self, name: str, fact: int | str, vote: int = 1, **members: Any) -> Applied:
        return self.put(self.ballot(name, fact, vote, **members))

    def add_key(self, name: str, number: int = 1) -> Applied:
        """Another device, which signs from here on."""
        before, self.keys[name] = self.keys[name], seed_of(name, number)
        return self._key(name, "add", before, self.keys[name])

    def rotate(self, name: str, number: int = 1) -> Applied:
        before, self.keys[name] = self.keys[name], seed_of(name, number)
        return self._key(name, "rotate", before, self.keys[name])

    def _key(self, name: str, op: str, by: SigningKey, key: SigningKey) -> Applied:
        event = self.event(
            events.KeyChanged, agent=name, by=public(by), custody="agent", key=public(key), op=op, projects=["*"]
        )
        return self.put(self.signed(event, by, key))

    def revoke_key(self, name: str) -> Applied:
        event = self.event(
            events.KeyChanged, agent=name, by=public(self.admin), custody=None, key=public(self.keys[name]),
            op="revoke", projects=None,
        )  # fmt: skip
        return self.put(self.signed(event, self.admin))

    def trust(self, name: str, level: str) -> Applied:
        return self.by_admin(events.TrustSet, agent=name, trust=level)

    def policy(self, policy: Policy) -> Applied:
        return self.by_admin(events.PolicySet, policy=policy)

    def resolve(self, fact: int, truth: int) -> Applied:
        return self.by_admin(
            events.FactResolved, fact=fact_id(fact), fact_digest=digest_of(fact), reason_digest=None, truth=truth
        )

    def rotate_admin(self, number: int = 1) -> Applied:
        before, self.admin = self.admin, seed_of("admin", number)
        event = self.event(events.AdminRotated, key=public(before), new=public(self.admin))
        return self.put(self.signed(event, before, self.admin))

    def restored(self, node_key: NodeKey | None = None) -> Applied:
        """The admin says that the log goes on from here, with another node key if one is given."""
        self.node_key = node_key or self.node_key
        log = logs.needed(self.tx)
        return self.by_admin(
            events.LogRestored, root=log.root.hex(), size=log.size, vkey=self.node_key.vkey(self.origin)
        )

    def by_admin(self, struct: type[Any], **members: Any) -> Applied:
        return self.put(self.signed(self.event(struct, key=public(self.admin), **members), self.admin))

    # The node's own.

    def seal(self) -> str:
        with self.tx:
            return sealing.seal(self.tx, logs.needed(self.tx), self.node_key)

    def verified(self, *, text: bool = False, **options: Any) -> VoteVerification:
        """What the node's owner is told. The facts that are voted on are nowhere, so that texts are left out."""
        task = VoteTask(
            database=str(self.path), home=str(self.home), key=str(self.node_key.path), busy_timeout_ms=1_000,
            text=text, **({"incremental": False, "accept": False} | options),
        )  # fmt: skip
        with self.tx:
            examined = verify(self.tx, task, silent)
        if examined.remember is None:
            return examined.report
        unsaved = remember(task, examined.remember)
        told = "; ".join(told for told in (examined.report.not_remembered, unsaved) if told) or None
        return structs.replace(examined.report, not_remembered=told)

    # What somebody does who owns the file.

    def edit(self, sql: str, bindings: Any = ()) -> None:
        """Change rows."""
        with self.unlocked():
            self.tx.execute(sql, bindings)

    @contextmanager
    def unlocked(self) -> Iterator[None]:
        """Without the triggers, which are back afterwards."""
        texts = [self.value("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)) for name in TRIGGERS]
        with self.tx:
            for name in TRIGGERS:
                self.tx.execute(f"DROP TRIGGER {name}")
            yield
            for text in texts:
                self.tx.execute(text)

    def value(self, sql: str, bindings: Any = ()) -> Any:
        row = self.tx.execute(sql, bindings).fetchone()
        return row and row[0]

    def close(self) -> None:
        self.tx.close()


def public(key: SigningKey) -> str:
    return bytes(key.verify_key).hex()


def codes(report: VoteVerification) -> set[str]:
    """The set of codes in a report."""
    return {finding.code for finding in report.findings}


def busy(folder: Path, votes: int = 60) -> VoteLog:
    """A log with events of every kind, votes that were settled, and checkpoints in the middle and at the end."""
    log = VoteLog(folder)
    names = log.agents(4) + log.agents(2, "untrusted", "u") + log.agents(1, "trusted", "t")
    log.put_all(log.ballot(names[n % 7], n % 9, -1 if n % 5 == 4 else 1) for n in range(votes))
    log.seal()
    log.wait(days=2)
    log.add_key("a0")
    log.vote("a0", 1, -1, author='a "quoted" näme\\')
    log.rotate("a1")
    log.vote("a1", 2, reason_digest="ab" * 32)
    log.resolve(3, -1)
    log.revoke_key("a2")
    log.trust("a3", "untrusted")
    log.trust("u0", "standard")
    log.vote("u0", 2)
    log.trust("u1", "revoked")
    log.seal()
    log.wait(days=20)
    log.policy(LINEAR)
    log.vote("t0", 4, 0)
    log.rotate_admin()
    log.wait(days=40)
    log.policy(WEIGHTED)
    log.restored(NodeKey(folder / "other.key"))
    log.vote("t0", 5)
    log.vote("a1", 5)
    log.resolve(3, 0)
    log.seal()
    return log


def forge(log: VoteLog, signed: Signed, weight: int | None = None) -> int:
    """Append an event as somebody does who owns the file and its key, and asks no rules. Returns its index."""
    with log.tx:
        state = logs.needed(log.tx)
        if isinstance(signed.event, events.Ballot) and weight is None:
            weight = 0
        leaf = logs.append(log.tx, state, signed, state.ts, weight)
        logs.store(log.tx, state)
    return leaf.idx


def relink(log: VoteLog, since: int) -> None:
    """Make every hash, link, node and state row anew from leaf `since` on, and seal that."""
    rows: list[Any] = log.tx.execute("SELECT id FROM vote_ledger WHERE id > ? ORDER BY id", (since,)).fetchall()
    stored = log.value("SELECT hash FROM vote_ledger WHERE id = ?", (since,))
    before = stored or bytes.fromhex(canonical.origin_link(log.origin))
    with log.unlocked():
        for (number,) in rows:
            log.tx.execute("UPDATE vote_ledger SET prev_hash = ? WHERE id = ?", (before, number))
            before = merkle.leaf_hash(logs.leaf_at(log.tx, log.origin, number - 1))
            log.tx.execute("UPDATE vote_ledger SET hash = ? WHERE id = ?", (before, number))
        range_: list[bytes] = []
        log.tx.execute("DELETE FROM vote_tree")
        for at, (leaf,) in enumerate(log.tx.execute("SELECT hash FROM vote_ledger ORDER BY id").fetchall()):
            for node in merkle.range_append(range_, at, leaf)[limits.NODE_LEVEL_MIN :]:
                log.tx.execute("INSERT INTO vote_tree VALUES (?, ?, ?)", node)
        log.tx.execute("UPDATE vote_log SET range = ?, head = ?", (b"".join(range_), before))
        log.tx.execute("DELETE FROM vote_checkpoints")
        log.tx.execute("UPDATE vote_seal SET checkpoints = 0, sealed_size = 0, sealed_at = NULL")
    log.seal()
