"""A real training whose clock functions are put in place, for good or for a while."""

from __future__ import annotations

import sys

import pytest

from saksi_run import Home
from torch_loaded import LOADED

pytestmark = [pytest.mark.training, pytest.mark.slow]

SCRIPT = (
    LOADED
    + """
import sys, time, torch
torch.set_num_threads(1)
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
right = time.time, time.time_ns
for step in range(40):
    if step == 20 and sys.argv[1] != "right":
        time.time, time.time_ns = lambda: right[0]() - 3600, lambda: right[1]() - 3600 * 10**9
    if step == 23 and sys.argv[1] == "for-a-while":
        time.time, time.time_ns = right
    optimizer.zero_grad(); model(torch.ones(2, 4)).sum().backward(); optimizer.step()
    time.sleep(0.01)
"""
)


@pytest.mark.parametrize(
    ("how", "told"),
    [("right", []), ("for-a-while", [("info", 20, 22)]), ("for-good", [("warning", 20, 39)])],
)
def test_clock_functions_that_were_put_in_place_are_told_from_their_step_on(tmp_path, how, told):
    (tmp_path / "train.py").write_text(SCRIPT)
    home = Home(tmp_path)
    done = home.run("run", "--", sys.executable, str(tmp_path / "train.py"), how)
    assert done.returncode == 0, done.stderr
    found = [each for each in home.json("findings", "last")["items"] if each["code"] == "witness.clock_differs"]
    assert [(each["severity"], each["first_step"], each["last_step"]) for each in found] == told
