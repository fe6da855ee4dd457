"""Who executes replays of stretches: a task in, what came of it out. Today a pool of workers on this machine.

A task is idempotent: it needs nothing of another one, changes nothing, and says the same if it is executed again. So
whoever executes it may lose a worker and give the task to the next, in any order, here or elsewhere. What is made of
the outcomes is judged by whoever asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

import msgspec

from saksi.judgement.replay.stretches import Restart
from saksi.processes.auditor.replaying import Replay, Replayed

__all__ = ["Executor", "Lost", "Outcome", "Refused", "Task"]


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One stretch, replayed from a model checkpoint, or from the start of the program without one.

    `name` tells it from others of an audit, and is a file name.

    `salt` is drawn for each try, so that the digest of a task gives nobody its words and variables to guess.
    The replay's `cache` is another one, unless it `shares` the one that it says with others that begin where it does;
    what other tasks leave is hidden from it too. What comes of it is kept for the same audit later, if that is `kept`.
    `made` is what the recorder of each rank is told of the updates before a capsule.
    """

    name: str
    replay: Replay
    restart: Restart | None
    salt: str = ""
    shares: bool = False
    kept: bool = True
    made: dict[int, str] | None = None


class Refused(msgspec.Struct, frozen=True):
    """Nothing was started: why the model checkpoint is resumed from by nobody."""

    reason: str


class Lost(msgspec.Struct, frozen=True):
    """No worker came to the end of it, how often it was tried, and what became of the last one."""

    tries: int
    reason: str


Outcome: TypeAlias = Replayed | Refused | Lost


class Executor(Protocol):
    """Executes tasks, each once, and once more if its worker is lost."""

    def run(self, tasks: Sequence[Task], *, said: Callable[[int], None]) -> Mapping[str, Outcome]:
        """What came of each task, by its name; nothing is left out, and nothing of a worker that was lost is in it.

        Every record is the one whose digests its worker signed, checked here. `said` hears how many are done. When
        this returns or raises, also for a signal, no process of it runs. Raises `NotReplayed`, if this system allows
        no replay, and `OSError`.
        """
