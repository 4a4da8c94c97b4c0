"""Key files of agents: private, never overwritten, found for the right agent and log, rotated without a gap."""

import base64
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import VerifyKey

from cortex import limits
from cortex.errors import Conflict, Corrupt, CortexError, Invalid, NotFound, Unavailable
from cortex.trust import keyfiles
from cortex.trust.keyfiles import AgentKey, FoundKey

NODE, INCARNATION = "0123456789abcdef", "fedcba9876543210"
ORIGIN = f"cortex/votes/{NODE}/{INCARNATION}"
OTHER = f"cortex/votes/{INCARNATION}/{NODE}"
SEED = bytes(range(32))
SEED_TEXT = base64.b64encode(SEED).decode()

MAKES_KEYS = """
import sys
from pathlib import Path
from cortex.trust import keyfiles
print("ready", flush=True)
for line in sys.stdin:
    print(keyfiles.make(Path(line.rstrip("\\n")), "bob", sys.argv[1]).public.hex(), flush=True)
"""

ROTATES_KEYS = """
import sys
from pathlib import Path
from cortex.trust import keyfiles, private
path, made = Path(sys.argv[1]), []
print("ready", flush=True)
sys.stdin.readline()
for _ in range(20):
    with private.alone(path.with_name(f"{path.name}.rotation")):
        keyfiles.prepare_next(path)
        made.append(keyfiles.take_next(path, keep_old=True).public.hex())
print(" ".join(made), flush=True)
"""

FULL_DISK = """
import resource, sys
from pathlib import Path
from cortex.errors import CortexError
from cortex.trust import keyfiles
resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))
try:
    getattr(keyfiles, sys.argv[1])(Path(sys.argv[2]), *sys.argv[3:])
except CortexError as error:
    print(error.kind, error)
"""

names = st.from_regex(r"[A-Za-z0-9._@-]{1,64}", fullmatch=True).filter(lambda name: name not in {".", ".."})
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX modes")


def start(code: str, *argv: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, argv)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def tell(process: "subprocess.Popen[str]", line: object) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def key_path(tmp_path: Path) -> Path:
    return keyfiles.agent_path(tmp_path / "home", ORIGIN, "bob")


def test_a_key_lies_under_its_log_and_name(tmp_path: Path) -> None:
    log = f"{NODE}-{INCARNATION}"

    assert log == keyfiles.log_folder(ORIGIN)
    assert tmp_path / "agents" / log / "bob@x.key" == keyfiles.agent_path(tmp_path, ORIGIN, "bob@x")
    assert tmp_path / "agents" / log / "bob@x.receipts" == keyfiles.receipts_path(tmp_path, ORIGIN, "bob@x")
    assert tmp_path / "custody" / log / "bob@x.key" == keyfiles.custody_path(tmp_path, ORIGIN, "bob@x")
    assert tmp_path / "admin" / f"{log}.key" == keyfiles.admin_path(tmp_path, ORIGIN)


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "votes",
        ORIGIN.replace("votes", "transactions"),
        ORIGIN.upper(),
        ORIGIN[:-1],
        f"{ORIGIN}0",
        f"{ORIGIN}\n",
        f"/{ORIGIN}",
        f"{ORIGIN}/x",
        "cortex/votes/../..",
        f"cortex/votes/{NODE}/{INCARNATION[:-1]}/",
        f"cortex/votes/{NODE}/{INCARNATION[:-1]}٣",
    ],
)
def test_an_origin_of_another_shape_has_no_folder(origin: str) -> None:
    with pytest.raises(Corrupt, match="no origin of a votes log"):
        keyfiles.log_folder(origin)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a b", "a\n", "a+b", "é", "a" * 65, "a:b", "\0"])
