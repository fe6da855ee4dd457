"""What the agent tells of the GPUs: the job's processes on them, when that changes."""

from __future__ import annotations

import threading
import time

from saksi.edges.host.gpus import GpuUse
from saksi.edges.host.procfs import ProcessFacts
from saksi.processes.agent.gpus import GpuWatch
from saksi.processes.agent.observer import Seen
from simulated_run import SimulatedRun

STAMP = SimulatedRun().stamp


class Gpus:
    """A stand-in whose processes a test sets."""

    def __init__(self, *uses):
        self.now = uses
        self.hangs = threading.Event()
        self.looked = threading.Semaphore(0)

    def uses(self):
        if self.hangs.is_set():
            time.sleep(60)
        self.looked.release()
        return self.now


def watching(gpus):
    watch = GpuWatch(lambda: gpus, every_s=0.01)
    watch.start()
    assert gpus.looked.acquire(timeout=10)
    assert gpus.looked.acquire(timeout=10)  # the first look is behind us
    return watch


def seen(pid, *, attached):
    facts = ProcessFacts(pid=pid, ppid=1, started_ticks=9, state="R", executable=None, command=(), uid=0)
    return Seen(facts=facts, since_ns=0, forked=False, attached=attached)


def test_only_what_changes_is_told():
    gpus = Gpus(GpuUse("GPU-0", 7, 5), GpuUse("GPU-0", 99, None), GpuUse("GPU-1", 98, None))
    watch, known = watching(gpus), [seen(7, attached=True)]
    record = watch.news(known, STAMP)
    assert [(each.gpu, each.pid, each.used_bytes, each.witnessed) for each in record.processes] == [
        ("GPU-0", 7, 5, True)
    ]
    assert record.others == 1
    assert watch.news(known, STAMP) is None
    gpus.now = ()
    for _ in range(2):
        assert gpus.looked.acquire(timeout=10)
    assert watch.news(known, STAMP).processes == []
    watch.stop()


def test_a_gpu_without_a_process_of_the_job_is_not_told():
    watch = watching(Gpus(GpuUse("GPU-0", 99, None)))
    assert watch.news([seen(7, attached=True)], STAMP) is None
    watch.stop()


def test_a_device_that_hangs_holds_nobody():
    gpus = Gpus(GpuUse("GPU-0", 7, 5))
    watch = watching(gpus)
    gpus.hangs.set()
    started = time.monotonic()
    assert watch.news([seen(7, attached=False)], STAMP).processes[0].witnessed is False
    watch.stop()
    assert time.monotonic() - started < 5


def test_without_gpus_nothing_is_told():
    watch = GpuWatch(lambda: None)
    watch.start()
    assert watch.news([seen(7, attached=False)], STAMP) is None
