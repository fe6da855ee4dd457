"""Gradients that stand where a backward that was left out would have left some, and tell of what is made of them.

A capsule holds no gradients. What a program makes of gradients from before it (a second optimizer that steps after the
same backward, gradients that are gathered over several Steps) would be another state than that of the run.

Rules: each parameter that is trained has one from the first backward on, zero but for its first element, so that what
clears gradients clears it; whether one still stands as the capsule is put in, and still is a part of the gradient that
an update is then made from, ends the process. A program that clears gradients in place finds zeros, as in the run.
"""

# ruff: noqa: SLF001  (torch gives no public name to a tensor's version)

from __future__ import annotations

from typing import Any

import torch

from . import memory, optimizers, steps
from .cannot import CannotBeHollowError, or_refused

_marks: dict[int, list[Any]] = {}  # by parameter: it, its mark, and the mark's version as it was set


def set_anew() -> None:
    """A backward was left out. Call inside `quiet`, without gradients."""
    for _, optimizer in optimizers.living():
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                gradient, known = parameter.grad, _marks.get(id(parameter))
                if known is None:
                    known = _made(parameter) if gradient is None and parameter.requires_grad else None
                if known is None or (gradient is not None and gradient is not known[1]):
                    continue  # what the program put there itself
                if known[1]._version != known[2]:
                    _mark(known, 1.0)
                if gradient is None:
                    parameter.grad = known[1]


def watch() -> None:
    """The capsule has been put in: from here on those that still stand must be no part of an update."""
    untouched = _without_state()
    for identity, known in list(_marks.items()):
        parameter, mark, _ = known
        if parameter.grad is mark and mark.numel() and bool(_first(mark)):
            _mark(known, float("nan"))  # whatever is added to it
            continue
        if parameter.grad is mark and identity in untouched:  # the run had no gradient to clear there
            parameter.grad = None
        del _marks[identity]
    if _marks:
        steps.met.append(_look)


def _made(parameter: Any) -> list[Any]:
    zeros = torch.zeros_like(parameter, memory_format=torch.preserve_format)
    _marks[id(parameter)] = known = [parameter, zeros, -1]
    return known


def _mark(known: list[Any], value: float) -> None:
    if known[1].numel():
        _first(known[1]).fill_(value)
    known[2] = known[1]._version


def _first(mark: Any) -> Any:
    return mark[(0,) * mark.dim()]


def _without_state() -> set[int]:
    """Parameters of which optimizers that keep something for others keep nothing."""
    return {
        id(parameter)
        for _, optimizer in optimizers.living()
        if optimizer.state
        for group in optimizer.param_groups
        for parameter in group["params"]
        if parameter not in optimizer.state
    }


def forget() -> None:
    """Let go of all of them."""
    _marks.clear()


@or_refused
def _look(optimizer: Any) -> None:
    """An update begins behind the capsule."""
    if not _marks:
        return
    with memory.quiet():
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                known = _marks.pop(id(parameter), None)
                if known is None or parameter.grad is not known[1]:
                    continue
                if bool(torch.isnan(_first(known[1]))):
                    raise CannotBeHollowError("an update behind the capsule is made from gradients from before it")
