"""Which tensors of one optimizer had a gradient until when, learned from the samples of its Updates.

Rules: a layout of samples lists tensors that had a gradient as it was made, and each sample says which of them had
none; a tensor that nobody lists any more may lack a gradient, or may be one that gives no samples: where the last
layouts leave any tensor out for another reason, nothing is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from saksi.words.frames import SampledFrame, SampledTensor, SampleFrame

__all__ = ["Idle", "Listed", "Tensors"]

QUIET: Final = 100
"""Updates without a gradient after which a tensor counts as idle, and at least as many as `PART` of all Updates."""
PART: Final = 4
MAX_LAYOUTS: Final = 256
"""Of one optimizer: a model whose experts take turns has several."""


class Idle(NamedTuple):
    """So many of all tensors are idle, `name` first, from Update `first` to `last`."""

    idle: int
    total: int
    first: int
    last: int
    name: str


class Listed(NamedTuple):
    """Names of tensors with a gradient, in order; `lacks`: others may have had one too."""

    names: tuple[str, ...]
    lacks: bool


class _Layout:
    __slots__ = ("idle", "last", "left_out", "size", "stopped", "tensors")

    def __init__(self) -> None:
        self.tensors: dict[int, list[SampledTensor]] = {}  # by part
        self.size = 0
        self.left_out = 0
        self.idle: list[int] = []
        self.last = -1
        self.stopped: dict[int, int] = {}  # of those that are idle, the last Update with a gradient, -1 for none

    def take(self, frame: SampleFrame) -> None:
        idle = frame.idle[: self.size]  # there are no more; what is counted is what is kept
        if idle != self.idle:
            self.stopped = {at: self.stopped.get(at, self.last) for at in idle}
            self.idle = idle
        self.last = frame.update

    def latest(self) -> Iterator[tuple[SampledTensor, int]]:
        """Each tensor, and the last Update at which it had a gradient by this layout."""
        lines = [each for part in sorted(self.tensors) for each in self.tensors[part]]
        for at, each in enumerate(lines):
            yield each, self.stopped.get(at, self.last)


class Tensors:
    """One optimizer's tensors. `size` counts those that are kept."""

    __slots__ = ("_layouts", "size")

    def __init__(self) -> None:
        self._layouts: dict[str, _Layout] = {}
        self.size = 0

    def sampled(self, frame: SampledFrame, room: int) -> None:
        """Takes a part of a layout in, if there is room for it; one that lacks a part tells nothing of it."""
        layout = self._layouts.get(frame.layout)
        if layout is None:
            if len(self._layouts) >= MAX_LAYOUTS:
                return
            layout = self._layouts[frame.layout] = _Layout()
        if frame.part in layout.tensors or len(frame.tensors) > room:
            return
        layout.tensors[frame.part] = frame.tensors
        layout.size += len(frame.tensors)
        layout.left_out += sum(frame.left_out.values())
        self.size += len(frame.tensors)

    def take(self, frame: SampleFrame) -> None:
        """Takes a sample in."""
        layout = self._layouts.get(frame.layout)
        if layout is not None:
            layout.take(frame)

    def at(self, update: int) -> Listed | None:
        """The tensors that had a gradient at an Update, by the samples of it; `None` if it has none."""
        layouts = [each for each in self._layouts.values() if each.last == update]
        if not layouts:
            return None
        names: dict[str, None] = {}
        for layout in layouts:
            idle = set(layout.idle)
            lines = [each for part in sorted(layout.tensors) for each in layout.tensors[part]]
            names.update({each.alias: None for at, each in enumerate(lines) if each.alias and at not in idle})
        return Listed(tuple(names), any(each.left_out or not each.tensors for each in layouts))

    def before(self, update: int) -> Listed | None:
        """Those of the last Update before this one that has samples."""
        earlier = max((each.last for each in self._layouts.values() if 0 <= each.last < update), default=-1)
        return self.at(earlier) if earlier >= 0 else None

    def idle(self) -> Idle | None:
        """The tensors that have had no gradient for long, while others had."""
        end = max((each.last for each in self._layouts.values()), default=-1)
        if any(each.left_out for each in self._layouts.values() if each.last == end):
            return None
        latest: dict[str | tuple[int, int], tuple[int, str]] = {}  # places move up where one leaves its group
        for layout in self._layouts.values():
            for tensor, update in layout.latest():
                place = tensor.alias or (tensor.group, tensor.index)
                if update > latest.get(place, (-1, ""))[0]:
                    latest[place] = (update, tensor.alias or f"tensor {tensor.index} of group {tensor.group}")
        still = sorted(each for each in latest.values() if end - each[0] >= max(QUIET, end // PART))
        if not still or len(still) == len(latest):
            return None
        return Idle(len(still), len(latest), still[0][0] + 1, end, still[0][1])
