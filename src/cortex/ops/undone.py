"""What restoring a backup undid, as far as the replaced file tells: facts that it had forgotten, words of the admin."""

import os
import shlex
import urllib.parse
from enum import IntEnum, auto
from pathlib import Path
from typing import Annotated, Any, cast

import apsw
import msgspec
from msgspec import Meta, Struct

from cortex import limits
from cortex.db.connect import Tx, value
from cortex.db.faults import told
from cortex.errors import CortexError
from cortex.memory import votable
from cortex.ops.settled import TRUTHS
from cortex.plurals import counted
from cortex.trust import beyond, policy
from cortex.trust import log as logs
from cortex.trust.beyond import Beyond
from cortex.trust.events import (
    AdminRotated,
    AgentRegistered,
    Event,
    FactResolved,
    KeyChanged,
    Kind,
    PolicySet,
    TrustSet,
)
from cortex.trust.log import Log
from cortex.trust.policy import Policy


class Undone(Struct, frozen=True, kw_only=True):
    """What an event of the replaced file's votes log had done, and is not so any more."""

    kind: Annotated[Kind, Meta(description="What it is about: admin, trust, key, resolve, policy or agent.")]
    subject: Annotated[str | None, Meta(description="Name of the agent or id of the fact that it is about.")]
    what: str
    command: Annotated[str | None, Meta(description="What does it again; null where nothing does.")]
    entry: Annotated[int, Meta(description="The entry of the replaced file's votes log that says it.")]


class Comparison(Struct, frozen=True, kw_only=True):
    """What the replaced file knew and the restored one does not."""

    forgotten: int | None
    forgotten_ids: list[str] = []
    undone: list[Undone] = []
    undone_more: int = 0
    untold: list[str] = []


def compare(tx: Tx, replaced: Path) -> Comparison:
    """Compare the restored file with a copy of what it held before. What cannot be read is told, and is no failure."""
    forgotten: int | None = None
    ids: list[str] = []
    undone: list[Undone] = []
    try:
        _attach(tx, replaced)
        forgotten, ids = _forgotten(tx)
        undone, untold = _undone(tx, replaced)
    except (apsw.Error, UnicodeDecodeError, CortexError) as error:
        untold = [f"what {replaced} knew beyond the backup could not be told: {_why(error, replaced)}"]
    shown = limits.RESTORE_TOLD_MAX
    return Comparison(
        forgotten=forgotten,
        forgotten_ids=ids,
        undone=undone[:shown],
        undone_more=max(0, len(undone) - shown),
        untold=untold,
    )


def _attach(tx: Tx, replaced: Path) -> None:
    """Attach a file to be read only, whatever a URI makes of the characters of its name."""
    tx.execute("ATTACH ? AS replaced", (f"file:{urllib.parse.quote(os.fsencode(replaced))}?mode=ro",))
    tx.execute("BEGIN")


def _why(error: Exception, path: Path) -> str:
    found = told(error, str(path))
    return found.message if isinstance(found, CortexError) else str(found)


def _forgotten(tx: Tx) -> tuple[int, list[str]]:
    """How many facts are there although the replaced file had forgotten them, and the first of their ids."""
    rows: Any = tx.execute(
        "SELECT o.id FROM replaced.fact AS o CROSS JOIN main.fact AS n ON n.id = o.id"
        " WHERE o.erased_at IS NOT NULL AND n.erased_at IS NULL ORDER BY o.id"
    )
    count, ids = 0, []
    for (fact,) in rows:
        count += 1
        if count <= limits.RESTORE_TOLD_MAX:
            ids.append(fact)
    return count, ids


def _undone(tx: Tx, replaced: Path) -> tuple[list[Undone], list[str]]:
    """What the replaced file's votes log says beyond the restored one, the gravest first; and what is untold of it."""
    log = logs.state(tx)
    row: Any = tx.execute("SELECT origin, size FROM replaced.vote_log").fetchone()
    if row is None:
        return [], []
    origin, size = row
    if log is None:
        entries = counted(size, "entry", "entries")
        return [], [f"the backup has no votes log: that of the replaced file, with {entries}, is in {replaced}"]
    if origin != log.origin:
        named = origin[: limits.EVENT_TEXT_CHARS_MAX]
        return [], [f"the votes log of the replaced file ({named}) is another log than that of the backup"]
    found = Beyond()
    last = _last(tx, log, found)
    undone = [told for subject in last if (told := _told(tx, log, last, subject)) is not None]
    return [each for _, _, each in sorted(undone, key=lambda told: told[:2])], _notes(found)


