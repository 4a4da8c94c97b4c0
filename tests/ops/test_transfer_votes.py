"""Agents and votes of an earlier Cortex's file: signed for by the server, each counted once, never as somebody here."""

import asyncio
import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from cortex import limits
from cortex.app import App
from cortex.ids import uuid8
from cortex.ops.earlier_votes import TrustImported
from cortex.ops.facts import RetractFact, ReviseFact
from cortex.ops.journal import EventsOrdered, LocalJournal, Proposal
from cortex.ops.ledger import VerifyLedger
from cortex.ops.signing import admin
from cortex.ops.transfer import FileImported, ImportFiles
from cortex.ops.views import ListFacts
from cortex.ops.vote_ledger import VerifyVotes
from cortex.ops.votes import CastVote, FactVotes, ReadVotes
from cortex.trust import keyfiles
from cortex.trust import log as logs
from cortex.trust.events import TrustSet
from cortex.trust.keyring import sign
from opened import Memory

Opening = Callable[..., Memory]

SCHEMA = """
CREATE TABLE facts (
    id INTEGER PRIMARY KEY, project TEXT NOT NULL DEFAULT 'work', content TEXT NOT NULL,
    fact_type TEXT NOT NULL DEFAULT 'knowledge', valid_from TEXT NOT NULL DEFAULT '2025-10-01',
    is_tombstoned INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE agents (id TEXT PRIMARY KEY, name TEXT NOT NULL, is_active BOOLEAN DEFAULT TRUE);
CREATE TABLE consensus_votes (
    id INTEGER PRIMARY KEY, fact_id INTEGER NOT NULL, agent TEXT NOT NULL, vote INTEGER NOT NULL,
    timestamp TEXT NOT NULL DEFAULT '2025-11-01 09:00:00'
);
CREATE TABLE consensus_votes_v2 (
    id INTEGER PRIMARY KEY, fact_id INTEGER NOT NULL, agent_id TEXT NOT NULL, vote INTEGER NOT NULL,
    created_at TEXT NOT NULL DEFAULT '2025-11-02 10:00:00', vote_reason TEXT
);
CREATE TABLE transactions (
    id INTEGER PRIMARY KEY, project TEXT, action TEXT, detail TEXT, prev_hash TEXT, hash TEXT, timestamp TEXT
);
"""


def earlier(path: Path, *statements: str) -> Path:
    """A file with two facts and what the statements put there."""
    connection = apsw.Connection(str(path))
    connection.execute(SCHEMA)
    connection.execute("INSERT INTO facts (id, content) VALUES (1, 'the sky is blue'), (2, 'the sea is salt')")
    for statement in statements:
        connection.execute(statement)
    connection.close()
    return path


VOTED = (
    "INSERT INTO agents (id, name) VALUES ('a-1', 'ann'), ('b-1', 'bob')",
    "INSERT INTO consensus_votes_v2 (id, fact_id, agent_id, vote, vote_reason) VALUES (1, 1, 'a-1', 1, 'I looked')",
    "INSERT INTO consensus_votes_v2 (id, fact_id, agent_id, vote) VALUES (2, 1, 'b-1', -1), (3, 2, 'a-1', 1)",
)


def chained(connection: apsw.Connection, count: int) -> None:
    prev = "GENESIS"
    for number in range(count):
        fields = (prev, "p", "store", "{}", f"2025-11-01T09:00:{number:02}+00:00")
        hashed = hashlib.sha256("\0".join(fields).encode()).hexdigest()
        connection.execute(
            "INSERT INTO transactions (prev_hash, project, action, detail, timestamp, hash) VALUES (?, ?, ?, ?, ?, ?)",
            (*fields, hashed),
        )
        prev = hashed


def imported(memory: Memory, path: Path, **request: Any) -> FileImported:
    (file,) = memory.call(ImportFiles(paths=[str(path)], **request)).files
    assert file.error is None
    return file


def trust_of(file: FileImported) -> TrustImported:
    assert file.trust is not None
    return file.trust


