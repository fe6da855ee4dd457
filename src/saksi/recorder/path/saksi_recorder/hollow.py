"""Getting to a Step without training there: a script runs as it does, and its state comes from a capsule in the end.

Only an audit asks for it (`SAKSI_HOLLOW`, see `spec/capsule.md`). Until the update behind which the capsule was taken,
backward passes and the steps of optimizers do nothing but serve what the run recorded of them (`hollow_scaling`,
`marks`), models are not executed again (`kept_calls`), and generators are put, wherever a loader is iterated, to what
they were in the run. As that update returns, the capsule is put in (`refilled`), all that was replaced is put back, and
this process records as any other.

Rules: nothing is said and nothing is counted before that; hooks of the program run as ever, those of one optimizer
before the capsule is put in and those of all optimizers behind it, as in the process that wrote it; a script that does
not fit the record ends the process (`cannot`), and so does what no capsule has.

Replaced, because there is no hook: `DataLoader.__iter__`, and while a step begins what torch's own wrapper around it
calls; `gradients` calls what is here in place of backward passes and clipping.

Known weakness: what a program keeps apart and works out of what it computes (the best loss so far, an average in a
list, a buffer of samples) is not that of the run, nor is what an optimizer keeps in its groups.
"""

# ruff: noqa: PTH118  (torch gives no public name to what is read here; plain os: light)

from __future__ import annotations

import atexit
import functools
import os
from typing import Any

import torch
from torch.utils.data import DataLoader

from . import (
    gradients,
    guard,
    hollow_scaling,
    hollow_steps,
    kept_calls,
    marks,
    memory,
    modules,
    refilled,
    refilled_generators,
    session,
    state,
    steps,
)
from .cannot import CannotBeHollowError, or_refused, refuse, say
from .capsule_files import Capsule
from .hollow_record import Record

_original_iter = DataLoader.__iter__

SETTLING = 2  # updates

_asked: list[Any] = []  # the record and the capsule
_epochs = [0]
_met = [False]  # whether this process has begun to train
_inherited = [False]  # by a process that another one started


@functools.wraps(_original_iter)
def iterate(self: Any, *args: Any, **kwargs: Any) -> Any:
    """Torch's own; generators are first put to what they were in the run."""
    if torch.compiler.is_compiling():
        return _original_iter(self, *args, **kwargs)
    if session.hollow:
        _begins_epoch()
    return _original_iter(self, *args, **kwargs)


@or_refused
def install() -> None:
    """Read what is asked, and put the wrappers in place."""
    if _is_started_by_another():
        _inherited[0] = True
        session.wakers.append(_trains_in_a_child)
        steps.met.append(_trains_in_a_child)
        return
    rank, _ = session.world()
    if not steps.are_seen() or torch.autograd.backward is not gradients.backward:
        raise CannotBeHollowError("the updates and backward passes of this version of torch are not seen")
    folder = os.environ["SAKSI_HOLLOW"]
    record, capsule = Record(folder, rank), Capsule(os.path.join(folder, "%d.safetensors" % rank))
    if (capsule.rank, capsule.step) != (str(rank), str(record.step)):
        raise CannotBeHollowError("the capsule is of another Step than the record of updates, or of another rank")
    _asked[:] = [record, capsule]
    session.hollow = True
    session.wakers.append(_trains_in_a_child)
    gradients.instead.update(backward=_backward, clip_grad_norm_=_clip)
    DataLoader.__iter__ = iterate  # type: ignore[method-assign]
    hollow_scaling.install(record, _left_out)
    kept_calls.install(keeps=lambda: not record.forward and not _settles())
    steps.while_hollow.append((_begins, _returned))
    atexit.register(_end)


def restore() -> None:
    """Put the originals back."""
    if not _asked:
        return
    session.hollow = False
    gradients.instead.clear()
    DataLoader.__iter__ = _original_iter  # type: ignore[method-assign]
    hollow_scaling.restore()
    kept_calls.restore()
    steps.while_hollow.clear()
    hollow_steps.forget()
    _asked.clear()


def after_fork_in_child() -> None:
    """A child that loads data does so as in the run. One that trains is none that the record is of."""
    if session.hollow:
        _inherited[0] = True
        restore()
        marks.forget()
    steps.met[:] = [one for one in steps.met if one is _trains_in_a_child]


