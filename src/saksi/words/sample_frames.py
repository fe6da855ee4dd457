"""The frames that say samples of an Update: scattered elements of what an optimizer reads and writes."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from saksi.words.frame import Count, Frame, Hex32, Hex64, Word
from saksi.words.limits import MAX_QUANTITIES, MAX_SAMPLED

__all__ = ["SampleFrame", "SampledFrame", "SampledTensor"]


class SampledTensor(msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True):
    """One tensor that gives samples: its place in the optimizer, its name, its elements and how many are taken."""

    group: Count
    index: Count
    alias: Word | None
    size: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    count: Annotated[int, Meta(ge=1, le=MAX_SAMPLED)]


class SampledFrame(Frame, frozen=True, tag="sampled"):
    """A part of the list of tensors that samples are taken of, said before the first `sample` that uses it.

    `rule` is the class whose `step` makes the update. `left_out` counts tensors that give none, by what they are.
    Places are drawn with `key`; null: with the one in `hello`.
    """

    layout: Hex32
    optimizer: Count
    rule: Word
    dtype: Word
    part: Count
    parts: Count
    tensors: Annotated[list[SampledTensor], Meta(max_length=MAX_SAMPLED)]
    left_out: Annotated[dict[Word, Count], Meta(max_length=MAX_QUANTITIES)]
    key: Hex64 | None = None


class SampleFrame(Frame, frozen=True, tag="sample"):
    """Scattered elements of what an Update read and wrote, in base64, tensor after tensor.

    `before` has `parameter`, `gradient` and the state there was by name, `after` the parameter and the state as the
    Update returned. `idle` are tensors, by their place in the layout, that had no gradient. `finished` are gradients as
    the last backward left them: empty if they are those in `before`, null if that is not known. `ahead` is state as the
    Update returned, at the first places of each tensor at which the next one will be sampled.
    """

    layout: Hex32
    optimizer: Count
    update: Count
    idle: Annotated[list[Count], Meta(max_length=MAX_SAMPLED)]
    before: Annotated[dict[Word, str], Meta(max_length=MAX_QUANTITIES)]
    after: Annotated[dict[Word, str], Meta(max_length=MAX_QUANTITIES)]
    finished: str | None = None
    ahead: Annotated[dict[Word, str], Meta(max_length=MAX_QUANTITIES)] = msgspec.field(default_factory=dict)
