"""What this process remembers between hooks, and the one way to say something to the agent.

Rules: what a connection has not heard yet is said again on a new one; a forked child says nothing until it performs an
update or a save itself, then attaches as a process of its own, with counters from zero.
"""

from __future__ import annotations

import collections
import os
import sys
import threading
import time
from typing import Any, Callable, Optional

from . import guard
from .channel import Channel
from .plain import text

MAX_DIGITS = 18  # of a number in the environment: below 2^63
MAX_UNCOVERED = 256
MAX_OPTIMIZERS = 1024  # of which the goodbye tells the number of updates; readers count no more either
FIRST_BATCHES = 32  # between two updates; an evaluation, or a way to a place in the data, hands out more
LATEST_BATCHES = 32  # and those that came last, which the update used; how many lay between is counted

channel: Optional[Channel] = None
level = "standard"
segment: Optional[int] = None
roots_behind: frozenset[int] = frozenset()  # Steps behind which an audit wants a root too
forked = False
dormant = True
hollow = False  # getting to a Step without training: nothing is said or counted meanwhile
key = b""

announcers: list[Callable[[], list[tuple[str, dict[str, Any]]]]] = []
"""Called when a connection begins: the frames that describe what already exists, `hello` first."""
forgetters: list[Callable[[], None]] = []
"""Called when a connection begins: forget what the last one was told."""
wakers: list[Callable[[], None]] = []
"""Called when a forked child attaches as a process of its own."""

updates: dict[int, int] = {}
step = -1
trainers: list[Optional[int]] = [None, None]
"""The threads in which the last update began, perhaps one of autograd's, and in which the last backward was called."""
OF_HOOKS = "step hooks"
"""What is said to be uncovered where our hooks were taken out of torch's tables."""
_uncovered: dict[str, tuple[str, int]] = {}  # by what: the reason, and the Step at which it was first so
_world = (0, 1)


class Gathered:
    """What happened since the previous update returned."""

    def __init__(self) -> None:
        self.ended_ns = time.monotonic_ns()
        self.wall_mark = guard.wall_ns()
        self.data_ns = 0
        self.loss: Any = None
        self.losses = 0
        self.gradient_norm: Optional[dict[str, Any]] = None
        self.batches: list[tuple[int, dict[str, Any]]] = []  # the first, with the thread that each was handed to
        self.latest: Any = collections.deque(maxlen=LATEST_BATCHES)  # what came behind those, alike
        self.batches_omitted = 0
        self.metrics = 0  # numbers that were reported to trackers


gathered = Gathered()
cpu_mark = 0


def begin(path: str, token: str) -> None:
    """Take the settings from the launcher and open the channel. The key of the fingerprints is new for each process."""
    global channel, level, segment, roots_behind, dormant, key, _world
    level = "full" if os.environ.get("SAKSI_LEVEL") == "full" else "standard"
    segment = count_of("SAKSI_SEGMENT", 0) or None
    steps = os.environ.get("SAKSI_ROOTS", "").split(",")
    roots_behind = frozenset(
        int(each) for each in steps if each.isascii() and each.isdigit() and len(each) <= MAX_DIGITS
    )
    key = os.urandom(32)  # the kernel's generator: no generator of the user moves
    channel = Channel(path, token, _describe)
    guard.report_to(_fault)
    dormant = False
    _world = world()


def say(kind: str, fields: dict[str, Any]) -> None:
    """One frame. Silent in a forked child that has not woken, and in a process that is hollow."""
    if channel is not None and not dormant and not hollow:
        channel.emit(kind, fields)


def say_hello() -> None:
    """Begin the connection now, before there is anything else to say."""
    if channel is not None and not dormant:
        channel.emit(None, {})


def count_of(name: str, default: int) -> int:
    """A number from the environment."""
    value = os.environ.get(name, "")
    return int(value) if value.isascii() and value.isdigit() and len(value) <= MAX_DIGITS else default


