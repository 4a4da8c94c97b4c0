"""What a process that stays does by itself: it verifies what is due, tells what it finds, and has witnesses look."""

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from watching import look, runs, webhook

from cortex import limits, telemetry
from cortex.ledger import chain, checkpoint
from cortex.ledger.checkpoint import Checkpoint
from cortex.ops.alerts import Alerts
from cortex.ops.ledger import VerifyLedger
from cortex.ops.node import ReadStatus
from cortex.ops.vote_ledger import InitVoteLog, MakeVoteCheckpoint, VerifyVotes
from cortex.ops.votes import CastVote
from cortex.ops.watch import claimed
from opened import Memory
from served import serving

Opening = Callable[..., Memory]


def figure(metric: telemetry.Metric, *labels: str) -> float:
    return metric.values.get(labels, 0)


@pytest.fixture
def voted(memory: Memory) -> Memory:
    fact = memory.store("one")
    memory.call(CastVote(id=fact.id, vote=1))
    return memory


# When.


def test_both_logs_are_verified_whole_first_then_by_what_is_new_and_whole_again_a_day_later(voted: Memory) -> None:
    look(voted)
    look(voted)
    voted.clock.advance(hours=1)
    look(voted)
    voted.clock.advance(hours=23)
    look(voted)

    both = [("transactions", 1), ("votes", 1)]
    assert [(*log, part) for part in (0, 1, 0) for log in both] == runs(voted)


def test_a_run_of_another_process_counts(voted: Memory) -> None:
    look(voted)

    with voted.reopen() as other:
        look(other)

    assert 2 == len(runs(voted))


def test_a_run_by_hand_counts_too(voted: Memory) -> None:
    voted.call(VerifyVotes())

    look(voted)

    assert [("votes", 1, 0), ("transactions", 1, 0)] == runs(voted)


@pytest.mark.parametrize("left_out", ["signatures", "policy", "text"])
def test_a_run_by_hand_that_leaves_a_pass_out_does_not_count(voted: Memory, left_out: str) -> None:
    voted.call(VerifyVotes(**{left_out: False}))
    voted.call(VerifyLedger(text=left_out != "text"))

    look(voted)

    counted = [("transactions", 1, 0), ("votes", 1, 0)] if left_out == "text" else [("votes", 1, 0)]
    assert counted == runs(voted)[2:]


def test_a_file_whose_tables_are_not_those_of_cortex_is_not_verified_again_at_every_look(voted: Memory) -> None:
    with voted.sql() as connection:
        connection.execute("ALTER TABLE vote_reason ADD COLUMN more TEXT")

    look(voted)
    look(voted)

    assert [("transactions", 0, 0), ("votes", 0, 0)] == runs(voted)


def test_what_somebody_wrote_among_the_passes_counts_as_no_run(voted: Memory) -> None:
    look(voted)
    with voted.sql() as connection:
        connection.execute("UPDATE vote_integrity_checks SET passes = 'junk'")

    look(voted)

    assert 4 == len(runs(voted))


def test_nothing_is_verified_where_the_settings_say_never(opening: Opening) -> None:
    memory = opening(verify_every_seconds=0, verify_full_seconds=0)
    memory.store("one")

    look(memory)

    assert [] == runs(memory)


def test_a_clock_that_was_set_back_does_not_keep_verifications_away(voted: Memory) -> None:
    look(voted)
    voted.clock.advance(days=-3)

    look(voted)
    look(voted)

    assert 4 == len(runs(voted))


