"""The commands there are: from the catalog, and the command line's own."""

import json
import re
from typing import Any

import pytest
from argv import drive, run

from cortex.cli.commands import OperationCommand
from cortex.cli.grammar import parse_usage
from cortex.cli.main import main
from cortex.cli.tree import GROUPS, lines, root
from cortex.ops.catalog import OPERATIONS
from cortex.settings import SETTINGS

LINES = [(operation, line) for operation in OPERATIONS for line in operation.cli]


@pytest.mark.parametrize(("operation", "line"), LINES, ids=[line.usage for _, line in LINES])
def test_the_help_of_a_command_names_every_field(operation: Any, line: Any) -> None:
    command = OperationCommand(operation, line)
    words = parse_usage(line.usage).words

    code, out, err = drive([*words, "--help"])

    text = out.decode()
    assert (0, b"") == (code, err)
    assert text.startswith(f"Usage: cortex {' '.join(words)}")
    for name in command.fields:
        places = [place.shown for place in command.usage.positionals if place.field == name]
        assert (places[0] if places else "--project" if name == "project" else command.option_of(name)) in text
    assert all(option in text for option in ("--db", "--project", "--json"))


@pytest.mark.parametrize("words", [" ".join(line.words) for line in lines()])
def test_help_and_the_option_say_the_same(words: str) -> None:
    assert drive([*words.split(), "--help"]) == drive(["help", *words.split()])


def test_the_help_is_in_groups_and_their_order() -> None:
    _, out, _ = drive(["--help"])

    headings = [line[:-1] for line in out.decode().splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings[:-2] == [group for group in GROUPS if group in headings]
    assert headings[-2:] == ["Options", "Options of every command"]


def test_what_a_newcomer_needs_comes_first_in_its_group() -> None:
    _, out, _ = drive(["--help"])

    sections = {part.partition(":\n")[0]: part.partition(":\n")[2].split() for part in out.decode().split("\n\n")}
    assert "quickstart" == sections["Memory"][0]
    assert ["mcp", "start"] == sections["Node"][:2]


def test_every_command_is_in_the_help() -> None:
    _, out, _ = drive(["--help"])

    text = re.sub(r"-\n +", "-", out.decode())
    assert all(word in text for line in lines() for word in line.words)


def test_global_options_stand_anywhere(tmp_path: Any) -> None:
    place = str(tmp_path / "other.db")
    run(["store", "there", "--db", place, "--json"])

    answers = [
        run(["--db", place, "--project", "here", "--json", "list"]).body,
        run(["--json", "list", "--db", place, "--project", "here"]).body,
        run(["list", "--db=" + place, "--json"]).body,
    ]

    assert ["there"] * 3 == [answer["facts"][0]["content"] for answer in answers]


def test_global_options_stand_between_the_words_of_a_group() -> None:
    run(["store", "x", "--project", "old", "--json"])

    assert "new" == run(["project", "--json", "rename", "old", "new"]).body["name"]


def test_the_project_option_is_the_setting_where_an_operation_has_no_project() -> None:
    drive(["init"])

    assert "elsewhere" == run(["projects", "--project", "elsewhere", "--json"]).body["current"]


def test_config_show_says_where_each_value_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORTEX_READERS", "7")

    body = run(["config", "show", "--json", "--db", "x.db"]).body
    _, out, _ = drive(["config", "show"])

    shown = {setting["name"]: setting for setting in body["settings"]}
    assert [setting.key for setting in SETTINGS] == [*shown]
    assert (7, "CORTEX_READERS") == (shown["readers"]["value"], shown["readers"]["origin"])
    assert "flag --db" == shown["db"]["origin"]
    assert len(SETTINGS) == len(out.splitlines())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str) -> None:
    code, out, err = drive(["completion", shell])

    assert (0, b"") == (code, err)
    assert b"_CORTEX_COMPLETE" in out


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("cortex proj", ["projects", "project"]),
        ("cortex project ren", ["rename"]),
        ("cortex store --ta", ["--tag"]),
        ("cortex store x --confidence in", ["inferred"]),
        ("cortex store x --meta - --valid-f", ["--valid-from"]),
        ("cortex completion z", ["zsh"]),
        ("cortex nosuch x", []),
    ],
)
def test_a_shell_completes_commands_options_and_choices(
    words: str, completed: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_CORTEX_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))

    main([])

    offered = [line.partition(",")[2] for line in capsys.readouterr().out.splitlines() if line]
    assert completed == offered


def test_a_mistyped_command_is_answered_with_the_nearest() -> None:
    assert b"error (invalid): there is no command 'storre'\n  did you mean `cortex store`?\n" == drive(["storre"])[2]
    assert b"did you mean `cortex project rename`?" in drive(["project", "renam"])[2]


def test_every_command_line_is_written_once() -> None:
    words = [line.words for line in lines()]

    assert len(words) == len(set(words))
    assert "cortex" == root().name


def test_export_streams_facts_and_says_beside_it_how_many() -> None:
    drive(["store", "one"])
    drive(["store", "two"])

    code, out, err = drive(["export"])

    assert 0 == code
    assert ["one", "two"] == [json.loads(line)["content"] for line in out.splitlines()]
    assert b"2" in err
