"""The samples of averages between two Updates, by tensor: `averaged` and `average` frames as in `spec/frames.md`.

Rules: strict; what does not fit its layout is refused whole, since a value under the wrong name would be judged.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from saksi.judgement.updates.samples import numbers_in
from saksi.words.average_frames import AveragedFrame, AveragedTensor, AverageFrame
from saksi.words.errors import MalformedInput

__all__ = ["AveragedLayout", "Moved", "averaged_layout_of", "moved_in"]


class AveragedLayout(msgspec.Struct, frozen=True, kw_only=True):
    """The tensors that samples of one layout are of, in order."""

    optimizer: int
    since: int
    dtypes: tuple[str, str]
    tensors: tuple[AveragedTensor, ...]

    def joined(self, frame: AveragedFrame) -> AveragedLayout:
        """With the next part of it."""
        return msgspec.structs.replace(self, tensors=(*self.tensors, *frame.tensors))


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor's elements before and after, and the parameter's as it may have been used: the likeliest first."""

    tensor: AveragedTensor
    before: tuple[float, ...]
    after: tuple[float, ...]
    parameters: tuple[tuple[float, ...], ...]

    @property
    def key(self) -> tuple[str, str, int, int]:
        """Which tensor it is, among all that follow an optimizer's parameters."""
        return self.tensor.module, self.tensor.name, self.tensor.group, self.tensor.index


def averaged_layout_of(frame: AveragedFrame) -> AveragedLayout:
    """The layout that a first part begins."""
    return AveragedLayout(
        optimizer=frame.optimizer,
        since=frame.update,
        dtypes=(frame.dtype, frame.parameter_dtype),
        tensors=tuple(frame.tensors),
    )


def moved_in(layout: AveragedLayout, frame: AverageFrame) -> Iterator[Moved]:
    """The samples of each tensor that changed. Raises `MalformedInput`."""
    if layout.optimizer != frame.optimizer:
        raise MalformedInput("averages", f"of optimizer {layout.optimizer}")
    count = sum(each.count for each in layout.tensors)
    own, beside = layout.dtypes
    before = numbers_in("before", frame.before, own, count)
    after = numbers_in("after", frame.after, own, count)
    end = numbers_in("end", frame.end, beside, count)
    parameters = [end]
    if frame.later:
        parameters.append(numbers_in("later", frame.later, beside, count))
    parameters.append(numbers_in("start", frame.start, beside, count))
    at = 0
    for tensor in layout.tensors:
        several = slice(at, at + tensor.count)
        at += tensor.count
        if before[several] != after[several]:
            yield Moved(
                tensor=tensor,
                before=before[several],
                after=after[several],
                parameters=tuple(each[several] for each in parameters),
            )