def came(memory: Memory, path: Path, **request: Any) -> tuple[int, int, int, int, int]:
    """Agents and votes that were new, those that were known, and what was skipped."""
    trust = trust_of(imported(memory, path, **request))
    return trust.agents, trust.votes, trust.agents_known, trust.votes_known, trust.skipped


def fact(memory: Memory, content: str) -> str:
    return next(one.id for one in memory.call(ListFacts(limit=limits.PAGE_MAX)).facts if one.content == content)


def votes(memory: Memory, content: str) -> FactVotes:
    return memory.call(ReadVotes(id=fact(memory, content)))


def held(memory: Memory, content: str) -> dict[str, int]:
    return {vote.agent: vote.vote for vote in votes(memory, content).votes}


def leaves(memory: Memory) -> list[tuple[Any, ...]]:
    return memory.sql().execute("SELECT kind, agent_id, fact_id, vote FROM vote_ledger ORDER BY id").fetchall()


def test_agents_and_votes_of_an_earlier_file_come_as_the_servers_word_with_their_old_times(
    memory: Memory, tmp_path: Path
) -> None:
    path = earlier(tmp_path / "cortex.db", *VOTED)

    file = imported(memory, path)

    trust = trust_of(file)
    assert (2, 0) == (file.stored, file.skipped)
    assert (2, 3, 0, 0, 0, [], []) == (
        trust.agents, trust.votes, trust.agents_known, trust.votes_known, trust.skipped, trust.skips, trust.notes,
    )  # fmt: skip
    shown = {vote.agent: vote for vote in votes(memory, "the sky is blue").votes}
    assert {"ann": 1, "bob": -1} == {agent: vote.vote for agent, vote in shown.items()}
    assert {("server", "untrusted")} == {(vote.custody, vote.level) for vote in shown.values()}
    assert "imported vote of 2025-11-02T10:00:00Z: I looked" == shown["ann"].reason
    assert "imported vote of 2025-11-02T10:00:00Z" == shown["bob"].reason
    assert {"ann": 1} == held(memory, "the sea is salt")
    assert memory.call(VerifyLedger()).ok
    assert memory.call(VerifyVotes()).ok


def test_the_same_file_again_casts_nothing_twice(memory: Memory, tmp_path: Path) -> None:
    path = earlier(tmp_path / "cortex.db", *VOTED)
    assert (2, 3, 0, 0, 0) == came(memory, path)
    before = leaves(memory)

    again = came(memory, path)
    renamed = came(memory, path.rename(tmp_path / "other.db"))

    assert (0, 0, 2, 3, 0) == again == renamed
    assert before == leaves(memory)


def test_in_another_project_the_same_agents_vote_on_other_facts(memory: Memory, tmp_path: Path) -> None:
    path = earlier(tmp_path / "cortex.db", *VOTED)
    came(memory, path)

    assert (0, 3, 2, 0, 0) == came(memory, path, project="other")


def test_a_vote_counts_for_the_newest_revision_of_the_fact_that_was_there(memory: Memory, tmp_path: Path) -> None:
    first = memory.store("the sky is green", valid_from="2025-10-01T00:00:00Z")
    memory.call(ReviseFact(id=first.id, content="the sky is blue"))
    path = earlier(tmp_path / "cortex.db", *VOTED)

    file = imported(memory, path)

    assert (1, 1) == (file.stored, file.duplicates)
    assert (first.id, 2) == (votes(memory, "the sky is blue").fact, votes(memory, "the sky is blue").revision)
    assert {"ann": 1, "bob": -1} == held(memory, "the sky is blue")


def test_where_two_facts_there_are_one_here_the_last_vote_counts(memory: Memory, tmp_path: Path) -> None:
    path = earlier(
        tmp_path / "cortex.db",
        "INSERT INTO facts (id, content) VALUES (3, 'the sky is blue')",
        "INSERT INTO consensus_votes (fact_id, agent, vote, timestamp) VALUES"
        " (3, 'ann', -1, '2025-11-03'), (1, 'ann', 1, '2025-11-01')",
    )

    trust = trust_of(imported(memory, path))

    assert (1, 1) == (trust.votes, trust.skipped)
    assert "again, later" in trust.skips[0].reason
    assert {"ann": -1} == held(memory, "the sky is blue")


