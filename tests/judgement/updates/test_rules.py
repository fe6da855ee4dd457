"""The rules against torch itself: honest steps of every kernel agree, and small changes of the arithmetic do not."""

from __future__ import annotations

import pytest
import torch

from saksi.judgement.updates.precision import PRECISIONS
from saksi.judgement.updates.rules import RULES, NoRule
from saksi.judgement.updates.values import Around

KERNELS = {"single": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}
ADAM = [
    {},
    {"weight_decay": 0.1},
    {"amsgrad": True},
    {"maximize": True, "weight_decay": 0.01},
    {"betas": (0.8, 0.95), "eps": 1e-6},
    {"lr": torch.tensor(0.003)},
]
SGD = [
    {},
    {"weight_decay": 0.1},
    {"momentum": 0.9},
    {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01},
    {"momentum": 0.9, "nesterov": True, "maximize": True},
    {"lr": torch.tensor(0.003)},
]
ADAGRAD = [{}, {"weight_decay": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.3}, {"maximize": True}]
RMSPROP = [{}, {"momentum": 0.9, "weight_decay": 0.1}, {"alpha": 0.9, "maximize": True}]
WARMED = [
    {},
    {"weight_decay": 0.1},
    {"weight_decay": 0.1, "decoupled_weight_decay": True},
    {"betas": (0.8, 0.95), "maximize": True},
]
CASES = [
    *((kind, options) for kind in (torch.optim.Adam, torch.optim.AdamW) for options in ADAM),
    *((torch.optim.SGD, options) for options in SGD),
    *((torch.optim.Adagrad, options) for options in ADAGRAD),
    *((torch.optim.RMSprop, options) for options in RMSPROP),
    *((kind, options) for kind in (torch.optim.NAdam, torch.optim.RAdam) for options in WARMED),
]
STEPS, COUNT = 8, 257


def is_known_to_torch(kind, options, kernel):
    """Torch's Adam takes no learning rate in a tensor for its foreach kernel, and not all have a fused one."""
    if kernel == "fused" and kind not in {torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD, torch.optim.Adagrad}:
        return False
    return not (kernel == "foreach" and isinstance(options.get("lr"), torch.Tensor) and kind is not torch.optim.SGD)


HONEST = [(*case, kernel) for case in CASES for kernel in KERNELS if is_known_to_torch(*case, kernel)]


def numbers(tensor):
    return tensor.detach().double().reshape(-1).tolist()


def state_of(optimizer, parameter):
    kept = optimizer.state.get(parameter, {})
    return {name: numbers(value) for name, value in kept.items() if isinstance(value, torch.Tensor)}


def said(group):
    """A group's hyper-parameters as a frame says them."""
    out = {}
    for name, value in group.items():
        if name != "params":
            out[name] = float(value) if isinstance(value, torch.Tensor) else list(value) if name == "betas" else value
    return out


def trained(kind, options, kernel, *, dtype=torch.float32, tamper=None, seed=0):
    """Each step of a small training: what was around it, and the hyper-parameters that were said."""
    generator = torch.Generator().manual_seed(seed)
    scale = torch.logspace(-6, 1, COUNT)
    parameter = torch.nn.Parameter((torch.randn(COUNT, generator=generator) * scale.flip(0)).to(dtype))
    optimizer = kind([parameter], **{"lr": 0.01, **options}, **KERNELS[kernel])
    for step in range(STEPS):
        parameter.grad = (torch.randn(COUNT, generator=generator) * scale).to(dtype)
        before, state = numbers(parameter), state_of(optimizer, parameter)
        gradient, group = numbers(parameter.grad), said(optimizer.param_groups[0])
        if tamper is not None and step >= STEPS // 2:
            tamper(optimizer, parameter)
        optimizer.step()
        yield (
            Around(
                parameter=before, gradient=gradient, before=state,
                parameter_after=numbers(parameter), after=state_of(optimizer, parameter),
            ),
            group,
        )  # fmt: skip


def outside(around, group, kind, dtype=torch.float32):
    """The quantities with an element outside of its tolerance."""
    name = f"{kind.__module__}.{kind.__qualname__}"
    expected = RULES[name](around, group, PRECISIONS[str(dtype)])
    found = {"parameter": (expected.parameter, around.parameter_after)}
    found |= {key: (quantity, around.after[key]) for key, quantity in expected.state.items()}
    return {
        key
        for key, (quantity, values) in found.items()
        if any(
            abs(value - wanted) > room
            for value, wanted, room in zip(values, quantity.values, quantity.tolerance, strict=True)
        )
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("kind", "options", "kernel"), HONEST)
def test_an_honest_step_is_what_the_rule_expects(kind, options, kernel, dtype):
    for seed in range(4):
        for around, group in trained(kind, options, kernel, dtype=dtype, seed=seed):
            assert outside(around, group, kind, dtype) == set()


def scaled(name, factor):
    def tamper(optimizer, _):
        group = optimizer.param_groups[0]
        value = group[name]
        group[name] = (value[0], value[1] * factor) if name == "betas" else value * factor

    return tamper


def negated(_, parameter):
    parameter.grad.neg_()


def of_one(_, parameter):
    parameter.grad[COUNT - 1] *= 1.01


TAMPERED = {
    "lr x1.003": (scaled("lr", 1.003), {"parameter"}),
    "beta2 x0.999": (scaled("betas", 0.999), {"parameter", "exp_avg_sq"}),
    "sign": (negated, {"parameter", "exp_avg"}),
    "one element": (of_one, {"exp_avg", "exp_avg_sq"}),
}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", TAMPERED)
@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
def test_a_step_that_was_changed_is_seen_as_it_begins(kind, name, kernel):
    tamper, seen = TAMPERED[name]
    steps = list(trained(kind, {"weight_decay": 0.01}, kernel, tamper=tamper))
    found = [outside(around, steps[0][1], kind) for around, _ in steps]  # held to what was said at first
    assert found[: STEPS // 2] == [set()] * (STEPS // 2)
    assert all(seen <= each for each in found[STEPS // 2 :])


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("tamper", [scaled("lr", 1.003), scaled("momentum", 1.001), negated])
def test_a_changed_step_of_sgd_is_seen_as_it_begins(tamper, kernel):
    steps = list(trained(torch.optim.SGD, {"momentum": 0.9}, kernel, tamper=tamper))
    found = [bool(outside(around, steps[0][1], torch.optim.SGD)) for around, _ in steps]
    assert found == [False] * (STEPS // 2) + [True] * (STEPS - STEPS // 2)


@pytest.mark.parametrize(
    ("change", "says"),
    [({"capturable": True}, "capturable"), ({"lr": "x"}, "lr is"), ({"betas": [0.9]}, "betas"), ({"eps": None}, "eps")],
)
def test_what_a_rule_does_not_know_is_said(change, says):
    around, group = next(iter(trained(torch.optim.AdamW, {}, "single")))
    with pytest.raises(NoRule, match=says):
        RULES["torch.optim.adamw.AdamW"](around, group | change, PRECISIONS["torch.float32"])


def test_spacing_is_that_of_torch():
    precision = PRECISIONS["torch.float32"]
    for value in (1.0, 1.5, 3e-8, 1e-42, 65504.0, 0.0):
        one = torch.tensor(value, dtype=torch.float32)
        after = torch.nextafter(one, torch.tensor(torch.inf))
        assert precision.spacing(float(one)) == pytest.approx(float(after) - float(one))