def test_what_is_no_name_has_no_file(tmp_path: Path, name: str) -> None:
    for place in (keyfiles.agent_path, keyfiles.custody_path, keyfiles.receipts_path):
        with pytest.raises(Invalid, match="no name of an agent"):
            place(tmp_path, ORIGIN, name)
    with pytest.raises(Invalid):
        keyfiles.make(tmp_path / "a.key", name, ORIGIN)

    assert [] == list(tmp_path.iterdir())


@given(names, names)
def test_two_names_never_share_a_file_where_cases_are_one(one: str, other: str) -> None:
    first, second = (keyfiles.agent_path(Path(), ORIGIN, name).name.lower() for name in (one, other))

    assert (one == other) == (first == second)


@given(names)
def test_a_file_of_an_agent_stays_in_its_folder_and_is_no_device(name: str) -> None:
    path = keyfiles.agent_path(Path("home"), ORIGIN, name)

    assert Path("home/agents") / keyfiles.log_folder(ORIGIN) == path.parent
    assert path.name.split(".")[0].lower() not in {"con", "prn", "aux", "nul", "com1", "lpt9"}
    assert len(path.name) <= 64 * 2 + len(".key")


def test_names_that_differ_by_case_have_keys_of_their_own(tmp_path: Path) -> None:
    made = {name: keyfiles.make(keyfiles.agent_path(tmp_path, ORIGIN, name), name, ORIGIN) for name in ("Bob", "bob")}

    assert {"+bob.key", "bob.key"} == {
        path.name for path in keyfiles.agent_path(tmp_path, ORIGIN, "x").parent.iterdir()
    }
    for name, key in made.items():
        assert FoundKey(key, "agent") == keyfiles.find(tmp_path, ORIGIN, name)


def test_a_device_of_another_system_is_an_ordinary_name(tmp_path: Path) -> None:
    found = [keyfiles.agent_path(tmp_path, ORIGIN, name).name for name in ("con", "con.x", "Con", "cons", "x.con")]

    assert ["con+.key", "con+.x.key", "+con.key", "cons.key", "x.con.key"] == found


def test_a_key_is_made_once_and_read_again(key_path: Path) -> None:
    made = keyfiles.make(key_path, "bob", ORIGIN)
    content = key_path.read_text()

    assert made == keyfiles.make(key_path, "bob", ORIGIN) == keyfiles.load(key_path, "bob", ORIGIN)
    assert made == keyfiles.load(key_path)
    assert f"cortex-agent-key/v1 bob {ORIGIN} {base64.b64encode(made.seed).decode()}\n" == content
    assert content == key_path.read_text()
    assert [key_path] == list(key_path.parent.iterdir())


@posix
def test_a_key_and_its_folders_are_their_owners_only(tmp_path: Path, key_path: Path) -> None:
    before = os.umask(0)
    try:
        keyfiles.make(key_path, "bob", ORIGIN)
    finally:
        os.umask(before)

    assert 0o600 == mode(key_path)
    folder = key_path.parent
    while folder != tmp_path:
        assert 0o700 == mode(folder), folder
        folder = folder.parent


def test_a_signature_verifies_under_the_public_half(key_path: Path) -> None:
    key = keyfiles.make(key_path, "bob", ORIGIN)

    signature = key.sign(b"message")

    assert (32, 64) == (len(key.public), len(signature))
    assert b"message" == VerifyKey(key.public).verify(b"message", signature)


def test_a_known_seed_gives_the_public_key_and_signature_of_rfc_8032() -> None:
    key = AgentKey("a", bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))

    assert "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a" == key.public.hex()
    assert key.sign(b"").hex().startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974")


def test_a_key_does_not_show_its_seed() -> None:
    assert "AgentKey(name='bob')" == repr(AgentKey("bob", SEED))


def test_processes_that_make_one_key_at_once_use_one(tmp_path: Path) -> None:
    rounds = 20
    processes = [start(MAKES_KEYS, ORIGIN) for _ in range(2)]
    try:
        assert ["ready"] * 2 == [said(process) for process in processes]
        answers = []
        for number in range(rounds):
            for process in processes:
                tell(process, tmp_path / f"folder{number}" / "bob.key")
            answers.append([said(process) for process in processes])
    finally:
        for process in processes:
            process.communicate()

    assert all(one == other != "" for one, other in answers)
    assert rounds == len({one for one, _ in answers})
    assert {"bob.key"} == {path.name for path in tmp_path.glob("*/*")}


