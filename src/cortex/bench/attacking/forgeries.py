"""Events that nobody signed who may: forged, signed by a stranger or with a key that ended, and old ones again."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from nacl.signing import SigningKey

from cortex import ids, times
from cortex.bench.attacking.attacker import Attacker
from cortex.trust import events, keyfiles, policy
from cortex.trust.adminkey import AdminKeyFile
from cortex.trust.events import (
    AdminRotated,
    AgentRegistered,
    Ballot,
    Event,
    FactResolved,
    KeyChanged,
    LogRestored,
    PolicySet,
    Signed,
    TrustSet,
)

STRANGER = SigningKey(hashlib.sha256(b"a stranger").digest())

# Kinds of events that the admin key signs, or that it has to vouch for.
KINDS = ("resolve", "trust", "policy", "agent", "key", "revoke", "admin", "restored")
_OTHER_LOG = "cortex/votes/0000000000000000/0000000000000000"


def forged(at: Attacker, kind: str) -> Signed:
    """An event that names the admin key and that a stranger signed."""
    return _signed(_event(at, kind, _admin(at).hex()))


def usurped(at: Attacker, kind: str) -> Signed:
    """An event that a stranger signed with its own key, in the admin's place."""
    return _signed(_event(at, kind, public(STRANGER)))


def elsewhere(at: Attacker) -> Signed:
    """A resolution that the admin key signed for another log."""
    return _signed(msgspec.structs.replace(_event(at, "resolve", _admin(at).hex()), log=_OTHER_LOG), _admin_key(at))


def restored(at: Attacker) -> Signed:
    """The word of the admin key that the log goes on from what it is now; no forgery."""
    return _signed(_event(at, "restored", _admin(at).hex()), _admin_key(at))


def unvouched(at: Attacker) -> Signed:
    """An agent that says it is trusted and names no admin key, well signed by its own."""
    return _signed(msgspec.structs.replace(_newcomer(at), trust="trusted"))


def lookalike(at: Attacker) -> Signed:
    """An untrusted agent by the name of dan in capitals, well signed."""
    return _signed(msgspec.structs.replace(_newcomer(at), agent="DAN"))


def newcomer(at: Attacker) -> Signed:
    """An untrusted agent, well signed: whoever has the log may take one in."""
    return _signed(_newcomer(at))


def forged_vote(at: Attacker) -> Signed:
    """A vote of dan's that names dan's key and that a stranger signed."""
    return _signed(_ballot(at, "dan", public(_held(at, "dan"))))


def usurped_vote(at: Attacker) -> Signed:
    """A vote of dan's that a stranger signed with its own key."""
    return _signed(_ballot(at, "dan", public(STRANGER)))


def unknown_vote(at: Attacker) -> Signed:
    """A vote of an agent that was never registered."""
    return _signed(_ballot(at, "nobody", public(STRANGER)))


def borrowed_vote(at: Attacker) -> Signed:
    """A vote of dan's that ann signed with her own key."""
    ann = _held(at, "ann")
    return _signed(_ballot(at, "dan", public(ann)), ann)


def revoked_vote(at: Attacker) -> Signed:
    """A vote of gil's, well signed with the key that was revoked."""
    return _late(at, "gil", _held(at, "gil"))


def rotated_vote(at: Attacker) -> Signed:
    """A vote of bob's, well signed with the key that another one took the place of."""
    path = keyfiles.agent_path(at.built.home, at.built.origin, "bob").with_suffix(".old")
    return _late(at, "bob", _key(path))


def ended_vote(at: Attacker) -> Signed:
    """A vote of hal's, who was revoked, well signed."""
    return _late(at, "hal", _held(at, "hal"))


def custody_vote(at: Attacker) -> Signed:
    """Another vote of eve's on the last fact, with the key that the server keeps for her."""
    eve = _key(keyfiles.custody_path(at.built.home, at.built.origin, "eve"))
    return _signed(_ballot(at, "eve", public(eve), fact="ice", vote=-1), eve)


def public(key: SigningKey) -> str:
    """The public half of a key, in hex."""
    return bytes(key.verify_key).hex()