def _is_started_by_another() -> bool:
    process = session.loaded("multiprocessing.process")
    return process is not None and process.parent_process() is not None


def _trains_in_a_child(_optimizer: Any = None) -> None:
    if _inherited[0]:
        refuse("it trains in a process that another one started")


def _end() -> None:
    if session.hollow and _met[0]:
        made = _asked[0]
        say("the program ended behind %d of the %d updates that the run had made" % (made.at, len(made.made)))


def _backward(*args: Any, **kwargs: Any) -> None:
    """In place of `torch.autograd.backward`: nothing, but the loss is that of the run."""
    if _settles():
        gradients.plain_backward(*args, **kwargs)
    _serve(args[0] if args else kwargs.get("tensors"))


def _settles() -> bool:
    """Whether models of several ranks are executed, forwards and backwards.

    DistributedDataParallel puts its buckets in order behind the first backward pass: one that began behind the capsule
    would add up gradients in another order than the run did.
    """
    return session.world()[1] > 1 and _asked[0].at < SETTLING


@or_refused
def _serve(tensors: Any) -> None:
    if isinstance(tensors, (list, tuple)) and len(tensors) == 1:
        tensors = tensors[0]
    _met[0] = True
    loss = _asked[0].coming.loss
    with guard.inside(), memory.quiet(), torch.no_grad():
        if loss is not None and _is_number(tensors):
            tensors.detach().fill_(loss)
            scaled = hollow_scaling.behind(tensors)
            if scaled is not None and _is_number(scaled[0]):
                scaled[0].detach().fill_(loss / scaled[1])
        marks.set_anew()


def _is_number(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.numel() == 1 and value.is_floating_point()


def _clip(*args: Any, **kwargs: Any) -> Any:
    """In place of `clip_grad_norm_`: the norm of the run."""
    norm = _asked[0].coming.norm
    if norm is None:
        return gradients.plain_clip(*args, **kwargs)
    parameters = args[0] if args else kwargs.get("parameters")
    first = parameters if isinstance(parameters, torch.Tensor) else next(iter(parameters or ()), None)
    with memory.quiet():
        return torch.tensor(norm) if first is None else torch.tensor(norm, dtype=first.dtype, device=first.device)


@or_refused
def _begins_epoch() -> None:
    _met[0] = True
    known = _asked[1].epochs
    if _epochs[0] >= len(known):
        raise CannotBeHollowError("loaders are iterated more than the %d times that they were in the run" % len(known))
    with guard.inside(), memory.quiet():
        refilled_generators.put_bound(known[_epochs[0]], _asked[0].near)
    _epochs[0] += 1


@or_refused
def _begins(optimizer: Any, args: Any, kwargs: Any) -> None:
    """Torch's hook before any optimizer's step."""
    _meets()
    hollow_steps.begins(optimizer, args, kwargs)


@or_refused
def _returned(optimizer: Any) -> None:
    """Torch's hook after any optimizer's step."""
    if _asked[0].met(hollow_steps.returned(optimizer)):
        _fill()


@or_refused
def _left_out(optimizer: Any) -> None:
    """A scaler left an update out."""
    _meets()
    if _asked[0].met(hollow_steps.known(optimizer)):
        _fill()


def _meets() -> None:
    _met[0] = True
    if _asked[0].at == 0:  # modules are numbered as the first update begins, and so they were in the run
        with guard.inside(), memory.quiet():
            modules.top_level()


def _fill() -> None:
    """The last update has returned: from here on this process trains."""
    capsule = _asked[1]
    if _epochs[0] != len(capsule.epochs):
        said = (_epochs[0], len(capsule.epochs))
        raise CannotBeHollowError("loaders were iterated %d times by then, and %d times in the run" % said)
    with guard.inside():
        recorded = _asked[0].generators
        restore()
        refilled.put_in(capsule, hollow_scaling.made(), recorded)
        with memory.quiet(), torch.no_grad():
            marks.watch()
    session.gather_anew()
    session.cpu_since_last()
    if session.channel is not None:
        session.channel.reopen()
        session.say_hello()
        # Before anything runs: a forward pass moves buffers, and the first root comes behind it.
        state.root("resumed", session.step)
