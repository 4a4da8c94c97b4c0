"""Data that does not fit a request, in our words: what was found at which place, and what to give there."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches

import msgspec
from msgspec import inspect

from cortex import kinds, times
from cortex.errors import CortexError, Invalid, TooLarge
from cortex.ops.registry import Operation
from cortex.plurals import counted

_PLACE = re.compile(r" - at (`key` in )?`\$((?:\.\w+|\[(?:\d+|\.\.\.)\])*)`\Z")
_STEP = re.compile(r"\.(\w+)|\[(\d+|\.\.\.)\]")
_LISTS = (inspect.ListType, inspect.SetType, inspect.FrozenSetType, inspect.VarTupleType)
_UNKNOWN = "Object contains unknown field "
# What stands at a place that cannot be walked to: the values and the keys of an object.
_UNSEEN = object()
_SHOWN_CHARS = 60

_NAMES = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "datetime": times.type_hint,
    "null": "null",
}
_BOUNDS = {"<=": "at most", ">=": "at least", "<": "less than", ">": "more than"}
_PARTS = {"str": "character", "array": "item", "object": "entry"}


@dataclass(frozen=True)
class _Place:
    """Where in the request of `caller`: its name, what stands there, and the types and form that are accepted."""

    caller: str
    name: str
    found: object
    types: tuple[inspect.Type, ...]
    accepted: str = ""

    @property
    def fields(self) -> list[inspect.Field]:
        """The fields of the object that is accepted here."""
        return [field for kind in self.types if isinstance(kind, inspect.StructType) for field in kind.fields]

    @property
    def strangers(self) -> list[str]:
        """What stands here under names that are no fields."""
        known = {field.encode_name for field in self.fields}
        return [str(name) for name in self.found if name not in known] if isinstance(self.found, dict) else []

    @property
    def subject(self) -> str:
        """What takes the fields: the operation, or the object within its request."""
        return self.name or self.caller

    def __str__(self) -> str:
        return self.name or "the request"


def explained(operation: Operation, given: object, error: msgspec.ValidationError, caller: str) -> CortexError:
    """The error to raise for `given`, of which msgspec says `error`; `caller` is the operation's name for who asked."""
    message = str(error)
    matched = _PLACE.search(message)
    place = root = _Place(caller, "", given, _plain(inspect.type_info(operation.request)))
    for attribute, index in _STEP.findall(matched[2] if matched else ""):
        place = _field(place, attribute) if attribute else _item(place, index)
    if not place.types or (message.startswith(_UNKNOWN) and not place.strangers):
        place = root  # the name of an unknown field may look like a place
    if matched and matched[1]:
        place = _Place(caller, f"a key of {place}", _UNSEEN, ())
    reader = error.__cause__
    if reader is not None and isinstance(said := reader.__cause__, CortexError):
        return type(said)(f"{place}: {said.message}", said.hint)
    text = message[: matched.start()] if matched else message
    for pattern, tell in _FORMS:
        if form := pattern.match(text):
            return tell(place, form)
    return Invalid(f"{place} is {_shown(place.found)}", text[:1].lower() + text[1:])


def _field(place: _Place, name: str) -> _Place:
    found = place.found.get(name, _UNSEEN) if isinstance(place.found, dict) else _UNSEEN
    given = [field.type for field in place.fields if field.encode_name == name]
    types = tuple(kind for each in given for kind in _plain(each))
    form = next(filter(None, map(_form, given)), "")
    return _Place(place.caller, f"{place.name}.{name}" if place.name else name, found, types, form)


def _item(place: _Place, index: str) -> _Place:
    found: object = _UNSEEN
    types: tuple[inspect.Type, ...] = ()
    form = ""
    if index != "..." and isinstance(place.found, list | tuple) and int(index) < len(place.found):
        found = place.found[int(index)]
    for kind in place.types:
        inner = kind.item_type if isinstance(kind, _LISTS) else getattr(kind, "value_type", None)
        types += _plain(inner) if inner is not None else ()
        form = form or (_form(inner) if inner is not None else "")
    return _Place(place.caller, f"{place.name}[{index}]", found, types, form)


