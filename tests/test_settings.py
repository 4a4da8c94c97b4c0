"""Settings: who wins, what is refused, and what cloned code may not do."""

import os
import sys
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex import limits, projects, settings
from cortex.errors import CortexError, Invalid, TooLarge, Unavailable
from cortex.settings import SETTINGS, Settings

DOCS = Path(__file__).parent.parent / "docs" / "settings.md"


@pytest.fixture
def person(tmp_path: Path) -> Path:
    """A home directory with an empty ~/.cortex."""
    (tmp_path / "person" / ".cortex").mkdir(parents=True)
    return tmp_path / "person"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    return tmp_path / "repo"


def load(person: Path, cwd: Path, flags: dict[str, object] | None = None, /, **variables: str) -> settings.Loaded:
    environ = {"HOME": str(person), "USERPROFILE": str(person), **variables}
    return settings.resolve(flags=flags or {}, environ=environ, cwd=cwd)


def write_config(person: Path, text: str) -> Path:
    file = person / ".cortex" / "config.toml"
    file.write_text(text, encoding="utf-8")
    return file


def write_repository(repo: Path, text: str) -> Path:
    file = repo / ".cortex.toml"
    file.write_text(text, encoding="utf-8")
    return file


# Who wins.


def test_without_files_variables_and_flags_all_is_default(person: Path, repo: Path) -> None:
    loaded = load(person, repo)

    expected = Settings(
        home=person / ".cortex",
        db=person / ".cortex" / "cortex.db",
        project=None,
        agent=None,
        node_key=None,
        readers=limits.READERS_MAX,
        batch_size=limits.BATCH_OPS_MAX,
        busy_timeout_ms=limits.BUSY_TIMEOUT_MS,
        checkpoint_leaves=limits.CHECKPOINT_LEAVES,
        checkpoint_seconds=limits.CHECKPOINT_SECONDS,
        recall_tokens=limits.RECALL_TOKENS_DEFAULT,
        mcp_tools=("memory",),
        mcp_tool_names="underscore",
        mcp_result_tokens=limits.TOOL_RESULT_TOKENS_MAX,
        embedder_kind="local",
        embedder_folder=settings.load(environ={"HOME": str(person), "USERPROFILE": str(person)}).embedder_folder,
        embedder_url=None,
        embedder_model=None,
        embedder_key=None,
        embedder_timeout_ms=limits.ENDPOINT_TIMEOUT_MS,
        vectors_sidecar_from=limits.SIDECAR_FROM,
        search_fusion="scores",
        admin_key=None,
        admin_passphrase=None,
        witnesses=(),
        timestamp_url=None,
        timestamp_roots=None,
        verify_every_seconds=limits.VERIFY_EVERY_SECONDS,
        verify_full_seconds=limits.VERIFY_FULL_SECONDS,
        alert_webhook=None,
    )
    assert expected == loaded.settings
    assert {setting.name: "default" for setting in SETTINGS} == loaded.origins
    assert () == loaded.warnings


def test_each_source_wins_over_those_before_it_and_is_named(person: Path, repo: Path) -> None:
    layers: list[tuple[int, str]] = []
    config = write_config(person, "\n[recall]\ntokens = 101\n")
    layers.append(seen(load(person, repo)))
    file = write_repository(repo, "recall.tokens = 102")

    layers.append(seen(load(person, repo)))
    layers.append(seen(load(person, repo, CORTEX_RECALL_TOKENS="103")))
    layers.append(seen(load(person, repo, {"recall_tokens": 104}, CORTEX_RECALL_TOKENS="103")))

    assert [
        (101, f"{config}, line 3"),
        (102, f"{file}, line 1"),
        (103, "CORTEX_RECALL_TOKENS"),
        (104, "flag --recall-tokens"),
    ] == layers


def seen(loaded: settings.Loaded) -> tuple[int, str]:
    return loaded.settings.recall_tokens, loaded.origins["recall_tokens"]


