"""What is changed in a running process is named with function and file, at most two steps late."""

from __future__ import annotations

import pytest

from catalogue.scripts import ATTACKED_AT

pytestmark = [pytest.mark.training, pytest.mark.slow, pytest.mark.timeout(400)]

LATEST = 2
"""Steps: a glance sees a third of all functions and objects, in turn, and then an inventory is taken at once."""
ATTACKS = {
    "A07, the code": ("live.code_replaced", "torch.optim.adam._multi_tensor_adam", "kernel, {site}/payload.py:4"),
    "A07, the method": ("live.code_replaced", "torch.nn.modules.linear.Linear.forward", "forward, {site}/payload.py:5"),
    "A08": ("live.instance_patched", "optimizer 0.step", "step, {site}/payload.py:6"),
    "A09": ("live.default_changed", "torch.nn.functional.cross_entropy", "label_smoothing of cross_entropy, {site}/"),
    "A10": ("live.operator_overridden", "aten::threshold_backward CPU", "registered at {site}/payload.py:"),
    "A11, a function mode": (
        "live.mode_entered",
        "modes.function: payload.Functions",
        "Functions.__torch_function__, {site}/payload.py:12",
    ),
    "A11, a dispatch mode": (
        "live.mode_entered",
        "modes.dispatch: payload.Dispatches",
        "Dispatches.__torch_dispatch__, {site}/payload.py:15",
    ),
    "A12, of optimizers": ("live.hook_added", "optimizer.step_post: payload.post", "post, {site}/payload.py:8"),
    "A12, of modules": ("live.hook_added", "module.forward: payload.seen", "seen, {site}/payload.py:9"),
    "A12, of gradients": (
        "live.hook_added",
        "parameter post_accumulate_grad_hooks: payload.grad",
        "grad, {site}/payload.py:10",
    ),
    "A16": ("live.flag_changed", "matmul_precision", "highest at the inventory before and is medium"),
    "A17": ("live.code_replaced", "torch.nn.functional.softmin", "It is softmax, {site}/torch/nn/functional.py:"),
}


def finding(scenes, code, subject, words):
    """The one that is meant, with what it says."""
    words = words.format(site=scenes.site)
    items = scenes.of("attacked")["report"]["items"]
    (found,) = (i for i in items if (i["code"], i["subject"]) == (code, subject) and words in i["message"])
    assert (found["severity"], found["alleges"]) == ("warning", "unknown")
    return found


@pytest.mark.parametrize("row", ATTACKS)
def test_what_is_changed_while_it_trains_is_named_within_two_steps(scenes, row):
    seen = scenes.of("attacked")
    if row == "A17" and "written from outside: True" not in seen["stdout"]:
        pytest.skip("this system lets no process write into another's memory")
    assert seen["code"] == 0, seen["stderr"]
    assert ATTACKED_AT <= finding(scenes, *ATTACKS[row])["first_step"] <= ATTACKED_AT + LATEST


def test_forged_bytecode_that_is_executed_is_named_at_the_first_inventory(scenes):
    """A02, where the job itself sets aside the folder of bytecode that `saksi run` gives it."""
    words = "forward, {site}/toytorch/layers.py:4 is not what the file compiles to"
    found = finding(scenes, "live.code_differs", "toytorch.layers.Scaled.forward", words)
    assert found["first_step"] == scenes.of("attacked")["inventories"][0]


def test_nothing_else_is_said_of_it(scenes):
    items = scenes.of("attacked")["report"]["items"]
    expected = {(code, subject) for code, subject, _ in ATTACKS.values()}
    expected |= {("live.code_differs", "toytorch.layers.Scaled.forward")}
    found = {(each["code"], each["subject"]) for each in items if each["severity"] != "info"}
    assert found - expected <= {("live.flag_changed", "matmul_tf32")}  # newer versions of torch turn it along
