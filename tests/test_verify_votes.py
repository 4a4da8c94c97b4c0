"""The offline verifier on the votes log: clean logs pass, each tampering is named, the rules give what they should."""

import json
import os
import shutil
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cortex import limits, verify
from cortex.trust import policy
from vote_logs import (
    ORIGIN,
    Row,
    VotesLog,
    cosign,
    digest,
    fact,
    key_of,
    leaf_hash,
    public,
    reason_digest,
    sign,
    vkey,
)

OTHER = "cortex/votes/0123456789abcdef/0000000000000000"
# ln(3), ln(4), ln(3.5), ln(1.5), ln(6) in millionths, rounded toward zero.
STANDARD, FOUR, THREE_AND_A_HALF, ONE_AND_A_HALF, SIX = 1_098_612, 1_386_294, 1_252_762, 405_465, 1_791_759


def codes(report: verify.Report) -> set[str]:
    return {found["code"] for found in report.findings}


def small() -> VotesLog:
    """Three standard agents and an untrusted one, who vote; leaves 1 to 4 register them, 5 to 9 are votes."""
    log = VotesLog().genesis()
    log.agents(3)
    log.agent("new", "untrusted")
    for name, vote in (("a0", 1), ("a1", 1), ("a2", -1), ("new", 1), ("a2", 1)):
        log.wait(seconds=1).vote(name, 1, vote)
    return log.seal(3, 7, 10)


def large() -> VotesLog:
    """Every kind of event and every operation, with rotated keys of the admin, of an agent and of the log."""
    log = small()
    log.change_key("add", "a0", "a0 phone")
    log.vote("a0", 2)
    log.keys["a0"] = "a0"
    log.vote("a0", 2, -1)
    log.change_key("add", "a1", "a1 new", by="admin")
    log.change_key("rotate", "a2", "a2 new")
    log.vote("a2", 2, 1)
    log.rotate_admin("admin two")
    log.trust("new", "standard")
    log.vote("new", 2, 0)
    log.change_key("revoke", "a1")
    log.resolve(1, 2, reason_digest=digest(0))
    log.seal(3, len(log.rows))
    before = log.notes
    log.wait(days=45).restored("log two")
    log.wait(days=30).trust("a1", "revoked")
    log.wait(days=31).policy(rule="linear")
    log.resolve(0, 9)
    log.notes = [*before, log.note()]
    return log


@pytest.fixture(name="trust")
def trust_file(tmp_path: Path) -> Path:
    path = tmp_path / "believed"
    path.write_text(f"log {vkey(key_of('log'))}\ngenesis {small().hashes[0].hex()}\n")
    return path


