from __future__ import annotations

from pathlib import Path

import pytest

from saksi.edges.configuration import read_configuration
from saksi.edges.home import Home, Label, find_run, resolve_cache, resolve_home
from saksi.judgement.configuration import Configuration
from saksi.words.errors import StoreError, UsageError


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"SAKSI_HOME": "/s", "XDG_DATA_HOME": "/x", "HOME": "/h"}, "/s"),
        ({"SAKSI_HOME": "", "XDG_DATA_HOME": "/x", "HOME": "/h"}, "/x/saksi"),
        ({"XDG_DATA_HOME": "relative", "HOME": "/h"}, "/h/.local/share/saksi"),
        ({"HOME": "/h"}, "/h/.local/share/saksi"),
    ],
)
def test_where_the_home_is(environment, expected):
    assert resolve_home(environment) == Home(Path(expected))


def test_no_home_is_said():
    with pytest.raises(UsageError, match="neither SAKSI_HOME nor HOME is set"):
        resolve_home({})
    with pytest.raises(UsageError, match="SAKSI_HOME=here is not an absolute path"):
        resolve_home({"SAKSI_HOME": "here", "HOME": "/h"})


def test_runs_are_folders_of_ours(tmp_path):
    home = Home(tmp_path / "home")
    assert home.run_ids() == ()
    folder = home.create_run("0123456789abcdef")
    assert folder == home.run_folder("0123456789abcdef")
    assert folder.stat().st_mode & 0o777 == 0o700
    (home.runs / "0123456789abcdef.incoming").mkdir()
    assert home.run_ids() == ("0123456789abcdef",)
    with pytest.raises(StoreError, match="is there already"):
        home.create_run("0123456789abcdef")
    with pytest.raises(UsageError, match="not a run id"):
        home.create_run("../x")


def test_a_home_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot make"):
        Home(tmp_path / "file").create_run("0" * 16)
    assert Home(tmp_path / "file").run_ids() == ()


LABELS = {
    "aa00000000000000": Label("baseline", 10),
    "aa11111111111111": Label("cafe", 30),
    "cafe000000000000": Label(None, 20),
    "bb00000000000000": Label("baseline", 5),
    "dd00000000000000": None,
}
RUNS = {run: Path("/runs") / run for run in LABELS}


def find(text, runs=None):
    return find_run(text, RUNS if runs is None else runs, lambda folder: LABELS[folder.name])


@pytest.mark.parametrize(
    ("text", "run"),
    [
        ("aa00000000000000", "aa00000000000000"),
        ("bb", "bb00000000000000"),
        ("dd", "dd00000000000000"),
        ("last", "aa11111111111111"),
        ("cafe0", "cafe000000000000"),
    ],
)
def test_what_a_run_is_called(text, run):
    assert find(text) == run


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("aa", r"'aa' can mean aa11111111111111 \(cafe\), aa00000000000000 \(baseline\) \(give the whole id"),
        ("baseline", r"can mean aa00000000000000 \(baseline\), bb00000000000000 \(baseline\)"),
        ("cafe", r"can mean aa11111111111111 \(cafe\), cafe000000000000"),
        ("zz", r"no run 'zz' \(see `saksi runs`\)"),
        ("", "no run ''"),
        ("../aa", "no run"),
    ],
)
def test_what_is_not_one_run_is_said_in_one_line(text, said):
    with pytest.raises(UsageError, match=said) as refused:
        find(text)
    assert "\n" not in str(refused.value)


def test_without_runs_there_is_no_last():
    with pytest.raises(UsageError, match="no run yet"):
        find("last", {})


def test_many_candidates_are_not_all_listed():
    runs = {f"{number:016x}": Path(f"/{number}") for number in range(20)}
    with pytest.raises(UsageError, match="and 12 more"):
        find_run("0", runs, lambda _folder: None)


def test_a_whole_id_needs_no_log():
    assert find_run("dd00000000000000", RUNS, lambda _folder: pytest.fail("looked")) == "dd00000000000000"


def test_the_cache_is_on_this_node(tmp_path):
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": "/nonexistent"}
    assert resolve_cache(environment, lambda _path: "ext4", uid=7) == tmp_path / "cache" / "saksi"
    assert (tmp_path / "cache" / "saksi").is_dir()


def test_a_cache_on_a_network_goes_to_the_local_disk(tmp_path):
    environment = {"HOME": str(tmp_path)}
    uid = tmp_path.stat().st_uid

    def kind(path):
        return "nfs" if ".cache" in path.parts else "ext4"

    found = resolve_cache(environment, kind, uid=uid, fallback=tmp_path)
    assert found == tmp_path / f"saksi-{uid}" / "cache"
    (tmp_path / f"saksi-{uid}").chmod(0o755)
    assert resolve_cache(environment, kind, uid=uid, fallback=tmp_path) is None
    assert resolve_cache({}, lambda _path: "nfs", uid=uid, fallback=tmp_path) is None


def test_no_cache_is_no_error(tmp_path):
    (tmp_path / "file").write_text("x")
    environment = {"XDG_CACHE_HOME": str(tmp_path / "file")}
    assert resolve_cache(environment, lambda _p: None, uid=0, fallback=tmp_path / "file") is None


def test_settings_are_read_up_to_the_repositorys_top(tmp_path):
    (tmp_path / "saksi.toml").write_text('project = "planted"')
    top = tmp_path / "repository"
    below = top / "a" / "b"
    below.mkdir(parents=True)
    assert read_configuration(below) == (Configuration(), None)
    (top / ".git").mkdir()
    (top / "pyproject.toml").write_text('[tool.saksi]\nproject = "mine"\n')
    assert read_configuration(below) == (Configuration(project="mine"), top / "pyproject.toml")
    (top / "saksi.toml").write_text('project = "first"')
    assert read_configuration(below).settings.project == "first"
    (below / "pyproject.toml").write_text("[project]\nname = 'saksi-user'\n")
    assert read_configuration(below).settings.project == "first"


def test_settings_that_cannot_be_read(tmp_path):
    (tmp_path / "saksi.toml").write_text("trust = 'x'")
    with pytest.raises(UsageError, match=r"saksi.toml: 'trust' is never read"):
        read_configuration(tmp_path)
    (tmp_path / "saksi.toml").unlink()
    (tmp_path / "saksi.toml").mkdir()
    with pytest.raises(UsageError, match="Is a directory"):
        read_configuration(tmp_path)
