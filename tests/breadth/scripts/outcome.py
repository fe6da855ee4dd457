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
    torch.set_num_threads(1)
    torch.manual_seed(0)
    random.seed(1)
    np.random.seed(2)  # noqa: NPY002 - the global generator is what many scripts use


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
    if len(names) == 1:
        train(names[0])
        return
    importlib.import_module("torch._dynamo")  # an optimizer loads it: once for all of them
    gc.collect()
    gc.freeze()  # no child looks, at its end, at what torch is made of: each would copy all of it
    for name in names:
        child = os.fork()
        if child == 0:
            train(name)
            sys.exit(0)
        _, status = os.waitpid(child, 0)
        if status:
            sys.exit(f"{name}: {status}")


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
