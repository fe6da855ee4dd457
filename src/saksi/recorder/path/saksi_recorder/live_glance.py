"""A glance, as an Update begins, at whether what the last inventory met is still there.

Rules: it compares identities, lengths and flags, and asks nothing; where something differs a whole inventory is taken
at once, as long as that stays within its share of the time; what has led to inventories without news is not looked at
any more. Whoever knows how it looks can change things unseen by it: inventories are taken at secret times as well.
"""

from __future__ import annotations

import time
from typing import Optional

from . import memory, session, thinning
from .guard import guarded
from .live_met import Met, Owners
from .live_rows import Key

PAUSE = 40
"""Times as long as a glance took nobody looks again, so that updates of a few milliseconds stay cheap too."""
FREE_NS = 300_000_000
"""What prompt inventories may take together before they are held to their share: some twenty of them."""
SHARE = 3
"""Of the overhead budget they may take that part."""
BARREN = 2
"""Inventories without news, after which what they were taken for is not looked at any more."""
MAX_BARREN = 4_096


class _Glances:
    """What this process remembers between two glances."""

    def __init__(self) -> None:
        self.met: Optional[Met] = None
        self.turn = 0
        self.began_ns = time.monotonic_ns()
        self.due_ns = self.spent_ns = 0
        self.suspects: list[Key] = []
        self.barren: dict[Key, int] = {}

    def is_due(self, now_ns: int) -> bool:
        """Whether it is time to look, and there would be room for a prompt inventory."""
        share = thinning.budget[0] / 100 / SHARE
        return now_ns >= self.due_ns and self.spent_ns <= FREE_NS + share * (now_ns - self.began_ns)


_of_now = [_Glances()]


@guarded("glance", bool)
def differs() -> bool:
    """Whether an inventory is to be taken at once. Called once for each Update."""
    now = _of_now[0]
    if now.met is None or not now.is_due(time.monotonic_ns()):
        return False
    now.turn += 1
    began_ns = time.thread_time_ns()
    try:
        with memory.quiet():
            found = now.met.changed(now.turn)
    except RuntimeError:  # another thread has changed a dictionary under our eyes
        return False
    now.due_ns = time.monotonic_ns() + PAUSE * (time.thread_time_ns() - began_ns)
    now.suspects = [key for key in found if now.barren.get(key, 0) < BARREN]
    return bool(now.suspects)


@guarded("glance")
def rest(owners: Owners) -> None:
    """An inventory has been taken: what it met is what the next glances are held against. Call inside `walked`."""
    _of_now[0].met = None
    _of_now[0].met = Met(owners)


@guarded("glance")
def followed(took_ns: int, *, news: bool) -> None:
    """The inventory that `differs` asked for took so long; one without news counts twice."""
    now = _of_now[0]
    now.spent_ns += took_ns if news else 2 * took_ns
    if len(now.barren) > MAX_BARREN:
        now.barren.clear()
    for key in now.suspects:
        now.barren[key] = 0 if news else now.barren.get(key, 0) + 1


def forget() -> None:
    """Another connection begins: nothing has been met on it."""
    _of_now[0].met = None


def _begin_anew() -> None:
    """A forked child."""
    _of_now[0] = _Glances()


session.wakers.append(_begin_anew)