def _notes(found: Beyond) -> list[str]:
    notes = []
    if found.unsigned:
        these = counted(found.unsigned, "event")
        notes.append(f"left out: {these} of its votes log without a signature by a key that may sign there")
    if found.cut:
        most = f"{limits.RESTORE_EVENTS_MAX:,} events"
        notes.append(f"its votes log has more than {most} beyond the backup: the rest were not read")
    return notes


# The last event on each subject, by what it is about: only that one is to be done again.
_Last = dict[tuple[str, ...], tuple[int, Event]]


def _last(tx: Tx, log: Log, found: Beyond) -> _Last:
    last: _Last = {}
    for entry, event in beyond.walk(tx, "replaced", log.origin, found):
        subject = _subject(event)
        if subject is not None:
            last[subject] = entry, event
        if isinstance(event, TrustSet) and event.trust == "revoked":
            # A level that is given again does not give back the keys.
            for public in _valid_keys(tx, event.agent):
                last.setdefault(("key", public), (entry, event))
    return last


def _subject(event: Event) -> tuple[str, ...] | None:
    match event:
        case AdminRotated(key=key):
            return "admin", key
        case TrustSet(agent=agent):
            return "trust", agent
        case AgentRegistered(agent=agent):
            return "agent", agent
        case KeyChanged(op="rotate", by=key) | KeyChanged(key=key):
            return "key", key
        case FactResolved(fact=fact, fact_digest=digest):
            return "resolve", fact, digest
        case PolicySet():
            return ("policy",)
        case _:
            return None  # that a log was restored is nothing to do again


def _valid_keys(tx: Tx, agent: str) -> list[str]:
    """The keys of an agent that the replaced file had too, and that are valid now."""
    rows: Any = tx.execute(
        "SELECT n.public FROM main.vote_key AS n JOIN replaced.vote_key AS o ON o.public = n.public"
        " WHERE n.agent = ? AND n.until_idx IS NULL ORDER BY n.from_idx",
        (agent,),
    )
    return [public.hex() for (public,) in rows]


class _Rank(IntEnum):
    """What comes first where not all is shown: who may sign again and may not, before who may not yet."""

    ADMIN = auto()
    LOWERED = auto()
    KEY_ENDED = auto()
    RESOLVED = auto()
    POLICY = auto()
    RAISED = auto()
    REGISTERED = auto()
    KEY_ADDED = auto()


# How grave it is that it was undone; in words; what does it again.
_Said = tuple[_Rank, str, list[str] | None]


def _told(tx: Tx, log: Log, last: _Last, subject: tuple[str, ...]) -> tuple[_Rank, int, Undone] | None:
    """What the last event on a subject did; None where it is so in the restored file too."""
    entry, event = last[subject]
    said: _Said | None = None
    match subject[0], event:
        case "admin", AdminRotated():
            said = _admin(log, event)
        case "trust", TrustSet():
            said = _trust(tx, event)
        case "agent", AgentRegistered():
            said = _agent(tx, last, event)
        case "key", KeyChanged() | TrustSet():
            said = _key(tx, last, subject[1], event)
        case "resolve", FactResolved():
            said = _resolved(tx, event)
        case "policy", PolicySet():
            said = _policy(log, event)
    if said is None:
        return None
    rank, what, command = said
    line = None if command is None else shlex.join(["cortex", *command])
    about = subject[1] if isinstance(event, FactResolved) else getattr(event, "agent", None)
    kind = cast("Kind", subject[0])
    return rank, entry, Undone(kind=kind, subject=about, what=what, command=line, entry=entry)


def _admin(log: Log, event: AdminRotated) -> _Said | None:
    if log.admin.hex() != event.key:
        return None
    return _Rank.ADMIN, f"the admin key {event.key[:16]}… was rotated and is in force again", ["admin", "rotate"]


_LEVELS = ("revoked", "untrusted", "standard", "trusted")


def _trust(tx: Tx, event: TrustSet) -> _Said | None:
    level = value(tx, "SELECT level FROM main.vote_agent WHERE name = ?", (event.agent,))
    if level in (None, event.trust):
        return None
    lower = _LEVELS.index(event.trust) < _LEVELS.index(str(level))
    rank = _Rank.LOWERED if lower else _Rank.RAISED
    if event.trust == "revoked":
        return rank, f"agent {event.agent} was revoked and is {level} again", ["agent", "revoke", event.agent]
    what = f"agent {event.agent} was made {event.trust} and is {level} again"
    return rank, what, ["agent", "trust", event.agent, event.trust]


