"""What /proc says is mapped: real processes, and lines as the kernel writes them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edges.host.shared_objects import build, start
from saksi.edges.host import mapped
from saksi.edges.host.mapped import MappedFile, parse_environ, parse_maps, read_raw
from saksi.words.errors import MalformedInput

LINE = b"7f00-7f10 r-xp 00002000 fe:00 260131                     /usr/bin/cat\n"


def test_a_library_that_was_preloaded_into_a_child_is_among_its_files_with_the_variable(tmp_path):
    library = build(tmp_path)
    with start({"LD_PRELOAD": str(library), "OTHER": "x"}) as child:
        raw = read_raw(child.pid)
        child.kill()
    (found,) = [each for each in parse_maps(raw.maps).files if each.path == str(library)]
    assert (found.inode, found.deleted, found.whole) == (library.stat().st_ino, False, True)
    assert raw.same_root
    assert parse_environ(raw.environ, {"LD_PRELOAD", "LD_AUDIT"}) == {"LD_PRELOAD": str(library)}


def test_a_library_that_was_replaced_while_it_is_mapped_is_deleted(tmp_path):
    library = build(tmp_path)
    with start({"LD_PRELOAD": str(library)}) as child:
        before = library.stat().st_ino
        build(tmp_path, "int other(void) { return 2; }", name="new.so").replace(library)
        (found,) = [each for each in parse_maps(read_raw(child.pid).maps).files if each.path == str(library)]
        child.kill()
    assert (found.inode, found.deleted) == (before, True)


def test_code_in_a_memory_file_is_told_by_the_name_it_was_given(tmp_path):
    library = str(build(tmp_path))
    code = (
        f"import ctypes, os, time; fd = os.memfd_create('x y'); os.write(fd, open({library!r}, 'rb').read());"
        " ctypes.CDLL(f'/proc/self/fd/{fd}'); print(1, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        files = parse_maps(read_raw(child.pid).maps).files
        child.kill()
    assert [(each.path, each.deleted) for each in files if "memfd" in each.path] == [("/memfd:x y", True)]


def test_a_process_that_is_gone_or_of_another_account_is_said(tmp_path, monkeypatch):
    with subprocess.Popen(["true"]) as child:
        child.wait()
    assert read_raw(child.pid) == "gone"
    (tmp_path / "7").mkdir()
    monkeypatch.setattr(mapped, "PROC", tmp_path)
    monkeypatch.setattr(type(tmp_path), "open", lambda *_: (_ for _ in ()).throw(PermissionError))
    assert read_raw(7) == "permission"


@pytest.mark.parametrize("waits", [True, False], ids=["ended", "zombie"])
def test_a_process_that_ends_while_it_is_read_is_gone_and_nothing_else_is_said_of_it(monkeypatch, waits):
    plain = mapped._same_root

    def meanwhile(folder):
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        if waits:
            child.wait()
        return plain(folder)

    monkeypatch.setattr(mapped, "_same_root", meanwhile)
    with start({}) as child:
        assert read_raw(child.pid) == "gone"


def test_a_process_that_proc_does_not_show_is_hidden_if_it_lives(tmp_path, monkeypatch):
    monkeypatch.setattr(mapped, "PROC", tmp_path)
    with subprocess.Popen(["true"]) as child:
        child.wait()
    assert (read_raw(os.getpid()), read_raw(child.pid)) == ("permission", "gone")


def test_variables_that_are_too_many_to_read_are_none_with_a_reason(monkeypatch):
    monkeypatch.setattr(mapped, "MAX_ENVIRON", 100)
    with start({"LONG": "x" * 200}) as child:
        raw = read_raw(child.pid)
        child.kill()
    assert raw.environ is None
    assert "100 bytes" in raw.reason


def test_only_executable_files_count_each_once_and_memory_is_counted():
    content = (
        LINE
        + LINE.replace(b"7f00", b"7e00")
        + LINE.replace(b"r-xp", b"rw-p").replace(b"/usr/bin/cat", b"/usr/bin/data")
        + b"7f20-7f30 rwxp 00000000 00:00 0 \n7f30-7f40 r-xp 00000000 00:00 0                  [anon:jit]\n"
        + b"7f40-7f50 r-xp 00000000 00:00 0                          [vdso]\n"
    )
    found = parse_maps(content)
    assert found.files == (MappedFile("/usr/bin/cat", "fe:00", 260131, False, True),)
    assert (found.anonymous, found.omitted) == (2, 0)


def test_a_list_that_was_cut_says_so():
    assert parse_maps(LINE + LINE[:20]).omitted == 1
    assert parse_maps(b"") == ((), 0, 0)


def test_no_more_files_are_kept_than_the_limit(monkeypatch):
    monkeypatch.setattr(mapped, "MAX_FILES", 2)
    content = b"".join(LINE.replace(b"cat", b"cat%d" % number) for number in range(5))
    found = parse_maps(content)
    assert (len(found.files), found.omitted) == (2, 3)


@pytest.mark.parametrize("line", [b"x\n", LINE.replace(b"r-xp", b"r-x"), LINE.replace(b"260131", b"-1"), b"\n" + LINE])
def test_what_the_kernel_does_not_write_is_refused(line):
    with pytest.raises(MalformedInput):
        parse_maps(line)


paths = (
    st.binary(min_size=1, max_size=40).filter(lambda raw: b"\n" not in raw and b"\\012" not in raw).map(b"/".__add__)
)


@given(st.lists(st.tuples(paths, st.integers(0, 2**64 - 1), st.booleans()), max_size=8))
def test_every_path_that_a_job_may_choose_is_told_and_names_a_file_only_if_it_is_whole(mappings):
    content = b"".join(
        b"7f00-7f10 r-xp 00000000 fe:00 %d %s%s\n" % (inode, path, b" (deleted)" if deleted else b"")
        for path, inode, deleted in mappings
    )
    found = parse_maps(content)
    assert len(found.files) == len({(path + b" (deleted)" * deleted, inode) for path, inode, deleted in mappings})
    for each in found.files:
        assert each.path.isprintable()
        named = {path.removesuffix(b" (deleted)") for path, *_ in mappings}
        assert not each.whole or os.fsencode(each.path) in named


def test_of_a_variable_that_is_there_twice_the_first_counts_and_an_unended_one_is_left_out():
    content = b"A=1\0A=2\0B=\xff\0C\0D=cut"
    assert parse_environ(content, {"A", "B", "C", "D"}) == {"A": "1", "B": "\udcff"}
