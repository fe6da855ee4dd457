"""What is changed on disk, or in what a launch is given, is named before the first step."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.training, pytest.mark.slow, pytest.mark.timeout(400)]

EDITED = {
    "A01": "purelib torch/optim/adamw.py",
    "A03, the file": "purelib torch/optim/adam.py",
    "A03, its row": "purelib torch-{torch}.dist-info/RECORD",
    "A05": "purelib speed.pth",
    "A06": "purelib helpful_backend.py",
}
REFUSED = {
    "A04, beside the script": ("searched", "toytorch/__init__.py"),
    "A04, on the search path": ("searched", "PYTHONPATH"),
    "A05, by name": ("replaced", "purelib sitecustomize.py"),
    "A13, another cache": ("searched", "TORCHINDUCTOR_CACHE_DIR"),
    "A14, in the environment": ("replaced", "purelib toytorch/_ops.so"),
    "A16, by a variable": ("searched", "NVIDIA_TF32_OVERRIDE"),
    "L01, the version": ("replaced", "toytorch"),
    "L01, the file": ("replaced", "purelib toytorch/layers.py"),
    "L02, the version": ("searched", "toydata"),
    "L02, the start-up file": ("searched", "purelib toydata_speed.pth"),
    "L03": ("replaced", "stdlib random.py"),
}


def refusals(seen):
    """What was named when the launch was refused, with what was said of it."""
    assert (seen["code"], seen["stdout"]) == (5, "")
    lines = [each.removeprefix("saksi: not started: ") for each in seen["stderr"].splitlines()]
    return dict(each.split(": ", 1) for each in lines)


@pytest.fixture
def torch_version(scenes):
    scenes.of("honest")
    (info,) = scenes.site.glob("torch-*.dist-info")
    return info.name.removeprefix("torch-").removesuffix(".dist-info")


@pytest.mark.parametrize("row", EDITED)
def test_a_file_that_was_changed_since_it_was_sealed_is_named(scenes, torch_version, row):
    seen, file = scenes.of("edited"), EDITED[row].format(torch=torch_version)
    assert "since it was sealed" in refusals(seen["refused"])[file]
    ran = seen["ran"]
    assert ran["looks"][0] == "start"
    (found,) = (each for each in ran["report"]["items"] if each["subject"] == file)
    assert (found["code"], found["severity"], found["alleges"]) == ("environment.differs", "warning", "unknown")
    assert found["first_step"] is None  # it lies before every step
    assert ran["report"]["verdict"] == "affected"


def test_what_such_a_file_does_in_the_process_is_named_as_well(scenes):
    """A06: torch loads the entry point by itself, and the hook that it puts in was not rehearsed."""
    items = scenes.of("edited")["ran"]["report"]["items"]
    (point,) = (each for each in items if each["subject"].endswith("/entry_points.txt"))
    assert (point["code"], point["severity"]) == ("environment.differs", "info")
    (hook,) = (each for each in items if each["code"] == "rehearsal.hook_added")
    assert "helpful_backend.seen" in hook["message"]
    assert hook["first_step"] == 0
    (live,) = (each for each in items if each["subject"] == "optimizer.step_post: helpful_backend.seen")
    assert live["code"] == "live.hook_added"
    assert f"seen, {scenes.site}/helpful_backend.py:4" in live["message"]


def test_forged_bytecode_beside_a_source_is_not_executed(scenes):
    """A02: the forged file says 3.0. What it would do where it is executed after all is in `test_live.py`."""
    assert "trains with 2.0\n" in scenes.of("edited")["ran"]["stdout"]
    assert "trains with 3.0\n" in scenes.of("attacked")["stdout"]


@pytest.mark.parametrize("row", REFUSED)
def test_what_a_launch_finds_otherwise_than_sealed_ends_it_before_it_starts(scenes, row):
    scene, subject = REFUSED[row]
    seen = scenes.of(scene)
    assert refusals(seen)[subject]
    if not subject.startswith(("purelib ", "stdlib ")):
        found = [each for each in seen["report"]["items"] if each["subject"] == subject]
        assert [(each["code"], each["severity"]) for each in found] == [("seal.differs", "warning")]