def test_a_flag_that_is_none_was_not_given(person: Path, repo: Path) -> None:
    loaded = load(person, repo, {"agent": None}, CORTEX_AGENT="ana")

    assert "ana" == loaded.settings.agent


def test_load_gives_the_settings_alone(person: Path, repo: Path) -> None:
    environ = {"HOME": str(person), "USERPROFILE": str(person), "CORTEX_HOME": str(person / ".cortex")}

    assert load(person, repo).settings == settings.load(environ=environ, cwd=repo)


def test_settings_cannot_be_changed(person: Path, repo: Path) -> None:
    with pytest.raises(AttributeError):
        load(person, repo).settings.readers = 1  # type: ignore[misc]


def test_every_setting_can_be_given_in_the_config_file_by_its_key(person: Path, repo: Path) -> None:
    write_config(
        person,
        """
        db = "a.db"
        project = "owner/repo"
        agent = "ana@desk"
        node_key = "/keys/node"
        readers = 1
        batch_size = 2
        busy_timeout_ms = 0
        checkpoint_leaves = 4
        checkpoint_seconds = 5
        witnesses = ["file:seen", "git:/repo", "https://w.example w.example+01234567+AAAA", "file:seen"]
        [recall]
        tokens = 66
        [mcp]
        tools = ["trust", "memory", "trust"]
        tool_names = "dotted"
        result_tokens = 777
        [embedder]
        kind = "http"
        folder = "models"
        url = "http://127.0.0.1:80/v1"
        model = "a model"
        key = "sk-1"
        timeout_ms = 888
        [vectors]
        sidecar_from = 999
        [search]
        fusion = "rrf"
        [admin]
        key = "admin.key"
        [timestamp]
        url = "http://127.0.0.1:81/tsr"
        roots = "~/roots.pem"
        [verify]
        every_seconds = 0
        full_seconds = 7
        [alert]
        webhook = "https://127.0.0.1/hook?key=a"
        """,
    )

    loaded = load(person, repo)

    home = person / ".cortex"
    paths_and_names = (home, home / "a.db", "owner/repo", "ana@desk", Path("/keys/node"))
    embedder = ("http", home / "models", "http://127.0.0.1:80/v1", "a model", "sk-1", 888)
    witnesses = (f"file:{home / 'seen'}", "git:/repo", "https://w.example w.example+01234567+AAAA")
    watch = ("http://127.0.0.1:81/tsr", person / "roots.pem", 0, 7, "https://127.0.0.1/hook?key=a")
    votes = (home / "admin.key", None, witnesses, *watch)
    expected = (*paths_and_names, 1, 2, 0, 4, 5, 66, ("trust", "memory"), "dotted", 777, *embedder, 999, "rrf", *votes)
    assert expected == msgspec.structs.astuple(loaded.settings)
    assert {"home", "admin_passphrase"} == {name for name, origin in loaded.origins.items() if origin == "default"}


def test_every_setting_can_be_given_by_its_variable(person: Path, repo: Path) -> None:
    texts = {
        "home": "h",
        "db": "~/a.db",
        "project": "p",
        "agent": "a",
        "node_key": "~/k",
        "mcp_tools": "trust, all",
        "mcp_tool_names": "dotted",
        "embedder_kind": "none",
        "embedder_url": "https://host/v1",
        "search_fusion": "rrf",
        "witnesses": "file:a, git:~/b",
        "timestamp_url": "https://host/tsr",
        "alert_webhook": "https://host/hook",
    }
    large = ("tokens", "timeout")
    variables = {
        setting.environment: texts.get(setting.name, "640" if any(word in setting.name for word in large) else "7")
        for setting in SETTINGS
    }

    loaded = load(person, repo, **variables)

    assert {setting.name: setting.environment for setting in SETTINGS} == loaded.origins
    assert (repo / "h", person / "a.db", person / "k") == (
        loaded.settings.home,
        loaded.settings.db,
        loaded.settings.node_key,
    )
    assert ("trust", "all") == loaded.settings.mcp_tools
    assert 7 == loaded.settings.batch_size


