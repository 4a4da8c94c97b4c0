"""Import and export as operations: counted once, resumed, told what was left out, and what goes out comes in again."""

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cortex import importers, limits
from cortex.errors import Conflict, Invalid
from cortex.ops.facts import RetractFact
from cortex.ops.ledger import VerifyLedger
from cortex.ops.node import ReadStatus
from cortex.ops.search import SearchFacts
from cortex.ops.transfer import ExportFacts, FileImported, ImportFiles, ImportReport
from cortex.ops.views import ListFacts
from opened import Memory

Opening = Callable[..., Memory]


def imported(memory: Memory, *paths: Path, **request: Any) -> ImportReport:
    return memory.call(ImportFiles(paths=[str(path) for path in paths], **request))


def file_of(memory: Memory, path: Path, **request: Any) -> FileImported:
    (file,) = imported(memory, path, **request).files
    return file


def contents(memory: Memory, **request: Any) -> list[str]:
    return [fact.content for fact in reversed(memory.call(ListFacts(limit=limits.PAGE_MAX, **request)).facts)]


def lines(path: Path, count: int, start: int = 0) -> Path:
    path.write_text("".join(json.dumps({"content": f"line {number}"}) + "\n" for number in range(start, start + count)))
    return path


def write_cortex4(path: Path) -> None:
    with sqlite3.connect(path) as file:
        file.execute(
            "CREATE TABLE facts (id INTEGER PRIMARY KEY, project TEXT, content TEXT, fact_type TEXT, tags TEXT,"
            " confidence TEXT, valid_from TEXT, valid_until TEXT, source TEXT, meta TEXT, created_at TEXT, updated_at TEXT)"
        )
        file.execute(
            "INSERT INTO facts VALUES (1, 'work', 'from an earlier file', 'knowledge', '[]', 'stated',"
            " '2026-01-01T00:00:00Z', NULL, NULL, '{}', '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z')"
        )
    file.close()


SAMPLES = {
    "jsonl": ("facts.jsonl", '{"content": "one"}\n{"content": "two", "tags": ["t"], "key": "k"}\n'),
    "markdown": ("NOTES.md", "# Notes\n\nSome text.\n\n## Deploy\n\nOn Tuesdays.\n"),
    "text": ("notes.txt", "First paragraph.\n\nSecond paragraph.\n"),
    "dialogue": (
        "talk.json",
        '{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]}',
    ),
    "mcp-memory": (
        "memory.jsonl",
        '{"type": "entity", "name": "Ann", "entityType": "person", "observations": ["likes tea"]}\n',
    ),
    "mem0": ("mem0.json", '{"results": [{"id": "1", "memory": "likes tea", "user_id": "ann"}]}'),
}


@pytest.mark.parametrize("form", importers.FORMATS)
def test_each_format_is_imported_once_and_counted_the_second_time(memory: Memory, tmp_path: Path, form: str) -> None:
    if form == "cortex4":
        path = tmp_path / "cortex.db"
        write_cortex4(path)
    else:
        name, text = SAMPLES[form]
        path = tmp_path / name
        path.write_text(text)

    first = file_of(memory, path)
    again = file_of(memory, path)

    assert (form, None) == (first.format, first.error)
    assert first.stored > 0
    assert (0, first.stored) == (again.stored, again.duplicates)
    assert first.stored == memory.call(ReadStatus()).facts
    assert memory.call(VerifyLedger()).ok


def test_a_changed_section_supersedes_and_unchanged_ones_are_duplicates(memory: Memory, tmp_path: Path) -> None:
    path = tmp_path / "CLAUDE.md"
    path.write_text("# Rules\n\nBe kind.\n\n## Style\n\nTabs.\n\n## Tests\n\nAlways.\n")
    imported(memory, path)
    memory.clock.advance(days=1)
    path.write_text(path.read_text().replace("Tabs.", "Spaces."))

    report = imported(memory, path)

    assert (1, 2) == (report.stored, report.duplicates)
    shown = "\n".join(contents(memory))
    assert "Spaces." in shown
    assert "Tabs." not in shown
    assert 3 == len(contents(memory))


@pytest.mark.parametrize("stop_at", [200, 400])
def test_an_interrupted_import_goes_on_where_it_stopped(opening: Opening, tmp_path: Path, stop_at: int) -> None:
    path = lines(tmp_path / "many.jsonl", 450)
    with path.open("a") as file:
        file.write('{"content": ""}\n')

    def interrupt(done: int, _total: int, _label: str) -> None:
        if done >= stop_at:
            raise KeyboardInterrupt

    memory = opening(progress=interrupt)
    with pytest.raises(KeyboardInterrupt):
        imported(memory, path)
    assert stop_at == memory.call(ReadStatus()).facts
    memory.close()

    memory = opening()
    file = file_of(memory, path)

    assert (stop_at, 450, 0, 1) == (file.resumed_at, file.stored, file.duplicates, file.skipped)
    assert [f"line {number}" for number in range(450)] == contents(memory)
    imports = [row[0] for row in memory.sql().execute("SELECT count(*) FROM transactions WHERE kind = 'import'")]
    assert [1] == imports
    assert memory.call(VerifyLedger()).ok
    assert (0, 450) == (file_of(memory, path).stored, file_of(memory, path).duplicates)


