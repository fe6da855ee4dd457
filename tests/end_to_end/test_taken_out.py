"""A job that takes out the recorder's step hooks, or closes its connection: told with the step; training goes on."""

from __future__ import annotations

import sys

import pytest

from saksi_run import Home
from torch_loaded import LOADED

pytestmark = [pytest.mark.training, pytest.mark.slow]

SCRIPT = (
    LOADED
    + """
import os, socket, sys, time, torch
from torch.optim import optimizer as tables
torch.set_num_threads(1)
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
for step in range(40):
    if step == 20 and sys.argv[1] == "hooks":
        tables._global_optimizer_pre_hooks.clear()
        tables._global_optimizer_post_hooks.clear()
    if step == 20 and sys.argv[1] == "connection":
        for number in range(3, 256):
            try:
                held = socket.socket(fileno=os.dup(number))
                with held:
                    if held.type == socket.SOCK_SEQPACKET and held.getpeername() is not None:
                        os.close(number)
            except OSError:
                continue
    optimizer.zero_grad(); model(torch.ones(2, 4)).sum().backward(); optimizer.step()
    time.sleep(0.01)
"""
)


@pytest.mark.parametrize(
    ("how", "code", "step"), [("hooks", "witness.hooks_cleared", 20), ("connection", "witness.connection_closed", 20)]
)
def test_what_a_job_takes_from_its_witness_is_told_with_the_step(tmp_path, how, code, step):
    (tmp_path / "train.py").write_text(SCRIPT)
    home = Home(tmp_path)
    done = home.run("run", "--", sys.executable, str(tmp_path / "train.py"), how)
    assert done.returncode == 0, done.stderr
    assert "40 of 40 steps witnessed" in done.stderr
    found = home.json("findings", "last")["items"]
    graver = [each for each in found if each["severity"] != "info" and not each["code"].startswith("coverage.")]
    assert [(each["code"], each["severity"], each["first_step"]) for each in graver] == [(code, "warning", step)]
