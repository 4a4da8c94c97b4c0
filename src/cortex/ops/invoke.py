"""The single way in: permission, then validation, then the operation. Faces only decode."""

import re
import typing
from difflib import get_close_matches
from typing import Any

import msgspec
from msgspec import Struct

from cortex import limits
from cortex.errors import CortexError, Invalid, TooLarge
from cortex.ops.context import Context
from cortex.ops.registry import Operation, Request, decode_custom, encode_custom

_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(.+)`", re.DOTALL)
_PATH = re.compile(r" - at `\$\.?(.*)`$", re.DOTALL)
_TOO_LONG = re.compile(r"length <= (\d+)")
_SURROGATE = re.compile("[\ud800-\udfff]")


async def invoke(ctx: Context, operation: Operation, request: Struct) -> Struct:
    """Run `operation`. Every request is validated here, since a Struct's constructor checks nothing."""
    return await operation.run(ctx, validate(operation, request))


def decode(operation: Operation, given: Any, *, lax: bool = False) -> Request[Any]:
    """Plain data as the operation's request. `lax` takes numbers and booleans that came as text."""
    try:
        request = msgspec.convert(given, operation.request, strict=not lax, dec_hook=decode_custom)
    except msgspec.ValidationError as error:
        raise _explained(operation, str(error)) from None
    except RecursionError:
        raise Invalid("the request is nested too deeply", f"at most {limits.META_DEPTH_MAX} levels") from None
    return typing.cast("Request[Any]", request)


def validate(operation: Operation, request: Struct) -> Request[Any]:
    """The request in canonical form. Raises Invalid or TooLarge with the field and what was found."""
    if not isinstance(request, operation.request):
        raise Invalid(f"{operation.name} takes {operation.request.__name__}, not {type(request).__name__}")
    try:
        plain = msgspec.to_builtins(request, enc_hook=encode_custom, builtin_types=())
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"{operation.request.__name__} holds what is not plain data ({error})") from None
    checked = decode(operation, plain)
    checked.check()
    return checked


def text_is_storable(name: str, text: str) -> None:
    """Raise Invalid for text that UTF-8 cannot hold."""
    if not text.isascii() and (found := _SURROGATE.search(text)):
        raise Invalid(f"{name} holds a lone surrogate, U+{ord(found[0]):04X}", "give valid Unicode text")


def _explained(operation: Operation, message: str) -> CortexError:
    unknown = _UNKNOWN_FIELD.match(message)
    if unknown:
        known = [f.encode_name for f in msgspec.structs.fields(operation.request)]
        near = get_close_matches(unknown[1], known, 1)
        hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(known) or 'nothing'}"
        return Invalid(f"{operation.name} has no field {unknown[1][:60]!r}", hint)
    place = _PATH.search(message)
    found = f"{place[1] if place else 'the request'}: {_PATH.sub('', message)}"
    if too_long := _TOO_LONG.search(message):
        return TooLarge(found, f"at most {too_long[1]} are accepted")
    return Invalid(found, f"see `cortex help` or the schema of {operation.name}")
