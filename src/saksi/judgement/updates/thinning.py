"""Which Updates give no samples, where a recorder keeps to its share of the time: Thinning in `spec/frames.md`."""

from __future__ import annotations

import hashlib
from typing import Final

__all__ = ["FIRST", "MOST", "is_left_out"]

FIRST: Final = 100
"""Updates of each optimizer that all give samples."""
MOST: Final = 32
"""One in so many gives samples, whatever it costs."""


def is_left_out(key: bytes, optimizer: int, update: int, every: int) -> bool:
    """Whether one in `every` Updates gives samples and this is not one of those."""
    if update < FIRST or not 1 < every <= MOST:
        return False
    seed = key + b"saksi.thinning/v1" + optimizer.to_bytes(8, "little") + update.to_bytes(8, "little")
    return int.from_bytes(hashlib.sha256(seed).digest()[:8], "little") % every != 0
