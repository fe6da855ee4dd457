"""The honest twins: a user's own hook, a patch in the sealed script, and an upgrade that was approved anew."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.training, pytest.mark.slow, pytest.mark.timeout(400)]


OWN = {
    ("live.code_replaced", "torch.nn.functional.mse_loss"),
    ("live.hook_added", "parameter backward_hooks: __main__.clipped"),
}
"""The script's own patch and hook: told, each as its own, and held against nobody."""


def assert_nothing_is_alleged(seen):
    assert seen["code"] == 0, seen["stderr"]
    items = seen["report"]["items"]
    assert {(each["code"], each["subject"]) for each in items} == OWN
    assert {(each["severity"], each["alleges"]) for each in items} == {("info", "unknown")}
    assert all("(the script)" in each["message"] for each in items)
    assert seen["report"]["verdict"] == "unknown"  # no manifest was given: the environment is not verified
    assert seen["report"]["coverage"]["complete"]


def test_a_hook_and_a_patch_of_the_sealed_and_rehearsed_script_allege_nothing(scenes):
    seen = scenes.of("honest")
    assert "trains with 2.0\n" in seen["stdout"], seen["stderr"]
    assert_nothing_is_alleged(seen)


def test_an_upgraded_package_that_was_approved_anew_alleges_nothing(scenes):
    seen = scenes.of("upgraded")
    assert "trains with 2.5\n" in seen["stdout"], seen["stderr"]
    assert_nothing_is_alleged(seen)
