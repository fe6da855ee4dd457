"""One label of the first Step changed on purpose: what an audit with a tolerance has to be able to see.

Only an audit asks for it (`SAKSI_PLANTED`), of a replay that is held against other replays and never against a run. Of
the first call of one of torch's loss functions that gives gradients, the first label counts as another one; what the
program holds stays as it is.

Known weakness: a loss that the program works out by itself, or inside of `torch.compile`, has no label that is known as
one, and nothing is planted; nor is anything by which a label becomes itself (a probability of one half), or by which it
is left out (an `ignore_index` that is handed over by place). Then an audit finds that nothing shows.
"""

from __future__ import annotations

import functools
from typing import Any, Callable

import torch

from . import memory, session
from .guard import guarded

LOSSES = (
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy", "huber_loss", "l1_loss", "mse_loss",
    "nll_loss", "smooth_l1_loss",
)  # fmt: skip
OF_PROBABILITIES = frozenset({"binary_cross_entropy", "binary_cross_entropy_with_logits"})
TARGET = "target"
AT = 1  # of the arguments

_done = [False]
_originals: dict[str, Callable[..., Any]] = {}


def install() -> None:
    """Put wrappers around the loss functions, which a program calls by these names and torch's own losses do."""
    for name in LOSSES:
        original = getattr(torch.nn.functional, name)
        _originals[name] = original
        setattr(torch.nn.functional, name, _wrapped(name, original))


def restore() -> None:
    """Put the originals back."""
    while _originals:
        name, original = _originals.popitem()
        setattr(torch.nn.functional, name, original)
    _done[0] = False


def after_fork_in_child() -> None:
    """A child plants what its parent had not planted yet."""


def _wrapped(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def loss(*args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling() or _done[0] or session.hollow:
            return original(*args, **kwargs)
        changed = _changed(name, args, kwargs)
        return original(*args, **kwargs) if changed is None else original(*changed[0], **changed[1])

    return loss


@guarded("planted")
def _changed(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The arguments with one label that is another; None where nothing can be planted in them."""
    if session.world()[0]:  # one label of the Step, whichever ranks share it
        return None
    given = args[0] if args else kwargs.get("input")
    target = args[AT] if len(args) > AT else kwargs.get(TARGET)
    if not (isinstance(given, torch.Tensor) and isinstance(target, torch.Tensor)) or not target.numel():
        return None
    if not (given.requires_grad and torch.is_grad_enabled()):  # an evaluation
        return None
    with memory.quiet(), torch.no_grad():
        other = _another(name, given, target, kwargs.get("ignore_index", -100))
    if other is None:
        return None
    _done[0] = True
    if len(args) > AT:
        return (*args[:AT], other, *args[AT + 1 :]), kwargs
    return args, {**kwargs, TARGET: other}


def _another(name: str, given: Any, target: Any, ignored: int) -> Any:
    """A copy of the labels in which the first one is another; None where there is none."""
    other = target.detach().clone(memory_format=torch.contiguous_format)
    flat = other.view(-1)
    if not target.is_floating_point():
        classes = given.shape[1] if given.dim() > 1 else given.shape[0]
        there = torch.nonzero((flat >= 0) & (flat != ignored))
        if not len(there) or classes < 2:  # noqa: PLR2004 - no other one
            return None
        first = int(there[0])
        value = (int(flat[first]) + 1) % classes
        flat[first] = (value + 1) % classes if value == ignored else value
    elif name in OF_PROBABILITIES:
        flat[0] = 1.0 - float(flat[0])
    elif name == "cross_entropy" and target.dim() == given.dim():
        first_row = other[0] if target.dim() > 1 else other
        first_row.copy_(first_row.roll(1, 0))
    else:
        flat[0] = float(flat[0]) + 1.0 + abs(float(flat[0]))
    return other
