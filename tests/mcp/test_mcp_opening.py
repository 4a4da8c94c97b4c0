"""The early answer to `initialize` is the one the SDK would give."""

import asyncio
import json
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCError, JSONRPCResponse, jsonrpc_message_adapter
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, KNOWN_PROTOCOL_VERSIONS

from cortex import limits
from cortex import settings as configuration
from cortex.mcp import opening
from cortex.mcp.desk import Desk
from cortex.mcp.server import build
from cortex.mcp.workplace import Workplace

CLIENT = {"name": "editor", "version": "1"}


def line(version: str = "2025-06-18", capabilities: object = None, client: object = CLIENT, **changes: object) -> bytes:
    params = {"protocolVersion": version, "capabilities": capabilities or {}, "clientInfo": client}
    return json.dumps({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params} | changes).encode()


def sdk_answer(message: bytes) -> dict[str, Any]:
    """What the SDK says to a line, as it stands on the wire."""

    async def ask() -> dict[str, Any]:
        loaded = configuration.load(environ={"HOME": "/nowhere"})
        workplace = Workplace(loaded, {}, configuration.Path("/"))
        server = build(Desk(loaded, workplace), workplace)
        send, receive = anyio.create_memory_object_stream[SessionMessage | Exception](1)
        out_send, out_receive = anyio.create_memory_object_stream[SessionMessage](1)
        async with anyio.create_task_group() as tasks, send, out_receive:
            tasks.start_soon(server.run, receive, out_send, server.create_initialization_options())
            await send.send(SessionMessage(jsonrpc_message_adapter.validate_json(message, by_name=False)))
            answer = (await out_receive.receive()).message
            tasks.cancel_scope.cancel()
        assert isinstance(answer, JSONRPCResponse | JSONRPCError)
        found: dict[str, Any] = json.loads(answer.model_dump_json(by_alias=True, exclude_unset=True))
        return found

    return asyncio.run(ask())


@pytest.mark.parametrize("version", [*KNOWN_PROTOCOL_VERSIONS, "1999-01-01", "2099-12-31", "", "draft"])
def test_the_early_answer_is_the_sdks_for_every_version(version: str) -> None:
    early = opening.answer(line(version))

    assert early is not None
    assert sdk_answer(line(version)) == json.loads(early)


def test_the_versions_are_the_sdks() -> None:
    assert HANDSHAKE_PROTOCOL_VERSIONS == opening.VERSIONS


def test_the_early_answer_is_one_line() -> None:
    early = opening.answer(line())

    assert early is not None
    assert early.endswith(b"\n")
    assert 1 == early.count(b"\n")


@pytest.mark.parametrize(
    "capabilities",
    [
        {"roots": {"listChanged": True}},
        {"roots": {}, "sampling": {}, "elicitation": {"form": {}, "url": {}}},
        {
            "sampling": {"tools": {}, "context": {}},
            "tasks": {"list": {}, "requests": {"sampling": {"createMessage": {}}}},
        },
        {"experimental": {"a": {"b": [1, None, "x"]}}, "extensions": {"io.example/ui": {"mimeTypes": ["text/html"]}}},
    ],
)
def test_what_clients_declare_is_answered_early(capabilities: dict[str, Any]) -> None:
    early = opening.answer(line(capabilities=capabilities))

    assert early is not None
    assert sdk_answer(line(capabilities=capabilities)) == json.loads(early)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"not json",
        b"[]",
        b"\xff\xfe{}",
        b'{"jsonrpc":"2.0","id":NaN,"method":"initialize","params":{}}',
        line(id=None),
        line(id=True),
        line(id=1.5),
        line(jsonrpc="1.0"),
        line(method="tools/list"),
        line(client={"name": "x"}),
        line(client={"name": "x", "version": 1}),
        line(client={"name": "\ud800", "version": "1"}),
        line(capabilities={"roots": {"listChanged": "certainly"}}),
        line(capabilities={"roots": True}),
        line(capabilities={"experimental": {"x": 1}}),
        line(capabilities={"sampling": {"tools": 1}}),
        line(client={"name": "x" * (1 << 17), "version": "1"}),
        b"[" * 100_000,
    ],
)
def test_what_the_sdk_might_refuse_is_left_to_it(message: bytes) -> None:
    assert opening.answer(message) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["listChanged", "form", "a"]), inner),
    max_leaves=6,
)
names = st.sampled_from(["roots", "sampling", "elicitation", "experimental", "extensions", "tasks", "other"])


@settings(deadline=None, max_examples=60)
@given(
    version=st.text(max_size=12), capabilities=st.dictionaries(names, json_values, max_size=3), request_id=json_values
)
def test_an_early_answer_never_differs_from_the_sdks(version: str, capabilities: Any, request_id: Any) -> None:
    message = line(version, capabilities, id=request_id)

    early = opening.answer(message)

    assert early is None or sdk_answer(message) == json.loads(early)


def test_the_instructions_say_what_a_model_needs_within_the_limit() -> None:
    for word in ("recall", "search", "store", "key", "secrets", "revise", "retract", "never instructions", "Cite"):
        assert word in opening.INSTRUCTIONS
    assert "`vote` 1 for a fact that you checked yourself, -1 only with evidence" in opening.INSTRUCTIONS
    assert len(opening.INSTRUCTIONS) <= limits.MCP_TEXT_CHARS_MAX
