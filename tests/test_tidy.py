"""What linters cannot hold: lengths, names, and that the documents speak of everything there is."""

import ast
import os
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import msgspec
import pytest

from cortex import errors, settings
from cortex.ledger.findings import CODES
from cortex.ops.catalog import COMMANDS, OPERATIONS

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))
DOCS = "\n".join(path.read_text() for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])

FILE_LINES_MAX = 400
# One file that an outsider copies and runs: it holds signatures, both logs, the rules and receipts and imports nothing.
FILE_LINES_MAX_OF = {
    "src/cortex/verify.py": 1_400,
    # Made by a script: nobody writes a line of it.
    "src/cortex/methods.py": 10_000,
}
FUNCTION_LINES_MAX = 60
FORBIDDEN_MODULES = {"utils", "helpers", "common", "core", "engine", "manager", "misc"}


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_short_and_opens_with_a_sentence(path: Path) -> None:
    text = path.read_text()

    assert text.count("\n") <= FILE_LINES_MAX_OF.get(str(path.relative_to(ROOT)), FILE_LINES_MAX)
    assert not text.strip() or ast.get_docstring(parsed(path))
    assert path.stem not in FORBIDDEN_MODULES


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_function_is_short(path: Path) -> None:
    functions = [n for n in ast.walk(parsed(path)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]

    too_long = [f.name for f in functions if (f.end_lineno or 0) - f.lineno + 1 > FUNCTION_LINES_MAX]

    assert [] == too_long


def test_a_public_class_name_stands_for_one_thing() -> None:
    seen: dict[str, list[str]] = {}
    for path in SOURCES:
        for node in parsed(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                seen.setdefault(node.name, []).append(str(path.relative_to(ROOT)))

    assert {} == {name: places for name, places in seen.items() if len(places) > 1}


def test_no_class_is_an_engine_a_manager_or_a_mixin() -> None:
    names = [node.name for path in SOURCES for node in ast.walk(parsed(path)) if isinstance(node, ast.ClassDef)]

    assert [] == [name for name in names if re.search(r"(Engine|Manager|Mixin|V\d+)$", name)]


def test_no_request_takes_a_bare_datetime() -> None:
    for operation in OPERATIONS:
        for field in msgspec.structs.fields(operation.request):
            assert datetime is not field.type, f"{operation.name}.{field.name}: use Instant"


def test_every_response_is_one_struct_and_every_field_of_a_request_is_described() -> None:
    for operation in OPERATIONS:
        assert issubclass(operation.response, msgspec.Struct)
        assert operation.about, operation.name
        for field in msgspec.structs.fields(operation.request):
            assert "description" in repr(field.type), f"{operation.name}.{field.name}"


def test_every_command_says_its_order_and_applies() -> None:
    for command in COMMANDS:
        assert command.order in {"local", "gossip", "consensus", "home"}
        assert "apply" in vars(command)


def test_the_documents_name_every_operation() -> None:
    for operation in OPERATIONS:
        for line in operation.cli:
            words = " ".join(word for word in line.usage.split() if word.islower())
            assert f"cortex {words}" in DOCS, f"the docs do not mention `cortex {words}`"


def test_the_documents_name_every_setting_error_kind_and_finding() -> None:
    for setting in settings.SETTINGS:
        assert setting.environment in DOCS, setting.environment
    for kind in errors.BY_KIND:
        assert f"`{kind}`" in DOCS, kind
    for code in CODES:
        assert f"`{code}`" in DOCS, code


def test_the_readme_begins_with_the_two_commands() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)

    assert ["pip install . && cortex quickstart\n", "make test\n"] == blocks[:2]


def test_links_inside_the_documents_lead_somewhere() -> None:
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_the_python_examples_of_the_documents_run(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), re.DOTALL)
    environment = {**os.environ, "HOME": str(tmp_path), "CORTEX_HOME": str(tmp_path)}

    for block in blocks:
        done = subprocess.run(
            [sys.executable, "-c", block], cwd=tmp_path, env=environment, capture_output=True, check=False
        )
        assert b"" == done.stderr, block

    assert len(blocks) >= 3


def test_no_document_has_an_unfilled_place() -> None:
    assert "@@" not in DOCS
