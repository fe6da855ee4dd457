"""A digest belongs to one state of one regular file; everything else is a reason."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from saksi.edges import files
from saksi.edges.files import hash_file, state_of


def test_a_regular_file_has_its_digest(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"weights" * 300_000)
    hashed = hash_file(path, state_of(path.stat()))
    assert (hashed.size, hashed.reason) == (2_100_000, None)
    assert hashed.digest.hex == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_in_another_state_has_a_reason(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"one")
    state = state_of(path.stat())
    path.write_bytes(b"other")
    assert "replaced" in hash_file(path, state).reason


@pytest.mark.parametrize(
    "path", ["/dev/zero", "/proc/self/maps", "/proc/kcore", "/", "a\0b", "x" * 10_000, "", "\udcff"]
)
def test_what_is_no_file_has_a_reason_at_once(path):
    hashed = hash_file(Path(path), None)
    assert hashed.digest is None
    assert hashed.reason


def test_a_fifo_does_not_hold_the_reader(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    assert hash_file(tmp_path / "fifo", None).reason == "not a regular file"


def test_a_sparse_file_of_many_terabytes_is_not_read(tmp_path):
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(1 << 42)
    hashed = hash_file(path, None)
    assert hashed.digest is None
    assert "not read" in hashed.reason


def test_a_file_that_grows_as_it_is_read_ends(tmp_path, monkeypatch):
    path = tmp_path / "log"
    path.write_bytes(b"x")
    monkeypatch.setattr(files, "BUFFER", 1)

    class Growing:
        def update(self, content):
            with path.open("ab") as file:
                file.write(b"xx")

    monkeypatch.setattr(hashlib, "sha256", Growing)
    assert "changed" in hash_file(path, None).reason


@pytest.mark.parametrize("error", [MemoryError(), ValueError("x"), RuntimeError("y")])
def test_no_error_of_any_kind_escapes(tmp_path, monkeypatch, error):
    def fail(found):
        raise error

    monkeypatch.setattr(files, "state_of", fail)
    (tmp_path / "file").write_bytes(b"x")
    assert type(error).__name__ in hash_file(tmp_path / "file", None).reason
