"""Votes, agents, the admin key and the rules as people read them."""

import hashlib
import hmac
import json
import re
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey
from tests.cli import argv

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def said(*line: str) -> list[str]:
    """The lines that a command prints."""
    code, out, err = argv.drive([*line])
    assert (0, b"") == (code, err), err.decode()
    return out.decode().splitlines()


def told(*line: str) -> Any:
    """The answer of a command as data."""
    return argv.run(["--json", *line]).body


def error(*line: str) -> tuple[int, str]:
    code, _, err = argv.drive([*line])
    return code, err.decode()


@pytest.fixture(autouse=True)
def agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORTEX_AGENT", "tester")


@pytest.fixture
def fact() -> str:
    return str(told("store", "Invoices leave on the 3rd")["id"])


def test_a_vote_says_what_it_weighs_where_the_fact_stands_and_what_is_missing(fact: str) -> None:
    said("agent", "add", "bob")

    lines = said("vote", fact, "+1", "--agent", "bob")

    assert [
        f"voted +1  {fact[-8:]}  by bob  weight 1.099 (contributes +1.099)",
        "score 1.50  verdict none  sum +1.099",
        "still missing: 2 more vouched agents of positive weight (it takes 3)",
    ] == [lines[0], lines[1], lines[2].partition(";")[0]]
    assert re.fullmatch(r"entry 2  [0-9a-f]{16}…", lines[3])
    assert 4 == len(lines)


def test_a_weight_of_zero_has_its_reason_and_custody_is_shown(fact: str) -> None:
    lines = said("vote", fact, "-1")

    assert re.match(r"voted -1  [0-9a-f]{8}  by tester \(custody server\)  weight 0: nobody vouches", lines[0])
    assert "note: an author earns no reputation by voting on its own fact" == lines[-1]
    assert any("weight 0: nobody vouches" in line and "custody server" in line for line in said("votes", fact))
    assert [True] == ["custody server" in line for line in said("agent", "list")]


def test_a_ballot_that_was_signed_elsewhere_is_handed_over_as_the_documents_say(fact: str, tmp_path: Path) -> None:
    key, salt, reason = SigningKey(bytes(range(32))), bytes(16), "read in the contract"
    (tmp_path / "ann.key").write_text(bytes(range(32)).hex())
    (tmp_path / "ann.key").chmod(0o600)
    said("agent", "add", "ann", "--key", str(tmp_path / "ann.key"))
    shown, agent = told("show", fact), told("agent", "show", "ann")
    ballot = {
        "agent": "ann", "at": agent["at"], "author": shown["actor"], "fact": fact,
        "fact_digest": shown["entry"]["digest"], "id": "00000000-0000-7000-8000-00000000000b",
        "key": key.verify_key.encode().hex(), "log": agent["log"],
        "reason_digest": hmac.new(salt, b"cortex-reason/v1\n" + reason.encode(), hashlib.sha256).hexdigest(),
        "v": 1, "vote": 1,
    }  # fmt: skip
    message = b"cortex-ballot/v1\n" + json.dumps(ballot, sort_keys=True, separators=(",", ":")).encode()
    (tmp_path / "ballot.json").write_text(json.dumps(ballot))
    signed = ("--ballot", f"@{tmp_path / 'ballot.json'}", "--sig", key.sign(message).signature.hex())

    lines = said("vote", fact, "+1", *signed, "--salt", salt.hex(), "--reason", reason)

    assert lines[0].startswith(f"voted +1  {fact[-8:]}  by ann  weight 1.099")
    assert any(reason in line for line in said("votes", fact))


def test_a_withdrawn_vote_counts_no_more(fact: str) -> None:
    said("agent", "add", "bob")
    said("vote", fact, "+1", "--agent", "bob")

    lines = said("vote", fact, "0", "--agent", "bob")
    votes = said("votes", fact)

    assert f"withdrew its vote  {fact[-8:]}  by bob  counts no more" == lines[0]
    assert "   0  bob  standard  counts no more  (entry 3, 0s)" == re.sub(r"\d+s", "0s", votes[-1])


def test_a_vote_given_again_says_so(fact: str) -> None:
    name = "00000000-0000-7000-8000-00000000000a"
    said("vote", fact, "1", "--vote-id", name)

    assert said("vote", fact, "1", "--vote-id", name)[0].startswith("counted before: voted +1")


