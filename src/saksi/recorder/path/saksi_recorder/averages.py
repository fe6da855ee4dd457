"""Averages of the weights, which belong to no optimizer: scattered elements of them between one Update and the next.

Rules: positions follow from this process's key, the Update and the layout; elements of the average are read as an
Update begins and, at the same places, as the next one of that optimizer begins; those of the parameter beside it at
both, and as the Update returns, since an average may be taken of any of these. Nothing is compared but whether bytes
are the same: where no average changed, nothing is said. What may be an average is looked for before the first updates
and every `EVERY` after that. Samples are thinned as those of the optimizer are.

Known weakness: what is changed behind the last Update, or in fewer elements than are drawn, is not seen here; nor are
averages that are kept in no module (a dictionary of tensors), on a device, or of another form than what they follow.
"""

from __future__ import annotations

import base64
import time
from typing import Any

import torch

from . import average_layouts, memory, session, thinning
from .average_layouts import Layout
from .guard import guarded, is_of_a_signal_handler
from .sample_layouts import CannotBeReadError

EVERY = 32
MAX_OPTIMIZERS = 64
MAX_LINES = 64  # of a frame
MAX_SAID = 256
_ODD = (CannotBeReadError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)
_said: dict[str, None] = {}


class _Between:
    """One layout, from one Update to the next."""

    def __init__(self, layout: Layout, since: int) -> None:
        self.layout = layout
        self.since = since
        self.update = -1  # that opened it; -1: it is closed
        self.before = self.start = self.end = b""


class _Watched:
    """What may follow the parameters of one optimizer."""

    def __init__(self) -> None:
        self.between: list[_Between] = []
        self.looked = -1
        self.took_ns = 0

    def is_due(self, update: int) -> bool:
        """Whether averages are looked for before this Update: 0, 1, 2, 4, 8, 16 and every 32nd."""
        return update != self.looked and (update % EVERY == 0 or (update < EVERY and update & (update - 1) == 0))


_watched: dict[int, _Watched] = {}


@guarded("averages")
def begins(optimizer: Any, ordinal: int, update: int) -> None:
    """An Update begins: what was open is read again and said, and what is watched until the next is read."""
    watched = _watched.get(ordinal)
    if watched is None:
        if len(_watched) >= MAX_OPTIMIZERS:  # most are let go of: a script may make one for each step
            del _watched[next(iter(_watched))]
        watched = _watched[ordinal] = _Watched()
    is_due = watched.is_due(update)
    if not is_due and not watched.between:
        return
    began = time.monotonic_ns()
    with memory.quiet(), torch.no_grad():
        for one in watched.between:
            _tried(_close, one, optimizer, update)
        if is_due:
            watched.looked = update
            watched.between = _sought(watched, ordinal)
        opens = bool(watched.between) and not thinning.left_out(ordinal, update)
        for one in watched.between if opens else ():
            _tried(_open, one, optimizer, update)
    watched.took_ns += time.monotonic_ns() - began


@guarded("averages")
def returned(optimizer: Any, ordinal: int, update: int) -> None:
    """It returned: the parameters as it left them."""
    watched = _watched.get(ordinal)
    if watched is None or not any(one.update == update for one in watched.between):
        return
    began = time.monotonic_ns()
    with memory.quiet(), torch.no_grad():
        for one in watched.between:
            if one.update == update:
                _tried(_returned, one, optimizer, update)
    thinning.sampled_beside(watched.took_ns + time.monotonic_ns() - began)
    watched.took_ns = 0


def after_fork_in_child() -> None:
    """Updates of the parent are not ours."""
    _watched.clear()


def _sought(watched: _Watched, ordinal: int) -> list[_Between]:
    """What is watched from now on; what was before stays as it is."""
    known = {id(one.layout): one for one in watched.between}
    try:
        found = average_layouts.layouts_of(ordinal, [one.layout for one in watched.between])
    except _ODD as error:
        if is_of_a_signal_handler(error):
            raise
        session.uncovered("averages of the weights", "they could not be looked for")
        return []
    return [known.get(id(one)) or _Between(one, watched.looked) for one in found]


def _tried(act: Any, one: _Between, optimizer: Any, update: int) -> None:
    try:
        act(one, optimizer, update)
    except _ODD as error:  # the tensor was let go, or is another: it is looked for again
        if is_of_a_signal_handler(error):
            raise
        one.update = -1


def _open(one: _Between, optimizer: Any, update: int) -> None:
    one.layout.draw(update)
    one.before = one.layout.averages()
    one.start = one.end = one.layout.parameters(optimizer)
    one.update = update


def _returned(one: _Between, optimizer: Any, _update: int) -> None:
    one.end = one.layout.parameters(optimizer)


def _close(one: _Between, optimizer: Any, update: int) -> None:
    opened, one.update = one.update, -1
    if opened < 0 or opened + 1 != update:
        return
    after = one.layout.averages()
    if after == one.before:
        return
    later = one.layout.parameters(optimizer)
    _say_layout(one)
    session.say(
        "average",
        {
            "layout": one.layout.name, "optimizer": one.layout.ordinal, "update": opened,
            "before": _spelled(one.before), "after": _spelled(after), "start": _spelled(one.start),
            "end": _spelled(one.end), "later": "" if later == one.end else _spelled(later),
        },
    )  # fmt: skip


def _spelled(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _say_layout(one: _Between) -> None:
    layout = one.layout
    if layout.name in _said:
        return
    if len(_said) > MAX_SAID:
        _said.clear()
    _said[layout.name] = None
    parts = [layout.lines[at : at + MAX_LINES] for at in range(0, len(layout.lines), MAX_LINES)]
    for place, lines in enumerate(parts):
        session.say(
            "averaged",
            {
                "layout": layout.name, "optimizer": layout.ordinal, "update": one.since,
                "dtype": str(layout.dtypes[0]), "parameter_dtype": str(layout.dtypes[1]),
                "part": place, "parts": len(parts), "tensors": lines,
            },
        )  # fmt: skip


session.forgetters.append(_said.clear)
