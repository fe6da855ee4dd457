from __future__ import annotations

import os

import pytest

from judgement.seals import CREATOR, MARIA, plain_seal_file, signed_file
from saksi.edges.seal_files import read_seal_file, replace_seal_file, write_seal_file
from saksi.words.errors import MalformedInput, StoreError, UsageError

SIGNED = signed_file(plain_seal_file(), CREATOR)


def test_a_seal_file_is_written_once_and_read_again(tmp_path):
    path = tmp_path / "run.seal"
    write_seal_file(path, SIGNED)
    assert read_seal_file(path) == SIGNED
    assert path.stat().st_mode & 0o777 == 0o644
    with pytest.raises(UsageError, match="is there already"):
        write_seal_file(path, SIGNED)


def test_a_replaced_file_keeps_its_mode_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "run.seal"
    write_seal_file(path, SIGNED)
    path.chmod(0o640)
    more = signed_file(plain_seal_file(), CREATOR, MARIA)
    replace_seal_file(path, more)
    assert read_seal_file(path) == more
    assert path.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in tmp_path.iterdir()] == ["run.seal"]


def test_what_cannot_be_read_is_a_mistake_and_what_is_none_is_malformed(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    for name in ("absent", "fifo", "folder"):
        with pytest.raises(UsageError, match=name):
            read_seal_file(tmp_path / name)
    (tmp_path / "text").write_bytes(b"hello")
    with pytest.raises(MalformedInput, match=r"text.*seal create"):
        read_seal_file(tmp_path / "text")
    (tmp_path / "large").write_bytes(b" " * (5 << 20))
    with pytest.raises(MalformedInput, match="limit"):
        read_seal_file(tmp_path / "large")


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(StoreError, match="cannot write"):
        write_seal_file(tmp_path / "none" / "run.seal", SIGNED)