def test_while_another_process_verifies_this_one_does_not(voted: Memory) -> None:
    place = voted.home / "verified"
    place.mkdir(parents=True)
    code = (
        "import sys\nfrom pathlib import Path\nfrom cortex.ops.watch import claimed\n"
        "with claimed(Path(sys.argv[1])) as mine:\n    print(mine, flush=True); sys.stdin.readline()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(place / "claim")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert "True\n" == other.stdout.readline()

        with claimed(place / "claim") as during:
            pass
        other.communicate("\n")
    with claimed(place / "claim") as after:
        pass

    assert (False, True) == (during, after)


def test_an_empty_file_has_nothing_to_verify(memory: Memory) -> None:
    look(memory)

    assert [] == runs(memory)


# What is found.


def test_a_finding_is_counted_logged_and_shown_by_status(voted: Memory, caplog: pytest.LogCaptureFixture) -> None:
    before = figure(telemetry.VERIFICATION_FINDINGS, "votes", "LEAF_HASH")
    with voted.sql() as connection:
        connection.execute("DROP TRIGGER vote_ledger_keep")
        connection.execute("UPDATE vote_ledger SET vote = -1 WHERE kind = 'vote'")

    with caplog.at_level(logging.ERROR, "cortex.ledger"):
        look(voted)

    logged = [json.loads(record.message) for record in caplog.records if record.name == "cortex.ledger"]
    assert before + 1 == figure(telemetry.VERIFICATION_FINDINGS, "votes", "LEAF_HASH")
    assert {"event": "verification", "log": "votes", "code": "LEAF_HASH", "count": 1} in logged
    shown = {run.log: run for run in voted.call(ReadStatus()).verified}
    assert not shown["votes"].ok
    assert "LEAF_HASH" in shown["votes"].codes


def test_runs_and_times_are_figures(voted: Memory) -> None:
    before = figure(telemetry.VERIFICATION_RUNS, "votes", "valid")

    look(voted)

    assert before + 1 == figure(telemetry.VERIFICATION_RUNS, "votes", "valid")
    assert 1_772_442_000.0 == figure(telemetry.LAST_VERIFICATION, "votes")


def test_a_log_that_was_removed_with_all_its_traces_in_the_file_is_missed(voted: Memory) -> None:
    look(voted)
    with voted.sql() as connection:
        connection.execute("DROP TRIGGER vote_ledger_stay")
        for table in ("vote_ledger", "vote_log", "vote_seal", "vote_checkpoints", "vote_integrity_checks"):
            connection.execute(f"DELETE FROM {table}")

    look(voted)

    assert "ROLLBACK" in {run.log: run for run in voted.call(ReadStatus()).verified}["votes"].codes


# The webhook.


def test_a_finding_is_sent_to_the_webhook_without_contents(opening: Opening) -> None:
    with webhook(200) as (url, got):
        alerts = Alerts(opening(alert_webhook=url).app.context.settings.alert_webhook)

        alerts.found("verification", "votes", "cortex/votes/a/b", ["LEAF_HASH", "LEAF_HASH", "GAP"])
        alerts.settle(10)

    ((path, kind, body),) = got
    assert ("/hook?key=s3cret", "application/json") == (path, kind)
    assert {"LEAF_HASH": 2, "GAP": 1} == body["findings"]
    assert {"event", "log", "origin", "at", "findings"} == set(body)


def test_a_webhook_that_fails_for_now_is_asked_again(opening: Opening, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ALERT_PAUSE_SECONDS", 0.01)
    with webhook(503, 200) as (url, got):
        alerts = Alerts(opening(alert_webhook=url).app.context.settings.alert_webhook)

        alerts.found("verification", "votes", None, ["GAP"])
        alerts.settle(10)

    assert 2 == len(got)


def test_a_webhook_that_refuses_is_not_asked_again_and_its_url_is_not_logged(
    opening: Opening, caplog: pytest.LogCaptureFixture
) -> None:
    with webhook(404) as (url, got), caplog.at_level(logging.WARNING, "cortex.ledger"):
        alerts = Alerts(opening(alert_webhook=url).app.context.settings.alert_webhook)

        alerts.found("verification", "votes", None, ["GAP"])
        alerts.settle(10)

    assert 1 == len(got)
    assert "the webhook answers 404" in caplog.text
    assert "s3cret" not in caplog.text


def test_a_webhook_that_is_not_there_keeps_nobody_waiting(opening: Opening, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ALERT_PAUSE_SECONDS", 0.01)
    alerts = Alerts(opening(alert_webhook="http://127.0.0.1:9/x").app.context.settings.alert_webhook)

    alerts.found("verification", "votes", None, ["GAP"])
    alerts.settle(10)
    alerts.stop()


def test_more_alerts_than_fit_are_dropped_and_told(
    opening: Opening, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ALERTS_WAITING_MAX", 1)
    asked, answer = threading.Event(), threading.Event()
    with webhook(200, asked=asked, answer=answer) as (url, got):
        alerts = Alerts(opening(alert_webhook=url).app.context.settings.alert_webhook)
        alerts.found("verification", "votes", None, ["GAP"])
        assert asked.wait(60)

        for _ in range(2):
            alerts.found("verification", "votes", None, ["GAP"])
        answer.set()
        alerts.settle(10)

    assert 2 == len(got)
    assert "too many alerts" in caplog.text


# Witnesses.


def test_a_witness_takes_the_checkpoints_of_both_logs_once(memory: Memory, opening: Opening, tmp_path: Path) -> None:
    fact = memory.store("one")
    vkeys = [memory.call(InitVoteLog()).vkey]
    with memory.sql() as connection:
        vkeys += [state.vkey for state in chain.logs(connection)]
    memory.call(CastVote(id=fact.id, vote=1))
    memory.call(MakeVoteCheckpoint())

    with serving(tmp_path / "witness", *vkeys) as target:
        watched = opening(witnesses=target)
        look(watched)
        first = notes(watched)
        look(watched)

        assert first == notes(watched)
        assert [2, 2] == [note.count("\n— ") for note in first]
        assert "cosigned" == watched.call(MakeVoteCheckpoint(witness=True)).witnesses[0].outcome


def notes(memory: Memory) -> list[str]:
    with memory.sql() as connection:
        last = [
            connection.execute("SELECT note FROM ledger_checkpoint ORDER BY seq DESC LIMIT 1"),
            connection.execute("SELECT note FROM vote_checkpoints ORDER BY id DESC LIMIT 1"),
        ]
        return [str(found.fetchone()[0]) for found in last]


def test_a_witness_that_has_seen_another_history_raises_an_alarm(
    opening: Opening, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    memory = opening(witnesses=f"file:{tmp_path / 'witness'}")
    fact = memory.store("one")
    origin = memory.call(InitVoteLog()).origin
    forged = checkpoint.sign(Checkpoint(origin, 1, bytes(32)), memory.app.context.node_key.signer(origin))
    (tmp_path / "witness").write_text(json.dumps({"note": forged}) + "\n")
    memory.call(CastVote(id=fact.id, vote=-1))
    memory.call(MakeVoteCheckpoint(witness=False))

    with caplog.at_level(logging.ERROR, "cortex.ledger"):
        look(memory)

    told = [json.loads(record.message) for record in caplog.records]
    assert {"event": "witness", "log": "votes", "code": "HISTORY_REWRITTEN", "count": 1} in told
    assert {"event": "verification", "log": "votes", "code": "SPLIT_VIEW", "count": 1} in told


# Ending.


def test_a_watch_ends_with_its_application_at_once(tmp_path: Path, opening: Opening) -> None:
    memory = opening()
    before = {thread.name for thread in threading.enumerate()}

    memory.close()

    assert "cortex-watch" in before
    assert "cortex-watch" not in {thread.name for thread in threading.enumerate() if thread.is_alive()}


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
def test_a_process_ends_in_the_middle_of_a_verification(tmp_path: Path) -> None:
    code = (
        "import sys, threading\nfrom pathlib import Path\nimport cortex\nfrom cortex import limits\n"
        "limits.WATCH_LOOK_SECONDS = 0.01\nfrom cortex.ops import verification\n"
        "begun, real = threading.Event(), verification.in_worker\n"
        "async def in_worker(*given):\n    begun.set()\n    return await real(*given)\n"
        "verification.in_worker = in_worker\n"
        "from cortex.ops import watch\nwatch.Watch.__init__.__defaults__ = (0.01,)\n"
        "with cortex.open(sys.argv[1]) as memory:\n    memory.store('one'); assert begun.wait(60)\n"
        "print('ended')\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "memory.db")],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "HOME": str(tmp_path), "CORTEX_EMBEDDER_KIND": "none"},
        check=True,
    )

    assert "ended\n" == ended.stdout
