"""The rules: a log that is replayed gives the same tables, and weights or tables that were changed are found."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vote_kit import VoteLog, busy, codes, digest_of, fact_id, forge, public, relink

from cortex.errors import CortexError
from cortex.ledger import memory
from cortex.ledger.findings import Findings
from cortex.progress import silent
from cortex.trust import copies, events, replay
from cortex.trust.policy import LINEAR, WEIGHTED, Policy


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> VoteLog:
    return busy(tmp_path_factory.mktemp("built"))


@pytest.fixture
def log(built: VoteLog, tmp_path: Path) -> VoteLog:
    return built.copy(tmp_path)


def found(log: VoteLog, **options: Any) -> list[tuple[str, int | None]]:
    return [(finding.code, finding.entry) for finding in log.verified(**options).findings]


def test_a_log_replayed_from_empty_gives_the_same_tables_byte_for_byte(log: VoteLog) -> None:
    again = replay.replay(replay.leaves(log.tx, log.origin))

    assert replay.dump(log.tx) == replay.dump(again)


def test_a_dump_tells_every_table_apart(log: VoteLog) -> None:
    before = replay.dump(log.tx)

    log.tx.execute("UPDATE vote_agent SET for_e6 = for_e6 + 1 WHERE name = 'a0'")

    assert before != replay.dump(log.tx)
    for table in ("vote_log", "vote_ledger", "vote_agent", "vote_key", "vote_current", "vote_tally", "vote_judged"):
        assert f'["{table}",'.encode() in before


def test_another_process_with_another_hash_seed_replays_to_the_same_bytes(log: VoteLog) -> None:
    told = (
        "import apsw, sys; from cortex.trust import replay; tx = apsw.Connection(sys.argv[1]);"
        "sys.stdout.buffer.write(replay.dump(replay.replay(replay.leaves(tx, sys.argv[2]))))"
    )

    done = subprocess.run(
        [sys.executable, "-c", told, str(log.path), log.origin], capture_output=True, check=True, timeout=60
    )

    assert replay.dump(log.tx) == done.stdout


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(
            ["vote"] * 12 + ["wait", "wait", "trust", "rotate", "add", "revoke", "resolve", "policy", "admin"]
        ),
        st.integers(0, 4),
        st.integers(0, 2),
        st.sampled_from([1, 1, -1, 0]),
    ),
    max_size=40,
)
QUICK = Policy(settle_s=3_600, quorum=1, threshold_e6=900_000, judge_e6=500_000)


def play(log: VoteLog, action: str, who: int, what: int, vote: int) -> None:
    """One step of a random history; what the rules refuse is not in it."""
    name = f"a{who}"
    levels = ["untrusted", "standard", "trusted", "revoked"]
    steps: dict[str, Any] = {
        "vote": lambda: log.vote(name, what, vote),
        "wait": lambda: log.wait(hours=5 * (who + 1) ** 3),
        "trust": lambda: log.trust(name, levels[(who + what + vote) % 4]),
        "rotate": lambda: log.rotate(name, log.value("SELECT count(*) FROM vote_ledger")),
        "add": lambda: log.add_key(name, log.value("SELECT count(*) FROM vote_ledger")),
        "revoke": lambda: log.revoke_key(name),
        "resolve": lambda: log.resolve(what, vote),
        "policy": lambda: log.policy([QUICK, WEIGHTED, LINEAR][what]),
        "admin": lambda: log.rotate_admin(log.value("SELECT count(*) FROM vote_ledger")),
    }
    keys, admin = dict(log.keys), log.admin
    try:
        steps[action]()
    except CortexError:
        log.keys, log.admin = keys, admin


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=ACTIONS, later=ACTIONS)
def test_any_history_replays_to_the_same_tables_at_once_and_in_two_steps(
    tmp_path_factory: pytest.TempPathFactory, actions: list[Any], later: list[Any]
) -> None:
    log = VoteLog(tmp_path_factory.mktemp("any"), policy=QUICK)
    log.agents(4)
    log.agents(1, "untrusted", "a4")
    log.keys["a4"] = log.keys["a40"]
    for action in actions:
        play(log, *action)
    first = log.verified()
    for action in later:
        play(log, *action)

    second, full = log.verified(incremental=True), log.verified()

    assert [] == first.findings == second.findings == full.findings
    assert replay.dump(log.tx) == replay.dump(replay.replay(replay.leaves(log.tx, log.origin)))
    log.close()


def test_a_weight_that_the_rules_do_not_give_is_found(log: VoteLog) -> None:
    log.edit("UPDATE vote_ledger SET weight_e6 = 3000000, vote_weight = 3.0 WHERE id = 40")
    relink(log, 39)

    # A leaf by the admin key says which root the log was restored to.
    assert [("WEIGHT_POLICY", 39), ("HISTORY_REWRITTEN", 82)] == found(log)


def test_a_forged_weight_that_was_counted_is_found_in_the_tables_too(log: VoteLog) -> None:
    log.edit("UPDATE vote_ledger SET weight_e6 = 3000000, vote_weight = 3.0 WHERE id = 40")
    relink(log, 39)
    log.tx.execute("UPDATE vote_current SET weight_e6 = 3000000 WHERE leaf = (SELECT max(leaf) FROM vote_current)")

    assert {"WEIGHT_POLICY", "HISTORY_REWRITTEN", "STATE_POLICY"} == {code for code, _ in found(log)}


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE vote_agent SET level = 'trusted' WHERE name = 'a3'",
        "UPDATE vote_agent SET for_e6 = 9000000 WHERE name = 'a0'",
        "DELETE FROM vote_agent WHERE name = 'a0'",
        "INSERT INTO vote_agent VALUES ('zed', 'trusted', 0, 0, 0, '')",
        "UPDATE vote_key SET until_idx = NULL, ended = NULL WHERE ended = 'revoked'",
        "INSERT INTO vote_key VALUES (zeroblob(32), 'a0', 'agent', '*', 3, NULL, NULL)",
        "UPDATE vote_key SET projects = 'secret' WHERE agent = 't0'",
        "DELETE FROM vote_current WHERE agent = 'a0'",
        "UPDATE vote_tally SET verdict = 'verified'",
        "UPDATE vote_tally SET resolved = 1",
        "DELETE FROM vote_tally",
        "DELETE FROM vote_judged",
    ],
)
def test_a_table_that_the_votes_do_not_come_to_is_found(log: VoteLog, sql: str) -> None:
    log.tx.execute(sql)

    assert {"STATE_POLICY"} == {code for code, _ in found(log)}


def test_a_finding_names_table_and_row(log: VoteLog) -> None:
    log.tx.execute("UPDATE vote_agent SET for_e6 = 9000000 WHERE name = 'a0'")

    what = log.verified().findings[0].what

    assert re.fullmatch("vote_agent a0 has for_e6 9000000, the votes come to [0-9]{1,7}", what)


def test_a_finding_names_each_column_that_differs_and_no_other(log: VoteLog) -> None:
    row = "FROM vote_tally WHERE fact = ?"
    sigma, verdict = log.tx.execute(f"SELECT sigma_e6, verdict {row}", (fact_id(5),)).fetchone()
    log.tx.execute("UPDATE vote_tally SET verdict = 'perhaps', sigma_e6 = 7 WHERE fact = ?", (fact_id(5),))

    what = log.verified().findings[0].what

    told = f"has sigma_e6 7, the votes come to {sigma}; verdict perhaps, the votes come to {verdict}"
    assert f"vote_tally {fact_id(5)}, {digest_of(5)} {told}" == what


def test_a_row_that_is_missing_or_too_much_is_told_as_that(log: VoteLog) -> None:
    log.tx.execute("DELETE FROM vote_agent WHERE name = 'a0'")
    log.tx.execute("INSERT INTO vote_agent SELECT 'zoe', level, for_e6, against_e6, day, since FROM vote_agent LIMIT 1")

    found = [finding.what for finding in log.verified().findings]

    assert [
        "vote_agent a0 is missing, the votes come to one",
        "vote_agent zoe is there, the votes come to none",
    ] == found


def test_an_event_by_nobody_who_may_has_no_effect_on_what_the_votes_come_to(log: VoteLog) -> None:
    idx = forge(log, log.ballot("t0", 1, agent="a1"))

    assert [("KEY_NOT_VALID", idx)] == found(log)


def test_an_old_key_that_was_put_back_and_used_is_found_even_without_the_signature_pass(log: VoteLog) -> None:
    log.tx.execute("UPDATE vote_key SET until_idx = NULL, ended = NULL WHERE ended = 'revoked' AND agent = 'a2'")
    idx = log.vote("a2", 3).idx

    assert {("KEY_NOT_VALID", idx), ("STATE_POLICY", None)} == set(found(log, signatures=False))


def test_a_log_restored_to_another_root_and_a_time_that_jumped_are_found(log: VoteLog) -> None:
    event = log.event(
        events.LogRestored, key=public(log.admin), root=digest_of(7), size=3, vkey=log.node_key.vkey(log.origin)
    )
    idx = forge(log, log.signed(event, log.admin))

    assert [("HISTORY_REWRITTEN", idx)] == found(log)
    log.wait(days=50)
    log.tx.execute("UPDATE vote_log SET ts = ?", (log.at,))
    late = forge(log, log.ballot("t0", 1))
    assert {("HISTORY_REWRITTEN", idx), ("TIME_ORDER", late)} == set(found(log))


@pytest.mark.parametrize("change", ["vote = 9", "fact_id = 'x'", "at = 'yesterday'", "agent_id = 'a b'"])
def test_a_ballot_out_of_form_is_found_and_stops_nothing(log: VoteLog, change: str) -> None:
    log.edit(f"UPDATE vote_ledger SET {change} WHERE id = 40")
    relink(log, 39)

    assert ("LEAF_FORM", 39) in found(log, signatures=False)


def test_a_time_that_is_none_is_found_and_stops_nothing(log: VoteLog) -> None:
    log.edit("UPDATE vote_ledger SET timestamp = '2026-03-99T09:00:00.000000Z' WHERE id = 40")
    relink(log, 39)

    assert {("LEAF_FORM", 39), ("TIME_ORDER", 40)} <= set(found(log))


# Resuming.


def copy_of(log: VoteLog) -> Path:
    return copies.place(log.home, log.path)


def test_an_incremental_run_goes_on_with_the_copy_and_compares_what_it_touched(log: VoteLog) -> None:
    assert log.verified().ok
    size = apsw.Connection(str(copy_of(log))).execute("SELECT size FROM vote_log").fetchone()
    log.wait(days=3)
    for name in ("t0", "a0", "u0"):
        log.vote(name, 6)
    log.trust("t0", "standard")

    report = log.verified(incremental=True)

    assert [] == report.findings
    assert size == (report.checked_from,)
    assert [file.suffix for file in sorted(copy_of(log).parent.iterdir())] == [".json", ".votes"]
    log.vote("a0", 6, -1)
    log.tx.execute("UPDATE vote_tally SET sigma_e6 = sigma_e6 + 1 WHERE fact = ?", (fact_id(6),))
    assert {"STATE_POLICY"} == codes(log.verified(incremental=True))
    log.tx.execute("UPDATE vote_tally SET sigma_e6 = sigma_e6 - 1 WHERE fact = ?", (fact_id(6),))
    assert log.verified(incremental=True).ok


@pytest.mark.parametrize("damage", ["gone", "junk", "cut", "empty", "other log", "edited", "longer", "older schema"])
def test_a_copy_of_no_use_is_replaced_and_raises_no_alarm(log: VoteLog, tmp_path: Path, damage: str) -> None:
    assert log.verified().ok
    file = copy_of(log)
    log.vote("a0", 3)
    match damage:
        case "gone":
            file.unlink()
        case "junk":
            file.write_bytes(b"junk" * 5_000)
        case "cut":
            file.write_bytes(file.read_bytes()[:9_000])
        case "empty":
            file.write_bytes(b"")
        case "other log":
            other = VoteLog(tmp_path / "other", origin="cortex/votes/x/y")
            assert other.verified().ok
            copy_of(other).replace(file)
        case "edited" | "older schema":
            connection = apsw.Connection(str(file))
            connection.execute("UPDATE vote_agent SET for_e6 = 7; UPDATE vote_tally SET verdict = 'none'")
            if damage == "older schema":
                connection.execute("PRAGMA user_version = 3")
            connection.close()
        case "longer":
            ahead = log.copy(tmp_path / "ahead")
            ahead.vote("a0", 4)
            ahead.vote("a0", 5)
            assert ahead.verified().ok
            copy_of(ahead).replace(file)

    assert [] == log.verified(incremental=True).findings
    log.vote("a0", 4, -1)
    report = log.verified(incremental=True)
    assert ([], None) == (report.findings, report.not_remembered)


def test_a_copy_that_another_verification_is_at_is_left_alone(log: VoteLog) -> None:
    assert log.verified().ok
    log.vote("a0", 3)
    other = apsw.Connection(str(copy_of(log)))
    other.execute("BEGIN EXCLUSIVE")

    report = log.verified(incremental=True)

    assert [] == report.findings
    assert "begin anew" in (report.not_remembered or "")
    other.execute("ROLLBACK")
    other.close()
    assert None is log.verified(incremental=True).not_remembered


def test_a_journal_that_a_crash_left_is_not_played_back_into_a_new_copy(log: VoteLog) -> None:
    assert log.verified().ok
    journal = copy_of(log).with_name(f"{copy_of(log).name}-journal")
    journal.write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + b"\x00" * 2_000)

    assert log.verified().ok

    assert not journal.exists()


def test_a_copy_that_cannot_be_kept_leaves_nothing_and_the_verification_is_done(log: VoteLog) -> None:
    (copy_of(log) / "in the way").mkdir(parents=True)

    report = log.verified()

    assert [] == report.findings
    assert "begin anew" in (report.not_remembered or "")
    assert [memory.place(log.home, log.path), copy_of(log)] == sorted(copy_of(log).parent.iterdir())


def test_what_was_found_is_neither_remembered_nor_kept(log: VoteLog) -> None:
    assert log.verified().ok
    kept = copy_of(log).read_bytes()
    forge(log, log.ballot("t0", 1, agent="a1"))

    assert not log.verified(incremental=True).ok
    assert not log.verified().ok

    assert kept == copy_of(log).read_bytes()


def test_what_killed_runs_left_is_removed_and_what_others_are_at_stays(log: VoteLog) -> None:
    folder = copy_of(log).parent
    folder.mkdir(parents=True)
    left, junk, live = (folder / f".{copy_of(log).name}.{name}" for name in ("left", "junk", "live"))
    copies.blank(str(left)).close()
    junk.write_bytes(b"junk")
    other = copies.blank(str(live))

    assert log.verified().ok

    assert sorted([live, memory.place(log.home, log.path), copy_of(log)]) == sorted(folder.iterdir())
    other.close()


def test_a_disk_that_takes_no_copy_is_no_hindrance(log: VoteLog) -> None:
    tx, size = log.tx, log.value("SELECT size FROM vote_log")
    with copies.opened(copy_of(log), tx, log.origin, size, b"", resume=False) as copy:
        copy.tx.execute("PRAGMA max_page_count = 60")
        findings = Findings()

        replay.check(tx, log.origin, findings, copy, size=size, void=set(), progress=silent)

        assert [] == findings.list
        assert None is copy.keep()
    assert not copy_of(log).exists()
