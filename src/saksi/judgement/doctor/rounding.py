"""Whether weights were in half precision before: every sample of them is a number that half precision has."""

from __future__ import annotations

import base64
import binascii
import struct

from saksi.judgement.doctor.course import Course

__all__ = ["are_rounded"]

_LEAST = 16
"""Samples: fewer may be round numbers."""
_SINGLE = "torch.float32"


def are_rounded(course: Course) -> bool:
    """Of the parameters as the first update found them. False where there are no samples of them."""
    sample = course.sample
    if sample is None or {each.dtype for each in course.sampled if each.layout == sample.layout} != {_SINGLE}:
        return False
    try:
        content = base64.b64decode(sample.before.get("parameter", ""), validate=True)
    except (binascii.Error, ValueError):
        return False
    if len(content) % 4:
        return False
    words = [word for (word,) in struct.iter_unpack("<I", content) if word & 0x7FFFFFFF]
    return len(words) >= _LEAST and (all(not word & 0xFFFF for word in words) or all(map(_is_half, words)))


def _is_half(word: int) -> bool:
    (value,) = struct.unpack("<f", struct.pack("<I", word))
    try:
        return bool(struct.unpack("<e", struct.pack("<e", value))[0] == value)
    except OverflowError:
        return False
