"""Scattered elements of what an optimizer reads and writes, as an Update begins and as it returns.

Rules: positions follow from a key (`drawing`) and the number of the Update, so that nobody knows them who does not know
the key, and a reader who does can work them out; every tensor that has a gradient gives some, a small one all; nothing
is compared here. Only for optimizers whose `step` is one of torch's own that has a rule.

Known weakness: whoever reads this process's memory knows the positions. Then only a replay sees more.
"""

from __future__ import annotations

import base64
import time
from typing import Any, NamedTuple, Optional

import torch

from . import drawing, finished, memory, sample_layouts, session, thinning
from .guard import guarded, is_of_a_signal_handler
from .plain import text
from .sample_layouts import ONE_EACH, CannotBeReadError, Layout

MAX_LINES = 512  # of a frame
MAX_SAID = 2048  # layouts that this connection has heard; beyond, all are said again
_ODD = (CannotBeReadError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)
_said: dict[str, None] = {}


class Taken(NamedTuple):
    """What was sampled as an Update began."""

    layouts: list[Layout]
    before: list[dict[str, bytes]]
    late: bool  # the gradients are read as the step returns, since something of the program comes between
    took_ns: int


@guarded("samples")
def before(optimizer: Any, ordinal: int, update: int, *, late: bool) -> Optional[Taken]:
    """Samples as an Update begins; None where there are none. `late`: gradients may change before they are used."""
    rule = sample_layouts.rule_of(optimizer)
    if rule is None:
        return None
    began = time.monotonic_ns()
    # A fused kernel divides by the scale, and leaves the quotient.
    late = late or getattr(optimizer, "grad_scale", None) is not None
    if late and optimizer._optimizer_step_post_hooks:  # noqa: SLF001  (torch gives no public name to it)
        _leave_out("hooks of the optimizer's own come before its gradients are used, and behind the step")
        return None
    try:
        with memory.quiet(), torch.no_grad():
            layouts = sample_layouts.layouts_of(optimizer, ordinal, rule, late=late)
            found = [_first(optimizer, one, update, late=late) for one in layouts]
        return Taken(layouts, found, late, time.monotonic_ns() - began)
    except _ODD as error:
        if is_of_a_signal_handler(error):
            raise
        _leave_out(str(error))
        return None


@guarded("samples")
def after(optimizer: Any, taken: Taken, update: int) -> None:
    """Say the samples, with the same elements as the Update returns."""
    began = time.monotonic_ns()
    try:
        with memory.quiet(), torch.no_grad():
            done = finished.of(optimizer, update, taken.layouts)
            for place, (layout, first) in enumerate(zip(taken.layouts, taken.before)):  # noqa: B905
                parameters = [one.of(optimizer) for one in layout.tensors]
                idle = []
                if taken.late:
                    idle, first["gradient"] = sample_layouts.gradients(layout, parameters)
                last = {"parameter": layout.gather(parameters)}
                last.update(_states(optimizer, layout, parameters, None))
                fields = {"update": update, "idle": idle, "finished": None}
                ahead = _ahead(optimizer, layout, parameters, update + 1)
                fields["ahead"] = {name: _spelled(raw) for name, raw in ahead.items()}
                fields["before"] = {name: _spelled(raw) for name, raw in first.items()}
                fields["after"] = {name: _spelled(raw) for name, raw in last.items()}
                if done is not None and done.gradients[place][0] == idle:
                    left = done.gradients[place][1]
                    fields["finished"] = "" if left == first["gradient"] else _spelled(left)
                _say(layout, fields)
        before_ns = taken.took_ns + (0 if done is None else done.took_ns)
        thinning.sampled(before_ns + time.monotonic_ns() - began)
    except _ODD as error:
        if is_of_a_signal_handler(error):
            raise
        _leave_out(str(error))


def _first(optimizer: Any, layout: Layout, update: int, *, late: bool) -> dict[str, bytes]:
    layout.draw(update)
    parameters = [one.of(optimizer) for one in layout.tensors]
    found = {"parameter": layout.gather(parameters)}
    if not late:
        found["gradient"] = layout.gather([one.grad for one in parameters])
    found.update(_states(optimizer, layout, parameters, layout.states))
    return found


def _ahead(optimizer: Any, layout: Layout, parameters: list[Any], update: int) -> dict[str, bytes]:
    """The state as it is now, at the first places where the next Update will find it, if that gives samples."""
    if not layout.states or thinning.left_out(layout.ordinal, update):
        return {}
    layout.draw(update)
    held = optimizer.state
    kept = [held.get(one) or {} for one in parameters]
    names = [name for name in layout.states if name not in ONE_EACH and all(name in one for one in kept)]
    return {name: layout.gather([one[name] for one in kept], few=True) for name in names}


def _leave_out(reason: str) -> None:
    session.uncovered("samples of some updates", text(reason, 200) or "they could not be taken")


def _states(
    optimizer: Any, layout: Layout, parameters: list[Any], wanted: Optional[tuple[str, ...]]
) -> dict[str, bytes]:
    """The states `wanted` of all of these; else those that all of them have by now."""
    found: dict[str, bytes] = {}
    held = optimizer.state
    kept = [held.get(one) or {} for one in parameters]
    names = wanted if wanted is not None else sorted(name for name in kept[0] if isinstance(name, str)) if kept else ()
    for name in names:
        values = [one.get(name) for one in kept]
        if wanted is None and not all(isinstance(one, torch.Tensor) for one in values):
            continue
        if name in ONE_EACH:
            if any(one.dim() or not memory.lies_here(one) for one in values):
                raise CannotBeReadError("a state that has become another")
            joined = torch.stack(values).to(torch.float64).view(torch.uint8)
            found[name] = bytes(memory.hold(joined).view)
        elif wanted is not None or all(_is_plain(one, layout) for one in values):
            found[name] = layout.gather(values)
    return found


def _is_plain(value: Any, layout: Layout) -> bool:
    local = memory.shard(value)
    return local.dtype is layout.dtype and memory.unreadable(local) is None


def _say(layout: Layout, fields: dict[str, Any]) -> None:
    if len(_said) > MAX_SAID:
        _said.clear()
    if layout.name not in _said:
        _said[layout.name] = None
        _say_layout(layout)
    session.say("sample", {"layout": layout.name, "optimizer": layout.ordinal, **fields})


def _spelled(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _say_layout(layout: Layout) -> None:
    parts = [layout.lines[at : at + MAX_LINES] for at in range(0, len(layout.lines), MAX_LINES)] or [[]]
    for place, lines in enumerate(parts):
        session.say(
            "sampled",
            {
                "layout": layout.name, "optimizer": layout.ordinal, "rule": layout.rule, "dtype": str(layout.dtype),
                "part": place, "parts": len(parts), "tensors": lines, "left_out": {} if place else layout.left_out,
                **drawing.said(),
            },
        )  # fmt: skip


session.forgetters.append(_said.clear)
