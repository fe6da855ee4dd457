"""What /proc says, whatever a process calls itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import time

from saksi.edges.host import procfs
from saksi.edges.host.procfs import MAX_PATH, read_process


def test_this_process_is_read():
    facts = read_process(os.getpid())
    assert (facts.pid, facts.ppid, facts.uid) == (os.getpid(), os.getppid(), os.getuid())
    assert facts.started_ticks > 0
    assert facts.command


def test_a_process_that_is_gone_is_none():
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert read_process(process.pid) is None


def test_names_that_are_no_utf8_are_escaped(tmp_path):
    program = os.fsencode(tmp_path) + b"/s\xff"
    shutil.copy(shutil.which("sleep"), program)
    with subprocess.Popen([b"\xfe", "60"], executable=program) as process:
        while not (facts := read_process(process.pid)).command:  # in the middle of exec
            time.sleep(0.01)
        process.kill()
    assert facts.executable.endswith("/s\\xff")
    assert facts.command == ("\\xfe", "60")


def test_a_path_longer_than_a_record_holds_is_cut(monkeypatch):
    monkeypatch.setattr(os, "readlink", lambda path: b"\xff" * 4_000)
    assert len(read_process(os.getpid()).executable) == MAX_PATH


def test_a_stat_that_is_empty_is_a_process_that_is_gone(tmp_path, monkeypatch):
    (tmp_path / "7").mkdir()
    (tmp_path / "7/stat").write_bytes(b"")
    monkeypatch.setattr(procfs, "PROC", tmp_path)
    assert read_process(7) is None
