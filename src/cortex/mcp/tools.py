"""Which operations are tools, and how they are described to models."""

from collections.abc import Iterable

from mcp.types import Tool, ToolAnnotations

from cortex import limits
from cortex.kinds import TOOL_PRESETS
from cortex.mcp import schemas
from cortex.mcp.opening import NAME
from cortex.ops.registry import Operation
from cortex.settings import Settings


def offered(operations: Iterable[Operation], settings: Settings) -> dict[str, Operation]:
    """The tools of the chosen presets by `tool_name`; each preset has those before it too."""
    reach = max(TOOL_PRESETS.index(name) for name in settings.mcp_tools)
    return {
        operation.tool_name: operation
        for operation in operations
        if operation.mcp is not None and TOOL_PRESETS.index(operation.mcp.preset) <= reach
    }


def listed_name(tool_name: str, settings: Settings) -> str:
    """The name in the list: with a dot after the server's name where `mcp.tool_names` says so."""
    return tool_name.replace("_", ".", 1) if settings.mcp_tool_names == "dotted" else tool_name


def called_name(name: str) -> str:
    """The `tool_name` of a call, in whichever form it came."""
    return name.replace(".", "_")


def described(operation: Operation, settings: Settings) -> Tool:
    """An operation as the tool list shows it."""
    assert operation.mcp is not None
    assert len(operation.about) <= limits.MCP_TEXT_CHARS_MAX, f"{operation.name} is described at too great length"
    assert len(f"{NAME}{operation.tool_name}") <= limits.MCP_NAME_CHARS_MAX, f"{operation.name} has too long a name"
    reads = operation.effect == "read"
    return Tool(
        name=listed_name(operation.tool_name, settings),
        title=operation.mcp.title,
        description=operation.about,
        input_schema=schemas.of_request(operation.request, operation.mcp.hidden),
        output_schema=schemas.of_response(operation.response),
        annotations=ToolAnnotations(
            title=operation.mcp.title,
            read_only_hint=reads,
            destructive_hint=operation.destructive,
            idempotent_hint=reads or operation.mcp.idempotent,
            open_world_hint=False,
        ),
    )
