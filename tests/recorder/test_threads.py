"""Where an audit asks for it, torch has as many threads as in the run that is replayed."""

from __future__ import annotations

import os

import pytest

from recorder.listener import environment, kinds, run
from torch_loaded import LOADED

pytestmark = pytest.mark.training

SCRIPT = (
    LOADED
    + """
import torch
print(torch.get_num_threads())
weight = torch.nn.Parameter(torch.ones(3))
optimizer = torch.optim.SGD([weight], lr=0.1)
weight.sum().backward()
optimizer.step()
"""
)


def told(agent, tmp_path, **variables):
    """How many threads the program found, and what its first frame says of them."""
    variables = environment(tmp_path / "s", **variables)
    for name in {"OMP_NUM_THREADS", "MKL_NUM_THREADS"} - set(variables.get("OWN", "").split()):
        variables.pop(name, None)
    said = run(SCRIPT, variables).stdout
    agent.drain(1)
    (hello,) = kinds(agent.frames(0), "Hello")
    return int(said), hello.threads, hello.flags.get("threads_here")


def test_what_was_asked_for_is_given_and_what_torch_would_have_had_is_said(agent, tmp_path):
    found, said, here = told(agent, tmp_path, SAKSI_THREADS="7")
    assert (found, said) == (7, 7)
    assert 1 <= here <= os.cpu_count()


@pytest.mark.parametrize("asked", ["", "0", "x", "1025", "-1", "9" * 30])
def test_what_is_no_number_of_threads_leaves_them_as_they_are(agent, tmp_path, asked):
    found, said, here = told(agent, tmp_path, SAKSI_THREADS=asked)
    assert found == said <= os.cpu_count()
    assert here is None


def test_what_the_programs_own_variables_say_of_threads_stands(agent, tmp_path):
    assert told(agent, tmp_path, SAKSI_THREADS="7", OMP_NUM_THREADS="1", OWN="OMP_NUM_THREADS") == (1, 1, None)
