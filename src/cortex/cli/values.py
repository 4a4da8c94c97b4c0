"""Text of the command line as values of request fields, by the field's type."""

import math
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from cortex import limits
from cortex.cli.terminal import printable
from cortex.errors import Invalid, TooLarge
from cortex.ops.registry import Instant

Reader = Callable[[str], object]

_LISTS = (inspect.ListType, inspect.SetType, inspect.FrozenSetType, inspect.VarTupleType)
_STRUCTURED = (*_LISTS, inspect.StructType, inspect.DictType, inspect.TupleType, inspect.AnyType, inspect.RawType)
_WHOLE = re.compile(r"[+-]?[0-9]{1,30}", re.ASCII)


class _Unfit(Exception):
    """A text that is no value of its field: what was found, and what to give. `read` adds the field's name."""

    def __init__(self, found: str, hint: str) -> None:
        super().__init__(found)
        self.found = found
        self.hint = hint


@dataclass(frozen=True)
class Field:
    """A field of a request, as the command line sees it."""

    name: str
    kind: inspect.Type
    required: bool
    default: object
    about: str

    @property
    def flag(self) -> bool:
        return isinstance(self.kind, inspect.BoolType)

    @property
    def mapping(self) -> bool:
        return isinstance(self.kind, inspect.DictType)

    @property
    def structured(self) -> bool:
        """Whether it is written as JSON."""
        return isinstance(self.kind, _STRUCTURED) and not self.repeated

    @property
    def repeated(self) -> bool:
        """Whether it is a list of values that each fit an argument."""
        return isinstance(self.kind, _LISTS) and not isinstance(_bare(self.kind.item_type), _STRUCTURED)

    @property
    def item(self) -> inspect.Type:
        return _bare(self.kind.item_type) if self.repeated and isinstance(self.kind, _LISTS) else self.kind

    @property
    def choices(self) -> tuple[str, ...]:
        return tuple(str(value) for value in self.item.values) if isinstance(self.item, inspect.LiteralType) else ()


@dataclass
class Inputs:
    """What values may come from besides the arguments. Standard input is read once, when first asked for."""

    taken: bool = field(default=False)

    def standard_input(self) -> str:
        if self.taken:
            raise Invalid("`-` is given twice", "standard input can be read only once")
        self.taken = True
        if sys.stdin is None:
            raise Invalid("standard input is closed", "give the text as an argument")
        data = sys.stdin.buffer.read(limits.CLI_INPUT_BYTES_MAX + 1)
        return _text(data, "standard input").removesuffix("\n").removesuffix("\r")


def fields_of(request: type[msgspec.Struct]) -> tuple[Field, ...]:
    """The fields of a request."""
    described = inspect.type_info(request)
    assert isinstance(described, inspect.StructType)
    return tuple(_field(found) for found in described.fields)


def read(found: Field, texts: list[str], inputs: Inputs, *, stdin: bool, label: str) -> object:
    """The value of a field given as `texts`. Raises Invalid that names `label`."""
    try:
        if found.mapping:
            return _mapping(found.kind, texts, inputs)
        if found.repeated:
            one = _reader(found.item, inputs, stdin=stdin)
            return [one(text) for text in texts]
        return _reader(found.kind, inputs, stdin=stdin)(texts[-1])
    except _Unfit as error:
        raise Invalid(f"{label}: {error.found}", error.hint) from None


def metavar(found: Field) -> str:
    """What stands for the value in the help."""
    if found.mapping:
        return "JSON|KEY=TEXT"
    if found.choices:
        return "|".join(found.choices)
    return _metavar(found.item)


def _metavar(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.IntType):
        return "N"
    if isinstance(kind, inspect.FloatType):
        return "NUMBER"
    if isinstance(kind, inspect.CustomType) and kind.cls is Instant:
        return "TIME"
    return "JSON|@FILE" if isinstance(kind, _STRUCTURED) else "TEXT"


def _field(found: inspect.Field) -> Field:
    default = found.default
    if found.default_factory is not msgspec.NODEFAULT:
        default = found.default_factory()
    return Field(
        name=found.encode_name,
        kind=_bare(found.type),
        required=found.required,
        default=default,
        about=_description(found.type),
    )


def _description(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.Metadata):
        return str((kind.extra_json_schema or {}).get("description", "")) or _description(kind.type)
    if isinstance(kind, inspect.UnionType):
        return next(filter(None, map(_description, kind.types)), "")
    return ""