def test_a_key_of_another_agent_or_log_is_refused_and_stays(key_path: Path) -> None:
    keyfiles.make(key_path, "bob", ORIGIN)
    content = key_path.read_text()

    for name, origin, found in (("eve", ORIGIN, "the key of bob, not of eve"), ("bob", OTHER, f"the log {ORIGIN}")):
        for reading in (keyfiles.load, keyfiles.make, keyfiles.bring):
            with pytest.raises(Conflict, match=found):
                reading(key_path, name, origin)
    assert content == key_path.read_text()


def test_a_key_that_is_not_there_is_not_found(key_path: Path) -> None:
    for reading in (keyfiles.load, keyfiles.bring, keyfiles.prepare_next, keyfiles.take_next):
        with pytest.raises(NotFound, match="is not there"):
            reading(key_path)
    assert not key_path.parent.exists()


JUNK = {
    "empty": "",
    "text": "hello",
    "other-version": f"cortex-agent-key/v2 bob {ORIGIN} {SEED_TEXT}",
    "no-seed": f"cortex-agent-key/v1 bob {ORIGIN}",
    "short-seed": f"cortex-agent-key/v1 bob {ORIGIN} {SEED_TEXT[:-4]}",
    "base64-of-another-form": f"cortex-agent-key/v1 bob {ORIGIN} {SEED_TEXT[:-2]}9=",
    "bad-name": f"cortex-agent-key/v1 .. {ORIGIN} {SEED_TEXT}",
    "bad-origin": f"cortex-agent-key/v1 bob cortex/votes/a/b {SEED_TEXT}",
    "two-lines": f"cortex-agent-key/v1 bob {ORIGIN} {SEED_TEXT}\n" * 2,
    "extra": f"cortex-agent-key/v1 bob {ORIGIN} {SEED_TEXT} x",
    "long": f"cortex-agent-key/v1 bob {ORIGIN} {'A' * 5000}",
    "nul": "\0" * 64,
}


@pytest.mark.parametrize("content", JUNK.values(), ids=JUNK)
def test_a_file_that_is_no_key_is_told_and_stays(tmp_path: Path, content: str) -> None:
    path = written(tmp_path / "bob.key", content)

    for reading in (keyfiles.load, keyfiles.bring, keyfiles.prepare_next, keyfiles.take_next):
        with pytest.raises(Unavailable, match="is not an agent's key"):
            reading(path)
    with pytest.raises(Unavailable):
        keyfiles.make(path, "bob", ORIGIN)
    assert [path] == list(tmp_path.iterdir())
    assert content == path.read_text()


