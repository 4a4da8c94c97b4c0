"""Running a verification: all passes on one snapshot, here or in a worker process."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import apsw
import msgspec
from msgspec import Struct, structs

from cortex import limits, times
from cortex.db import migrate, schema, structure
from cortex.db.connect import Tx, connect, value
from cortex.db.faults import told
from cortex.errors import BY_KIND, CortexError, Internal, Invalid, Unavailable
from cortex.ledger import chain, compared, integrity, memory
from cortex.ledger.compared import WitnessNote
from cortex.ledger.findings import Finding, Findings, LogChecked, Verification, unforeseen
from cortex.ledger.keys import NodeKey
from cortex.memory import textcheck
from cortex.plurals import counted
from cortex.progress import Progress

_LINE_BYTES_MAX = 64 << 20

T = TypeVar("T", bound="LedgerTask")
R = TypeVar("R", bound=Struct)

# Every pass over the transactions logs, where none is left out. What is not incremental also has `structure`.
PASSES = frozenset({"schema", "integrity", "checkpoints", "text"})

# The tables that the passes read, and so their indexes.
_TABLES = (
    "transactions", "ledger_log", "ledger_node", "ledger_checkpoint", "project", "fact", "revision", "import_run",
)  # fmt: skip

# What is remembered of a file that was never verified.
NOTHING = memory.Memory(path="", logs=[])


class LedgerTask(Struct, frozen=True, kw_only=True):
    """What to verify, as a worker process is told."""

    database: str
    home: str
    key: str
    busy_timeout_ms: int
    incremental: bool
    text: bool
    accept: bool
    # How far a worker stands back behind others that want the processor.
    nice: int = 0


class VerificationTask(LedgerTask, frozen=True, kw_only=True):
    """The transactions logs, and the texts of their facts if `text`; against the `notes` that witnesses hold."""

    notes: list[WitnessNote] = []


def verify(tx: Tx, task: VerificationTask, progress: Progress) -> Verification:
    """Every pass over every log, on the snapshot of `tx`. What is valid is remembered outside the file."""
    home, database = Path(task.home), Path(task.database)
    kept = NOTHING if task.accept else memory.load(home, database)
    key = NodeKey(Path(task.key))
    report, remember = examine(
        tx, key, kept, text=task.text, incremental=task.incremental, progress=progress, notes=task.notes
    )
    if report.ok:
        # Another verification may have remembered more meanwhile: what is remembered never shrinks by itself.

        def change(newer: memory.Memory) -> memory.Memory:
            before = NOTHING if task.accept else newer
            return structs.replace(newer, logs=[_longer(log, before.of(log.origin)) for log in remember])

        unsaved = memory.update(home, database, change, mend=task.accept)
        report = structs.replace(report, not_remembered=unsaved)
    return report


def _longer(one: memory.Remembered, other: memory.Remembered | None) -> memory.Remembered:
    if other is None:
        return one
    chosen = one if (one.size, one.text_size) >= (other.size, other.text_size) else other
    return structs.replace(chosen, whole_at=max(one.whole_at, other.whole_at))


def examine(
    tx: Tx, key: NodeKey, kept: memory.Memory, *, text: bool, incremental: bool, progress: Progress,
    notes: Iterable[WitnessNote] = (),
) -> tuple[Verification, list[memory.Remembered]]:  # fmt: skip
    """Every pass, against what was `kept` and what witnesses hold.

    Returns the report and what is to be remembered if it is good.
    """
    findings = Findings()
    passes = ["schema"]
    states: list[chain.State] = []
    checked: list[LogChecked] = []
    remember: list[memory.Remembered] = []
    revisions = erased = 0
    readable = check_schema(tx, findings)
    if readable:
        if not incremental:
            check_structure(tx, _TABLES, findings)
            passes.append("structure")
        with unforeseen(findings, "the log", "TREE_STATE"):
            states = chain.logs(tx)
            checked, remember = _check_logs(tx, states, kept, key, findings, incremental, progress)
            compared.compare(tx, states, notes, findings)
        passes += ["integrity", "checkpoints"]
    if text and readable:
        since = {state.id: _texts_checked(kept, state) for state in states if incremental}
        with unforeseen(findings, "the texts of facts"):
            revisions, erased = textcheck.check(tx, findings, since=since, progress=progress)
        passes.append("text")
        remember = [structs.replace(log, text_size=log.size) for log in remember]
    if text and not incremental:
        remember = [structs.replace(log, whole_at=log.verified_at) for log in remember]
    report = Verification(
        ok=not findings.list,
        findings=findings.list,
        more_findings=findings.more,
        logs=checked,
        passes=passes,
        entries=sum(log.size - log.checked_from for log in checked),
        revisions=revisions,
        erased=erased,
        not_remembered=None,
    )
    return report, remember


def check_schema(tx: Tx, findings: Findings) -> bool:
    """Compare the schema with what the migrations make. False where nothing can be said of what the tables hold."""
    with unforeseen(findings, "the schema", "SCHEMA"):
        differences = schema.differences(tx, migrate.shipped())
        if migrate.version(tx) != len(migrate.shipped()):
            differences.append(f"the file says that it is of schema {migrate.version(tx)}")
        for difference in differences:
            findings.add("SCHEMA", difference)
        # Of tables that are not those of Cortex the other passes could say anything.
        return not any(difference.startswith(("table ", "view ")) for difference in differences)
    return False


def check_structure(tx: Tx, tables: Iterable[str], findings: Findings) -> None:
    """Compare tables with their indexes: what the other passes look up is only there if an index says so."""
    with unforeseen(findings, "the pages", "SCHEMA"):
        for told in structure.unsound(tx, tables):
            findings.add("SCHEMA", told)


def _check_logs(
    tx: Tx,
    states: list[chain.State],
    kept: memory.Memory,
    key: NodeKey,
    findings: Findings,
    incremental: bool,
    progress: Progress,
) -> tuple[list[LogChecked], list[memory.Remembered]]:
    checked: list[LogChecked] = []
    remember: list[memory.Remembered] = []
    for state in states:
        own = own_vkey(key, state.origin)
        before = kept.of(state.origin)
        log, after = integrity.unread(state), None
        with unforeseen(findings, "the log", origin=state.origin):
            log, after = integrity.check(
                tx, state, findings, own_vkey=own, remembered=before, incremental=incremental, progress=progress
            )
        checked.append(log)
        if after is not None:
            earlier = {"whole_at": before.whole_at if before else "", "text_size": _texts_checked(kept, state)}
            remember.append(structs.replace(after, verified_at=times.now(), **earlier))
    _check_order(tx, states, checked, findings)
    for before in kept.logs:
        if before.origin not in {state.origin for state in states}:
            findings.add(
                "ROLLBACK",
                f"the log that had {counted(before.size, 'entry', 'entries')} at {before.verified_at} is gone",
                origin=before.origin,
            )
    return checked, remember


def own_vkey(key: NodeKey, origin: str) -> str | None:
    """The node's own key for a log; None where there is no key yet, or no log is called so, which other passes say."""
    try:
        return key.vkey(origin) if key.exists() else None
    except Invalid:
        return None


