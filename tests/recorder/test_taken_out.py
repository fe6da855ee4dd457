"""Step hooks that a program takes out of torch's tables: put back as the next backward pass begins, and said once."""

from __future__ import annotations

import pytest

from recorder.forked import plain_cases, recorded_cases
from recorder.listener import kinds

pytestmark = pytest.mark.training

CASES = ("none", "both", "behind", "late", "again", "dynamo", "own-first", "within-pre", "within-post")
LOSE = ("late", "within-pre", "within-post")
"""Cleared between a backward and its step: that Update is not seen."""
SCRIPT = r"""
import hashlib, torch
from torch.optim import optimizer as tables
torch.set_num_threads(1)
torch.manual_seed(0)
if CASE == "dynamo":
    import torch._dynamo
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
heard = []
def backward(*_):
    heard.append("own")
    model(torch.ones(2, 4)).sum().backward()
def clear(at):
    if CASE == "behind":
        tables._global_optimizer_post_hooks.clear()
    elif CASE != "none":
        tables._global_optimizer_pre_hooks.clear()
        tables._global_optimizer_post_hooks.clear()
    if CASE == "own-first":
        tables.register_optimizer_step_post_hook(lambda *_: heard.append("own"))
for step in range(8):
    if step == 3 and CASE != "late" and not CASE.startswith("within") or step > 3 and CASE == "again":
        clear(step)
    optimizer.zero_grad(); model(torch.ones(2, 4)).sum().backward()
    if step == 3 and CASE == "late" or step == 3 and CASE.startswith("within"):
        clear(step)
    if step == 3 and CASE == "within-pre":
        tables.register_optimizer_step_pre_hook(backward)
        tables.register_optimizer_step_pre_hook(lambda *_: None)
    if step == 3 and CASE == "within-post":
        tables.register_optimizer_step_post_hook(backward)
        tables.register_optimizer_step_post_hook(lambda *_: None)
    optimizer.step()
weights = b"".join(each.detach().numpy().tobytes() for each in model.parameters())
print(hashlib.sha256(weights).hexdigest(), len(heard))
"""


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return recorded_cases(SCRIPT, CASES, tmp_path_factory.mktemp("taken"))


def updates(frames):
    return [each.update for each in kinds(frames, "Update")]


@pytest.mark.parametrize(("case", "updated"), [(each, 7 if each in LOSE else 8) for each in CASES])
def test_updates_are_seen_again_from_the_next_backward_pass_on(cases, case, updated):
    frames, _ = cases[case]
    assert updates(frames) == list(range(updated))
    said = [(each.what, each.step) for each in kinds(frames, "Uncovered")]
    assert said[:1] == ([] if case == "none" else [("step hooks", 2)])
    assert [what for what, _ in said[1:]] in ([], ["updates that no optimizer's step makes"])
    assert not kinds(frames, "Fault")


def test_training_is_as_it_would_be_without_a_recorder(cases):
    plain = plain_cases(SCRIPT, CASES)
    assert {case: output for case, (_, output) in cases.items()} == plain
    assert plain["own-first"].split()[1] == plain["within-pre"].split()[1] == plain["within-post"].split()[1] == "5"