def bundles(folder: Path, log: VotesLog) -> list[Path]:
    directory = log.directory(folder / "bundle")
    with zipfile.ZipFile(folder / "bundle.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for part in directory.iterdir():
            file.write(part, part.name)
    (folder / "bundle.json").write_text(log.document())
    return [directory, folder / "bundle.zip", folder / "bundle.json"]


def check(folder: Path, log: VotesLog, trust: Path | None = None, **options: Any) -> verify.Report:
    path = folder / "checked"
    shutil.rmtree(path, ignore_errors=True)
    return verify.verify_path(log.directory(path), trust, **options)


@pytest.mark.parametrize("made", [small, large, lambda: VotesLog().genesis().seal()], ids=["small", "large", "one"])
def test_a_clean_log_is_valid_in_every_form(tmp_path: Path, made: Callable[[], VotesLog]) -> None:
    log = made()
    (tmp_path / "kept").write_text(log.notes[0])
    (tmp_path / "trust").write_text(f"log {vkey(key_of('log'))}\nlog {vkey(key_of('log two'))}\n")

    for path in bundles(tmp_path, log):
        bare, trusted = verify.verify_path(path), verify.verify_path(path, tmp_path / "trust", [tmp_path / "kept"])

        assert (0, [], "", len(log.rows)) == (bare.exit_code, bare.findings, bare.error, bare.leaves)
        assert (0, [], "", ORIGIN) == (trusted.exit_code, trusted.findings, trusted.error, trusted.origin)


def test_the_report_says_what_was_checked_and_what_was_not(tmp_path: Path, trust: Path) -> None:
    bare, trusted = str(check(tmp_path, small())), str(check(tmp_path, small(), trust))
    without = str(check(tmp_path, small(), signatures=False))

    assert "ok  10 leaves: form, links, order; 5 votes: keys, weights, settling" in bare
    assert "ok  13 signatures of events" in bare
    assert "--  genesis not pinned" in bare
    assert "signed by the key in leaf 0" in bare
    assert "ok  genesis trusted" in trusted
    assert "checkpoint of 10: signed by 1 of 1 log keys" in trusted
    assert "--  signatures of events not checked" in without
    assert "signed by the keys that leaves name" in str(check(tmp_path, large()))


# What the rules give, worked out by hand.


def told(report: verify.Report, number: int = 1) -> tuple[int, str, int | None, int]:
    assert ([], "") == (report.findings, report.error)
    row = next(row for row in report.verdicts if (row["fact"], row["digest"]) == (fact(number), digest(number)))
    return row["sigma_e6"], row["by_votes"], row["tenths"], row["resolved"]


def earned(report: verify.Report, name: str) -> tuple[int, int]:
    row = next(row for row in report.agents if row["agent"] == name)
    return row["for_e6"], row["against_e6"]


def settled() -> VotesLog:
    """Five standard agents for and one against: V = 4 × 1098612 = 4394448, verified and settled a day later.

    The others of one who is for: 4394448 − 1098612 = 3295836; of the one against: 5493060. Both are beyond 2197224,
    so the five gain 1 for and the sixth 1 against.
    """
    log = VotesLog().genesis()
    for name in log.agents(6):
        log.vote(name, 1, -1 if name == "a5" else 1)
    return log.wait(hours=24)


def test_a_fresh_agent_weighs_what_its_level_begins_with(tmp_path: Path) -> None:
    log = VotesLog().genesis()
    for name, weight in (("untrusted", 0), ("standard", STANDARD), ("trusted", 2_197_224)):
        log.agent(name, name)
        log.vote(name, 1, 1, weight)

    report = check(tmp_path, log.seal(), verdicts=True)

    assert (STANDARD + 2_197_224, "none", None, 0) == told(report)
    for at in (2, 4, 6):
        log.rows[at]["weight_e6"] += 1
        assert {"WEIGHT_POLICY"} == codes(check(tmp_path, log.link().seal()))
        log.rows[at]["weight_e6"] -= 1


def test_what_stays_verified_for_a_day_earns_its_voters_evidence(tmp_path: Path) -> None:
    log = settled()
    log.vote("a0", 2, 1, FOUR)  # (3 + 1) / 1
    log.vote("a5", 2, 1, ONE_AND_A_HALF)  # 3 / (1 + 1)

    report = check(tmp_path, log.seal(), verdicts=True)

    assert (4 * STANDARD, "verified", None, 0) == told(report)
    assert [(1_000_000, 0), (0, 1_000_000)] == [earned(report, name) for name in ("a0", "a5")]


def test_nothing_is_earned_a_microsecond_too_early(tmp_path: Path) -> None:
    log = settled()
    log.wait(microseconds=-1).vote("a0", 2, 1, STANDARD)

    assert [] == check(tmp_path, log.seal()).findings


def test_others_of_exactly_the_bound_judge_nobody(tmp_path: Path) -> None:
    """Three for: the others of each are 2197224, which is not beyond 2197224."""
    log = VotesLog().genesis()
    for name in log.agents(3):
        log.vote(name, 1)
    log.wait(hours=24).vote("a0", 2, 1, STANDARD)

    report = check(tmp_path, log.seal(), verdicts=True)

    assert (3 * STANDARD, "verified", None, 0) == told(report)
    assert (0, 0) == earned(report, "a0")


def test_evidence_fades_by_half_in_180_days(tmp_path: Path) -> None:
    log = settled()
    log.agent("clock", "untrusted")
    log.wait(days=180).policy()
    log.vote("a0", 2, 1, THREE_AND_A_HALF)  # (3 + 1/2) / 1

    assert [] == check(tmp_path, log.seal()).findings


def test_the_author_earns_nothing(tmp_path: Path) -> None:
    log = VotesLog().genesis()
    for name in log.agents(6):
        log.vote(name, 1, author="a0")
    log.wait(hours=24).vote("a0", 2, 1, STANDARD)
    log.vote("a1", 2, 1, FOUR)

    assert [] == check(tmp_path, log.seal()).findings


def test_what_settles_the_other_way_is_taken_back_and_judged_no_more(tmp_path: Path) -> None:
    log = settled()
    for name, weight in [(f"a{number}", FOUR) for number in range(5)] + [("a5", ONE_AND_A_HALF)]:
        log.vote(name, 1, -1, weight)
    log.wait(hours=24).vote("a0", 2, 1, STANDARD)

    report = check(tmp_path, log.seal(), verdicts=True)

    assert (-5 * FOUR - ONE_AND_A_HALF, "disputed", None, 0) == told(report)
    assert [(0, 0), (0, 0)] == [earned(report, name) for name in ("a0", "a5")]


def test_a_resolution_counts_three_at_once_and_can_be_turned_and_taken_back(tmp_path: Path) -> None:
    log = VotesLog().genesis()
    log.agents(3)
    log.vote("a0", 1, 1)
    log.vote("a1", 1, -1)
    log.vote("a2", 1, 1, author="a2")
    log.resolve(-1)
    for name, weight in (("a0", 0), ("a1", SIX), ("a2", STANDARD)):  # 3 / (1 + 3) is below 1; (3 + 3) / 1; the author
        log.vote(name, 2, 1, weight)
    log.resolve(-1)
    log.vote("a1", 2, 1, SIX)
    log.resolve(1)
    for name, weight in (("a0", SIX), ("a1", 0)):
        log.vote(name, 2, 1, weight)
    report = check(tmp_path, log.seal(), verdicts=True)
    log.resolve(0)
    for name in ("a0", "a1"):
        log.vote(name, 2, 1, STANDARD)

    after = check(tmp_path, log.seal(), verdicts=True)

    assert (STANDARD, "none", None, 1) == told(report)
    assert [(3_000_000, 0), (0, 3_000_000)] == [earned(report, name) for name in ("a0", "a1")]
    assert (STANDARD, "none", None, 0) == told(after)


def test_untrusted_agents_weigh_a_quarter_of_the_vouched_at_most(tmp_path: Path) -> None:
    """Right three times by resolutions, of which each counts three.

    Beta(4, 1): .8 − sqrt(4 / 150) = .636701, odds 1.752551, ln .561072. Beta(7, 1): .875 − sqrt(7 / 576) = .764760, odds
    3.250987, ln 1.178957. Beta(10, 1): 10/11 − sqrt(10 / 1452) = .826103, odds 4.750517, ln 1.558253. Against one
    standard vote that counts 0.25 × 1098612 = 274653.
    """
    log = VotesLog().genesis()
    log.agent("new", "untrusted")
    log.agent("a0")
    for number, weight in ((11, 0), (12, 561_072), (13, 1_178_957)):
        log.vote("new", number, 1, weight)
        log.resolve(1, number)
    log.vote("new", 1, -1, 1_558_253)
    log.vote("a0", 1)

    report = check(tmp_path, log.seal(), verdicts=True)

    assert (STANDARD - 274_653, "none", None, 0) == told(report)


def test_votes_of_a_lowered_agent_count_with_the_lower_levels_weight(tmp_path: Path) -> None:
    log = VotesLog().genesis()
    log.agent("a0", "trusted")
    log.vote("a0", 1)
    sums = []
    for level in ("standard", "trusted", "untrusted", "revoked"):
        log.trust("a0", level)
        sums.append(told(check(tmp_path, log.seal(), verdicts=True))[0])

    assert [STANDARD, STANDARD, 0, 0] == sums


def test_three_on_each_side_are_contested_and_quorum_counts_vouched_agents(tmp_path: Path) -> None:
    log = VotesLog().genesis()
    for at, name in enumerate(log.agents(6)):
        log.vote(name, 1, 1 if at < 3 else -1)
    for name in log.agents(2, "trusted", "t"):
        log.vote(name, 2)

    report = check(tmp_path, log.seal(), verdicts=True)

    assert (0, "contested", None, 0) == told(report, 1)
    assert (4_394_448, "none", None, 0) == told(report, 2)


def test_the_linear_rule_counts_votes_and_settles_nothing(tmp_path: Path) -> None:
    log = VotesLog().genesis(rule="linear")
    for name in log.agents(6):
        log.vote(name, 1)
    report = check(tmp_path, log.seal(), verdicts=True)
    log.wait(hours=25).trust("a0", "revoked")
    log.trust("a1", "revoked")
    log.vote("a2", 2, 1, STANDARD)

    after = check(tmp_path, log.seal(), verdicts=True)

    assert (6 * STANDARD, "verified", 16, 0) == told(report)
    assert (4 * STANDARD, "none", 14, 0) == told(after)


def test_another_policy_judges_anew_and_what_is_verified_by_it_is_due_then(tmp_path: Path) -> None:
    log = settled().wait(hours=-24)
    log.policy(threshold_e6=100_000_000)
    log.wait(days=2).vote("a0", 2, 1, STANDARD)
    log.policy()
    log.wait(hours=24).vote("a0", 2, 1, FOUR)

    assert [] == check(tmp_path, log.seal()).findings


# Attacks. Each log is relinked and resealed with the log's key, so that nothing but the rules can tell.


def resign(row: Row, *names: str) -> None:
    row["sigs"] = sign(row["kind"], row["event"], list(names))


def edit(at: int, **members: Any) -> Callable[[VotesLog], object]:
    return lambda log: log.rows[at].update(members)


def edit_event(at: int, *names: str, **members: Any) -> Callable[[VotesLog], object]:
    """Change an event, and sign it with keys of these names if there are any."""

    def change(log: VotesLog) -> None:
        log.rows[at]["event"].update(members)
        if names:
            resign(log.rows[at], *names)

    return change


def again(at: int, **members: Any) -> Callable[[VotesLog], object]:
    """Append an event that was there before."""

    def change(log: VotesLog) -> None:
        row = json.loads(json.dumps(log.rows[at]))
        log.rows.append({**row, "idx": len(log.rows), "ts": log.ts, **members})

    return change


def after(*steps: Callable[[VotesLog], object]) -> Callable[[VotesLog], object]:
    return lambda log: [step(log) for step in steps]


def foreign(log: VotesLog) -> None:
    log.put("vote", ["a0"], STANDARD, **{**log.rows[5]["event"], "id": fact(77), "log": OTHER})


THIEF = public(key_of("thief"))
A0, A1 = public(key_of("a0")), public(key_of("a1"))
ATTACKS: list[tuple[str, Callable[[VotesLog], object], set[str]]] = [
    ("a flipped vote", edit_event(5, vote=-1), {"AGENT_SIG"}),
    ("another fact", edit_event(5, fact=fact(9)), {"AGENT_SIG"}),
    ("another text", edit_event(5, fact_digest=digest(9)), {"AGENT_SIG"}),
    ("another author", edit_event(5, author="a0"), {"AGENT_SIG"}),
    ("another agent", edit_event(5, agent="a1"), {"AGENT_SIG", "KEY_NOT_VALID"}),
    ("a zeroed signature", edit(5, sigs=["00" * 64]), {"AGENT_SIG"}),
    ("no signature", edit(5, sigs=[]), {"AGENT_SIG"}),
    ("two signatures", lambda log: log.rows[5]["sigs"].append("00" * 64), {"AGENT_SIG"}),
    ("an event's prefix", lambda log: log.rows[5].update(sigs=sign("trust", log.rows[5]["event"], ["a0"])), {"AGENT_SIG"}),
    ("a weight", edit(5, weight_e6=2_197_224), {"WEIGHT_POLICY"}),
    ("a negative weight", edit(5, weight_e6=-1), {"WEIGHT_POLICY"}),
    ("a forged vote", lambda log: log.put("vote", ["thief"], STANDARD, **{**log.rows[5]["event"], "id": fact(77)}), {"AGENT_SIG"}),
    ("a vote by an unknown key", lambda log: log.vote("a0", key=THIEF) and resign(log.rows[-1], "thief"), {"KEY_NOT_VALID"}),
    ("a vote by another's key", lambda log: log.vote("a0", key=A1) and resign(log.rows[-1], "a1"), {"KEY_NOT_VALID"}),
    ("a vote by the admin", lambda log: log.vote("a0", key=public(key_of("admin"))) and resign(log.rows[-1], "admin"), {"KEY_NOT_VALID"}),
    ("a vote of nobody", lambda log: log.vote("a0", agent="nobody"), {"KEY_NOT_VALID"}),
    ("a vote by a revoked key", lambda log: log.change_key("revoke", "a0") and log.vote("a0"), {"KEY_NOT_VALID"}),
    ("a vote by a rotated key", lambda log: log.change_key("rotate", "a0", "x") and log.vote("a0", key=A0) and resign(log.rows[-1], "a0"), {"KEY_NOT_VALID"}),
    ("a vote of a revoked agent", lambda log: log.trust("a0", "revoked") and log.vote("a0", weight=0), {"KEY_NOT_VALID"}),
    ("an old vote again", again(5), {"EVENT_TWICE"}),
    ("an old registration again", again(1), {"EVENT_TWICE"}),
    ("a vote for another log", foreign, {"EVENT_SIG"}),
    ("an event for another log", lambda log: log.by_admin("trust", agent="a0", trust="trusted", log=OTHER), {"EVENT_SIG"}),
    ("a swapped public key", edit_event(1, key=THIEF), {"EVENT_SIG", "KEY_NOT_VALID"}),
    ("trust raised in an event", edit_event(4, trust="standard"), {"EVENT_SIG", "KEY_NOT_VALID"}),
    ("trust without the admin", lambda log: log.agent("b", "trusted", admin=None) and resign(log.rows[-1], "b"), {"EVENT_SIG"}),
    ("one signature of two", lambda log: log.agent("b")["sigs"].pop(), {"EVENT_SIG"}),
    ("a key that did not sign", lambda log: log.change_key("add", "a0", "x") and resign(log.rows[-1], "a0", "thief"), {"EVENT_SIG"}),
    ("an admin that did not sign", lambda log: log.agent("b") and resign(log.rows[-1], "b", "thief"), {"EVENT_SIG"}),
    ("trust by a thief", lambda log: log.put("trust", ["thief"], key=THIEF, agent="a0", trust="trusted"), {"KEY_NOT_VALID"}),
    ("trust forged", lambda log: log.by_admin("trust", agent="a0", trust="trusted") and resign(log.rows[-1], "thief"), {"EVENT_SIG"}),
    ("trust of nobody", lambda log: log.trust("nobody", "trusted"), {"KEY_NOT_VALID"}),
    ("a policy by a thief", lambda log: log.put("policy", ["thief"], key=THIEF, policy=log.rows[0]["event"]["policy"]), {"KEY_NOT_VALID"}),
    ("a resolution by an agent", lambda log: log.resolve(1, key=A0) and resign(log.rows[-1], "a0"), {"KEY_NOT_VALID"}),
    ("an admin by a thief", lambda log: log.put("admin", ["thief", "x"], key=THIEF, new=A0[:-2] + "00"), {"KEY_NOT_VALID", "EVENT_SIG"}),
    ("the admin before", lambda log: (log.rotate_admin("two") and setattr(log, "admin", "admin")) or log.resolve(1), {"KEY_NOT_VALID"}),
    ("an agent by the admin before", lambda log: (log.rotate_admin("two") and setattr(log, "admin", "admin")) or log.agent("b"), {"KEY_NOT_VALID"}),
    ("a name twice", lambda log: log.agent("a0", key=public(key_of("b"))) and resign(log.rows[-1], "b", "admin"), {"KEY_NOT_VALID"}),
    ("a key twice", lambda log: log.agent("b", key=A0) and resign(log.rows[-1], "a0", "admin"), {"EVENT_TWICE"}),
    ("a rotated key again", lambda log: log.change_key("rotate", "a0", "x") and log.change_key("add", "a0", "a0"), {"EVENT_TWICE"}),
    ("the admin key for an agent", lambda log: log.change_key("add", "a0", "admin"), {"EVENT_TWICE"}),
    ("an agent's key for the admin", lambda log: log.rotate_admin("a0"), {"EVENT_TWICE"}),
    ("a key added by another agent", lambda log: log.change_key("add", "a0", "x", by="a1"), {"KEY_NOT_VALID"}),
    ("a key rotated by the admin", lambda log: log.change_key("rotate", "a0", "x", by="admin"), {"KEY_NOT_VALID"}),
    ("a key of nobody", lambda log: log.keys.update(nobody="n") or log.change_key("add", "nobody", "x"), {"KEY_NOT_VALID"}),
    ("a key revoked by its agent", lambda log: log.change_key("revoke", "a0", by="a0"), {"KEY_NOT_VALID"}),
    ("a key revoked twice", lambda log: log.change_key("revoke", "a0") and log.change_key("revoke", "a0"), {"KEY_NOT_VALID"}),
    ("a clock that jumps", lambda log: log.wait(days=30, microseconds=1).vote("a0"), {"TIME_ORDER"}),
    ("a clock that jumps with an agent", lambda log: log.wait(days=31).agent("b"), {"TIME_ORDER"}),
    ("a clock that runs back", lambda log: log.wait(seconds=-1).vote("a0"), {"TIME_ORDER"}),
    ("another size restored", lambda log: log.restored("log", size=7), {"HISTORY_REWRITTEN"}),
    ("another root restored", lambda log: log.restored("log", root="00" * 32), {"HISTORY_REWRITTEN"}),
    ("a key of another log restored", lambda log: log.restored("log", vkey=vkey(key_of("log"), OTHER)), {"ORIGIN", "CHECKPOINT_SIG"}),
    ("a genesis signed by a thief", lambda log: resign(log.rows[0], "thief"), {"EVENT_SIG"}),
    ("a genesis of another shape", edit_event(0, "admin", log="elsewhere"), {"ORIGIN", "CHAIN_LINK", "EVENT_SIG"}),
    ("a genesis with a key of another log", edit_event(0, "admin", vkey=vkey(key_of("log"), OTHER)), {"ORIGIN", "CHECKPOINT_SIG"}),
]  # fmt: skip


@pytest.mark.parametrize(("attack", "expected"), [row[1:] for row in ATTACKS], ids=[row[0] for row in ATTACKS])
def test_an_attack_with_the_key_of_the_log_is_named(
    tmp_path: Path, attack: Callable[[VotesLog], object], expected: set[str]
) -> None:
    log = small()
    attack(log)

    report = check(tmp_path, log.link().seal())

    assert expected <= codes(report)
    assert codes(report) <= expected | (
        {"CHECKPOINT_SIG", "EVENT_SIG", "KEY_NOT_VALID"} if "ORIGIN" in expected else set()
    )
    assert 1 == report.exit_code


def test_one_edit_is_one_finding(tmp_path: Path) -> None:
    for at in range(5, 10):
        log = small()
        log.rows[at]["sigs"] = ["11" * 64]

        report = check(tmp_path, log.link().seal())

        assert [("AGENT_SIG", str(at))] == [(found["code"], found["id"]) for found in report.findings]


def test_an_event_for_another_log_is_said_to_be_one(tmp_path: Path) -> None:
    log = small()
    foreign(log)

    assert OTHER in check(tmp_path, log.seal()).findings[0]["what"]


def swap(log: VotesLog) -> None:
    log.rows[6], log.rows[7] = log.rows[7], log.rows[6]


WITHOUT_KEYS: list[tuple[Callable[[VotesLog], object], set[str]]] = [
    (edit(6, weight_e6=0), {"WEIGHT_POLICY", "CHAIN_LINK", "HISTORY_REWRITTEN"}),
    (edit(6, prev="00" * 32), {"CHAIN_LINK", "HISTORY_REWRITTEN"}),
    (edit(6, ts="2026-03-02T08:00:00.000000Z"), {"TIME_ORDER", "CHAIN_LINK", "HISTORY_REWRITTEN"}),
    (edit(6, kind="resolve"), {"LEAF_FORM", "CHAIN_LINK", "HISTORY_REWRITTEN"}),
    (lambda log: log.rows.pop(6), {"GAP", "CHAIN_LINK", "TRUNCATED", "HISTORY_REWRITTEN"}),
    (lambda log: log.rows.pop(0), {"GAP", "CHAIN_LINK", "CHECKPOINT_SIG"}),
    (lambda log: log.rows.pop(), {"TRUNCATED"}),
    (lambda log: log.rows.clear(), {"CHECKPOINT_SIG"}),
    (swap, {"GAP", "CHAIN_LINK", "TIME_ORDER", "HISTORY_REWRITTEN"}),
    (lambda log: log.notes.reverse(), {"CHECKPOINT_SEQ"}),
    (lambda log: log.notes.insert(2, log.notes[2].replace("\n10\n", "\n9\n")), {"CHECKPOINT_SIG"}),
]


@pytest.mark.parametrize(("attack", "expected"), WITHOUT_KEYS, ids=range(len(WITHOUT_KEYS)))
def test_an_attack_without_keys_is_named(
    tmp_path: Path, attack: Callable[[VotesLog], object], expected: set[str]
) -> None:
    log = small()
    attack(log)

    assert expected == codes(check(tmp_path, log))


TRUSTED_FORMS: list[tuple[int, str, Any]] = [
    (0, "policy", {**small().rows[0]["event"]["policy"], "quorum": 0}),
    (0, "policy", {**small().rows[0]["event"]["policy"], "rule": "any"}),
    (0, "policy", {**small().rows[0]["event"]["policy"], "more": 1}),
    (0, "policy", {**small().rows[0]["event"]["policy"], "floor_e6": 0.5}),
    (0, "policy", {**small().rows[0]["event"]["policy"], "settle_s": True}),
    (0, "policy", {**small().rows[0]["event"]["policy"], "half_life_days": 36_501}),
    (0, "policy", {**small().rows[0]["event"]["policy"], "prior": {"standard": [3, 1]}}),
    (0, "vkey", "key"),
    (1, "admin", "AB" * 32),
    (1, "agent", "a b"),
    (1, "agent", "a" * 65),
    (1, "custody", "nobody"),
    (1, "custody", None),
    (1, "projects", []),
    (1, "projects", ["b", "a"]),
    (1, "projects", ["a", "a"]),
    (1, "projects", [""]),
    (1, "projects", ["x" * 129]),
    (1, "projects", [str(number) for number in range(17)]),
    (1, "projects", "*"),
    (1, "trust", "revoked"),
    (1, "more", 1),
    (5, "at", "2026-03-02T09:00:00Z"),
    (5, "at", "2026-02-30T09:00:00.000000Z"),
    (5, "at", "2026-03-02T24:00:00.000000Z"),
    (5, "author", None),
    (5, "author", ""),
    (5, "author", "x" * 257),
    (5, "author", "a\x7f"),
    (5, "author", "a\nb"),
    (5, "fact", "1"),
    (5, "fact", fact(10).upper()),
    (5, "fact_digest", None),
    (5, "id", fact(1).replace("-", "")),
    (5, "key", "00"),
    (5, "log", 7),
    (5, "reason_digest", "because"),
    (5, "v", 2),
    (5, "v", True),
    (5, "vote", 2),
    (5, "vote", 1.0),
    (5, "vote", True),
    (5, "vote", "1"),
    (5, "vote", None),
]


@pytest.mark.parametrize(("at", "name", "value"), TRUSTED_FORMS)
def test_an_event_of_another_form_is_no_leaf(at: int, name: str, value: Any) -> None:
    row = small().rows[at]
    assert verify.parse_vote_leaf(line_of(row)) == row

    row["event"][name] = value

    assert verify.parse_vote_leaf(line_of(row)) is None


def line_of(row: Row) -> bytes:
    return VotesLog(rows=[row]).lines[0]


@pytest.mark.parametrize(
    ("at", "name", "value"),
    [
        (5, "idx", 0),
        (5, "idx", -1),
        (5, "idx", 1 << 53),
        (0, "idx", 1),
        (5, "kind", "veto"),
        (5, "kind", "genesis"),
        (5, "prev", "00"),
        (5, "sigs", ["00"]),
        (5, "sigs", ["00" * 64] * 3),
        (5, "sigs", None),
        (5, "ts", "2026-03-02T09:00:00.000000+00:00"),
        (5, "ts", "0000-03-02T09:00:00.000000Z"),
        (5, "v", 2),
        (5, "weight_e6", None),
        (5, "weight_e6", 1.5),
        (5, "weight_e6", 1 << 53),
        (1, "weight_e6", 0),
        (5, "more", None),
    ],
)
def test_a_leaf_of_another_form_is_none(at: int, name: str, value: Any) -> None:
    row = {**small().rows[at], name: value}

    assert verify.parse_vote_leaf(line_of(row)) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line + b" ",
        lambda line: line.replace(b":", b": ", 1),
        lambda line: line.replace(b'"vote":1', b'"vote":1,"vote":1'),
        lambda line: line.replace(b'"vote":1', b'"vote":-0'),
        lambda line: line.replace(b'"vote":1', b'"vote":1e0'),
        lambda line: line.replace(b"someone", b"\\u0073omeone"),
        lambda line: line.replace(b"someone", b"\\ud800"),
        lambda line: line.replace(b"someone", b"\xed\xa0\x80"),
        lambda line: line.replace(b"someone", b"some\\/one"),
        lambda line: line.replace(b"null", b"NaN"),
        lambda line: b"[" * 10_000,
        lambda line: b"",
    ],
)
def test_a_line_in_another_form_than_the_canonical_is_no_leaf(change: Callable[[bytes], bytes]) -> None:
    line = small().lines[5]

    assert change(line) != line
    assert verify.parse_vote_leaf(change(line)) is None