def test_a_changed_file_is_imported_from_its_beginning(opening: Opening, tmp_path: Path) -> None:
    path = lines(tmp_path / "many.jsonl", 450)

    def interrupt(_done: int, _total: int, _label: str) -> None:
        raise KeyboardInterrupt

    memory = opening(progress=interrupt)
    with pytest.raises(KeyboardInterrupt):
        imported(memory, path)
    memory.close()
    lines(path, 451)

    file = file_of(opening(), path)

    assert (0, 251, 200) == (file.resumed_at, file.stored, file.duplicates)


def test_what_is_skipped_is_named_with_its_reason(memory: Memory, tmp_path: Path) -> None:
    path = tmp_path / "some.jsonl"
    bad = [
        '{"content": "good"}', "not json", '{"content": ""}', '{"content": "x", "tags": ["a\\nb"]}', '{"contents": "x"}',
        '{"content": "x", "valid_from": "2026-01-01"}', '{"content": "x", "project": "-x"}',
        '{"content": "x", "retired_at": "2026-01-01T00:00:00Z"}', '{"content": "\\ud800"}', '{"content": "also good"}',
        '{"content": "ended", "valid_until": "2020-01-01T00:00:00Z"}',
    ]  # fmt: skip
    path.write_text("\n".join(bad))

    file = file_of(memory, path)

    assert (2, 9, None) == (file.stored, file.skipped, file.error)
    assert [f"line {number}" for number in (2, 3, 4, 5, 6, 7, 8, 9, 11)] == [skip.where for skip in file.skips]
    assert all(skip.reason for skip in file.skips)
    assert ["good", "also good"] == contents(memory)


def test_only_the_first_skips_are_shown_and_all_are_counted(memory: Memory, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"content": "good"}\n' + "x\n" * 500)

    file = file_of(memory, path, format="jsonl")

    assert (1, 500, limits.IMPORT_SKIPS_SHOWN) == (file.stored, file.skipped, len(file.skips))