# Paths.


def test_the_database_follows_the_home(person: Path, repo: Path, tmp_path: Path) -> None:
    loaded = load(person, repo, CORTEX_HOME=str(tmp_path / "elsewhere"))

    assert tmp_path / "elsewhere" / "cortex.db" == loaded.settings.db
    assert "CORTEX_HOME" == loaded.origins["home"]


def test_the_config_file_is_read_from_the_home_that_a_flag_names(person: Path, repo: Path, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("readers = 3")

    loaded = load(person, repo, {"home": tmp_path}, CORTEX_HOME=str(person))

    assert 3 == loaded.settings.readers


def test_a_relative_path_starts_where_it_was_given(person: Path, repo: Path) -> None:
    write_config(person, 'db = "x.db"')

    found = [load(person, repo).settings.db, load(person, repo, CORTEX_DB="x.db").settings.db]

    assert [person / ".cortex" / "x.db", repo / "x.db"] == found


def test_the_key_lies_beside_the_database_unless_set(person: Path, repo: Path) -> None:
    beside = load(person, repo, CORTEX_DB="/data/a.db").settings.node_key_path
    set_ = load(person, repo, CORTEX_DB="/data/a.db", CORTEX_NODE_KEY="/keys/n").settings.node_key_path

    assert [Path("/data/a.db.key"), Path("/keys/n")] == [beside, set_]


def test_the_home_of_somebody_unknown_is_refused(person: Path, repo: Path) -> None:
    with pytest.raises(Invalid, match=r"CORTEX_DB.*not known"):
        load(person, repo, CORTEX_DB="~nobody-of-that-name/x.db")


# What is refused, and how it is said.


def test_an_unknown_key_names_file_line_and_nearest_name(person: Path, repo: Path) -> None:
    file = write_config(person, 'agent = "a"\n\nreader = 2\n')

    with pytest.raises(Invalid) as caught:
        load(person, repo)

    assert f"{file}, line 3: unknown key 'reader'; did you mean 'readers'?" == str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[recall]\n# more\ntoken = 2", "line 3: unknown key 'recall.token'; did you mean 'recall.tokens'?"),
        ("mcp_tools = 'all'", "line 1: unknown key 'mcp_tools'; did you mean 'mcp.tools'?"),
        ("[serve]\nport = 1", "line 1: unknown key 'serve'; known are db, project"),
        ("mcp = {tool = 1}", "line 1: unknown key 'mcp.tool'; did you mean 'mcp.tools'?"),
        ("a = 1\n[mcp]\n'tool' = 1", "line 1: unknown key 'a'"),
        ("[mcp.tool]\nx = 1", "line 1: unknown key 'mcp.tool'"),
        ("mcp = 3", "line 1: unknown key 'mcp'"),
        ('x = """\nreader = 1\n"""', ".toml: unknown key 'x'"),
        ("home = '/x'", "line 1: no file can set 'home'; set CORTEX_HOME"),
        ("\n\ndb = 3", "line 3: db is 3; give a path"),
        ("db.x = 3", "line 1: db is a table"),
        ("db = ''", "line 1: db is empty"),
        ("db = \"a\\u0000b\"", "line 1: db is 'a\\x00b'"),
        ("readers = '4'", "line 1: readers is '4'; give a whole number from 1 to 16"),
        ("readers = true", "line 1: readers is True"),
        ("readers = 4.0", "line 1: readers is 4.0"),
        ("readers = 17", "line 1: readers is 17"),
        (f"readers = 0x{'f' * 5000}", "line 1: readers is a very large number"),
        (f"readers = {'1' * 5000}", "not TOML"),
        ("project = ' x'", "line 1: project: the project name ' x' begins or ends with a space"),
        ("agent = 'a b'", "line 1: agent is 'a b'; give 1 to 64"),
        ("mcp.tools = 'memory,code'", "line 1: mcp_tools is 'memory,code'; give a list"),
        ("mcp.tools = []", "line 1: mcp_tools is a list"),
        ("mcp.tools = [{}]", "line 1: mcp_tools is a list"),
        ("mcp.tool_names = 'camel'", "line 1: mcp_tool_names is 'camel'; give one of underscore, dotted"),
        ("readers = \n", "line 1: not TOML: Invalid value"),
        ("a = 1\nb = \"x", "line 2: not TOML"),
        ("a = 1\na = 2", "line 2: not TOML: Cannot overwrite a value"),
        ("x = " + "[" * 9_000, "nested too deeply"),
        (f"db.{'a.' * 2_000}b = 1", "db is a table"),
    ],
)  # fmt: skip
def test_what_a_file_says_wrong_is_named_with_its_line(person: Path, repo: Path, text: str, said: str) -> None:
    file = write_config(person, text)

    with pytest.raises(Invalid) as caught:
        load(person, repo)

    assert str(caught.value).startswith(str(file))
    assert said in str(caught.value)
    assert len(str(caught.value)) < len(str(file)) + 600


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CORTEX_HOME", ""),
        ("CORTEX_DB", ""),
        ("CORTEX_PROJECT", ""),
        ("CORTEX_PROJECT", "-x"),
        ("CORTEX_AGENT", ""),
        ("CORTEX_AGENT", "x" * 65),
        ("CORTEX_AGENT", "ana\n"),
        ("CORTEX_READERS", "0"),
        ("CORTEX_READERS", "four"),
        ("CORTEX_READERS", "٤"),
        ("CORTEX_READERS", " 4"),
        ("CORTEX_BATCH_SIZE", "10001"),
        ("CORTEX_BUSY_TIMEOUT_MS", "-1"),
        ("CORTEX_CHECKPOINT_LEAVES", "0"),
        ("CORTEX_CHECKPOINT_LEAVES", "9" * 5000),
        ("CORTEX_MCP_TOOLS", ","),
        ("CORTEX_MCP_TOOL_NAMES", "underscore|dotted"),
    ],
)
def test_a_wrong_variable_is_named(person: Path, repo: Path, variable: str, value: str) -> None:
    with pytest.raises(Invalid, match=f"^{variable}: "):
        load(person, repo, **{variable: value})


