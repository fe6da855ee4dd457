"""The Python of `ward.py`: it has torch and the recorder, and forks for each launch of `rows.py`."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import random
import runpy
import signal
import sys
import time
from pathlib import Path

import torch._dynamo
import torch.distributed
import torch.nn.parallel
import torch.utils.data  # so that no launch has to
from saksi_recorder import attach, doctor, session

SCRIPT = str(Path(__file__).with_name("rows.py"))


def _serve() -> None:
    gc.collect()
    gc.freeze()  # no child looks, at its end, at what torch is made of: each would copy all of it
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        asked = json.loads(line)
        children = []
        for rank in range(asked["ranks"]):
            child = os.fork()
            if child == 0:
                _become(asked, rank)
                torch.seed()  # as in a process of its own
                random.seed()
                session.wake()
                doctor.install()
                sys.argv = [SCRIPT, *asked["words"]]
                runpy.run_path(SCRIPT, run_name="__main__")
                sys.stdout = sys.stderr = None
                attach.end()
                os._exit(0)
            children.append(child)
        sys.stdout.write(json.dumps([_wait(each, children) for each in children]) + "\n")
        sys.stdout.flush()


def _become(asked: dict, rank: int) -> None:
    os.environ |= {"SAKSI_DOCTOR": asked["doctor"], "RANK": str(rank), "WORLD_SIZE": str(asked["ranks"])}
    os.chdir(asked["folder"])
    errors = os.open("errors", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(errors, descriptor)


def _wait(child: int, children: list[int]) -> int:
    """The exit status of one; the others of a group do not outlive the first by much, as under a launcher."""
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if len(children) > 1:
        time.sleep(0.2)
        for each in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
    return code


if __name__ == "__main__":
    _serve()
