"""How far two records are apart, in a few rows: what is equal, and how far numbers are apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from saksi.judgement.distance import BetweenReplays, Distance, KindApart, KindLine, NumbersApart, Where

__all__ = ["distance_rows"]

_WORDS: Final[dict[KindApart, str]] = {
    "program": "model and optimizer",
    "hyper_parameters": "hyper-parameters",
    "data": "data",
    "randomness": "random numbers",
    "code": "hooks, modes and flags",
}


def distance_rows(distance: Distance) -> list[tuple[str, RenderableType]]:
    """The rows of a distance; none where no Update is in both."""
    if not distance.updates:
        return []
    return [("apart" if at == 0 else "", Text(line)) for at, line in enumerate(_lines(distance))]


def _lines(distance: Distance) -> Iterator[str]:
    whole = [each for each in distance.kinds if each.compared == distance.updates and each.first is None]
    if whole:
        yield f"equal in all {distance.updates:,} updates: {', '.join(_WORDS[each.kind] for each in whole)}"
    yield from (_part(each) for each in distance.kinds if each.compared and each not in whole)
    missing = [_WORDS[each.kind] for each in distance.kinds if not each.compared]
    if missing:
        yield f"not compared, since it is in neither record or not known: {', '.join(missing)}"
    for name, numbers in (("losses", distance.loss), ("gradient norms", distance.gradient_norm)):
        if numbers.compared:
            yield f"{name}: {_numbers(numbers)}"
    yield "weights, buffers and moments are in none of these numbers"
    if distance.between_replays is not None:
        yield _between(distance.between_replays, distance.updates)
    if distance.reason is not None:
        yield f"no second replay to tell it from: {distance.reason}"


def _part(kind: KindLine) -> str:
    if kind.first is None:
        return f"{_WORDS[kind.kind]}: equal in the {kind.compared:,} updates in which it was compared"
    return f"{_WORDS[kind.kind]}: equal in {kind.equal:,} of {kind.compared:,}, first other in {_place(kind.first)}"


def _numbers(numbers: NumbersApart) -> str:
    said = f"{numbers.equal:,} of {numbers.compared:,} equal"
    if numbers.apart is not None and numbers.at is not None:
        said += f", the others up to {numbers.apart:.2g} of their size apart ({_place(numbers.at)})"
    return f"{said}; {numbers.unlike:,} with no number in one of the two" if numbers.unlike else said


def _between(between: BetweenReplays, updates: int) -> str:
    one, other = between.threads
    if one == other:
        how = "" if one is None else f", both with {_threads(one)}"
    else:
        how = f", with {_threads(one)} and with {_threads(other)}"
    parts = [
        f"{name} {_numbers(numbers)}"
        for name, numbers in (("losses", between.loss), ("gradient norms", between.gradient_norm))
        if numbers.compared
    ]
    fewer = f"in {between.updates:,} updates " if between.updates < updates else ""
    return f"two replays here{how}: {fewer}{'; '.join(parts) or 'nothing that is a number'}"


def _threads(number: int | None) -> str:
    return "an unknown number of threads" if number is None else f"{number} thread{'s' * (number != 1)}"


def _place(where: Where) -> str:
    place = f"step {where.update}" if where.optimizer == 0 else f"update {where.update} of optimizer {where.optimizer}"
    return f"{place} of rank {where.rank}" if where.rank else place