def test_the_votes_on_a_fact_are_listed_with_their_reasons(fact: str) -> None:
    said("agent", "add", "bob")
    said("agent", "add", "cassandra", "--trust", "trusted")
    said("vote", fact, "1", "--agent", "bob", "--reason", "I saw\n\n  the mail")
    said("vote", fact, "-1", "--agent", "cassandra")

    lines = [re.sub(r"\d+s\)", "0s)", line) for line in said("votes", fact)]

    assert f"{fact[-8:]}  revision 1" == lines[0]
    assert "score 0.50  verdict none  sum -1.099" == lines[1]
    assert [
        "  +1  bob        standard  weight 1.099 (contributes +1.099)  (entry 3, 0s)",
        "      I saw the mail",
        "  -1  cassandra  trusted   weight 2.197 (contributes -2.197)  (entry 4, 0s)",
    ] == lines[3:]


def test_a_fact_without_votes_and_one_with_earlier_ones_say_so(fact: str) -> None:
    assert "  nobody has voted on it" == said("votes", fact)[-1]
    said("vote", fact, "1")
    said("revise", fact, "Invoices leave on the 4th")

    lines = said("votes", fact)

    assert ["  nobody has voted on this revision", "votes on earlier revisions, which do not count: 1"] == lines[-2:]


def test_more_votes_than_fit_are_counted(fact: str) -> None:
    for name in ("ann", "bob", "cem"):
        said("vote", fact, "1", "--agent", name)

    assert "and 2 more: raise --limit" == said("votes", fact, "--limit", "1")[-1]


def test_votes_of_a_batch_take_two_lines_each(fact: str) -> None:
    said("agent", "add", "bob")

    lines = said("vote-batch", f'[{{"id": "{fact}", "vote": 1, "agent": "bob"}}]')

    assert f"voted +1  {fact[-8:]}  by bob  weight 1.099 (contributes +1.099)" == lines[0]
    assert re.fullmatch(r"  score 1.50  verdict none  sum \+1.099  entry 2  [0-9a-f]{16}…", lines[1])


def test_what_a_person_settles_is_marked(fact: str) -> None:
    said("vote", fact, "1")

    lines = said("resolve", fact, "false")
    opened = said("resolve", fact, "open")

    assert f"resolved as false  {fact[-8:]}  agents judged by it: 0" == lines[0]
    assert "score 0.00  verdict disputed (resolved)" == lines[1].partition("  sum")[0]
    assert opened[0].startswith("open to the votes again")


def test_an_agent_is_registered_listed_and_shown(home: Path) -> None:
    assert ["no agents"] == (said("store", "x") and said("agent", "list"))

    added = said("agent", "add", "bob", "--projects", "bill*", "--projects", "mail")
    said("agent", "add", "ann", "--trust", "trusted")
    listed = said("agent", "list")
    shown = said("agent", "show", "bob")

    assert "registered  bob  standard" == added[0]
    assert re.fullmatch(r"key [0-9a-f]{64}  for bill\*, mail", added[1])
    assert added[2].startswith(f"private key in {home}")
    assert [
        "ann  trusted    reputation 0.900  weight 2.197  votes: 0  keys: 1",
        "bob  standard   reputation 0.750  weight 1.099  votes: 0  keys: 1",
    ] == listed
    assert ["more: --cursor ann"] == said("agent", "list", "--limit", "1")[1:]
    assert "bob  standard  reputation 0.750  weight 1.099" == shown[0]
    assert re.fullmatch(r"  [0-9a-f]{64}  from entry 1 on  custody agent  for bill\*, mail", shown[-1])


def test_keys_and_levels_are_changed(tmp_path: Path) -> None:
    said("agent", "add", "bob")

    rotated = said("agent", "rotate", "bob")
    device = said("agent", "key", "bob", "--out", str(tmp_path / "device.key"))
    ended = said("agent", "revoke", "bob", "--public", device[1].split()[1][:8])
    trusted = said("agent", "trust", "bob", "trusted")
    revoked = said("agent", "revoke", "bob")
    shown = said("agent", "show", "bob")

    assert "key rotated  bob  standard" == rotated[0]
    assert [f"private key in {tmp_path}/device.key"] == device[2:3]
    assert ("key revoked  bob  standard", device[1]) == (ended[0], ended[1])
    assert ("trust set  bob  trusted", "revoked  bob") == (trusted[0], revoked[0])
    assert ["(rotated)", "(revoked)", "(revoked)"] == [line.split()[6] for line in shown[-3:]]