def _texts_checked(kept: memory.Memory, state: chain.State) -> int:
    """Up to which entry of a log the texts were checked before."""
    before = kept.of(state.origin)
    return 0 if before is None else min(before.text_size, state.size)


def _check_order(tx: Tx, states: list[chain.State], checked: list[LogChecked], findings: Findings) -> None:
    """The last log is the active one, and each but the first names the log before it as that log is."""
    before: LogChecked | None = None
    for state, log in zip(states, checked, strict=True):
        if state.active != (state is states[-1]):
            findings.add("TREE_STATE", "another log than the last one is active", origin=state.origin)
        named = value(tx, "SELECT parent FROM transactions WHERE log = ? AND idx = 0", (state.id,))
        expected = None if before is None else f"{before.origin} {before.size} {before.root}"
        if named != expected:
            told = f"it goes on from {named}, and before it is {expected}"
            findings.add("HISTORY_REWRITTEN", told, origin=state.origin, entry=0)
        before = log
    for number, table, code in tx.execute(_STRAY_ROWS):
        findings.add(str(code), f"{table} has rows of log {number}, and there is no such log")


# Which logs the entries name, found by seeking; a scan would read every entry.
_STRAY_ROWS = """
WITH RECURSIVE named (log) AS (
    SELECT min(log) FROM transactions
    UNION ALL SELECT (SELECT min(t.log) FROM transactions AS t WHERE t.log > named.log) FROM named WHERE log IS NOT NULL
)
SELECT log, 'transactions', 'ORIGIN' FROM named WHERE log IS NOT NULL AND log NOT IN (SELECT id FROM ledger_log)
UNION ALL SELECT id, 'ledger_log', 'ORIGIN' FROM ledger_log WHERE log <> 'transactions'
UNION ALL SELECT DISTINCT log, 'ledger_checkpoint', 'CHECKPOINT_SEQ' FROM ledger_checkpoint
  WHERE log NOT IN (SELECT id FROM ledger_log)
UNION ALL SELECT DISTINCT log, 'ledger_node', 'TREE_NODE' FROM ledger_node WHERE log NOT IN (SELECT id FROM ledger_log)
LIMIT 10
"""