def test_an_agent_that_is_here_is_never_voted_as(memory: Memory, tmp_path: Path) -> None:
    mine = memory.store("mine").id
    memory.call(CastVote(id=mine, vote=1, agent="ann"))
    log = logs.state(memory.sql())
    assert log is not None
    keyfiles.make(keyfiles.agent_path(memory.home, log.origin, "bob"), "bob", log.origin)
    path = earlier(
        tmp_path / "cortex.db", *VOTED, "INSERT INTO agents (id, name) VALUES ('t', 'tester'), ('a-2', 'ann-2')"
    )

    trust = trust_of(imported(memory, path))

    assert {"ann-3": 1, "bob-2": -1} == held(memory, "the sky is blue")
    assert {"ann": 1} == held(memory, "mine")
    assert 3 == len(trust.notes)
    assert "the agent 'ann' is called 'ann-3' here" in trust.notes[0]
    assert (0, 0, 4, 3, 0) == came(memory, path)


def test_names_that_no_agent_may_have_are_replaced(memory: Memory, tmp_path: Path) -> None:
    long = "x" * limits.AGENT_CHARS_MAX
    path = earlier(
        tmp_path / "cortex.db",
        "INSERT INTO agents (id, name) VALUES ('1', '.'), ('2', '..'), ('3', 'CON'), ('4', 'Ann'), ('5', 'ann'),"
        f" ('6', 'a b'), ('7', '{long}'), ('8', '../../x')",
        "INSERT INTO consensus_votes_v2 (fact_id, agent_id, vote) SELECT 1, id, 1 FROM agents",
    )

    trust = trust_of(imported(memory, path))

    assert (8, 8, 0) == (trust.agents, trust.votes, trust.skipped)
    assert {"agent-2", "agent-3", "CON", "Ann", "ann-2", "a-b", long, "..-..-x"} == set(held(memory, "the sky is blue"))
    assert 5 == len(trust.notes)


def test_two_files_with_the_same_names_are_other_agents(memory: Memory, tmp_path: Path) -> None:
    came(memory, earlier(tmp_path / "one.db", *VOTED))

    trust = trust_of(
        imported(memory, earlier(tmp_path / "two.db", *VOTED, "INSERT INTO agents VALUES ('c', 'cid', 0)"))
    )

    assert (3, 3) == (trust.agents, trust.votes)
    assert {"ann": 1, "bob": -1, "ann-2": 1, "bob-2": -1} == held(memory, "the sky is blue")


def test_a_tampered_chain_is_told_and_does_not_stop_the_import(memory: Memory, tmp_path: Path) -> None:
    path = earlier(tmp_path / "cortex.db", *VOTED)
    connection = apsw.Connection(str(path))
    chained(connection, 5)
    connection.close()
    sound = memory.call(ImportFiles(paths=[str(path)]))
    apsw.Connection(str(path)).execute("UPDATE transactions SET detail = '{\"x\": 1}' WHERE id = 3").connection.close()

    report = memory.call(ImportFiles(paths=[str(path)]))

    assert [("transactions", 5, True)] == [(f.table, f.checked, f.ok) for f in trust_of(sound.files[0]).findings]
    assert (0, 1) == (sound.exit_code, report.exit_code)
    trust = trust_of(report.files[0])
    assert [("transactions", False, "row 3")] == [(f.table, f.ok, f.first_bad) for f in trust.findings]
    assert (None, 2, 3) == (report.files[0].error, trust.agents, trust.votes)
    assert json.loads(json.dumps([f.what for f in trust.findings]))[0].startswith("row 3 does not fit")


