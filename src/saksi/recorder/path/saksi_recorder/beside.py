"""Parameters that no optimizer holds and that stand beside trained ones: averages, target networks, teachers.

Rules: those of registered top-level modules, as with buffers, since what a root covers must not depend on what a
program copies; in this host's memory, and in no other process's. One stands beside a trained one where it has its
shape, and its name ends with the whole name of that one, less what torch puts before the names of a model that it
wraps. So the layers that a fine-tuning leaves alone are none of them, however large they are. `average_layouts` looks
for more, and may guess: what it finds is compared and judged, while a root has to be the same wherever the program
is.
"""

from __future__ import annotations

from typing import Any, Iterator

import torch

from . import average_layouts, modules

_WRAPPERS = ("module.", "_orig_mod.", "_fsdp_wrapped_module.")


def of(trained: list[Any], names: dict[int, str]) -> Iterator[tuple[str, str, Any]]:
    """Key, qualified name and tensor of each. `names` are those of parameters, by identity. Call inside `quiet`."""
    shaped = [one for one in trained if id(one) in names and not torch.nn.parameter.is_lazy(one)]
    wanted = {(tuple(one.shape), _bare(names[id(one)])) for one in shaped}
    if not wanted:
        return
    held = {id(one) for one in trained}
    for ordinal, module in modules.top_level():
        for name, tensor in modules.parameters_of(module):
            if id(tensor) in held or not average_layouts.is_read(tensor) or tensor.is_shared():
                continue  # what other processes may write to meanwhile is no state of this one
            if _stands_beside(name, tuple(tensor.shape), wanted):
                yield "beside/%d/%s" % (ordinal, name), name, tensor


def _bare(name: str) -> str:
    found = next((one for one in _WRAPPERS if name.startswith(one)), None)
    return name if found is None else _bare(name[len(found) :])


def _stands_beside(name: str, shape: tuple[int, ...], wanted: set[tuple[tuple[int, ...], str]]) -> bool:
    """One word alone ends too many names: that has to be the whole one."""
    words = name.split(".")
    ends = (".".join(words[at:]) for at in range(len(words) - 1))
    return (shape, _bare(name)) in wanted or any((shape, end) in wanted for end in ends)
