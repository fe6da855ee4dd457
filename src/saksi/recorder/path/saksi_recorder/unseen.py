"""Training that no optimizer's step shows: by hand, or by an optimizer that goes past torch's step wrapper.

Seen from its effect: parameters that changed between two backward passes although no Update came between them, and
parameters with a gradient that changed although no optimizer that steps holds them. Torch counts the changes of a
tensor, which is cheap to ask; now and then a fingerprint is taken, since a change through `.data` is not counted. That
one is of memory only: such a change on a device is not noticed here.
"""

# ruff: noqa: SLF001  (torch gives no public name to what is read here)

from __future__ import annotations

import weakref
from typing import Any, Iterator

import torch

from . import bare, fingerprints, memory, modules, optimizers, session
from .guard import guarded

WHAT = "updates that no optimizer's step makes"
REASON = (
    "parameters changed and no optimizer's step was seen to do it: they are changed by hand, or by an optimizer that "
    "goes past torch's step wrapper"
)

_before: list[Any] = [None, None]  # version counters and fingerprint, as the previous backward of this interval began
_strays: dict[int, tuple[Any, int]] = {}  # by identity: a weak reference, and the version counter
_count = {"intervals": 0, "backwards": 0, "updates": 0}


@guarded("unseen")
def at_backward(passes: int) -> None:
    """A backward begins; `passes` have begun since the last Update. Up to the second nothing is compared."""
    _count["backwards"] += 1
    if passes == 0:
        _before[:] = [None, None]
        return
    _count["intervals"] += passes == 1
    if not _is_power_of_two(passes):
        return  # who accumulates over many passes does not have all parameters looked at in each of them
    # Accumulation has several passes in each interval: two fingerprints, in rarer and rarer intervals.
    often = passes in (1, 2) and _is_power_of_two(_count["intervals"])
    with memory.quiet():
        parameters = [one for one in _known() if one.requires_grad]
        versions = len(parameters), sum(one._version for one in parameters)
        prints = (len(parameters), fingerprints.sums(memory.here(parameters))) if often else None
    for before, now in zip(_before, (versions, prints)):  # noqa: B905  (strict= is newer than Python 3.9)
        # Another number of parameters is another question.
        if before is not None and now is not None and before[0] == now[0] and before != now:
            session.uncovered(WHAT, REASON)
    _before[:] = [versions, prints]


@guarded("unseen")
def at_update(optimizer: Any, number: int) -> None:
    """An Update begins: now and then, look for parameters that others train."""
    _count["updates"] += 1
    if _strays and not session.updates.get(number):  # it steps for the first time: what it holds is no stray any more
        for group in optimizer.param_groups:
            for one in group["params"]:
                _strays.pop(id(one), None)
    if not _is_power_of_two(_count["updates"]):
        return
    stepping = {
        id(one)
        for ordinal, each in optimizers.living()
        if session.updates.get(ordinal) or each is optimizer
        for group in each.param_groups
        for one in group["params"]
    }
    with memory.quiet():
        now = [one for one in _known() if one.grad is not None and id(one) not in stepping]
        for one in now:
            reference, version = _strays.get(id(one), (None, None))
            if reference is not None and reference() is one and version != one._version:
                session.uncovered(WHAT, REASON)
        _strays.clear()
        _strays.update((id(one), (weakref.ref(one), one._version)) for one in now)


def say_at_the_end() -> None:
    """What is only known when the process ends: backward passes that no update ever followed."""
    if _count["backwards"] and not session.updates:
        session.uncovered(
            "what backward passes were for", "%d backward passes, and no update followed" % _count["backwards"]
        )


def after_fork_in_child() -> None:
    """A child counts its own."""
    _count.update(intervals=0, backwards=0, updates=0)
    _before[:] = [None, None]
    _strays.clear()


def _known() -> Iterator[Any]:
    seen: set[int] = set()
    of_modules = (one for _, module in modules.top_level() for one in module.parameters())
    of_optimizers = (p for _, one in optimizers.living() for group in one.param_groups for p in group["params"])
    for many in (of_modules, of_optimizers):
        for one in many:
            if bare.is_a(one, torch.Tensor) and id(one) not in seen:
                seen.add(id(one))
                yield one


def _is_power_of_two(count: int) -> bool:
    return count & (count - 1) == 0
