"""Functions of Python's standard library, each to be found by the first sentence of its docstring.

They are read from the sources of the interpreter that runs, not imported; what a version of Python changes changes the
set, so scores are compared within one version only.
"""

import ast
import importlib.util
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from cortex.bench.questions import Collection, Document, Intake, Question
from cortex.errors import Unavailable

NAME = "docstrings"
FORM = "functions"

MODULES = (
    "argparse",
    "bisect",
    "calendar",
    "cmd",
    "codeop",
    "collections",
    "configparser",
    "contextlib",
    "csv",
    "difflib",
    "fnmatch",
    "fractions",
    "functools",
    "getpass",
    "glob",
    "gzip",
    "heapq",
    "inspect",
    "ipaddress",
    "json.decoder",
    "linecache",
    "logging",
    "mimetypes",
    "os",
    "posixpath",
    "pprint",
    "random",
    "sched",
    "shlex",
    "shutil",
    "socket",
    "socketserver",
    "statistics",
    "string",
    "subprocess",
    "tempfile",
    "textwrap",
    "threading",
    "timeit",
    "traceback",
    "types",
    "urllib.parse",
    "uuid",
    "warnings",
    "weakref",
    "zipfile",
)
_SENTENCE_WORDS_MIN = 4
_QUERY_CHARS = 300
_LINES = (3, 60)

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def read() -> Collection:
    """The set for the interpreter that runs. Raises Unavailable where it comes without its sources."""
    intake = Intake(f"{NAME}, Python {sys.version_info[0]}.{sys.version_info[1]}")
    asked: list[tuple[str, str]] = []
    for module in MODULES:
        for name, node, lines in _functions(module):
            if ast.get_docstring(node) is None:
                continue
            intake.add(name, Document(name, f"{name}\n{_without_docstring(node, lines)}"))
            sentence = _sentence(ast.get_docstring(node) or "")
            if len(sentence.split()) >= _SENTENCE_WORDS_MIN:
                asked.append((name, sentence))
    if not asked:
        raise Unavailable("the standard library's sources are not here", "use an interpreter that has them")
    repeated = Counter(sentence for _, sentence in asked)
    for name, sentence in asked:
        # What several functions say of themselves asks for none of them.
        if repeated[sentence] == 1:
            intake.ask(name, Question(name, sentence, {name: 1.0}))
    return intake.collection(FORM)


def _functions(module: str) -> Iterator[tuple[str, _Function, list[str]]]:
    """The functions and methods of a module with their names, and the module's lines."""
    source = _source(module)
    lines = source.splitlines()
    named: dict[str, _Function] = {}
    for prefix, body in _bodies(module, ast.parse(source)):
        for node in body:
            if isinstance(node, _Function) and _LINES[0] <= _length(node) <= _LINES[1]:
                # Of several by one name (a property and its setter), the first says what it is.
                named.setdefault(f"{prefix}.{node.name}", node)
    for name, node in named.items():
        yield name, node, lines


def _bodies(module: str, tree: ast.Module) -> Iterator[tuple[str, list[ast.stmt]]]:
    yield module, tree.body
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield f"{module}.{node.name}", node.body


def _source(module: str) -> str:
    found = importlib.util.find_spec(module)
    path = Path(found.origin) if found and found.origin else None
    if path is None or path.suffix != ".py" or not path.is_file():
        return ""
    return path.read_text(encoding="utf-8", errors="replace")


def _length(node: _Function) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _without_docstring(node: _Function, lines: list[str]) -> str:
    """The function's lines as they are written, less its docstring: nothing of the question stands in the answer."""
    first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
    kept = range(first, (node.end_lineno or first) + 1)
    told = node.body[0]
    gone = range(told.lineno, (told.end_lineno or 0) + 1)
    indent = len(lines[first - 1]) - len(lines[first - 1].lstrip())
    return "\n".join(lines[number - 1][indent:].rstrip() for number in kept if number not in gone)


def _sentence(text: str) -> str:
    """The first sentence, on one line."""
    paragraph = " ".join(text.strip().split("\n\n")[0].split())
    return paragraph.split(". ")[0][:_QUERY_CHARS]
