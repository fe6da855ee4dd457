"""The folder on PYTHONPATH leaves no trace but its own: the user's sitecustomize, sys.path and imports behave as before."""

# ruff: noqa: E501  (scripts that run elsewhere are quoted as they are)

from __future__ import annotations

import os
from pathlib import Path

import pytest

from recorder.interpreters import BEFORE_3, SINCE_3
from recorder.listener import PATH, Listener, environment, run

BARE = Path(__file__).parents[2] / ".venv-bare/bin/python"  # has no torch

FAKE_TORCH = "x = 1\n"


def with_user_code(tmp_path, **files):
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text)
    return {"PYTHONPATH": f"{PATH}{os.pathsep}{tmp_path}"}


@pytest.mark.parametrize("python", SINCE_3)
def test_the_users_sitecustomize_runs_as_if_alone(tmp_path, python):
    more = with_user_code(tmp_path, sitecustomize="import sys\nseen = (__name__, __file__)\n")
    script = "import sys, sitecustomize as s; print(s.seen, s is sys.modules['sitecustomize'])"
    done = run(script, environment(tmp_path / "none", **more), python=python)
    assert done.stdout.strip() == f"('sitecustomize', '{tmp_path}/sitecustomize.py') True"
    assert done.stderr == ""


@pytest.mark.parametrize("python", SINCE_3)
def test_without_one_there_is_none(tmp_path, python):
    script = (
        "import sys; print('sitecustomize' in sys.modules)\n"
        "try: import sitecustomize\nexcept ModuleNotFoundError as e: print(e)"
    )
    with_us = run(script, environment(tmp_path / "none"), python=python)
    without = run(script, environment(None, PYTHONPATH=""), python=python)
    assert (with_us.stdout, with_us.stderr) == (without.stdout, without.stderr)


@pytest.mark.parametrize("python", SINCE_3)
def test_a_failing_sitecustomize_is_reported_in_sites_own_words(tmp_path, python):
    more = with_user_code(tmp_path, sitecustomize="raise ValueError('mine')\n")
    script = "import sys; print('sitecustomize' in sys.modules, 'up and running')"
    with_us = run(script, environment(tmp_path / "none", **more), python=python)
    without = run(script, environment(None, PYTHONPATH=str(tmp_path)), python=python)
    assert "mine" in with_us.stderr
    assert (with_us.stdout, with_us.stderr) == (without.stdout, without.stderr)


def test_a_sitecustomize_that_misses_an_import_is_reported(tmp_path):
    more = with_user_code(tmp_path, sitecustomize="import no_such_module\n")
    assert "no_such_module" in run("pass", environment(tmp_path / "none", **more)).stderr


@pytest.mark.parametrize("python", BEFORE_3)
def test_an_interpreter_from_before_our_time_is_not_disturbed(tmp_path, python):
    done = run("print('fine')", environment(tmp_path / "none"), python=python)
    assert (done.stdout, done.stderr) == ("fine\n", "")


def test_our_folder_ends_up_last_on_the_path(tmp_path):
    script = "import sys; print(sys.path[-1], sys.path.count(sys.path[-1]))"
    assert run(script, environment(tmp_path / "none")).stdout.split() == [str(PATH), "1"]


@pytest.mark.parametrize("more", [{"SAKSI_DISABLE": "1"}, {"SAKSI_SOCKET": ""}])
def test_switched_off_it_only_makes_way(tmp_path, more):
    more |= with_user_code(tmp_path, sitecustomize="ran = True\n", torch=FAKE_TORCH)
    script = (
        "import sys, torch, sitecustomize\n"
        "print(sitecustomize.ran, [m for m in sys.modules if 'saksi' in m], [type(f).__name__ for f in sys.meta_path"
        " if 'saksi' in type(f).__module__])"
    )
    assert run(script, environment(tmp_path / "none", **more)).stdout.strip() == "True [] []"


def test_looking_for_torch_does_not_disarm(tmp_path):
    more = with_user_code(tmp_path, torch=FAKE_TORCH)
    script = (
        "import importlib.util, sys\n"
        "spec = importlib.util.find_spec('torch')\n"
        "print(type(spec.loader).__name__, 'saksi_recorder.attach' in sys.modules)\n"
        "import torch\n"
        "print(type(torch.__loader__).__name__, 'saksi_recorder.attach' in sys.modules)\n"
        "print('exec_module' in vars(torch.__loader__), any('saksi' in type(f).__module__ for f in sys.meta_path))"
    )
    done = run(script, environment(tmp_path / "none", **more))
    assert done.stdout.split() == ["SourceFileLoader", "False", "SourceFileLoader", "True", "False", "False"]
    assert done.stderr == ""


def test_a_failing_import_of_torch_looks_natural_and_is_waited_for_again(tmp_path):
    more = with_user_code(
        tmp_path, torch="import builtins\nif not getattr(builtins, 'fixed', 0): raise OSError('no libtorch')\n"
    )
    script = (
        "import builtins, sys\n"
        "try: import torch\nexcept OSError as e: print(e, 'torch' in sys.modules, 'saksi_recorder.attach' in sys.modules)\n"
        "builtins.fixed = 1\nimport torch\nprint('saksi_recorder.attach' in sys.modules)"
    )
    done = run(script, environment(tmp_path / "none", **more))
    assert done.stdout.splitlines() == ["no libtorch False False", "True"]
    assert done.stderr == ""


def test_a_missing_torch_is_missing(tmp_path):
    done = run("import torch", environment(tmp_path / "none"), python=str(BARE), check=False)
    assert "ModuleNotFoundError: No module named 'torch'" in done.stderr
    assert "saksi" not in done.stderr


def test_a_process_without_torch_never_connects(tmp_path):
    with Listener(tmp_path / "s") as agent:
        run("import json", environment(tmp_path / "s"))
    assert agent.connections == []
