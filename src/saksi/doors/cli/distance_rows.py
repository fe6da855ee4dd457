"""How far two records are apart, in a few rows: what is equal, and how far numbers are apart."""

from __future__ import annotations

from typing import Final

from rich.console import RenderableType
from rich.text import Text

from saksi.judgement.distance import Distance, KindApart, KindLine, NumbersApart, Spread

__all__ = ["distance_rows"]

_WORDS: Final[dict[KindApart, str]] = {
    "program": "what it is made of",
    "hyper_parameters": "hyper-parameters",
    "data": "data",
    "random_numbers": "random numbers",
    "code": "hooks",
}


def distance_rows(distance: Distance) -> list[tuple[str, RenderableType]]:
    """The rows of a distance; none where no Update is in both."""
    if not distance.updates:
        return []
    lines = [_kinds(distance), *(_otherwise(each, distance.updates) for each in distance.kinds if _differs(each))]
    lines += [_numbers("losses", distance.loss), _numbers("gradient norms", distance.gradient_norm)]
    lines += [] if distance.spread is None else [_spread(distance.spread)]
    return [("apart" if at == 0 else "", Text(line)) for at, line in enumerate(line for line in lines if line)]


def _differs(kind: KindLine) -> bool:
    return kind.first_step is not None


def _kinds(distance: Distance) -> str:
    same = [_WORDS[each.kind] for each in distance.kinds if not _differs(each)]
    if not same:
        return ""
    listed = same[0] if len(same) == 1 else f"{', '.join(same[:-1])} and {same[-1]}"
    return f"equal in all {distance.updates:,} updates: {listed}"


def _otherwise(kind: KindLine, updates: int) -> str:
    return f"{_WORDS[kind.kind]}: equal in {kind.equal:,} of {updates:,}, other from step {kind.first_step} on"


def _numbers(name: str, numbers: NumbersApart) -> str:
    if not numbers.compared:
        return ""
    said = f"{name}: {numbers.equal:,} of {numbers.compared:,} equal"
    if numbers.apart:
        said += f", the others up to {numbers.apart:.2g} of their size apart (step {numbers.step})"
    return f"{said}; {numbers.unlike:,} with no number in one of the two" if numbers.unlike else said


def _spread(spread: Spread) -> str:
    how = "" if spread.threads is None else f", one of them with {spread.threads} thread{'s' * (spread.threads != 1)}"
    parts = [
        f"{name} up to {numbers.apart:.2g} apart" if numbers.apart else f"{name} equal"
        for name, numbers in (("losses", spread.loss), ("gradient norms", spread.gradient_norm))
        if numbers.compared
    ]
    return f"two replays here{how}: {', '.join(parts)}" if parts else ""
