"""Applying events to the votes log: the one place where agents, keys, votes and reputations change.

Reads and writes the consensus tables only, and no clock: the same log gives the same tables on every machine. The rules
are in DESIGN.md. An event that does not fit is refused, and then nothing of it is in the log.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cortex.db.connect import Tx
from cortex.errors import Conflict, Forbidden, IdConflict, KeyNotValid, NotFound, WrongLog
from cortex.trust import events, judging, policy, reputation
from cortex.trust import log as logs
from cortex.trust.events import (
    AdminRotated,
    AgentRegistered,
    Ballot,
    Event,
    FactResolved,
    Genesis,
    KeyChanged,
    LogRestored,
    PolicySet,
    Signed,
    TrustSet,
)
from cortex.trust.log import Appended, Log
from cortex.trust.policy import Policy

# Puts a leaf in its place; a verification, which has the leaves, keeps none.
Append = Callable[[Tx, Log, Signed, str, int | None], Appended]

# Kinds that may follow after more than CLOCK_JUMP_DAYS: in them the admin says that the time really passed.
_CONFIRMING = (PolicySet, LogRestored)


@dataclass(frozen=True, slots=True)
class Applied:
    """An event in the log; `repeated` when its id was there already with the same content, and nothing changed."""

    idx: int
    ts: str
    hash: bytes
    data: bytes
    weight_e6: int | None
    repeated: bool = False
    # Of a vote that was just appended: the level of its agent.
    level: str | None = None


def start(tx: Tx, signed: Signed, at: str, *, append: Append = logs.append) -> Applied:
    """Begin the log with its genesis."""
    event = signed.event
    assert isinstance(event, Genesis), "a log begins with its genesis"
    if logs.state(tx) is not None:
        raise Conflict("this file has a votes log already", "there is one votes log in a file")
    admin = bytes.fromhex(event.key)
    log = logs.begin(tx, event.log, event.vkey, admin, policy.encode(event.policy))
    _introduce(tx, log, admin, None, None, None)
    leaf = append(tx, log, signed, at, None)
    logs.store(tx, log)
    return _applied(leaf)


def apply(tx: Tx, log: Log, signed: Signed, at: str, *, exact: bool = True, append: Append = logs.append) -> Applied:
    """Append one event that was proposed at `at`, and what follows from it. `logs.store` has to follow.

    An id that is there already with the same content gives the first one's place; unless `exact`, only what was meant
    has to be the same, not when and with which salt it was signed.
    """
    event = signed.event
    if event.log != log.origin:
        raise WrongLog(f"an event for the log {event.log}, this is {log.origin}", "sign it for this log")
    known = _known(tx, log, signed, exact)
    if known is not None:
        return known
    ts = max(at, log.ts)
    if not isinstance(event, _CONFIRMING):
        _check_time(log, ts)
    rules = policy.decode(log.policy)
    judging.settle_due(tx, rules, ts)
    if isinstance(event, Ballot):
        return _vote(tx, log, signed, event, rules, ts, append)
    _RULES[type(event)](tx, log, event, rules, ts)
    return _applied(append(tx, log, signed, ts, None))


def _applied(leaf: Appended) -> Applied:
    return Applied(leaf.idx, leaf.ts, leaf.hash, leaf.data, leaf.weight_e6)


def _known(tx: Tx, log: Log, signed: Signed, exact: bool) -> Applied | None:
    """The place of an event that is in the log already. Raises IdConflict where its id stands for another."""
    event = signed.event
    row: Any = tx.execute(f"SELECT {logs.LEAF_COLUMNS} FROM vote_ledger WHERE event_id = ?", (event.id,)).fetchone()
    if row is None:
        return None
    number, kind, fact, agent, vote, weight = row[:6]
    ts, prev, hashed = row[13], row[16], row[17]
    data = logs.encode_row(row, log.origin)
    if exact:
        again = logs.leaf_bytes(events.encode(event), number - 1, signed.kind, prev, b"".join(signed.sigs), ts, weight)
        same = again == data
    else:
        same = isinstance(event, Ballot) and (kind, fact, agent, vote, row[9]) == (
            "vote", event.fact, event.agent, event.vote, bytes.fromhex(event.fact_digest),
        )  # fmt: skip
        same = same and (row[10] is None) == (event.reason_digest is None)  # type: ignore[union-attr]
    if not same:
        raise IdConflict(f"the id {event.id} stands for another event, leaf {number - 1}", "give a new id")
    return Applied(number - 1, ts, hashed, data, weight, repeated=True)


def _check_time(log: Log, ts: str) -> None:
    if logs.jumps(log, ts):
        raise logs.jumped(log, ts, "say so with the admin key: `cortex vote-ledger confirm-clock`")


def _vote(tx: Tx, log: Log, signed: Signed, event: Ballot, rules: Policy, ts: str, append: Append) -> Applied:
    _check_key(tx, event.key, event.agent)
    agent = judging.agent(tx, event.agent)
    day = judging.day_of(ts)
    weight = reputation.weight_e6(rules, agent.level, *judging.evidence(agent, rules, day))
    leaf = append(tx, log, signed, ts, weight)
    judging.cast(tx, rules, event, weight, vouched=agent.vouched, leaf=leaf.idx, ts=ts)
    return Applied(leaf.idx, leaf.ts, leaf.hash, leaf.data, weight, level=agent.level)


def _register(tx: Tx, log: Log, event: AgentRegistered, rules: Policy, ts: str) -> None:
    same: Any = tx.execute("SELECT name FROM vote_agent WHERE name = ? COLLATE NOCASE", (event.agent,)).fetchone()
    if same is not None:
        raise Conflict(f"there is an agent {same[0]} already", "choose another name, or add a key to that agent")
    if event.admin is not None:
        _check_admin(log, event.admin)
    elif event.trust != "untrusted":
        raise Forbidden(f"trust {event.trust} takes the admin key", "register the agent as untrusted")
    tx.execute(
        "INSERT INTO vote_agent (name, level, for_e6, against_e6, day, since) VALUES (?, ?, 0, 0, ?, ?)",
        (event.agent, event.trust, judging.day_of(ts), ts),
    )
    _introduce(tx, log, bytes.fromhex(event.key), event.agent, event.custody, event.projects)


def _change_key(tx: Tx, log: Log, event: KeyChanged, rules: Policy, ts: str) -> None:
    agent = judging.agent(tx, event.agent)
    if event.op == "revoke":
        _check_admin(log, event.by)
        _check_key(tx, event.key, event.agent)
        _end(tx, log, event.key, "revoked")
        return
    if agent.level == "revoked":
        raise KeyNotValid(f"agent {event.agent} was revoked", "give it a level of trust first: `cortex agent trust`")
    if event.op == "rotate" or bytes.fromhex(event.by) != log.admin:
        _check_key(tx, event.by, event.agent)
    if event.op == "rotate":
        _end(tx, log, event.by, "rotated")
    _introduce(tx, log, bytes.fromhex(event.key), event.agent, event.custody, event.projects)


def _set_trust(tx: Tx, log: Log, event: TrustSet, rules: Policy, ts: str) -> None:
    _check_admin(log, event.key)
    before = judging.agent(tx, event.agent)
    tx.execute("UPDATE vote_agent SET level = ? WHERE name = ?", (event.trust, event.agent))
    if event.trust == "revoked":
        tx.execute(
            "UPDATE vote_key SET until_idx = ?, ended = 'revoked' WHERE agent = ? AND until_idx IS NULL",
            (log.size, event.agent),
        )
    if _ORDER[event.trust] < _ORDER[before.level]:
        judging.lower(tx, rules, event.agent, event.trust, ts)


_ORDER = {"revoked": 0, "untrusted": 1, "standard": 2, "trusted": 3}


def _rotate_admin(tx: Tx, log: Log, event: AdminRotated, rules: Policy, ts: str) -> None:
    _check_admin(log, event.key)
    _end(tx, log, event.key, "rotated")
    log.admin = bytes.fromhex(event.new)
    _introduce(tx, log, log.admin, None, None, None)


def _set_policy(tx: Tx, log: Log, event: PolicySet, rules: Policy, ts: str) -> None:
    _check_admin(log, event.key)
    log.policy = policy.encode(event.policy)
    if event.policy != rules:
        judging.judge_all(tx, event.policy, ts)


def _resolve(tx: Tx, log: Log, event: FactResolved, rules: Policy, ts: str) -> None:
    _check_admin(log, event.key)
    judging.resolve(tx, rules, event.fact, bytes.fromhex(event.fact_digest), event.truth, ts)


def _restore(tx: Tx, log: Log, event: LogRestored, rules: Policy, ts: str) -> None:
    _check_admin(log, event.key)
    if (event.size, event.root) != (log.size, log.root.hex()):
        raise Conflict(f"the log has {log.size} leaves, not {event.size} of that root", "sign its present state")
    log.vkey = event.vkey


def _again(tx: Tx, log: Log, event: Genesis, rules: Policy, ts: str) -> None:
    raise Conflict("a log has one genesis", "leaf 0 has it")


_RULES: dict[type[Event], Callable[[Tx, Log, Any, Policy, str], None]] = {
    Genesis: _again,
    AgentRegistered: _register,
    KeyChanged: _change_key,
    TrustSet: _set_trust,
    AdminRotated: _rotate_admin,
    PolicySet: _set_policy,
    FactResolved: _resolve,
    LogRestored: _restore,
}


def _check_admin(log: Log, public: str) -> None:
    if bytes.fromhex(public) != log.admin:
        raise KeyNotValid(f"{public[:16]}… is not the admin key of this log", "sign with the admin key in force")


def _check_key(tx: Tx, public: str, agent: str) -> None:
    """Raise unless a key is one that the agent may sign with at this place of the log."""
    row: Any = tx.execute("SELECT agent, ended FROM vote_key WHERE public = ?", (bytes.fromhex(public),)).fetchone()
    if row is None or row[0] != agent:
        if tx.execute("SELECT 1 FROM vote_agent WHERE name = ?", (agent,)).fetchone() is None:
            raise NotFound(f"there is no agent {agent}", "`cortex agent add` registers one")
        raise KeyNotValid(f"the key {public[:16]}… is not one of agent {agent}", "`cortex agent show` lists its keys")
    if row[1] is not None:
        raise KeyNotValid(f"the key {public[:16]}… of agent {agent} was {row[1]}", "sign with a key that is valid")


def _introduce(
    tx: Tx, log: Log, public: bytes, agent: str | None, custody: str | None, projects: list[str] | None
) -> None:
    """Take a key in that was never in the log."""
    if tx.execute("SELECT 1 FROM vote_key WHERE public = ?", (public,)).fetchone() is not None:
        raise Conflict(f"the key {public.hex()[:16]}… was in this log before", "make a new key")
    told = None if projects is None else "\n".join(projects)
    tx.execute(
        "INSERT INTO vote_key (public, agent, custody, projects, from_idx) VALUES (?, ?, ?, ?, ?)",
        (public, agent, custody, told, log.size),
    )


def _end(tx: Tx, log: Log, public: str, how: str) -> None:
    tx.execute("UPDATE vote_key SET until_idx = ?, ended = ? WHERE public = ?", (log.size, how, bytes.fromhex(public)))
