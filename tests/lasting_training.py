"""A small training under `saksi run` that lasts until it is told to end, so that faults can be put into its middle."""

from __future__ import annotations

import functools
import subprocess
import sys
import time

from saksi_run import agents_alive
from torch_loaded import LOADED

SCRIPT = (
    LOADED
    + """
import hashlib, os, sys, time
import torch
torch.set_num_threads(1)
torch.manual_seed(0)
model = torch.nn.Linear(4, 4)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
generator = torch.Generator().manual_seed(1)
step = 0
while not os.path.exists(sys.argv[1]) or step < int(sys.argv[2]):
    optimizer.zero_grad()
    model(torch.randn(8, 4, generator=generator)).pow(2).mean().backward()
    optimizer.step()
    print(step, hashlib.sha256(model.weight.detach().numpy().tobytes()).hexdigest(), flush=True)
    step += 1
    time.sleep(0.02)
"""
)


MOST_STEPS = 10_000


class Training:
    """One such training. `say_stop` lets it end; `end` waits for that."""

    def __init__(self, home, tmp_path, *options):
        self.home = home
        self.stop = tmp_path / f"stop-{len(home.runs())}"
        script = tmp_path / "lasting.py"
        script.write_text(SCRIPT)
        self.out = tmp_path / f"out-{len(home.runs())}"
        with self.out.open("wb") as out:
            self.process = home.popen(
                "run", *options, "--", sys.executable, str(script), str(self.stop), "0",
                stdout=out, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip

    @property
    def folder(self):
        return self.home.runs()[-1]

    def steps(self):
        return self.out.read_bytes().count(b"\n")

    def wait_for_steps(self, count):
        wait_until(lambda: self.steps() >= count)

    def agent(self, *, other_than=None):
        """The process id of the agent, once there is one that is not `other_than`."""
        found = []

        def look():
            found[:] = [pid for pid in agents_alive(self.home) if pid != other_than]
            return bool(found)

        wait_until(look)
        return found[0]

    def end(self):
        """Let it end; what was said on standard error."""
        self.stop.touch()
        _, errors = self.process.communicate(timeout=100)
        return errors

    def is_as_without_a_witness(self):
        """Whether output and weights of every step are those of the same training alone."""
        said = self.out.read_bytes()
        return self.process.returncode == 0 and bool(said) and alone().startswith(said)


@functools.cache
def alone():
    """What the training says when nothing watches it, for more steps than any test waits for."""
    script = SCRIPT.replace("time.sleep(0.02)", "")
    return subprocess.run(
        [sys.executable, "-c", script, "/", str(MOST_STEPS)], capture_output=True, check=True, timeout=100
    ).stdout


def wait_until(condition, seconds=100):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
