"""A real optimizer whose arithmetic changes in the middle of a run is named at that step; an honest one is not."""

from __future__ import annotations

import sys

import pytest

from saksi_run import Home
from torch_loaded import LOADED

pytestmark = [pytest.mark.training, pytest.mark.slow]

SCRIPT = (
    LOADED
    + """
import sys, torch
from torch.optim import adam
torch.manual_seed(0); torch.set_num_threads(1)
case, at = sys.argv[1], 10
model = torch.nn.Sequential(torch.nn.Linear(20, 64), torch.nn.Tanh(), torch.nn.LayerNorm(64), torch.nn.Linear(64, 5))
if case.startswith("half"):
    model.to(torch.bfloat16)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
original, now = adam.adam, [0]
def changed(params, grads, *states, lr, **more):
    if now[0] >= at and case in ("rate", "half_rate"):
        lr *= 1.01 if case == "half_rate" else 1.003
    if now[0] >= at and case == "beta":
        more["beta2"] *= 0.999
    if now[0] >= at and case in ("sign", "half_sign"):
        grads = [-grads[0], *grads[1:]]
    if now[0] == at and case == "skipped":
        return None
    return original(params, grads, *states, lr=lr, **more)
adam.adam = changed
for step in range(18):
    now[0] = step
    optimizer.zero_grad()
    model(torch.randn(16, 20, dtype=model[0].weight.dtype)).float().square().mean().backward()
    if step == at and case == "gradient":
        model[0].weight.grad.neg_()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 0.05)
    optimizer.step()
    if step == at and case == "edit":
        with torch.no_grad():
            model[0].weight[3, 4] += 1e-6
"""
)
GRADIENT = "gradient.changed_after_backward"
UPDATE, STATE = "optimizer.update_differs", "optimizer.state_differs"
CASES = {
    "honest": {},
    "half": {},
    "rate": {UPDATE: (10, "the change is 1.003 times")},
    "beta": {UPDATE: (10, "sampled elements"), STATE: (10, "exp_avg_sq")},
    "sign": {UPDATE: (10, "0.weight"), STATE: (10, "exp_avg")},
    "skipped": {UPDATE: (10, "did not change at all"), STATE: (10, "step")},
    "edit": {"state.changed_between_steps": (11, "between two updates")},
    "gradient": {GRADIENT: (10, "of 0.weight. Gradients that")},
    "half_rate": {UPDATE: (10, "sampled elements")},
    "half_sign": {UPDATE: (10, "0.weight"), STATE: (10, "exp_avg")},
}


@pytest.mark.parametrize("case", CASES)
def test_a_change_of_the_arithmetic_is_named_at_its_first_step(tmp_path, case):
    (tmp_path / "train.py").write_text(SCRIPT)
    home = Home(tmp_path)
    done = home.run("run", "--", sys.executable, str(tmp_path / "train.py"), case)
    assert done.returncode == 0, done.stderr
    report = home.json("findings", "last")
    warnings = [each for each in report["items"] if each["severity"] == "warning"]
    found = {each["code"]: (each["first_step"], each["message"]) for each in reversed(warnings)}  # the earliest of each
    assert {each["alleges"] for each in report["items"]} <= {"unknown"}
    assert found.keys() == CASES[case].keys()
    for code, (step, words) in CASES[case].items():
        assert found[code][0] == step
        assert words in found[code][1]