def test_an_event_signed_elsewhere_is_taken_from_a_file_or_standard_input(tmp_path: Path) -> None:
    said("agent", "add", "bob")
    (tmp_path / "event.json").write_text("{}")

    from_file = argv.run(["--json", "agent", "submit", "agent", f"@{tmp_path}/event.json", f"--sig={'0' * 128}"])
    from_input = argv.run(["--json", "agent", "submit", "agent", "-", f"--sig={'0' * 128}"], b"{}")

    assert ["invalid", "invalid"] == [from_file.error_kind, from_input.error_kind]
    assert "not an event of kind agent" in from_input.body["error"]["message"]


def test_the_admin_key_is_shown_rotated_and_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    said("agent", "add", "bob")

    shown = said("admin", "show")
    rotated = said("admin", "rotate")
    refused = error("admin", "lock")

    assert shown[2].endswith(".key (plain, the one in force)")
    assert re.fullmatch(r"admin key [0-9a-f]{64}", rotated[0])
    assert shown[1].split()[2] != rotated[0].split()[2]
    assert (1, True) == (refused[0], "set CORTEX_ADMIN_PASSPHRASE" in refused[1])


def test_a_file_that_holds_another_key_is_told() -> None:
    said("agent", "add", "bob")
    path = Path(told("admin", "show")["path"])
    old = path.read_bytes()
    said("admin", "rotate")
    path.write_bytes(old)

    lines = said("admin", "show")

    assert lines[2].endswith("(plain, NOT the one in force)")
    assert re.fullmatch(r"the file's key is [0-9a-f]{64}", lines[3])


def test_the_rules_are_shown_and_set() -> None:
    said("agent", "add", "bob")

    before = said("vote-ledger", "policy")
    after = said("vote-ledger", "policy", "linear", "--set", "quorum=4", "--set", "prior.standard.for=5")

    assert "quorum           3" in before
    assert "prior.standard   3 for, 1 against" in before
    assert {"quorum           4", "rule             linear", "prior.standard   5 for, 1 against"} <= set(after)
    assert re.fullmatch(r"entry 2  [0-9a-f]{16}…", after[-2])
    assert "note: the linear rule counts every registered agent alike, untrusted ones too" == after[-1]
    assert (2, True) == ((wrong := error("vote-ledger", "policy", "--set", "quorums=4"))[0], "no parameter" in wrong[1])


def test_a_clock_that_is_right_has_nothing_to_confirm() -> None:
    said("agent", "add", "bob")

    code, err = error("vote-ledger", "confirm-clock")

    assert (1, True) == (code, "nothing to confirm" in err)


def test_under_the_linear_rule_the_sum_of_weights_is_not_shown(fact: str) -> None:
    said("vote-ledger", "policy", "linear")

    lines = said("vote", fact, "+1")

    assert "score 1.10  verdict none" == lines[1]


def test_the_data_of_an_answer_is_whole(fact: str) -> None:
    found = told("vote", fact, "1")

    assert _ID.fullmatch(found["vote_id"])
    assert ("server", "untrusted", 2) == (found["custody"], found["level"], found["entry"])


def test_the_first_vote_says_where_the_admin_key_was_made_and_that_its_agent_is_new(fact: str, home: Path) -> None:
    first = [line for line in said("vote", fact, "1") if line.startswith("note: ")]
    again = said("vote", fact, "-1")

    key = Path(told("admin", "show")["path"])
    assert key.exists()
    assert f"its admin key, which gives trust and resolves, is {key}: keep a copy of it elsewhere" in first[0]
    assert "agent tester was registered by this vote, untrusted (custody server" in first[1]
    assert first[1].endswith("`cortex agent trust tester standard` vouches for it")
    assert not any("registered by this vote" in line or "admin key" in line for line in again)


def test_the_first_agent_says_where_the_admin_key_was_made() -> None:
    first, second = said("agent", "add", "bob"), said("agent", "add", "ann")

    assert "keep a copy of it elsewhere" in first[-1]
    assert not any("admin key" in line for line in second)


