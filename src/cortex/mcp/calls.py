"""One tool call: arguments in, text and structured content out, both within the token budget."""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from mcp.shared.exceptions import MCPError
from mcp.types import INVALID_PARAMS, CallToolRequestParams
from msgspec import Struct, structs

from cortex import limits, times
from cortex.errors import CortexError, Internal, Invalid
from cortex.mcp import budget, for_models, schemas, text, tools
from cortex.mcp.desk import Calling, Desk, told
from cortex.memory.model import Fact
from cortex.memory.recall import Briefing
from cortex.ops.catalog import BY_REQUEST
from cortex.ops.invoke import decode
from cortex.ops.registry import Operation, Request

# Structured content repeats a briefing's text, with quotation marks escaped, beside the fields of its facts.
_BRIEFING_SHARE = (3, 4)
_PAGE_ATTEMPTS_MAX = 4

logger = logging.getLogger(__name__)


async def call(
    desk: Desk, offered: Mapping[str, Operation], calling: Calling, params: CallToolRequestParams
) -> dict[str, Any]:
    """Run the tool that `params` name. Unknown names are protocol errors, all other failures are results."""
    operation = offered.get(tools.called_name(params.name))
    if operation is None:
        names = ", ".join(tools.listed_name(name, desk.settings) for name in offered)
        raise MCPError(code=INVALID_PARAMS, message=f"Unknown tool: {params.name[:100]!r}. There are: {names}")
    name = tools.listed_name(operation.tool_name, desk.settings)
    try:
        request = _bounded(decode(operation, _offered(operation, params.arguments or {}), lax=True, caller=name), desk)
        response = await _run(desk, calling, request)
        return await _result(desk, calling, operation, request, response)
    except CortexError as error:
        return _failed(for_models.error(error, desk.settings))
    except MCPError:
        raise
    except Exception:  # whatever an operation raises is logged here, and the client told that it failed
        logger.exception("the tool %s failed", operation.tool_name)
        return _failed(Internal(f"{operation.tool_name} failed", "the server's log on standard error has the details"))


async def shown(desk: Desk, calling: Calling, request: Request[Any]) -> str:
    """The text of a request's result, for what shows no structured content."""
    request = _bounded(request, desk)
    response = await _run(desk, calling, request)
    result = await _result(desk, calling, BY_REQUEST[type(request)], request, response)
    return str(result["content"][0]["text"])


async def _run(desk: Desk, calling: Calling, request: Request[Any]) -> Struct:
    return for_models.response(await desk.run(calling, request))


def _offered(operation: Operation, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments, if none of them is one that a model may not give, such as who votes."""
    assert operation.mcp is not None
    for name in operation.mcp.hidden:
        if name in arguments:
            raise Invalid(f"{operation.tool_name} takes no {name}", "leave it out")
    return arguments


def _failed(error: CortexError) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": told(error)}], "isError": True, "resultType": "complete"}


def _bounded(request: Request[Any], desk: Desk) -> Request[Any]:
    """The request with a briefing's budget held within that of one result."""
    if "max_tokens" not in request.__struct_fields__:
        return request
    share, of = _BRIEFING_SHARE
    most = max(limits.RECALL_TOKENS_MIN, desk.settings.mcp_result_tokens * share // of)
    asked = getattr(request, "max_tokens") or desk.settings.recall_tokens  # noqa: B009 - not every request has it
    return structs.replace(request, max_tokens=min(asked, most)) if asked > most else request


async def _result(
    desk: Desk, calling: Calling, operation: Operation, request: Request[Any], response: Struct
) -> dict[str, Any]:
    now, most = times.parse(times.now()), desk.settings.mcp_result_tokens
    fitted = _fit(response, now, most)
    for _ in range(_PAGE_ATTEMPTS_MAX):
        kept = _kept_of_page(operation, request, fitted)
        if kept is None:
            break
        # The cursor of a page stands behind its last item, so a shorter page has to be read as one.
        request = structs.replace(request, limit=kept)
        fitted = _fit(await _run(desk, calling, request), now, most)
    shown = text.render(fitted.response, now)
    if not fitted.whole and not isinstance(fitted.response, Briefing):
        shown = _noted(shown, _note(desk, fitted, response), most)
    return {
        "content": [{"type": "text", "text": shown}],
        "structuredContent": schemas.plain(fitted.response),
        "isError": False,
        "resultType": "complete",  # asked for by the newest protocol; the SDK leaves it out of the others
    }


def _fit(response: Struct, now: datetime, most: int) -> budget.Fitted:
    def fits(part: Struct) -> bool:
        room = most if part is response else most - limits.MCP_NOTE_TOKENS
        structured = msgspec.json.encode(schemas.plain(part)).decode()
        return budget.within(structured, most) and budget.within(text.render(part, now), room)

    return budget.fit(response, fits, most)


def _kept_of_page(operation: Operation, request: Request[Any], fitted: budget.Fitted) -> int | None:
    """How many items a page that was cut should have; None where there is no page, or nothing was cut off it."""
    paged = operation.effect == "read" and "limit" in request.__struct_fields__
    if not paged or not fitted.shortened or "next" not in fitted.response.__struct_fields__:
        return None
    return max(1, fitted.shortened[0][1])


def _note(desk: Desk, fitted: budget.Fitted, response: Struct) -> str:
    """What is missing and how to get it."""
    show = tools.listed_name("cortex_show", desk.settings)
    said = [f"{kept} of {had} {name} shown; ask for fewer or narrower." for name, kept, had in fitted.shortened]
    if isinstance(response, Fact) and fitted.abridged:
        said.append(
            f"The text is abridged: it has {len(response.content)} characters. "
            f"On the command line `cortex show {response.id}` prints it whole."
        )
    elif fitted.abridged:
        said.append(f"Long texts are abridged, ending in …; `{show}` with an id shows one fact.")
    return f"(Cut to {desk.settings.mcp_result_tokens} tokens. {' '.join(said)})"


def _noted(shown: str, note: str, most: int) -> str:
    """The text with the note, by whole lines within `most` tokens: a line cut in two would leave its quotation open."""
    lines = shown.split("\n")
    while lines and not budget.within("\n".join([*lines, note]), most):
        lines.pop()
    return "\n".join([*lines, note])