def test_text_outside_of_ascii_and_quotes_are_read_as_they_are_written() -> None:
    log = VotesLog().genesis()
    log.agent("a0", projects=['"q"', "\\", "ä", "\U0001f375"])
    row = log.vote("a0", author='Ädä "the\\" 🍵')

    assert row == verify.parse_vote_leaf(log.lines[-1])


def test_the_bounds_are_those_of_the_package() -> None:
    expected = (limits.TRUST_NAMES_MAX, limits.EVENT_TEXT_CHARS_MAX, limits.CLOCK_JUMP_DAYS)

    assert expected == (verify.TRUST_NAMES_MAX, verify.TEXT_CHARS_MAX, verify.JUMP_DAYS)
    assert limits.RECEIPT_LINE_BYTES_MAX == verify.RECEIPT_BYTES_MAX
    assert limits.RECEIPTS_MAX == verify.RECEIPTS_MAX
    assert verify.parse_vote_leaf(small().lines[0]) is not None
    assert small().rows[0]["event"]["policy"] == json.loads(policy.encode(policy.WEIGHTED))


# Which log it is, and who vouches for it.


def test_json_that_names_another_log_than_its_leaves_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bundle.json"
    for name in ("transactions", "votes"):
        path.write_text(small().document(log=name, leaves=[small().lines[0].decode()] if name == "votes" else ["{}"]))
        assert "REFUSED" not in codes(verify.verify_path(path))
    path.write_text(small().document(log="transactions"))
    assert {"REFUSED"} == codes(verify.verify_path(path))
    path.write_text(small().document(leaves=['{"actor":']))
    assert {"REFUSED"} == codes(verify.verify_path(path))
    for name in ("", None, [], "facts"):
        path.write_text(small().document(log=name))
        assert 3 == verify.verify_path(path).exit_code