def test_a_first_vote_that_is_refused_does_not_hide_where_the_admin_key_is(fact: str) -> None:
    _, err = error("vote", "00000000", "1")

    assert "keep a copy of it elsewhere" in err
    assert not any("keep a copy of it elsewhere" in line for line in said("vote", fact, "1"))


def test_where_the_log_was_begun_before_no_answer_says_that_it_begins(fact: str) -> None:
    said("init")

    lines = said("vote", fact, "1")

    assert not any("begins here" in line for line in lines)


def test_the_levels_of_votes_stand_below_each_other(fact: str) -> None:
    said("agent", "add", "bob")
    said("agent", "add", "cem", "--trust", "trusted")
    for name in ("tester", "bob", "cem"):
        said("vote", fact, "+1", "--agent", name)

    lines = [line for line in said("votes", fact) if line.startswith("  +1  ")]

    assert ["tester  untrusted  weight", "bob     standard   weight", "cem     trusted    weight"] == [
        line[6:31] for line in lines
    ]


def test_an_agent_that_is_new_by_a_slip_of_the_hand_is_told_of(fact: str) -> None:
    said("agent", "add", "reviewer")

    slip = said("vote", fact, "1", "--agent", "reviewwer")
    numbered = [said("vote", fact, "1", "--agent", f"worker-{number}") for number in (1, 2)]

    assert any("if agent reviewer was meant, withdraw this vote with 0 and vote as reviewer" in line for line in slip)
    assert not any("was meant" in line for lines in numbered for line in lines)


def test_a_persons_word_is_shown_with_its_reason_and_that_its_author_is_not_known(fact: str) -> None:
    said("vote", fact, "1")
    said("resolve", fact, "false", "--reason", "the contract\n  says the 5th")

    votes, shown = said("votes", fact), said("show", fact)
    said("resolve", fact, "open")
    opened = said("votes", fact)

    for lines in (votes, shown):
        at = next(number for number, line in enumerate(lines) if line.startswith("resolved as false by the admin key "))
        assert re.search(r" [0-9a-f]{16}…, whoever held it  \(entry 3, \d+s\)$", lines[at])
        assert "    the contract says the 5th" == lines[at + 1]
    assert any(line.startswith("open to the votes again by the admin key ") for line in opened)


def test_votes_that_were_withdrawn_outdated_or_forgotten_are_not_counted_for_an_agent(fact: str) -> None:
    others = [str(told("store", f"Fact number {number}")["id"]) for number in range(3)]
    for each in (fact, *others):
        said("vote", each, "1")
    before = said("agent", "list")
    said("vote", fact, "0")
    said("revise", others[0], "Another text")
    said("forget", others[1])

    assert "  votes: 4  " in before[0]
    assert "  votes: 1  " in said("agent", "list")[0]
    assert 1 == told("agent", "show", "tester")["votes"]


def test_a_parameter_out_of_its_range_is_named_with_the_range() -> None:
    said("agent", "add", "bob")

    single = error("vote-ledger", "policy", "--set", "quorum=0")
    prior = error("vote-ledger", "policy", "--set", "prior.standard.for=10001")

    assert (2, "error (invalid): quorum is 0\n  give 1 to 1000\n") == single
    assert (2, "error (invalid): prior.standard.for is 10001\n  give 1 to 10000\n") == prior


def test_what_is_missing_on_the_line_is_named_as_it_is_written() -> None:
    code, err = error("agent", "key", "bob")

    assert (2, "error (invalid): --out is missing\n  see `cortex agent key --help`\n") == (code, err)


def test_the_status_tells_of_the_votes_log_and_of_both_verifications(fact: str) -> None:
    before = said("status")
    said("vote", fact, "1")
    said("vote-ledger", "verify")

    after = said("status")

    assert "votes log           none yet: the first vote begins it" in before
    assert "votes log verified  never: `cortex vote-ledger verify`" in before
    assert any(re.match(r"holds +3 entries, 1 vote, 1 agent, the last of ", line) for line in after)
    assert "takes votes         yes" in after
    assert "ledger verified     never: `cortex ledger verify`" in after
    assert any(re.match(r"votes log verified  20\S+Z \(\d+s\), valid$", line) for line in after)
