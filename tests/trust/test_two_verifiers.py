"""Cortex and the offline verifier come to the same from the same leaves, though each computes it by its own code."""

import json
import random
from pathlib import Path

import pytest
from vote_kit import VoteLog, fact_id

from cortex import times, verify
from cortex.trust import log as logs
from cortex.trust.policy import LINEAR, WEIGHTED, Policy, Prior

SEEDS = range(12)
EVENTS = 250


def _random_log(folder: Path, seed: int) -> VoteLog:
    chance = random.Random(seed)
    odd = Policy(half_life_days=7, settle_s=3_600, threshold_e6=2_000_000, prior=Prior(untrusted=(3, 1)), quorum=2)
    log = VoteLog(folder, policy=chance.choice((WEIGHTED, odd)))
    names = [*log.agents(4), *log.agents(2, "trusted", "t"), *log.agents(3, "untrusted", "u")]
    revoked: set[str] = set()
    for number in range(EVENTS):
        log.wait(minutes=chance.randrange(2_000))
        name, fact = chance.choice([one for one in names if one not in revoked]), chance.randrange(15)
        log.vote(name, fact, chance.choice((1, 1, 1, -1, -1, 0)), author=chance.choice(names))
        match chance.randrange(40):
            case 0:
                log.resolve(fact, chance.choice((-1, 0, 1)))
            case 1:
                log.rotate(name, number + 1)
            case 2:
                log.trust(name, chance.choice(("untrusted", "standard", "trusted")))
            case 3:
                log.policy(chance.choice((WEIGHTED, LINEAR, odd)))
            case 4:
                log.rotate_admin(number + 1)
            case 5 if len(revoked) < 4:
                log.trust(name, "revoked")
                revoked.add(name)
            case 6:
                log.seal()
    log.seal()
    return log


def _exported(log: VoteLog, path: Path) -> Path:
    rows = log.tx.execute(f"SELECT {logs.LEAF_COLUMNS} FROM vote_ledger ORDER BY id")
    leaves = [logs.encode_row(row, log.origin).decode() for row in rows]
    notes = [note for (note,) in log.tx.execute("SELECT note FROM vote_checkpoints ORDER BY id")]
    document = {"format": "cortex-ledger/v1", "log": "votes", "leaves": leaves, "checkpoints": notes}
    path.write_text(json.dumps(document, ensure_ascii=False))
    return path


@pytest.mark.parametrize("seed", SEEDS)
def test_both_compute_the_same_verdicts_and_evidence(tmp_path: Path, seed: int) -> None:
    _same_in_both(_random_log(tmp_path / "log", seed), tmp_path)


def test_both_settle_at_the_end_of_time_what_would_fall_due_after_it(tmp_path: Path) -> None:
    log = VoteLog(tmp_path / "log")
    names = log.agents(5)
    log.at = "9999-12-31T12:00:00.000000Z"
    log.policy(WEIGHTED)
    for name in names:
        log.vote(name, 1)
    before = log.value("SELECT due, settled FROM vote_tally")

    log.at = times.LAST
    log.vote(names[0], 2)

    after = log.value("SELECT settled FROM vote_tally WHERE fact = ?", (fact_id(1),))
    assert (times.LAST, 1) == (before, after)
    _same_in_both(log, tmp_path)


def _same_in_both(log: VoteLog, folder: Path) -> None:
    tallies = log.tx.execute("SELECT fact, lower(hex(digest)), sigma_e6, verdict, tenths, resolved FROM vote_tally")
    agents = log.tx.execute("SELECT name, level, for_e6, against_e6, day FROM vote_agent").fetchall()
    expected = sorted(tallies)

    report = verify.verify_path(_exported(log, folder / "votes.json"), verdicts=True)

    names = ("fact", "digest", "sigma_e6", "by_votes", "tenths", "resolved")
    assert [] == report.findings
    assert expected == sorted(tuple(one[name] for name in names) for one in report.verdicts)
    columns = ("agent", "level", "for_e6", "against_e6", "day")
    assert sorted(agents) == sorted(tuple(one[name] for name in columns) for one in report.agents)
