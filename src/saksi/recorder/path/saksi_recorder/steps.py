"""One Update: what the outermost `Optimizer.step` found, did and left behind.

Rules: torch's global step hooks, nothing patched; a step inside a step (a closure, a wrapping optimizer, `super()`)
belongs to the outermost; a step that raised leaves nothing behind that could be taken for an update.
"""

# ruff: noqa: SLF001  (torch gives no public name to what is read here)

from __future__ import annotations

import sys
import threading
import time
import weakref
from typing import Any, Callable, Iterator, Optional

import torch
from torch.optim import optimizer as _optimizer

from . import (
    averages,
    batches,
    deferred,
    drawing,
    ends,
    finished,
    generators,
    inventory,
    memory,
    modules,
    optimizers,
    readings,
    samples,
    seams,
    session,
    state,
    thinning,
    unseen,
)
from .guard import guarded, is_off, wall_ns

_local = threading.local()
_handles: list[Any] = []
_first: list[Any] = []
begun: list[Callable[[], None]] = []
"""Called as each Update begins, after the first root."""
ended: list[Callable[[int], None]] = []
"""Called as each Step has ended, with its number."""
met: list[Callable[[Any], None]] = []
"""Called as each Update begins or was left out, with its optimizer."""
while_hollow: list[tuple[Callable[[Any, Any, Any], None], Callable[[Any], None]]] = []
"""Called in place of ours before and after any optimizer's step, in a process that is hollow."""
_since_step = [0]
_room = [2 * session.MAX_OPTIMIZERS]  # counters that are kept before those of optimizers long gone are dropped


class Open:
    """A step that has begun."""

    def __init__(self, optimizer: Any, ordinal: int) -> None:
        self.optimizer = weakref.ref(optimizer)
        self.ordinal = ordinal
        self.inner = 0
        self.fingerprints: list[dict[str, Any]] = []
        self.samples: Optional[samples.Taken] = None
        self.thinned = 0  # of how many updates one gives samples, where this one gives none
        self.groups: Optional[list[dict[str, Any]]] = None  # as it began, where they may be others as it has returned
        self.compute_ns = 0
        self.began_ns = 0


def before(optimizer: Any, args: Any, kwargs: Any) -> None:
    """Torch's hook before any optimizer's step."""
    if session.hollow:
        for begins, _ in while_hollow:
            begins(optimizer, args, kwargs)
        return
    _before(optimizer, closure=len(args) > 1 or kwargs.get("closure") is not None)


def after(optimizer: Any, _args: Any, _kwargs: Any) -> None:
    """Torch's hook after any optimizer's step."""
    if session.hollow:
        for _, returned in while_hollow:
            returned(optimizer)
        return
    if _after(optimizer):
        session.gather_anew()  # out of the guard: what it just spent is the recorder's, not the next update's


def install() -> None:
    """Register the hooks."""
    thinning.configure()
    _handles.append(_optimizer.register_optimizer_step_pre_hook(before))
    _handles.append(_optimizer.register_optimizer_step_post_hook(after))


def restore() -> None:
    """Remove the hooks."""
    while _handles:
        _handles.pop().remove()


def hooks() -> Iterator[tuple[Any, int, Any]]:
    """Each of our hooks: the table it stands in, its place there, and what was put there."""
    for table, hook in (
        (_optimizer._global_optimizer_pre_hooks, before),
        (_optimizer._global_optimizer_post_hooks, after),
    ):
        for handle in _handles:
            if table.get(handle.id) is hook:
                yield table, handle.id, hook


def put_back() -> bool:
    """Put each hook that is not in its table there again, first in each; whether one was missing.

    Not while a step walks through the tables, in whatever thread: then one of the next backward passes does it.
    """
    if not _handles:  # not in place yet, or no more
        return False
    tables = (
        (_optimizer._global_optimizer_pre_hooks, _handles[0].id, before),
        (_optimizer._global_optimizer_post_hooks, _handles[-1].id, after),
    )
    missing = [each for each in tables if each[1] not in each[0]]
    if not missing or _is_walked():
        return False
    for table, place, hook in missing:
        table[place] = hook
        table.move_to_end(place, last=False)
    return True


