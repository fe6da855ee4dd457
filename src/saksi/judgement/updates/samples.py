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

from saksi.judgement.updates.values import Around
from saksi.words.errors import MalformedInput
from saksi.words.frames import SampledFrame, SampledTensor, SampleFrame

__all__ = ["Layout", "Sampled", "around_each", "layout_of"]

_FORMS: Final = {"torch.float32": "f", "torch.float64": "d"}
_ONE_EACH: Final = frozenset({"step", "mu_product"})
"""Kept once for each tensor, in float32."""


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """The tensors that samples of one layout are of, in order."""

    optimizer: int
    rule: str
    dtype: str
    tensors: tuple[SampledTensor, ...]
    left_out: dict[str, int]

    def joined(self, frame: SampledFrame) -> Layout:
        """With the next part of it."""
        return msgspec.structs.replace(self, tensors=(*self.tensors, *frame.tensors))


class Sampled(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor's samples."""

    tensor: SampledTensor
    around: Around

    @property
    def name(self) -> str:
        """The parameter's name in the model, else its place in the optimizer."""
        return self.tensor.alias or f"{self.tensor.group}/{self.tensor.index}"


def around_each(layout: Layout, frame: SampleFrame) -> Iterator[Sampled]:
    """The samples of each tensor that had a gradient. Raises `MalformedInput`."""
    if layout.dtype not in _FORMS:
        raise MalformedInput("samples", f"of {layout.dtype[:80]}")
    before = {name: _numbers(layout, name, text) for name, text in frame.before.items()}
    after = {name: _numbers(layout, name, text) for name, text in frame.after.items()}
    if not {"parameter", "gradient"} <= before.keys() or "parameter" not in after:
        raise MalformedInput("samples", "without a parameter or a gradient")
    idle = set(frame.idle)
    at = 0
    for place, tensor in enumerate(layout.tensors):
        one = slice(place, place + 1)
        several = slice(at, at + tensor.count)
        at += tensor.count
        if place in idle:
            continue
        states = {name: _cut(name, numbers, one, several) for name, numbers in before.items() if _is_state(name)}
        later = {name: _cut(name, numbers, one, several) for name, numbers in after.items() if _is_state(name)}
        yield Sampled(
            tensor=tensor,
            around=Around(
                parameter=before["parameter"][several],
                gradient=before["gradient"][several],
                before=states,
                parameter_after=after["parameter"][several],
                after=later,
            ),
        )


def _is_state(name: str) -> bool:
    return name not in {"parameter", "gradient"}


def _cut(name: str, numbers: tuple[float, ...], one: slice, several: slice) -> tuple[float, ...]:
    return numbers[one if name in _ONE_EACH else several]


def _numbers(layout: Layout, name: str, text: str) -> tuple[float, ...]:
    counted = name in _ONE_EACH
    count = len(layout.tensors) if counted else sum(each.count for each in layout.tensors)
    form = f"<{count}{'f' if counted else _FORMS[layout.dtype]}"
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedInput("samples", f"{name[:80]} is not base64") from None
    if len(raw) != struct.calcsize(form):
        raise MalformedInput("samples", f"{name[:80]} has {len(raw)} bytes, not {struct.calcsize(form)}")
    return struct.unpack(form, raw)


def layout_of(frame: SampledFrame) -> Layout:
    """The layout that a first part begins."""
    return Layout(
        optimizer=frame.optimizer,
        rule=frame.rule,
        dtype=frame.dtype,
        tensors=tuple(frame.tensors),
        left_out=frame.left_out,
    )
