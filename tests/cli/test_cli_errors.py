"""Exit codes and how errors are told."""

import sys
from pathlib import Path
from typing import Any

import pytest
from argv import drive, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cortex import errors
from cortex.cli import exits
from cortex.cli.command import Globals
from cortex.cli.main import main
from cortex.cli.run import run_operation
from cortex.errors import CortexError
from cortex.ops.catalog import OPERATIONS
from cortex.ops.context import Context
from cortex.ops.ledger import LedgerHistory
from cortex.ops.registry import Request, operation


def tree(kind: type[CortexError]) -> list[type[CortexError]]:
    return [kind, *(found for below in kind.__subclasses__() for found in tree(below))]


@pytest.mark.parametrize("kind", tree(CortexError), ids=lambda kind: kind.__name__)
def test_every_error_has_an_exit_code(kind: type[CortexError]) -> None:
    assert exits.of_error(kind("x")).exit_code in (1, 2, 3)


def test_a_finer_kind_has_the_code_of_the_kind_it_refines() -> None:
    assert (1, "revision_conflict") == (
        exits.of_error(errors.RevisionConflict("x")).exit_code,
        exits.of_error(errors.RevisionConflict("x")).kind,
    )


@pytest.mark.parametrize(
    ("argv", "code", "kind"),
    [
        (["show", "ffffffff"], 1, "not_found"),
        (["project", "rename", "nowhere", "new"], 1, "not_found"),
        (["store", ""], 2, "invalid"),
        (["store"], 2, "invalid"),
        (["store", "x", "--type", "t" * 100], 2, "too_large"),
        (["list", "--limit", "0"], 2, "invalid"),
        (["list", "--limit"], 2, "invalid"),
        (["nosuch"], 2, "invalid"),
        (["project"], 2, "invalid"),
        (["--nosuch"], 2, "invalid"),
        (["list", "--all-projects=x"], 2, "invalid"),
        (["list", "--db", ""], 2, "invalid"),
        (["list", "--db", "/dev/null/x.db"], 3, "unavailable"),
        (["completion", "tcsh"], 2, "invalid"),
        (["help", "nosuch"], 2, "invalid"),
    ],
)
def test_errors_have_one_code_and_kind_for_people_and_for_scripts(argv: list[str], code: int, kind: str) -> None:
    drive(["init"])

    told = drive(argv)
    answer = run([*argv, "--json"] if argv != ["list", "--limit"] else ["--json", *argv])

    assert (code, b"") == told[:2]
    assert told[2].startswith(f"error ({kind}): ".encode())
    assert (code, kind, "") == (answer.exit_code, answer.error_kind, answer.stderr)


def test_a_refused_revision_is_a_conflict() -> None:
    stored = run(["store", "x", "--json"]).body

    answer = run(["revise", stored["id"], "--content", "y", "--if-revision", "7", "--json"])

    assert (1, "revision_conflict") == (answer.exit_code, answer.error_kind)


def test_a_value_too_many_is_told_as_it_was_given() -> None:
    assert b"error (invalid): got unexpected extra argument (-1)" == drive(["list", "-1"])[2].splitlines()[0]


def test_a_wrong_request_makes_no_file(home: Path) -> None:
    drive(["store", ""])

    assert not (home / ".cortex").exists()


READING = [["list"], ["search", "x"], ["status"], ["doctor"], ["show", "ffffffff"], ["ledger", "verify"], ["projects"]]


@pytest.mark.parametrize("argv", READING, ids=lambda argv: argv[0])
def test_reading_a_file_that_is_not_there_says_so_and_makes_none(argv: list[str], home: Path) -> None:
    place = home / "mistyped.db"

    answer = run([*argv, "--db", str(place), "--json"])

    expected = {"kind": "unavailable", "message": f"there is no file {place}", "hint": "`cortex init` makes one"}
    assert (3, {"error": expected}) == (answer.exit_code, answer.body)
    assert [home / "work"] == list(home.iterdir())


@pytest.mark.parametrize("argv", [["init"], ["store", "x"], ["ledger", "init"]], ids=lambda argv: argv[0])
def test_writing_makes_the_file(argv: list[str], home: Path) -> None:
    place = home / "new.db"

    answer = run([*argv, "--db", str(place), "--json"])

    assert (0, True) == (answer.exit_code, place.exists())


class Nothing(Request[LedgerHistory], frozen=True, kw_only=True):
    """A request that no database has to answer."""


@operation("test.nothing", effect="read", order="local", method="nothing", file="unused")
async def nothing(ctx: Context, request: Nothing) -> LedgerHistory:
    """Say who asks, and where."""
    return LedgerHistory(fact=f"{ctx.caller.face} {ctx.caller.project}", entries=[])


