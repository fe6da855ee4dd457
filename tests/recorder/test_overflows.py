"""What a scaler said of gradients that it left out, against those gradients: on real torch."""

from __future__ import annotations

import pytest

from recorder.forked import plain_cases, recorded_cases
from recorder.listener import kinds

pytestmark = pytest.mark.training

SCRIPT = r"""
import hashlib, math
import torch
from torch import nn
torch.manual_seed(0); torch.set_num_threads(1)
model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 2))
other = nn.Linear(5, 1)
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
second = torch.optim.SGD(other.parameters(), lr=0.01)
class Own(torch.amp.GradScaler):
    pass
scaler = (Own if CASE == "own scaler" else torch.amp.GradScaler)("cpu", init_scale=64.0, growth_interval=2)
for step in range(6):
    optimizer.zero_grad(); second.zero_grad()
    x = torch.randn(4, 5)
    bad = step == 3 and CASE not in ("raised", "own scaler", "within", "let go", "none", "held")
    loss = model(x).square().mean() * (math.inf if bad and CASE != "second" else 1.0)
    loss = loss + other(x).square().mean() * (math.inf if bad and CASE == "second" else 1.0)
    scaler.scale(loss).backward()
    if CASE == "within" and step == 3:
        taken = scaler._unscale_grads_
        def found(*args):
            flags = taken(*args)
            for one in flags.values(): one.fill_(1.0)
            return flags
        scaler._unscale_grads_ = found
    if CASE != "inside step":
        scaler.unscale_(optimizer)
    if CASE == "within" and step == 3:
        del scaler._unscale_grads_
    if CASE == "clipped":
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    if CASE == "made finite" and step == 3:
        for p in model.parameters(): p.grad.data.nan_to_num_(0.0, 0.0, 0.0)
    if CASE == "clipped by value":
        nn.utils.clip_grad_value_(model.parameters(), 1.0)
    if CASE in ("raised", "own scaler", "let go") and step == 3:
        for one in scaler._per_optimizer_states[id(optimizer)]["found_inf_per_device"].values(): one.fill_(1.0)
    if CASE == "let go" and step == 3:
        optimizer.zero_grad()
    if CASE == "held" and step == 3:
        optimizer.step = lambda: None
    scaler.step(optimizer)
    optimizer.__dict__.pop("step", None)
    if CASE == "second":
        scaler.step(second)
    scaler.update()
print(hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in model.parameters())).hexdigest())
"""
FINITE = {"tensors": 4, "not_finite": 0, "unread": 0}


OVERFLOWS = ("plain", "inside step", "clipped", "made finite", "clipped by value")
CASES = (*OVERFLOWS, "raised", "within", "second", "let go", "own scaler", "held", "none")


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Every case in a forked child, one also in a process that does not fork, and what each says where none records."""
    cases = recorded_cases(SCRIPT, CASES, tmp_path_factory.mktemp("cases"))
    alone = recorded_cases(SCRIPT, ["alone"], tmp_path_factory.mktemp("alone"))
    return cases | alone, plain_cases(SCRIPT, [*CASES, "alone"])


def said(ran, case):
    recorded, plain = ran
    frames, output = recorded[case]
    assert kinds(frames, "Fault") == []
    assert output == plain[case] != ""
    skipped = [(each.optimizer, each.update) for each in kinds(frames, "Update") if each.skipped]
    return skipped, kinds(frames, "Overflow")


@pytest.mark.parametrize(("case", "flagged"), [("raised", False), ("within", True)])
def test_an_overflow_that_there_was_not_is_said_with_the_gradients_that_are_finite(ran, case, flagged):
    skipped, (one,) = said(ran, case)
    assert skipped == [(0, 3)]
    assert (one.optimizer, one.update, one.flagged) == (0, 3, flagged)
    assert {name: getattr(one, name) for name in FINITE} == FINITE


@pytest.mark.parametrize("case", [*OVERFLOWS, "alone"])
def test_a_real_overflow_is_said_as_one_whatever_the_program_makes_of_the_gradients_since(ran, case):
    skipped, (one,) = said(ran, case)
    assert skipped == [(0, 3)]
    assert one.flagged is True
    assert one.not_finite > 0


def test_of_several_optimizers_each_has_a_flag_and_gradients_of_its_own(ran):
    skipped, (one,) = said(ran, "second")
    assert skipped == [(1, 3)]
    assert (one.optimizer, one.update, one.flagged, one.tensors) == (1, 3, True, 2)
    assert one.not_finite > 0


def test_gradients_that_were_let_go_are_counted_as_none(ran):
    _, (one,) = said(ran, "let go")
    assert (one.flagged, one.tensors, one.unread) == (False, 0, 0)


def test_nothing_is_said_of_a_scaler_that_is_not_torchs_own(ran):
    skipped, overflows = said(ran, "own scaler")
    assert skipped == [(0, 3)]
    assert overflows == []


def test_nothing_is_said_of_a_scaler_where_something_else_kept_the_optimizer_from_stepping(ran):
    assert said(ran, "held")[1] == []


def test_nothing_is_said_where_no_update_is_left_out(ran):
    assert said(ran, "none") == ([], [])
