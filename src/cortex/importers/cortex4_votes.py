"""The agents and votes of an earlier Cortex's file, version 4 and its successors. Nothing is stored here.

`agents` has an id and a name for each; `consensus_votes` names the agent itself, `consensus_votes_v2`, which came
later, by its id. Names were free text there: each run of characters that are none of ours becomes a dash, dashes at the
ends go, what is left is cut, and `agent` stands for nothing. Where two old names would become one, the second gets `-2`
and so on; a name that is fit already is never the one to give way. None of it proves who voted: these votes were not
signed, and the file may say anything.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import apsw

from cortex import limits
from cortex.errors import Unavailable
from cortex.importers import cortex4, cortex4_chains, files
from cortex.importers.cortex4_chains import ChainFinding
from cortex.importers.items import Skip, place
from cortex.kinds import AGENT_PATTERN

__all__ = ["ChainFinding", "OldAgent", "OldTrust", "OldVote", "read", "reason_of"]

_FIT = re.compile(AGENT_PATTERN)
_UNFIT = re.compile(r"[^A-Za-z0-9._@-]+")
_SUFFIX_CHARS = 8
_LEGACY = "legacy"
_AGENT_COLUMNS = ("id", "name", "public_key", "agent_type", "reputation_score", "is_active")
_ACTIVE = frozenset({"1", "1.0", "true", "TRUE"})
_VOTE_COLUMNS = {
    "consensus_votes_v2": ("fact_id", "agent_id", "vote", "created_at", "vote_reason"),
    "consensus_votes": ("fact_id", "agent", "vote", "timestamp", ""),
}
_VOTES: dict[str, Literal[-1, 0, 1]] = {"1": 1, "-1": -1, "0": 0, "1.0": 1, "-1.0": -1, "0.0": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class OldAgent:
    """An agent: `name` is fit for here, `old_name` is what it was called there, to print; what it claims is no proof.

    `id` is None for one that only votes name.
    """

    name: str
    old_name: str
    id: str | None
    reputation: float | None
    type: str
    public_key: str | None
    active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OldVote:
    """The last vote of an agent on a fact, which has the id that the item's meta has as `cortex4.id`.

    `agent` is the name of an OldAgent, `at` a stored time, or None where the file has none.
    """

    fact: int | str
    agent: str
    vote: Literal[-1, 0, 1]
    at: str | None
    reason: str | None
    table: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OldTrust:
    """What the file has of agents and votes. `notes` are sentences on what was changed while reading, to print."""

    agents: list[OldAgent]
    votes: list[OldVote]
    skips: list[Skip]
    notes: list[str]
    chains: list[ChainFinding]


@dataclass(frozen=True, slots=True)
class _Ballot:
    """A row of a table of votes; `agent` is the place of the agent in the list."""

    fact: int | str
    agent: int
    vote: Literal[-1, 0, 1]
    at: str | None
    reason: str | None
    table: str
    where: str


@dataclass(slots=True)
class _Reading:
    """What was read so far, and where an agent is found by what the file calls it."""

    agents: list[OldAgent] = field(default_factory=list)
    old_names: list[str] = field(default_factory=list)
    by_id: dict[str, int] = field(default_factory=dict)
    by_name: dict[str, int] = field(default_factory=dict)
    last: dict[tuple[int | str, int], _Ballot] = field(default_factory=dict)
    skips: list[Skip] = field(default_factory=list)
    unnamed: int = 0

    def skip(self, where: str, reason: str) -> None:
        if len(self.skips) < limits.IMPORT_OLD_SKIPS_MAX:
            self.skips.append(Skip(where, reason))
        else:
            self.unnamed += 1


def read(path: Path) -> OldTrust:
    """The agents and votes of a file, and whether its chains fit.

    Raises Invalid for a file that is not one of these, Corrupt for one that is damaged.
    """
    files.require(path)
    connection, reached = None, "its schema"
    try:
        connection = cortex4.opened(path)
        # One snapshot for all tables, though somebody may write.
        connection.execute("BEGIN")
        cortex4.fact_columns(connection, path)
        reached = "its chains"
        chains = cortex4_chains.check(connection)
        reached = "its agents and votes"
        reading = _Reading()
        _read_agents(connection, reading)
        for table in _VOTE_COLUMNS:
            _read_votes(connection, reading, table)
    except apsw.Error as error:
        raise cortex4.fault(path, reached, error) from None
    except OSError as error:
        raise Unavailable(f"{str(path)!r} could not be read: {error}", "check the file and try again") from None
    finally:
        if connection is not None:
            connection.close()
    return _trust(reading, chains)


def reason_of(vote: OldVote) -> str:
    """What a vote that is cast for an old one gives as its reason: when it was cast, and why."""
    when = f" of {vote.at.replace('.000000Z', 'Z')}" if vote.at else ""
    said = f": {vote.reason}" if vote.reason else ""
    return _cut(f"imported vote{when}{said}")


def _trust(reading: _Reading, chains: list[ChainFinding]) -> OldTrust:
    names = _named(reading.old_names)
    agents = [replace(agent, name=name) for agent, name in zip(reading.agents, names, strict=True)]
    votes = [
        OldVote(
            fact=ballot.fact,
            agent=names[ballot.agent],
            vote=ballot.vote,
            at=ballot.at,
            reason=ballot.reason,
            table=ballot.table,
        )
        for ballot in reading.last.values()
    ]
    if reading.unnamed:
        reading.skips.append(Skip("agents and votes", f"{reading.unnamed} more entries are left out"))
    notes = [
        f"the agent {agent.old_name!r} is called {agent.name!r} here"
        for agent, old in zip(agents, reading.old_names, strict=True)
        if agent.name != old
    ]
    return OldTrust(agents=agents, votes=votes, skips=reading.skips, notes=notes, chains=chains)


def _read_agents(connection: apsw.Connection, reading: _Reading) -> None:
    for where, row in _rows(connection, reading, "agents", _AGENT_COLUMNS, {"name"}, limits.IMPORT_OLD_AGENTS_MAX):
        old_id = row.get("id") or None
        old_name = (row["name"] or "").strip() or old_id
        if old_name is None:
            reading.skip(where, "it has neither a name nor an id")
        elif old_id in reading.by_id:
            reading.skip(where, "its id is that of an agent before it")
        else:
            _add_agent(reading, old_name, old_id, row)


def _add_agent(reading: _Reading, old_name: str, old_id: str | None, row: dict[str, str | None]) -> int:
    at = len(reading.agents)
    agent = OldAgent(
        name="",
        old_name=place(old_name),
        id=None if old_id is None else place(old_id),
        reputation=_finite(row.get("reputation_score")),
        type=place((row.get("agent_type") or "")[: limits.TYPE_CHARS_MAX]),
        public_key=_key(row.get("public_key")),
        active=row.get("is_active", "1") in _ACTIVE,
    )
    reading.agents.append(agent)
    reading.old_names.append(old_name)
    if old_id is not None:
        reading.by_id[old_id] = at
    # The votes that name their agent were given to agents of this type when the ids came.
    before = reading.by_name.get(old_name)
    if before is None or (agent.type == _LEGACY and reading.agents[before].type != _LEGACY):
        reading.by_name[old_name] = at
    return at


def _read_votes(connection: apsw.Connection, reading: _Reading, table: str) -> None:
    """The votes of a table. A later one of the same agent on a fact replaces an earlier; none replaces another table's.

    So the table whose votes count is read first.
    """
    fact_column, agent_column, vote_column, at_column, reason_column = columns = _VOTE_COLUMNS[table]
    needed = {fact_column, agent_column, vote_column}
    wanted = tuple(column for column in columns if column)
    for where, row in _rows(connection, reading, table, wanted, needed, limits.IMPORT_OLD_VOTES_MAX):
        fact, vote = _fact(row[fact_column]), _VOTES.get((row[vote_column] or "").strip())
        old_agent = (row[agent_column] or "").strip()
        if fact is None or not old_agent:
            reading.skip(where, f"it names no {'agent' if fact is not None else 'fact'}")
            continue
        if vote is None:
            reading.skip(where, f"it is {place((row[vote_column] or '')[:40])!r}, not 1, -1 or 0")
            continue
        known = reading.by_id if agent_column == "agent_id" else reading.by_name
        agent = _agent(reading, known, old_agent)
        if agent is None:
            reading.skip(where, f"its agent is one too many: there are {limits.IMPORT_OLD_AGENTS_MAX} before it")
            continue
        at, reason = cortex4.instant(row.get(at_column)), _said(row.get(reason_column))
        _count(reading, _Ballot(fact, agent, vote, at, reason, table, where))


def _agent(reading: _Reading, known: dict[str, int], old_agent: str) -> int | None:
    found = known.get(old_agent)
    if found is None and len(reading.agents) < limits.IMPORT_OLD_AGENTS_MAX:
        found = known[old_agent] = _add_agent(reading, old_agent, None, {})
    return found


def _count(reading: _Reading, ballot: _Ballot) -> None:
    key = (ballot.fact, ballot.agent)
    other = reading.last.get(key)
    if other is None:
        reading.last[key] = ballot
    elif other.table != ballot.table:
        reading.skip(ballot.where, f"its agent voted on this fact in {other.table} too, which counts")
    else:
        later = (ballot.at or "") >= (other.at or "")
        reading.last[key] = ballot if later else other
        reading.skip((other if later else ballot).where, "its agent voted on this fact again, later")


def _rows(
    connection: apsw.Connection,
    reading: _Reading,
    table: str,
    columns: tuple[str, ...],
    needed: set[str],
    rows_max: int,
) -> Iterator[tuple[str, dict[str, str | None]]]:
    """The rows of a table with their places; those that cannot be read are skipped, and so is what is no table."""
    there = set(cortex4.columns_of(connection, table))
    if not there:
        if connection.execute("SELECT 1 FROM main.sqlite_schema WHERE name = ?", (table,)).fetchone():
            reading.skip(f"table {table}", "it is not a table with rows of its own")
        return
    if missing := needed - there:
        reading.skip(f"table {table}", f"it has no column {', '.join(sorted(missing))}")
        return
    wanted = [column for column in columns if column in there]
    bytes_max = limits.IMPORT_OLD_FIELD_BYTES_MAX
    rows = cortex4.rows(connection, table, wanted, bytes_max=bytes_max, rest=f"LIMIT {rows_max + 1}")
    for number, (largest, values) in enumerate(rows, start=1):
        if number > rows_max:
            reading.skip(f"table {table}", f"it has more than {rows_max} rows: the others are not read")
            return
        row = {column: cortex4.text(value) for column, value in values.items()}
        where = f"{table}, row {number}"
        if largest > bytes_max:
            reading.skip(where, f"a column has {largest} bytes, more than {bytes_max}")
        else:
            yield where, row


def _fact(written: str | None) -> int | str | None:
    if not written or not written.strip():
        return None
    found = cortex4.number(written)
    if isinstance(found, float):
        return int(found) if found.is_integer() else written
    return found


def _key(written: str | None) -> str | None:
    return written if written and written == place(written) else None


def _finite(written: str | None) -> float | None:
    try:
        found = float(written or "nan")
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _said(written: str | None) -> str | None:
    """A reason on one line, of characters that can be printed."""
    words = " ".join((written or "").split())
    return _cut("".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in words)) or None


def _cut(text: str) -> str:
    return text.encode()[: limits.REASON_BYTES_MAX].decode(errors="ignore")


def _named(old_names: list[str]) -> list[str]:
    """A name for each agent, no two alike."""
    names: dict[int, str] = {}
    taken: set[str] = set()
    for at, old in enumerate(old_names):
        if _FIT.fullmatch(old) and old not in taken:
            names[at] = old
            taken.add(old)
    counts: dict[str, int] = {}
    for at, old in enumerate(old_names):
        if at not in names:
            names[at] = _free(old if _FIT.fullmatch(old) else _fitted(old), taken, counts)
            taken.add(names[at])
    return [names[at] for at in range(len(old_names))]


def _fitted(old: str) -> str:
    return _UNFIT.sub("-", old).strip("-")[: limits.AGENT_CHARS_MAX] or "agent"


def _free(name: str, taken: set[str], counts: dict[str, int]) -> str:
    stem = name[: limits.AGENT_CHARS_MAX - _SUFFIX_CHARS]
    while name in taken:
        counts[stem] = counts.get(stem, 1) + 1
        name = f"{stem}-{counts[stem]}"
    return name