def _is_walked() -> bool:
    """Whether some thread is within a step's wrapper, which walks through the tables of hooks."""
    for innermost in sys._current_frames().values():
        frame: Any = innermost
        while frame is not None:
            code = frame.f_code
            if code.co_name == "wrapper" and code.co_filename == _optimizer.__file__:
                return True
            frame = frame.f_back
    return False


def after_fork_in_child() -> None:
    """A child forked inside a step is not inside it."""
    _local.open = None
    _first.clear()
    _since_step[0] = 0
    thinning.restart()


@guarded("steps")
def _before(optimizer: Any, *, closure: bool) -> None:
    began, own = time.monotonic_ns(), wall_ns()
    opened: Optional[Open] = getattr(_local, "open", None)
    if opened is not None:
        if _still_inside(opened, optimizer):
            opened.inner += opened.optimizer() is optimizer
            return
        session.uncovered("optimizer steps that raised", "what they changed before that belongs to the next update")
    session.wake()
    opened = _local.open = _begin(optimizer, began, own)
    if opened is not None:
        finished.begins(optimizer)
        between = is_followed(optimizer)
        if _are_hooks_behind(optimizer):  # a schedule, say, that has moved on before we are asked
            with memory.quiet():
                opened.groups = optimizers.groups(optimizer)
        update = session.updates.get(opened.ordinal, 0)
        opened.thinned = thinning.left_out(opened.ordinal, update)
        if not opened.thinned:
            opened.samples = samples.before(optimizer, opened.ordinal, update, late=closure or between)
        opened.began_ns = time.monotonic_ns()


def _begin(optimizer: Any, began: int, own: int) -> Optional[Open]:
    ordinal = optimizers.ordinal(optimizer)
    if ordinal is None:
        return None
    session.trainers[0] = threading.get_ident()
    if not _first:
        _first.append(True)
        drawing.ask()  # before the rank is known, and another connection is made
        _at_first_update()
        state.root("attach", -1)  # before any optimizer's update: the first to step may not be the first that was built
        seams.begun()
    else:
        seams.update_begins()
    unseen.at_update(optimizer, ordinal)
    for look in met:
        look(optimizer)
    for act in begun:
        act()
    opened, gathered = Open(optimizer, ordinal), session.gathered
    total = began - gathered.ended_ns
    opened.compute_ns = max(0, total - gathered.data_ns - (own - gathered.wall_mark))
    update = session.updates.get(ordinal, 0)
    opened.fingerprints = ends.of(optimizer, "start", update)
    averages.begins(optimizer, ordinal, update)
    return opened


def is_followed(optimizer: Any) -> bool:
    """Whether hooks of the program come between ours and the step."""
    last = next(reversed(_optimizer._global_optimizer_pre_hooks), None)
    return bool(getattr(optimizer, "_optimizer_step_pre_hooks", None)) or not _handles or last != _handles[0].id


def _are_hooks_behind(optimizer: Any) -> bool:
    """Whether hooks of the program come between the step and ours."""
    first = next(iter(_optimizer._global_optimizer_post_hooks), None)
    return bool(getattr(optimizer, "_optimizer_step_post_hooks", None)) or not _handles or first != _handles[-1].id


def are_seen() -> bool:
    """Whether updates are counted: the hooks are in place, and this part has not failed."""
    return bool(_handles) and not is_off("steps")


def is_open() -> bool:
    """Whether this thread is inside an optimizer's step."""
    return getattr(_local, "open", None) is not None


@guarded("scaling", lambda: -1)
def made_by(optimizer: Any) -> int:
    """Updates that this optimizer has made; -1 inside a step, whose updates are not counted yet."""
    number = None if is_open() else optimizers.ordinal(optimizer)
    return -1 if number is None else session.updates.get(number, 0)


def left_out(optimizer: Any) -> bool:
    """An update that a gradient scaler did not make: an Update all the same, marked skipped. Whether it was noted."""
    opened = None if session.hollow else _begin(optimizer, time.monotonic_ns(), wall_ns())
    if opened is None:
        return False
    _close(opened, optimizer, 0, skipped=True)
    return True


@guarded("steps", bool)
def _after(optimizer: Any) -> bool:
    now = time.monotonic_ns()
    opened: Optional[Open] = getattr(_local, "open", None)
    if opened is None or opened.optimizer() is not optimizer:
        return False
    if opened.inner:
        opened.inner -= 1
        return False
    _local.open = None
    _close(opened, optimizer, max(0, now - opened.began_ns), skipped=_skipped(optimizer))
    return True


