"""Which keys may sign what at which place of the votes log, replayed from its leaves and not from the table of keys."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cortex.db.connect import Tx, integer
from cortex.errors import Corrupt, Invalid
from cortex.trust import events
from cortex.trust import log as logs
from cortex.trust.events import (
    AdminRotated,
    AgentRegistered,
    Event,
    FactResolved,
    Genesis,
    KeyChanged,
    LogRestored,
    PolicySet,
    TrustSet,
)


@dataclass(slots=True)
class Keys:
    """The keys of the log so far: whose each one is (None: the admin's), and which of them have ended."""

    admin: bytes = b""
    owner: dict[bytes, str | None] = field(default_factory=dict)
    ended: set[bytes] = field(default_factory=set)
    agents: set[str] = field(default_factory=set)
    # In small letters: no two names differ by case alone.
    folded: set[str] = field(default_factory=set)
    revoked: set[str] = field(default_factory=set)

    def of_agent(self, key: bytes, agent: str) -> str | None:
        """Why a key may not sign for an agent here; None where it may."""
        if self.owner.get(key, agent) != agent or key not in self.owner:
            return f"the key {key.hex()[:16]}… is not one of agent {agent}"
        if key in self.ended:
            return f"the key {key.hex()[:16]}… of agent {agent} had ended"
        return None

    def of_admin(self, key: str) -> str | None:
        """Why a key may not sign for the admin here."""
        return None if bytes.fromhex(key) == self.admin else f"{key[:16]}… is not the admin key at this place"

    def is_new(self, key: str) -> str | None:
        """Why a key may not be taken in here."""
        return f"the key {key[:16]}… was in the log before" if bytes.fromhex(key) in self.owner else None

    def is_agent(self, name: str) -> str | None:
        """Why nothing can be said of an agent here."""
        return None if name in self.agents else f"there is no agent {name} at this place"


def at(tx: Tx, copy: Tx | None, origin: str, size: int) -> Keys:
    """The keys after the first `size` leaves, which were verified before.

    `copy` is a database that the beginning of the same log was replayed into: only what follows it is read of `tx`.
    """
    keys = Keys()
    # A copy that knows more cannot say who was revoked at `size`.
    since = 0 if copy is None or (known := integer(copy, "SELECT size FROM vote_log")) > size else known
    if copy is not None and since:
        _load(copy, keys, size)
    rows: Any = tx.execute(
        f"SELECT {logs.LEAF_COLUMNS} FROM vote_ledger NOT INDEXED WHERE id > ? AND id <= ? AND kind <> 'vote'"
        " ORDER BY id",
        (since, size),
    )
    for row in rows if since < size else ():
        try:
            take(keys, events.decode(row[1], logs.event_bytes(row, origin)))
        except (Corrupt, Invalid):
            continue  # what is wrong below the size is for a full verification to say
    return keys


def _load(copy: Tx, keys: Keys, size: int) -> None:
    """Take the keys from a copy of at most `size` leaves."""
    for public, agent, until in copy.execute(
        "SELECT public, agent, until_idx FROM vote_key WHERE from_idx < ? ORDER BY from_idx", (size,)
    ):
        keys.owner[public] = agent
        if until is not None and until < size:
            keys.ended.add(public)
        elif agent is None:
            keys.admin = public
        if agent is not None:
            keys.agents.add(agent)
            keys.folded.add(agent.lower())
    keys.revoked |= {name for (name,) in copy.execute("SELECT name FROM vote_agent WHERE level = 'revoked'")}


def refusal(keys: Keys, event: Event) -> str | None:
    """Why an event may not be signed by its keys here, or not bring in its key; None where it may."""
    return _RULES[type(event)](keys, event)


def _genesis(keys: Keys, event: Genesis) -> str | None:
    return "a log has one genesis" if keys.owner else None


def _register(keys: Keys, event: AgentRegistered) -> str | None:
    if event.agent.lower() in keys.folded:
        return f"there is an agent {event.agent} already, or one whose name differs by case alone"
    return keys.is_new(event.key) or (None if event.admin is None else keys.of_admin(event.admin))


def _change_key(keys: Keys, event: KeyChanged) -> str | None:
    unknown = keys.is_agent(event.agent)
    if unknown is None and event.op != "revoke" and event.agent in keys.revoked:
        return f"agent {event.agent} was revoked"
    if unknown is not None:
        return unknown
    if event.op == "revoke":
        return keys.of_admin(event.by) or keys.of_agent(bytes.fromhex(event.key), event.agent)
    by = bytes.fromhex(event.by)
    may = None if event.op == "add" and by == keys.admin else keys.of_agent(by, event.agent)
    return may or keys.is_new(event.key)


def _trust(keys: Keys, event: TrustSet) -> str | None:
    return keys.of_admin(event.key) or keys.is_agent(event.agent)


def _admin(keys: Keys, event: AdminRotated) -> str | None:
    return keys.of_admin(event.key) or keys.is_new(event.new)


def _by_admin(keys: Keys, event: PolicySet | FactResolved | LogRestored) -> str | None:
    return keys.of_admin(event.key)


_RULES: dict[type[Event], Callable[[Keys, Any], str | None]] = {
    Genesis: _genesis,
    AgentRegistered: _register,
    KeyChanged: _change_key,
    TrustSet: _trust,
    AdminRotated: _admin,
    PolicySet: _by_admin,
    FactResolved: _by_admin,
    LogRestored: _by_admin,
}


def take(keys: Keys, event: Event) -> None:
    """Let an event take effect on the keys."""
    match event:
        case Genesis(key=key):
            _introduce(keys, key, None)
        case AgentRegistered(key=key, agent=agent):
            _introduce(keys, key, agent)
        case KeyChanged(op="revoke", key=key):
            keys.ended.add(bytes.fromhex(key))
        case KeyChanged(key=key, agent=agent, op=op, by=by):
            _introduce(keys, key, agent)
            if op == "rotate":
                keys.ended.add(bytes.fromhex(by))
        case AdminRotated(key=key, new=new):
            keys.ended.add(bytes.fromhex(key))
            _introduce(keys, new, None)
        case TrustSet(agent=agent, trust=trust):
            _set_level(keys, agent, trust)


def _set_level(keys: Keys, agent: str, trust: str) -> None:
    if trust != "revoked":
        keys.revoked.discard(agent)
        return
    keys.revoked.add(agent)
    keys.ended |= {key for key, owner in keys.owner.items() if owner == agent}


def _introduce(keys: Keys, key: str, agent: str | None) -> None:
    public = bytes.fromhex(key)
    keys.owner[public] = agent
    if agent is None:
        keys.admin = public
    else:
        keys.agents.add(agent)
        keys.folded.add(agent.lower())
