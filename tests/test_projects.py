"""Which project a folder belongs to: real git repositories, broken ones, and URLs of all kinds."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cortex import limits, projects
from cortex.errors import Invalid, TooLarge

BASE = Path("/home/ana/work/api")


def git(*arguments: str, cwd: Path) -> None:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    environ |= {f"GIT_{role}_{what}": "a@b" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    allow = ("-c", "protocol.file.allow=always")
    subprocess.run(["git", *allow, *arguments], cwd=cwd, env=environ, check=True, capture_output=True)


def repository(path: Path, *remotes: str) -> Path:
    """A real repository; each remote is `name=url`."""
    path.mkdir(parents=True)
    git("init", "-q", ".", cwd=path)
    for remote in remotes:
        git("remote", "add", *remote.split("=", 1), cwd=path)
    return path


def with_config(path: Path, config: str | bytes) -> Path:
    """A repository made by hand that holds nothing but a config."""
    (path / ".git").mkdir(parents=True)
    (path / ".git" / "config").write_bytes(config if isinstance(config, bytes) else config.encode())
    return path


def folder_name(path: Path, name: str | None = None) -> str:
    return f"{name or path.name}-{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:6]}"


def detect(path: Path, tmp_path: Path) -> str:
    return projects.detect(path, home=tmp_path)


# Repositories.


def test_a_repository_is_named_by_its_origin_from_all_of_its_folders(tmp_path: Path) -> None:
    repo = repository(tmp_path / "x", "fork=https://host/me/fork.git", "origin=git@host:owner/repo.git")
    (repo / "deep" / "er").mkdir(parents=True)

    assert ["owner/repo"] * 3 == [detect(place, tmp_path) for place in (repo, repo / "deep" / "er", repo / ".git")]


def test_the_only_remote_counts_whatever_its_name(tmp_path: Path) -> None:
    repo = repository(tmp_path / "x", "upstream=https://host/owner/repo")

    assert "owner/repo" == detect(repo, tmp_path)


def test_of_two_remotes_neither_counts_without_an_origin(tmp_path: Path) -> None:
    repo = repository(tmp_path / "x", "one=https://host/a/b", "two=https://host/c/d")

    assert folder_name(repo) == detect(repo, tmp_path)


def test_a_repository_without_a_remote_is_named_by_its_folder_and_path(tmp_path: Path) -> None:
    first, second = repository(tmp_path / "a" / "api"), repository(tmp_path / "b" / "api")
    (first / "sub").mkdir()

    found = [detect(place, tmp_path) for place in (first, first / "sub", second)]

    assert [folder_name(first), folder_name(first), folder_name(second)] == found
    assert found[0] != found[2]


def test_worktrees_share_the_project_of_their_repository(tmp_path: Path) -> None:
    plain, remote = repository(tmp_path / "plain"), repository(tmp_path / "remote", "origin=https://host/owner/repo")
    for repo in (plain, remote):
        git("commit", "-q", "--allow-empty", "-m", "start", cwd=repo)
        git("worktree", "add", "-q", str(tmp_path / "trees" / repo.name), cwd=repo)

    found = [detect(tmp_path / "trees" / name, tmp_path) for name in ("plain", "remote")]

    assert [folder_name(plain), "owner/repo"] == found


def test_a_submodule_has_its_own_project(tmp_path: Path) -> None:
    library, repo = repository(tmp_path / "team" / "library"), repository(tmp_path / "x", "origin=https://h/o/r")
    git("commit", "-q", "--allow-empty", "-m", "start", cwd=library)
    git("submodule", "add", "-q", str(library), "vendored", cwd=repo)
    with_remote = detect(repo / "vendored", tmp_path)
    git("remote", "remove", "origin", cwd=repo / "vendored")

    without = detect(repo / "vendored", tmp_path)

    assert "team/library" == with_remote
    assert folder_name(repo / ".git" / "modules" / "vendored") == without


def test_bare_repositories_side_by_side_are_two_projects(tmp_path: Path) -> None:
    for name in ("one.git", "two.git"):
        (tmp_path / "srv" / name).mkdir(parents=True)
        git("init", "-q", "--bare", ".", cwd=tmp_path / "srv" / name)

    found = [detect(tmp_path / "srv" / name, tmp_path) for name in ("one.git", "two.git")]

    assert [folder_name(tmp_path / "srv" / name) for name in ("one.git", "two.git")] == found


def test_worktrees_round_a_hidden_bare_repository_are_named_by_the_folder_round_them(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / ".bare").mkdir(parents=True)
    git("init", "-q", "--bare", ".", cwd=project / ".bare")
    (project / ".git").write_text("gitdir: ./.bare\n")
    (project / "src").mkdir()

    assert folder_name(project) == detect(project / "src", tmp_path)


def test_a_separate_git_directory_is_followed(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    git("init", "-q", "--separate-git-dir", str(tmp_path / "store"), ".", cwd=tmp_path / "work")
    git("remote", "add", "origin", "../owner/repo.git", cwd=tmp_path / "work")

    assert "owner/repo" == detect(tmp_path / "work", tmp_path)


def test_the_environment_of_git_is_not_consulted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other, here = repository(tmp_path / "x", "origin=https://h/o/r"), tmp_path / "here"
    here.mkdir()
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))

    assert folder_name(here) == detect(here, tmp_path)


# Folders.


def test_a_folder_without_a_repository_is_named_by_itself(tmp_path: Path) -> None:
    (tmp_path / "api").mkdir()

    assert folder_name(tmp_path / "api") == detect(tmp_path / "api", tmp_path)


def test_the_home_directory_and_the_root_are_the_person(tmp_path: Path) -> None:
    home = repository(tmp_path / "home", "origin=https://host/ana/dotfiles")
    (tmp_path / "link").symlink_to(home)

    found = [projects.detect(place, home=home) for place in (home, tmp_path / "link", Path(tmp_path.anchor))]

    assert ["user"] * 3 == found


def test_a_repository_in_the_home_directory_does_not_reach_below(tmp_path: Path) -> None:
    home = repository(tmp_path / "home", "origin=https://host/ana/dotfiles")
    (home / "notes").mkdir()

    assert folder_name(home / "notes") == projects.detect(home / "notes", home=home)
    assert projects.repository_root(home / "notes", home=home) is None


def test_a_folder_reached_through_a_link_is_the_same_project(tmp_path: Path) -> None:
    (tmp_path / "api").mkdir()
    (tmp_path / "link").symlink_to("api")

    assert detect(tmp_path / "api", tmp_path) == detect(tmp_path / "link", tmp_path)


def test_a_folder_that_is_not_there_still_has_a_name(tmp_path: Path) -> None:
    assert folder_name(tmp_path / "gone") == detect(tmp_path / "gone", tmp_path)


@pytest.mark.parametrize("name", ["-rf", " api ", "a\nb", "e\u0301", "\u202eevil", "x" * 200, "---", "\udcff"])
def test_a_folder_of_any_name_gives_a_name_that_is_accepted(tmp_path: Path, name: str) -> None:
    found = detect(tmp_path / name, tmp_path)

    assert found == projects.check_name(found)


def test_a_loop_of_links_is_a_folder_like_others(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")

    assert detect(tmp_path / "loop", tmp_path).startswith("loop-")


# Broken repositories fall to the next rule.


LOST_POINTERS = [b"", b"gitdir:", b"gitdir: /nowhere/at/all", b"gitdir: \0", b"gitdir: .git", b"\xff\xfe", b"nonsense"]


@pytest.mark.parametrize("pointer", [*LOST_POINTERS, b"gitdir: " + b"x" * 100_000])
def test_a_git_file_that_leads_nowhere_marks_its_folder(tmp_path: Path, pointer: bytes) -> None:
    (tmp_path / "x" / "sub").mkdir(parents=True)
    (tmp_path / "x" / ".git").write_bytes(pointer)

    assert folder_name(tmp_path / "x") == detect(tmp_path / "x" / "sub", tmp_path)


@pytest.mark.parametrize(
    "config",
    [
        b"",
        b"\xff\xfe\x00",
        b"[remote",
        b'[remote "origin',
        b'[remote "origin"]\nurl',
        b'[remote "origin"]\nurl =',
        b'[remote "origin"]\nurl = "',
        b'[remotes "origin"]\nurl = https://h/o/r',
        b'[include]\npath = other\n[includeIf "gitdir:/"]\npath = other',
        b'[remote "origin"]\nurl = https://h/o/r\n' + b"#" * limits.GIT_CONFIG_BYTES_MAX,
        b'[remote "origin"]\nurl = https://h/o/' + b"r" * limits.SOURCE_CHARS_MAX,
    ],
)
def test_a_config_without_a_usable_remote_leaves_the_folder(tmp_path: Path, config: bytes) -> None:
    repo = with_config(tmp_path / "x", config)
    (repo / ".git" / "other").write_text('[remote "origin"]\nurl = https://h/included/one')

    assert folder_name(repo) == detect(repo, tmp_path)


def test_a_config_that_is_a_directory_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "x" / ".git" / "config").mkdir(parents=True)

    assert folder_name(tmp_path / "x") == detect(tmp_path / "x", tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_config_that_would_block_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "x" / ".git").mkdir(parents=True)
    os.mkfifo(tmp_path / "x" / ".git" / "config")

    assert folder_name(tmp_path / "x") == detect(tmp_path / "x", tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_git_directory_that_may_not_be_read_leaves_the_folder(tmp_path: Path) -> None:
    repo = with_config(tmp_path / "x", '[remote "origin"]\nurl = https://h/o/r')
    (repo / ".git").chmod(0)

    try:
        assert folder_name(repo) == detect(repo, tmp_path)
    finally:
        (repo / ".git").chmod(0o700)


def test_a_common_directory_that_is_gone_leaves_the_repository_itself(tmp_path: Path) -> None:
    repo = with_config(tmp_path / "x", '[remote "origin"]\nurl = https://h/o/r')
    (repo / ".git" / "commondir").write_text("../nowhere")

    assert "o/r" == detect(repo, tmp_path)


# Git's config, as it may be written.


@pytest.mark.parametrize(
    "config",
    [
        '[remote "origin"] url = https://h/o/r',
        '[REMOTE "origin"]\n\tURL=https://h/o/r ; comment',
        '[remote.origin]\nurl = "https://h/o/r" # comment',
        '[remote "origin"]\r\nurl = https://h/o/r\r\n',
        '[remote "origin"]\nurl = https://h/\\\no/r',
        '[remote "origin"]\npushurl = https://h/x/y\nurl =\nurl = https://h/o/r\nurl = https://h/x/y',
        '[core]\nurl = x\n[remote "a]b"]\nurl = https://h/x/y\n[remote "origin"]\nfetch = +a:b\nurl = https://h/o/r',
        '\ufeff[remote "origin"]\nurl = https://h/o/"r"',
        '[remote "origin"]\n[branch "main"]\nurl = https://h/x/y\n[remote "origin"]\nurl = https://h/o/r',
        '[remote "ori\\gin"]\nurl = https://h/o/r',
    ],
)
def test_the_url_is_found_however_the_config_is_written(tmp_path: Path, config: str) -> None:
    assert "o/r" == detect(with_config(tmp_path / "x", config), tmp_path)


# URLs.


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://github.com/owner/repo", "owner/repo"),
        ("https://github.com/owner/repo.git", "owner/repo"),
        ("https://github.com/owner/repo.GIT/", "owner/repo"),
        ("HTTPS://github.com:443//owner//repo.git", "owner/repo"),
        ("https://gitlab.com/group/sub/repo.git", "group/sub/repo"),
        ("https://ana:secret@host/owner/repo", "owner/repo"),
        ("https://token@host/owner/repo", "owner/repo"),
        ("https://ana:se/cr@et@host/owner/repo", "host/owner/repo"),
        ("https://ana:se/cret@host/owner/repo", "host/owner/repo"),
        ("https://ana:se?cret@host/owner/repo", "owner/repo"),
        ("https://host/owner/repo?access_token=secret#x", "owner/repo"),
        ("https://host/repo.git", "host/repo"),
        ("https://[::1]:8080/repo.git", "::1/repo"),
        ("https://host/owner/.github", "owner/.github"),
        ("https://host/owner/repo.js", "owner/repo.js"),
        ("ssh://git@host:2222/owner/repo.git", "owner/repo"),
        ("ssh://git@host/~ana/repo.git", "~ana/repo"),
        ("git+ssh://git@host/owner/repo", "owner/repo"),
        ("git://host/owner/repo.git", "owner/repo"),
        ("git@github.com:owner/repo.git", "owner/repo"),
        ("github.com:owner/repo", "owner/repo"),
        ("gh:owner/repo", "owner/repo"),
        ("git@host:/owner/repo.git", "owner/repo"),
        ("git@host:group/sub/repo.git", "group/sub/repo"),
        ("git@host:repo.git", "host/repo"),
        ("git@[::1]:owner/repo.git", "owner/repo"),
        ("ana:secret@host:owner/repo", "owner/repo"),
        ("ana:secret@host/owner/repo", "host/owner/repo"),
        ("/srv/git/team/repo.git", "team/repo"),
        ("/srv/git/team/repo/.git", "team/repo"),
        ("file:///srv/git/team/repo.git/", "team/repo"),
        ("../other.git", "work/other"),
        ("../../x/../repo", "ana/repo"),
        ("team/repo", "team/repo"),
        ("C:\\git\\team\\repo.git", "team/repo"),
        ("C:/git/team/repo.git", "team/repo"),
        ("~/git/repo", "git/repo"),
        ("ext::ssh -p 1 host:owner/repo", "owner/repo"),
        ("https://host/Gruppe/e\u0301t\u00e9", "Gruppe/\u00e9t\u00e9"),
        ("https://host/-owner/ repo", "owner/repo"),
        ("https://host/ow\x1bner/repo", "ow-ner/repo"),
    ],
)
def test_a_url_names_owner_and_repository(url: str, name: str) -> None:
    assert name == projects.remote_name(url, BASE)


BARE_URLS = [
    "",
    " ",
    "https://",
    "https://host",
    "https://host/",
    "https://host/.git",
    "git@host:",
    "https://a:b@",
    "://",
]


@pytest.mark.parametrize("url", [*BARE_URLS, "/", "/repo.git", "file:///x"])
def test_a_url_of_fewer_than_two_levels_names_nothing(url: str) -> None:
    assert projects.remote_name(url, Path("/")) is None


def test_a_long_name_is_cut_and_stays_distinct() -> None:
    names = [projects.remote_name(f"https://host/{'group/' * 40}{repo}", BASE) for repo in ("one", "two")]

    assert [limits.NAME_CHARS_MAX] * 2 == [len(name or "") for name in names]
    assert names[0] != names[1]


JUNK = st.text(max_size=60) | st.text(alphabet=":/@.[]~\\?#-giteo \u0301\x00", max_size=40)


@given(st.sampled_from(["", "https://", "ssh://", "file://", "git@", "x::", "C:/", "/"]), JUNK)
@example("", "\u0301/\u0301")
def test_any_url_gives_a_name_that_is_accepted_or_none(start: str, junk: str) -> None:
    name = projects.remote_name(start + junk, BASE)

    assert name is None or name == projects.check_name(name)


@given(
    st.sampled_from(["https://", "ssh://", "git+ssh://", "file://", "ext::", "", "git:", "/", "C:\\", "../"]),
    st.text(max_size=8),
    st.text(max_size=8),
    st.sampled_from(["host/owner/repo", "host:owner/repo.git", "host:22/owner/repo", "host/repo", "repo", ""]),
)
def test_no_part_of_credentials_is_in_a_name(scheme: str, user: str, word: str, rest: str) -> None:
    name = projects.remote_name(f"{scheme}{user}USER:SECRET{word}SECRET@{rest}", BASE) or ""

    assert "USER" not in name
    assert "SECRET" not in name
    assert "@" not in name


@given(st.binary(max_size=200))
@example(b'[remote "origin"]\nurl = \\')
@example(b'[remote "origin\\"]\nurl = "a\\')
def test_any_config_gives_a_name_that_is_accepted(tmp_path_factory: pytest.TempPathFactory, config: bytes) -> None:
    repo = tmp_path_factory.getbasetemp() / "any-config"
    (repo / ".git").mkdir(parents=True, exist_ok=True)
    (repo / ".git" / "config").write_bytes(b'[remote "origin"]\nurl = ' + config)

    name = projects.detect(repo, home=repo.parent)

    assert name == projects.check_name(name)


# Names.


@pytest.mark.parametrize("name", ["a", "owner/repo", "x" * limits.NAME_CHARS_MAX, "日本 語", "user", "a-", ".x"])
def test_a_fit_name_is_given_back(name: str) -> None:
    assert name == projects.check_name(name)


def test_a_name_is_stored_composed() -> None:
    assert "\u00e9" == projects.check_name("e\u0301")


@pytest.mark.parametrize(
    "name", ["", " a", "a ", "\u00a0a", "-a", "a\nb", "a\x00", "a\x7f", "a\u2028b", "a\u202eb", "\ud800"]
)
def test_an_unfit_name_is_refused(name: str) -> None:
    with pytest.raises(Invalid):
        projects.check_name(name)


@pytest.mark.parametrize("size", [limits.NAME_CHARS_MAX + 1, 1 << 20])
def test_a_long_name_is_refused_with_the_limit(size: int) -> None:
    with pytest.raises(TooLarge, match=f"at most {limits.NAME_CHARS_MAX}"):
        projects.check_name("x" * size)


@given(st.text())
def test_a_name_that_was_accepted_is_accepted_again_unchanged(text: str) -> None:
    try:
        name = projects.check_name(text)
    except (Invalid, TooLarge):
        return

    assert name == projects.check_name(name)
    assert 1 <= len(name) <= limits.NAME_CHARS_MAX


def test_without_a_home_variable_the_system_is_asked() -> None:
    assert Path.home() == projects.user_home({})
