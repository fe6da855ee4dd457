"""How far arithmetic of one precision may honestly lie from a float64 reference.

Source: IEEE 754-2019, sections 3 and 4 (spacing of numbers, rounding to nearest).
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

__all__ = ["PRECISIONS", "Precision"]


class Precision(NamedTuple):
    """A floating-point format: `digits` of its significand, the exponent of its smallest normal number, its largest.

    `slack` is the share of an update by which honest kernels of this precision differ: scalars such as 1 - beta2 are
    rounded before they are used.
    """

    digits: int
    lowest: int
    largest: float
    slack: float

    def spacing(self, value: float) -> float:
        """The distance from `value` to the next number of this format; of the smallest numbers, that between them."""
        if not math.isfinite(value):
            return math.inf
        exponent = math.frexp(value)[1] - 1 if value else self.lowest
        return math.ldexp(1.0, max(exponent, self.lowest) - self.digits + 1)

    @property
    def epsilon(self) -> float:
        """The spacing at 1."""
        return math.ldexp(1.0, 1 - self.digits)

    @property
    def smallest(self) -> float:
        """The smallest normal number: where denormal ones are flushed to zero, results differ by up to this."""
        return math.ldexp(1.0, self.lowest)


PRECISIONS: Final[dict[str, Precision]] = {
    "torch.float32": Precision(24, -126, 3.4028234663852886e38, 1e-4),
    "torch.float64": Precision(24, -1022, math.inf, 1e-4),
}
"""Formats whose arithmetic a float64 reference can judge. Steps of float64 are judged like those of float32: their
scalars may be tensors of float32."""
