"""The single way in: permission, then validation, then the operation. Faces only decode."""

import typing
from typing import Any

import msgspec
from msgspec import Struct

from cortex import limits
from cortex.errors import Invalid
from cortex.ops import mismatch
from cortex.ops.context import Context
from cortex.ops.registry import Operation, Request, decode_custom, encode_custom


async def invoke(ctx: Context, operation: Operation, request: Struct) -> Struct:
    """Run `operation`. Every request is validated here, since a Struct's constructor checks nothing."""
    return await operation.run(ctx, validate(operation, request))


def decode(operation: Operation, given: Any, *, lax: bool = False, caller: str | None = None) -> Request[Any]:
    """Plain data as the operation's request. `lax` takes numbers and booleans that came as text.

    Errors call the operation `caller`, the name that whoever asked has for it.
    """
    try:
        request = msgspec.convert(given, operation.request, strict=not lax, dec_hook=decode_custom)
    except msgspec.ValidationError as error:
        raise mismatch.explained(operation, given, error, caller or operation.name) from None
    except UnicodeEncodeError as error:
        raise Invalid(f"{error.object[:60]!r} holds a lone surrogate", "give valid Unicode text") from None
    except RecursionError:
        raise Invalid("the request is nested too deeply", f"give at most {limits.META_DEPTH_MAX} levels") from None
    return typing.cast("Request[Any]", request)


def validate(operation: Operation, request: Struct) -> Request[Any]:
    """The request in canonical form. Raises Invalid or TooLarge with the field and what was found."""
    wanted = operation.request.__name__
    if not isinstance(request, operation.request):
        raise Invalid(f"the request is a {type(request).__name__}", f"{operation.name} takes a {wanted}")
    try:
        plain = msgspec.to_builtins(request, enc_hook=encode_custom, builtin_types=())
    except (TypeError, ValueError, RecursionError) as error:
        found = f"the {wanted} holds what is not plain data ({error})"
        raise Invalid(found, "give text, numbers, booleans, lists and objects") from None
    checked = decode(operation, plain)
    checked.check()
    return checked
