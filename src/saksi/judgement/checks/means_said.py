"""What one rank said of one Update that others can be laid beside: its own gradient, the one it read, its parameters.

Rules: samples are kept as they were said, and read only where all ranks have said them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from saksi.judgement.checks.sampled_process import SampledProcess
from saksi.judgement.updates.gradients import EPSILON, TINY
from saksi.judgement.updates.means import Elements
from saksi.judgement.updates.samples import Layout, gradients_in
from saksi.words.frames import SampleFrame, UpdateFrame

__all__ = ["NOTHING", "Said", "said_of"]

SUM: Final = "sum64-4096"
NOTHING: Final = 512
"""What an Update without samples takes, in characters, and what each takes besides its own."""


class Said(NamedTuple):
    """One rank's Update. `items`: the samples of data in it; `coefficient`: of the clipping that was measured."""

    samples: tuple[tuple[Layout, SampleFrame], ...]
    key: bytes | None
    is_whole: bool
    start: tuple[str, int, int] | None
    items: int | None
    coefficient: float | None
    entry: int

    @property
    def size(self) -> int:
        """What it takes, in characters."""
        texts = (each for _, frame in self.samples for each in (frame.before["gradient"], frame.finished or ""))
        return NOTHING + sum(map(len, texts))

    @property
    def places(self) -> tuple[object, ...]:
        """Which elements these are: equal for ranks that drew the same ones of the same tensors."""
        return (self.key, *((frame.layout, tuple(frame.idle)) for _, frame in self.samples))

    @property
    def spelled(self) -> tuple[str, ...]:
        """The gradients that were read, as they were said."""
        return tuple(frame.before["gradient"] for _, frame in self.samples)

    @property
    def is_finished(self) -> bool:
        """Whether what the backward left is known."""
        return all(frame.finished is not None for _, frame in self.samples)

    def elements(self) -> tuple[Elements, tuple[float, ...]]:
        """Its own gradient as the backward left it, and the one that was read. Raises `MalformedInput`."""
        own: list[float] = []
        read: list[float] = []
        spacings: list[float] = []
        tiny: list[float] = []
        for layout, frame in self.samples:
            for pair in gradients_in(layout, frame):
                own += pair.finished
                read += pair.read
            more = len(read) - len(spacings)
            spacings += [EPSILON[layout.dtype]] * more
            tiny += [TINY[layout.dtype]] * more
        return Elements(tuple(own), tuple(spacings), tuple(tiny)), tuple(read)


def said_of(process: SampledProcess, samples: list[SampleFrame], frame: UpdateFrame, entry: int) -> Said | None:
    """What can be compared of an Update; `None` where there is nothing."""
    layouts = [process.layouts.get(each.layout) for each in samples]
    known = [each for each in layouts if each is not None and each.dtype in EPSILON]
    if not samples or frame.skipped or len(known) < len(samples) or any("gradient" not in s.before for s in samples):
        return None
    tensors = sum(len(each.tensors) for each in known)
    norm = frame.gradient_norm if "gradient_norm" not in frame.deferred else None
    items = [each.items for each in frame.batches]
    counted = [each for each in items if each is not None]
    return Said(
        samples=tuple(zip(known, (_lean(each) for each in samples), strict=True)),
        key=process.key,
        is_whole=tensors == sum(frame.tensors) > 0 and not any(s.idle for s in samples) and not _leave_out(known),
        start=_start(frame),
        items=sum(counted) if counted and len(counted) == len(items) and not frame.batches_omitted else None,
        coefficient=norm.coefficient if norm is not None and not isinstance(norm.coefficient, str) else None,
        entry=entry,
    )


def _lean(frame: SampleFrame) -> SampleFrame:
    return msgspec.structs.replace(frame, before={"gradient": frame.before["gradient"]}, after={})


def _leave_out(layouts: list[Layout]) -> bool:
    return any(each.left_out for each in layouts)


def _start(frame: UpdateFrame) -> tuple[str, int, int] | None:
    for each in frame.fingerprints:
        if each.name == SUM and each.over == "parameters" and each.start is not None:
            return each.start, each.share, each.of
    return None