def test_votes_on_what_was_not_imported_are_skipped_with_the_reason(memory: Memory, tmp_path: Path) -> None:
    path = earlier(
        tmp_path / "cortex.db",
        "INSERT INTO facts (id, content, is_tombstoned) VALUES (3, 'gone', 1)",
        "INSERT INTO facts (id, project, content) VALUES (4, 'user', 'obey')",
        "INSERT INTO consensus_votes (fact_id, agent, vote) VALUES (1, 'ann', 1), (3, 'ann', 1), (4, 'ann', 1),"
        " (99, 'ann', 1), (2, 'ann', 5)",
    )

    file = imported(memory, path)

    trust = trust_of(file)
    assert (2, 2) == (file.stored, file.skipped)
    assert (1, 1, 4) == (trust.agents, trust.votes, trust.skipped)
    assert ["consensus_votes, row 5", *(f"consensus_votes, ann on fact {number}" for number in (3, 4, 99))] == [
        skip.where for skip in trust.skips
    ]
    assert {"its fact was not imported"} == {skip.reason for skip in trust.skips[1:]}


def test_without_agents_and_votes_no_votes_log_is_begun(memory: Memory, tmp_path: Path) -> None:
    path = earlier(tmp_path / "cortex.db", "DROP TABLE agents", "DROP TABLE consensus_votes")

    file = imported(memory, path)

    assert (2, 0) == (file.stored, trust_of(file).agents)
    assert logs.state(memory.sql()) is None
    assert imported(memory, path).resumed_at == 0


def test_what_is_wrong_with_the_votes_does_not_keep_the_facts_out(memory: Memory, tmp_path: Path) -> None:
    path = earlier(tmp_path / "cortex.db", *VOTED, "DROP TABLE consensus_votes_v2")
    connection = apsw.Connection(str(path))
    root = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'consensus_votes'").fetchone()
    size = connection.execute("PRAGMA page_size").fetchone()
    assert root is not None
    assert size is not None
    connection.close()
    with path.open("r+b") as file:
        file.seek((root[0] - 1) * size[0])
        file.write(b"\xff" * size[0])

    report = memory.call(ImportFiles(paths=[str(path)]))

    assert (2, 1) == (report.stored, report.exit_code)
    assert "agents and votes" in (report.files[0].error or "")


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("stop_at", range(6))
def test_an_import_that_was_killed_goes_on_and_counts_nothing_twice(
    opening: Opening, tmp_path: Path, stop_at: int, committed: bool
) -> None:
    path = earlier(
        tmp_path / "cortex.db",
        "INSERT INTO agents (id, name) VALUES ('a', 'ann'), ('b', 'bob'), ('c', 'cid')",
        "INSERT INTO consensus_votes_v2 (fact_id, agent_id, vote) SELECT f.id, a.id, 1 FROM facts AS f, agents AS a",
    )
    # Each change of the votes log is a place to be killed at: when it is decided, and when it is committed.
    script = f"""
import os, signal, sys
from pathlib import Path
from cortex import limits
from cortex.ops.journal import LocalJournal
from cortex.ops.transfer import ImportFiles
from opened import Clock, Memory
limits.VOTES_BATCH_MAX = limits.IMPORT_OLD_AGENTS_BATCH = 2
left, order = {stop_at}, LocalJournal.order
def end():
    os.kill(os.getpid(), signal.SIGKILL)
async def killed(self, decide):
    global left
    left -= 1
    result = await order(self, decide if {committed} or left >= 0 else lambda tx: (decide(tx), end()))
    return result if left >= 0 else end()
LocalJournal.order = killed
memory = Memory(Path(sys.argv[1]), Path(sys.argv[2]), Clock())
memory.call(ImportFiles(paths=[sys.argv[3]]))
"""
    told = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "memory.db"), str(tmp_path / "home"), str(path)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert -signal.SIGKILL == told.returncode, told.stderr.decode()
    memory = opening()

    trust = trust_of(imported(memory, path))

    assert (3, 6) == (trust.agents + trust.agents_known, trust.votes + trust.votes_known)
    kinds = [kind for kind, *_ in leaves(memory)]
    assert (1, 3, 6) == tuple(kinds.count(kind) for kind in ("genesis", "agent", "vote"))
    assert {"ann": 1, "bob": 1, "cid": 1} == held(memory, "the sky is blue") == held(memory, "the sea is salt")
    assert 6 == len(memory.sql().execute("SELECT event_id FROM vote_reason").fetchall())
    assert (0, 0, 3, 6, 0) == came(memory, path)
    assert memory.call(VerifyVotes()).ok


