"""How often an optimizer's updates give samples, so that the recorder stays within its share of the time.

Rules: the first updates all give samples, since what they cost is little in any run and a run is judged from its
beginning on; after that one in `every`, drawn by the samples' key, and one in `MOST` whatever it costs; so does the
first behind a save, where a replay can begin; only samples are thinned, never a record; at level full nothing is. Each
update says of how many it was one.

The share is that of wall time, of all the recorder's work in this process. Where records alone take more than the
budget, samples may still take a third of it.
"""

from __future__ import annotations

import hashlib
import os
import time
from typing import Any

from . import drawing, guard, session

FIRST = 100  # updates of each optimizer that all give samples
MOST = 32
WINDOW = 32  # updates, of all optimizers, over which what is spent is measured
DEFAULT = 3.0  # percent
EASE = 0.7  # of what is allowed: samples are taken more often only where they then take no more than this

budget = [DEFAULT]
_every = [1]
_behind_a_save: list[Any] = [None]  # True until an update asks, then the optimizer and the update that did


class _Window:
    """What was spent since it began, in nanoseconds."""

    def __init__(self) -> None:
        self.began_ns = time.monotonic_ns()
        self.own_mark = guard.wall_ns()
        self.updates = 0
        self.sampled = 0
        self.beside = 0
        self.sampling_ns = 0


_window = [_Window()]


def configure() -> None:
    """Take the budget from the environment; what is no number between 0 and 100 leaves the default."""
    try:
        wanted = float(os.environ.get("SAKSI_OVERHEAD_BUDGET", ""))
    except ValueError:
        wanted = DEFAULT
    budget[0] = wanted if 0 < wanted <= 100 else DEFAULT  # noqa: PLR2004
    restart()


def restart() -> None:
    """Begin anew: a forked child, or another budget."""
    _every[0] = 1
    _behind_a_save[0] = None
    _window[0] = _Window()


def left_out(ordinal: int, update: int) -> int:
    """0 if this update gives samples; else of how many updates one does."""
    if _behind_a_save[0] is True:
        _behind_a_save[0] = ordinal, update
    every = _every[0]
    if every == 1 or update < FIRST or session.level == "full" or _behind_a_save[0] == (ordinal, update):
        return 0
    seed = drawing.key() + b"saksi.thinning/v1" + ordinal.to_bytes(8, "little") + update.to_bytes(8, "little")
    drawn = int.from_bytes(hashlib.sha256(seed).digest()[:8], "little")
    return every if drawn % every else 0


def saved() -> None:
    """Something was saved: the next update, of whichever optimizer, gives samples."""
    _behind_a_save[0] = True


def sampled(took_ns: int) -> None:
    """One update's samples were taken."""
    _window[0].sampled += 1
    _window[0].sampling_ns += took_ns


def sampled_beside(took_ns: int) -> None:
    """What follows the parameters was sampled around one update, which may have given samples itself."""
    _window[0].beside += 1
    _window[0].sampling_ns += took_ns


def updated() -> None:
    """An update is over. At the end of a window it is settled how often the next ones give samples."""
    window = _window[0]
    window.updates += 1
    if window.updates < WINDOW:
        return
    elapsed, own = time.monotonic_ns() - window.began_ns, guard.wall_ns() - window.own_mark
    _window[0] = _Window()
    count = max(window.sampled, window.beside)
    if count:
        one = window.sampling_ns / count
        _every[0] = wanted(_every[0], elapsed / WINDOW, (own - window.sampling_ns) / WINDOW, one, budget[0])


def wanted(every: int, update_ns: float, records_ns: float, sample_ns: float, percent: float) -> int:
    """Of how many updates one gives samples, from what an update, its records and one taking of samples take."""
    room = percent / 100 * update_ns
    allowed = max(room - records_ns, room / 3)
    fitting = 1
    while fitting < MOST and sample_ns / fitting > allowed:
        fitting *= 2
    if fitting >= every or sample_ns / fitting <= EASE * allowed:
        return fitting
    return min(every, 2 * fitting)
