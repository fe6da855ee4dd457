"""The updates that a run made until a capsule was taken of it, and which of them comes next.

Rules: parsed strictly, with limits; each update has to be made by the optimizer that made it in the run.
"""

# ruff: noqa: PTH118, PTH123  (plain os: light)

from __future__ import annotations

import os
from typing import Any, NamedTuple, Optional

from .cannot import CannotBeHollowError
from .capsule_files import parsed

VERSION = 1
GENERATORS = 3  # of Python, numpy and torch
MAX_BYTES = 1 << 30  # some ten million updates
_NUMBERS = {name: float(name) for name in ("NaN", "Infinity", "-Infinity")}  # as in frames


class Made(NamedTuple):
    """One update of the run; its loss and its norm where they are known, and what its generators were behind it."""

    optimizer: int
    loss: Optional[float]
    norm: Optional[float]
    skipped: bool
    generators: tuple[str, ...]


class Record:
    """What is read from the file; `at` is the update that comes next."""

    def __init__(self, folder: str, rank: int) -> None:
        with open(os.path.join(folder, "%d.json" % rank), "rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise CannotBeHollowError("the record of updates is too long")
        found = parsed(raw, "the record of updates")
        if type(found) is not dict or found.get("version") != VERSION or type(found.get("forward")) is not bool:
            raise CannotBeHollowError("the record of updates is of another version")
        if type(found.get("made")) is not list:
            raise CannotBeHollowError("the record of updates lacks them")
        self.forward: bool = found["forward"]
        generators = found.get("generators")
        if type(generators) is not dict or not all(type(one) is str for one in generators.values()):
            raise CannotBeHollowError("the record of updates does not say what the generators were behind them")
        self.generators: dict[str, str] = generators
        self.made = [_made(one) for one in found["made"]]
        self.at = 0
        if not self.made or self.made[-1].optimizer:
            raise CannotBeHollowError("the record of updates does not end with one of optimizer 0")

    @property
    def step(self) -> int:
        """The Step that the last update is."""
        return sum(1 for one in self.made if not one.optimizer) - 1

    @property
    def coming(self) -> Made:
        """The update that comes next."""
        return self.made[self.at]

    @property
    def near(self) -> list[Made]:
        """The update that came last, if there is one, and that which comes next."""
        return self.made[max(0, self.at - 1) : self.at + 1]

    def of(self, optimizer: Optional[int]) -> Made:
        """The next one that this optimizer makes. Raises `CannotBeHollowError`."""
        for place in range(self.at, len(self.made)):
            if self.made[place].optimizer == optimizer:
                return self.made[place]
        raise CannotBeHollowError("optimizer %s makes an update that the run did not make" % optimizer)

    def met(self, optimizer: Optional[int]) -> bool:
        """This optimizer made an update; whether it was the last. Raises `CannotBeHollowError`."""
        wanted = self.coming.optimizer
        if wanted != optimizer:
            reason = "update %d was made by optimizer %d in the run, and by optimizer %s here"
            raise CannotBeHollowError(reason % (self.at, wanted, optimizer))
        self.at += 1
        return self.at == len(self.made)


def _made(given: Any) -> Made:
    if type(given) is not list or len(given) != len(Made._fields) or type(given[0]) is not int or given[0] < 0:
        raise CannotBeHollowError("the record of updates has one that is none")
    optimizer, loss, norm, skipped, generators = given
    if type(skipped) is not bool or type(generators) is not str or generators.count(",") != GENERATORS - 1:
        raise CannotBeHollowError("the record of updates has one that is none")
    return Made(optimizer, _number(loss), _number(norm), skipped, tuple(generators.split(",")))


def _number(given: Any) -> Optional[float]:
    if given is None:
        return None
    if type(given) is str and given in _NUMBERS:
        return _NUMBERS[given]
    if type(given) not in (int, float):
        raise CannotBeHollowError("the record of updates has a number that is none")
    try:
        return float(given)
    except OverflowError:
        raise CannotBeHollowError("the record of updates has a number that is none") from None