URLS = ["http://node:8484/memory.db", "https://a:secret@node", "file:///x.db", "file:x.db", Path("http://node/x")]


@pytest.mark.parametrize("url", URLS)
def test_a_path_is_no_url(person: Path, repo: Path, url: str | Path) -> None:
    with pytest.raises(Invalid, match="db: there is no client for URLs yet") as caught:
        load(person, repo, {"db": url})

    assert "give the path of a file" == caught.value.hint
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("path", ["a:b.db", "C:/memory.db", "notes/http://x.db", ":memory:"])
def test_a_path_may_hold_a_colon(person: Path, repo: Path, path: str) -> None:
    assert repo / path == load(person, repo, {"db": path}).settings.db


def test_a_flag_that_is_written_otherwise_is_named_as_it_is_written(person: Path, repo: Path) -> None:
    with pytest.raises(Invalid, match=r"^argument batch_size: batch_size is 0"):
        settings.load(
            flags={"batch_size": 0},
            environ={"HOME": str(person)},
            cwd=repo,
            written={"batch_size": "argument batch_size"},
        )


def test_a_wrong_flag_is_named(person: Path, repo: Path) -> None:
    with pytest.raises(Invalid, match=r"^flag --batch-size: batch_size is 0"):
        load(person, repo, {"batch_size": 0})


def test_an_unknown_flag_is_refused_with_the_nearest_name(person: Path, repo: Path) -> None:
    with pytest.raises(Invalid, match=r"unknown setting 'projct'; did you mean 'project'"):
        load(person, repo, {"projct": "x"})


