"""Which files count, and what changed between two looks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saksi.judgement.environment.watched_files import (
    FileAt,
    FilesAt,
    FolderAt,
    changes_between,
    is_watched,
    matters,
    tree_of,
    watches_folder,
)
from saksi.words.codec import decode_record, encode_record
from saksi.words.digest import sha256
from saksi.words.file_changes import MAX_FILE_CHANGES
from saksi.words.limits import MAX_ENTRY_BYTES
from saksi.words.records import EnvironmentRecord

ONE, TWO = str(sha256(b"1")), str(sha256(b"2"))
STATE, HOLDER = (1, 2, 5, 10, 10), (0o644, 0, 0, 1)
AT = FileAt(ONE, 5, STATE, HOLDER)


def looked(files, reason=None):
    return FilesAt(files={("purelib", path): at for path, at in files.items()}, now_ns=0, reason=reason)


@pytest.mark.parametrize(
    ("label", "path", "expected"),
    [
        ("purelib", "a.py", True),
        ("purelib", "data.json", True),
        ("purelib", "a.pyc", True),
        ("purelib", "p/__pycache__/a.cpython-311.pyc", False),
        ("stdlib", "__pycache__/a.pyc.1234", False),
        ("path:0", "model.py", True),
        ("path:0", "out/log.txt", False),
        ("editable:mine", "ckpt.pt", False),
        ("editable:mine", "lib/libx.so.1", True),
    ],
)
def test_what_counts(label, path, expected):
    assert is_watched(label, path) is expected


@pytest.mark.parametrize(
    ("now", "what"),
    [
        (AT, None),
        (AT._replace(digest=TWO), "changed"),
        (None, "removed"),
        (AT._replace(state=(1, 2, 5, 10, 11)), "rewritten"),
        (AT._replace(state=(1, 2, 5, 11, 11)), "rewritten"),
        (AT._replace(state=(1, 3, 5, 10, 11)), "relinked"),
        (AT._replace(state=(9, 2, 5, 10, 10)), "relinked"),
        (AT._replace(state=(9, 3, 5, 11, 11)), "rewritten"),
        (AT._replace(state=(1, 2, 5, 10, 11), holder=(0o644, 0, 0, 2)), "relinked"),
        (AT._replace(state=(1, 2, 5, 11, 11), holder=(0o644, 0, 0, 2)), "rewritten"),
        (FileAt(ONE, 5), None),
    ],
)
def test_what_became_of_a_file(now, what):
    changes = changes_between(looked({"a.py": AT}), looked({} if now is None else {"a.py": now}))
    assert [each.what for each in changes.listed] == ([] if what is None else [what])
    assert changes.totals == ({} if what is None else {what: 1})
    assert changes.matter is (what not in (None, "relinked"))


@pytest.mark.parametrize("path", ["python._pth", "bin/pybuilddir.txt", "venv/pyvenv.cfg"])
def test_a_new_file_that_moves_the_search_path_matters(path):
    changes = changes_between(looked({}), FilesAt(files={("executable", path): AT}, now_ns=0))
    assert changes.matter


def test_new_code_in_a_checkout_matters_only_while_the_command_runs():
    (change,) = changes_between(looked({}), FilesAt(files={("path:0", "random.py"): AT}, now_ns=0)).listed
    assert (matters(change), matters(change, running=True)) == (False, True)


FOLDER = FolderAt((1, 2, 10, 10), (0o755, 0, 0), 7)


@pytest.mark.parametrize(
    ("now", "what"),
    [
        (FOLDER, []),
        (FOLDER._replace(state=(1, 2, 11, 11)), ["rewritten"]),
        (FOLDER._replace(state=(1, 2, 10, 11)), ["rewritten"]),
        (FOLDER._replace(state=(1, 2, 10, 11), holder=(0o700, 0, 0)), ["relinked"]),
        (FOLDER._replace(state=(1, 2, 11, 11), names=8), []),
    ],
)
def test_a_folder_that_moved_and_has_the_same_names_is_told(now, what):
    before, after = (FilesAt(files={}, folders={("purelib", "m/"): each}, now_ns=0) for each in (FOLDER, now))
    assert [each.what for each in changes_between(before, after).listed] == what


def test_a_folder_in_which_a_told_change_lies_is_not_told_as_well():
    moved = FOLDER._replace(state=(1, 2, 11, 11))
    keys = [("purelib", each) for each in ("", "m/", "m/deep/", "n/")]
    before = FilesAt(files={("purelib", "n/a.py"): AT}, folders=dict.fromkeys(keys, FOLDER), now_ns=0)
    edited = {("purelib", "n/a.py"): AT._replace(digest=TWO)}
    after = FilesAt(files=edited, folders=dict.fromkeys(keys, moved), now_ns=0)
    told = {(each.path, each.what) for each in changes_between(before, after).listed}
    assert told == {("n/a.py", "changed"), ("m/deep/", "rewritten"), ("./", "rewritten")}


@pytest.mark.parametrize(
    ("label", "path", "expected"),
    [("purelib", "m/", True), ("stdlib", "", True), ("purelib", "m/__pycache__/", False), ("path:0", "out/", False)],
)
def test_which_folders_are_told(label, path, expected):
    assert watches_folder(label, path) is expected


def test_a_new_file_is_added_and_matters_where_it_would_be_imported():
    changes = changes_between(looked({}), looked({"a.py": AT, "z.json": AT}))
    assert [(each.path, each.what, each.before, matters(each)) for each in changes.listed] == [
        ("a.py", "added", None, True),
        ("z.json", "added", None, False),
    ]
    assert not changes_between(looked({}), looked({"z.json": AT})).matter


def test_a_tree_with_a_file_that_was_not_read_has_no_digest():
    assert tree_of(looked({"a.py": AT})) is not None
    assert tree_of(looked({"a.py": AT._replace(digest=None)})) is None
    assert tree_of(looked({"a.py": AT}, reason="no")) is None


def test_the_tree_is_of_content_and_not_of_times():
    other = AT._replace(state=(9, 9, 5, 9, 9), holder=())
    assert tree_of(looked({"a.py": AT})) == tree_of(looked({"a.py": other}))


@given(st.dictionaries(st.text(min_size=1, max_size=5000), st.sampled_from(["x", "\x00", "\U0001f40d"]), max_size=8))
def test_whatever_changed_fits_one_entry(names):
    files = {f"{name}{unit * 500}{at}": AT for name, unit in names.items() for at in range(60)}
    changes = changes_between(looked({}), looked(files))
    assert sum(changes.totals.values()) == len(files)
    assert len(changes.listed) <= MAX_FILE_CHANGES
    record = EnvironmentRecord(
        moment="start", tree=None, reason="\x00" * 1024, files=1, changed=list(changes.listed), totals=changes.totals,
        whole=False, looks=1, took_ns=1, run="0" * 16, attempt=0, wall_ns=1, mono_ns=1, boot="b",
    )  # fmt: skip
    entry = encode_record(record)
    assert len(entry) <= MAX_ENTRY_BYTES
    assert decode_record(entry) == record