def test_an_operation_that_uses_no_file_runs_without_one(
    home: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    code = run_operation(nothing, {}, Globals(json=True))

    assert (0, b'{"fact":"cli here","entries":[]}\n') == (code, capsysbinary.readouterr().out)
    assert [home / "work"] == list(home.iterdir())


def test_what_was_exported_is_checked_without_a_database(home: Path) -> None:
    for argv in (["store", "x"], ["ledger", "export", "ledger.zip"]):
        run([*argv, "--db", "memory.db", "--json"])

    answer = run(["ledger", "verify-external", "ledger.zip", "--db", "nowhere.db", "--json"])

    assert (None, "valid") == (answer.error_kind, (answer.body or {}).get("status"))
    assert not (home / "work" / "nowhere.db").exists()


@pytest.mark.parametrize("place", ["http://node/memory.db", "https://a:secret@node", "file:///x.db", "file:x.db"])
def test_a_database_that_is_a_url_is_refused_and_makes_nothing(place: str, home: Path) -> None:
    answer = run(["store", "x", "--db", place, "--json"])

    assert (2, "invalid") == (answer.exit_code, answer.error_kind)
    assert "flag --db: db: there is no client for URLs yet" in answer.body["error"]["message"]
    assert "secret" not in str(answer.body)
    assert [home / "work"] == list(home.rglob("*"))


def test_an_option_of_a_command_that_is_a_setting_is_named_as_it_was_typed() -> None:
    _, _, err = drive(["mcp", "start", "--tools", "foo"])

    assert err.startswith(b"error (invalid): flag --tools: mcp_tools is 'foo'")


def test_an_option_that_is_like_no_other_is_answered_with_none() -> None:
    _, _, err = drive(["search", "x", "--zzz", "text"])

    assert b"no such option: --zzz" in err
    assert b"did you mean" not in err


def test_unknown_variables_are_a_warning_on_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    drive(["init"])
    monkeypatch.setenv("CORTEX_EDGE_SERVICE_HOST", "x")

    code, out, err = drive(["projects", "--json"])

    assert (0, b"{") == (code, out[:1])
    assert 1 == err.count(b"\n")
    assert err.startswith(b"warning: ")


def test_a_fault_of_ours_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_given: Any, **_named: Any) -> None:
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr("cortex.cli.run.open_app", fails)

    code, out, err = drive(["list"])

    assert (3, b"") == (code, out)
    assert b"error (internal): ZeroDivisionError: on purpose\n" == err.splitlines(keepends=True)[-2]
    assert (b"Traceback" in err) == sys.flags.dev_mode


class Checked:
    def __init__(self, **found: Any) -> None:
        self.__dict__.update(found)


@pytest.mark.parametrize(
    ("found", "code"),
    [
        ({}, 0),
        ({"ok": True}, 0),
        ({"ok": False}, 1),
        ({"valid": False}, 1),
        ({"valid": None}, 0),
        ({"exit_code": 3, "ok": False}, 3),
        ({"exit_code": 0, "valid": False}, 0),
    ],
)
def test_what_was_found_false_is_1_unless_the_result_says_otherwise(found: dict[str, Any], code: int) -> None:
    assert code == exits.of_result(Checked(**found))


# Words that only answer or are refused: what writes, copies or serves stays out, since junk would name its files.
_HARMLESS = [
    *("list", "search", "show", "history", "projects", "recall", "project", "rename", "help", "completion", "bash"),
    *("store", "store-batch", "revise", "retract", "forget", "config", "status", "nosuch"),
]
_OPTIONS = [
    *("--json", "--project", "--help", "-h", "--", "-", "--tag", "--limit", "--meta", "--version", "--type=x"),
    *("--all-projects", "--context", "--no-explain"),
]
_junk = st.lists(st.sampled_from(_HARMLESS) | st.sampled_from(_OPTIONS) | st.text(max_size=8), max_size=6)


@given(_junk, st.binary(max_size=20))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_junk_ends_in_a_fault(argv: list[str], stdin: bytes) -> None:
    code, out, err = drive(argv, stdin)

    assert code in (0, 1, 2, 3), argv
    assert b"internal" not in out + err, (argv, out, err)
    assert b"Traceback" not in out + err


def test_every_operation_says_in_its_own_words_when_its_line_is_wrong() -> None:
    for found in OPERATIONS:
        for line in found.cli:
            words = [word for word in line.usage.split() if word.islower()]

            code, _, err = drive([*words, "--no-such-option-at-all"])

            assert 2 == code
            assert f"see `cortex {' '.join(words)} --help`".encode() in err


def test_no_arguments_print_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main([])
    assert "Memory:" in capsys.readouterr().out