def test_an_empty_first_line_is_not_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "bundle.json"
    path.write_text(small().document(leaves=["", *(line.decode() for line in small().lines)]))

    assert "LEAF_FORM" in codes(verify.verify_path(path))


def test_a_genesis_that_is_not_the_trusted_one_is_another_log(tmp_path: Path, trust: Path) -> None:
    log = small()
    log.rows[0]["event"]["policy"]["quorum"] = 1
    resign(log.rows[0], "admin")

    assert [] == check(tmp_path, log.link().seal()).findings
    assert {"ORIGIN"} == codes(check(tmp_path, log, trust))


def test_a_checkpoint_is_signed_by_the_key_that_the_log_names_at_its_size(tmp_path: Path) -> None:
    log = large()
    at = next(row["idx"] for row in log.rows if row["kind"] == "restored")
    (tmp_path / "trust").write_text(f"log {vkey(key_of('log two'))}\n")

    log.notes = [log.note(at, "log"), log.note(at + 1, "log two"), log.note()]
    assert [] == check(tmp_path, log).findings
    assert {"CHECKPOINT_SIG"} == codes(check(tmp_path, log, tmp_path / "trust"))
    log.notes = [log.note(at, "log two"), log.note()]
    assert {"CHECKPOINT_SIG"} == codes(check(tmp_path, log))
    log.notes = [log.note(at + 1, "log"), log.note()]
    assert {"CHECKPOINT_SIG"} == codes(check(tmp_path, log))


