"""Walks: what is entered, what is passed over and said, and what bounds them."""

from __future__ import annotations

import os
import tracemalloc

import pytest

from saksi.edges.environment import walk as edge_walk
from saksi.edges.environment.stat_cache import Known
from saksi.edges.environment.tree import read_files
from saksi.edges.environment.walk import Place, walk


def put(folder, *paths):
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("")


def names(found):
    return [each.path for each in found.files]


def test_code_in_folders_of_a_checkout_that_an_import_reaches_is_listed(tmp_path):
    put(tmp_path, "model.py", "node_modules/a.py", "env/pyvenv.cfg", "env/lib/b.py", "v1.2/train.py")
    put(tmp_path, "env/lib/python3.11/site-packages/c.py", ".git/hooks/d.py", ".venv/e.py")
    found = walk(Place(label="path:0", folder=str(tmp_path), checkout=True))
    assert names(found) == ["env/lib/b.py", "env/pyvenv.cfg", "model.py", "node_modules/a.py", "v1.2/train.py"]
    assert found.passed == (".git", ".venv", "env/lib/python3.11")
    assert walk(Place(label="purelib", folder=str(tmp_path))).passed == ()


def test_a_root_that_is_itself_an_environment_is_entered(tmp_path):
    put(tmp_path, "pyvenv.cfg", "lib/python3.11/a.py")
    assert "lib/python3.11/a.py" in names(walk(Place(label="path:0", folder=str(tmp_path), checkout=True)))


def test_links_to_folders_of_links_are_not_followed_without_end(tmp_path):
    below = tmp_path / "d00"
    below.mkdir()
    put(below, "leaf.py")
    for level in range(1, 20):
        folder = tmp_path / f"d{level:02}"
        folder.mkdir()
        (folder / "a").symlink_to(below)
        (folder / "b").symlink_to(below)
        below = folder
    found = walk(Place(label="path:0", folder=str(below)))
    assert len(found.folders) <= 20 * edge_walk.MAX_NAMES
    assert any(each.reason is not None and "names" in each.reason for each in found.files)


def test_a_folder_of_two_names_is_listed_under_both(tmp_path):
    put(tmp_path, "lib/a.py")
    (tmp_path / "lib64").symlink_to("lib")
    found = walk(Place(label="purelib", folder=str(tmp_path)))
    assert names(found) == ["lib/a.py", "lib64/a.py"]
    assert all(each.reason is None for each in found.files)


def test_a_walk_ends_at_its_bound_of_folders_and_when_it_is_told_to(tmp_path, monkeypatch):
    put(tmp_path, "a/a.py", "b/b.py", "c/c.py")
    place = Place(label="purelib", folder=str(tmp_path))
    assert walk(place).reason is None
    assert "ended before every folder" in walk(place, go_on=lambda: False).reason
    monkeypatch.setattr(edge_walk, "MAX_FOLDERS", 2)
    found = walk(place)
    assert found.reason == "more than 2 folders: the rest was not listed"
    assert len(found.folders) == 2


def test_a_file_that_grew_since_it_was_listed_is_not_given_the_memory_that_it_asks_for(tmp_path):
    put(tmp_path, "a.py")
    found = walk(Place(label="purelib", folder=str(tmp_path)))
    os.truncate(tmp_path / "a.py", 1 << 33)
    tracemalloc.start()
    try:
        (read,) = read_files(found.files, Known(None, now_ns=0))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert read.reason == "it changed while it was read"
    assert most < 1 << 26


@pytest.mark.parametrize("again", [False, True])
def test_bytecode_that_was_made_anew_counts_as_another_name_in_its_folder(tmp_path, again):
    put(tmp_path, "a.py", "__pycache__/a.pyc")
    place = Place(label="purelib", folder=str(tmp_path))
    before = walk(place).folders[0].names
    if again:
        (tmp_path / "__pycache__").rename(tmp_path.with_name("kept"))
        put(tmp_path, "__pycache__/a.pyc")
    assert (walk(place).folders[0].names == before) is not again