@given(st.binary(max_size=300) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_bytes_of_any_kind_are_a_key_or_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.key"
    path.write_bytes(content)
    path.chmod(0o600)

    with pytest.raises(CortexError):
        keyfiles.load(path)


@posix
@pytest.mark.parametrize("permissions", [0o640, 0o604, 0o660, 0o620, 0o601, 0o777])
def test_a_key_that_others_may_open_is_refused_with_the_command_that_mends_it(tmp_path: Path, permissions: int) -> None:
    path = tmp_path / "of bob.key"
    keyfiles.make(path, "bob", ORIGIN)
    path.chmod(permissions)

    with pytest.raises(Unavailable, match=f"{permissions:04o}") as caught:
        keyfiles.load(path)

    assert f"run: chmod 600 '{path}'" == caught.value.hint
    subprocess.run(caught.value.hint.removeprefix("run: "), shell=True, check=True)
    assert "bob" == keyfiles.load(path).name


@posix
def test_a_folder_a_pipe_and_a_loop_are_told_without_waiting(tmp_path: Path) -> None:
    folder, pipe, loop = tmp_path / "folder", tmp_path / "pipe", tmp_path / "loop"
    folder.mkdir()
    os.mkfifo(pipe, 0o600)
    loop.symlink_to(loop)

    for path, told in ((folder, "regular file"), (pipe, "regular file"), (loop, "cannot be read")):
        with pytest.raises(Unavailable, match=told):
            keyfiles.load(path)
    with pytest.raises(NotFound):
        keyfiles.load(tmp_path / "pipe" / "below")


@posix
def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    path = tmp_path / "bob.key"
    path.symlink_to(tmp_path / "nowhere")

    with pytest.raises(NotFound):
        keyfiles.make(path, "bob", ORIGIN)

    assert [path] == list(tmp_path.iterdir())


def test_the_agents_own_key_is_found_before_the_servers(tmp_path: Path) -> None:
    before = keyfiles.find(tmp_path, ORIGIN, "bob")
    custody = keyfiles.make(keyfiles.custody_path(tmp_path, ORIGIN, "bob"), "bob", ORIGIN)
    served = keyfiles.find(tmp_path, ORIGIN, "bob")
    own = keyfiles.make(keyfiles.agent_path(tmp_path, ORIGIN, "bob"), "bob", ORIGIN)

    assert (None, FoundKey(custody, "server")) == (before, served)
    assert FoundKey(own, "agent") == keyfiles.find(tmp_path, ORIGIN, "bob")
    assert None is keyfiles.find(tmp_path, OTHER, "bob")
    assert None is keyfiles.find(tmp_path, ORIGIN, "Bob")


@pytest.mark.parametrize("text", [SEED_TEXT, SEED.hex(), SEED.hex().upper(), f"\n{SEED_TEXT}\r\n"])
def test_a_seed_alone_is_brought_along_under_a_name(tmp_path: Path, text: str) -> None:
    path = written(tmp_path / "seed", text)

    brought = keyfiles.bring(path, "bob")

    assert AgentKey("bob", SEED) == brought
    with pytest.raises(Invalid, match="does not say whose key it is"):
        keyfiles.bring(path)
    with pytest.raises(Invalid, match="no name"):
        keyfiles.bring(path, "../bob")
    with pytest.raises(Unavailable):
        keyfiles.load(path)


def test_a_key_file_is_brought_along_with_its_name(key_path: Path) -> None:
    made = keyfiles.make(key_path, "bob", ORIGIN)

    assert made == keyfiles.bring(key_path) == keyfiles.bring(key_path, "bob", ORIGIN)


@posix
def test_a_seed_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "seed", SEED_TEXT, 0o644)

    with pytest.raises(Unavailable, match="other users"):
        keyfiles.bring(path, "bob")


def test_a_prepared_key_is_used_again_until_it_takes_the_place(key_path: Path) -> None:
    old = keyfiles.make(key_path, "bob", ORIGIN)

    prepared = keyfiles.prepare_next(key_path)

    assert prepared == keyfiles.prepare_next(key_path) != old
    assert old == keyfiles.load(key_path)
    assert prepared == keyfiles.take_next(key_path)
    assert prepared == keyfiles.load(key_path, "bob", ORIGIN)
    assert {"bob.key", "bob.key.lock"} == {path.name for path in key_path.parent.iterdir()}
    with pytest.raises(NotFound, match=r"bob\.key\.next is not there"):
        keyfiles.take_next(key_path)
    assert prepared != keyfiles.prepare_next(key_path)


def test_old_keys_are_kept_in_order_if_asked_for(key_path: Path) -> None:
    keys = [keyfiles.make(key_path, "bob", ORIGIN)]
    for keep in (True, False, True):
        keyfiles.prepare_next(key_path)
        keys.append(keyfiles.take_next(key_path, keep_old=keep))

    kept = [keyfiles.load(key_path.with_name(f"bob.key.{number}")) for number in (1, 2)]
    assert [keys[0], keys[2], keys[3]] == [*kept, keyfiles.load(key_path)]
    assert not key_path.with_name("bob.key.3").exists()
    if os.name == "posix":
        assert {0o600} == {mode(path) for path in key_path.parent.iterdir()}


