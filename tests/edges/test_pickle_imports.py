"""What pickles import, read from their opcodes: nothing of them is executed."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saksi.edges import pickle_imports as module
from saksi.edges.files import FileState, hash_file
from saksi.edges.pickle_imports import MORE, pickle_imports


class Opens:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "a")


def read(path: Path, content: bytes):
    path.write_bytes(content)
    with path.open("rb", buffering=0) as file:
        return pickle_imports(file)


def zipped(content: bytes, name: str = "model/data.pkl") -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("model/data/0", b"tensor")
        archive.writestr(name, content)
    return held.getvalue()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("wrap", [bytes, zipped])
def test_names_are_read_and_nothing_is_executed(tmp_path, protocol, wrap):
    proof = tmp_path / "proof"
    content = pickle.dumps([OrderedDict(a=1), Opens(str(proof)), Opens(str(proof))], protocol=protocol)
    names = read(tmp_path / "file", wrap(content))
    assert names is not None
    assert {each.replace("__builtin__", "io") for each in names} >= {"collections.OrderedDict", "io.open"}
    assert MORE not in names
    assert not proof.exists()


def test_several_pickles_after_each_other_are_all_read(tmp_path):
    content = pickle.dumps(7, 2) + pickle.dumps(OrderedDict(), 2) + pickle.dumps(Opens("x"), 2) + b"\0tensors"
    assert read(tmp_path / "file", content) == ("collections.OrderedDict", "io.open")


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 100, struct.pack("<Q", 2) + b"{}", zipped(b"x", "model/constants.pkl"), b"PK\x05\x06" + b"\xff" * 18,
     b"plain text\n"],
)  # fmt: skip
def test_what_is_no_pickle_is_not_looked_into(tmp_path, content):
    assert read(tmp_path / "file", content) is None


def test_what_is_cut_off_gives_what_came_before(tmp_path):
    content = pickle.dumps([OrderedDict(), b"x" * 100], 4)
    assert read(tmp_path / "file", content[:-20]) == ("collections.OrderedDict", MORE)


def test_a_name_that_is_taken_from_elsewhere_is_not_guessed(tmp_path):
    content = b"\x80\x04\x8c\x02osN\x93."
    assert read(tmp_path / "file", content) == ("os.None",) or read(tmp_path / "file", content) == ("?",)


def test_a_name_kept_for_later_is_known_by_then(tmp_path):
    # The module's name is put into the memo, another text comes, and it is fetched again.
    content = b"\x80\x04\x8c\x02os\x940\x8c\x05other0h\x00\x8c\x06system\x93."
    assert read(tmp_path / "file", content) == ("os.system",)


def test_limits_are_said(tmp_path, monkeypatch):
    many = pickle.dumps([OrderedDict() for _ in range(50)], 2)
    monkeypatch.setattr(module, "MAX_OPCODES", 20)
    assert read(tmp_path / "file", many) == ("collections.OrderedDict", MORE)
    monkeypatch.setattr(module, "MAX_DIRECTORY", 10)
    assert read(tmp_path / "file", zipped(many)) is None


def test_more_names_than_are_listed(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_NAMES", 1)
    assert read(tmp_path / "file", pickle.dumps([OrderedDict(), Opens("x")], 2)) == ("collections.OrderedDict", MORE)


@given(st.binary(max_size=200))
def test_no_bytes_raise(tmp_path_factory, content):
    for each in (content, b"\x80\x02" + content, zipped(content)):
        found = read(tmp_path_factory.getbasetemp() / "any", each)
        assert found is None or all(len(name) <= 201 for name in found)


def test_it_is_read_from_the_very_file_that_was_hashed(tmp_path):
    path, seen = tmp_path / "file", []
    path.write_bytes(pickle.dumps(OrderedDict(), 2))
    found = hash_file(path, None, look=lambda file: seen.append(pickle_imports(file)))
    assert (found.reason, seen) == (None, [("collections.OrderedDict",)])
    other = FileState(device=0, inode=0, size=1, mtime_ns=0)
    assert hash_file(path, other, look=lambda _: seen.append("not asked")).digest is None
    assert len(seen) == 1
