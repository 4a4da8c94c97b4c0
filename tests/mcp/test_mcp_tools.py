"""Tools over a real process: what is listed can be called, and what comes back is as it was described."""

import asyncio
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from client import Refused, connected, session, spawned
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp.shared.exceptions import MCPError

from cortex import limits
from cortex.ops.catalog import OPERATIONS

MEMORY = ["cortex_recall", "cortex_search", "cortex_store", "cortex_revise", "cortex_show", "cortex_retract"]


def listed(client: Any) -> dict[str, Any]:
    return {tool["name"]: tool for tool in client.ask("tools/list")["result"]["tools"]}


def sample(schema: dict[str, Any], fact: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """Arguments for a tool's required fields, and whether all of them are known to name something."""
    known = {
        "id": fact["id"],
        "fact": fact["id"],
        "content": "Another fact",
        "query": "invoices",
        "facts": [{"content": "One"}, {"content": "Two"}],
        "old": fact["project"],
        "new": "renamed/project",
    }
    blank = {"string": "x", "integer": 1, "number": 1, "boolean": True, "array": [], "object": {}}
    kinds = {name: schema["properties"][name]["type"] for name in schema["required"]}
    return {name: known.get(name, blank[kind]) for name, kind in kinds.items()}, kinds.keys() <= known.keys()


def test_every_tool_that_is_listed_can_be_called_and_gives_what_its_schema_says(tmp_path: Path) -> None:
    with connected(tmp_path, CORTEX_MCP_TOOLS="all", CORTEX_PROJECT="acme/billing") as client:
        tools = listed(client)
        last = ["cortex_retract", "cortex_forget"]
        for name in sorted(tools, key=lambda name: (name in last, name)):
            fact = client.call("cortex_store", {"content": f"Invoices for {name}", "meta": {"a": None}, "key": name})
            arguments, sensible = sample(tools[name]["inputSchema"], fact)
            if name == "cortex_revise":
                arguments["content"] = "Invoices are sent on the 4th"
            jsonschema.Draft202012Validator(tools[name]["inputSchema"]).validate(arguments)

            result = client.result(name, arguments)

            assert not (sensible and result["isError"]), result
            if not result["isError"]:
                jsonschema.Draft202012Validator(tools[name]["outputSchema"]).validate(result["structuredContent"])
            assert result["content"][0]["text"]


@pytest.mark.parametrize("presets", ["memory", "trust", "all"])
def test_a_preset_has_its_tools_and_those_of_the_smaller_ones(tmp_path: Path, presets: str) -> None:
    reach = ("memory", "trust", "all").index(presets)
    expected = {
        operation.tool_name
        for operation in OPERATIONS
        if operation.mcp and ("memory", "trust", "all").index(operation.mcp.preset) <= reach
    }

    with connected(tmp_path, CORTEX_MCP_TOOLS=presets) as client:
        found = listed(client)

    assert expected == set(found)
    assert set(MEMORY) <= set(found)


def test_arguments_that_do_not_fit_are_told_with_what_was_found_and_what_to_give(tmp_path: Path) -> None:
    with connected(tmp_path, CORTEX_MCP_TOOLS="all") as client:
        wide = client.call("cortex_search", {"query": "x", "top_k": "500"})
        batch = client.call("cortex_store_batch", {"facts": [{"content": "a"}, {"contnt": "b"}]})

    assert "invalid: top_k is '500' — give at most 200" == wide.text
    assert "invalid: facts[1] has no field 'contnt' — did you mean content?" == batch.text


def test_no_tool_takes_a_changed_ledger_as_it_is(tmp_path: Path) -> None:
    with connected(tmp_path, CORTEX_MCP_TOOLS="all") as client:
        tools = listed(client)

    assert "accept" not in tools["cortex_verify"]["inputSchema"]["properties"]
    assert "cortex_accept_ledger" not in tools


def test_tools_are_described_within_the_limits_and_with_their_effects(tmp_path: Path) -> None:
    by_name = {operation.tool_name: operation for operation in OPERATIONS}

    with connected(tmp_path, CORTEX_MCP_TOOLS="all") as client:
        tools = listed(client)

    for name, tool in tools.items():
        operation = by_name[name]
        hints = tool["annotations"]
        assert 0 < len(tool["description"]) <= limits.MCP_TEXT_CHARS_MAX
        assert len(f"cortex{name}") <= limits.MCP_NAME_CHARS_MAX
        assert tool["title"]
        assert (operation.effect == "read") is hints["readOnlyHint"]
        assert operation.destructive is hints["destructiveHint"]
        assert hints["openWorldHint"] is False
    assert tools["cortex_store"]["annotations"]["idempotentHint"] is True


def test_dotted_names_are_listed_when_set_and_either_form_is_called(tmp_path: Path) -> None:
    with connected(tmp_path, CORTEX_MCP_TOOL_NAMES="dotted") as client:
        names = set(listed(client))
        dotted = client.call("cortex.store", {"content": "One fact"})
        plain = client.call("cortex_store", {"content": "One fact"})

    assert "cortex.store" in names
    assert not any("_" in name.partition(".")[0] for name in names)
    assert dotted["id"] == plain["id"]


def test_errors_are_results_that_begin_with_their_kind(tmp_path: Path) -> None:
    with connected(tmp_path) as client:
        empty = client.call("cortex_store", {"content": " "})
        missing = client.call("cortex_show", {"id": "ffffffff"})
        large = client.call("cortex_store", {"content": "x" * (limits.CONTENT_BYTES_MAX + 1)})
        misspelt = client.call("cortex_search", {"querry": "x"})
        result = client.result("cortex_show", {"id": "ffffffff"})

    assert Refused("invalid") == empty
    assert Refused("not_found") == missing
    assert Refused("too_large") == large
    assert Refused("invalid") == misspelt
    assert "did you mean query?" in misspelt.text
    assert " — " in misspelt.text
    assert "structuredContent" not in result


def test_a_stale_revision_is_a_conflict(tmp_path: Path) -> None:
    with connected(tmp_path) as client:
        fact = client.call("cortex_store", {"content": "Invoices are sent on the 3rd"})
        client.call("cortex_revise", {"id": fact["id"], "content": "On the 4th"})

        found = client.call("cortex_revise", {"id": fact["id"], "content": "On the 5th", "if_revision": 1})

    assert Refused("revision_conflict") == found


def test_an_unknown_tool_is_a_protocol_error_and_so_is_one_outside_the_preset(tmp_path: Path) -> None:
    with connected(tmp_path) as client:
        unknown = client.ask("tools/call", {"name": "cortex_fly", "arguments": {}})
        outside = client.ask("tools/call", {"name": "cortex_forget", "arguments": {"id": "x"}})

    assert -32602 == unknown["error"]["code"]
    assert -32602 == outside["error"]["code"]


def test_numbers_and_booleans_may_come_as_text(tmp_path: Path) -> None:
    with connected(tmp_path) as client:
        client.call("cortex_store", {"content": "Invoices are sent on the 3rd"})

        found = client.call("cortex_search", {"query": "invoices", "top_k": "1", "explain": "true"})

    assert 1 == len(found["hits"])
    assert found["hits"][0]["explain"]


def test_what_cannot_be_undone_takes_the_full_id_and_what_can_takes_a_short_one(tmp_path: Path) -> None:
    with connected(tmp_path, CORTEX_MCP_TOOLS="all") as client:
        fact = client.call("cortex_store", {"content": "Invoices are sent on the 3rd"})
        short = fact["id"][-8:]
        retracted = client.call("cortex_retract", {"id": short})
        refused = client.call("cortex_forget", {"id": short})
        forgotten = client.call("cortex_forget", {"id": fact["id"]})

    assert fact["id"] == retracted["id"]
    assert Refused("invalid") == refused
    assert fact["id"] == forgotten["id"]


def test_changes_are_written_under_the_clients_name_or_the_configured_one(tmp_path: Path) -> None:
    with connected(tmp_path) as client:
        by_client = client.call("cortex_store", {"content": "One"})
    with connected(tmp_path, CORTEX_AGENT="auditor") as client:
        by_agent = client.call("cortex_store", {"content": "Two"})

    assert "line-client" == by_client["actor"]
    assert "auditor" == by_agent["actor"]


def test_a_broken_file_leaves_the_list_and_fails_each_call_with_its_kind(tmp_path: Path) -> None:
    (tmp_path / "memory.db").write_bytes(b"this is no database " * 500)

    with connected(tmp_path) as client:
        tools = listed(client)
        first, second = client.call("cortex_recall"), client.call("cortex_store", {"content": "One"})

    assert set(MEMORY) <= set(tools)
    assert isinstance(first, Refused)
    assert first.kind in {"invalid", "corrupt"}
    assert first == second


def test_a_file_that_is_mended_meanwhile_is_opened_by_the_next_call(tmp_path: Path) -> None:
    (tmp_path / "memory.db").write_bytes(b"this is no database " * 500)

    with connected(tmp_path) as client:
        before = client.call("cortex_store", {"content": "One"})
        (tmp_path / "memory.db").unlink()
        after = client.call("cortex_store", {"content": "One"})

    assert isinstance(before, Refused)
    assert "One" == after["content"]


def test_the_sdks_client_finds_results_valid_over_many_calls_at_once(tmp_path: Path) -> None:
    async def run() -> list[Any]:
        async with session(tmp_path) as opened:
            await opened.list_tools()
            await asyncio.gather(*(opened.call_tool("cortex_store", {"content": f"Fact {n}"}) for n in range(40)))
            return await asyncio.gather(*(opened.call_tool("cortex_search", {"query": f"fact {n}"}) for n in range(40)))

    found = asyncio.run(run())

    assert [f"Fact {n}" for n in range(40)] == [
        result.structured_content["hits"][0]["fact"]["content"] for result in found
    ]


def test_a_client_of_the_stateless_protocol_is_served_too(tmp_path: Path) -> None:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "modern", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }

    with spawned(tmp_path) as client:
        discovered = client.ask("server/discover", {"_meta": meta})
        tools = client.ask("tools/list", {"_meta": meta})
        stored = client.ask("tools/call", {"name": "cortex_store", "arguments": {"content": "One"}, "_meta": meta})

    assert ["2026-07-28"] == discovered["result"]["supportedVersions"]
    assert set(MEMORY) <= {tool["name"] for tool in tools["result"]["tools"]}
    assert "modern" == stored["result"]["structuredContent"]["actor"]


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
fields = st.sampled_from(
    ["content", "query", "id", "project", "tags", "max_tokens", "top_k", "meta", "as_of", "key", "zz"]
)


def test_junk_arguments_are_answered_and_never_end_the_server(tmp_path: Path) -> None:
    with connected(tmp_path, CORTEX_MCP_TOOLS="all") as client:
        tools = listed(client)

        @settings(deadline=None, max_examples=150, database=None)
        @given(name=st.sampled_from(sorted(tools)), arguments=st.dictionaries(fields, junk, max_size=4))
        def attack(name: str, arguments: dict[str, Any]) -> None:
            result = client.result(name, json.loads(json.dumps(arguments)))
            if result["isError"]:
                assert result["content"][0]["text"].partition(":")[0] in {
                    "invalid",
                    "not_found",
                    "too_large",
                    "conflict",
                }
            else:
                jsonschema.Draft202012Validator(tools[name]["outputSchema"]).validate(result["structuredContent"])

        attack()

        assert "id" in client.call("cortex_store", {"content": "still here"})


def test_the_sdks_client_is_told_of_an_unknown_tool(tmp_path: Path) -> None:
    async def run() -> None:
        async with session(tmp_path) as opened:
            await opened.call_tool("cortex_fly", {})

    with pytest.raises((MCPError, ExceptionGroup)):
        asyncio.run(run())
