"""The whole state of every generator, for a capsule: what a digest in an update is of. Nothing is drawn here.

The forms are those of `spec/capsule.md`. Known weakness: a generator that neither `generators` nor `batches` follows is
not in it, and goes on from wherever the program has it.
"""

from __future__ import annotations

import base64
import random
from typing import Any

import torch

from . import batches, generators, memory, session


def of_process() -> dict[str, Any]:
    """The global generators of Python, numpy and torch. Call inside `quiet`."""
    version, words, gauss = random.getstate()
    found: dict[str, Any] = {"python": [version, list(words), gauss], "torch": _torch(torch.default_generator)}
    numpy = session.loaded("numpy.random")
    if numpy is not None and generators.has_twister(numpy):
        _, key, position, has_gauss, cached = numpy.get_state()
        found["numpy"] = [key.tolist(), int(position), int(has_gauss), float(cached)]
    return found


def of_all() -> dict[str, Any]:
    """Those, numpy's that are followed, and those that loaders and their samplers were given. Call inside `quiet`."""
    found = of_process()
    for number, generator in generators.followed():
        found["numpy.%d" % number] = _plain(generator.bit_generator.state)
    for name, generator in batches.own_generators():
        found[name] = _torch(generator)
    return found


def _torch(generator: Any) -> str:
    held = memory.hold(generator.get_state())  # keeps the memory while its view is read
    return base64.b64encode(held.view).decode("ascii")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    return value.tolist() if hasattr(value, "tolist") else value
