"""What one process's samples say of its optimizers' state between two Updates: what was sampled of the last ones."""

from __future__ import annotations

from typing import Final

from saksi.judgement.checks.sampled_process import SampledProcess, size_of
from saksi.judgement.updates.between import Changed, changed_between, kept_until_the_next
from saksi.words.errors import MalformedInput
from saksi.words.frames import SampledFrame, SampleFrame, UpdateFrame

__all__ = ["SampledState"]

MAX_OPTIMIZERS: Final = 1_024
"""Of one process of which samples are kept until the next Update."""


class SampledState:
    """The samples with which each optimizer's last Update ended, and the layouts that they are of."""

    __slots__ = ("_ended", "_process", "_size")

    def __init__(self) -> None:
        self._process = SampledProcess()
        self._ended: dict[int, list[SampleFrame]] = {}
        self._size = 0

    @property
    def size(self) -> int:
        """In lines of layouts."""
        return self._process.size + self._size

    def hears(self, frame: SampledFrame | SampleFrame, room: int) -> None:
        """Take a layout or a sample in, if there is room for it."""
        self._process.hears(frame, room)

    def updated(self, update: UpdateFrame, room: int) -> list[Changed] | None:
        """What is another than as the Update before this one returned; `None` if nothing is known of that.

        Its own samples are kept for the next, if there is room.
        """
        begins = self._process.of(update)
        ended = self._ended.pop(update.optimizer, ())
        self._size -= sum(map(size_of, ended))
        kept = [kept_until_the_next(each) for each in begins]
        if kept and sum(map(size_of, kept)) <= room and len(self._ended) < MAX_OPTIMIZERS:
            self._ended[update.optimizer] = kept
            self._size += sum(map(size_of, kept))
        return self._changed(ended, begins)

    def _changed(self, ended: list[SampleFrame] | tuple[()], begins: list[SampleFrame]) -> list[Changed] | None:
        found: list[Changed] | None = None
        before = {each.layout: each for each in ended}
        for each in begins:
            layout, last = self._process.layouts.get(each.layout), before.get(each.layout)
            if layout is None or last is None or last.update + 1 != each.update or not (last.after or last.ahead):
                continue
            try:
                changed = list(changed_between(layout, last, each))
            except MalformedInput:  # the shadow update says so
                continue
            found = [*(found or ()), *changed]
        return found