class VerificationRun(Struct, frozen=True, kw_only=True):
    """A verification that ran, for the record of them: `log` is transactions or votes, the times are the node's."""

    log: str
    started_at: str
    finished_at: str
    incremental: bool
    size: int
    votes: int
    ok: bool
    passes: list[str]
    findings: list[Finding]


def record(tx: Tx, run: VerificationRun) -> None:
    """Write a run down. The newest INTEGRITY_CHECKS_MAX are kept."""
    # Nobody counts that far. A row put there by hand would be the newest for ever, and no run fit beside it.
    tx.execute("DELETE FROM vote_integrity_checks WHERE id > ?", (limits.SEQ_MAX,))
    tx.execute(
        "INSERT INTO vote_integrity_checks (log, started_at, finished_at, ok, incremental, size, votes, passes,"
        " findings) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            run.log, run.started_at, run.finished_at, run.ok, run.incremental, run.size, run.votes,
            msgspec.json.encode(run.passes).decode(), msgspec.json.encode(run.findings).decode(),
        ),
    )  # fmt: skip
    tx.execute(
        "DELETE FROM vote_integrity_checks WHERE id <= (SELECT max(id) FROM vote_integrity_checks) - ?",
        (limits.INTEGRITY_CHECKS_MAX,),
    )


async def verify_in_worker(task: VerificationTask, progress: Progress) -> Verification:
    """The same in a process of its own, so that this one keeps answering. Cancelling ends the process."""
    return await in_worker("cortex.ops.verification", task, Verification, progress)


async def in_worker(module: str, task: LedgerTask, result: type[R], progress: Progress) -> R:
    """What `work` gives in a process of its own that runs `module`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES_MAX,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(msgspec.json.encode(task) + b"\n")
        process.stdin.close()
        async for line in process.stdout:
            said = json.loads(line)
            if "progress" in said:
                progress(*said["progress"])
            elif "result" in said:
                return msgspec.convert(said["result"], result)
            else:
                raise error_of(said["error"])
        if -await process.wait() in _ENDED_BY_OTHERS:
            raise Unavailable("the verifying process was ended by somebody", "try again", limits.WORKER_RETRY_MS)
        raise Internal("the verifying process ended without a result", "look at its messages, then try again")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


# Nothing in a file makes a process end by these.
_ENDED_BY_OTHERS = (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM))


class _ToldError(Struct, frozen=True):
    """An error as a worker tells of it."""

    kind: str
    message: str
    hint: str
    retry_after_ms: int | None = None


def error_line(error: CortexError) -> _ToldError:
    """What a worker says of an error."""
    again = error.retry_after_ms if isinstance(error, Unavailable) else None
    return _ToldError(error.kind, storable(error.message), storable(error.hint), again)


def error_of(told: object) -> CortexError:
    """The error that a worker told of."""
    said = msgspec.convert(told, _ToldError, from_attributes=True)
    kind = BY_KIND[said.kind]
    if issubclass(kind, Unavailable):
        return kind(said.message, said.hint, said.retry_after_ms)
    return kind(said.message, said.hint)


def storable(text: str) -> str:
    """A text that JSON can hold: a path may have bytes that are no text."""
    return text.encode("utf-8", "backslashreplace").decode()


def work(task_type: type[T], run: Callable[[Tx, T, Progress], Struct]) -> None:
    """The worker: a task on stdin, lines of progress and one result on stdout."""

    def say(what: dict[str, object]) -> None:
        sys.stdout.buffer.write(msgspec.json.encode(what) + b"\n")
        sys.stdout.buffer.flush()

    task = msgspec.json.decode(sys.stdin.buffer.readline(), type=task_type)
    if task.nice and sys.platform != "win32":
        os.nice(task.nice)
    try:
        connection = connect(Path(task.database), busy_timeout_ms=task.busy_timeout_ms)
        connection.execute("BEGIN")
        say({"result": run(connection, task, lambda *at: say({"progress": at}))})
    except (CortexError, apsw.Error, UnicodeError) as error:
        known = told(error, task.database)
        assert isinstance(known, CortexError)
        say({"error": error_line(known)})


if __name__ == "__main__":
    work(VerificationTask, verify)
