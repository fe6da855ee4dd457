"""What one process said of its samples: the layouts, and the samples whose Update is still to come."""

from __future__ import annotations

from typing import Final

from saksi.judgement.updates.samples import Layout, layout_of
from saksi.words.frames import OptimizerFrame, SampledFrame, SampleFrame, UpdateFrame

__all__ = ["SampledProcess", "size_of"]

MAX_LAYOUTS: Final = 4_096
"""Of one process that are kept, twice what a recorder takes for heard; the oldest go first."""
MAX_LINES_OF_ONE: Final = 1 << 16
"""Of all layouts of one process."""
MAX_HELD: Final = 64
"""Samples that wait for their Update, which comes right behind them."""
OF_A_LINE: Final = 256
"""Bytes that a line of a layout takes."""
MAX_OPTIMIZERS: Final = 1_024
"""Of one connection whose class is kept."""


class SampledProcess:
    """One process: the layouts it has said, and the samples whose Update is still to come."""

    __slots__ = ("classes", "held", "key", "layouts", "rules", "size")

    def __init__(self) -> None:
        self.classes: dict[int, str] = {}
        self.layouts: dict[str, Layout] = {}
        self.rules: dict[int, str] = {}  # of optimizers that have given samples
        self.held: list[SampleFrame] = []
        self.key: bytes | None = None  # that places are drawn with, if it is not its own
        self.size = 0  # in lines of layouts, and what samples that wait take

    def announce(self, frame: OptimizerFrame) -> None:
        """Remember of which class an optimizer is."""
        if len(self.classes) < MAX_OPTIMIZERS:
            self.classes[frame.ordinal] = frame.class_name

    def hears(self, frame: SampledFrame | SampleFrame, room: int) -> None:
        """Take a layout or a sample in, if there is room for it."""
        if isinstance(frame, SampledFrame):
            self.arrange(frame, room)
        else:
            self.hold(frame, room)

    def arrange(self, frame: SampledFrame, room: int) -> None:
        """Take a part of a layout in, if there is room for its lines."""
        self.key = None if frame.key is None else bytes.fromhex(frame.key)
        if len(self.rules) < MAX_OPTIMIZERS:
            self.rules.setdefault(frame.optimizer, frame.rule)
        known = self.layouts.pop(frame.layout, None)
        joins = known is not None and frame.part > 0
        if known is not None and not joins:
            self.size -= len(known.tensors)
        if len(frame.tensors) <= min(room, MAX_LINES_OF_ONE - self.size):
            self.size += len(frame.tensors)
            self.layouts[frame.layout] = known.joined(frame) if known is not None and joins else layout_of(frame)
        elif known is not None and joins:  # a part of it is of no use
            self.size -= len(known.tensors)
        while len(self.layouts) > MAX_LAYOUTS:
            self.size -= len(self.layouts.pop(next(iter(self.layouts))).tensors)

    def hold(self, frame: SampleFrame, room: int) -> None:
        """Keep a sample until its Update comes, if there is room for it."""
        if len(self.held) >= MAX_HELD:
            self.size -= size_of(self.held.pop(0))
        if size_of(frame) <= room:
            self.size += size_of(frame)
            self.held.append(frame)

    def of(self, update: UpdateFrame) -> list[SampleFrame]:
        """The samples of an Update; those of the same optimizer before it are let go."""
        found = [each for each in self.held if (each.optimizer, each.update) == (update.optimizer, update.update)]
        left = [each for each in self.held if each.optimizer != update.optimizer or each.update > update.update]
        self.size -= sum(size_of(each) for each in self.held) - sum(size_of(each) for each in left)
        self.held = left
        return found


def size_of(frame: SampleFrame) -> int:
    """What a sample takes, in lines of layouts."""
    texts = (*frame.before.values(), *frame.after.values(), *frame.ahead.values(), frame.finished or "")
    return 1 + (len(frame.idle) + sum(len(each) for each in texts)) // OF_A_LINE