def _plain(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    """The types that a type stands for, without what only describes or bounds them."""
    if isinstance(kind, inspect.Metadata):
        return _plain(kind.type)
    if isinstance(kind, inspect.UnionType):
        return tuple(plain for part in kind.types for plain in _plain(part))
    return (kind,)


def _form(kind: inspect.Type) -> str:
    """In words, the form that a text has to have, as `fields.form` wrote it beside its pattern."""
    if isinstance(kind, inspect.Metadata):
        return str((kind.extra or {}).get("form", "")) or _form(kind.type)
    if isinstance(kind, inspect.UnionType):
        return next(filter(None, map(_form, kind.types)), "")
    return ""


def _unknown(place: _Place, _form: re.Match[str]) -> CortexError:
    known = [field.encode_name for field in place.fields]
    name = next(iter(place.strangers), "")
    near = get_close_matches(name[:_SHOWN_CHARS], known, 1)
    hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(known) or 'nothing'}"
    return Invalid(f"{place.subject} has no field {name[:_SHOWN_CHARS]!r}", hint)


def _missing(place: _Place, form: re.Match[str]) -> CortexError:
    needed = ", ".join(field.encode_name for field in place.fields if field.required)
    return Invalid(f"{place.name}.{form[1]} is missing".removeprefix("."), f"{place.subject} needs {needed}")


def _out_of_range(place: _Place, form: re.Match[str]) -> CortexError:
    return Invalid(f"{place} is {_shown(place.found)}", f"give {_BOUNDS[form[1]]} {form[2].removesuffix('.0')}")


def _out_of_length(place: _Place, form: re.Match[str]) -> CortexError:
    part, most = _PARTS[form[1]], form[2] == "<="
    size = len(place.found) if isinstance(place.found, str | list | tuple | dict) else None
    hint = f"give {_BOUNDS[form[2]]} {_counted(int(form[3]), part)}"
    found = "of another length" if size is None else "empty" if size == 0 else ""
    said = f"{place} is {found}" if found else f"{place} has {_counted(size or 0, part)}"
    return TooLarge(said, hint) if most else Invalid(said, hint)


def _of_another_form(place: _Place, form: re.Match[str]) -> CortexError:
    return Invalid(f"{place} is {_shown(place.found)}", f"give {place.accepted or f'text like {form[1]}'}")


def _of_another_kind(place: _Place, form: re.Match[str]) -> CortexError:
    if any(isinstance(kind, inspect.LiteralType) for kind in place.types):
        return _no_choice(place, form)
    wanted = [_NAMES.get(name, name) for name in form[1].split(" | ") if name != "null"]
    found = f"the text {_shown(place.found)}" if isinstance(place.found, str) else _shown(place.found)
    return Invalid(f"{place} is {found}", f"give {' or '.join(wanted)}")


def _no_choice(place: _Place, _form: re.Match[str]) -> CortexError:
    choices = [value for kind in place.types if isinstance(kind, inspect.LiteralType) for value in kind.values]
    return Invalid(f"{place} is {_shown(place.found)}", f"give one of {', '.join(map(str, choices))}")


def _shown(found: object) -> str:
    if found is _UNSEEN:
        return "another value"
    if isinstance(found, dict):
        return "an object"
    if found is None or isinstance(found, bool):
        return msgspec.json.encode(found).decode()
    return kinds.shown(found)


def _counted(count: int, part: str) -> str:
    return counted(count, part, "entries" if part == "entry" else None)


# The forms of msgspec's messages, without their place.
_FORMS: tuple[tuple[re.Pattern[str], Callable[[_Place, re.Match[str]], CortexError]], ...] = (
    (re.compile(_UNKNOWN), _unknown),
    (re.compile(r"Object missing required field `(\w+)`"), _missing),
    (re.compile(r"Expected `(?:int|float)` (<=|>=|<|>) (\S+)\Z"), _out_of_range),
    (re.compile(r"Expected `(str|array|object)` of length (<=|>=) (\d+)\Z"), _out_of_length),
    (re.compile(r"Expected `str` matching regex (.*)\Z", re.DOTALL), _of_another_form),
    (re.compile(r"Expected `([^`]+)`(?:, got `\w+`)?\Z"), _of_another_kind),
    (re.compile(r"Invalid enum value "), _no_choice),
)