def test_one_broken_file_does_not_stop_the_others(memory: Memory, tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\x00")
    first, last = lines(tmp_path / "a.jsonl", 2), lines(tmp_path / "b.jsonl", 2, start=2)

    report = imported(memory, first, tmp_path / "picture.png", tmp_path / "nowhere.md", tmp_path, last)

    assert (4, 1) == (report.stored, report.exit_code)
    assert [True, False, False, False, True] == [file.error is None for file in report.files]
    assert "PNG" in (report.files[1].error or "")
    assert 0 == imported(memory, first).exit_code


def test_an_unknown_format_is_refused_before_anything_is_read(memory: Memory, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="yaml"):
        imported(memory, lines(tmp_path / "a.jsonl", 2), format="yaml")

    assert [] == contents(memory)


@pytest.mark.parametrize("name", ["a\x00b", "x" * 300, "\udcff"])
def test_a_path_that_cannot_be_is_told_of_as_a_file(memory: Memory, name: str) -> None:
    try:
        report = memory.call(ImportFiles(paths=[name]))
    except Invalid:
        return

    assert report.files[0].error


def test_a_file_whose_name_is_no_text_is_told_of(memory: Memory, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff.jsonl"
    try:
        Path(os.fsdecode(path)).write_text('{"content": "x"}\n')
    except OSError:
        pytest.skip("this file system has no such names")

    try:
        told = memory.call(ImportFiles(paths=[os.fsdecode(path)])).files[0].error
    except Invalid as error:
        told = error.message

    assert told


def test_a_file_goes_to_the_project_that_is_named(memory: Memory, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"content": "here"}\n{"content": "there", "project": "own"}\n')

    report = imported(memory, path, project="other")

    assert "other" == report.project
    assert ["here", "there"] == sorted(contents(memory, project="other"))


def test_without_a_project_each_entry_goes_where_it_says(memory: Memory, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"content": "here"}\n{"content": "there", "project": "own"}\n')

    report = imported(memory, path)

    assert ["own", "work"] == report.files[0].projects
    assert (["here"], ["there"]) == (contents(memory, project="work"), contents(memory, project="own"))


# Export


def stored(memory: Memory) -> None:
    memory.store("plain")
    memory.store("all of it", type="decision", tags=["a", "ü"], key="k", source="s", meta={"n": [1, None, 1.5, 10**30]},
                 confidence="inferred", thread="t", seq=4, valid_from="2026-01-01T00:00:00Z",
                 valid_until="2026-12-01T00:00:00Z")  # fmt: skip
    memory.store("superseded", key="slot")
    memory.clock.advance(days=1)
    memory.store("newer", key="slot")
    memory.store("future", valid_from="2030-01-01T00:00:00Z")
    memory.store('line\nbreaks \x00 \u2028 and "quotes" 🚀', project="other")
    memory.call(RetractFact(id=memory.store("retracted").id))


def facts_of(memory: Memory) -> list[dict[str, Any]]:
    """What the facts of a memory say, without what belongs to the file alone."""
    names = (
        "content",
        "type",
        "tags",
        "key",
        "source",
        "confidence",
        "thread",
        "seq",
        "valid_from",
        "valid_until",
        "project",
    )
    facts = memory.call(ListFacts(all_projects=True, every=True)).facts
    meta = [{k: v for k, v in (fact.meta or {}).items() if k != "imported"} for fact in facts]
    return [
        {**{name: getattr(fact, name) for name in names}, "meta": kept} for fact, kept in zip(facts, meta, strict=True)
    ]


def test_what_is_exported_comes_in_again_as_it_was(memory: Memory, opening: Opening, tmp_path: Path) -> None:
    stored(memory)
    out = tmp_path / "out.jsonl"
    assert 6 == memory.call(ExportFacts(output=str(out), all_projects=True)).facts
    other = opening("other.db")

    report = imported(other, out)

    assert (6, 0, 0) == (report.stored, report.duplicates, report.skipped)
    assert facts_of(memory) == facts_of(other)
    assert ["newer"] == contents(other, key="slot")
    assert 6 == imported(other, out).duplicates


def test_an_export_is_narrowed_like_a_list(memory: Memory, tmp_path: Path) -> None:
    stored(memory)

    def exported(name: str, **narrow: Any) -> list[str]:
        memory.call(ExportFacts(output=str(tmp_path / name), **narrow))
        return [json.loads(line)["content"] for line in (tmp_path / name).read_text().split("\n") if line]

    assert ["plain", "all of it", "superseded", "newer", "future"] == exported("work")
    assert ["all of it"] == exported("decisions", types=["decision"], tags=["a"])
    assert 1 == len(exported("other", project="other"))
    assert [] == exported("none", project="never heard of")
    with pytest.raises(Invalid):
        exported("both", project="other", all_projects=True)


def test_an_export_never_writes_over_a_file(memory: Memory, tmp_path: Path) -> None:
    stored(memory)
    out = tmp_path / "out.jsonl"
    out.write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")

    for name in ("out.jsonl", "link"):
        with pytest.raises(Conflict):
            memory.call(ExportFacts(output=str(tmp_path / name)))

    assert "mine" == out.read_text()
    assert ["link", "out.jsonl"] == sorted(
        p.name for p in tmp_path.iterdir() if p.name.startswith(("link", "out", "."))
    )


def test_an_export_is_read_by_its_owner_only(memory: Memory, tmp_path: Path) -> None:
    memory.call(ExportFacts(output=str(tmp_path / "out")))

    assert os.name != "posix" or 0o600 == (tmp_path / "out").stat().st_mode & 0o777


def test_an_export_to_nowhere_is_refused(memory: Memory) -> None:
    with pytest.raises(Invalid, match="output"):
        memory.call(ExportFacts())


def test_imported_facts_are_searched_like_others(memory: Memory, tmp_path: Path) -> None:
    imported(memory, lines(tmp_path / "many.jsonl", 250))

    assert ["line 222"] == [hit.fact.content for hit in memory.call(SearchFacts(query="222")).hits]


def test_a_file_cannot_put_facts_into_the_scope_of_the_user_by_itself(memory: Memory, tmp_path: Path) -> None:
    path = tmp_path / "facts.jsonl"
    path.write_text('{"content": "obey", "project": "user"}\n{"content": "fine", "project": "other"}\n')

    report = memory.call(ImportFiles(paths=[str(path)]))
    asked = memory.call(ImportFiles(paths=[str(path)], project="user"))

    assert (1, 1, ["other"]) == (report.stored, report.skipped, report.files[0].projects)
    assert (2, 0, ["user"]) == (asked.stored, asked.skipped, asked.files[0].projects)


def test_files_of_the_same_name_in_two_repositories_are_two_documents(memory: Memory, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / ".git").mkdir(parents=True)
        (tmp_path / name / ".git" / "config").write_text(f'[remote "origin"]\n url = https://host/team/{name}.git\n')
        (tmp_path / name / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
        (tmp_path / name / "README.md").write_text(f"# Doc\n\n## Deploy\n\n{name} deploys.\n")

    memory.call(ImportFiles(paths=[str(tmp_path / "a" / "README.md"), str(tmp_path / "b" / "README.md")]))

    keys = [fact.key for fact in memory.call(ListFacts()).facts]
    assert ["team/a:README.md#doc/deploy", "team/b:README.md#doc/deploy"] == sorted(keys)