def _bare(kind: inspect.Type) -> inspect.Type:
    """A type without what only describes it, and without None."""
    if isinstance(kind, inspect.Metadata):
        return _bare(kind.type)
    if isinstance(kind, inspect.UnionType):
        parts = [part for part in map(_bare, kind.types) if not isinstance(part, inspect.NoneType)]
        if len(parts) == 1:
            return parts[0]
        words = [part for part in parts if isinstance(part, inspect.LiteralType)]
        if words:
            return words[0]  # a flag beside its words is for programs
        plain = [part for part in parts if not isinstance(part, _STRUCTURED)]
        return inspect.StrType() if plain else inspect.AnyType()
    return kind


def _reader(kind: inspect.Type, inputs: Inputs, *, stdin: bool) -> Reader:
    if isinstance(kind, _STRUCTURED):
        return lambda text: _json(_sourced(text, inputs))
    plain = _plain_reader(kind)
    return lambda text: plain(inputs.standard_input() if stdin and text == "-" else text)


def _plain_reader(kind: inspect.Type) -> Reader:
    if isinstance(kind, inspect.LiteralType):
        return lambda text: _choice(kind.values, text)
    readers: dict[type, Reader] = {inspect.IntType: _whole, inspect.FloatType: _number, inspect.BoolType: _truth}
    return readers.get(type(kind), str)


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise _Unfit(f"{_shown(text)} is not a whole number", "give digits, such as 10")
    return int(text)


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise _Unfit(f"{_shown(text)} is not a number", "give digits, such as 0.5")
    return number


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise _Unfit(f"{_shown(text)} is neither true nor false", "give one of them")
    return text == "true"


def _choice(values: tuple[Any, ...], text: str) -> object:
    """One of the values of a Literal; numbers may carry a plus."""
    for value in values:
        if text == str(value) or (isinstance(value, int) and text == f"{value:+d}"):
            return value
    raise _Unfit(f"{_shown(text)} is not one of {', '.join(map(str, values))}", "give one of these")


def _mapping(kind: inspect.Type, texts: list[str], inputs: Inputs) -> dict[str, object]:
    assert isinstance(kind, inspect.DictType)
    value_kind = _bare(kind.value_type)
    one: Reader = str if isinstance(value_kind, inspect.AnyType) else _reader(value_kind, inputs, stdin=False)
    merged: dict[str, object] = {}
    for text in texts:
        for key, value in _pairs(text, one, inputs).items():
            if key in merged:
                raise _Unfit(f"{_shown(key)} is given twice", "give it once")
            merged[key] = value
    return merged


def _pairs(text: str, one: Reader, inputs: Inputs) -> dict[str, object]:
    if text == "-" or text.lstrip().startswith(("{", "@")):
        decoded = _json(_sourced(text, inputs))
        if not isinstance(decoded, dict):
            raise _Unfit("the JSON is not an object", 'give an object, such as {"page": 3}')
        return decoded
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise _Unfit(f"{_shown(text)} is neither a JSON object nor key=text", "give one of them, or `@FILE`")
    return {key: one(value)}


def _sourced(text: str, inputs: Inputs) -> str:
    """JSON given as text, as `@FILE`, or as `-`."""
    if text == "-":
        return inputs.standard_input()
    return _file(Path(text[1:])) if text.startswith("@") else text


def _file(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(limits.CLI_INPUT_BYTES_MAX + 1)
    except OSError as error:
        raise _Unfit(f"cannot read {path}: {error.strerror}", "give a file that can be read after the @") from None
    return _text(data, str(path))


def _text(data: bytes, name: str) -> str:
    if len(data) > limits.CLI_INPUT_BYTES_MAX:
        raise TooLarge(f"{name} has more than {limits.CLI_INPUT_BYTES_MAX} bytes", "give it in parts")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Invalid(f"{name} is not UTF-8 (byte {error.start})", "convert it to UTF-8") from None


def _json(text: str) -> object:
    try:
        return msgspec.json.decode(text.encode())
    except msgspec.DecodeError as error:
        raise _Unfit(f"not JSON: {error}", "give JSON, quoted for the shell, or `@FILE`") from None
    except UnicodeEncodeError:
        raise _Unfit("not JSON: the text is not valid Unicode", "give JSON in UTF-8") from None
    except RecursionError:
        raise _Unfit("JSON nested too deeply", f"give at most {limits.META_DEPTH_MAX} levels") from None


def _shown(text: str) -> str:
    return repr(printable(text[:60]))