def world() -> tuple[int, int]:
    """This process's rank and the number of ranks: torch.distributed's if it is initialised, else the environment's.

    Only asked for what it knows: no group is made or used.
    """
    distributed = loaded("torch.distributed")
    try:
        if distributed is not None and distributed.is_available() and distributed.is_initialized():
            return int(distributed.get_rank()), int(distributed.get_world_size())
    except Exception:  # a group that is half torn down; the launcher's variables still tell
        pass
    return count_of("RANK", 0), count_of("WORLD_SIZE", 1)


def known_world() -> tuple[int, int]:
    """What a connection is told of rank and number of ranks, as it is opened."""
    global _world
    _world = world()
    return _world


def say_world() -> None:
    """At the first update: if the rank was not known when this process attached, attach again under the right one."""
    if channel is not None and not dormant and world() != _world:
        channel.reopen()


def uncovered(what: str, reason: str) -> None:
    """Name once what is known not to be seen."""
    if what in _uncovered or len(_uncovered) > MAX_UNCOVERED:
        return
    if len(_uncovered) == MAX_UNCOVERED:
        what, reason = "further things", "more than %d are not covered: those beyond are not named" % MAX_UNCOVERED
    _uncovered[what] = reason, step
    say("uncovered", {"what": text(what), "reason": text(reason), "step": step})


@guard.guarded("threads", bool)
def trains_elsewhere() -> bool:
    """Whether updates run in another thread than this one, and that one still does something."""
    if trainers[0] is None or threading.get_ident() in trainers:
        return False
    return trainers[0] in sys._current_frames()  # noqa: SLF001  (its only name); idle threads of autograd's have no frame


def wake() -> None:
    """In a forked child: attach. Anywhere else: nothing."""
    global dormant
    if dormant and channel is not None:
        dormant = False
        for waker in wakers:
            waker()


def after_fork_in_child() -> None:
    """Let go of everything that belongs to the parent's connection. What is not covered, the child has inherited."""
    global channel, forked, dormant, gathered, step, key, cpu_mark
    if channel is None:
        return
    channel.abandon()
    forked, dormant, step = True, True, -1
    channel = Channel(os.environ.get("SAKSI_SOCKET", ""), os.environ.get("SAKSI_TOKEN", ""), _describe)
    updates.clear()
    _uncovered.pop(OF_HOOKS, None)  # they are in place in the child
    _uncovered.update({what: (reason, -1) for what, (reason, _) in _uncovered.items()})  # it counts from its start
    trainers[:] = [None, None]
    gathered, cpu_mark, key = Gathered(), guard.cpu_ns(), os.urandom(32)


def cpu_since_last() -> int:
    """The recorder's own CPU time since this was last asked."""
    global cpu_mark
    now = guard.cpu_ns()
    spent, cpu_mark = now - cpu_mark, now
    return max(0, spent)


def gather_anew() -> None:
    """An update has returned: what comes now belongs to the next."""
    global gathered
    gathered = Gathered()


def counts() -> list[int]:
    """Updates made by each of the first optimizers, by ordinal."""
    return [updates.get(ordinal, 0) for ordinal in range(min(max(updates, default=-1) + 1, MAX_OPTIMIZERS))]


def loaded(name: str) -> Any:
    """A module if somebody else has imported it; it is never imported for us."""
    return sys.modules.get(name)


def _describe() -> list[tuple[str, dict[str, Any]]]:
    for forget in forgetters:
        forget()
    frames = [frame for announcer in announcers for frame in announcer()]
    for what, (reason, since) in list(_uncovered.items()):
        frames.append(("uncovered", {"what": text(what), "reason": text(reason), "step": since}))
    frames.extend(("fault", _about(where, error)) for where, error in guard.faults())
    return frames


def _fault(where: str, error: str) -> None:
    say("fault", _about(where, error))


def _about(where: str, error: str) -> dict[str, Any]:
    return {"where": text(where), "error": text(error)}
