"""What a training script of the matrix ended with: one line on standard output, the same bits or not."""

import gc
import hashlib
import importlib
import os
import random
import sys

import numpy as np
import torch


def begin():
    """The same start for every script."""
    load()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    random.seed(1)
    np.random.seed(2)  # noqa: NPY002 - the global generator is what many scripts use


def load():
    """What an optimizer loads, out of the collector's sight: it looks at what torch is made of in no process."""
    gc.disable()
    importlib.import_module("torch._dynamo")
    gc.freeze()
    gc.enable()


def end(*held, label="outcome"):
    """Say a digest over models, optimizers and tensors, and over every generator's state."""
    digest = hashlib.sha256()
    for each in held:
        for name, tensor in tensors_of(each):
            local = tensor.to_local() if hasattr(tensor, "to_local") else tensor
            digest.update(f"{name} {local.dtype} {tuple(local.shape)}\n".encode())
            dense = local.detach().to_dense() if local.layout is not torch.strided else local.detach()
            digest.update(dense.contiguous().view(-1).view(torch.uint8).numpy().tobytes() if dense.numel() else b"")
    for state in (random.getstate(), np.random.get_state()):  # noqa: NPY002 - as above
        digest.update(repr(state).encode())
    digest.update(torch.get_rng_state().numpy().tobytes())
    # One write: the lines of several ranks may share a pipe.
    sys.stdout.write(f"{label} {digest.hexdigest()}\n")
    sys.stdout.flush()


def each(names, train):
    """One training in this process; several, each in a forked child of its own, one after the other."""
    train(own(names))


def own(names):
    """The only one of the names; of several, one in each of as many forked children, and the parent ends after them."""
    if len(names) == 1:
        return names[0]
    load()  # once for all of them
    for name in names:
        child = os.fork()
        if child == 0:
            return name
        _, status = os.waitpid(child, 0)
        if status:
            sys.exit(f"{name}: {status}")
    sys.exit(0)


def tensors_of(held, path=""):
    """Every tensor in a module, an optimizer, or nested lists and dictionaries, with its path."""
    if isinstance(held, torch.nn.Module | torch.optim.Optimizer):
        held = held.state_dict()
    if isinstance(held, torch.Tensor):
        yield path, held
    elif isinstance(held, dict):
        for key, value in held.items():
            yield from tensors_of(value, f"{path}/{key}")
    elif isinstance(held, list | tuple):
        for place, value in enumerate(held):
            yield from tensors_of(value, f"{path}/{place}")
