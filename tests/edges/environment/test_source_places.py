from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path

import pytest

import saksi
from saksi.edges.environment.source_places import OwnCode, SourcePlaces


@pytest.fixture
def site(tmp_path):
    """A folder of packages with one that its RECORD lists, and one that nobody installed."""
    site = tmp_path / "env/lib/python3.11/site-packages"
    for name in ("listed", "stray"):
        (site / name / "inner").mkdir(parents=True)
        for folder in (site / name, site / name / "inner"):
            (folder / "__init__.py").touch()
    (site / "listed-1.dist-info").mkdir()
    (site / "listed-1.dist-info/RECORD").write_text("listed/__init__.py,,\nlisted/inner/__init__.py,sha256=x,0\n")
    return site


def place(path, **own):
    found = SourcePlaces(OwnCode(**own)).place(str(path))
    return found.origin, found.unit


def test_an_installed_package_is_one_that_a_record_lists(site):
    assert place(site / "listed/inner/__init__.py") == ("package", str(site / "listed"))
    assert place(site / "listed/inner/other.py") == ("elsewhere", str(site / "listed"))
    assert place(site / "stray/__init__.py") == ("elsewhere", str(site / "stray"))
    assert place(site / "alone.py") == ("elsewhere", str(site / "alone.py"))


def test_packages_below_the_users_own_folder_are_packages_first(site, tmp_path):
    assert place(site / "stray/__init__.py", folders=(str(tmp_path),))[0] == "elsewhere"


def test_the_users_own_code_is_the_script_and_what_lies_beside_it(tmp_path):
    own = tmp_path / "project"
    (own / "package/deep").mkdir(parents=True)
    for each in ("package/__init__.py", "package/deep/__init__.py"):
        (own / each).touch()
    script = str(own / "train.py")
    assert place(script, script=script, folders=(str(own),)) == ("script", script)
    assert place(own / "package/deep/x.py", folders=(str(own),)) == ("tree", str(own / "package"))
    assert place(tmp_path / "other.py", folders=(str(own),)) == ("elsewhere", str(tmp_path / "other.py"))


def test_an_editable_installation_is_a_package(site, tmp_path):
    checkout = tmp_path / "check out"
    (checkout / "lib").mkdir(parents=True)
    (checkout / "lib/__init__.py").touch()
    (site / "lib-1.dist-info").mkdir()
    (site / "lib-1.dist-info/direct_url.json").write_text(
        f'{{"url":"file://{str(checkout).replace(" ", "%20")}","dir_info":{{"editable":true}}}}'
    )
    places = SourcePlaces(OwnCode())
    places.place(str(site / "listed/__init__.py"))  # it is known once the folder of packages has been looked at
    found = places.place(str(checkout / "lib/__init__.py"))
    assert (found.origin, found.unit) == ("package", str(checkout / "lib"))


def test_only_the_folders_of_the_interpreter_that_is_named_count_as_what_their_names_say(site, tmp_path):
    listed, env, other = site / "listed/__init__.py", str(tmp_path / "env"), str(tmp_path / "other")
    (site.parent / "os.py").touch()
    assert place(listed)[0] == place(listed, installations=(env,))[0] == "package"
    assert place(listed, installations=(other,)) == ("elsewhere", str(site / "listed"))
    assert place(listed, installations=(other,), folders=(str(tmp_path),))[0] == "tree"
    library = site.parent / "random.py"
    assert place(library, installations=(env,)) == ("library", str(site.parent))
    assert place(library, installations=(other,)) == ("elsewhere", str(library))


def test_an_installation_is_found_behind_a_link(site, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "env")
    through = tmp_path / "link/lib/python3.11/site-packages/listed/__init__.py"
    assert place(through, installations=(str(tmp_path / "env"),))[0] == "package"
    assert place(site / "listed/__init__.py", installations=(str(tmp_path / "link"),))[0] == "package"


def test_packages_of_the_account_itself_are_installed_ones(tmp_path, monkeypatch):
    site = tmp_path / ".local/lib/python3.11/site-packages"
    (site / "mine-1.dist-info").mkdir(parents=True)
    (site / "mine-1.dist-info/RECORD").write_text("mine.py,,\n")
    (site / "mine.py").touch()
    assert place(site / "mine.py", installations=("/env",))[0] == "elsewhere"
    account = pwd.getpwuid(os.getuid())
    monkeypatch.setattr(pwd, "getpwuid", lambda _: pwd.struct_passwd((*account[:5], str(tmp_path), account[6])))
    assert place(site / "mine.py", installations=("/env",))[0] == "package"


def test_pythons_library_and_the_recorder():
    assert place(os.__file__) == ("library", str(Path(os.__file__).parent))
    recorder = Path(saksi.__file__).parent / "recorder/path"
    assert place(recorder / "saksi_recorder/steps.py") == ("recorder", str(recorder))
    assert place(pytest.__file__)[0] == "package"
    assert sys.prefix


@pytest.mark.parametrize("path", ["", "\0", "x" * 5_000, "/" * 400, "/proc/self/mem", "relative.py"])
def test_no_path_raises(path):
    assert place(path)[0] == "elsewhere"


def test_a_broken_direct_url_is_no_editable_installation(site):
    (site / "bad-1.dist-info").mkdir()
    for content in (b"\xff", b"[]", b"{", b'{"url":1}', b'{"url":"file:///","dir_info":{"editable":true}}'):
        (site / "bad-1.dist-info/direct_url.json").write_bytes(content)
        assert place(site / "stray/__init__.py")[0] == "elsewhere"
        assert place("/anything.py")[0] == "elsewhere"


def test_lists_that_are_no_files_hold_nobody_up(site):
    for name, list_ in (("pipe-1.dist-info", "RECORD"), ("endless-1.dist-info", "direct_url.json")):
        (site / name).mkdir()
        if list_ == "RECORD":
            os.mkfifo(site / name / list_)
        else:
            (site / name / list_).symlink_to("/dev/zero")
    assert place(site / "listed/__init__.py")[0] == "package"
