"""The samples of one Update as a recorder says them, by tensor: `sampled` and `sample` frames as in `spec/frames.md`.

Rules: strict; what does not fit its layout is refused whole, since a value under the wrong name would be judged.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Iterator
from typing import Final

import msgspec

from saksi.judgement.updates.gradients import Pair
from saksi.judgement.updates.values import Around
from saksi.words.errors import MalformedInput
from saksi.words.frames import SampledFrame, SampledTensor, SampleFrame

__all__ = [
    "AHEAD",
    "ONE_EACH",
    "Layout",
    "Sampled",
    "around_each",
    "gradients_in",
    "layout_of",
    "name_of",
    "numbers",
    "numbers_in",
]

AHEAD: Final = 4
"""Elements of a tensor that are read ahead of the next Update: the first of those that it samples, or all it has."""

_BFLOAT16: Final = "torch.bfloat16"
_FORMS: Final = {"torch.float32": "f", "torch.float64": "d", "torch.float16": "e", _BFLOAT16: "H"}
ONE_EACH: Final = frozenset({"step", "mu_product"})
"""Kept once for each tensor; said in float64."""


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """The tensors that samples of one layout are of, in order."""

    optimizer: int
    rule: str
    dtype: str
    tensors: tuple[SampledTensor, ...]
    elements: int
    left_out: dict[str, int]

    def joined(self, frame: SampledFrame) -> Layout:
        """With the next part of it."""
        tensors = (*self.tensors, *frame.tensors)
        elements = self.elements + sum(each.count for each in frame.tensors)
        return msgspec.structs.replace(self, tensors=tensors, elements=elements)


class Sampled(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor's samples; `idle`: it had no gradient."""

    tensor: SampledTensor
    around: Around
    idle: bool = False

    @property
    def name(self) -> str:
        """See `name_of`."""
        return name_of(self.tensor)


def around_each(layout: Layout, frame: SampleFrame) -> Iterator[Sampled]:
    """The samples of each tensor. Raises `MalformedInput`."""
    if layout.dtype not in _FORMS or layout.optimizer != frame.optimizer:
        raise MalformedInput("samples", f"of {layout.dtype[:80]} and optimizer {layout.optimizer}")
    before = {name: numbers(layout, name, text, count=layout.elements) for name, text in frame.before.items()}
    after = {name: numbers(layout, name, text, count=layout.elements) for name, text in frame.after.items()}
    if not {"parameter", "gradient"} <= before.keys() or "parameter" not in after:
        raise MalformedInput("samples", "without a parameter or a gradient")
    idle = set(frame.idle)
    at = 0
    for place, tensor in enumerate(layout.tensors):
        one = slice(place, place + 1)
        several = slice(at, at + tensor.count)
        at += tensor.count
        states = {name: _cut(name, values, one, several) for name, values in before.items() if _is_state(name)}
        later = {name: _cut(name, values, one, several) for name, values in after.items() if _is_state(name)}
        yield Sampled(
            tensor=tensor,
            idle=place in idle,
            around=Around(
                parameter=before["parameter"][several],
                gradient=before["gradient"][several],
                before=states,
                parameter_after=after["parameter"][several],
                after=later,
            ),
        )


def gradients_in(layout: Layout, frame: SampleFrame) -> Iterator[Pair]:
    """Each tensor's gradient as the backward left it and as it was read, where that is said and it has one.

    Raises `MalformedInput`.
    """
    read = numbers(layout, "gradient", frame.before.get("gradient", ""), count=layout.elements)
    finished = read
    if frame.finished:
        finished = numbers(layout, "finished", frame.finished, count=layout.elements)
    idle = set(frame.idle)
    at = 0
    for place, tensor in enumerate(layout.tensors):
        several = slice(at, at + tensor.count)
        at += tensor.count
        if place not in idle:
            yield Pair(name_of(tensor), finished[several], read[several])


def name_of(tensor: SampledTensor) -> str:
    """The parameter's name in the model, else its place in the optimizer."""
    return tensor.alias or f"{tensor.group}/{tensor.index}"


def _is_state(name: str) -> bool:
    return name not in {"parameter", "gradient"}


def _cut(name: str, values: tuple[float, ...], one: slice, several: slice) -> tuple[float, ...]:
    return values[one if name in ONE_EACH else several]


def numbers(layout: Layout, name: str, text: str, *, count: int) -> tuple[float, ...]:
    """So many numbers of one quantity, or one for each tensor. Raises `MalformedInput`."""
    if name in ONE_EACH:
        return _unpacked(name, text, "d", len(layout.tensors))
    return numbers_in(name, text, layout.dtype, count)


def numbers_in(name: str, text: str, dtype: str, count: int) -> tuple[float, ...]:
    """So many numbers of one format, in base64. Raises `MalformedInput`."""
    if dtype not in _FORMS:
        raise MalformedInput("samples", f"of {dtype[:80]}")
    return _unpacked(name, text, _FORMS[dtype], count)


def _unpacked(name: str, text: str, form: str, count: int) -> tuple[float, ...]:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedInput("samples", f"{name[:80]} is not base64") from None
    wanted = count * struct.calcsize(f"<{form}")
    if len(raw) != wanted:
        raise MalformedInput("samples", f"{name[:80]} has {len(raw)} bytes, not {wanted}")
    if form != _FORMS[_BFLOAT16]:
        return struct.unpack(f"<{count}{form}", raw)
    return struct.unpack(f"<{count}f", b"".join(b"\0\0" + raw[at : at + 2] for at in range(0, len(raw), 2)))


def layout_of(frame: SampledFrame) -> Layout:
    """The layout that a first part begins."""
    return Layout(
        optimizer=frame.optimizer,
        rule=frame.rule,
        dtype=frame.dtype,
        tensors=tuple(frame.tensors),
        elements=sum(each.count for each in frame.tensors),
        left_out=frame.left_out,
    )
