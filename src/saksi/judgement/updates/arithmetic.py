"""What every rule needs: hyper-parameters as numbers, states as they were, and quantities with their tolerance.

A tolerance grows with the terms that were added up, not with their sum: where they nearly cancel, rounding is all that
is left. Known weakness: a change below it is not seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from saksi.judgement.updates.precision import Precision
from saksi.judgement.updates.values import Around, Numbers, Quantity

__all__ = ["NoRule", "Sums", "counted", "next_step", "number", "pair", "refuse", "state_of", "whole"]

ROUNDINGS: Final = 16.0
"""Roundings of terms that one result may have in it."""
ULPS: Final = 4.0


class NoRule(Exception):
    """These hyper-parameters or samples are none that the rule knows; the text says which."""


def number(hyper: Mapping[str, Any], name: str, default: float | None = None) -> float:
    """A hyper-parameter that is a finite number. Raises `NoRule`."""
    value = hyper.get(name, default)
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return float(value)
    raise NoRule(f"{name} is {value!r}"[:200])


def pair(hyper: Mapping[str, Any], name: str) -> tuple[float, float]:
    """A hyper-parameter of two numbers from 0 up to 1. Raises `NoRule`."""
    values = hyper.get(name)
    if not isinstance(values, list) or len(values) != 2:  # noqa: PLR2004 - first and second moment
        raise NoRule(f"{name} are not two numbers")
    first, second = (number({name: each}, name) for each in values)
    if not (0.0 <= first < 1.0 and 0.0 <= second < 1.0):
        raise NoRule(f"{name} are not between 0 and 1")
    return first, second


def next_step(around: Around) -> float:
    """The number of this step, counted from 1. Raises `NoRule` where the counter is no count."""
    done = whole(around, "step")
    if not (done >= 0.0 and done.is_integer()):
        raise NoRule(f"the step counter is {done!r}")
    return done + 1.0


def refuse(hyper: Mapping[str, Any], *names: str) -> None:
    """Raise `NoRule` if one of these is set."""
    for name in names:
        if hyper.get(name):
            raise NoRule(f"{name} is set")


def whole(around: Around, name: str, first: float = 0.0) -> float:
    """A state with one number for the whole tensor; `first` before it was made."""
    found = around.before.get(name, ())
    return found[0] if found else first


def state_of(around: Around, name: str) -> Numbers:
    """A state with a number for each element; zeros before it was made."""
    return around.before.get(name) or [0.0] * len(around.parameter)


def counted(value: float, tolerance: float = 0.0) -> Quantity:
    """A state with one number for the whole tensor. A counter is exact."""
    return Quantity(values=[value], change=[1.0], tolerance=[tolerance])


class Sums:
    """A quantity as it is worked out, element by element."""

    def __init__(self, precision: Precision) -> None:
        self._precision = precision
        self.values: list[float] = []
        self.change: list[float] = []
        self.tolerance: list[float] = []

    def add(self, before: float, value: float, change: float, terms: float) -> None:
        """One element: as it was, as it should be, what the step adds, and the sum of the sizes of what was added."""
        precision = self._precision
        self.values.append(value)
        self.change.append(change)
        largest = max(abs(before), abs(value))
        self.tolerance.append(
            ULPS * precision.spacing(largest)
            + ROUNDINGS * precision.epsilon * terms
            + precision.slack * abs(change)
            + precision.smallest
        )

    def done(self) -> Quantity:
        """The quantity."""
        return Quantity(values=self.values, change=self.change, tolerance=self.tolerance)
