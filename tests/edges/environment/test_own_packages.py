"""A folder on PYTHONPATH is the project's own if it lies in its repository and holds nothing else."""

from __future__ import annotations

import os

import pytest

from edges.environment.repositories import git, make_repository
from saksi.edges.environment.own_packages import own_packages, without


@pytest.fixture
def project(tmp_path):
    folder = make_repository(tmp_path / "project")
    (folder / "src").mkdir()
    (folder / "src" / "ours.py").write_text("")
    (folder / ".gitignore").write_text("ignored\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "x")
    return folder


def asked(project, *entries):
    path = os.pathsep.join(str(each) for each in entries)
    return own_packages({**os.environ, "PYTHONPATH": path}, project)


def test_a_tracked_folder_is_as_it_is_written_there(project):
    assert asked(project, project / "src") == (str(project / "src"),)
    assert asked(project, "src", "/usr/lib") == ("src",)


@pytest.mark.parametrize(
    "name", ["other.py", "ignored", "deep/er/__init__.py", "sitecustomize.pyc", "__pycache__/x.py"]
)
def test_one_file_that_is_not_in_the_commit_makes_it_none(project, name):
    (project / "src" / name).parent.mkdir(parents=True, exist_ok=True)
    (project / "src" / name).write_text("")
    assert asked(project, "src") == ()


def test_a_file_that_was_edited_or_is_only_staged_or_is_a_link_makes_it_none(project, tmp_path):
    (project / "src" / "ours.py").write_text("edited")
    assert asked(project, "src") == ()
    git(project, "checkout", "-q", "src")
    assert asked(project, "src") == ("src",)
    (project / "src" / "staged.py").write_text("")
    git(project, "add", "-A")
    assert asked(project, "src") == ()
    git(project, "reset", "-q", "--hard")
    (tmp_path / "elsewhere.py").write_text("")
    (project / "src" / "link.py").symlink_to(tmp_path / "elsewhere.py")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "a link")
    assert asked(project, "src") == ()


def test_a_submodule_there_is_none_of_the_commit(project, tmp_path):
    inner = make_repository(project / "src" / "inner")
    (inner / "m.py").write_text("")
    git(inner, "add", "-A")
    git(inner, "commit", "-qm", "x")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "a submodule")
    assert asked(project, "src", "src/inner") == ()


def test_bytecode_beside_its_source_makes_no_difference(project):
    (project / "src" / "__pycache__").mkdir()
    (project / "src" / "__pycache__" / "ours.cpython-311.pyc").write_bytes(b"")
    assert asked(project, "src") == ("src",)


def test_a_folder_elsewhere_is_none_and_so_is_a_link_that_leads_there(project, tmp_path):
    (tmp_path / "shared").mkdir()
    (project / "lib").symlink_to(tmp_path / "shared")
    assert asked(project, tmp_path / "shared", "lib", "gone") == ()


def test_without_a_repository_there_is_none(tmp_path):
    (tmp_path / "src").mkdir()
    assert asked(tmp_path, "src") == ()


def test_what_is_left_out_leaves_the_others_in_their_order():
    path = os.pathsep.join(["a", "b", "", "c"])
    assert without({"PYTHONPATH": path, "X": "1"}, ("b",)) == {"PYTHONPATH": os.pathsep.join(["a", "", "c"]), "X": "1"}
    assert without({"X": "1"}, ()) == {"X": "1"}
