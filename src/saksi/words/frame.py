"""What every frame carries, and the types that fields of frames are of. `frames` has them all."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

__all__ = ["FRAME_VERSION", "MAX_FRAME_BYTES", "Count", "Frame", "Hex32", "Hex64", "Number", "Text", "Whole", "Word"]

FRAME_VERSION: Final = 1
MAX_FRAME_BYTES: Final = 65_536
"""One packet. A kernel's default send buffer takes several of these, so that a burst does not stall the sender."""

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Whole = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Hex64 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Hex32 = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$")]
Text = Annotated[str, Meta(max_length=4096)]
Word = Annotated[str, Meta(max_length=256)]
Number: TypeAlias = float | Literal["NaN", "Infinity", "-Infinity"]
"""A float; JSON has no words for the three others."""


class Frame(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What every frame carries.

    `seq` counts the frames made on one connection from 0, dropped ones included. `prev` is the SHA-256 of the bytes of
    the frame sent before it (64 zeros for the first). `lost` is how many frames were dropped so far.
    """

    seq: Count
    prev: Hex64
    wall_ns: Count
    mono_ns: Count
    lost: Count