def test_a_rotation_that_was_cut_short_anywhere_is_finished_by_the_next(key_path: Path) -> None:
    old = keyfiles.make(key_path, "bob", ORIGIN)
    prepared = keyfiles.prepare_next(key_path)
    key_path.with_name("bob.key.1").write_bytes(key_path.read_bytes())  # kept, then the crash

    keyfiles.take_next(key_path, keep_old=True)

    assert (prepared, old) == (keyfiles.load(key_path), AgentKey("bob", old.seed))
    assert not key_path.with_name("bob.key.2").exists()


def test_something_else_in_the_place_of_an_old_key_stays(key_path: Path) -> None:
    old = keyfiles.make(key_path, "bob", ORIGIN)
    key_path.with_name("bob.key.1").mkdir()
    key_path.with_name("bob.key.2").write_text("mine")
    key_path.with_name("bob.key.3").symlink_to("nowhere")
    keyfiles.prepare_next(key_path)

    keyfiles.take_next(key_path, keep_old=True)

    assert old == keyfiles.load(key_path.with_name("bob.key.4"))
    assert "mine" == key_path.with_name("bob.key.2").read_text()


def test_no_more_old_keys_are_kept_than_the_limit(key_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "OLD_KEYS_MAX", 1)
    first = keyfiles.make(key_path, "bob", ORIGIN)
    keyfiles.prepare_next(key_path)
    second = keyfiles.take_next(key_path, keep_old=True)
    keyfiles.prepare_next(key_path)

    with pytest.raises(Unavailable, match="1 old keys are kept"):
        keyfiles.take_next(key_path, keep_old=True)

    assert (second, first) == (keyfiles.load(key_path), keyfiles.load(key_path.with_name("bob.key.1")))


@posix
def test_a_link_is_not_rotated(tmp_path: Path, key_path: Path) -> None:
    old = keyfiles.make(key_path, "bob", ORIGIN)
    link = tmp_path / "link.key"
    link.symlink_to(key_path)

    with pytest.raises(Conflict, match="is a link"):
        keyfiles.prepare_next(link)

    assert old == keyfiles.load(link)


def test_processes_that_rotate_at_once_lose_no_key(key_path: Path) -> None:
    first = keyfiles.make(key_path, "bob", ORIGIN)
    processes = [start(ROTATES_KEYS, key_path) for _ in range(2)]
    try:
        assert ["ready"] * 2 == [said(process) for process in processes]
        for process in processes:
            tell(process, "go")
        made = [said(process).split() for process in processes]
    finally:
        for process in processes:
            process.communicate()

    kept = {keyfiles.load(path).public.hex() for path in key_path.parent.glob("bob.key.[0-9]*")}
    assert [20, 20] == [len(keys) for keys in made]
    assert {first.public.hex(), *made[0], *made[1]} <= kept | {keyfiles.load(key_path).public.hex()}


@posix
def test_a_full_disk_leaves_no_key_and_no_change(key_path: Path) -> None:
    def run(*argv: object) -> str:
        return subprocess.run(
            [sys.executable, "-c", FULL_DISK, *map(str, argv)], capture_output=True, text=True, check=True
        ).stdout

    made = run("make", key_path, "bob", ORIGIN)
    left = list(key_path.parent.iterdir())
    old = keyfiles.make(key_path, "bob", ORIGIN)
    prepared = run("prepare_next", key_path)

    assert ("unavailable", []) == (made.split()[0], left)
    assert "unavailable" == prepared.split()[0]
    assert old == keyfiles.load(key_path)
    assert {"bob.key", "bob.key.lock"} == {path.name for path in key_path.parent.iterdir()}
