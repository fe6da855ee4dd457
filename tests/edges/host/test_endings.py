"""How processes that are not our children ended, and the limits they are under."""

from __future__ import annotations

import os
import resource
import select
import signal
import subprocess
import sys

import pytest

from saksi.edges.host import endings
from saksi.edges.host.endings import ending_of, ending_of_status, oom_kills, open_pidfd, resource_limits
from saksi.edges.host.procfs import read_process


@pytest.mark.parametrize(
    ("status", "code", "number"), [(0, 0, None), (1 << 8, 1, None), (9, None, 9), (0x80 | 11, None, 11)]
)
def test_a_wait_status_is_a_code_or_a_signal(status, code, number):
    found = ending_of_status(status, "launcher")
    assert (found.code, found.signal) == (code, number)


@pytest.mark.parametrize(("end", "code", "number"), [("kill", None, signal.SIGKILL), ("exit", 3, None)])
def test_a_zombie_tells_how_it_ended(end, code, number):
    child = subprocess.Popen([sys.executable, "-S", "-c", "input(); raise SystemExit(3)"], stdin=subprocess.PIPE)
    facts = read_process(child.pid)
    pidfd = open_pidfd(child.pid)
    try:
        assert ending_of(child.pid, facts.started_ticks, pidfd) is None
        child.kill() if end == "kill" else child.stdin.write(b"\n")
        child.stdin.close()
        select.select([pidfd], [], [], 20)
        found = ending_of(child.pid, facts.started_ticks, None)
        assert (found.code, found.signal, found.source) == (code, number, "proc")
        assert ending_of(child.pid, facts.started_ticks + 1, None) is None  # another process of the same id
    finally:
        child.wait()
        os.close(pidfd)
    assert ending_of(child.pid, facts.started_ticks, None) is None


def test_limits_are_named_as_the_kernel_names_them():
    child = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (4096, 4096))
    try:
        assert resource_limits(child.pid)["Max file size"] == 4096
    finally:
        child.communicate()


@pytest.mark.parametrize(
    ("membership", "folder", "files"),
    [
        ("0::/job\n", "job", {"memory.max": "1048576\n", "memory.events": "low 0\noom 3\noom_kill 2\n"}),
        ("4:memory:/job\n", "memory/job", {"memory.limit_in_bytes": "1048576", "memory.oom_control": "oom_kill 2"}),
    ],
)
def test_a_cgroup_tells_its_limit_and_its_count(tmp_path, monkeypatch, membership, folder, files):
    process = tmp_path / "proc" / "7"
    process.mkdir(parents=True)
    (process / "cgroup").write_text(membership)
    (tmp_path / folder).mkdir(parents=True)
    for name, content in files.items():
        (tmp_path / folder / name).write_text(content)
    monkeypatch.setattr(endings, "PROC", tmp_path / "proc")
    assert resource_limits(7, cgroups=tmp_path) == {"memory": 1048576}
    assert oom_kills(7, cgroups=tmp_path)[1] == 2
