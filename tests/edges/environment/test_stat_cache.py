"""The tables of the cache: what was put there comes back, and nothing else does."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from saksi.edges.environment.remembered import RACY_NS
from saksi.edges.environment.stat_cache import Known, load_bytes, load_table, save_bytes, save_table, stamp_key


@given(st.dictionaries(st.binary(min_size=3, max_size=3), st.binary(min_size=2, max_size=2)))
def test_a_table_comes_back(tmp_path_factory, table):
    path = tmp_path_factory.getbasetemp() / "tables" / "table"
    save_table(path, table)
    assert load_table(path, 3, 2) == table


def test_any_changed_or_missing_byte_makes_it_empty(tmp_path):
    path = tmp_path / "table"
    save_table(path, {b"abc": b"de", b"fgh": b"ij"})
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert load_table(path, 3, 2) == {}
        path.write_bytes(whole[:at])
        assert load_table(path, 3, 2) == {}
    path.write_bytes(whole)
    assert len(load_table(path, 3, 2)) == 2
    assert load_table(path, 3, 4) == {}


def test_only_a_plain_file_of_ours_alone_is_believed(tmp_path):
    path = tmp_path / "bytes"
    save_bytes(path, b"x")
    assert bytes(load_bytes(path)) == b"x"
    (tmp_path / "link").symlink_to(path)
    assert load_bytes(tmp_path / "link") is None
    path.chmod(0o620)
    assert load_bytes(path) is None
    os.mkfifo(tmp_path / "pipe")
    assert load_bytes(tmp_path / "pipe") is None
    assert load_bytes(tmp_path) is None


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    save_bytes(tmp_path / "file" / "below", b"x")
    assert load_bytes(tmp_path / "file" / "below") is None


def test_digests_are_kept_for_files_that_are_old_enough_and_while_they_are_seen(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"content")
    found = file.stat()
    at = found.st_ctime_ns
    for age, there in ((RACY_NS, False), (-1, False), (RACY_NS + 1, True)):
        known = Known(tmp_path / "files", now_ns=at + age)
        known.learn(stamp_key(found), found, b"d" * 32, b"head")
        known.save()
        again = Known(tmp_path / "files", now_ns=at)
        assert (again.recall(stamp_key(found)) is not None) is there
    unused = Known(tmp_path / "files", now_ns=at)
    unused.save()
    assert Known(tmp_path / "files", now_ns=at).recall(stamp_key(found)) is None
