"""What all tests share."""

from __future__ import annotations

import ctypes
import os
import signal

import pytest
from hypothesis import HealthCheck, settings

from agent_attempt import Attempt
from saksi.edges.host.self_protection import PR_GET_CHILD_SUBREAPER
from saksi.edges.store.local import LocalStore
from saksi.edges.store.memory import MemoryDisk, MemoryStore

# Examples are judged by what they return: on two shared cores any of them may be slow.
settings.register_profile("saksi", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("saksi")


OF_TORCH = "TORCHINDUCTOR_CACHE_DIR"
"""Set by torch's compiler as it is imported. A launch later on would inherit it, and a seal speaks of it."""


def _worker():
    """What a test can leave behind in its worker that decides what later tests see."""
    adopts = ctypes.c_int(0)
    ctypes.CDLL(None).prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(adopts), 0, 0, 0)
    umask = os.umask(0o22)
    os.umask(umask)
    return {
        "variables": {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")},
        "adopts orphans": bool(adopts.value),
        "umask": umask,
        "folder": os.getcwd(),
        "blocked signals": signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        # pytest-timeout's own alarm is the exception: it is given back when a test fails, not as it ends.
        "handlers": {each: signal.getsignal(each) for each in signal.valid_signals() - {signal.SIGALRM}},
    }


@pytest.fixture(autouse=True)
def _worker_is_left_as_it_was():
    before = _worker()
    yield
    if OF_TORCH not in before["variables"]:
        os.environ.pop(OF_TORCH, None)
    assert _worker() == before


@pytest.fixture
def attempt(tmp_path):
    """An agent around a job that sleeps; ended with the test unless the test ends it."""
    started = Attempt(tmp_path)
    assert started.problem is None
    started.start_job()
    yield started
    if started.job.poll() is None:
        started.end()


@pytest.fixture(params=["memory", "local"])
def another(request, tmp_path):
    """A function that opens one more store on the same disk."""
    if request.param == "memory":
        disk = MemoryDisk()
        return lambda: MemoryStore(disk)
    return lambda: LocalStore(tmp_path / "run")