def test_a_wrong_value_is_refused_also_where_another_overrides_it(person: Path, repo: Path) -> None:
    write_config(person, "readers = 99")

    with pytest.raises(Invalid, match="readers is 99"):
        load(person, repo, {"readers": 2})


def test_an_unknown_variable_is_a_warning_with_the_nearest_name_when_close(person: Path, repo: Path) -> None:
    loaded = load(person, repo, CORTEX_BATHC_SIZE="secret", CORTEX_EDGE_SERVICE_HOST="10.0.0.1", CORTEXT="x")

    assert (
        "the environment variable 'CORTEX_BATHC_SIZE' is not a setting; did you mean CORTEX_BATCH_SIZE?",
        "the environment variable 'CORTEX_EDGE_SERVICE_HOST' is not a setting",
    ) == loaded.warnings


def test_a_config_file_that_is_too_large_is_refused(person: Path, repo: Path) -> None:
    write_config(person, "#" * (limits.SETTINGS_FILE_BYTES_MAX + 1))

    with pytest.raises(TooLarge, match=r"config\.toml is larger than 1048576 bytes"):
        load(person, repo)


def test_a_config_file_that_is_a_directory_is_refused(person: Path, repo: Path) -> None:
    (person / ".cortex" / "config.toml").mkdir()

    with pytest.raises(Invalid, match=r"config\.toml is a directory"):
        load(person, repo)


def test_a_config_file_that_is_not_utf8_is_refused_with_its_line(person: Path, repo: Path) -> None:
    (person / ".cortex" / "config.toml").write_bytes(b"readers = 2\n# caf\xe9\n")

    with pytest.raises(Invalid, match="line 2: not UTF-8"):
        load(person, repo)


def test_a_config_file_that_cannot_be_read_is_said_so(person: Path, repo: Path) -> None:
    (person / ".cortex" / "config.toml").symlink_to("config.toml")

    with pytest.raises(Unavailable, match=r"cannot read .*config\.toml"):
        load(person, repo)


def test_a_byte_order_mark_and_line_ends_of_windows_are_no_matter(person: Path, repo: Path) -> None:
    (person / ".cortex" / "config.toml").write_bytes(b"\xef\xbb\xbfreaders = 2\r\nagent = 'a'\r\n")

    loaded = load(person, repo)

    assert (2, "a") == (loaded.settings.readers, loaded.settings.agent)
    assert loaded.origins["agent"].endswith("line 2")


def test_a_home_that_is_a_file_holds_no_config(person: Path, repo: Path) -> None:
    (person / "file").write_text("")

    assert person / "file" == load(person, repo, CORTEX_HOME=str(person / "file")).settings.home


# The repository's file.


def test_the_repositorys_file_is_found_from_its_subfolders_and_the_nearest_counts(person: Path, repo: Path) -> None:
    (repo / "a" / "b").mkdir(parents=True)
    write_repository(repo, 'project = "outer"\nmcp.tool_names = "dotted"')
    write_repository(repo / "a", 'project = "inner"')

    found = [load(person, place).settings for place in (repo, repo / "a" / "b")]

    assert [("outer", "dotted"), ("inner", "underscore")] == [(each.project, each.mcp_tool_names) for each in found]


def test_the_search_ends_at_the_repositorys_root(person: Path, repo: Path) -> None:
    write_repository(repo.parent, 'project = "above"')

    assert load(person, repo).settings.project is None


def test_without_a_repository_only_the_folder_itself_counts(person: Path, tmp_path: Path) -> None:
    (tmp_path / "plain" / "sub").mkdir(parents=True)
    write_repository(tmp_path / "plain", 'project = "plain"')

    found = [load(person, tmp_path / "plain" / part).settings.project for part in (".", "sub")]

    assert ["plain", None] == found


def test_a_repository_in_the_home_directory_does_not_reach_below(person: Path) -> None:
    (person / ".git").mkdir()
    (person / "notes").mkdir()
    write_repository(person, 'project = "dotfiles"')

    assert load(person, person / "notes").settings.project is None


