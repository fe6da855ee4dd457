"""A rank ends, stops or starves while its parent, as torchrun does, goes on: the record says which, how, and when."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import time
from pathlib import Path

import pytest

from saksi.words.records import AttachRecord, ProcessRecord, StateRecord
from saksi_run import Home
from torch_loaded import LOADED

RANK = (
    LOADED
    + """
import os, sys, time
import torch
torch.set_num_threads(1)
model = torch.nn.Linear(4, 4)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
step = 0
hoard = []
while not os.path.exists(sys.argv[1]):
    optimizer.zero_grad()
    model(torch.ones(8, 4)).pow(2).mean().backward()
    optimizer.step()
    said = sys.argv[1] + "." + os.environ["RANK"]
    open(said + ".new", "w").write(f"{os.getpid()} {step}")
    os.rename(said + ".new", said)  # whoever reads it finds all of it
    step += 1
    if os.path.exists(sys.argv[1] + ".hoard." + os.environ["RANK"]):
        hoard.append(bytearray(64 << 20))
    time.sleep(0.05)
"""
)
PARENT = """
import os, subprocess, sys, time
children = [
    subprocess.Popen(
        [sys.executable, sys.argv[1], sys.argv[2]],
        env={**os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"},
    )
    for rank in range(2)
]
if sys.argv[3] == "polls":
    while any(each.poll() is None for each in children):
        time.sleep(0.1)
else:
    for each in reversed(children):
        each.wait()
"""


class Job:
    """Two ranks under a parent that `polls` or `waits` for them."""

    def __init__(self, tmp_path, parent, **options):
        self.home = Home(tmp_path)
        self.stop = tmp_path / "stop"
        (tmp_path / "rank.py").write_text(RANK)
        (tmp_path / "parent.py").write_text(PARENT)
        words = (str(tmp_path / "parent.py"), str(tmp_path / "rank.py"), str(self.stop), parent)
        self.process = self.home.popen("run", "-q", "--", sys.executable, *words, **options)
        self.wait_for(lambda: all((self.step(rank) or 0) >= 3 for rank in (0, 1)))
        self.wait_for(lambda: len(self.records(AttachRecord)) >= 2)

    def said(self, rank):
        try:
            pid, step = (tmp := self.stop.with_name(f"stop.{rank}")).read_text().split()
        except (OSError, ValueError):
            return None
        return int(pid), int(step), tmp

    def step(self, rank):
        said = self.said(rank)
        return None if said is None else said[1]

    def pid(self, rank):
        return self.said(rank)[0]

    def records(self, kind):
        return [each for each in self.home.records() if isinstance(each, kind)]

    def wait_for(self, condition, seconds=90):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline
            assert self.process.poll() is None
            time.sleep(0.05)

    def ended(self, pid):
        return [each for each in self.records(ProcessRecord) if each.event == "ended" and each.pid == pid]

    def end(self):
        self.stop.touch()
        self.process.wait(timeout=60)

    def findings(self, code):
        return [each for each in self.home.json("findings", "last")["items"] if each["code"] == code]


@pytest.fixture(params=["polls", "waits"])
def job(request, tmp_path):
    job = Job(tmp_path, request.param)
    yield job
    job.end()


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_rank_that_is_killed_is_told_with_signal_and_step_while_the_job_goes_on(job, number):
    pid, step = job.pid(1), job.step(1)
    os.kill(pid, number)
    job.wait_for(lambda: job.ended(pid))
    (ended,) = job.ended(pid)
    assert (ended.signal, ended.code, ended.rank) == (number, None, 1)
    assert ended.source in {"proc", "pidfd"}
    assert ended.last_step >= step - 1
    job.end()
    (found,) = job.findings("availability.killed")
    assert (found["severity"], found["ranks"], found["first_step"]) == ("warning", [1], ended.last_step)


@pytest.mark.slow
@pytest.mark.training
def test_a_rank_that_is_stopped_and_continued_is_told(tmp_path):
    job = Job(tmp_path, "polls")
    pid = job.pid(1)
    os.kill(pid, signal.SIGSTOP)
    job.wait_for(lambda: [each for each in job.records(StateRecord) if each.event == "stopped"])
    os.kill(pid, signal.SIGCONT)
    job.wait_for(lambda: [each for each in job.records(StateRecord) if each.event == "continued"])
    stopped, continued = job.records(StateRecord)
    assert (stopped.pid, stopped.rank, continued.pid) == (pid, 1, pid)
    assert stopped.last_step is not None
    assert not stopped.launcher_stopped
    job.end()
    (found,) = job.findings("availability.stopped")
    assert (found["severity"], found["ranks"], found["first_step"]) == ("warning", [1], stopped.last_step)
    assert found["last_step"] is not None


@pytest.mark.slow
@pytest.mark.training
def test_a_rank_that_gets_no_more_memory_is_told_with_its_code(tmp_path):
    job = Job(tmp_path, "waits")
    pid = job.pid(1)
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    room = pages * resource.getpagesize() + (1 << 29)
    resource.prlimit(pid, resource.RLIMIT_AS, (room, room))
    job.stop.with_name("stop.hoard.1").touch()
    job.wait_for(lambda: job.ended(pid))
    (ended,) = job.ended(pid)
    assert (ended.rank, ended.signal, ended.code) == (1, None, 1)
    job.end()
    (found,) = job.findings("availability.failed")
    assert (found["ranks"], found["first_step"]) == ([1], ended.last_step)


@pytest.fixture
def memory_cgroup():
    """A cgroup that may use 1.5 GiB, of whichever version of cgroups is mounted."""
    for root, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        folder = Path(root) / f"saksi-test-{os.getpid()}"
        try:
            folder.mkdir()
            (folder / limit).write_text(str(3 << 29))
        except OSError:
            with contextlib.suppress(OSError):
                folder.rmdir()
            continue
        yield folder
        while (folder / "cgroup.procs").read_text():  # the agent compiles for a while after its last word
            time.sleep(0.05)
        folder.rmdir()
        return
    pytest.skip("no cgroup for memory may be made here")


@pytest.mark.slow
@pytest.mark.training
def test_a_rank_that_the_kernel_kills_for_memory_is_told_so(tmp_path, memory_cgroup):
    procs = memory_cgroup / "cgroup.procs"
    job = Job(tmp_path, "polls", preexec_fn=lambda: procs.write_text(str(os.getpid())))
    pid = job.pid(1)
    job.stop.with_name("stop.hoard.1").touch()
    while Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] not in "ZX":
        time.sleep(0.01)
    killed = time.time_ns()
    job.wait_for(lambda: job.ended(pid))
    (ended,) = job.ended(pid)
    assert (ended.rank, ended.signal, ended.killed_for_memory) == (1, signal.SIGKILL, 1)
    assert ended.last_step is not None
    assert ended.wall_ns - killed < 2_000_000_000
    job.end()
    (found,) = job.findings("availability.killed")
    assert found["ranks"] == [1]
    assert "short of the memory that its cgroup may use" in found["message"]


@pytest.mark.slow
@pytest.mark.training
def test_a_rank_that_the_kernel_ends_at_a_limit_is_told_with_its_signal(tmp_path):
    job = Job(tmp_path, "waits")
    pid = job.pid(1)
    resource.prlimit(pid, resource.RLIMIT_CPU, (1, 1))
    job.wait_for(lambda: job.ended(pid))
    (ended,) = job.ended(pid)
    assert ended.rank == 1
    assert ended.signal in {signal.SIGXCPU, signal.SIGKILL}
    job.end()
    assert [each["ranks"] for each in job.findings("availability.killed")] == [[1]]
