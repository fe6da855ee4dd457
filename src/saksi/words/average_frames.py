"""Frames of averages: weights that no optimizer updates, and that follow those of one. See `frames`."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from saksi.words.frame import Count, Frame, Hex32, Word
from saksi.words.limits import MAX_SAMPLED

__all__ = ["AverageFrame", "AveragedFrame", "AveragedTensor"]


class AveragedTensor(msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True):
    """One tensor that no optimizer updates: its module and name; and the parameter beside it, by group and index."""

    module: Word
    name: Word
    group: Count
    index: Count
    size: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    count: Annotated[int, Meta(ge=1, le=MAX_SAMPLED)]


class AveragedFrame(Frame, frozen=True, tag="averaged"):
    """A part of a list of tensors that may be averages of an optimizer's parameters, said before its first `average`.

    `update` is that before which they were looked for.
    """

    layout: Hex32
    optimizer: Count
    update: Count
    dtype: Word
    parameter_dtype: Word
    part: Count
    parts: Count
    tensors: Annotated[list[AveragedTensor], Meta(max_length=MAX_SAMPLED)]


class AverageFrame(Frame, frozen=True, tag="average"):
    """Scattered elements of those tensors as one Update began and as the next one did, in base64.

    Said where one of them changed. `start` are those of the parameters as the Update began, `end` as it returned,
    `later` as the next one began: empty where they are those in `end`.
    """

    layout: Hex32
    optimizer: Count
    update: Count
    before: str
    after: str
    start: str
    end: str
    later: str