def test_outside_memory_finds_what_the_key_of_the_log_cannot_hide(tmp_path: Path, trust: Path) -> None:
    log, kept = small(), tmp_path / "kept"
    kept.write_text(log.notes[-1])
    short = log.copy()
    short.rows = short.rows[:8]
    rewritten = log.copy()
    rewritten.rows = rewritten.rows[:9]
    rewritten.wait(seconds=1).vote("a1", 5)

    assert {"ROLLBACK"} == codes(check(tmp_path, short.seal(3, 8), trust, checkpoints=[kept]))
    assert {"HISTORY_REWRITTEN", "SPLIT_VIEW"} == codes(check(tmp_path, rewritten.seal(), trust, checkpoints=[kept]))
    assert [] == check(tmp_path, rewritten, trust).findings
    assert {"UNSIGNED"} == codes(check(tmp_path, log.seal(7), trust))
    assert {"ORIGIN"} == codes(check(tmp_path, VotesLog(origin=OTHER).genesis().seal(), trust))


def believed(path: Path, *lines: str) -> Path:
    path.write_text("\n".join([*lines, ""]))
    return path


W1, W2, W3 = (f"witness {name} {vkey(key_of(name), f'{name}.example', 4)}" for name in ("w1", "w2", "w3"))
LOG = f"log {vkey(key_of('log'))} https://example.com/log"


def cosigned(*names: str) -> VotesLog:
    log = small()
    for name in names:
        log.notes[-1] = cosign(log.notes[-1], key_of(name), f"{name}.example")
    return log


