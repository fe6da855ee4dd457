"""State roots around a model checkpoint that is loaded while training goes on.

Taken as the load returned, and as the first update behind it begins, by when the program has put in place what it took
from the file.

Rules: only for a file that is large enough to hold a model; no sooner again than a segment takes, so that a program
that loads files all the time costs no more than that; before the first update nothing is taken here: the first root
of a process covers that.
"""

from __future__ import annotations

from typing import Optional

from . import session, state
from .guard import guarded

_last: list[Optional[int]] = [None]  # the Step behind which roots were taken last
_due = [False]
_has_begun = [False]


@guarded("root")
def loaded(size: int) -> None:
    """A load returned, of files with so many bytes together."""
    if not _has_begun[0] or _due[0] or not size or session.trains_elsewhere():
        return
    step, last = session.step, _last[0]
    least = state.FIRST if step < state.LATER else state.LATER
    if (last is not None and last <= step < last + least) or not state.may_hold_a_model(size):
        return
    _last[0], _due[0] = step, True
    if state.unbound():
        state.root("load", step)


def begun() -> None:
    """The first update of this process begins."""
    _has_begun[0] = True


def update_begins() -> None:
    """A further update begins."""
    if _due[0]:
        _due[0] = False
        state.root("resumed", session.step)


def _forget() -> None:
    _last[0], _due[0], _has_begun[0] = None, False, False


session.wakers.append(_forget)
