"""Steps of optimizers whose body is left out, while all that torch and the program put around it runs.

Torch puts a wrapper around the `step` of each class of optimizers, which calls the hooks, and between them what it
holds in a cell of its own. That cell holds nothing but a question of ours while the outermost step begins, and what it
held as that step returns: no class and no optimizer is another one at any time, and what is made later needs nothing.

Rules: of steps within a step nothing is known here, since the body that would make them does not run; a step whose body
ran all the same ends the process, and so does one with a closure, or of parameters that lie elsewhere than in this
host's memory.
"""

from __future__ import annotations

import types
import weakref
from typing import Any, Optional

from torch.optim import optimizer as _optimizer

from . import optimizers
from .cannot import CannotBeHollowError

CELL = "func"  # what torch's wrapper calls its cell
_known: Any = weakref.WeakSet()


class _Open:
    """The outermost step that has begun, and the cells with what they held."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer
        self.cells = _cells(type(optimizer))
        self.was_left_out = False

    def body(self, *args: Any, **kwargs: Any) -> None:
        """In place of what the step does."""
        self.was_left_out = True
        _demand_no_closure(args, kwargs)


_open: list[_Open] = []


def begins(optimizer: Any, args: Any, kwargs: Any) -> None:
    """A step begins. Raises `CannotBeHollowError`."""
    if _open:
        raise CannotBeHollowError("a step of an optimizer raised, or began within another")
    known(optimizer)
    _demand_no_closure(args, kwargs)
    opened = _Open(optimizer)
    _open.append(opened)
    for cell, _ in opened.cells:
        cell.cell_contents = opened.body


def returned(optimizer: Any) -> Optional[int]:
    """A step returned: the number of its optimizer. Raises `CannotBeHollowError`."""
    was_left_out = bool(_open) and _open[0].optimizer is optimizer and _open[0].was_left_out
    forget()
    if not was_left_out:
        raise CannotBeHollowError("the step of a %s cannot be left out" % type(optimizer).__name__)
    return known(optimizer)


def known(optimizer: Any) -> Optional[int]:
    """The number of an optimizer, which is looked at as it is met first. Raises `CannotBeHollowError`."""
    if optimizer not in _known:
        if not all(one.is_cpu for group in optimizer.param_groups for one in group["params"]):
            raise CannotBeHollowError("parameters lie elsewhere than in this host's memory")
        _known.add(optimizer)
    return optimizers.ordinal(optimizer)


def forget() -> None:
    """Each cell holds what it held."""
    while _open:
        for cell, held in _open.pop().cells:
            cell.cell_contents = held


def _cells(kind: type) -> list[tuple[Any, Any]]:
    found = []
    for one in kind.__mro__:
        step = one.__dict__.get("step")
        if type(step) is types.FunctionType and step.__code__.co_filename == _optimizer.__file__:
            names = step.__code__.co_freevars
            if CELL in names and step.__closure__ is not None:
                cell = step.__closure__[names.index(CELL)]
                found.append((cell, cell.cell_contents))
    return found


def _demand_no_closure(args: Any, kwargs: Any) -> None:
    if (len(args) > 1 and args[1] is not None) or kwargs.get("closure") is not None:
        raise CannotBeHollowError("a closure is handed to a step")