@pytest.mark.parametrize(
    ("lines", "names", "enough"),
    [
        ([W1, "quorum w1"], ["w1"], True),
        ([W1, "quorum w1"], [], False),
        ([W1, "quorum none"], [], True),
        ([W1], [], True),
        ([W1, W2, "group g any w1 w2", "quorum g"], ["w2"], True),
        ([W1, W2, "group g all w1 w2", "quorum g"], ["w2"], False),
        ([W1, W2, W3, "group g 2 w1 w2 w3", "quorum g"], ["w1", "w3"], True),
        ([W1, W2, W3, "group g 2 w1 w2 w3", "quorum g"], ["w3"], False),
        ([W1, W2, W3, "group g any w1 w2", "group h all g w3", "quorum h"], ["w1", "w3"], True),
        ([W1, W2, W3, "group g any w1 w2", "group h all g w3", "quorum h"], ["w1", "w2"], False),
    ],
)
def test_the_last_checkpoint_needs_the_quorum_of_witnesses(
    tmp_path: Path, lines: list[str], names: list[str], enough: bool
) -> None:
    report = check(tmp_path, cosigned(*names), believed(tmp_path / "t", LOG, *lines))

    assert (set() if enough else {"CHECKPOINT_SIG"}) == codes(report)
    assert not enough or f"cosigned by {len(names)} of" in str(report)


def test_a_bad_cosignature_of_a_trusted_witness_is_no_valid_checkpoint(tmp_path: Path) -> None:
    log = small()
    log.notes[-1] = cosign(log.notes[-2], key_of("w1"), "w1.example").replace(log.notes[-2], log.notes[-1])
    thief = small()
    thief.notes[-1] = cosign(thief.notes[-1], key_of("thief"), "w1.example")

    for quorum in ("quorum w1", "quorum none"):
        assert {"CHECKPOINT_SIG"} == codes(check(tmp_path, log, believed(tmp_path / "t", LOG, W1, quorum)))
    assert {"CHECKPOINT_SIG"} == codes(check(tmp_path, thief, believed(tmp_path / "t", LOG, W1, "quorum w1")))


def test_as_many_keys_of_the_log_must_sign_as_the_threshold_says(tmp_path: Path) -> None:
    keys = [f"log {vkey(key_of(name))}" for name in ("log", "log two", "log three")]
    log = small()
    line = log.note(None, "log two").rpartition("\n— ")[2]
    both = log.copy()
    both.notes[-1] += f"— {line}"

    assert {"CHECKPOINT_SIG"} == codes(check(tmp_path, log, believed(tmp_path / "t", *keys, "threshold 2")))
    assert [] == check(tmp_path, both, believed(tmp_path / "t", *keys, "threshold 2")).findings
    assert {"CHECKPOINT_SIG"} == codes(check(tmp_path, both, believed(tmp_path / "t", *keys, "threshold 3")))
    assert [] == check(tmp_path, log, believed(tmp_path / "t", *keys)).findings


def test_one_key_may_sign_two_logs(tmp_path: Path) -> None:
    elsewhere = vkey(key_of("log"), ORIGIN.replace("votes", "transactions"))

    assert [] == check(tmp_path, small(), believed(tmp_path / "t", LOG, f"log {elsewhere}")).findings


@pytest.mark.parametrize(
    "lines",
    [
        ["genesis"],
        ["genesis 00"],
        [f"genesis {'AB' * 32}"],
        ["threshold 0"],
        ["threshold 2"],
        ["threshold 1", "threshold 1"],
        ["quorum nobody"],
        ["quorum none", "quorum none"],
        [W1, W1],
        [W1, W1.replace(" w1 ", " w2 ")],
        [W1.replace(" w1 ", " none ")],
        [W1, W2.replace(" w2 ", " w1 ")],
        [f"witness w {vkey(key_of('w'), 'w', 1)}"],
        ["group g any w1", W1],
        [W1, "group g any"],
        [W1, "group g 0 w1"],
        [W1, "group g 2 w1"],
        [W1, "group g some w1"],
        [W1, "group g any w1 w1"],
        [W1, "group g any w1", "group h any w1"],
        [W1, "group w1 any w1"],
        [W1, "group g any g"],
        [LOG],
        ["policy"],
    ],
)
def test_a_trust_file_that_is_not_understood_checks_nothing(tmp_path: Path, lines: list[str]) -> None:
    report = check(tmp_path, small(), believed(tmp_path / "t", LOG, *lines))

    assert (3, []) == (report.exit_code, report.findings)
    assert str(tmp_path / "t") in report.error


# What agents kept.


def receipts(path: Path, *lines: str) -> list[Path]:
    path.write_text("".join(lines))
    return [path]


def replaced(at: int) -> VotesLog:
    """The small log, with another vote in the place of one, made by who has all keys of the log."""
    log = small()
    log.rows = log.rows[:at]
    while len(log.rows) < 10:
        log.vote("a1", 8, id=fact(len(log.rows)))
    return log.seal()


def test_receipts_of_what_is_there_are_fine(tmp_path: Path, trust: Path) -> None:
    log = small()
    lines = [log.receipt(at, promise=log.promise(at), proof=log.proof(at)) for at in (5, 6, 9)]

    report = check(tmp_path, log, trust, receipts=receipts(tmp_path / "kept", *lines))

    assert ([], True) == (report.findings, "ok  outside memory: 0 checkpoints, 3 receipts" in str(report))


@pytest.mark.parametrize("trusting", [True, False])
def test_a_dropped_vote_is_found_by_its_receipt(tmp_path: Path, trust: Path, trusting: bool) -> None:
    log, believe = small(), trust if trusting else None
    proved = receipts(tmp_path / "proved", log.receipt(9, promise=log.promise(9), proof=log.proof(9)))
    promised = receipts(tmp_path / "promised", log.receipt(9, promise=log.promise(9)))
    bare = receipts(tmp_path / "bare", log.receipt(9))
    short = log.copy()
    short.rows.pop()
    short.seal()

    assert {"RECEIPT_MISSING"} == codes(check(tmp_path, replaced(9), believe, receipts=proved))
    assert {"PROMISE_BROKEN"} == codes(check(tmp_path, replaced(9), believe, receipts=promised))
    assert {"RECEIPT_MISSING"} == codes(check(tmp_path, short, believe, receipts=proved))
    beyond, nothing = (check(tmp_path, short, believe, receipts=kept) for kept in (promised, bare))
    assert (0, True) == (beyond.exit_code, "--  1 promise beyond the end of the log" in beyond.notes)
    assert (0, True) == (nothing.exit_code, "--  1 receipt that no key of this log vouches for" in nothing.notes)


def test_receipts_that_the_log_did_not_sign_are_not_believed(tmp_path: Path) -> None:
    log = small()
    other = log.copy()
    other.log = "thief"
    lines = [
        log.receipt(9, promise=log.promise(9, "thief")),
        log.receipt(8, proof=other.proof(8)),
        log.receipt(7, promise=log.promise(6), proof=log.proof(6)),
        log.receipt(6, promise="what?", proof="what?"),
    ]

    report = check(tmp_path, replaced(5), receipts=receipts(tmp_path / "kept", *lines))

    assert ([], True) == (report.findings, "--  4 receipts that no key of this log vouches for" in report.notes)