@pytest.mark.parametrize("key", [setting.key for setting in SETTINGS if setting.scope == "config"])
def test_a_repository_cannot_set_what_concerns_the_machine(person: Path, repo: Path, key: str) -> None:
    write_repository(repo, f'{key} = "1"')

    with pytest.raises(Invalid) as caught:
        load(person, repo)

    assert f"line 1: a repository cannot set '{key}'" in caught.value.message
    assert f"put it in {person / '.cortex' / 'config.toml'}" == caught.value.hint


def test_a_repository_cannot_set_the_home(person: Path, repo: Path) -> None:
    write_repository(repo, 'home = "x"')

    with pytest.raises(Invalid, match="no file can set 'home'"):
        load(person, repo)


def test_a_repository_cannot_be_the_persons_own_scope(person: Path, repo: Path) -> None:
    write_repository(repo, f'project = "{projects.USER}"')

    with pytest.raises(Invalid, match="cannot be the scope 'user'"):
        load(person, repo)


def test_a_repositorys_database_lies_inside_it(person: Path, repo: Path) -> None:
    (repo / "sub").mkdir()
    write_repository(repo / "sub", 'db = "../data/cortex.db"')

    assert repo / "data" / "cortex.db" == load(person, repo / "sub").settings.db


WAYS_OUT = ["/etc/x.db", "../x.db", "a/../../x.db", "~/x.db", "link/x.db", "file-link", "loop/../../x"]


@pytest.mark.parametrize("path", [*WAYS_OUT, ".", "", ".git/x", "A/.GIT/x"])
def test_a_repositorys_database_cannot_leave_it(person: Path, repo: Path, path: str) -> None:
    (repo / "link").symlink_to(repo.parent)
    (repo / "file-link").symlink_to(person / "other.db")
    (repo / "loop").symlink_to("loop")
    write_repository(repo, f'db = "{path}"')

    with pytest.raises(Invalid, match=r"\.cortex\.toml, line 1: db"):
        load(person, repo)


def test_a_repositorys_file_that_takes_long_to_parse_is_refused_or_quick(person: Path, repo: Path) -> None:
    for size in (limits.REPOSITORY_SETTINGS_BYTES_MAX, limits.SETTINGS_FILE_BYTES_MAX):
        write_repository(repo, ("a." * (size // 2))[: size - 4] + "a=1")
        started = time.monotonic()

        with pytest.raises(CortexError):
            load(person, repo)

        assert time.monotonic() - started < 5


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_repositorys_file_that_would_block_is_refused(person: Path, repo: Path) -> None:
    os.mkfifo(repo / ".cortex.toml")

    with pytest.raises(Invalid, match=r"\.cortex\.toml is not a file"):
        load(person, repo)


def test_a_repositorys_file_that_leads_nowhere_says_nothing(person: Path, repo: Path) -> None:
    (repo / ".cortex.toml").symlink_to("missing")

    assert load(person, repo).settings.project is None


# The embedder.


@pytest.mark.skipif(os.name != "posix" or sys.platform == "darwin", reason="caches lie elsewhere here")
def test_models_lie_in_the_cache_of_the_user(person: Path, repo: Path, tmp_path: Path) -> None:
    found = [
        load(person, repo).settings.embedder_folder,
        load(person, repo, XDG_CACHE_HOME=str(tmp_path / "caches")).settings.embedder_folder,
        load(person, repo, XDG_CACHE_HOME="relative").settings.embedder_folder,
        load(person, repo, CORTEX_EMBEDDER_FOLDER=str(tmp_path / "models")).settings.embedder_folder,
    ]

    usual = person / ".cache" / "cortex" / "models"
    assert [usual, tmp_path / "caches" / "cortex" / "models", usual, tmp_path / "models"] == found


def test_the_key_is_in_no_error_and_in_no_text_of_the_settings(person: Path, repo: Path) -> None:
    with pytest.raises(Invalid) as caught:
        load(person, repo, CORTEX_EMBEDDER_KEY="sk-secret with a space")

    assert "sk-secret" not in str(caught.value)
    found = load(person, repo, CORTEX_EMBEDDER_KEY="sk-secret").settings
    assert "sk-secret" == found.embedder_key
    assert "sk-secret" not in repr(found)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "localhost:80",
        "http://",
        "http://a b",
        "http://[",
        "http://h:99999",
        "http://h:0",
        "http://x\n",
    ],
)
def test_an_embedders_url_is_one_of_http(person: Path, repo: Path, url: str) -> None:
    with pytest.raises(Invalid, match="embedder_url"):
        load(person, repo, CORTEX_EMBEDDER_URL=url)


def test_a_password_in_an_embedders_url_is_refused_and_not_shown(person: Path, repo: Path) -> None:
    with pytest.raises(Invalid, match="holds a user name or password") as caught:
        load(person, repo, CORTEX_EMBEDDER_URL="https://me:hunter2@host/v1")

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "seen",
        "file:",
        "https://w.example",
        "https://w.example key",
        "ftp://w a+01234567+AAAA",
        "file:a,,file:b",
        "file:a\0",
    ],
)
def test_what_names_no_witness_is_refused(person: Path, repo: Path, text: str) -> None:
    with pytest.raises(Invalid, match="witnesses"):
        load(person, repo, CORTEX_WITNESSES=text)