def _close(opened: Open, optimizer: Any, took_ns: int, *, skipped: Any) -> None:
    ordinal, gathered = opened.ordinal, session.gathered
    update = session.updates.get(ordinal, 0)
    session.updates[ordinal] = update + 1
    if update == 0 and ordinal >= session.MAX_OPTIMIZERS:
        _beyond_the_limit()
    state.updated()
    _since_step[0] += 1
    if ordinal == 0:
        session.step, _since_step[0] = update, 0
    if opened.samples is not None:
        samples.after(optimizer, opened.samples, update)
    averages.returned(optimizer, ordinal, update)
    thinning.updated()
    pending = deferred.Pending(ordinal, update)
    with memory.quiet():
        prints = ends.joined(opened.fingerprints, ends.of(optimizer, "end", update + 1))
        pending.hyper_parameters(optimizers.awaited(optimizer))
        frame = {
            "optimizer": ordinal,
            "update": update,
            "skipped": bool(pending.number("skipped", skipped)),
            "phase_ns": {
                "data": gathered.data_ns,
                "compute": opened.compute_ns,
                "optimizer": took_ns,
            },
            "loss": pending.number("loss", gathered.loss),
            "losses": gathered.losses,
            "groups": optimizers.groups(optimizer) if opened.groups is None else opened.groups,
            "groups_omitted": 0,
            "tensors": optimizers.tensors(optimizer),
            "gradient_norm": pending.gradient_norm(gathered.gradient_norm),
            **batches.of_this_training(gathered),
            "rng": {**generators.states(), **batches.generator_states()},
            "fingerprints": pending.fingerprints(prints),
            "inventory": inventory.digest(optimizer),
        }
    if pending.names:
        frame["deferred"] = pending.names
    if opened.thinned:
        frame["thinned"] = opened.thinned
    frame["self_ns"] = session.cpu_since_last()
    session.say("update", frame)
    deferred.wait_for(pending)
    deferred.say_what_came()
    if ordinal == 0 and state.at_segment_end(update):
        state.root("step", update)
    if ordinal == 0:
        for act in ended:
            act(update)


def _beyond_the_limit() -> None:
    limit = session.MAX_OPTIMIZERS
    session.uncovered("optimizers after the first %d" % limit, "the goodbye does not tell how many updates they made")
    if len(session.updates) > _room[0]:
        living = {number for number, _ in optimizers.living()}
        for number in [one for one in session.updates if one >= limit and one not in living]:
            del session.updates[number]
        _room[0] = 2 * len(session.updates)


@guarded("first_update")
def _at_first_update() -> None:
    session.say_world()
    with memory.quiet():
        modules.announce()


def say_at_the_end() -> None:
    """Steps are the updates of optimizer 0: where that one made none, others trained without Steps and roots."""
    if session.updates and 0 not in session.updates:
        session.uncovered(
            "Steps", "optimizer 0 made no update of its own, and Steps and state roots follow that one alone"
        )
    elif _since_step[0] > state.LATER:
        reason = "%d updates of other optimizers came after the last Step, and roots follow Steps" % _since_step[0]
        session.uncovered("the states between later updates", reason)


def _skipped(optimizer: Any) -> Any:
    # A gradient scaler hands a fused optimizer this flag instead of leaving the step out.
    found = getattr(optimizer, "found_inf", None)
    if not isinstance(found, torch.Tensor):
        return False
    with memory.quiet():
        flag = memory.scalar(found)
        awaited = readings.scalar(found) if flag is None else None
    if flag is None and awaited is None:
        reason = "the flag lies on a device, and could not be asked for: those are not marked skipped"
        session.uncovered("updates that a scaler left out of a fused optimizer", reason)
    return bool(flag) if awaited is None else awaited


def _still_inside(opened: Open, optimizer: Any) -> bool:
    """Whether the step that is open is on the stack above this one; if not, it raised."""
    outer = opened.optimizer()
    if outer is None:
        return False
    wanted = 2 if outer is optimizer else 1  # the step that calls us now is on the stack as well
    frame: Any = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "wrapper" and frame.f_locals.get("self") is outer:
            wanted -= 1
            if wanted == 0:
                return True
        frame = frame.f_back
    return False
