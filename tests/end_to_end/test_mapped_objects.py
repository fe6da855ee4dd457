"""Shared objects of real training processes, read from outside: preloaded, replaced while they run, and honest ones."""

from __future__ import annotations

import sys

import pytest

from edges.host.shared_objects import build
from saksi.words.records import MappedRecord
from saksi_run import Home

pytestmark = [pytest.mark.training, pytest.mark.slow, pytest.mark.timeout(400)]

TRAIN = """
import ctypes, os, time
import numpy, torch
torch.set_num_threads(1)
ctypes.CDLL(os.path.abspath("libown.so"))
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
for step in range(30):
    optimizer.zero_grad(); model(torch.ones(2, 4)).sum().backward(); optimizer.step()
    time.sleep(0.1)
    if step == 15 and os.path.exists("libnext.so"):
        os.replace("libnext.so", "libown.so")
        torch.save(model.state_dict(), "model.pt")
"""
START = """
import os, subprocess, sys
sys.exit(subprocess.call([sys.executable, "train.py"], env=os.environ | {"LD_PRELOAD": %r}))
"""


def project(folder):
    own = folder / "own"
    own.mkdir()
    (own / "train.py").write_text(TRAIN)
    build(own, name="libown.so")
    return Home(folder / "home"), own


def found(home):
    report = home.json("findings", "last")
    items = [each for each in report["items"] if each["check"] == "mapped"]
    return report, {(each["code"].removeprefix("environment."), each["subject"]): each for each in items}


def test_an_honest_script_with_a_library_of_its_own_alleges_nothing_and_reads_torchs_libraries(tmp_path):
    home, own = project(tmp_path)
    done = home.run("run", "--", sys.executable, "train.py", cwd=own, timeout=300)
    assert done.returncode == 0, done.stderr
    _, items = found(home)
    assert [(key, each["severity"]) for key, each in items.items()] == [
        (("object_foreign", str(own / "libown.so")), "info")
    ]  # fmt: skip
    looks = [each for each in home.records() if isinstance(each, MappedRecord)]
    objects = [each for look in looks for each in look.objects]
    assert {each.origin for each in objects if "libtorch_cpu" in each.path} == {"package"}
    assert len(objects) == len({(each.path, each.inode) for each in objects})
    assert {look.reason for look in looks} == {None}


def test_a_preloaded_library_and_one_that_is_replaced_while_it_runs_are_named(tmp_path):
    home, own = project(tmp_path)
    build(own, "int other(void) { return 2; }", name="libnext.so")
    outside = tmp_path / "outside"
    outside.mkdir()
    library = build(outside, name="libfast.so")
    (own / "start.py").write_text(START % str(library))
    done = home.run("run", "--", sys.executable, "start.py", cwd=own, timeout=300)
    assert done.returncode == 0, done.stderr
    report, items = found(home)
    preloaded = items["object_foreign", str(library)]
    assert (preloaded["severity"], preloaded["alleges"]) == ("warning", "unknown")
    assert "LD_PRELOAD had it loaded" in preloaded["message"]
    variable = items["variable_differs", "LD_PRELOAD"]
    assert variable["severity"] == "warning"
    assert str(library) in variable["message"]
    replaced = items["object_changed", str(own / "libown.so")]
    assert replaced["severity"] == "warning"
    assert 15 <= replaced["first_step"] <= 29
    assert report["verdict"] == "affected"


def test_a_module_beside_the_script_that_python_has_too_is_named(tmp_path):
    home, own = project(tmp_path)
    (own / "tabnanny.py").write_text("def check(*_): return 0\n")
    (own / "train.py").write_text("import tabnanny\n" + TRAIN.replace("range(30)", "range(3)"))
    done = home.run("run", "--", sys.executable, "train.py", cwd=own, timeout=300)
    assert done.returncode == 0, done.stderr
    _, items = found(home)
    shadowed = items["import_shadowed", "tabnanny"]
    assert shadowed["severity"] == "warning"
    assert f"{own}/tabnanny.py" in shadowed["message"]
    assert "lib/python3" in shadowed["message"]


def test_under_a_seal_torchs_libraries_are_compared_with_what_was_sealed_and_agree(tmp_path):
    home, own = project(tmp_path)
    sealed = home.run("seal", "create", "-o", "run.seal", "--", sys.executable, "train.py", cwd=own, timeout=300)
    assert sealed.returncode == 0, sealed.stderr
    done = home.run("run", "--seal", "run.seal", "--", sys.executable, "train.py", cwd=own, timeout=300)
    assert done.returncode == 0, done.stderr
    _, items = found(home)
    assert [(key, each["severity"]) for key, each in items.items()] == [
        (("object_foreign", str(own / "libown.so")), "info")
    ]  # fmt: skip
    looks = [each for each in home.records() if isinstance(each, MappedRecord)]
    assert all(each.tree for each in looks)
    (torch,) = [each for look in looks for each in look.objects if each.path.endswith("/libtorch_cpu.so")]
    assert (torch.origin, torch.digest) == ("sealed", torch.sealed)
    assert not any(each.origin in ("package", "library") for look in looks for each in look.objects)
