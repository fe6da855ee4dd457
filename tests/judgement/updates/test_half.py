"""Half precision against torch itself: the same bits for nearly every element, and not for a step that was changed."""

from __future__ import annotations

import math

import pytest
import torch

from judgement.updates.test_rules import KERNELS, numbers, said, state_of
from saksi.judgement.updates.arithmetic import NoRule
from saksi.judgement.updates.compare import needed
from saksi.judgement.updates.half import HALF_FORMATS, HALF_RULES, bfloat16, float16
from saksi.judgement.updates.values import Around

COUNT, STEPS = 1_000, 6
CASES = [
    (torch.optim.AdamW, {}),
    (torch.optim.AdamW, {"weight_decay": 0.1, "maximize": True}),
    (torch.optim.Adam, {"weight_decay": 0.1, "betas": (0.8, 0.95)}),
    (torch.optim.SGD, {"weight_decay": 0.01}),
    (torch.optim.SGD, {"momentum": 0.9, "dampening": 0.1, "weight_decay": 0.01}),
    (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
]
HONEST = [
    (*case, kernel) for case in CASES for kernel in KERNELS if kernel != "fused" or case[0] is not torch.optim.SGD
]
DTYPES = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])


def others(kind, options, kernel, dtype, *, tamper=None):
    """Of each step the elements that are not the same bits, by quantity."""
    torch.manual_seed(0)
    parameter = torch.nn.Parameter(torch.randn(COUNT).to(dtype))
    optimizer = kind([parameter], **{"lr": 1e-3, **options}, **KERNELS[kernel])
    for step in range(STEPS):
        parameter.grad = (torch.randn(COUNT) * torch.logspace(-2, 0, COUNT)).to(dtype)
        before, state = numbers(parameter), state_of(optimizer, parameter)
        gradient, group = numbers(parameter.grad), said(optimizer.param_groups[0])
        if tamper is not None and step == STEPS - 1:
            tamper(optimizer, parameter)
        optimizer.step()
        around = Around(
            parameter=before, gradient=gradient, before=state,
            parameter_after=numbers(parameter), after=state_of(optimizer, parameter),
        )  # fmt: skip
        expected = HALF_RULES[f"{kind.__module__}.{kind.__qualname__}"](around, group, HALF_FORMATS[str(dtype)])
        found = {"parameter": (expected.parameter, around.parameter_after)}
        found |= {name: (quantity, around.after[name]) for name, quantity in expected.state.items()}
        yield {
            name: sum(a != b for a, b in zip(quantity.values, values, strict=True))
            for name, (quantity, values) in found.items()
        }


@DTYPES
@pytest.mark.parametrize(("kind", "options", "kernel"), HONEST)
def test_an_honest_step_gives_the_same_bits_for_nearly_every_element(kind, options, kernel, dtype):
    for step in others(kind, options, kernel, dtype):
        assert max(step.values()) < needed(COUNT) / 2


def faster(optimizer, _):
    optimizer.param_groups[0]["lr"] *= 1.01


def negated(_, parameter):
    parameter.grad.neg_()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("tamper", [faster, negated])
def test_a_step_of_bfloat16_that_was_changed_gives_other_bits_at_once(tamper, kernel):
    *honest, last = others(torch.optim.AdamW, {"lr": 1e-2}, kernel, torch.bfloat16, tamper=tamper)
    assert all(each["parameter"] < needed(COUNT) for each in honest)
    assert last["parameter"] >= needed(COUNT)


@pytest.mark.parametrize(("dtype", "rounded"), [(torch.bfloat16, bfloat16), (torch.float16, float16)])
def test_rounding_is_that_of_torch(dtype, rounded):
    values = torch.cat([torch.randn(2_000) * scale for scale in (1e-9, 1e-6, 1.0, 1e3, 1e6, 1e38)])
    values = torch.cat([values, torch.tensor([0.0, -0.0, math.inf, -math.inf])])
    assert [rounded(each) for each in values.double().tolist()] == values.to(dtype).double().tolist()
    assert math.isnan(rounded(math.nan))


def test_what_is_not_worked_out_is_said():
    around = Around(parameter=[1.0], gradient=[1.0], before={}, parameter_after=[1.0], after={})
    group = {"lr": 0.1, "betas": [0.9, 0.99], "eps": 1e-8, "weight_decay": 0, "amsgrad": True}
    with pytest.raises(NoRule, match="amsgrad"):
        HALF_RULES["torch.optim.adam.Adam"](around, group, bfloat16)


@pytest.mark.parametrize(("elements", "count"), [(1, 1), (3, 3), (50, 4), (468, 10), (1_000, 20)])
def test_some_elements_must_be_others(elements, count):
    assert needed(elements) == count
