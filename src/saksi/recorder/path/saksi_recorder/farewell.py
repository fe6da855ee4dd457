"""A last root of a model that the program lets go of, as a training function does when it returns.

Patched, because there is no hook: `__del__` of `torch.nn.Module` and of `torch.optim.Optimizer`, which torch leaves
undefined. Python calls it while the object is whole; nothing is kept alive for our sake.

Rules: only for optimizer 0, which makes the Steps, and for a model whose buffers a root covers and whose parameters
that one holds (a loss function or an optimizer may be made anew in every iteration); only where updates follow the
last root; whichever of the two goes first is the occasion, since the other is then still there.
"""

from __future__ import annotations

from typing import Any, Callable

import torch

from . import modules, optimizers, session, state
from .guard import guarded

_over: list[bool] = []
_original_module = getattr(torch.nn.Module, "__del__", None)
_original_optimizer = getattr(torch.optim.Optimizer, "__del__", None)


def _then(act: Callable[[Any], None], original: Any, over: list[bool]) -> Callable[[Any], None]:
    """`act`, unless it is over, then the original. What it needs it holds: this module may have gone by then."""

    def goes(self: Any) -> None:
        if not over:
            act(self)
        if original is not None:
            original(self)

    return goes


def _module_goes(module: Any) -> None:
    if state.unbound():
        goes(module, _is_of_steps)


def _optimizer_goes(optimizer: Any) -> None:
    if state.unbound():
        goes(optimizer, optimizers.makes_steps)


module_goes = _then(_module_goes, _original_module, _over)
"""The end of a module."""
optimizer_goes = _then(_optimizer_goes, _original_optimizer, _over)
"""The end of an optimizer."""


def install() -> None:
    """Put both in place."""
    torch.nn.Module.__del__ = module_goes  # type: ignore[attr-defined]
    torch.optim.Optimizer.__del__ = optimizer_goes  # type: ignore[attr-defined]


def restore() -> None:
    """Put back what was there."""
    for kind, original in ((torch.nn.Module, _original_module), (torch.optim.Optimizer, _original_optimizer)):
        if original is None:
            del kind.__del__  # type: ignore[attr-defined]
        else:
            kind.__del__ = original  # type: ignore[attr-defined]


@guarded("farewell")
def goes(one: Any, is_covered: Callable[[Any], bool]) -> None:
    """Take the root of what is about to go. The collector may end it in a thread that does not train."""
    if _over or session.dormant or session.step < 0 or not is_covered(one) or session.trains_elsewhere():
        return
    state.root("released", session.step)


def _is_of_steps(module: Any) -> bool:
    return modules.is_covered(module) and optimizers.holds_any(0, module.parameters())


def end() -> None:
    """The process has said goodbye; what dies now dies with the interpreter."""
    _over.append(True)
