"""Samples of one tensor around one Update, and what a rule makes of them. Pure values, numbers as float64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

__all__ = ["Around", "Expected", "Quantity"]

Numbers = Sequence[float]


class Around(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor: the same elements of everything that the optimizer reads and writes for it.

    `before` and `after` are its state by name, empty for a state that was not made yet. A state with one number for the
    whole tensor, as `step`, has one.
    """

    parameter: Numbers
    gradient: Numbers
    before: Mapping[str, Numbers]
    parameter_after: Numbers
    after: Mapping[str, Numbers]


class Quantity(msgspec.Struct, frozen=True, kw_only=True):
    """What one quantity should be, element by element, and by how much it may honestly differ.

    `change` is what the step adds to it. `to_the_bit`: nearly all elements are exactly so, and many that are not are a
    difference too.
    """

    values: Numbers
    change: Numbers
    tolerance: Numbers
    to_the_bit: bool = False


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule expects of a tensor after the step: its parameter, and each state that it knows."""

    parameter: Quantity
    state: Mapping[str, Quantity]
