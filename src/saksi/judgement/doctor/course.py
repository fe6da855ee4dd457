"""What one launch did, rank by rank: its Steps, the root after each, what was seeded. A few hundred Steps at most."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from saksi.judgement.continuation.side import Leaves, Side, leaves_of
from saksi.judgement.deferral import Deferral
from saksi.judgement.items import Item
from saksi.words.frames import (
    AnyFrame,
    HelloFrame,
    LayoutFrame,
    RootFrame,
    SampledFrame,
    SampleFrame,
    SeededFrame,
    UpdateFrame,
)
from saksi.words.records import BlockRecord

__all__ = ["MAX_STEPS", "Course", "read_courses"]

MAX_STEPS: Final = 4096


class Course(Side):
    """One rank of one launch. `updates` are its Steps with the batches that each used, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.hello: HelloFrame | None = None
        self.seeds: dict[str, str] = {}
        self.updates: list[UpdateFrame] = []
        self.roots: dict[int, RootFrame] = {}
        self.moved: set[str] = set()
        self.sampled: list[SampledFrame] = []
        self.sample: SampleFrame | None = None

    def take(self, frame: AnyFrame) -> None:
        """Takes one of the rank's frames in."""
        match frame:
            case LayoutFrame():
                self.lay(frame)
            case RootFrame(at="attach" | "step"):
                self.roots.setdefault(frame.step, frame)
            case UpdateFrame():
                step = self.gather(frame)
                if step is not None:
                    self._step(step)
            case HelloFrame():
                self.hello = frame
            case SeededFrame():
                self.seeds[frame.generator] = frame.seed
            case SampledFrame():
                self.sampled.append(frame)
            case SampleFrame(update=0) if self.sample is None:
                self.sample = frame
            case _:
                pass

    def _step(self, frame: UpdateFrame) -> None:
        if frame.update == 0:
            self.updates.clear()  # a process that trains anew: what counts is what it goes on with
        if self.updates:
            last = self.updates[-1].rng
            self.moved |= {name for name, state in frame.rng.items() if last.get(name) != state}
        if len(self.updates) < MAX_STEPS:
            self.updates.append(frame)

    def leaves(self, step: int) -> Leaves | None:
        """The digest of each tensor after `step` (-1: before the first), by its key; `None` where it is not there."""
        root = self.roots.get(step)
        lines = None if root is None else self.lines(root)
        return None if root is None or lines is None else leaves_of(root.leaves, lines)

    def alias(self, step: int, key: str) -> str:
        """What the program calls the tensor under `key`."""
        root = self.roots.get(step)
        for line in (None if root is None else self.lines(root)) or ():
            if line[0] == key and line[1] is not None:
                return line[1]
        parameter, _, state = key.rpartition("/")
        return f"{self.alias(step, parameter)}/{state}" if parameter.count("/") >= 2 else key  # noqa: PLR2004 - optimizer/group/index


def read_courses(items: Iterable[Item]) -> dict[int, Course]:
    """The ranks of a launch. Raises what reading the items raises."""
    found: dict[int, Course] = {}
    deferrals: dict[int, Deferral[int]] = {}
    for item in items:
        record = item.record
        if not isinstance(record, BlockRecord):
            continue
        deferral = deferrals.setdefault(record.connection, Deferral())
        for line in item.lines:
            for frame, rank in deferral.take(line.frame, record.rank, len(line.raw)):
                found.setdefault(rank, Course()).take(frame)
    for deferral in deferrals.values():
        for frame, rank in deferral.rest():
            found.setdefault(rank, Course()).take(frame)
    return {rank: course for rank, course in found.items() if course.updates}