def test_more_witnesses_than_are_asked_are_refused(person: Path, repo: Path) -> None:
    with pytest.raises(Invalid, match="up to 16"):
        load(person, repo, CORTEX_WITNESSES=",".join(f"file:{n}" for n in range(17)))


@pytest.mark.parametrize("url", ["https://me:hunter2@host/hook", "hook://s3cret", "http://a b"])
def test_a_webhook_that_cannot_be_asked_is_refused_and_not_shown(person: Path, repo: Path, url: str) -> None:
    with pytest.raises(Invalid, match="alert_webhook is not that") as caught:
        load(person, repo, CORTEX_ALERT_WEBHOOK=url)

    assert url not in str(caught.value)


def test_a_webhook_is_in_no_text_of_the_settings(person: Path, repo: Path) -> None:
    found = load(person, repo, CORTEX_ALERT_WEBHOOK="https://host/s3cret").settings

    assert "https://host/s3cret" == found.alert_webhook
    assert "s3cret" not in repr(found)


# Laws and documents.

KEYS = st.sampled_from([setting.key for setting in SETTINGS] + ["mcp", "recall", "other", "a.b"])
VALUES = st.sampled_from(["1", "-1", "''", "'x'", "true", "1.5", "[]", "{}", "nan", "2026-01-01", "'memory'", "'a.db'"])


FILES = st.lists(st.tuples(KEYS, VALUES), max_size=4).map(lambda pairs: "\n".join(f"{k} = {v}" for k, v in pairs))


@given(FILES | st.text(max_size=80))
def test_any_file_gives_settings_or_an_error_that_names_it(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.getbasetemp() / "any"
    folder.mkdir(exist_ok=True)
    (folder / ".cortex.toml").write_bytes(text.encode("utf-8", "replace"))

    try:
        said = str(settings.load(environ={"CORTEX_HOME": str(folder / "none")}, cwd=folder).db)
    except CortexError as error:
        said = error.message

    assert said.startswith(str(folder))


def test_every_setting_is_documented() -> None:
    rows = [line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]

    for setting, row in zip(SETTINGS, rows, strict=True):
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[0].startswith(f"`{setting.key}`")
        assert [f"`{setting.environment}`", setting.kind.accepts] == cells[1:3]
        assert cells[4].startswith("yes" if setting.scope == "repository" else "no")
        if isinstance(setting.default, int):
            assert str(setting.default) == cells[3]


def test_no_setting_is_described_in_more_than_a_line() -> None:
    assert [] == [setting.name for setting in SETTINGS if not 0 < len(setting.about) <= 60]
