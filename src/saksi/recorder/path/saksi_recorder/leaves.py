"""SHA-256 of many tensors, on the cores this process may use and nobody else of the job does.

Rules: worker threads live only inside one call, hold no lock of Python's and touch no tensor, only memory that the
caller holds on to; whatever a worker does not finish or cannot start, the calling thread does itself; their CPU time
counts as the recorder's own.
"""

from __future__ import annotations

import _thread
import hashlib
import os
import time
from typing import Any

from . import guard, memory, session

MAX_WORKERS = 3
MIN_BYTES = 8 * 1024 * 1024  # below that, a worker costs more than it saves


def digests(tensors: list[Any]) -> tuple[list[bytes], int]:
    """The digest of each readable tensor's bytes in C order, and how many bytes there were. Call inside `quiet`."""
    out: list[Any] = [None] * len(tensors)
    waiting, total = [], 0
    for place, tensor in enumerate(tensors):
        held = memory.hold(tensor)
        total += held.nbytes
        if held.keeper is tensor:
            waiting.append((place, held))
        else:  # a copy: hashed and let go, so that there is never more than one
            out[place] = hashlib.sha256(held.view).digest()
    waiting.sort(key=lambda one: -one[1].nbytes)
    work = iter(waiting)
    workers = [_worker(work, out) for _ in range(_workers(total))]
    _take(work, out)
    for done in workers:
        if done is not None:
            done.acquire()
    for place, held in waiting:
        if out[place] is None:
            out[place] = hashlib.sha256(held.view).digest()
    return out, total


def _take(work: Any, out: list[Any]) -> None:
    # `next` of a list's iterator is one step of the interpreter: no two threads get the same tensor.
    for place, held in work:
        out[place] = hashlib.sha256(held.view).digest()


def _worker(work: Any, out: list[Any]) -> Any:
    done = _thread.allocate_lock()
    done.acquire()

    def run() -> None:
        try:
            _take(work, out)
            guard.add_cpu_ns(time.thread_time_ns())
        except Exception:  # what it did not finish, the calling thread does; nothing is lost
            pass
        finally:
            done.release()

    try:
        _thread.start_new_thread(run, ())
    except Exception:  # no thread to be had: the calling thread does the work
        return None
    return done


def _workers(total: int) -> int:
    if total < MIN_BYTES:
        return 0
    try:
        cores = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return 0
    # The ranks of one host hash at the same moment: each takes its part of the cores.
    share = cores // max(1, session.count_of("LOCAL_WORLD_SIZE", 1))
    return max(0, min(MAX_WORKERS, share - 1))
