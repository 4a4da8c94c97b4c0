"""Writes src/cortex/methods.py, the friendly Python methods, from the catalog. A test checks that it is current.

After changing an operation run `make methods`; `--check` only compares.
"""

import ast
import inspect
import sys
import typing
from pathlib import Path

import msgspec

from cortex.ops.catalog import OPERATIONS
from cortex.ops.registry import Operation

TARGET = Path(__file__).parent.parent / "src" / "cortex" / "methods.py"

# What a method returns where that is a part of the response: method -> (field, type).
NATURAL = {
    "search": ("hits", "list[Hit]"),
    "list_facts": ("facts", "list[Fact]"),
    "projects": ("projects", "list[ProjectSummary]"),
    "entities": ("entities", "list[EntitySummary]"),
}

# Fields that may be given without their name, in order.
POSITIONAL = {"add_agent": ["name"], "show_agent": ["name"], "trust_agent": ["name", "level"],
              "revoke_agent": ["name"], "rotate_agent_key": ["name"], "add_agent_key": ["name"],
              "vote": ["id", "vote"], "vote_batch": ["votes"], "votes": ["id"], "resolve": ["id", "truth"],
              "store": ["content"], "store_batch": ["facts"], "import_files": ["paths"], "search": ["query"],
              "recall": ["query"],
              "show": ["id"], "history": ["id"], "revise": ["id"], "retract": ["id"], "forget": ["id"], "prove": ["id"],
              "rename_project": ["old", "new"], "relate": ["subject", "predicate", "object"], "graph": ["entity"],
              "path": ["start", "end"], "export_ledger": ["path"], "ledger_history": ["fact"],
              "export_votes": ["path"], "vote_history": ["fact"], "prove_vote": ["vote"],
              "verify_external": ["path"], "backup": ["target"], "export_facts": ["output"]}  # fmt: skip

HEAD = '''"""The friendly Python methods, one for each operation; made by `make methods` from the operations."""

from datetime import datetime
from typing import Any, Literal, TypeVar

from msgspec import Struct

{imports}

R = TypeVar("R", bound=Struct)

# Times are text in RFC 3339 or aware datetimes.
Time = str | datetime


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    """The arguments that were given: those left at None take the request's default."""
    return {{name: value for name, value in fields.items() if value is not None and name != "self"}}


class Methods:
    """Every operation as a method; `call` runs any request and returns the whole response."""

    async def call(self, request: Request[R]) -> R:
        """Run a request."""
        raise TypeError(f"{{type(self).__name__}} runs no requests")
'''


def main() -> int:
    made = render()
    if "--check" in sys.argv[1:]:
        current = TARGET.exists() and normal(TARGET.read_text()) == normal(made)
        print("methods.py is current" if current else "methods.py is old: run scripts/generate_methods.py")
        return 0 if current else 1
    TARGET.write_text(made)
    return 0


def normal(text: str) -> str:
    """A module as syntax with its imports in one order: the file is formatted after it is made."""
    tree = ast.parse(text)
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            node.names.sort(key=lambda alias: alias.name)
    tree.body.sort(key=lambda node: ast.dump(node) if isinstance(node, ast.ImportFrom) else "~")
    return ast.dump(tree)


def render() -> str:
    """The text of methods.py."""
    used: dict[str, set[str]] = {"cortex.ops.registry": {"Request"}}
    bodies = [method(operation, used) for operation in OPERATIONS]
    imports = "\n".join(f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(used.items()))
    text = HEAD.format(imports=imports) + "".join(bodies)
    ast.parse(text)
    return text


def method(operation: Operation, used: dict[str, set[str]]) -> str:
    """One method."""
    fields = {field.name: field for field in msgspec.structs.fields(operation.request)}
    order = POSITIONAL.get(operation.method, [])
    first = [parameter(operation, fields[name], used) for name in order]
    rest = [parameter(operation, field, used) for name, field in fields.items() if name not in order]
    signature = ", ".join(["self", *first, *(["*", *rest] if rest else [])])
    part = NATURAL.get(operation.method)
    returned = part[1] if part else operation.response.__name__
    remember(used, operation.request)
    if part:
        for hint in typing.get_args(typing.get_type_hints(operation.response)[part[0]]):
            remember(used, hint)
    else:
        remember(used, operation.response)
    about = inspect.cleandoc(operation.about).splitlines()
    doc = "\n".join(f"        {line}".rstrip() for line in about).strip()
    close = '\n        """' if len(about) > 1 else '"""'
    given = "_given(locals())" if fields else ""
    call = f"await self.call({operation.request.__name__}({'**' + given if given else ''}))"
    return (
        f"\n    async def {operation.method}({signature}) -> {returned}:\n"
        f'        """{doc}{close}\n'
        f"        return {f'({call}).{part[0]}' if part else call}\n"
    )


def parameter(operation: Operation, field: msgspec.structs.FieldInfo, used: dict[str, set[str]]) -> str:
    """One parameter with its type; optional ones default to None, which stands for the request's default."""
    hint = plain(typing.get_type_hints(operation.request)[field.name], used)
    if field.required:
        return f"{field.name}: {hint}"
    return f"{field.name}: {hint if hint.endswith('None') else hint + ' | None'} = None"


def plain(hint: object, used: dict[str, set[str]]) -> str:
    """A type as text."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return plain(arguments[0], used)
    if origin is typing.Literal:
        return f"Literal[{', '.join(repr(value) for value in arguments)}]".replace("'", '"')
    if arguments and origin is not list and origin is not dict:
        return " | ".join(plain(argument, used) for argument in arguments)
    if origin in {list, dict}:
        return f"{origin.__name__}[{', '.join(plain(argument, used) for argument in arguments)}]"
    if hint is type(None):
        return "None"
    name = getattr(hint, "__name__", str(hint))
    if name == "Instant":
        return "Time"
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        remember(used, hint)
    return name


def remember(used: dict[str, set[str]], kind: type) -> None:
    """Note that a type has to be imported."""
    used.setdefault(kind.__module__, set()).add(kind.__name__)


if __name__ == "__main__":
    sys.exit(main())
