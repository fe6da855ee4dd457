"""A file is whole and flushed, or not there."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from saksi.doors.cli.new_file import make_new_file
from saksi.edges.seal_files import write_seal_file
from saksi.edges.store import durable
from saksi.edges.store.durable import write_whole
from saksi.words.errors import StoreError


class Signed:
    content = b"a seal file"


WRITERS = (
    lambda path: write_whole(path, b"content"),
    lambda path: make_new_file(path, b"content"),
    lambda path: write_seal_file(path, Signed()),
)


def test_a_file_that_is_made_has_its_content_and_its_mode(tmp_path):
    write_whole(tmp_path / "a", b"content", mode=0o644)
    assert (tmp_path / "a").read_bytes() == b"content"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("ending", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
@pytest.mark.parametrize("during", ["write", "fsync"])
def test_a_file_whose_writing_is_ended_is_not_there(tmp_path, monkeypatch, write, ending, during):
    def fail(*_):
        raise ending

    monkeypatch.setattr(durable.os, during, fail)
    with pytest.raises((OSError, StoreError, KeyboardInterrupt)):
        write(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", WRITERS)
def test_another_file_is_never_removed(tmp_path, monkeypatch, write):
    path = tmp_path / "a"
    path.write_bytes(b"of somebody else")

    def no_more_files(*_):
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(durable.os, "open", no_more_files)
    with pytest.raises((OSError, StoreError)):
        write(path)
    monkeypatch.undo()
    assert path.read_bytes() == b"of somebody else"
    assert os.listdir(tmp_path) == ["a"]
