"""Where an environment's code is looked for: its base interpreter, what moves search paths, the current folder."""

from __future__ import annotations

import os
import sys

import pytest

from edges.environment.environments import ENVIRONMENT, Environment, later
from saksi.edges.environment.editable import pointed_to
from saksi.edges.environment.interpreter import describe, site_folders
from saksi.edges.environment.listing import list_environment
from saksi.edges.environment.roots import find_roots
from saksi.edges.environment.watched_files import look_at
from saksi.judgement.environment.watched_files import changes_between, tree_of

VERSION = "python{}.{}".format(*sys.version_info[:2])


@pytest.fixture
def environment(tmp_path):
    return Environment(tmp_path / "venv")


@pytest.fixture
def other(tmp_path):
    """Another interpreter's prefix, with a small standard library."""
    library = tmp_path / "other" / "lib" / VERSION
    library.mkdir(parents=True)
    (library / "os.py").write_text("# another\n")
    (tmp_path / "other" / "bin").mkdir()
    (tmp_path / "other" / "bin" / VERSION).write_text("#!/bin/sh\n")
    return tmp_path / "other"


def roots_of(environment, **variables):
    python = describe(environment.python, ENVIRONMENT, cache=None, now_ns=later())
    return find_roots(python, {**ENVIRONMENT, **variables}, environment.folder)


def listed(environment, **variables):
    question = environment.question(environment={**ENVIRONMENT, **variables})
    listing = list_environment(question, now_ns=later())
    return {each.place.label: {file.path: file.where for file in each.walked} for each in listing.listed}


def set_home(environment, home):
    settings = environment.folder / "pyvenv.cfg"
    lines = [line for line in settings.read_text().splitlines() if not line.startswith("home")]
    settings.write_text("\n".join([f"home = {home}", *lines]) + "\n")


def test_the_standard_library_of_a_venv_is_that_of_its_home(environment, other):
    own = listed(environment)
    assert own["stdlib"]["os.py"] == os.path.realpath(os.__file__)
    set_home(environment, other / "bin")
    found = listed(environment)
    assert found["stdlib"] == {"os.py": os.path.realpath(other / "lib" / VERSION / "os.py")}
    assert os.path.realpath(other / "bin" / VERSION) in found["executable"].values()


def test_the_standard_library_that_a_variable_names_is_the_one_that_is_listed(environment, other):
    assert set(listed(environment, PYTHONHOME=str(other))["stdlib"]) == {"os.py"}


def test_a_home_that_is_not_there_is_said(environment, tmp_path):
    assert roots_of(environment).unknown == ()
    set_home(environment, tmp_path / "gone" / "bin")
    (reason,) = roots_of(environment).unknown
    assert "pyvenv.cfg" in reason


def test_what_moves_the_search_path_is_watched_and_an_edit_of_it_is_told(environment):
    question = environment.question()
    first = look_at(question, now_ns=later())
    assert ("executable", "venv/pyvenv.cfg") in first.files
    settings = environment.folder / "pyvenv.cfg"
    settings.write_text(settings.read_text() + "\n")
    changes = changes_between(first, look_at(question, now_ns=later(), before=first))
    assert [(each.label, each.path, each.what) for each in changes.listed] == [
        ("executable", "venv/pyvenv.cfg", "changed")
    ]


def test_a_file_that_replaces_the_whole_search_path_leaves_nothing_known(environment):
    (environment.python.parent / f"{environment.python.name}._pth").write_text("/elsewhere\n")
    found = look_at(environment.question(), now_ns=later())
    assert ("executable", f"venv/bin/{environment.python.name}._pth") in found.files
    assert tree_of(found) is None
    assert "replaces the search path" in found.reason


def test_the_names_of_path_files_do_not_change_with_the_place(tmp_path):
    names = [set(listed(Environment(tmp_path / each))["executable"]) for each in ("one", "another/deeper")]
    assert names[0] == names[1]
    assert "venv/pyvenv.cfg" in names[0]


def test_an_empty_entry_of_the_python_path_is_the_folder_of_the_command(environment, tmp_path):
    (environment.folder / "random.py").write_text("")
    assert "path:0" not in {each.label for each in roots_of(environment, PYTHONPATH="").places}
    places = {each.label: each.folder for each in roots_of(environment, PYTHONPATH=f":{tmp_path}").places}
    assert places["path:0"] == os.path.realpath(environment.folder)
    assert places["path:1"] == os.path.realpath(tmp_path)
    python = describe(environment.python, ENVIRONMENT, cache=None, now_ns=later())
    found = site_folders(python, {**ENVIRONMENT, "PYTHONPATH": f"{tmp_path}:"}, environment.folder, frozenset())
    assert environment.folder in found


def test_a_pipe_in_the_place_of_a_file_of_paths_holds_nobody_up(environment, tmp_path):
    pipe = environment.site / "a.pth"
    os.mkfifo(pipe)
    (environment.site / "b.pth").write_text(f"{tmp_path}\n")
    writer = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)  # somebody writes there, and has not written yet
    try:
        assert pointed_to(str(environment.site)).paths == (str(tmp_path),)
    finally:
        os.close(writer)