def test_later_lines_add_to_earlier_ones_or_take_their_place(tmp_path: Path) -> None:
    log = small()
    moved = replaced(9)
    moved.put("vote", ["a2"], STANDARD, **log.rows[9]["event"])
    moved.seal()
    apart = [log.receipt(9, promise=log.promise(9)), log.receipt(9, proof=log.proof(9))]
    again_in = moved.receipt(10, promise=moved.promise(10))

    found = check(tmp_path, replaced(9), receipts=receipts(tmp_path / "kept", *apart)).findings
    assert [("RECEIPT_MISSING", "9")] == [(one["code"], one["id"]) for one in found]
    assert [] == check(tmp_path, moved, receipts=receipts(tmp_path / "kept", *apart, again_in)).findings


def test_receipts_of_another_log_are_only_noted(tmp_path: Path) -> None:
    other = VotesLog(origin=OTHER).genesis()
    other.agent("a0")
    other.vote("a0")
    kept = receipts(tmp_path / "kept", other.receipt(2, proof=other.proof(2)))

    report = check(tmp_path, small(), receipts=kept)

    assert (0, True) == (report.exit_code, "--  1 receipt of another log" in report.notes)


def test_a_torn_last_receipt_is_passed_over_and_other_damage_is_not(tmp_path: Path) -> None:
    log = small()
    whole = log.receipt(9, proof=log.proof(9))
    kept = tmp_path / "kept"

    for torn in ("", whole[: len(whole) // 2], '{"ballot":"ä'.encode()[:-1].decode("latin-1"), "{", "\0\0"):
        report = check(tmp_path, replaced(9), receipts=receipts(kept, whole, torn))
        assert {"RECEIPT_MISSING"} == codes(report)
    assert {"RECEIPT_MISSING"} == codes(check(tmp_path, replaced(9), receipts=receipts(kept, whole[:-1])))
    for bad in (
        "{}\n",
        "\n",
        whole[5:],
        whole.replace('"idx": 9', '"idx": 8'),
        whole.replace('"vote": 1', '"vote": -1'),
    ):
        report = check(tmp_path, replaced(9), receipts=receipts(kept, whole, bad, whole))
        assert (3, "line 2" in report.error) == (report.exit_code, True)
    kept.write_bytes(b"x" * (verify.RECEIPT_BYTES_MAX + 1))
    assert 3 == check(tmp_path, log, receipts=[kept]).exit_code


def test_receipts_from_inside_the_bundle_are_refused(tmp_path: Path) -> None:
    log = small()
    path = log.directory(tmp_path / "bundle")
    (path / "kept").write_text(log.receipt(9))

    assert {"REFUSED"} == codes(verify.verify_path(path, receipts=[path / "kept"]))


# Proofs.


def proof_file(path: Path, log: VotesLog, index: int, **changes: Any) -> Path:
    told: Row = {"format": "cortex-proof/v1", "leaf": log.lines[index].decode(), "proof": log.proof(index)}
    path.write_text(json.dumps({**told, "disclosure": None, **changes}))
    return path


def with_reason() -> VotesLog:
    log = small()
    log.vote("a0", 3, -1, reason_digest=reason_digest(b"salt", "It is wrong."))
    return log


def test_a_proof_of_a_vote_shows_what_was_voted(tmp_path: Path, trust: Path) -> None:
    log = with_reason()
    told = {"salt": b"salt".hex(), "fields": {"reason": "It is wrong."}}

    report = verify.verify_path(proof_file(tmp_path / "p.json", log, 10, disclosure=told), trust)
    plain = verify.verify_path(proof_file(tmp_path / "q.json", log, 10), trust)

    shown = {"agent": "a0", "vote": -1, "fact": fact(3), "at": log.ts, "weight_e6": STANDARD, "kind": "vote"}
    shown |= {"fact_digest": digest(3), "author": "someone"}
    assert (0, {**shown, "reason": "It is wrong."}) == (report.exit_code, report.disclosed)
    assert (0, shown) == (plain.exit_code, plain.disclosed)
    assert "--  whether its keys had the right to sign is not shown by a proof alone" in report.notes
    assert "ok  its signatures: good" in report.notes


def test_a_proof_of_an_event_of_any_kind_is_valid(tmp_path: Path) -> None:
    log = large()
    trust = believed(tmp_path / "t", f"log {vkey(key_of('log two'))}")

    for at, row in enumerate(log.rows):
        report = verify.verify_path(proof_file(tmp_path / "p.json", log, at), trust)

        assert (0, row["kind"]) == (report.exit_code, report.disclosed["kind"])


def test_a_tampered_proof_of_a_vote_is_named(tmp_path: Path, trust: Path) -> None:
    log = with_reason()

    def found(index: int = 10, made: VotesLog = log, **changes: Any) -> set[str]:
        return codes(verify.verify_path(proof_file(tmp_path / "p.json", made, index, **changes), trust))

    for reason in ("It is right.", "It is wrong", ""):
        assert {"REASON_CHANGED"} == found(disclosure={"salt": b"salt".hex(), "fields": {"reason": reason}})
    assert {"REASON_CHANGED"} == found(disclosure={"salt": "00", "fields": {"reason": "It is wrong."}})
    assert {"REASON_CHANGED"} == found(5, disclosure={"salt": "00", "fields": {"reason": "none"}})
    assert {"REASON_CHANGED"} == found(1, disclosure={"salt": "00", "fields": {"reason": "none"}})
    assert {"REFUSED"} == found(disclosure={"salt": "00", "fields": {"reason": "", "text": ""}})
    assert {"PROOF"} == found(leaf=log.lines[5].decode())
    assert {"LEAF_FORM"} == found(leaf=log.lines[5].decode() + " ")
    forged = log.copy()
    forged.rows[10]["event"]["vote"] = 1
    assert {"AGENT_SIG"} == found(made=forged)
    resign(forged.rows[1], "a0", "thief")
    assert {"EVENT_SIG"} == found(1, made=forged.link())
    foreign(forged)
    assert {"EVENT_SIG"} == found(11, made=forged)
    report = verify.verify_path(proof_file(tmp_path / "p.json", forged, 10), trust, signatures=False)
    assert (0, "--  its signatures: not checked" in report.notes) == (report.exit_code, True)


def test_a_proof_needs_the_quorum_too(tmp_path: Path) -> None:
    log = small()
    trust = believed(tmp_path / "t", LOG, W1, "quorum w1")
    text = log.proof(5)

    assert {"CHECKPOINT_SIG"} == codes(verify.verify_path(proof_file(tmp_path / "p.json", log, 5), trust))
    note = text[text.index(f"\n\n{ORIGIN}") + 2 :]
    whole = text.replace(note, cosign(note, key_of("w1"), "w1.example"))
    assert 0 == verify.verify_path(proof_file(tmp_path / "p.json", log, 5, proof=whole), trust).exit_code


# Many leaves, other processes, other Pythons, junk.


def long_log(votes: int) -> VotesLog:
    log = VotesLog().genesis()
    names = log.agents(4)
    for number in range(votes):
        log.vote(names[number % 4], number, 1)
    return log


def test_other_processes_find_the_same(tmp_path: Path) -> None:
    log = long_log(verify._Signatures.ENOUGH + 100)
    assert [] == check(tmp_path, log.seal(), jobs=2).findings
    for at in (7, 2000):
        log.rows[at]["sigs"] = ["11" * 64]

    report = check(tmp_path, log.link().seal(), jobs=2)

    assert [("AGENT_SIG", "7"), ("AGENT_SIG", "2000")] == [(found["code"], found["id"]) for found in report.findings]


def test_the_memory_needed_is_bounded_by_what_is_held_and_not_by_the_log(tmp_path: Path) -> None:
    log = VotesLog().genesis()
    log.agent("a0")
    for _ in range(8_000):
        log.vote("a0", 1)
    path = log.seal().directory(tmp_path / "bundle")
    assert path.joinpath("leaves.jsonl").stat().st_size > 5 << 20
    tracemalloc.start()

    report = verify.verify_path(path, signatures=False)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (0, 8_002) == (report.exit_code, report.leaves)
    assert peak < 3 << 20


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**252 + 27742317777372353535851937790883648492), st.booleans())
def test_both_ways_to_multiply_a_key_give_the_same_point(scalar: int, torsion: bool) -> None:
    base = verify._decode(b"\x58" + b"\x66" * 31)
    eighth = verify._decode(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"))
    assert base is not None
    assert eighth is not None
    point = verify._add(base, eighth) if torsion else base

    made = [
        verify._multiply(point, scalar),
        verify._times(verify._table(point, 4, 1), scalar),
        verify._add_multiple((0, 1, 1, 0), TABLES.setdefault(torsion, verify._table(point, 5, 51)), scalar),
    ]

    assert 1 == len({(x * pow(z, -1, PRIME) % PRIME, y * pow(z, -1, PRIME) % PRIME) for x, y, z, _ in made})
    assert all(x * y % PRIME == z * t % PRIME for x, y, z, t in made)


PRIME = 2**255 - 19
TABLES: dict[bool, Any] = {}


def test_a_key_that_signs_often_is_judged_as_before() -> None:
    key = key_of("busy")
    public_key = bytes(key.verify_key)
    verify._public.cache_clear()
    for at in range(2 * verify._OFTEN):
        signature = key.sign(b"%d" % at).signature
        raised = (int.from_bytes(signature[32:], "little") + 2**252 + 27742317777372353535851937790883648493) % 2**256

        assert verify.verify_ed25519(public_key, b"%d" % at, signature)
        assert not verify.verify_ed25519(public_key, b"x%d" % at, signature)
        assert not verify.verify_ed25519(public_key, b"%d" % at, signature[:32] + raised.to_bytes(32, "little"))
        assert not verify.verify_ed25519(public_key, b"%d" % at, bytes([signature[0] ^ 1]) + signature[1:])


def pythons() -> list[str]:
    """The one that runs this test, and the oldest and the newest from 3.9 on that are installed here."""
    homes = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    paths = [shutil.which(f"python3.{minor}") for minor in range(9, 16)]
    found = {}
    for path in [*paths, *(str(path) for path in homes.glob("3.*/bin/python"))]:
        command = [str(path), "-c", "import sys; print(sys.version_info[1])"]
        asked = path and subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        if path and asked and int(asked) >= 9:
            found[int(asked)] = path
    return list(dict.fromkeys([sys.executable, *[found[minor] for minor in sorted(found)][:: max(1, len(found) - 1)]]))


@pytest.mark.parametrize("python", pythons())
def test_the_file_alone_checks_a_votes_log_with_other_processes(tmp_path: Path, python: str) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(str(verify.__file__), alone / "verify.py")
    log = long_log(verify._Signatures.ENOUGH)
    log.seal().directory(tmp_path / "bundle")
    receipts(tmp_path / "kept", log.receipt(9, proof=log.proof(9)))
    (tmp_path / "believed").write_text(f"{LOG}\ngenesis {leaf_hash(log.lines[0]).hex()}\n")
    settled().seal().directory(tmp_path / "small")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [python, "-I", "-W", "error", "verify.py", *arguments]
        environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
        return subprocess.run(command, cwd=alone, env=environment, capture_output=True, text=True, check=False)

    good = run(str(tmp_path / "bundle"), "--trust", "../believed", "--receipts", "../kept", "--jobs", "2")
    told = run(str(tmp_path / "small"), "--verdicts", "--json")
    plain = run(str(tmp_path / "small"), "--verdicts", "--no-signatures")

    assert (0, "") == (good.returncode, good.stderr)
    assert "ok  2057 signatures of events" in good.stdout
    assert [(fact(1), "verified")] == [(row["fact"], row["verdict"]) for row in json.loads(told.stdout)["verdicts"]]
    assert 'verdict {"fact": ' in plain.stdout
    assert 'agent {"agent": "a5", "level": "standard", ' in plain.stdout


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_bundle_makes_the_verifier_crash_and_no_changed_one_is_valid(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "fuzzed"
    shutil.rmtree(path, ignore_errors=True)
    part = FUZZED.directory(path) / "leaves.jsonl"
    whole = part.read_bytes()
    at = data.draw(st.integers(0, len(whole)))
    changed = whole[:at] + data.draw(st.binary(max_size=4)) + whole[at + data.draw(st.integers(0, 4)) :]
    part.write_bytes(changed)

    report = verify.verify_path(path, signatures=data.draw(st.booleans()), verdicts=True)

    assert (changed == whole) == (report.exit_code == 0)
    assert report.exit_code != 3 or report.error
    json.dumps(vars(report))
    assert str(report).isascii()


FUZZED = large()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_mix_of_leaves_makes_the_rules_crash(tmp_path: Path, data: st.DataObject) -> None:
    """Leaves in any order, several times or not at all, relinked and resealed: whatever was signed may turn up."""
    order = data.draw(st.lists(st.sampled_from(range(1, len(FUZZED.rows))), max_size=40))
    rows = json.loads(json.dumps([FUZZED.rows[0], *(FUZZED.rows[at] for at in order)]))
    for idx, row in enumerate(rows):
        row["idx"] = idx
    log = VotesLog(rows=rows).link().seal()

    report = check(tmp_path, log, signatures=False, verdicts=True)

    assert report.error == "" or "stopped after" in report.error
    assert (len(set(order)) == len(order)) or "EVENT_TWICE" in codes(report)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_proof_receipt_or_trust_file_makes_the_verifier_crash(tmp_path: Path, data: st.DataObject) -> None:
    log = small()
    files = [
        proof_file(tmp_path / "proof.json", log, 9),
        *receipts(tmp_path / "kept", log.receipt(9, promise=log.promise(9), proof=log.proof(9))),
        believed(tmp_path / "t", LOG, W1, W2, "group g any w1 w2", "quorum none", "threshold 1"),
    ]
    target = data.draw(st.sampled_from(files))
    raw = bytearray(target.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    target.write_bytes(bytes(raw))

    shutil.rmtree(tmp_path / "bundle", ignore_errors=True)
    reports = [
        verify.verify_path(files[0], files[2]),
        verify.verify_path(replaced(9).directory(tmp_path / "bundle"), files[2], receipts=[files[1]]),
    ]

    assert all(report.exit_code in {0, 1, 3} for report in reports)
    assert all(str(report).isascii() for report in reports)