def _late(at: Attacker, agent: str, key: SigningKey) -> Signed:
    return _signed(_ballot(at, agent, public(key)), key)


def _ballot(at: Attacker, agent: str, key: str, *, fact: str = "fig", vote: Any = -1) -> Ballot:
    on: Any = at.sql.execute(
        "SELECT fact_id, author, lower(hex(fact_digest)) FROM vote_ledger WHERE fact_id = ?", (at.built.facts[fact],)
    ).fetchone()
    return Ballot(
        agent=agent, author=on[1], fact=on[0], fact_digest=on[2], reason_digest=None, vote=vote, **_common(at, key)
    )


def _common(at: Attacker, key: str) -> dict[str, Any]:
    ts = at.log.ts
    return {"at": ts, "id": ids.uuid7(times.micros(ts), b"\xff" * 10), "key": key, "log": at.built.origin, "v": 1}


def _event(at: Attacker, kind: str, admin: str) -> Event:
    return _EVENTS[kind](at, admin, _common(at, admin))


def _resolve(at: Attacker, admin: str, common: dict[str, Any]) -> Event:
    ballot = _ballot(at, "dan", admin)
    return FactResolved(fact=ballot.fact, fact_digest=ballot.fact_digest, reason_digest=None, truth=-1, **common)


def _trust(at: Attacker, admin: str, common: dict[str, Any]) -> Event:
    return TrustSet(agent="cay", trust="trusted", **common)


def _policy(at: Attacker, admin: str, common: dict[str, Any]) -> Event:
    return PolicySet(policy=msgspec.structs.replace(policy.WEIGHTED, quorum=1), **common)


def _agent(at: Attacker, admin: str, common: dict[str, Any]) -> Event:
    return AgentRegistered(
        admin=admin,
        agent="mallory",
        custody="agent",
        projects=["*"],
        trust="trusted",
        **common | {"key": public(_MALLORY)},
    )


def _newcomer(at: Attacker) -> AgentRegistered:
    return AgentRegistered(
        admin=None, agent="mallory", custody="agent", projects=["*"], trust="untrusted",
        **_common(at, public(_MALLORY)),
    )  # fmt: skip


def _add_key(at: Attacker, admin: str, common: dict[str, Any]) -> Event:
    return KeyChanged(
        agent="dan", by=admin, custody="agent", op="add", projects=["*"], **common | {"key": public(_MALLORY)}
    )


def _revoke(at: Attacker, admin: str, common: dict[str, Any]) -> Event:
    key = public(_held(at, "dan"))
    return KeyChanged(agent="dan", by=admin, custody=None, op="revoke", projects=None, **common | {"key": key})


def _rotate(at: Attacker, admin: str, common: dict[str, Any]) -> Event:
    return AdminRotated(new=public(_MALLORY), **common)


def _restored(at: Attacker, admin: str, common: dict[str, Any]) -> Event:
    log = at.log
    return LogRestored(root=log.root.hex(), size=log.size, vkey=log.vkey, **common)


_MALLORY = SigningKey(hashlib.sha256(b"mallory").digest())
_EVENTS: dict[str, Callable[[Attacker, str, dict[str, Any]], Event]] = dict(
    zip(KINDS, (_resolve, _trust, _policy, _agent, _add_key, _revoke, _rotate, _restored), strict=True)
)


def _signed(event: Event, *held: SigningKey) -> Signed:
    """An event signed by the keys that are held and by mallory's; a stranger signs for all others."""
    told, keys = events.message(event), {public(key): key for key in (*held, _MALLORY)}
    return Signed(event, tuple(keys.get(name, STRANGER).sign(told).signature for name in events.signers(event)))


def _admin(at: Attacker) -> bytes:
    return at.log.admin


def _admin_key(at: Attacker) -> SigningKey:
    origin = at.built.origin
    return SigningKey(AdminKeyFile(keyfiles.admin_path(at.built.home, origin), origin).open().seed)


def _held(at: Attacker, agent: str) -> SigningKey:
    return _key(keyfiles.agent_path(at.built.home, at.built.origin, agent))


def _key(path: Path) -> SigningKey:
    return SigningKey(keyfiles.load(path).seed)
