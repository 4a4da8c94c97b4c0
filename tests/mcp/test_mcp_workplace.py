"""The project of a caller: its roots, its environment, the working directory, and the settings above them all."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from client import START, connected, session

from cortex.mcp.workplace import folder_of
from mcp import types


def repository(folder: Path, name: str) -> Path:
    """A folder with a git remote `acme/<name>`."""
    (folder / name / ".git").mkdir(parents=True)
    (folder / name / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    url = f"https://example.org/acme/{name}.git"
    (folder / name / ".git" / "config").write_text(f'[remote "origin"]\n\turl = {url}\n')
    return folder / name


def roots_of(*folders: Path) -> Any:
    async def answer(_context: object) -> types.ListRootsResult:
        return types.ListRootsResult(roots=[types.Root(uri=folder.as_uri()) for folder in folders])

    return answer


async def stored_in(opened: Any) -> str:
    result = await opened.call_tool("cortex_store", {"content": "One fact"})
    return str(result.structured_content["project"])


def test_the_first_root_names_the_project(tmp_path: Path) -> None:
    first, second = repository(tmp_path, "with space"), repository(tmp_path, "other")

    async def run() -> str:
        async with session(tmp_path, options={"list_roots_callback": roots_of(first, second)}) as opened:
            return await stored_in(opened)

    assert "acme/with space" == asyncio.run(run())


def test_other_roots_name_another_project_from_then_on(tmp_path: Path) -> None:
    folders = [repository(tmp_path, "before")]

    async def answer(context: object) -> types.ListRootsResult:
        return await roots_of(*folders)(context)

    async def run() -> list[str]:
        async with session(tmp_path, options={"list_roots_callback": answer}) as opened:
            found = [await stored_in(opened)]
            folders[:] = [repository(tmp_path, "after")]
            found.append(await stored_in(opened))
            await opened.send_notification(types.RootsListChangedNotification())
            await opened.send_ping()
            return [*found, await stored_in(opened)]

    assert ["acme/before", "acme/before", "acme/after"] == asyncio.run(run())


def test_the_list_of_tools_does_not_wait_for_roots(tmp_path: Path) -> None:
    async def never(_context: object) -> types.ListRootsResult:
        return await asyncio.Event().wait()  # type: ignore[return-value]

    async def run() -> int:
        async with session(tmp_path, options={"list_roots_callback": never}) as opened:
            async with asyncio.timeout(2):
                return len((await opened.list_tools()).tools)

    assert 0 < asyncio.run(run())


def test_roots_that_never_come_are_given_up_and_the_call_goes_on(tmp_path: Path) -> None:
    here = repository(tmp_path, "here")

    async def never(_context: object) -> types.ListRootsResult:
        return await asyncio.Event().wait()  # type: ignore[return-value]

    async def run() -> list[str]:
        options = {"list_roots_callback": never}
        async with session(tmp_path, options=options, CLAUDE_PROJECT_DIR=str(here)) as opened:
            return list(await asyncio.gather(stored_in(opened), stored_in(opened)))

    assert ["acme/here"] * 2 == asyncio.run(run())


def test_the_clients_variable_counts_before_the_working_directory(tmp_path: Path) -> None:
    named = repository(tmp_path, "named")

    with connected(tmp_path, CLAUDE_PROJECT_DIR=str(named)) as client:
        by_variable = client.call("cortex_store", {"content": "One"})
    with connected(tmp_path, WORKSPACE_FOLDER_PATHS=f"{named}:/elsewhere") as client:
        by_list = client.call("cortex_store", {"content": "Two"})

    assert "acme/named" == by_variable["project"]
    assert "acme/named" == by_list["project"]


def test_without_any_the_working_directory_counts(tmp_path: Path) -> None:
    here = repository(tmp_path, "here")

    with connected(
        tmp_path, CLAUDE_PROJECT_DIR="not/absolute", code=f"import os; os.chdir({str(here)!r}); {START}"
    ) as client:
        found = client.call("cortex_store", {"content": "One"})

    assert "acme/here" == found["project"]


def test_the_setting_counts_before_them_all(tmp_path: Path) -> None:
    async def run() -> str:
        options = {"list_roots_callback": roots_of(repository(tmp_path, "root"))}
        async with session(tmp_path, options=options, CORTEX_PROJECT="acme/set") as opened:
            return await stored_in(opened)

    assert "acme/set" == asyncio.run(run())


@pytest.mark.skipif(sys.platform == "win32", reason="paths of Unix")
@pytest.mark.parametrize(
    ("uri", "folder"),
    [
        ("file:///work/a%20b", Path("/work/a b")),
        ("file://localhost/work", Path("/work")),
        ("file://other.host/work", None),
        ("https://example.org/work", None),
        ("file:relative", None),
        ("file:///a%00b", None),
        ("file://[", None),
        ("", None),
    ],
)
def test_a_file_uri_names_a_folder_of_this_machine(uri: str, folder: Path | None) -> None:
    assert folder == folder_of(uri)