def _agent(tx: Tx, last: _Last, event: AgentRegistered) -> _Said | None:
    level = _level(last, event.agent) or event.trust
    if level == "revoked" or value(tx, "SELECT 1 FROM main.vote_agent WHERE name = ?", (event.agent,)) is not None:
        return None
    what = f"agent {event.agent} was registered and is not there"
    if event.custody == "agent":
        return _Rank.REGISTERED, what, ["agent", "add", event.agent, "--trust", level, *_globs(event.projects)]
    what = f"{what}; its next vote registers it, with a key that Cortex keeps"
    if level == "untrusted":
        return _Rank.REGISTERED, what, None
    return _Rank.REGISTERED, f"{what}, and then it is to be {level}", ["agent", "trust", event.agent, level]


def _level(last: _Last, agent: str) -> str | None:
    """The level that the replaced file gave an agent beyond the backup."""
    _, event = last.get(("trust", agent), (0, None))
    return event.trust if isinstance(event, TrustSet) else None


def _globs(projects: list[str] | None) -> list[str]:
    return [] if projects in (None, ["*"]) else [word for glob in projects or () for word in ("--projects", glob)]


def _key(tx: Tx, last: _Last, public: str, event: KeyChanged | TrustSet) -> _Said | None:
    agent, start = event.agent, public[:16]
    if _level(last, agent) == "revoked":
        return None  # its keys end with it
    key = bytes.fromhex(public)
    if isinstance(event, KeyChanged) and event.op == "add":
        known = value(tx, "SELECT 1 FROM main.vote_agent WHERE name = ?", (agent,)) is not None
        lost = value(tx, "SELECT until_idx IS NULL FROM replaced.vote_key WHERE public = ?", (key,)) == 1
        if not known or not lost or value(tx, "SELECT 1 FROM main.vote_key WHERE public = ?", (key,)) is not None:
            return None
        command = ["agent", "key", agent, "--out", "FILE", *_globs(event.projects)]
        return _Rank.KEY_ADDED, f"agent {agent} got the key {start}…, which is not there", command
    valid = "SELECT 1 FROM main.vote_key WHERE public = ? AND agent = ? AND until_idx IS NULL"
    if value(tx, valid, (key, agent)) is None:
        return None
    if isinstance(event, KeyChanged) and event.op == "rotate":
        what = f"the key {start}… of agent {agent} was rotated and is valid again"
        return _Rank.KEY_ENDED, what, ["agent", "rotate", agent]
    what = f"the key {start}… of agent {agent} was revoked and is valid again"
    return _Rank.KEY_ENDED, what, ["agent", "revoke", agent, "--public", start]


def _resolved(tx: Tx, event: FactResolved) -> _Said | None:
    digest = bytes.fromhex(event.fact_digest)
    now = "SELECT resolved FROM main.vote_tally WHERE fact = ? AND digest = ?"
    if (value(tx, now, (event.fact, digest)) or 0) == event.truth:
        return None
    word = TRUTHS[event.truth]
    what = f"fact {event.fact} was resolved as {word}"
    try:
        on = votable.newest(tx, event.fact)
    except CortexError as error:
        return _Rank.RESOLVED, f"{what}; now {error.message}", None
    if on.digest != digest:
        return _Rank.RESOLVED, f"{what}; the text that this was said of is not the newest one now", None
    return _Rank.RESOLVED, what, ["resolve", event.fact, word, "--revision", str(on.revision)]


def _policy(log: Log, event: PolicySet) -> _Said | None:
    now, wanted = policy.decode(log.policy), event.policy
    if now == wanted:
        return None
    before = _parameters(now)
    changed = [f"{name}={number}" for name, number in _parameters(wanted).items() if before[name] != number]
    rule = [wanted.rule] if wanted.rule != now.rule else []
    command = ["vote-ledger", "policy", *rule, *(word for each in changed for word in ("--set", each))]
    return _Rank.POLICY, "the rules by which votes count were changed", command


def _parameters(rules: Policy) -> dict[str, int]:
    """The parameters of a policy by the names that `cortex vote-ledger policy --set` takes."""
    plain = msgspec.to_builtins(rules)
    numbers = {name: number for name, number in plain.items() if isinstance(number, int)}
    sides = {
        f"prior.{level}.{side}": number
        for level, units in plain["prior"].items()
        for side, number in zip(("for", "against"), units, strict=True)
    }
    return {**sides, **numbers}
