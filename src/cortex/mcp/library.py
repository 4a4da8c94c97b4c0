"""Resources and prompts: facts, projects, the ledger's checkpoint, and a briefing to begin a task with."""

from typing import Any
from urllib.parse import unquote, urlsplit

from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    GetPromptRequestParams,
    GetPromptResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    PaginatedRequestParams,
    Prompt,
    PromptArgument,
    PromptMessage,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextContent,
    TextResourceContents,
)

from cortex.errors import CortexError, Invalid, NotFound
from cortex.mcp import calls
from cortex.mcp.desk import Calling, Desk, protocol_error
from cortex.ops.catalog import BY_NAME
from cortex.ops.invoke import decode
from cortex.ops.registry import Request
from cortex.ops.views import ListFacts, ShowFact

_SCHEME = "cortex"
_CHECKPOINT = f"{_SCHEME}://ledger/checkpoint"
_MARKDOWN = "text/markdown"
_BRIEFING = "recall_briefing"


async def list_resources(_calling: Calling, _params: PaginatedRequestParams | None) -> ListResourcesResult:
    """What can be read without knowing a name."""
    if "ledger.checkpoint" not in BY_NAME:
        return ListResourcesResult(resources=[])
    about = "The signed tree head of the ledger: what an outsider needs to check it."
    return ListResourcesResult(
        resources=[
            Resource(uri=_CHECKPOINT, name="checkpoint", title="Checkpoint", description=about, mime_type="text/plain")
        ]
    )


async def list_templates(_calling: Calling, _params: PaginatedRequestParams | None) -> ListResourceTemplatesResult:
    """What can be read by name."""
    fact = ResourceTemplate(
        uri_template=f"{_SCHEME}://facts/{{id}}",
        name="fact",
        title="A fact",
        description="One fact, by its id or the last 8 digits of it, with its history.",
        mime_type=_MARKDOWN,
    )
    project = ResourceTemplate(
        uri_template=f"{_SCHEME}://projects/{{project}}",
        name="project",
        title="A project's newest facts",
        description="The facts that changed last. The project's name is percent-encoded.",
        mime_type=_MARKDOWN,
    )
    return ListResourceTemplatesResult(resource_templates=[fact, project])


async def read_resource(desk: Desk, calling: Calling, params: ReadResourceRequestParams) -> ReadResourceResult:
    """The text of a resource, within the budget of a result."""
    uri = str(params.uri)
    try:
        text, kind = await _resource(desk, calling, uri)
    except CortexError as error:
        raise protocol_error(error) from None
    return ReadResourceResult(contents=[TextResourceContents(uri=uri, mime_type=kind, text=text)])


async def _resource(desk: Desk, calling: Calling, uri: str) -> tuple[str, str]:
    place, name = _parts(uri)
    match place:
        case "facts":
            return await calls.shown(desk, calling, ShowFact(id=name, history=True)), _MARKDOWN
        case "projects":
            return await calls.shown(desk, calling, ListFacts(project=name)), _MARKDOWN
        case "ledger" if name == "checkpoint" and (operation := BY_NAME.get("ledger.checkpoint")):
            response: Any = await desk.run(calling, operation.request())
            return response.note, "text/plain"
        case _:
            raise NotFound(f"there is no resource {uri[:200]!r}", "see resources/templates/list")


def _parts(uri: str) -> tuple[str, str]:
    """The two names of a `cortex:` URI. Only the first slash divides them; others are percent-encoded or not."""
    try:
        parts = urlsplit(uri)
        name = unquote(parts.path.removeprefix("/"), errors="strict")
    except ValueError:
        raise Invalid(f"{uri[:200]!r} is not a URI in UTF-8", "see resources/templates/list") from None
    return (parts.netloc, name) if parts.scheme == _SCHEME else ("", "")


async def list_prompts(_calling: Calling, _params: PaginatedRequestParams | None) -> ListPromptsResult:
    """The prompts there are."""
    arguments = [
        PromptArgument(name="task", description="The task at hand, in plain words.", required=False),
        PromptArgument(name="max_tokens", description="The briefing's budget.", required=False),
    ]
    about = "What memory holds for a task: preferences, decisions and facts, quoted as data."
    return ListPromptsResult(
        prompts=[Prompt(name=_BRIEFING, title="Recall briefing", description=about, arguments=arguments)]
    )


async def get_prompt(desk: Desk, calling: Calling, params: GetPromptRequestParams) -> GetPromptResult:
    """The briefing as a message of the user."""
    if params.name != _BRIEFING:
        raise MCPError(code=INVALID_PARAMS, message=f"Unknown prompt: {params.name[:100]!r}. There is: {_BRIEFING}")
    try:
        text = await calls.shown(desk, calling, _recall(params.arguments or {}))
    except CortexError as error:
        raise protocol_error(error) from None
    message = PromptMessage(role="user", content=TextContent(type="text", text=text))
    return GetPromptResult(description="What memory holds", messages=[message])


def _recall(arguments: dict[str, str]) -> Request[Any]:
    unknown = arguments.keys() - {"task", "max_tokens"}
    if unknown:
        raise Invalid(f"{_BRIEFING} has no argument {min(unknown)[:60]!r}", "it takes task and max_tokens")
    given = {"query" if name == "task" else name: value for name, value in arguments.items() if value.strip()}
    return decode(BY_NAME["memory.recall"], given, lax=True)