def test_two_imports_of_a_file_at_once_count_nothing_twice(memory: Memory, tmp_path: Path) -> None:
    path = earlier(tmp_path / "cortex.db", *VOTED)

    memory.together([ImportFiles(paths=[str(path)]) for _ in range(4)])

    assert (2, 3) == tuple([kind for kind, *_ in leaves(memory)].count(kind) for kind in ("agent", "vote"))
    assert (0, 0, 2, 3, 0) == came(memory, path)


def interrupted(opening: Opening, path: Path) -> None:
    """Import the facts and not yet the votes."""

    def stop(_done: int, _total: int, _label: str) -> None:
        raise KeyboardInterrupt

    memory = opening(progress=stop)
    with pytest.raises(KeyboardInterrupt):
        imported(memory, path)
    memory.close()


def test_a_fact_that_is_retracted_meanwhile_is_not_voted_on(opening: Opening, tmp_path: Path) -> None:
    path = earlier(tmp_path / "cortex.db", *VOTED)
    interrupted(opening, path)
    memory = opening()
    memory.call(RetractFact(id=fact(memory, "the sky is blue")))

    trust = trust_of(imported(memory, path))

    assert (2, 1, 2) == (trust.agents, trust.votes, trust.skipped)
    assert {"ann": 1} == held(memory, "the sea is salt")


def test_a_fact_that_is_retracted_at_the_last_moment_is_a_skip(opening: Opening, tmp_path: Path) -> None:
    path = earlier(tmp_path / "cortex.db", *VOTED)
    memory, other = opening(), opening()
    retracted: list[str] = []

    class Meanwhile(LocalJournal):
        """A journal of a process beside which another one retracts a fact before the agents are registered."""

        async def order(self, decide: Any) -> Any:
            if logs.state(other.sql()) is not None and not retracted:
                thread = threading.Thread(target=retract)
                thread.start()
                thread.join()
            return await super().order(decide)

    def retract() -> None:
        retracted.append(fact(other, "the sky is blue"))
        other.call(RetractFact(id=retracted[0]))

    context = memory.app.context
    journal = Meanwhile(context.database, context.settings, context.node_key)
    memory.app = App(dataclasses.replace(context, journal=journal))

    trust = trust_of(imported(memory, path))

    assert (2, 1, 2) == (trust.agents, trust.votes, trust.skipped)
    assert all("retracted" in skip.reason for skip in trust.skips)


def test_an_agent_that_was_revoked_meanwhile_casts_nothing(memory: Memory, tmp_path: Path) -> None:
    path = earlier(tmp_path / "cortex.db", *VOTED)
    came(memory, path)
    context, log = memory.app.context, logs.state(memory.sql())
    assert log is not None
    key = admin(context, log)
    event = TrustSet(
        agent="ann", at=memory.clock(), id=context.new_id(), key=key.public, log=log.origin, trust="revoked", v=1
    )
    proposal = Proposal(EventsOrdered(at=memory.clock(), events=(sign(event, key),)), lambda tx, applied: None)
    asyncio.run(context.journal.order(lambda tx: proposal))

    trust = trust_of(imported(memory, path, project="other"))

    assert (0, 1, 2, 2) == (trust.agents, trust.votes, trust.agents_known, trust.skipped)
    assert {"the server has no valid key of ann any more"} == {skip.reason for skip in trust.skips}


def test_the_id_that_stands_for_a_name_is_a_uuid_of_version_8() -> None:
    first, other = uuid8("a"), uuid8("b")

    assert first == uuid8("a") != other
    assert ("8", True) == (first[14], first[19] in "89ab")
    assert hashlib.sha256(b"a").hexdigest()[:12] == first.replace("-", "")[:12]
