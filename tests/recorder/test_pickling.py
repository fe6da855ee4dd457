"""What the recorder puts in the place of a function is pickled as the function was, and does the same elsewhere."""

from __future__ import annotations

import json

import pytest

from recorder.listener import environment, run

pytestmark = pytest.mark.training

PICKLED = """
import inspect, json, pickle, random, sys
import numpy, torch, safetensors.torch, torch.distributed.checkpoint as dcp
from torch.utils.data.dataloader import _BaseDataLoaderIter
functions = [torch.manual_seed, torch.random.manual_seed, random.seed, numpy.random.seed, numpy.random.default_rng,
    torch.save, torch.load, torch.autograd.backward, torch.nn.utils.clip_grad_norm_, safetensors.torch.save_file,
    safetensors.torch.load_file, safetensors.torch.load_model, dcp.save, dcp.load, torch.amp.GradScaler.step,
    torch.amp.GradScaler.unscale_, torch.optim.Optimizer.__init__, _BaseDataLoaderIter.__next__,
    _BaseDataLoaderIter.__init__]
out = []
for function in functions:
    same = pickle.loads(pickle.dumps(function))
    out.append([same.__name__, same.__qualname__, inspect.ismethod(same)])
out += [str(inspect.signature(one)) for one in (random.seed, torch.manual_seed, numpy.random.default_rng)]
pickle.loads(pickle.dumps(random.seed))(5)
random.seed(3); numpy.random.seed(3)
before = random.getstate()
pickle.loads(pickle.dumps(random.seed))(5)
out.append(random.getstate() == before)
random.seed(a=4, version=2)
out += [random.random(), numpy.random.random(), pickle.loads(pickle.dumps(numpy.random.default_rng))(3).random()]
print(json.dumps(out))
"""

POOL = """
import multiprocessing, random, torch, numpy
def draw(_): return numpy.random.random()
if __name__ == "__main__":
    for initializer in (random.seed, numpy.random.seed, torch.manual_seed):
        with multiprocessing.get_context("spawn").Pool(1, initializer=initializer, initargs=(7,)) as pool:
            print(pool.map(draw, range(2)) if initializer is numpy.random.seed else pool.map(abs, [-1]))
"""


def test_what_was_put_in_place_is_pickled_as_the_original_was(agent, tmp_path):
    plain = run(PICKLED, environment(None, PYTHONPATH="")).stdout
    assert json.loads(run(PICKLED, environment(tmp_path / "s")).stdout) == json.loads(plain)


def test_a_seeding_function_is_an_initializer_of_a_spawned_pool(agent, tmp_path):
    script = tmp_path / "pool.py"
    script.write_text(POOL)
    plain = run(str(script), environment(None, PYTHONPATH="")).stdout
    assert run(str(script), environment(tmp_path / "s")).stdout == plain
