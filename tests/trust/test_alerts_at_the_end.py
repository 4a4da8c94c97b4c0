"""What was found by hand is told also where the program ends right after."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import Opening
from watching import webhook

from cortex import limits
from cortex.ops.vote_ledger import VerifyVotes
from cortex.ops.votes import CastVote
from opened import Memory


def spoil(memory: Memory) -> None:
    memory.call(CastVote(id=memory.store("one").id, vote=1))
    with memory.sql() as connection:
        connection.execute("UPDATE vote_tally SET sigma_e6 = 1")


def test_a_webhook_that_fails_for_now_is_asked_again_before_a_program_ends(memory: Memory, tmp_path: Path) -> None:
    spoil(memory)
    memory.close()
    code = (
        "import sys, cortex\nfrom cortex import limits\nlimits.ALERT_PAUSE_SECONDS = 0.01\n"
        "with cortex.open(sys.argv[1], alert_webhook=sys.argv[2]) as memory:\n    print(memory.verify_votes().ok)\n"
    )

    with webhook(503, 204) as (url, got):
        ended = subprocess.run(
            [sys.executable, "-c", code, str(memory.path), url],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "HOME": str(tmp_path), "CORTEX_HOME": str(memory.home)},
            check=True,
        )

    assert "False\n" == ended.stdout
    assert ["votes", "votes"] == [body["log"] for _, _, body in got]


def test_all_verifications_of_an_application_tell_in_one_place(opening: Opening) -> None:
    with webhook(204) as (url, got):
        memory = opening(alert_webhook=url)
        spoil(memory)
        memory.call(VerifyVotes())
        memory.call(VerifyVotes())

        memory.close()

    assert 2 == len(got)


def test_a_webhook_that_never_answers_keeps_no_program_from_ending(
    opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ALERT_SECONDS", 0.2)
    memory = opening(alert_webhook="http://127.0.0.1:9/x")
    spoil(memory)
    memory.call(VerifyVotes())

    memory.close()
    memory.close()

    memory.app.context.alerts.settle(600)
